//! A database of a running installation, and how to read it without leaving a trace.
//!
//! SQLite writes to a database's folder even when told to open it read-only: it creates a missing
//! `-wal` and `-shm`, rebuilds a stale `-shm`, run by root gives these files the database's
//! owner, and deletes what lies beside an empty database. [`LiveDatabase::route`] finds out when it would.
//!
//! With `readonly_shm` SQLite only maps an existing `-shm` for reading; when no other connection is
//! alive it does not trust it and indexes the log in memory. As root it still sets the owner of
//! `-wal` and `-shm` to what it is, so that their ctime, and nothing else, may move.
//! One gap is left: a server that shuts down between our look and SQLite's takes its `-wal` along, and
//! SQLite creates an empty one in its place, which means nothing to anyone. Seafile itself keeps no log.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::draft::{Draft, Filled};
use super::files::Files;
use super::{Reason, Setback};
use crate::database::Error;

/// Where a database's header says how it is to be read; 2 stands for a write-ahead log.
const READ_VERSION_AT: usize = 19;
/// How often a busy database is tried. SQLite's own handler soon waits 100 ms between tries, and seldom
/// meets the gap between two commits of a server that writes all the time to a slow disk.
const POLL: Duration = Duration::from_millis(2);

/// A database of an installation.
#[derive(Debug)]
pub(super) struct LiveDatabase {
    /// Without symbolic links: SQLite looks for journals beside the real file.
    path: PathBuf,
    total_len: u64,
}

/// How a database can be read without writing beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// By SQLite, where it is.
    InPlace { wal: bool },
    /// From a copy of its files.
    Aside { wal: bool },
}

/// Why the files have to be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AsideReason {
    /// A crash left a transaction to be rolled back.
    HotJournal,
    /// SQLite would write, or cannot open it.
    NotInPlace { wal: bool },
}

/// A database as of one moment.
pub(super) enum View {
    /// A read transaction is open.
    Locked(LockedView),
    /// The files must be copied, and must not change meanwhile.
    Aside(AsideReason),
}

/// A database with an open read transaction, which ends when this is dropped.
pub(super) struct LockedView {
    connection: Connection,
    path: PathBuf,
    since: Instant,
    wal: bool,
}

impl LiveDatabase {
    /// Looks for it; it must be an ordinary file.
    pub(super) fn find(path: &Path) -> Result<Self, Error> {
        let path = fs::canonicalize(path).map_err(Error::unreadable(path))?;
        let total_len = Files::look(&path)?.total_len();
        Ok(Self { path, total_len })
    }

    /// The database's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the database with its journal and log: what a copy takes at most.
    pub(super) fn total_len(&self) -> u64 {
        self.total_len
    }

    /// Decides how it can be read. Opens and closes the file.
    pub(super) fn route(&self) -> Result<Route, Error> {
        let files = Files::look(&self.path)?;
        let wal = files.has_log() || says_wal(&self.path).map_err(Error::unreadable(&self.path))?;
        let would_delete = files.main.len == 0 && (files.has_log() || files.has_journal());
        let would_create = wal && (files.log.is_none() || files.log_index.is_none());
        let would_chown = files.has_mixed_owners() && rustix::process::geteuid().is_root();
        Ok(if would_delete || would_create || would_chown {
            Route::Aside { wal }
        } else {
            Route::InPlace { wal }
        })
    }

    /// Begins to read, if possible at all before `until`. `at` names it in a setback.
    pub(super) fn begin(&self, at: usize, route: Route, until: Instant) -> Result<View, Setback> {
        let reason = match route {
            Route::Aside { wal } => AsideReason::NotInPlace { wal },
            Route::InPlace { wal } => match self.lock(wal, until) {
                Ok(view) => return Ok(View::Locked(view)),
                Err(error) => self.sort(at, wal, error)?,
            },
        };
        if Files::look(&self.path)?.are_quiet() {
            Ok(View::Aside(reason))
        } else {
            Err(Setback::Wait {
                at,
                reason: Reason::Changing,
            })
        }
    }

    /// Opens it and begins a read transaction.
    fn lock(&self, wal: bool, until: Instant) -> Result<LockedView, rusqlite::Error> {
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
        Ok(LockedView {
            connection,
            path: self.path.clone(),
            since: Instant::now(),
            wal,
        })
    }

    /// What an error of [`Self::lock`] means.
    fn sort(&self, at: usize, wal: bool, error: rusqlite::Error) -> Result<AsideReason, Setback> {
        match (
            error.sqlite_error_code(),
            error.sqlite_extended_error_code(),
        ) {
            // Also seen, wrongly, when a server ends its transaction at the very moment that SQLite
            // looks for a journal. The files are not quiet then, and the next attempt finds out.
            (_, Some(rusqlite::ffi::SQLITE_READONLY_ROLLBACK)) => Ok(AsideReason::HotJournal),
            (Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen), _) => {
                Ok(AsideReason::NotInPlace { wal })
            }
            (Some(code), _) if is_busy(code) => Err(Setback::Wait {
                at,
                reason: Reason::Busy,
            }),
            _ => Err(Error::from_sqlite(&self.path, error).into()),
        }
    }
}

impl LockedView {
    /// Copies every page in one step, and ends the read transaction before anything else is done.
    /// `at` names the database in a setback.
    pub(super) fn copy_into(
        self,
        at: usize,
        mut target: Connection,
        draft: &Draft,
    ) -> Result<Filled, Setback> {
        let backup = Backup::new(&self.connection, &mut target)
            .map_err(|error| draft.sort(&self.path, error))?;
        let result = backup.step(-1);
        drop(backup);
        drop(self.connection);
        let locked_for = self.since.elapsed();
        if result.map_err(|error| draft.sort(&self.path, error))? != StepResult::Done {
            return Err(Setback::Wait {
                at,
                reason: Reason::Busy,
            });
        }
        target
            .close()
            .map_err(|(_, error)| draft.sort(&self.path, error))?;
        Ok(Filled {
            locked_for,
            recovered_journal: false,
            wal: self.wal,
        })
    }
}

fn is_busy(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed
    )
}

/// Whether the header announces a write-ahead log. Too short to have a header: it does not.
fn says_wal(path: &Path) -> std::io::Result<bool> {
    let mut header = Vec::with_capacity(READ_VERSION_AT + 1);
    File::open(path)?
        .take(READ_VERSION_AT as u64 + 1)
        .read_to_end(&mut header)?;
    Ok(header.starts_with(b"SQLite format 3\0") && header.get(READ_VERSION_AT) == Some(&2))
}

/// SQLite's name for an absolute path, so that it never writes to a `-shm`.
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
