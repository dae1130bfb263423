//! Destinations that overwrite existing keys (docs/design.md, "Weak writes"). seawall finds this
//! out before anything relies on create-only writes, and refuses such a destination unless the
//! administrator accepts it.
//!
//! A backup's files have names that nobody else uses, so weak writes lose none of them. But without
//! create-only writes, two writers of one marker's name may both succeed. So a prune must not
//! declare a run dead there.

use std::sync::Arc;

use seawall_backends::{self as backends, Backend, ErrorKind, Key, LookingBackend, Writes};

use super::host_key::HostKey;
use super::{Error, Result, names};
use crate::time::Timestamp;

/// The administrator's decision about weak writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeakWrites {
    /// Not accepted: a destination that overwrites is refused.
    Refused,
    /// Accepted: writes look for an existing key first.
    Accepted,
}

/// Prepares a destination for writing, without test writes.
///
/// A destination that declares itself weak is refused with `Overwrites`, unless weak writes are
/// accepted. If they are accepted and the destination is unproven, each put looks for the key
/// first.
pub fn guarded(
    backend: Arc<dyn Backend>,
    place: &str,
    weak: WeakWrites,
) -> Result<Arc<dyn Backend>> {
    if weak == WeakWrites::Accepted {
        backend.accept_weak_writes();
    }
    match (backend.properties().writes, weak) {
        (Writes::Weak, WeakWrites::Refused) => Err(overwrites(place)),
        (Writes::Unproven, WeakWrites::Accepted) => Ok(Arc::new(LookingBackend::new(backend))),
        _ => Ok(backend),
    }
}

/// Tests an unproven destination: puts the bytes that `key` holds a second time, and refuses a
/// destination that accepts them.
pub fn prove(backend: &dyn Backend, place: &str, key: &Key, body: &[u8]) -> Result<()> {
    let is_open = backend.properties().writes == Writes::Unproven;
    if is_open && backends::probe(backend, key, body)? == Writes::Weak {
        return Err(overwrites(place));
    }
    Ok(())
}

/// Stores the host's public key, for people who have lost it. The same write tests whether the
/// destination overwrites. If it does, the new key is deleted again, if permissions allow that.
pub fn publish(
    backend: &dyn Backend,
    place: &str,
    host_key: &HostKey,
    now: Timestamp,
) -> Result<()> {
    let key = names::host_key(host_key.id());
    let text = host_key.public_text(now);
    let (is_new, body) = match backend.put_new(&key, text.as_bytes()) {
        Ok(()) => (true, text.into_bytes()),
        // An earlier `init` stored it, with another date in it.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => (false, backend.get(&key, None)?),
        Err(error) => return Err(error.into()),
    };
    let proved = prove(backend, place, &key, &body);
    if is_new && matches!(proved, Err(Error::Overwrites { .. })) {
        // Without permission to delete, the key stays. It is no secret, and the next `init` uses
        // it.
        let _ = backend.delete(&key);
    }
    proved
}

fn overwrites(place: &str) -> Error {
    Error::Overwrites { place: place.into() }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::atomic::{AtomicBool, Ordering};

    use seawall_backends::{Entry, MemoryBackend, Properties};

    use super::*;

    /// A store that may overwrite, and does or does not.
    #[derive(Debug)]
    struct Store {
        inner: MemoryBackend,
        overwrites: bool,
        is_accepted: AtomicBool,
    }

    impl Backend for Store {
        fn put_new(&self, key: &Key, body: &[u8]) -> backends::Result<()> {
            if self.overwrites {
                self.inner.delete(key)?;
            }
            self.inner.put_new(key, body)
        }
        fn get(&self, key: &Key, range: Option<Range<u64>>) -> backends::Result<Vec<u8>> {
            self.inner.get(key, range)
        }
        fn stat(&self, key: &Key) -> backends::Result<Entry> {
            self.inner.stat(key)
        }
        fn list<'a>(
            &'a self,
            prefix: &str,
        ) -> Box<dyn Iterator<Item = backends::Result<Entry>> + 'a> {
            self.inner.list(prefix)
        }
        fn delete(&self, key: &Key) -> backends::Result<()> {
            self.inner.delete(key)
        }
        fn accept_weak_writes(&self) {
            self.is_accepted.store(true, Ordering::Relaxed);
        }
        fn properties(&self) -> Properties {
            Properties { writes: Writes::Unproven, ..Properties::default() }
        }
    }

    fn published(overwrites: bool, weak: WeakWrites) -> (usize, Result<()>) {
        let memory = MemoryBackend::new();
        let store =
            Store { inner: memory.clone(), overwrites, is_accepted: AtomicBool::new(false) };
        let key = HostKey::generate("x").unwrap();
        let now = Timestamp::from_seconds(1_795_383_248).unwrap();
        let backend = guarded(Arc::new(store), "here", weak).unwrap();
        let mut result = publish(&*backend, "here", &key, now);
        if result.is_ok() {
            result = publish(&*backend, "here", &key, now.plus(std::time::Duration::from_secs(9)));
        }
        (memory.list("").count(), result)
    }

    #[test]
    fn a_store_that_overwrites_is_refused_unless_that_is_accepted() {
        let (left, result) = published(true, WeakWrites::Refused);
        assert!(matches!(result, Err(Error::Overwrites { .. })));
        assert_eq!(left, 0);
        for (overwrites, weak) in [
            (true, WeakWrites::Accepted),
            (false, WeakWrites::Accepted),
            (false, WeakWrites::Refused),
        ] {
            let (left, result) = published(overwrites, weak);
            result.unwrap();
            assert_eq!(left, 1);
        }
    }

    #[test]
    fn the_destination_is_told_what_was_accepted() {
        for weak in [WeakWrites::Refused, WeakWrites::Accepted] {
            let store = Arc::new(Store {
                inner: MemoryBackend::new(),
                overwrites: false,
                is_accepted: AtomicBool::new(false),
            });
            let backend: Arc<dyn Backend> = store.clone();
            guarded(backend, "here", weak).unwrap();
            let is_accepted = store.is_accepted.load(Ordering::Relaxed);
            assert_eq!(is_accepted, weak == WeakWrites::Accepted);
        }
    }

    #[test]
    fn known_weakness_is_refused_before_anything_is_put() {
        let looking: Arc<dyn Backend> = Arc::new(LookingBackend::new(MemoryBackend::new()));
        let refused = guarded(Arc::clone(&looking), "here", WeakWrites::Refused);
        assert!(matches!(refused, Err(Error::Overwrites { .. })));
        assert!(guarded(looking, "here", WeakWrites::Accepted).is_ok());
    }
}
