//! Recognises errors that come from a network share (NFS, SMB, FUSE) below the state folder. Such a
//! file system may have no locks, or no memory that processes share, and SQLite's messages then
//! look like damage.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::Error;

/// Errors of SQLite's locks and shared memory (sqlite.org/rescode.html): `IOERR_UNLOCK`, `_RDLOCK`,
/// `_CHECKRESERVEDLOCK`, `_LOCK`, `_SHMOPEN`, `_SHMSIZE`, `_SHMLOCK`, `_SHMMAP`. Codes such as
/// `CANTOPEN_FULLPATH` are not among them.
const OF_LOCKS: [i32; 8] = [2058, 2314, 3594, 3850, 4618, 4874, 5130, 5386];

/// Maps an error of taking a lock: either the file system has no locks, or the lock failed.
pub(super) fn lock_error(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    if says_no_locks(&source) {
        Error::StateOnShare { path, source: source.into() }
    } else {
        Error::State { path, source }
    }
}

/// Maps an error of the catalog.
pub(super) fn catalog_error(path: &Path, source: rusqlite::Error) -> Error {
    let path = path.to_owned();
    let code = source.sqlite_error().map_or(0, |error| error.extended_code);
    // SQLite reports "busy" for every lock that it cannot get, whatever the reason.
    let is_busy = source.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
    if OF_LOCKS.contains(&code) || (is_busy && has_no_record_locks(&path)) {
        Error::StateOnShare { path, source: source.into() }
    } else {
        Error::Catalog { path, source }
    }
}

/// Whether the file system has no locks of the kind that SQLite takes.
fn has_no_record_locks(path: &Path) -> bool {
    let Ok(file) = File::options().read(true).write(true).open(path) else {
        return false;
    };
    let locked = rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
    locked.is_err_and(|error| says_no_locks(&error.into()))
}

fn says_no_locks(error: &io::Error) -> bool {
    let Some(number) = error.raw_os_error() else {
        return error.kind() == io::ErrorKind::Unsupported;
    };
    [Errno::NOLCK, Errno::NOSYS, Errno::NOTSUP, Errno::INVAL]
        .iter()
        .any(|errno| errno.raw_os_error() == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(extended: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(extended), None)
    }

    #[test]
    fn want_of_locks_is_told_from_failures() {
        let path = Path::new("/state/lock");
        for errno in [Errno::NOLCK, Errno::NOSYS, Errno::NOTSUP] {
            let error = lock_error(path, errno.into());
            assert!(matches!(error, Error::StateOnShare { .. }), "{error:?}");
            let hint = error.hint().unwrap();
            assert!(hint.contains("local disk") && hint.contains("--state-dir"), "{hint}");
        }
        for errno in [Errno::ACCESS, Errno::IO, Errno::NOSPC] {
            let error = lock_error(path, errno.into());
            assert!(matches!(error, Error::State { .. }), "{error:?}");
        }
    }

    #[test]
    fn no_catalog_is_to_be_moved_away_for_want_of_locks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        for code in OF_LOCKS {
            let error = catalog_error(&path, sqlite(code));
            assert!(matches!(error, Error::StateOnShare { .. }), "{code}: {error:?}");
            assert!(!error.hint().unwrap().contains("away"));
        }
        // BUSY on a disk that has locks, FULL, CORRUPT, IOERR_READ.
        for code in [5, 13, 11, 266] {
            let error = catalog_error(&path, sqlite(code));
            assert!(matches!(error, Error::Catalog { .. }), "{code}: {error:?}");
        }
    }
}
