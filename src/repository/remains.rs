//! Salvages what is readable of a pack whose bytes are not what the marker says. Each frame decodes
//! alone, and of an encrypted pack each piece of 64 KiB opens alone. Nothing from here is proved:
//! the caller checks each object against its id.

use std::borrow::Cow;
use std::io::{Cursor, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use seawall_backends::{ErrorKind, Key};

use super::names::{self, PackKind};
use super::pack::{self, Frame};
use super::{Repository, Result, frames};
use crate::crypt::Seal;
use crate::object::Sha256;

/// If a file cannot be read in one piece, it is read in pieces of this size.
const PIECE: u64 = 1 << 20;
/// age seals a file in pieces of this size.
const SEALED_PIECE: u64 = 64 * 1024;

/// The readable bytes of a bad pack.
pub struct Remains<'a> {
    repository: &'a Repository,
    size: u64,
    stored: Vec<u8>,
    /// The plain bytes from the start to the first piece that does not open. All bytes, if the
    /// repository is not encrypted.
    beginning: Vec<u8>,
}

/// The readable part of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameRemains {
    /// The first of its plain bytes, as many as can be read.
    pub plain: Vec<u8>,
    /// Whether they are complete and their checksum fits.
    pub is_whole: bool,
}

impl std::fmt::Debug for Remains<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remains").field("stored", &self.stored.len()).finish_non_exhaustive()
    }
}

impl<'a> Remains<'a> {
    /// Fetches the stored bytes of a pack, at most `size` of them. `None` if the pack is missing.
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
        Ok(Some(Self { repository, size, stored, beginning }))
    }

    /// The number of stored bytes that were fetched.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads a frame, or as much of its beginning as can be read.
    pub fn frame(&self, frame: &Frame) -> FrameRemains {
        let end = frame.offset.saturating_add(frame.len);
        let bytes = self.range(frame.offset..end);
        if let Ok(plain) = pack::read_frame(&bytes, frame) {
            return FrameRemains { plain, is_whole: true };
        }
        FrameRemains {
            plain: frames::decompress_beginning(&bytes, frame.plain_len),
            is_whole: false,
        }
    }

    /// The readable bytes of a range, up to the first gap.
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

    /// The whole pack, with zeros in place of unreadable pieces. Bytes behind a gap count too: the
    /// table of contents lies at the end.
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

    /// Opens a range inside of one sealed piece, without the pieces before it. The last piece may
    /// be shorter.
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

/// Reads the stored bytes. Pieces that the disk cannot read become zeros.
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
        // The first piece with a broken seal ends this.
        while let Ok(len @ 1..) = reader.read(&mut piece) {
            plain.extend_from_slice(&piece[..len]);
        }
    }
    plain
}
