//! Repositories whose signer is the attacker: a restore stays in its target, and says what it refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use seawall::object::Sha256;
use seawall::repository::frames;
use seawall::repository::manifest::{FileGroup, Part};
use seawall::repository::names;
use seawall::restore::LossKind;
use seawall_test_servers::wait;
use tar::{EntryType, Header};

use super::{Canary, plant, try_restore, with_manifest};
use crate::restore::{example, latest};
use crate::support::World;

/// A member as any program may write it: name and target are not looked at.
fn member(name: &[u8], kind: EntryType, target: &[u8], mode: u32, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &[u8]) -> Vec<u8> {
    member(name, EntryType::Regular, b"", 0o644, b"pwned")
}

fn link(name: &[u8], target: &[u8]) -> Vec<u8> {
    member(name, EntryType::Symlink, target, 0o777, b"")
}

fn of_kind(name: &[u8], kind: EntryType, target: &[u8]) -> Vec<u8> {
    member(name, kind, target, 0o644, b"")
}

/// Stores a tar as a group of that name and label.
fn group(world: &World, name: &str, label: &str, members: &[Vec<u8>]) -> FileGroup {
    let mut tar = members.concat();
    tar.resize(tar.len() + 1024, 0);
    let stored = frames::compress_frame(&tar, 1).unwrap();
    let snapshot = latest(world).id();
    let key = names::files_part(snapshot, name, 0, world.repository.seal()).unwrap();
    plant(world, &key, &stored);
    FileGroup {
        name: name.into(),
        label: label.into(),
        fingerprint: Sha256::of(b""),
        settled_before: 0,
        members: members.len() as u64,
        size: tar.len() as u64,
        sha256: Sha256::of(&tar),
        parts: vec![Part { key, size: stored.len() as u64, sha256: Sha256::of(&stored) }],
    }
}

#[test]
fn hostile_tars_of_a_valid_signer_stay_inside_and_are_named() {
    let (source, world) = (example(), World::local());
    world.backup(&source);
    let canary = Canary::beside(&world);
    let outside = canary.path.join("file");
    let absolute = outside.to_str().unwrap().as_bytes();
    let sparse = EntryType::GNUSparse;
    let refused: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("absolute", vec![file(&absolute[..absolute.len().min(100)])]),
        ("upwards", vec![file(b"../canary/file")]),
        ("inside-and-up", vec![file(b"conf/../../canary/file")]),
        ("hard-link", vec![of_kind(b"h", EntryType::Link, b"../canary/file")]),
        ("device", vec![of_kind(b"d", EntryType::Char, b"")]),
        ("block-device", vec![of_kind(b"b", EntryType::Block, b"")]),
        ("fifo", vec![of_kind(b"p", EntryType::Fifo, b"")]),
        ("sparse", vec![of_kind(b"s", sparse, b"")]),
        ("twice", vec![file(b"twice"), file(b"twice")]),
        ("file-then-folder", vec![file(b"x"), file(b"x/y")]),
        ("folder-then-file", vec![file(b"z/y"), file(b"z")]),
        ("over-a-database", vec![file(b"seahub.db")]),
        ("no-name", vec![file(b"")]),
        ("dot", vec![file(b"./conf/x")]),
    ];
    with_manifest(&world, |manifest| {
        for (name, members) in &refused {
            manifest.files.push(group(&world, name, name, members));
        }
    });
    let target = world.path("target");
    let report = try_restore(&world, &latest(&world), &target).unwrap();
    let lost: Vec<&str> = report.lost.iter().map(|lost| lost.name.as_str()).collect();
    let expected: Vec<&str> = refused.iter().map(|(name, _)| *name).collect();
    assert_eq!(lost, expected, "{:#?}", report.lost);
    assert!(report.lost.iter().all(|lost| lost.kind == LossKind::Files));
    assert!(canary.is_untouched());
    // What is honest came all the same.
    assert!(target.join("conf/seafile.conf").is_file());
    assert!(target.join("seahub.db").is_file());
}

#[test]
fn links_out_of_the_target_are_kept_and_never_followed() {
    let (source, world) = (example(), World::local());
    world.backup(&source);
    let canary = Canary::beside(&world);
    with_manifest(&world, |manifest| {
        let first = [link(b"out", b"../canary"), file(b"out/file")];
        let second = [file(b"out/second")];
        let kept = [link(b"kept", b"../canary")];
        for (name, members) in [("a", &first[..]), ("b", &second), ("c", &kept)] {
            manifest.files.push(group(&world, name, name, members));
        }
    });
    let target = world.path("target");
    let report = try_restore(&world, &latest(&world), &target).unwrap();
    assert!(canary.is_untouched());
    // The files made a folder; the link that wants its name is told.
    assert!(target.join("out/second").is_file());
    assert!(fs::symlink_metadata(target.join("out")).unwrap().is_dir());
    assert!(fs::symlink_metadata(target.join("kept")).unwrap().is_symlink());
    assert!(report.needs_reading(), "{report:#?}");
    let told = format!("{:?} {:?}", report.lost, report.warnings);
    assert!(told.contains("out"), "{told}");
}

#[test]
fn setuid_is_dropped_and_escape_codes_reach_no_terminal() {
    let (source, world) = (example(), World::local());
    world.backup(&source);
    let odd = b"conf/\x1b[2Jodd\nname";
    with_manifest(&world, |manifest| {
        let setuid = member(b"conf/setuid\x1b[2J", EntryType::Regular, b"", 0o6755, b"x");
        let members = [setuid, file(odd)];
        manifest.files.push(group(&world, "a", "a\x1b[2J\nerror: forged", &members));
        let bad = [file(b"../\x1b[2Jx")];
        manifest.files.push(group(&world, "b", "b\x1b]0;title\x07", &bad));
        manifest.databases[0].path = Some("../\x1b[2J".into());
        manifest.databases[0].role = "\x1b[31m".into();
        for library in &mut manifest.libraries {
            library.name = Some("\x1b[2J\r\nname".into());
            library.owner = Some("\u{9b}2J".into());
        }
        manifest.warnings.push("\x1b[2J".into());
        manifest.source.host = "\x1b[2J".into();
        manifest.source.path = "/\x1b[2J".into();
    });
    let target = world.path("target");
    let place = world.repository_path();
    let state = world.state.path().to_owned();
    let seawall = |arguments: &[&str]| {
        let output = wait::output(
            Command::new(env!("CARGO_BIN_EXE_seawall"))
                .arg("-r")
                .arg(&place)
                .arg("--state-dir")
                .arg(&state)
                .args(arguments),
        );
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        let bad = text.chars().find(|char| char.is_control() && *char != '\n');
        assert_eq!(bad, None, "{arguments:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("error: forged")), "{text}");
        (output.status.code(), text)
    };
    let target_text = target.to_str().unwrap();
    let (code, text) = seawall(&["-v", "restore", "latest", "--target", target_text]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("setuid"), "{text}");
    for verb in [&["snapshots"][..], &["libraries", "latest"], &["-v", "check"]] {
        let (code, text) = seawall(verb);
        assert!(matches!(code, Some(0 | 3)), "{code:?} {text}");
    }
    let notes = fs::read_to_string(target.join("RESTORE-NOTES.txt")).unwrap();
    assert!(!notes.contains('\x1b') && !notes.contains('\u{9b}'));
    let mode = fs::metadata(target.join("conf/setuid\x1b[2J")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o7777, 0o755);
}

#[test]
fn databases_of_a_valid_signer_stay_inside() {
    let (source, world) = (example(), World::local());
    world.backup(&source);
    let canary = Canary::beside(&world);
    let absolute = canary.path.join("file");
    let paths = [
        absolute.to_str().unwrap(),
        "../canary/file",
        "conf/../../canary/file",
        "conf/./seahub.db",
        "",
    ];
    let mut roles = Vec::new();
    with_manifest(&world, |manifest| {
        for (database, path) in manifest.databases.iter_mut().zip(paths) {
            database.path = Some(path.into());
            roles.push(database.role.clone());
        }
    });
    let target = world.path("target");
    let report = try_restore(&world, &latest(&world), &target).unwrap();
    let lost: Vec<&String> = report
        .lost
        .iter()
        .filter(|lost| lost.kind == LossKind::Database)
        .map(|lost| &lost.name)
        .collect();
    assert_eq!(lost, roles.iter().collect::<Vec<_>>());
    assert!(canary.is_untouched());
}
