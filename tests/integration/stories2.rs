//! Failure stories at the seams between adoption, healing and alarms. Each test was seen red once.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use seawall::backup::Report;
use seawall::check::{self, CheckLevel};
use seawall::repository::runs;
use seawall_backends::{
    Backend as _, ErrorKind, Fault, FaultPlan, FaultyBackend, Key, LocalBackend, Verb,
};

use crate::support::{Source, Told, World, files_below, run};

const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";
const COPY: &str = "00000000-0000-4000-8000-00000000000a";

/// A library more, with the same content: what the next run packs are links.
fn copy_library(source: &Source) {
    for kind in ["commits", "fs", "blocks"] {
        let storage = source.path.join("seafile-data/storage").join(kind);
        let (from, to) = (storage.join(PHOTOS), storage.join(COPY));
        run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    }
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{COPY}');
         INSERT INTO Branch SELECT 'master', '{COPY}', commit_id FROM Branch WHERE repo_id = '{PHOTOS}'"
    ));
}

/// Two snapshots, of which the second has a list of its own.
fn two_lists() -> (Source, World, [Report; 2]) {
    let (source, world) = (Source::example(), World::local());
    let first = world.backup(&source);
    copy_library(&source);
    let second = world.backup(&source);
    assert_eq!(second.marker.lists.len(), 2);
    (source, world, [first, second])
}

fn at(world: &World, key: &Key) -> PathBuf {
    world.repository_path().join(key.as_str())
}

fn through(world: &mut World, plan: FaultPlan) {
    let local = LocalBackend::open(world.repository_path()).unwrap();
    world.through(Arc::new(FaultyBackend::new(local, plan)));
}

fn deep(world: &World, snapshot: &str) -> check::Report {
    let options = check::Options {
        level: CheckLevel::Deep,
        snapshot: Some(snapshot.into()),
        ..check::Options::default()
    };
    check::run(&world.repository, &options, &|_| {}).unwrap()
}

fn assert_newest_is_whole(world: &World) {
    let report = deep(world, "latest");
    assert!(report.is_good(), "{:#?}", report.problems);
}

#[test]
fn an_adoption_that_died_and_a_base_that_went_leave_nothing_behind() {
    let (source, mut world, [_, second]) = two_lists();
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    let plan = FaultPlan::new().always(
        Verb::Get,
        second.marker.lists[1].key.as_str(),
        Fault::FailBefore(ErrorKind::Transient),
    );
    through(&mut world, plan);
    assert!(world.try_backup(&source).is_err());
    for marker in files_below(&world.repository_path().join("markers")) {
        fs::remove_file(marker).unwrap();
    }
    through(&mut world, FaultPlan::new());
    world.backup(&source);
    assert_newest_is_whole(&world);
}

#[test]
fn links_into_a_list_that_is_lost_are_not_adopted() {
    let (source, world, [first, _]) = two_lists();
    fs::remove_file(at(&world, &first.marker.lists[0].key)).unwrap();
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    assert!(world.backup(&source).needs_reading());
    assert_newest_is_whole(&world);
    let next = world.backup(&source);
    assert!(!next.needs_reading(), "{:?}", next.alarms);
    assert_eq!(next.totals.packs, 0);
}

#[test]
fn a_list_that_was_lost_is_told_although_the_run_that_noticed_died() {
    let (source, mut world, [first, _]) = two_lists();
    let key = &first.marker.lists[0].key;
    fs::remove_file(at(&world, key)).unwrap();
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    let full = Fault::FailBefore(ErrorKind::NoSpace);
    through(&mut world, FaultPlan::new().always(Verb::Put, "markers", full));
    assert!(world.try_backup(&source).is_err());
    through(&mut world, FaultPlan::new());
    let report = world.backup(&source);
    let told = report.alarms.iter().any(|line| line.contains(key.as_str()));
    assert!(told, "{:?}", report.alarms);
    assert!(!world.backup(&source).needs_reading());
}

/// A bad sector: this one thing cannot be read, everything else can.
fn with_bad_sector(key: &Key) -> FaultPlan {
    FaultPlan::new().always(Verb::Get, key.as_str(), Fault::FailBefore(ErrorKind::Other))
}

#[test]
fn a_bad_sector_under_the_newest_marker_does_not_end_all_backups() {
    let (source, mut world, [_, second]) = two_lists();
    let key = seawall::repository::names::marker(second.marker.snapshot);
    through(&mut world, with_bad_sector(&key));
    let report = world.backup(&source);
    assert!(report.needs_reading());
    assert_newest_is_whole(&world);
    assert!(!world.backup(&source).needs_reading());
}

#[test]
fn a_bad_sector_under_a_list_does_not_end_all_backups() {
    let (source, mut world, [first, _]) = two_lists();
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    through(&mut world, with_bad_sector(&first.marker.lists[0].key));
    let report = world.backup(&source);
    assert!(report.needs_reading());
    assert_newest_is_whole(&world);
    assert!(!world.backup(&source).needs_reading());
}

#[test]
fn a_bad_sector_under_a_pack_whose_segment_is_lost_does_not_end_all_backups() {
    let (source, mut world, _) = two_lists();
    for segment in files_below(&world.repository_path().join("data/index")) {
        fs::remove_file(segment).unwrap();
    }
    let pack = files_below(&world.repository_path().join("data/blocks")).remove(0);
    let key = pack.strip_prefix(world.repository_path()).unwrap();
    let key = Key::parse(key.to_str().unwrap()).unwrap();
    through(&mut world, with_bad_sector(&key));
    world.options.list = true;
    // One run meets the bad pack, stores again what it held, and goes on.
    let report = world.backup(&source);
    assert!(report.needs_reading());
    assert_newest_is_whole(&world);
    assert!(!world.backup(&source).needs_reading());
}

/// A record stays for ever, and older snapshots go on naming what it names.
#[test]
fn a_damage_record_is_heard_once() {
    let (source, mut world, [_, second]) = two_lists();
    let marker = &second.marker;
    let mut bad: Vec<Key> = world.keys().iter().map(|key| Key::parse(key).unwrap()).collect();
    bad.retain(seawall::repository::names::may_be_absent);
    assert!(bad.contains(&marker.lists[0].key) && bad.contains(&marker.sums.key));
    let text = runs::record_text(runs::DAMAGE, bad.iter());
    let key = Key::parse("data/runs/damage-1").unwrap();
    world.backend.put_new(&key, text.as_bytes()).unwrap();
    let healed = world.backup(&source);
    assert!(healed.needs_reading());
    for key in &bad {
        if let Err(error) = fs::remove_file(at(&world, key)) {
            panic!("{key}: {error}");
        }
    }
    assert_newest_is_whole(&world);
    world.options.list = true;
    for night in 0..3 {
        if night == 2 {
            fs::remove_file(world.repository.state().catalog_path()).unwrap();
        }
        let quiet = world.backup(&source);
        assert!(!quiet.needs_reading(), "night {night}: {:?}", quiet.alarms);
        assert_eq!(
            (quiet.totals.packs, quiet.databases_stored, quiet.groups_stored),
            (0, 0, 0),
            "night {night}"
        );
    }
    assert_newest_is_whole(&world);
}

fn below(source: &Source, kind: &str) -> PathBuf {
    source.path.join("seafile-data/storage").join(kind).join(PHOTOS)
}

/// A folder is lost, its files are copied by listing, and it comes back before the run decides what
/// is closed: nobody has looked whether the files have their blocks.
#[test]
fn what_comes_back_after_the_walk_closes_nothing_below_it() {
    let source = Source::example();
    let folder = tempfile::tempdir().unwrap();
    let open = || LocalBackend::create(folder.path().join("r")).unwrap();
    let mut world = World::on(Arc::new(open()));
    let aside = folder.path().join("fs");
    let fs_folder = below(&source, "fs");
    // Folders of the library, by what they hold.
    let folders: Vec<PathBuf> = source
        .objects("fs", PHOTOS)
        .into_iter()
        .filter(|path| is_folder(&fs::read(path).unwrap()))
        .map(|path| path.strip_prefix(&fs_folder).unwrap().to_owned())
        .collect();
    assert!(!folders.is_empty());
    for path in &folders {
        fs::create_dir_all(aside.join(path).parent().unwrap()).unwrap();
        fs::rename(fs_folder.join(path), aside.join(path)).unwrap();
    }
    fs::remove_dir_all(below(&source, "blocks")).unwrap();
    world.backup(&source);
    world.options.everything = true;
    world.through(Arc::new(Told::new(open(), move |key| {
        if key.as_str().starts_with("data/trees") {
            for path in &folders {
                let _ = fs::rename(aside.join(path), fs_folder.join(path));
            }
        }
    })));
    world.backup(&source);
    world.options.everything = false;
    let report = world.backup(&source);
    let truth = World::local().backup(&source).marker.damage;
    assert!(truth > 0);
    assert_eq!(report.marker.damage, truth);
}

/// Whether a fs object, a zlib stream of JSON, is a folder.
fn is_folder(bytes: &[u8]) -> bool {
    let mut text = String::new();
    flate2::read::ZlibDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text.contains("\"dirents\"")
}
