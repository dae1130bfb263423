//! What a run does before it reads the source: take a name, find the base, bring the catalog in
//! line with the destination (docs/design.md, "Order of a run", 1 to 3).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use seawall_backends::Key;

use super::{Context, Options};
use crate::repository::catalog::{Base, Catalog, PackRecord, SegmentRecord};
use crate::repository::index::{self, List};
use crate::repository::manifest::Manifest;
use crate::repository::names::{self, SnapshotId};
use crate::repository::{Error, Repository, Result, Snapshot, runs};
use crate::time::Timestamp;

/// The packs are listed at least this often.
const LIST_EVERY: Duration = Duration::from_hours(24);

/// What a run builds on.
pub struct Prepared {
    /// The run's name; its intent is there.
    pub snapshot: SnapshotId,
    /// The newest marker of this host's chain.
    pub base: Option<Snapshot>,
    /// Its manifest.
    pub base_manifest: Option<Manifest>,
    /// When the packs were last compared with the catalog.
    pub listed: Timestamp,
    /// Segments whose list or packs are not as the base's marker says: to be written again.
    pub rewrite: HashSet<usize>,
    /// What the administrator should know.
    pub warnings: Vec<String>,
}

/// Takes a name and learns what is stored.
pub fn prepare(context: &Context<'_>, options: &Options, catalog: &Catalog) -> Result<Prepared> {
    let repository = context.repository;
    let host = context.host_key.verifying();
    let (base, bad) = repository.base(&host)?;
    let mut wanted = SnapshotId::new(context.clock.now(), host.id());
    if let Some(base) = &base {
        wanted = wanted.max(base.id().next());
    }
    let snapshot = runs::put_intent(
        repository.backend().as_ref(),
        repository.id(),
        host.id(),
        wanted,
    )?;
    // Only now: a prune that does not see this intent has put its tombstone before.
    let absent = runs::absent_keys(repository.backend().as_ref())?;
    let mut warnings: Vec<String> = bad
        .iter()
        .map(|bad| format!("{} is no valid marker: {}", bad.key, bad.problem))
        .collect();
    let base_manifest = read_base_manifest(repository, base.as_ref(), &mut warnings);
    follow_base(repository, catalog, base.as_ref(), &mut warnings)?;
    catalog.begin_run()?;
    let listed = catalog.listed()?;
    let now = context.clock.now();
    let due = options.list || listed.is_none_or(|listed| now.since(listed) >= LIST_EVERY);
    // Until this run has ended well, the next one has to list.
    catalog.set_listed(None)?;
    let mut rewrite = HashSet::new();
    let listed = if due {
        compare(repository, catalog, &absent, &mut rewrite, &mut warnings)?;
        now
    } else {
        let lost = |pack: &PackRecord| absent.contains(&pack_key(repository, pack));
        drop_lost(catalog, lost, &mut rewrite, &mut warnings)?;
        listed.unwrap_or(now)
    };
    void_virtual(catalog, base_manifest.as_ref())?;
    Ok(Prepared {
        snapshot,
        base,
        base_manifest,
        listed,
        rewrite,
        warnings,
    })
}

fn pack_key(repository: &Repository, pack: &PackRecord) -> Key {
    names::pack(pack.kind, &pack.name, repository.seal())
}

/// The base's manifest; without it nothing of an older snapshot is named again.
fn read_base_manifest(
    repository: &Repository,
    base: Option<&Snapshot>,
    warnings: &mut Vec<String>,
) -> Option<Manifest> {
    match index::read_manifest(repository, &base?.marker) {
        Ok(manifest) => Some(manifest),
        Err(error) => {
            warnings.push(format!(
                "the manifest of the last snapshot cannot be used: {error}"
            ));
            None
        }
    }
}

/// Makes the catalog speak of the base: it does already, or it is rebuilt from the base's lists.
fn follow_base(
    repository: &Repository,
    catalog: &Catalog,
    base: Option<&Snapshot>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let known = catalog.base()?;
    let current = base.map(|base| Base {
        snapshot: base.id(),
        sha256: base.sha256,
        sequence: base.marker.sequence,
    });
    if known == current {
        return Ok(());
    }
    if let Some(known) = &known
        && current
            .as_ref()
            .is_none_or(|current| current.sequence < known.sequence)
    {
        warnings.push(format!(
            "the marker of the last snapshot {} is gone: the destination was rolled back, or somebody removed it",
            known.snapshot
        ));
    }
    catalog.clear(repository.id())?;
    match (base, current) {
        (Some(base), Some(current)) => adopt(repository, catalog, base, &current, warnings),
        _ => Ok(()),
    }
}

/// Learns what is stored from the lists that the base names, and from nothing else.
fn adopt(
    repository: &Repository,
    catalog: &Catalog,
    base: &Snapshot,
    current: &Base,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let mut segments = Vec::new();
    for named in &base.marker.lists {
        match adopt_list(repository, catalog, named) {
            Ok(segment) => segments.push(segment),
            Err(error @ (Error::Catalog { .. } | Error::Backend(_))) => return Err(error),
            Err(error) => {
                warnings.push(format!("what {} lists is stored again: {error}", named.key));
            }
        }
    }
    catalog.finish_adoption(current, &segments)
}

fn adopt_list(
    repository: &Repository,
    catalog: &Catalog,
    named: &crate::repository::marker::Named,
) -> Result<SegmentRecord> {
    let list = List::read(repository, named)?;
    let (header, lines, size) = list.read_segment(repository)?;
    for line in &lines {
        catalog.adopt_line(line)?;
    }
    Ok(SegmentRecord {
        name: list.segment,
        size,
        tier: header.tier,
        list: named.clone(),
        packs: list.packs,
    })
}

/// Lists packs, segments and lists, and compares names and sizes with the catalog.
fn compare(
    repository: &Repository,
    catalog: &Catalog,
    absent: &HashSet<Key>,
    rewrite: &mut HashSet<usize>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let mut there: HashMap<Key, u64> = HashMap::new();
    for folder in [names::BLOCKS, names::TREES, names::INDEX, names::LISTS] {
        for entry in repository.backend().list(folder) {
            let entry = entry?;
            if !absent.contains(&entry.key) {
                there.insert(entry.key, entry.len);
            }
        }
    }
    for pack in catalog.packs()?.iter().filter(|pack| !pack.stored) {
        if there.get(&pack_key(repository, pack)) == Some(&pack.size) {
            catalog.mark_stored(&pack.name)?;
        }
    }
    let abandoned: Vec<i64> = catalog
        .packs()?
        .iter()
        .filter(|pack| !pack.stored)
        .map(|pack| pack.number)
        .collect();
    catalog.forget_pending(&abandoned)?;
    let lost = |pack: &PackRecord| there.get(&pack_key(repository, pack)) != Some(&pack.size);
    drop_lost(catalog, lost, rewrite, warnings)?;
    for (position, segment) in catalog.segments()?.iter().enumerate() {
        let key = names::segment(&segment.name, repository.seal());
        if there.get(&key) != Some(&segment.size)
            || there.get(&segment.list.key) != Some(&segment.list.size)
        {
            warnings.push(format!(
                "{key} or its list is lost or altered; it is written again"
            ));
            rewrite.insert(position);
        }
    }
    Ok(())
}

/// Forgets what is lost; what the source still has is stored again in this run.
fn drop_lost(
    catalog: &Catalog,
    lost: impl Fn(&PackRecord) -> bool,
    rewrite: &mut HashSet<usize>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let packs = catalog.packs()?;
    let gone: Vec<&PackRecord> = packs
        .iter()
        .filter(|pack| pack.stored && lost(pack))
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    for pack in gone.iter().take(20) {
        warnings.push(format!(
            "the pack {} is lost or altered; its objects are stored again",
            pack.name
        ));
    }
    let positions = gone.iter().filter_map(|pack| pack.segment);
    rewrite.extend(positions.filter_map(|number| usize::try_from(number - 1).ok()));
    let numbers: Vec<i64> = gone.iter().map(|pack| pack.number).collect();
    catalog.drop_packs(&numbers)?;
    Ok(())
}

/// A virtual library's commits are not closed when its origin's store lost something.
fn void_virtual(catalog: &Catalog, manifest: Option<&Manifest>) -> Result<()> {
    use crate::object::Store;
    for library in manifest
        .into_iter()
        .flat_map(|manifest| &manifest.libraries)
    {
        if let Some(origin) = &library.origin
            && catalog.is_voided(Store::Library(origin.library))?
        {
            catalog.void_marks(Store::Library(library.id))?;
        }
    }
    Ok(())
}
