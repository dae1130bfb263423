//! Do the databases that were found belong to the objects on disk?
//!
//! This is asked only if there is a doubt: they were found through a setting that the program does
//! not use, or databases of another kind lie there too. Databases that are no longer used are older
//! than the newest commits on disk, which descend from their heads.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::databases::{Error, SeafileDatabase};
use crate::database::Pointers;
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::seafile::commit::Commit;
use crate::seafile::discover::Installation;
use crate::seafile::folders::ObjectFolders;

/// How many libraries are compared: those whose folders changed last.
const MOST_LIBRARIES: usize = 200;
/// How many commits are read at most to find one among another's ancestors.
const MOST_ANCESTORS: usize = 1000;
/// How many of a store's up to 256 folders are listed to find its newest commit.
const NEWEST_FOLDERS: usize = 3;

/// Result of comparing the databases with the objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The time (seconds since 1970) of the newest commit that the databases name as a head.
    pub newest_head: Option<i64>,
    /// The time of the newest commit on disk.
    pub newest_on_disk: Option<i64>,
    /// Libraries whose newest commit on disk descends from their head in the databases: Seafile
    /// went on with them after these databases.
    pub went_on: Vec<LibraryId>,
}

/// Compares databases and objects. `spool` is for copies of databases that are files.
pub fn compare(installation: &Installation, spool: &Path) -> Result<Comparison, Error> {
    let pointers = SeafileDatabase::of(installation)?.pointers(spool)?;
    let (folders, _) = super::object_folders(installation, &pointers);
    Ok(compare_objects(&pointers, &folders))
}

fn compare_objects(pointers: &Pointers, folders: &ObjectFolders) -> Comparison {
    let libraries = pointers.libraries.iter().filter_map(|library| {
        let head = library.heads.first()?.commit;
        let changed = modified(&store_folder(folders, library.id))?;
        Some((changed, library.id, head))
    });
    let mut libraries: Vec<_> = libraries.collect();
    libraries.sort_unstable_by(|a, b| b.cmp(a));
    libraries.truncate(MOST_LIBRARIES);
    let mut found = Comparison::default();
    for (_, library, head) in libraries {
        let time = |id| read(folders, library, id).map(|commit| commit.ctime);
        found.newest_head = found.newest_head.max(time(head));
        let Some(newest) = newest(&store_folder(folders, library)) else {
            continue;
        };
        found.newest_on_disk = found.newest_on_disk.max(time(newest));
        if newest != head && descends(folders, library, newest, head) {
            found.went_on.push(library);
        }
    }
    found
}

fn store_folder(folders: &ObjectFolders, library: LibraryId) -> PathBuf {
    let any = Object::new(Store::Library(library), Kind::Commit, ObjectId::new([0; 20]));
    let path = folders.path(&any);
    let above = path.ancestors().nth(2);
    above.unwrap_or(&path).to_owned()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// The commit of a store with the newest file, looked for only in the folders that changed last.
fn newest(store: &Path) -> Option<ObjectId> {
    let by_time = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<(SystemTime, PathBuf)> =
            entries.filter_map(|entry| Some((modified(&entry.path())?, entry.path()))).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    };
    let folders = by_time(store).into_iter().take(NEWEST_FOLDERS);
    let files = folders.flat_map(|(_, folder)| by_time(&folder));
    let commits = files.filter_map(|(time, path)| {
        let rest = path.file_name()?.to_str()?;
        let first = path.parent()?.file_name()?.to_str()?;
        Some((time, format!("{first}{rest}").parse().ok()?))
    });
    commits.max_by_key(|(time, _)| *time).map(|(_, id)| id)
}

fn read(folders: &ObjectFolders, library: LibraryId, id: ObjectId) -> Option<Commit> {
    let object = Object::new(Store::Library(library), Kind::Commit, id);
    Commit::parse(&folders.read(&object).ok()??).ok()
}

/// Whether commit `to` is among the ancestors of commit `from`.
fn descends(folders: &ObjectFolders, library: LibraryId, from: ObjectId, to: ObjectId) -> bool {
    let mut seen = HashSet::new();
    let mut pending = vec![from];
    while let Some(id) = pending.pop() {
        if id == to {
            return true;
        }
        if seen.len() < MOST_ANCESTORS && seen.insert(id) {
            let parents = read(folders, library, id).into_iter();
            pending.extend(parents.flat_map(|commit| commit.parents()));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::pointers::Head;
    use crate::database::read_pointers;
    use crate::seafile::discover::{Environment, discover};

    #[test]
    fn databases_that_the_libraries_left_behind_are_known() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/haiwen");
        let folder = tempfile::tempdir().unwrap();
        let mut copy = std::process::Command::new("cp");
        copy.args(["-a", top.to_str().unwrap()]).arg(folder.path());
        seawall_test_servers::wait::success(&mut copy);
        let top = folder.path().join("haiwen");
        let installation = discover(&top, &Environment::default()).unwrap();
        let mut pointers = read_pointers(&top.join("seafile-data/seafile.db")).unwrap();
        let (folders, _) = crate::source::object_folders(&installation, &pointers);
        // The newest file of a store is its head's, as on a server.
        let now = SystemTime::now();
        for library in &pointers.libraries {
            let head = library.heads.first().unwrap().commit;
            let object = Object::new(Store::Library(library.id), Kind::Commit, head);
            let path = folders.path(&object);
            for path in [path.as_path(), path.parent().unwrap()] {
                fs::File::open(path).unwrap().set_modified(now).unwrap();
            }
        }
        let fresh = compare_objects(&pointers, &folders);
        assert_eq!(fresh.went_on, []);
        assert!(fresh.newest_head.is_some());

        let went_on = pointers.libraries.iter_mut().find_map(|library| {
            let head = library.heads.first()?.commit;
            let parent = read(&folders, library.id, head)?.parents().next()?;
            let branch = "master".to_owned();
            library.heads = vec![Head { branch, commit: parent }];
            Some(library.id)
        });
        let stale = compare_objects(&pointers, &folders);
        assert_eq!(stale.went_on, [went_on.unwrap()]);
        assert_eq!(stale.newest_on_disk, fresh.newest_on_disk);
    }
}
