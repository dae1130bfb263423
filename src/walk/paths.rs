//! Where in a library's newest state damage shows: for reports.

use std::collections::{HashMap, HashSet};

use super::{Closure, Found, Sight, WalkError, content_store, find, roots};
use crate::database::LibraryPointers;
use crate::object::{Kind, Object};
use crate::seafile::check::Content;
use crate::seafile::folders::ObjectFolders;
use crate::seafile::fs::FsObject;

/// Paths that are looked at before the search gives up: one folder may stand in many places.
const MAX_VISITS: usize = 1_000_000;

/// For each bad object, named as in `bad`, the paths of the library's heads that need it, at most
/// `most` each.
///
/// Goes only into what the closure knows to be open, so that its cost follows the damage.
#[allow(clippy::implicit_hasher, reason = "the set is made by this crate")]
pub fn affected_paths<S: Sight>(
    source: &ObjectFolders,
    sight: &S,
    library: &LibraryPointers,
    bad: &HashSet<Object>,
    closure: &Closure,
    most: usize,
) -> Result<HashMap<Object, Vec<String>>, WalkError<S::Error>> {
    let mut paths: HashMap<Object, Vec<String>> = HashMap::new();
    let mut pending = Vec::new();
    for head in roots(library) {
        if let Some(Content::Commit(commit)) = content(source, sight, head)? {
            pending.push((
                Object::new(content_store(library), Kind::Fs, commit.root),
                "/".to_owned(),
            ));
        }
    }
    for _ in 0..MAX_VISITS {
        let Some((object, path)) = pending.pop() else {
            break;
        };
        if !closure.is_open(&object) {
            continue;
        }
        if let Some(bad) = find_bad(source, bad, &object) {
            add(&mut paths, bad, &path, most);
        }
        match content(source, sight, object)? {
            Some(Content::Fs(FsObject::Folder(folder))) => {
                for entry in folder.entries {
                    let slash = if entry.is_folder() { "/" } else { "" };
                    let path = format!("{path}{}{slash}", entry.name);
                    pending.push((
                        Object {
                            id: entry.id,
                            ..object
                        },
                        path,
                    ));
                }
            }
            Some(Content::Fs(FsObject::File(file))) => {
                for id in file.blocks {
                    let block = Object::new(object.store, Kind::Block, id);
                    if let Some(bad) = find_bad(source, bad, &block) {
                        add(&mut paths, bad, &path, most);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(paths)
}

/// The bad object that this one is: it may lie in the store that all libraries share.
fn find_bad(source: &ObjectFolders, bad: &HashSet<Object>, object: &Object) -> Option<Object> {
    source
        .places(object.store)
        .map(|store| Object { store, ..*object })
        .find(|object| bad.contains(object))
}

fn add(paths: &mut HashMap<Object, Vec<String>>, object: Object, path: &str, most: usize) {
    let known = paths.entry(object).or_default();
    if known.len() < most && known.last().is_none_or(|last| last != path) {
        known.push(path.to_owned());
    }
}

fn content<S: Sight>(
    source: &ObjectFolders,
    sight: &S,
    object: Object,
) -> Result<Option<Content>, WalkError<S::Error>> {
    Ok(match find(source, sight, object)? {
        Found::Good { content, .. } | Found::Rescued { content, .. } => Some(content),
        Found::Nowhere { .. } => None,
    })
}
