//! The one listing of a repository: which named things are present, and which things nothing names.

use std::collections::HashSet;

use seawall_backends::{Entry, ErrorKind, Key};

use super::needs::{NeedReading, Needs};
use super::report::{Amount, Information, MAX_EXAMPLES, ProblemKind, Unknown};
use crate::repository::names::{self, PackKind, SnapshotId};
use crate::repository::snapshots::Markers;
use crate::repository::{Repository, Result};

/// The folder of markers that were forgotten.
const FORGOTTEN: &str = "data/forgotten";

/// What a name says about the thing behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamedThing {
    /// Belongs to a repository, and may stay although nothing names it.
    Known,
    /// A run's intent.
    Intent(SnapshotId),
    /// A tombstone or damage record.
    Record,
    /// May stay only if a marker names it.
    Named,
    /// Belongs to no repository of this format.
    Unknown,
}

/// Lists everything. Records which needed things are present, and what else there is.
pub(super) fn compare(
    repository: &Repository,
    markers: &Markers,
    needs: &mut Needs,
    information: &mut Information,
) -> Result<()> {
    let mut unnamed = Amount::default();
    let mut intents = HashSet::new();
    let mut listing = GappyListing::default();
    for entry in repository.backend().list("") {
        let Some(Entry { key, len, .. }) = listing.take(entry)? else {
            continue;
        };
        if let Some(thing) = needs.get_mut(&key) {
            thing.listed = Some(len);
            continue;
        }
        match place(repository, &key) {
            NamedThing::Known => {}
            NamedThing::Intent(snapshot) => {
                intents.insert(snapshot);
            }
            NamedThing::Record => information.records += 1,
            NamedThing::Named => unnamed.add(len),
            NamedThing::Unknown => information.unknown.add(&key, len),
        }
    }
    information.unknown.examples.sort_unstable();
    information.unknown.examples.truncate(MAX_EXAMPLES);
    information.unnamed = Some(unnamed);
    information.unfinished = unfinished(markers, intents);
    if let Some(error) = listing.error {
        ask_one_by_one(repository, needs, &error)?;
    }
    Ok(())
}

/// A listing that may have gaps.
#[derive(Default)]
struct GappyListing {
    is_begun: bool,
    error: Option<seawall_backends::Error>,
}

impl GappyListing {
    /// Skips a part that cannot be listed, if something else could be listed before.
    fn take(&mut self, entry: seawall_backends::Result<Entry>) -> Result<Option<Entry>> {
        match entry {
            Ok(entry) => {
                self.is_begun = true;
                Ok(Some(entry))
            }
            Err(error) if !self.is_begun || error.kind() == ErrorKind::Transient => {
                Err(error.into())
            }
            Err(error) => {
                self.error.get_or_insert(error);
                Ok(None)
            }
        }
    }
}

/// Asks for each thing that a listing with gaps did not show: it may be present.
fn ask_one_by_one(
    repository: &Repository,
    needs: &mut Needs,
    listing: &seawall_backends::Error,
) -> Result<()> {
    for (key, thing) in needs.iter_mut().filter(|(_, thing)| thing.listed.is_none()) {
        match repository.backend().stat(key) {
            Ok(entry) => thing.listed = Some(entry.len),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::Transient => return Err(error.into()),
            Err(_) => {
                let detail = super::naming::unreadable(listing);
                thing.reading = NeedReading::Bad(ProblemKind::Unreadable, detail);
            }
        }
    }
    Ok(())
}

fn unfinished(markers: &Markers, intents: HashSet<SnapshotId>) -> Vec<SnapshotId> {
    let snapshots = markers.snapshots.iter().map(|snapshot| names::marker(snapshot.id()));
    let others = markers.voids.iter().chain(markers.bad.iter().map(|bad| &bad.key));
    let ended: HashSet<Key> = snapshots.chain(others.cloned()).collect();
    let mut unfinished: Vec<SnapshotId> =
        intents.into_iter().filter(|snapshot| !ended.contains(&names::marker(*snapshot))).collect();
    unfinished.sort_unstable();
    unfinished
}

impl Unknown {
    fn add(&mut self, key: &Key, len: u64) {
        self.amount.add(len);
        self.examples.push(key.to_string());
        if self.examples.len() > 100 * MAX_EXAMPLES {
            self.examples.sort_unstable();
            self.examples.truncate(MAX_EXAMPLES);
        }
    }
}

/// Judges a name. Everything below `markers/` was already read as a marker.
fn place(repository: &Repository, key: &Key) -> NamedThing {
    let (folder, file) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
    let is_snapshot = |text: &str| text.parse::<SnapshotId>().is_ok();
    let is = |yes: bool, place: NamedThing| if yes { place } else { NamedThing::Unknown };
    match folder {
        "" => is(*key == names::configuration() || *key == names::page(), NamedThing::Known),
        names::MARKERS => NamedThing::Known,
        names::KEYS => {
            is(matches!(file.rsplit_once('.'), Some((_, "pub" | "age"))), NamedThing::Known)
        }
        names::RUNS => run(file),
        FORGOTTEN => is(is_snapshot(file), NamedThing::Known),
        names::INDEX => {
            is(names::parse_segment(key, repository.seal()).is_some(), NamedThing::Named)
        }
        names::LISTS => is(is_list(key, file), NamedThing::Named),
        names::MANIFESTS => {
            let snapshot = file.split_once('.').and_then(|(snapshot, _)| snapshot.parse().ok());
            let is_manifest = |snapshot| names::manifest(snapshot, repository.seal()) == *key;
            is(snapshot.is_some_and(is_manifest), NamedThing::Named)
        }
        _ if PackKind::ALL.iter().any(|kind| key.is_below(kind.folder())) => {
            is(names::parse_pack(key, repository.seal()).is_some(), NamedThing::Named)
        }
        _ => {
            let parts = [names::DATABASES, names::FILES];
            let run =
                parts.into_iter().find_map(|parts| folder.strip_prefix(parts)?.strip_prefix('/'));
            is(run.is_some_and(is_snapshot), NamedThing::Named)
        }
    }
}

fn run(file: &str) -> NamedThing {
    if let Ok(snapshot) = file.parse() {
        return NamedThing::Intent(snapshot);
    }
    match file.rsplit_once('.') {
        Some((run, number))
            if number.parse::<u32>().is_ok() && run.parse::<SnapshotId>().is_ok() =>
        {
            NamedThing::Known
        }
        // All else counts as a record, as it does for a run (repository::runs).
        _ => NamedThing::Record,
    }
}

fn is_list(key: &Key, file: &str) -> bool {
    let Some(name) = file.strip_suffix(".sha256") else {
        return false;
    };
    let is_list = name.parse().is_ok_and(|name| names::list(&name) == *key);
    is_list || name.parse().is_ok_and(|snapshot| names::sums(snapshot) == *key)
}
