//! Reads `seafile-server-latest`, which names the program in use. Seafile's scripts keep a link of
//! that name, relative or absolute. A copy of an installation may have something else in its place:
//!
//! * a plain file, if the copy is on a share without links;
//! * the whole program, if the copy followed links;
//! * a link to the place of the installation before it moved.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::DiscoverError;
use super::places::is_absence_or_loop;

/// The link to the version in use, which Seafile's own scripts keep.
pub(super) const LATEST: &str = "seafile-server-latest";
/// The longest file, in bytes, that may stand for a link.
const MAX_BYTES: u64 = 8 << 10;

/// What lies in the place of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LatestLink {
    /// A link, with its target as it is written.
    Link(PathBuf),
    /// A plain file whose text is the target of the link.
    File(PathBuf),
    /// Anything else: a file without a target, a socket …
    Strange,
    /// The program itself.
    Folder,
}

/// Reads what lies in the place of the link; `None` if there is nothing.
pub(super) fn look(top: &Path) -> Result<Option<LatestLink>, DiscoverError> {
    let path = top.join(LATEST);
    let failed = |error| DiscoverError::read(&path, error);
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if is_absence_or_loop(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    Ok(Some(if metadata.is_symlink() {
        LatestLink::Link(fs::read_link(&path).map_err(failed)?)
    } else if metadata.is_dir() {
        LatestLink::Folder
    } else if metadata.is_file() {
        let said = beginning(&path).map_err(failed)?;
        link_text(&said).map_or(LatestLink::Strange, LatestLink::File)
    } else {
        LatestLink::Strange
    }))
}

/// The folder to which a plain file in the place of a link leads.
pub(super) fn stand_in(path: &Path) -> Option<PathBuf> {
    if !fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let target = path.parent()?.join(link_text(&beginning(path).ok()?)?);
    fs::canonicalize(target).ok().filter(|target| target.is_dir())
}

fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last part of a path. Both `/` and `\` separate parts.
pub(super) fn last_part(target: &Path) -> Option<&str> {
    let text = target.to_str()?.trim_end_matches(['/', '\\']);
    let last = text.rsplit(['/', '\\']).next()?;
    (!last.is_empty()).then_some(last)
}

/// The target of a link that a file system or a server stored as a file. The file has the mark of
/// SMB servers and macOS (`XSym`), of Cygwin (`!<symlink>`), of Windows' NFS (`IntxLNK`) or of
/// rsync (`/rsyncd-munged/`), or no mark.
pub fn link_text(bytes: &[u8]) -> Option<PathBuf> {
    let text = if let Some(rest) = bytes.strip_prefix(b"XSym\n") {
        // The length and a checksum of the target stand before it. Blanks behind it fill the file.
        let text = String::from_utf8_lossy(rest).into_owned();
        text.lines().nth(2)?.to_owned()
    } else if let Some(rest) = bytes.strip_prefix(b"!<symlink>") {
        wide_or_narrow(rest)
    } else if let Some(rest) = bytes.strip_prefix(b"IntxLNK\x01") {
        wide(rest)
    } else {
        String::from_utf8(bytes.to_vec()).ok()?
    };
    let text = text.trim_end_matches('\0').trim();
    let text = text.strip_prefix("/rsyncd-munged/").unwrap_or(text);
    let is_path = !text.is_empty() && !text.chars().any(char::is_control);
    is_path.then(|| PathBuf::from(text))
}

fn wide_or_narrow(bytes: &[u8]) -> String {
    match bytes.strip_prefix(b"\xff\xfe") {
        Some(rest) => wide(rest),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn wide(bytes: &[u8]) -> String {
    let pairs = bytes.chunks_exact(2);
    let units: Vec<u16> = pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_mark_is_known() {
        let wide: Vec<u8> =
            "seafile-server-11.0.13".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let cygwin = [b"!<symlink>\xff\xfe", &wide[..], b"\0\0"].concat();
        let windows = [b"IntxLNK\x01", &wide[..]].concat();
        for bytes in [
            b"seafile-server-11.0.13".as_slice(),
            b"seafile-server-11.0.13\n",
            b"/old/haiwen/seafile-server-11.0.13",
            b"XSym\n0022\n0123456789abcdef0123456789abcdef\nseafile-server-11.0.13\n            ",
            b"XSym\n0022\n0123456789abcdef0123456789abcdef\nseafile-server-11.0.13",
            b"!<symlink>seafile-server-11.0.13\0",
            b"/rsyncd-munged/seafile-server-11.0.13",
            b"C:\\haiwen\\seafile-server-11.0.13\\",
            &cygwin,
            &windows,
        ] {
            let target = link_text(bytes).unwrap();
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(last_part(&target), Some("seafile-server-11.0.13"), "{shown}");
        }
        for nothing in [b"".as_slice(), b"\n", b"a\nb", b"\xff\xfe", b"XSym\n1\n2"] {
            assert_eq!(link_text(nothing), None, "{nothing:?}");
        }
        assert_eq!(last_part(Path::new("/")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(mark in 0..4usize, mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let marks: [&[u8]; 4] = [b"", b"XSym\n", b"!<symlink>\xff\xfe", b"IntxLNK\x01"];
            bytes.splice(0..0, marks[mark].iter().copied());
            link_text(&bytes);
        }
    }
}
