//! The second level: reads every stored byte that a marker names, or a part of them, and compares
//! its SHA-256. It reads each thing once, several at a time, and needs no keys.

use seawall_backends::{self as backends, Backend, ErrorKind, Key};
use sha2::Digest as _;

use super::Options;
use super::naming::unreadable;
use super::needs::{NeedReading, Needs, Thing};
use super::problems::Problems;
use super::report::{Amount, ProblemKind};
use crate::object::Sha256;
use crate::repository::pool;
use crate::repository::{Error, Repository, Result};

/// Longer things are read in pieces of this length, all others in one call. A pack is about 32 MiB.
const PIECE_BYTES: u64 = 64 << 20;
/// After so many transient errors without a success between them the destination is out of reach.
const PATIENCE: usize = 8;

/// Reads what the subset chooses of all things that were not read yet and have no problem. Returns
/// how much it read.
pub(super) fn read(
    repository: &Repository,
    options: &Options,
    needs: &Needs,
    problems: &mut Problems,
    progress: &dyn Fn(&str),
) -> Result<Amount> {
    let mut work: Vec<(&Key, &Thing)> = needs
        .iter()
        .filter(|(_, thing)| thing.reading == NeedReading::None && thing.trouble().is_none())
        .collect();
    // In the order of names, in which things lie on a disk.
    work.sort_unstable_by_key(|(key, _)| *key);
    let work =
        options.subset.choose(work, |(key, thing)| (*key, thing.listed.unwrap_or_default()))?;
    let mut meter = Meter::new(work.iter().filter_map(|(_, thing)| thing.listed).sum(), progress);
    let backend = repository.backend().as_ref();
    let mut patience = Patience::default();
    let mut read = Amount::default();
    let hashed = |(key, thing): (&Key, &Thing)| {
        let len = thing.listed.unwrap_or_default();
        hash(backend, key, len, PIECE_BYTES)
    };
    pool::run(
        options.workers.min(work.len()),
        work.into_iter().map(Ok),
        |item| (item, hashed(item)),
        |((key, thing), result)| {
            let mut problem = |kind, detail: String| {
                problems.add(key, kind, detail, needs.snapshots(thing));
            };
            match patience.judge(result)? {
                Ok(sha256) => {
                    let len = thing.listed.unwrap_or_default();
                    meter.add(len);
                    read.add(len);
                    if sha256 != thing.sha256 {
                        problem(ProblemKind::Altered, ALTERED.into());
                    }
                }
                Err((kind, detail)) => problem(kind, detail),
            }
            Ok(())
        },
    )?;
    Ok(read)
}

/// The text for bytes whose SHA-256 differs from the expected one.
pub(super) const ALTERED: &str = "its bytes are not what the marker says";

fn hash(backend: &dyn Backend, key: &Key, len: u64, piece_bytes: u64) -> backends::Result<Sha256> {
    if len <= piece_bytes {
        return Ok(Sha256::of(&backend.get(key, None)?));
    }
    let mut hasher = sha2::Sha256::new();
    let mut start = 0;
    while start < len {
        let end = len.min(start + piece_bytes);
        hasher.update(backend.get(key, Some(start..end))?);
        start = end;
    }
    Ok(Sha256::new(hasher.finalize().into()))
}

/// Distinguishes a thing that cannot be read from a destination that is out of reach.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: usize,
}

impl Patience {
    /// The problem that a failed read shows in the thing. Fails if the destination does not answer
    /// any more.
    pub(super) fn judge<T>(
        &mut self,
        result: backends::Result<T>,
    ) -> Result<Result<T, (ProblemKind, String)>> {
        let error = match result {
            Ok(value) => {
                self.failures = 0;
                return Ok(Ok(value));
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::NotFound {
            return Ok(Err((ProblemKind::Missing, "is missing".into())));
        }
        self.failures += usize::from(error.kind() == ErrorKind::Transient);
        if self.failures >= PATIENCE {
            return Err(Error::Backend(error));
        }
        Ok(Err((ProblemKind::Unreadable, unreadable(&error))))
    }
}

/// Reports progress, at every tenth.
pub(super) struct Meter<'a> {
    total: u64,
    read: u64,
    progress: &'a dyn Fn(&str),
}

impl<'a> Meter<'a> {
    /// A meter for `total` bytes that are to be read.
    pub(super) fn new(total: u64, progress: &'a dyn Fn(&str)) -> Self {
        Self { total, read: 0, progress }
    }

    /// Adds bytes that were read.
    pub(super) fn add(&mut self, more: u64) {
        let tenths = |bytes: u64| bytes.saturating_mul(10) / self.total.max(1);
        let after = self.read + more;
        if tenths(after) > tenths(self.read) {
            let mebibytes = |bytes: u64| bytes >> 20;
            (self.progress)(&format!("read {} of {} MiB", mebibytes(after), mebibytes(self.total)));
        }
        self.read = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_backends::MemoryBackend;

    #[test]
    fn pieces_give_the_hash_of_the_whole() {
        let backend = MemoryBackend::new();
        let key = Key::parse("a/b").unwrap();
        let body: Vec<u8> = (0..100).collect();
        backend.put_new(&key, &body).unwrap();
        for piece_bytes in [1, 7, 50, 99, 100, 101, 1000] {
            let sha256 = hash(&backend, &key, 100, piece_bytes).unwrap();
            assert_eq!(sha256, Sha256::of(&body), "{piece_bytes}");
        }
        // Shorter than the listing said: an error, not the hash of what there is.
        assert!(hash(&backend, &key, 101, 50).is_err());
    }
}
