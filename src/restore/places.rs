//! Where objects lie in the target: folders as Seafile's server expects them. Commits are written
//! to another folder first, and get their places last ([`super::commits`]).

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::commits::{staged_path, take_out};
use super::folders::{self, TargetFolders};
use crate::object::{Kind, Object};

/// Finds the folders of objects; remembers the one that was used last, since objects come sorted.
#[derive(Debug)]
pub struct ObjectPlaces<'a> {
    folders: &'a TargetFolders,
    /// The folder of the store and kind that was used last, with its path.
    store: Option<(String, OwnedFd)>,
    /// The folder in it, by the first two digits of the id.
    folder: Option<(String, OwnedFd)>,
}

impl<'a> ObjectPlaces<'a> {
    /// Finds places in these folders.
    pub fn new(folders: &'a TargetFolders) -> Self {
        Self { folders, store: None, folder: None }
    }

    /// The folder that an object is written to, made if need be, and its name there.
    pub fn make(&mut self, object: &Object) -> io::Result<(BorrowedFd<'_>, String)> {
        let is_commit = object.kind == Kind::Commit;
        let path = if is_commit { staged_path(object) } else { object.path() };
        let (store, first, name) = split(&path);
        if !self.is_at(store, first) {
            let parent = match self.store.take() {
                Some((path, folder)) if path == store => folder,
                _ => {
                    if is_commit {
                        take_out(self.folders, object.store)?;
                    }
                    self.folders.enter(store)?
                }
            };
            let folder = self.folders.enter_from(parent.as_fd(), first)?;
            self.stay(store, parent, first, folder);
        }
        self.here(name)
    }

    /// Where an object is, if its folder is there.
    pub fn find(&mut self, object: &Object) -> io::Result<Option<(BorrowedFd<'_>, String)>> {
        if object.kind != Kind::Commit {
            return self.find_at(&object.path());
        }
        // Another worker may move the store from its place to where commits wait, while this one
        // looks.
        for path in [staged_path(object), object.path()] {
            let found = match self.find_at(&path) {
                // A file that has the name of a folder of commits; it is moved aside later.
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => None,
                found => found?,
            };
            if let Some((folder, name)) = found
                && folders::stat(folder, &name)?.is_some()
            {
                return self.find_at(&path);
            }
        }
        self.find_at(&staged_path(object))
    }

    fn find_at(&mut self, path: &str) -> io::Result<Option<(BorrowedFd<'_>, String)>> {
        let (store, first, name) = split(path);
        if !self.is_at(store, first) {
            let Some(parent) = self.folders.find(store)? else {
                return Ok(None);
            };
            let Some(folder) = folders::find_from(parent.as_fd(), first)? else {
                return Ok(None);
            };
            self.stay(store, parent, first, folder);
        }
        self.here(name).map(Some)
    }

    fn is_at(&self, store: &str, first: &str) -> bool {
        self.store.as_ref().is_some_and(|(path, _)| path == store)
            && self.folder.as_ref().is_some_and(|(path, _)| path == first)
    }

    fn stay(&mut self, store: &str, parent: OwnedFd, first: &str, folder: OwnedFd) {
        self.store = Some((store.to_owned(), parent));
        self.folder = Some((first.to_owned(), folder));
    }

    fn here(&self, name: &str) -> io::Result<(BorrowedFd<'_>, String)> {
        let (_, folder) = self.folder.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok((folder.as_fd(), name.to_owned()))
    }
}

/// An object's path as the store's folder, the first two digits of the id, and the rest of it.
fn split(path: &str) -> (&str, &str, &str) {
    let (folder, name) = folders::split(path);
    let (store, first) = folders::split(folder);
    (store, first, name)
}
