//! Retries calls that failed with a transient error.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::iter;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BlockingRetryable, ExponentialBuilder};

use crate::put::holds;
use crate::{Backend, Entry, Error, ErrorKind, Key, Properties, Result, SettingFinding};

/// How often and how long to retry. The pauses double. Each gets a random extra of up to its own
/// length, so that many clients do not come back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a call is made at most, the first time included.
    pub attempts: usize,
    /// The first pause, without its random part.
    pub first_pause: Duration,
    /// The longest pause, without its random part.
    pub longest_pause: Duration,
    /// No attempt begins later than this after the first failure. An attempt under way may end.
    pub total: Duration,
}

impl RetryPolicy {
    /// The default's pauses, for as long as `total`; zero means a single attempt.
    pub fn lasting(total: Duration) -> Self {
        let attempts = if total.is_zero() { 1 } else { usize::MAX };
        Self { attempts, total, ..Self::default() }
    }

    /// Pauses of a millisecond: for tests.
    pub fn fast() -> Self {
        Self {
            attempts: 5,
            first_pause: Duration::from_micros(100),
            longest_pause: Duration::from_millis(1),
            total: Duration::from_secs(10),
        }
    }

    /// Up to half a minute, with pauses below a second: for tests with servers that are busy at times.
    pub fn patient() -> Self {
        Self { longest_pause: Duration::from_millis(500), ..Self::lasting(Duration::from_secs(30)) }
    }

    fn backoff(&self) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_jitter()
            .with_jitter_seed(seed())
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .with_max_times(self.attempts.saturating_sub(1))
            .with_total_delay(Some(self.total))
    }
}

/// A random seed. Without one, backon's jitter is the same in every process.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Default for RetryPolicy {
    /// Five minutes, enough for the restart of a server or a router.
    fn default() -> Self {
        Self {
            attempts: usize::MAX,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            total: Duration::from_mins(5),
        }
    }
}

/// A backend that retries calls that gave `Transient`, and no others. If the last attempt fails
/// too, the caller gets that attempt's error.
///
/// * `put_new`: an `AlreadyExists` after a `Transient` may come from our own first attempt. The
///   stored bytes decide: Ok if they are equal. So two writers of equal bytes may both get Ok.
/// * `list` is retried only until it yields its first entry; a later error becomes an item.
///
/// Not for a destination whose library retries by itself: the attempts would multiply.
pub struct RetryingBackend<B> {
    inner: B,
    policy: RetryPolicy,
    told: Arc<TellRetry>,
}

/// Called before each retry, with the transient error and the pause before the next attempt.
pub type TellRetry = dyn Fn(&Error, Duration) + Send + Sync;

/// Repeats a call until its result is not `Transient`, or the policy allows no more attempts.
pub(crate) fn retry<T>(
    policy: RetryPolicy,
    tell: &TellRetry,
    call: impl FnMut() -> Result<T>,
) -> Result<T> {
    // The time counts from the first failure, not from the first attempt: otherwise a long transfer
    // that breaks near its end would not be retried.
    let mut failing_since = None;
    call.retry(policy.backoff())
        .when(|error: &Error| {
            let since = *failing_since.get_or_insert_with(Instant::now);
            error.kind() == ErrorKind::Transient && since.elapsed() < policy.total
        })
        .notify(tell)
        .call()
}

impl<B: Backend> RetryingBackend<B> {
    /// Retries the calls of `inner`, and tells nobody.
    pub fn new(inner: B, policy: RetryPolicy) -> Self {
        Self::telling(inner, policy, Arc::new(|_, _| {}))
    }

    /// Retries the calls of `inner`; each call that will be made again is told.
    pub fn telling(inner: B, policy: RetryPolicy, told: Arc<TellRetry>) -> Self {
        Self { inner, policy, told }
    }

    fn retry<T>(&self, call: impl FnMut() -> Result<T>) -> Result<T> {
        retry(self.policy, &*self.told, call)
    }

    /// A listing that got as far as its first item.
    fn begin_listing(&self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + '_> {
        let begun = self.retry(|| {
            // An empty listing is asked again after its end, by `chain`; `fuse` makes that safe.
            let mut listing = self.inner.list(prefix).fuse();
            let first = listing.next().transpose()?;
            Ok(first.map(Ok).into_iter().chain(listing))
        });
        match begun {
            Ok(listing) => Box::new(listing),
            Err(error) => Box::new(iter::once(Err(error))),
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for RetryingBackend<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryingBackend")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl<B: Backend> Backend for RetryingBackend<B> {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        let mut uncertain = false;
        self.retry(|| {
            let put = self.inner.put_new(key, body);
            match put.as_ref().map_err(Error::kind) {
                Err(ErrorKind::Transient) => uncertain = true,
                Err(ErrorKind::AlreadyExists) if uncertain && holds(&self.inner, key, body)? => {
                    return Ok(());
                }
                _ => {}
            }
            put
        })
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        self.retry(|| self.inner.get(key, range.clone()))
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        self.retry(|| self.inner.stat(key))
    }

    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        let prefix = prefix.to_owned();
        Box::new(iter::once_with(move || self.begin_listing(&prefix)).flatten())
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.retry(|| self.inner.delete(key))
    }

    fn remove_stale_temporaries(&self) -> Result<u64> {
        self.retry(|| self.inner.remove_stale_temporaries())
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
    use std::sync::Mutex;

    use super::*;
    use crate::{Fault, FaultPlan, FaultyBackend, MemoryBackend, RecordingBackend, Verb};

    const FAILS: Fault = Fault::FailBefore(ErrorKind::Transient);
    const LOST: Fault = Fault::FailAfter(ErrorKind::Transient);

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    type Planned = RetryingBackend<FaultyBackend<MemoryBackend>>;

    fn planned(memory: &MemoryBackend, plan: FaultPlan) -> Planned {
        let faulty = FaultyBackend::new(memory.clone(), plan);
        RetryingBackend::new(faulty, RetryPolicy::fast())
    }

    fn first_fail(count: u64, fault: Fault) -> FaultPlan {
        (0..count).fold(FaultPlan::new(), |plan, number| plan.at(number, fault))
    }

    #[test]
    fn every_call_is_made_again_up_to_the_limit() {
        let memory = MemoryBackend::new();
        memory.put_new(&key("a/b"), b"x").unwrap();
        let calls: [fn(&Planned) -> Result<()>; 5] = [
            |backend| backend.get(&key("a/b"), None).map(drop),
            |backend| backend.stat(&key("a/b")).map(drop),
            |backend| backend.list("a").collect::<Result<Vec<_>>>().map(drop),
            |backend| backend.put_new(&key("a/c"), b"x"),
            |backend| backend.delete(&key("a/c")),
        ];
        for (number, call) in calls.into_iter().enumerate() {
            let backend = planned(&memory, first_fail(4, FAILS));
            call(&backend).unwrap();
            assert_eq!(backend.inner.count(), 5, "call {number}");
        }
        for (number, call) in calls.into_iter().enumerate() {
            let backend = planned(&memory, first_fail(5, FAILS));
            let error = call(&backend).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Transient, "call {number}");
            assert_eq!(backend.inner.count(), 5, "call {number}");
        }
    }

    /// Clients that lost the same server do not come back at the same moments.
    #[test]
    fn pauses_differ_from_client_to_client() {
        let pauses = || -> Vec<Duration> {
            backon::BackoffBuilder::build(RetryPolicy::default().backoff()).take(3).collect()
        };
        let (one, other) = (pauses(), pauses());
        assert_ne!(one, other);
        let least = RetryPolicy::default().first_pause;
        assert!(one[0] >= least && one[0] <= 2 * least, "{one:?}");
    }

    #[test]
    fn other_errors_are_final() {
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::AlreadyExists,
            ErrorKind::OutOfRange,
            ErrorKind::PermissionDenied,
            ErrorKind::NoSpace,
            ErrorKind::Invalid,
            ErrorKind::Other,
        ] {
            let plan = first_fail(1, Fault::FailBefore(kind));
            let backend = planned(&MemoryBackend::new(), plan);
            assert_eq!(backend.put_new(&key("a"), b"").unwrap_err().kind(), kind);
            assert_eq!(backend.inner.count(), 1);
        }
    }

    #[test]
    fn a_put_whose_answer_was_lost_is_ok() {
        let memory = MemoryBackend::new();
        let backend = planned(&memory, first_fail(1, LOST));
        backend.put_new(&key("a"), b"bytes").unwrap();
        assert_eq!(memory.get(&key("a"), None).unwrap(), b"bytes");
    }

    #[test]
    fn the_comparison_is_made_again_too() {
        let memory = MemoryBackend::new();
        // Put (lost), put, stat (fails), put, stat, get (fails), put, stat, get.
        let plan = FaultPlan::new().at(0, LOST).at(2, FAILS).at(5, FAILS);
        let backend = planned(&memory, plan);
        backend.put_new(&key("a"), b"bytes").unwrap();
        assert_eq!(backend.inner.count(), 9);
    }

    #[test]
    fn a_put_that_lost_against_other_bytes_is_refused() {
        for other in [&b"other"[..], b"bytez", b""] {
            let memory = MemoryBackend::new();
            memory.put_new(&key("a"), other).unwrap();
            let backend = planned(&memory, first_fail(1, FAILS));
            let error = backend.put_new(&key("a"), b"bytes").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            assert_eq!(memory.get(&key("a"), None).unwrap(), other);
        }
    }

    #[test]
    fn equal_bytes_without_a_doubt_are_refused() {
        let memory = MemoryBackend::new();
        memory.put_new(&key("a"), b"same").unwrap();
        let backend = planned(&memory, FaultPlan::new());
        let error = backend.put_new(&key("a"), b"same").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(backend.inner.count(), 1);
    }

    /// Yields one key, and then fails.
    #[derive(Debug)]
    struct BreaksOff(MemoryBackend);

    impl Backend for BreaksOff {
        fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
            self.0.put_new(key, body)
        }
        fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
            self.0.get(key, range)
        }
        fn stat(&self, key: &Key) -> Result<Entry> {
            self.0.stat(key)
        }
        fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
            let broken = iter::once(Err(Error::new(ErrorKind::Transient)));
            Box::new(self.0.list(prefix).take(1).chain(broken))
        }
        fn delete(&self, key: &Key) -> Result<()> {
            self.0.delete(key)
        }
    }

    #[test]
    fn a_listing_that_yielded_something_is_not_begun_again() {
        let memory = MemoryBackend::new();
        memory.put_new(&key("a"), b"").unwrap();
        memory.put_new(&key("b"), b"").unwrap();
        let recording = RecordingBackend::new(BreaksOff(memory));
        let backend = RetryingBackend::new(recording, RetryPolicy::fast());
        let items: Vec<_> = backend.list("").collect();
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].as_ref().unwrap().key, key("a"));
        assert_eq!(items[1].as_ref().unwrap_err().kind(), ErrorKind::Transient);
        assert_eq!(backend.inner.operations().len(), 1);
    }

    #[test]
    fn the_total_time_ends_it() {
        let plan = FaultPlan::new().always(Verb::Stat, "", FAILS);
        let faulty = FaultyBackend::new(MemoryBackend::new(), plan);
        let policy = RetryPolicy {
            attempts: 1_000_000,
            first_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(5),
            total: Duration::from_millis(60),
        };
        let backend = RetryingBackend::new(faulty, policy);
        let started = Instant::now();
        backend.stat(&key("a")).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!((1..=13).contains(&backend.inner.count()));
    }

    #[test]
    fn a_pause_beyond_the_total_time_is_not_begun() {
        let policy = RetryPolicy {
            first_pause: Duration::from_mins(1),
            longest_pause: Duration::from_mins(1),
            ..RetryPolicy::fast()
        };
        let faulty = FaultyBackend::new(MemoryBackend::new(), first_fail(1, FAILS));
        let started = Instant::now();
        let stat = RetryingBackend::new(faulty, policy).stat(&key("a"));
        assert_eq!(stat.unwrap_err().kind(), ErrorKind::Transient);
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn what_breaks_after_a_long_time_is_tried_again() {
        let policy = RetryPolicy {
            // On a busy machine some of it passes without an attempt.
            total: Duration::from_secs(1),
            ..RetryPolicy::fast()
        };
        let backend = RetryingBackend::new(MemoryBackend::new(), policy);
        let mut attempts = 0;
        let result: Result<()> = backend.retry(|| {
            attempts += 1;
            if attempts > 1 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1100));
            Err(Error::new(ErrorKind::Transient))
        });
        assert!(result.is_ok());
    }

    #[test]
    fn slow_attempts_count_for_the_total_time() {
        let policy = RetryPolicy {
            // On a busy machine some of it passes without an attempt.
            total: Duration::from_secs(1),
            ..RetryPolicy::fast()
        };
        let backend = RetryingBackend::new(MemoryBackend::new(), policy);
        let mut attempts = 0;
        let result: Result<()> = backend.retry(|| {
            attempts += 1;
            std::thread::sleep(Duration::from_millis(1100));
            Err(Error::new(ErrorKind::Transient))
        });
        result.unwrap_err();
        // The clock runs from the first failure.
        assert_eq!(attempts, 2);
    }

    #[test]
    fn what_will_be_tried_again_is_told() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&told);
        let tell: Arc<TellRetry> = Arc::new(move |error: &Error, pause| {
            kept.lock().unwrap().push((error.kind(), pause));
        });
        let faulty = FaultyBackend::new(MemoryBackend::new(), first_fail(5, FAILS));
        let backend = RetryingBackend::telling(faulty, RetryPolicy::fast(), tell);
        backend.put_new(&key("a"), b"").unwrap_err();
        let told = told.lock().unwrap();
        // The fifth failure is the caller's.
        assert_eq!(told.len(), 4);
        for (kind, pause) in &*told {
            assert_eq!(*kind, ErrorKind::Transient);
            assert!(!pause.is_zero());
        }
    }

    #[test]
    fn no_time_is_one_attempt() {
        let policy = RetryPolicy::lasting(Duration::ZERO);
        let faulty = FaultyBackend::new(MemoryBackend::new(), first_fail(1, FAILS));
        let backend = RetryingBackend::new(faulty, policy);
        backend.put_new(&key("a"), b"").unwrap_err();
        assert_eq!(backend.inner.count(), 1);
    }

    #[test]
    fn one_attempt_is_none_again() {
        let policy = RetryPolicy { attempts: 1, ..RetryPolicy::fast() };
        let faulty = FaultyBackend::new(MemoryBackend::new(), first_fail(1, FAILS));
        let backend = RetryingBackend::new(faulty, policy);
        backend.put_new(&key("a"), b"").unwrap_err();
        assert_eq!(backend.inner.count(), 1);
    }
}
