//! The kinds of stored things that are broken, and which one of each.

use std::collections::BTreeMap;
use std::fs;

use seawall::repository::names::{self, SnapshotId};
use seawall_backends::Key;

use super::prepared::Prepared;

/// What it happens to. *Newest* and *oldest*: of the snapshots; the others are things that came with
/// the second snapshot and that the third needs too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Blocks,
    Trees,
    Segment,
    List,
    NewestSums,
    OldestSums,
    NewestManifest,
    OldestManifest,
    Dump,
    Files,
    /// A part of files that another part has the size of.
    FilesOfOneSize,
    NewestMarker,
    OldestMarker,
}

pub const KINDS: [Kind; 13] = [
    Kind::Blocks,
    Kind::Trees,
    Kind::Segment,
    Kind::List,
    Kind::NewestSums,
    Kind::OldestSums,
    Kind::NewestManifest,
    Kind::OldestManifest,
    Kind::Dump,
    Kind::Files,
    Kind::FilesOfOneSize,
    Kind::NewestMarker,
    Kind::OldestMarker,
];

impl Kind {
    /// What `check` reads and hashes at its first level.
    pub fn is_always_read(self) -> bool {
        !matches!(
            self,
            Self::Blocks | Self::Trees | Self::Dump | Self::Files | Self::FilesOfOneSize
        )
    }

    pub fn is_marker(self) -> bool {
        matches!(self, Self::NewestMarker | Self::OldestMarker)
    }

    /// Whether a run that looks at the destination sees a flipped bit by itself.
    pub fn is_read_by_a_run(self) -> bool {
        matches!(self, Self::NewestSums | Self::NewestManifest | Self::NewestMarker)
    }

    /// Whether no run has a reason to look at it.
    pub fn is_of_the_past(self) -> bool {
        matches!(self, Self::OldestSums | Self::OldestManifest | Self::OldestMarker)
    }

    /// The thing, and another of its sort.
    pub fn pair(self, prepared: &Prepared) -> (String, String) {
        let [first, second, third] = &prepared.snapshots[..] else { panic!("three snapshots") };
        let came_with_second = |prefix: &str| {
            let mut keys = second.needs.difference(&first.needs);
            keys.find(|key| key.starts_with(prefix) && third.needs.contains(*key)).unwrap().clone()
        };
        let of_first = |prefix: &str| {
            let mut keys = first.needs.intersection(&third.needs);
            keys.find(|key| key.starts_with(prefix)).unwrap().clone()
        };
        let newest_first = |key: &dyn Fn(SnapshotId) -> Key| {
            (key(third.id).to_string(), key(first.id).to_string())
        };
        let back = |(newest, oldest)| (oldest, newest);
        let seal = prepared.world.repository.seal();
        match self {
            Self::Blocks => (came_with_second(names::BLOCKS), of_first(names::BLOCKS)),
            Self::Trees => (came_with_second(names::TREES), of_first(names::TREES)),
            Self::Segment => (came_with_second(names::INDEX), of_first(names::INDEX)),
            Self::List => {
                let list = |at: usize| second.lists[at].0.clone();
                (list(1), list(0))
            }
            Self::NewestSums => newest_first(&names::sums),
            Self::OldestSums => back(newest_first(&names::sums)),
            Self::NewestManifest => newest_first(&|id| names::manifest(id, seal)),
            Self::OldestManifest => back(newest_first(&|id| names::manifest(id, seal))),
            Self::NewestMarker => newest_first(&names::marker),
            Self::OldestMarker => back(newest_first(&names::marker)),
            Self::Dump => {
                let part = |role: &str| {
                    let key = format!("databases/{}/{role}.db.zst.00000", first.id);
                    assert!(third.needs.contains(&key), "{key} is named again");
                    key
                };
                (part("usermgr"), part("groupmgr"))
            }
            Self::Files => (
                came_with_second(names::FILES),
                of_first(&format!("data/files/{}/noise-00", first.id)),
            ),
            Self::FilesOfOneSize => of_one_size(prepared),
        }
    }
}

fn of_one_size(prepared: &Prepared) -> (String, String) {
    let mut by_size: BTreeMap<u64, String> = BTreeMap::new();
    for key in &prepared.snapshots[2].needs {
        if key.contains("/noise-") {
            let path = prepared.world.repository_path().join(key);
            if let Some(other) = by_size.insert(fs::metadata(path).unwrap().len(), key.clone()) {
                return (key.clone(), other);
            }
        }
    }
    panic!("no two of one size: {by_size:?}")
}
