//! Consistent private copies of SQLite databases, taken while Seafile's server writes to them.
//!
//! Seafile's server has no busy timeout: as long as we hold a read lock on a database in rollback mode,
//! its commits fail at once. Hence the shape of [`copy_all`]: everything that can be prepared is
//! prepared first; then read transactions begin on all databases, each is copied in a single step
//! and let go; only then, with no lock held, are the copies cleaned up, checked and hashed. A
//! database that is busy is waited for without holding the others.
//!
//! Nothing is ever written into the installation. Databases that SQLite could only open by writing
//! (a journal to roll back after a crash, a WAL without its index) are copied file by file and
//! recovered in the spool folder (`aside`).
//!
//! POSIX drops all of a process's locks on a file when *any* descriptor of that file is closed. So
//! nothing else in this process may open the databases while a copy runs; calls of [`copy_all`]
//! wait for each other.

mod aside;
mod draft;
mod files;
mod live;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::database::Error;
use crate::object::Sha256;
use draft::{Draft, Filled};
use live::{LiveDatabase, Route, View};

/// How long a database may stay busy, or keep changing, before we give up.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the first lock may be held while the other databases are being locked.
const GATHERING: Duration = Duration::from_millis(100);
/// Pause before everything is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// Serialises what opens live databases in this process (see the module's words on POSIX locks).
static ALONE: Mutex<()> = Mutex::new(());

/// A SQLite database of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteSource {
    /// What it is to the installation; only handed on to the copy.
    pub role: String,
    /// Where it is.
    pub path: PathBuf,
}

/// A private copy: one file in rollback mode, without any file beside it.
///
/// An unchanged database gives identical bytes each time (of one version of SQLite). The file and
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
    /// How long a lock on the source was held; zero when it was copied without one.
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

/// Copies databases as of one moment: all read transactions are open before the first copy begins,
/// in the order given (Seafile's own first, so that no library names a user that a later copy lacks).
///
/// Copies go to fresh folders (0700) in `spool`, which must exist and be private. Damage that does not keep
/// SQLite from copying is reported in [`SqliteCopy::integrity`] and is no error.
///
/// # Errors
///
/// [`Error::Busy`] or [`Error::Changing`] after a minute, [`Error::NoSpace`] before anything is
/// copied, and whatever keeps one of the databases from being read. No copies are left then.
pub fn copy_all(sources: &[SqliteSource], spool: &Path) -> Result<Vec<SqliteCopy>, Error> {
    copy_all_within(sources, spool, PATIENCE)
}

/// Lets SQLite check a copy that nobody writes to, such as a dump taken out of a repository. Returns
/// what [`SqliteCopy::integrity`] would be: nothing, if it is sound.
pub fn check_copy(file: &Path) -> Vec<String> {
    draft::check_file(file)
}

/// Whether a database could be copied now: it is there, is a database, and its lock is free. Writes
/// nothing. Returns the bytes that a copy takes at most.
///
/// # Errors
///
/// [`Error::Busy`] or [`Error::Changing`] after `patience`, and whatever keeps it from being read.
pub fn probe(source: &SqliteSource, patience: Duration) -> Result<u64, Error> {
    let database = LiveDatabase::find(&source.path)?;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let route = database.route()?;
    match database.begin(0, route, Instant::now() + patience) {
        Ok(_) => Ok(database.total_len()),
        Err(Setback::Failed(error)) => Err(error),
        Err(Setback::Wait { reason, .. }) => {
            let (file, waited) = (database.path().to_path_buf(), patience);
            Err(match reason {
                Reason::Busy => Error::Busy { file, waited },
                Reason::Changing => Error::Changing { file, waited },
            })
        }
    }
}

/// Removes what killed runs left in a spool folder. Only for who knows that no other run uses it.
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
    let filled = fill_patiently(&databases, &drafts, patience)?;
    (sources.iter().zip(drafts).zip(filled))
        .map(|((source, draft), filled)| draft.finish(source, filled))
        .collect()
}

/// Why one attempt led to nothing.
#[derive(Debug)]
enum Setback {
    /// The database at this position is not to be had at the moment.
    Wait { at: usize, reason: Reason },
    /// There is no point in trying again.
    Failed(Error),
}

/// Why a database is not to be had at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Another program keeps it locked.
    Busy,
    /// It has to be copied file by file, and changed just before or meanwhile.
    Changing,
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Tries to copy until it works, something fails for good, or patience ends.
fn fill_patiently(
    databases: &[LiveDatabase],
    drafts: &[Draft],
    patience: Duration,
) -> Result<Vec<Filled>, Error> {
    let deadline = Instant::now() + patience;
    let mut busy = None;
    loop {
        let (at, reason) = match fill(databases, drafts, busy, deadline) {
            Ok(filled) => return Ok(filled),
            Err(Setback::Failed(error)) => return Err(error),
            Err(Setback::Wait { at, reason }) => (at, reason),
        };
        if Instant::now() >= deadline {
            let (file, waited) = (databases[at].path().to_path_buf(), patience);
            return Err(match reason {
                Reason::Busy => Error::Busy { file, waited },
                Reason::Changing => Error::Changing { file, waited },
            });
        }
        busy = (reason == Reason::Busy).then_some(at);
        thread::sleep(PAUSE);
    }
}

/// One attempt. `busy` was busy in the one before, and is waited for while no lock is held: else we
/// would keep the server out of its other databases for as long as this one stays busy.
fn fill(
    databases: &[LiveDatabase],
    drafts: &[Draft],
    busy: Option<usize>,
    deadline: Instant,
) -> Result<Vec<Filled>, Setback> {
    let targets = drafts
        .iter()
        .map(Draft::open_empty)
        .collect::<Result<Vec<_>, _>>()?;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // All routes before any lock: finding one opens the file, and closing it would drop our locks on it.
    let routes = databases
        .iter()
        .map(LiveDatabase::route)
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(at) = busy {
        drop(databases[at].begin(at, routes[at], deadline)?);
    }
    let views = begin_all(databases, &routes, deadline)?;
    (views
        .into_iter()
        .zip(targets)
        .zip(drafts)
        .zip(databases)
        .enumerate())
    .map(|(at, (((view, target), draft), database))| match view {
        View::Locked(locked) => locked.copy_into(at, target, draft),
        View::Aside(reason) => {
            drop(target);
            aside::copy(at, database, reason, draft)
        }
    })
    .collect()
}

/// Begins to read all databases. The first may be waited for until the deadline, the others only
/// briefly, since locks are held by then.
fn begin_all(
    databases: &[LiveDatabase],
    routes: &[Route],
    deadline: Instant,
) -> Result<Vec<View>, Setback> {
    let mut views = Vec::with_capacity(databases.len());
    let mut until = deadline;
    for (at, (database, &route)) in databases.iter().zip(routes).enumerate() {
        let view = database.begin(at, route, until)?;
        if matches!(view, View::Locked(_)) {
            until = until.min(Instant::now() + GATHERING);
        }
        views.push(view);
    }
    Ok(views)
}
