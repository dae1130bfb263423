//! A restore that broke off goes on as what it was begun as, and what earlier snapshots left in a standby does not stay.

use std::fs;
use std::path::{Path, PathBuf};

use seawall::object::Object;
use seawall::restore::{self, Options, Report, Scope, UNFINISHED};

use super::killed::STAGED;
use super::{head, object_path, snapshot, standby, unreachable_commits};
use crate::cli::User;
use crate::restore::{assert_same_files, latest};
use crate::support::{DOCUMENTS, Source, World, files_below};

/// A restore that does everything but place its commits, as if it died there.
fn break_off(world: &World, number: usize, options: &Options) {
    let snapshot = snapshot(world, number);
    let (_, waiting) = restore::fill(&world.repository, &snapshot, options, &|_| {}).unwrap();
    drop(waiting.unwrap());
    assert!(options.target.join(UNFINISHED).exists());
}

fn as_standby(target: &Path) -> Options {
    Options { standby: true, ..Options::new(target.to_owned()) }
}

#[test]
fn another_part_of_an_unfinished_restore_is_refused() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let scopes = [Scope::Everything, Scope::Data, Scope::Databases];
    for began in scopes {
        let target = world.path(&format!("{began:?}"));
        let options = |scope| Options { scope, ..Options::new(target.clone()) };
        break_off(&world, 0, &options(began));
        let left = crate::support::tree(&target);
        for asked in scopes.into_iter().filter(|scope| *scope != began) {
            let run = restore::run(&world.repository, &latest(&world), &options(asked), &|_| {});
            let error = run.unwrap_err();
            let hint = error.hint().unwrap();
            let restore::Error::OtherScope { began: recorded, .. } = error else {
                panic!("{error:?}");
            };
            assert_eq!(recorded, began);
            assert!(hint.contains("same part"), "{hint}");
            assert_eq!(crate::support::tree(&target), left, "{began:?} {asked:?}");
        }
        let run = restore::run(&world.repository, &latest(&world), &options(began), &|_| {});
        assert!(run.unwrap().resumed);
        assert!(!target.join(UNFINISHED).exists() && !target.join(STAGED).exists());
        let head = target.join(head(&source, DOCUMENTS).path());
        assert_eq!(head.exists(), began != Scope::Databases);
        let database = target.join("seafile-data/seafile.db");
        assert_eq!(database.exists(), began != Scope::Data);
    }
}

#[test]
fn another_part_is_refused_on_the_command_line() {
    let (source, user) = (Source::example(), User::new());
    user.backup(&source.path).succeeds();
    let target = user.path("target");
    let path = target.to_str().unwrap();
    let whole = ["restore", "latest", "--target", path];
    user.run(&whole).succeeds();
    let id = user.only_marker();
    let text = fs::read_to_string(user.repository().join("seawall.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mark =
        format!("snapshot {id}\nrepository {}\nscope everything\n", json["id"].as_str().unwrap());
    fs::write(target.join(UNFINISHED), &mark).unwrap();
    for (option, words) in
        [("--databases-only", "without --data-only"), ("--data-only", "without --data-only")]
    {
        let refused = user.run(&[&whole[..], &[option]].concat());
        refused.fails(1, &["unfinished restore of everything", words]);
        assert_eq!(fs::read_to_string(target.join(UNFINISHED)).unwrap(), mark);
    }
    user.run(&whole).succeeds();
    assert!(!target.join(UNFINISHED).exists());
}

#[test]
fn each_snapshot_at_which_a_standby_broke_off_is_remembered() {
    let (source, world) = (Source::example(), World::local());
    let target = world.path("standby");
    // Each snapshot has a file that no other has.
    for number in 0..4 {
        let own = source.path.join(format!("conf/{number}.env"));
        fs::write(&own, "A=1").unwrap();
        world.backup(&source);
        if number < 3 {
            fs::remove_file(own).unwrap();
            break_off(&world, number, &as_standby(&target));
            assert!(target.join(format!("conf/{number}.env")).exists());
        }
    }
    // It is at the third, though another one was begun first.
    let back = standby(&world, 1, &target, false);
    assert!(matches!(back, Err(restore::Error::GoesBack { .. })), "{back:?}");
    standby(&world, 3, &target, false).unwrap();
    for number in 0..3 {
        assert!(!target.join(format!("conf/{number}.env")).exists());
    }
    fs::remove_file(target.join(restore::STANDBY)).unwrap();
    assert_same_files(&source.path, &target);
}

/// A standby at a snapshot with a file and a database that the next one has not; what becomes of them if `lose` has taken
/// what says so.
fn after_losing(lose: impl Fn(&World, &seawall::backup::Report)) -> (World, PathBuf, Report) {
    let (source, world) = (Source::example(), World::local());
    let database = source.path.join("conf/own.db");
    let made = rusqlite::Connection::open(&database).unwrap();
    made.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(made);
    fs::write(source.path.join("conf/old.env"), "OLD=1").unwrap();
    fs::write(source.path.join("top.env"), "OLD=1").unwrap();
    let first = world.backup(&source);
    let target = world.path("standby");
    standby(&world, 0, &target, false).unwrap();
    assert!(target.join("conf/own.db").exists());
    // Somebody's own, which decides nothing.
    fs::create_dir_all(target.join("seafile-server-11/bin")).unwrap();
    fs::write(target.join("seafile-server-11/bin/seafile"), "").unwrap();
    for name in ["conf/own.db", "conf/old.env", "top.env"] {
        fs::remove_file(source.path.join(name)).unwrap();
    }
    world.backup(&source);
    lose(&world, &first);
    let options = as_standby(&target);
    let latest = latest(&world);
    let report = restore::run(&world.repository, &latest, &options, &|_| {}).unwrap();
    (world, target, report)
}

fn must_be_aside(target: &Path, report: &Report, why: &str) {
    for name in ["conf/own.db", "conf/old.env", "top.env"] {
        assert!(!target.join(name).exists(), "{name}");
        let aside = target.join(restore::ASIDE).join(name);
        assert!(aside.exists(), "{name}: {:?}", report.warnings);
        assert!(
            report.warnings.iter().any(|line| line.contains(name)),
            "{name}: {:?}",
            report.warnings
        );
    }
    assert!(report.warnings.iter().any(|line| line.contains(why)), "{:?}", report.warnings);
    assert!(target.join("seafile-server-11/bin/seafile").exists());
    assert!(target.join("conf/seafile.conf").exists());
    let notes = fs::read_to_string(target.join(restore::NOTES)).unwrap();
    assert!(notes.contains("conf/old.env"), "{notes}");
}

#[test]
fn what_a_snapshot_left_that_was_forgotten_is_moved_aside() {
    let (_world, target, report) = after_losing(|world, first| {
        let marker = format!("markers/{}", first.marker.snapshot);
        fs::remove_file(world.repository_path().join(marker)).unwrap();
    });
    must_be_aside(&target, &report, "not in the repository any more");
}

#[test]
fn what_a_snapshot_left_whose_manifest_is_lost_is_moved_aside() {
    let (_world, target, report) = after_losing(|world, first| {
        let files = files_below(&world.repository_path());
        let name = first.marker.snapshot.to_string();
        let is_of = |path: &&PathBuf| {
            let path = path.to_str().unwrap();
            path.contains("/manifests/") && path.contains(&name)
        };
        let manifest = files.iter().find(is_of).unwrap();
        fs::write(manifest, "altered").unwrap();
    });
    must_be_aside(&target, &report, "cannot be read any more");
}

#[test]
fn what_a_snapshot_left_whose_files_are_lost_is_moved_aside() {
    let (_world, target, report) = after_losing(|world, first| {
        let groups = first.manifest.files.iter();
        for part in groups.flat_map(|group| &group.parts) {
            // The next snapshot shares those that did not change.
            let path = world.repository_path().join(part.key.as_str());
            let of_first = part.key.as_str().contains(&first.marker.snapshot.to_string());
            let label = |group: &&seawall::repository::manifest::FileGroup| {
                group.parts.iter().any(|one| one.key == part.key)
            };
            let label = &first.manifest.files.iter().find(label).unwrap().label;
            if of_first && ["conf", "top level"].contains(&label.as_str()) {
                fs::remove_file(path).unwrap();
            }
        }
    });
    for name in ["conf/old.env", "top.env"] {
        assert!(!target.join(name).exists(), "{name}");
        assert!(target.join(restore::ASIDE).join(name).exists(), "{name}");
    }
    // The manifest could be read, and says which databases were its own.
    assert!(target.join(restore::ASIDE).join("conf/own.db").exists());
    assert!(report.warnings.iter().any(|line| line.contains("\"conf\"")), "{:?}", report.warnings);
}

/// Where everything can be read nothing is moved that somebody put there.
#[test]
fn with_readable_snapshots_somebodys_own_files_stay() {
    let (_world, target, report) = after_losing(|_, _| {});
    assert!(!target.join("conf/old.env").exists() && !target.join("top.env").exists());
    assert!(!target.join(restore::ASIDE).join("conf/old.env").exists());
    assert!(target.join("seafile-server-11/bin/seafile").exists());
    assert!(report.warnings.iter().all(|line| !line.contains("old.env")), "{:?}", report.warnings);
}

/// While commits wait somebody makes a store of them anew, with things in it that are no commits.
#[test]
fn strangers_in_a_store_of_commits_stop_nothing_and_are_kept() {
    use std::os::unix::ffi::OsStrExt as _;
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let target = world.path("target");
    break_off(&world, 0, &Options::new(target.clone()));
    let newest = head(&source, DOCUMENTS);
    let store = target.join("seafile-data/storage/commits").join(DOCUMENTS);
    let odd = std::ffi::OsStr::from_bytes(b"not \xff text");
    fs::create_dir_all(store.join("folder/below")).unwrap();
    fs::create_dir_all(store.join("ab")).unwrap();
    for name in [Path::new("stray"), Path::new("cd"), Path::new("folder/below/file"), odd.as_ref()]
    {
        fs::write(store.join(name), "mine").unwrap();
    }
    fs::write(store.join("ab").join(odd), "mine").unwrap();
    std::os::unix::fs::symlink("/nowhere", store.join("ef")).unwrap();
    // The same commit, which is no stranger.
    let again = target.join(newest.path());
    fs::create_dir_all(again.parent().unwrap()).unwrap();
    fs::copy(object_path(&source, &newest), &again).unwrap();
    let latest = latest(&world);
    let options = Options::new(target.clone());
    restore::run(&world.repository, &latest, &options, &|_| {}).unwrap();
    assert!(again.exists() && !target.join(STAGED).exists());
    assert_eq!(unreachable_commits(&target), [] as [PathBuf; 0]);
    let aside = target.join(restore::ASIDE).join("seafile-data/storage/commits");
    let kept = files_below(&aside);
    // The commit, which lay there twice, has its folder already.
    let aside = aside.join(format!("{DOCUMENTS}.2"));
    assert!(aside.is_dir(), "{kept:?}");
    for name in [Path::new("stray"), Path::new("cd"), Path::new("folder/below/file"), odd.as_ref()]
    {
        assert_eq!(fs::read(aside.join(name)).unwrap(), b"mine", "{}", name.display());
    }
    assert_eq!(fs::read(aside.join("ab").join(odd)).unwrap(), b"mine");
    assert!(aside.join("ef").is_symlink());
}

/// The same at the last moment, and a file with the name of a store.
#[test]
fn what_has_the_name_of_a_store_when_commits_are_placed_is_moved_aside() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let target = world.path("target");
    let latest = latest(&world);
    let options = Options::new(target.clone());
    let filled = restore::fill(&world.repository, &latest, &options, &|_| {});
    let waiting = filled.unwrap().1.unwrap();
    let commits = target.join("seafile-data/storage/commits");
    let virtual_library = source.query("SELECT repo_id FROM VirtualRepo");
    fs::create_dir_all(commits.join(DOCUMENTS)).unwrap();
    fs::write(commits.join(DOCUMENTS).join("stray"), "mine").unwrap();
    fs::write(commits.join(&virtual_library), "mine").unwrap();
    // One from an earlier time is in the way there.
    let aside = target.join(restore::ASIDE).join("seafile-data/storage/commits");
    fs::create_dir_all(aside.join(DOCUMENTS)).unwrap();
    waiting.finish(&|_| {}).unwrap();
    assert_eq!(unreachable_commits(&target), [] as [PathBuf; 0]);
    assert!(target.join(head(&source, DOCUMENTS).path()).exists());
    let numbered = aside.join(format!("{DOCUMENTS}.2"));
    assert_eq!(fs::read(numbered.join("stray")).unwrap(), b"mine");
    assert_eq!(fs::read(aside.join(&virtual_library)).unwrap(), b"mine");
}

/// Links and folders with the name of a commit are none, and are kept; two links are not the same.
#[test]
fn what_has_the_name_of_a_commit_and_is_none_is_kept() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let target = world.path("target");
    standby(&world, 0, &target, false).unwrap();
    let newest = head(&source, DOCUMENTS);
    for id in ["1".repeat(40), "2".repeat(40)] {
        let object = Object { id: id.parse().unwrap(), ..newest };
        for round in 1..3 {
            let path = target.join(object.path());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(format!("/nowhere/{round}"), &path).unwrap();
            standby(&world, 0, &target, false).unwrap();
            assert!(!path.is_symlink());
        }
        let aside = target.join(restore::ASIDE).join(object.path());
        assert_eq!(fs::read_link(&aside).unwrap(), Path::new("/nowhere/1"));
        let second = aside.with_extension("2");
        assert_eq!(fs::read_link(second).unwrap(), Path::new("/nowhere/2"));
    }
}
