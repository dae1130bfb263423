//! The cells: each starts from a copy of one repository, breaks one thing (or exchanges two), and
//! follows it through `check`, `restore`, the next `backup`, and all of these once more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use seawall::check::{self, CheckLevel};
use seawall::repository::Error;
use seawall::repository::marker::Marker;
use seawall::repository::names::{self, SnapshotId};
use seawall::repository::runs;
use seawall_backends::Key;

use super::kinds::{KINDS, Kind};
use super::prepared::{Told, content, prepared, restored};
use crate::support::World;

/// What happens to a stored thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Deleted,
    Truncated,
    Flipped,
    Emptied,
    /// With another valid one of the same sort.
    Swapped,
}

/// What the host remembers of its own snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    Kept,
    /// Its catalog is lost too.
    Lost,
}

struct Cell {
    kind: Kind,
    damage: Damage,
    /// What is broken.
    keys: BTreeSet<String>,
    /// Its size is what it was: a listing does not show it.
    has_its_size: bool,
}

impl Cell {
    fn strike(world: &World, kind: Kind, damage: Damage) -> Self {
        let (key, other) = kind.pair(prepared());
        let path = |key: &str| world.repository_path().join(key);
        let bytes = fs::read(path(&key)).unwrap();
        let mut keys = BTreeSet::from([key.clone()]);
        let mut has_its_size = false;
        match damage {
            Damage::Deleted => fs::remove_file(path(&key)).unwrap(),
            Damage::Truncated => fs::write(path(&key), &bytes[..bytes.len() / 2]).unwrap(),
            Damage::Emptied => fs::write(path(&key), b"").unwrap(),
            Damage::Flipped => {
                let mut bytes = bytes;
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(path(&key), bytes).unwrap();
                has_its_size = true;
            }
            Damage::Swapped => {
                let others = fs::read(path(&other)).unwrap();
                assert_ne!(bytes, others);
                has_its_size = bytes.len() == others.len();
                fs::write(path(&key), others).unwrap();
                fs::write(path(&other), bytes).unwrap();
                keys.insert(other);
            }
        }
        Self { kind, damage, keys, has_its_size }
    }

    fn shows_in_names(&self) -> bool {
        self.kind.is_always_read() || !self.has_its_size
    }

    fn name(&self) -> String {
        format!("{:?} {:?} ({:?})", self.kind, self.damage, self.keys)
    }

    /// Nothing tells a stranger that a marker was there, but the gap that it leaves.
    fn is_unseen(&self) -> bool {
        self.kind.is_marker() && self.damage == Damage::Deleted
    }

    /// Each broken thing, with the snapshots that need it, newest first.
    fn expected(&self) -> BTreeMap<String, Vec<SnapshotId>> {
        if self.is_unseen() {
            return BTreeMap::new();
        }
        let needed_by = |key: &String| {
            let snapshots = prepared().snapshots.iter().rev();
            snapshots
                .filter(|told| told.needs.contains(key) && self.is_there(told))
                .map(|told| told.id)
                .collect()
        };
        self.keys.iter().map(|key| (key.clone(), needed_by(key))).collect()
    }

    /// Whether the snapshot is one still, but for what it says of its own marker.
    fn is_there(&self, told: &Told) -> bool {
        let marker = names::marker(told.id).to_string();
        self.kind.is_marker() || !self.keys.contains(&marker)
    }

    fn check(&self, world: &World) {
        let name = self.name();
        let report = checked(world, CheckLevel::Names, None);
        if self.shows_in_names() {
            assert_eq!(accused(&report), self.expected(), "{name}: names");
        } else {
            assert!(report.is_good(), "{name}: only reading shows it");
        }
        let report = checked(world, CheckLevel::Data, None);
        assert_eq!(accused(&report), self.expected(), "{name}: data");
        if self.is_unseen() {
            let [.., third] = &prepared().snapshots[..] else { panic!("three snapshots") };
            let told = &report.information;
            if self.kind == Kind::NewestMarker {
                assert_eq!(told.unfinished, [third.id], "{name}");
            } else {
                assert_eq!(told.gaps.len(), 1, "{name}");
            }
        }
    }

    /// Every snapshot: all that does not depend on what is broken, and nothing wrong.
    fn restore(&self, world: &World) {
        let markers = world.repository.markers().unwrap();
        for told in &prepared().snapshots {
            let name = format!("{}: restore of {}", self.name(), told.id);
            let found = markers.find(&told.id.to_string());
            let broken: BTreeSet<String> = self.keys.intersection(&told.needs).cloned().collect();
            if self.kind.is_marker() && !broken.is_empty() {
                assert!(matches!(found, Err(Error::NoSnapshot { .. })), "{name}");
                continue;
            }
            let target = world.path(&format!("target-{}", told.id));
            let result = restored(world, found.unwrap(), &target);
            if self.takes_all() && !broken.is_empty() {
                let error = result.unwrap_err();
                let text = format!("{error} {}", error.hint().unwrap());
                assert!(broken.iter().any(|key| text.contains(key)), "{name}: {text}");
                assert!(text.contains("seawall snapshots"), "{name}: {text}");
                assert!(!target.exists(), "{name}: nothing is begun");
                continue;
            }
            let report = result.unwrap();
            let there = content(&target);
            let missing: BTreeSet<String> =
                told.content.keys().filter(|path| !there.contains_key(*path)).cloned().collect();
            for (path, what) in &there {
                assert_eq!(told.content.get(path), Some(what), "{name}: {path}");
            }
            let depend = self.depend(told, &broken);
            let is_pack = matches!(self.kind, Kind::Blocks | Kind::Trees);
            if is_pack && matches!(self.damage, Damage::Flipped | Damage::Truncated) {
                // Of a pack that is there only what the damage hit is lost: how much is in tests/integration/remains.rs.
                assert!(missing.is_subset(&depend), "{name}: {missing:?}");
            } else {
                assert_eq!(missing, depend, "{name}");
            }
            assert_eq!(report.lost.is_empty(), missing.is_empty(), "{name}");
            if !missing.is_empty() {
                let text = format!("{:?}", report.lost);
                for key in &broken {
                    assert!(text.contains(key), "{name}: {text}");
                }
            }
        }
    }

    /// Without it nothing says what a snapshot holds.
    fn takes_all(&self) -> bool {
        let is = |folder: &str| self.keys.iter().any(|key| key.starts_with(folder));
        is(names::MANIFESTS) || matches!(self.kind, Kind::NewestSums | Kind::OldestSums)
    }

    /// What of a snapshot cannot be had without what is broken.
    fn depend(&self, told: &Told, broken: &BTreeSet<String>) -> BTreeSet<String> {
        let packs = match self.kind {
            Kind::Blocks | Kind::Trees => broken.clone(),
            Kind::List => {
                let lists = told.lists.iter().filter(|(list, ..)| broken.contains(list));
                let lines = lists.flat_map(|(_, _, lines)| lines);
                let seal = prepared().world.repository.seal();
                lines.map(|line| names::pack(line.kind, &line.pack, seal).to_string()).collect()
            }
            // Its packs say themselves what they hold.
            _ => BTreeSet::new(),
        };
        let objects = told.objects_of(&packs);
        let files = broken.iter().filter_map(|key| told.paths.get(key));
        let files: Vec<&String> = files.collect();
        let depends = |path: &String| {
            objects.contains(path) || files.iter().any(|start| path.starts_with(*start))
        };
        told.content.keys().filter(|path| depends(path)).cloned().collect()
    }

    /// As `check --report` writes them down.
    fn record(&self, world: &World) {
        let keys: Vec<Key> = self.keys.iter().map(|key| Key::parse(key).unwrap()).collect();
        let text = runs::record_text(runs::DAMAGE, keys.iter());
        let key = Key::parse("data/runs/damaged-2026-11-23T02-00-00Z-1a2b3c4d").unwrap();
        world.backend.put_new(&key, text.as_bytes()).unwrap();
    }

    /// The source has everything: the newest snapshot is whole again, and older ones are what they are.
    fn heal(&self, world: &mut World, memory: Memory) {
        let name = format!("{} {memory:?}", self.name());
        world.options.list = true;
        if memory == Memory::Lost {
            fs::remove_file(world.repository.state().catalog_path()).unwrap();
        }
        if self.has_its_size && !self.kind.is_read_by_a_run() && !self.kind.is_of_the_past() {
            self.record(world);
        }
        let report = world.backup(&prepared().source);
        // Without its catalog a host is as much a stranger as any.
        let is_of_the_past = self.kind.is_of_the_past() && self.damage != Damage::Swapped
            || self.is_unseen() && memory == Memory::Lost;
        assert_eq!(report.alarms.is_empty(), is_of_the_past, "{name}: {:#?}", report.alarms);
        assert_eq!(report.needs_reading(), !is_of_the_past, "{name}");
        assert_eq!(report.marker.damage, 0, "{name}");
        for alarm in &report.alarms {
            assert!(report.manifest.warnings.contains(alarm), "{name}: {alarm}");
        }
        for key in self.keys.iter().filter(|_| !is_of_the_past) {
            let is_named = report.alarms.iter().any(|alarm| alarm.contains(key));
            assert!(
                is_named || self.is_unseen() || !prepared().snapshots[2].needs.contains(key),
                "{name}: {key} is not in {:#?}",
                report.alarms
            );
        }
        self.follows(&report.marker);
        self.is_whole(world, &report.marker.snapshot.to_string());
        // What was healed has other names: older snapshots stay what they are.
        let all = checked(world, CheckLevel::Data, None);
        assert_eq!(accused(&all), self.expected(), "{name}: after the backup");
        let next = world.backup(&prepared().source);
        assert_eq!(next.alarms, Vec::<String>::new(), "{name}: told once");
        assert_eq!(
            (next.totals.objects, next.databases_stored, next.groups_stored),
            (0, 0, 0),
            "{name}: healed once"
        );
    }

    /// The chain goes on behind the newest marker that is good.
    fn follows(&self, marker: &Marker) {
        let snapshots = &prepared().snapshots;
        let newest = names::marker(snapshots[2].id).to_string();
        let base = if self.keys.contains(&newest) { 1 } else { 2 };
        assert_eq!(marker.sequence, base as u64 + 2, "{}", self.name());
        let previous = marker.previous.map(|(snapshot, _)| snapshot);
        assert_eq!(previous, Some(snapshots[base].id), "{}", self.name());
        assert!(marker.snapshot > snapshots[2].id, "{}", self.name());
    }

    fn is_whole(&self, world: &World, newest: &str) {
        let name = self.name();
        let markers = world.repository.markers().unwrap();
        let latest = markers.latest().unwrap();
        assert_eq!(latest.id().to_string(), newest, "{name}");
        let report = checked(world, CheckLevel::Data, Some("latest"));
        assert!(report.is_good(), "{name}: {:#?}", report.problems);
        let target = world.path("healed");
        let report = restored(world, latest, &target).unwrap();
        assert!(!report.needs_reading(), "{name}: {:#?}", report.lost);
        assert!(
            content(&target) == prepared().snapshots[2].content,
            "{name}: the restore is not what it was"
        );
    }
}

fn checked(world: &World, level: CheckLevel, snapshot: Option<&str>) -> check::Report {
    let options = check::Options {
        level,
        snapshot: snapshot.map(Into::into),
        workers: 2,
        ..check::Options::default()
    };
    check::run(&world.repository, &options, &|_| {}).unwrap()
}

/// Each problem's key and snapshots; no key is accused twice.
fn accused(report: &check::Report) -> BTreeMap<String, Vec<SnapshotId>> {
    let problems = report.problems.iter();
    let accused: BTreeMap<_, _> =
        problems.map(|problem| (problem.key.to_string(), problem.snapshots.clone())).collect();
    assert_eq!(accused.len(), report.problems.len(), "{:#?}", report.problems);
    accused
}

/// All cells of a kind of damage; each is followed to its end, whatever becomes of the others.
fn row(damage: Damage) {
    let mut failed = Vec::new();
    for kind in KINDS {
        let cell = AssertUnwindSafe(|| {
            let mut world = prepared().world.copy();
            let cell = Cell::strike(&world, kind, damage);
            cell.check(&world);
            cell.restore(&world);
            cell.heal(&mut world, Memory::Kept);
            let mut world = prepared().world.copy();
            let cell = Cell::strike(&world, kind, damage);
            cell.heal(&mut world, Memory::Lost);
        });
        if catch_unwind(cell).is_err() {
            failed.push(kind);
        }
    }
    assert_eq!(failed, [], "{damage:?}");
}

#[test]
fn deleted() {
    row(Damage::Deleted);
}

#[test]
fn truncated() {
    row(Damage::Truncated);
}

#[test]
fn flipped() {
    row(Damage::Flipped);
}

#[test]
fn emptied() {
    row(Damage::Emptied);
}

#[test]
fn swapped() {
    row(Damage::Swapped);
}
