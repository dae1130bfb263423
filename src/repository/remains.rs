//! What can still be had of a pack whose bytes are not what the marker says: its frames decode alone, and of an encrypted
//! one each piece of 64 KiB opens alone. Nothing that comes from here is proved: the caller checks each object against its
//! id.

use std::borrow::Cow;
use std::io::{Cursor, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use seawall_backends::{ErrorKind, Key};

use super::names::{self, PackKind};
use super::pack::{self, Frame};
use super::{Repository, Result, frames};
use crate::crypt::Seal;
use crate::object::Sha256;

/// So much is asked for at a time of a file that cannot be read in one piece.
const PIECE: u64 = 1 << 20;
/// What age seals at a time.
const SEALED_PIECE: u64 = 64 * 1024;

/// The bytes of a bad pack.
pub struct Remains<'a> {
    repository: &'a Repository,
    size: u64,
    stored: Vec<u8>,
    /// What opens from the beginning; all of it, where nothing is encrypted.
    beginning: Vec<u8>,
}

/// What is left of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameRemains {
    /// The first of its plain bytes.
    pub plain: Vec<u8>,
    /// They are all there, and their checksum fits.
    pub is_whole: bool,
}

impl std::fmt::Debug for Remains<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remains")
            .field("stored", &self.stored.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Remains<'a> {
    /// Fetches what there is of a pack, at most so many bytes; `None` if there is nothing.
    pub fn fetch(
        repository: &'a Repository,
        kind: PackKind,
        name: &Sha256,
        size: u64,
    ) -> Result<Option<Self>> {
        let key = names::pack(kind, name, repository.seal());
        let Some(stored) = fetch(repository, &key, size)? else {
            return Ok(None);
        };
        let size = stored.len() as u64;
        let (stored, beginning) = match repository.seal() {
            Seal::None => (Vec::new(), stored),
            Seal::Age => {
                let beginning = open_beginning(repository, &stored);
                (stored, beginning)
            }
        };
        Ok(Some(Self {
            repository,
            size,
            stored,
            beginning,
        }))
    }

    /// How many bytes are stored.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What is left of a frame.
    pub fn frame(&self, frame: &Frame) -> FrameRemains {
        let end = frame.offset.saturating_add(frame.len);
        let bytes = self.range(frame.offset..end);
        if let Ok(plain) = pack::read_frame(&bytes, frame) {
            return FrameRemains {
                plain,
                is_whole: true,
            };
        }
        FrameRemains {
            plain: frames::decompress_beginning(&bytes, frame.plain_len),
            is_whole: false,
        }
    }

    /// As many of the first bytes of a range as can be had.
    fn range(&self, range: Range<u64>) -> Cow<'_, [u8]> {
        let len = self.beginning.len() as u64;
        let start = usize::try_from(range.start.min(len)).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end.min(len)).unwrap_or(usize::MAX);
        let beginning = self.beginning.get(start..end).unwrap_or_default();
        if range.end <= len || self.stored.is_empty() {
            return Cow::Borrowed(beginning);
        }
        let mut bytes = beginning.to_vec();
        let mut at = range.start.max(len);
        while at < range.end {
            let end = range.end.min((at / SEALED_PIECE + 1) * SEALED_PIECE);
            let Some(piece) = self.open_piece(at..end) else {
                break;
            };
            bytes.extend_from_slice(&piece);
            if piece.len() as u64 != end - at {
                break;
            }
            at = end;
        }
        Cow::Owned(bytes)
    }

    /// The whole pack, with zeros for what cannot be had: its table of contents lies at its end.
    pub fn with_gaps(&self) -> Vec<u8> {
        let mut bytes = self.beginning.clone();
        let mut end = bytes.len();
        let mut at = end as u64;
        while at < self.stored.len() as u64 {
            let next = (at / SEALED_PIECE + 1) * SEALED_PIECE;
            if let Some(piece) = self.open_piece(at..next) {
                bytes.extend_from_slice(&piece);
                end = bytes.len();
            }
            bytes.resize(usize::try_from(next).unwrap_or(usize::MAX), 0);
            at = next;
        }
        bytes.truncate(end);
        bytes
    }

    /// A range inside of one sealed piece, by itself; the last piece may end before.
    fn open_piece(&self, range: Range<u64>) -> Option<Vec<u8>> {
        let sealed = Cursor::new(&self.stored);
        let mut reader = self.repository.identities.reader(sealed).ok()?;
        reader.seek(SeekFrom::Start(range.start)).ok()?;
        let mut plain = Vec::new();
        let mut reader = reader.take(range.end - range.start);
        reader.read_to_end(&mut plain).ok()?;
        Some(plain)
    }
}

/// The stored bytes. What a disk cannot read of them is zeros.
fn fetch(repository: &Repository, key: &Key, size: u64) -> Result<Option<Vec<u8>>> {
    let backend = repository.backend();
    let size = match backend.stat(key) {
        Ok(entry) => entry.len.min(size),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if let Ok(bytes) = backend.get(key, Some(0..size)) {
        return Ok(Some(bytes));
    }
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < size {
        let end = size.min(at + PIECE);
        match backend.get(key, Some(at..end)) {
            Ok(piece) => bytes.extend(piece),
            Err(error) if repository.is_out_of_reach(&error) => return Err(error.into()),
            Err(_) => {}
        }
        bytes.resize(usize::try_from(end).unwrap_or(usize::MAX), 0);
        at = end;
    }
    Ok(Some(bytes))
}

fn open_beginning(repository: &Repository, stored: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    if let Ok(mut reader) = repository.identities.reader(stored) {
        let mut piece = vec![0; 4096];
        // A piece whose seal is broken ends it.
        while let Ok(len @ 1..) = reader.read(&mut piece) {
            plain.extend_from_slice(&piece[..len]);
        }
    }
    plain
}
