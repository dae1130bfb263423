//! The transfer layer: moves bytes to one kind of destination.
//!
//! It knows no Seafile, no keys of encryption and no command line. [`Backend`] is the contract; the
//! conformance suite (`conformance`, behind the feature of that name) holds every implementation
//! to each of its sentences.
//!
//! * Destinations: [`LocalBackend`], [`SftpBackend`], [`S3Backend`], [`B2Backend`],
//!   [`OpendalBackend`]; and
//!   [`MemoryBackend`], which is the contract's reference. [`open()`] and [`create()`] find the
//!   right one for a URL and [`Options`].
//! * Wrappers, which are backends themselves: [`RetryingBackend`] retries transient errors,
//!   [`LimitedBackend`] limits the bandwidth, [`LookingBackend`] looks before it writes to a
//!   destination that would overwrite; [`RecordingBackend`] and [`FaultyBackend`] are for tests.
//! * Conveniences are free functions beside the trait: [`put_same`], [`probe`].
//!
//! The trait is synchronous. Async libraries run on one private tokio runtime of this crate.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

#[cfg(feature = "b2")]
mod b2;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod destination;
mod error;
mod exposure;
mod faulty;
#[cfg(any(feature = "s3", feature = "opendal", feature = "b2"))]
mod http;
mod key;
mod limit;
mod local;
mod memory;
mod open;
#[cfg(feature = "opendal")]
mod opendal;
mod operation;
mod options;
mod properties;
mod put;
mod range;
mod record;
mod retry;
#[cfg(any(feature = "sftp", feature = "s3", feature = "opendal", feature = "b2"))]
mod runtime;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "sftp")]
mod sftp;
mod temporary;
#[cfg(test)]
mod tests;
mod weak;

#[cfg(feature = "b2")]
pub use b2::B2Backend;
pub use destination::{ParsedUrl, Remote, Scheme};
pub use error::{Error, ErrorKind, Result};
pub use exposure::{Exposure, refuse_exposed};
pub use faulty::{Fault, FaultPlan, FaultyBackend};
pub use key::{InvalidKey, Key};
pub use limit::LimitedBackend;
pub use local::LocalBackend;
pub use memory::{MemoryBackend, MemoryClock};
pub use open::{create, local_path, open};
#[cfg(feature = "opendal")]
pub use opendal::OpendalBackend;
pub use operation::{Operation, Verb};
pub use options::{Ask, Options, Ssh, Variable};
pub use properties::{Properties, SettingFinding, Weight, Writes};
pub use put::{Put, put_same};
pub use record::{Recorded, RecordingBackend};
pub use retry::{RetryPolicy, RetryingBackend, TellRetry};
#[cfg(feature = "s3")]
pub use s3::S3Backend;
#[cfg(feature = "sftp")]
pub use sftp::SftpBackend;
/// Parsers of the user's SSH settings, public so that the fuzz targets reach them.
#[cfg(feature = "sftp")]
pub mod ssh {
    pub use crate::sftp::config::{BadLine, Proxy, Settings};
    pub use crate::sftp::known_hosts::{KnownHosts, KnownHostsLine, Verdict};
}
pub use weak::{LookingBackend, probe};

/// One stored thing, as a listing or [`Backend::stat`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// Its length in bytes.
    pub len: u64,
    /// When it was stored, by the storage's own clock.
    pub modified: std::time::SystemTime,
}

/// A destination that stores whole things under names and never changes them.
///
/// * *Write-once*: [`put_new`](Self::put_new) of an existing key gives `AlreadyExists`, its bytes
///   untouched; of two racing writers exactly one gets Ok.
/// * *Atomic*: to every reader, at every moment, a key is absent or whole. Temporaries are never listed.
/// * *Durable*: after Ok the bytes survive a power cut, as far as the destination can promise it.
/// * *Visible*: after Ok every client sees it.
/// * *Uncertain*: a `Transient` error means that the effect is unknown, and a retry is safe; an
///   `AlreadyExists` after a retry may be our own first attempt, so callers use [`put_same`].
/// * *Exact ranges*: a read gives all bytes of the range, or `OutOfRange`; never fewer bytes.
/// * *List*: a listing gives each key under a prefix of whole segments once, in any order. For an
///   unknown prefix it is empty.
/// * *Delete* is idempotent.
/// * *Leftovers*: a client that dies may leave half-written files. They are never listed, and
///   [`remove_stale_temporaries`](Self::remove_stale_temporaries) removes them.
/// * *Folders* do not exist for a caller: they come with the first key in them, and cannot be read,
///   listed or deleted. A destination with files and folders cannot store a key below another key
///   (`a/b` and `a`): the put gives `Invalid`, and nothing is lost.
///
/// An error names the key that the call was about.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Stores `body` under `key`, which must be new.
    ///
    /// Errors: `AlreadyExists`, `PermissionDenied`, `NoSpace`, `Transient`, `Invalid`, `Other`.
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()>;

    /// The bytes of `key`, whole or the given range (start inclusive, end exclusive, at most its length).
    ///
    /// Errors: `NotFound`, `OutOfRange`, `PermissionDenied`, `Transient`, `Invalid`, `Other`.
    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>>;

    /// Length and time of `key`. Errors as for [`get`](Self::get).
    fn stat(&self, key: &Key) -> Result<Entry>;

    /// Every key below `prefix`, which is empty or whole segments without a slash at the end (any
    /// other prefix: one `Invalid`).
    ///
    /// An item may be an error about one part of the listing, with other items after it. A caller
    /// that needs the whole listing must read every item and fail at the first error.
    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a>;

    /// Removes `key`. A missing key is not an error.
    fn delete(&self, key: &Key) -> Result<()>;

    /// Removes half-written files of clients that died, and returns their number. The files of a
    /// running client stay. It never removes a key. It needs no permission to delete: files that it
    /// may not remove stay and are not counted. It may cost as much as listing everything.
    ///
    /// Errors: `Transient`, `Other`. The default is for destinations without temporary files.
    fn remove_stale_temporaries(&self) -> Result<u64> {
        Ok(0)
    }

    /// Facts that decide how the destination is used. A wrapper passes on those of the inner one.
    fn properties(&self) -> Properties {
        Properties::default()
    }

    /// Says that the administrator accepts [`Writes::Weak`]. If the destination refuses the request
    /// that would keep it from overwriting, the backend then writes without it.
    fn accept_weak_writes(&self) {}

    /// Facts, seen since the destination was opened, that make the stored bytes less safe than the
    /// contract says. Each is listed once, for the report of a run. A wrapper passes them on.
    fn weaknesses(&self) -> Vec<String> {
        Vec::new()
    }

    /// Advice about the destination's own settings, for `doctor`. It makes a few calls and changes
    /// nothing. If a setting cannot be read, a finding says so.
    fn examine(&self) -> Vec<SettingFinding> {
        Vec::new()
    }
}

impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        (**self).put_new(key, body)
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        (**self).get(key, range)
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        (**self).stat(key)
    }

    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        (**self).list(prefix)
    }

    fn delete(&self, key: &Key) -> Result<()> {
        (**self).delete(key)
    }

    fn remove_stale_temporaries(&self) -> Result<u64> {
        (**self).remove_stale_temporaries()
    }

    fn properties(&self) -> Properties {
        (**self).properties()
    }

    fn accept_weak_writes(&self) {
        (**self).accept_weak_writes();
    }

    fn weaknesses(&self) -> Vec<String> {
        (**self).weaknesses()
    }

    fn examine(&self) -> Vec<SettingFinding> {
        (**self).examine()
    }
}
