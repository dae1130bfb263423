//! Faults of the repository that were healed: shown, and no alarm for ever. And what the repository holds of libraries
//! whose objects lie together.

use std::fs;
use std::path::PathBuf;

use crate::cli::User;
use crate::support::{Source, World, example, files_below};

const PHOTOS: &str = "5dbd46b1-5f0f-4b5c-8aae-4b0a2d1d7e2b";

fn largest_pack(user: &User) -> PathBuf {
    let packs = files_below(&user.repository().join("data/blocks"));
    packs.into_iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap()
}

fn flip(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_healed_fault_is_an_alarm_until_it_is_accepted() {
    let user = User::new();
    let source = example();
    let path = source.to_str().unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["backup", path]).succeeds();
    user.run(&["backup", path]).succeeds();
    flip(&largest_pack(&user));
    assert_eq!(user.run(&["check", "--read-data", "--report"]).status, 3);
    // Known, and not healed: shown, and never accepted.
    let snapshots = user.run(&["snapshots"]).stdout;
    assert_eq!(snapshots.matches("1 stored file bad").count(), 2, "{snapshots}");
    let status = user.run(&["status"]);
    assert_eq!(status.status, 3);
    assert!(status.stdout.contains("1 stored file bad"), "{}", status.stdout);
    user.run(&["damage", "accept", "--faults"]).fails(1, &["not healed yet", "run a backup"]);
    assert_eq!(user.run(&["check", "--read-data"]).status, 3);
    // The next backup heals it.
    user.run(&["backup", path]).fails(3, &["lost or altered"]);
    user.run(&["backup", path]).succeeds();
    let snapshots = user.run(&["snapshots"]).stdout;
    assert_eq!(snapshots.matches("1 stored file bad").count(), 2, "{snapshots}");
    assert!(snapshots.lines().last().unwrap().contains("whole"), "{snapshots}");
    user.run(&["status"]).succeeds();
    for level in ["--read-data", "--deep"] {
        let check = user.run(&["check", level]);
        assert_eq!(check.status, 3);
        assert!(check.stdout.contains("healed since"), "{}", check.stdout);
        assert!(check.stdout.contains("damage accept --faults"), "{}", check.stdout);
    }
    let listed = user.run(&["damage", "list", "--json"]).json();
    assert_eq!(listed["faults"][0]["healed"], true);
    assert_eq!(listed["faults"][0]["accepted"], false);
    assert_eq!(listed["faults"][0]["snapshots"].as_array().unwrap().len(), 2);
    // The alarm has an end.
    user.run(&["damage", "accept", "--faults", "--note", "disk 3"]).succeeds();
    for level in ["--read-data", "--deep"] {
        let check = user.run(&["check", level]);
        assert!(check.succeeds().contains("accepted  "), "{}", check.stdout);
    }
    user.run(&["damage", "unaccept", "--faults"]).succeeds();
    assert_eq!(user.run(&["check", "--read-data"]).status, 3);
}

/// Which snapshots need a file is known only to a check that looks at all of them.
#[test]
fn a_check_of_one_snapshot_calls_no_fault_healed() {
    let user = User::new();
    let source = example();
    let path = source.to_str().unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["backup", path]).succeeds();
    let first = user.only_marker();
    user.run(&["backup", path]).succeeds();
    flip(&largest_pack(&user));
    // The newest one needs that pack too.
    for level in ["--read-data", "--deep"] {
        let one = user.run(&["check", level, "--snapshot", &first]);
        assert_eq!(one.status, 3, "{}", one.stdout);
        assert!(!one.stdout.contains("healed"), "{level}: {}", one.stdout);
        let json = user.run(&["check", level, "--snapshot", &first, "--json"]);
        let problems = json.json()["problems"].as_array().unwrap().clone();
        assert!(!problems.is_empty());
        for problem in problems {
            assert_eq!(problem["healed"], false, "{level}: {problem}");
            assert_eq!(problem["accepted"], false, "{level}: {problem}");
        }
        let all = user.run(&["check", level]);
        assert!(!all.stdout.contains("healed"), "{level}: {}", all.stdout);
    }
}

/// What a newest snapshot needs is never accepted, whatever the file of acceptances says.
#[test]
fn a_fault_of_the_newest_snapshot_counts_in_any_case() {
    let user = User::new();
    let source = example();
    let path = source.to_str().unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["backup", path]).succeeds();
    let pack = largest_pack(&user);
    flip(&pack);
    let states = fs::read_dir(user.path("state/repositories")).unwrap();
    let state = states.map(|entry| entry.unwrap().path()).next().unwrap();
    let key = pack.strip_prefix(user.repository()).unwrap().to_str().unwrap().to_owned();
    let line = format!("{{\"key\":\"{key}\",\"since\":\"2026-11-22T20:40:05Z\"}}\n");
    fs::write(state.join("accepted-faults"), line).unwrap();
    let check = user.run(&["check", "--read-data", "--json"]);
    assert_eq!(check.status, 3);
    assert_eq!(check.json()["problems"][0]["accepted"], false);
    // What cannot be read accepts nothing.
    fs::write(state.join("accepted-faults"), "oops\n").unwrap();
    user.run(&["check", "--read-data"]).fails(3, &["no bad file counts as accepted"]);
}

/// Seafile 1 and 2 kept the objects of all libraries together.
#[test]
fn libraries_of_the_shared_folder_are_counted() {
    let source = Source::example();
    let apart = World::local().backup(&source);
    let data = source.path.join("seafile-data");
    let library = apart.manifest.libraries.iter().find(|library| {
        library.origin.is_none() && library.counts.blocks > 1 && !library.heads.is_empty()
    });
    let library = library.map_or(PHOTOS.to_owned(), |library| library.id.to_string());
    for kind in ["commits", "fs", "blocks"] {
        for file in files_below(&data.join("storage").join(kind).join(&library)) {
            let folder = data.join(kind).join(file.parent().unwrap().file_name().unwrap());
            fs::create_dir_all(&folder).unwrap();
            fs::rename(&file, folder.join(file.file_name().unwrap())).unwrap();
        }
    }
    let world = World::local();
    for _ in 0..2 {
        let report = world.backup(&source);
        assert_eq!(report.marker.damage, 0);
        let counts = |of: &seawall::backup::Report| {
            let id = library.parse().unwrap();
            of.manifest.library(id).unwrap().counts
        };
        let (before, now) = (counts(&apart), counts(&report));
        assert!(now.objects() > 0 && now.bytes > 0);
        assert_eq!(
            (now.commits, now.fs, now.blocks, now.bytes),
            (before.commits, before.fs, before.blocks, before.bytes)
        );
        assert!(report.holds.objects() >= apart.holds.objects(), "{:?}", report.holds);
    }
}
