//! The files with which runs and prune avoid each other: intents, heartbeats, tombstones and damage
//! records below `data/runs/`, all plain text (docs/format.md, "Runs").

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use seawall_backends::{Backend, ErrorKind, Key};

use super::configuration::RepositoryId;
use super::names::{self, SnapshotId};
use super::note::KeyId;
use super::snapshots::{Markers, Snapshot};
use super::{Error, bounded, guard};
use crate::time::Timestamp;

/// The most bytes of all tombstones and damage records together: about two million keys.
pub const MAX_BYTES: u64 = 256 << 20;

/// How often a long run writes a heartbeat.
pub const HEARTBEAT_EVERY: Duration = Duration::from_hours(6);

/// Reserves a snapshot's name: `wanted`, or the same name some seconds later if it is taken. An
/// intent takes a name, and so does anything in `markers/` (a void, a bad marker): else the run
/// would fail at its end because its marker's name is not free.
///
/// When this returns, the intent is stored. On an unproven destination this put also tests whether
/// the destination overwrites.
pub fn put_intent(
    backend: &dyn Backend,
    place: &str,
    repository: &RepositoryId,
    host: KeyId,
    wanted: SnapshotId,
) -> Result<SnapshotId, Error> {
    let mut snapshot = wanted;
    loop {
        match backend.stat(&names::marker(snapshot)) {
            Ok(_) => {
                snapshot = snapshot.next();
                continue;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let text = format!(
            "seawall intent 1\nrepository {repository}\nsnapshot {snapshot}\nhost {host}\nprocess {}\n",
            std::process::id()
        );
        let key = names::intent(snapshot);
        match backend.put_new(&key, text.as_bytes()) {
            Ok(()) => {
                let proved = guard::prove(backend, place, &key, text.as_bytes());
                if proved.is_err() {
                    // Without permission to delete, the intent stays, and looks like a run that
                    // never ended.
                    let _ = backend.delete(&key);
                }
                return proved.map(|()| snapshot);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => snapshot = snapshot.next(),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Stores a heartbeat: a long run is still alive.
pub fn put_heartbeat(
    backend: &dyn Backend,
    snapshot: SnapshotId,
    number: u32,
    now: Timestamp,
) -> Result<(), Error> {
    let text = format!("seawall heartbeat 1\nsnapshot {snapshot}\ntime {now}\n");
    Ok(backend.put_new(&names::heartbeat(snapshot, number), text.as_bytes())?)
}

/// A run with an intent, as a listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedRun {
    /// Its name.
    pub snapshot: SnapshotId,
    /// When its first file was stored, by the storage's clock.
    pub first: Timestamp,
    /// When its intent or newest heartbeat was stored.
    pub last: Timestamp,
}

/// Every run with an intent or heartbeat, in order of names. Only lists, reads nothing.
pub fn seen(backend: &dyn Backend) -> Result<Vec<ListedRun>, Error> {
    let mut runs: BTreeMap<SnapshotId, ListedRun> = BTreeMap::new();
    for entry in backend.list(names::RUNS) {
        let entry = entry?;
        let Some(snapshot) = names::parse_run(&entry.key) else {
            continue;
        };
        let time = Timestamp::from_system(entry.modified);
        let run = runs.entry(snapshot).or_insert(ListedRun { snapshot, first: time, last: time });
        run.first = run.first.min(time);
        run.last = run.last.max(time);
    }
    Ok(runs.into_values().collect())
}

/// Keeps the runs that have no marker and are newer than every snapshot of their host: they still
/// run, or died. List runs before markers: then a run that ends in between has its marker.
pub fn unfinished(seen: Vec<ListedRun>, markers: &Markers) -> Vec<ListedRun> {
    let ended = markers.voids.iter();
    let ended: BTreeSet<SnapshotId> = ended
        .chain(markers.bad.iter().map(|bad| &bad.key))
        .filter_map(names::parse_marker)
        .collect();
    let is_open = |run: &ListedRun| {
        let of_host = markers.snapshots.iter().map(Snapshot::id);
        let newest = of_host.filter(|snapshot| snapshot.host() == run.snapshot.host()).max();
        !ended.contains(&run.snapshot) && newest.is_none_or(|newest| newest < run.snapshot)
    };
    seen.into_iter().filter(is_open).collect()
}

/// The text of a tombstone or damage record.
pub fn record_text<'a>(title: &str, keys: impl Iterator<Item = &'a Key>) -> String {
    let mut text = format!("{title}\n");
    for key in keys {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "key {key}");
    }
    text
}

/// First line of a tombstone: the keys that prune is about to delete.
pub const TOMBSTONE: &str = "seawall tombstone 1";
/// First line of a damage record: the keys that a check found bad.
pub const DAMAGE: &str = "seawall damage 1";

/// Reads every tombstone and damage record: these keys count as absent for a whole run.
///
/// A record of an unknown kind is an error: its writer may be about to delete something.
pub fn absent_keys(backend: &dyn Backend) -> Result<HashSet<Key>, Error> {
    let mut absent = HashSet::new();
    let mut left = MAX_BYTES;
    for entry in backend.list(names::RUNS) {
        let entry = entry?;
        let key = &entry.key;
        if names::parse_run(key).is_some() {
            continue;
        }
        match bounded::get_listed(backend, &entry, left) {
            Ok(Some(bytes)) => {
                left -= bytes.len() as u64;
                read_record(key, &bytes, &mut absent)?;
            }
            Ok(None) => {
                return Err(Error::Malformed {
                    what: key.to_string(),
                    reason: format!("the records in {} are too long", names::RUNS),
                });
            }
            // A prune that ended meanwhile has removed its tombstone. What it deleted is gone.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(absent)
}

/// Reads every damage record: the keys that a check found bad. Skips records that make no sense,
/// since only people are told.
pub fn damaged_keys(backend: &dyn Backend) -> Result<HashSet<Key>, Error> {
    let mut damaged = HashSet::new();
    let mut left = MAX_BYTES;
    for entry in backend.list(names::RUNS) {
        let entry = entry?;
        if names::parse_run(&entry.key).is_some() {
            continue;
        }
        let bytes = match bounded::get_listed(backend, &entry, left) {
            Ok(Some(bytes)) => bytes,
            Err(error) if error.kind() == ErrorKind::Transient => return Err(error.into()),
            Ok(None) | Err(_) => continue,
        };
        left -= bytes.len() as u64;
        let text = String::from_utf8_lossy(&bytes);
        let Some(lines) = text.strip_prefix(DAMAGE) else {
            continue;
        };
        let keys = lines.lines().filter_map(|line| line.strip_prefix("key "));
        damaged.extend(keys.filter_map(|key| Key::parse(key).ok()));
    }
    Ok(damaged)
}

fn read_record(record: &Key, bytes: &[u8], absent: &mut HashSet<Key>) -> Result<(), Error> {
    let malformed =
        |reason: &str| Error::Malformed { what: record.to_string(), reason: reason.into() };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
    let mut lines = text.lines();
    if !matches!(lines.next(), Some(TOMBSTONE | DAMAGE)) {
        return Err(malformed("it is a record of a kind that this version does not know"));
    }
    for line in lines {
        let Some(("key", key)) = line.split_once(' ') else {
            continue;
        };
        absent.insert(Key::parse(key).map_err(|error| malformed(&error.to_string()))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use seawall_backends::MemoryBackend;

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    #[test]
    fn a_taken_name_gives_way_to_the_next_second() {
        let backend = MemoryBackend::default();
        let repository = RepositoryId::random().unwrap();
        let wanted: SnapshotId = "2026-11-22T20-40-05Z-9f3c".parse().unwrap();
        let host = KeyId::new([0x9f, 0x3c, 0, 0]);
        let first = put_intent(&backend, "here", &repository, host, wanted).unwrap();
        let second = put_intent(&backend, "here", &repository, host, wanted).unwrap();
        assert_eq!((first, second), (wanted, wanted.next()));
        let text = String::from_utf8(backend.get(&names::intent(first), None).unwrap()).unwrap();
        assert!(text.starts_with("seawall intent 1\n") && text.contains(&repository.to_string()));
    }

    #[test]
    fn a_name_is_taken_if_anything_is_at_its_marker() {
        let backend = MemoryBackend::default();
        let repository = RepositoryId::random().unwrap();
        let wanted: SnapshotId = "2026-11-22T20-40-05Z-9f3c".parse().unwrap();
        let host = KeyId::new([0x9f, 0x3c, 0, 0]);
        for (snapshot, bytes) in [(wanted, &b"seawall void 1\n"[..]), (wanted.next(), b"")] {
            backend.put_new(&names::marker(snapshot), bytes).unwrap();
        }
        let taken = put_intent(&backend, "here", &repository, host, wanted).unwrap();
        assert_eq!(taken, wanted.next().next());
    }

    #[test]
    fn intents_and_heartbeats_are_no_records() {
        let backend = MemoryBackend::default();
        let snapshot: SnapshotId = "2026-11-22T20-40-05Z-9f3c".parse().unwrap();
        backend.put_new(&names::intent(snapshot), b"anything").unwrap();
        put_heartbeat(&backend, snapshot, 1, Timestamp::from_seconds(0).unwrap()).unwrap();
        assert!(absent_keys(&backend).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn records_round_trip(names in prop::collection::hash_set("[a-z0-9]{1,20}", 0..20), damage in any::<bool>()) {
            let backend = MemoryBackend::default();
            let keys: HashSet<Key> = names.iter().map(|name| key(&format!("data/blocks/{name}"))).collect();
            let title = if damage { DAMAGE } else { TOMBSTONE };
            let text = record_text(title, keys.iter());
            backend.put_new(&key("data/runs/prune-1"), text.as_bytes()).unwrap();
            prop_assert_eq!(absent_keys(&backend).unwrap(), keys);
        }

        #[test]
        fn arbitrary_records_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let backend = MemoryBackend::default();
            backend.put_new(&key("data/runs/prune-1"), &bytes).unwrap();
            prop_assert!(absent_keys(&backend).is_err());
        }
    }
}
