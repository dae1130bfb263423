//! No restore leaves a commit to which the databases do not lead: clients that have it would be set back, and their
//! users' newer files would go.

mod doubts;
pub mod killed;
mod unfinished;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use seawall::database::read_pointers;
use seawall::object::{LibraryId, Object};
use seawall::restore::{self, ASIDE, Options, Report, Scope};

use crate::cli::User;
use crate::compaction::add_library;
use crate::damage::{head, object_path, parent, write_commit};
use crate::restore::latest;
use crate::support::{DOCUMENTS, Source, World, files_below};
use crate::synthetic::generator;

/// Commits in a folder to which its own databases do not lead. Libraries of which no row names a head have none: no
/// client follows them.
pub fn unreachable_commits(target: &Path) -> Vec<PathBuf> {
    let database = target.join("seafile-data/seafile.db");
    if !database.exists() {
        return Vec::new();
    }
    let copy = tempfile::NamedTempFile::new().unwrap();
    fs::copy(&database, copy.path()).unwrap();
    let pointers = read_pointers(copy.path()).unwrap();
    let mut heads: HashMap<LibraryId, Vec<String>> = HashMap::new();
    let mut headless = HashSet::new();
    for library in &pointers.libraries {
        let own = heads.entry(library.id).or_default();
        own.extend(library.heads.iter().map(|head| head.commit.to_string()));
        if library.heads.is_empty() {
            headless.insert(library.id);
        }
        if let Some(origin) = &library.origin {
            let base = origin.base_commit.map(|base| base.to_string());
            heads.entry(origin.library).or_default().extend(base);
        }
    }
    for (store, _) in stores(target) {
        if !headless.contains(&store) && !heads.contains_key(&store) {
            heads.insert(store, Vec::new());
        }
    }
    for library in headless {
        heads.remove(&library);
    }
    commits_beyond(target, &heads)
}

/// The folders of commits that Seafile would find, by library.
fn stores(target: &Path) -> Vec<(LibraryId, PathBuf)> {
    let commits = target.join("seafile-data/storage/commits");
    if !commits.exists() {
        return Vec::new();
    }
    let stores = fs::read_dir(&commits).unwrap().map(Result::unwrap);
    let named = stores.map(|store| {
        let name = store.file_name().into_string().unwrap();
        let library = name.parse();
        let library = library.unwrap_or_else(|_| panic!("{name} among the stores of commits"));
        (library, store.path())
    });
    named.collect()
}

/// Commits in their places to which these heads do not lead, of the libraries that have some.
pub fn commits_beyond(target: &Path, heads: &HashMap<LibraryId, Vec<String>>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (library, path) in stores(target) {
        if let Some(heads) = heads.get(&library) {
            found.extend(beyond(&path, heads.clone()));
        }
    }
    found
}

/// Files of a store to which these commits do not lead.
fn beyond(store: &Path, mut pending: Vec<String>) -> Vec<PathBuf> {
    let mut files: HashMap<String, PathBuf> = HashMap::new();
    for path in files_below(store) {
        let first = path.parent().unwrap().file_name().unwrap();
        let id =
            format!("{}{}", first.to_str().unwrap(), path.file_name().unwrap().to_str().unwrap());
        files.insert(id, path);
    }
    while let Some(id) = pending.pop() {
        if let Some(path) = files.remove(&id) {
            let json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            let parents = ["parent_id", "second_parent_id"].into_iter();
            pending.extend(parents.filter_map(|name| Some(json[name].as_str()?.to_owned())));
        }
    }
    files.into_values().collect()
}

/// The objects' names in the folder for what was set aside.
pub fn set_aside(target: &Path) -> BTreeSet<Object> {
    let folder = target.join(ASIDE);
    if !folder.exists() {
        return BTreeSet::new();
    }
    let inside = |path: PathBuf| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
    let files = files_below(&folder).into_iter().map(inside);
    files.map(|path| Object::from_path(&path).unwrap_or_else(|| panic!("{path}"))).collect()
}

/// A source, and a repository in which its newest snapshot has heads that are older than commits in its packs: somebody put
/// back an older database.
pub fn rolled_back() -> (Source, World, BTreeSet<Object>) {
    let (source, world) = (Source::example(), World::local());
    let libraries = [add_library(&source, 30, 2000, 1), add_library(&source, 30, 2000, 2)];
    world.backup(&source);
    let database = source.path.join("seafile-data/seafile.db");
    let older = fs::read(&database).unwrap();
    generator::change(&source.path, 10, 2000, 5);
    let newer = libraries.iter().map(|library| head(&source, library)).collect();
    world.backup(&source);
    fs::write(&database, older).unwrap();
    world.backup(&source);
    (source, world, newer)
}

fn restored(world: &World, options: &Options) -> Report {
    let report = restore::run(&world.repository, &latest(world), options, &|_| {}).unwrap();
    assert!(report.lost.is_empty(), "{:?}", report.lost);
    report
}

fn snapshot(world: &World, number: usize) -> seawall::repository::Snapshot {
    let markers = world.repository.markers().unwrap();
    markers.snapshots[number].clone()
}

fn standby(
    world: &World,
    number: usize,
    target: &Path,
    older: bool,
) -> Result<Report, restore::Error> {
    let options = Options { standby: true, older, ..Options::new(target.to_owned()) };
    restore::run(&world.repository, &snapshot(world, number), &options, &|_| {})
}

#[test]
fn commits_that_a_roll_back_left_in_the_packs_are_not_put_in_place() {
    let (_source, world, newer) = rolled_back();
    for scope in [Scope::Everything, Scope::Data] {
        let target = world.path(&format!("{scope:?}"));
        let report = restored(&world, &Options { scope, ..Options::new(target.clone()) });
        assert_eq!(unreachable_commits(&target), [] as [PathBuf; 0]);
        for object in &newer {
            assert!(!target.join(object.path()).exists(), "{object}");
        }
        // They may be the last copy of what users did.
        assert_eq!(set_aside(&target), newer);
        assert_eq!(report.set_aside.len(), 2);
        assert!(!report.needs_reading());
        assert!(!target.join("seafile-data/storage/seawall-commits").exists());
        let notes = fs::read_to_string(target.join(restore::NOTES)).unwrap();
        assert!(notes.contains(ASIDE) && notes.contains("1 commit"), "{notes}");
    }
}

#[test]
fn all_other_commits_come_back() {
    let (source, world, newer) = rolled_back();
    let target = world.path("target");
    restored(&world, &Options::new(target.clone()));
    let folder = "seafile-data/storage/commits";
    let inside = |top: &Path| -> BTreeSet<PathBuf> {
        let files = files_below(&top.join(folder)).into_iter();
        files.map(|path| path.strip_prefix(top).unwrap().to_owned()).collect()
    };
    let mut expected = inside(&source.path);
    for object in &newer {
        assert!(expected.remove(Path::new(&object.path())), "{object}");
    }
    assert_eq!(inside(&target), expected);
}

#[test]
fn a_standby_that_goes_back_has_no_newer_commits() {
    let (_source, world, newer) = rolled_back();
    let target = world.path("standby");
    standby(&world, 1, &target, false).unwrap();
    for object in &newer {
        assert!(target.join(object.path()).exists());
    }
    let refused = standby(&world, 0, &target, false);
    assert!(matches!(refused, Err(restore::Error::GoesBack { .. })), "{refused:?}");
    assert_eq!(set_aside(&target), BTreeSet::new());
    let report = standby(&world, 0, &target, true).unwrap();
    assert_eq!(report.went_back_from, Some(snapshot(&world, 1).id()));
    assert_eq!(unreachable_commits(&target), [] as [PathBuf; 0]);
    assert_eq!(set_aside(&target), newer);
    let notes = fs::read_to_string(target.join(restore::NOTES)).unwrap();
    assert!(notes.contains("WENT BACK"), "{notes}");
    assert!(notes.contains("taken by name and length"), "{notes}");
    // Forward again: a later snapshot whose heads are older needs no word, and leaves nothing either.
    standby(&world, 1, &target, false).unwrap();
    assert_eq!(unreachable_commits(&target), [] as [PathBuf; 0]);
    for object in &newer {
        assert!(target.join(object.path()).exists());
    }
    let report = standby(&world, 2, &target, false).unwrap();
    assert_eq!((report.went_back_from, report.set_aside.len()), (None, 2));
    assert_eq!(unreachable_commits(&target), [] as [PathBuf; 0]);
}

#[test]
fn commits_that_somebody_made_in_a_standby_are_moved_and_kept() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let target = world.path("standby");
    standby(&world, 0, &target, false).unwrap();
    // Seafile was tried there: a commit upon the head of a library, and a library of its own.
    let newest = head(&source, DOCUMENTS);
    let made = write_commit(&source, &newest, &"8".repeat(40), |json| {
        json["parent_id"] = newest.id.to_string().into();
    });
    let bytes = fs::read(object_path(&source, &made)).unwrap();
    fs::remove_file(object_path(&source, &made)).unwrap();
    let library = "12345678-1111-4222-8333-123456789abc";
    let other = Object { store: library.parse().unwrap(), ..made };
    for object in [&made, &other] {
        let path = target.join(object.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &bytes).unwrap();
    }
    let report = standby(&world, 0, &target, false).unwrap();
    assert_eq!(unreachable_commits(&target), [] as [PathBuf; 0]);
    assert_eq!(set_aside(&target), [made, other].into());
    for object in [&made, &other] {
        assert_eq!(fs::read(target.join(ASIDE).join(object.path())).unwrap(), bytes);
    }
    let told: Vec<&str> = report.set_aside.iter().map(|count| count.library.as_str()).collect();
    assert_eq!(told, [library, DOCUMENTS]);
    // Another one of the same name does not take its place.
    let changed = [bytes.as_slice(), b"\n"].concat();
    let path = target.join(made.path());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, &changed).unwrap();
    standby(&world, 0, &target, false).unwrap();
    let folder = target.join(ASIDE).join(made.path());
    assert_eq!(fs::read(&folder).unwrap(), bytes);
    assert_eq!(fs::read(folder.with_extension("2")).unwrap(), changed);
}

#[test]
fn a_database_that_is_lost_leaves_no_older_one_beside_newer_commits() {
    let (source, world) = (Source::example(), World::local());
    add_library(&source, 30, 2000, 1);
    world.backup(&source);
    let target = world.path("standby");
    standby(&world, 0, &target, false).unwrap();
    let older = fs::read(target.join("seafile-data/seafile.db")).unwrap();
    generator::change(&source.path, 10, 2000, 5);
    let report = world.backup(&source);
    let seafile = &report.manifest.databases[0];
    assert_eq!(seafile.role, "seafile");
    let part = world.repository_path().join(seafile.parts[0].key.as_str());
    fs::remove_file(part).unwrap();
    let report = standby(&world, 1, &target, false).unwrap();
    assert_eq!(report.lost.len(), 1, "{:?}", report.lost);
    assert!(!target.join("seafile-data/seafile.db").exists());
    let notes = fs::read_to_string(target.join(restore::NOTES)).unwrap();
    assert!(notes.contains("THE DATABASE WITH THE HEADS"), "{notes}");
    let aside = target.join(ASIDE).join("seafile-data/seafile.db");
    assert_eq!(fs::read(aside).unwrap(), older);
    assert!(report.warnings.iter().any(|line| line.contains(ASIDE)), "{:?}", report.warnings);
}

#[test]
fn going_back_needs_a_word_on_the_command_line() {
    let (source, user) = (Source::example(), User::new());
    add_library(&source, 30, 2000, 1);
    let from = source.path.to_str().unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["backup", from]).succeeds();
    let first = user.only_marker();
    generator::change(&source.path, 10, 2000, 5);
    user.run(&["backup", from]).succeeds();
    let target = user.path("standby");
    let target = target.to_str().unwrap();
    user.run(&["restore", "latest", "--standby", "--target", target]).succeeds();
    let back = ["restore", &first, "--standby", "--target", target];
    let refused = user.run(&back);
    refused.fails(1, &["later snapshot", "--older"]);
    let without = user.run(&["restore", &first, "--older", "--target", target]);
    assert_eq!(without.status, 2, "{}", without.stderr);
    let went = user.run(&[&back[..], &["--older"]].concat());
    assert!(
        went.succeeds().contains("1 commit that no restored pointer leads to"),
        "{}",
        went.stdout
    );
    assert_eq!(unreachable_commits(Path::new(target)), [] as [PathBuf; 0]);
    user.run(&["verify", target]).succeeds();
}

#[test]
fn folders_that_are_gone_in_the_source_go_in_a_standby() {
    let (source, world) = (Source::example(), World::local());
    for folder in ["conf/gone/inner", "conf/mixed", "conf/kept"] {
        fs::create_dir_all(source.path.join(folder)).unwrap();
    }
    fs::write(source.path.join("conf/gone/inner/file"), "1").unwrap();
    world.backup(&source);
    let target = world.path("standby");
    standby(&world, 0, &target, false).unwrap();
    assert!(target.join("conf/gone/inner/file").exists());
    fs::write(target.join("conf/mixed/mine"), "").unwrap();
    fs::remove_dir_all(source.path.join("conf/gone")).unwrap();
    fs::remove_dir_all(source.path.join("conf/mixed")).unwrap();
    world.backup(&source);
    standby(&world, 1, &target, false).unwrap();
    assert!(!target.join("conf/gone").exists());
    assert!(target.join("conf/kept").is_dir());
    assert!(target.join("conf/mixed/mine").is_file());
}

/// A commit's parent, by its file.
fn before(source: &Source, object: &Object) -> Object {
    parent(source, object)
}
