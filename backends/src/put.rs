//! Stores bytes under a key that may hold the same bytes already.

use crate::{Backend, ErrorKind, Key, Result, operation};

/// How [`put_same`] found the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was new, and now holds the bytes.
    Stored,
    /// It held these very bytes already.
    Same,
}

/// Stores `body` under `key`, or finds that the key holds exactly these bytes already. That happens
/// if the name is made from the content, or if the first attempt of a retry got through.
///
/// Errors: as [`Backend::put_new`]; `AlreadyExists` if the key holds other bytes, which stay.
pub fn put_same(backend: &(impl Backend + ?Sized), key: &Key, body: &[u8]) -> Result<Put> {
    match backend.put_new(key, body) {
        Ok(()) => Ok(Put::Stored),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if holds(backend, key, body)? {
                Ok(Put::Same)
            } else {
                Err(error)
            }
        }
        Err(error) => Err(error),
    }
}

/// Whether `key` holds exactly `body`; false for a missing key. It compares the length first, so
/// that different bytes are rarely fetched.
pub(crate) fn holds(backend: &(impl Backend + ?Sized), key: &Key, body: &[u8]) -> Result<bool> {
    let compared = backend
        .stat(key)
        .and_then(|entry| Ok(entry.len == operation::len(body) && backend.get(key, None)? == body));
    match compared {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Fault, FaultPlan, FaultyBackend, MemoryBackend, Operation, RecordingBackend, Verb,
    };

    fn key() -> Key {
        Key::parse("a/b").unwrap()
    }

    #[test]
    fn bytes_of_another_length_are_not_fetched() {
        let backend = RecordingBackend::new(MemoryBackend::new());
        backend.put_new(&key(), b"old").unwrap();
        backend.take();
        let other = put_same(&backend, &key(), b"longer").unwrap_err();
        assert_eq!(other.kind(), ErrorKind::AlreadyExists);
        let expected = [Operation::Put(key(), 6), Operation::Stat(key())];
        assert_eq!(backend.operations(), expected);
    }

    #[test]
    fn a_key_that_went_away_meanwhile_is_still_refused() {
        let memory = MemoryBackend::new();
        memory.put_new(&key(), b"x").unwrap();
        let gone = Fault::FailBefore(ErrorKind::NotFound);
        for verb in [Verb::Stat, Verb::Get] {
            let plan = FaultPlan::new().always(verb, "", gone);
            let backend = FaultyBackend::new(memory.clone(), plan);
            let error = put_same(&backend, &key(), b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        }
    }

    #[test]
    fn what_cannot_be_compared_is_not_called_the_same() {
        let memory = MemoryBackend::new();
        memory.put_new(&key(), b"x").unwrap();
        let plan = FaultPlan::new().flip(&key(), 0);
        let flipped = FaultyBackend::new(memory.clone(), plan);
        let error = put_same(&flipped, &key(), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let denied = Fault::FailBefore(ErrorKind::PermissionDenied);
        let denying = FaultyBackend::new(memory, FaultPlan::new().always(Verb::Get, "a", denied));
        let error = put_same(&denying, &key(), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }
}
