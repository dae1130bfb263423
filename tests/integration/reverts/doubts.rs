//! Where a lost head or a lost row hides what belongs to a library, its commits come back, and none that is newer.

use std::fs;
use std::path::PathBuf;

use seawall::restore::Options;

use super::{before, restored, set_aside, standby, unreachable_commits};
use crate::damage::UNICODE;
use crate::damage::{head, object_path, write_commit};
use crate::support::{DOCUMENTS, Source, World};

/// The time of a commit.
fn time(source: &Source, object: &seawall::object::Object) -> i64 {
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(object_path(source, object)).unwrap()).unwrap();
    json["ctime"].as_i64().unwrap()
}

#[test]
fn a_library_without_a_branch_row_brings_all_its_commits() {
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, UNICODE);
    source.sql(&format!("DELETE FROM Branch WHERE repo_id = '{UNICODE}'"));
    world.backup(&source);
    let target = world.path("target");
    let report = restored(&world, &Options::new(target.clone()));
    assert!(target.join(newest.path()).exists());
    assert!(target.join(before(&source, &newest).path()).exists());
    assert!(report.set_aside.is_empty(), "{:?}", report.set_aside);
    assert_eq!(report.unproved.len(), 1, "{:?}", report.unproved);
    // The standby knows them too, the second time.
    let folder = world.path("standby");
    standby(&world, 0, &folder, false).unwrap();
    let again = standby(&world, 0, &folder, false).unwrap();
    assert!(again.set_aside.is_empty() && folder.join(newest.path()).exists());
}

#[test]
fn a_library_without_any_row_brings_all_its_commits() {
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, UNICODE);
    source.sql(&format!(
        "DELETE FROM Branch WHERE repo_id = '{UNICODE}'; DELETE FROM Repo WHERE repo_id = '{UNICODE}'"
    ));
    world.backup(&source);
    let target = world.path("target");
    let report = restored(&world, &Options::new(target.clone()));
    assert!(target.join(newest.path()).exists());
    assert!(target.join(before(&source, &newest).path()).exists());
    assert!(report.set_aside.is_empty(), "{:?}", report.set_aside);
}

/// The head is lost in the repository; its packs hold an older history, a newer commit that a roll-back left, and one that
/// was made upon it.
#[test]
fn of_a_lost_head_the_history_comes_back_and_what_is_newer_does_not() {
    let (source, mut world) = (Source::example(), World::local());
    let head_now = head(&source, UNICODE);
    let newer = write_commit(&source, &head_now, &"9".repeat(40), |json| {
        json["parent_id"] = head_now.id.to_string().into();
        json["ctime"] = (json["ctime"].as_i64().unwrap() + 100).into();
    });
    world.options.everything = true;
    world.backup(&source);
    // The head as the newest commit of its library in a pack of its own.
    let top = write_commit(&source, &head_now, &"a".repeat(40), |json| {
        json["parent_id"] = head_now.id.to_string().into();
        json["ctime"] = (json["ctime"].as_i64().unwrap() + 1).into();
    });
    source.sql(&format!("UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{UNICODE}'", top.id));
    let before_run = world.keys();
    world.backup(&source);
    let is_pack = |key: &&String| key.starts_with("data/trees/") && !before_run.contains(key);
    let keys = world.keys();
    let packs: Vec<&String> = keys.iter().filter(is_pack).collect();
    assert_eq!(packs.len(), 1, "{packs:?}");
    fs::remove_file(world.repository_path().join(packs[0])).unwrap();
    let target = world.path("target");
    let options = Options::new(target.clone());
    let latest = crate::restore::latest(&world);
    let report = seawall::restore::run(&world.repository, &latest, &options, &|_| {}).unwrap();
    assert!(!report.lost.is_empty());
    assert!(!target.join(top.path()).exists());
    assert!(target.join(head_now.path()).exists(), "its parent");
    assert!(target.join(before(&source, &head_now).path()).exists(), "history");
    assert!(!target.join(newer.path()).exists(), "newer than the head");
    assert_eq!(set_aside(&target), [newer].into());
    assert_eq!(report.unproved.len(), 1);
    assert!(time(&source, &newer) > time(&source, &top));
}

#[test]
fn a_gap_in_history_hides_neither_what_is_behind_nor_what_is_newer() {
    let (source, mut world) = (Source::example(), World::local());
    world.options.everything = true;
    let top = head(&source, DOCUMENTS);
    let gap = before(&source, &top);
    let behind = before(&source, &gap);
    // Made upon the head, by a clock that is behind.
    let newer = write_commit(&source, &top, &"9".repeat(40), |json| {
        json["parent_id"] = top.id.to_string().into();
        json["ctime"] = 1.into();
    });
    fs::remove_file(object_path(&source, &gap)).unwrap();
    world.backup(&source);
    let target = world.path("target");
    restored(&world, &Options::new(target.clone()));
    assert!(target.join(top.path()).exists() && target.join(behind.path()).exists());
    assert_eq!(set_aside(&target), [newer].into());
    let kept = unreachable_commits(&target);
    assert!(kept.iter().all(|path| *path != target.join(newer.path())));
    assert_ne!(kept, [] as [PathBuf; 0], "what is behind the gap");
}
