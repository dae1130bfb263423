//! Writes the headers of tar members: ustar if the name fits, GNU's long names and long links
//! otherwise.
//!
//! Every `tar` of today reads both. Both hold any bytes except NUL, and one tar may mix them. pax
//! is not used: its records are lines of text, and a name may contain a line break.

use std::borrow::Cow;
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;

use tar::{EntryType, Header};

use super::{FileTime, ScanEntry, ScanEntryKind};

/// The block size of a tar.
const BLOCK_BYTES: usize = 512;

/// The lengths of fields of a header, in bytes.
const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;

/// Two blocks of zeros: the end of a tar.
pub(super) const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// The attributes in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TarAttributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: FileTime,
}

impl TarAttributes {
    /// The attributes that the scan saw.
    pub(super) fn of(entry: &ScanEntry) -> Self {
        Self { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime }
    }
}

/// Writes the header of an entry with `len` bytes of content, and before it the members for long
/// names.
pub(super) fn write_header(
    out: &mut impl Write,
    entry: &ScanEntry,
    attributes: TarAttributes,
    len: u64,
) -> io::Result<()> {
    let name = member_name(entry);
    let target = match &entry.kind {
        ScanEntryKind::Link { target } => target.as_os_str().as_bytes(),
        ScanEntryKind::File { .. } | ScanEntryKind::Folder => b"",
    };
    let split = split(&name);
    let mut header = if split.is_some() && target.len() <= NAME_BYTES {
        Header::new_ustar()
    } else {
        Header::new_gnu()
    };
    match split {
        Some((b"", name)) => fill(&mut header.as_old_mut().name, name),
        Some((prefix, name)) if header.as_ustar().is_some() => {
            fill(&mut header.as_old_mut().name, name);
            if let Some(ustar) = header.as_ustar_mut() {
                fill(&mut ustar.prefix, prefix);
            }
        }
        _ => {
            write_long(out, EntryType::GNULongName, &name)?;
            fill(&mut header.as_old_mut().name, &name);
        }
    }
    if target.len() > NAME_BYTES {
        write_long(out, EntryType::GNULongLink, target)?;
    }
    fill(&mut header.as_old_mut().linkname, target);
    header.set_entry_type(entry_type(&entry.kind));
    header.set_mode(attributes.mode);
    header.set_uid(u64::from(attributes.uid));
    header.set_gid(u64::from(attributes.gid));
    // No form of a time before 1970 is known to all readers of tars.
    header.set_mtime(u64::try_from(attributes.mtime.seconds).unwrap_or(0));
    header.set_size(len);
    header.set_cksum();
    out.write_all(header.as_bytes())
}

/// Writes the zeros that fill the last block of a member's content.
pub(super) fn write_padding(out: &mut impl Write, len: u64) -> io::Result<()> {
    let missing = len.wrapping_neg() % BLOCK_BYTES as u64;
    io::copy(&mut io::repeat(0).take(missing), out)?;
    Ok(())
}

fn entry_type(kind: &ScanEntryKind) -> EntryType {
    match kind {
        ScanEntryKind::File { .. } => EntryType::Regular,
        ScanEntryKind::Folder => EntryType::Directory,
        ScanEntryKind::Link { .. } => EntryType::Symlink,
    }
}

/// The entry's path. A folder's path ends in `/`, as in all tars.
fn member_name(entry: &ScanEntry) -> Cow<'_, [u8]> {
    let path = entry.path.as_os_str().as_bytes();
    match entry.kind {
        ScanEntryKind::Folder => Cow::Owned([path, b"/"].concat()),
        ScanEntryKind::File { .. } | ScanEntryKind::Link { .. } => Cow::Borrowed(path),
    }
}

/// Splits a name at a `/` into ustar's prefix and name; `None` if it does not fit.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME_BYTES {
        return Some((b"", name));
    }
    let first = name.len() - NAME_BYTES - 1;
    let last = PREFIX_BYTES.min(name.len() - 2);
    let cut = (first.max(1)..=last).find(|&at| name[at] == b'/')?;
    Some((&name[..cut], &name[cut + 1..]))
}

/// Copies as much of a text into a field as fits. The field must be zero before.
fn fill(field: &mut [u8], text: &[u8]) {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text[..len]);
}

/// Writes a GNU member that holds the name or link target of the next one.
fn write_long(out: &mut impl Write, kind: EntryType, text: &[u8]) -> io::Result<()> {
    let len = text.len() as u64 + 1;
    let mut header = Header::new_gnu();
    fill(&mut header.as_old_mut().name, b"././@LongLink");
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(len);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(text)?;
    out.write_all(b"\0")?;
    write_padding(out, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_where_ustar_can_hold_them() {
        let long = |folders: usize, name: usize| {
            format!("{}/{}", "f".repeat(folders), "n".repeat(name)).into_bytes()
        };
        assert_eq!(split(b"conf"), Some((&b""[..], &b"conf"[..])));
        assert_eq!(split(&[b'n'; 100]).unwrap().0, b"");
        assert_eq!(split(&[b'n'; 101]), None);
        assert_eq!(split(&long(155, 100)).unwrap().0.len(), 155);
        assert_eq!(split(&long(155, 100)).unwrap().1.len(), 100);
        assert_eq!(split(&long(156, 10)), None);
        assert_eq!(split(&long(10, 101)), None);
        // A folder's last `/` is no place to split: no name would remain.
        assert_eq!(split(&[&[b'n'; 120][..], b"/"].concat()), None);
    }
}
