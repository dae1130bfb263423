//! The files of a local repository, found folder by folder.

use std::io;
use std::time::SystemTime;

use rustix::fs::{Dir, DirEntry, FileType};

use super::folder::{Folder, LocalName};
use crate::key::is_segment;
use crate::{Entry, Error, Key, Result};

/// Files in every folder that keys can be in, lazily: what it keeps is one open folder and the
/// names of folders to come. Symbolic links are passed over.
#[derive(Debug)]
pub(super) struct LocalWalk {
    root: Folder,
    wanted: fn(&str) -> bool,
    pending: Vec<String>,
    current: Option<OpenFolder>,
}

/// The folder that is being read.
#[derive(Debug)]
struct OpenFolder {
    path: String,
    folder: Folder,
    names: Dir,
}

/// A file with a wanted name.
#[derive(Debug)]
pub(super) struct LocalFile {
    pub(super) folder: Folder,
    pub(super) name: String,
    pub(super) len: u64,
    pub(super) modified: SystemTime,
    path: String,
}

impl LocalFile {
    /// As a listing shows it, if its path can be a key.
    pub(super) fn into_entry(self) -> Option<Entry> {
        Some(Entry { key: Key::parse(&self.path).ok()?, len: self.len, modified: self.modified })
    }
}

impl LocalWalk {
    /// Files below the folder `prefix` whose names are wanted.
    pub(super) fn new(root: &Folder, prefix: &str, wanted: fn(&str) -> bool) -> Self {
        let pending = if has_room(prefix) { vec![prefix.to_owned()] } else { Vec::new() };
        Self { root: root.clone(), wanted, pending, current: None }
    }

    /// Opens a folder; one that went away is passed over.
    fn enter(&self, path: String) -> io::Result<Option<OpenFolder>> {
        let Some(folder) = self.root.descend(&path)? else {
            return Ok(None);
        };
        let names = folder.names()?;
        Ok(Some(OpenFolder { path, folder, names }))
    }

    /// Takes note of a folder, or says what a wanted file is.
    fn look_at(&mut self, entry: &DirEntry) -> Option<Result<LocalFile>> {
        let reading = self.current.as_ref()?;
        let name = entry.file_name().to_str().ok()?;
        let path = join(&reading.path, name);
        let wanted = (self.wanted)(name);
        let holds = match entry.file_type() {
            FileType::Directory => LocalName::Folder,
            FileType::RegularFile if !wanted => return None,
            FileType::RegularFile | FileType::Unknown if wanted || is_segment(name) => {
                match reading.folder.holds(name) {
                    Ok(holds) => holds,
                    Err(error) => return Some(Err(about(&path, error))),
                }
            }
            _ => return None,
        };
        match holds {
            LocalName::File { len, modified } if wanted => Some(Ok(LocalFile {
                folder: reading.folder.clone(),
                name: name.to_owned(),
                len,
                modified,
                path,
            })),
            LocalName::Folder => {
                if is_segment(name) && has_room(&path) {
                    self.pending.push(path);
                }
                None
            }
            _ => None,
        }
    }
}

impl Iterator for LocalWalk {
    type Item = Result<LocalFile>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(reading) = &mut self.current else {
                let path = self.pending.pop()?;
                match self.enter(path.clone()) {
                    Ok(reading) => self.current = reading,
                    Err(error) => return Some(Err(about(&path, error))),
                }
                continue;
            };
            match reading.names.read() {
                Some(Ok(entry)) => {
                    if let Some(found) = self.look_at(&entry) {
                        return Some(found);
                    }
                }
                Some(Err(error)) => {
                    let reading = self.current.take()?;
                    return Some(Err(about(&reading.path, error.into())));
                }
                None => self.current = None,
            }
        }
    }
}

/// Whether a key can lie below this path: a slash and a character have to fit.
fn has_room(path: &str) -> bool {
    path.len() + 2 <= Key::MAX_LEN
}

/// A path, one name further.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// An error about a folder or a file, named as if it were a key.
fn about(path: &str, error: io::Error) -> Error {
    let error = Error::from(error);
    match Key::parse(path) {
        Ok(key) => error.with_key(&key),
        Err(_) => error,
    }
}
