//! Two runs on one host never overlap: exit status 11, by flock, which dies with its holder.

use std::process::Stdio;

use seawall::host::state::StateFolder;
use seawall_test_servers::wait::{self, Killed};

use super::*;

#[test]
fn verbs_that_write_wait_for_nobody_and_those_that_read_do_not_care() {
    let user = User::new();
    user.backup(&example()).succeeds();
    let state = StateFolder::open(&user.path("state")).unwrap();
    let lock = state.lock().unwrap();
    let holder = format!("(process {}, since 20", std::process::id());
    let source = example();
    let source = source.to_str().unwrap();
    for verb in [
        &["backup", source][..],
        &["init"],
        &["damage", "accept", "--all"],
        &["damage", "unaccept", "--all"],
    ] {
        user.run(verb).fails(11, &["another run is busy", &holder]);
    }
    let target = user.path("restored");
    for verb in [
        &["snapshots"][..],
        &["libraries"],
        &["status"],
        &["check"],
        &["doctor", source],
        &["damage", "list"],
        &["backup", source, "--dry-run"],
        &["restore", "latest", "--target", target.to_str().unwrap()],
        &["verify", target.to_str().unwrap()],
    ] {
        assert_eq!(user.run(verb).status, 0, "{verb:?}");
    }
    drop(lock);
    user.backup(&example()).succeeds();
}

#[test]
fn two_backups_at_once_are_one_after_the_other_or_one_is_refused() {
    let user = User::new();
    user.run(&["init"]).succeeds();
    let source = example();
    let start = || {
        let mut command = user.command(&["backup", source.to_str().unwrap()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let both = [start(), start()].map(|child| Ran::of(wait::output_of(child, "a backup")));
    let done = both.iter().filter(|ran| ran.status == 0).count();
    for ran in both.iter().filter(|ran| ran.status != 0) {
        ran.fails(11, &["another run is busy"]);
    }
    assert!(done >= 1);
    assert_eq!(files_below(&user.repository().join("markers")).len(), done);
    // Whoever was refused had not begun: no intent is left over, and the chain is one.
    assert_eq!(files_below(&user.repository().join("data/runs")).len(), done);
    user.run(&["check", "--read-data"]).succeeds();
    user.backup(&source).succeeds();
    let snapshots = user.run(&["snapshots", "--json"]).json();
    let sequences: Vec<_> =
        snapshots.as_array().unwrap().iter().map(|row| row["sequence"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (1..=done as u64 + 1).collect();
    assert_eq!(sequences, expected);
}

#[test]
fn a_lock_dies_with_its_holder_and_its_file_may_stay() {
    let user = User::new();
    user.run(&["init"]).succeeds();
    let lock = user.path("state/lock");
    let holder = Command::new("flock")
        .args(["--no-fork", lock.to_str().unwrap(), "sleep", "60"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("flock cannot be run ({error}); apt-get install util-linux")
        });
    let mut holder = Killed(holder);
    let held = || fs::File::open(&lock).unwrap().try_lock().is_err();
    wait::until("flock holds the lock", held);
    // What a holder that was killed had written is no name of the next one, but harmless.
    user.backup(&example()).fails(11, &["another run is busy", "its lock went with it"]);
    holder.0.kill().unwrap();
    wait::end_of(&mut holder.0, "flock");
    user.backup(&example()).succeeds();
    assert!(lock.exists());
}
