//! Disks that get full, at every stage of a run: the message says which, nothing that was stored is
//! lost, no marker lies, and the same command goes on when there is room.
//!
//! The disk is a shim that counts what one process writes below one folder (`full/full.c`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use seawall_backends::MemoryBackend;
use seawall_test_servers::wait;

use crate::cli::{Ran, User};
use crate::support::{Source, Told, World, example, files_below, run, tree};

/// The shim, built once.
fn shim() -> &'static Path {
    static SHIM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = SHIM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/full/full.c");
        let arguments = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"];
        let files = [path.to_str().unwrap(), source.to_str().unwrap(), "-ldl"];
        run("cc", &[&arguments[..], &files[..]].concat());
        (folder, path)
    });
    path
}

/// Runs seawall on a computer where `below` takes so many bytes more.
fn with_room(user: &User, below: &Path, bytes: u64, arguments: &[&str]) -> Ran {
    let mut command: Command = user.command(arguments);
    command.env("LD_PRELOAD", shim()).env("FULL_BELOW", below).env("FULL_BYTES", bytes.to_string());
    Ran::of(wait::output(&mut command))
}

/// Rooms that grow until the work fits: 0, then by half and a little.
fn rooms() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(0), |room| Some(room + room / 2 + 700))
}

/// Repeats work in rooms that grow until it ends well. Each failure must have these words and exit
/// status 1, or 3 where only the catalog had no room after the marker; `after` sees what it left.
/// Returns how often it failed.
fn until_it_fits(
    texts: &[&str],
    mut work: impl FnMut(u64) -> Ran,
    mut after: impl FnMut(),
) -> usize {
    for (failures, room) in rooms().take(60).enumerate() {
        let ran = work(room);
        if ran.status == 0 {
            return failures;
        }
        if ran.status == 3 {
            ran.fails(3, &["the next run has to make the catalog again"]);
        } else {
            ran.fails(1, texts);
        }
        after();
    }
    panic!("it never fits");
}

/// Everything that markers name is there, and restores to what was backed up.
fn assert_whole(user: &User) {
    user.run(&["check", "--read-data"]).succeeds();
    let target = user.path("assert-whole");
    user.run(&["restore", "latest", "--target", target.to_str().unwrap()]).succeeds();
    let verified = user.run(&["verify", target.to_str().unwrap()]);
    assert!(verified.succeeds().contains("good "), "{}", verified.stdout);
    let objects = |top: &Path| tree(&top.join("seafile-data/storage/blocks"));
    assert_eq!(objects(&target).len(), objects(&example()).len() - garbage_blocks());
    fs::remove_dir_all(target).unwrap();
}

/// Paths below `blocks` that a backup leaves out: the garbage store.
fn garbage_blocks() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let user = User::new();
        user.backup(&example()).succeeds();
        let target = user.path("whole");
        user.run(&["restore", "latest", "--target", target.to_str().unwrap()]).succeeds();
        let blocks = |top: &Path| tree(&top.join("seafile-data/storage/blocks")).len();
        blocks(&example()) - blocks(&target)
    })
}

#[test]
fn a_full_destination_loses_nothing_and_goes_on() {
    let user = User::new();
    user.run(&["init"]).succeeds();
    let source = example();
    let backup = ["backup", source.to_str().unwrap()];
    let mut stored = Vec::new();
    let failures = until_it_fits(
        &["no space left at the destination", "make room there and run the same again"],
        |room| with_room(&user, &user.repository(), room, &backup),
        || {
            // No temporary takes the room that is left, no marker was written, nothing was lost.
            let files = files_below(&user.repository());
            assert!(stored.iter().all(|file| files.contains(file)));
            let is_too_early = |file: &PathBuf| {
                file.to_str().unwrap().contains("/markers/")
                    || file.extension().is_some_and(|end| end == "tmp")
            };
            assert!(!files.iter().any(is_too_early), "{files:?}");
            stored = files;
        },
    );
    assert!(failures >= 5, "{failures}");
    assert_whole(&user);
    // The run that ended well named every pack of those that did not.
    let note = user.run(&["check", "--json"]).json();
    let packs = |kind: &str| files_below(&user.repository().join("data").join(kind)).len() as u64;
    let lists = files_below(&user.repository().join("data/lists"));
    let named: usize = lists
        .iter()
        .map(|list| fs::read_to_string(list).unwrap())
        .map(|text| {
            text.lines()
                .filter(|line| line.contains(".tar.zst") && !line.contains("files/"))
                .count()
        })
        .sum();
    assert_eq!(packs("blocks") + packs("trees"), named as u64, "{note}");
}

#[test]
fn a_full_state_folder_loses_nothing_and_goes_on() {
    let source = example();
    let backup = ["backup", source.to_str().unwrap()];
    for (folder, texts) in [
        ("spool", ["not enough space for copies of the databases", "free space there"]),
        ("repositories", ["catalog.db failed: database or disk is full", "make room there"]),
    ] {
        let user = User::new();
        user.run(&["init"]).succeeds();
        let below = user.path("state").join(folder);
        let failures = until_it_fits(
            &texts,
            |room| with_room(&user, &below, room, &backup),
            || {
                // A marker may be there: the catalog is written once more after it. It is true.
                let ran = user.run(&["check", "--read-data"]);
                let markers = fs::read_dir(user.repository().join("markers"));
                if markers.is_ok_and(|mut markers| markers.next().is_some()) {
                    ran.succeeds();
                } else {
                    assert_eq!(ran.status, 3, "{}{}", ran.stdout, ran.stderr);
                    assert!(ran.stdout.contains("there is no snapshot here"), "{}", ran.stdout);
                }
            },
        );
        assert!(failures >= 5, "{folder}: {failures}");
        assert_whole(&user);
        user.run(&backup).succeeds();
    }
}

#[test]
fn a_full_disk_at_init_leaves_nothing_half_made() {
    let user = User::new();
    until_it_fits(
        &["No space left on device", "make room there"],
        |room| with_room(&user, user.home(), room / 100, &["init"]),
        || {},
    );
    user.backup(&example()).succeeds();
    assert_whole(&user);
}

#[test]
fn a_full_target_loses_nothing_and_the_restore_goes_on() {
    let user = User::new();
    user.backup(&example()).succeeds();
    let whole = user.path("whole");
    user.run(&["restore", "latest", "--target", whole.to_str().unwrap()]).succeeds();
    let target = user.path("target");
    let restore = ["restore", "latest", "--target", target.to_str().unwrap()];
    let mut before = 0;
    let failures = until_it_fits(
        &["cannot restore", "No space left on device", "it goes on where it stopped"],
        |room| with_room(&user, &target, room, &restore),
        || {
            let files = files_below(&target).len();
            assert!(files >= before, "{files} after {before}");
            before = files;
        },
    );
    assert!(failures >= 5, "{failures}");
    let is_data = |(path, _): &(PathBuf, String)| {
        path.starts_with("seafile-data") || path.starts_with("seahub-data")
    };
    let files = |top: &Path| {
        let files = tree(top).into_iter().filter(is_data);
        // Objects have the time at which they were written.
        files
            .map(|(path, text)| (path, text.rsplit(' ').next().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(files(&target), files(&whole));
    user.run(&["verify", target.to_str().unwrap()]).succeeds();
}

#[test]
fn a_full_temporary_folder_does_not_make_verify_lie() {
    let user = User::new();
    let source = example();
    let temporary = user.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let failures = until_it_fits(
        &["not enough space for copies of the databases", "TMPDIR"],
        |room| {
            let mut command = user.command(&["verify", source.to_str().unwrap()]);
            command
                .env("TMPDIR", &temporary)
                .env("LD_PRELOAD", shim())
                .env("FULL_BELOW", &temporary)
                .env("FULL_BYTES", room.to_string());
            Ran::of(wait::output(&mut command))
        },
        || assert!(files_below(&temporary).is_empty()),
    );
    assert!(failures >= 5, "{failures}");
}

#[test]
fn a_catalog_that_fails_after_the_marker_does_not_make_the_run_fail() {
    let source = Source::example();
    let inner = MemoryBackend::default();
    let mut world = World::on(Arc::new(inner.clone()));
    let catalog = world.repository.state().catalog_path();
    let is_done = AtomicBool::new(false);
    world.through(Arc::new(Told::new(inner, move |key| {
        if key.is_below("markers") && !is_done.swap(true, Ordering::SeqCst) {
            let database = rusqlite::Connection::open(&catalog).unwrap();
            let full = "CREATE TRIGGER full BEFORE INSERT ON segment BEGIN SELECT RAISE(FAIL, 'full'); END";
            database.execute_batch(full).unwrap();
        }
    })));
    let report = world.backup(&source);
    assert!(report.needs_reading() && report.alarms.len() == 1, "{:?}", report.alarms);
    assert!(report.alarms[0].contains("the snapshot is whole"), "{:?}", report.alarms);
    let database = rusqlite::Connection::open(world.repository.state().catalog_path()).unwrap();
    database.execute_batch("DROP TRIGGER full").unwrap();
    let again = world.backup(&source);
    assert_eq!((again.totals.packs, again.marker.sequence), (0, 2));
    assert!(!again.needs_reading(), "{:?}", again.alarms);
}
