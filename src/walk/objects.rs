//! Where a walk finds objects.

use std::io;

use crate::object::{Kind, Object, ObjectId, Store};
use crate::seafile::folders::{CandidateStores, ObjectEntry, ObjectFolders};

/// Objects by name, from an installation's folders or from a repository's packs.
pub trait Objects: Sync {
    /// The stores in which an object of `store` may lie, best first.
    fn places(&self, store: Store) -> CandidateStores;

    /// The store under which a missing object is reported: where its file should be. All libraries
    /// of Seafile 1 and 2 have one store, so an object that it lacks is one object, however many
    /// libraries need it.
    fn home(&self, object: &Object) -> Store {
        object.store
    }

    /// An object's bytes, not verified; `None` if there is no such object.
    fn read(&self, object: &Object) -> io::Result<Option<Vec<u8>>>;

    /// Its length in bytes; `None` if there is no such object.
    fn len(&self, object: &Object) -> io::Result<Option<u64>>;

    /// Lists the fs objects of a store, and skips what cannot be listed. Only for doubtful commits.
    fn fs_ids(&self, store: Store) -> io::Result<Box<dyn Iterator<Item = ObjectId> + '_>>;
}

impl Objects for ObjectFolders {
    fn places(&self, store: Store) -> CandidateStores {
        self.places(store)
    }

    fn home(&self, object: &Object) -> Store {
        self.home(object)
    }

    fn read(&self, object: &Object) -> io::Result<Option<Vec<u8>>> {
        self.read(object)
    }

    fn len(&self, object: &Object) -> io::Result<Option<u64>> {
        self.len(object)
    }

    fn fs_ids(&self, store: Store) -> io::Result<Box<dyn Iterator<Item = ObjectId> + '_>> {
        let ids = self.objects(Kind::Fs, store);
        Ok(Box::new(ids.filter_map(|found| match found {
            Ok(ObjectEntry::Object(id)) => Some(id),
            Ok(ObjectEntry::Foreign(_)) | Err(_) => None,
        })))
    }
}
