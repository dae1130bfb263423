//! A source that is gone: told on the first night, once, and as what it is.

mod losses;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use seawall::backup::Report;
use seawall::object::{Kind, Object, Store};
use seawall::repository::manifest::Damage;

use crate::cli::User;
use crate::damage::{head, object_path, parent};
use crate::stories::move_to_shared;
use crate::support::{DOCUMENTS, Source, World, backed_up, files_below};

const KINDS: [&str; 3] = ["commits", "fs", "blocks"];

fn storage(source: &Source) -> PathBuf {
    source.path.join("seafile-data/storage")
}

/// Leaves a folder as a mount point looks without its disk.
fn empty(folder: &Path) {
    fs::remove_dir_all(folder).unwrap();
    fs::create_dir(folder).unwrap();
}

/// One alarm, which the snapshot shows, and not a list of names.
fn assert_is_gone(report: &Report) {
    let gone = report.source_gone.as_ref().unwrap();
    assert!(gone.text.ends_with("is its disk mounted?"), "{}", gone.text);
    assert_eq!(report.manifest.warnings.first(), Some(&gone.text));
    assert!(report.needs_reading() && !report.is_proved());
    assert_eq!(report.marker.incomplete, ["source-gone"]);
}

#[test]
fn whatever_of_the_storage_is_gone_is_one_alarm_each_night_until_it_is_back() {
    let gone: [(&str, &[&str]); 5] = [
        ("all", &KINDS),
        ("commits", &["commits"]),
        ("fs", &["fs"]),
        ("blocks", &["blocks"]),
        ("fs and blocks", &["fs", "blocks"]),
    ];
    for (what, kinds) in gone {
        let (source, world, first) = backed_up();
        assert!(first.source_gone.is_none() && first.is_proved() && !first.needs_reading());
        let storage = storage(&source);
        let away = source.path.join("away");
        fs::rename(&storage, &away).unwrap();
        let copied = storage.to_str().unwrap();
        crate::support::run("cp", &["-a", away.to_str().unwrap(), copied]);
        for kind in kinds {
            empty(&storage.join(kind));
        }
        for night in 0..2 {
            let report = world.backup(&source);
            assert_is_gone(&report);
            assert_eq!(report.totals.objects, 0, "{what}, {night}");
            // What is stored stays as it is.
            assert_eq!(
                (report.marker.packs, report.marker.bytes),
                (first.marker.packs, first.marker.bytes)
            );
            assert!(report.manifest.all_damage().next().is_none(), "{what}");
            assert!(report.manifest.libraries.iter().all(|library| library.closed));
        }
        fs::remove_dir_all(&storage).unwrap();
        fs::rename(&away, &storage).unwrap();
        let report = world.backup(&source);
        assert!(
            report.source_gone.is_none() && report.is_proved() && !report.needs_reading(),
            "{what}"
        );
        assert_eq!((report.visited, report.totals.objects), (0, 0), "{what}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_gone_as_well_as_an_empty_one() {
    let (source, world, _) = backed_up();
    fs::remove_dir_all(storage(&source).join("blocks")).unwrap();
    assert_is_gone(&world.backup(&source));
}

/// Whatever else the run was to look at: it does not name, and read from the repository, every object.
#[test]
fn an_audit_and_a_full_run_leave_alone_what_is_gone() {
    let (source, mut world, first) = backed_up();
    for kind in KINDS {
        empty(&storage(&source).join(kind));
    }
    for full in [false, true] {
        world.options.full = full;
        world.options.verify_source = (!full).then(|| "1/2".parse().unwrap());
        let report = world.backup(&source);
        assert_is_gone(&report);
        assert_eq!((report.visited, report.audited), (0, 0), "{full}");
        assert!(report.compacted.is_none());
        assert_eq!(report.marker.packs, first.marker.packs);
        assert!(report.manifest.all_damage().next().is_none());
    }
}

#[test]
fn the_first_backup_of_a_source_that_is_gone_is_the_same_alarm() {
    for kinds in [&KINDS[..], &["blocks"]] {
        let (source, world) = (Source::example(), World::local());
        for kind in kinds {
            empty(&storage(&source).join(kind));
        }
        for _ in 0..2 {
            let report = world.backup(&source);
            assert_is_gone(&report);
            // A marker is a proof: the manifest names what is lost.
            assert!(report.marker.damage > 0);
            let stores = report.manifest.damage.iter().map(|damage| damage.store);
            let lost: BTreeSet<Store> = stores.collect();
            let gone = &report.source_gone.as_ref().unwrap().libraries;
            let gone: BTreeSet<Store> =
                gone.iter().map(|library| Store::Library(*library)).collect();
            assert!(lost.is_subset(&gone), "{lost:?} {gone:?}");
        }
    }
}

/// An alarm has an end that a person can reach, also where the disk is lost for good.
#[test]
fn what_is_lost_for_good_can_be_named_and_accepted() {
    let (source, mut world, _) = backed_up();
    empty(&storage(&source).join("blocks"));
    world.options.verify_source = "1/1".parse().ok();
    let report = world.backup(&source);
    assert_is_gone(&report);
    assert!(!report.manifest.source_damage.is_empty());
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
    world.options.verify_source = None;
    let report = world.backup(&source);
    assert!(report.source_gone.is_none(), "{:?}", report.source_gone);
    assert!(!report.needs_reading(), "{:?}", report.warnings());
}

#[test]
fn one_library_that_is_gone_is_named_on_the_first_night() {
    for kind in KINDS {
        let (source, world, _) = backed_up();
        let folder = storage(&source).join(kind).join(DOCUMENTS);
        let files = files_below(&folder).len();
        fs::remove_dir_all(&folder).unwrap();
        let report = world.backup(&source);
        assert!(report.source_gone.is_none() && report.needs_reading());
        assert_eq!(report.marker.damage, 0);
        let kind = Kind::ALL.into_iter().find(|known| known.folder() == kind).unwrap();
        let lost = report.manifest.source_damage.iter().map(Damage::object);
        let lost: std::collections::HashSet<Object> =
            lost.filter(|object| object.kind == kind).collect();
        assert!((1..=files).contains(&lost.len()), "{lost:?}");
        let first = &report.manifest.warnings[0];
        assert!(first.contains(DOCUMENTS) && first.contains("gone"), "{first}");
        // It is no news on the next night, and told all the same.
        let report = world.backup(&source);
        assert!(report.needs_reading());
        assert_eq!(report.new_source_damage, 0);
    }
}

#[test]
fn a_head_that_is_gone_or_empty_is_named_on_the_first_night() {
    for is_empty in [false, true] {
        let (source, world, _) = backed_up();
        let head = head(&source, DOCUMENTS);
        let path = object_path(&source, &head);
        fs::remove_file(&path).unwrap();
        if is_empty {
            fs::write(&path, b"").unwrap();
        }
        let report = world.backup(&source);
        assert!(report.source_gone.is_none() && report.needs_reading());
        let lost: Vec<Object> = report.manifest.source_damage.iter().map(Damage::object).collect();
        assert_eq!(lost, [head]);
    }
}

/// The folders are all there, and the files are not: what only a look at objects tells.
#[test]
fn random_objects_tell_what_folders_do_not() {
    let (source, mut world, _) = backed_up();
    for block in files_below(&storage(&source).join("blocks")) {
        fs::remove_file(block).unwrap();
    }
    let report = world.backup(&source);
    assert!(report.source_gone.is_none() && !report.needs_reading(), "nothing looks at objects");
    world.options.samples = 200;
    assert_is_gone(&world.backup(&source));
    // Files of no bytes, which a power cut leaves, and of too few.
    for left in [&b""[..], b"x"] {
        let (source, mut world, _) = backed_up();
        world.options.samples = 200;
        assert!(!world.backup(&source).needs_reading());
        for object in files_below(&storage(&source).join("blocks")) {
            fs::write(object, left).unwrap();
        }
        assert_is_gone(&world.backup(&source));
    }
}

#[test]
fn a_random_object_that_is_lost_is_named() {
    let (source, mut world, _) = backed_up();
    let block = source.objects("blocks", DOCUMENTS)[0].clone();
    let old = parent(&source, &head(&source, DOCUMENTS));
    fs::remove_file(&block).unwrap();
    world.options.samples = 2000;
    let report = world.backup(&source);
    assert!(report.source_gone.is_none() && report.needs_reading());
    let text = block.to_str().unwrap();
    let lost: Vec<String> =
        report.manifest.source_damage.iter().map(|damage| damage.object().path()).collect();
    assert!(lost.iter().all(|lost| text.ends_with(lost.as_str())) && !lost.is_empty(), "{lost:?}");
    // And a version that users can still go back to.
    let (source, mut world, _) = backed_up();
    fs::remove_file(object_path(&source, &old)).unwrap();
    world.options.samples = 2000;
    let report = world.backup(&source);
    let lost: Vec<Object> = report.manifest.source_damage.iter().map(Damage::object).collect();
    assert_eq!(lost, [old]);
}

#[test]
fn a_share_of_the_audit_is_due_from_the_first_night_on() {
    for share in ["1/30", "1/3", "1/2"] {
        let (source, mut world, first) = backed_up();
        world.options.verify_source = share.parse().ok();
        let with_head = first.manifest.libraries.iter().filter(|library| !library.heads.is_empty());
        let (all, mut seen) = (with_head.count(), 0);
        for night in 1..=all {
            let report = world.backup(&source);
            if seen < all {
                assert!(report.audited > 0, "{share}, night {night}: {seen} of {all}");
            }
            seen += report.audited;
        }
        assert!(seen >= all, "{share}: {seen} of {all}");
    }
}

/// The objects of Seafile 1 and 2 lie in folders that all libraries share.
#[test]
fn a_shared_store_that_is_gone_is_the_same_alarm() {
    let (source, world) = (Source::example(), World::local());
    source.sql(&format!(
        "DELETE FROM VirtualRepo; DELETE FROM RepoTrash; DELETE FROM Repo WHERE repo_id != '{DOCUMENTS}';
         DELETE FROM Branch WHERE repo_id != '{DOCUMENTS}'"
    ));
    move_to_shared(&source, &KINDS, &[DOCUMENTS]);
    fs::remove_dir_all(storage(&source)).unwrap();
    assert!(world.backup(&source).is_proved());
    let blocks = source.path.join("seafile-data/blocks");
    let away = source.path.join("away");
    fs::rename(&blocks, &away).unwrap();
    fs::create_dir(&blocks).unwrap();
    assert_is_gone(&world.backup(&source));
    fs::remove_dir(&blocks).unwrap();
    fs::rename(&away, &blocks).unwrap();
    assert!(world.backup(&source).is_proved());
}

#[test]
fn a_backup_of_no_library_proves_nothing() {
    let (source, world) = (Source::example(), World::local());
    source.sql(
        "DELETE FROM Repo; DELETE FROM Branch; DELETE FROM RepoTrash; DELETE FROM VirtualRepo",
    );
    let report = world.backup(&source);
    assert!(report.manifest.libraries.is_empty() && !report.is_proved());
}

/// What the first run stored was read then, and has its turn all the same; it rests after it.
#[test]
fn a_library_larger_than_a_share_has_its_turn_on_the_first_night_and_rests() {
    let (source, mut world) = (Source::example(), World::local());
    source.sql(&format!(
        "DELETE FROM VirtualRepo; DELETE FROM RepoTrash; DELETE FROM Repo WHERE repo_id != '{DOCUMENTS}';
         DELETE FROM Branch WHERE repo_id != '{DOCUMENTS}'"
    ));
    world.backup(&source);
    world.options.verify_source = "1/30".parse().ok();
    let nights = [1, 2, 3].map(|_| world.backup(&source).audited);
    assert_eq!(nights, [1, 0, 0]);
}

#[test]
fn by_the_command_line() {
    let (source, user) = (Source::example(), User::with_repository());
    let path = source.path.to_str().unwrap();
    let good = user.run(&["backup", path]);
    assert!(good.succeeds().contains("proved    every pointer"), "{}", good.stdout);
    let doctor = user.run(&["doctor", path]);
    assert!(doctor.succeeds().contains("10 of 10 libraries have objects"), "{}", doctor.stdout);
    for kind in KINDS {
        empty(&storage(&source).join(kind));
    }
    for quiet in [&[][..], &["-q"]] {
        let ran = user.run(&[&["backup", path], quiet].concat());
        assert_eq!(ran.status, 3, "{}{}", ran.stdout, ran.stderr);
        let first = ran.stdout.lines().next().unwrap();
        assert!(first.starts_with("ALARM") && first.contains("is its disk mounted?"), "{first}");
        assert!(!ran.stdout.contains("proved "), "{}", ran.stdout);
        assert!(!ran.stderr.contains("commit"), "{}", ran.stderr);
        assert!(
            ran.stdout.lines().last().unwrap().contains("THE SOURCE IS GONE"),
            "{}",
            ran.stdout
        );
    }
    let ran = user.run(&["backup", path, "--json"]);
    let json = ran.json();
    assert_eq!(ran.status, 3);
    assert_eq!(json["proved"], false);
    assert!(json["source_gone"].as_str().unwrap().contains("10 of 10 libraries"), "{json}");
    assert_eq!(json["warnings"][0], json["source_gone"]);
    assert!(user.run(&["snapshots"]).stdout.contains("source-gone"));
    let status = user.run(&["status"]);
    assert_eq!(status.status, 3);
    assert!(status.stdout.contains("source-gone"), "{}", status.stdout);
    let doctor = user.run(&["doctor", path]);
    assert_eq!(doctor.status, 3);
    assert!(
        doctor.stdout.contains("0 of 10 libraries have objects: is the disk mounted?"),
        "{}",
        doctor.stdout
    );
}

#[test]
fn doctor_names_a_library_that_is_gone_and_sees_that_all_blocks_are() {
    let (source, user) = (Source::example(), User::with_repository());
    let path = source.path.to_str().unwrap();
    fs::remove_dir_all(storage(&source).join("commits").join(DOCUMENTS)).unwrap();
    let doctor = user.run(&["doctor", path]);
    assert_eq!(doctor.status, 3);
    assert!(doctor.stdout.contains("9 of 10 libraries have objects"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains(DOCUMENTS), "{}", doctor.stdout);
    // Gone, or files of no bytes: the doctor knows no lengths.
    for are_files in [false, true] {
        let source = Source::example();
        let blocks = storage(&source).join("blocks");
        if are_files {
            for block in files_below(&blocks) {
                fs::write(block, b"").unwrap();
            }
        } else {
            empty(&blocks);
        }
        let doctor = user.run(&["doctor", source.path.to_str().unwrap()]);
        assert_eq!(doctor.status, 3, "{}", doctor.stdout);
        assert!(doctor.stdout.contains("is the disk mounted?"), "{}", doctor.stdout);
    }
}

#[test]
fn nothing_is_proved_beside_rows_that_cannot_be_read() {
    let (source, user) = (Source::example(), User::with_repository());
    let path = source.path.to_str().unwrap();
    source
        .sql("UPDATE Repo SET repo_id = 'rubbish' WHERE repo_id = (SELECT min(repo_id) FROM Repo)");
    let ran = user.run(&["backup", path]);
    assert_eq!(ran.status, 3);
    assert!(!ran.stdout.contains("proved "), "{}", ran.stdout);
    assert!(!ran.stdout.contains("every pointer"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("not looked at") && ran.stdout.contains("rows-unreadable"),
        "{}",
        ran.stdout
    );
    let ran = user.run(&["backup", path, "--json"]);
    assert_eq!(ran.json()["proved"], false);
}

#[test]
fn ids_in_capital_letters_are_read_as_the_same_ids() {
    let (source, world) = (Source::example(), World::local());
    let good = World::local().backup(&source);
    source.sql(
        "UPDATE Repo SET repo_id = upper(repo_id); UPDATE Branch SET commit_id = upper(commit_id)",
    );
    let report = world.backup(&source);
    let ids = |report: &Report| {
        let libraries = report.manifest.libraries.iter();
        libraries
            .map(|library| (library.id, library.heads.clone(), library.counts))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&report), ids(&good));
    assert!(report.is_proved(), "{:?}", report.marker.incomplete);
    let told = report.warnings().iter().filter(|line| line.contains("capital letters")).count();
    assert!(told > 0, "{:?}", report.warnings());
}

#[test]
fn nothing_is_called_good_where_there_is_nothing() {
    let (source, user) = (Source::example(), User::with_repository());
    let path = source.path.to_str().unwrap();
    for level in [
        &["check"][..],
        &["check", "--read-data"],
        &["check", "--deep"],
        &["check", "--read-data=1/2"],
    ] {
        let ran = user.run(level);
        assert_eq!(ran.status, 3, "{}", ran.stdout);
        assert!(ran.stdout.contains("there is no snapshot"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("good"), "{}", ran.stdout);
    }
    // A run that died is no snapshot either.
    assert_eq!(user.run(&["backup", path, "--exclude", "["]).status, 1);
    assert_eq!(user.run(&["check"]).status, 3);
    assert_eq!(user.run(&["status"]).status, 1);
    // Databases that were made anew.
    source.sql(
        "DELETE FROM Repo; DELETE FROM Branch; DELETE FROM RepoTrash; DELETE FROM VirtualRepo; DELETE FROM GarbageRepos",
    );
    let ran = user.run(&["backup", path]);
    assert!(!ran.stdout.contains("proved "), "{}", ran.stdout);
    let verify = user.run(&["verify", path]);
    assert_eq!(verify.status, 3, "{}", verify.stdout);
    assert!(!verify.stdout.contains("good"), "{}", verify.stdout);
    let doctor = user.run(&["doctor", path]);
    assert!(doctor.stdout.contains("list no library"), "{}", doctor.stdout);
    assert_eq!(doctor.status, 3);
}
