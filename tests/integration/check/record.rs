//! Stories: what real repositories look like to a deep check, and from a flipped byte to a repository
//! that is whole again.

use std::fs;

use seawall::check::{self, CheckLevel, Options, ProblemKind, Report};
use seawall::object::{LibraryId, Store};
use seawall::repository::runs;
use seawall_backends::Verb;
use seawall_backends::{LocalBackend, RecordingBackend};

use super::forge::Forge;
use super::{overwrite, problems};
use crate::damage::{head, object_path, parent, root};
use crate::support::{CLEANED, DOCUMENTS, Source, World, files_below};

const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";
const UNICODE: &str = "830ac5d7-2294-4f9c-ae5f-81500eb54e68";

fn check(world: &World, level: CheckLevel, snapshot: Option<&str>) -> Report {
    let options =
        Options { level, snapshot: snapshot.map(Into::into), workers: 2, ..Options::default() };
    check::run(&world.repository, &options, &|_| {}).unwrap()
}

fn assert_deep(world: &World) -> Report {
    let report = check(world, CheckLevel::Deep, None);
    assert!(report.is_good(), "{:#?}", report.problems);
    let report = check(world, CheckLevel::Deep, Some("latest"));
    assert!(report.is_good(), "{:#?}", report.problems);
    report
}

fn record(world: &World, report: &Report) -> Option<check::DamageRecord> {
    check::record(&world.repository, report, world.clock.now()).unwrap()
}

#[test]
fn damage_in_the_source_is_no_damage_of_the_repository() {
    let world = World::local();
    let source = Source::example();
    // A lost block, a torn one, a torn fs object, and a library whose row is lost.
    let lost = source.objects("blocks", DOCUMENTS)[0].clone();
    let torn = source.objects("blocks", UNICODE)[0].clone();
    let folder = source.objects("fs", UNICODE)[0].clone();
    let (bytes, torn_bytes) = (fs::read(&lost).unwrap(), fs::read(&torn).unwrap());
    fs::remove_file(&lost).unwrap();
    overwrite(&torn, b"torn");
    overwrite(&folder, b"torn");
    let stray = source.objects("blocks", PHOTOS)[0].clone();
    overwrite(&stray, b"torn");
    let rows = ["Repo", "Branch", "RepoHead"];
    for table in rows {
        source.sql(&format!(
            "CREATE TABLE Kept{table} AS SELECT * FROM {table} WHERE repo_id = '{PHOTOS}';
             DELETE FROM {table} WHERE repo_id = '{PHOTOS}'"
        ));
    }
    let report = world.backup(&source);
    assert!(report.marker.damage >= 2);
    assert_eq!(report.marker.incomplete, ["stores-damaged"]);
    assert!(report.needs_reading());
    let deep = assert_deep(&world).deep.unwrap();
    assert_eq!(deep.damage, report.marker.damage);
    // It comes back, and something else goes that the repository has.
    overwrite(&lost, &bytes);
    overwrite(&torn, &torn_bytes);
    for table in rows {
        source.sql(&format!("INSERT INTO {table} SELECT * FROM Kept{table}"));
    }
    fs::remove_file(&source.objects("fs", DOCUMENTS)[0]).unwrap();
    let report = world.backup(&source);
    assert!(report.needs_reading());
    assert_deep(&world);
    world.backup(&source);
    assert_deep(&world);
}

#[test]
fn the_larger_installation_checks_deep() {
    let Some(source) = Source::small() else {
        return;
    };
    let world = World::local();
    for _ in 0..2 {
        world.backup(&source);
    }
    let deep = assert_deep(&world).deep.unwrap();
    assert_eq!(deep.damage, 0);
}

/// History of a library in the trash is optional, and its gaps are looked at once. When the library
/// comes back, they are damage: nothing tells whether they were collected.
#[test]
fn gaps_in_the_trash_are_damage_when_the_library_comes_back() {
    let world = World::local();
    let source = Source::example();
    let newest = head(&source, CLEANED);
    let old = root(&source, &parent(&source, &newest));
    fs::remove_file(object_path(&source, &old)).unwrap();
    source.sql(&format!(
        "CREATE TABLE KeptRepo AS SELECT * FROM Repo WHERE repo_id = '{CLEANED}';
         CREATE TABLE KeptBranch AS SELECT * FROM Branch WHERE repo_id = '{CLEANED}';
         INSERT INTO RepoTrash SELECT '{CLEANED}', 'x', commit_id, 'a', 0, -1, 1 FROM Branch WHERE repo_id = '{CLEANED}';
         DELETE FROM Repo WHERE repo_id = '{CLEANED}'; DELETE FROM Branch WHERE repo_id = '{CLEANED}';
         DELETE FROM RepoValidSince WHERE repo_id = '{CLEANED}';"
    ));
    for _ in 0..3 {
        assert_eq!(world.backup(&source).marker.damage, 0);
    }
    let deep = assert_deep(&world).deep.unwrap();
    assert_eq!((deep.damage, deep.history_gone), (0, 1));
    source.sql(&format!(
        "INSERT INTO Repo SELECT * FROM KeptRepo; INSERT INTO Branch SELECT * FROM KeptBranch;
         DELETE FROM RepoTrash WHERE repo_id = '{CLEANED}'"
    ));
    let report = world.backup(&source);
    assert!(report.marker.damage > 0, "history is gone, and nothing says that it may be");
    assert_deep(&world);
}

#[test]
fn a_flipped_byte_is_found_reported_and_healed() {
    for folder in ["data/blocks", "data/trees", "databases", "data/files", "data/index"] {
        let world = World::local();
        let source = Source::example();
        world.backup(&source);
        let path = files_below(&world.repository_path().join(folder))[0].clone();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        overwrite(&path, &bytes);
        let key = path.strip_prefix(world.repository_path()).unwrap();
        let key = key.to_str().unwrap().to_owned();

        let names = check(&world, CheckLevel::Names, None);
        assert_eq!(names.is_good(), folder != "data/index", "names and sizes are right");
        let found = check(&world, CheckLevel::Data, None);
        assert_eq!(problems(&found), [(key.clone(), ProblemKind::Altered)]);
        let before = world.keys();
        let recorded = record(&world, &found).unwrap();
        assert_eq!(
            recorded.keys.iter().map(seawall_backends::Key::as_str).collect::<Vec<_>>(),
            [&*key]
        );
        let new: Vec<String> =
            world.keys().into_iter().filter(|key| !before.contains(key)).collect();
        assert_eq!(new, [recorded.record.to_string()]);
        assert!(new[0].starts_with("data/runs/damaged-2"), "{new:?}");
        let text = world.backend.get(&recorded.record, None).unwrap();
        assert_eq!(text, format!("seawall damage 1\nkey {key}\n").into_bytes());
        // What a record lists is not reported twice.
        assert_eq!(record(&world, &found), None);
        assert_eq!(runs::absent_keys(world.backend.as_ref()).unwrap().len(), 1);

        world.backup(&source);
        let healed = check(&world, CheckLevel::Deep, Some("latest"));
        assert!(healed.is_good(), "{folder}: {:#?}", healed.problems);
        // The older snapshot still needs what is bad.
        let all = check(&world, CheckLevel::Data, None);
        assert_eq!(problems(&all), [(key, ProblemKind::Altered)]);
        assert_eq!(record(&world, &all), None);
    }
}

#[test]
fn what_a_backup_cannot_store_anew_is_not_recorded() {
    let world = World::local();
    world.backup(&Source::example());
    let marker = files_below(&world.repository_path().join("markers"))[0].clone();
    let before = world.keys();
    assert_eq!(record(&world, &check(&world, CheckLevel::Data, None)), None, "nothing is bad");
    overwrite(&marker, b"no marker");
    let report = check(&world, CheckLevel::Data, None);
    assert_eq!(problems(&report)[0].1, ProblemKind::Signature);
    assert_eq!(record(&world, &report), None);
    fs::remove_file(world.repository_path().join("seawall.json")).unwrap();
    let report = check(&world, CheckLevel::Data, None);
    assert_eq!(report.problems.len(), 2);
    assert_eq!(record(&world, &report), None);
    assert_eq!(world.keys().len(), before.len() - 1);
}

#[test]
fn pointers_that_lead_nowhere_and_contradictions_are_not_recorded() {
    let mut forge = Forge::new();
    let library: LibraryId = DOCUMENTS.parse().unwrap();
    let (line, _) = forge.find(|member| member.name.object.store == Store::Library(library));
    forge.repack(line, |entries| {
        entries.retain(|(name, _)| name.object.store != Store::Library(library));
    });
    forge.manifest.libraries[0].name = Some("another".into());
    let report = forge.check();
    let kinds: Vec<ProblemKind> = problems(&report).into_iter().map(|(_, kind)| kind).collect();
    assert!(
        kinds.contains(&ProblemKind::Unresolved) && kinds.contains(&ProblemKind::Contradiction)
    );
    let now = seawall::time::Clock::system().now();
    assert_eq!(check::record(&forge.repository, &report, now).unwrap(), None);
}

#[test]
fn only_the_record_is_ever_written() {
    let mut world = World::local();
    world.backup(&Source::example());
    let pack = files_below(&world.repository_path().join("data/blocks"))[0].clone();
    overwrite(&pack, b"x");
    let inner = LocalBackend::open(world.repository_path()).unwrap();
    let backend = std::sync::Arc::new(RecordingBackend::new(inner));
    world.through(std::sync::Arc::clone(&backend) as _);
    let report = check(&world, CheckLevel::Deep, None);
    let writes = |backend: &RecordingBackend<LocalBackend>| {
        let operations = backend.take().into_iter().map(|recorded| recorded.operation);
        let writing = operations
            .filter(|operation| !matches!(operation.verb(), Verb::Get | Verb::Stat | Verb::List));
        writing.filter_map(|operation| operation.key().map(ToString::to_string)).collect::<Vec<_>>()
    };
    assert_eq!(writes(&backend), Vec::<String>::new());
    let recorded = record(&world, &report).unwrap();
    assert_eq!(writes(&backend), [recorded.record.to_string()]);
}

/// The first list that names a pack has lost its segment: a later one tells the pack's size.
#[test]
fn the_size_of_a_pack_is_taken_from_any_segment() {
    let mut forge = Forge::new();
    forge.sign();
    let key = forge.pack_key(0);
    let named_by_first = forge.repository.markers().unwrap().snapshots[0].marker.lists[0].clone();
    let list = seawall::repository::index::List::read(&forge.repository, &named_by_first).unwrap();
    let segment = seawall::repository::names::segment(&list.segment, forge.repository.seal());
    assert!(list.packs.iter().any(|(_, pack)| key.contains(&pack.to_string())));
    fs::remove_file(forge.copy.path.join(segment.as_str())).unwrap();
    let bytes = forge.copy.read(&key);
    forge.copy.write(&key, &bytes[1..]);
    let report = super::checked(&forge.repository, CheckLevel::Names);
    assert!(problems(&report).contains(&(key, ProblemKind::Size)), "{:#?}", report.problems);
}
