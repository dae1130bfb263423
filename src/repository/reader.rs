//! Reads objects out of packs: one frame at a time by range, or a whole pack.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use seawall_backends::Key;

use super::marker::Named;
use super::names::{self, PackKind};
use super::pack::{self, Frame};
use super::{Error, Repository, Result};
use crate::object::Sha256;

/// Where the bytes of one object lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPlace {
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

/// The most frames that are kept.
const FRAMES: usize = 32;
/// The most plain bytes that the kept frames may have together.
const FRAME_BYTES: usize = 32 << 20;

/// A cache of the frames that were read last. The next object often lies in the same frame or
/// beside it.
#[derive(Debug, Default)]
pub struct Frames(Mutex<VecDeque<ReadFrame>>);

/// A frame's pack, the frame's offset in the pack, and its plain bytes.
type ReadFrame = (Sha256, u64, Arc<Vec<u8>>);

impl Frames {
    /// Reads one object by a ranged read. Does not verify its bytes: the caller checks them against
    /// the object's id, or against a commit's SHA-256.
    pub fn read_object(&self, repository: &Repository, place: &ObjectPlace) -> Result<Vec<u8>> {
        let key = names::pack(place.kind, &place.pack, repository.seal());
        let plain = match self.kept(place) {
            Some(plain) => plain,
            None => self.read(repository, &key, place)?,
        };
        let outside = || Error::Altered {
            key: key.clone(),
            problem: "does not hold what the index says".into(),
        };
        let start = usize::try_from(place.start).map_err(|_| outside())?;
        let length = usize::try_from(place.length).map_err(|_| outside())?;
        let end = start.checked_add(length).ok_or_else(outside)?;
        plain.get(start..end).map(<[u8]>::to_vec).ok_or_else(outside)
    }

    fn kept(&self, place: &ObjectPlace) -> Option<Arc<Vec<u8>>> {
        let frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted =
            |(pack, offset, _): &&ReadFrame| (*pack, *offset) == (place.pack, place.frame.offset);
        frames.iter().find(is_wanted).map(|(_, _, plain)| Arc::clone(plain))
    }

    fn read(
        &self,
        repository: &Repository,
        key: &Key,
        place: &ObjectPlace,
    ) -> Result<Arc<Vec<u8>>> {
        let range = place.frame.offset..place.frame.offset + place.frame.len;
        let plain = pack::read_frame(&repository.open_range(key, range)?, &place.frame)?;
        let plain = Arc::new(plain);
        let mut frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frames.push_back((place.pack, place.frame.offset, Arc::clone(&plain)));
        let bytes = |frames: &VecDeque<ReadFrame>| -> usize {
            frames.iter().map(|(_, _, plain)| plain.len()).sum()
        };
        while frames.len() > FRAMES || bytes(&frames) > FRAME_BYTES {
            frames.pop_front();
        }
        Ok(plain)
    }
}

/// Reads a whole pack of known size and checks its bytes against its name.
pub fn read_listed_pack(
    repository: &Repository,
    kind: PackKind,
    name: &Sha256,
    size: u64,
) -> Result<Vec<u8>> {
    let key = names::pack(kind, name, repository.seal());
    let stored = repository.read_named(&Named { sha256: *name, size, key: key.clone() })?;
    repository.open_file(&key, stored)
}

/// Reads a whole pack of unknown size and checks its bytes against its name. Also returns its
/// stored size.
pub fn read_pack(repository: &Repository, kind: PackKind, name: &Sha256) -> Result<(Vec<u8>, u64)> {
    let key = names::pack(kind, name, repository.seal());
    let stored = repository.read_verified(&key, name)?;
    let size = stored.len() as u64;
    Ok((repository.open_file(&key, stored)?, size))
}
