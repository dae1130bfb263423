//! Copies several databases as of one moment.
//!
//! The first rounds take no lock. A round proves copy after copy, then looks at all databases
//! again. If none has changed since its own proof, all copies show the moment before that last
//! look. Later rounds lock only the databases that somebody writes to all the time. They look at
//! the others again while the locks are held.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::draft::{CopyFacts, Draft};
use super::live::{LiveDatabase, ReadRoute, ReadTransaction};
use super::look;
use super::still::FilewiseCopy;
use super::{CopySetback, SetbackReason};
use crate::database::Error;

/// At least so many rounds take no lock, and for so long.
const UNLOCKED: (u32, Duration) = (20, Duration::from_secs(5));
/// As [`UNLOCKED`], if somebody writes to a database at every moment.
const UNLOCKED_RESTLESS: (u32, Duration) = (4, Duration::from_secs(1));
/// How long the first lock may be held while the other databases are being locked.
const GATHERING: Duration = Duration::from_millis(100);
/// Pause before everything is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// Only its holder opens live databases in this process (see the words on POSIX locks in
/// [`super`]).
pub(super) static ALONE: Mutex<()> = Mutex::new(());

/// One of the databases.
struct CopyMember<'a> {
    database: &'a LiveDatabase,
    draft: &'a Draft,
    still: FilewiseCopy<'a>,
    /// Whether SQLite could not read it in place in the last round. That may pass: a server that
    /// opens or closes the database makes or deletes its log at that moment.
    is_refused: bool,
    route: ReadRoute,
}

/// What a round holds of a database once it has copied without locks.
enum PendingCopy {
    /// The copy is proved, and nothing is locked.
    Proved,
    /// SQLite keeps writers out.
    Locked(ReadTransaction),
    /// One moment of a write-ahead log, and the file that becomes the copy.
    Log(ReadTransaction, Connection),
}

/// How long the databases may be waited for.
struct CopyPatience {
    begun: Instant,
    patience: Duration,
}

impl CopyPatience {
    /// When patience ends. Time spent on copying does not count as waiting. Otherwise a database
    /// that takes longer to copy than patience lasts would have only one attempt at its lock.
    fn deadline(&self, members: &[CopyMember<'_>]) -> Instant {
        let copying = members.iter().map(|member| member.still.copying());
        self.begun + self.patience + copying.sum::<Duration>()
    }
}

/// Tries to copy until it works, something fails for good, or patience ends.
pub(super) fn fill(
    databases: &[LiveDatabase],
    drafts: &[Draft],
    patience: Duration,
) -> Result<Vec<CopyFacts>, Error> {
    let member = |(database, draft)| CopyMember {
        database,
        draft,
        still: FilewiseCopy::new(database, draft),
        is_refused: false,
        route: ReadRoute::Files,
    };
    let mut members: Vec<_> = databases.iter().zip(drafts).map(member).collect();
    let begun = Instant::now();
    let waiting = CopyPatience { begun, patience };
    let mut rounds = 0;
    loop {
        let is_restless = members.iter().any(|member| member.still.is_restless());
        let (least, time) = if is_restless { UNLOCKED_RESTLESS } else { UNLOCKED };
        let tried = rounds >= least && begun.elapsed() >= time;
        let may_lock = tried || begun.elapsed() >= patience / 2;
        let (at, reason) = match round(&mut members, may_lock, &waiting) {
            Ok(filled) => return Ok(filled),
            Err(CopySetback::Failed(error)) => return Err(error),
            Err(CopySetback::Wait { at, reason }) => (at, reason),
        };
        let deadline = waiting.deadline(&members);
        let is_over = Instant::now() >= deadline || reason == SetbackReason::NoLocks;
        if may_lock && is_over && reason != SetbackReason::NotInPlace {
            return Err(databases[at].gave_up(reason, patience));
        }
        rounds += 1;
        if reason == SetbackReason::Busy {
            wait_until_free(&databases[at], deadline)?;
        }
        thread::sleep(PAUSE);
    }
}

/// Waits until a writer is done. No lock is held meanwhile, which would keep the server out of its
/// other databases.
fn wait_until_free(database: &LiveDatabase, deadline: Instant) -> Result<(), Error> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    look::wait_until_free(database.path(), deadline).map(drop)
}

/// Waits for a moment when nobody writes to a database, but only for a short time. Returns whether
/// there was one.
fn is_free_soon(database: &LiveDatabase, deadline: Instant) -> Result<bool, Error> {
    let until = deadline.min(Instant::now() + GATHERING);
    look::wait_until_free(database.path(), until)
}

/// Makes one attempt to copy all databases.
fn round(
    members: &mut [CopyMember<'_>],
    may_lock: bool,
    waiting: &CopyPatience,
) -> Result<Vec<CopyFacts>, CopySetback> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // This comes before any lock. It opens the files, and closing them would drop our locks.
    prove_all(members, may_lock, waiting)?;
    let deadline = waiting.deadline(members);
    let views = begin_all(members, deadline)?;
    for (at, member) in members.iter_mut().enumerate() {
        if matches!(views[at], PendingCopy::Proved) && !member.still.recheck()? {
            let reason = SetbackReason::Changing;
            return Err(CopySetback::Wait { at, reason });
        }
    }
    finish_all(members, views)
}

/// Copies without locks. Returns a setback if a copy is not proved, and its database cannot or must
/// not be locked.
fn prove_all(
    members: &mut [CopyMember<'_>],
    may_lock: bool,
    waiting: &CopyPatience,
) -> Result<(), CopySetback> {
    let mut setback = None;
    for at in 0..members.len() {
        let deadline = waiting.deadline(members);
        let member = &mut members[at];
        member.route = match member.database.route()? {
            ReadRoute::Log | ReadRoute::Files if member.is_refused => ReadRoute::FilesOnly,
            route => route,
        };
        if member.route == ReadRoute::Log {
            continue;
        }
        if let Some(reason) = member.still.prove(deadline)? {
            // A database that never holds still is read in place or not at all.
            member.is_refused = false;
            let can_lock = member.route == ReadRoute::Files
                && match reason {
                    SetbackReason::NoLocks => false,
                    // While somebody writes to this database, no other one must be locked.
                    SetbackReason::Busy => {
                        may_lock && is_free_soon(member.database, waiting.deadline(members))?
                    }
                    _ => true,
                };
            if !may_lock || !can_lock {
                setback.get_or_insert(CopySetback::Wait { at, reason });
            }
        }
    }
    setback.map_or(Ok(()), Err)
}

/// Begins to read the databases that are not proved. It may wait for the first lock until the
/// deadline. It waits only briefly for the others, since one lock is held by then.
fn begin_all(
    members: &mut [CopyMember<'_>],
    deadline: Instant,
) -> Result<Vec<PendingCopy>, CopySetback> {
    let mut views = Vec::with_capacity(members.len());
    let mut until = deadline;
    for (at, member) in members.iter_mut().enumerate() {
        if member.route != ReadRoute::Log && member.still.is_proved() {
            views.push(PendingCopy::Proved);
            continue;
        }
        let lock = member.database.lock(at, until);
        member.is_refused |=
            matches!(&lock, Err(CopySetback::Wait { reason: SetbackReason::NotInPlace, .. }));
        if member.route == ReadRoute::Log {
            views.push(PendingCopy::Log(lock?, member.draft.open_empty()?));
        } else {
            views.push(PendingCopy::Locked(lock?));
            until = until.min(Instant::now() + GATHERING);
        }
    }
    Ok(views)
}

/// Finishes the copies, in the order of the databases. Those that keep writers out come first.
fn finish_all(
    members: &[CopyMember<'_>],
    views: Vec<PendingCopy>,
) -> Result<Vec<CopyFacts>, CopySetback> {
    let mut filled: Vec<Option<CopyFacts>> = vec![None; members.len()];
    let mut logs = Vec::new();
    for (at, (view, member)) in views.into_iter().zip(members).enumerate() {
        match view {
            PendingCopy::Proved => filled[at] = member.still.finish(),
            PendingCopy::Locked(lock) => filled[at] = Some(member.still.finish_locked(at, lock)?),
            PendingCopy::Log(lock, target) => logs.push((at, member, lock, target)),
        }
    }
    for (at, member, lock, target) in logs {
        filled[at] = Some(lock.copy_log_into(at, target, member.draft)?);
    }
    let unfinished = |at| CopySetback::Wait { at, reason: SetbackReason::Changing };
    let filled = filled.into_iter().enumerate();
    filled.map(|(at, filled)| filled.ok_or_else(|| unfinished(at))).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests need no durable files")]

    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// SQLite may fail to read a log at the moment at which a server begins to use it. The server
    /// writes all the time from then on, so the files never hold still for a copy.
    #[test]
    fn a_log_that_could_not_be_read_once_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let server = Connection::open(&path).unwrap();
        server.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n)").unwrap();
        let is_over = AtomicBool::new(false);
        let (changed, is_copied, route) = thread::scope(|threads| {
            let is_over = &is_over;
            threads.spawn(move || {
                let begun = Instant::now();
                while !is_over.load(Ordering::Relaxed) && begun.elapsed().as_secs() < 30 {
                    server.execute_batch("INSERT INTO t VALUES (1)").unwrap();
                }
            });
            let database = LiveDatabase::find(&path).unwrap();
            let draft = Draft::create(database.path(), folder.path()).unwrap();
            let still = FilewiseCopy::new(&database, &draft);
            let (database, draft) = (&database, &draft);
            let mut members =
                [CopyMember { database, draft, still, is_refused: true, route: ReadRoute::Files }];
            let waiting = CopyPatience { begun: Instant::now(), patience: Duration::from_secs(1) };
            // The files hold still until the server begins, and by chance later.
            let begun = Instant::now();
            let mut prove = || prove_all(&mut members, true, &waiting).is_ok();
            while prove() && begun.elapsed().as_secs() < 20 {}
            let changed = begun.elapsed().as_secs() < 20;
            let is_copied = prove_all(&mut members, true, &waiting).is_ok();
            is_over.store(true, Ordering::Relaxed);
            (changed, is_copied, members[0].route)
        });
        assert!(changed, "the files held still each time");
        assert!(is_copied && route == ReadRoute::Log, "{route:?}");
    }

    /// One pass over a very large database takes longer than all the patience, which is meant for
    /// waiting.
    #[test]
    fn time_that_copying_takes_is_no_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (n)").unwrap();
        let database = LiveDatabase::find(&path).unwrap();
        let draft = Draft::create(database.path(), folder.path()).unwrap();
        let mut members = [CopyMember {
            database: &database,
            draft: &draft,
            still: FilewiseCopy::new(&database, &draft),
            is_refused: false,
            route: ReadRoute::Files,
        }];
        let waiting = CopyPatience { begun: Instant::now(), patience: Duration::from_secs(1) };
        let whole = waiting.begun + waiting.patience;
        assert_eq!(waiting.deadline(&members), whole);
        let mut last = whole;
        for pass in 1..=20 {
            // Each time there is something to copy.
            std::fs::write(&path, vec![pass; 100_000]).unwrap();
            let still = &mut members[0].still;
            still.prove(Instant::now()).unwrap();
            assert!(still.copying() > Duration::ZERO);
            let deadline = waiting.deadline(&members);
            assert_eq!(deadline, whole + members[0].still.copying());
            // Waiting still has an end.
            assert_eq!(deadline > last, pass <= 8, "pass {pass}");
            last = deadline;
        }
    }
}
