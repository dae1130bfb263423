//! What a lost commit or folder cuts off.

use std::fs;

use seawall::object::{Kind, LibraryId, Object, ObjectId, Store};
use seawall::repository::index::read_manifest;
use seawall::repository::manifest::Manifest;
use seawall::restore::{self, Scope};

use super::*;
use crate::damage::{head, object_path, parent, root};
use crate::support::{DOCUMENTS, files_below, rounds};

/// Something that is lost, and the libraries whose objects it cuts off.
fn losses(source: &Source) -> Vec<(&'static str, Object, Vec<&'static str>)> {
    let base: ObjectId = source.query("SELECT base_commit FROM VirtualRepo").parse().unwrap();
    let trashed: ObjectId = source.query("SELECT head_id FROM RepoTrash").parse().unwrap();
    let commit = |library: &str, id| {
        let store = library.parse::<LibraryId>().unwrap();
        Object::new(Store::Library(store), Kind::Commit, id)
    };
    let photos = head(source, PHOTOS);
    let unicode = head(source, UNICODE);
    let middle = parent(source, &parent(source, &unicode));
    vec![
        ("head", photos, vec![PHOTOS]),
        ("head of a shared folder", head(source, PROJECTS), vec![PROJECTS, DOCUMENTS]),
        ("base commit", commit(DOCUMENTS, base), vec![PROJECTS, DOCUMENTS]),
        ("head in the trash", commit(TRASH, trashed), vec![TRASH]),
        ("root folder", root(source, &photos), vec![PHOTOS]),
        ("root folder of all versions", root(source, &middle), vec![UNICODE]),
        ("commit in history", middle, vec![UNICODE]),
    ]
}

#[test]
fn what_a_lost_object_cuts_off_is_stored_and_restored_and_healed() {
    let breaks = [zeros, cut, removed];
    for round in 0..rounds(1, 3) {
        let whole = Source::example();
        for (at, (name, lost, libraries)) in losses(&whole).into_iter().enumerate() {
            let break_it = breaks[(round + at) % breaks.len()];
            let (source, world) = (Source::example(), World::local());
            let path = object_path(&source, &lost);
            let good = fs::read(&path).unwrap();
            break_it(&path);
            let report = world.backup(&source);
            assert!(damaged(&report.manifest.damage).contains(&lost), "{name}");
            assert!(report.needs_reading(), "{name}");
            let kept = stored(&world, &report);
            for id in &libraries {
                let lacking: Vec<_> = sound(&source, id).difference(&kept).copied().collect();
                assert_eq!(lacking, [], "{name}: {id}");
            }
            let told = report.manifest.libraries.iter();
            let told = told.filter_map(|library| library.listed.as_ref());
            assert_eq!(told.count(), 1, "{name}");
            assert!(
                (report.manifest.warnings.iter()).any(|line| line.contains("without a head")),
                "{name}: {:?}",
                report.manifest.warnings
            );
            assert_restored(&source, &world, &libraries, name);
            assert_heals(&source, &world, &lost, &good, name);
        }
    }
}

fn assert_restored(source: &Source, world: &World, libraries: &[&str], name: &str) {
    for scope in [Scope::Everything, Scope::Data] {
        let target = tempfile::tempdir().unwrap();
        let options =
            restore::Options { scope, ..restore::Options::new(target.path().join("restored")) };
        restore::run(&world.repository, &latest(world), &options, &|_| {}).unwrap();
        for object in libraries.iter().flat_map(|id| sound(source, id)) {
            let restored = options.target.join(object.path());
            let bytes =
                fs::read(&restored).unwrap_or_else(|error| panic!("{name}: {object} {error}"));
            assert_eq!(bytes, fs::read(object_path(source, &object)).unwrap());
        }
    }
}

/// A second run with the same loss lists nothing again; one where it is healed walks as ever.
fn assert_heals(source: &Source, world: &World, lost: &Object, good: &[u8], name: &str) {
    let Store::Library(store) = lost.store else { unreachable!("{lost}") };
    // Only a listing comes by this block.
    let block = b"garbage";
    let id = {
        use sha1::Digest as _;
        ObjectId::new(sha1::Sha1::digest(block).into())
    };
    let garbage = Object::new(Store::Library(store), Kind::Block, id);
    let path = object_path(source, &garbage);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, block).unwrap();
    let before = latest(world);
    let again = world.backup(source);
    assert_eq!(again.totals.objects, 0, "{name}");
    let listed = |manifest: &Manifest| -> Vec<_> {
        let libraries = manifest.libraries.iter();
        libraries.map(|library| library.listed.clone()).collect()
    };
    let first = read_manifest(&world.repository, &before.marker);
    assert_eq!(listed(&again.manifest), listed(&first.unwrap()), "{name}");
    let path = object_path(source, lost);
    let _ = fs::remove_file(&path);
    fs::write(&path, good).unwrap();
    let healed = world.backup(source);
    assert_eq!(healed.marker.damage, 0, "{name}: {:?}", healed.manifest.damage);
    assert!(stored(world, &healed).contains(lost), "{name}");
    let libraries = healed.manifest.libraries.iter();
    for library in libraries.filter(|library| !library.heads.is_empty()) {
        assert!(library.closed && library.listed.is_none(), "{name}: {library:?}");
    }
    assert_eq!(world.backup(source).visited, 0, "{name}");
}

#[test]
fn a_loss_more_is_looked_behind_again() {
    let (source, mut world) = (Source::example(), World::local());
    zeros(&object_path(&source, &head(&source, PHOTOS)));
    let first = world.backup(&source);
    let objects = library(&first, PHOTOS).listed.as_ref().unwrap().objects;
    assert_eq!(objects, 24, "all but the head");
    assert_eq!(library(&first, PHOTOS).counts.objects(), 24);
    let nowhere = "1".repeat(40);
    source.sql(&format!("UPDATE Branch SET commit_id = '{nowhere}' WHERE repo_id = '{UNICODE}'"));
    let second = world.backup(&source);
    let of_second = library(&second, UNICODE).listed.as_ref().unwrap();
    // It was walked whole by the first run.
    assert_eq!(of_second.objects, 0);
    assert!(of_second.newest.is_some());
    assert_eq!(library(&second, PHOTOS).listed, library(&first, PHOTOS).listed);
    // A repository that loses what was listed gets it again.
    for pack in files_below(&world.repository_path().join("data/blocks")) {
        fs::remove_file(pack).unwrap();
    }
    world.options.list = true;
    let third = world.backup(&source);
    let kept = stored(&world, &third);
    assert!(sound(&source, PHOTOS).is_subset(&kept));
}

/// What an earlier run listed is known of the base, not of the catalog: that may have been made again.
#[test]
fn how_much_was_listed_survives_the_catalog() {
    let (source, world) = (Source::example(), World::local());
    let newest = head(&source, PHOTOS);
    let middle = parent(&source, &newest);
    zeros(&object_path(&source, &newest));
    let first = world.backup(&source);
    let objects = |report: &Report| library(report, PHOTOS).listed.as_ref().unwrap().objects;
    assert_eq!(objects(&first), 24);
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    // A loss more has it listed again.
    source.sql(&format!("INSERT INTO Branch VALUES ('other', '{PHOTOS}', '{}')", "1".repeat(40)));
    let second = world.backup(&source);
    assert!(stored(&world, &second).contains(&middle));
    assert_eq!(objects(&second), 24);
}
