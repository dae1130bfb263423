//! A wrapper that records every call. Tests assert the exact list of calls and their order.

use std::mem;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    Backend, Entry, ErrorKind, Key, Operation, Properties, Result, SettingFinding, operation,
};

/// A call that has returned. A listing returns when it was read to its end or is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The call.
    pub operation: Operation,
    /// Ok, or the kind of the error; for a listing the kind of its first error.
    pub outcome: std::result::Result<(), ErrorKind>,
    started: u64,
    finished: u64,
}

impl Recorded {
    /// Whether it had returned when `other` was begun.
    pub fn is_before(&self, other: &Self) -> bool {
        self.finished < other.started
    }
}

/// A backend that records what is asked of `B`, by any number of threads.
#[derive(Debug)]
pub struct RecordingBackend<B> {
    inner: B,
    log: Mutex<Log>,
}

/// The calls so far; starts and ends are numbered by one counter.
#[derive(Debug, Default)]
struct Log {
    ticks: u64,
    recorded: Vec<Recorded>,
}

impl Log {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}

impl<B> RecordingBackend<B> {
    /// Records the calls of `inner`.
    pub fn new(inner: B) -> Self {
        Self { inner, log: Mutex::default() }
    }

    /// Every call that has returned, in the order in which they were begun.
    pub fn recorded(&self) -> Vec<Recorded> {
        sorted(self.log().recorded.clone())
    }

    /// As [`recorded`](Self::recorded), without the outcomes.
    pub fn operations(&self) -> Vec<Operation> {
        self.recorded().into_iter().map(|recorded| recorded.operation).collect()
    }

    /// As [`recorded`](Self::recorded), and forgets them.
    pub fn take(&self) -> Vec<Recorded> {
        sorted(mem::take(&mut self.log().recorded))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record<T>(&self, operation: Operation, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = self.log().tick();
        let result = call();
        let outcome = result.as_ref().map(drop).map_err(crate::Error::kind);
        self.finish(operation, outcome, started);
        result
    }

    fn finish(
        &self,
        operation: Operation,
        outcome: std::result::Result<(), ErrorKind>,
        started: u64,
    ) {
        let mut log = self.log();
        let finished = log.tick();
        log.recorded.push(Recorded { operation, outcome, started, finished });
    }
}

fn sorted(mut recorded: Vec<Recorded>) -> Vec<Recorded> {
    recorded.sort_by_key(|recorded| recorded.started);
    recorded
}

impl<B: Backend> Backend for RecordingBackend<B> {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        let operation = Operation::Put(key.clone(), operation::len(body));
        self.record(operation, || self.inner.put_new(key, body))
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        let operation = Operation::Get(key.clone(), range.clone());
        self.record(operation, || self.inner.get(key, range))
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        self.record(Operation::Stat(key.clone()), || self.inner.stat(key))
    }

    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        Box::new(RecordedListing {
            started: self.log().tick(),
            backend: self,
            prefix: prefix.to_owned(),
            outcome: Ok(()),
            is_finished: false,
            inner: self.inner.list(prefix),
        })
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.record(Operation::Delete(key.clone()), || self.inner.delete(key))
    }

    /// Not recorded: it is about no key.
    fn remove_stale_temporaries(&self) -> Result<u64> {
        self.inner.remove_stale_temporaries()
    }

    fn properties(&self) -> Properties {
        self.inner.properties()
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

/// A listing that is written down when it ends.
struct RecordedListing<'a, B> {
    started: u64,
    backend: &'a RecordingBackend<B>,
    prefix: String,
    outcome: std::result::Result<(), ErrorKind>,
    is_finished: bool,
    inner: Box<dyn Iterator<Item = Result<Entry>> + 'a>,
}

impl<B> RecordedListing<'_, B> {
    fn finish(&mut self) {
        if !mem::replace(&mut self.is_finished, true) {
            let operation = Operation::List(mem::take(&mut self.prefix));
            self.backend.finish(operation, self.outcome, self.started);
        }
    }
}

impl<B> Iterator for RecordedListing<'_, B> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.inner.next();
        match &item {
            Some(Err(error)) => self.outcome = self.outcome.and(Err(error.kind())),
            Some(Ok(_)) => {}
            None => self.finish(),
        }
        item
    }
}

impl<B> Drop for RecordedListing<'_, B> {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{Fault, FaultPlan, FaultyBackend, MemoryBackend};

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    #[test]
    fn every_call_is_recorded_with_its_outcome() {
        let backend = RecordingBackend::new(MemoryBackend::new());
        let (a, b) = (key("a/b"), key("c"));
        backend.put_new(&a, b"bytes").unwrap();
        backend.put_new(&a, b"").unwrap_err();
        backend.get(&a, None).unwrap();
        backend.get(&a, Some(1..3)).unwrap();
        backend.get(&a, Some(1..30)).unwrap_err();
        backend.stat(&b).unwrap_err();
        assert_eq!(backend.list("a").count(), 1);
        backend.delete(&b).unwrap();
        let recorded: Vec<_> = backend
            .take()
            .into_iter()
            .map(|recorded| (recorded.operation, recorded.outcome))
            .collect();
        let expected = [
            (Operation::Put(a.clone(), 5), Ok(())),
            (Operation::Put(a.clone(), 0), Err(ErrorKind::AlreadyExists)),
            (Operation::Get(a.clone(), None), Ok(())),
            (Operation::Get(a.clone(), Some(1..3)), Ok(())),
            (Operation::Get(a, Some(1..30)), Err(ErrorKind::OutOfRange)),
            (Operation::Stat(b.clone()), Err(ErrorKind::NotFound)),
            (Operation::List("a".to_owned()), Ok(())),
            (Operation::Delete(b), Ok(())),
        ];
        assert_eq!(recorded, expected);
        assert_eq!(backend.operations(), []);
    }

    #[test]
    fn a_listing_is_recorded_once_when_it_ends() {
        let backend = RecordingBackend::new(MemoryBackend::new());
        for text in ["a", "b"] {
            backend.put_new(&key(text), b"").unwrap();
        }
        backend.take();
        let mut listing = backend.list("");
        listing.next().unwrap().unwrap();
        backend.stat(&key("a")).unwrap();
        assert_eq!(backend.operations(), [Operation::Stat(key("a"))]);
        listing.next().unwrap().unwrap();
        assert!(listing.next().is_none() && listing.next().is_none());
        drop(listing);
        drop(backend.list("left"));
        let expected = [
            Operation::List(String::new()),
            Operation::Stat(key("a")),
            Operation::List("left".to_owned()),
        ];
        assert_eq!(backend.operations(), expected);
    }

    #[test]
    fn the_first_error_of_a_listing_is_its_outcome() {
        let plan = FaultPlan::new().at(0, Fault::FailAfter(ErrorKind::NoSpace));
        let backend = RecordingBackend::new(FaultyBackend::new(MemoryBackend::new(), plan));
        assert_eq!(backend.list("").count(), 1);
        assert_eq!(backend.take()[0].outcome, Err(ErrorKind::NoSpace));
    }

    #[test]
    fn before_means_returned_before_the_other_began() {
        let backend = RecordingBackend::new(MemoryBackend::new());
        let listing = backend.list("");
        backend.stat(&key("a")).unwrap_err();
        drop(listing);
        backend.stat(&key("b")).unwrap_err();
        let [list, a, b] = backend.take().try_into().unwrap();
        assert!(a.is_before(&b) && list.is_before(&b));
        assert!(!list.is_before(&a) && !a.is_before(&list) && !b.is_before(&a));
    }

    #[test]
    fn calls_of_many_threads_are_all_recorded() {
        let backend = RecordingBackend::new(MemoryBackend::new());
        thread::scope(|scope| {
            for thread in 0..8 {
                let backend = &backend;
                scope.spawn(move || {
                    for n in 0..50 {
                        let name = key(&format!("{thread}/{n}"));
                        backend.put_new(&name, b"").unwrap();
                    }
                });
            }
        });
        assert_eq!(backend.recorded().len(), 400);
    }
}
