//! The seek table of the zstd seekable format, the last frame of a pack. It lists the lengths of
//! all frames before it, so that a reader can find them with nothing but the pack. This is version
//! 0.1.0 of `contrib/seekable_format` in zstd's source, without checksums.

use super::{Error, Result};
use crate::repository::frames::Skippable;

const MAGIC: [u8; 4] = 0x8F92_EAB1_u32.to_le_bytes();
const ENTRY_LEN: usize = 8;
const FOOTER_LEN: usize = 9;

/// The lengths of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameLengths {
    /// Stored bytes.
    pub len: u32,
    /// Bytes when decompressed; 0 for a skippable frame.
    pub plain_len: u32,
}

impl FrameLengths {
    pub(super) fn new(len: u64, plain_len: u64) -> Result<Self> {
        let too_long = |_| Error::Malformed("a frame too long for the seek table");
        Ok(Self {
            len: u32::try_from(len).map_err(too_long)?,
            plain_len: u32::try_from(plain_len).map_err(too_long)?,
        })
    }
}

/// Appends the seek table of all frames so far.
pub(super) fn append(entries: &[FrameLengths], to: &mut Vec<u8>) -> Result<()> {
    let count = u32::try_from(entries.len()).map_err(|_| Error::Malformed("too many frames"))?;
    let mut content = Vec::with_capacity(entries.len() * ENTRY_LEN + FOOTER_LEN);
    for entry in entries {
        content.extend_from_slice(&entry.len.to_le_bytes());
        content.extend_from_slice(&entry.plain_len.to_le_bytes());
    }
    content.extend_from_slice(&count.to_le_bytes());
    content.push(0); // no checksums
    content.extend_from_slice(&MAGIC);
    Skippable::SeekTable.append(&content, to)?;
    Ok(())
}

/// Splits a pack into the bytes before its seek table and the table's entries. The lengths in the
/// table must add up to these bytes.
pub(super) fn split(pack: &[u8]) -> Result<(&[u8], Vec<FrameLengths>)> {
    let (frames, content) = split_content(pack).ok_or(Error::Malformed("no seek table"))?;
    let content = Skippable::SeekTable.parse(content)?;
    let (words, _) = content[..content.len() - FOOTER_LEN].as_chunks();
    let (entries, _) = words.as_chunks();
    let entries: Vec<FrameLengths> = entries.iter().copied().map(parse_entry).collect();
    let total: u64 = entries.iter().map(|entry| u64::from(entry.len)).sum();
    if total != frames.len() as u64 {
        return Err(Error::Malformed("the seek table does not add up"));
    }
    Ok((frames, entries))
}

/// Finds by its footer where the table's frame begins. That frame has at least the footer.
fn split_content(pack: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, footer) = pack.split_last_chunk::<FOOTER_LEN>()?;
    let (count, rest) = footer.split_first_chunk()?;
    let (descriptor, magic) = rest.split_first()?;
    if *magic != MAGIC || *descriptor != 0 {
        return None;
    }
    let entries_len = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(ENTRY_LEN)?;
    let len = entries_len.checked_add(FOOTER_LEN + Skippable::HEADER_LEN)?;
    pack.split_at_checked(pack.len().checked_sub(len)?)
}

fn parse_entry([len, plain_len]: [[u8; 4]; 2]) -> FrameLengths {
    FrameLengths { len: u32::from_le_bytes(len), plain_len: u32::from_le_bytes(plain_len) }
}
