//! Copying a database file by file, where SQLite could only open it by writing beside it.
//!
//! No lock is taken. Instead the copy counts only if the files had not been written to for a while
//! before it began and nothing was written until it ended; what SQLite would do after a crash at that
//! moment is then done with the copy.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::draft::{Draft, Filled};
use super::files::{self, Files};
use super::live::{AsideReason, LiveDatabase};
use super::{Reason, Setback};
use crate::database::Error;

/// Copies the files that make up the database at position `at` into a draft.
pub(super) fn copy(
    at: usize,
    database: &LiveDatabase,
    reason: AsideReason,
    draft: &Draft,
) -> Result<Filled, Setback> {
    let changing = || Setback::Wait {
        at,
        reason: Reason::Changing,
    };
    let before = Files::look(database.path())?;
    if !before.are_quiet() {
        return Err(changing());
    }
    for suffix in files::CONTENT {
        copy_file(
            &files::beside(database.path(), suffix),
            &files::beside(draft.file(), suffix),
            draft,
        )?;
    }
    if !Files::look(database.path())?.unchanged_since(&before) {
        return Err(changing());
    }
    Ok(Filled {
        locked_for: Duration::ZERO,
        recovered_journal: reason == AsideReason::HotJournal && before.has_journal(),
        wal: matches!(reason, AsideReason::NotInPlace { wal: true }),
    })
}

/// Copies one file, if it is there; whether it should be is the caller's look before and after.
fn copy_file(from: &Path, to: &Path, draft: &Draft) -> Result<(), Error> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::unreadable(from)(error)),
    };
    let mut target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)
        .map_err(Error::spool(to))?;
    io::copy(&mut source, &mut target).map_err(|error| draft.sort_io(from, error))?;
    Ok(())
}
