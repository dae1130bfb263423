//! A destination that is not there any more: a disk that is not mounted must not become a second repository.

use std::fs;

use crate::cli::User;
use crate::support::{example, files_below};

fn empty(user: &User) {
    fs::remove_dir_all(user.repository()).unwrap();
    fs::create_dir(user.repository()).unwrap();
}

/// Every verb says what is known of the place, and none says to make a repository there.
#[test]
fn an_empty_place_where_this_host_stored_is_a_disk_that_is_not_mounted() {
    let user = User::new();
    let source = example();
    let path = source.to_str().unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["backup", path]).succeeds();
    let away = user.path("away");
    fs::rename(user.repository(), &away).unwrap();
    let changes: [&dyn Fn(); 3] = [&|| {}, &|| fs::create_dir(user.repository()).unwrap(), &|| {
        fs::write(user.repository().join("lost+found"), b"").unwrap();
    }];
    for change in changes {
        change();
        let before = user.repository().exists().then(|| files_below(&user.repository()));
        for verb in [
            &["backup", path][..],
            &["backup", path, "--init"],
            &["init"],
            &["check"],
            &["snapshots"],
            &["status"],
        ] {
            let ran = user.run(verb);
            ran.fails(10, &["this host stored here on 20", "is the disk mounted"]);
            assert!(!ran.stderr.contains("--init"), "{verb:?}: {}", ran.stderr);
        }
        let doctor = user.run(&["doctor"]);
        assert!(doctor.stdout.contains("is the disk mounted"), "{}", doctor.stdout);
        let after = user.repository().exists().then(|| files_below(&user.repository()));
        assert_eq!(before, after);
    }
    // Spelled in another way it is the same place.
    let spelled = format!("{}/", user.repository().display());
    user.run(&["init", "-r", &spelled]).fails(10, &["is the disk mounted"]);
    fs::remove_dir_all(user.repository()).unwrap();
    fs::rename(&away, user.repository()).unwrap();
    user.run(&["backup", path]).succeeds();
}

#[test]
fn a_place_by_a_link_is_the_same_place() {
    let user = User::new();
    let source = example();
    let path = source.to_str().unwrap();
    let disk = user.path("disk");
    fs::create_dir(&disk).unwrap();
    std::os::unix::fs::symlink(&disk, user.repository()).unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["backup", path]).succeeds();
    fs::remove_dir_all(&disk).unwrap();
    fs::create_dir(&disk).unwrap();
    user.run(&["init"]).fails(10, &["is the disk mounted"]);
    user.run(&["init", "-r", disk.to_str().unwrap()]).fails(10, &["is the disk mounted"]);
    assert!(files_below(&disk).is_empty());
}

#[test]
fn a_repository_that_is_lost_for_good_is_begun_anew_by_a_word() {
    let user = User::new();
    let source = example();
    let path = source.to_str().unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["backup", path]).succeeds();
    empty(&user);
    user.run(&["init"]).fails(10, &["--anew"]);
    user.run(&["init", "--anew"]).succeeds();
    user.run(&["backup", path]).succeeds();
    user.run(&["init"]).succeeds();
    user.run(&["check"]).succeeds();
    // The new one is known as the old one was.
    empty(&user);
    user.run(&["backup", path, "--init"]).fails(10, &["is the disk mounted"]);
    user.run(&["backup", path, "--init", "--anew"]).succeeds();
}

/// Another host's repository where this host's was: joining it would hide that its own is gone.
#[test]
fn another_repository_at_the_same_place_is_not_joined_without_a_word() {
    let (user, other) = (User::new(), User::new());
    let source = example();
    let path = source.to_str().unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["backup", path]).succeeds();
    other.run(&["init"]).succeeds();
    fs::remove_dir_all(user.repository()).unwrap();
    fs::rename(other.repository(), user.repository()).unwrap();
    user.run(&["init"]).fails(10, &["another repository", "this host stored here on"]);
    user.run(&["init", "--anew"]).succeeds();
    user.run(&["backup", path]).succeeds();
}

/// A place that nobody stored in is no alarm.
#[test]
fn a_new_place_is_made_as_before() {
    let user = User::new();
    let source = example();
    let path = source.to_str().unwrap();
    let ran = user.run(&["backup", path]);
    ran.fails(10, &["--init"]);
    user.run(&["backup", path, "--init"]).succeeds();
    let another = user.path("another");
    user.run(&["init", "-r", another.to_str().unwrap()]).succeeds();
}

/// The server moves: nobody waits for the key of before, unless it stores again.
#[test]
fn a_host_that_moved_is_not_late() {
    let (user, source) = (User::new(), example());
    let path = source.to_str().unwrap();
    let made = user.run(&["init", "--json"]).json();
    user.run(&["backup", path]).succeeds();
    // By its name: markers of one second sort by their hosts.
    let of_the_old = user.repository().join("markers").join(user.only_marker());
    let trust = made["verification_key"].as_str().unwrap();
    let old_state = user.path("of the old host");
    fs::rename(user.path("state"), &old_state).unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["key", "adopt", "--trust", trust]).succeeds();
    user.run(&["backup", path]).succeeds();
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_hours(20);
    assert_eq!(files_below(&user.repository().join("markers")).len(), 3);
    fs::File::options().write(true).open(&of_the_old).unwrap().set_modified(yesterday).unwrap();
    let nowhere = user.path("nowhere");
    let third = |more: &[&str]| {
        let status = ["status", "--max-age", "10h", "--state-dir", nowhere.to_str().unwrap()];
        user.run(&[&status[..], more].concat())
    };
    for key in [&[][..], &["--trust", trust]] {
        let ran = third(key);
        if key.is_empty() {
            assert!(ran.succeeds().contains("retired   "), "{}", ran.stdout);
            assert_eq!(third(&["--json"]).json()["retired"].as_array().unwrap().len(), 1);
        } else {
            // A key that somebody vouches for is retired only by another one of that kind.
            assert_eq!(ran.status, 1, "{}", ran.stdout);
        }
    }
    // Where both are trusted.
    user.run(&["status", "--max-age", "10h"]).succeeds();
    // Whoever asks for it by name gets it.
    let host =
        of_the_old.file_name().unwrap().to_str().unwrap().rsplit('-').next().unwrap().to_owned();
    assert_eq!(third(&["--host", &host]).status, 1);
    // The old server is not dead: it counts again.
    user.run(&["backup", path, "--state-dir", old_state.to_str().unwrap()]).succeeds();
    let ran = third(&["--json"]);
    assert_eq!(ran.json()["retired"].as_array().unwrap().len(), 0, "{}", ran.stdout);
    assert_eq!(ran.json()["hosts"].as_array().unwrap().len(), 2);
}
