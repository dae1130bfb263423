//! A backend in memory: the contract's reference, for tests of everything above.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::key::check_prefix;
use crate::{Backend, Entry, Error, ErrorKind, Key, Result, operation, range};

/// The storage's own clock.
pub type MemoryClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// A destination in memory. A clone is an independent handle on the same storage, as another
/// client would have; the storage goes with its last handle.
#[derive(Clone)]
pub struct MemoryBackend {
    stored: Arc<Mutex<BTreeMap<Key, MemoryFile>>>,
    clock: MemoryClock,
}

/// What a key holds.
struct MemoryFile {
    body: Arc<[u8]>,
    modified: SystemTime,
}

impl MemoryBackend {
    /// An empty storage with the clock of this machine.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemTime::now))
    }

    /// An empty storage with its own clock.
    pub fn with_clock(clock: MemoryClock) -> Self {
        Self { stored: Arc::default(), clock }
    }

    /// Locks the storage. No call leaves it half changed, so a poisoned lock is safe to use.
    fn stored(&self) -> MutexGuard<'_, BTreeMap<Key, MemoryFile>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `read` makes of the thing under `key`.
    fn read<T>(&self, key: &Key, read: impl FnOnce(&MemoryFile) -> T) -> Result<T> {
        self.stored()
            .get(key)
            .map(read)
            .ok_or_else(|| Error::new(ErrorKind::NotFound).with_key(key))
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").field("keys", &self.stored().len()).finish_non_exhaustive()
    }
}

impl Backend for MemoryBackend {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        let body = Arc::from(body);
        let mut stored = self.stored();
        if stored.contains_key(key) {
            return Err(Error::new(ErrorKind::AlreadyExists).with_key(key));
        }
        if let Some(text) = conflict(&stored, key) {
            return Err(Error::new(ErrorKind::Invalid).with_key(key).with_source(text));
        }
        let modified = (self.clock)();
        stored.insert(key.clone(), MemoryFile { body, modified });
        Ok(())
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        let body = self.read(key, |stored| Arc::clone(&stored.body))?;
        let range = range::within(key, range, operation::len(&body))?;
        let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let bytes = bounds.and_then(|(start, end)| body.get(start..end));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| Error::new(ErrorKind::OutOfRange).with_key(key))
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        self.read(key, |stored| entry(key, stored))
    }

    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        if let Err(error) = check_prefix(prefix) {
            return Box::new(std::iter::once(Err(error)));
        }
        let entries: Vec<Entry> =
            below(&self.stored(), prefix).map(|(key, stored)| entry(key, stored)).collect();
        Box::new(entries.into_iter().map(Ok))
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.stored().remove(key);
        Ok(())
    }
}

/// The thing as a listing shows it.
fn entry(key: &Key, stored: &MemoryFile) -> Entry {
    Entry { key: key.clone(), len: operation::len(&stored.body), modified: stored.modified }
}

/// Everything below a prefix: what begins with it and a slash stands together in the map's order.
fn below<'a>(
    stored: &'a BTreeMap<Key, MemoryFile>,
    prefix: &str,
) -> impl Iterator<Item = (&'a Key, &'a MemoryFile)> {
    let start = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    stored
        .range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded))
        .take_while(move |(key, _)| key.as_str().starts_with(&start))
}

/// Why files and folders could not hold `key` beside what is stored.
fn conflict(stored: &BTreeMap<Key, MemoryFile>, key: &Key) -> Option<String> {
    if let Some((inside, _)) = below(stored, key.as_str()).next() {
        return Some(format!("{inside} lies below it"));
    }
    let text = key.as_str();
    let above = text.match_indices('/').map(|(slash, _)| &text[..slash]);
    above
        .filter(|folder| stored.contains_key::<str>(folder))
        .map(|file| format!("{file} is no folder"))
        .next()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_is_the_clocks() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let backend = MemoryBackend::with_clock(Arc::new(move || time));
        let key = Key::parse("a/b").unwrap();
        backend.put_new(&key, b"x").unwrap();
        assert_eq!(backend.stat(&key).unwrap().modified, time);
        assert_eq!(backend.list("a").next().unwrap().unwrap().modified, time);
    }

    #[test]
    fn a_key_below_a_key_is_invalid() {
        let backend = MemoryBackend::new();
        let put = |text| backend.put_new(&Key::parse(text).unwrap(), b"");
        put("a/b/c").unwrap();
        put("d").unwrap();
        for text in ["a", "a/b", "d/e", "d/e/f"] {
            assert_eq!(put(text).unwrap_err().kind(), ErrorKind::Invalid, "{text}");
        }
        for text in ["a-b", "a.b", "a/b.c", "a/b/cc", "d-e"] {
            put(text).unwrap();
        }
    }
}
