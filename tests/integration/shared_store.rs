//! Installations of Seafile 1 and 2, where all libraries share one folder of objects: backed up, counted, verified and
//! restored as any other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use seawall::backup::Report;
use seawall::object::{Kind, Object, Store};
use seawall::repository::manifest::Counts;
use seawall_backends::{MemoryBackend, RecordingBackend};

use crate::audit::reads_of_packs;
use crate::cli::User;
use crate::heads::make_commit;
use crate::support::{DOCUMENTS, Source, World, files_below};

/// Moves every object into the folders that all libraries share.
fn make_shared(source: &Source) {
    let data = source.path.join("seafile-data");
    for kind in ["commits", "fs", "blocks"] {
        for file in files_below(&data.join("storage").join(kind)) {
            let folder = data.join(kind).join(file.parent().unwrap().file_name().unwrap());
            fs::create_dir_all(&folder).unwrap();
            fs::rename(&file, folder.join(file.file_name().unwrap())).unwrap();
        }
    }
    fs::remove_dir_all(data.join("storage")).unwrap();
}

fn shared() -> Source {
    let source = Source::example();
    make_shared(&source);
    source
}

fn path_of(source: &Source, object: &Object) -> std::path::PathBuf {
    let placed = Object { store: Store::Shared, ..*object };
    source.path.join(placed.path())
}

fn head_of(source: &Source, library: &str) -> Object {
    let id = source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{library}'"));
    Object::new(Store::Shared, Kind::Commit, id.parse().unwrap())
}

fn set_head(source: &Source, library: &str, commit: &Object) {
    source
        .sql(&format!("UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{library}'", commit.id));
}

fn parent_of(source: &Source, commit: &Object) -> Object {
    let bytes = fs::read(path_of(source, commit)).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    Object { id: json["parent_id"].as_str().unwrap().parse().unwrap(), ..*commit }
}

/// A library that shares no folder.
const UNICODE: &str = "830ac5d7-2294-4f9c-ae5f-81500eb54e68";

fn counts(report: &Report) -> BTreeMap<String, Counts> {
    let libraries = report.manifest.libraries.iter();
    libraries.map(|library| (library.id.to_string(), library.counts)).collect()
}

/// Without the bytes: first commits of two libraries may have one id, and name different libraries.
fn numbers(report: &Report) -> BTreeMap<String, [u64; 3]> {
    let counts = counts(report).into_iter();
    counts.map(|(library, counts)| (library, [counts.commits, counts.fs, counts.blocks])).collect()
}

#[test]
fn libraries_of_the_shared_folder_are_counted_as_those_with_folders_of_their_own() {
    let own = World::local().backup(&Source::example());
    let mut world = World::local();
    let source = shared();
    let report = world.backup(&source);
    assert!(report.is_proved(), "{:?}", report.warnings());
    assert_eq!(numbers(&report), numbers(&own));
    assert!(report.holds.objects() > 0);
    // What nobody changed is not counted again, and what is looked at anyway is.
    assert_eq!(counts(&world.backup(&source)), counts(&report));
    world.options.verify_source = "1/1".parse().ok();
    assert_eq!(counts(&world.backup(&source)), counts(&report));
    world.options.verify_source = None;
    world.options.full = true;
    assert_eq!(counts(&world.backup(&source)), counts(&report));
}

#[test]
fn what_is_new_is_added_to_what_was_counted() {
    let source = shared();
    let newest = head_of(&source, UNICODE);
    let whole = counts(&World::local().backup(&source));
    let mut older = newest;
    for _ in 0..4 {
        older = parent_of(&source, &older);
    }
    set_head(&source, UNICODE, &older);
    let world = World::local();
    let before = counts(&world.backup(&source));
    assert!(before[UNICODE].objects() < whole[UNICODE].objects());
    set_head(&source, UNICODE, &newest);
    assert_eq!(counts(&world.backup(&source)), whole);
    // A head that goes back takes nothing out of the repository.
    set_head(&source, UNICODE, &older);
    assert_eq!(counts(&world.backup(&source)), whole);
}

#[test]
fn counting_costs_as_much_as_changed_since_the_last_run() {
    let source = shared();
    let recording = Arc::new(RecordingBackend::new(MemoryBackend::default()));
    let mut world = World::on(recording.clone());
    let before = counts(&world.backup(&source));
    // Whoever reads what was counted before finds nothing in the source, and asks the repository for each object.
    let head = head_of(&source, DOCUMENTS);
    for folder in files_below(&source.path.join("seafile-data/fs")) {
        fs::remove_file(folder).unwrap();
    }
    let made = {
        let own = Object { store: Store::Library(DOCUMENTS.parse().unwrap()), ..head };
        // Made where a newer Seafile would make it, and moved.
        let in_own = source.path.join(own.path());
        fs::create_dir_all(in_own.parent().unwrap()).unwrap();
        fs::copy(path_of(&source, &head), &in_own).unwrap();
        let made = make_commit(&source, &own, &[&own], "one more");
        fs::remove_file(in_own).unwrap();
        let to = path_of(&source, &made);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(source.path.join(made.path()), to).unwrap();
        fs::remove_dir_all(source.path.join("seafile-data/storage")).unwrap();
        made
    };
    fs::create_dir_all(source.path.join("seafile-data/fs/00")).unwrap();
    fs::write(source.path.join("seafile-data/fs/00").join("0".repeat(38)), b"x").unwrap();
    set_head(&source, DOCUMENTS, &made);
    world.options.samples = 0;
    recording.take();
    let report = world.backup(&source);
    assert_eq!(reads_of_packs(&recording), 0);
    let mut expected = before;
    let documents = expected.get_mut(DOCUMENTS).unwrap();
    documents.commits += 1;
    documents.bytes += fs::metadata(path_of(&source, &made)).unwrap().len();
    assert_eq!(counts(&report), expected);
}

/// Seafile 2 has its configuration beside the data, and no other folders.
fn lay_out_as_version_2(source: &Source) {
    make_shared(source);
    let folder = source.path.join("seafile-data");
    assert!(!folder.join("storage").exists());
}

#[test]
fn a_whole_installation_is_backed_up_verified_and_restored() {
    let (source, user) = (Source::example(), User::new());
    lay_out_as_version_2(&source);
    let path = source.path.to_str().unwrap();
    let backup = user.backup(&source.path);
    let text = backup.succeeds();
    assert!(text.contains("proved    every pointer"), "{text}");
    assert!(!text.contains("holds     0 objects"), "{text}");
    let libraries = user.run(&["libraries", "latest", "--json"]).json();
    for library in libraries.as_array().unwrap() {
        let has_any = library["counts"]["commits"].as_u64().unwrap() > 0;
        assert!(has_any, "{library}");
    }
    user.run(&["verify", path]).succeeds();
    user.run(&["check", "--deep"]).succeeds();
    let target = user.path("restored");
    let text = target.to_str().unwrap();
    user.run(&["restore", "latest", "--target", text]).succeeds();
    user.run(&["verify", text]).succeeds();
    for kind in ["commits", "fs", "blocks"] {
        let inside = Path::new("seafile-data").join(kind);
        let objects = |folder: &Path| -> BTreeMap<_, _> {
            let folder = folder.join(&inside);
            let files = files_below(&folder).into_iter();
            files
                .map(|file| {
                    let name = file.strip_prefix(&folder).unwrap().to_owned();
                    (name, fs::read(file).unwrap())
                })
                .collect()
        };
        let (there, back) = (objects(&source.path), objects(&target));
        assert!(!back.is_empty());
        assert!(back.iter().all(|(name, bytes)| there[name] == *bytes));
    }
    // What was restored is an installation that can be backed up again.
    user.backup(&target).succeeds();
}
