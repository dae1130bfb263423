//! Stores long streams (dumps, tars of ordinary files) as parts at the destination.

use std::collections::HashSet;
use std::io::{self, Write};

use seawall_backends::Key;

use super::Error;
use super::heartbeat::Heartbeat;
use crate::crypt::Content;
use crate::object::Sha256;
use crate::repository::manifest::Part;
use crate::repository::parts::{PartOptions, PartTotals, PartWriter};
use crate::repository::{self, Repository};

/// The zstd level of dumps and ordinary files.
const LEVEL: i32 = 3;
/// The most lost parts of one stream that are named.
const MOST: usize = 20;

/// A stream that was stored.
pub struct StoredStream<T> {
    /// Length and SHA-256 before compression.
    pub totals: PartTotals,
    /// Its pieces, in order.
    pub parts: Vec<Part>,
    /// What `write` returned.
    pub value: T,
}

/// Stores all that `write` writes, each part under the name that `name` gives for its index.
pub fn store<T, E>(
    repository: &Repository,
    heartbeat: &Heartbeat,
    name: impl Fn(u32) -> Option<Key>,
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<StoredStream<T>, Error>
where
    Error: From<E>,
{
    let mut parts = Vec::new();
    let mut failure = None;
    let mut beat = None;
    let result = write_parts(
        |index, bytes| {
            put_part(repository, name(index), bytes).map(|part| parts.push(part)).map_err(|error| {
                // The writer above only passes on that something failed; the cause is kept here.
                failure = Some(error);
                io::Error::other("a part could not be stored")
            })
        },
        |out| {
            let mut out = HeartbeatWriter { inner: out, heartbeat, failure: None };
            let result = write(&mut out);
            beat = out.failure;
            result
        },
    );
    match (result, failure.or(beat)) {
        (_, Some(error)) => Err(error.into()),
        (result, None) => {
            let (totals, value) = result?;
            Ok(StoredStream { totals, parts, value })
        }
    }
}

/// A writer that puts heartbeats while a stream goes on: a part may take hours to fill.
struct HeartbeatWriter<'a> {
    inner: &'a mut dyn Write,
    heartbeat: &'a Heartbeat,
    failure: Option<repository::Error>,
}

impl Write for HeartbeatWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.heartbeat.beat() {
            self.failure = Some(error);
            return Err(io::Error::other("a heartbeat could not be stored"));
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn write_parts<T, E>(
    put: impl FnMut(u32, Vec<u8>) -> io::Result<()>,
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<(PartTotals, T), Error>
where
    Error: From<E>,
{
    let mut writer = PartWriter::new(PartOptions::new(LEVEL), put).map_err(Error::Stream)?;
    let value = write(&mut writer)?;
    let totals = writer.finish().map_err(Error::Stream)?;
    Ok((totals, value))
}

fn put_part(
    repository: &Repository,
    key: Option<Key>,
    bytes: Vec<u8>,
) -> Result<Part, repository::Error> {
    let key = key.ok_or_else(|| repository::Error::Malformed {
        what: "the name of a dump or a group of files".into(),
        reason: "it cannot be part of a key".into(),
    })?;
    let stored = repository.seal_file(Content::Data, bytes)?;
    repository.backend().put_new(&key, &stored)?;
    Ok(Part { key, size: stored.len() as u64, sha256: Sha256::of(&stored) })
}

/// Finds lost parts of an earlier snapshot: one alarm each, for the first [`MOST`]. If none is
/// lost, the parts can be named again; otherwise the whole stream is stored again.
pub fn lost(
    repository: &Repository,
    absent: &HashSet<Key>,
    parts: &[Part],
) -> Result<Vec<String>, Error> {
    use seawall_backends::ErrorKind;
    let mut lost = Vec::new();
    for part in parts {
        let is_there = match repository.backend().stat(&part.key) {
            Ok(entry) => entry.len == part.size && !absent.contains(&part.key),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(repository::Error::from(error).into()),
        };
        if !is_there {
            let key = &part.key;
            lost.push(format!("{key} is lost or altered; what it was a part of is stored again"));
            if lost.len() == MOST {
                break;
            }
        }
    }
    Ok(lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::names;
    use crate::time::Clock;
    use seawall_backends::{
        Backend as _, ErrorKind, Fault, FaultPlan, FaultyBackend, MemoryBackend, Verb,
    };
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use crate::crypt::Seal;

    /// Stores a stream of ten pieces, an hour each.
    fn store_for_ten_hours(plan: FaultPlan) -> (MemoryBackend, Result<StoredStream<()>, Error>) {
        let memory = MemoryBackend::new();
        let backend = Arc::new(FaultyBackend::new(memory.clone(), plan));
        let hours = std::sync::atomic::AtomicU32::new(0);
        let clock = Clock::new(move || {
            let hour = hours.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            SystemTime::UNIX_EPOCH + Duration::from_hours(500_000 + u64::from(hour))
        });
        let repository = Repository::make(backend, "test", clock.now(), Seal::None).unwrap();
        let snapshot = "2026-11-22T20-40-05Z-9f3c".parse().unwrap();
        let heartbeat = Heartbeat::new(&repository, &clock, snapshot);
        let name = |index| names::dump_part(snapshot, "seafile", "db", index, repository.seal());
        let stored = store(&repository, &heartbeat, name, |out| {
            (0..10).try_for_each(|_| out.write_all(b"piece")).map_err(Error::Stream)
        });
        (memory, stored)
    }

    #[test]
    fn a_long_stream_says_that_it_is_alive() {
        let (memory, stored) = store_for_ten_hours(FaultPlan::new());
        assert_eq!(stored.unwrap().totals.plain_len, 50);
        assert_eq!(memory.list(names::RUNS).count(), 1);
    }

    #[test]
    fn a_heartbeat_that_cannot_be_stored_is_told() {
        let full = Fault::FailBefore(ErrorKind::NoSpace);
        let (_, stored) =
            store_for_ten_hours(FaultPlan::new().always(Verb::Put, names::RUNS, full));
        let Err(Error::Repository(repository::Error::Backend(error))) = stored else {
            panic!("it has to fail with the destination's error");
        };
        assert_eq!(error.kind(), ErrorKind::NoSpace);
    }
}
