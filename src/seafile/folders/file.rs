//! Reads whole files without changing their access times. Errors name the path.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The largest file that is read. Seafile's blocks have about 10 MB.
pub const MAX_OBJECT_BYTES: u64 = 1 << 30;

/// The pauses before the retries of a transient error, such as one of NFS or of a disk.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(200), Duration::from_millis(500)];

/// An operation on a path failed. The source says why.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
struct ReadPathError {
    path: PathBuf,
    source: io::Error,
}

/// Reads regular files.
#[derive(Debug)]
pub(super) struct ObjectFileReader {
    /// Whether files are opened with `O_NOATIME`. It is switched off once the system refuses that:
    /// only root and the file's owner may use it.
    pub(super) without_access_time: AtomicBool,
}

impl ObjectFileReader {
    pub(super) fn new() -> Self {
        Self { without_access_time: AtomicBool::new(true) }
    }

    /// A file's bytes; `None` if there is no file.
    pub(super) fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let result = retried(|| read_whole(self.open(path)?));
        present(result).map_err(|error| at(path, error))
    }

    /// Opens a file. It does not wait for the writer of a FIFO and follows no link.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        let flags =
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        if self.without_access_time.load(Ordering::Relaxed) {
            match rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty()) {
                Err(Errno::PERM) => self.without_access_time.store(false, Ordering::Relaxed),
                result => return opened(result),
            }
        }
        opened(rustix::fs::open(path, flags, Mode::empty()))
    }
}

/// A regular file's length; `None` if there is no file.
pub(super) fn len(path: &Path) -> io::Result<Option<u64>> {
    let result = retried(|| {
        let metadata = path.symlink_metadata()?;
        let regular = metadata.is_file().then_some(metadata.len());
        regular.ok_or_else(not_regular)
    });
    present(result).map_err(|error| at(path, error))
}

fn opened(result: rustix::io::Result<rustix::fd::OwnedFd>) -> io::Result<File> {
    match result {
        Ok(descriptor) => Ok(descriptor.into()),
        // It is a link or a socket.
        Err(Errno::LOOP | Errno::NXIO) => Err(not_regular()),
        Err(errno) => Err(errno.into()),
    }
}

fn read_whole(file: File) -> io::Result<Vec<u8>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_regular());
    }
    let mut bytes = Vec::new();
    if metadata.len() <= MAX_OBJECT_BYTES {
        bytes.try_reserve_exact(usize::try_from(metadata.len()).unwrap_or(usize::MAX))?;
        file.take(MAX_OBJECT_BYTES + 1).read_to_end(&mut bytes)?;
    }
    if metadata.len().max(bytes.len() as u64) > MAX_OBJECT_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {MAX_OBJECT_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a regular file")
}

/// Retries after a transient error.
pub(super) fn retried<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for pause in PAUSES {
        match attempt() {
            Err(error) if may_pass(&error) => std::thread::sleep(pause),
            result => return result,
        }
    }
    attempt()
}

fn may_pass(error: &io::Error) -> bool {
    Errno::from_io_error(error)
        .is_some_and(|errno| matches!(errno, Errno::IO | Errno::STALE | Errno::INTR))
}

/// Turns the error "there is no such file" into `None`.
pub(super) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds the path to an error and keeps the error's kind.
pub(super) fn at(path: &Path, source: io::Error) -> io::Error {
    let path = path.to_owned();
    io::Error::new(source.kind(), ReadPathError { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_errors_are_tried_again() {
        let count = |errno: Errno, passes_after: usize| {
            let mut attempts = 0;
            let result = retried(|| {
                attempts += 1;
                if attempts > passes_after { Ok(()) } else { Err(errno.into()) }
            });
            (attempts, result.is_ok())
        };
        assert_eq!(count(Errno::STALE, 0), (1, true));
        assert_eq!(count(Errno::STALE, 2), (3, true));
        assert_eq!(count(Errno::IO, 1), (2, true));
        assert_eq!(count(Errno::IO, 9), (1 + PAUSES.len(), false));
        assert_eq!(count(Errno::ACCESS, 9), (1, false));
        assert_eq!(count(Errno::NOENT, 9), (1, false));
    }
}
