//! The rules that every [`Contents`] keeps. The module `wire` defines its JSON.

use std::collections::{HashMap, HashSet};

use super::{
    Contents, Error, Frame, MAX_CONTENTS_BYTES, MAX_FRAME_BYTES, MAX_MEMBER_BYTES, MAX_MEMBERS,
    Member, MemberName, MemberPlace, Result, tar,
};
use crate::object::{Kind, Store};

impl Contents {
    /// One line of JSON, without the newline.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        if json.len() > MAX_CONTENTS_BYTES {
            return Err(Error::Malformed("contents longer than 16 MiB"));
        }
        Ok(json)
    }

    /// Reads what [`Self::to_json`] wrote, ignores unknown fields, and validates it.
    pub fn parse(json: &[u8]) -> Result<Self> {
        if json.len() > MAX_CONTENTS_BYTES {
            return Err(Error::Malformed("contents longer than 16 MiB"));
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// Every store that a member lies in or that a link leads to, each once.
    pub fn stores(&self) -> Vec<Store> {
        Stores::of(self).names
    }

    /// Checks every rule that readers rely on.
    pub(super) fn validate(&self) -> std::result::Result<(), &'static str> {
        if self.members.len() > MAX_MEMBERS {
            return Err("too many members");
        }
        validate_frames(&self.frames)?;
        let mut names = HashSet::with_capacity(self.members.len());
        let mut end = (0, 0);
        for member in &self.members {
            if !names.insert(&member.name) {
                return Err("a member stands there twice");
            }
            end = validate_member(member, &self.frames, end)?;
        }
        Ok(())
    }
}

fn validate_frames(frames: &[Frame]) -> std::result::Result<(), &'static str> {
    let mut end = 0;
    for frame in frames {
        if frame.len == 0 || frame.plain_len == 0 || frame.plain_len > MAX_FRAME_BYTES {
            return Err("a frame of an impossible length");
        }
        if frame.offset < end {
            return Err("frames overlap or are out of order");
        }
        end = frame.offset.checked_add(frame.len).ok_or("a frame of an impossible length")?;
    }
    Ok(())
}

/// Checks one member. `end` is the frame and the offset where the member before it ends; returns
/// where this one ends.
fn validate_member(
    member: &Member,
    frames: &[Frame],
    end: (u32, u64),
) -> std::result::Result<(u32, u64), &'static str> {
    let MemberName { object, damaged } = member.name;
    match member.place {
        MemberPlace::Link { target } => {
            if damaged || object.kind == Kind::Commit || object.store == target {
                return Err("a link that cannot be one");
            }
            Ok(end)
        }
        MemberPlace::Data { frame, offset, len, sha256 } => {
            let plain_len = frames.get(frame as usize).ok_or("a member in no frame")?.plain_len;
            let next = offset
                .checked_add(len)
                .filter(|&next| len <= MAX_MEMBER_BYTES && next <= plain_len)
                .ok_or("a member outside of its frame")?;
            let header =
                offset.checked_sub(tar::BLOCK as u64).ok_or("a member without a header")?;
            if (frame, header) < end {
                return Err("members overlap or are out of order");
            }
            if sha256.is_some() != member.name.needs_sha256() {
                return Err("a SHA-256 is missing or too many");
            }
            Ok((frame, next.next_multiple_of(tar::BLOCK as u64)))
        }
    }
}

/// The list of stores, in the order in which the members name them first.
pub(super) struct Stores {
    pub(super) names: Vec<Store>,
    pub(super) indices: HashMap<Store, usize>,
}

impl Stores {
    pub(super) fn of(contents: &Contents) -> Self {
        let mut stores = Self { names: Vec::new(), indices: HashMap::new() };
        for member in &contents.members {
            stores.add(member.name.object.store);
            if let MemberPlace::Link { target } = member.place {
                stores.add(target);
            }
        }
        stores
    }

    fn add(&mut self, store: Store) {
        let Self { names, indices } = self;
        indices.entry(store).or_insert_with(|| {
            names.push(store);
            names.len() - 1
        });
    }
}
