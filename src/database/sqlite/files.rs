//! The files of a SQLite database: itself, and what SQLite keeps beside it.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::database::Error;

/// A write is sure to change a file's times once the clock of its file system has ticked since the
/// write before it. Kernels tick at least every 10 ms.
const TICK: Duration = Duration::from_millis(10);
/// The tick where times are kept in whole seconds (ext3), or in every second one (FAT).
const COARSE_TICK: Duration = Duration::from_millis(2_100);

/// Files that were left alone for so long need not be watched for a tick.
const SETTLED: Duration = Duration::from_secs(1);

/// What SQLite appends to a database's name.
pub(super) const JOURNAL: &str = "-journal";
pub(super) const LOG: &str = "-wal";
const LOG_INDEX: &str = "-shm";

/// What can be told about one file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    pub(super) len: u64,
    pub(super) owner: (u32, u32),
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    is_file: bool,
}

impl FileStamp {
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

    /// The later of the content's time (mtime) and the time of any change (ctime).
    fn latest(&self) -> Option<SystemTime> {
        let (seconds, nanos) = self.modified.max(self.changed);
        let since = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since)
    }

    /// How long the file must be seen unchanged. After that, any write changes its times.
    fn tick(&self) -> Duration {
        if self.modified.1 == 0 && self.changed.1 == 0 { COARSE_TICK } else { TICK }
    }

    /// Whether its times are old enough, so that it need not be watched. They must be older than
    /// twice the tick, because the clock of a file server may differ a little.
    fn is_settled(&self, now: SystemTime) -> bool {
        let age = |latest| now.duration_since(latest).unwrap_or_default();
        self.latest().is_none_or(|latest| age(latest) >= SETTLED.max(2 * self.tick()))
    }
}

/// A database's files at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SqliteFiles {
    /// The database itself.
    pub(super) main: FileStamp,
    /// The rollback journal.
    pub(super) journal: Option<FileStamp>,
    /// The write-ahead log.
    pub(super) log: Option<FileStamp>,
    /// The log's index. Connections write to it through shared memory, so its times say nothing.
    pub(super) log_index: Option<FileStamp>,
}

impl SqliteFiles {
    /// Looks at the files of the database at `path`, which has no symbolic links.
    pub(super) fn look(path: &Path) -> Result<Self, Error> {
        let main = FileStamp::new(&fs::metadata(path).map_err(Error::unreadable(path))?);
        if !main.is_file {
            return Err(Error::NotADatabase { file: path.to_path_buf() });
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
        [Some(self.main), self.journal, self.log].into_iter().flatten().map(|file| file.len).sum()
    }

    /// Whether SQLite acts on the journal: it does if the journal has content.
    pub(super) fn has_journal(&self) -> bool {
        self.journal.is_some_and(|file| file.len > 0)
    }

    /// Whether SQLite acts on the log: it does if the log has content.
    pub(super) fn has_log(&self) -> bool {
        self.log.is_some_and(|file| file.len > 0)
    }

    /// Whether a file beside the database has another owner. SQLite would change that owner if run
    /// by root.
    pub(super) fn has_mixed_owners(&self) -> bool {
        let beside = [self.journal, self.log, self.log_index];
        beside.into_iter().flatten().any(|file| file.owner != self.main.owner)
    }

    /// Whether `stamp` is of this open file.
    pub(super) fn is_of(file: &fs::File, stamp: &FileStamp) -> io::Result<bool> {
        Ok(FileStamp::new(&file.metadata()?).inode == stamp.inode)
    }

    /// How long the files must be seen unchanged. After that, any write changes their times. Zero
    /// if they were left alone for long.
    pub(super) fn tick(&self) -> Duration {
        let now = SystemTime::now();
        let all = [Some(self.main), self.journal, self.log];
        let young = all.iter().flatten().filter(|file| !file.is_settled(now));
        young.map(FileStamp::tick).max().unwrap_or_default()
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

fn look_beside(path: &Path, suffix: &str) -> Result<Option<FileStamp>, Error> {
    let file = beside(path, suffix);
    match fs::metadata(&file) {
        Ok(found) => Ok(Some(FileStamp::new(&found))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::unreadable(&file)(error)),
    }
}
