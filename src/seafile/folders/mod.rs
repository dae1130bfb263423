//! Where the objects of an installation lie, and their bytes.
//!
//! It only reads: nothing below these folders is ever created, changed or removed. It does not judge
//! what it reads (that is `check`) and lists only where a caller wants everything, since a walk from
//! the heads never needs a listing.
//!
//! Three layouts are known: `storage/<kind>/<library>/<2 hex>/<38 hex>`; the same below other local
//! folders (Pro's storage classes); and `<kind>/<2 hex>/<38 hex>` of Seafile 1 and 2, which all
//! libraries shared and which later versions left behind.

mod file;
mod listing;
mod store;

use crate::object::{Kind, LibraryId, Object, Store};
use file::Reader;
use listing::{list, objects_below, one_error_or_all};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

pub use file::MAX_OBJECT_BYTES;
pub use listing::Found;

/// The folders of one installation's objects. Shared between threads.
#[derive(Debug)]
pub struct ObjectFolders {
    data_dir: PathBuf,
    has_shared: bool,
    /// Folders of the store that libraries share, where they are not the usual ones.
    shared: HashMap<Kind, PathBuf>,
    /// The default class is first.
    classes: Vec<Class>,
    /// Index into `classes`, for libraries that are not in the default class.
    assigned: HashMap<LibraryId, usize>,
    reader: Reader,
}

/// One of Pro's storage classes: for each kind the folder that holds the libraries' folders.
#[derive(Debug)]
struct Class {
    id: String,
    folders: HashMap<Kind, PathBuf>,
}

/// The stores in which an object may lie, best first.
pub type Places = std::iter::Chain<std::iter::Once<Store>, std::option::IntoIter<Store>>;

/// A library was assigned to a storage class that was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("storage class {class_id:?} of library {library} is not known")]
pub struct UnknownClass {
    library: LibraryId,
    class_id: String,
}

/// What lies where stores should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreEntry {
    /// A library's folder, in the class that the library is assigned to, or the shared folder.
    Store(Store),
    /// Anything else, and a library's folder in a class that is not its own.
    Foreign(PathBuf),
}

impl ObjectFolders {
    /// The usual layout below `seafile-data`, with its shared folders if there are any now.
    pub fn new(data_dir: &Path) -> Self {
        let storage = data_dir.join("storage");
        let folders = Kind::ALL.map(|kind| (kind, storage.join(kind.folder())));
        let default = Class { id: String::new(), folders: folders.into() };
        Self {
            data_dir: data_dir.to_owned(),
            has_shared: Kind::ALL.iter().any(|kind| data_dir.join(kind.folder()).is_dir()),
            shared: HashMap::new(),
            classes: vec![default],
            assigned: HashMap::new(),
            reader: Reader::new(),
        }
    }

    /// Takes the objects of a kind from another folder, which holds one folder per library: Seafile's
    /// `dir = /x` is `/x/storage/commits` here.
    pub fn set_folder(&mut self, kind: Kind, folder: PathBuf) {
        self.classes[0].folders.insert(kind, folder);
    }

    /// Takes the shared objects of a kind from another folder.
    pub fn set_shared_folder(&mut self, kind: Kind, folder: PathBuf) {
        self.has_shared = true;
        self.shared.insert(kind, folder);
    }

    /// Adds a storage class's folder for a kind; as in [`Self::set_folder`]. A kind that is not added
    /// lies in the default class.
    pub fn add_class(&mut self, class_id: &str, kind: Kind, folder: PathBuf) {
        let index = self.class_index(class_id).unwrap_or_else(|| {
            self.classes.push(Class { id: class_id.to_owned(), folders: HashMap::new() });
            self.classes.len() - 1
        });
        self.classes[index].folders.insert(kind, folder);
    }

    /// Takes a library's objects from a class that was added (the database's `RepoStorageId`).
    pub fn assign(&mut self, library: LibraryId, class_id: &str) -> Result<(), UnknownClass> {
        let index = self
            .class_index(class_id)
            .ok_or_else(|| UnknownClass { library, class_id: class_id.to_owned() })?;
        self.assigned.insert(library, index);
        Ok(())
    }

    fn class_index(&self, class_id: &str) -> Option<usize> {
        let mut added = self.classes.iter().skip(1);
        added.position(|class| class.id == class_id).map(|index| index + 1)
    }

    /// The stores in which an object of this one may lie, best first: itself, then the shared one.
    pub fn places(&self, store: Store) -> Places {
        let shared = self.has_shared && store != Store::Shared;
        std::iter::once(store).chain(shared.then_some(Store::Shared))
    }

    /// The store whose folder should hold an object: the shared one if the library has no folder of its own.
    pub fn home(&self, object: &Object) -> Store {
        let is_own = || self.store_folder(object.kind, object.store).is_dir();
        if self.has_shared && !is_own() { Store::Shared } else { object.store }
    }

    /// Where an object's file should be.
    pub fn path(&self, object: &Object) -> PathBuf {
        let id = object.id.to_string();
        let (first, rest) = id.split_at(2);
        let mut path = self.store_folder(object.kind, object.store);
        path.extend([first, rest]);
        path
    }

    fn store_folder(&self, kind: Kind, store: Store) -> PathBuf {
        match store {
            Store::Shared => self.shared_folder(kind),
            Store::Library(library) => self.class_folder(kind, library).join(library.to_string()),
        }
    }

    fn shared_folder(&self, kind: Kind) -> PathBuf {
        let given = self.shared.get(&kind).cloned();
        given.unwrap_or_else(|| self.data_dir.join(kind.folder()))
    }

    fn class_folder(&self, kind: Kind, library: LibraryId) -> &Path {
        let default = &self.classes[0].folders[&kind];
        let class = self.assigned.get(&library).map(|&index| &self.classes[index]);
        class.and_then(|class| class.folders.get(&kind)).unwrap_or(default)
    }

    /// An object's bytes; `None` if there is no such file. What is not a regular file is an error of
    /// kind `InvalidData`, a file beyond [`MAX_OBJECT_BYTES`] one of kind `FileTooLarge`.
    pub fn read(&self, object: &Object) -> io::Result<Option<Vec<u8>>> {
        self.reader.read(&self.path(object))
    }

    /// The length of an object's file; `None` if there is no such file, else as [`Self::read`].
    pub fn len(&self, object: &Object) -> io::Result<Option<u64>> {
        file::len(&self.path(object))
    }

    /// Names what lies in the folders of a kind, one level deep, sorted. Costs one listing per class.
    pub fn stores(&self, kind: Kind) -> io::Result<Vec<StoreEntry>> {
        let mut folders: Vec<&PathBuf> =
            self.classes.iter().filter_map(|class| class.folders.get(&kind)).collect();
        folders.sort();
        folders.dedup();
        let mut stores = Vec::new();
        if self.shared_folder(kind).is_dir() {
            stores.push(StoreEntry::Store(Store::Shared));
        }
        for folder in folders {
            for entry in list(folder)? {
                let library = entry.library();
                let own = library.filter(|&library| self.class_folder(kind, library) == folder);
                stores.push(match own {
                    Some(library) => StoreEntry::Store(Store::Library(library)),
                    None => StoreEntry::Foreign(folder.join(entry.name)),
                });
            }
        }
        Ok(stores)
    }

    /// Lists a store, sorted; one of its up to 256 folders at a time. A folder that cannot be listed
    /// is one error, and the others still come; a missing one is empty.
    pub fn objects(
        &self,
        kind: Kind,
        store: Store,
    ) -> impl Iterator<Item = io::Result<Found>> + use<> {
        let folder = self.store_folder(kind, store);
        one_error_or_all(list(&folder)).flat_map(move |entry| {
            let found = entry.and_then(|entry| objects_below(&folder, &entry));
            one_error_or_all(found)
        })
    }
}

#[cfg(test)]
mod tests;
