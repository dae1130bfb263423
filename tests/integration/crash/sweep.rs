//! Every operation of a run at the destination fails, in six ways; the next run has to make it good.

use std::fs;
use std::sync::Arc;

use seawall_backends::{
    Backend, ErrorKind, Fault, FaultPlan, FaultyBackend, Key, MemoryBackend, RetryPolicy,
    RetryingBackend, Verb,
};

use seawall::backup;
use seawall::repository::{self, names};

use super::{Stage, Truth, assert_kept};
use crate::compaction::{add_library, copy_library, delete_library};
use crate::support::Source;
use crate::synthetic::generator;

const LOST: Fault = Fault::FailAfter(ErrorKind::Transient);
const FAILS: Fault = Fault::FailBefore(ErrorKind::Transient);

/// What goes wrong, and whether calls are tried again, as the command does.
pub const FAULTS: [(Fault, bool); 6] = [
    (Fault::DieBefore, true),
    (Fault::DieAfter, true),
    (LOST, false),
    (LOST, true),
    (FAILS, false),
    (FAILS, true),
];

/// The destination, going wrong at one operation.
pub fn failing(
    memory: &MemoryBackend,
    number: u64,
    fault: Fault,
    retried: bool,
) -> Arc<dyn Backend> {
    let faulty = FaultyBackend::new(memory.clone(), FaultPlan::new().at(number, fault));
    if retried {
        Arc::new(RetryingBackend::new(faulty, RetryPolicy::fast()))
    } else {
        Arc::new(faulty)
    }
}

/// Runs a backup that fails at each operation, and then one that must not.
fn sweep(name: &str, stage: &Stage, source: &Source) -> Truth {
    let clean = stage.fork();
    let counting = Arc::new(FaultyBackend::new(clean.memory.clone(), FaultPlan::new()));
    let report = clean.backup(counting.clone(), source).unwrap();
    let count = counting.count();
    let truth = Truth::of(&clean, &report);
    let copies = clean.copies();
    let (mut points, mut failed) = (0, 0);
    for (fault, retried) in FAULTS {
        for number in 0..count {
            let about = format!("{name}: {fault:?} at {number}, retried: {retried}");
            let mut place = stage.fork();
            let before = place.bytes();
            let died = place.backup(failing(&place.memory, number, fault, retried), source);
            points += 1;
            failed += usize::from(died.is_err());
            if let Ok(died) = &died {
                truth.assert_held(&place, died, &about);
                // What passes is no alarm, and takes nothing from what the run builds on.
                assert_eq!(died.alarms, report.alarms, "{about}");
            }
            assert_kept(&before, &place, &about);
            place.assert_good(&about);
            let crashed = place.bytes();
            place.full &= !place.full_once;
            let report = place.backup_well(source);
            assert_kept(&crashed, &place, &about);
            truth.assert_held(&place, &report, &about);
            place.assert_good(&about);
            for (object, number) in place.copies() {
                let allowed = copies.get(&object).copied().unwrap_or_default();
                assert!(number <= allowed, "{about}: {object} was stored again");
            }
        }
    }
    eprintln!("{name}: {count} operations, {points} crash points, {failed} runs failed");
    assert!(failed > 0);
    truth
}

/// The example as it was before the newest commit of each library.
pub fn older_example() -> Source {
    let source = Source::example();
    let heads = source.query("SELECT group_concat(repo_id || ' ' || commit_id) FROM Branch");
    let mut older = 0;
    for (library, head) in heads.split(',').filter_map(|row| row.split_once(' ')) {
        let folder = source.path.join("seafile-data/storage/commits").join(library);
        let commit = fs::read(folder.join(&head[..2]).join(&head[2..])).unwrap();
        let commit: serde_json::Value = serde_json::from_slice(&commit).unwrap();
        if let Some(parent) = commit["parent_id"].as_str() {
            older += 1;
            source.sql(&format!(
                "UPDATE Branch SET commit_id = '{parent}' WHERE repo_id = '{library}'"
            ));
        }
    }
    assert!(older > 2, "{older}");
    source
}

/// A repository, and a backup of the source in it.
pub fn backed_up(source: &Source) -> Stage {
    let stage = joined();
    stage.backup_well(source);
    stage
}

pub fn joined() -> Stage {
    let stage = Stage::new();
    stage.init(&stage.backend()).unwrap();
    stage
}

#[test]
fn the_first_backup() {
    sweep("first backup", &joined(), &Source::example());
}

#[test]
fn a_backup_of_what_changed() {
    let (before, now) = (older_example(), Source::example());
    sweep("backup of changes", &backed_up(&before), &now);
}

#[test]
fn a_backup_of_nothing_new() {
    let source = Source::example();
    sweep("backup of nothing new", &backed_up(&source), &source);
}

#[test]
fn a_backup_after_a_pack_was_lost() {
    let source = Source::example();
    for folder in ["data/blocks/", "data/trees/"] {
        let mut stage = backed_up(&source);
        let pack = stage.bytes().into_keys().find(|key| key.starts_with(folder)).unwrap();
        stage.memory.delete(&Key::parse(&pack).unwrap()).unwrap();
        stage.lost = Some(pack);
        sweep(&format!("backup after a pack in {folder} was lost"), &stage, &source);
    }
}

#[test]
fn a_backup_that_takes_from_the_repository_what_the_source_lost() {
    let source = Source::example();
    let stage = backed_up(&source);
    // Every library is walked again, and meets what is not there.
    fs::remove_file(stage.catalog()).unwrap();
    let libraries = source.query("SELECT group_concat(repo_id) FROM Branch");
    let stores = libraries
        .split(',')
        .filter(|library| source.path.join("seafile-data/storage/fs").join(library).is_dir());
    let largest = stores.map(|library| source.objects("fs", library)).max_by_key(Vec::len);
    for lost in &largest.unwrap()[..3] {
        fs::remove_file(lost).unwrap();
    }
    let truth = sweep("backup that rescues", &stage, &source);
    assert!(truth.damage > 0);
}

/// A repository of which much is not needed any more, with links, and the source that needs the rest.
fn to_compact() -> (Stage, Source) {
    let source = Source::example();
    let gone = add_library(&source, 60, 80_000, 1);
    let copied = add_library(&source, 5, 8000, 3);
    let first = backed_up(&source);
    copy_library(&source, &copied, "c0b1");
    let later = add_library(&source, 60, 20_000, 7);
    first.backup_well(&source);
    delete_library(&source, &gone);
    delete_library(&source, &later);
    generator::change(&source.path, 2, 2000, 5);
    let mut stage = first;
    stage.full = true;
    let report = stage.fork().backup_well(&source);
    assert!(report.compacted.unwrap().packs > 1);
    (stage, source)
}

#[test]
fn a_compaction() {
    let (stage, source) = to_compact();
    sweep("compaction", &stage, &source);
}

#[test]
fn a_compaction_and_then_a_plain_run() {
    let (mut stage, source) = to_compact();
    stage.full_once = true;
    sweep("compaction, then a plain run", &stage, &source);
}

/// The destination without what lies at `key`: reading it fails so.
fn failing_to_read(stage: &Stage, key: &Key, fault: Fault) -> Arc<dyn Backend> {
    let plan = FaultPlan::new().always(Verb::Get, key.as_str(), fault);
    Arc::new(FaultyBackend::new(stage.memory.clone(), plan))
}

/// Away for good, and for a moment.
const AWAY: [Fault; 2] = [Fault::DieBefore, FAILS];
/// A bad sector: all else can be read.
const BAD: Fault = Fault::FailBefore(ErrorKind::Other);

#[test]
fn a_run_that_cannot_reach_the_destination_forgets_nothing() {
    let source = Source::example();
    let stage = backed_up(&source);
    let repository = stage.reader();
    let base = repository.markers().unwrap().latest().unwrap().id();
    let manifest = names::manifest(base, repository.seal());
    let undisturbed = stage.fork().backup_well(&source);
    for fault in AWAY {
        let place = stage.fork();
        let backend = failing_to_read(&place, &manifest, fault);
        let error = place.backup(backend, &source).unwrap_err();
        let backup::Error::Repository(repository::Error::Backend(error)) = error else {
            panic!("{fault:?}: {error:?}")
        };
        // It ended there, and not at what it did next.
        assert_eq!(error.key(), Some(&manifest), "{fault:?}");
        let report = place.backup_well(&source);
        assert_eq!(report.visited, undisturbed.visited, "{fault:?}");
        assert_eq!(report.alarms, undisturbed.alarms, "{fault:?}");
    }
    // What is bad while all else can be read is told, and nothing is built on it.
    let place = stage.fork();
    let backend = failing_to_read(&place, &manifest, BAD);
    let report = place.backup(backend, &source).unwrap();
    assert!(report.alarms[0].contains("manifest"), "{:?}", report.alarms);
    assert!(report.visited > undisturbed.visited, "{}", report.visited);
}

#[test]
fn a_marker_that_is_out_of_reach_is_not_a_bad_one() {
    let stage = backed_up(&Source::example());
    let base = stage.reader().markers().unwrap().latest().unwrap().id();
    let marker = names::marker(base);
    let read = |fault| {
        let backend = failing_to_read(&stage, &marker, fault);
        stage.repository(backend).unwrap().markers()
    };
    for fault in AWAY {
        let error = read(fault).unwrap_err();
        assert!(matches!(error, repository::Error::Backend(_)), "{fault:?}: {error:?}");
    }
    let markers = read(BAD).unwrap();
    assert_eq!((markers.snapshots.len(), markers.bad.len()), (0, 1));
    assert_eq!(markers.bad[0].key, marker);
}

#[test]
fn making_a_repository() {
    let mut points = 0;
    for (fault, retried) in FAULTS {
        for number in 0.. {
            let about = format!("init: {fault:?} at {number}, retried: {retried}");
            let stage = Stage::new();
            let faulty = Arc::new(FaultyBackend::new(
                stage.memory.clone(),
                FaultPlan::new().at(number, fault),
            ));
            let backend: Arc<dyn Backend> = if retried {
                Arc::new(RetryingBackend::new(faulty.clone(), RetryPolicy::fast()))
            } else {
                faulty.clone()
            };
            let died = stage.init(&backend);
            if faulty.count() <= number {
                break;
            }
            points += 1;
            let before = stage.bytes();
            stage.init(&stage.backend()).unwrap();
            assert_kept(&before, &stage, &about);
            assert_eq!(
                stage.bytes().len(),
                3,
                "{about}: configuration, one host key, and the page"
            );
            assert_eq!(stage.reader().pinned().len(), 1);
            // Behind retries nothing that passes is an error.
            let passes = matches!(fault, Fault::FailBefore(_) | Fault::FailAfter(_));
            assert!(!(passes && retried) || died.is_ok(), "{about}");
        }
    }
    eprintln!("init: {points} crash points");
    assert!(points >= 18, "{points}");
}
