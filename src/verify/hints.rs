//! Explains damage as a whole. A disk that is not mounted, or one lost row, looks like thousands of
//! lost objects.

use super::ahead;
use super::report::{DamagedLibrary, Report};
use crate::database::{LibraryPointers, Pointers};
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::seafile::check::{self, ObjectContent};
use crate::seafile::folders::ObjectFolders;
use crate::walk::content_store;

/// How many damaged libraries are examined at most.
const MOST_LIBRARIES: usize = 100;

/// The hints for the damage of a report.
pub(super) fn hints(report: &Report, source: &ObjectFolders, pointers: &Pointers) -> Vec<String> {
    let mut hints = Vec::new();
    for damaged in report.damaged_libraries.iter().take(MOST_LIBRARIES) {
        if let Some(library) = pointers.library(damaged.library) {
            hints.extend(
                lost_row(source, pointers, library)
                    .or_else(|| lost_folders(source, library, damaged)),
            );
        }
    }
    for damage in report.damage.iter().filter(|damage| damage.reason == "no-head") {
        hints.extend(lost_branch(source, damage.library, damage.in_trash));
    }
    let unreadable = report.damage.iter();
    let unreadable = unreadable.filter(|damage| damage.reason == "unreadable");
    let count = unreadable.count();
    if count > 0 {
        hints.push(format!(
            "what cannot be read ({count} of the damaged objects) is perhaps not lost: run seawall as root or as \
             the user that Seafile runs as, and look for disk errors"
        ));
    }
    let unexplained = report.damage.iter().any(|damage| {
        let library = pointers.library(damage.library);
        let has_no_limit = library.is_some_and(|library| library.valid_since.is_none());
        let in_history = damage.version.as_ref().is_some_and(|version| !version.base);
        has_no_limit && in_history && damage.reason == "missing"
    });
    if unexplained {
        hints.push(
            "history that is missing without a row in RepoValidSince was lost, or collected before its \
             library came back from the trash"
                .to_owned(),
        );
    }
    hints
}

/// A live library without a head may have all its data, and lack only its row in `Branch`.
fn lost_branch(source: &ObjectFolders, library: LibraryId, in_trash: bool) -> Option<String> {
    if in_trash {
        return None;
    }
    let (commit, ends) = ahead::lost_head(source, library)?;
    let which = if ends == 1 {
        "its only newest commit".to_owned()
    } else {
        format!("the newest of {ends} commits that nothing follows")
    };
    Some(format!(
        "library {library} lost its row in Branch, no file: with Seafile stopped, put it back: \
         INSERT INTO Branch (name, repo_id, commit_id) VALUES ('master', '{library}', '{commit}'); \
         that is {which}; a snapshot's `seawall libraries` tells its head of then"
    ))
}

/// A virtual library without its row in `VirtualRepo` looks lost: its folders are in another store.
fn lost_row(
    source: &ObjectFolders,
    pointers: &Pointers,
    library: &LibraryPointers,
) -> Option<String> {
    if library.origin.is_some() || has_store(source, Kind::Fs, Store::Library(library.id)) {
        return None;
    }
    let head = library.heads.first()?;
    let head = Object::new(Store::Library(library.id), Kind::Commit, head.commit);
    let ObjectContent::Commit(commit) = check::check(&head, &source.read(&head).ok()??).ok()?
    else {
        return None;
    };
    let others = pointers.libraries.iter().filter(|other| {
        let root = Object::new(Store::Library(other.id), Kind::Fs, commit.root);
        other.id != library.id && matches!(source.len(&root), Ok(Some(_)))
    });
    let other = others.map(|other| other.id).next()?;
    Some(format!(
        "library {} is perhaps not lost: its newest folder lies in the store of library {other}, so it may be a \
         shared folder of that one whose row in VirtualRepo was lost; put that row back",
        library.id
    ))
}

/// A power cut does not remove whole folders, so a missing one has another cause.
fn lost_folders(
    source: &ObjectFolders,
    library: &LibraryPointers,
    damaged: &DamagedLibrary,
) -> Option<String> {
    let content = content_store(library);
    let stores =
        [(Kind::Commit, Store::Library(library.id)), (Kind::Fs, content), (Kind::Block, content)];
    let gone: Vec<String> = stores
        .into_iter()
        .filter(|(kind, store)| !has_store(source, *kind, *store))
        .map(|(kind, store)| folder(kind, store))
        .collect();
    // A library of empty files has no folder of blocks, so without damage its absence means
    // nothing.
    let is_told = damaged.damaged > 0 && !gone.is_empty();
    is_told.then(|| {
        let what = if library.origin.is_some() {
            "was it removed, or is a disk not mounted?"
        } else {
            "was it removed, is a disk not mounted, or was a row in VirtualRepo lost?"
        };
        format!("library {} has no folder {}: {what}", library.id, gone.join(", "))
    })
}

/// Whether a store's folder exists. The folder is derived from the path of some object in it.
fn has_store(source: &ObjectFolders, kind: Kind, store: Store) -> bool {
    let mut path = source.path(&Object::new(store, kind, ObjectId::EMPTY));
    path.pop();
    path.pop();
    path.is_dir()
}

/// The path of a store's folder in an installation of the usual layout.
fn folder(kind: Kind, store: Store) -> String {
    let path = Object::new(store, kind, ObjectId::EMPTY).path();
    let parts: Vec<&str> = path.rsplitn(3, '/').collect();
    parts.last().copied().unwrap_or(&path).to_owned()
}
