//! A database of a running installation, and how to read it without leaving a trace.
//!
//! SQLite writes to a database's folder even when told to open the database read-only. It creates a
//! missing `-wal` and `-shm`, rebuilds a stale `-shm`, and deletes files beside an empty database.
//! Run by root, it gives `-wal` and `-shm` the database's owner. [`LiveDatabase::route`] finds out
//! when SQLite would write.
//!
//! With `readonly_shm`, SQLite only maps an existing `-shm` for reading. If no other connection is
//! alive, it does not trust the `-shm` and indexes the log in memory. As root it still sets the
//! owner of `-wal` and `-shm` to the owner that they have, which may change their ctime and nothing
//! else. One gap is left. A server that shuts down between our look and SQLite's takes its `-wal`
//! along. SQLite then creates an empty `-wal`, which means nothing to anyone. Seafile itself keeps
//! no log.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::draft::{CopyFacts, Draft};
use super::files::SqliteFiles;
use super::look::SqliteLook;
use super::{CopySetback, SetbackReason};
use crate::database::Error;

/// Pause between two tries to lock a busy database. SQLite's own handler soon waits 100 ms between
/// tries. It then seldom meets the gap between two commits of a server that writes all the time to
/// a slow disk.
const POLL: Duration = Duration::from_millis(2);
/// SQLite's errors where the file system refuses any lock. SQLite takes ENOLCK for a lock of
/// somebody else.
const LOCK_FAILURES: [i32; 4] = [
    ffi::SQLITE_IOERR_LOCK,
    ffi::SQLITE_IOERR_RDLOCK,
    ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
    ffi::SQLITE_IOERR_UNLOCK,
];

/// A database of an installation.
#[derive(Debug)]
pub(super) struct LiveDatabase {
    /// Without symbolic links: SQLite looks for journals beside the real file.
    path: PathBuf,
    total_len: u64,
}

/// How a database can be read without writing beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadRoute {
    /// SQLite reads it in place, as of one moment of its write-ahead log. That keeps nobody from
    /// writing.
    Log,
    /// Its files are copied. SQLite can lock it if nothing else helps.
    Files,
    /// Its files are copied without any lock, because SQLite would write beside it.
    FilesOnly,
}

/// A database with an open read transaction, which ends when this is dropped.
pub(super) struct ReadTransaction {
    connection: Connection,
    path: PathBuf,
    since: Instant,
}

impl LiveDatabase {
    /// Finds a database, which must be an ordinary file.
    pub(super) fn find(path: &Path) -> Result<Self, Error> {
        let path = fs::canonicalize(path).map_err(Error::unreadable(path))?;
        let total_len = SqliteFiles::look(&path)?.total_len();
        Ok(Self { path, total_len })
    }

    /// The database's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the database with its journal and log. A copy takes no more.
    pub(super) fn total_len(&self) -> u64 {
        self.total_len
    }

    /// The error for a database that could not be copied in all that time.
    pub(super) fn gave_up(&self, reason: SetbackReason, waited: Duration) -> Error {
        let file = self.path.clone();
        match reason {
            SetbackReason::Busy => Error::Busy { file, waited },
            SetbackReason::NoLocks => Error::NoLocks { file },
            SetbackReason::Changing | SetbackReason::NotInPlace => Error::Changing { file, waited },
        }
    }

    /// Decides how it can be read. Opens and closes the file.
    pub(super) fn route(&self) -> Result<ReadRoute, Error> {
        let look = SqliteLook::take(&self.path)?;
        let (files, wal) = (look.files(), look.is_wal());
        let would_delete = files.main.len == 0 && (files.has_log() || files.has_journal());
        let would_create = wal && (files.log.is_none() || files.log_index.is_none());
        let would_chown = files.has_mixed_owners() && rustix::process::geteuid().is_root();
        Ok(if would_delete || would_create || would_chown || !look.has_locks() {
            ReadRoute::FilesOnly
        } else if wal {
            ReadRoute::Log
        } else {
            ReadRoute::Files
        })
    }

    /// Begins to read it in place. Tries again until `until` while it is busy. `at` is its
    /// position, for a setback.
    pub(super) fn lock(&self, at: usize, until: Instant) -> Result<ReadTransaction, CopySetback> {
        self.begin(until).map_err(|error| self.sort(at, error))
    }

    /// Opens it and begins a read transaction.
    fn begin(&self, until: Instant) -> Result<ReadTransaction, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(read_only_uri(&self.path), flags)?;
        connection.busy_timeout(Duration::ZERO)?;
        connection.execute_batch("BEGIN")?;
        // BEGIN alone locks nothing; this reads the first page and nothing else.
        while let Err(error) = connection.query_row("PRAGMA schema_version", [], |_| Ok(())) {
            if !error.sqlite_error_code().is_some_and(is_busy) || Instant::now() >= until {
                return Err(error);
            }
            thread::sleep(POLL);
        }
        Ok(ReadTransaction { connection, path: self.path.clone(), since: Instant::now() })
    }

    /// Makes an error of [`Self::begin`] into a setback.
    fn sort(&self, at: usize, error: rusqlite::Error) -> CopySetback {
        let reason = match (error.sqlite_error_code(), error.sqlite_extended_error_code()) {
            (_, Some(code)) if LOCK_FAILURES.contains(&code) => SetbackReason::NoLocks,
            // A crash left a journal that has to be rolled back. SQLite also says so, wrongly, if a
            // server ends its transaction at the very moment when SQLite looks for a journal. The
            // files are copied once they hold still.
            (_, Some(ffi::SQLITE_READONLY_ROLLBACK)) => SetbackReason::Changing,
            (Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen), _) => SetbackReason::NotInPlace,
            (Some(code), _) if is_busy(code) => SetbackReason::Busy,
            _ => return Error::from_sqlite(&self.path, error).into(),
        };
        CopySetback::Wait { at, reason }
    }
}

impl ReadTransaction {
    /// Ends the read transaction, and tells how long it was open.
    pub(super) fn release(self) -> Duration {
        drop(self.connection);
        self.since.elapsed()
    }

    /// Copies every page of a database with a write-ahead log. `at` is its position, for a setback.
    pub(super) fn copy_log_into(
        self,
        at: usize,
        mut target: Connection,
        draft: &Draft,
    ) -> Result<CopyFacts, CopySetback> {
        let backup = Backup::new(&self.connection, &mut target)
            .map_err(|error| draft.sort(&self.path, error))?;
        let result = backup.step(-1);
        drop(backup);
        drop(self.connection);
        if result.map_err(|error| draft.sort(&self.path, error))? != StepResult::Done {
            return Err(CopySetback::Wait { at, reason: SetbackReason::Busy });
        }
        target.close().map_err(|(_, error)| draft.sort(&self.path, error))?;
        Ok(CopyFacts {
            // Nobody was kept from writing.
            locked_for: Duration::ZERO,
            recovered_journal: false,
            wal: true,
        })
    }
}

fn is_busy(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed
    )
}

/// The URI for an absolute path that keeps SQLite from ever writing to a `-shm`.
fn read_only_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri + "?readonly_shm=1"
}
