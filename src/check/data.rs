//! The second level: reads every stored byte that a marker names, and compares SHA-256. Each thing
//! once, several at a time, without keys.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use seawall_backends::{self as backends, Backend, ErrorKind, Key};
use sha2::Digest as _;

use super::Options;
use super::naming::unreadable;
use super::needs::{Needs, Reading, Thing};
use super::problems::Problems;
use super::report::ProblemKind;
use crate::object::Sha256;
use crate::repository::{Error, Repository, Result};

/// What is not longer is read in one call, the rest in pieces of this length: a pack is about 32 MiB.
const PIECE_BYTES: u64 = 64 << 20;
/// So many things in a row that the destination did not give: it is out of reach.
const PATIENCE: usize = 8;

/// What a worker found.
struct Hashed<'a> {
    key: &'a Key,
    thing: &'a Thing,
    result: backends::Result<Sha256>,
}

/// Reads all that was not read already and has no problem yet. Returns how many bytes it read.
pub(super) fn read(
    repository: &Repository,
    options: &Options,
    needs: &Needs,
    problems: &mut Problems,
    progress: &dyn Fn(&str),
) -> Result<u64> {
    let mut work: Vec<(&Key, &Thing)> = needs
        .iter()
        .filter(|(_, thing)| thing.reading == Reading::None && thing.trouble().is_none())
        .collect();
    // As they lie on a disk.
    work.sort_unstable_by_key(|(key, _)| *key);
    let total = work.iter().filter_map(|(_, thing)| thing.listed).sum();
    let (sender, receiver) = bounded(options.workers.max(1));
    let pool = Pool {
        backend: repository.backend().as_ref(),
        work: &work,
        next: AtomicUsize::new(0),
        is_stopped: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        for _ in 0..options.workers.clamp(1, work.len().max(1)) {
            let (pool, sender) = (&pool, sender.clone());
            scope.spawn(move || pool.work(&sender));
        }
        drop(sender);
        let result = collect(&receiver, needs, problems, &Meter { total, progress });
        pool.is_stopped.store(true, Ordering::Relaxed);
        // Whoever waits to send sees that nobody listens.
        drop(receiver);
        result
    })
}

/// What the workers share.
struct Pool<'a> {
    backend: &'a dyn Backend,
    work: &'a [(&'a Key, &'a Thing)],
    next: AtomicUsize,
    is_stopped: AtomicBool,
}

impl<'a> Pool<'a> {
    fn work(&self, results: &Sender<Hashed<'a>>) {
        while !self.is_stopped.load(Ordering::Relaxed) {
            let Some(&(key, thing)) = self.work.get(self.next.fetch_add(1, Ordering::Relaxed))
            else {
                return;
            };
            let len = thing.listed.unwrap_or_default();
            let result = hash(self.backend, key, len, PIECE_BYTES);
            if results.send(Hashed { key, thing, result }).is_err() {
                return;
            }
        }
    }
}

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

/// Takes what the workers found.
fn collect(
    results: &Receiver<Hashed<'_>>,
    needs: &Needs,
    problems: &mut Problems,
    meter: &Meter<'_>,
) -> Result<u64> {
    let mut read = 0;
    let mut failures = 0;
    for Hashed { key, thing, result } in results {
        let mut problem = |kind, detail: String| {
            problems.add(key, kind, detail, needs.snapshots(thing));
        };
        match result {
            Ok(sha256) => {
                failures = 0;
                meter.tell(read, thing.listed.unwrap_or_default());
                read += thing.listed.unwrap_or_default();
                if sha256 != thing.sha256 {
                    problem(
                        ProblemKind::Altered,
                        "its bytes are not what the marker says".into(),
                    );
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                problem(ProblemKind::Missing, "is missing".into());
            }
            Err(error) => {
                failures += usize::from(error.kind() == ErrorKind::Transient);
                if failures >= PATIENCE {
                    return Err(Error::Backend(error));
                }
                problem(ProblemKind::Unreadable, unreadable(&error));
            }
        }
    }
    Ok(read)
}

/// Says how far it is, in tenths.
struct Meter<'a> {
    total: u64,
    progress: &'a dyn Fn(&str),
}

impl Meter<'_> {
    fn tell(&self, before: u64, more: u64) {
        let tenths = |bytes: u64| bytes.saturating_mul(10) / self.total.max(1);
        if tenths(before + more) > tenths(before) {
            let mebibytes = |bytes: u64| bytes >> 20;
            (self.progress)(&format!(
                "read {} of {} MiB",
                mebibytes(before + more),
                mebibytes(self.total)
            ));
        }
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
