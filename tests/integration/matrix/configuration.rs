//! A repository without its `seawall.json`, with a damaged one, and with that of another repository:
//! what each verb says, and how `init` writes it anew.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use seawall::repository::{Configuration, Error};
use seawall::time::Timestamp;
use seawall_test_servers::wait;

use super::prepared::{content, prepared};
use crate::restore;
use crate::support::{World, tree};

const KEY: &str = "seawall.json";

struct Ran {
    status: i32,
    stdout: String,
    stderr: String,
}

/// Runs the command as a host of that world; a stranger has a state folder of its own.
fn seawall(world: &World, state: &str, arguments: &[&str]) -> Ran {
    let output = wait::output(
        Command::new(env!("CARGO_BIN_EXE_seawall"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SEAWALL_REPOSITORY", world.repository_path())
            .env("SEAWALL_STATE_DIR", world.path(state))
            .args(arguments),
    );
    Ran {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    fn ends(&self, status: i32, texts: &[&str]) {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert_eq!(self.status, status, "{all}");
        for text in texts {
            assert!(all.contains(text), "{text:?} is not in:\n{all}");
        }
    }
}

fn path(world: &World) -> PathBuf {
    world.repository_path().join(KEY)
}

fn source() -> &'static str {
    prepared().source.path.to_str().unwrap()
}

fn trust(world: &World) -> String {
    world.host_key().verifying().to_string()
}

/// `check` accuses `seawall.json` and nothing else; all other verbs that read go on.
fn reading_goes_on(world: &World, state: &str, more: &[&str]) {
    let with = |arguments: &[&str]| seawall(world, state, &[arguments, more].concat());
    let checked = with(&["check", "--json"]);
    checked.ends(3, &[]);
    let report: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(problems[0]["key"], KEY);
    assert_eq!(report["snapshots"], 3);
    with(&["snapshots"]).ends(0, &[KEY, "seawall init -r"]);
}

/// A run says what is wrong and what to do, and writes nothing.
fn writing_is_refused(world: &World, texts: &[&str]) {
    let before = tree(&world.repository_path());
    for arguments in [&["backup", source()][..], &["backup", source(), "--init"]] {
        seawall(world, "state", arguments).ends(1, texts);
    }
    assert!(tree(&world.repository_path()) == before, "something was written");
}

/// `init` writes it anew, and all is as it was.
fn init_writes_it_anew(world: &World) {
    seawall(world, "state", &["init"]).ends(0, &[KEY, "again", "3 markers"]);
    let again = Configuration::parse(&fs::read(path(world)).unwrap()).unwrap();
    assert_eq!(again.id, *world.repository.id());
    assert_eq!(again.created, prepared().snapshots[0].id.started());
    seawall(world, "state", &["init"]).ends(0, &["already"]);
    seawall(world, "state", &["check", "--read-data"]).ends(0, &["good"]);
    seawall(world, "state", &["backup", source()]).ends(0, &["0 objects"]);
}

#[test]
fn a_missing_one_is_written_again_by_a_host_that_knows() {
    let world = prepared().world.copy();
    fs::remove_file(path(&world)).unwrap();
    reading_goes_on(&world, "state", &[]);
    let target = world.path("target");
    let arguments = ["restore", "latest", "--target", target.to_str().unwrap()];
    seawall(&world, "state", &arguments).ends(0, &["seawall.json is missing"]);
    assert!(content(&target) == prepared().snapshots[2].content);
    writing_is_refused(&world, &["seawall.json is missing", "run `seawall init -r"]);
    // A stranger has to say whom to believe.
    for arguments in [&["check"][..], &["snapshots"]] {
        seawall(&world, "stranger", arguments).ends(1, &["seawall.json is missing", "--trust KEY"]);
    }
    seawall(&world, "stranger", &["init"]).ends(12, &["no key that is trusted", "--trust KEY"]);
    assert!(!path(&world).exists());
    reading_goes_on(&world, "stranger", &["--trust", &trust(&world)]);
    init_writes_it_anew(&world);
}

#[test]
fn a_stranger_writes_it_again_with_the_key_from_the_recovery_sheet() {
    let world = prepared().world.copy();
    fs::remove_file(path(&world)).unwrap();
    let arguments = ["init", "--trust", &trust(&world), "--json"];
    let ran = seawall(&world, "stranger", &arguments);
    ran.ends(0, &[]);
    let outcome: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(outcome["configuration_put_again"], true);
    assert_eq!(outcome["id"], world.repository.id().as_str());
    seawall(&world, "state", &["check"]).ends(0, &["good"]);
}

#[test]
fn a_damaged_one_is_moved_away_and_written_anew() {
    let good = fs::read(path(&prepared().world)).unwrap();
    let id = String::from_utf8(good.clone()).unwrap().find("\"id\":\"").unwrap() + 6;
    let flipped = |at: usize, bit: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= bit;
        bytes
    };
    // Two digits next to each other are exchanged where they differ: an id still, and another one.
    let mut other_id = good.clone();
    let at = (id..id + 31).find(|&at| good[at] != good[at + 1]).unwrap();
    other_id.swap(at, at + 1);
    let others = fs::read(path(&World::local())).unwrap();
    let cases = [
        ("empty", Vec::new(), "is damaged"),
        ("truncated", good[..good.len() / 2].to_vec(), "is damaged"),
        ("flipped", flipped(3, 1), "is damaged"),
        ("flipped format", flipped(10, 1), "is damaged"),
        ("flipped id", other_id, "all markers belong to"),
        ("another repository's", others, "all markers belong to"),
    ];
    for (name, bytes, text) in cases {
        let world = prepared().world.copy();
        fs::write(path(&world), bytes).unwrap();
        println!("{name}");
        reading_goes_on(&world, "state", &[]);
        // A stranger does not know whom to believe: either file may be the wrong one.
        let status = if text == "is damaged" { 1 } else { 3 };
        seawall(&world, "stranger", &["check"]).ends(status, &[text, "--trust KEY"]);
        reading_goes_on(&world, "stranger", &["--trust", &trust(&world)]);
        let away = format!("move {} away", path(&world).display());
        writing_is_refused(&world, &[text, &away, "seawall init -r"]);
        seawall(&world, "state", &["init"]).ends(1, &[text, &away]);
        fs::rename(path(&world), world.path("moved-away")).unwrap();
        init_writes_it_anew(&world);
    }
}

#[test]
fn a_run_begins_no_chain_under_the_id_of_another_repository() {
    // The host serves that one too: its key is pinned for both.
    let world = prepared().world.copy();
    let other = World::local();
    fs::copy(path(&other), path(&world)).unwrap();
    let state = world.state.repository(other.repository.id()).unwrap();
    state.trust(&world.host_key().verifying()).unwrap();
    writing_is_refused(&world, &["all markers belong to", "away"]);
    let mut world = world;
    world.through(std::sync::Arc::clone(&world.backend));
    let before = world.keys();
    let error = world.try_backup(&prepared().source).unwrap_err();
    assert!(
        matches!(error, seawall::backup::Error::Repository(Error::OtherRepository { .. })),
        "{error}"
    );
    assert_eq!(world.keys(), before, "not even an intent");
}

#[test]
fn markers_of_two_repositories_are_nobodys() {
    let world = prepared().world.copy();
    // A second repository of the same host, and its marker among the first's: newer by name, for a backup looks at no others.
    let newest = restore::latest(&world).id().started();
    wait::until("the clock shows the next second", || {
        Timestamp::from_system(SystemTime::now()) > newest
    });
    let place = world.path("second");
    let place_text = place.to_str().unwrap();
    seawall(&world, "state", &["init", "--unencrypted", "-r", place_text]).ends(0, &["made"]);
    seawall(&world, "state", &["backup", source(), "-r", place_text]).ends(0, &[]);
    let marker = fs::read_dir(place.join("markers")).unwrap().next().unwrap();
    let marker = marker.unwrap();
    let to = world.repository_path().join("markers");
    fs::copy(marker.path(), to.join(marker.file_name())).unwrap();
    // A foreign marker alone is a bad marker, and no reason to stop.
    seawall(&world, "state", &["check"]).ends(3, &["belongs to another repository"]);
    seawall(&world, "state", &["backup", source()]).ends(3, &["belongs to another repository"]);
    fs::remove_file(path(&world)).unwrap();
    for arguments in [&["init"][..], &["check"], &["snapshots"]] {
        seawall(&world, "state", arguments).ends(1, &["belong to two repositories"]);
    }
    assert!(!path(&world).exists());
}

#[test]
fn a_key_vouches_only_for_the_repository_that_it_was_pinned_for() {
    let world = prepared().world.copy();
    fs::remove_file(path(&world)).unwrap();
    let folders = world.path("state").join("repositories");
    let id = world.repository.id().as_str();
    fs::rename(folders.join(id), folders.join("0".repeat(32))).unwrap();
    seawall(&world, "state", &["init"]).ends(12, &["no key that is trusted"]);
    seawall(&world, "state", &["init", "--trust", &trust(&world)]).ends(0, &["again"]);
}
