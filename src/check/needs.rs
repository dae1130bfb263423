//! What the markers name: the expected bytes of each thing, which snapshots need it, and whether it
//! is present. `naming` and `listing` fill this in; it is judged here.

use std::collections::HashMap;

use seawall_backends::Key;

use super::problems::Problems;
use super::report::{Amount, ProblemKind};
use crate::object::Sha256;
use crate::repository::marker::Named;
use crate::repository::names::{self, SnapshotId};
use crate::repository::snapshots::Snapshot;

/// A stored thing that a marker, sums or a list names.
#[derive(Debug)]
pub(super) struct Thing {
    /// The SHA-256 that its bytes must have.
    pub sha256: Sha256,
    /// The length that it must have, if anything says it.
    pub size: Option<u64>,
    /// Its length in the listing; `None`: not listed.
    pub listed: Option<u64>,
    /// The result of reading it.
    pub reading: NeedReading,
    /// Positions of the sums and lists that name it, and of itself if it is one of them.
    named_by: Vec<u32>,
}

/// The result of reading a thing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NeedReading {
    /// It was not read.
    None,
    /// Its bytes are as they should be.
    Good,
    /// It could not be read, or its bytes or what they say is wrong: the problem and its text.
    Bad(ProblemKind, String),
}

/// Sums or a list, which name other things; or a key file, which names none.
#[derive(Debug)]
struct Namer {
    /// The snapshots whose markers name it.
    snapshots: Vec<SnapshotId>,
    /// It was read, so all that it names is known.
    is_read: bool,
    /// Number and listed bytes of the packs that it names.
    packs: Amount,
    /// All its packs are present with the right size.
    is_whole: bool,
}

/// All that the selected markers name.
#[derive(Debug, Default)]
pub(super) struct Needs {
    things: HashMap<Key, Thing>,
    namers: Vec<Namer>,
    positions: HashMap<(Key, Sha256), u32>,
    bytes_read: u64,
}

impl Needs {
    /// Records sums, a list or a key file that a marker names. Returns its position, and whether it
    /// is new.
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
        // A marker has at most a megabyte and names few lists: all of them are far fewer than 4
        // billion.
        let position = u32::try_from(self.namers.len()).unwrap_or(u32::MAX);
        self.namers.push(Namer {
            snapshots: vec![snapshot],
            is_read: false,
            packs: Amount::default(),
            is_whole: true,
        });
        self.positions.insert(identity, position);
        self.name(&named.key, named.sha256, Some(named.size), position, problems);
        (position, true)
    }

    /// Records a thing that the namer at position `by` names.
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
            reading: NeedReading::None,
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
        let namers = namers.iter().filter_map(|&position| self.namers.get(position as usize));
        namers.flat_map(|namer| namer.snapshots.iter().copied()).collect()
    }

    /// Notes that all that sums or a list name is recorded.
    pub(super) fn set_read(&mut self, position: u32) {
        if let Some(namer) = self.namers.get_mut(position as usize) {
            namer.is_read = true;
        }
    }

    /// Counts bytes that were read.
    pub(super) fn count_bytes(&mut self, bytes: u64) {
        self.bytes_read += bytes;
    }

    /// The thing at a key, if something names it.
    pub(super) fn get(&self, key: &Key) -> Option<&Thing> {
        self.things.get(key)
    }

    /// The thing at a key, if something names it.
    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Thing> {
        self.things.get_mut(key)
    }

    /// All things, to note what the listing did not show.
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

    /// How many bytes were read to learn what is named, without markers.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// How much is present that only reading can prove.
    pub(super) fn unread(&self) -> Amount {
        let mut amount = Amount::default();
        for thing in self.things.values() {
            if thing.reading == NeedReading::None && thing.trouble().is_none() {
                amount.add(thing.listed.unwrap_or_default());
            }
        }
        amount
    }

    /// How many things are named, and the bytes of those that are present.
    pub(super) fn amount(&self) -> Amount {
        Amount {
            things: self.things.len() as u64,
            bytes: self.things.values().filter_map(|thing| thing.listed).sum(),
        }
    }

    /// Reports what is missing, has a wrong size, or could not be read. Call it after the listing.
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
            if !names::PackKind::ALL.iter().any(|kind| key.is_below(kind.folder())) {
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

    /// Compares number and bytes of the packs with the marker. Without keys nothing else tells
    /// their sizes.
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
            problems.add(&key, ProblemKind::Contradiction, detail, vec![snapshot.id()]);
        }
    }
}

impl Thing {
    /// What is known to be wrong with it.
    pub(super) fn trouble(&self) -> Option<(ProblemKind, String)> {
        let Some(listed) = self.listed else {
            return Some((ProblemKind::Missing, "is missing".into()));
        };
        match (self.size, &self.reading) {
            (Some(size), _) if size != listed => {
                let detail = format!("has {listed} bytes and should have {size}");
                Some((ProblemKind::Size, detail))
            }
            (_, NeedReading::Bad(kind, detail)) => Some((*kind, detail.clone())),
            _ => None,
        }
    }
}
