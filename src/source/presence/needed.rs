//! What the rows of a library lead to, where a whole folder of its objects is empty: nothing, because the library was
//! emptied and Seafile collected the rest; only what is known to be lost; or more.
//!
//! Asked only of libraries that have an empty folder. It ends at the first object that is not known to be lost.

use std::collections::HashSet;

use super::Expectations;
use crate::database::{LibraryPointers, LibraryState};
use crate::object::{Kind, Object, ObjectId, Store};
use crate::seafile::check::ObjectContent;
use crate::seafile::commit::Commit;
use crate::seafile::folders::ObjectFolders;
use crate::seafile::fs::FsObject;
use crate::walk::{content_store, read_checked};

/// So many commits and fs objects are read. Whoever lost the rest too would have lost one of these.
const MOST_READ: usize = 200_000;

/// What the rows of a library lead to in a folder that is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NeededFolders {
    /// Nothing.
    Nothing,
    /// Objects, and each of them is known to be lost.
    KnownLost,
    /// An object that nobody knows to be lost.
    More,
}

/// Whether a library needs objects of a kind.
pub(super) fn needed(
    folders: &ObjectFolders,
    library: &LibraryPointers,
    kind: Kind,
    expectations: &Expectations<'_>,
) -> NeededFolders {
    let mut search = NeededSearch {
        folders,
        library,
        kind,
        expectations,
        seen: HashSet::new(),
        open: Vec::new(),
        is_known_lost: false,
    };
    for head in &library.heads {
        search.open(Kind::Commit, head.commit);
    }
    search.run()
}

struct NeededSearch<'a> {
    folders: &'a ObjectFolders,
    library: &'a LibraryPointers,
    kind: Kind,
    expectations: &'a Expectations<'a>,
    seen: HashSet<(Kind, ObjectId)>,
    open: Vec<Object>,
    /// An object was met that is known to be lost.
    is_known_lost: bool,
}

/// There is an object that nobody knows to be lost.
struct More;

impl NeededSearch<'_> {
    fn run(mut self) -> NeededFolders {
        while let Some(object) = self.open.pop() {
            if self.seen.len() > MOST_READ {
                break;
            }
            if self.read(&object).is_err() {
                return NeededFolders::More;
            }
        }
        if self.is_known_lost { NeededFolders::KnownLost } else { NeededFolders::Nothing }
    }

    fn open(&mut self, kind: Kind, id: ObjectId) {
        if id.is_empty() || !self.seen.insert((kind, id)) {
            return;
        }
        let store = match kind {
            Kind::Commit => Store::Library(self.library.id),
            Kind::Fs | Kind::Block => content_store(self.library),
        };
        self.open.push(Object::new(store, kind, id));
    }

    fn read(&mut self, object: &Object) -> Result<(), More> {
        if object.kind == self.kind {
            return self.lost(object);
        }
        let places = self.folders.places(object.store);
        let mut found = places.filter_map(|store| {
            let object = Object { store, ..*object };
            let read = read_checked(self.folders, &object);
            Some(read.ok()?.ok()?.0)
        });
        match found.next() {
            Some(ObjectContent::Commit(commit)) => {
                self.open(Kind::Fs, commit.root);
                if needs_parents(self.library, &commit) {
                    for parent in commit.parents() {
                        self.open(Kind::Commit, parent);
                    }
                }
            }
            Some(ObjectContent::Fs(FsObject::Folder(folder))) => {
                let known = folder.entries.iter();
                for entry in known.filter(|entry| entry.is_folder() || entry.is_file()) {
                    self.open(Kind::Fs, entry.id);
                }
            }
            Some(ObjectContent::Fs(FsObject::File(file))) => {
                for block in file.blocks {
                    self.open(Kind::Block, block);
                }
            }
            Some(ObjectContent::Block { .. }) => {}
            None => return self.lost(object),
        }
        Ok(())
    }

    /// An object that is not there.
    fn lost(&mut self, object: &Object) -> Result<(), More> {
        let mut places = self.folders.places(object.store);
        let is_known = |store| (self.expectations.is_known_lost)(&Object { store, ..*object });
        if !places.any(is_known) {
            return Err(More);
        }
        self.is_known_lost |= object.kind == self.kind;
        Ok(())
    }
}

/// Whether the parents of a required commit are required (docs/design.md, "History").
pub(super) fn needs_parents(library: &LibraryPointers, commit: &Commit) -> bool {
    let is_kept = library.valid_since.is_none_or(|since| commit.ctime > since);
    library.state == LibraryState::Live && is_kept
}
