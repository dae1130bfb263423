//! Writes a snapshot again for other keys: a new index, manifest and marker of the same packs,
//! dumps and files (docs/design.md, "Keys"). So recipients that came later can read what is listed
//! there. A host can also go on from what another one stored without storing it again.

use std::collections::HashMap;

use seawall_backends::{ErrorKind, Key};

use super::prepare;
use super::seal::{self, RunSegments};
use super::{Context, Error};
use crate::host::catalog::Catalog;
use crate::repository::index::{self, List};
use crate::repository::marker::{Marker, Retired};
use crate::repository::readers::Audience;
use crate::repository::{self, Repository, Snapshot, clocks, names, runs};

/// Writes a snapshot of this host with the content of another snapshot, of this host or another.
/// Everything that this other snapshot lists has to be there. The time at which it was taken stays
/// the same.
///
/// # Errors
///
/// [`repository::Error::Locked`] if no key at hand opens its index and manifest,
/// [`repository::Error::Altered`] if something that it needs is gone: then nothing is written
/// except the run's intent.
pub fn rewrap(context: &Context<'_>, source: &Snapshot) -> Result<Marker, Error> {
    let repository: &Repository = context.at;
    if let Some(line) = source.marker.unknown.first() {
        return Err(repository::Error::Malformed {
            what: source.id().to_string(),
            reason: format!("a later version wrote {line:?} into its marker, and only such a version can write it again"),
        }
        .into());
    }
    let catalog = Catalog::open(&context.at.state().catalog_path(), repository.id())?;
    // Makes the next run list the packs: it learns what is stored from what is written here.
    catalog.set_listed(None)?;
    let mut manifest = index::read_manifest(repository, &source.marker)?;
    let snapshot = prepare::take_name(context, &catalog)?;
    let absent = runs::absent_keys(repository.backend().as_ref())?;
    let (base, _) = repository.base(&context.at.host_key().verifying())?;
    (context.progress)("listing what is stored");
    let there = prepare::list(repository)?;
    let there = StoredKeys { there, absent };
    let mut segments = RunSegments::new(repository, &catalog, snapshot);
    for named in &source.marker.lists {
        let list = List::read(repository, named)?;
        let (header, lines, _) = list.read_segment(repository)?;
        for line in &lines {
            let key = names::pack(line.kind, &line.pack, repository.seal());
            there.must_have(&key, line.size)?;
        }
        segments.write_lines(header.tier, lines.into_iter().map(Ok))?;
    }
    for part in manifest.parts() {
        let entry = repository.backend().stat(&part.key);
        let len = match entry {
            Ok(entry) => Some(entry.len),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(repository::Error::from(error).into()),
        };
        there.judge(&part.key, len, part.size)?;
    }
    manifest.snapshot = snapshot;
    let mut retired = seal::retired(base.as_ref());
    let of_source = Retired { last: source.id(), key: source.signed_by.key().clone() };
    let is_another = of_source.key != context.at.host_key().verifying();
    let more = source.marker.retired.iter().cloned().chain(is_another.then_some(of_source));
    for other in more {
        if !retired.contains(&other) {
            retired.push(other);
        }
    }
    // Packs, dumps and files stay sealed to the recipients that they had.
    let readers = Audience::after([&source.marker.readers()], &repository.recipients());
    let marker = Marker {
        snapshot,
        sequence: seal::sequence(base.as_ref()),
        previous: seal::previous(base.as_ref()),
        sums: seal::put_sums(repository, &manifest)?,
        recipients: readers.recipients,
        partly: readers.partly,
        keys: seal::keys(repository, Some(source)),
        lists: segments.lists(),
        retired,
        clock: clocks::behind(snapshot.started(), context.clock.now()),
        unknown: Vec::new(),
        ..source.marker.clone()
    };
    seal::put_marker(context, &marker)?;
    Ok(marker)
}

/// Names and sizes of what is stored, and the keys that count as absent.
struct StoredKeys {
    there: HashMap<Key, u64>,
    absent: std::collections::HashSet<Key>,
}

impl StoredKeys {
    fn must_have(&self, key: &Key, size: u64) -> Result<(), repository::Error> {
        self.judge(key, self.there.get(key).copied(), size)
    }

    fn judge(&self, key: &Key, len: Option<u64>, size: u64) -> Result<(), repository::Error> {
        let problem = match len {
            _ if self.absent.contains(key) => "is to be deleted, or was found damaged",
            None => "is missing",
            Some(len) if len != size => "has another size",
            Some(_) => return Ok(()),
        };
        Err(repository::Error::Altered { key: key.clone(), problem: problem.into() })
    }
}
