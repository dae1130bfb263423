//! Tells whether a store's folders still hold anything, without listing them.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::ObjectFolders;
use super::file::{at, present, retried};
use crate::object::{Kind, Object, Store};

/// The number of links of a folder without sub-folders: its name and its `.`. File systems that do
/// not count links say 1.
const LINKS_OF_NO_FOLDERS: u64 = 2;

impl ObjectFolders {
    /// The folder that holds the stores of a kind. If it is on a disk that is not mounted, it is
    /// empty.
    pub fn root(&self, kind: Kind, store: Store) -> PathBuf {
        match store {
            Store::Shared => self.data_dir.join(kind.folder()),
            Store::Library(library) => self.class_folder(kind, library).to_owned(),
        }
    }

    /// Whether a store's folder of a kind exists and holds something. It costs one `stat`. A folder
    /// that seems to have no sub-folders is opened, and one name is read.
    pub fn is_filled(&self, kind: Kind, store: Store) -> io::Result<bool> {
        let folder = self.store_folder(kind, store);
        let look = || {
            let metadata = folder.metadata()?;
            if !metadata.is_dir() {
                return Ok(false);
            }
            if metadata.nlink() > LINKS_OF_NO_FOLDERS {
                return Ok(true);
            }
            Ok(folder.read_dir()?.next().transpose()?.is_some())
        };
        let filled = present(retried(look)).map_err(|error| at(&folder, error))?;
        Ok(filled.unwrap_or_default())
    }

    /// The length of an object's file, after its first byte was read; `None` if there is no such
    /// file.
    pub fn readable_len(&self, object: &Object) -> io::Result<Option<u64>> {
        let Some(len) = self.len(object)? else {
            return Ok(None);
        };
        let path = self.path(object);
        let read = retried(|| self.reader.open(&path)?.read(&mut [0]));
        let read = present(read).map_err(|error| at(&path, error))?;
        Ok(read.map(|_| len))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use super::*;
    use crate::object::ObjectId;

    #[test]
    fn a_store_is_filled_as_long_as_its_folder_holds_something() {
        let dir = tempfile::tempdir().unwrap();
        let folders = ObjectFolders::new(dir.path());
        let library = "4dd8df17-3a9d-4e43-ae3a-c510e039be4b".parse().unwrap();
        let store = Store::Library(library);
        let object = Object::new(store, Kind::Block, ObjectId::new([0xab; 20]));
        let is_filled = || folders.is_filled(Kind::Block, store).unwrap();
        assert!(!is_filled());
        let path = folders.path(&object);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(is_filled());
        File::create_new(&path).unwrap().write_all(b"bytes").unwrap();
        assert_eq!(folders.readable_len(&object).unwrap(), Some(5));
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        // An empty folder, as of a disk that is not mounted.
        assert!(!is_filled());
        assert_eq!(folders.readable_len(&object).unwrap(), None);
        assert!(!folders.is_filled(Kind::Fs, store).unwrap());
        // A file lies where the folder should be.
        let folder = path.parent().unwrap().parent().unwrap();
        fs::remove_dir(folder).unwrap();
        File::create_new(folder).unwrap();
        assert!(!is_filled());
    }
}
