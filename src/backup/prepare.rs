//! What a run does before it reads the source: take a name, find the base, bring the catalog in
//! line with the destination (docs/design.md, "Order of a run", 1 to 3).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use seawall_backends::Key;

use super::{Context, Options, undescribed};
use crate::host::catalog::{Base, Catalog, PackRecord, SegmentRecord};
use crate::host::{Error, Result};
use crate::repository::index::{self, List};
use crate::repository::manifest::Manifest;
use crate::repository::names::{self, SnapshotId};
use crate::repository::note::VerifyingKey;
use crate::repository::readers::Audience;
use crate::repository::wrapped::WrappedCondition;
use crate::repository::{self, Repository, Snapshot, runs};
use crate::time::Timestamp;

/// The packs are listed at least this often.
const LIST_EVERY: Duration = Duration::from_hours(24);

/// The most lost packs that are named.
const MOST_ALARMS: usize = 20;

/// What a run builds on.
pub struct PreparedRun {
    /// The run's name. Its intent is put already.
    pub snapshot: SnapshotId,
    /// The newest marker of this host's chain.
    pub base: Option<Snapshot>,
    /// The base's manifest, if it can be read.
    pub base_manifest: Option<Manifest>,
    /// When the packs were last compared with the catalog.
    pub listed: Timestamp,
    /// Positions of segments that have to be written again: the segment, its list or one of its
    /// packs is lost.
    pub rewrite: HashSet<usize>,
    /// Keys that count as absent for this whole run: a prune is deleting them, or a check found
    /// them bad.
    pub absent: HashSet<Key>,
    /// Who can open what this run's snapshot will name.
    pub readers: Audience,
    /// What is wrong at the destination, one line each.
    pub alarms: Vec<String>,
}

impl PreparedRun {
    /// Adds alarms about the destination, each only once.
    pub fn alarm<'a>(&mut self, alarms: impl Iterator<Item = &'a String>) {
        for alarm in alarms {
            if !self.alarms.contains(alarm) {
                self.alarms.push(alarm.clone());
            }
        }
    }
}

/// Takes a name and learns what is stored.
pub fn prepare(context: &Context<'_>, options: &Options, catalog: &Catalog) -> Result<PreparedRun> {
    let repository: &Repository = context.at;
    let host = context.at.host_key().verifying();
    // Cleared before anything is put: unless this run ends well, the next one has to list the
    // packs.
    let listed = catalog.listed()?;
    catalog.set_listed(None)?;
    let snapshot = take_name(context, catalog)?;
    // Read after the intent is put. A prune that did not see the intent put its tombstone before
    // that, so the tombstone is seen here. No marker that is read from here on names what that
    // prune deletes.
    let absent = runs::absent_keys(repository.backend().as_ref())?;
    let (base, bad) = repository.base(&host)?;
    let mut alarms = catalog.alarms()?;
    alarms.extend(bad.iter().map(|bad| format!("{} is no valid marker: {}", bad.key, bad.problem)));
    keep_wrapped(repository, &mut alarms)?;
    refuse_to_begin_again(repository, catalog, base.as_ref(), &host)?;
    let base_manifest = read_base_manifest(repository, base.as_ref(), &mut alarms)?;
    let is_known = follow_base(repository, catalog, base.as_ref(), &mut alarms)?;
    let listed = listed.filter(|_| is_known);
    // Recorded before anything is stored: if this run dies, the next one uses what it stored.
    let stored = match catalog.totals()? {
        (0, _) => None,
        _ => catalog.readers()?,
    };
    let of_base = base.as_ref().map(|base| base.marker.readers());
    let readers = Audience::after(stored.iter().chain(&of_base), &repository.recipients());
    catalog.set_readers(&readers)?;
    catalog.begin_run()?;
    let now = context.clock.now();
    let due = options.list
        || options.full
        // A clock that was ahead once must not stop the listing for ever.
        || listed.is_none_or(|listed| listed > now || now.since(listed) >= LIST_EVERY);
    if listed.is_none() {
        clean_up(context);
    }
    let there = if due { Some(list(repository)?) } else { None };
    let seen = DestinationContent { there, absent: &absent };
    let rewrite = compare(repository, catalog, &seen, &mut alarms)?;
    if base.is_some() && base_manifest.is_none() {
        // Without the manifest nothing says what libraries were when their marks were made.
        catalog.void_all()?;
    }
    let listed = listed.filter(|_| !due).unwrap_or(now);
    let mut told = HashSet::new();
    alarms.retain(|alarm| told.insert(alarm.clone()));
    Ok(PreparedRun { snapshot, base, base_manifest, listed, rewrite, absent, readers, alarms })
}

/// Fails if there is no base only because this host has a new key. Everything would be stored
/// again, although what the host stored with the old key is still there.
fn refuse_to_begin_again(
    repository: &Repository,
    catalog: &Catalog,
    base: Option<&Snapshot>,
    host: &VerifyingKey,
) -> Result<()> {
    let Some(known) = catalog.base()?.filter(|_| base.is_none()) else {
        return Ok(());
    };
    match repository.snapshot(known.snapshot)? {
        Some(found) if found.signed_by.is_pinned() && found.signed_by.key() != host => {
            Err(Error::AnotherKey {
                snapshot: known.snapshot,
                key: found.signed_by.key().to_string(),
            })
        }
        _ => Ok(()),
    }
}

/// Puts back a key behind a passphrase if it is gone. Without it nobody can open what is stored.
fn keep_wrapped(repository: &Repository, alarms: &mut Vec<String>) -> Result<()> {
    for wrapped in repository.wrapped() {
        let key = &wrapped.key;
        match wrapped.look(repository.backend().as_ref())? {
            WrappedCondition::Good => {}
            WrappedCondition::Missing => {
                wrapped.put(repository.backend().as_ref())?;
                alarms.push(format!("{key} was missing, and was put there again"));
            }
            WrappedCondition::Altered => alarms.push(format!(
                "{key} is altered: its passphrase opens nothing; remove it, and the next backup puts it there again"
            )),
        }
    }
    Ok(())
}

/// Removes files that a killed run of this host left half written. That costs a listing. The run
/// after a killed one makes a listing anyway, and a run that ended well leaves no such files. If
/// the removal fails, the backup goes on.
fn clean_up(context: &Context<'_>) {
    match context.at.backend().remove_stale_temporaries() {
        Ok(0) => {}
        Ok(removed) => (context.progress)(&format!(
            "removed {removed} half written files of a run that was killed"
        )),
        Err(error) => (context.progress)(&format!(
            "half written files of a run that was killed are left: {error}"
        )),
    }
}

/// Puts the intent under a name that is later than every name of this chain. A snapshot that the
/// destination lost counts too: a copy of it may lie elsewhere.
pub(super) fn take_name(context: &Context<'_>, catalog: &Catalog) -> Result<SnapshotId> {
    let repository: &Repository = context.at;
    let host = context.at.host_key().verifying();
    let (base, _) = repository.base(&host)?;
    if base.is_none() {
        repository.refuse_other()?;
    }
    let now = SnapshotId::new(context.clock.now(), host.id());
    let known = base.map(|base| base.id());
    let known = known.max(catalog.base()?.map(|base| base.snapshot));
    // Later than all of them, with the id of this host's key: the chain may have begun with another
    // key.
    let next = known.map(|known| SnapshotId::new(known.next().started(), host.id()));
    let wanted = next.map_or(now, |next| now.max(next));
    Ok(runs::put_intent(
        repository.backend().as_ref(),
        repository.place(),
        repository.id(),
        host.id(),
        wanted,
    )?)
}

/// What this run knows of the destination's content.
struct DestinationContent<'a> {
    /// Names and sizes, if they were listed in this run.
    there: Option<HashMap<Key, u64>>,
    /// Keys that count as absent.
    absent: &'a HashSet<Key>,
}

impl DestinationContent<'_> {
    fn has(&self, key: &Key, size: u64) -> bool {
        !self.absent.contains(key)
            && self.there.as_ref().is_none_or(|there| there.get(key) == Some(&size))
    }
}

/// Names and sizes of packs, segments and lists.
pub(super) fn list(repository: &Repository) -> Result<HashMap<Key, u64>> {
    let mut there = HashMap::new();
    for folder in [names::BLOCKS, names::TREES, names::INDEX, names::LISTS] {
        for entry in repository.backend().list(folder) {
            let entry = entry?;
            there.insert(entry.key, entry.len);
        }
    }
    Ok(there)
}

fn pack_key(repository: &Repository, pack: &PackRecord) -> Key {
    names::pack(pack.kind, &pack.name, repository.seal())
}

/// Reads the base's manifest. If it cannot be used, the new snapshot names nothing of an older one
/// again.
fn read_base_manifest(
    repository: &Repository,
    base: Option<&Snapshot>,
    alarms: &mut Vec<String>,
) -> Result<Option<Manifest>> {
    let Some(base) = base else { return Ok(None) };
    match index::read_manifest(repository, &base.marker) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(repository::Error::Backend(error)) if repository.is_out_of_reach(&error) => {
            Err(error.into())
        }
        Err(error @ (repository::Error::Locked { .. } | repository::Error::Key { .. })) => {
            Err(error.into())
        }
        Err(error) => {
            alarms.push(format!("the manifest of the last snapshot cannot be used: {error}"));
            Ok(None)
        }
    }
}

/// Makes the catalog describe the base. Returns `true` if it did already; otherwise it is built
/// again from the base's lists.
fn follow_base(
    repository: &Repository,
    catalog: &Catalog,
    base: Option<&Snapshot>,
    alarms: &mut Vec<String>,
) -> Result<bool> {
    let known = catalog.base()?;
    let current = base.map(|base| Base {
        snapshot: base.id(),
        sha256: base.sha256,
        sequence: base.marker.sequence,
    });
    if known == current {
        return Ok(true);
    }
    if let Some(known) = &known
        && current.as_ref().is_none_or(|current| current.sequence < known.sequence)
    {
        alarms.push(format!(
            "the marker of the last snapshot {} is gone: the destination was rolled back, or somebody removed it",
            known.snapshot
        ));
    }
    catalog.set_alarms(alarms)?;
    match (base, current) {
        (Some(base), Some(current)) => adopt(repository, catalog, base, &current, alarms)?,
        _ => catalog.clear(repository.id())?,
    }
    Ok(false)
}

/// Fills the catalog from the lists that the base names, and from nothing else.
fn adopt(
    repository: &Repository,
    catalog: &Catalog,
    base: &Snapshot,
    current: &Base,
    alarms: &mut Vec<String>,
) -> Result<()> {
    catalog.begin_adoption(repository.id())?;
    let mut segments = Vec::new();
    for named in &base.marker.lists {
        match adopt_list(repository, catalog, named) {
            Ok(segment) => segments.push(segment),
            // In these cases the list is not lost. To go on would mean to store all of it again.
            Err(
                error @ (Error::Catalog { .. }
                | Error::StateOnShare { .. }
                | Error::Repository(
                    repository::Error::Locked { .. } | repository::Error::Key { .. },
                )),
            ) => return Err(error),
            Err(Error::Repository(repository::Error::Backend(error)))
                if repository.is_out_of_reach(&error) =>
            {
                return Err(error.into());
            }
            Err(error) => {
                alarms.push(format!("what {} lists is stored again: {error}", named.key));
            }
        }
    }
    // The alarms are kept, since the next run does not look at lists that are not among these
    // segments.
    catalog.set_alarms(alarms)?;
    catalog.finish_adoption(current, &segments)
}

fn adopt_list(
    repository: &Repository,
    catalog: &Catalog,
    named: &crate::repository::marker::Named,
) -> Result<SegmentRecord> {
    let list = List::read(repository, named)?;
    let (header, lines, size) = list.read_segment(repository)?;
    let mut dirty = false;
    for line in &lines {
        dirty |= !catalog.adopt_line(line)?;
    }
    Ok(SegmentRecord {
        name: list.segment,
        size,
        tier: header.tier,
        list: named.clone(),
        packs: list.packs,
        dirty,
    })
}

/// Compares names and sizes with the catalog; returns the positions of segments to write again.
fn compare(
    repository: &Repository,
    catalog: &Catalog,
    seen: &DestinationContent<'_>,
    alarms: &mut Vec<String>,
) -> Result<HashSet<usize>> {
    let has = |pack: &PackRecord| seen.has(&pack_key(repository, pack), pack.size);
    if seen.there.is_some() {
        adopt_pending(catalog, has)?;
    }
    drop_lost(repository, catalog, has, alarms)?;
    // To drop a pack may also drop packs of other segments that link to it.
    loop {
        let rewrite = segments_to_rewrite(repository, catalog, seen, alarms)?;
        if !drop_undescribed(repository, catalog, &rewrite, alarms)? {
            return Ok(rewrite);
        }
    }
}

/// Positions of segments that are lost, or that index something lost.
fn segments_to_rewrite(
    repository: &Repository,
    catalog: &Catalog,
    seen: &DestinationContent<'_>,
    alarms: &mut Vec<String>,
) -> Result<HashSet<usize>> {
    let mut rewrite = HashSet::new();
    for (position, segment) in catalog.segments()?.iter().enumerate() {
        let key = names::segment(&segment.name, repository.seal());
        let list = &segment.list;
        let gone: Vec<&Key> = [(&key, segment.size), (&list.key, list.size)]
            .into_iter()
            .filter(|(key, size)| !seen.has(key, *size))
            .map(|(key, _)| key)
            .collect();
        for key in &gone {
            let alarm = format!("{key} is lost or altered; segment and list are written again");
            if !alarms.contains(&alarm) {
                alarms.push(alarm);
            }
        }
        // The segment may be dirty since an earlier run that died before it could write it again.
        if !gone.is_empty() || segment.dirty {
            rewrite.insert(position);
        }
    }
    Ok(rewrite)
}

/// Forgets packs whose content neither their segment nor they themselves can tell. This run stores
/// again what the source still has. Returns `false` if there are no such packs.
fn drop_undescribed(
    repository: &Repository,
    catalog: &Catalog,
    rewrite: &HashSet<usize>,
    alarms: &mut Vec<String>,
) -> Result<bool> {
    let mut lost = HashMap::new();
    for (position, segment) in catalog.segments()?.iter().enumerate() {
        if rewrite.contains(&position) {
            let (_, undescribed) = undescribed::lines(repository, catalog, segment)?;
            lost.extend(undescribed.into_iter().map(|pack| (pack.name, pack.problem)));
        }
    }
    let packs = catalog.packs()?;
    let lost: Vec<(&PackRecord, &String)> =
        packs.iter().filter_map(|pack| Some((pack, lost.get(&pack.name)?))).collect();
    if lost.is_empty() {
        return Ok(false);
    }
    for (pack, problem) in lost.iter().take(MOST_ALARMS) {
        alarms.push(format!(
            "nothing tells what {} holds, its objects are stored again: its segment is lost, and {problem}",
            pack_key(repository, pack)
        ));
    }
    if lost.len() > MOST_ALARMS {
        alarms.push(format!("… and {} more packs", lost.len() - MOST_ALARMS));
    }
    catalog.set_alarms(alarms)?;
    let numbers: Vec<i64> = lost.iter().map(|(pack, _)| pack.number).collect();
    catalog.drop_packs(&numbers)?;
    Ok(true)
}

/// Decides on packs of a run that died between a put and its answer: they count as stored if they
/// are there, and are forgotten otherwise.
fn adopt_pending(catalog: &Catalog, has: impl Fn(&PackRecord) -> bool) -> Result<()> {
    let packs = catalog.packs()?;
    let (there, abandoned): (Vec<_>, Vec<_>) =
        packs.iter().filter(|pack| !pack.stored).partition(|pack| has(pack));
    for pack in there {
        catalog.mark_stored(&pack.name)?;
    }
    let abandoned: Vec<i64> = abandoned.iter().map(|pack| pack.number).collect();
    catalog.forget_pending(&abandoned)
}

/// Forgets lost packs. This run stores again what the source still has.
fn drop_lost(
    repository: &Repository,
    catalog: &Catalog,
    has: impl Fn(&PackRecord) -> bool,
    alarms: &mut Vec<String>,
) -> Result<()> {
    let packs = catalog.packs()?;
    let is_lost = |pack: &&PackRecord| pack.stored && (pack.suspect || !has(pack));
    let lost: Vec<&PackRecord> = packs.iter().filter(is_lost).collect();
    if lost.is_empty() {
        return Ok(());
    }
    for pack in lost.iter().take(MOST_ALARMS) {
        alarms.push(format!(
            "{} is lost or altered; its objects are stored again",
            pack_key(repository, pack)
        ));
    }
    if lost.len() > MOST_ALARMS {
        alarms.push(format!("… and {} more packs", lost.len() - MOST_ALARMS));
    }
    catalog.set_alarms(alarms)?;
    let numbers: Vec<i64> = lost.iter().map(|pack| pack.number).collect();
    catalog.drop_packs(&numbers)
}

/// Fails if a prune is deleting something that this run counts on. A new attempt has an intent of
/// its own, and a prune that did not see it put its tombstone before.
pub fn check_tombstones(repository: &Repository, prepared: &PreparedRun) -> Result<()> {
    let absent = runs::absent_keys(repository.backend().as_ref())?;
    match absent.iter().find(|key| !prepared.absent.contains(*key)) {
        None => Ok(()),
        Some(key) => Err(repository::Error::Altered {
            key: key.clone(),
            problem: "was listed for deletion while this run went on; run the backup again".into(),
        }
        .into()),
    }
}
