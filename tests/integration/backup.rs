//! Backups of real installations: what is stored, in which order, and what is not stored again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use seawall::backup::Report;
use seawall::host::catalog::Catalog;
use seawall::object::{Kind, Object, Sha256, Store};
use seawall::repository::index::{self, List};
use seawall::repository::marker::Marker;
use seawall::repository::names;
use seawall::repository::pack::{self, MemberPlace};
use seawall::repository::{Repository, reader};
use seawall::time::Clock;
use seawall_backends::{
    Backend, ErrorKind, Fault, FaultPlan, FaultyBackend, Key, LocalBackend, MemoryBackend,
    Operation, RecordingBackend, Verb,
};

use crate::support::{DOCUMENTS, Source, World, files_below};

/// Every object that a snapshot's lists name, read from packs alone.
pub fn stored_objects(repository: &Repository, marker: &Marker) -> HashMap<Object, Vec<u8>> {
    let mut objects: HashMap<Object, Vec<u8>> = HashMap::new();
    for named in &marker.lists {
        let list = List::read(repository, named).unwrap();
        let (_, lines, _) = list.read_segment(repository).unwrap();
        for line in lines {
            let (bytes, _) = reader::read_pack(repository, line.kind, &line.pack).unwrap();
            let (contents, _) = pack::read_contents(&bytes).unwrap();
            assert_eq!(contents, line.contents, "table of contents and segment agree");
            let frames: Vec<Vec<u8>> = contents
                .frames
                .iter()
                .map(|frame| {
                    let range = frame.offset as usize..(frame.offset + frame.len) as usize;
                    pack::read_frame(&bytes[range], frame).unwrap()
                })
                .collect();
            for member in contents.members.iter().filter(|member| !member.name.damaged) {
                let object = member.name.object;
                let bytes = match &member.place {
                    MemberPlace::Data { frame, offset, len, .. } => {
                        let start = *offset as usize;
                        frames[*frame as usize][start..start + *len as usize].to_vec()
                    }
                    MemberPlace::Link { target } => {
                        // Its target is earlier: in this pack, or in one that is listed before.
                        objects[&Object { store: *target, ..object }].clone()
                    }
                };
                objects.insert(object, bytes);
            }
        }
    }
    objects
}

/// Every object on disk that is not garbage, by name.
fn objects_on_disk(source: &Source) -> HashMap<Object, Vec<u8>> {
    let storage = source.path.join("seafile-data/storage");
    let mut objects = HashMap::new();
    for path in files_below(&storage) {
        let inside = path.strip_prefix(&source.path).unwrap().to_str().unwrap();
        let object = Object::from_path(inside).unwrap();
        objects.insert(object, fs::read(&path).unwrap());
    }
    objects
}

fn assert_holds_what_is_reachable(
    source: &Source,
    world: &World,
    report: &Report,
    unreachable: usize,
) {
    let stored = stored_objects(&world.repository, &report.marker);
    let on_disk = objects_on_disk(source);
    for (object, bytes) in &stored {
        assert_eq!(on_disk.get(object), Some(bytes), "{object}");
    }
    let garbage: BTreeSet<Store> = report
        .manifest
        .unreferenced
        .iter()
        .filter(|store| store.garbage)
        .map(|store| Store::Library(store.store))
        .collect();
    let left = on_disk
        .keys()
        .filter(|object| !garbage.contains(&object.store) && !stored.contains_key(object));
    assert_eq!(left.count(), unreachable);
}

#[test]
fn the_example_is_stored_byte_for_byte() {
    let (source, world) = (Source::example(), World::local());
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert!(!report.needs_reading(), "{:?} {:?}", report.marker, report.manifest.warnings);
    assert_eq!(report.manifest.libraries.len(), 10);
    assert!(report.manifest.libraries.iter().all(|library| library.closed));
    assert_holds_what_is_reachable(&source, &world, &report, 2);
}

#[test]
fn the_small_installation_is_stored_byte_for_byte() {
    let Some(source) = Source::small() else {
        return;
    };
    let world = World::local();
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert!(!report.needs_reading());
    assert_eq!(report.manifest.libraries.len(), 19);
    assert_holds_what_is_reachable(&source, &world, &report, 14);
    // Blocks that were copied between libraries are stored once.
    let lists =
        report.marker.lists.iter().map(|named| List::read(&world.repository, named).unwrap());
    let lines = lists.flat_map(|list| list.read_segment(&world.repository).unwrap().1);
    let members = lines.flat_map(|line| line.contents.members);
    let links = members.filter(|member| matches!(member.place, MemberPlace::Link { .. })).count();
    assert!(links > 50, "{links}");
}

#[test]
fn everything_means_unreachable_objects_too() {
    let source = Source::example();
    let mut world = World::local();
    world.options.everything = true;
    let report = world.backup(&source);
    assert_holds_what_is_reachable(&source, &world, &report, 0);
}

#[test]
fn nothing_changed_stores_intent_manifest_sums_and_marker() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let before: HashSet<String> = world.keys().into_iter().collect();
    let report = world.backup(&source);
    let after: HashSet<String> = world.keys().into_iter().collect();
    assert!(before.is_subset(&after));
    let name = report.marker.snapshot.to_string();
    let mut new: Vec<&str> = after.difference(&before).map(String::as_str).collect();
    new.sort_unstable();
    let expected = [
        format!("data/lists/{name}.sha256"),
        format!("data/manifests/{name}.json.zst"),
        format!("data/runs/{name}"),
        format!("markers/{name}"),
    ];
    assert_eq!(new, expected);
    assert_eq!(report.marker.sequence, 2);
    assert_eq!(report.visited, 0, "the walk stops at closed heads");
    assert_eq!(report.manifest.libraries.len(), 10);
}

/// The place of a key in the order of a run.
fn stage(key: &str) -> usize {
    let stages: [&[&str]; 6] = [
        &["data/runs/"],
        &["databases/"],
        &["data/blocks/", "data/trees/"],
        &["data/files/"],
        &["data/index/", "data/lists/", "data/manifests/"],
        &["markers/"],
    ];
    stages.iter().position(|stage| stage.iter().any(|prefix| key.starts_with(prefix))).unwrap()
}

#[test]
fn dumps_before_objects_before_index_before_manifest_before_marker() {
    let source = Source::example();
    let recording = Arc::new(RecordingBackend::new(MemoryBackend::default()));
    let world = World::on(recording.clone());
    recording.take();
    let report = world.backup(&source);
    let mut puts = Vec::new();
    let mut lists = Vec::new();
    for (position, recorded) in recording.take().into_iter().enumerate() {
        match recorded.operation {
            Operation::Put(key, _) => puts.push((position, key.to_string())),
            Operation::List(prefix) => lists.push((position, prefix)),
            Operation::Delete(key) => panic!("a backup deleted {key}"),
            _ => {}
        }
    }
    let stages: Vec<usize> = puts.iter().map(|(_, key)| stage(key)).collect();
    assert!(stages.is_sorted(), "{puts:#?}");
    assert_eq!(puts.last().unwrap().1, format!("markers/{}", report.marker.snapshot));
    // A pack before the segment that names it, the segment before its list, the list before the sums.
    let position = |text: &str| puts.iter().find(|(_, key)| key.contains(text)).unwrap().0;
    assert!(position("data/index/") < position(&report.marker.lists[0].sha256.to_string()));
    assert!(
        position("data/manifests/") < position(&format!("data/lists/{}", report.marker.snapshot))
    );
    // What prune may be deleting is listed only after the intent is there.
    let intent = position("data/runs/");
    let after = |prefix: &str| lists.iter().any(|(at, listed)| listed == prefix && *at > intent);
    assert!(after("data/runs") && after("data/blocks") && after("data/trees"));
    assert!(after("markers"), "the base is read after the intent");
    let early = lists.iter().find(|(at, prefix)| prefix.starts_with("data/") && *at < intent);
    assert_eq!(early, None, "packs and tombstones are not listed before the intent");
}

#[test]
fn the_source_is_not_touched() {
    let (source, world) = (Source::example(), World::local());
    let listing = || {
        crate::support::run(
            "find",
            &[source.path.to_str().unwrap(), "-printf", "%p %y %m %s %T@ %C@\\n"],
        )
    };
    let before = listing();
    world.backup(&source);
    assert_eq!(listing(), before);
}

#[test]
fn markers_sums_and_lists_satisfy_sha256sum() {
    let (source, world) = (Source::example(), World::local());
    let report = world.backup(&source);
    let marker = report.marker;
    let top = world.repository_path();
    for named in marker.lists.iter().chain([&marker.sums]) {
        let script = format!(
            "cd '{}' && echo '{}  {}' | sha256sum -c --strict - && sha256sum -c --strict '{}'",
            top.display(),
            named.sha256,
            named.key,
            named.key
        );
        crate::support::run("sh", &["-ec", &script]);
    }
}

/// Kills the run at its n-th operation, then runs again.
fn die_and_resume(operation: u64, effect: bool) -> bool {
    let source = Source::example();
    let memory = MemoryBackend::default();
    let mut world = World::on(Arc::new(memory.clone()));
    let fault = if effect { Fault::DieAfter } else { Fault::DieBefore };
    // The first two calls open the repository.
    world.through(Arc::new(FaultyBackend::new(
        memory.clone(),
        FaultPlan::new().at(operation + 2, fault),
    )));
    let died = world.try_backup(&source).is_err();
    let stored = |world: &World| -> BTreeSet<String> {
        world
            .keys()
            .into_iter()
            .filter(|key| key.starts_with("data/blocks") || key.starts_with("data/trees"))
            .collect()
    };
    world.through(Arc::new(memory));
    let before = stored(&world);
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert_holds_what_is_reachable(&source, &world, &report, 2);
    // No pack that was stored is stored again: each is named, and no object lies in two.
    let after = stored(&world);
    assert!(before.is_subset(&after));
    assert_eq!(report.marker.packs as usize, after.len(), "operation {operation}");
    died
}

#[test]
fn interrupted_runs_resume_and_store_nothing_twice() {
    let mut operation = 0;
    loop {
        let before = die_and_resume(operation, false);
        let after = die_and_resume(operation, true);
        if !before && !after {
            break;
        }
        operation += 3;
    }
    assert!(operation > 20, "{operation}");
}

#[test]
fn stored_but_not_closed_does_not_stop_the_walk() {
    // Finding 1 of review-format.md: the run dies after the trees and before the blocks.
    let source = Source::example();
    let memory = MemoryBackend::default();
    let mut world = World::on(Arc::new(memory.clone()));
    let plan =
        FaultPlan::new().always(Verb::Put, "data/blocks", Fault::FailBefore(ErrorKind::Other));
    world.through(Arc::new(FaultyBackend::new(memory.clone(), plan)));
    assert!(world.try_backup(&source).is_err());
    world.through(Arc::new(memory));
    let report = world.backup(&source);
    assert_holds_what_is_reachable(&source, &world, &report, 2);
}

#[test]
fn a_lost_pack_is_noticed_and_its_objects_are_stored_again() {
    // Finding 2: no library changed, and yet the marker must not stand over a hole.
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    for folder in ["data/blocks", "data/trees"] {
        let pack = files_below(&world.repository_path().join(folder)).pop().unwrap();
        fs::remove_file(&pack).unwrap();
        world.options.list = true;
        let report = world.backup(&source);
        assert!(report.totals.objects > 0);
        assert!(report.needs_reading(), "a pack does not vanish every day");
        assert!(report.manifest.warnings.iter().any(|line| line.contains("lost or altered")));
        assert_holds_what_is_reachable(&source, &world, &report, 2);
        let again = world.backup(&source);
        assert_eq!(again.totals.objects, 0);
        assert_eq!(again.manifest.warnings, Vec::<String>::new());
    }
}

#[test]
fn a_lost_catalog_is_rebuilt_from_the_base() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    let report = world.backup(&source);
    assert_eq!(report.totals.packs, 0, "nothing is stored again");
    assert!(report.visited > 300, "nothing counts as closed");
    assert_holds_what_is_reachable(&source, &world, &report, 2);
    assert_eq!(report.marker.sequence, 2);
}

#[test]
fn a_planted_segment_is_never_believed() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    // A copy of a real segment under a name of its own, and a list that names it.
    let segment = files_below(&world.repository_path().join("data/index")).pop().unwrap();
    let mut bytes = fs::read(segment).unwrap();
    bytes.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
    let name = Sha256::of(&bytes);
    let put = |key: String, bytes: &[u8]| {
        world.backend.put_new(&Key::parse(&key).unwrap(), bytes).unwrap();
    };
    put(format!("data/index/{name}.jsonl.zst"), &bytes);
    let list = format!("{name}  data/index/{name}.jsonl.zst\n");
    put(format!("data/lists/{}.sha256", Sha256::of(list.as_bytes())), list.as_bytes());
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    let report = world.backup(&source);
    assert!(report.marker.lists.iter().all(|named| named.sha256 != Sha256::of(list.as_bytes())));
}

#[test]
fn eight_segments_become_one_and_all_objects_stay() {
    let (source, world) = (Source::example(), World::local());
    let library = DOCUMENTS;
    let mut lists = Vec::new();
    for round in 0..9 {
        // A new library each time, made of an old one's objects: copies of its commits with its own id.
        let id = format!("00000000-0000-4000-8000-00000000000{round}");
        for kind in ["commits", "fs", "blocks"] {
            let storage = source.path.join("seafile-data/storage").join(kind);
            crate::support::run(
                "cp",
                &[
                    "-a",
                    storage.join(library).to_str().unwrap(),
                    storage.join(&id).to_str().unwrap(),
                ],
            );
        }
        source.sql(&format!(
            "INSERT INTO Repo VALUES ('{id}'); INSERT INTO Branch SELECT name, '{id}', commit_id FROM Branch WHERE repo_id = '{library}';"
        ));
        let report = world.backup(&source);
        assert_eq!(report.marker.damage, 0);
        lists.push(report.marker.lists.len());
        assert!(stored_objects(&world.repository, &report.marker).len() >= 375);
    }
    assert_eq!(lists, [1, 2, 3, 4, 5, 6, 7, 1, 2], "eight of a tier are merged");
    let report = world.backup(&source);
    let stored = stored_objects(&world.repository, &report.marker);
    let last: Store = "00000000-0000-4000-8000-000000000008".parse().unwrap();
    assert_eq!(stored.keys().filter(|object| object.store == last).count(), 156);
    // A rebuilt catalog reads merged segments, links included.
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    assert_eq!(world.backup(&source).totals.packs, 0);
}

#[test]
fn two_hosts_share_a_repository_and_two_runs_of_a_second_have_two_names() {
    let (source, mut world) = (Source::example(), World::local());
    let now = std::time::SystemTime::now();
    world.clock = seawall::time::Clock::new(move || now);
    let first = world.backup(&source);
    let second = world.backup(&source);
    assert_eq!(second.marker.snapshot, first.marker.snapshot.next());
    let markers = world.repository.markers().unwrap();
    assert_eq!(markers.snapshots.len(), 2);
    assert_eq!(markers.latest().unwrap().id(), second.marker.snapshot);
    assert_eq!(second.marker.previous, Some((first.marker.snapshot, markers.snapshots[0].sha256)));
}

#[test]
fn a_catalog_of_another_repository_is_refused() {
    let (source, world, other) = (Source::example(), World::local(), World::local());
    world.backup(&source);
    let path = world.repository.state().catalog_path();
    let catalog = Catalog::open(&path, other.repository.id()).unwrap();
    assert_eq!(catalog.base().unwrap(), None);
    assert_eq!(catalog.packs().unwrap(), []);
}

#[test]
fn a_full_destination_loses_nothing() {
    let source = Source::example();
    let folder = tempfile::tempdir().unwrap();
    let open = || LocalBackend::create(folder.path().join("r")).unwrap();
    let mut world = World::on(Arc::new(open()));
    for prefix in ["databases", "data/blocks", "data/files", "data/index", "markers"] {
        let plan =
            FaultPlan::new().always(Verb::Put, prefix, Fault::FailBefore(ErrorKind::NoSpace));
        world.through(Arc::new(FaultyBackend::new(open(), plan)));
        let error = world.try_backup(&source).unwrap_err();
        assert!(error.hint().unwrap().contains("make room"), "{error:?}");
        assert_eq!(world.repository.markers().unwrap().snapshots.len(), 0);
    }
    world.through(Arc::new(open()));
    let report = world.backup(&source);
    assert_holds_what_is_reachable(&source, &world, &report, 2);
}

#[test]
fn a_marker_that_is_taken_makes_the_run_void() {
    let source = Source::example();
    let memory = MemoryBackend::default();
    let mut world = World::on(Arc::new(memory.clone()));
    let now = std::time::SystemTime::now();
    let clock = seawall::time::Clock::new(move || now);
    let snapshot = seawall::repository::names::SnapshotId::new(clock.now(), world.host_key().id());
    let intent = seawall::repository::names::intent(snapshot);
    let key = seawall::repository::names::marker(snapshot);
    // A prune declares the run dead as soon as its intent is there.
    let prune = memory.clone();
    world.clock = seawall::time::Clock::new(move || {
        if prune.stat(&intent).is_ok() {
            let _ = prune.put_new(&key, b"seawall void 1\n");
        }
        now
    });
    let error = world.try_backup(&source).unwrap_err();
    assert!(error.to_string().contains("declared dead"), "{error}");
    let markers = world.repository.markers().unwrap();
    assert_eq!((markers.snapshots.len(), markers.voids.len()), (0, 1));
    assert_eq!(world.backup(&source).marker.damage, 0);
}

#[test]
fn a_run_takes_no_name_whose_marker_is_there() {
    // No intent tells that these names are taken: a prune removed them.
    let source = Source::example();
    let mut world = World::on(Arc::new(MemoryBackend::default()));
    let now = std::time::SystemTime::now();
    world.clock = seawall::time::Clock::new(move || now);
    let void =
        seawall::repository::names::SnapshotId::new(world.clock.now(), world.host_key().id());
    let bad = void.next();
    for (snapshot, bytes) in [(void, &b"seawall void 1\n"[..]), (bad, b"")] {
        let key = seawall::repository::names::marker(snapshot);
        world.backend.put_new(&key, bytes).unwrap();
    }
    let report = world.backup(&source);
    assert_eq!(report.marker.snapshot, bad.next());
    assert_eq!(report.alarms.len(), 1, "{:?}", report.alarms);
    assert_eq!(world.backup(&source).alarms, Vec::<String>::new());
}

#[test]
fn what_a_tombstone_lists_is_stored_again_and_not_named() {
    let (source, mut world) = (Source::example(), World::local());
    let first = world.backup(&source);
    let packs = List::read(&world.repository, &first.marker.lists[0]).unwrap().packs;
    let doomed = seawall::repository::names::pack(packs[0].0, &packs[0].1, world.repository.seal());
    let text = format!("seawall tombstone 1\nkey {doomed}\n");
    world.backend.put_new(&Key::parse("data/runs/prune-x-1").unwrap(), text.as_bytes()).unwrap();
    for list in [false, true] {
        world.options.list = list;
        let report = world.backup(&source);
        let lists =
            report.marker.lists.iter().map(|named| List::read(&world.repository, named).unwrap());
        assert!(lists.flat_map(|list| list.packs).all(|pack| pack != packs[0]));
        assert_holds_what_is_reachable(&source, &world, &report, 2);
    }
}

#[test]
fn an_unknown_record_stops_the_run() {
    let (source, world) = (Source::example(), World::local());
    world
        .backend
        .put_new(&Key::parse("data/runs/later").unwrap(), b"seawall something 9\n")
        .unwrap();
    assert!(world.try_backup(&source).is_err());
}

/// The manifest of the last snapshot says the same as its report.
#[test]
fn the_manifest_is_read_back() {
    let (source, world) = (Source::example(), World::local());
    let report = world.backup(&source);
    assert_eq!(index::read_manifest(&world.repository, &report.marker).unwrap(), report.manifest);
    let object = report.manifest.libraries[0].heads[0].1;
    let stored = stored_objects(&world.repository, &report.marker);
    assert!(stored.keys().any(|key| key.id == object && key.kind == Kind::Commit));
}

#[test]
fn only_the_owner_can_read_a_repository() {
    use std::os::unix::fs::PermissionsExt as _;
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    for path in files_below(&world.repository_path()) {
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0, 0), "{}", path.display());
    }
}

#[test]
fn parts_that_are_lost_or_listed_for_deletion_are_written_again() {
    let (source, world) = (Source::example(), World::local());
    let first = world.backup(&source);
    let parts = |report: &Report| -> HashSet<Key> {
        report.manifest.parts().map(|part| part.key.clone()).collect()
    };
    let dump = first.manifest.databases[1].parts[0].key.clone();
    let files = first.manifest.files[0].parts[0].key.clone();
    let short = first.manifest.files[1].parts[0].key.clone();
    fs::remove_file(world.repository_path().join(dump.as_str())).unwrap();
    fs::File::options()
        .write(true)
        .open(world.repository_path().join(short.as_str()))
        .unwrap()
        .set_len(3)
        .unwrap();
    let tombstone = format!("seawall tombstone 1\nkey {files}\n");
    world.backend.put_new(&Key::parse("data/runs/prune-x").unwrap(), tombstone.as_bytes()).unwrap();
    let report = world.backup(&source);
    assert_eq!((report.databases_stored, report.groups_stored), (1, 2));
    for lost in [dump, files, short] {
        assert!(!parts(&report).contains(&lost), "{lost}");
    }
    assert!(parts(&report).intersection(&parts(&first)).count() > 5);
}

#[test]
fn a_pack_of_another_size_is_lost() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let pack = files_below(&world.repository_path().join("data/trees")).pop().unwrap();
    fs::File::options().write(true).open(&pack).unwrap().set_len(1000).unwrap();
    world.options.list = true;
    let report = world.backup(&source);
    assert!(report.totals.objects > 0 && report.needs_reading());
    assert_holds_what_is_reachable(&source, &world, &report, 2);
}

#[test]
fn after_a_failed_run_the_packs_are_listed() {
    let source = Source::example();
    let memory = MemoryBackend::default();
    let recording = Arc::new(RecordingBackend::new(memory.clone()));
    let mut world = World::on(recording.clone());
    world.backup(&source);
    let lists_packs = || {
        recording
            .take()
            .iter()
            .any(|recorded| recorded.operation == Operation::List("data/blocks".into()))
    };
    recording.take();
    world.backup(&source);
    assert!(!lists_packs(), "once a day is enough");
    let plan =
        FaultPlan::new().always(Verb::Put, "data/manifests", Fault::FailBefore(ErrorKind::NoSpace));
    world.through(Arc::new(FaultyBackend::new(memory, plan)));
    assert!(world.try_backup(&source).is_err());
    recording.take();
    world.through(recording.clone());
    world.backup(&source);
    assert!(lists_packs());
    world.backup(&source);
    assert!(!lists_packs());
}

#[test]
fn a_put_that_failed_stores_nothing_by_the_catalogs_account() {
    // The pack is not there: what it held must be stored by the next run, not believed.
    let source = Source::example();
    for folder in ["data/blocks", "data/trees"] {
        let memory = MemoryBackend::default();
        let mut world = World::on(Arc::new(memory.clone()));
        let plan = FaultPlan::new().always(Verb::Put, folder, Fault::FailBefore(ErrorKind::Other));
        world.through(Arc::new(FaultyBackend::new(memory.clone(), plan)));
        assert!(world.try_backup(&source).is_err());
        let catalog = || {
            Catalog::open(&world.repository.state().catalog_path(), world.repository.id()).unwrap()
        };
        let there: HashSet<String> = world.keys().into_iter().collect();
        for pack in catalog().packs().unwrap().iter().filter(|pack| pack.stored) {
            let key =
                seawall::repository::names::pack(pack.kind, &pack.name, world.repository.seal());
            assert!(there.contains(key.as_str()), "{key}");
        }
        world.through(Arc::new(memory));
        let report = world.backup(&source);
        assert_holds_what_is_reachable(&source, &world, &report, 2);
        let catalog =
            Catalog::open(&world.repository.state().catalog_path(), world.repository.id()).unwrap();
        assert!(
            catalog.packs().unwrap().iter().all(|pack| pack.stored),
            "abandoned packs are forgotten"
        );
    }
}

#[test]
fn a_long_run_says_that_it_is_alive() {
    let (source, mut world) = (Source::example(), World::local());
    let hours = std::sync::atomic::AtomicU64::new(0);
    let start = std::time::SystemTime::now();
    world.clock = seawall::time::Clock::new(move || {
        start
            + std::time::Duration::from_hours(
                3 * hours.fetch_add(1, std::sync::atomic::Ordering::SeqCst),
            )
    });
    let report = world.backup(&source);
    let beat = format!("data/runs/{}.1", report.marker.snapshot);
    let text = world.backend.get(&Key::parse(&beat).unwrap(), None).unwrap();
    assert!(text.starts_with(b"seawall heartbeat 1\n"));
}

#[test]
fn a_links_target_is_listed_before_the_link() {
    let source = Source::example();
    let memory = MemoryBackend::default();
    let mut world = World::on(Arc::new(memory.clone()));
    // Packs are stored, and the run dies before a segment names them.
    let plan =
        FaultPlan::new().always(Verb::Put, "data/index", Fault::FailBefore(ErrorKind::Other));
    world.through(Arc::new(FaultyBackend::new(memory.clone(), plan)));
    assert!(world.try_backup(&source).is_err());
    // A copy of a library: all its blocks are links into these packs.
    let (library, copy) =
        ("5dbd46b1-17a4-4b5c-839d-8a9946370e27", "00000000-0000-4000-8000-000000000001");
    for kind in ["commits", "fs", "blocks"] {
        let storage = source.path.join("seafile-data/storage").join(kind);
        let (from, to) = (storage.join(library), storage.join(copy));
        crate::support::run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    }
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{copy}'); INSERT INTO Branch SELECT name, '{copy}', commit_id FROM Branch WHERE repo_id = '{library}'"
    ));
    world.through(Arc::new(memory));
    let report = world.backup(&source);
    assert_eq!(report.marker.lists.len(), 1);
    let copied: Store = copy.parse().unwrap();
    let stored = stored_objects(&world.repository, &report.marker);
    assert!(stored.keys().filter(|object| object.store == copied).count() > 20);
}

#[test]
fn a_run_that_stores_no_packs_says_that_it_is_alive() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let hours = AtomicU64::new(1);
    let began = SystemTime::now();
    world.clock =
        Clock::new(move || began + Duration::from_hours(hours.fetch_add(1, Ordering::SeqCst)));
    let report = world.backup(&source);
    assert_eq!(report.totals.packs, 0);
    let beat = names::heartbeat(report.marker.snapshot, 1);
    let text = world.backend.get(&beat, None).unwrap();
    assert!(text.starts_with(b"seawall heartbeat 1\n"));
}

#[test]
fn what_a_run_left_half_written_is_removed_by_the_next() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let folder = world.repository_path();
    let half = folder.join("data/runs/.seawall-00112233445566778899aabbccddeeff.tmp");
    // A run that ended well leaves nothing to look for, and no look is taken.
    fs::write(&half, "half").unwrap();
    world.backup(&source);
    assert!(half.exists());
    // The run died while it put its intent.
    let plan = FaultPlan::new().always(Verb::Put, names::RUNS, Fault::DieBefore);
    let local = LocalBackend::open(&folder).unwrap();
    world.through(Arc::new(FaultyBackend::new(local, plan)));
    world.try_backup(&source).unwrap_err();
    assert!(half.exists());
    world.through(Arc::new(LocalBackend::open(&folder).unwrap()));
    world.backup(&source);
    assert!(!half.exists());
}
