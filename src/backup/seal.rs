//! The end of a run: segments, lists, manifest, sums, and last of all the marker (docs/design.md,
//! "Order of a run", 6 and 7).

use std::collections::HashSet;

use seawall_backends::{ErrorKind, Key, put_same};

use super::prepare::PreparedRun;
use super::{Context, Error, undescribed};
use crate::crypt::Content;
use crate::host;
use crate::host::catalog::{Base, Catalog, SegmentRecord};
use crate::object::Sha256;
use crate::repository::index::List;
use crate::repository::manifest::Manifest;
use crate::repository::marker::{Marker, Named, Retired};
use crate::repository::names::{self, SnapshotId};
use crate::repository::segment::{FULL_BYTES, Header, Line, SegmentWriter};
use crate::repository::sums::Sums;
use crate::repository::wrapped::Wrapped;
use crate::repository::{self, Repository, Snapshot, clocks, note};

/// How many segments of one tier are merged into one of the next.
const MERGE: usize = 8;

/// What the marker says besides the manifest's content.
pub struct MarkerSummary {
    /// What was left out although it should be in the backup.
    pub incomplete: Vec<String>,
    /// Objects that nobody has.
    pub damage: u64,
    /// How many of the lost objects the administrator has accepted.
    pub accepted: u64,
}

/// Writes the segments of a run.
pub(super) struct RunSegments<'a> {
    repository: &'a Repository,
    catalog: &'a Catalog,
    snapshot: SnapshotId,
    number: u32,
    done: Vec<SegmentRecord>,
    /// Segments that cannot be read, and of which some packs cannot be read either.
    bad: Vec<Sha256>,
}

/// The result of a run whose marker is stored.
pub struct SealedRun {
    /// The marker.
    pub marker: Marker,
    /// Segments that could not be read.
    pub bad_segments: Vec<Key>,
    /// Why the catalog could not record the snapshot. The snapshot is whole all the same: the next
    /// run learns from it what is stored.
    pub forgotten: Option<host::Error>,
}

/// Writes everything that makes the run a snapshot; the marker last.
pub fn seal(
    context: &Context<'_>,
    catalog: &Catalog,
    prepared: &PreparedRun,
    manifest: &Manifest,
    summary: MarkerSummary,
) -> Result<SealedRun, Error> {
    let repository: &Repository = context.at;
    let segments = RunSegments::new(repository, catalog, prepared.snapshot);
    let (segments, bad_segments) = segments.write(&prepared.rewrite)?;
    let sums = put_sums(repository, manifest)?;
    let (packs, bytes) = catalog.totals()?;
    let now = context.clock.now();
    let marker = Marker {
        repository: repository.id().to_string(),
        snapshot: prepared.snapshot,
        sequence: sequence(prepared.base.as_ref()),
        previous: previous(prepared.base.as_ref()),
        started: prepared.snapshot.started(),
        finished: now.max(prepared.snapshot.started()),
        clock: clocks::behind(prepared.snapshot.started(), now),
        listed: prepared.listed,
        audited: manifest.audited(),
        damage: summary.damage,
        accepted: summary.accepted,
        incomplete: summary.incomplete,
        packs,
        bytes,
        sums,
        recipients: prepared.readers.recipients.clone(),
        partly: prepared.readers.partly.clone(),
        keys: keys(repository, prepared.base.as_ref()),
        lists: segments.iter().map(|segment| segment.list.clone()).collect(),
        retired: retired(prepared.base.as_ref()),
        unknown: Vec::new(),
    };
    let sha256 = put_marker(context, &marker)?;
    let base = Base { snapshot: marker.snapshot, sha256, sequence: marker.sequence };
    let remembered = catalog
        .finish_run(&base, &segments)
        .and_then(|()| catalog.set_listed(Some(prepared.listed)));
    Ok(SealedRun { marker, bad_segments, forgotten: remembered.err() })
}

/// The sequence number of the marker that follows `base`.
pub(super) fn sequence(base: Option<&Snapshot>) -> u64 {
    base.map_or(1, |base| base.marker.sequence + 1)
}

/// How the marker that follows `base` names it.
pub(super) fn previous(base: Option<&Snapshot>) -> Option<(SnapshotId, Sha256)> {
    base.map(|base| (base.id(), base.sha256))
}

/// Retired host keys whose chains this chain continues. Each marker names them, since older markers
/// may be forgotten.
pub(super) fn retired(base: Option<&Snapshot>) -> Vec<Retired> {
    base.map(|base| base.marker.retired.clone()).unwrap_or_default()
}

/// The keys behind a passphrase that readers may need: this host's, and those that the snapshot
/// before names.
pub(super) fn keys(repository: &Repository, before: Option<&Snapshot>) -> Vec<Named> {
    let mut keys: Vec<Named> = repository.wrapped().iter().map(Wrapped::named).collect();
    for named in before.iter().flat_map(|before| &before.marker.keys) {
        if !keys.iter().any(|known| known.key == named.key) {
            keys.push(named.clone());
        }
    }
    keys
}

/// Puts manifest and sums; returns the sums as the marker names them.
pub(super) fn put_sums(repository: &Repository, manifest: &Manifest) -> Result<Named, Error> {
    let backend = repository.backend().as_ref();
    let stored = repository.seal_file(Content::Index, manifest.to_bytes()?)?;
    let key = names::manifest(manifest.snapshot, repository.seal());
    put_same(backend, &key, &stored).map_err(repository::Error::from)?;
    let mut entries = vec![(Sha256::of(&stored), key)];
    let mut parts: Vec<_> = manifest.parts().map(|part| (part.sha256, part.key.clone())).collect();
    parts.sort_by(|a, b| a.1.cmp(&b.1));
    entries.extend(parts);
    let bytes = Sums::new(entries).map_err(repository::Error::from)?.to_bytes();
    let key = names::sums(manifest.snapshot);
    put_same(backend, &key, &bytes).map_err(repository::Error::from)?;
    Ok(Named { sha256: Sha256::of(&bytes), size: bytes.len() as u64, key })
}

/// Puts the marker, which makes the run a snapshot.
pub(super) fn put_marker(context: &Context<'_>, marker: &Marker) -> Result<Sha256, Error> {
    let note = note::sign(&marker.to_text(), context.at.host_key().signing())
        .map_err(repository::Error::from)?;
    let key = names::marker(marker.snapshot);
    match put_same(context.at.backend().as_ref(), &key, note.as_bytes()) {
        Ok(_) => Ok(Sha256::of(note.as_bytes())),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(repository::Error::Voided { snapshot: marker.snapshot }.into())
        }
        Err(error) => Err(repository::Error::from(error).into()),
    }
}

impl<'a> RunSegments<'a> {
    /// Begins without segments.
    pub(super) fn new(
        repository: &'a Repository,
        catalog: &'a Catalog,
        snapshot: SnapshotId,
    ) -> Self {
        Self { repository, catalog, snapshot, number: 0, done: Vec::new(), bad: Vec::new() }
    }

    /// The lists of the segments so far, in order.
    pub(super) fn lists(&self) -> Vec<Named> {
        let done = self.done.iter();
        done.map(|segment| segment.list.clone()).collect()
    }

    /// Takes over old segments or writes them again, then writes new ones, then merges. The order
    /// of packs never changes: a link's target comes before the link.
    fn write(mut self, rewrite: &HashSet<usize>) -> Result<(Vec<SegmentRecord>, Vec<Key>), Error> {
        for (position, segment) in self.catalog.segments()?.into_iter().enumerate() {
            if rewrite.contains(&position) || segment.dirty {
                let lines = self.lines_again(&segment)?;
                self.write_lines(segment.tier, lines.into_iter().map(Ok))?;
            } else {
                self.done.push(segment);
            }
        }
        let fresh: Vec<_> = self
            .catalog
            .packs()?
            .into_iter()
            .filter(|pack| pack.stored && pack.segment.is_none())
            .collect();
        let catalog = self.catalog;
        let lines = fresh.iter().map(|pack| {
            catalog.unindexed_line(pack)?.ok_or_else(|| {
                let what = "the catalog".into();
                let reason = format!("it does not say what lies in pack {}", pack.name);
                host::Error::from(repository::Error::Malformed { what, reason })
            })
        });
        self.write_lines(0, lines)?;
        self.merge()?;
        let seal = self.repository.seal();
        let bad = self.bad.iter().map(|name| names::segment(name, seal));
        let bad = bad.collect();
        Ok((self.done, bad))
    }

    /// The lines of a segment that has to be written again.
    fn lines_again(&self, segment: &SegmentRecord) -> Result<Vec<Line>, Error> {
        let (lines, undescribed) = undescribed::lines(self.repository, self.catalog, segment)?;
        let Some(first) = undescribed.into_iter().next() else {
            return Ok(lines);
        };
        // It was lost after this run began. The next run sees that before it walks, and stores
        // again what the pack holds.
        Err(repository::Error::Altered {
            key: names::pack(first.kind, &first.name, self.repository.seal()),
            problem: format!(
                "cannot be read, and its segment is lost; run the backup again: {}",
                first.problem
            ),
        }
        .into())
    }

    fn merge(&mut self) -> Result<(), Error> {
        while let Some(tier) = self.tier_to_merge() {
            let from = self.done.len() - MERGE;
            let mut lines = Vec::new();
            for segment in &mut self.done[from..] {
                let (found, undescribed) =
                    undescribed::lines(self.repository, self.catalog, segment)?;
                lines.extend(found);
                if !undescribed.is_empty() {
                    segment.dirty = true;
                    self.bad.push(segment.name);
                }
            }
            // A segment that cannot be read is not merged: the next run stores again what it
            // indexes.
            if !self.bad.is_empty() {
                return Ok(());
            }
            self.done.truncate(from);
            self.write_lines(tier + 1, lines.into_iter().map(Ok))?;
        }
        Ok(())
    }

    fn tier_to_merge(&self) -> Option<u32> {
        let last = self.done.last()?;
        let newest = self.done.iter().rev().take(MERGE);
        let same = newest.filter(|segment| segment.tier == last.tier && segment.size < FULL_BYTES);
        (same.count() == MERGE).then_some(last.tier)
    }

    /// Writes lines as segments of a tier.
    pub(super) fn write_lines(
        &mut self,
        tier: u32,
        lines: impl Iterator<Item = Result<Line, host::Error>>,
    ) -> Result<(), Error> {
        let mut open: Option<SegmentWriter> = None;
        for line in lines {
            let mut writer = match open.take() {
                Some(writer) => writer,
                None => self.begin(tier)?,
            };
            writer.add(&line?)?;
            if writer.is_full() {
                self.put(tier, writer)?;
            } else {
                open = Some(writer);
            }
        }
        open.map_or(Ok(()), |writer| self.put(tier, writer))
    }

    fn begin(&mut self, tier: u32) -> Result<SegmentWriter, Error> {
        let header = Header { segment: 1, snapshot: self.snapshot, number: self.number, tier };
        self.number += 1;
        Ok(SegmentWriter::new(&header)?)
    }

    fn put(&mut self, tier: u32, writer: SegmentWriter) -> Result<(), Error> {
        let backend = self.repository.backend().as_ref();
        let packs = writer.packs().to_vec();
        let stored = self.repository.seal_file(Content::Index, writer.finish()?)?;
        let name = Sha256::of(&stored);
        let key = names::segment(&name, self.repository.seal());
        put_same(backend, &key, &stored).map_err(repository::Error::from)?;
        let list = List::to_bytes(self.repository, &name, &packs)?;
        let sha256 = Sha256::of(&list);
        let named = Named { sha256, size: list.len() as u64, key: names::list(&sha256) };
        put_same(backend, &named.key, &list).map_err(repository::Error::from)?;
        self.done.push(SegmentRecord {
            name,
            size: stored.len() as u64,
            tier,
            list: named,
            packs,
            dirty: false,
        });
        Ok(())
    }
}
