//! Writes a group as one tar.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::databases;
use super::header::{END, TarAttributes, write_header, write_padding};
use super::{
    Error, FileTime, FileWarning, FileWarningKind, OrdinaryGroup, ScanEntry, ScanEntryKind,
};

/// Smaller files are read into memory as a whole. If one changes meanwhile, it can be read again.
const SMALL_BYTES: u64 = 16 << 20;

/// How often a small file is read until it does not change meanwhile.
const ATTEMPTS: u32 = 3;

/// What a tar contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TarReport {
    /// The number of members.
    pub members: u64,
    /// The number of regular files.
    pub files: u64,
    /// The number of bytes in those files.
    pub bytes: u64,
    /// Files that disappeared, changed or could not be read since the scan.
    pub warnings: Vec<FileWarning>,
}

/// Writes a group as a tar: the entries in their order, then two blocks of zeros.
///
/// A file that begins like a SQLite database is copied by SQLite's means, by way of `spool`. The
/// files that SQLite keeps beside it are left out, because the copy needs none of them. If another
/// program writes to the database all the time, it cannot be copied. Then it is left out, with a
/// warning.
///
/// Times are whole seconds. A time before 1970 becomes 1970. A file's header holds the attributes
/// that the file had when it was opened, which may be newer than the scan. If a file disappeared or
/// cannot be read, it is left out, with a warning. If a file changes while it is read, it is stored
/// with the length in its header, cut or filled with zeros, and a warning is added. Only an error
/// of `out` makes this function fail. It needs the memory of one small file, 16 MiB.
pub fn write_tar(
    group: &OrdinaryGroup,
    spool: &Path,
    out: &mut impl Write,
) -> Result<TarReport, Error> {
    let mut writer =
        TarWriter { out, spool, beside_databases: HashSet::new(), report: TarReport::default() };
    let written = group
        .entries
        .iter()
        .try_for_each(|entry| writer.entry(entry))
        .and_then(|()| writer.out.write_all(&END));
    match written {
        Ok(()) => Ok(writer.report),
        Err(source) => Err(Error::Write { label: group.label.clone(), source }),
    }
}

/// Opens a regular file for reading. It follows no link and does not wait for a FIFO. It leaves the
/// access time alone if the system allows that.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty()) {
        // Only a file's owner may use `O_NOATIME`.
        Err(Errno::PERM) => rustix::fs::open(path, flags, Mode::empty()),
        other => other,
    };
    let file = match opened {
        Err(Errno::LOOP | Errno::NXIO) => return Err(not_regular()),
        other => File::from(other?),
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// The error if another kind of file has taken the place of the one that the scan saw.
fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no regular file any more")
}

/// The state of a file. Two states that differ show that the file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    len: u64,
    ctime: FileTime,
    attributes: TarAttributes,
}

impl FileState {
    fn at(file: &File) -> io::Result<Self> {
        let metadata: Metadata = file.metadata()?;
        Ok(Self {
            len: metadata.len(),
            ctime: FileTime { seconds: metadata.ctime(), nanoseconds: metadata.ctime_nsec() },
            attributes: TarAttributes {
                mode: metadata.mode() & 0o7777,
                uid: metadata.uid(),
                gid: metadata.gid(),
                mtime: FileTime { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() },
            },
        })
    }
}

struct TarWriter<'a, W> {
    out: &'a mut W,
    spool: &'a Path,
    /// The files that SQLite keeps beside the databases so far. Their names are longer, so they
    /// come after the database.
    beside_databases: HashSet<PathBuf>,
    report: TarReport,
}

impl<W: Write> TarWriter<'_, W> {
    fn entry(&mut self, entry: &ScanEntry) -> io::Result<()> {
        match entry.kind {
            ScanEntryKind::File { .. } if self.beside_databases.contains(&entry.path) => Ok(()),
            ScanEntryKind::File { .. } => self.file(entry),
            ScanEntryKind::Folder | ScanEntryKind::Link { .. } => {
                self.report.members += 1;
                write_header(self.out, entry, TarAttributes::of(entry), 0)
            }
        }
    }

    fn file(&mut self, entry: &ScanEntry) -> io::Result<()> {
        let looked = open_regular(&entry.source).and_then(|file| Ok((FileState::at(&file)?, file)));
        match looked {
            Ok((look, file)) if databases::begins_like_one(&file) => {
                // The file must be closed first. The copy takes locks, and closing the file later
                // would release them.
                drop(file);
                self.database(entry, look)
            }
            Ok((look, file)) if look.len < SMALL_BYTES => self.small(entry, file),
            Ok((look, file)) => self.large(entry, &file, look),
            Err(error) => {
                self.warn(entry, &error);
                Ok(())
            }
        }
    }

    fn database(&mut self, entry: &ScanEntry, look: FileState) -> io::Result<()> {
        match databases::copy(&entry.source, self.spool) {
            Ok(copy) => {
                let beside = databases::BESIDE.map(|suffix| databases::beside(&entry.path, suffix));
                self.beside_databases.extend(beside);
                if !copy.integrity.is_empty() {
                    self.unsound(entry, copy.integrity.join("; "));
                }
                self.count(copy.len);
                write_header(self.out, entry, look.attributes, copy.len)?;
                io::copy(&mut File::open(&copy.file)?, self.out)?;
                write_padding(self.out, copy.len)
            }
            Err(error) if databases::is_none(&error) => {
                self.unsound(entry, error.to_string());
                match open_regular(&entry.source).and_then(|file| Ok((FileState::at(&file)?, file)))
                {
                    Ok((look, file)) if look.len < SMALL_BYTES => self.small(entry, file),
                    Ok((look, file)) => self.large(entry, &file, look),
                    Err(error) => {
                        self.warn(entry, &error);
                        Ok(())
                    }
                }
            }
            Err(error) => {
                let message = error.to_string();
                self.report.warnings.push(FileWarning {
                    path: entry.path.clone(),
                    kind: FileWarningKind::Unreadable { message },
                });
                Ok(())
            }
        }
    }

    fn unsound(&mut self, entry: &ScanEntry, message: String) {
        self.report.warnings.push(FileWarning {
            path: entry.path.clone(),
            kind: FileWarningKind::Unsound { message },
        });
    }

    fn small(&mut self, entry: &ScanEntry, mut file: File) -> io::Result<()> {
        match read_still(FileState::at, read_whole, &mut file) {
            Ok((look, bytes, still)) => {
                if !still {
                    self.changed(entry);
                }
                self.count(bytes.len() as u64);
                write_header(self.out, entry, look.attributes, bytes.len() as u64)?;
                self.out.write_all(&bytes)?;
                write_padding(self.out, bytes.len() as u64)
            }
            Err(error) => {
                self.warn(entry, &error);
                Ok(())
            }
        }
    }

    fn large(&mut self, entry: &ScanEntry, file: &File, before: FileState) -> io::Result<()> {
        self.count(before.len);
        write_header(self.out, entry, before.attributes, before.len)?;
        let copied = copy_exactly(file, before.len, self.out)?;
        write_padding(self.out, before.len)?;
        if let Some(error) = copied.error {
            self.warn(entry, &error);
        } else if copied.len < before.len || !FileState::at(file).is_ok_and(|after| after == before)
        {
            self.changed(entry);
        }
        Ok(())
    }

    fn count(&mut self, len: u64) {
        self.report.members += 1;
        self.report.files += 1;
        self.report.bytes += len;
    }

    fn changed(&mut self, entry: &ScanEntry) {
        self.report
            .warnings
            .push(FileWarning { path: entry.path.clone(), kind: FileWarningKind::Changed });
    }

    fn warn(&mut self, entry: &ScanEntry, error: &io::Error) {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => FileWarningKind::Vanished,
            _ => FileWarningKind::Unreadable { message: error.to_string() },
        };
        self.report.warnings.push(FileWarning { path: entry.path.clone(), kind });
    }
}

/// Reads a file until its state is the same before and after, and its length fits the bytes. After
/// the last attempt it returns those bytes and `false`.
fn read_still<F>(
    look: impl Fn(&F) -> io::Result<FileState>,
    read: impl Fn(&mut F) -> io::Result<Vec<u8>>,
    file: &mut F,
) -> io::Result<(FileState, Vec<u8>, bool)> {
    let mut attempt = 1;
    loop {
        let before = look(file)?;
        let bytes = read(file)?;
        let still = before.len == bytes.len() as u64 && look(file)? == before;
        if still || attempt == ATTEMPTS {
            return Ok((before, bytes, still));
        }
        attempt += 1;
    }
}

/// Reads a file from its start, up to the limit for small files.
fn read_whole(file: &mut File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(SMALL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The result of a copy.
struct CopiedBytes {
    len: u64,
    error: Option<io::Error>,
}

/// Writes exactly `len` bytes: the bytes that can be read of the file, then zeros. It fails only if
/// writing fails.
fn copy_exactly(mut file: impl Read, len: u64, out: &mut impl Write) -> io::Result<CopiedBytes> {
    let mut buffer = vec![0; 128 << 10];
    let mut copied = CopiedBytes { len: 0, error: None };
    while copied.len < len && copied.error.is_none() {
        match file.read(&mut buffer[..room(len - copied.len)]) {
            Ok(0) => break,
            Ok(read) => {
                out.write_all(&buffer[..read])?;
                copied.len += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => copied.error = Some(error),
        }
    }
    io::copy(&mut io::repeat(0).take(len - copied.len), out)?;
    Ok(copied)
}

/// How much of the copy's buffer to use.
fn room(left: u64) -> usize {
    usize::try_from(left).map_or(128 << 10, |left| left.min(128 << 10))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn look(len: u64, ctime: i64) -> FileState {
        let time = |seconds| FileTime { seconds, nanoseconds: 0 };
        FileState {
            len,
            ctime: time(ctime),
            attributes: TarAttributes { mode: 0o644, uid: 0, gid: 0, mtime: time(0) },
        }
    }

    /// Runs `read_still` on a file whose ctime changes `moves` times.
    fn read_moving(moves: i64) -> (bool, u32) {
        let reads = Cell::new(0);
        let looks = |reads: &Cell<u32>| Ok(look(3, moves.min(i64::from(reads.get()))));
        let read = |reads: &mut Cell<u32>| {
            reads.set(reads.get() + 1);
            Ok(b"abc".to_vec())
        };
        let mut file = reads;
        let (_, bytes, still) = read_still(looks, read, &mut file).unwrap();
        assert_eq!(bytes, b"abc");
        (still, file.get())
    }

    #[test]
    fn a_small_file_that_moves_is_read_again() {
        assert_eq!(read_moving(0), (true, 1));
        assert_eq!(read_moving(2), (true, 3));
        assert_eq!(read_moving(3), (false, 3));
    }

    #[test]
    fn a_length_that_does_not_fit_is_no_stillness() {
        let (_, bytes, still) =
            read_still(|()| Ok(look(4, 0)), |()| Ok(b"abc".to_vec()), &mut ()).unwrap();
        assert!(!still);
        assert_eq!(bytes, b"abc");
    }

    #[test]
    fn copies_are_cut_or_filled_to_their_length() {
        for (text, len, expected) in [("abcdef", 3, "abc"), ("abc", 3, "abc"), ("ab", 4, "ab\0\0")]
        {
            let mut out = Vec::new();
            let copied = copy_exactly(text.as_bytes(), len, &mut out).unwrap();
            assert_eq!(out, expected.as_bytes());
            assert_eq!(copied.len, len.min(text.len() as u64));
            assert!(copied.error.is_none());
        }
    }

    #[test]
    fn a_read_that_fails_midway_is_filled_and_told() {
        struct Failing(bool);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("bad sector"));
                }
                buffer[0] = b'a';
                Ok(1)
            }
        }
        let mut out = Vec::new();
        let copied = copy_exactly(Failing(false), 3, &mut out).unwrap();
        assert_eq!(out, b"a\0\0");
        assert_eq!(copied.len, 1);
        assert!(copied.error.is_some());
    }
}
