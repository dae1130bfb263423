//! What the walks found, library by library, with the paths that are affected.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Error;
use super::report::{Damage, HistoryIncomplete, LooseStore, MAX_DAMAGE, MAX_WARNINGS, Report};
use super::settle::Walked;
use super::sight::NoSight;
use crate::database::{LibraryPointers, LibraryState, Pointers};
use crate::object::{Kind, Object, ObjectId, Store};
use crate::seafile::folders::{ObjectFolders, StoreEntry};
use crate::walk::{self, Closure, Finding, Need, Trouble, Walk, WalkError};

/// Describes a group of libraries.
pub(super) fn group(
    report: &mut Report,
    source: &ObjectFolders,
    walked: &Walked,
    most_paths: usize,
) -> Result<(), Error> {
    report.objects += walked.outcome.visited;
    let damaged: HashSet<Object> = walked
        .outcome
        .damage()
        .map(|finding| finding.object)
        .collect();
    let closure = closure(source, walked, &damaged)?;
    let mut paths = Vec::new();
    for library in &walked.libraries {
        paths.push(match &closure {
            None => HashMap::new(),
            Some(closure) => {
                walk::affected_paths(source, &NoSight, library, &damaged, closure, most_paths)
                    .map_err(walk_error)?
            }
        });
        history(report, walked, library);
    }
    for finding in walked.outcome.damage() {
        // The library that came upon it first, if no path tells whose it is: history, or a commit.
        let is_history = paths
            .iter()
            .all(|paths| !paths.contains_key(&finding.object));
        for (library, paths) in walked.libraries.iter().zip(&paths) {
            let paths = paths.get(&finding.object);
            if paths.is_some() || is_history && finding.library == library.id {
                add(
                    report,
                    damage(library, finding, paths.cloned().unwrap_or_default()),
                );
            }
        }
    }
    report.warnings.extend(walked.outcome.warning_lines());
    Ok(())
}

/// Which objects lead to damage; `None` without damage.
fn closure(
    source: &ObjectFolders,
    walked: &Walked,
    damaged: &HashSet<Object>,
) -> Result<Option<Closure>, Error> {
    if damaged.is_empty() {
        return Ok(None);
    }
    let walk = Walk::new(source, &NoSight);
    walk.closure(&walked.group(), damaged)
        .map(Some)
        .map_err(walk_error)
}

fn walk_error(error: WalkError<std::convert::Infallible>) -> Error {
    match error {
        WalkError::Source(error) => Error::Source(error),
        WalkError::Sight(never) => match never {},
    }
}

fn add(report: &mut Report, damage: Damage) {
    report.damaged += 1;
    if report.damage.len() < MAX_DAMAGE {
        report.damage.push(damage);
    }
}

fn damage(library: &LibraryPointers, finding: &Finding, mut paths: Vec<String>) -> Damage {
    paths.sort_unstable();
    paths.dedup();
    let object = finding.object;
    let is_head = object.kind == Kind::Commit
        && object.store == Store::Library(library.id)
        && library.heads.iter().any(|head| head.commit == object.id);
    Damage {
        library: library.id,
        library_name: library.name.clone(),
        in_trash: is_in_trash(library),
        object: object.into(),
        reason: finding.trouble.word().into(),
        detail: finding.trouble.to_string(),
        in_newest_state: is_head || !paths.is_empty(),
        paths,
    }
}

fn is_in_trash(library: &LibraryPointers) -> bool {
    matches!(library.state, LibraryState::Trashed { .. })
}

/// A library whose rows do not say where its data is: damage of the database.
pub(super) fn of_rows(
    report: &mut Report,
    library: &LibraryPointers,
    reason: &str,
    detail: String,
) {
    let object = Object::new(Store::Library(library.id), Kind::Commit, ObjectId::EMPTY);
    add(
        report,
        Damage {
            library: library.id,
            library_name: library.name.clone(),
            in_trash: is_in_trash(library),
            object: object.into(),
            reason: reason.into(),
            detail,
            in_newest_state: true,
            paths: Vec::new(),
        },
    );
}

/// What is not there of optional history is counted; what is there and bad is told.
fn history(report: &mut Report, walked: &Walked, library: &LibraryPointers) {
    let optional = walked.outcome.findings.iter().filter(|finding| {
        finding.library == library.id && finding.need == Need::Optional && !finding.rescued
    });
    let (gone, bad): (Vec<&Finding>, Vec<&Finding>) =
        optional.partition(|finding| finding.trouble == Trouble::Missing);
    if !gone.is_empty() {
        report.history_incomplete.push(HistoryIncomplete {
            library: library.id,
            library_name: library.name.clone(),
            objects: gone.len() as u64,
        });
    }
    let bad = bad.into_iter().take(MAX_WARNINGS);
    report.warnings.extend(bad.map(
        |Finding {
             object, trouble, ..
         }| {
            format!(
                "{object}, of history that library {} may lose: {trouble}",
                library.id
            )
        },
    ));
}

/// Names stores on disk that no row points to. Lists the stores only, not what is in them.
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
    let loose = stores
        .into_iter()
        .filter(|store| pointers.library(*store).is_none());
    report.without_pointer = loose
        .map(|store| LooseStore {
            store,
            garbage: pointers.garbage.contains(&store),
        })
        .collect();
}
