//! A repository that is not what the catalog remembers: packs that vanished, a storage that was rolled
//! back to an old state of itself, a repository made anew at the same place; and runs that must not
//! take *stored* for *closed*. After each story the result is checked, restored, and verified.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crate::support::join;
use seawall::backup::Report;
use seawall::check::{self, CheckLevel};
use seawall::object::Object;
use seawall::repository::names;
use seawall::seafile::discover::{Environment, discover};
use seawall::time::Clock;
use seawall::verify;
use seawall_backends::{Backend, ErrorKind, Fault, FaultPlan, FaultyBackend, LocalBackend, Verb};

use super::prepared::{content, restored};
use crate::damage::{head, write_commit};
use crate::support::{DOCUMENTS, Source, World, files_below, run};

const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";

/// The newest snapshot is proved byte by byte, and what it restores to is whole, and what the source is.
fn sound(world: &World, source: &Source, report: &Report) {
    assert_eq!(report.marker.damage, 0);
    let options =
        check::Options { level: CheckLevel::Data, workers: 2, ..check::Options::default() };
    let checked = check::run(&world.repository, &options, &|_| {}).unwrap();
    let of_it = |problem: &&check::Problem| problem.snapshots.contains(&report.marker.snapshot);
    let problems: Vec<_> = checked.problems.iter().filter(of_it).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    let markers = world.repository.markers().unwrap();
    let latest = markers.latest().unwrap();
    assert_eq!(latest.id(), report.marker.snapshot);
    let target = world.path(&format!("target-{}", latest.id()));
    let restored = restored(world, latest, &target).unwrap();
    assert!(!restored.needs_reading(), "{:#?}", restored.lost);
    let spool = world.path(&format!("spool-{}", latest.id()));
    fs::create_dir(&spool).unwrap();
    let options = verify::Options { second_look: Duration::ZERO, ..verify::Options::default() };
    let installation = discover(&target, &Environment::default()).unwrap();
    let verified = verify::run(&installation, &spool, &options, &|_| {}).unwrap();
    assert!(verified.is_good(), "{:#?}", verified.damage);
    let (there, is) = (content(&target), content(&source.path));
    for (path, what) in there.iter().filter(|(path, _)| path.contains("/storage/")) {
        assert_eq!(is.get(path), Some(what), "{path}");
    }
}

fn blocks(source: &Source, library: &str) -> std::path::PathBuf {
    source.path.join("seafile-data/storage/blocks").join(library)
}

/// A new head with that tree.
fn commit(source: &Source, library: &str, digit: &str, root: &str) -> Object {
    let before = head(source, library);
    let commit = write_commit(source, &before, &digit.repeat(40), |json| {
        json["parent_id"] = before.id.to_string().into();
        json["root_id"] = root.into();
        json["ctime"] = (json["ctime"].as_i64().unwrap() + 60).into();
    });
    source
        .sql(&format!("UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{library}'", commit.id));
    commit
}

fn root(source: &Source, commit: &Object) -> String {
    let bytes = fs::read(source.path.join(commit.path())).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    json["root_id"].as_str().unwrap().to_owned()
}

/// All that a user had in a library is deleted, and the collector takes the blocks and leaves the
/// rest. Returns the tree that is not needed any more.
fn delete_and_collect(source: &Source, library: &str) -> String {
    let tree = root(source, &head(source, library));
    commit(source, library, "5", &"0".repeat(40));
    source.sql(&format!("INSERT OR REPLACE INTO RepoValidSince VALUES ('{library}', 9000000000)"));
    fs::rename(blocks(source, library), blocks(source, "aside")).unwrap();
    tree
}

/// The user has the same again: the same tree, and the blocks are back.
fn upload_again(source: &Source, library: &str, tree: &str) {
    fs::rename(blocks(source, "aside"), blocks(source, library)).unwrap();
    commit(source, library, "6", tree);
}

#[test]
fn a_run_that_died_between_trees_and_blocks() {
    // Finding 1, first story.
    let (source, mut world) = (Source::example(), World::local());
    let open = |world: &World| LocalBackend::open(world.repository_path()).unwrap();
    let fail = Fault::FailBefore(ErrorKind::Other);
    let plan = FaultPlan::new().always(Verb::Put, names::BLOCKS, fail);
    let faulty = FaultyBackend::new(open(&world), plan);
    world.through(Arc::new(faulty));
    assert!(world.try_backup(&source).is_err());
    let backend = Arc::new(open(&world));
    world.through(backend);
    let report = world.backup(&source);
    sound(&world, &source, &report);
    let report = world.backup(&source);
    assert_eq!(report.totals.objects, 0);
    sound(&world, &source, &report);
}

#[test]
fn old_history_without_its_blocks_and_then_the_same_file_again() {
    // Finding 1, second story: folder and file are stored, what they point to is not.
    let (source, world) = (Source::example(), World::local());
    let tree = delete_and_collect(&source, PHOTOS);
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0, "collected history is no damage");
    let library = report.manifest.library(PHOTOS.parse().unwrap()).unwrap();
    assert!(library.history_incomplete > 0);
    let before = library.counts;
    upload_again(&source, PHOTOS, &tree);
    let report = world.backup(&source);
    let after = report.manifest.library(PHOTOS.parse().unwrap()).unwrap();
    assert_eq!(after.counts.fs, before.fs, "the tree was stored before");
    assert!(after.counts.blocks > before.blocks);
    sound(&world, &source, &report);
}

#[test]
fn a_vanished_pack_and_libraries_that_did_not_change() {
    // Finding 2: once with nothing changed, once with a change above the hole.
    for change in [false, true] {
        for folder in [names::BLOCKS, names::TREES] {
            let (source, mut world) = (Source::example(), World::local());
            world.backup(&source);
            for pack in files_below(&world.repository_path().join(folder)) {
                fs::remove_file(pack).unwrap();
            }
            if change {
                let tree = root(&source, &head(&source, DOCUMENTS));
                commit(&source, DOCUMENTS, "7", &tree);
            }
            world.options.list = true;
            let report = world.backup(&source);
            assert!(report.needs_reading(), "packs do not vanish every day");
            sound(&world, &source, &report);
            let report = world.backup(&source);
            assert!(report.alarms.is_empty() && report.totals.objects == 0);
            sound(&world, &source, &report);
        }
    }
}

#[test]
fn a_folder_that_comes_back_after_its_blocks_were_pruned() {
    // F1, second story: the folder's pack was kept, the blocks' was deleted as garbage.
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let tree = delete_and_collect(&source, PHOTOS);
    for pack in files_below(&world.repository_path().join(names::BLOCKS)) {
        fs::remove_file(pack).unwrap();
    }
    world.options.list = true;
    let report = world.backup(&source);
    assert!(report.needs_reading());
    assert_eq!(report.marker.damage, 0);
    world.options.list = false;
    upload_again(&source, PHOTOS, &tree);
    let report = world.backup(&source);
    assert!(report.alarms.is_empty(), "{:?}", report.alarms);
    sound(&world, &source, &report);
}

/// A host whose clock stands still: names depend on what was, and on nothing else.
fn still() -> (Source, World) {
    let (source, mut world) = (Source::example(), World::local());
    let now = std::time::SystemTime::now();
    world.clock = Clock::new(move || now);
    (source, world)
}

#[test]
fn a_storage_that_was_rolled_back() {
    // F2: packs, markers, everything of later runs is gone, and the catalog is ahead.
    for runs_kept in [1, 0] {
        let (source, mut world) = still();
        let place = world.repository_path();
        let kept = world.path("kept");
        let copy = |from: &std::path::Path, to: &std::path::Path| {
            run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
        };
        let tree = root(&source, &head(&source, DOCUMENTS));
        if runs_kept == 0 {
            copy(&place, &kept);
        }
        let first = world.backup(&source);
        if runs_kept == 1 {
            copy(&place, &kept);
        }
        let mut names = BTreeSet::from([first.marker.snapshot]);
        for digit in ["7", "8"] {
            commit(&source, DOCUMENTS, digit, &tree);
            fs::write(source.path.join("conf/changed"), digit).unwrap();
            names.insert(world.backup(&source).marker.snapshot);
        }
        fs::remove_dir_all(&place).unwrap();
        copy(&kept, &place);
        world.through(Arc::new(LocalBackend::open(&place).unwrap()));
        let report = world.backup(&source);
        let gone = report.alarms.iter().any(|alarm| alarm.contains("is gone"));
        assert!(gone && report.needs_reading(), "{:?}", report.alarms);
        assert_eq!(report.marker.sequence, runs_kept + 1, "what is there counts");
        let previous = report.marker.previous.map(|(snapshot, _)| snapshot);
        let base = (runs_kept == 1).then_some(first.marker.snapshot);
        assert_eq!(previous, base);
        assert!(report.visited > 300, "nothing counts as closed");
        assert!(
            names.iter().all(|name| *name < report.marker.snapshot),
            "no name is used twice, also of a snapshot that is gone: a copy of it may be elsewhere"
        );
        sound(&world, &source, &report);
        let report = world.backup(&source);
        assert!(report.alarms.is_empty() && report.totals.objects == 0);
        sound(&world, &source, &report);
    }
}

#[test]
fn an_alarm_outlives_the_run_that_died_with_it() {
    // The run that notices a loss draws its conclusions, and dies before it can report.
    for prefix in [names::BLOCKS, names::MARKERS] {
        let (source, mut world) = (Source::example(), World::local());
        world.backup(&source);
        source.sql("UPDATE RepoOwner SET owner_id = 'bob@example.com'");
        world.backup(&source);
        let lost = files_below(&world.repository_path().join(prefix)).pop();
        let lost = lost.unwrap();
        fs::remove_file(&lost).unwrap();
        let name = lost.file_name().unwrap().to_str().unwrap();
        world.options.list = true;
        let open = |world: &World| LocalBackend::open(world.repository_path()).unwrap();
        let full = Fault::FailBefore(ErrorKind::NoSpace);
        for _ in 0..2 {
            let plan = FaultPlan::new().always(Verb::Put, names::MANIFESTS, full);
            let faulty = FaultyBackend::new(open(&world), plan);
            world.through(Arc::new(faulty));
            assert!(world.try_backup(&source).is_err());
        }
        let backend = Arc::new(open(&world));
        world.through(backend);
        let report = world.backup(&source);
        let told = report.alarms.iter().filter(|alarm| alarm.contains(name));
        assert_eq!(told.count(), 1, "{prefix}: {:?}", report.alarms);
        sound(&world, &source, &report);
        assert_eq!(world.backup(&source).alarms, Vec::<String>::new());
    }
}

#[test]
fn a_repository_made_anew_at_the_same_place() {
    // F2: the catalog of the old one is not asked.
    let (source, mut world) = (Source::example(), World::local());
    let old = world.backup(&source);
    let before = world.repository.id().clone();
    let old_catalog = world.repository.state().catalog_path();
    fs::remove_dir_all(world.repository_path()).unwrap();
    let backend: Arc<dyn Backend> =
        Arc::new(LocalBackend::create(world.repository_path()).unwrap());
    join(&world.state, Arc::clone(&backend)).unwrap();
    world.through(backend);
    assert_ne!(*world.repository.id(), before);
    // The old catalog lies where the new one belongs, as after a careless copy.
    let catalog = world.repository.state().catalog_path();
    assert!(!catalog.exists());
    fs::copy(&old_catalog, &catalog).unwrap();
    for sequence in [1, 2] {
        let report = world.backup(&source);
        assert_eq!(report.marker.sequence, sequence);
        if sequence == 1 {
            assert!(report.visited > 300, "nothing is believed");
            assert_eq!(report.totals.objects, old.totals.objects);
        }
        sound(&world, &source, &report);
    }
}
