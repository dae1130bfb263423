//! Copies by listing what no pointer leads to: stores on disk without a row, what a loss cuts off
//! in other stores, and with `--everything` the unreachable objects of all stores. Each object is
//! verified.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::cut_off::{CutOffLibraries, StoresToList};
use super::objects::ObjectBackup;
use super::packing::PackingTotals;
use super::sight::{BackupSight, SightError};
use super::{Error, Options};
use crate::database::Pointers;
use crate::host::catalog::Catalog;
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::repository::manifest::{Counts, ListedObjects, Manifest, Unreferenced};
use crate::seafile::check::ObjectContent;
use crate::seafile::folders::{ObjectEntry, ObjectFolders, StoreEntry};
use crate::walk::{self, BadObject, Need, ObjectDamage, Sight as _, WalkError};

/// What was copied by listing.
#[derive(Default)]
pub struct CopiedByListing {
    /// Stores without a row.
    pub stores: Vec<Unreferenced>,
    /// Libraries that a loss cuts something off from, and what this run or an earlier one listed of
    /// them.
    pub cut_off: BTreeMap<LibraryId, ListedObjects>,
    /// What was stored.
    pub totals: PackingTotals,
    /// Objects that are not what their names say. They are kept aside. They are no damage, since
    /// nothing points to them.
    pub bad: Vec<(Object, ObjectDamage)>,
    /// Folders that could not be listed.
    pub unreadable: Vec<String>,
    /// The number of names that are neither stores nor objects; they are not copied.
    pub foreign: u64,
}

impl CopiedByListing {
    /// Counts what the repository holds of each store, once all is stored.
    pub fn count(&mut self, catalog: &Catalog) -> Result<(), Error> {
        for left in &mut self.stores {
            left.counts = catalog.counts(Store::Library(left.store))?;
        }
        Ok(())
    }

    /// Takes over the base's stores without a row, if this run could not look for them.
    pub fn keep(&mut self, base: Option<&Manifest>, pointers: &Pointers) {
        for known in base.into_iter().flat_map(|base| &base.unreferenced) {
            let is_listed = self.stores.iter().any(|left| left.store == known.store);
            if !is_listed && pointers.library(known.store).is_none() {
                self.stores.push(known.clone());
            }
        }
    }

    /// Whether a store without a row has objects that are not what their names say. Such a store
    /// may be a library whose row was lost. In other stores, which `--everything` copies, such
    /// objects are garbage.
    pub fn has_damage(&self) -> bool {
        let is_copied = |object: &Object| {
            let mut stores = self.stores.iter();
            stores.any(|left| !left.garbage && Store::Library(left.store) == object.store)
        };
        self.bad.iter().any(|(object, _)| is_copied(object))
    }
}

type SightResult<T> = Result<T, WalkError<SightError>>;

/// Copies what no pointer leads to.
pub fn copy(
    objects: &ObjectBackup<'_>,
    options: &Options,
    pointers: &Pointers,
    base: Option<&Manifest>,
    cut_off: CutOffLibraries,
) -> Result<CopiedByListing, Error> {
    let mut left = CopiedByListing::default();
    let stores = stores_on_disk(objects.source, &mut left);
    let (unreferenced, referenced): (Vec<Store>, Vec<Store>) =
        stores.into_iter().partition(|store| is_unreferenced(pointers, *store));
    let mut newest = std::collections::HashMap::new();
    let mut found = BTreeMap::new();
    let listing = StoreListing { source: objects.source, full: options.full };
    // The catalog does not know yet what one listing keeps when another one comes by.
    let mut done = HashSet::new();
    let packed = objects.listing();
    let ((), totals, troubles) = packed.pack(|sight| {
        for store in &unreferenced {
            if !is_garbage(pointers, *store) || options.everything {
                let copied =
                    copy_store(&listing, sight, (*store, &Kind::ALL), &mut done, &mut left)?;
                newest.insert(*store, copied.newest);
            }
        }
        for (library, wanted) in &cut_off.wanted {
            let listed = copy_cut_off(&listing, sight, (*library, wanted), &mut done, &mut left)?;
            found.extend(listed.map(|listed| (*library, listed)));
        }
        for store in referenced.iter().filter(|_| options.everything) {
            copy_store(&listing, sight, (*store, &Kind::ALL), &mut done, &mut left)?;
        }
        Ok(())
    })?;
    left.bad.retain(|(object, _)| !cut_off.told.contains(object));
    left.cut_off = cut_off.listed;
    for (library, mut listed) in found {
        // A catalog that was made again does not know what an earlier run listed: the higher count
        // stays.
        let stores = &cut_off.wanted[&library].stores;
        let bad = troubles.iter();
        let bad = bad.filter(|trouble| stores.contains_key(&trouble.object.store));
        listed.objects = listed.objects.saturating_sub(bad.count() as u64);
        let before = base.and_then(|base| base.library(library)?.listed.as_ref());
        listed.objects = listed.objects.max(before.map_or(0, |before| before.objects));
        left.cut_off.insert(library, listed);
    }
    left.totals = totals;
    left.bad.extend(troubles.into_iter().map(|trouble| (trouble.object, trouble.trouble)));
    for store in unreferenced {
        let Store::Library(library) = store else {
            continue;
        };
        let known = base.into_iter().flat_map(|base| &base.unreferenced);
        let known = known.into_iter().find(|known| known.store == library);
        let before = known.and_then(|known| known.newest.clone());
        let valid_since = known.and_then(|known| known.valid_since);
        let row = base.and_then(|base| base.library(library)).and_then(|known| known.valid_since);
        let newest = newest.remove(&store).flatten().max_by_time(before);
        let garbage = is_garbage(pointers, store);
        left.stores.push(Unreferenced {
            store: library,
            garbage,
            counts: Counts::default(),
            newest,
            valid_since: valid_since.max(row),
        });
    }
    Ok(left)
}

/// Chooses the later of two commits.
trait LaterCommit {
    fn max_by_time(self, other: Self) -> Self;
}

impl LaterCommit for Option<(ObjectId, i64, String)> {
    fn max_by_time(self, other: Self) -> Self {
        match (self, other) {
            (Some(a), Some(b)) => Some(if b.1 > a.1 { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

fn stores_on_disk(source: &ObjectFolders, left: &mut CopiedByListing) -> BTreeSet<Store> {
    let mut stores = BTreeSet::new();
    for kind in Kind::ALL {
        match source.stores(kind) {
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        StoreEntry::Store(store) => {
                            stores.insert(store);
                        }
                        StoreEntry::Foreign(_) => left.foreign += 1,
                    }
                }
            }
            Err(error) => left.unreadable.push(error.to_string()),
        }
    }
    stores
}

/// Whether no walk goes through a store as its own library's: it has no row, or its row names no
/// head. This holds even if virtual libraries take their content from it, since the library's own
/// newest state would be missing.
fn is_unreferenced(pointers: &Pointers, store: Store) -> bool {
    let Store::Library(id) = store else {
        return false;
    };
    pointers.library(id).is_none_or(|library| library.heads.is_empty())
}

fn is_garbage(pointers: &Pointers, store: Store) -> bool {
    matches!(store, Store::Library(id) if pointers.garbage.contains(&id))
}

/// How stores are listed.
struct StoreListing<'a> {
    source: &'a ObjectFolders,
    /// Whether the catalog is told which stored objects are still on disk.
    full: bool,
}

/// The result of a listing.
#[derive(Default)]
struct CopiedStore {
    /// The newest commit that was not stored yet.
    newest: Option<(ObjectId, i64, String)>,
    /// The number of good objects that no walk visited.
    objects: u64,
}

/// Copies a store's objects of some kinds, except those that are stored already.
fn copy_store<'k>(
    listing: &StoreListing<'_>,
    sight: &BackupSight<'_>,
    (store, kinds): (Store, impl IntoIterator<Item = &'k Kind>),
    done: &mut HashSet<(Store, Kind)>,
    left: &mut CopiedByListing,
) -> SightResult<CopiedStore> {
    let mut copied = CopiedStore::default();
    for kind in kinds {
        if !done.insert((store, *kind)) {
            continue;
        }
        for found in listing.source.objects(*kind, store) {
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    left.unreadable.push(error.to_string());
                    continue;
                }
            };
            match found {
                ObjectEntry::Object(id) => {
                    let object = Object::new(store, *kind, id);
                    let known = sight.stored(&object).map_err(WalkError::Sight)?;
                    let bad = left.bad.len();
                    if known.is_none() {
                        let commit = copy_object(listing.source, sight, object, left)?;
                        copied.newest = copied.newest.max_by_time(commit);
                    } else if listing.full {
                        sight.visit_listed(&object).map_err(WalkError::Sight)?;
                    }
                    let is_cut_off = known.is_none_or(|known| known.listed);
                    copied.objects += u64::from(is_cut_off && left.bad.len() == bad);
                }
                ObjectEntry::Foreign(_) => left.foreign += 1,
            }
        }
    }
    Ok(copied)
}

/// Copies what a loss cuts off in the stores of a library. `None`: not all of it could be looked
/// at, so the next run has to list it again.
fn copy_cut_off(
    listing: &StoreListing<'_>,
    sight: &BackupSight<'_>,
    (library, wanted): (LibraryId, &StoresToList),
    done: &mut HashSet<(Store, Kind)>,
    left: &mut CopiedByListing,
) -> SightResult<Option<ListedObjects>> {
    let (unreadable, bad) = (left.unreadable.len(), left.bad.len());
    let mut listed = ListedObjects::default();
    for (store, kinds) in &wanted.stores {
        listed.objects += copy_store(listing, sight, (*store, kinds), done, left)?.objects;
    }
    listed.newest = newest_commit(listing.source, library)?;
    let mut bad = left.bad.iter().skip(bad);
    let is_whole = left.unreadable.len() == unreadable
        && !bad.any(|(_, trouble)| matches!(trouble, ObjectDamage::Unreadable(_)));
    Ok(is_whole.then_some(listed))
}

/// The newest commit of a library that can be read: users might go back to it.
fn newest_commit(
    source: &ObjectFolders,
    library: LibraryId,
) -> SightResult<Option<(ObjectId, i64)>> {
    let mut newest: Option<(ObjectId, i64)> = None;
    for store in source.places(Store::Library(library)) {
        for found in source.objects(Kind::Commit, store).flatten() {
            let ObjectEntry::Object(id) = found else { continue };
            let object = Object::new(store, Kind::Commit, id);
            let read = walk::read_checked(source, &object).map_err(WalkError::Source)?;
            if let Ok((ObjectContent::Commit(commit), _)) = read
                && (store != Store::Shared || commit.library == Some(library))
                && newest.is_none_or(|(_, time)| commit.ctime > time)
            {
                newest = Some((commit.id, commit.ctime));
            }
        }
    }
    Ok(newest)
}

fn copy_object(
    source: &ObjectFolders,
    sight: &BackupSight<'_>,
    object: Object,
    left: &mut CopiedByListing,
) -> SightResult<Option<(ObjectId, i64, String)>> {
    if object.kind == Kind::Block {
        let kept = sight.keep_block(object, Need::Optional);
        kept.map_err(WalkError::Sight)?;
        return Ok(None);
    }
    match walk::read_checked(source, &object).map_err(WalkError::Source)? {
        Ok((content, bytes)) => {
            sight.keep(object, bytes).map_err(WalkError::Sight)?;
            Ok(match content {
                ObjectContent::Commit(commit) => {
                    Some((commit.id, commit.ctime, commit.library_name))
                }
                _ => None,
            })
        }
        Err(BadObject { trouble, bytes }) => {
            if let Some(bytes) = bytes {
                sight.salvage(object, bytes).map_err(WalkError::Sight)?;
            }
            // A missing object was collected after it was listed.
            if trouble != ObjectDamage::Missing {
                left.bad.push((object, trouble));
            }
            Ok(None)
        }
    }
}
