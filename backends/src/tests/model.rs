//! Random calls on a folder and in memory give the same answers.

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::prelude::*;

use crate::{
    Backend, Entry, ErrorKind, Fault, FaultPlan, FaultyBackend, Key, LocalBackend, MemoryBackend,
    Result, RetryPolicy, RetryingBackend,
};

/// None of them is a folder of another: what a deleted key leaves of its folders shows in a file
/// system only.
const KEYS: &[&str] = &["a/b", "a/bc", "a-b", "ab", "c/d/e", "c/d/f", "c/d-e", "C/d", "x"];
/// Some of them are; for calls without deletes.
const CONFLICTING: &[&str] = &["a", "a/b", "a/b/c", "a/b-c", "a/d/e", "ab", "d", "d/e/f"];
const PREFIXES: &[&str] = &["", "a", "a/b", "c", "c/d", "x", "nothing", "a/", "../x"];

#[derive(Debug, Clone)]
enum Call {
    Put(Key, Vec<u8>),
    Get(Key, Option<Range<u64>>),
    Stat(Key),
    List(&'static str),
    Delete(Key),
}

impl Call {
    fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }

    /// The same call; a put puts other bytes.
    fn with_body(&self, body: &[u8]) -> Self {
        match self {
            Self::Put(key, _) => Self::Put(key.clone(), body.to_vec()),
            other => other.clone(),
        }
    }
}

/// What a caller learns of an answer; times are the storage's own.
#[derive(Debug, PartialEq)]
enum Answer {
    Nothing,
    Bytes(Vec<u8>),
    Len(u64),
    Listed(BTreeMap<String, u64>),
    Failed(ErrorKind, Option<Key>),
}

fn key(among: &'static [&'static str]) -> impl Strategy<Value = Key> {
    prop::sample::select(among).prop_map(|text| Key::parse(text).unwrap())
}

fn read_or_put(among: &'static [&'static str]) -> impl Strategy<Value = Call> {
    let range = prop::option::of((0..12_u64, 0..12_u64).prop_map(|(start, end)| start..end));
    let body = prop::collection::vec(any::<u8>(), 0..10);
    prop_oneof![
        4 => (key(among), body).prop_map(|(key, body)| Call::Put(key, body)),
        3 => (key(among), range).prop_map(|(key, range)| Call::Get(key, range)),
        1 => key(among).prop_map(Call::Stat),
        2 => prop::sample::select(PREFIXES).prop_map(Call::List),
    ]
}

fn any_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => read_or_put(KEYS),
        1 => key(KEYS).prop_map(Call::Delete),
    ]
}

fn listed(entries: impl Iterator<Item = Result<Entry>>) -> Result<Answer> {
    let lens = entries.map(|entry| entry.map(|entry| (entry.key.to_string(), entry.len)));
    lens.collect::<Result<_>>().map(Answer::Listed)
}

fn answer(backend: &dyn Backend, call: &Call) -> Answer {
    let answer = match call {
        Call::Put(key, body) => backend.put_new(key, body).map(|()| Answer::Nothing),
        Call::Get(key, range) => backend.get(key, range.clone()).map(Answer::Bytes),
        Call::Stat(key) => backend.stat(key).map(|entry| Answer::Len(entry.len)),
        Call::List(prefix) => listed(backend.list(prefix)),
        Call::Delete(key) => backend.delete(key).map(|()| Answer::Nothing),
    };
    answer.unwrap_or_else(|error| Answer::Failed(error.kind(), error.key().cloned()))
}

/// Makes the calls on both, and lists everything at the end.
fn same_answers(
    one: &dyn Backend,
    other: &dyn Backend,
    calls: &[Call],
) -> Result<(), TestCaseError> {
    for call in calls.iter().chain(&[Call::List("")]) {
        prop_assert_eq!(answer(one, call), answer(other, call), "{:?}", call);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_folder_answers_as_memory_does(calls in prop::collection::vec(any_call(), 0..60)) {
        let folder = super::in_ram();
        let local = LocalBackend::open(folder.path()).unwrap();
        same_answers(&local, &MemoryBackend::new(), &calls)?;
    }

    #[test]
    fn conflicting_keys_are_refused_alike(
        calls in prop::collection::vec(read_or_put(CONFLICTING), 0..40),
    ) {
        let folder = super::in_ram();
        let local = LocalBackend::open(folder.path()).unwrap();
        same_answers(&local, &MemoryBackend::new(), &calls)?;
    }

    /// Lost answers and calls that were not made: retries hide them all. Each put has bytes of its
    /// own, since of two puts of equal bytes a retry cannot say which one it was.
    #[test]
    fn retries_hide_what_fails_in_passing(
        calls in prop::collection::vec(any_call(), 0..40),
        faults in prop::collection::btree_map(0..120_u64, any::<bool>(), 0..30),
    ) {
        let faulty = FaultyBackend::new(MemoryBackend::new(), failing_in_passing(&faults));
        let policy = RetryPolicy { attempts: 1000, ..RetryPolicy::fast() };
        let retrying = RetryingBackend::new(faulty, policy);
        let memory = MemoryBackend::new();
        // A listing that broke off after its first item is the caller's to repeat.
        for (number, call) in (0_u32..).zip(calls.iter().filter(|call| !call.is_list())) {
            let call = call.with_body(&number.to_le_bytes());
            prop_assert_eq!(answer(&retrying, &call), answer(&memory, &call), "{:?}", call);
        }
    }
}

/// A plan of calls that fail in passing, before their effect or after it.
fn failing_in_passing(faults: &BTreeMap<u64, bool>) -> FaultPlan {
    faults.iter().fold(FaultPlan::new(), |plan, (number, is_after)| {
        let fault = if *is_after {
            Fault::FailAfter(ErrorKind::Transient)
        } else {
            Fault::FailBefore(ErrorKind::Transient)
        };
        plan.at(*number, fault)
    })
}
