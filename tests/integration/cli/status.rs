//! `seawall status`: from any machine, without keys and without a state folder.

use crate::support::open_to_read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use seawall::repository::names;
use seawall::status::{self, Options, StatusTrouble};
use seawall::time::Clock;
use seawall_backends::{MemoryBackend, Operation, RecordingBackend};
use seawall_test_servers::wait;

use super::*;
use crate::support::World;

const DAY: Duration = Duration::from_hours(24);

/// A machine that has nothing but read access.
fn third_machine(user: &User, arguments: &[&str]) -> Ran {
    let other = User::new();
    let mut command = other.command(&["status"]);
    command.args(arguments).arg("-r").arg(user.repository());
    let ran = Ran::of(wait::output(&mut command));
    assert!(!other.path("state").exists());
    // Not even a place for a state folder is needed.
    command.env_remove("SEAWALL_STATE_DIR").env_remove("HOME");
    assert_eq!(Ran::of(wait::output(&mut command)).status, ran.status);
    ran
}

fn grow_old(path: &Path, by: Duration) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

#[test]
fn an_old_snapshot_fails_and_the_message_says_how_old_it_is() {
    let user = User::new();
    user.run(&["init"]).succeeds();
    third_machine(&user, &[]).fails(1, &["there is no snapshot", "hint"]);
    user.backup(&example()).succeeds();
    let fresh = third_machine(&user, &["--max-age", "26h"]);
    assert!(fresh.succeeds().contains("anybody could have made this backup"), "{}", fresh.stdout);
    assert!(fresh.stdout.lines().last().unwrap().starts_with("good "), "{}", fresh.stdout);
    assert!(!user.run(&["status"]).succeeds().contains("note"));
    assert_eq!(third_machine(&user, &["-q", "--max-age", "26h"]).succeeds(), "");
    grow_old(&user.only("markers"), 3 * DAY + Duration::from_hours(2));
    let old = third_machine(&user, &["--max-age", "26h"]);
    old.fails(1, &["3 days 2 hours old", "the limit is 1 day 2 hours", "hint"]);
    assert!(
        old.stdout.contains("one of them is wrong, or the repository was copied"),
        "{}",
        old.stdout
    );
    assert_eq!(third_machine(&user, &["--max-age", "26h", "-q"]).status, 1);
    for young_enough in ["4d", "1w", "75h"] {
        third_machine(&user, &["--max-age", young_enough]).succeeds();
    }
    third_machine(&user, &[]).succeeds();
    let json = third_machine(&user, &["--max-age", "26h", "--json"]).json();
    assert_eq!(
        (&json["hosts"][0]["late"], &json["hosts"][0]["sequence"]),
        (&true.into(), &1.into())
    );
    assert!(json["hosts"][0]["age_seconds"].as_u64().unwrap() >= 3 * 86_400);
    for wrong in ["26", "soon", "0h"] {
        user.run(&["status", "--max-age", wrong]).fails(2, &["--max-age"]);
    }
    user.run(&["status", "-r", "/nonexistent/r"]).fails(10, &["no repository"]);
}

#[test]
fn the_oldest_of_the_hosts_counts() {
    let (user, other) = (User::new(), User::new());
    user.backup(&example()).succeeds();
    let old = user.only("markers");
    let host = old.to_str().unwrap().rsplit('-').next().unwrap().to_owned();
    let place = user.repository();
    let place = place.to_str().unwrap();
    other.run(&["backup", example().to_str().unwrap(), "--init", "-r", place]).succeeds();
    let markers = files_below(&user.repository().join("markers"));
    let young = markers.iter().find(|path| **path != old).unwrap();
    let young_host = young.to_str().unwrap().rsplit('-').next().unwrap();
    grow_old(&old, 2 * DAY);
    user.run(&["status", "--max-age", "1d"]).fails(1, &["2 days old", &host]);
    user.run(&["status", "--max-age", "1d", "--host", young_host]).succeeds();
    user.run(&["status", "--max-age", "1d", "--host", &host]).fails(1, &["2 days old"]);
    let none = if host == "0000" || young_host == "0000" { "0001" } else { "0000" };
    user.run(&["status", "--host", none]).fails(1, &["no snapshot of host", none]);
    user.run(&["status", "--host", "xyz"]).fails(2, &["9f3c"]);
    // Somebody who removes a host's markers cannot hide behind those of another key.
    let sheet = user.run(&["init", "--json"]).json();
    let key = sheet["verification_key"].as_str().unwrap();
    let trusting = || other.run(&["status", "-r", place, "--trust", key]);
    trusting().succeeds();
    fs::remove_file(&old).unwrap();
    let missing = trusting();
    missing.fails(1, &["there is no snapshot of that host"]);
    assert!(missing.stdout.contains(key), "{}", missing.stdout);
}

#[test]
fn what_is_not_whole_is_status_3() {
    let user = User::new();
    let source = example();
    user.run(&["backup", source.to_str().unwrap(), "--init", "--also", "/nonexistent/.env"])
        .fails(3, &[]);
    let incomplete = third_machine(&user, &["--max-age", "26h", "-q"]);
    incomplete.fails(3, &[]);
    assert!(incomplete.stdout.contains("incomplete: also-missing"), "{}", incomplete.stdout);
    user.backup(&source).succeeds();
    third_machine(&user, &[]).succeeds();
    let oldest = files_below(&user.repository().join("markers")).remove(0);
    flip(&oldest, 100);
    let bad = third_machine(&user, &[]);
    bad.fails(3, &[]);
    let name = oldest.file_name().unwrap().to_str().unwrap();
    assert!(
        bad.stdout.contains(&format!("bad       markers/{name} is no snapshot")),
        "{}",
        bad.stdout
    );
}

#[test]
fn a_run_that_goes_on_is_told_from_one_that_died() {
    let user = User::new();
    user.backup(&example()).succeeds();
    let newest = user.only("markers");
    let newest = newest.file_name().unwrap().to_str().unwrap();
    let later = format!("2999{}", &newest[4..]);
    let intent = user.repository().join("data/runs").join(&later);
    fs::write(&intent, "seawall intent 1\n").unwrap();
    grow_old(&intent, Duration::from_hours(13));
    let line = || {
        let ran = third_machine(&user, &["--max-age", "26h"]);
        let lines = ran.succeeds().lines();
        lines.filter(|line| line.starts_with("run ")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        line(),
        format!("run       {later}: began 13 hours ago, last heard of 13 hours ago: it died")
    );
    let heartbeat = user.repository().join(format!("data/runs/{later}.1"));
    fs::write(&heartbeat, "seawall heartbeat 1\n").unwrap();
    grow_old(&heartbeat, Duration::from_hours(3));
    assert_eq!(
        line(),
        format!(
            "run       {later}: began 13 hours ago, last heard of 3 hours ago: it goes on, or died since"
        )
    );
    // Older than the newest snapshot, or declared dead: nobody waits for it.
    fs::write(user.repository().join("markers").join(&later), "seawall void 1\n").unwrap();
    assert_eq!(line(), "");
}

#[test]
fn it_reads_markers_keys_and_the_names_of_runs_alone() {
    let source = Source::example();
    let recording = Arc::new(RecordingBackend::new(MemoryBackend::default()));
    let mut world = World::on(recording.clone());
    world.backup(&source);
    world.backup(&source);
    recording.take();
    world.through(recording.clone());
    let repository = open_to_read(recording.clone(), &[]).unwrap();
    let report = status::run(&repository, &Options::default(), world.clock.now()).unwrap();
    assert_eq!((report.hosts.len(), report.hosts[0].sequence), (1, 2));
    let folders = [names::MARKERS, names::KEYS];
    for operation in recording.operations() {
        let allowed = match &operation {
            Operation::Get(key, _) | Operation::Stat(key) => {
                *key == names::configuration() || folders.iter().any(|folder| key.is_below(folder))
            }
            Operation::List(prefix) => *prefix == names::RUNS || folders.contains(&prefix.as_str()),
            _ => false,
        };
        assert!(allowed, "{operation:?}");
    }
}

#[test]
fn a_copy_does_not_look_younger_than_what_it_holds() {
    // All times of a copied repository are those of the copy.
    let (source, mut world) = (Source::example(), World::local());
    let clock = Clock::new(|| SystemTime::now() - 30 * DAY);
    world.clock = clock;
    world.backup(&source);
    let options = Options { max_age: Some(2 * DAY), ..Options::default() };
    let report = status::run(&world.repository, &options, Clock::system().now()).unwrap();
    assert_eq!(report.hosts[0].clock, status::ClockCheck::Differ);
    assert!(matches!(report.trouble(), Some(StatusTrouble::Late(host)) if host.age >= 30 * 86_400));
}
