//! Lists what lies in a folder, by name and by kind of file.

use super::file::{at, present, retried};
use crate::object::{LibraryId, ObjectId};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// One entry of a folder that should hold only objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectEntry {
    /// A regular file with the name of an object.
    Object(ObjectId),
    /// Anything else: leftovers with temporary names, and files that people put there.
    Foreign(PathBuf),
}

/// What one entry of a store's folder holds. A folder of two hex digits holds objects.
pub(super) fn objects_below(
    store_folder: &Path,
    entry: &ListedName,
) -> io::Result<Vec<ObjectEntry>> {
    let folder = store_folder.join(&entry.name);
    let Some(first) = entry.two_hex_digits() else {
        return Ok(vec![ObjectEntry::Foreign(folder)]);
    };
    let found = list(&folder)?.into_iter().map(|entry| {
        entry
            .object(first)
            .map_or_else(|| ObjectEntry::Foreign(folder.join(&entry.name)), ObjectEntry::Object)
    });
    Ok(found.collect())
}

/// One name in a folder.
pub(super) struct ListedName {
    pub(super) name: OsString,
    form: ListedForm,
}

#[derive(PartialEq, Eq)]
enum ListedForm {
    /// A folder, or a link to one.
    Folder,
    RegularFile,
    Other,
}

impl ListedName {
    pub(super) fn library(&self) -> Option<LibraryId> {
        let name = self.name.to_str().filter(|_| self.form == ListedForm::Folder)?;
        name.parse().ok()
    }

    fn two_hex_digits(&self) -> Option<&str> {
        let name = self.name.to_str().filter(|_| self.form == ListedForm::Folder)?;
        let hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (name.len() == 2 && name.bytes().all(hex)).then_some(name)
    }

    fn object(&self, first: &str) -> Option<ObjectId> {
        let rest = self.name.to_str().filter(|_| self.form == ListedForm::RegularFile)?;
        format!("{first}{rest}").parse().ok()
    }
}

/// A folder's entries, sorted. A folder that does not exist has none.
pub(super) fn list(folder: &Path) -> io::Result<Vec<ListedName>> {
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

fn form_of(entry: &std::fs::DirEntry) -> io::Result<ListedName> {
    let file_type = entry.file_type()?;
    let linked_folder = || file_type.is_symlink() && entry.path().is_dir();
    let form = if file_type.is_file() {
        ListedForm::RegularFile
    } else if file_type.is_dir() || linked_folder() {
        ListedForm::Folder
    } else {
        ListedForm::Other
    };
    let name = entry.file_name();
    Ok(ListedName { name, form })
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
