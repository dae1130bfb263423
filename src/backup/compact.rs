//! Compaction of packs of which little is still needed. Their needed objects are read from the
//! source and stored again, and the new snapshot no longer names these packs (docs/design.md,
//! "Compaction"). Older snapshots still do; `prune` decides what becomes of the packs.
//!
//! It comes after a run has looked at everything. So nobody needs an object that the run did not
//! visit.

use std::collections::{BTreeSet, HashSet};

use super::Error;
use super::dumps::DumpedDatabases;
use super::objects::{ObjectBackup, WalkedGroup, owner};
use super::packing::{ObjectTrouble, PACK_BYTES, PackingTotals};
use super::sight::{BackupSight, SightError};
use super::unreferenced::CopiedByListing;
use crate::host::catalog::{Moving, Usage};
use crate::object::{Kind, Object, Sha256, Store};
use crate::repository::names::PackKind;
use crate::seafile::folders::ObjectFolders;
use crate::walk::{self, Audit, BadObject, Need, ObjectDamage, Sight as _, WalkError};

/// A pack is emptied if less than one part in this many is needed.
const NEEDED: u64 = 2;
/// A pack is tiny if it is smaller than one part in this many of a full one.
const TINY: u64 = 4;
/// Tiny packs are emptied if there are more than this many.
const TINY_PACKS: usize = 100;
/// How many objects are fetched from the catalog at a time.
const AT_ONCE: u64 = 10_000;

/// What a compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Packs that the new snapshot does not name any more.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were stored again. That was in vain if another object of the same pack could
    /// not be read.
    pub totals: PackingTotals,
    /// Why no compaction was tried.
    pub refused: Option<&'static str>,
}

/// Stores the needed objects of packs again, and retires the packs that are empty now.
pub fn compact(
    objects: &ObjectBackup<'_>,
    dumped: &DumpedDatabases,
    walked: &mut [WalkedGroup],
    leftovers: &CopiedByListing,
) -> Result<Compacted, Error> {
    let catalog = objects.catalog;
    if let Some(refused) = refusal(dumped, walked, leftovers) {
        return Ok(Compacted { refused: Some(refused), ..Compacted::default() });
    }
    let mut held = stores_with_loss(objects, walked);
    // A store without a row was a library. Its packs stay: even objects that are not on disk may be
    // needed when the row is back.
    let stores = leftovers.stores.iter().filter(|store| !store.garbage);
    held.extend(stores.map(|store| Store::Library(store.store)));
    let mut usage = catalog.usage(&held, &rescued(walked))?;
    if objects.settings.random_block_ids {
        // A random id does not prove that the source still has the bytes that were stored.
        usage.retain(|usage| usage.kind == PackKind::Trees || usage.live == 0);
    }
    let victims = without_linked(victims(&usage), &catalog.links()?);
    if victims.is_empty() {
        return Ok(Compacted::default());
    }
    let packs: Vec<i64> = victims.iter().copied().collect();
    catalog.begin_moving(&packs)?;
    let mut totals = PackingTotals::default();
    for links in [false, true] {
        // The target of a link is stored before the link.
        for is_walked in [true, false] {
            let (moved, troubles) = move_objects(objects, links, is_walked)?;
            totals.add(moved);
            if is_walked {
                tell(objects, walked, troubles)?;
            }
        }
    }
    let empty: BTreeSet<i64> = catalog.end_moving()?.into_iter().collect();
    let retired = without_linked(empty, &catalog.links()?);
    catalog.retire(&retired.iter().copied().collect::<Vec<_>>())?;
    let of_retired = usage.iter().filter(|usage| retired.contains(&usage.pack));
    Ok(Compacted {
        packs: retired.len() as u64,
        bytes: of_retired.map(|usage| usage.size).sum(),
        totals,
        refused: None,
    })
}

/// The reason, if any, why unneeded objects cannot be told from needed ones.
fn refusal(
    dumped: &DumpedDatabases,
    walked: &[WalkedGroup],
    leftovers: &CopiedByListing,
) -> Option<&'static str> {
    let mut databases = dumped.databases.iter();
    if !leftovers.unreadable.is_empty() {
        Some("a store cannot be listed")
    } else if !dumped.pointers.oddities.is_empty()
        || databases.any(|database| !database.integrity.is_empty())
    {
        Some("the databases have rows that cannot be followed")
    } else if walked.iter().any(|walked| walked.audit == Audit::No) {
        Some("not all libraries were looked at")
    } else {
        None
    }
}

/// Reports objects that a move found bad. An altered object is source damage, and stays in its old
/// pack. An object that vanished after the walk is not reported: a garbage collector may have taken
/// it. An object that was bad during the walk is reported already. A move does not know who needs
/// an object: that is found here.
fn tell(
    objects: &ObjectBackup<'_>,
    walked: &mut [WalkedGroup],
    troubles: Vec<ObjectTrouble>,
) -> Result<(), Error> {
    let bad: HashSet<Object> = troubles.iter().map(|trouble| trouble.object).collect();
    let mut required = HashSet::new();
    for walked in walked.iter().filter(|_| !bad.is_empty()) {
        required.extend(objects.required(walked, &bad)?);
    }
    for mut trouble in troubles {
        if !required.contains(&trouble.object) {
            trouble.need = Need::Optional;
        }
        let position = owner(walked, &trouble.object);
        let Some(walked) = position.and_then(|position| walked.get_mut(position)) else {
            continue;
        };
        let mut findings = walked.outcome.findings.iter();
        let is_told = findings.any(|finding| finding.object == trouble.object);
        if trouble.trouble != ObjectDamage::Missing && !is_told {
            walked.add(trouble, true);
        }
    }
    Ok(())
}

/// Stores that have lost a required object. What this object led to looks as if nobody needed it.
fn stores_with_loss(objects: &ObjectBackup<'_>, walked: &[WalkedGroup]) -> HashSet<Store> {
    let with_loss = walked.iter().filter(|walked| walked.outcome.damage().next().is_some());
    with_loss.flat_map(|walked| walked.stores(objects.source)).collect()
}

/// Required objects that only the repository has.
fn rescued(walked: &[WalkedGroup]) -> Vec<Object> {
    let findings = walked.iter().flat_map(|walked| &walked.outcome.findings);
    let rescued = findings.filter(|finding| finding.rescued && finding.need == Need::Required);
    rescued.map(|finding| finding.object).collect()
}

/// Packs of which little is needed, and the tiny ones if there are many.
fn victims(usage: &[Usage]) -> BTreeSet<i64> {
    let is_tiny = |usage: &&Usage| usage.size < PACK_BYTES / TINY;
    let many = usage.iter().filter(is_tiny).count() > TINY_PACKS;
    let is_victim = |usage: &&Usage| usage.live * NEEDED < usage.whole || many && is_tiny(usage);
    let victims = usage.iter().filter(is_victim);
    victims.map(|usage| usage.pack).collect()
}

/// Leaves out packs to which a pack that stays has a link: a snapshot names the target of each of
/// its links.
fn without_linked(mut victims: BTreeSet<i64>, links: &[(i64, i64)]) -> BTreeSet<i64> {
    loop {
        let stays = links
            .iter()
            .filter(|(pack, target)| victims.contains(target) && !victims.contains(pack));
        let stays: Vec<i64> = stays.map(|(_, target)| *target).collect();
        if stays.is_empty() {
            return victims;
        }
        for pack in stays {
            victims.remove(&pack);
        }
    }
}

/// Stores objects again: either links or objects with bytes, and either those that a walk visited
/// or those that were listed.
fn move_objects(
    objects: &ObjectBackup<'_>,
    links: bool,
    walked: bool,
) -> Result<(PackingTotals, Vec<ObjectTrouble>), Error> {
    let objects = if walked { ObjectBackup { ..*objects } } else { objects.listing() };
    let next = |after| objects.catalog.moving(links, walked, after, AT_ONCE);
    if next(0)?.is_empty() {
        return Ok(Default::default());
    }
    let (bad, totals, mut troubles) = objects.pack(|sight| {
        let mut bad = Vec::new();
        let mut after = 0;
        loop {
            let moving = next(after).map_err(|error| WalkError::Sight(error.into()))?;
            let Some(last) = moving.last() else {
                return Ok(bad);
            };
            after = last.number;
            for Moving { object, .. } in moving {
                bad.extend(move_object(objects.source, sight, object)?);
            }
        }
    })?;
    troubles.extend(bad);
    Ok((totals, troubles))
}

/// Stores an object again, if it is good in the source.
fn move_object(
    source: &ObjectFolders,
    sight: &BackupSight<'_>,
    object: Object,
) -> Result<Option<ObjectTrouble>, WalkError<SightError>> {
    if object.kind == Kind::Block {
        let kept = sight.keep_block(object, Need::Required);
        kept.map_err(WalkError::Sight)?;
        return Ok(None);
    }
    match walk::read_checked(source, &object).map_err(WalkError::Source)? {
        Ok((_, bytes)) => {
            let stored = sight.stored(&object).map_err(WalkError::Sight)?;
            let stored = stored.and_then(|stored| stored.sha256);
            // The stored bytes of a commit count, and stay where they are.
            if stored.is_some_and(|stored| stored != Sha256::of(&bytes)) {
                return Ok(Some(ObjectTrouble {
                    object,
                    trouble: ObjectDamage::Changed,
                    need: Need::Required,
                }));
            }
            sight.keep(object, bytes).map_err(WalkError::Sight)?;
            Ok(None)
        }
        Err(BadObject { trouble, .. }) => {
            Ok(Some(ObjectTrouble { object, trouble, need: Need::Required }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(pack: i64, size: u64, live: u64) -> Usage {
        Usage { pack, kind: PackKind::Blocks, size, live, whole: 1000 }
    }

    #[test]
    fn packs_of_which_less_than_half_is_needed_are_emptied_and_tiny_ones_when_there_are_many() {
        let full = |pack, live| usage(pack, PACK_BYTES, live);
        assert_eq!(
            victims(&[full(1, 1000), full(2, 500), full(3, 499), full(4, 0)]),
            BTreeSet::from([3, 4])
        );
        let tiny = |pack| usage(pack, PACK_BYTES / TINY - 1, 1000);
        let mut packs: Vec<Usage> = (1..=100).map(tiny).collect();
        packs.push(full(200, 1000));
        assert_eq!(victims(&packs), BTreeSet::new());
        packs.push(tiny(101));
        assert_eq!(victims(&packs).len(), 101);
    }

    #[test]
    fn what_a_pack_that_stays_links_to_stays_and_so_on() {
        let all = BTreeSet::from([1, 2, 3, 4]);
        // 3 stays because 9 does, 2 because 3 does; 4 only links.
        let links = [(9, 3), (3, 2), (4, 2), (2, 8)];
        assert_eq!(without_linked(all.clone(), &links), BTreeSet::from([1, 4]));
        assert_eq!(without_linked(all.clone(), &[(4, 1), (1, 2)]), all);
    }
}
