//! How much the repository holds of a library whose objects lie in the folder that all libraries shared (Seafile 1 and
//! 2). The catalog counts by store, and that store is everybody's: so the library's own objects are counted by following
//! its pointers, once for each new head.

use std::collections::HashSet;

use super::Error;
use super::objects::Objects;
use crate::database::LibraryPointers;
use crate::object::{Kind, Object, ObjectId, Store};
use crate::repository::manifest::{self, Counts};
use crate::seafile::check::{self, Content};
use crate::seafile::fs::FsObject;
use crate::walk;

/// What the repository holds of a library.
pub(super) fn counts(
    objects: &Objects<'_>,
    library: &LibraryPointers,
    before: Option<&manifest::Library>,
) -> Result<Counts, Error> {
    let own = objects.catalog.counts(Store::Library(library.id))?;
    if !lies_in_shared(objects, library)? {
        return Ok(own);
    }
    let heads = library.heads.iter().map(|head| &head.commit);
    let counted = before.filter(|before| before.heads.iter().map(|(_, commit)| commit).eq(heads));
    match counted
        .map(|before| before.counts)
        .filter(|counts| counts.objects() > own.objects())
    {
        Some(counts) => Ok(counts),
        None => Counting::of(objects, library)?.run(),
    }
}

/// What the repository holds of all libraries of a manifest, each object once.
pub(super) fn holds(objects: &Objects<'_>, manifest: &manifest::Manifest) -> Result<Counts, Error> {
    let mut all = Counts::default();
    let own = manifest
        .libraries
        .iter()
        .map(|library| Store::Library(library.id));
    for store in own.chain([Store::Shared]) {
        let counts = objects.catalog.counts(store)?;
        all.commits += counts.commits;
        all.fs += counts.fs;
        all.blocks += counts.blocks;
        all.bytes += counts.bytes;
    }
    Ok(all)
}

/// Whether a library's head is stored as one of the shared folder.
fn lies_in_shared(objects: &Objects<'_>, library: &LibraryPointers) -> Result<bool, Error> {
    if objects.source.places(Store::Library(library.id)).count() == 1 {
        return Ok(false);
    }
    for head in &library.heads {
        let head = Object::new(Store::Shared, Kind::Commit, head.commit);
        if objects.catalog.known(&head)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Follows a library's pointers through what is stored.
struct Counting<'a> {
    objects: &'a Objects<'a>,
    content: Store,
    counts: Counts,
    seen: HashSet<(Kind, ObjectId)>,
    open: Vec<Object>,
}

impl<'a> Counting<'a> {
    fn of(objects: &'a Objects<'a>, library: &LibraryPointers) -> Result<Self, Error> {
        let mut counting = Self {
            objects,
            content: walk::content_store(library),
            counts: Counts::default(),
            seen: HashSet::new(),
            open: Vec::new(),
        };
        for head in &library.heads {
            counting.meet(Object::new(
                Store::Library(library.id),
                Kind::Commit,
                head.commit,
            ))?;
        }
        Ok(counting)
    }

    fn run(mut self) -> Result<Counts, Error> {
        while let Some(object) = self.open.pop() {
            match self.read(&object)? {
                Some(Content::Commit(commit)) => {
                    self.meet(Object::new(self.content, Kind::Fs, commit.root))?;
                    for parent in commit.parents() {
                        self.meet(Object {
                            id: parent,
                            ..object
                        })?;
                    }
                }
                Some(Content::Fs(FsObject::Folder(folder))) => {
                    for entry in &folder.entries {
                        self.meet(Object {
                            id: entry.id,
                            ..object
                        })?;
                    }
                }
                Some(Content::Fs(FsObject::File(file))) => {
                    for block in file.blocks {
                        self.meet(Object {
                            id: block,
                            kind: Kind::Block,
                            ..object
                        })?;
                    }
                }
                Some(Content::Block { .. }) | None => {}
            }
        }
        Ok(self.counts)
    }

    /// Counts an object that is stored, once; what lies below it comes later.
    fn meet(&mut self, object: Object) -> Result<(), Error> {
        if object.id.is_empty() || !self.seen.insert((object.kind, object.id)) {
            return Ok(());
        }
        for store in self.objects.source.places(object.store) {
            if let Some(known) = self.objects.catalog.known(&Object { store, ..object })? {
                let number = match object.kind {
                    Kind::Commit => &mut self.counts.commits,
                    Kind::Fs => &mut self.counts.fs,
                    Kind::Block => &mut self.counts.blocks,
                };
                *number += 1;
                self.counts.bytes += known.length;
                if object.kind != Kind::Block {
                    self.open.push(object);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn read(&self, object: &Object) -> Result<Option<Content>, Error> {
        for store in self.objects.source.places(object.store) {
            let object = Object { store, ..*object };
            if let Ok(Ok((content, _))) = walk::read_checked(self.objects.source.as_ref(), &object)
            {
                return Ok(Some(content));
            }
            if let Some(bytes) = self.objects.stored(&object)?
                && let Ok(content) = check::check(&object, &bytes)
            {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }
}
