//! `restore --standby`: a folder that later snapshots complete.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use seawall::repository::names;
use seawall::restore::{self, Options, Report, STANDBY, UNFINISHED};
use seawall_backends::{Backend, Operation, RecordingBackend};
use seawall_test_servers::wait::Killed;

use crate::cli::User;
use crate::compaction::add_library;
use crate::restore::{assert_same_files, latest};
use crate::support::{DOCUMENTS, Source, World, files_below};
use crate::synthetic::generator;

fn try_complete(world: &World, target: &Path) -> Result<Report, restore::Error> {
    let options = Options { standby: true, ..Options::new(target.to_owned()) };
    restore::run(&world.repository, &latest(world), &options, &|_| {})
}

fn complete(world: &World, target: &Path) -> Report {
    let report = try_complete(world, target).unwrap();
    assert!(report.lost.is_empty(), "{:?}", report.lost);
    assert!(!target.join(UNFINISHED).exists() && target.join(STANDBY).exists());
    report
}

/// A whole restore of the same snapshot beside the standby.
fn assert_same_as_fresh(world: &World, target: &Path, name: &str) {
    let fresh = world.path(name);
    let options = Options::new(fresh.clone());
    restore::run(&world.repository, &latest(world), &options, &|_| {}).unwrap();
    let inside = |folder: &Path| -> Vec<_> {
        let storage = folder.join("seafile-data/storage");
        let files = files_below(&storage).into_iter();
        files
            .map(|path| (path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap()))
            .collect()
    };
    let there: std::collections::BTreeMap<_, _> = inside(target).into_iter().collect();
    for (path, bytes) in inside(&fresh) {
        assert!(there.get(&path) == Some(&bytes), "{}", path.display());
    }
}

#[test]
fn it_is_completed_by_what_is_new() {
    let (source, mut world) = (Source::example(), World::local());
    add_library(&source, 50, 2000, 1);
    fs::write(source.path.join("conf/gone.env"), "A=1").unwrap();
    world.backup(&source);
    let target = world.path("standby");
    let first = complete(&world, &target);
    assert!(!first.completed && first.objects.objects() > 100);
    // Seafile was tried there, and its logs were left.
    fs::write(target.join("seafile-data/seafile.db-wal"), "old").unwrap();
    generator::change(&source.path, 10, 2000, 5);
    fs::remove_file(source.path.join("conf/gone.env")).unwrap();
    fs::write(source.path.join("conf/new.env"), "B=1").unwrap();
    let report = world.backup(&source);
    let recording = Arc::new(RecordingBackend::new(Arc::clone(&world.backend)));
    world.through(Arc::clone(&recording) as Arc<dyn Backend>);
    let second = complete(&world, &target);
    assert!(second.completed && !second.resumed);
    assert_eq!(second.objects.objects(), report.totals.objects);
    assert!(second.present.objects() >= first.objects.objects());
    // Only packs that the first snapshot did not have were fetched.
    let packs = recording.operations().into_iter().filter(|operation| {
        let Operation::Get(key, _) = operation else {
            return false;
        };
        names::parse_pack(key, world.repository.seal()).is_some()
    });
    assert_eq!(packs.count() as u64, report.totals.packs);
    assert!(!target.join("conf/gone.env").exists());
    assert!(!target.join("seafile-data/seafile.db-wal").exists());
    fs::remove_file(target.join(STANDBY)).unwrap();
    assert_same_files(&source.path, &target);
    assert_same_as_fresh(&world, &target, "fresh");
}

#[test]
fn what_is_not_as_long_as_it_should_be_is_made_anew() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let target = world.path("standby");
    complete(&world, &target);
    let blocks = files_below(&target.join("seafile-data/storage/blocks").join(DOCUMENTS));
    fs::write(&blocks[0], "torn").unwrap();
    fs::remove_file(&blocks[1]).unwrap();
    let again = complete(&world, &target);
    assert_eq!(again.objects.objects(), 2);
    assert_same_as_fresh(&world, &target, "fresh");
}

#[test]
fn one_that_broke_off_goes_on_with_a_later_snapshot() {
    let (source, world) = (Source::example(), World::local());
    add_library(&source, 50, 2000, 1);
    world.backup(&source);
    let target = world.path("standby");
    complete(&world, &target);
    generator::change(&source.path, 10, 2000, 5);
    let broken = world.backup(&source);
    fs::write(
        target.join(UNFINISHED),
        format!(
            "snapshot {}\nrepository {}\n",
            broken.marker.snapshot,
            world.repository.id().as_str()
        ),
    )
    .unwrap();
    // As a power cut leaves a file: as long as it should be, and zeros.
    let block = &files_below(&target.join("seafile-data/storage/blocks").join(DOCUMENTS))[0];
    let len = fs::metadata(block).unwrap().len();
    fs::write(block, vec![0; usize::try_from(len).unwrap()]).unwrap();
    generator::change(&source.path, 10, 2000, 7);
    world.backup(&source);
    let report = complete(&world, &target);
    assert!(report.resumed);
    assert_same_as_fresh(&world, &target, "fresh");
}

#[test]
fn nothing_else_is_taken_for_one() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let target = world.path("standby");
    // A folder with content that no restore made.
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine"), "").unwrap();
    assert!(matches!(try_complete(&world, &target), Err(restore::Error::NotEmpty { .. })));
    fs::remove_dir_all(&target).unwrap();
    complete(&world, &target);
    // Without being asked to.
    let options = Options::new(target.clone());
    let plain = restore::run(&world.repository, &latest(&world), &options, &|_| {});
    assert!(matches!(plain, Err(restore::Error::IsStandby { .. })), "{plain:?}");
    // Of another repository.
    let other = World::local();
    other.backup(&source);
    assert!(matches!(try_complete(&other, &target), Err(restore::Error::NotEmpty { .. })));
    // One that is in use.
    let mut running = std::process::Command::new("sh");
    let running = running.args(["-c", "sleep 60; true", "seaf-server"]).spawn().unwrap();
    let running = Killed(running);
    fs::write(target.join("pids/seaf-server.pid"), running.0.id().to_string()).unwrap();
    let refused = try_complete(&world, &target);
    drop(running);
    assert!(matches!(refused, Err(restore::Error::Runs { .. })), "{refused:?}");
    complete(&world, &target);
}

#[test]
fn by_the_command_line() {
    let (source, user) = (Source::example(), User::new());
    user.run(&["init"]).succeeds();
    user.run(&["backup", source.path.to_str().unwrap()]).succeeds();
    let target = tempfile::tempdir().unwrap();
    let standby = ["restore", "latest", "--standby", "--target", target.path().to_str().unwrap()];
    user.run(&standby).succeeds();
    let again = user.run(&standby);
    assert!(
        again.succeeds().contains("were there by name and length, 0 (0 B) are new"),
        "{}",
        again.stdout
    );
    let plain = user.run(&["restore", "latest", "--target", target.path().to_str().unwrap()]);
    assert_eq!(plain.status, 1);
    assert!(plain.stderr.contains("add --standby"), "{}", plain.stderr);
    user.run(&["verify", target.path().to_str().unwrap()]).succeeds();
}
