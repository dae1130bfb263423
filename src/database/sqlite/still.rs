//! Copies the files of one database: without a lock as long as nobody writes, and at last under a
//! lock if somebody writes all the time.
//!
//! Each pass makes the copy equal to the files. The first pass copies everything, later ones only
//! what differs. A pass counts if two looks, one before and one after it, prove that nobody wrote
//! meanwhile ([`super::look`]). Under a lock for reading nobody can write, so a pass counts at
//! once. It is short then, because earlier passes have done most of the work.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::draft::{CopyFacts, Draft};
use super::files::{self, SqliteFiles};
use super::live::{LiveDatabase, ReadTransaction};
use super::look::{self, SqliteLook};
use super::mirror::{MirrorError, mirror};
use super::{CopySetback, SetbackReason};
use crate::database::Error;

/// How long one pass waits for a database to be left alone.
const SETTLE: Duration = Duration::from_millis(250);
/// The time of so many passes does not count as waiting. One pass over a very large database takes
/// longer than all the patience.
const FREE_PASSES: u32 = 8;

/// A copy by files that is being made.
pub(super) struct FilewiseCopy<'a> {
    database: &'a LiveDatabase,
    draft: &'a Draft,
    /// The main file, kept open while a lock is held: closing it would drop the lock.
    main: Option<File>,
    /// The look at which the database was equal to the copy, if that is proved.
    proved: Option<SqliteLook>,
    /// Whether the database was never still during the last wait for it.
    is_restless: bool,
    passes: u32,
    /// How long the first passes took.
    copying: Duration,
}

impl<'a> FilewiseCopy<'a> {
    pub(super) fn new(database: &'a LiveDatabase, draft: &'a Draft) -> Self {
        Self {
            database,
            draft,
            main: None,
            proved: None,
            is_restless: false,
            passes: 0,
            copying: Duration::ZERO,
        }
    }

    /// How much time was spent on copying instead of waiting. Only the first passes count, so that
    /// there is an end.
    pub(super) fn copying(&self) -> Duration {
        self.copying
    }

    /// Whether the copy is proved to be what the database was a moment ago.
    pub(super) fn is_proved(&self) -> bool {
        self.proved.is_some()
    }

    /// Whether passes without a lock are useless, because somebody writes at every moment.
    pub(super) fn is_restless(&self) -> bool {
        self.is_restless
    }

    /// Updates the copy without a lock and proves it, or says why that was not possible. The copy
    /// is nearly up to date in either case.
    pub(super) fn prove(&mut self, until: Instant) -> Result<Option<SetbackReason>, Error> {
        if self.proved.is_some() && self.recheck()? {
            return Ok(None);
        }
        let path = self.database.path();
        let settled = look::settle(path, until.min(Instant::now() + SETTLE))?;
        let is_settled = settled.is_some();
        self.is_restless = !is_settled;
        let before = match settled {
            Some(look) => look,
            None => SqliteLook::take(path)?,
        };
        let begun = Instant::now();
        self.pass(&before)?;
        self.passes += 1;
        if self.passes <= FREE_PASSES {
            self.copying += begun.elapsed();
        }
        let after = SqliteLook::take(path)?;
        if is_settled && after.proves_since(&before) {
            self.proved = Some(before);
            return Ok(None);
        }
        Ok(Some(if !after.has_locks() {
            SetbackReason::NoLocks
        } else if after.is_written_to() {
            SetbackReason::Busy
        } else {
            SetbackReason::Changing
        }))
    }

    /// Whether the copy is still equal to the database. If not, forgets the proof.
    pub(super) fn recheck(&mut self) -> Result<bool, Error> {
        let Some(proved) = &self.proved else {
            return Ok(false);
        };
        let holds = SqliteLook::take(self.database.path())?.proves_since(proved);
        if !holds {
            self.proved = None;
        }
        Ok(holds)
    }

    /// Makes the copy equal to all files that `look` says belong to the content.
    fn pass(&mut self, look: &SqliteLook) -> Result<(), Error> {
        self.proved = None;
        let path = self.database.path();
        let parts = [(files::LOG, look.needs_log()), (files::JOURNAL, look.needs_journal())];
        let main = File::open(path).map_err(Error::unreadable(path))?;
        self.mirror_main(&main)?;
        self.main = Some(main);
        for (suffix, is_needed) in parts {
            let (from, to) =
                (files::beside(path, suffix), files::beside(self.draft.file(), suffix));
            let original = match File::open(&from) {
                Ok(original) if is_needed => Some(original),
                Err(error) if is_needed && error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::unreadable(&from)(error));
                }
                _ => None,
            };
            match original {
                Some(original) => self.mirror(&original, &from, &to)?,
                None => remove(&to)?,
            }
        }
        Ok(())
    }

    fn mirror_main(&self, main: &File) -> Result<(), Error> {
        self.mirror(main, self.database.path(), self.draft.file())
    }

    fn mirror(&self, original: &File, from: &Path, to: &Path) -> Result<(), Error> {
        let copy = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(to)
            .map_err(Error::spool(to))?;
        mirror(original, &copy).map_err(|error| match error {
            MirrorError::Read(error) => Error::unreadable(from)(error),
            MirrorError::Write(error) => self.draft.sort_write(from, to, error),
        })
    }

    /// Updates the copy while `lock` keeps writers out, and releases the lock. `at` is the
    /// database's position, for a setback.
    pub(super) fn finish_locked(
        &self,
        at: usize,
        lock: ReadTransaction,
    ) -> Result<CopyFacts, CopySetback> {
        let Some(main) = &self.main else {
            return Err(CopySetback::Wait { at, reason: SetbackReason::Changing });
        };
        let path = self.database.path();
        let main_now = || -> Result<_, Error> {
            let header = look::read_header(main).map_err(Error::unreadable(path))?;
            Ok((SqliteFiles::look(path)?.main, header))
        };
        let before = main_now()?;
        let is_same_file = SqliteFiles::is_of(main, &before.0).map_err(Error::unreadable(path))?;
        self.mirror_main(main)?;
        // Some network file systems only pretend to lock.
        let is_still = is_same_file && main_now()? == before;
        let locked_for = lock.release();
        // A journal or log of an earlier pass does not belong to this content.
        for suffix in [files::LOG, files::JOURNAL] {
            remove(&files::beside(self.draft.file(), suffix))?;
        }
        if !is_still {
            return Err(CopySetback::Wait { at, reason: SetbackReason::Changing });
        }
        Ok(CopyFacts { locked_for, recovered_journal: false, wal: false })
    }

    /// What is known of the copy if it is proved; `None` if it is not.
    pub(super) fn finish(&self) -> Option<CopyFacts> {
        let look = self.proved.as_ref()?;
        Some(CopyFacts {
            locked_for: Duration::ZERO,
            recovered_journal: look.needs_journal() && look.files().main.len > 0,
            wal: look.is_wal(),
        })
    }
}

fn remove(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::spool(file)(error)),
        _ => Ok(()),
    }
}
