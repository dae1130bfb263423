//! Where the objects of an installation lie, and how to read their bytes.
//!
//! This module only reads: it never creates, changes or removes anything below these folders.
//! `check` decides whether the bytes are good. A folder is listed only if a caller wants
//! everything: a walk from the heads needs no listing.
//!
//! Three layouts are known:
//!
//! * `storage/<kind>/<library>/<2 hex>/<38 hex>`;
//! * the layout of Pro's storage classes: the same tree, below other local folders;
//! * `<kind>/<2 hex>/<38 hex>` of Seafile 1 and 2. All libraries shared these folders, and later
//!   versions left them behind.

mod file;
mod listing;
mod store;

use crate::object::{Kind, LibraryId, Object, Store};
use file::ObjectFileReader;
use listing::{list, objects_below, one_error_or_all};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

pub use file::MAX_OBJECT_BYTES;
pub use listing::ObjectEntry;

/// The folders of one installation's objects. Shared between threads.
#[derive(Debug)]
pub struct ObjectFolders {
    data_dir: PathBuf,
    has_shared: bool,
    /// The folders of the shared store, for kinds that are not at the usual place.
    shared: HashMap<Kind, PathBuf>,
    /// The storage classes; the default one is first.
    classes: Vec<ClassFolders>,
    /// The index in `classes` of each library that is not in the default class.
    assigned: HashMap<LibraryId, usize>,
    reader: ObjectFileReader,
}

/// One of Pro's storage classes. For each kind it has a folder that holds the libraries' folders.
#[derive(Debug)]
struct ClassFolders {
    id: String,
    folders: HashMap<Kind, PathBuf>,
}

/// The stores in which an object may lie, the likeliest first.
pub type CandidateStores = std::iter::Chain<std::iter::Once<Store>, std::option::IntoIter<Store>>;

/// A library was assigned to a storage class that was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("storage class {class_id:?} of library {library} is not known")]
pub struct UnknownStorageClass {
    library: LibraryId,
    class_id: String,
}

/// One entry of a folder that should hold only stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreEntry {
    /// The shared folder, or a library's folder in the class to which the library is assigned.
    Store(Store),
    /// Anything else. A library's folder in another class belongs here too.
    Foreign(PathBuf),
}

impl ObjectFolders {
    /// The usual layout below `seafile-data`, with its shared folders if they exist now.
    pub fn new(data_dir: &Path) -> Self {
        let storage = data_dir.join("storage");
        let folders = Kind::ALL.map(|kind| (kind, storage.join(kind.folder())));
        let default = ClassFolders { id: String::new(), folders: folders.into() };
        Self {
            data_dir: data_dir.to_owned(),
            has_shared: Kind::ALL.iter().any(|kind| data_dir.join(kind.folder()).is_dir()),
            shared: HashMap::new(),
            classes: vec![default],
            assigned: HashMap::new(),
            reader: ObjectFileReader::new(),
        }
    }

    /// Reads the objects of a kind from another folder, which holds one folder for each library.
    /// For Seafile's `dir = /x`, give `/x/storage/commits` here.
    pub fn set_folder(&mut self, kind: Kind, folder: PathBuf) {
        self.classes[0].folders.insert(kind, folder);
    }

    /// Reads the shared objects of a kind from another folder.
    pub fn set_shared_folder(&mut self, kind: Kind, folder: PathBuf) {
        self.has_shared = true;
        self.shared.insert(kind, folder);
    }

    /// Adds a storage class's folder for a kind, which holds one folder for each library. A class
    /// without a folder for a kind uses that of the default class.
    pub fn add_class(&mut self, class_id: &str, kind: Kind, folder: PathBuf) {
        let index = self.class_index(class_id).unwrap_or_else(|| {
            self.classes.push(ClassFolders { id: class_id.to_owned(), folders: HashMap::new() });
            self.classes.len() - 1
        });
        self.classes[index].folders.insert(kind, folder);
    }

    /// Reads a library's objects from a class that was added. The database's table `RepoStorageId`
    /// says which class.
    pub fn assign(
        &mut self,
        library: LibraryId,
        class_id: &str,
    ) -> Result<(), UnknownStorageClass> {
        let index = self
            .class_index(class_id)
            .ok_or_else(|| UnknownStorageClass { library, class_id: class_id.to_owned() })?;
        self.assigned.insert(library, index);
        Ok(())
    }

    fn class_index(&self, class_id: &str) -> Option<usize> {
        let mut added = self.classes.iter().skip(1);
        added.position(|class| class.id == class_id).map(|index| index + 1)
    }

    /// The stores in which an object of this store may lie, the likeliest first: this store, then
    /// the shared one.
    pub fn places(&self, store: Store) -> CandidateStores {
        let shared = self.has_shared && store != Store::Shared;
        std::iter::once(store).chain(shared.then_some(Store::Shared))
    }

    /// The store whose folder should hold an object. It is the shared store if the library has no
    /// folder of its own.
    pub fn home(&self, object: &Object) -> Store {
        let is_own = || self.store_folder(object.kind, object.store).is_dir();
        if self.has_shared && !is_own() { Store::Shared } else { object.store }
    }

    /// The path at which an object's file should be.
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

    /// An object's bytes; `None` if there is no such file. If it is not a regular file, the error
    /// has the kind `InvalidData`. If it is larger than [`MAX_OBJECT_BYTES`], the error has the
    /// kind `FileTooLarge`.
    pub fn read(&self, object: &Object) -> io::Result<Option<Vec<u8>>> {
        self.reader.read(&self.path(object))
    }

    /// The length of an object's file; `None` if there is no such file. Errors are those of
    /// [`Self::read`].
    pub fn len(&self, object: &Object) -> io::Result<Option<u64>> {
        file::len(&self.path(object))
    }

    /// Lists the entries of a kind's folders, one level deep, sorted. It needs one listing for each
    /// class.
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

    /// Lists the objects of a store, sorted. It reads one of the up to 256 folders at a time. A
    /// folder that cannot be listed gives one error, and the other folders follow. A folder that
    /// does not exist is empty.
    pub fn objects(
        &self,
        kind: Kind,
        store: Store,
    ) -> impl Iterator<Item = io::Result<ObjectEntry>> + use<> {
        let folder = self.store_folder(kind, store);
        one_error_or_all(list(&folder)).flat_map(move |entry| {
            let found = entry.and_then(|entry| objects_below(&folder, &entry));
            one_error_or_all(found)
        })
    }
}

#[cfg(test)]
mod tests;
