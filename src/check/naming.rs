//! Reads everything that names other things, starting at the markers: sums, lists, manifests,
//! segments. Each is compared by its SHA-256 before it is believed. What they name is only
//! recorded.

use std::collections::HashMap;

use seawall_backends::{ErrorKind, Key};

use super::deep::Spool;
use super::needs::{NeedReading, Needs};
use super::problems::Problems;
use super::report::ProblemKind;
use crate::causes::chain;
use crate::object::Sha256;
use crate::repository::index::{self, List};
use crate::repository::manifest::Manifest;
use crate::repository::marker::Named;
use crate::repository::names;
use crate::repository::snapshots::Snapshot;
use crate::repository::sums::Sums;
use crate::repository::{Error, Repository, Result};

/// Reads all that names something for the given snapshots, each thing once. A deep check gives a
/// spool, which gets the lists and manifests.
pub(super) fn read(
    repository: &Repository,
    snapshots: &[&Snapshot],
    spool: Option<&Spool>,
    problems: &mut Problems,
) -> Result<Needs> {
    let mut naming = Naming { repository, spool, needs: Needs::default(), problems };
    for some in snapshots.chunks(repository.connections()) {
        for (snapshot, ahead) in some.iter().zip(read_ahead(repository, some)) {
            naming.snapshot(snapshot, ahead)?;
        }
    }
    Ok(naming.needs)
}

/// A snapshot's sums and manifest, read ahead.
struct ReadAhead {
    sums: Result<Sums>,
    /// The manifest's stored bytes, if the sums name it.
    manifest: Option<Result<Vec<u8>>>,
}

/// Reads the sums and manifests of these snapshots in parallel: over a network each is a round
/// trip.
fn read_ahead(repository: &Repository, snapshots: &[&Snapshot]) -> Vec<ReadAhead> {
    let read = |snapshot: &Snapshot| {
        let sums = index::read_sums(repository, &snapshot.marker);
        let key = names::manifest(snapshot.id(), repository.seal());
        let named = |sums: &Sums| {
            let mut entries = sums.entries().iter();
            let (sha256, _) = entries.find(|(_, named)| *named == key)?;
            Some(repository.read_verified(&key, sha256))
        };
        let manifest = sums.as_ref().ok().and_then(named);
        ReadAhead { sums, manifest }
    };
    std::thread::scope(|scope| {
        let (first, others) = snapshots.split_at(1.min(snapshots.len()));
        let others: Vec<_> = others.iter().map(|snapshot| scope.spawn(|| read(snapshot))).collect();
        let first = first.iter().map(|snapshot| read(snapshot));
        let mut all: Vec<ReadAhead> = first.collect();
        all.extend(others.into_iter().map(|other| {
            other.join().unwrap_or_else(|_| ReadAhead {
                sums: Err(Error::Worker("one that reads sums")),
                manifest: None,
            })
        }));
        all
    })
}

struct Naming<'a> {
    repository: &'a Repository,
    /// Keeps on disk what a deep check needs again.
    spool: Option<&'a Spool>,
    needs: Needs,
    problems: &'a mut Problems,
}

impl Naming<'_> {
    fn snapshot(&mut self, snapshot: &Snapshot, ahead: ReadAhead) -> Result<()> {
        let id = snapshot.id();
        let (position, is_new) = self.needs.namer(&snapshot.marker.sums, id, self.problems);
        if is_new {
            self.sums(snapshot, position, ahead)?;
        }
        for named in &snapshot.marker.keys {
            let (position, is_new) = self.needs.namer(named, id, self.problems);
            if is_new {
                let read = self.repository.read_named(named);
                self.settle(&named.key, read)?;
                self.needs.count_bytes(named.size);
                self.needs.set_read(position);
            }
        }
        for named in &snapshot.marker.lists {
            let (position, is_new) = self.needs.namer(named, id, self.problems);
            if is_new {
                self.list(named, position)?;
            }
        }
        Ok(())
    }

    /// Records whether a thing could be read and is good. Returns its value, or `None` if it is
    /// bad.
    fn settle<T>(&mut self, key: &Key, result: Result<T>) -> Result<Option<T>> {
        let (reading, value) = match result {
            Ok(value) => (NeedReading::Good, Some(value)),
            Err(error) => {
                let (kind, detail) = trouble(error)?;
                (NeedReading::Bad(kind, detail), None)
            }
        };
        if let Some(thing) = self.needs.get_mut(key) {
            thing.reading = reading;
        }
        Ok(value)
    }

    fn sums(&mut self, snapshot: &Snapshot, position: u32, ahead: ReadAhead) -> Result<()> {
        let named = &snapshot.marker.sums;
        let Some(sums) = self.settle(&named.key, ahead.sums)? else {
            return Ok(());
        };
        self.needs.count_bytes(named.size);
        for (sha256, key) in sums.entries() {
            self.needs.name(key, *sha256, None, position, self.problems);
        }
        self.manifest(snapshot, &sums, ahead.manifest)?;
        self.needs.set_read(position);
        Ok(())
    }

    /// Reads the manifest, which says how long the parts are.
    fn manifest(
        &mut self,
        snapshot: &Snapshot,
        sums: &Sums,
        stored: Option<Result<Vec<u8>>>,
    ) -> Result<()> {
        let key = names::manifest(snapshot.id(), self.repository.seal());
        let Some(stored) = stored else {
            let detail = "does not name the snapshot's manifest";
            let sums = &snapshot.marker.sums.key;
            self.problems.add(sums, ProblemKind::Malformed, detail, vec![snapshot.id()]);
            return Ok(());
        };
        let Some(stored) = self.settle(&key, stored)? else {
            return Ok(());
        };
        self.needs.count_bytes(stored.len() as u64);
        let manifest = match self.repository.open_file(&key, stored) {
            // Without a key the manifest cannot be read. The sums name the parts too, without
            // sizes.
            Err(Error::Locked { .. }) if self.spool.is_none() => return Ok(()),
            opened => opened.and_then(|bytes| Manifest::parse(&bytes)),
        };
        let Some(manifest) = self.settle(&key, manifest)? else {
            return Ok(());
        };
        if let Some(spool) = self.spool {
            spool.add_manifest(snapshot.id(), &manifest)?;
        }
        let mut problem = |key: &Key, detail: String| {
            self.problems.add(key, ProblemKind::Contradiction, detail, vec![snapshot.id()]);
        };
        if manifest.snapshot != snapshot.id() {
            problem(&key, format!("is the manifest of {}", manifest.snapshot));
        }
        let named: HashMap<&Key, &Sha256> =
            sums.entries().iter().map(|(sha256, key)| (key, sha256)).collect();
        for part in manifest.parts() {
            if named.get(&part.key) != Some(&&part.sha256) {
                problem(&part.key, "is in the manifest, and not so in the sums".into());
            } else if let Some(thing) = self.needs.get_mut(&part.key)
                && *thing.size.get_or_insert(part.size) != part.size
            {
                problem(&part.key, "has another size in another manifest".into());
            }
        }
        Ok(())
    }

    /// Reads a list and its segment. The list names packs; the segment says how long they are.
    fn list(&mut self, named: &Named, position: u32) -> Result<()> {
        let list = List::read(self.repository, named);
        let Some(list) = self.settle(&named.key, list)? else {
            return Ok(());
        };
        self.needs.count_bytes(named.size);
        let segment = names::segment(&list.segment, self.repository.seal());
        self.needs.name(&segment, list.segment, None, position, self.problems);
        let mut sizes = HashMap::new();
        let read = self.repository.read_verified(&segment, &list.segment);
        if let Some(stored) = self.settle(&segment, read)? {
            self.needs.count_bytes(stored.len() as u64);
            match list.open_segment(self.repository, stored) {
                // Without a key only the lengths of the packs stay unknown: the list names them.
                Err(Error::Locked { .. }) if self.spool.is_none() => {}
                opened => {
                    if let Some((_, lines)) = self.settle(&segment, opened)? {
                        if let Some(spool) = self.spool {
                            spool.add_list(&named.sha256, &lines)?;
                        }
                        sizes = lines.iter().map(|line| (line.pack, line.size)).collect();
                    }
                }
            }
        }
        for (kind, pack) in &list.packs {
            let key = names::pack(*kind, pack, self.repository.seal());
            self.needs.name(&key, *pack, sizes.get(pack).copied(), position, self.problems);
        }
        self.needs.set_read(position);
        Ok(())
    }
}

/// The problem that an error shows in the thing that was read. Returns the error itself if the
/// destination does not answer or the key is missing: that says nothing about the thing.
pub(super) fn trouble(error: Error) -> Result<(ProblemKind, String)> {
    Ok(match error {
        Error::Altered { problem, .. } => (ProblemKind::Altered, problem),
        Error::Backend(error) if error.kind() == ErrorKind::Transient => {
            return Err(error.into());
        }
        Error::Backend(error) => (ProblemKind::Unreadable, unreadable(&error)),
        error @ (Error::Locked { .. } | Error::Key { .. }) => return Err(error),
        error => (ProblemKind::Malformed, chain(&error)),
    })
}

/// The text for a failed read.
pub(super) fn unreadable(error: &seawall_backends::Error) -> String {
    format!("cannot be read: {}", chain(error))
}
