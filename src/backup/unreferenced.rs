//! Stores on disk that no row points to, and with `--everything` the unreachable objects of all
//! others: copied by listing, each object verified.

use std::collections::BTreeSet;

use super::objects::Objects;
use super::packing::{BlockTrouble, Totals};
use super::sight::{BackupSight, SightError};
use super::{Error, Options};
use crate::database::Pointers;
use crate::object::{Kind, Object, ObjectId, Store};
use crate::repository::catalog::Catalog;
use crate::repository::manifest::{Counts, Manifest, Unreferenced};
use crate::seafile::check::Content;
use crate::seafile::folders::{Found, ObjectFolders, StoreEntry};
use crate::walk::{self, BadObject, Sight as _, Trouble, WalkError};

/// What came of it.
#[derive(Default)]
pub struct Leftovers {
    /// Stores without a row.
    pub stores: Vec<Unreferenced>,
    /// What was stored.
    pub totals: Totals,
    /// Objects in them that are not what their names say: kept aside, not damage, since nothing
    /// points to them.
    pub bad: Vec<(Object, Trouble)>,
    /// Folders that could not be listed.
    pub unreadable: Vec<String>,
    /// Names where stores or objects should be that are neither; not copied.
    pub foreign: u64,
}

impl Leftovers {
    /// Says what the repository holds of each, once all is stored.
    pub fn count(&mut self, catalog: &Catalog) -> Result<(), Error> {
        for left in &mut self.stores {
            left.counts = catalog.counts(Store::Library(left.store))?;
        }
        Ok(())
    }

    /// Keeps what the base had of stores without a row, where they could not be looked for.
    pub fn keep(&mut self, base: Option<&Manifest>, pointers: &Pointers) {
        for known in base.into_iter().flat_map(|base| &base.unreferenced) {
            let is_listed = self.stores.iter().any(|left| left.store == known.store);
            if !is_listed && pointers.library(known.store).is_none() {
                self.stores.push(known.clone());
            }
        }
    }

    /// Whether a store without a row has objects that are not what their names say. It may be a
    /// library whose row was lost; with `--everything` the same elsewhere is garbage.
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
    objects: &Objects<'_>,
    options: &Options,
    pointers: &Pointers,
    base: Option<&Manifest>,
) -> Result<Leftovers, Error> {
    let mut left = Leftovers::default();
    let stores = stores_on_disk(objects.source, &mut left);
    let (unreferenced, referenced): (Vec<Store>, Vec<Store>) = stores
        .into_iter()
        .partition(|store| is_unreferenced(pointers, *store));
    let mut newest = std::collections::HashMap::new();
    let listed = objects.listing();
    let ((), totals, troubles) = listed.pack(|sight| {
        for store in &unreferenced {
            if !is_garbage(pointers, *store) || options.everything {
                newest.insert(
                    *store,
                    copy_store(objects.source, sight, *store, options.full, &mut left)?,
                );
            }
        }
        for store in referenced.iter().filter(|_| options.everything) {
            copy_store(objects.source, sight, *store, options.full, &mut left)?;
        }
        Ok(())
    })?;
    left.totals = totals;
    left.bad.extend(
        troubles
            .into_iter()
            .map(|BlockTrouble { object, trouble }| (object, trouble)),
    );
    for store in unreferenced {
        let Store::Library(library) = store else {
            continue;
        };
        let known = base.into_iter().flat_map(|base| &base.unreferenced);
        let known = known.into_iter().find(|known| known.store == library);
        let before = known.and_then(|known| known.newest.clone());
        let valid_since = known.and_then(|known| known.valid_since);
        let row = base
            .and_then(|base| base.library(library))
            .and_then(|known| known.valid_since);
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

/// The later of two commits.
trait Later {
    fn max_by_time(self, other: Self) -> Self;
}

impl Later for Option<(ObjectId, i64, String)> {
    fn max_by_time(self, other: Self) -> Self {
        match (self, other) {
            (Some(a), Some(b)) => Some(if b.1 > a.1 { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

fn stores_on_disk(source: &ObjectFolders, left: &mut Leftovers) -> BTreeSet<Store> {
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

/// A store that no walk goes through as its own library's: without a row, or with one that names no
/// head. That virtual libraries take their content from it changes nothing: its own newest state
/// would be missing.
fn is_unreferenced(pointers: &Pointers, store: Store) -> bool {
    let Store::Library(id) = store else {
        return false;
    };
    pointers
        .library(id)
        .is_none_or(|library| library.heads.is_empty())
}

fn is_garbage(pointers: &Pointers, store: Store) -> bool {
    matches!(store, Store::Library(id) if pointers.garbage.contains(&id))
}

/// Copies every object of a store that is not stored yet; returns the newest commit among them. `full`: the catalog is told
/// what is stored and there.
fn copy_store(
    source: &ObjectFolders,
    sight: &BackupSight<'_>,
    store: Store,
    full: bool,
    left: &mut Leftovers,
) -> SightResult<Option<(ObjectId, i64, String)>> {
    let mut newest: Option<(ObjectId, i64, String)> = None;
    for kind in Kind::ALL {
        for found in source.objects(kind, store) {
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    left.unreadable.push(error.to_string());
                    continue;
                }
            };
            match found {
                Found::Object(id) => {
                    let object = Object::new(store, kind, id);
                    if sight.known(&object).map_err(WalkError::Sight)?.is_none() {
                        newest = newest.max_by_time(copy_object(source, sight, object, left)?);
                    } else if full {
                        sight.visit_listed(&object).map_err(WalkError::Sight)?;
                    }
                }
                Found::Foreign(_) => left.foreign += 1,
            }
        }
    }
    Ok(newest)
}

fn copy_object(
    source: &ObjectFolders,
    sight: &BackupSight<'_>,
    object: Object,
    left: &mut Leftovers,
) -> SightResult<Option<(ObjectId, i64, String)>> {
    if object.kind == Kind::Block {
        sight.keep_block(object).map_err(WalkError::Sight)?;
        return Ok(None);
    }
    match walk::read_checked(source, &object).map_err(WalkError::Source)? {
        Ok((content, bytes)) => {
            sight.keep(object, bytes).map_err(WalkError::Sight)?;
            Ok(match content {
                Content::Commit(commit) => Some((commit.id, commit.ctime, commit.library_name)),
                _ => None,
            })
        }
        Err(BadObject { trouble, bytes }) => {
            if let Some(bytes) = bytes {
                sight.salvage(object, bytes).map_err(WalkError::Sight)?;
            }
            // What is missing was collected since it was listed.
            if trouble != Trouble::Missing {
                left.bad.push((object, trouble));
            }
            Ok(None)
        }
    }
}
