//! `backup --full`: what packs hold that are mostly of no use is stored anew, and nothing is lost by it.

mod links;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use seawall::backup::Report;
use seawall::check::{self, CheckLevel};
use seawall::object::Object;
use seawall::repository::Snapshot;
use seawall::seafile::discover::{Environment, discover};
use seawall::{restore, verify};
use tempfile::TempDir;

use crate::audit::lost;
use crate::backup::stored_objects;
use crate::damage::{head, object_path, parent};
use crate::support::{DOCUMENTS, Source, World, files_below, run};
use crate::synthetic::generator::{self, Size};

const KINDS: [&str; 3] = ["commits", "fs", "blocks"];

/// Adds a library of so many files; its id.
pub fn add_library(source: &Source, files: usize, mean_len: usize, seed: u64) -> String {
    let known = synthetic(source);
    let size = Size { libraries: 1, files, folder: 10, mean_len, blocks: 0, commits: 0 };
    generator::grow(&source.path, size, seed);
    let mut new = synthetic(source).into_iter();
    new.find(|id| !known.contains(id)).unwrap()
}

fn synthetic(source: &Source) -> Vec<String> {
    let names = source.query(
        "SELECT coalesce(group_concat(repo_id), '') FROM RepoInfo WHERE name LIKE 'Synthetic %'",
    );
    let ids = names.split(',').filter(|id| !id.is_empty());
    ids.map(ToOwned::to_owned).collect()
}

/// A repository whose packs do not depend on which thread was faster.
fn world() -> World {
    let mut world = World::local();
    world.options.workers = 1;
    world
}

/// Deletes a library for good: rows and folders.
pub fn delete_library(source: &Source, library: &str) {
    for table in ["Repo", "Branch", "RepoHead", "RepoOwner", "RepoInfo"] {
        source.sql(&format!("DELETE FROM {table} WHERE repo_id = '{library}'"));
    }
    for kind in KINDS {
        let folder = source.path.join("seafile-data/storage").join(kind);
        fs::remove_dir_all(folder.join(library)).unwrap();
    }
}

/// The same library once more, under another id.
pub fn copy_library(source: &Source, library: &str, begin: &str) -> String {
    let copy = format!("{begin}{}", &library[4..]);
    assert_ne!(library, copy);
    for kind in KINDS {
        let folder = source.path.join("seafile-data/storage").join(kind);
        let (from, to) = (folder.join(library), folder.join(&copy));
        run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    }
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{copy}');
         INSERT INTO Branch SELECT name, '{copy}', commit_id FROM Branch WHERE repo_id = '{library}'"
    ));
    copy
}

/// The installation as it is now: its folder is `haiwen` below this one.
fn as_now(source: &Source) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let (from, to) = (source.path.to_str(), copy.path().to_str());
    run("cp", &["-a", from.unwrap(), to.unwrap()]);
    copy
}

/// A full run, and what it has to leave behind: all that a first backup would hold, in a repository in which everything
/// is good and from which nothing has to be stored again by one who only knows its lists.
fn full(world: &mut World, source: &Source) -> Report {
    world.options.full = true;
    let report = world.backup(source);
    world.options.full = false;
    assert_eq!(report.marker.damage, 0);
    assert_good(world);
    let fresh = World::local();
    let first = fresh.backup(source);
    let wanted = stored_objects(&fresh.repository, &first.marker);
    let held = stored_objects(&world.repository, &report.marker);
    for (object, bytes) in &wanted {
        assert_eq!(held.get(object), Some(bytes), "{object}");
    }
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    // A share of the audit is due in each run.
    world.options.verify_source = None;
    let next = world.backup(source);
    assert_eq!((next.totals.objects, next.marker.damage), (0, 0));
    assert!(next.alarms.is_empty(), "{:?}", next.alarms);
    assert_eq!(next.marker.lists, report.marker.lists);
    assert_eq!(next.manifest.libraries.len(), report.manifest.libraries.len());
    for (a, b) in next.manifest.libraries.iter().zip(&report.manifest.libraries) {
        assert_eq!((a.counts, a.closed), (b.counts, b.closed), "{}", a.id);
    }
    assert_eq!(world.backup(source).visited, 0);
    report
}

fn assert_good(world: &World) {
    let options = check::Options { level: CheckLevel::Deep, ..check::Options::default() };
    let report = check::run(&world.repository, &options, &|_| {}).unwrap();
    assert!(report.is_good(), "{:?}", report.problems);
}

/// Restores the snapshot of a report: it is whole, and its objects are those of the source as it was then.
fn assert_restores(world: &World, report: &Report, source: &Path) {
    let markers = world.repository.markers().unwrap();
    let of_report = |snapshot: &&Snapshot| snapshot.id() == report.marker.snapshot;
    let snapshot = markers.snapshots.iter().find(of_report).unwrap();
    let target = world.path(&format!("restored-{}", snapshot.id()));
    let options = restore::Options::new(target.clone());
    let restored = restore::run(&world.repository, snapshot, &options, &|_| {}).unwrap();
    assert!(restored.lost.is_empty());
    for path in files_below(&target.join("seafile-data/storage")) {
        let inside = path.strip_prefix(&target).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(source.join(inside)).unwrap());
    }
    let spool = tempfile::tempdir().unwrap();
    let options = verify::Options { second_look: Duration::ZERO, ..verify::Options::default() };
    let installation = discover(&target, &Environment::default()).unwrap();
    let seen = verify::run(&installation, spool.path(), &options, &|_| {}).unwrap();
    assert!(seen.is_good(), "{seen:?}");
}

fn held(world: &World, report: &Report) -> BTreeSet<Object> {
    stored_objects(&world.repository, &report.marker).into_keys().collect()
}

fn retired(report: &Report) -> u64 {
    report.compacted.unwrap().packs
}

#[test]
fn a_deleted_library_leaves_and_older_snapshots_still_hold_it() {
    let (source, mut world) = (Source::example(), world());
    add_library(&source, 5, 8000, 1);
    let large = add_library(&source, 2500, 1500, 3);
    let before = world.backup(&source);
    let then = as_now(&source);
    // Nothing to do yet.
    let nothing = full(&mut world, &source);
    assert_eq!(retired(&nothing), 0);
    assert_eq!(nothing.totals.objects, 0);
    assert_eq!(nothing.audited, nothing.manifest.libraries.len());
    delete_library(&source, &large);
    let kept = world.backup(&source);
    assert_eq!(kept.marker.bytes, before.marker.bytes);
    let after = full(&mut world, &source);
    assert!(retired(&after) > 0);
    assert!(after.marker.bytes * 2 < before.marker.bytes, "{:?}", after.marker);
    let store = large.parse().unwrap();
    assert!(held(&world, &before).iter().any(|object| object.store == store));
    assert!(held(&world, &after).iter().all(|object| object.store != store));
    assert_restores(&world, &before, &then.path().join("haiwen"));
    assert_restores(&world, &after, &source.path);
    // And nothing is left to do.
    assert_eq!(retired(&full(&mut world, &source)), 0);
}

#[test]
fn many_tiny_packs_become_one() {
    let (source, mut world) = (Source::example(), World::local());
    add_library(&source, 20, 8000, 1);
    let mut middle = None;
    // Each run stores a pack of blocks and one of trees.
    for number in 0..55 {
        generator::change(&source.path, 10, 2000, 2 * number + 3);
        let report = world.backup(&source);
        if number == 30 {
            middle = Some((report, as_now(&source)));
        }
    }
    let before = world.backup(&source);
    assert!(before.marker.packs > 100, "{:?}", before.marker);
    let after = full(&mut world, &source);
    assert!(after.marker.packs < 8, "{:?}", after.marker);
    assert!(after.marker.bytes < before.marker.bytes);
    assert_restores(&world, &after, &source.path);
    let (middle, then) = middle.unwrap();
    assert_restores(&world, &middle, &then.path().join("haiwen"));
}

#[test]
fn what_only_the_repository_has_stays_where_it_is() {
    let (source, mut world) = (Source::example(), world());
    let large = add_library(&source, 2500, 1500, 3);
    world.backup(&source);
    let block = source.objects("blocks", DOCUMENTS).remove(0);
    let inside = block.strip_prefix(&source.path).unwrap();
    let object = Object::from_path(inside.to_str().unwrap()).unwrap();
    let bytes = fs::read(&block).unwrap();
    fs::remove_file(&block).unwrap();
    delete_library(&source, &large);
    world.options.full = true;
    let report = world.backup(&source);
    assert_eq!(lost(&report), (vec![object], 1));
    // The trees have moved, the blocks beside it have not.
    assert_eq!(retired(&report), 1);
    assert!(held(&world, &report).contains(&object));
    assert_good(&world);
    // One that is altered, which only a compaction's reading sees.
    let mut altered = bytes.clone();
    altered[0] ^= 1;
    fs::write(&block, &altered).unwrap();
    let again = world.backup(&source);
    assert!(held(&world, &again).contains(&object));
    assert_eq!(lost(&again), (vec![object], 0));
    // Mended: nothing keeps the old pack.
    fs::write(&block, &bytes).unwrap();
    let mended = full(&mut world, &source);
    assert_eq!((retired(&mended), mended.manifest.source_damage.len()), (1, 0));
    assert!(held(&world, &mended).contains(&object));
}

#[test]
fn what_a_compaction_finds_altered_is_told_and_stays() {
    let (source, mut world) = (Source::example(), world());
    let large = add_library(&source, 2500, 1500, 3);
    world.backup(&source);
    let block = source.objects("blocks", DOCUMENTS).remove(0);
    let mut bytes = fs::read(&block).unwrap();
    bytes[0] ^= 1;
    fs::write(&block, &bytes).unwrap();
    delete_library(&source, &large);
    world.options.full = true;
    let report = world.backup(&source);
    assert_eq!(report.manifest.source_damage[0].reason, "wrong-id");
    let object = report.manifest.source_damage[0].object();
    // The trees have moved.
    assert_eq!((lost(&report), retired(&report)), ((vec![object], 1), 1));
    let held = stored_objects(&world.repository, &report.marker);
    bytes[0] ^= 1;
    assert_eq!(held.get(&object), Some(&bytes));
    assert_good(&world);
    // Still told by the next run, which believes nothing of it.
    world.options.full = false;
    assert_eq!(lost(&world.backup(&source)), (vec![object], 0));
}

/// Below a folder that nobody has nothing can be told from garbage.
#[test]
fn where_something_is_lost_for_good_nothing_is_given_up() {
    let (source, mut world) = (Source::example(), World::local());
    let library = add_library(&source, 200, 8000, 1);
    let large = add_library(&source, 2500, 1500, 3);
    world.backup(&source);
    // Its pack is lost as well, so that nobody has any of its trees.
    for kind in ["fs", "commits"] {
        let folder = source.path.join("seafile-data/storage").join(kind);
        fs::remove_dir_all(folder.join(&library)).unwrap();
    }
    for key in world.keys().iter().filter(|key| key.starts_with("data/trees/")) {
        fs::remove_file(world.repository_path().join(key)).unwrap();
    }
    delete_library(&source, &large);
    world.options.full = true;
    let report = world.backup(&source);
    assert!(report.marker.damage > 0);
    let blocks = |report: &Report| {
        let held = held(&world, report).into_iter();
        held.filter(|object| object.store == library.parse().unwrap()).count()
    };
    assert_eq!(blocks(&report), 200);
}

/// A row that was lost may come back; what only the repository has of its store is kept for that.
#[test]
fn what_is_left_of_a_store_without_a_row_keeps_all_of_it() {
    let (source, mut world) = (Source::example(), world());
    let library = add_library(&source, 100, 1500, 1);
    let large = add_library(&source, 2500, 1500, 3);
    let before = world.backup(&source);
    for table in ["Repo", "Branch", "RepoHead", "RepoOwner", "RepoInfo"] {
        source.sql(&format!("DELETE FROM {table} WHERE repo_id = '{library}'"));
    }
    fs::remove_file(&source.objects("blocks", &library)[0]).unwrap();
    delete_library(&source, &large);
    world.options.full = true;
    let after = world.backup(&source);
    let store = library.parse().unwrap();
    let of_store = |report: &Report| {
        let held = held(&world, report).into_iter();
        held.filter(|object| object.store == store).count()
    };
    assert_eq!(of_store(&after), of_store(&before));
}

/// The walk does not go below a commit of history that is stored and not on disk: so nothing below it is closed.
#[test]
fn history_that_was_not_followed_is_walked_when_the_library_is_back_from_the_trash() {
    let (source, mut world) = (Source::example(), world());
    let library = add_library(&source, 20, 1500, 1);
    generator::change(&source.path, 2, 1500, 5);
    // Of blocks little is left, of trees most.
    let large = add_library(&source, 60, 80_000, 3);
    world.backup(&source);
    let path = object_path(&source, &parent(&source, &head(&source, &library)));
    let commit = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    source.sql(&format!(
        "INSERT INTO RepoTrash SELECT '{library}', 'x', commit_id, 'a', 0, -1, 1 FROM Branch WHERE repo_id = '{library}';
         DELETE FROM Repo WHERE repo_id = '{library}'"
    ));
    delete_library(&source, &large);
    world.options.full = true;
    let report = world.backup(&source);
    assert_eq!(retired(&report), 1, "{:?}", report.compacted);
    world.options.full = false;
    fs::write(&path, &commit).unwrap();
    source.sql(&format!(
        "DELETE FROM RepoTrash WHERE repo_id = '{library}'; INSERT INTO Repo VALUES ('{library}')"
    ));
    let report = world.backup(&source);
    let fresh = World::local();
    let wanted = self::held(&fresh, &fresh.backup(&source));
    let held = held(&world, &report);
    let lacking: Vec<_> = wanted.difference(&held).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
    assert_good(&world);
}

#[test]
fn a_full_run_looks_at_all_libraries_also_if_a_share_was_asked_for() {
    let (source, mut world) = (Source::example(), world());
    let large = add_library(&source, 2500, 1500, 3);
    world.backup(&source);
    delete_library(&source, &large);
    world.options.verify_source = "1/30".parse().ok();
    let after = full(&mut world, &source);
    assert_eq!(retired(&after), 2);
}

/// Pro with `skip_block_hash`: nothing proves that the source still has what was stored, so it stays where it is.
#[test]
fn a_block_that_proves_nothing_is_not_replaced_by_what_the_source_has_now() {
    let (source, mut world) = (Source::example(), world());
    let large = add_library(&source, 2500, 1500, 3);
    let as_pro = |world: &World, source: &Source| {
        let mut installation = source.installation();
        (installation.pro, installation.skip_block_hash) = (true, true);
        world.backup_of(&installation).unwrap()
    };
    as_pro(&world, &source);
    let block = source.objects("blocks", DOCUMENTS).remove(0);
    let object = Object::from_path(block.strip_prefix(&source.path).unwrap().to_str().unwrap());
    let good = fs::read(&block).unwrap();
    fs::write(&block, vec![7; good.len()]).unwrap();
    delete_library(&source, &large);
    world.options.full = true;
    let report = as_pro(&world, &source);
    // The trees' pack.
    assert_eq!(retired(&report), 1);
    let held = stored_objects(&world.repository, &report.marker);
    assert_eq!(held.get(&object.unwrap()), Some(&good));
    // What nobody needs goes all the same.
    let (source, mut world) = (Source::example(), self::world());
    as_pro(&world, &source);
    let large = add_library(&source, 500, 1500, 3);
    as_pro(&world, &source);
    delete_library(&source, &large);
    world.options.full = true;
    assert_eq!(retired(&as_pro(&world, &source)), 2);
}
