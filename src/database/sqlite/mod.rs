//! Consistent private copies of SQLite databases, taken while Seafile's server writes to them.
//!
//! Seafile's server has no busy timeout: its commits fail at once while somebody holds a lock for
//! reading on a database in rollback mode. So [`copy_all`] copies without any lock. It looks at a
//! database before and after the copy, and these two looks prove that nobody wrote meanwhile
//! (`look`, `still`). A database that somebody writes to all the time is locked in the end, but
//! only while the copy takes what still differs. SQLite itself reads a write-ahead log as of one
//! moment, and that keeps nobody from writing. Once no lock is held, the copies are cleaned up,
//! checked and hashed.
//!
//! Nothing is ever written into the installation. A journal left by a crash, or a write-ahead log
//! without its index, is copied with its database and recovered in the spool folder.
//!
//! POSIX drops all of a process's locks on a file when *any* descriptor of that file is closed. So
//! nothing else in this process may open the databases while a copy runs; calls of [`copy_all`]
//! wait for each other.

mod draft;
mod files;
mod live;
mod locks;
mod look;
mod mirror;
mod still;
#[cfg(test)]
mod tests;
mod together;

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use crate::database::Error;
use crate::object::Sha256;
use draft::Draft;
use live::LiveDatabase;
use look::SqliteLook;
use together::ALONE;

/// How long a database may stay busy, or keep changing, before we give up.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pause before a busy database is looked at again.
const POLL: Duration = Duration::from_millis(2);

/// A SQLite database of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteSource {
    /// Its role in the installation. It is only passed on to the copy.
    pub role: String,
    /// Where it is.
    pub path: PathBuf,
}

/// A private copy: one file in rollback mode, without any file beside it.
///
/// An unchanged database gives identical bytes each time (with one version of SQLite). The file and
/// its folder are removed when this is dropped.
#[derive(Debug)]
pub struct SqliteCopy {
    /// The source's role.
    pub role: String,
    /// The database that was copied.
    pub source: PathBuf,
    /// The copy, readable by its owner only.
    pub file: PathBuf,
    /// Length of the copy in bytes.
    pub len: u64,
    /// SHA-256 of the copy.
    pub sha256: Sha256,
    /// How long a lock kept writers out of the source; zero when it was copied without one.
    pub locked_for: Duration,
    /// What `PRAGMA integrity_check` complained about, at most 20 lines; empty when all is well.
    pub integrity: Vec<String>,
    /// Whether a transaction that a crash had interrupted was rolled back in the copy.
    pub recovered_journal: bool,
    /// Whether the source keeps a write-ahead log.
    pub wal: bool,
    /// Keeps the copy's folder alive.
    _folder: tempfile::TempDir,
}

/// Copies databases as of one moment. Seafile's own comes first in the order given, so that no
/// library names a user that a later copy lacks.
///
/// Copies go to fresh folders (0700) in `spool`, which must exist and be private. Damage that does
/// not keep SQLite from copying is reported in [`SqliteCopy::integrity`] and is no error.
///
/// # Errors
///
/// [`Error::Busy`] or [`Error::Changing`] after a minute, [`Error::NoLocks`] after some seconds,
/// and [`Error::NoSpace`] before anything is copied. Other errors if one of the databases cannot be
/// read. After an error no copies are left.
pub fn copy_all(sources: &[SqliteSource], spool: &Path) -> Result<Vec<SqliteCopy>, Error> {
    copy_all_within(sources, spool, PATIENCE)
}

/// Lets SQLite check a copy that nobody writes to, such as a dump taken out of a repository.
/// Returns complaints as in [`SqliteCopy::integrity`]: none if the copy is sound.
pub fn check_copy(file: &Path) -> Vec<String> {
    draft::check_file(file)
}

/// Checks whether a database could be copied now: the file exists, is a database, and nobody is in
/// the middle of writing to it. Takes no lock and writes nothing. Returns how many bytes a copy
/// takes at most.
///
/// # Errors
///
/// [`Error::Busy`] after `patience`. Other errors if it cannot be read.
pub fn probe(source: &SqliteSource, patience: Duration) -> Result<u64, Error> {
    let database = LiveDatabase::find(&source.path)?;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let deadline = Instant::now() + patience;
    loop {
        let look = SqliteLook::take(database.path())?;
        if !look.is_database() {
            let file = database.path().to_path_buf();
            return Err(Error::NotADatabase { file });
        }
        if !look.is_written_to() {
            return Ok(database.total_len());
        }
        if Instant::now() >= deadline {
            return Err(database.gave_up(SetbackReason::Busy, patience));
        }
        thread::sleep(POLL);
    }
}

/// Removes what killed runs left in a spool folder. The caller must know that no other run uses the
/// folder.
pub fn remove_leftovers(spool: &Path) -> Result<(), Error> {
    draft::remove_leftovers(spool)
}

fn copy_all_within(
    sources: &[SqliteSource],
    spool: &Path,
    patience: Duration,
) -> Result<Vec<SqliteCopy>, Error> {
    let databases = (sources.iter())
        .map(|source| LiveDatabase::find(&source.path))
        .collect::<Result<Vec<_>, _>>()?;
    draft::check_space(spool, databases.iter().map(LiveDatabase::total_len).sum())?;
    let drafts = (databases.iter())
        .map(|database| Draft::create(database.path(), spool))
        .collect::<Result<Vec<_>, _>>()?;
    let filled = together::fill(&databases, &drafts, patience)?;
    (sources.iter().zip(drafts).zip(filled))
        .map(|((source, draft), filled)| draft.finish(source, filled))
        .collect()
}

/// Why one attempt to copy failed.
#[derive(Debug)]
enum CopySetback {
    /// The database at this position cannot be copied at the moment.
    Wait { at: usize, reason: SetbackReason },
    /// Another attempt would fail too.
    Failed(Error),
}

/// Why a database cannot be copied at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetbackReason {
    /// Another program keeps it locked.
    Busy,
    /// It changed just before or while it was copied.
    Changing,
    /// The file system gives no locks, and the database changed while it was copied.
    NoLocks,
    /// SQLite cannot read it in place.
    NotInPlace,
}

impl From<Error> for CopySetback {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
