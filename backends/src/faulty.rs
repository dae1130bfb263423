//! A wrapper that fails as planned, for tests of crashes (die at every operation), full disks, lost
//! answers and bad bytes. It is deterministic if the order of the calls is.

use std::collections::BTreeMap;
use std::iter;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{
    Backend, Entry, Error, ErrorKind, Key, Operation, Properties, Result, SettingFinding, Verb,
    operation,
};

/// What happens instead of an ordinary call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and has no effect.
    FailBefore(ErrorKind),
    /// It takes effect, and the answer is lost; a listing breaks off half way.
    FailAfter(ErrorKind),
    /// The client dies before it takes effect: this call and every later one fails.
    DieBefore,
    /// The client dies after it took effect: the answer is lost, and every later call fails.
    DieAfter,
}

/// Which calls fail, and how. A fault for a call's number goes before the rules. The first rule
/// that matches decides.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    numbered: BTreeMap<u64, Fault>,
    rules: Vec<(Verb, String, Fault)>,
    flips: Vec<(Key, u64)>,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// The call of this number goes wrong. They are counted from 0, each listing as one.
    #[must_use]
    pub fn at(mut self, number: u64, fault: Fault) -> Self {
        self.numbered.insert(number, fault);
        self
    }

    /// Every such call about `prefix` or what lies below it goes wrong.
    #[must_use]
    pub fn always(mut self, verb: Verb, prefix: &str, fault: Fault) -> Self {
        self.rules.push((verb, prefix.to_owned(), fault));
        self
    }

    /// Reads of the key give a wrong byte at this offset; the stored bytes stay as they are.
    #[must_use]
    pub fn flip(mut self, key: &Key, offset: u64) -> Self {
        self.flips.push((key.clone(), offset));
        self
    }

    fn fault(&self, number: u64, operation: &Operation) -> Option<Fault> {
        let rule = || {
            self.rules.iter().find(|(verb, prefix, _)| {
                *verb == operation.verb() && operation.is_at_or_below(prefix)
            })
        };
        let numbered = self.numbered.get(&number).copied();
        numbered.or_else(|| rule().map(|(_, _, fault)| *fault))
    }

    /// Changes the planned bytes in what was read of `key` from `start` on.
    fn corrupt(&self, key: &Key, start: u64, body: &mut [u8]) {
        for (_, offset) in self.flips.iter().filter(|(flipped, _)| flipped == key) {
            let index = offset.checked_sub(start).and_then(|index| usize::try_from(index).ok());
            if let Some(byte) = index.and_then(|index| body.get_mut(index)) {
                *byte ^= 1;
            }
        }
    }
}

/// A backend that counts its calls and fails as planned.
#[derive(Debug)]
pub struct FaultyBackend<B> {
    inner: B,
    plan: FaultPlan,
    count: AtomicU64,
    is_dead: AtomicBool,
}

impl<B: Backend> FaultyBackend<B> {
    /// Applies a plan to the calls of `inner`.
    pub fn new(inner: B, plan: FaultPlan) -> Self {
        Self { inner, plan, count: AtomicU64::new(0), is_dead: AtomicBool::new(false) }
    }

    /// How many calls were made: a sweep dies at each number below that of a run without faults.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether a planned death has come.
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// Counts a call. Gives the error that comes instead of it, or the one that comes after it.
    fn begin(&self, operation: &Operation) -> Result<Option<ErrorKind>> {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        if self.is_dead() {
            return Err(planned(ErrorKind::Other));
        }
        match self.plan.fault(number, operation) {
            None => Ok(None),
            Some(Fault::FailBefore(kind)) => Err(planned(kind)),
            Some(Fault::FailAfter(kind)) => Ok(Some(kind)),
            Some(Fault::DieBefore) => {
                self.is_dead.store(true, Ordering::SeqCst);
                Err(planned(ErrorKind::Other))
            }
            Some(Fault::DieAfter) => {
                self.is_dead.store(true, Ordering::SeqCst);
                Ok(Some(ErrorKind::Other))
            }
        }
    }

    /// Makes a call about a key, as planned.
    fn call<T>(
        &self,
        key: &Key,
        operation: &Operation,
        call: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let begun = self.begin(operation).map_err(|error| error.with_key(key));
        match begun? {
            None => call(),
            Some(kind) => {
                // Whatever it is, the answer is lost.
                let _ = call();
                Err(planned(kind).with_key(key))
            }
        }
    }
}

/// An error that a plan asked for.
fn planned(kind: ErrorKind) -> Error {
    Error::new(kind).with_source("planned by the test")
}

impl<B: Backend> Backend for FaultyBackend<B> {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        let operation = Operation::Put(key.clone(), operation::len(body));
        self.call(key, &operation, || self.inner.put_new(key, body))
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        let start = range.as_ref().map_or(0, |range| range.start);
        let operation = Operation::Get(key.clone(), range.clone());
        let mut body = self.call(key, &operation, || self.inner.get(key, range))?;
        self.plan.corrupt(key, start, &mut body);
        Ok(body)
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        self.call(key, &Operation::Stat(key.clone()), || self.inner.stat(key))
    }

    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        match self.begin(&Operation::List(prefix.to_owned())) {
            Ok(None) => Box::new(self.inner.list(prefix)),
            Err(error) => Box::new(iter::once(Err(error))),
            Ok(Some(kind)) => {
                let mut items: Vec<_> = self.inner.list(prefix).collect();
                items.truncate(items.len() / 2);
                Box::new(items.into_iter().chain(iter::once(Err(planned(kind)))))
            }
        }
    }

    fn delete(&self, key: &Key) -> Result<()> {
        let operation = Operation::Delete(key.clone());
        self.call(key, &operation, || self.inner.delete(key))
    }

    /// Not counted, since it is about no key. After a planned death it does not clean up.
    fn remove_stale_temporaries(&self) -> Result<u64> {
        if self.is_dead() {
            return Err(planned(ErrorKind::Other));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryBackend;

    const TRANSIENT: ErrorKind = ErrorKind::Transient;

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    fn keys(memory: &MemoryBackend) -> Vec<String> {
        let entries = memory.list("").map(|entry| entry.unwrap().key.to_string());
        entries.collect()
    }

    /// Puts a, b, c and d; the kinds of the errors.
    fn put_four(plan: FaultPlan) -> (Vec<String>, Vec<Option<ErrorKind>>, bool) {
        let memory = MemoryBackend::new();
        let backend = FaultyBackend::new(memory.clone(), plan);
        let put = |text| {
            let error = backend.put_new(&key(text), b"x").err()?;
            assert_eq!(error.key(), Some(&key(text)));
            Some(error.kind())
        };
        let kinds = ["a", "b", "c", "d"].map(put).to_vec();
        assert_eq!(backend.count(), 4);
        (keys(&memory), kinds, backend.is_dead())
    }

    #[test]
    fn a_call_fails_before_or_after_its_effect() {
        let (stored, kinds, is_dead) =
            put_four(FaultPlan::new().at(1, Fault::FailBefore(TRANSIENT)));
        assert_eq!(stored, ["a", "c", "d"]);
        assert_eq!(kinds, [None, Some(TRANSIENT), None, None]);
        assert!(!is_dead);
        let (stored, kinds, is_dead) =
            put_four(FaultPlan::new().at(1, Fault::FailAfter(TRANSIENT)));
        assert_eq!(stored, ["a", "b", "c", "d"]);
        assert_eq!(kinds, [None, Some(TRANSIENT), None, None]);
        assert!(!is_dead);
    }

    #[test]
    fn the_dead_do_nothing_more() {
        let other = Some(ErrorKind::Other);
        let (stored, kinds, is_dead) = put_four(FaultPlan::new().at(1, Fault::DieBefore));
        assert_eq!(stored, ["a"]);
        assert_eq!(kinds, [None, other, other, other]);
        assert!(is_dead);
        let (stored, kinds, is_dead) = put_four(FaultPlan::new().at(1, Fault::DieAfter));
        assert_eq!(stored, ["a", "b"]);
        assert_eq!(kinds, [None, other, other, other]);
        assert!(is_dead);
    }

    #[test]
    fn the_dead_do_not_read_or_delete_either() {
        let memory = MemoryBackend::new();
        memory.put_new(&key("a"), b"x").unwrap();
        let backend = FaultyBackend::new(memory.clone(), FaultPlan::new().at(0, Fault::DieBefore));
        backend.delete(&key("a")).unwrap_err();
        backend.delete(&key("a")).unwrap_err();
        backend.get(&key("a"), None).unwrap_err();
        backend.stat(&key("a")).unwrap_err();
        let items: Vec<_> = backend.list("").collect();
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].as_ref().unwrap_err().kind(), ErrorKind::Other);
        assert_eq!((backend.count(), keys(&memory)), (5, vec!["a".to_owned()]));
    }

    #[test]
    fn rules_are_for_a_verb_and_a_prefix() {
        let memory = MemoryBackend::new();
        let full = Fault::FailBefore(ErrorKind::NoSpace);
        let plan = FaultPlan::new()
            .always(Verb::Put, "data/blocks", full)
            .always(Verb::Put, "data", Fault::FailAfter(TRANSIENT))
            .at(3, Fault::FailBefore(ErrorKind::Other));
        let backend = FaultyBackend::new(memory.clone(), plan);
        let put = |text| backend.put_new(&key(text), b"").err().map(|e| e.kind());
        assert_eq!(put("data/blocks/00/x"), Some(ErrorKind::NoSpace));
        assert_eq!(put("data/blocksize"), Some(TRANSIENT));
        assert_eq!(put("markers/x"), None);
        assert_eq!(put("data/blocks/y"), Some(ErrorKind::Other));
        backend.delete(&key("data/blocks/y")).unwrap();
        assert_eq!(backend.list("data/blocks").count(), 0);
        assert_eq!(keys(&memory), ["data/blocksize", "markers/x"]);
    }

    #[test]
    fn a_listing_whose_answer_is_lost_breaks_off() {
        let memory = MemoryBackend::new();
        for text in ["a", "b", "c", "d"] {
            memory.put_new(&key(text), b"").unwrap();
        }
        let plan = FaultPlan::new().always(Verb::List, "", Fault::FailAfter(TRANSIENT));
        let backend = FaultyBackend::new(memory, plan);
        let items: Vec<_> = backend.list("").collect();
        assert_eq!(items.len(), 3);
        assert_eq!(items[1].as_ref().unwrap().key, key("b"));
        assert_eq!(items[2].as_ref().unwrap_err().kind(), TRANSIENT);
    }

    #[test]
    fn flipped_bytes_are_read_wherever_they_are_asked_for() {
        let memory = MemoryBackend::new();
        for text in ["a", "b"] {
            memory.put_new(&key(text), b"0000").unwrap();
        }
        let plan = FaultPlan::new().flip(&key("a"), 2).flip(&key("a"), 9);
        let backend = FaultyBackend::new(memory.clone(), plan);
        let get = |text, range| backend.get(&key(text), range).unwrap();
        assert_eq!(get("a", None), b"0010");
        assert_eq!(get("a", Some(2..4)), b"10");
        assert_eq!(get("a", Some(1..3)), b"01");
        assert_eq!(get("a", Some(0..2)), b"00");
        assert_eq!(get("a", Some(3..4)), b"0");
        assert_eq!(get("b", None), b"0000");
        assert_eq!(memory.get(&key("a"), None).unwrap(), b"0000");
    }
}
