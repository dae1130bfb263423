//! Reads objects out of packs: one frame at a time by range, or a whole pack.

use super::marker::Named;
use super::names::{self, PackKind};
use super::pack::{self, Frame};
use super::{Error, Repository, Result};
use crate::object::Sha256;

/// Where the bytes of one object lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The pack's kind.
    pub kind: PackKind,
    /// The pack's name.
    pub pack: Sha256,
    /// The frame inside the pack.
    pub frame: Frame,
    /// Where the object begins inside the frame's plain bytes.
    pub start: u64,
    /// Its length.
    pub length: u64,
}

/// Reads one object by a ranged read. The bytes are not verified: the caller checks them against
/// the object's id, or a commit's SHA-256.
pub fn read_object(repository: &Repository, place: &Place) -> Result<Vec<u8>> {
    let key = names::pack(place.kind, &place.pack, repository.seal());
    let range = place.frame.offset..place.frame.offset + place.frame.len;
    let plain = pack::read_frame(&repository.open_range(&key, range)?, &place.frame)?;
    let outside = || Error::Altered {
        key: key.clone(),
        problem: "does not hold what the index says".into(),
    };
    let start = usize::try_from(place.start).map_err(|_| outside())?;
    let length = usize::try_from(place.length).map_err(|_| outside())?;
    let end = start.checked_add(length).ok_or_else(outside)?;
    plain
        .get(start..end)
        .map(<[u8]>::to_vec)
        .ok_or_else(outside)
}

/// Reads a whole pack of that size and checks its bytes against its name.
pub fn read_listed_pack(
    repository: &Repository,
    kind: PackKind,
    name: &Sha256,
    size: u64,
) -> Result<Vec<u8>> {
    let key = names::pack(kind, name, repository.seal());
    let stored = repository.read_named(&Named {
        sha256: *name,
        size,
        key: key.clone(),
    })?;
    repository.open_file(&key, stored)
}

/// Reads a whole pack whose size nothing tells, and checks its bytes against its name; gives the size
/// that it is stored with too.
pub fn read_pack(repository: &Repository, kind: PackKind, name: &Sha256) -> Result<(Vec<u8>, u64)> {
    let key = names::pack(kind, name, repository.seal());
    let stored = repository.read_verified(&key, name)?;
    let size = stored.len() as u64;
    Ok((repository.open_file(&key, stored)?, size))
}
