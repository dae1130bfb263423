//! Looks at a database without a lock. Two looks can prove that nothing was written between them.
//!
//! SQLite changes a database in place. Before that it saves the old pages in a journal, unless the
//! journal is in memory or off. So a file can be *in the middle* of a change. Then a journal lies
//! beside it, or the writer holds a lock. A file that is not in the middle of a change at the first
//! look is whole. At the second look it is still the same if its length, inode, times and header
//! are: each commit adds one to the header's change counter. Times prove something only once the
//! clock has ticked since the last write ([`settle`]).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::files::{self, SqliteFiles};
use super::locks::{self, WriterState};
use crate::database::Error;

/// The header, with the change counter (at 24) and the version that it is valid for (at 92).
const HEADER_BYTES: usize = 100;
/// Where the header says how the database is to be read; 2 stands for a write-ahead log.
const READ_VERSION_AT: usize = 19;
/// How a database begins.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Pause before the next look.
const POLL: Duration = Duration::from_millis(2);

/// A database at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SqliteLook {
    files: SqliteFiles,
    header: Vec<u8>,
    writer: WriterState,
    has_live_journal: bool,
}

impl SqliteLook {
    /// Looks at the database at `path`. Opens and closes it, which drops our own locks on it.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        // The file is opened anew each time, because NFS then asks the server for the file's times.
        let main = File::open(path).map_err(Error::unreadable(path))?;
        let files = SqliteFiles::look(path)?;
        let header = read_header(&main).map_err(Error::unreadable(path))?;
        // Locks are asked for after the times. A write that had begun before the times were read
        // still holds its lock. A write that begins later changes the times.
        let has_live_journal = has_live_journal(path, &files)?;
        let writer = locks::writer(&main);
        Ok(Self { files, header, writer, has_live_journal })
    }

    /// The files, as they were.
    pub(super) fn files(&self) -> &SqliteFiles {
        &self.files
    }

    /// Whether it begins like a database. An empty file is one.
    pub(super) fn is_database(&self) -> bool {
        self.header.is_empty() || self.header.starts_with(MAGIC)
    }

    /// Whether it keeps a write-ahead log.
    pub(super) fn is_wal(&self) -> bool {
        self.files.has_log()
            || self.header.starts_with(MAGIC) && self.header.get(READ_VERSION_AT) == Some(&2)
    }

    /// Whether another program is writing to the file.
    pub(super) fn is_written_to(&self) -> bool {
        self.writer == WriterState::Writes
    }

    /// Whether the file system gives locks.
    pub(super) fn has_locks(&self) -> bool {
        self.writer != WriterState::Unknown
    }

    /// Whether the journal belongs to the content: its writer is gone, or the file system cannot
    /// tell. If a transaction is running and has written nothing yet, rolling back its journal
    /// changes nothing.
    pub(super) fn needs_journal(&self) -> bool {
        self.has_live_journal && matches!(self.writer, WriterState::Nobody | WriterState::Unknown)
    }

    /// Whether the log belongs to the content.
    pub(super) fn needs_log(&self) -> bool {
        self.files.has_log()
    }

    /// Whether a copy of the content is whole that was made after the look `earlier` and before
    /// this one.
    pub(super) fn proves_since(&self, earlier: &Self) -> bool {
        let content = |look: &Self| {
            (look.files.main, look.files.log, look.needs_journal().then_some(look.files.journal))
        };
        !self.is_written_to()
            && !earlier.is_written_to()
            && content(self) == content(earlier)
            && self.header == earlier.header
    }
}

/// Looks until nobody writes and any later write must change the times; `None` if that did not
/// happen before `until`.
pub(super) fn settle(path: &Path, until: Instant) -> Result<Option<SqliteLook>, Error> {
    let mut first = SqliteLook::take(path)?;
    let mut since = Instant::now();
    loop {
        let is_over = Instant::now() >= until;
        let tick = first.files.tick();
        let is_settled = tick.is_zero() || !is_over && since.elapsed() >= tick;
        if is_settled && !first.is_written_to() {
            return Ok(Some(first));
        }
        if is_over {
            return Ok(None);
        }
        thread::sleep(POLL);
        let now = SqliteLook::take(path)?;
        if !now.proves_since(&first) {
            since = Instant::now();
        }
        first = now;
    }
}

/// Looks until nobody writes to the file; `false` if somebody still does at `until`.
pub(super) fn wait_until_free(path: &Path, until: Instant) -> Result<bool, Error> {
    while SqliteLook::take(path)?.is_written_to() {
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
    Ok(true)
}

/// Reads the header of an open file, which may be shorter than a header.
pub(super) fn read_header(main: &File) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut header = vec![0; HEADER_BYTES];
    let mut len = 0;
    while len < header.len() {
        match main.read_at(&mut header[len..], len as u64) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    header.truncate(len);
    Ok(header)
}

/// Whether there is a journal that SQLite would act on. A journal that stays after its transaction
/// has ended (`journal_mode = PERSIST`) begins with zeros.
fn has_live_journal(path: &Path, files: &SqliteFiles) -> Result<bool, Error> {
    if !files.has_journal() {
        return Ok(false);
    }
    let journal = files::beside(path, files::JOURNAL);
    let mut first = [0];
    let read = File::open(&journal).and_then(|mut journal| journal.read(&mut first));
    match read {
        Ok(_) => Ok(first != [0]),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::unreadable(&journal)(error)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests need no durable files")]

    use std::fs::{self, OpenOptions};

    use super::*;

    #[test]
    fn a_look_proves_nothing_once_a_file_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        for suffix in ["", files::LOG, files::JOURNAL] {
            fs::write(files::beside(&path, suffix), [MAGIC, &[0; 100]].concat()).unwrap();
        }
        let mut before = SqliteLook::take(&path).unwrap();
        assert!(SqliteLook::take(&path).unwrap().proves_since(&before));
        for suffix in ["", files::LOG, files::JOURNAL] {
            let file = OpenOptions::new().write(true).open(files::beside(&path, suffix));
            file.unwrap().set_len(300).unwrap();
            let after = SqliteLook::take(&path).unwrap();
            assert!(!after.proves_since(&before), "{suffix} grew");
            before = after;
        }
        // Only the change counter differs, as if the clock had stood still.
        let mut counted = before.clone();
        counted.header[27] += 1;
        assert!(!counted.proves_since(&before));
        // A journal whose transaction has ended does not belong to the content.
        fs::write(files::beside(&path, files::JOURNAL), [0; 50]).unwrap();
        let ended = SqliteLook::take(&path).unwrap();
        assert!(before.needs_journal() && !ended.needs_journal() && !ended.proves_since(&before));
        fs::remove_file(files::beside(&path, files::JOURNAL)).unwrap();
        assert!(SqliteLook::take(&path).unwrap().proves_since(&ended));
    }

    #[test]
    fn a_young_file_must_be_watched_for_a_tick() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        fs::write(&path, "").unwrap();
        assert_eq!(settle(&path, Instant::now()).unwrap(), None);
        let begun = Instant::now();
        assert!(settle(&path, begun + Duration::from_mins(1)).unwrap().is_some());
        assert!(begun.elapsed() >= Duration::from_millis(10));
    }
}
