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
    if !before.are_quiet() || !copy_unchanged(&before, database, draft)? {
        return Err(changing());
    }
    Ok(Filled {
        locked_for: Duration::ZERO,
        recovered_journal: reason == AsideReason::HotJournal && before.has_journal(),
        wal: matches!(reason, AsideReason::NotInPlace { wal: true }),
    })
}

/// Copies the files and says whether they are still what they were at the look `before`.
fn copy_unchanged(before: &Files, database: &LiveDatabase, draft: &Draft) -> Result<bool, Error> {
    for suffix in files::CONTENT {
        copy_file(
            &files::beside(database.path(), suffix),
            &files::beside(draft.file(), suffix),
            draft,
        )?;
    }
    Ok(Files::look(database.path())?.unchanged_since(before))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_that_change_meanwhile_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        for suffix in files::CONTENT {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(files::beside(&path, suffix))
                .unwrap();
        }
        let database = LiveDatabase::find(&path).unwrap();
        let draft = Draft::create(&path, folder.path()).unwrap();
        let mut before = Files::look(&path).unwrap();
        assert!(copy_unchanged(&before, &database, &draft).unwrap());
        for suffix in files::CONTENT {
            let file = files::beside(&path, suffix);
            OpenOptions::new()
                .append(true)
                .open(&file)
                .unwrap()
                .set_len(5)
                .unwrap();
            assert!(
                !copy_unchanged(&before, &database, &draft).unwrap(),
                "{suffix} grew"
            );
            before = Files::look(&path).unwrap();
            if !suffix.is_empty() {
                fs::remove_file(&file).unwrap();
                assert!(
                    !copy_unchanged(&before, &database, &draft).unwrap(),
                    "{suffix} vanished"
                );
                before = Files::look(&path).unwrap();
            }
        }
    }
}
