//! What runs and prune write to stay out of each other's way: intents, heartbeats, tombstones and
//! damage records below `data/runs/`, all plain text (docs/format.md, "Runs").

use std::collections::HashSet;
use std::fmt::Write as _;

use seawall_backends::{Backend, ErrorKind, Key};

use super::Error;
use super::configuration::RepositoryId;
use super::names::{self, SnapshotId};
use super::note::KeyId;
use crate::time::Timestamp;

/// No record is longer.
const MAX_BYTES: u64 = 1 << 30;

/// Takes the name of a snapshot: `wanted`, or a later second if it is taken. The intent is there
/// when this returns.
pub fn put_intent(
    backend: &dyn Backend,
    repository: &RepositoryId,
    host: KeyId,
    wanted: SnapshotId,
) -> Result<SnapshotId, Error> {
    let mut snapshot = wanted;
    loop {
        let text = format!(
            "seawall intent 1\nrepository {repository}\nsnapshot {snapshot}\nhost {host}\nprocess {}\n",
            std::process::id()
        );
        match backend.put_new(&names::intent(snapshot), text.as_bytes()) {
            Ok(()) => return Ok(snapshot),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => snapshot = snapshot.next(),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Says that a long run is alive.
pub fn put_heartbeat(
    backend: &dyn Backend,
    snapshot: SnapshotId,
    number: u32,
    now: Timestamp,
) -> Result<(), Error> {
    let text = format!("seawall heartbeat 1\nsnapshot {snapshot}\ntime {now}\n");
    Ok(backend.put_new(&names::heartbeat(snapshot, number), text.as_bytes())?)
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

/// First line of what prune is about to delete.
pub const TOMBSTONE: &str = "seawall tombstone 1";
/// First line of what a check found to be bad.
pub const DAMAGE: &str = "seawall damage 1";

/// Reads every tombstone and damage record: the keys that count as absent for a whole run.
///
/// A record of an unknown kind stops the run: whoever wrote it may be about to delete something.
pub fn absent_keys(backend: &dyn Backend) -> Result<HashSet<Key>, Error> {
    let mut absent = HashSet::new();
    for entry in backend.list(names::RUNS) {
        let key = entry?.key;
        let name = key.as_str().rsplit('/').next().unwrap_or_default();
        let run = name.split_once('.').map_or(name, |(run, _)| run);
        if run.parse::<SnapshotId>().is_ok() {
            continue;
        }
        match backend.get(&key, None) {
            Ok(bytes) => read_record(&key, &bytes, &mut absent)?,
            // A prune that ended meanwhile took its tombstone away; what it deleted is gone.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(absent)
}

fn read_record(record: &Key, bytes: &[u8], absent: &mut HashSet<Key>) -> Result<(), Error> {
    let malformed = |reason: &str| Error::Malformed {
        what: record.to_string(),
        reason: reason.into(),
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(malformed("it is too long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
    let mut lines = text.lines();
    if !matches!(lines.next(), Some(TOMBSTONE | DAMAGE)) {
        return Err(malformed(
            "it is a record of a kind that this version does not know",
        ));
    }
    for line in lines {
        let Some(("key", key)) = line.split_once(' ') else {
            continue;
        };
        absent.insert(Key::parse(key).map_err(|error| malformed(&error.to_string()))?);
    }
    Ok(())
}
