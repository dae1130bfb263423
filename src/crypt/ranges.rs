//! Reads a range of a sealed file, and fetches only the pieces that hold it.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::{Identities, OpenError};

/// The first fetch: the header of a sealed file with a few recipients fits.
const HEADER: u64 = 2 * 1024;
/// age seals in pieces of this many plain bytes.
const PIECE: u64 = 64 * 1024;
const TAG: u64 = 16;

impl Identities {
    /// Opens a range of plain bytes. `len` is the length of the sealed file, which is fetched by
    /// ranges: the header, the pieces that hold the range, and as a rule the last piece, which
    /// proves that nothing was cut off.
    pub fn open_range(
        &self,
        len: u64,
        range: Range<u64>,
        fetch: &mut dyn FnMut(Range<u64>) -> io::Result<Vec<u8>>,
    ) -> Result<Vec<u8>, OpenError> {
        let outside = || OpenError::Broken("it is shorter".to_owned());
        let wanted = range.end.checked_sub(range.start).ok_or_else(outside)?;
        if range.end > len {
            return Err(outside());
        }
        let pieces = match wanted {
            0 => 0,
            _ => (range.end - 1) / PIECE - range.start / PIECE + 1,
        };
        let stored = RangedFile {
            fetch,
            len,
            at: 0,
            held: Vec::new(),
            held_at: 0,
            next: HEADER,
            then: pieces * (PIECE + TAG),
        };
        let mut reader = self.reader(stored)?;
        let mut plain = Vec::new();
        reader.seek(SeekFrom::Start(range.start)).map_err(OpenError::of_read)?;
        reader.take(wanted).read_to_end(&mut plain).map_err(OpenError::of_read)?;
        if plain.len() as u64 == wanted { Ok(plain) } else { Err(outside()) }
    }
}

/// A stored file, fetched by ranges.
struct RangedFile<'a> {
    fetch: &'a mut dyn FnMut(Range<u64>) -> io::Result<Vec<u8>>,
    len: u64,
    at: u64,
    /// The bytes that were fetched last; they begin at `held_at`.
    held: Vec<u8>,
    held_at: u64,
    /// How many bytes to fetch next, and how many after that.
    next: u64,
    then: u64,
}

impl Read for RangedFile<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.len || to.is_empty() {
            return Ok(0);
        }
        let held = self.held_at..self.held_at + self.held.len() as u64;
        if !held.contains(&self.at) {
            let end = (self.at + self.next.max(1)).min(self.len);
            self.held = (self.fetch)(self.at..end)?;
            self.held_at = self.at;
            self.next = self.then.max(HEADER);
            if self.held.len() as u64 != end - self.at {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let from = usize::try_from(self.at - self.held_at).unwrap_or(usize::MAX);
        let rest = self.held.get(from..).unwrap_or_default();
        let len = rest.len().min(to.len());
        to[..len].copy_from_slice(&rest[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for RangedFile<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
