//! How much the repository holds of a library whose objects lie in the folder that all libraries
//! shared (Seafile 1 and 2). The catalog counts by store, and that store is everybody's. So the
//! library's own objects are counted by following its pointers: all of them once, and later only
//! those that were stored since the base snapshot.

use std::collections::{HashMap, HashSet};

use super::Error;
use super::objects::ObjectBackup;
use crate::database::LibraryPointers;
use crate::object::{Kind, LibraryId, Object, Store};
use crate::repository::manifest::{self, Counts};
use crate::seafile::check::{self, ObjectContent};
use crate::seafile::fs::FsObject;
use crate::walk;

/// How much of a library is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CountExtent {
    /// What was stored since the base. An object that another library had stored before is not
    /// noticed.
    New,
    /// All that its pointers lead to, since the run looks at all of it anyway. The base's count
    /// stays if it is higher, since it includes what the source has lost since.
    All,
    /// All that its pointers lead to, including what only the repository has. The base's count is
    /// not used: the repository may have lost some of what it held.
    Again,
    /// Nothing: the source is gone.
    Nothing,
}

/// What the repository holds of a library.
pub(super) fn counts(
    objects: &ObjectBackup<'_>,
    library: &LibraryPointers,
    guests: &GuestLibraries<'_>,
    before: Option<&manifest::Library>,
    count: CountExtent,
) -> Result<Counts, Error> {
    let own = objects.catalog.counts(Store::Library(library.id))?;
    if !lies_in_shared(objects, library, before)? {
        return Ok(own);
    }
    // Older versions of seawall counted the library's own folder alone.
    let known = before.map(|before| before.counts);
    let known = known.filter(|known| known.objects() > own.objects());
    let all = |count| {
        let mut counting = LibraryCounter::new(objects, library, count);
        counting.begin(library, guests)?;
        counting.run()
    };
    match (count, known) {
        (CountExtent::Nothing, known) => Ok(known.unwrap_or(own)),
        (CountExtent::Again, _) => all(count),
        (_, None) => all(CountExtent::All),
        (CountExtent::New, Some(mut known)) => {
            known.join(all(CountExtent::New)?);
            Ok(known)
        }
        (CountExtent::All, Some(known)) => {
            let counted = all(CountExtent::All)?;
            Ok(if counted.objects() > known.objects() { counted } else { known })
        }
    }
}

/// What the repository holds of all libraries of a manifest, each object once.
pub(super) fn holds(
    objects: &ObjectBackup<'_>,
    manifest: &manifest::Manifest,
) -> Result<Counts, Error> {
    let mut all = Counts::default();
    let own = manifest.libraries.iter().map(|library| Store::Library(library.id));
    for store in own.chain([Store::Shared]) {
        all.join(objects.catalog.counts(store)?);
    }
    Ok(all)
}

/// Whether a head of a library, now or in the base, is stored as an object of the shared folder.
fn lies_in_shared(
    objects: &ObjectBackup<'_>,
    library: &LibraryPointers,
    before: Option<&manifest::Library>,
) -> Result<bool, Error> {
    if objects.source.places(Store::Library(library.id)).count() == 1 {
        return Ok(false);
    }
    let now = library.heads.iter().map(|head| head.commit);
    let before = before.into_iter().flat_map(|before| &before.heads);
    for head in now.chain(before.map(|(_, commit)| *commit)) {
        let head = Object::new(Store::Shared, Kind::Commit, head);
        if objects.catalog.known(&head)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Virtual libraries by their origin. Their trees lie with those of the origin, and count as the
/// origin's.
pub(super) type GuestLibraries<'a> = HashMap<LibraryId, Vec<&'a LibraryPointers>>;

/// The virtual libraries of an installation.
pub(super) fn guests(libraries: &[LibraryPointers]) -> GuestLibraries<'_> {
    let mut guests = GuestLibraries::new();
    for library in libraries {
        if let Some(origin) = &library.origin {
            guests.entry(origin.library).or_default().push(library);
        }
    }
    guests
}

/// Follows a library's pointers through what is stored.
struct LibraryCounter<'a> {
    objects: &'a ObjectBackup<'a>,
    store: Store,
    /// Where trees lie. `None`: they belong to another library, which counts them.
    content: Option<Store>,
    count: CountExtent,
    counts: Counts,
    seen: HashSet<Object>,
    /// Objects that are still to be read.
    open: Vec<Object>,
}

impl<'a> LibraryCounter<'a> {
    fn new(objects: &'a ObjectBackup<'a>, library: &LibraryPointers, count: CountExtent) -> Self {
        let store = Store::Library(library.id);
        Self {
            objects,
            store,
            content: library.origin.is_none().then_some(store),
            count,
            counts: Counts::default(),
            seen: HashSet::new(),
            open: Vec::new(),
        }
    }

    /// Begins at a library's heads, at the heads of its guests, and at the guests' base commits.
    fn begin(
        &mut self,
        library: &LibraryPointers,
        guests: &GuestLibraries<'_>,
    ) -> Result<(), Error> {
        for head in &library.heads {
            self.meet(Object::new(self.store, Kind::Commit, head.commit))?;
        }
        for guest in guests.get(&library.id).into_iter().flatten() {
            let base = guest.origin.as_ref().and_then(|origin| origin.base_commit);
            if let Some(base) = base {
                self.meet(Object::new(self.store, Kind::Commit, base))?;
            }
            for head in &guest.heads {
                let store = Store::Library(guest.id);
                self.meet(Object::new(store, Kind::Commit, head.commit))?;
            }
        }
        Ok(())
    }

    fn run(mut self) -> Result<Counts, Error> {
        while let Some(object) = self.open.pop() {
            match self.read(&object)? {
                Some(ObjectContent::Commit(commit)) => {
                    if let Some(content) = self.content {
                        self.meet(Object::new(content, Kind::Fs, commit.root))?;
                    }
                    for parent in commit.parents() {
                        self.meet(Object { id: parent, ..object })?;
                    }
                }
                Some(ObjectContent::Fs(FsObject::Folder(folder))) => {
                    for entry in &folder.entries {
                        self.meet(Object { id: entry.id, ..object })?;
                    }
                }
                Some(ObjectContent::Fs(FsObject::File(file))) => {
                    for block in file.blocks {
                        self.meet(Object { id: block, kind: Kind::Block, ..object })?;
                    }
                }
                Some(ObjectContent::Block { .. }) | None => {}
            }
        }
        Ok(self.counts)
    }

    /// Counts a stored object once, and queues it: what lies below it is counted later.
    fn meet(&mut self, object: Object) -> Result<(), Error> {
        if object.id.is_empty() || !self.seen.insert(object) {
            return Ok(());
        }
        for store in self.objects.source.places(object.store) {
            let placed = Object { store, ..object };
            let Some(known) = self.objects.catalog.known(&placed)? else {
                continue;
            };
            if self.count == CountExtent::New && !self.objects.catalog.is_new(&placed)? {
                // An earlier run counted it, and all that it leads to.
                return Ok(());
            }
            self.add(&object, known.length);
            if object.kind != Kind::Block {
                self.open.push(object);
            }
            return Ok(());
        }
        Ok(())
    }

    fn add(&mut self, object: &Object, bytes: u64) {
        // A virtual library's commits count as its own.
        if object.kind == Kind::Commit && object.store != self.store {
            return;
        }
        self.counts.add(object.kind, bytes);
    }

    fn read(&self, object: &Object) -> Result<Option<ObjectContent>, Error> {
        for store in self.objects.source.places(object.store) {
            let object = Object { store, ..*object };
            if let Ok(Ok((content, _))) = walk::read_checked(self.objects.source.as_ref(), &object)
            {
                return Ok(Some(content));
            }
            // This costs a request for each object that the source has collected. So it is done
            // only if no older count can be used.
            if self.count == CountExtent::Again
                && let Some(bytes) = self.objects.stored(&object)?
                && let Ok(content) = check::check(&object, &bytes)
            {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }
}
