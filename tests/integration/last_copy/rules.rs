//! By which rules a library is judged, and by which name its objects go.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use seawall::object::{Kind, LibraryId, Object, Store};
use seawall_backends::MemoryBackend;

use super::*;
use crate::damage::{head, object_path, parent, root};
use crate::support::{Told, files_below};

#[test]
fn the_highest_valid_since_ever_counts_also_where_a_library_was_listed_twice() {
    let (source, world) = (Source::example(), World::local());
    let since = |report: &Report| library(report, UNICODE).valid_since;
    let set = |time: i64| {
        source.sql(&format!(
            "DELETE FROM RepoValidSince WHERE repo_id = '{UNICODE}'; INSERT INTO RepoValidSince VALUES ('{UNICODE}', {time})"
        ));
    };
    let branch = source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{UNICODE}'"));
    source.sql(&format!("DELETE FROM Branch WHERE repo_id = '{UNICODE}'"));
    set(500);
    world.backup(&source);
    // Both lists of the manifest have it now: with the row of this night, and of the night before.
    set(900);
    world.backup(&source);
    set(100);
    assert_eq!(since(&world.backup(&source)), Some(900));
    source.sql(&format!("INSERT INTO Branch VALUES ('master', '{UNICODE}', '{branch}')"));
    set(100);
    assert_eq!(since(&world.backup(&source)), Some(900));
}

/// A library that has no row at all on some night is remembered by its store.
#[test]
fn the_highest_valid_since_ever_counts_also_where_the_row_was_gone() {
    let (source, world) = (Source::example(), World::local());
    let branch = source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{UNICODE}'"));
    source.sql(&format!("INSERT INTO RepoValidSince VALUES ('{UNICODE}', 900)"));
    world.backup(&source);
    source.sql(&format!(
        "DELETE FROM Branch WHERE repo_id = '{UNICODE}'; DELETE FROM Repo WHERE repo_id = '{UNICODE}';
         DELETE FROM RepoValidSince"
    ));
    for _ in 0..2 {
        let report = world.backup(&source);
        assert!(report.manifest.library(UNICODE.parse().unwrap()).is_none());
    }
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{UNICODE}'); INSERT INTO Branch VALUES ('master', '{UNICODE}', '{branch}');
         INSERT INTO RepoValidSince VALUES ('{UNICODE}', 100)"
    ));
    let report = world.backup(&source);
    assert_eq!(library(&report, UNICODE).valid_since, Some(900));
}

#[test]
fn a_library_that_leaves_the_trash_between_two_attempts_is_judged_as_a_live_one() {
    let source = Source::example();
    let trashed = source.query("SELECT head_id FROM RepoTrash");
    let store = Store::Library(TRASH.parse().unwrap());
    let in_trash = Object::new(store, Kind::Commit, trashed.parse().unwrap());
    // Its history is required as soon as it is back.
    let gone = parent(&source, &parent(&source, &in_trash));
    removed(&object_path(&source, &gone));
    // Another library races, so that there is a second attempt.
    let raced = head(&source, PHOTOS);
    let (path, new) = (object_path(&source, &raced), parent(&source, &raced).id);
    let data = source.path.clone();
    let inner = MemoryBackend::default();
    let mut world = World::on(Arc::new(inner.clone()));
    let done = AtomicBool::new(false);
    let trigger = Told::new(inner, move |key| {
        let is_dump = key.as_str().starts_with("databases/") && key.as_str().contains("/seafile.");
        if is_dump && !done.swap(true, Ordering::Relaxed) {
            fs::remove_file(&path).unwrap();
            let database =
                rusqlite::Connection::open(data.join("seafile-data/seafile.db")).unwrap();
            database
                .execute_batch(&format!(
                    "UPDATE Branch SET commit_id = '{new}' WHERE repo_id = '{PHOTOS}';
                     DELETE FROM RepoTrash; INSERT INTO Repo VALUES ('{TRASH}');
                     INSERT INTO Branch VALUES ('master', '{TRASH}', '{trashed}');"
                ))
                .unwrap();
        }
    });
    world.through(Arc::new(trigger));
    let report = world.backup(&source);
    assert_eq!(report.races, 1);
    assert!(damaged(&report.manifest.damage).contains(&gone), "{:?}", report.manifest.damage);
}

/// All libraries of Seafile 1 and 2 have one store.
#[test]
fn a_missing_object_of_the_shared_store_is_one_object() {
    let (source, world) = (Source::example(), World::local());
    let data = source.path.join("seafile-data");
    let copy = "aaaaaaaa-17a4-4b5c-839d-8a9946370e27";
    source.sql(&format!(
        "DELETE FROM Repo; DELETE FROM VirtualRepo; DELETE FROM RepoTrash; INSERT INTO Repo VALUES ('{PHOTOS}'), ('{copy}');
         INSERT INTO Branch SELECT 'master', '{copy}', commit_id FROM Branch WHERE repo_id = '{PHOTOS}'"
    ));
    for kind in ["commits", "fs", "blocks"] {
        for file in files_below(&data.join("storage").join(kind).join(PHOTOS)) {
            let folder = data.join(kind).join(file.parent().unwrap().file_name().unwrap());
            fs::create_dir_all(&folder).unwrap();
            fs::rename(&file, folder.join(file.file_name().unwrap())).unwrap();
        }
    }
    fs::remove_dir_all(data.join("storage")).unwrap();
    let shared = |object: Object| Object { store: Store::Shared, ..object };
    let (_, blocks) = {
        let whole = Source::example();
        three_blocks(&whole)
    };
    let whole = Source::example();
    let older = parent(&whole, &parent(&whole, &head(&whole, PHOTOS)));
    for lost in [blocks[1], older, root(&whole, &head(&whole, PHOTOS))].map(shared) {
        let path = object_path(&source, &lost);
        let good = fs::read(&path).unwrap();
        let world = World::local();
        removed(&path);
        let report = world.backup(&source);
        assert_eq!(damaged(&report.manifest.damage), [lost].into());
        assert_eq!(report.marker.damage, 1);
        let of_both = report.manifest.damage.iter();
        let of_both: HashSet<LibraryId> = of_both.map(|damage| damage.library).collect();
        assert!(!of_both.is_empty());
        assert_eq!(world.backup(&source).new_damage, 0);
        // The repository's own walk names it as the manifest does.
        assert_deep_check(&world);
        fs::write(&path, good).unwrap();
    }
    assert_eq!(world.backup(&source).marker.damage, 0);
}
