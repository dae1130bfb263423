//! At which paths of a library's newest state damage shows. For reports.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::{Closure, FoundObject, Need, Objects, Sight, WalkError, content_store, find, roots};
use crate::database::LibraryPointers;
use crate::object::{Kind, Object};
use crate::seafile::check::ObjectContent;
use crate::seafile::fs::FsObject;

/// The search gives up after so many open paths: one folder may stand at a great many paths.
const MAX_VISITS: usize = 1_000_000;

/// Where damage shows.
#[derive(Debug, Default)]
pub struct AffectedPaths {
    /// For each bad object (named as in the given set) the paths that need it.
    pub paths: HashMap<Object, Vec<String>>,
    /// Objects that have more paths than the given maximum.
    pub cut: HashSet<Object>,
    /// The search gave up, so any object may have more paths.
    pub gave_up: bool,
}

impl AffectedPaths {
    /// Whether an object may have more paths than those found.
    pub fn is_cut(&self, object: &Object) -> bool {
        self.gave_up || self.cut.contains(object)
    }
}

/// Finds, for each bad object, the paths in the library's heads that need it, at most `most` each.
///
/// It goes only into what the closure knows to be open, and reads each object once. So the cost
/// follows the damage.
#[allow(clippy::implicit_hasher, reason = "the set is made by this crate")]
pub fn affected_paths<S: Sight>(
    source: &dyn Objects,
    sight: &S,
    library: &LibraryPointers,
    bad: &HashSet<Object>,
    closure: &Closure,
    most: usize,
) -> Result<AffectedPaths, WalkError<S::Error>> {
    let limits = PathLimits { paths: most, visits: MAX_VISITS };
    search(source, sight, library, bad, closure, limits)
}

/// Where a search for paths ends.
#[derive(Debug, Clone, Copy)]
struct PathLimits {
    /// How many paths are kept for each bad object.
    paths: usize,
    /// How many open paths are looked at.
    visits: usize,
}

fn search<S: Sight>(
    source: &dyn Objects,
    sight: &S,
    library: &LibraryPointers,
    bad: &HashSet<Object>,
    closure: &Closure,
    limits: PathLimits,
) -> Result<AffectedPaths, WalkError<S::Error>> {
    let mut affected = AffectedPaths::default();
    let mut known: HashMap<Object, Vec<(Object, String)>> = HashMap::new();
    let mut pending = Vec::new();
    for head in roots(library) {
        if let Some(ObjectContent::Commit(commit)) = content(source, sight, head)? {
            let root = Object::new(content_store(library), Kind::Fs, commit.root);
            if closure.is_open(&root) {
                pending.push((root, "/".to_owned()));
            }
        }
    }
    let mut visits = 0;
    while let Some((object, path)) = pending.pop() {
        visits += 1;
        if visits > limits.visits {
            affected.gave_up = true;
            break;
        }
        if let Some(bad) = find_bad(source, bad, &object) {
            add(&mut affected, bad, &path, limits.paths);
        }
        if object.kind == Kind::Fs {
            let children = match known.entry(object) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(open_children(source, sight, closure, object)?),
            };
            let children = children.iter();
            pending.extend(children.map(|(child, name)| (*child, format!("{path}{name}"))));
        }
    }
    Ok(affected)
}

/// The open children of an open fs object, and what each adds to a path: a name, or nothing for a
/// block. An object that cannot be read has no children here.
pub(super) fn open_children<S: Sight>(
    source: &dyn Objects,
    sight: &S,
    closure: &Closure,
    object: Object,
) -> Result<Vec<(Object, String)>, WalkError<S::Error>> {
    let mut children = Vec::new();
    match content(source, sight, object)? {
        Some(ObjectContent::Fs(FsObject::Folder(folder))) => {
            for entry in folder.entries {
                let id = entry.id;
                let child = Object { id, ..object };
                if closure.is_open(&child) {
                    let slash = if entry.is_folder() { "/" } else { "" };
                    children.push((child, format!("{}{slash}", entry.name)));
                }
            }
        }
        Some(ObjectContent::Fs(FsObject::File(file))) => {
            for id in file.blocks {
                let child = Object::new(object.store, Kind::Block, id);
                if closure.is_open(&child) {
                    children.push((child, String::new()));
                }
            }
        }
        _ => {}
    }
    Ok(children)
}

/// The name under which an object is in `bad`: that may be the store that all libraries share.
pub(super) fn find_bad(
    source: &dyn Objects,
    bad: &HashSet<Object>,
    object: &Object,
) -> Option<Object> {
    source
        .places(object.store)
        .map(|store| Object { store, ..*object })
        .find(|object| bad.contains(object))
}

fn add(affected: &mut AffectedPaths, object: Object, path: &str, most: usize) {
    let known = affected.paths.entry(object).or_default();
    if known.last().is_some_and(|last| last == path) {
        return; // a block twice in one file
    }
    if known.len() < most {
        known.push(path.to_owned());
    } else {
        affected.cut.insert(object);
    }
}

pub(super) fn content<S: Sight>(
    source: &dyn Objects,
    sight: &S,
    object: Object,
) -> Result<Option<ObjectContent>, WalkError<S::Error>> {
    Ok(match find(source, sight, object, Need::Required)? {
        FoundObject::Good { content, .. } | FoundObject::Rescued { content, .. } => Some(content),
        FoundObject::Nowhere { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::read_pointers;
    use crate::seafile::folders::ObjectEntry;
    use crate::seafile::folders::ObjectFolders;
    use crate::walk::{LibraryGroup, NothingKnown, Walk};
    use std::path::Path;

    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/haiwen/seafile-data");

    #[test]
    fn a_search_that_gives_up_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("seafile.db");
        std::fs::copy(Path::new(EXAMPLE).join("seafile.db"), &copy).unwrap();
        let pointers = read_pointers(&copy).unwrap();
        let source = ObjectFolders::new(Path::new(EXAMPLE));
        let named = |library: &&LibraryPointers| library.name.as_deref() == Some("Photos & Videos");
        let library = pointers.libraries.iter().find(named).unwrap();
        // Every block of the library is bad.
        let blocks = source.objects(Kind::Block, content_store(library));
        let blocks = blocks.map(|found| match found.unwrap() {
            ObjectEntry::Object(id) => Object::new(content_store(library), Kind::Block, id),
            other @ ObjectEntry::Foreign(_) => panic!("{other:?}"),
        });
        let bad: HashSet<Object> = blocks.collect();
        let group = LibraryGroup { libraries: vec![library], ..LibraryGroup::default() };
        let walk = Walk::new(&source, &NothingKnown);
        let closure = walk.closure(&group, &bad, &HashSet::new()).unwrap();
        let search_within = |visits| {
            let limits = PathLimits { paths: 100, visits };
            search(&source, &NothingKnown, library, &bad, &closure, limits).unwrap()
        };
        let all = search_within(MAX_VISITS);
        assert_eq!(all.paths.len(), bad.len());
        assert!(bad.iter().all(|object| !all.is_cut(object)));
        let some = search_within(4);
        assert!(some.paths.len() < bad.len());
        assert!(bad.iter().all(|object| some.is_cut(object)));
    }
}
