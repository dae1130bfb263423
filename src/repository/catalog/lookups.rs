//! Look-ups, of which a run makes millions: connections of their own beside the one that writes, so
//! that they wait neither for thousands of new rows nor for each other.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;

/// The most connections: each has a cache of [`CACHE_KIB`].
const MOST: usize = 4;
const CACHE_KIB: i64 = 16 * 1024;

/// Connections that only read.
#[derive(Debug)]
pub struct Lookups {
    path: PathBuf,
    readers: Vec<Mutex<Reader>>,
    /// How often something was written.
    written: AtomicU64,
}

/// A connection that leaves its transaction open from one look-up to the next, so that the file is not
/// locked and unlocked for each.
#[derive(Debug, Default)]
struct Reader {
    /// Opened when it is first needed.
    connection: Option<Connection>,
    /// What the open transaction sees: [`Lookups::written`] when it began.
    sees: Option<u64>,
}

impl Lookups {
    /// As many as can look at once.
    pub fn new(path: &Path) -> Self {
        let processors = std::thread::available_parallelism();
        let count = processors.map_or(1, std::num::NonZero::get).min(MOST);
        Self {
            path: path.to_owned(),
            readers: (0..count).map(|_| Mutex::default()).collect(),
            written: AtomicU64::new(0),
        }
    }

    /// Looks something up. All that was written before is seen.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let free = self.readers.iter().find_map(try_lock);
        let mut reader = free.unwrap_or_else(|| lock(&self.readers[0]));
        let written = self.written.load(Ordering::SeqCst);
        work(reader.at(written, &self.path)?)
    }

    /// Says that something was written. Transactions that nobody needs end: they would keep SQLite from
    /// taking its log back into the file.
    pub fn wrote(&self) -> rusqlite::Result<()> {
        self.written.fetch_add(1, Ordering::SeqCst);
        let mut idle = self.readers.iter().filter_map(try_lock);
        idle.try_for_each(|mut reader| reader.end())
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

/// A thread that panicked left at most an open transaction.
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
