//! Connections for look-ups. A run makes millions of them. Beside the connection that writes they
//! have their own, so that they wait neither for thousands of new rows nor for each other.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;

/// The most connections: each has a cache of [`CACHE_KIB`].
const MOST: usize = 4;
const CACHE_KIB: i64 = 16 * 1024;
/// The usual value of [`Lookups::long_log`].
const LONG_LOG: u64 = 64 << 20;

/// Connections that only read.
#[derive(Debug)]
pub struct Lookups {
    path: PathBuf,
    readers: Vec<Mutex<Reader>>,
    /// Counts the writes.
    written: AtomicU64,
    /// When SQLite's log has this many bytes, look-ups wait until it was copied back into the file.
    pub(super) long_log: u64,
}

/// A connection that keeps its transaction open between look-ups, so that the file is not locked
/// and unlocked for each.
#[derive(Debug, Default)]
struct Reader {
    /// Opened when it is first needed.
    connection: Option<Connection>,
    /// The value of [`Lookups::written`] when the open transaction began. A transaction sees
    /// nothing that was written later.
    sees: Option<u64>,
}

impl Lookups {
    /// As many connections as there are processors, at most `MOST`.
    pub fn new(path: &Path) -> Self {
        let processors = std::thread::available_parallelism();
        let count = processors.map_or(1, std::num::NonZero::get).min(MOST);
        Self {
            path: path.to_owned(),
            readers: (0..count).map(|_| Mutex::default()).collect(),
            written: AtomicU64::new(0),
            long_log: LONG_LOG,
        }
    }

    /// Runs a look-up. It sees everything that was written before.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let free = self.readers.iter().find_map(try_lock);
        let mut reader = free.unwrap_or_else(|| lock(&self.readers[0]));
        let written = self.written.load(Ordering::SeqCst);
        work(reader.at(written, &self.path)?)
    }

    /// Tells the readers that `writer` wrote something. SQLite copies its log back into the file
    /// only while nobody reads from the log, and some look-up nearly always does. So once the log
    /// is long, this waits for all look-ups and keeps new ones waiting.
    pub fn wrote(&self, writer: &Connection) -> rusqlite::Result<()> {
        self.written.fetch_add(1, Ordering::SeqCst);
        if self.log_len() < self.long_log || !writer.is_autocommit() {
            let mut idle = self.readers.iter().filter_map(try_lock);
            return idle.try_for_each(|mut reader| reader.end());
        }
        let mut readers: Vec<_> = self.readers.iter().map(lock).collect();
        readers.iter_mut().try_for_each(|reader| reader.end())?;
        writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    fn log_len(&self) -> u64 {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        std::fs::metadata(log).map_or(0, |metadata| metadata.len())
    }
}

impl Reader {
    fn at(&mut self, written: u64, path: &Path) -> rusqlite::Result<&Connection> {
        if self.sees != Some(written) {
            self.end()?;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => super::open_connection(path, CACHE_KIB)?,
        };
        let connection = self.connection.insert(connection);
        if self.sees.is_none() {
            connection.execute_batch("BEGIN")?;
            self.sees = Some(written);
        }
        Ok(connection)
    }

    fn end(&mut self) -> rusqlite::Result<()> {
        if self.sees.take().is_some()
            && let Some(connection) = &self.connection
            && !connection.is_autocommit()
        {
            connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }
}

/// A thread that panicked left at most an open transaction, so the connection can be used.
fn lock(reader: &Mutex<Reader>) -> MutexGuard<'_, Reader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock(reader: &Mutex<Reader>) -> Option<MutexGuard<'_, Reader>> {
    match reader.try_lock() {
        Ok(reader) => Some(reader),
        Err(TryLockError::Poisoned(reader)) => Some(reader.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
