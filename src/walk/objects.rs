//! Where a walk finds objects.

use std::io;

use crate::object::{Object, Store};
use crate::seafile::folders::{ObjectFolders, Places};

/// Objects by name: those of an installation, or those that a repository holds of it.
pub trait Objects: Sync {
    /// The stores in which an object of this one may lie, best first.
    fn places(&self, store: Store) -> Places;

    /// An object's bytes, not judged; `None` if there is no such object.
    fn read(&self, object: &Object) -> io::Result<Option<Vec<u8>>>;

    /// Its length in bytes; `None` if there is no such object.
    fn len(&self, object: &Object) -> io::Result<Option<u64>>;
}

impl Objects for ObjectFolders {
    fn places(&self, store: Store) -> Places {
        self.places(store)
    }

    fn read(&self, object: &Object) -> io::Result<Option<Vec<u8>>> {
        self.read(object)
    }

    fn len(&self, object: &Object) -> io::Result<Option<u64>> {
        self.len(object)
    }
}
