//! Turns the findings of the walks into the report: by library, with the affected paths.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Error;
use super::report::{
    DamagedLibrary, DamagedVersion, HistoryIncomplete, LibraryDamage, LooseStore, MAX_DAMAGE,
    MAX_WARNINGS, Report,
};
use super::settle::Walked;
use crate::database::{LibraryPointers, LibraryState, Pointers};
use crate::object::{Kind, Object, ObjectId, Store};
use crate::seafile::commit::Commit;
use crate::seafile::folders::{ObjectFolders, StoreEntry};
use crate::walk::{
    self, AffectedPaths, Closure, Need, NeedPlace, NeededBy, NothingKnown, ObjectDamage, Walk,
    WalkError, WalkFinding,
};

/// Which of the group's damaged objects a library needs, and at which paths.
#[derive(Default)]
struct Affected {
    needs: HashMap<Object, NeedPlace>,
    paths: AffectedPaths,
}

/// Adds a group of libraries to the report, with at most `most_paths` paths for each object.
/// Objects in `known` were lost before and go into `lost_before`.
pub(super) fn group(
    report: &mut Report,
    source: &ObjectFolders,
    walked: &Walked,
    (most_paths, known): (usize, &HashSet<Object>),
) -> Result<(), Error> {
    report.objects += walked.outcome.visited;
    let damaged: HashSet<Object> = walked.outcome.damage().map(|finding| finding.object).collect();
    let mut affected: Vec<Affected> = Vec::new();
    if let Some(closure) = closure(source, walked, &damaged)? {
        for library in &walked.libraries {
            affected.push(Affected {
                needs: walk::needs(source, &NothingKnown, library, &damaged, &closure)
                    .map_err(walk_error)?,
                paths: walk::affected_paths(
                    source,
                    &NothingKnown,
                    library,
                    &damaged,
                    &closure,
                    most_paths,
                )
                .map_err(walk_error)?,
            });
        }
    }
    let mut optional = Vec::new();
    for finding in walked.outcome.damage() {
        let mut needing: Vec<_> = walked
            .libraries
            .iter()
            .zip(&affected)
            .filter_map(|(library, affected)| {
                let needed = affected.needs.get(&finding.object)?;
                Some((library, needed, &affected.paths))
            })
            .collect();
        if needing.iter().any(|(_, needed, _)| needed.by != NeededBy::Base) {
            needing.retain(|(library, needed, _)| !is_beside(library, needed));
        }
        if needing.is_empty() {
            // A worker found this block bad, without knowing who needs it: only optional history
            // does.
            optional.push(finding);
        }
        for (library, needed, paths) in needing {
            let damage = damage(source, library, finding, needed, paths);
            if !known.contains(&finding.object) {
                add(report, damage);
            } else if report.lost_before.len() < MAX_DAMAGE {
                report.lost_before.push(damage);
            }
        }
    }
    for library in &walked.libraries {
        let counted = walked.outcome.findings.iter().filter(|finding| {
            finding.library == library.id && finding.need == Need::Optional && !finding.rescued
        });
        let more = optional.iter().copied();
        let more = more.filter(|finding| finding.library == library.id);
        history(report, source, library, counted.chain(more));
    }
    report.warnings.extend(walked.outcome.warning_lines());
    Ok(())
}

/// Whether only the tree of a base commit needs an object, and the object lies outside of the
/// shared folder. Then the origin has lost it, and this library can be merged without it.
fn is_beside(library: &LibraryPointers, needed: &NeedPlace) -> bool {
    let (NeededBy::Base, Some(path), Some(origin)) = (needed.by, &needed.path, &library.origin)
    else {
        return false;
    };
    let shared = format!("/{}/", origin.path.trim_matches('/'));
    let path = format!("{}/", path.trim_end_matches('/'));
    !path.starts_with(&shared) && !shared.starts_with(&path)
}

/// Which objects lead to damage; `None` if there is no damage.
fn closure(
    source: &ObjectFolders,
    walked: &Walked,
    damaged: &HashSet<Object>,
) -> Result<Option<Closure>, Error> {
    if damaged.is_empty() {
        return Ok(None);
    }
    let walk = Walk::new(source, &NothingKnown);
    walk.closure(&walked.group(), damaged, &walked.outcome.unfollowed).map(Some).map_err(walk_error)
}

pub(super) fn walk_error(error: WalkError<std::convert::Infallible>) -> Error {
    match error {
        WalkError::Source(error) => Error::Source(error),
        WalkError::Sight(never) => match never {},
    }
}

fn add(report: &mut Report, damage: LibraryDamage) {
    report.damaged += 1;
    let known = report.damaged_libraries.iter_mut();
    let known = known.rev().find(|known| known.library == damage.library);
    let newest = u64::from(damage.in_newest_state);
    let base = u64::from(damage.version.as_ref().is_some_and(|version| version.base));
    if let Some(known) = known {
        known.damaged += 1;
        known.in_newest_state += newest;
        known.in_base += base;
    } else {
        report.damaged_libraries.push(DamagedLibrary {
            library: damage.library,
            library_name: damage.library_name.clone(),
            in_trash: damage.in_trash,
            damaged: 1,
            in_newest_state: newest,
            in_base: base,
        });
    }
    if report.damage.len() < MAX_DAMAGE {
        report.damage.push(damage);
    }
}

fn damage(
    source: &ObjectFolders,
    library: &LibraryPointers,
    finding: &WalkFinding,
    needed: &NeedPlace,
    affected: &AffectedPaths,
) -> LibraryDamage {
    let object = finding.object;
    let in_newest_state = needed.by == NeededBy::NewestState;
    let mut paths = affected.paths.get(&object).cloned().unwrap_or_default();
    if paths.is_empty() && in_newest_state {
        paths.extend(needed.path.clone());
    }
    paths.sort_unstable();
    paths.dedup();
    LibraryDamage {
        library: library.id,
        library_name: name(source, library),
        in_trash: is_in_trash(library),
        object: object.into(),
        file: Some(object.path()),
        reason: finding.trouble.word().into(),
        detail: finding.trouble.to_string(),
        in_newest_state,
        paths,
        paths_cut: in_newest_state && object.kind != Kind::Commit && affected.is_cut(&object),
        version: (!in_newest_state).then(|| DamagedVersion {
            commit: needed.commit,
            time: needed.time,
            path: needed.path.clone(),
            base: needed.by == NeededBy::Base,
        }),
    }
}

/// A library's name. If the database has none, the name in its newest commit.
pub(super) fn name(source: &ObjectFolders, library: &LibraryPointers) -> Option<String> {
    let known = library.name.clone().filter(|name| !name.is_empty());
    known.or_else(|| {
        let head = library.heads.first()?;
        let object = Object::new(Store::Library(library.id), Kind::Commit, head.commit);
        let mut places = source.places(object.store);
        places.find_map(|store| {
            let bytes = source.read(&Object { store, ..object }).ok()??;
            let commit = Commit::parse(&bytes).ok()?;
            Some(commit.library_name).filter(|name| !name.is_empty())
        })
    })
}

pub(super) fn is_in_trash(library: &LibraryPointers) -> bool {
    matches!(library.state, LibraryState::Trashed { .. })
}

/// Adds damage of the database: a library whose rows do not say where its data is.
pub(super) fn of_rows(
    report: &mut Report,
    source: &ObjectFolders,
    library: &LibraryPointers,
    reason: &str,
    detail: String,
) {
    let object = Object::new(Store::Library(library.id), Kind::Commit, ObjectId::EMPTY);
    add(
        report,
        LibraryDamage {
            library: library.id,
            library_name: name(source, library),
            in_trash: is_in_trash(library),
            object: object.into(),
            file: None,
            reason: reason.into(),
            detail,
            in_newest_state: true,
            paths: Vec::new(),
            paths_cut: false,
            version: None,
        },
    );
}

/// Counts missing objects of optional history, and adds a warning for each bad one.
fn history<'a>(
    report: &mut Report,
    source: &ObjectFolders,
    library: &LibraryPointers,
    optional: impl Iterator<Item = &'a WalkFinding>,
) {
    let (gone, bad): (Vec<&WalkFinding>, Vec<&WalkFinding>) =
        optional.partition(|finding| finding.trouble == ObjectDamage::Missing);
    if !gone.is_empty() {
        report.history_incomplete.push(HistoryIncomplete {
            library: library.id,
            library_name: name(source, library),
            objects: gone.len() as u64,
        });
    }
    let bad = bad.into_iter().take(MAX_WARNINGS);
    report.warnings.extend(bad.map(|WalkFinding { object, trouble, .. }| {
        format!("{object}, of history that library {} may lose: {trouble}", library.id)
    }));
}

/// Reports stores on disk to which no row points. Lists only the stores, not their content.
pub(super) fn loose_stores(report: &mut Report, source: &ObjectFolders, pointers: &Pointers) {
    let mut stores = BTreeSet::new();
    for kind in Kind::ALL {
        match source.stores(kind) {
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        StoreEntry::Store(Store::Library(library)) => {
                            stores.insert(library);
                        }
                        StoreEntry::Store(Store::Shared) => {}
                        StoreEntry::Foreign(_) => report.foreign += 1,
                    }
                }
            }
            Err(error) => report.warnings.push(crate::causes::chain(&error)),
        }
    }
    let loose = stores.into_iter().filter(|store| {
        let library = pointers.library(*store);
        library.is_none_or(|library| is_in_trash(library) && library.heads.is_empty())
    });
    report.without_pointer = loose
        .map(|store| LooseStore {
            store,
            garbage: pointers.garbage.contains(&store),
            in_trash: pointers.library(store).is_some(),
        })
        .collect();
}

/// Marks unreached objects that may lie below a damaged object: they may be no garbage.
pub(super) fn mark_below_damage(report: &mut Report, pointers: &Pointers) {
    let damage = report.damage.iter();
    let opaque = damage.filter(|damage| damage.object.kind != Kind::Block);
    let mut stores = HashSet::new();
    for damage in opaque {
        stores.insert(damage.object.store);
        stores.insert(Store::Library(damage.library));
        stores.extend(pointers.library(damage.library).map(walk::content_store));
    }
    for entry in &mut report.unreached {
        entry.below_damage =
            entry.store == Store::Shared && !stores.is_empty() || stores.contains(&entry.store);
    }
}
