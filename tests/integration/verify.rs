//! `verify` of installations: no false alarm on real ones, every kind of damage by library and path,
//! and nothing but damage when the server changes things meanwhile.

mod ahead;
pub mod contents;
mod history;
mod leftovers;
mod objects;
mod races;
mod rows;
mod snapshot;
mod table;

use std::fs;
use std::time::Duration;

use seawall::object::{Kind, Object, Store};
use seawall::seafile::discover::Installation;
use seawall::verify::{self, LibraryDamage, Options, Report};

use crate::support::{DOCUMENTS, Source, files_below, tree};
use contents::{Contents, alter, path, put};

const VIRTUAL: &str = "4dd8df17-3a9d-4e43-ae3a-c510e039be4b";
const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";
const ENCRYPTED: &str = "bdaae9eb-f032-4302-8b5d-7cfd45f6d5ba";
const TRASH: &str = "c07b0565-e6ea-4a5d-9d4b-d5219d9b014b";

fn verify(source: &Source) -> Report {
    verify_as(&source.installation(), &|_| {})
}

fn verify_as(installation: &Installation, progress: &dyn Fn(&str)) -> Report {
    let spool = tempfile::tempdir().unwrap();
    let options = Options { second_look: Duration::ZERO, workers: 3, ..Options::default() };
    let report = verify::run(installation, spool.path(), &options, progress).unwrap();
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0, "the spool is left empty");
    report
}

fn object(damage: &LibraryDamage) -> Object {
    Object::new(damage.object.store, damage.object.kind, damage.object.id)
}

/// (library, reason, paths) of each entry about an object.
fn about(report: &Report, wanted: Object) -> Vec<(String, &str, Vec<String>)> {
    let damage = report.damage.iter().filter(|damage| object(damage) == wanted);
    damage
        .map(|damage| (damage.library.to_string(), damage.reason.as_str(), damage.paths.clone()))
        .collect()
}

#[test]
fn the_example_is_whole() {
    let source = Source::example();
    let before = tree(&source.path);
    let report = verify(&source);
    assert!(report.is_good(), "{report:#?}");
    assert_eq!((report.libraries, report.damaged, report.unverifiable), (10, 0, 0));
    let on_disk = files_below(&source.path.join("seafile-data/storage")).len() as u64;
    assert_eq!(report.objects, on_disk - 2, "all but two that nothing points to");
    assert_eq!(report.databases.len(), 5);
    assert!(report.without_pointer.is_empty() && report.changed.is_empty(), "{report:#?}");
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert!(report.history_incomplete.is_empty(), "{:?}", report.history_incomplete);
    assert_eq!(tree(&source.path), before, "nothing is written");
}

#[test]
fn the_small_installation_is_whole() {
    let Some(source) = Source::small() else {
        return;
    };
    let before = tree(&source.path);
    let report = verify(&source);
    assert!(report.is_good(), "{report:#?}");
    assert_eq!(report.libraries, 19);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    let [garbage] = &report.without_pointer[..] else { panic!("{:?}", report.without_pointer) };
    assert!(garbage.garbage);
    assert_eq!(garbage.store.to_string(), "b9afe6cd-1dcc-475c-9972-85d406bc98cf");
    let incomplete: Vec<String> =
        report.history_incomplete.iter().map(|library| library.library.to_string()).collect();
    assert!(incomplete.contains(&"123a2770-da42-4bcd-a5f8-d9bd9799f53c".into()), "{incomplete:?}");
    assert_eq!(tree(&source.path), before, "nothing is written");
}

#[test]
fn a_library_without_a_branch_is_damage() {
    let source = Source::example();
    source.sql(&format!("DELETE FROM Branch WHERE repo_id = '{PHOTOS}'"));
    let report = verify(&source);
    let [damage] = &report.damage[..] else { panic!("{:#?}", report.damage) };
    assert_eq!((damage.library.to_string().as_str(), damage.reason.as_str()), (PHOTOS, "no-head"));
    assert_eq!(damage.library_name.as_deref(), Some("Photos & Videos"));
    assert!(report.without_pointer.is_empty());
    assert!(report.warnings.iter().any(|line| line.contains(PHOTOS)), "{:?}", report.warnings);
}

#[test]
fn a_shared_folder_whose_library_has_no_row_is_damage() {
    let source = Source::example();
    let objects = verify(&source).objects;
    for table in ["Repo", "Branch", "RepoHead"] {
        source.sql(&format!("DELETE FROM {table} WHERE repo_id = '{DOCUMENTS}'"));
    }
    let report = verify(&source);
    assert_eq!(report.objects, objects, "by the base commit and its history");
    let [damage] = &report.damage[..] else { panic!("{:#?}", report.damage) };
    assert_eq!(
        (damage.library.to_string().as_str(), damage.reason.as_str()),
        (VIRTUAL, "no-origin")
    );
    let [loose] = &report.without_pointer[..] else { panic!("{:?}", report.without_pointer) };
    assert_eq!((loose.store.to_string().as_str(), loose.garbage), (DOCUMENTS, false));
}

#[test]
fn a_destroyed_library_is_found_wherever_its_row_is() {
    for library in [DOCUMENTS, VIRTUAL, TRASH] {
        let source = Source::example();
        for kind in ["commits", "fs", "blocks"] {
            let _ = fs::remove_dir_all(
                source.path.join("seafile-data/storage").join(kind).join(library),
            );
        }
        let report = verify(&source);
        let heads: Vec<&LibraryDamage> =
            report.damage.iter().filter(|damage| damage.library.to_string() == library).collect();
        assert!(!heads.is_empty() && heads[0].object.kind == Kind::Commit, "{:#?}", report.damage);
    }
}

#[test]
fn stores_without_a_row_are_named() {
    let source = Source::example();
    for table in ["Repo", "Branch", "RepoHead"] {
        source.sql(&format!("DELETE FROM {table} WHERE repo_id = '{PHOTOS}'"));
    }
    let garbage = "11111111-1111-4111-8111-111111111111";
    source.sql(&format!("INSERT INTO GarbageRepos (repo_id) VALUES ('{garbage}')"));
    fs::create_dir(source.path.join("seafile-data/storage/fs").join(garbage)).unwrap();
    fs::create_dir(source.path.join("seafile-data/storage/fs/lost+found")).unwrap();
    let report = verify(&source);
    assert!(report.is_good());
    let found: Vec<_> = report
        .without_pointer
        .iter()
        .map(|store| (store.store.to_string(), store.garbage))
        .collect();
    assert_eq!(found, [(garbage.into(), true), (PHOTOS.into(), false)]);
    assert_eq!(report.foreign, 1);
}

#[test]
fn random_block_ids_of_pro_are_counted_and_their_lengths_checked() {
    let source = Source::example();
    let store = Contents::new(&source, PHOTOS);
    let file = store.some_file();
    let block = path(&source, &file.blocks[0]);
    let mut installation = source.installation();
    (installation.pro, installation.skip_block_hash) = (true, true);
    alter(&block, |bytes| bytes[0] ^= 1);
    let report = verify_as(&installation, &|_| {});
    assert!(report.is_good() && report.unverifiable == 1, "{:#?}", report.damage);
    alter(&block, |bytes| bytes.truncate(bytes.len() - 1));
    let report = verify_as(&installation, &|_| {});
    assert_eq!(
        about(&report, file.object),
        [(PHOTOS.into(), "wrong-length", vec![file.path.clone()])]
    );
    alter(&block, Vec::clear);
    let report = verify_as(&installation, &|_| {});
    assert_eq!(about(&report, file.blocks[0])[0].1, "empty");
}

#[test]
fn a_damaged_database_does_not_hide_the_rest() {
    let source = Source::example();
    let block = Contents::new(&source, PHOTOS).some_file().blocks[0];
    fs::remove_file(path(&source, &block)).unwrap();
    put(&source.path.join("ccnet/PeerMgr/usermgr.db"), &[b'x'; 5000]);
    let report = verify(&source);
    let bad: Vec<&str> = report
        .databases
        .iter()
        .filter(|database| !database.problems.is_empty())
        .map(|database| database.path.as_str())
        .collect();
    assert_eq!(bad, ["ccnet/PeerMgr/usermgr.db"]);
    assert_eq!(about(&report, block).len(), 1);
    put(&path(&source, &block), b"");
    assert!(!verify(&source).is_good());
    put(&source.path.join("seafile-data/seafile.db"), &[b'x'; 5000]);
    let spool = tempfile::tempdir().unwrap();
    assert!(
        verify::run(&source.installation(), spool.path(), &Options::default(), &|_| {}).is_err()
    );
}

#[test]
fn objects_of_the_folder_that_all_libraries_shared_count() {
    let source = Source::example();
    let file = Contents::new(&source, PHOTOS).some_file();
    let shared = Object { store: Store::Shared, ..file.blocks[0] };
    fs::create_dir_all(path(&source, &shared).parent().unwrap()).unwrap();
    fs::rename(path(&source, &file.blocks[0]), path(&source, &shared)).unwrap();
    let report = verify(&source);
    assert!(report.is_good(), "{:#?}", report.damage);
    alter(&path(&source, &shared), |bytes| bytes[0] ^= 1);
    let report = verify(&source);
    let expected = [(PHOTOS.into(), "wrong-id", vec![file.path])];
    assert_eq!(about(&report, shared), expected, "nobody else's");
}
