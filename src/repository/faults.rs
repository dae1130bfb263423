//! Which snapshots need a stored file that a check found bad.
//!
//! A check records bad files in `data/runs/damaged-…`. The next backup stores their content again
//! under other names, but older snapshots still name the bad files. Reads records, lists and sums,
//! which need no key.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use seawall_backends::{ErrorKind, Key};

use super::index::{self, List};
use super::marker::Named;
use super::names::{self, SnapshotId};
use super::snapshots::Snapshot;
use super::sums::Sums;
use super::{Error, Repository, Result, runs};

/// Stored files that a damage record names, by the snapshots that need them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    by_snapshot: BTreeMap<SnapshotId, BTreeSet<Key>>,
}

impl Faults {
    /// Reads the damage records. Reads what the snapshots name only if there is a record.
    pub fn read(repository: &Repository, snapshots: &[Snapshot]) -> Result<Self> {
        let bad = runs::damaged_keys(repository.backend().as_ref())?;
        let mut faults = Self::default();
        if bad.is_empty() {
            return Ok(faults);
        }
        // Snapshots share lists, so each list is read once.
        let mut of_lists: HashMap<&Key, BTreeSet<Key>> = HashMap::new();
        for snapshot in snapshots {
            let marker = &snapshot.marker;
            let mut hit: BTreeSet<Key> = BTreeSet::new();
            let named = marker.lists.iter().chain(&marker.keys).chain([&marker.sums]);
            hit.extend(named.map(|named| named.key.clone()).filter(|key| bad.contains(key)));
            hit.extend(of_sums(repository, snapshot, &bad)?);
            for named in &marker.lists {
                if !of_lists.contains_key(&named.key) {
                    of_lists.insert(&named.key, of_list(repository, named, &bad)?);
                }
                hit.extend(of_lists.get(&named.key).into_iter().flatten().cloned());
            }
            if !hit.is_empty() {
                faults.by_snapshot.insert(snapshot.id(), hit);
            }
        }
        Ok(faults)
    }

    /// How many bad files a snapshot needs.
    pub fn of(&self, snapshot: SnapshotId) -> u64 {
        self.by_snapshot.get(&snapshot).map_or(0, |keys| keys.len() as u64)
    }

    /// Each bad file that some snapshot needs, with those snapshots.
    pub fn by_key(&self) -> BTreeMap<&Key, Vec<SnapshotId>> {
        let mut keys: BTreeMap<&Key, Vec<SnapshotId>> = BTreeMap::new();
        for (snapshot, hit) in &self.by_snapshot {
            for key in hit {
                keys.entry(key).or_default().push(*snapshot);
            }
        }
        keys
    }
}

fn of_sums(
    repository: &Repository,
    snapshot: &Snapshot,
    bad: &HashSet<Key>,
) -> Result<BTreeSet<Key>> {
    let sums = readable(index::read_sums(repository, &snapshot.marker))?;
    let entries = sums.iter().flat_map(Sums::entries);
    let keys = entries.map(|(_, key)| key.clone());
    Ok(keys.filter(|key| bad.contains(key)).collect())
}

fn of_list(repository: &Repository, named: &Named, bad: &HashSet<Key>) -> Result<BTreeSet<Key>> {
    let Some(list) = readable(List::read(repository, named))? else {
        return Ok(BTreeSet::new());
    };
    let seal = repository.seal();
    let packs = list.packs.iter().map(|(kind, name)| names::pack(*kind, name, seal));
    let keys = packs.chain([names::segment(&list.segment, seal)]);
    Ok(keys.filter(|key| bad.contains(key)).collect())
}

/// A list or sums file that is bad itself counts as `None`: `check` reports it. A transient error
/// is passed on.
fn readable<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(Error::Backend(error)) if error.kind() == ErrorKind::Transient => Err(error.into()),
        read => Ok(read.ok()),
    }
}
