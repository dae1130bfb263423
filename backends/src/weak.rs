//! Destinations that may overwrite a key: a test for it, and a wrapper that looks before it writes.

use std::ops::Range;

use crate::{Backend, Entry, Error, ErrorKind, Key, Properties, Result, SettingFinding, Writes};

/// Finds out whether the destination overwrites: puts `key` again with `body`, its stored bytes.
///
/// A write-once destination refuses; another one overwrites the key with equal bytes, which does no
/// harm. Only an [`Unproven`](Writes::Unproven) destination is tried.
///
/// Errors: as [`Backend::put_new`], except `AlreadyExists`.
pub fn probe(backend: &(impl Backend + ?Sized), key: &Key, body: &[u8]) -> Result<Writes> {
    match backend.properties().writes {
        Writes::Unproven => match backend.put_new(key, body) {
            Ok(()) => Ok(Writes::Weak),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Writes::CreateOnly),
            Err(error) => Err(error),
        },
        known => Ok(known),
    }
}

/// A wrapper that looks for the key before each put, for a backend that would overwrite. Two
/// writers of one key at the same moment may still both get Ok, so its writes are [`Writes::Weak`].
#[derive(Debug)]
pub struct LookingBackend<B> {
    inner: B,
}

impl<B: Backend> LookingBackend<B> {
    /// Looks before each put to `inner`.
    pub fn new(inner: B) -> Self {
        Self { inner }
    }
}

impl<B: Backend> Backend for LookingBackend<B> {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        match self.inner.stat(key) {
            Ok(_) => Err(Error::new(ErrorKind::AlreadyExists).with_key(key)),
            Err(error) if error.kind() == ErrorKind::NotFound => self.inner.put_new(key, body),
            Err(error) => Err(error),
        }
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        self.inner.get(key, range)
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        self.inner.stat(key)
    }

    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        self.inner.list(prefix)
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.inner.delete(key)
    }

    fn remove_stale_temporaries(&self) -> Result<u64> {
        self.inner.remove_stale_temporaries()
    }

    fn properties(&self) -> Properties {
        Properties { writes: Writes::Weak, ..self.inner.properties() }
    }

    fn accept_weak_writes(&self) {
        self.inner.accept_weak_writes();
    }

    fn weaknesses(&self) -> Vec<String> {
        self.inner.weaknesses()
    }

    fn examine(&self) -> Vec<SettingFinding> {
        self.inner.examine()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryBackend, RecordingBackend};

    /// A store that ignores the condition of a put.
    #[derive(Debug)]
    struct Overwriting(MemoryBackend);

    impl Backend for Overwriting {
        fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
            self.0.delete(key)?;
            self.0.put_new(key, body)
        }
        fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
            self.0.get(key, range)
        }
        fn stat(&self, key: &Key) -> Result<Entry> {
            self.0.stat(key)
        }
        fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
            self.0.list(prefix)
        }
        fn delete(&self, key: &Key) -> Result<()> {
            self.0.delete(key)
        }
        fn properties(&self) -> Properties {
            Properties { writes: Writes::Unproven, ..Properties::default() }
        }
    }

    fn key() -> Key {
        Key::parse("markers/x").unwrap()
    }

    #[test]
    fn a_store_that_overwrites_is_found_out() {
        let memory = MemoryBackend::new();
        let store = Overwriting(memory.clone());
        store.put_new(&key(), b"x").unwrap();
        assert_eq!(probe(&store, &key(), b"x").unwrap(), Writes::Weak);
        assert_eq!(memory.get(&key(), None).unwrap(), b"x");
    }

    #[test]
    fn what_is_known_is_not_tried() {
        let recording = RecordingBackend::new(MemoryBackend::new());
        assert_eq!(probe(&recording, &key(), b"x").unwrap(), Writes::CreateOnly);
        let looking = LookingBackend::new(recording);
        assert_eq!(probe(&looking, &key(), b"x").unwrap(), Writes::Weak);
        assert_eq!(looking.inner.operations(), []);
    }

    #[test]
    fn a_look_keeps_what_is_there() {
        let looking = LookingBackend::new(Overwriting(MemoryBackend::new()));
        looking.put_new(&key(), b"first").unwrap();
        let error = looking.put_new(&key(), b"second").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(error.key(), Some(&key()));
        assert_eq!(looking.get(&key(), None).unwrap(), b"first");
        assert_eq!(looking.properties().writes, Writes::Weak);
    }
}
