//! What is gone beside what is known to be gone, and what is rightly not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seawall::object::ObjectId;
use seawall_backends::MemoryBackend;

use super::*;
use crate::damage::root;
use crate::heads::{make_commit, make_commit_with};
use crate::support::Told;

fn set_head(source: &Source, library: &str, commit: &Object) {
    source
        .sql(&format!("UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{library}'", commit.id));
}

/// Libraries that no shared folder leads into.
fn plain_libraries(source: &Source) -> Vec<String> {
    let all = source.query(
        "SELECT group_concat(repo_id) FROM Repo WHERE repo_id NOT IN (SELECT repo_id FROM VirtualRepo)
         AND repo_id NOT IN (SELECT origin_repo FROM VirtualRepo)",
    );
    all.split(',').map(ToOwned::to_owned).collect()
}

/// Deletes all files of a library, and all that `seaf-gc` collects then.
fn empty_and_collect(source: &Source, library: &str) {
    let old = head(source, library);
    let made = make_commit_with(source, &old, |commit| {
        commit["description"] = "deleted all".into();
        commit["root_id"] = ObjectId::EMPTY.to_string().into();
        commit["parent_id"] = old.id.to_string().into();
        commit["second_parent_id"] = serde_json::Value::Null;
    });
    set_head(source, library, &made);
    source.sql(&format!("INSERT OR REPLACE INTO RepoValidSince VALUES ('{library}', 4000000000)"));
    for kind in ["fs", "blocks"] {
        let folder = storage(source).join(kind).join(library);
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    let kept = object_path(source, &made);
    for commit in source.objects("commits", library) {
        if commit != kept {
            fs::remove_file(commit).unwrap();
        }
    }
}

#[test]
fn libraries_that_were_emptied_and_collected_lack_nothing() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let libraries = plain_libraries(&source);
    assert!(libraries.len() > 4);
    for library in &libraries {
        empty_and_collect(&source, library);
    }
    for night in 0..3 {
        let report = world.backup(&source);
        assert_eq!(report.source_gone, None, "{night}");
        assert!(!report.needs_reading(), "{night}: {:?}", report.warnings());
        // Nobody walks through them again and again.
        assert!(night == 0 || report.visited == 0, "{}", report.visited);
    }
    // The same with files of no bytes, which have no blocks.
    let user = User::new();
    user.run(&["init"]).succeeds();
    let doctor = user.run(&["doctor", source.path.to_str().unwrap()]);
    assert!(doctor.stdout.contains("10 of 10 libraries have objects"), "{}", doctor.stdout);
}

fn accept_all(world: &mut World, report: &Report) {
    let mut accepted = seawall::host::acceptances::Acceptances::default();
    for damage in report.manifest.all_damage() {
        let acceptance = seawall::repository::manifest::Acceptance {
            since: world.clock.now(),
            until: None,
            note: None,
        };
        accepted.accept(damage, acceptance);
    }
    world.options.accepted = Some(accepted);
}

/// One object that is known to be lost says nothing of the others in its folder.
#[test]
fn a_folder_that_is_lost_after_one_of_its_objects_was_accepted_is_told() {
    for kind in ["fs", "blocks"] {
        let (source, mut world) = (Source::example(), World::local());
        world.backup(&source);
        // Not the root of the newest version.
        let newest = root(&source, &head(&source, DOCUMENTS));
        let files = source.objects(kind, DOCUMENTS).into_iter();
        let lost = files.into_iter().find(|file| *file != object_path(&source, &newest));
        fs::remove_file(lost.unwrap()).unwrap();
        world.options.verify_source = "1/1".parse().ok();
        let report = world.backup(&source);
        world.options.verify_source = None;
        accept_all(&mut world, &report);
        assert!(!world.backup(&source).needs_reading(), "{kind}");
        fs::remove_dir_all(storage(&source).join(kind).join(DOCUMENTS)).unwrap();
        let report = world.backup(&source);
        assert!(report.needs_reading(), "{kind}");
        assert!(report.new_source_damage > 0, "{kind}");
        // And that has an end too.
        accept_all(&mut world, &report);
        let report = world.backup(&source);
        assert!(!report.needs_reading(), "{kind}: {:?}", report.warnings());
    }
}

/// A small installation, where one object is on every way.
fn one_library() -> Source {
    let source = Source::example();
    source.sql(&format!(
        "DELETE FROM VirtualRepo; DELETE FROM RepoTrash; DELETE FROM Repo WHERE repo_id <> '{DOCUMENTS}';
         DELETE FROM Branch WHERE repo_id <> '{DOCUMENTS}'"
    ));
    for kind in KINDS {
        for folder in fs::read_dir(storage(&source).join(kind)).unwrap() {
            let folder = folder.unwrap();
            if folder.file_name() != DOCUMENTS {
                fs::remove_dir_all(folder.path()).unwrap();
            }
        }
    }
    source
}

#[test]
fn one_object_that_is_lost_is_named_and_not_called_the_whole_source() {
    type Choose = fn(&Source) -> Object;
    let lost: [(&str, Choose); 2] = [
        ("head", |source| head(source, DOCUMENTS)),
        ("root", |source| root(source, &head(source, DOCUMENTS))),
    ];
    for (what, choose) in lost {
        let (source, mut world) = (one_library(), World::local());
        world.options.samples = 100;
        assert!(!world.backup(&source).needs_reading(), "{what}");
        let lost = choose(&source);
        fs::remove_file(object_path(&source, &lost)).unwrap();
        let report = world.backup(&source);
        assert_eq!(report.source_gone, None, "{what}");
        let named = report.manifest.source_damage.iter();
        let named: Vec<Object> = named.map(Damage::object).collect();
        assert_eq!(named, [lost], "{what}");
    }
    // All of it is another matter, also where there is one library.
    let (source, world) = (one_library(), World::local());
    world.backup(&source);
    empty(&storage(&source).join("commits"));
    assert_is_gone(&world.backup(&source));
}

/// A head that is known to be lost is told, and needs no walk each night; what is lost besides does.
#[test]
fn what_is_lost_beside_a_head_that_is_known_to_be_lost_is_found_on_that_night() {
    for kind in ["fs", "blocks"] {
        let (source, world) = (Source::example(), World::local());
        world.backup(&source);
        fs::remove_file(object_path(&source, &head(&source, DOCUMENTS))).unwrap();
        assert!(world.backup(&source).new_source_damage > 0);
        let quiet = world.backup(&source);
        assert_eq!(quiet.new_source_damage, 0);
        fs::remove_dir_all(storage(&source).join(kind).join(DOCUMENTS)).unwrap();
        let report = world.backup(&source);
        assert!(report.new_source_damage > 0, "{kind}");
        let is_of_kind = |damage: &&Damage| damage.kind.folder() == kind;
        let named = report.manifest.source_damage.iter().filter(is_of_kind);
        assert!(named.count() > 0, "{kind}");
    }
}

/// The first attempt of a full run found nothing, so it is no full run any more when the second one finds everything:
/// what it passed by counts as needed.
#[test]
fn a_full_run_whose_source_comes_back_in_the_middle_takes_nothing_away() {
    let source = Source::example();
    let inner = MemoryBackend::default();
    let mut world = World::on(Arc::new(inner.clone()));
    let first = world.backup(&source);
    let (storage, away) = (storage(&source), source.path.join("away"));
    fs::rename(&storage, &away).unwrap();
    for kind in KINDS {
        fs::create_dir_all(storage.join(kind)).unwrap();
    }
    // Two heads that the walk has to look for: one is in the dump, the other one is named after it.
    let like = Source::example();
    let newest = head(&like, DOCUMENTS);
    let one = make_commit(&like, &newest, &[&newest], "lost with the disk");
    let two = make_commit(&like, &newest, &[&newest], "on the disk");
    let to = away.join(two.path().strip_prefix("seafile-data/storage/").unwrap());
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(object_path(&like, &two), to).unwrap();
    set_head(&source, DOCUMENTS, &one);
    let data = source.path.clone();
    let intents = AtomicUsize::new(0);
    let trigger = Told::new(inner, move |key| {
        let key = key.as_str();
        if key.starts_with("databases/") && key.contains("/seafile.") {
            let database =
                rusqlite::Connection::open(data.join("seafile-data/seafile.db")).unwrap();
            let sql =
                format!("UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{DOCUMENTS}'", two.id);
            database.execute_batch(&sql).unwrap();
        }
        if key.starts_with("data/runs/") && intents.fetch_add(1, Ordering::Relaxed) == 1 {
            fs::remove_dir_all(&storage).unwrap();
            fs::rename(&away, &storage).unwrap();
        }
    });
    world.through(Arc::new(trigger));
    world.options.full = true;
    let report = world.backup(&source);
    assert_eq!(report.races, 1);
    assert_eq!(report.source_gone, None, "it came back");
    assert!(report.compacted.is_none(), "{:?}", report.compacted);
    assert!(report.marker.packs >= first.marker.packs);
    let options = seawall::check::Options {
        level: seawall::check::CheckLevel::Deep,
        ..seawall::check::Options::default()
    };
    let checked = seawall::check::run(&world.repository, &options, &|_| {}).unwrap();
    assert!(checked.is_good(), "{:?}", checked.problems);
    // The next one is full again, and takes away what it may.
    let next = world.backup(&source);
    assert!(next.compacted.is_some());
    let checked = seawall::check::run(&world.repository, &options, &|_| {}).unwrap();
    assert!(checked.is_good(), "{:?}", checked.problems);
}
