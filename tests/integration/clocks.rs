//! Snapshots whose names lie ahead of the time at which they were made.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use seawall::time::{Clock, Timestamp};

use crate::cli::User;
use crate::restore::latest;
use crate::support::{Source, World, files_below};

const YEAR: Duration = Duration::from_hours(365 * 24);

#[test]
fn a_marker_after_a_clock_that_was_ahead_says_what_the_clock_said() {
    let (source, mut world) = (Source::example(), World::local());
    let right = Timestamp::from_system(SystemTime::now());
    let ahead = right.plus(YEAR);
    world.clock = Clock::new(|| SystemTime::now() + YEAR);
    let first = world.backup(&source);
    assert_eq!(first.marker.clock, None, "that clock fits its own name");
    world.clock = Clock::system();
    for _ in 0..2 {
        let later = world.backup(&source).marker;
        assert!(later.started > ahead.min(first.marker.started), "names go on");
        let clock = later.clock.expect("the name lies ahead");
        assert!(clock.since(right) < Duration::from_hours(1), "{clock}");
        // As it is stored, too.
        assert_eq!(latest(&world).marker.clock, Some(clock));
    }
}

#[test]
fn snapshots_show_when_they_were_stored_where_that_differs() {
    let (source, user) = (Source::example(), User::new());
    let path = source.path.to_str().unwrap();
    user.run(&["backup", path, "--init", "--unencrypted"]).succeeds();
    let listed = user.run(&["snapshots"]);
    assert!(!listed.succeeds().contains("STORED"), "{}", listed.stdout);
    // By the storage's clock that was a year ago.
    let marker = files_below(&user.repository().join("markers")).pop().unwrap();
    let then = SystemTime::now() - YEAR;
    File::open(&marker).unwrap().set_modified(then).unwrap();
    let listed = user.run(&["snapshots"]);
    let stored = Timestamp::from_system(then).to_string();
    assert!(listed.succeeds().contains("STORED"), "{}", listed.stdout);
    assert!(listed.stdout.contains(&stored), "{}", listed.stdout);
    let rows = user.run(&["snapshots", "--json"]).json();
    assert_eq!(rows[0]["stored"], stored);
    assert_eq!(rows[0]["clock"], serde_json::Value::Null);
    assert!(fs::exists(&marker).unwrap());
}
