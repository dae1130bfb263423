//! Of a pack that is damaged a restore brings what can still be had, and names the files that it cannot.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use seawall::object::Object;
use seawall::repository::names::PackKind;
use seawall::repository::pack::MemberPlace;
use seawall::repository::segment::Line;
use seawall::restore::{LossKind, Options, Report};
use seawall::seafile::discover::{Environment, discover};
use seawall::verify;

use crate::backup::stored_objects;
use crate::cli::User;
use crate::compaction::add_library;
use crate::encryption::age_key;
use crate::restore::{alter, latest, lines, objects_in, pack_path};
use crate::support::{Source, World, files_below};

/// A source with incompressible files of several frames.
fn large() -> Source {
    let source = Source::example();
    add_library(&source, 300, 20_000, 1);
    source
}

fn largest(world: &World, kind: PackKind) -> Line {
    let lines = lines(world).into_iter();
    let of_kind = lines.filter(|line| line.kind == kind);
    of_kind.max_by_key(|line| line.size).unwrap()
}

fn restored(world: &World, target: &Path) -> Report {
    let options = Options::new(target.to_owned());
    seawall::restore::run(&world.repository, &latest(world), &options, &|_| {}).unwrap()
}

/// What the snapshot has and the target has not.
fn missing(world: &World, target: &Path) -> BTreeSet<Object> {
    let stored = stored_before(world);
    let there = objects_in(target);
    stored.into_iter().filter(|object| !there.contains_key(object)).collect()
}

/// Names of all objects by the index alone.
fn stored_before(world: &World) -> BTreeSet<Object> {
    let lines = lines(world);
    let members = lines.iter().flat_map(|line| &line.contents.members);
    members.filter(|member| !member.name.damaged).map(|member| member.name.object).collect()
}

/// The members that lie in the frame at this byte of a pack.
fn in_frame_at(line: &Line, at: u64) -> BTreeSet<Object> {
    let frames = line.contents.frames.iter();
    let number = frames
        .clone()
        .position(|frame| (frame.offset..frame.offset + frame.len).contains(&at))
        .unwrap();
    let members = line.contents.members.iter();
    members
        .filter(
            |member| matches!(member.place, MemberPlace::Data { frame, .. } if frame as usize == number),
        )
        .map(|member| member.name.object)
        .collect()
}

/// The files that are named are those that `verify` finds.
fn assert_named(report: &Report, target: &Path) {
    let found = discover(target, &Environment::default()).unwrap();
    let spool = tempfile::tempdir().unwrap();
    let options =
        verify::Options { second_look: std::time::Duration::ZERO, ..verify::Options::default() };
    let seen = verify::run(&found, spool.path(), &options, &|_| {}).unwrap();
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    for damage in &seen.damage {
        for path in &damage.paths {
            expected.insert((damage.library.to_string(), path.clone()));
        }
    }
    // A library whose head is lost is named by its top folder.
    let named = report.lost_files.iter().filter(|file| file.version.is_none() && file.path != "/");
    let named = named.map(|file| (file.id.to_string(), file.path.clone()));
    let named: BTreeSet<_> = named.collect();
    let difference: Vec<_> = named.symmetric_difference(&expected).take(5).collect();
    assert!(difference.is_empty(), "{} and {}: {difference:?}", named.len(), expected.len());
    assert!(!report.lost_files_cut);
}

#[test]
fn a_flipped_byte_costs_no_more_than_what_it_hits() {
    let (source, world) = (large(), World::local());
    world.backup(&source);
    for kind in [PackKind::Blocks, PackKind::Trees] {
        let line = largest(&world, kind);
        assert!(line.contents.frames.len() > 1 || kind == PackKind::Trees);
        let path = pack_path(&world, &line);
        let whole = fs::read(&path).unwrap();
        let at = line.contents.frames[0].len / 2;
        alter(&path, |bytes| bytes[usize::try_from(at).unwrap()] ^= 0x55);
        let target = world.path(&format!("{kind:?}"));
        let report = restored(&world, &target);
        let missing = missing(&world, &target);
        let hit = in_frame_at(&line, at);
        assert!(
            !missing.is_empty() && missing.len() < hit.len(),
            "{} of {}",
            missing.len(),
            hit.len()
        );
        let direct: BTreeSet<Object> = missing.intersection(&hit).copied().collect();
        assert!(!direct.is_empty());
        let packs: Vec<_> = report.lost.iter().filter(|lost| lost.kind == LossKind::Pack).collect();
        assert_eq!(packs.len(), 1, "{:?}", report.lost);
        assert_eq!(packs[0].objects, Some(direct.len() as u64));
        assert!(report.remains.objects() > 0);
        assert!(report.needs_reading());
        assert!(!report.lost_files.is_empty());
        assert_named(&report, &target);
        let notes = fs::read_to_string(target.join(seawall::restore::NOTES)).unwrap();
        let file = &report.lost_files[0];
        assert!(notes.contains("not whole"), "{notes}");
        assert!(notes.replace("\n    ", " ").contains(&file.path), "{notes}");
        alter(&path, |bytes| *bytes = whole);
    }
    assert_eq!(
        stored_objects(&world.repository, &latest(&world).marker).len(),
        stored_before(&world).len()
    );
}

#[test]
fn of_a_truncated_pack_the_beginning_comes_back() {
    let (source, world) = (large(), World::local());
    world.backup(&source);
    let line = largest(&world, PackKind::Blocks);
    let path = pack_path(&world, &line);
    let cut = line.contents.frames[1].offset + 10;
    alter(&path, |bytes| bytes.truncate(usize::try_from(cut).unwrap()));
    let target = world.path("target");
    let report = restored(&world, &target);
    let first = in_frame_at(&line, 0);
    assert!(!first.is_empty());
    let missing = missing(&world, &target);
    assert!(missing.is_disjoint(&first), "the first frame is whole");
    assert!(!missing.is_empty());
    assert_named(&report, &target);
}

#[test]
fn damage_outside_of_the_objects_costs_nothing() {
    let (source, world) = (large(), World::local());
    world.backup(&source);
    let line = largest(&world, PackKind::Blocks);
    let path = pack_path(&world, &line);
    // The table of contents, and the seek table.
    for from_end in [300, 5] {
        let whole = fs::read(&path).unwrap();
        alter(&path, |bytes| {
            let at = bytes.len() - from_end;
            bytes[at] ^= 1;
        });
        let target = world.path(&from_end.to_string());
        let report = restored(&world, &target);
        assert!(report.lost.is_empty(), "{:?}", report.lost);
        assert!(report.warnings.iter().any(|line| line.contains("nothing is missing")));
        assert!(missing(&world, &target).is_empty());
        alter(&path, |bytes| *bytes = whole);
    }
}

#[test]
fn without_its_segment_too() {
    let (source, world) = (large(), World::local());
    world.backup(&source);
    let expected = stored_before(&world);
    let line = largest(&world, PackKind::Blocks);
    let at = line.contents.frames[0].len / 2;
    alter(&pack_path(&world, &line), |bytes| {
        bytes[usize::try_from(at).unwrap()] ^= 0x55;
    });
    for segment in files_below(&world.repository_path().join("data/index")) {
        fs::remove_file(segment).unwrap();
    }
    let target = world.path("target");
    let report = restored(&world, &target);
    let there = objects_in(&target).len();
    assert!(there < expected.len() && there + 20 > expected.len(), "{there} of {}", expected.len());
    assert!(report.needs_reading() && !report.lost_files.is_empty());
}

/// age seals pieces of 64 KiB, each by itself.
#[test]
fn of_an_encrypted_pack_only_the_sealed_piece_is_lost() {
    let (source, user) = (large(), User::new());
    let (key, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.path.to_str().unwrap()]).succeeds();
    let packs = files_below(&user.repository().join("data/blocks"));
    let path = packs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let whole = fs::read(path).unwrap();
    assert!(whole.len() > 1 << 20, "{}", whole.len());
    let restore = |name: &str| -> serde_json::Value {
        let target = user.path(name);
        let target = target.to_str().unwrap();
        let ran = user.run(&[
            "restore",
            "latest",
            "--json",
            "-i",
            key.to_str().unwrap(),
            "--target",
            target,
        ]);
        assert_eq!(ran.status, 3, "{}", ran.stderr);
        ran.json()
    };
    alter(path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let flipped = restore("flipped");
    let lost = flipped["lost"][0]["objects"].as_u64().unwrap();
    let all = flipped["remains"]["blocks"].as_u64().unwrap() + lost;
    // How many blocks share the pack is by chance.
    assert!(lost > 0 && lost * 2 < all && all > 20, "{lost} of {all}");
    assert!(!flipped["lost_files"].as_array().unwrap().is_empty());
    alter(path, |bytes| {
        *bytes = whole.clone();
        bytes.truncate(whole.len() / 2);
    });
    let cut = restore("cut");
    let kept = cut["remains"]["blocks"].as_u64().unwrap();
    // Half of the bytes, and by chance fewer of the blocks.
    assert!(kept * 6 > all && kept < all, "{kept} of {all}");
    let text = user.run(&[
        "restore",
        "latest",
        "-i",
        key.to_str().unwrap(),
        "--target",
        user.path("text").to_str().unwrap(),
    ]);
    assert!(text.stderr.contains("not whole: /"), "{}", text.stderr);
}

/// Recipients that were added make a restore look at lists before it begins: one that is lost is no reason to end.
#[test]
fn a_lost_list_does_not_end_a_restore_where_recipients_were_added() {
    let (source, user) = (large(), User::new());
    let (key, public) = age_key(&user, "office.key");
    let (_, second) = age_key(&user, "second.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.path.to_str().unwrap()]).succeeds();
    user.run(&["key", "add", "--recipient", &second]).succeeds();
    fs::write(source.path.join("conf/new.conf"), "1").unwrap();
    add_library(&source, 5, 2000, 9);
    user.run(&["backup", source.path.to_str().unwrap()]).succeeds();
    let marker = user.repository().join("markers").join(user.only_marker());
    let marker = fs::read_to_string(marker).unwrap();
    assert!(marker.contains("\npartly "), "{marker}");
    let lists: Vec<PathBuf> = marker
        .lines()
        .filter(|line| line.starts_with("list "))
        .map(|line| user.repository().join(line.rsplit(' ').next().unwrap()))
        .collect();
    assert!(lists.len() > 1, "{marker}");
    for list in &lists {
        let bytes = fs::read(list).unwrap();
        fs::remove_file(list).unwrap();
        let target = user.path("target");
        let ran = user.run(&[
            "restore",
            "latest",
            "-i",
            key.to_str().unwrap(),
            "--target",
            target.to_str().unwrap(),
        ]);
        assert_eq!(ran.status, 3, "{}", ran.stderr);
        assert!(ran.stderr.contains("list of packs"), "{}", ran.stderr);
        assert!(target.join("conf/new.conf").exists());
        fs::remove_dir_all(target).unwrap();
        fs::write(list, bytes).unwrap();
    }
}
