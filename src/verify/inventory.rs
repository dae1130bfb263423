//! Lists what lies in the stores and is not reached by any pointer: temporary files of crashed
//! servers, garbage, running uploads. Nobody needs it, so this is information and never damage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::ahead::Beside;
use super::report::{LeftoverSort, Leftovers, Unreached};
use crate::object::{Kind, Object, Store};
use crate::seafile::check;
use crate::seafile::folders::{ObjectEntry, ObjectFolders};
use crate::walk::{self, LibraryGroup, ReachedObjects};

/// How many examples of one sort are kept.
const MOST_EXAMPLES: usize = 3;
/// Folders below `seafile-data` in which servers keep unfinished files.
const UNFINISHED: [&str; 2] = ["tmpfiles", "httptemp"];

/// The result of the listings so far.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    data_dir: PathBuf,
    leftovers: BTreeMap<(String, LeftoverSort), Leftovers>,
    unreached: BTreeMap<(Store, Kind), Unreached>,
    /// Folders that could not be listed.
    pub warnings: Vec<String>,
    /// Libraries with commits that no pointer leads to.
    pub beside: Vec<Beside>,
    lists_leftovers: bool,
}

impl Inventory {
    /// An empty inventory. With `lists_leftovers` it lists whole stores, otherwise only their
    /// commits.
    pub(super) fn new(data_dir: &Path, lists_leftovers: bool) -> Self {
        Self { data_dir: data_dir.to_owned(), lists_leftovers, ..Self::default() }
    }

    /// Lists the stores of a group. `reached` has the objects to which the group's pointers led.
    pub(super) fn group(
        &mut self,
        source: &ObjectFolders,
        group: &LibraryGroup<'_>,
        reached: &ReachedObjects,
    ) {
        let libraries = group.libraries.iter();
        self.beside.extend(libraries.filter_map(|library| Beside::of(source, library, reached)));
        if self.lists_leftovers {
            self.leftovers_of(source, group, reached);
        }
    }

    fn leftovers_of(
        &mut self,
        source: &ObjectFolders,
        group: &LibraryGroup<'_>,
        reached: &ReachedObjects,
    ) {
        let mut stores = BTreeSet::new();
        for library in &group.libraries {
            let content = walk::content_store(library);
            for (kind, store) in [
                (Kind::Commit, Store::Library(library.id)),
                (Kind::Fs, content),
                (Kind::Block, content),
            ] {
                stores.extend(source.places(store).map(|store| (kind, store)));
            }
        }
        for (kind, store) in stores {
            for found in source.objects(kind, store) {
                match found {
                    Ok(ObjectEntry::Object(id)) => {
                        let object = Object::new(store, kind, id);
                        if !reached.contains(&object) {
                            self.object(source, object);
                        }
                    }
                    Ok(ObjectEntry::Foreign(path)) => {
                        let folder = self.data_dir.join("storage").join(kind.folder());
                        let folder = match store {
                            Store::Library(library) => folder.join(library.to_string()),
                            Store::Shared => self.data_dir.join(kind.folder()),
                        };
                        let sort = sort(&path);
                        self.file(&folder, &path, sort);
                    }
                    Err(error) => self.warnings.push(crate::causes::chain(&error)),
                }
            }
        }
    }

    /// Counts an object that no pointer leads to.
    fn object(&mut self, source: &ObjectFolders, object: Object) {
        // The server may remove it at any moment, as garbage.
        let Ok(Some(bytes)) = source.len(&object) else {
            return;
        };
        let is_bad = match object.kind {
            Kind::Block => bytes == 0 && check::check(&object, &[]).is_err(),
            Kind::Commit | Kind::Fs => matches!(
                source.read(&object),
                Ok(Some(bytes)) if check::check(&object, &bytes).is_err()
            ),
        };
        let Object { store, kind, id } = object;
        let entry = self.unreached.entry((store, kind)).or_insert_with(|| Unreached {
            store,
            kind,
            objects: 0,
            bytes: 0,
            bad: 0,
            below_damage: false,
            examples: Vec::new(),
        });
        entry.objects += 1;
        entry.bytes += bytes;
        if is_bad {
            entry.bad += 1;
            if entry.examples.len() < MOST_EXAMPLES {
                entry.examples.push(id);
            }
        }
    }

    /// Counts a file that is no object. Files of one folder and sort share an entry.
    fn file(&mut self, folder: &Path, path: &Path, sort: LeftoverSort) {
        let Ok(metadata) = path.symlink_metadata() else {
            return; // renamed or removed meanwhile
        };
        let shown = folder
            .strip_prefix(&self.data_dir)
            .map_or_else(|_| folder.to_owned(), |inside| Path::new("seafile-data").join(inside));
        let shown = shown.to_string_lossy().into_owned();
        let entry = self.leftovers.entry((shown.clone(), sort)).or_insert_with(|| Leftovers {
            folder: shown,
            sort,
            files: 0,
            bytes: 0,
            examples: Vec::new(),
        });
        entry.files += 1;
        if metadata.is_file() {
            entry.bytes += metadata.len();
        }
        if entry.examples.len() < MOST_EXAMPLES {
            let name = path.strip_prefix(folder).unwrap_or(path);
            entry.examples.push(name.to_string_lossy().into_owned());
        }
    }

    /// Counts files that servers have not finished, or never will.
    pub(super) fn unfinished(&mut self) {
        for name in UNFINISHED {
            let top = self.data_dir.join(name);
            let mut folders = vec![top.clone()];
            while let Some(folder) = folders.pop() {
                // These folders need not exist.
                let Ok(entries) = folder.read_dir() else {
                    continue;
                };
                for entry in entries.flatten() {
                    match entry.file_type() {
                        Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                        Ok(_) => self.file(&top, &entry.path(), LeftoverSort::Temporary),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    /// All that was found, in the order of folders and stores.
    pub(super) fn finish(self) -> (Vec<Leftovers>, Vec<Unreached>) {
        let mut leftovers: Vec<Leftovers> = self.leftovers.into_values().collect();
        for entry in &mut leftovers {
            entry.examples.sort_unstable();
        }
        (leftovers, self.unreached.into_values().collect())
    }
}

/// Tells whether a name is one that Seafile writes before it renames: an object's id, whole (the Go
/// server) or without its first two digits (the C server), a dot and a random suffix.
fn sort(path: &Path) -> LeftoverSort {
    let name = path.file_name().and_then(|name| name.to_str());
    let parts = name.and_then(|name| name.split_once('.'));
    let is_temporary = parts.is_some_and(|(stem, suffix)| {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let of_c = suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let of_go = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit());
        stem.bytes().all(hex) && (stem.len() == 38 && of_c || stem.len() == 40 && (of_go || of_c))
    });
    if is_temporary { LeftoverSort::Temporary } else { LeftoverSort::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_servers_make_are_temporary() {
        let (c, go) = ("ab".repeat(19), "ab".repeat(20));
        for (name, expected) in [
            (format!("{c}.RZB3Y3"), LeftoverSort::Temporary),
            (format!("{go}.123456789"), LeftoverSort::Temporary),
            (format!("{go}.abcXYZ"), LeftoverSort::Temporary),
            (format!("{c}.12345"), LeftoverSort::Foreign),
            (format!("{c}.RZB3Y3.bak"), LeftoverSort::Foreign),
            (format!("{go}."), LeftoverSort::Foreign),
            (c.clone(), LeftoverSort::Foreign),
            (format!("{}.RZB3Y3", c.to_uppercase()), LeftoverSort::Foreign),
            ("README".to_owned(), LeftoverSort::Foreign),
        ] {
            assert_eq!(sort(Path::new("/x").join(&name).as_path()), expected, "{name}");
        }
    }
}
