use super::*;
use crate::object::ObjectId;
use rustix::fs::Mode;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const LIBRARY: &str = "4dd8df17-3a9d-4e43-ae3a-c510e039be4b";
const OTHER: &str = "830ac5d7-2294-4f9c-ae5f-81500eb54e68";

fn library(text: &str) -> Store {
    Store::Library(text.parse().unwrap())
}

fn id(byte: u8) -> ObjectId {
    ObjectId::new([byte; 20])
}

fn object(store: Store, byte: u8) -> Object {
    Object::new(store, Kind::Fs, id(byte))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create_new(path).unwrap().write_all(bytes).unwrap();
}

/// An installation with one object. Returns the object too.
fn one_object() -> (TempDir, ObjectFolders, Object) {
    let dir = tempfile::tempdir().unwrap();
    let folders = ObjectFolders::new(dir.path());
    let object = object(library(LIBRARY), 0xab);
    write(&folders.path(&object), b"bytes");
    (dir, folders, object)
}

#[test]
fn objects_lie_where_seafile_puts_them() {
    let folders = ObjectFolders::new(Path::new("/data/seafile-data"));
    for store in [library(LIBRARY), Store::Shared] {
        for kind in Kind::ALL {
            let object = Object::new(store, kind, id(0x1f));
            let expected = Path::new("/data").join(object.path());
            assert_eq!(folders.path(&object), expected);
        }
    }
}

#[test]
fn objects_are_read() {
    let (_dir, folders, object) = one_object();
    for without_access_time in [true, false] {
        let flag = &folders.reader.without_access_time;
        flag.store(without_access_time, Ordering::Relaxed);
        let bytes = folders.read(&object).unwrap();
        assert_eq!(bytes.as_deref(), Some(b"bytes".as_slice()));
    }
    assert_eq!(folders.len(&object).unwrap(), Some(5));
}

#[test]
fn reading_leaves_the_access_time() {
    let (_dir, folders, object) = one_object();
    let path = folders.path(&object);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let times = fs::FileTimes::new().set_accessed(old);
    File::open(&path).unwrap().set_times(times).unwrap();
    folders.read(&object).unwrap().unwrap();
    assert_eq!(path.metadata().unwrap().atime(), 1000);
}

#[test]
fn what_is_not_there_is_none() {
    let (_dir, folders, present) = one_object();
    for absent in
        [object(present.store, 0xac), object(library(OTHER), 0xab), object(Store::Shared, 0xab)]
    {
        assert_eq!(folders.read(&absent).unwrap(), None);
        assert_eq!(folders.len(&absent).unwrap(), None);
    }
    // A file lies where a folder should be.
    let below = object(present.store, 0xee);
    write(folders.path(&below).parent().unwrap(), b"");
    assert_eq!(folders.read(&below).unwrap(), None);
    assert_eq!(folders.len(&below).unwrap(), None);
}

#[test]
fn only_regular_files_are_read() {
    let (_dir, folders, object) = one_object();
    let path = folders.path(&object);
    let make_node = |kind| {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
    };
    let makers: [&dyn Fn(); 4] = [
        &|| symlink("/etc/hostname", &path).unwrap(),
        &|| fs::create_dir(&path).unwrap(),
        &|| make_node(rustix::fs::FileType::Socket),
        &|| make_node(rustix::fs::FileType::Fifo),
    ];
    for (index, make) in makers.iter().enumerate() {
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        make();
        for error in [folders.read(&object).unwrap_err(), folders.len(&object).unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{index}: {error:?}");
            assert_eq!(error.to_string(), format!("cannot read {}", path.display()));
        }
    }
}

#[test]
fn linked_folders_are_followed() {
    let (dir, folders, object) = one_object();
    let storage = dir.path().join("storage/fs");
    let library = storage.join(LIBRARY);
    let elsewhere = dir.path().join("elsewhere");
    for folder in [library.join("ab"), library, storage] {
        fs::rename(&folder, &elsewhere).unwrap();
        symlink(&elsewhere, &folder).unwrap();
        assert_eq!(folders.len(&object).unwrap(), Some(5));
        let stores = folders.stores(Kind::Fs).unwrap();
        assert_eq!(stores, [StoreEntry::Store(object.store)]);
        let found: Vec<_> = folders.objects(Kind::Fs, object.store).collect();
        assert!(matches!(found[..], [Ok(ObjectEntry::Object(id))] if id == object.id));
        fs::remove_file(&folder).unwrap();
        fs::rename(&elsewhere, &folder).unwrap();
    }
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let (_dir, folders, object) = one_object();
    let file = fs::OpenOptions::new().write(true).open(folders.path(&object)).unwrap();
    file.set_len(MAX_OBJECT_BYTES + 1).unwrap();
    let error = folders.read(&object).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    assert_eq!(folders.len(&object).unwrap(), Some(MAX_OBJECT_BYTES + 1));
}

#[test]
fn the_shared_store_is_a_place_only_where_it_exists() {
    let (dir, folders, object) = one_object();
    let places = |folders: &ObjectFolders, store| folders.places(store).collect::<Vec<_>>();
    assert_eq!(places(&folders, object.store), [object.store]);
    fs::create_dir(dir.path().join("blocks")).unwrap();
    let folders = ObjectFolders::new(dir.path());
    assert_eq!(places(&folders, object.store), [object.store, Store::Shared]);
    assert_eq!(places(&folders, Store::Shared), [Store::Shared]);
    let shared = [StoreEntry::Store(Store::Shared)];
    assert_eq!(folders.stores(Kind::Block).unwrap(), shared);
    assert_eq!(folders.stores(Kind::Commit).unwrap(), []);
}

#[test]
fn storage_classes_have_their_own_folders() {
    let (dir, mut folders, object) = one_object();
    let cold = dir.path().join("cold");
    folders.add_class("cold", Kind::Fs, cold.clone());
    let moved = cold.join(LIBRARY);
    write(&moved.join("ab/x"), b"");
    let foreign = StoreEntry::Foreign(moved.clone());
    let own = StoreEntry::Store(object.store);
    assert_eq!(folders.stores(Kind::Fs).unwrap(), [foreign, own.clone()]);

    let Store::Library(id) = object.store else {
        panic!("a library");
    };
    assert!(folders.assign(id, "warm").is_err());
    assert!(folders.assign(id, "").is_err());
    folders.assign(id, "cold").unwrap();
    assert!(folders.path(&object).starts_with(&moved));
    assert_eq!(folders.read(&object).unwrap(), None);
    let left = StoreEntry::Foreign(dir.path().join("storage/fs").join(LIBRARY));
    assert_eq!(folders.stores(Kind::Fs).unwrap(), [own, left]);
    let commit = Object::new(object.store, Kind::Commit, object.id);
    assert!(folders.path(&commit).starts_with(dir.path().join("storage/commits")));
}

#[test]
fn the_default_class_may_lie_elsewhere() {
    let (dir, mut folders, object) = one_object();
    let elsewhere = dir.path().join("elsewhere");
    folders.set_folder(Kind::Fs, elsewhere.clone());
    assert!(folders.path(&object).starts_with(&elsewhere));
    assert_eq!(folders.stores(Kind::Fs).unwrap(), []);
}

#[test]
fn a_listing_tells_stores_from_other_names() {
    let (dir, folders, object) = one_object();
    let storage = dir.path().join("storage/fs");
    write(&storage.join("README"), b"");
    write(&storage.join(OTHER), b"a file");
    fs::create_dir(storage.join(LIBRARY.to_uppercase())).unwrap();
    let expected = [
        StoreEntry::Foreign(storage.join(LIBRARY.to_uppercase())),
        StoreEntry::Store(object.store),
        StoreEntry::Foreign(storage.join(OTHER)),
        StoreEntry::Foreign(storage.join("README")),
    ];
    assert_eq!(folders.stores(Kind::Fs).unwrap(), expected);
    assert_eq!(folders.stores(Kind::Commit).unwrap(), []);
}

#[test]
fn a_listing_tells_objects_from_other_names() {
    let (dir, folders, first) = one_object();
    let store = dir.path().join("storage/fs").join(LIBRARY);
    let second = object(first.store, 0x0c);
    write(&folders.path(&second), b"");
    let temporary = format!("{}.RZB3Y3", "ab".repeat(19));
    let foreign = [
        store.join("00"),
        store.join("AB"),
        store.join("ab").join(&temporary),
        store.join("ab").join("cd".repeat(19)),
        store.join("abc"),
    ];
    write(&foreign[0], b"a file");
    write(&foreign[1].join("ab".repeat(19)), b"");
    write(&foreign[2], b"");
    fs::create_dir(&foreign[3]).unwrap();
    write(&foreign[4].join("ab".repeat(19)), b"");

    let found: io::Result<Vec<ObjectEntry>> = folders.objects(Kind::Fs, first.store).collect();
    let found: Vec<ObjectEntry> = found.unwrap();
    let objects = [second, first].map(|object| ObjectEntry::Object(object.id));
    assert_eq!([&found[1], &found[3]], objects.each_ref());
    let others: Vec<&ObjectEntry> = [0, 2, 4, 5, 6].map(|index| &found[index]).into();
    let foreign = foreign.map(ObjectEntry::Foreign);
    assert_eq!(others, foreign.iter().collect::<Vec<_>>());
    assert_eq!(found.len(), 7);
}

#[test]
fn a_missing_store_is_empty() {
    let (_dir, folders, _) = one_object();
    for store in [library(OTHER), Store::Shared] {
        assert_eq!(folders.objects(Kind::Fs, store).count(), 0);
    }
}

#[test]
fn a_folder_that_cannot_be_listed_is_one_error() {
    let (dir, folders, object) = one_object();
    let store = dir.path().join("storage/fs").join(OTHER);
    symlink(&store, &store).unwrap();
    let found: Vec<_> = folders.objects(Kind::Fs, library(OTHER)).collect();
    let [Err(error)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(error.to_string(), format!("cannot read {}", store.display()));
    let source = std::error::Error::source(error).unwrap();
    assert!(source.to_string().contains("os error 40"), "{source}");
    assert_eq!(folders.objects(Kind::Fs, object.store).count(), 1);
}
