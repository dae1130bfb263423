//! What the markers name, as far as it is known: which bytes it must have, who needs it, whether it is
//! there. Filled by `naming` and `listing`; judged here.

use std::collections::HashMap;

use seawall_backends::Key;

use super::problems::Problems;
use super::report::{Amount, ProblemKind};
use crate::object::Sha256;
use crate::repository::marker::Named;
use crate::repository::names::{self, SnapshotId};
use crate::repository::snapshots::Snapshot;

/// A stored thing that something names.
#[derive(Debug)]
pub(super) struct Thing {
    /// What its bytes must have.
    pub sha256: Sha256,
    /// The length that it must have, where something says it.
    pub size: Option<u64>,
    /// Its length by the listing.
    pub listed: Option<u64>,
    /// What was found when it was read.
    pub reading: Reading,
    /// Positions of the sums and lists that name it.
    named_by: Vec<u32>,
}

/// What came of reading a thing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It was not read.
    None,
    /// Its bytes are as they should be.
    Good,
    /// They are not, or what they say is not.
    Bad(ProblemKind, String),
}

/// Sums or a list.
#[derive(Debug)]
struct Namer {
    /// Who names it.
    snapshots: Vec<SnapshotId>,
    /// All that it names is known.
    is_read: bool,
    /// The packs that it names, by the listing.
    packs: Amount,
    /// All of these are there, with the right size.
    is_whole: bool,
}

/// What the selected markers name.
#[derive(Debug, Default)]
pub(super) struct Needs {
    things: HashMap<Key, Thing>,
    namers: Vec<Namer>,
    positions: HashMap<(Key, Sha256), u32>,
    bytes_read: u64,
}

impl Needs {
    /// Takes note of sums or a list that a marker names. Returns its position, and whether it is new.
    pub(super) fn namer(
        &mut self,
        named: &Named,
        snapshot: SnapshotId,
        problems: &mut Problems,
    ) -> (u32, bool) {
        let identity = (named.key.clone(), named.sha256);
        if let Some(&position) = self.positions.get(&identity) {
            if let Some(namer) = self.namers.get_mut(position as usize) {
                namer.snapshots.push(snapshot);
            }
            return (position, false);
        }
        // A marker has at most a megabyte: their lists are far from four milliards.
        let position = u32::try_from(self.namers.len()).unwrap_or(u32::MAX);
        self.namers.push(Namer {
            snapshots: vec![snapshot],
            is_read: false,
            packs: Amount::default(),
            is_whole: true,
        });
        self.positions.insert(identity, position);
        self.name(
            &named.key,
            named.sha256,
            Some(named.size),
            position,
            problems,
        );
        (position, true)
    }

    /// Takes note of a thing.
    pub(super) fn name(
        &mut self,
        key: &Key,
        sha256: Sha256,
        size: Option<u64>,
        by: u32,
        problems: &mut Problems,
    ) {
        let thing = self.things.entry(key.clone()).or_insert_with(|| Thing {
            sha256,
            size,
            listed: None,
            reading: Reading::None,
            named_by: Vec::new(),
        });
        thing.named_by.push(by);
        let size_differs = matches!((thing.size, size), (Some(a), Some(b)) if a != b);
        thing.size = thing.size.or(size);
        if thing.sha256 != sha256 || size_differs {
            let snapshots = self.snapshots_of(&[by]);
            let detail = "is named twice, with different SHA-256 or size";
            problems.add(key, ProblemKind::Contradiction, detail, snapshots);
        }
    }

    fn snapshots_of(&self, namers: &[u32]) -> Vec<SnapshotId> {
        let namers = namers
            .iter()
            .filter_map(|&position| self.namers.get(position as usize));
        namers
            .flat_map(|namer| namer.snapshots.iter().copied())
            .collect()
    }

    /// All that sums or a list name is noted.
    pub(super) fn set_read(&mut self, position: u32) {
        if let Some(namer) = self.namers.get_mut(position as usize) {
            namer.is_read = true;
        }
    }

    /// Counts bytes that were read.
    pub(super) fn count_bytes(&mut self, bytes: u64) {
        self.bytes_read += bytes;
    }

    /// The thing of that name, if one is named so.
    pub(super) fn get(&self, key: &Key) -> Option<&Thing> {
        self.things.get(key)
    }

    /// The thing of that name, if one is named so.
    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Thing> {
        self.things.get_mut(key)
    }

    /// Every thing, to note what the listing did not show.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Thing)> {
        self.things.iter_mut()
    }

    /// Every thing.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Thing)> {
        self.things.iter()
    }

    /// The snapshots that need a thing.
    pub(super) fn snapshots(&self, thing: &Thing) -> Vec<SnapshotId> {
        self.snapshots_of(&thing.named_by)
    }

    /// Bytes that were read to learn what is named; markers are not counted.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// How much is there that only reading proves.
    pub(super) fn unread(&self) -> Amount {
        let mut amount = Amount::default();
        for thing in self.things.values() {
            if thing.reading == Reading::None && thing.trouble().is_none() {
                amount.add(thing.listed.unwrap_or_default());
            }
        }
        amount
    }

    /// How much is named and there.
    pub(super) fn amount(&self) -> Amount {
        Amount {
            things: self.things.len() as u64,
            bytes: self.things.values().filter_map(|thing| thing.listed).sum(),
        }
    }

    /// After the listing: reports what is missing, has another size, or could not be read.
    pub(super) fn judge(&mut self, snapshots: &[&Snapshot], problems: &mut Problems) {
        for (key, thing) in &self.things {
            if let Some((kind, detail)) = thing.trouble() {
                let snapshots = self.snapshots(thing);
                problems.add(key, kind, detail, snapshots);
            }
        }
        self.count_packs();
        for snapshot in snapshots {
            self.compare_totals(snapshot, problems);
        }
    }

    fn count_packs(&mut self) {
        for (key, thing) in &self.things {
            if !names::PackKind::ALL
                .iter()
                .any(|kind| key.is_below(kind.folder()))
            {
                continue;
            }
            for &by in &thing.named_by {
                if let Some(namer) = self.namers.get_mut(by as usize) {
                    namer.packs.add(thing.listed.unwrap_or_default());
                    namer.is_whole &= thing.trouble().is_none();
                }
            }
        }
    }

    /// Number and bytes of the packs are in the marker: without keys the only word on their sizes.
    fn compare_totals(&self, snapshot: &Snapshot, problems: &mut Problems) {
        let marker = &snapshot.marker;
        let mut total = Amount::default();
        for named in &marker.lists {
            let position = self.positions.get(&(named.key.clone(), named.sha256));
            let namer = position.and_then(|&position| self.namers.get(position as usize));
            let Some(namer) = namer.filter(|namer| namer.is_read && namer.is_whole) else {
                return;
            };
            total.things += namer.packs.things;
            total.bytes += namer.packs.bytes;
        }
        if (total.things, total.bytes) != (marker.packs, marker.bytes) {
            let detail = format!(
                "says {} packs of {} bytes, its lists name {} of {}",
                marker.packs, marker.bytes, total.things, total.bytes
            );
            let key = names::marker(snapshot.id());
            problems.add(
                &key,
                ProblemKind::Contradiction,
                detail,
                vec![snapshot.id()],
            );
        }
    }
}

impl Thing {
    /// What is wrong with it as far as is known.
    pub(super) fn trouble(&self) -> Option<(ProblemKind, String)> {
        let Some(listed) = self.listed else {
            return Some((ProblemKind::Missing, "is missing".into()));
        };
        match (self.size, &self.reading) {
            (Some(size), _) if size != listed => {
                let detail = format!("has {listed} bytes and should have {size}");
                Some((ProblemKind::Size, detail))
            }
            (_, Reading::Bad(kind, detail)) => Some((*kind, detail.clone())),
            _ => None,
        }
    }
}
