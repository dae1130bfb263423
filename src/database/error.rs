//! Errors of databases. A case has a variant of its own if a caller or a user acts differently.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::mysql;

/// Why a database could not be copied or read. Each variant names the file concerned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the installation cannot be opened or read.
    #[error("{}: cannot be read", file.display())]
    Unreadable {
        /// The database, or one of the files beside it.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a SQLite database.
    #[error("{}: not a SQLite database", file.display())]
    NotADatabase {
        /// The database.
        file: PathBuf,
    },
    /// The file begins like a database, but is cut short or too damaged to be copied.
    #[error("{}: this database is damaged", file.display())]
    Malformed {
        /// The database.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Another program kept its write lock for too long.
    #[error("{}: locked by another program for {} seconds", file.display(), waited.as_secs())]
    Busy {
        /// The database.
        file: PathBuf,
        /// How long we tried.
        waited: Duration,
    },
    /// The file system gives no locks, and somebody wrote to the database while it was copied.
    #[error(
        "{}: this file system gives no locks, and the database changed each time that it was copied",
        file.display()
    )]
    NoLocks {
        /// The database.
        file: PathBuf,
    },
    /// SQLite cannot lock the database, and it never held still long enough to be copied.
    #[error("{}: kept changing for {} seconds while it was copied", file.display(), waited.as_secs())]
    Changing {
        /// The database.
        file: PathBuf,
        /// How long we tried.
        waited: Duration,
    },
    /// The spool folder is too small for the copies.
    #[error(
        "{}: not enough space for copies of the databases: {needed} bytes needed, {free} free",
        spool.display()
    )]
    NoSpace {
        /// The spool folder.
        spool: PathBuf,
        /// How many bytes the copies take.
        needed: u64,
        /// How many bytes are free.
        free: u64,
    },
    /// The spool folder, or a file in it, cannot be used.
    #[error("{}: cannot be used for copies of the databases", file.display())]
    Spool {
        /// The folder or file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite failed for another reason.
    #[error("{}: SQLite failed", file.display())]
    Sqlite {
        /// The database, or the copy of it that was worked on.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The error of a database server.
    #[error(transparent)]
    Server(#[from] mysql::Error),
    /// A table or column is absent, and without it no library can be found.
    #[error("{}: has no table {table} with the column {column}", file.display())]
    MissingTable {
        /// The database.
        file: PathBuf,
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
}

impl Error {
    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        if let Self::Server(error) = self {
            return error.hint().map(Cow::Owned);
        }
        let text = match self {
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run seawall as root or as the user that Seafile runs as")
            }
            Self::NotADatabase { .. } | Self::Malformed { .. } => Some(
                "Seafile cannot open this file either: take it from the last snapshot, \
                 or try `sqlite3 FILE .recover` on a copy",
            ),
            Self::Busy { .. } => Some(
                "look for a program that holds the database open in a transaction \
                 (a sqlite3 shell, another backup, VACUUM) and run again",
            ),
            Self::Changing { .. } => Some(
                "run seawall as root or as the user that Seafile runs as, \
                 so that it can read beside a running server",
            ),
            Self::NoLocks { .. } => Some(
                "stop Seafile while the backup runs, or back up a snapshot of the file system \
                 (LVM, ZFS, btrfs); a mount option such as nolock or nobrl may be the cause",
            ),
            Self::NoSpace { .. } => {
                Some("free space there, or choose a state folder on a larger disk")
            }
            Self::MissingTable { .. } => Some(
                "is this really Seafile's own database (seafile.db), and was the server ever started?",
            ),
            Self::Unreadable { .. }
            | Self::Spool { .. }
            | Self::Sqlite { .. }
            | Self::Server(_) => None,
        };
        text.map(Cow::Borrowed)
    }

    /// Makes an error of SQLite about a file into the variant that fits.
    pub(super) fn from_sqlite(file: &Path, source: rusqlite::Error) -> Self {
        let file = file.to_path_buf();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => Self::NotADatabase { file },
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => Self::Malformed { file, source },
            _ => Self::Sqlite { file, source },
        }
    }

    /// For `map_err`: an input-output error about a file of the installation.
    pub(super) fn unreadable(file: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_path_buf();
        |source| Self::Unreadable { file, source }
    }

    /// For `map_err`: an input-output error about the spool folder or a file in it.
    pub(super) fn spool(file: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_path_buf();
        |source| Self::Spool { file, source }
    }
}
