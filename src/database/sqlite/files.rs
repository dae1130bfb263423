//! The files of a SQLite database: itself, and what SQLite keeps beside it.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::database::Error;

/// Longer than any local file system's clock tick: a file written after we looked has another time
/// than one that was this old when we looked.
const QUIET: Duration = Duration::from_millis(100);

/// What SQLite appends to a database's name.
const JOURNAL: &str = "-journal";
const LOG: &str = "-wal";
const LOG_INDEX: &str = "-shm";

/// What can be told about one file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) len: u64,
    pub(super) owner: (u32, u32),
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    is_file: bool,
}

impl Stamp {
    fn new(found: &Metadata) -> Self {
        Self {
            len: found.len(),
            owner: (found.uid(), found.gid()),
            inode: (found.dev(), found.ino()),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            is_file: found.is_file(),
        }
    }

    fn is_quiet(&self, now: SystemTime) -> bool {
        let (Ok(seconds), Ok(nanos)) = (
            u64::try_from(self.modified.0),
            u32::try_from(self.modified.1),
        ) else {
            return true; // before 1970
        };
        let modified = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        match now.duration_since(modified) {
            Ok(age) => age >= QUIET,
            Err(ahead) => ahead.duration() >= QUIET,
        }
    }
}

/// A database's files at one moment. Equal values, the earlier one quiet: nothing was written between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    /// The database itself.
    pub(super) main: Stamp,
    /// The rollback journal.
    pub(super) journal: Option<Stamp>,
    /// The write-ahead log.
    pub(super) log: Option<Stamp>,
    /// Its index. Connections write to it through shared memory, so that its times say nothing.
    pub(super) log_index: Option<Stamp>,
}

impl Files {
    /// Looks at the files of the database at `path`, which has no symbolic links.
    pub(super) fn look(path: &Path) -> Result<Self, Error> {
        let main = Stamp::new(&fs::metadata(path).map_err(Error::unreadable(path))?);
        if !main.is_file {
            return Err(Error::NotADatabase {
                file: path.to_path_buf(),
            });
        }
        Ok(Self {
            main,
            journal: look_beside(path, JOURNAL)?,
            log: look_beside(path, LOG)?,
            log_index: look_beside(path, LOG_INDEX)?,
        })
    }

    /// Bytes of the database, its journal and its log.
    pub(super) fn total_len(&self) -> u64 {
        [Some(self.main), self.journal, self.log]
            .into_iter()
            .flatten()
            .map(|file| file.len)
            .sum()
    }

    /// Whether SQLite takes the journal, or the log, for something to act on: both when they have content.
    pub(super) fn has_journal(&self) -> bool {
        self.journal.is_some_and(|file| file.len > 0)
    }

    /// See [`Self::has_journal`].
    pub(super) fn has_log(&self) -> bool {
        self.log.is_some_and(|file| file.len > 0)
    }

    /// Whether a file beside the database has another owner, which SQLite would change were it root.
    pub(super) fn has_mixed_owners(&self) -> bool {
        let beside = [self.journal, self.log, self.log_index];
        beside
            .into_iter()
            .flatten()
            .any(|file| file.owner != self.main.owner)
    }

    /// Whether the files were left alone long enough for a later look to see any write since.
    pub(super) fn are_quiet(&self) -> bool {
        let now = SystemTime::now();
        [Some(self.main), self.journal, self.log]
            .iter()
            .flatten()
            .all(|file| file.is_quiet(now))
    }

    /// Whether nothing was written since an earlier, quiet look.
    pub(super) fn unchanged_since(&self, earlier: &Self) -> bool {
        (self.main, self.journal, self.log) == (earlier.main, earlier.journal, earlier.log)
    }
}

/// The files that make up a database's content, by what is appended to its name.
pub(super) const CONTENT: [&str; 3] = ["", LOG, JOURNAL];

/// The name of a file beside a database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn look_beside(path: &Path, suffix: &str) -> Result<Option<Stamp>, Error> {
    let file = beside(path, suffix);
    match fs::metadata(&file) {
        Ok(found) => Ok(Some(Stamp::new(&found))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::unreadable(&file)(error)),
    }
}
