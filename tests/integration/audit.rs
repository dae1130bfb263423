//! `backup --verify-source`: what did not change is looked at too.

use std::fs;
use std::sync::Arc;

use seawall::backup::{AuditShare, Report};
use seawall::check::{self, CheckLevel};
use seawall::object::Object;
use seawall::repository::manifest::Damage;
use seawall_backends::{MemoryBackend, Operation, RecordingBackend};

use crate::cli::User;
use crate::compaction::add_library;
use crate::damage::{head, object_path, parent, root};
use crate::support::{DOCUMENTS, Source, World};

const UNICODE: &str = "830ac5d7-2294-4f9c-ae5f-81500eb54e68";

fn all(read: bool) -> AuditShare {
    AuditShare { parts: 1, of: 1, read }
}

fn a_block(source: &Source, library: &str) -> Object {
    let block = &source.objects("blocks", library)[0];
    let inside = block.strip_prefix(&source.path).unwrap();
    Object::from_path(inside.to_str().unwrap()).unwrap()
}

/// What the source has lost, and what of it is told for the first time.
pub fn lost(report: &Report) -> (Vec<Object>, u64) {
    assert_eq!(report.marker.damage, 0);
    let damage = report.manifest.source_damage.iter();
    let mut lost: Vec<Object> = damage.map(Damage::object).collect();
    lost.dedup();
    (lost, report.new_source_damage)
}

#[test]
fn a_block_that_the_source_lost_is_found_and_told_until_it_is_back() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let block = a_block(&source, DOCUMENTS);
    let path = object_path(&source, &block);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    // No head moved: nothing is looked at.
    let report = world.backup(&source);
    assert_eq!((lost(&report), report.audited), ((vec![], 0), 0));
    world.options.verify_source = Some(all(false));
    let report = world.backup(&source);
    assert_eq!(lost(&report), (vec![block], 1));
    assert!(report.needs_reading());
    let damage = &report.manifest.source_damage[0];
    assert_eq!(damage.reason, "missing");
    assert!(!damage.paths.is_empty(), "{damage:?}");
    // Also by those that look at nothing else, and no more as news.
    world.options.verify_source = None;
    for _ in 0..2 {
        let report = world.backup(&source);
        assert_eq!(lost(&report), (vec![block], 0));
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(lost(&world.backup(&source)), (vec![], 0));
    assert_eq!(world.backup(&source).visited, 0);
}

#[test]
fn a_block_that_was_torn_is_found_by_its_length_and_one_that_was_altered_by_its_bytes() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let block = a_block(&source, DOCUMENTS);
    let path = object_path(&source, &block);
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, &bytes).unwrap();
    world.options.verify_source = Some(all(false));
    assert_eq!(lost(&world.backup(&source)), (vec![], 0));
    world.options.verify_source = Some(all(true));
    let report = world.backup(&source);
    assert_eq!(lost(&report), (vec![block], 1));
    assert_eq!(report.manifest.source_damage[0].reason, "wrong-id");
    world.options.verify_source = None;
    assert_eq!(lost(&world.backup(&source)), (vec![block], 0));
    // Torn.
    bytes[0] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut world = World::local();
    world.backup(&source);
    bytes.pop();
    fs::write(&path, &bytes).unwrap();
    world.options.verify_source = Some(all(false));
    assert_eq!(lost(&world.backup(&source)), (vec![block], 1));
}

/// Without the manifest nobody knows what the source had lost: all of it is looked at again.
#[test]
fn what_the_source_lost_is_told_also_when_the_manifest_is_lost() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let block = a_block(&source, DOCUMENTS);
    fs::remove_file(object_path(&source, &block)).unwrap();
    world.options.verify_source = Some(all(false));
    assert_eq!(lost(&world.backup(&source)), (vec![block], 1));
    world.options.verify_source = None;
    for key in world.keys() {
        if key.starts_with("data/manifests/") {
            fs::remove_file(world.repository_path().join(key)).unwrap();
        }
    }
    let report = world.backup(&source);
    assert_eq!(lost(&report).0, [block]);
    assert_eq!(report.audited, report.manifest.libraries.len());
    assert!(!report.alarms.is_empty());
    // From here on it is known again.
    let report = world.backup(&source);
    assert_eq!((lost(&report), report.audited), ((vec![block], 0), 0));
}

/// What else can be lost without a head that moves.
#[test]
fn a_folder_and_a_commit_that_the_source_lost_are_found() {
    let older = |source: &Source, commit: &Object| parent(source, commit);
    for pick in [root, older] {
        let (source, mut world) = (Source::example(), World::local());
        world.backup(&source);
        let object = pick(&source, &head(&source, DOCUMENTS));
        fs::remove_file(object_path(&source, &object)).unwrap();
        assert_eq!(lost(&world.backup(&source)), (vec![], 0));
        world.options.verify_source = Some(all(false));
        assert_eq!(lost(&world.backup(&source)), (vec![object], 1));
    }
}

#[test]
fn libraries_have_their_turn() {
    let (source, mut world) = (Source::example(), World::local());
    let first = world.backup(&source);
    // All of it was read to be stored.
    assert_eq!(first.marker.audited, Some(first.marker.started));
    let walked = |report: &Report| {
        let libraries = report.manifest.libraries.iter();
        libraries.filter(|library| !library.heads.is_empty()).count()
    };
    world.options.verify_source = "1/3".parse().ok();
    let mut seen = Vec::new();
    for _ in 0..9 {
        let report = world.backup(&source);
        assert!(report.audited < walked(&report), "{}", report.audited);
        seen.push(report.audited);
        let sequences = report.manifest.libraries.iter();
        let oldest =
            sequences.filter_map(|library| library.audited).min_by_key(|audited| audited.sequence);
        let oldest = oldest.unwrap();
        assert!(report.marker.sequence - oldest.sequence <= 6, "{seen:?}");
        assert_eq!(report.marker.audited, Some(oldest.time));
    }
    // From the first night on.
    assert!(seen[0] > 0, "{seen:?}");
    assert!(seen.iter().sum::<usize>() >= walked(&first), "{seen:?}");
}

/// Seafile collects history by time; what the repository has of it is not fetched to look at it.
pub fn reads_of_packs(recording: &RecordingBackend<MemoryBackend>) -> usize {
    let is_of_pack = |call: &&Operation| {
        let Operation::Get(key, _) = call else {
            return false;
        };
        key.as_str().starts_with("data/blocks") || key.as_str().starts_with("data/trees")
    };
    recording.operations().iter().filter(is_of_pack).count()
}

/// A store that is gone is not fetched object by object.
#[test]
fn what_lies_together_is_read_from_the_repository_together() {
    let source = Source::example();
    let library = add_library(&source, 500, 100, 1);
    let recording = Arc::new(RecordingBackend::new(MemoryBackend::default()));
    let mut world = World::on(recording.clone());
    world.backup(&source);
    let folder = source.path.join("seafile-data/storage/fs").join(&library);
    fs::remove_dir_all(&folder).unwrap();
    world.options.verify_source = Some(all(false));
    recording.take();
    let report = world.backup(&source);
    assert!(lost(&report).0.len() > 500);
    // The walk, the second look and the closure read one frame each, by as many threads as there are.
    assert!(reads_of_packs(&recording) < 100);
}

#[test]
fn history_that_was_collected_is_neither_damage_nor_read_from_the_repository() {
    let source = Source::example();
    let recording = Arc::new(RecordingBackend::new(MemoryBackend::default()));
    let mut world = World::on(recording.clone());
    world.backup(&source);
    let newest = head(&source, UNICODE);
    let old = parent(&source, &newest);
    let older = parent(&source, &old);
    source.sql(&format!("INSERT OR REPLACE INTO RepoValidSince VALUES ('{UNICODE}', 4000000000)"));
    for commit in [old, older] {
        let tree = root(&source, &commit);
        fs::remove_file(object_path(&source, &commit)).unwrap();
        if tree != root(&source, &newest) {
            fs::remove_file(object_path(&source, &tree)).unwrap();
        }
    }
    for full in [false, true] {
        world.options.full = full;
        world.options.verify_source = (!full).then_some(all(true));
        recording.take();
        let report = world.backup(&source);
        assert_eq!((report.marker.damage, lost(&report)), (0, (vec![], 0)));
        assert!(!report.needs_reading(), "{:?}", report.warnings());
        assert_eq!(reads_of_packs(&recording), 0, "{full}");
    }
    let options = check::Options { level: CheckLevel::Deep, ..check::Options::default() };
    let report = check::run(&world.repository, &options, &|_| {}).unwrap();
    assert!(report.is_good(), "{:?}", report.problems);
}

#[test]
fn by_the_command_line() {
    let (source, user) = (Source::example(), User::new());
    let path = source.path.to_str().unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["backup", path]).succeeds();
    for bad in ["0/3", "4/3", "3", "1/3=look"] {
        let ran = user.run(&["backup", path, "--verify-source", bad]);
        assert_eq!(ran.status, 2, "{bad}");
        assert!(ran.stderr.contains("1/30=read"), "{}", ran.stderr);
    }
    let ran = user.run(&["backup", path, "--full", "--verify-source", "1/3"]);
    assert_eq!(ran.status, 2);
    let ran = user.run(&["backup", path, "--verify-source", "1/1=read"]);
    assert!(ran.succeeds().contains("audited   "), "{}", ran.stdout);
    let ran = user.run(&["status"]);
    let stdout = ran.succeeds();
    assert!(stdout.contains("audited   every library"), "{stdout}");
    fs::remove_file(object_path(&source, &a_block(&source, DOCUMENTS))).unwrap();
    let ran = user.run(&["backup", path, "--full"]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("is bad in the source, good in the repository"), "{}", ran.stderr);
    assert!(ran.stdout.contains("compacted nothing"), "{}", ran.stdout);
}
