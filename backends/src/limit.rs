//! Limits the bandwidth: `--limit-upload`, `--limit-download`.

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Backend, Entry, Key, Properties, Result, SettingFinding, operation};

/// A limit of bytes a second that all clones share. Without a rate nobody waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Option<Arc<Rate>>);

#[derive(Debug)]
struct Rate {
    bytes_per_second: NonZeroU64,
    /// The moment at which the bytes let through so far are paid for and the next may go.
    free: Mutex<Instant>,
}

impl Pace {
    /// At most so many bytes a second.
    pub(crate) fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self(bytes_per_second.map(|bytes_per_second| {
            Arc::new(Rate { bytes_per_second, free: Mutex::new(Instant::now()) })
        }))
    }

    /// Whether anybody ever waits.
    #[cfg(any(test, feature = "s3", feature = "opendal", feature = "b2"))]
    pub(crate) fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// Reserves time for `bytes`, and returns how long the caller must wait before it sends them.
    /// Turns follow the order of the calls. Idle time is not saved up for a later burst.
    #[must_use]
    pub(crate) fn take(&self, bytes: u64) -> Duration {
        self.take_at(bytes, Instant::now())
    }

    fn take_at(&self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = &self.0 else {
            return Duration::ZERO;
        };
        let micros = u128::from(bytes) * 1_000_000 / u128::from(rate.bytes_per_second.get());
        let lasts = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let mut free = rate.free.lock().unwrap_or_else(PoisonError::into_inner);
        let starts = now.max(*free);
        *free = starts.checked_add(lasts).unwrap_or(starts);
        starts.saturating_duration_since(now)
    }

    /// Waits for the turn of `bytes`.
    pub(crate) fn wait(&self, bytes: u64) {
        thread::sleep(self.take(bytes));
    }

    /// Waits for the turn of `bytes`, without keeping the thread.
    #[cfg(any(feature = "sftp", feature = "s3", feature = "opendal", feature = "b2"))]
    pub(crate) async fn wait_async(&self, bytes: u64) {
        let pause = self.take(bytes);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// A backend that limits the bandwidth. Each body waits for its turn as a whole; remote backends
/// limit their own transfers instead, in small pieces.
#[derive(Debug)]
pub struct LimitedBackend<B> {
    inner: B,
    upload: Pace,
    download: Pace,
}

impl<B: Backend> LimitedBackend<B> {
    /// Limits what goes to and comes from `inner`, in bytes a second.
    pub fn new(inner: B, upload: Option<NonZeroU64>, download: Option<NonZeroU64>) -> Self {
        Self { inner, upload: Pace::new(upload), download: Pace::new(download) }
    }
}

impl<B: Backend> Backend for LimitedBackend<B> {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        self.upload.wait(operation::len(body));
        self.inner.put_new(key, body)
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        let body = self.inner.get(key, range)?;
        self.download.wait(operation::len(&body));
        Ok(body)
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

    fn pace(bytes_per_second: u64) -> Pace {
        Pace::new(NonZeroU64::new(bytes_per_second))
    }

    #[test]
    fn what_comes_after_waits_for_what_went() {
        let pace = pace(1000);
        let now = Instant::now();
        assert_eq!(pace.take_at(500, now), Duration::ZERO);
        assert_eq!(pace.take_at(2000, now), Duration::from_millis(500));
        assert_eq!(pace.clone().take_at(1, now), Duration::from_millis(2500));
    }

    #[test]
    fn idle_time_is_not_made_up_for() {
        let pace = pace(1000);
        let now = Instant::now();
        assert_eq!(pace.take_at(1000, now), Duration::ZERO);
        let later = now + Duration::from_mins(1);
        assert_eq!(pace.take_at(1000, later), Duration::ZERO);
        assert_eq!(pace.take_at(1, later), Duration::from_secs(1));
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let pace = Pace::new(None);
        assert!(!pace.is_limited());
        assert_eq!(pace.take(u64::MAX), Duration::ZERO);
        assert_eq!(pace.take(u64::MAX), Duration::ZERO);
    }

    #[test]
    fn a_rate_of_nearly_nothing_does_not_overflow() {
        let pace = pace(1);
        let _ = pace.take(u64::MAX);
        let _ = pace.take(u64::MAX);
    }
}
