//! Commits whose bytes are not those that were made: which of two counts, and what is damage.

use std::fs;

use seawall::object::{Kind, Object, ObjectId, Store};

use super::*;
use crate::damage::{head, object_path, parent, root};
use crate::heads::make_commit_with;
use crate::support::files_below;

/// Changes one field of a commit in the source.
fn change(source: &Source, commit: &Object, field: &str, value: serde_json::Value) -> Vec<u8> {
    let path = object_path(source, commit);
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    json[field] = value;
    let bytes = serde_json::to_vec(&json).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    bytes
}

fn bytes_stored(world: &World, report: &Report, object: &Object) -> Vec<u8> {
    stored_objects(&world.repository, &report.marker).remove(object).unwrap()
}

/// All of the source is looked at again.
fn audited(world: &mut World, source: &Source) -> Report {
    world.options.verify_source = Some("1/1".parse().unwrap());
    world.backup(source)
}

#[test]
fn the_stored_commit_stands_unless_only_the_other_fits_its_id() {
    // Fields that the id covers, and one that it does not.
    for (field, value) in [
        ("root_id", "2".repeat(40)),
        ("creator_name", "mallory@example.com".to_owned()),
        ("description", "another".to_owned()),
        ("parent_id", "3".repeat(40)),
    ] {
        let (source, mut world) = (Source::example(), World::local());
        let commit = head(&source, PHOTOS);
        let good = fs::read(object_path(&source, &commit)).unwrap();
        world.backup(&source);
        let other = change(&source, &commit, field, value.into());
        for night in 0..2 {
            let report = audited(&mut world, &source);
            assert_eq!(report.manifest.damage, [], "{field}");
            let [damage] = &*report.manifest.source_damage else {
                panic!("{field}: {:?}", report.manifest.source_damage)
            };
            assert_eq!((damage.object(), &*damage.reason), (commit, "changed"));
            let kept = seawall::object::Sha256::of(&other);
            assert_eq!(damage.kept, Some(kept), "{field}");
            assert!(report.needs_reading(), "{field}");
            assert_eq!(report.new_source_damage, u64::from(night == 0));
            assert_eq!(bytes_stored(&world, &report, &commit), good, "{field}");
            assert!(library(&report, PHOTOS).closed, "{field}");
        }
        world.options.full = true;
        let report = world.backup(&source);
        assert_eq!(bytes_stored(&world, &report, &commit), good, "{field}");
        let path = object_path(&source, &commit);
        fs::remove_file(&path).unwrap();
        fs::write(&path, &good).unwrap();
        assert!(!world.backup(&source).needs_reading(), "{field}");
        assert_deep_check(&world);
    }
}

#[test]
fn a_stored_commit_that_never_fitted_gives_way_to_one_that_does() {
    let (source, mut world) = (Source::example(), World::local());
    let commit = parent(&source, &head(&source, PHOTOS));
    let good = fs::read(object_path(&source, &commit)).unwrap();
    let odd = change(&source, &commit, "creator_name", "odd@example.com".into());
    let first = world.backup(&source);
    // An odd client may have made it so.
    assert!(!first.needs_reading());
    assert_eq!(bytes_stored(&world, &first, &commit), odd);
    let path = object_path(&source, &commit);
    fs::remove_file(&path).unwrap();
    fs::write(&path, &good).unwrap();
    let report = audited(&mut world, &source);
    assert_eq!(bytes_stored(&world, &report, &commit), good);
    assert!(!report.needs_reading());
    // Of two that do not fit the first stands.
    change(&source, &commit, "creator_name", "odd@example.com".into());
    let report = audited(&mut world, &source);
    assert_eq!(bytes_stored(&world, &report, &commit), good);
    assert_eq!(damaged(&report.manifest.source_damage), [commit].into());
}

/// The repository cannot give what was stored, and nobody has read it before: the source has the only copy.
#[test]
fn a_sound_commit_wins_over_a_stored_one_that_turns_out_to_be_lost() {
    let (source, mut world) = (Source::example(), World::local());
    let commit = head(&source, PHOTOS);
    world.backup(&source);
    // Its id does not cover this field.
    let other = change(&source, &commit, "device_name", "another".into());
    for pack in files_below(&world.repository_path().join("data/trees")) {
        crate::restore::alter(&pack, |bytes| {
            for byte in bytes.iter_mut() {
                *byte = !*byte;
            }
        });
    }
    let report = audited(&mut world, &source);
    assert_eq!(report.manifest.damage, []);
    assert_eq!(report.manifest.source_damage, []);
    assert!(report.totals.objects > 0, "it was not stored again");
    // The packs were seen to be bad, and are stored again.
    let report = audited(&mut world, &source);
    assert_eq!(bytes_stored(&world, &report, &commit), other);
    assert_eq!(report.manifest.source_damage, []);
}

/// The folder that the id fits is in the library: that no client of any kind makes.
#[test]
fn an_altered_root_is_damage_in_backup_verify_and_deep_check() {
    let example = Source::example();
    let newest = head(&example, PHOTOS);
    let older = parent(&example, &newest);
    let (of_newest, of_older) = (root(&example, &newest), root(&example, &older));
    assert_ne!(of_newest, of_older);
    let fresh = World::local();
    let needed = stored(&fresh, &fresh.backup(&example));
    for (commit, wrong, right) in [
        (newest, of_older.id, of_newest),
        (newest, ObjectId::EMPTY, of_newest),
        (older, of_newest.id, of_older),
    ] {
        let (source, world) = (Source::example(), World::local());
        change(&source, &commit, "root_id", wrong.to_string().into());
        for night in 0..3 {
            let report = world.backup(&source);
            let [damage] = &*report.manifest.damage else { panic!("{:?}", report.manifest.damage) };
            assert_eq!((damage.object(), &*damage.reason), (commit, "altered-root"));
            assert!(damage.detail.contains(&right.id.to_string()));
            assert_eq!(report.new_damage, u64::from(night == 0));
            assert!(report.needs_reading());
            // What is below the right one is stored too.
            assert!(stored(&world, &report).contains(&right));
            assert!(needed.is_subset(&stored(&world, &report)));
        }
        assert_deep_check(&world);
        let spool = tempfile::tempdir().unwrap();
        let verified = seawall::verify::run(
            &source.installation(),
            spool.path(),
            &seawall::verify::Options {
                second_look: std::time::Duration::ZERO,
                ..seawall::verify::Options::default()
            },
            &|_| {},
        )
        .unwrap();
        assert!(!verified.good);
        let reasons: Vec<&str> = verified.damage.iter().map(|damage| &*damage.reason).collect();
        assert_eq!(reasons, ["altered-root"]);
    }
}

/// The folder that the id fits is the empty one, of which nothing is on disk.
#[test]
fn an_altered_root_of_an_empty_library_is_damage_too() {
    let (source, world) = (Source::example(), World::local());
    let before = head(&source, PHOTOS);
    let emptied = make_commit_with(&source, &before, |commit| {
        commit["root_id"] = ObjectId::EMPTY.to_string().into();
        commit["parent_id"] = before.id.to_string().into();
    });
    source
        .sql(&format!("UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{PHOTOS}'", emptied.id));
    let other = root(&source, &before).id.to_string();
    change(&source, &emptied, "root_id", other.into());
    let report = world.backup(&source);
    let [damage] = &*report.manifest.damage else { panic!("{:?}", report.manifest.damage) };
    assert_eq!((damage.object(), &*damage.reason), (emptied, "altered-root"));
    assert!(damage.detail.contains(&ObjectId::EMPTY.to_string()));
    assert_deep_check(&world);
}

#[test]
fn commits_of_odd_clients_are_no_damage_and_cost_one_listing() {
    let (source, world) = (Source::example(), World::local());
    let mut commit = head(&source, PHOTOS);
    for _ in 0..3 {
        change(&source, &commit, "creator_name", "odd@example.com".into());
        commit = parent(&source, &commit);
    }
    let report = world.backup(&source);
    assert_eq!(report.manifest.damage, []);
    assert!(!report.needs_reading());
    let told = report.manifest.warnings.iter();
    assert!(told.clone().any(|line| line.contains("no known formula")));
    assert_eq!(world.backup(&source).visited, 0);
    let store = Store::Library(PHOTOS.parse().unwrap());
    assert!(stored(&world, &report).contains(&Object::new(store, Kind::Commit, commit.id)));
}
