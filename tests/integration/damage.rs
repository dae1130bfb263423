//! Something is not on disk, or is not what its name says: races, damage, salvage, rescue, history.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seawall::backup::Report;
use seawall::object::{Kind, Object};
use seawall::repository::manifest::Damage;
use seawall_backends::MemoryBackend;

use crate::backup::stored_objects;
use crate::support::{CLEANED, DOCUMENTS, Source, Told, World, files_below, run};

const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";
const TRASH: &str = "c07b0565-e6ea-4a5d-9d4b-d5219d9b014b";
pub const UNICODE: &str = "830ac5d7-2294-4f9c-ae5f-81500eb54e68";

/// Acts between the dump of Seafile's database and the walk.
fn world_with(action: impl Fn(usize) + Send + Sync + 'static) -> World {
    let inner = MemoryBackend::default();
    let mut world = World::on(Arc::new(inner.clone()));
    let count = AtomicUsize::new(0);
    let trigger = Told::new(inner, move |key| {
        if key.as_str().starts_with("databases/") && key.as_str().contains("/seafile.") {
            action(count.fetch_add(1, Ordering::Relaxed));
        }
    });
    world.through(Arc::new(trigger));
    world
}

pub fn object_path(source: &Source, object: &Object) -> PathBuf {
    source.path.join(object.path())
}

pub fn head(source: &Source, library: &str) -> Object {
    let id = source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{library}'"));
    Object::new(library.parse().unwrap(), Kind::Commit, id.parse().unwrap())
}

fn commit(source: &Source, object: &Object) -> serde_json::Value {
    serde_json::from_slice(&fs::read(object_path(source, object)).unwrap()).unwrap()
}

pub fn parent(source: &Source, object: &Object) -> Object {
    let parent = commit(source, object)["parent_id"].as_str().unwrap().parse().unwrap();
    Object { id: parent, ..*object }
}

pub fn root(source: &Source, commit_object: &Object) -> Object {
    let root = commit(source, commit_object)["root_id"].as_str().unwrap().parse().unwrap();
    Object { kind: Kind::Fs, id: root, ..*commit_object }
}

/// The largest block of a library.
fn a_block(source: &Source, library: &str) -> (PathBuf, Object) {
    let blocks = source.objects("blocks", library);
    let path = blocks.into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let inside = path.strip_prefix(&source.path).unwrap().to_str().unwrap();
    let object = Object::from_path(inside).unwrap();
    (path, object)
}

fn only_damage(report: &Report) -> &Damage {
    assert_eq!(report.manifest.damage.len(), 1, "{:#?}", report.manifest.damage);
    assert_eq!(report.marker.damage, 1);
    &report.manifest.damage[0]
}

#[test]
fn a_head_that_moved_under_the_walk_is_a_race_and_not_damage() {
    let source = Source::example();
    let (old, path) = (head(&source, UNICODE), source.path.clone());
    let before = parent(&source, &old);
    let (old_path, new) = (object_path(&source, &old), before.id.to_string());
    // The collector with history limit 0: the head of the dump vanishes, the database has another.
    let world = world_with(move |count| {
        if count == 0 {
            fs::remove_file(&old_path).unwrap();
            let database =
                rusqlite::Connection::open(path.join("seafile-data/seafile.db")).unwrap();
            let sql = format!("UPDATE Branch SET commit_id = '{new}' WHERE repo_id = '{UNICODE}'");
            database.execute_batch(&sql).unwrap();
        }
    });
    let report = world.backup(&source);
    assert_eq!(report.races, 1);
    assert_eq!(report.marker.damage, 0);
    let library = report.manifest.library(UNICODE.parse().unwrap()).unwrap();
    assert_eq!(library.heads[0].1, before.id);
    // The dump that the marker names is the second one, and lies under the marker's name.
    let seafile = &report.manifest.databases[0];
    assert!(seafile.parts[0].key.as_str().contains(&report.marker.snapshot.to_string()));
}

#[test]
fn a_library_that_was_deleted_under_the_walk_is_a_race() {
    let source = Source::example();
    let path = source.path.clone();
    let world = world_with(move |count| {
        if count == 0 {
            for kind in ["commits", "fs", "blocks"] {
                fs::remove_dir_all(path.join("seafile-data/storage").join(kind).join(PHOTOS))
                    .unwrap();
            }
            let database =
                rusqlite::Connection::open(path.join("seafile-data/seafile.db")).unwrap();
            let sql = format!(
                "DELETE FROM Repo WHERE repo_id = '{PHOTOS}'; DELETE FROM Branch WHERE repo_id = '{PHOTOS}'"
            );
            database.execute_batch(&sql).unwrap();
        }
    });
    let report = world.backup(&source);
    assert_eq!((report.races, report.marker.damage), (1, 0));
    assert!(report.manifest.library(PHOTOS.parse().unwrap()).is_none());
    assert_eq!(report.manifest.libraries.len(), 9);
}

#[test]
fn a_library_that_never_rests_ends_as_damage_after_three_attempts() {
    let source = Source::example();
    let head_object = head(&source, UNICODE);
    let mut chain = vec![head_object];
    while chain.len() < 5 {
        chain.push(parent(&source, &chain[chain.len() - 1]));
    }
    let paths: Vec<PathBuf> = chain.iter().map(|commit| object_path(&source, commit)).collect();
    let path = source.path.clone();
    let world = world_with(move |count| {
        fs::remove_file(&paths[count]).unwrap();
        let database = rusqlite::Connection::open(path.join("seafile-data/seafile.db")).unwrap();
        let id = chain[count + 1].id;
        let sql = format!("UPDATE Branch SET commit_id = '{id}' WHERE repo_id = '{UNICODE}'");
        database.execute_batch(&sql).unwrap();
    });
    let report = world.backup(&source);
    assert_eq!(report.races, 2);
    assert_eq!(only_damage(&report).reason, "missing");
    assert!(report.needs_reading());
}

#[test]
fn a_missing_block_is_damage_with_library_and_path() {
    let (source, world) = (Source::example(), World::local());
    let (path, block) = a_block(&source, PHOTOS);
    fs::remove_file(&path).unwrap();
    let report = world.backup(&source);
    let damage = only_damage(&report);
    assert_eq!((damage.object(), damage.reason.as_str()), (block, "missing"));
    assert!(!damage.paths.is_empty() && damage.paths[0].starts_with('/'), "{damage:?}");
    assert_eq!(damage.first_seen, report.marker.snapshot);
    let library = report.manifest.library(PHOTOS.parse().unwrap()).unwrap();
    assert!(!library.closed && library.damage == 1);
    assert_eq!(report.races, 0);
    // The next night: the same damage, first seen when it was, and no more than a look at it.
    let second = world.backup(&source);
    assert_eq!(only_damage(&second).first_seen, report.marker.snapshot);
    assert_eq!((second.new_damage, second.totals.packs), (0, 0));
    assert!(second.visited < 20, "only what is above the damage is looked at: {}", second.visited);
    assert_eq!(second.databases_stored, 0);
}

#[test]
fn an_object_that_comes_back_ends_the_damage() {
    let (source, world) = (Source::example(), World::local());
    let (path, block) = a_block(&source, PHOTOS);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    world.backup(&source);
    fs::write(&path, &bytes).unwrap();
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert_eq!(stored_objects(&world.repository, &report.marker)[&block], bytes);
    assert!(report.manifest.libraries.iter().all(|library| library.closed));
}

#[test]
fn what_the_source_lost_and_the_repository_has_is_no_damage() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let victim = head(&source, DOCUMENTS);
    fs::remove_file(object_path(&source, &root(&source, &victim))).unwrap();
    fs::write(object_path(&source, &victim), b"").unwrap();
    // Nothing counts as closed, so the walk comes by.
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert_eq!(report.manifest.source_damage.len(), 2, "{:#?}", report.manifest.source_damage);
    assert!(report.needs_reading(), "the administrator has to hear of it");
    assert!(report.manifest.libraries.iter().all(|library| library.closed));
}

#[test]
fn bad_bytes_never_get_an_objects_path_and_are_kept_once() {
    let (source, world) = (Source::example(), World::local());
    let (path, block) = a_block(&source, DOCUMENTS);
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let report = world.backup(&source);
    let damage = only_damage(&report);
    assert_eq!(damage.reason, "wrong-id");
    assert_eq!(damage.kept, Some(seawall::object::Sha256::of(&bytes)));
    assert!(!stored_objects(&world.repository, &report.marker).contains_key(&block));
    let target = world.path("by-hand");
    fs::create_dir(&target).unwrap();
    for pack in files_below(&world.repository_path().join("data/blocks")) {
        let script = format!("zstd -dc '{}' | tar x -C '{}'", pack.display(), target.display());
        run("sh", &["-ec", &script]);
    }
    let kept = target.join(format!("seawall-damaged/{}/block/{}", block.store, block.id));
    assert_eq!(fs::read(kept).unwrap(), bytes);
    assert!(!target.join(block.path()).exists());
    assert_eq!(world.backup(&source).totals.packs, 0, "kept once");
}

#[test]
fn every_kind_of_bad_object_is_named() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil, &str); 6] = [
        ("fs", |path| fs::write(path, b"").unwrap(), "empty"),
        ("fs", |path| fs::write(path, b"\x78\x9cgarbage").unwrap(), "undecodable"),
        ("blocks", |path| fs::write(path, b"").unwrap(), "empty"),
        ("blocks", |path| fs::write(path, b"other").unwrap(), "wrong-id"),
        ("commits", |path| fs::write(path, b"{\"commit_id\":").unwrap(), "undecodable"),
        (
            "blocks",
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            "unreadable",
        ),
    ];
    for (kind, spoil, reason) in cases {
        let (source, world) = (Source::example(), World::local());
        let path = match kind {
            "fs" => object_path(&source, &root(&source, &head(&source, UNICODE))),
            "commits" => object_path(&source, &head(&source, UNICODE)),
            _ => a_block(&source, UNICODE).0,
        };
        spoil(&path);
        let report = world.backup(&source);
        let reasons: Vec<&str> =
            report.manifest.damage.iter().map(|damage| damage.reason.as_str()).collect();
        assert!(reasons.contains(&reason), "{kind} {reason}: {reasons:?}");
        assert!(report.manifest.damage.iter().all(|damage| damage.library.to_string() == UNICODE));
        // Everything else is stored and closed.
        assert_eq!(report.manifest.libraries.iter().filter(|library| !library.closed).count(), 1);
    }
}

#[test]
fn damaged_history_is_damage_until_the_collector_says_otherwise() {
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, UNICODE);
    let old = parent(&source, &parent(&source, &newest));
    fs::remove_file(object_path(&source, &root(&source, &old))).unwrap();
    let report = world.backup(&source);
    assert_eq!(only_damage(&report).object(), root(&source, &old));
    assert_eq!(only_damage(&report).paths, Vec::<String>::new(), "the newest state is whole");
    // The same absence behind valid-since is history.
    let since = commit(&source, &parent(&source, &newest))["ctime"].as_i64().unwrap();
    source
        .sql(&format!("INSERT OR REPLACE INTO RepoValidSince VALUES ('{UNICODE}', {})", since + 1));
    let report = world.backup(&source);
    let library = report.manifest.library(UNICODE.parse().unwrap()).unwrap();
    assert_eq!((report.marker.damage, library.closed), (0, true), "{:#?}", report.manifest.damage);
    // The row is gone after a trip through the trash; what was recorded still counts.
    source.sql(&format!("DELETE FROM RepoValidSince WHERE repo_id = '{UNICODE}'"));
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert_eq!(
        report.manifest.library(UNICODE.parse().unwrap()).unwrap().valid_since,
        Some(since + 1)
    );
}

#[test]
fn collected_history_that_becomes_the_head_again_is_stored() {
    // Finding 1 of review-format.md, second story: an optional block was gone, then it is needed and back.
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, UNICODE);
    let old = parent(&source, &parent(&source, &newest));
    let tree = root(&source, &old);
    let bytes = fs::read(object_path(&source, &tree)).unwrap();
    fs::remove_file(object_path(&source, &tree)).unwrap();
    let since = commit(&source, &newest)["ctime"].as_i64().unwrap();
    source.sql(&format!("INSERT OR REPLACE INTO RepoValidSince VALUES ('{UNICODE}', {since})"));
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert!(report.manifest.library(UNICODE.parse().unwrap()).unwrap().history_incomplete > 0);
    // Collected history is not looked for every night.
    assert_eq!(world.backup(&source).visited, 0);
    fs::write(object_path(&source, &tree), &bytes).unwrap();
    source.sql(&format!("UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{UNICODE}'", old.id));
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert_eq!(stored_objects(&world.repository, &report.marker)[&tree], bytes);
}

#[test]
fn a_database_that_was_rolled_back_and_forth_finds_everything() {
    // Roots A, B, A; the packs of A's newest objects are lost while B is in force.
    let (source, mut world) = (Source::example(), World::local());
    let (a, b) = (head(&source, DOCUMENTS), parent(&source, &head(&source, DOCUMENTS)));
    let point = |to: &Object| {
        source.sql(&format!(
            "UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{DOCUMENTS}'",
            to.id
        ));
    };
    world.backup(&source);
    point(&b);
    world.backup(&source);
    for pack in files_below(&world.repository_path().join("data/trees")) {
        fs::remove_file(pack).unwrap();
    }
    world.options.list = true;
    world.backup(&source);
    point(&a);
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert!(stored_objects(&world.repository, &report.marker).contains_key(&a));
}

#[test]
fn trash_and_virtual_libraries_are_walked() {
    let (source, world) = (Source::example(), World::local());
    for path in source.objects("fs", TRASH) {
        fs::remove_file(path).unwrap();
    }
    let base = source.query("SELECT base_commit FROM VirtualRepo LIMIT 1").parse().unwrap();
    let base = Object::new(DOCUMENTS.parse().unwrap(), Kind::Commit, base);
    fs::remove_file(object_path(&source, &base)).unwrap();
    let report = world.backup(&source);
    let damaged: Vec<String> =
        report.manifest.damage.iter().map(|damage| damage.library.to_string()).collect();
    assert!(damaged.contains(&TRASH.to_owned()), "{damaged:?}");
    assert!(report.manifest.damage.iter().any(|damage| damage.object() == base));
}

#[test]
fn only_the_head_of_a_trashed_library_is_required() {
    let (source, world) = (Source::example(), World::local());
    // A library whose history was collected goes to the trash, and its valid-since row with it.
    let newest = head(&source, CLEANED);
    let old = root(&source, &parent(&source, &newest));
    fs::remove_file(object_path(&source, &old)).unwrap();
    source.sql(&format!(
        "INSERT INTO RepoTrash SELECT '{CLEANED}', 'x', commit_id, 'a', 0, -1, 1 FROM Branch WHERE repo_id = '{CLEANED}';
         DELETE FROM Repo WHERE repo_id = '{CLEANED}'; DELETE FROM Branch WHERE repo_id = '{CLEANED}';
         DELETE FROM RepoValidSince WHERE repo_id = '{CLEANED}';"
    ));
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0, "{:#?}", report.manifest.damage);
}

#[test]
fn a_store_without_a_row_is_copied_whole_and_garbage_is_left_out() {
    let (source, world) = (Source::example(), World::local());
    source.sql(&format!(
        "DELETE FROM Repo WHERE repo_id IN ('{PHOTOS}', '{UNICODE}'); DELETE FROM Branch WHERE repo_id IN ('{PHOTOS}', '{UNICODE}');
         INSERT INTO GarbageRepos VALUES ('{UNICODE}');"
    ));
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    let stored = stored_objects(&world.repository, &report.marker);
    let count =
        |library: &str| stored.keys().filter(|object| object.store.to_string() == library).count();
    let on_disk: usize =
        ["commits", "fs", "blocks"].iter().map(|kind| source.objects(kind, PHOTOS).len()).sum();
    assert_eq!((count(PHOTOS), count(UNICODE)), (on_disk, 0));
    let unreferenced = |library: &str| {
        let id = library.parse().unwrap();
        report.manifest.unreferenced.iter().find(|store| store.store == id).unwrap()
    };
    assert!(unreferenced(UNICODE).garbage && !unreferenced(PHOTOS).garbage);
    let newest = unreferenced(PHOTOS).newest.clone().unwrap();
    assert_eq!(newest.2, "Photos & Videos");
    // Unchanged, and still told on the next night.
    let again = world.backup(&source);
    assert_eq!(again.totals.packs, 0);
    assert_eq!(again.manifest.unreferenced, report.manifest.unreferenced);
}

#[test]
fn a_library_whose_row_names_no_head_is_copied_whole_and_is_damage() {
    let (source, world) = (Source::example(), World::local());
    source.sql(&format!("DELETE FROM Branch WHERE repo_id = '{PHOTOS}'"));
    let report = world.backup(&source);
    assert_eq!(only_damage(&report).reason, "no-head");
    let stored = stored_objects(&world.repository, &report.marker);
    let count = stored.keys().filter(|object| object.store.to_string() == PHOTOS).count();
    let on_disk: usize =
        ["commits", "fs", "blocks"].iter().map(|kind| source.objects(kind, PHOTOS).len()).sum();
    assert_eq!(count, on_disk);
}

#[test]
fn a_file_whose_blocks_do_not_add_up_is_damage() {
    // A version-0 file's id does not cover its size: only the sum of its blocks tells.
    let (source, world) = (Source::example(), World::local());
    let library = "00000000-0000-4000-8000-000000000001";
    let storage = source.path.join("seafile-data/storage");
    let put = |kind: &str, id: &str, bytes: &[u8]| {
        let folder = storage.join(kind).join(library).join(&id[..2]);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(&id[2..]), bytes).unwrap();
    };
    let sha1 = |bytes: &[u8]| {
        use sha1::Digest as _;
        seawall::object::ObjectId::new(sha1::Sha1::digest(bytes).into()).to_string()
    };
    let block = sha1(b"content");
    put("blocks", &block, b"content");
    let raw: Vec<u8> =
        (0..20).map(|at| u8::from_str_radix(&block[2 * at..2 * at + 2], 16).unwrap()).collect();
    let file_id = sha1(&raw);
    let file = |size: u64| [&1u32.to_be_bytes()[..], &size.to_be_bytes(), &raw].concat();
    let mode = 0o100_644_u32;
    let folder = [
        &3u32.to_be_bytes()[..],
        &mode.to_be_bytes(),
        file_id.as_bytes(),
        &1u32.to_be_bytes(),
        b"f",
    ]
    .concat();
    let folder_id = sha1(&[file_id.as_bytes(), b"f", &mode.to_le_bytes()].concat());
    put("fs", &folder_id, &folder);
    let commit_id = "1".repeat(40);
    put("commits", &commit_id, format!(r#"{{"commit_id":"{commit_id}","root_id":"{folder_id}","repo_id":"{library}","creator":"{}","description":"x","ctime":1}}"#, "0".repeat(40)).as_bytes());
    source.sql(&format!("INSERT INTO Repo VALUES ('{library}'); INSERT INTO Branch VALUES ('master', '{library}', '{commit_id}')"));
    put("fs", &file_id, &file(8));
    let report = world.backup(&source);
    let damage = only_damage(&report);
    assert_eq!(
        (damage.reason.as_str(), damage.paths.clone()),
        ("wrong-length", vec!["/f".to_owned()])
    );
    put("fs", &file_id, &file(7));
    let report = World::local().backup(&source);
    assert_eq!(report.marker.damage, 0, "{:#?}", report.manifest.damage);
    assert!(report.manifest.warnings.iter().any(|line| line.contains("no known formula")));
}

#[test]
fn objects_of_the_shared_store_of_seafile_2_are_found() {
    let (source, world) = (Source::example(), World::local());
    let data = source.path.join("seafile-data");
    // Everything that libraries have in storage/ moves to where Seafile 1 and 2 kept it. Commits of
    // two libraries may share an id, so each library here keeps what the other would overwrite.
    for kind in ["commits", "fs", "blocks"] {
        for file in files_below(&data.join("storage").join(kind).join(PHOTOS)) {
            let folder = data.join(kind).join(file.parent().unwrap().file_name().unwrap());
            fs::create_dir_all(&folder).unwrap();
            fs::rename(&file, folder.join(file.file_name().unwrap())).unwrap();
        }
    }
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0, "{:#?}", report.manifest.damage);
    let stored = stored_objects(&world.repository, &report.marker);
    let shared =
        stored.keys().filter(|object| object.store == seawall::object::Store::Shared).count();
    assert!(shared >= 20, "{shared}");
    for (object, bytes) in stored {
        assert_eq!(fs::read(object_path(&source, &object)).unwrap(), bytes);
    }
    assert_eq!(world.backup(&source).totals.packs, 0);
}

#[test]
fn circles_and_chains_of_virtual_libraries_end() {
    let (source, world) = (Source::example(), World::local());
    let virtual_library = source.query("SELECT repo_id FROM VirtualRepo");
    let base = source.query("SELECT base_commit FROM VirtualRepo");
    let head_of_photos =
        source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{PHOTOS}'"));
    // A virtual library of the virtual one, and its origin made virtual by a damaged database.
    source.sql(&format!(
        "INSERT INTO VirtualRepo VALUES ('{PHOTOS}', '{virtual_library}', '/x', '{base}');
         INSERT INTO VirtualRepo VALUES ('{DOCUMENTS}', '{PHOTOS}', '/y', '{head_of_photos}');"
    ));
    let report = world.backup(&source);
    // Their content is looked for in the wrong stores: damage, and no endless run.
    assert!(report.marker.damage > 0);
    assert_eq!(report.manifest.libraries.len(), 10);
    let closed = report.manifest.libraries.iter().filter(|library| library.closed).count();
    assert_eq!(closed, 7, "the other libraries are whole");
}

#[test]
fn the_store_of_an_origin_whose_row_is_lost_is_copied_whole() {
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, DOCUMENTS);
    source.sql(&format!("DELETE FROM Repo WHERE repo_id = '{DOCUMENTS}'; DELETE FROM Branch WHERE repo_id = '{DOCUMENTS}'"));
    let report = world.backup(&source);
    let reasons: Vec<&str> =
        report.manifest.damage.iter().map(|damage| damage.reason.as_str()).collect();
    assert_eq!(reasons, ["no-origin"]);
    let stored = stored_objects(&world.repository, &report.marker);
    assert!(stored.contains_key(&newest), "a virtual library does not lead to the origin's head");
    let on_disk: usize =
        ["commits", "fs", "blocks"].iter().map(|kind| source.objects(kind, DOCUMENTS).len()).sum();
    assert_eq!(
        stored.keys().filter(|object| object.store.to_string() == DOCUMENTS).count(),
        on_disk
    );
}

#[test]
fn a_bad_block_shows_in_the_shared_folder_too() {
    let (source, world) = (Source::example(), World::local());
    let virtual_library = source.query("SELECT repo_id FROM VirtualRepo");
    // Every block of the origin: some of them are the shared folder's.
    for block in source.objects("blocks", DOCUMENTS) {
        fs::write(block, b"torn").unwrap();
    }
    let report = world.backup(&source);
    let of_virtual = report
        .manifest
        .damage
        .iter()
        .filter(|damage| damage.library.to_string() == virtual_library);
    assert!(of_virtual.clone().count() > 0);
    assert!(
        of_virtual
            .clone()
            .all(|damage| damage.store.to_string() == DOCUMENTS && !damage.paths.is_empty())
    );
    let objects: std::collections::HashSet<Object> =
        report.manifest.damage.iter().map(Damage::object).collect();
    assert_eq!(report.marker.damage, objects.len() as u64, "an object counts once");
}

/// Makes a commit of a library: the bytes of another one with some fields changed.
pub fn write_commit(
    source: &Source,
    like: &Object,
    id: &str,
    change: impl Fn(&mut serde_json::Value),
) -> Object {
    let mut json = commit(source, like);
    json["commit_id"] = id.into();
    change(&mut json);
    let object = Object { id: id.parse().unwrap(), ..*like };
    let path = object_path(source, &object);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, json.to_string()).unwrap();
    object
}

#[test]
fn both_parents_of_a_merge_are_history() {
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, UNICODE);
    let side = write_commit(&source, &newest, &"5".repeat(40), |json| {
        json["parent_id"] = serde_json::Value::Null;
        json["root_id"] = "7".repeat(40).into();
    });
    let merge = write_commit(&source, &newest, &"6".repeat(40), |json| {
        json["parent_id"] = newest.id.to_string().into();
        json["second_parent_id"] = side.id.to_string().into();
    });
    source
        .sql(&format!("UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{UNICODE}'", merge.id));
    let report = world.backup(&source);
    assert_eq!(only_damage(&report).id.to_string(), "7".repeat(40));
    let again = world.backup(&source);
    assert_eq!(again.marker.damage, 1, "the head stays open for what its second parent lacks");
}

#[test]
fn history_newer_than_valid_since_is_required() {
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, UNICODE);
    let old = parent(&source, &parent(&source, &newest));
    fs::remove_file(object_path(&source, &root(&source, &old))).unwrap();
    let time = commit(&source, &old)["ctime"].as_i64().unwrap();
    source
        .sql(&format!("INSERT OR REPLACE INTO RepoValidSince VALUES ('{UNICODE}', {})", time - 1));
    for _ in 0..2 {
        let report = world.backup(&source);
        assert_eq!(only_damage(&report).object(), root(&source, &old));
    }
}

#[test]
fn the_tree_of_a_base_commit_is_required_and_stays_open() {
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, DOCUMENTS);
    let id: String = "8".repeat(40);
    // A base commit that no head of the origin leads to, with a tree of its own that is gone.
    let base = write_commit(&source, &newest, &id, |json| {
        json["root_id"] = "9".repeat(40).into();
    });
    source.sql(&format!("UPDATE VirtualRepo SET base_commit = '{}'", base.id));
    for _ in 0..2 {
        let report = world.backup(&source);
        let damage =
            report.manifest.damage.iter().find(|damage| damage.id.to_string() == "9".repeat(40));
        assert!(damage.is_some(), "{:#?}", report.manifest.damage);
        let virtual_library =
            report.manifest.libraries.iter().find(|library| library.origin.is_some()).unwrap();
        assert!(!virtual_library.closed);
    }
}

#[test]
fn what_comes_while_the_walk_goes_on_is_found_by_the_second_look() {
    let source = Source::example();
    let newest = head(&source, UNICODE);
    let path = object_path(&source, &root(&source, &newest));
    let aside = path.with_extension("late");
    fs::rename(&path, &aside).unwrap();
    let world = World::local();
    let looks_again = |line: &str| {
        if line.contains("looking again") {
            fs::rename(&aside, &path).unwrap();
        }
    };
    let report = world.backup_telling(&source.installation(), &looks_again).unwrap();
    assert!(!aside.exists(), "there was no second look");
    assert_eq!((report.marker.damage, report.races), (0, 0), "{:#?}", report.manifest.damage);
}
