//! Lists what lies in a folder, by name and by kind of file.

use super::file::{at, present, retried};
use crate::object::{LibraryId, ObjectId};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// One entry of a folder that should hold only objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A regular file with the name of an object.
    Object(ObjectId),
    /// Anything else: leftovers with temporary names, and files that people put there.
    Foreign(PathBuf),
}

/// What one entry of a store's folder holds. A folder of two hex digits holds objects.
pub(super) fn objects_below(store_folder: &Path, entry: &Entry) -> io::Result<Vec<Found>> {
    let folder = store_folder.join(&entry.name);
    let Some(first) = entry.two_hex_digits() else {
        return Ok(vec![Found::Foreign(folder)]);
    };
    let found = list(&folder)?.into_iter().map(|entry| {
        entry.object(first).map_or_else(|| Found::Foreign(folder.join(&entry.name)), Found::Object)
    });
    Ok(found.collect())
}

/// One name in a folder.
pub(super) struct Entry {
    pub(super) name: OsString,
    form: Form,
}

#[derive(PartialEq, Eq)]
enum Form {
    /// A folder, or a link to one.
    Folder,
    RegularFile,
    Other,
}

impl Entry {
    pub(super) fn library(&self) -> Option<LibraryId> {
        let name = self.name.to_str().filter(|_| self.form == Form::Folder)?;
        name.parse().ok()
    }

    fn two_hex_digits(&self) -> Option<&str> {
        let name = self.name.to_str().filter(|_| self.form == Form::Folder)?;
        let hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (name.len() == 2 && name.bytes().all(hex)).then_some(name)
    }

    fn object(&self, first: &str) -> Option<ObjectId> {
        let rest = self.name.to_str().filter(|_| self.form == Form::RegularFile)?;
        format!("{first}{rest}").parse().ok()
    }
}

/// A folder's entries, sorted. A folder that does not exist has none.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Entry>> {
    let entries = retried(|| {
        let mut entries = Vec::new();
        for entry in folder.read_dir()? {
            entries.extend(present(form_of(&entry?))?);
        }
        Ok(entries)
    });
    let entries = present(entries).map_err(|error| at(folder, error))?;
    let mut entries = entries.unwrap_or_default();
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn form_of(entry: &std::fs::DirEntry) -> io::Result<Entry> {
    let file_type = entry.file_type()?;
    let linked_folder = || file_type.is_symlink() && entry.path().is_dir();
    let form = if file_type.is_file() {
        Form::RegularFile
    } else if file_type.is_dir() || linked_folder() {
        Form::Folder
    } else {
        Form::Other
    };
    let name = entry.file_name();
    Ok(Entry { name, form })
}

pub(super) fn one_error_or_all<T>(
    result: io::Result<Vec<T>>,
) -> impl Iterator<Item = io::Result<T>> {
    let (all, error) = match result {
        Ok(all) => (all, None),
        Err(error) => (Vec::new(), Some(Err(error))),
    };
    all.into_iter().map(Ok).chain(error)
}
