//! Failure stories that a review of the backup told: each was a way for a marker to lie, for a run to
//! fail for ever, or for something to grow without end. Each test was seen red once.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use seawall::backup::Report;
use seawall::object::{Kind, Object};
use seawall::repository::index::List;
use seawall::repository::names;
use seawall_backends::{
    Backend, ErrorKind, Fault, FaultPlan, FaultyBackend, Key, LocalBackend, MemoryBackend, Verb,
};

use crate::backup::stored_objects;
use crate::support::{DOCUMENTS, Source, Told, World, files_below};

const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";
const UNICODE: &str = "830ac5d7-2294-4f9c-ae5f-81500eb54e68";

fn file(source: &Source, object: &Object) -> PathBuf {
    source.path.join(object.path())
}

fn head(source: &Source, library: &str) -> Object {
    let id = source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{library}'"));
    Object::new(library.parse().unwrap(), Kind::Commit, id.parse().unwrap())
}

fn field(source: &Source, commit: &Object, name: &str) -> seawall::object::ObjectId {
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(file(source, commit)).unwrap()).unwrap();
    json[name].as_str().unwrap().parse().unwrap()
}

fn parent(source: &Source, commit: &Object) -> Object {
    Object { id: field(source, commit, "parent_id"), ..*commit }
}

fn root(source: &Source, commit: &Object) -> Object {
    Object { kind: Kind::Fs, id: field(source, commit, "root_id"), ..*commit }
}

fn point(source: &Source, library: &str, commit: &Object) {
    source
        .sql(&format!("UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{library}'", commit.id));
}

/// What a run that knows nothing says of the same source: the truth.
fn truth(source: &Source) -> u64 {
    World::local().backup(source).marker.damage
}

fn stored(world: &World, report: &Report, object: &Object) -> bool {
    stored_objects(&world.repository, &report.marker).contains_key(object)
}

#[test]
fn what_was_copied_by_listing_is_not_closed() {
    let (source, world) = (Source::example(), World::local());
    let commit = head(&source, PHOTOS);
    let tree = root(&source, &commit);
    fs::remove_file(file(&source, &tree)).unwrap();
    let rows = format!(
        "DELETE FROM Repo WHERE repo_id = '{PHOTOS}'; DELETE FROM Branch WHERE repo_id = '{PHOTOS}'"
    );
    source.sql(&rows);
    assert_eq!(world.backup(&source).marker.damage, 0);
    // The administrator brings the row back, which is what the copy was made for.
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{PHOTOS}'); INSERT INTO Branch VALUES ('master', '{PHOTOS}', '{}')",
        commit.id
    ));
    let report = world.backup(&source);
    assert!(!stored(&world, &report, &tree));
    assert_eq!(report.marker.damage, truth(&source));
}

#[test]
fn what_everything_copied_is_not_closed() {
    let (source, mut world) = (Source::example(), World::local());
    world.options.everything = true;
    let newest = head(&source, UNICODE);
    let old = parent(&source, &newest);
    fs::remove_file(file(&source, &root(&source, &newest))).unwrap();
    point(&source, UNICODE, &old);
    assert_eq!(world.backup(&source).marker.damage, 0);
    point(&source, UNICODE, &newest);
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, truth(&source));
}

#[test]
fn what_a_lost_attempt_visited_is_not_closed() {
    let source = Source::example();
    let inner = MemoryBackend::default();
    let mut world = World::on(Arc::new(inner.clone()));
    let newest = head(&source, UNICODE);
    let old = parent(&source, &newest);
    fs::remove_file(file(&source, &root(&source, &newest))).unwrap();
    // seaf-fsck --repair between the dump and the look at the rows: the head goes back to a good commit.
    let path = source.path.join("seafile-data/seafile.db");
    let sql = format!("UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{UNICODE}'", old.id);
    let is_done = AtomicBool::new(false);
    world.through(Arc::new(Told::new(inner, move |key| {
        if key.as_str().contains("/seafile.") && !is_done.swap(true, Ordering::SeqCst) {
            let database = rusqlite::Connection::open(&path).unwrap();
            database.execute_batch(&sql).unwrap();
        }
    })));
    let report = world.backup(&source);
    assert_eq!((report.races, report.marker.damage), (1, 0));
    // The database comes back from an older dump.
    point(&source, UNICODE, &newest);
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, truth(&source));
}

#[test]
fn a_lost_pack_is_not_named_after_a_run_that_died() {
    let source = Source::example();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("r");
    let open = || LocalBackend::create(&place).unwrap();
    let mut world = World::on(Arc::new(open()));
    world.backup(&source);
    let pack = files_below(&place.join("data/trees")).pop().unwrap();
    fs::remove_file(&pack).unwrap();
    world.options.list = true;
    let plan =
        FaultPlan::new().always(Verb::Put, "data/trees", Fault::FailBefore(ErrorKind::NoSpace));
    world.through(Arc::new(FaultyBackend::new(open(), plan)));
    assert!(world.try_backup(&source).is_err());
    world.through(Arc::new(open()));
    let report = world.backup(&source);
    for named in &report.marker.lists {
        for (kind, name) in List::read(&world.repository, named).unwrap().packs {
            let key = names::pack(kind, &name, world.repository.seal());
            assert!(world.backend.stat(&key).is_ok(), "the marker names {key}, which is lost");
        }
    }
}

#[test]
fn the_trash_does_not_close_history_for_the_living() {
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, UNICODE);
    let old = parent(&source, &newest);
    fs::remove_file(file(&source, &root(&source, &old))).unwrap();
    source.sql(&format!(
        "INSERT INTO RepoTrash SELECT '{UNICODE}', 'x', commit_id, 'a', 0, -1, 1 FROM Branch WHERE repo_id = '{UNICODE}';
         DELETE FROM Repo WHERE repo_id = '{UNICODE}'"
    ));
    assert_eq!(world.backup(&source).marker.damage, 0);
    source.sql(&format!(
        "DELETE FROM RepoTrash WHERE repo_id = '{UNICODE}'; INSERT INTO Repo VALUES ('{UNICODE}')"
    ));
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, truth(&source));
}

#[test]
fn a_library_that_is_not_virtual_any_more_is_walked_again() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    source.sql("DELETE FROM VirtualRepo");
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, truth(&source));
}

/// Moves objects of libraries to the folder that all libraries of Seafile 1 and 2 share.
pub fn move_to_shared(source: &Source, kinds: &[&str], libraries: &[&str]) {
    let data = source.path.join("seafile-data");
    for kind in kinds {
        for library in libraries {
            for path in files_below(&data.join("storage").join(kind).join(library)) {
                let folder = data.join(kind).join(path.parent().unwrap().file_name().unwrap());
                fs::create_dir_all(&folder).unwrap();
                fs::rename(&path, folder.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
}

#[test]
fn a_pack_of_the_shared_store_that_is_lost_opens_libraries() {
    let (source, mut world) = (Source::example(), World::local());
    move_to_shared(&source, &["blocks"], &[PHOTOS]);
    let first = world.backup(&source);
    assert_eq!(first.marker.damage, 0);
    for pack in files_below(&world.repository_path().join("data/blocks")) {
        fs::remove_file(pack).unwrap();
    }
    let before = world_shared_blocks(&source);
    world.options.list = true;
    let report = world.backup(&source);
    let stored = stored_objects(&world.repository, &report.marker);
    let missing = before.iter().filter(|object| !stored.contains_key(object)).count();
    assert!(
        missing == 0 || report.marker.damage > 0,
        "{missing} missing, damage {}",
        report.marker.damage
    );
}

fn world_shared_blocks(source: &Source) -> Vec<Object> {
    files_below(&source.path.join("seafile-data/blocks"))
        .iter()
        .map(|path| {
            Object::from_path(path.strip_prefix(&source.path).unwrap().to_str().unwrap()).unwrap()
        })
        .collect()
}

#[test]
fn two_libraries_need_the_same_object_of_the_shared_store() {
    let (source, world) = (Source::example(), World::local());
    let copy = "00000000-0000-4000-8000-00000000000a";
    let commit = head(&source, PHOTOS);
    let commits = source.path.join("seafile-data/storage/commits");
    crate::support::run(
        "cp",
        &["-a", commits.join(PHOTOS).to_str().unwrap(), commits.join(copy).to_str().unwrap()],
    );
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{copy}'); INSERT INTO Branch VALUES ('master', '{copy}', '{}')",
        commit.id
    ));
    move_to_shared(&source, &["fs", "blocks"], &[PHOTOS]);
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
}

#[test]
fn a_commit_that_was_repaired_is_stored_again() {
    let (source, world) = (Source::example(), World::local());
    let commit = head(&source, UNICODE);
    let path = file(&source, &commit);
    let good = fs::read(&path).unwrap();
    let wrong = parent(&source, &commit).id.to_string();
    let bad = String::from_utf8(good.clone()).unwrap().replace(&wrong, &"3".repeat(40));
    fs::write(&path, bad).unwrap();
    assert!(world.backup(&source).marker.damage > 0);
    fs::write(&path, &good).unwrap();
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert!(
        stored_objects(&world.repository, &report.marker)[&commit] == good,
        "damage 0, and a restore brings the commit with the bad parent"
    );
}

#[test]
fn a_lost_pack_and_then_a_lost_catalog() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    // A copy of a library: the second run's packs link into the first's.
    let copy = "00000000-0000-4000-8000-00000000000a";
    for kind in ["commits", "fs", "blocks"] {
        let storage = source.path.join("seafile-data/storage").join(kind);
        crate::support::run(
            "cp",
            &["-a", storage.join(PHOTOS).to_str().unwrap(), storage.join(copy).to_str().unwrap()],
        );
    }
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{copy}'); INSERT INTO Branch VALUES ('master', '{copy}', '{}')",
        head(&source, PHOTOS).id
    ));
    let first = files_below(&world.repository_path().join("data/trees"));
    world.backup(&source);
    for pack in first {
        fs::remove_file(pack).unwrap();
    }
    world.options.list = true;
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    let report = world.try_backup(&source);
    assert!(report.is_ok(), "{:?}", report.err());
}

#[test]
fn heartbeats_of_one_run_have_names_of_their_own() {
    let (source, mut world) = (Source::example(), World::local());
    source.sql(&format!(
        "DELETE FROM Repo WHERE repo_id = '{PHOTOS}'; DELETE FROM Branch WHERE repo_id = '{PHOTOS}'"
    ));
    let hours = AtomicU64::new(0);
    let start = SystemTime::now();
    world.clock = seawall::time::Clock::new(move || {
        start + Duration::from_hours(7 * hours.fetch_add(1, Ordering::SeqCst))
    });
    let report = world.try_backup(&source);
    assert!(report.is_ok(), "{:?}", report.err());
}

#[test]
fn bad_bytes_of_an_unreferenced_store_are_kept_once() {
    let (source, world) = (Source::example(), World::local());
    let path = source.objects("blocks", PHOTOS).pop().unwrap();
    fs::write(path, b"bad").unwrap();
    source.sql(&format!(
        "DELETE FROM Repo WHERE repo_id = '{PHOTOS}'; DELETE FROM Branch WHERE repo_id = '{PHOTOS}'"
    ));
    world.backup(&source);
    assert_eq!(world.backup(&source).totals.packs, 0);
}

#[test]
fn a_pack_that_a_rescue_found_bad_is_not_believed_any_more() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let commit = head(&source, DOCUMENTS);
    let tree = root(&source, &commit);
    for pack in files_below(&world.repository_path().join("data/trees")) {
        let mut bytes = fs::read(&pack).unwrap();
        let end = bytes.len().min(4000);
        bytes[10..end].fill(0);
        fs::remove_file(&pack).unwrap();
        fs::write(&pack, bytes).unwrap();
    }
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    let good = fs::read(file(&source, &tree)).unwrap();
    fs::remove_file(file(&source, &tree)).unwrap();
    let report = world.backup(&source);
    assert!(report.marker.damage > 0);
    fs::write(file(&source, &tree), good).unwrap();
    let report = world.backup(&source);
    assert!(
        report.totals.packs > 0,
        "damage {}: it saw that the pack is bad, and trusts it",
        report.marker.damage
    );
}

/// The pack with the origin's objects and the last manifest are lost, but not the pack with the
/// virtual library's commits.
#[test]
fn a_virtual_library_is_open_when_its_origins_pack_is_lost_whatever_the_manifest() {
    let (source, mut world) = (Source::example(), World::local());
    let id = "4dd8df17-3a9d-4e43-ae3a-c510e039be4b";
    let rows = source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{id}'"));
    source.sql(&format!(
        "DELETE FROM Repo WHERE repo_id = '{id}'; DELETE FROM Branch WHERE repo_id = '{id}';
         CREATE TABLE Kept AS SELECT * FROM VirtualRepo; DELETE FROM VirtualRepo;
         INSERT INTO GarbageRepos VALUES ('{id}')"
    ));
    world.backup(&source);
    let first = files_below(&world.repository_path().join("data/trees"));
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{id}'); INSERT INTO Branch VALUES ('master', '{id}', '{rows}');
         INSERT INTO VirtualRepo SELECT * FROM Kept; DROP TABLE Kept; DELETE FROM GarbageRepos WHERE repo_id = '{id}'"
    ));
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    for pack in first {
        fs::remove_file(pack).unwrap();
    }
    for manifest in files_below(&world.repository_path().join("data/manifests")) {
        fs::remove_file(manifest).unwrap();
    }
    // The origin's head went back to before the folder was made, as after a roll back.
    let origin = source.query("SELECT origin_repo FROM VirtualRepo LIMIT 1");
    let mut oldest = head(&source, &origin);
    while field_is_there(&source, &oldest) {
        oldest = parent(&source, &oldest);
    }
    point(&source, &origin, &oldest);
    source.sql("UPDATE VirtualRepo SET base_commit = ''");
    world.options.list = true;
    let report = world.backup(&source);
    let tree = {
        let mut object = head(&source, id);
        object.id = field(&source, &object, "root_id");
        Object { kind: Kind::Fs, store: origin.parse().unwrap(), ..object }
    };
    assert!(
        stored(&world, &report, &tree) || report.marker.damage > 0,
        "damage 0, and the root of the virtual library is nowhere"
    );
}

fn field_is_there(source: &Source, commit: &Object) -> bool {
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(file(source, commit)).unwrap()).unwrap();
    json["parent_id"].is_string()
}

#[test]
fn an_origin_whose_row_is_lost_is_copied_whole() {
    let (source, world) = (Source::example(), World::local());
    let origin = source.query("SELECT origin_repo FROM VirtualRepo LIMIT 1");
    let commit = head(&source, &origin);
    // The origin went on since both were last merged.
    let base = parent(&source, &commit).id;
    source.sql(&format!(
        "UPDATE VirtualRepo SET base_commit = '{base}'; DELETE FROM Repo WHERE repo_id = '{origin}'; DELETE FROM Branch WHERE repo_id = '{origin}'"
    ));
    let report = world.backup(&source);
    assert!(
        stored(&world, &report, &commit),
        "the head of {origin} is not in the backup; damage {}, needs reading {}",
        report.marker.damage,
        report.needs_reading()
    );
}

#[test]
fn a_lost_segment_over_a_rotten_pack_does_not_end_all_backups() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let pack = files_below(&world.repository_path().join("data/blocks")).pop().unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[10] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    for segment in files_below(&world.repository_path().join("data/index")) {
        fs::remove_file(segment).unwrap();
    }
    world.options.list = true;
    let _ = world.try_backup(&source);
    let report = world.try_backup(&source);
    assert!(report.is_ok(), "{:?}", report.err());
}

#[test]
fn a_clock_that_was_ahead_once_does_not_end_the_listing() {
    let (source, mut world) = (Source::example(), World::local());
    let now = SystemTime::now();
    let ahead = now + Duration::from_hours(24 * 365 * 20);
    world.clock = seawall::time::Clock::new(move || ahead);
    world.backup(&source);
    for pack in files_below(&world.repository_path().join("data/blocks")) {
        fs::remove_file(pack).unwrap();
    }
    let later = now + Duration::from_hours(24 * 30);
    world.clock = seawall::time::Clock::new(move || later);
    let report = world.backup(&source);
    assert!(report.needs_reading(), "a month later nobody has noticed that all blocks are gone");
}

/// Pro with `skip_block_hash`: a rotten block is stored as "unverifiable" in one store; the good copy
/// of another store must not become a link to it.
#[test]
fn a_verified_block_is_no_link_to_an_unverifiable_one() {
    let (source, world) = (Source::example(), World::local());
    let copy = "ffffffff-0000-4000-8000-00000000000a";
    for kind in ["commits", "fs", "blocks"] {
        let storage = source.path.join("seafile-data/storage").join(kind);
        crate::support::run(
            "cp",
            &["-a", storage.join(PHOTOS).to_str().unwrap(), storage.join(copy).to_str().unwrap()],
        );
    }
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{copy}'); INSERT INTO Branch VALUES ('master', '{copy}', '{}')",
        head(&source, PHOTOS).id
    ));
    let path = source.objects("blocks", PHOTOS).pop().unwrap();
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[0] ^= 1;
    fs::write(&path, bad).unwrap();
    let mut installation = source.installation();
    installation.pro = true;
    installation.skip_block_hash = true;
    let lock = world.state.lock().unwrap();
    let context = seawall::backup::Context {
        at: &world.repository,
        spool: &world.state.clean_spool(&lock).unwrap(),
        clock: &world.clock,
        host: "h",
        progress: &|_| {},
    };
    let mut options = world.options.clone();
    options.workers = 1;
    let report = seawall::backup::run(context, &installation, &options).unwrap();
    let inside = path.strip_prefix(&source.path).unwrap().to_str().unwrap();
    let object = Object { store: copy.parse().unwrap(), ..Object::from_path(inside).unwrap() };
    assert!(
        stored_objects(&world.repository, &report.marker)[&object] == good,
        "damage {}, and a verified block restores as rotten bytes",
        report.marker.damage
    );
}

#[test]
fn a_branch_row_that_cannot_be_read_is_told() {
    let (source, world) = (Source::example(), World::local());
    let commit = head(&source, UNICODE);
    source.sql(&format!(
        "UPDATE Branch SET commit_id = 'garbage' WHERE repo_id = '{UNICODE}';
         INSERT INTO Branch VALUES ('local', '{UNICODE}', '{}')",
        parent(&source, &commit).id
    ));
    let report = world.backup(&source);
    assert!(report.needs_reading(), "{:?}", report.manifest.warnings);
}

/// A collector that empties a library's history by age moves nothing but `RepoValidSince`; a library
/// that was absent from the database for one night must not lose what was recorded.
#[test]
fn the_highest_valid_since_survives_a_night_without_the_row() {
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, UNICODE);
    let old = parent(&source, &parent(&source, &newest));
    fs::remove_file(file(&source, &root(&source, &old))).unwrap();
    let since = field_ctime(&source, &newest);
    source.sql(&format!("INSERT OR REPLACE INTO RepoValidSince VALUES ('{UNICODE}', {since})"));
    assert_eq!(world.backup(&source).marker.damage, 0);
    let rows = format!(
        "DELETE FROM Repo WHERE repo_id = '{UNICODE}'; DELETE FROM Branch WHERE repo_id = '{UNICODE}';
         DELETE FROM RepoValidSince WHERE repo_id = '{UNICODE}'"
    );
    source.sql(&rows);
    world.backup(&source);
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{UNICODE}'); INSERT INTO Branch VALUES ('master', '{UNICODE}', '{}')",
        newest.id
    ));
    let report = world.backup(&source);
    let library = report.manifest.library(UNICODE.parse().unwrap()).unwrap();
    assert_eq!(library.valid_since, Some(since));
}

fn field_ctime(source: &Source, commit: &Object) -> i64 {
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(file(source, commit)).unwrap()).unwrap();
    json["ctime"].as_i64().unwrap()
}

/// The catalog is lost, the run that learns it anew dies half way, and then the markers are lost.
#[test]
fn a_catalog_that_was_half_learnt_is_not_believed() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    // A second segment: a library comes back from the garbage.
    let path = source.objects("blocks", PHOTOS).pop().unwrap();
    fs::write(&path, b"bad").unwrap();
    source.sql(&format!(
        "DELETE FROM Repo WHERE repo_id = '{PHOTOS}'; DELETE FROM Branch WHERE repo_id = '{PHOTOS}'"
    ));
    let second = world.backup(&source);
    assert_eq!(second.marker.lists.len(), 2);
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    let whole = Arc::clone(&world.backend);
    let list = second.marker.lists[1].key.as_str();
    let plan = FaultPlan::new().always(Verb::Get, list, Fault::DieBefore);
    world.through(Arc::new(FaultyBackend::new(Arc::clone(&whole), plan)));
    world.try_backup(&source).unwrap_err();
    for marker in files_below(&world.repository_path().join("markers")) {
        fs::remove_file(marker).unwrap();
    }
    world.through(whole);
    let report = world.backup(&source);
    assert_eq!(report.marker.sequence, 1);
    let options = seawall::check::Options {
        level: seawall::check::CheckLevel::Deep,
        ..seawall::check::Options::default()
    };
    let checked = seawall::check::run(&world.repository, &options, &|_| {}).unwrap();
    assert!(checked.is_good(), "{:#?}", checked.problems);
}

/// A damage record stays for ever; what it told is healed once.
#[test]
fn a_damage_record_costs_one_night() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let keys = world.keys();
    let told =
        ["data/blocks/", "data/trees/", "data/lists/", "data/index/", "databases/", "data/files/"]
            .map(|folder| keys.iter().find(|key| key.starts_with(folder)).unwrap());
    let lines = told.map(|key| format!("key {key}\n")).concat();
    let key = Key::parse("data/runs/damaged-2026-11-23T00-00-00Z-00000000").unwrap();
    let text = format!("seawall damage 1\n{lines}");
    world.backend.put_new(&key, text.as_bytes()).unwrap();
    let report = world.backup(&source);
    assert!(report.needs_reading() && report.totals.packs > 0);
    for _ in 0..2 {
        let report = world.backup(&source);
        assert!(!report.needs_reading(), "{:?}", report.alarms);
        let stored = (report.totals.packs, report.databases_stored, report.groups_stored);
        assert_eq!(stored, (0, 0, 0));
    }
}

/// A rolled back destination may have lost packs too: what is learnt anew is compared with a listing.
#[test]
fn what_is_learnt_anew_is_listed_in_the_same_run() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let second = world.backup(&source);
    let marker = world.repository_path().join("markers");
    fs::remove_file(marker.join(second.marker.snapshot.to_string())).unwrap();
    let pack = files_below(&world.repository_path().join("data/blocks")).remove(0);
    fs::remove_file(&pack).unwrap();
    assert!(!world.options.list);
    let report = world.backup(&source);
    assert!(report.totals.packs > 0 && report.needs_reading(), "{:?}", report.alarms);
}
