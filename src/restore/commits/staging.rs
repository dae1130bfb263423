//! The folder in which commits wait until the databases are in place. It has a folder for each
//! store, with all commits that the store will have. Seafile does not know it.
//!
//! If a store of a standby gets new commits, it is moved here whole, by one rename, before the
//! first of them is written. So at each moment the store's own folder has either the commits that
//! belong to the databases in place, or none. Seafile does not serve a library without its head,
//! and clients keep their files.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::super::folders::{self, TargetFolders};
use super::aside::move_whole_aside;
use crate::object::{Kind, Object, Store};
use crate::seafile::folders::ObjectFolders;

/// It is beside the folder of commits, so that a rename can move a store from one to the other.
const STAGED: &str = "seafile-data/storage/seawall-commits";
/// The folder of the libraries' commits, with a folder for each library.
pub(super) const COMMITS: &str = "seafile-data/storage/commits";
/// The store of Seafile 1 and 2, which all libraries shared.
const SHARED: &str = "seafile-data/commits";

/// The folder of a store's commits while they wait.
pub(super) fn staged_store(store: Store) -> String {
    format!("{STAGED}/{store}")
}

/// The folder of a store's commits as Seafile knows it.
pub(super) fn live_store(store: Store) -> String {
    match store {
        Store::Library(library) => format!("{COMMITS}/{library}"),
        Store::Shared => SHARED.to_owned(),
    }
}

/// Where a commit waits.
pub fn staged_path(object: &Object) -> String {
    let id = object.id.to_string();
    let (first, rest) = id.split_at(2);
    format!("{}/{first}/{rest}", staged_store(object.store))
}

/// Moves a store from its place to where commits wait, unless it waits there already. A file with a
/// store's name is no store, and stays.
pub fn take_out(folders: &TargetFolders, store: Store) -> io::Result<()> {
    let staged = folders.enter(STAGED)?;
    let name = store.to_string();
    if folders::is_folder(staged.as_fd(), &name)? {
        return Ok(());
    }
    let path = live_store(store);
    let (above, live) = folders::split(&path);
    let Some(above) = folders.find(above)? else {
        return Ok(());
    };
    if folders::kind(above.as_fd(), live)?.is_some_and(|kind| kind != FileType::Directory) {
        return Ok(());
    }
    match rustix::fs::renameat(&above, live, &staged, &name) {
        // There is none, or another worker was first.
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Moves every waiting store to its place. If a file or a folder that is not empty has that name,
/// it is moved aside. Returns how many stores there were.
pub fn place(folders: &TargetFolders) -> io::Result<u64> {
    let Some(staged) = folders.find(STAGED)? else {
        return Ok(0);
    };
    let mut placed = 0;
    for store in stores_in(&staged)? {
        let path = live_store(store);
        let (above, live) = folders::split(&path);
        let above = folders.enter(above)?;
        let rename = || rustix::fs::renameat(&staged, store.to_string(), &above, live);
        match rename() {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
                move_whole_aside(folders, (above.as_fd(), live), &path)?;
                rename()?;
            }
            other => other?,
        }
        placed += 1;
    }
    let (above, name) = folders::split(STAGED);
    remove_empty(folders, above, name)?;
    Ok(placed)
}

/// The target's folders of objects, including commits that wait.
pub fn object_folders(target: &Path, folders: &TargetFolders) -> io::Result<ObjectFolders> {
    const CLASS: &str = "seawall: commits that wait";
    let mut objects = ObjectFolders::new(&target.join("seafile-data"));
    let Some(staged) = folders.find(STAGED)? else {
        return Ok(objects);
    };
    let path = target.join(STAGED);
    objects.add_class(CLASS, Kind::Commit, path.clone());
    for store in stores_in(&staged)? {
        match store {
            Store::Library(library) => {
                let assigned = objects.assign(library, CLASS);
                assigned.map_err(io::Error::other)?;
            }
            Store::Shared => objects.set_shared_folder(Kind::Commit, path.join(store.to_string())),
        }
    }
    Ok(objects)
}

/// Every store that has a folder where commits wait or where Seafile finds them.
pub(super) fn stores(folders: &TargetFolders) -> io::Result<std::collections::BTreeSet<Store>> {
    let mut stores = std::collections::BTreeSet::new();
    for path in [STAGED, COMMITS] {
        if let Some(folder) = folders.find(path)? {
            stores.extend(stores_in(&folder)?);
        }
    }
    let (data, shared) = folders::split(SHARED);
    if let Some(data) = folders.find(data)?
        && folders::is_folder(data.as_fd(), shared)?
    {
        stores.insert(Store::Shared);
    }
    Ok(stores)
}

/// Folders that have a store's name.
fn stores_in(folder: &OwnedFd) -> io::Result<Vec<Store>> {
    let mut stores = Vec::new();
    for name in names_in(folder)? {
        if let Ok(store) = name.parse()
            && folders::is_folder(folder.as_fd(), &name)?
        {
            stores.push(store);
        }
    }
    Ok(stores)
}

/// The names in a folder that are valid UTF-8. Objects and stores have no other names.
pub(super) fn names_in(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        if let Ok(name) = entry?.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes a folder if nothing is in it.
pub(super) fn remove_empty(folders: &TargetFolders, above: &str, name: &str) -> io::Result<()> {
    let Some(above) = folders.find(above)? else {
        return Ok(());
    };
    match rustix::fs::unlinkat(&above, name, AtFlags::REMOVEDIR) {
        // Something is in it, or it is no folder.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
