//! A standby dies at every rename and every removal, the only steps that change what Seafile would find: at no moment is
//! there a commit to which the databases that are there do not lead.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use seawall_test_servers::wait;

use super::unreachable_commits;
use crate::cli::User;
use crate::compaction::add_library;
use crate::damage::UNICODE;
use crate::support::{Source, rounds, run};
use crate::synthetic::generator;

const STAGED: &str = "seafile-data/storage/seawall-commits";

/// Runs `seawall` and kills it at the n-th of these calls of one of its threads; whether that happened.
fn killed(user: &User, arguments: &[&str], calls: &str, number: usize) -> bool {
    let program = user.command(arguments);
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:signal=SIGKILL:when={number}");
    let mut strace = Command::new("timeout");
    strace
        .args(["-k", "5", "60", "strace"])
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
        .arg(program.get_program())
        .args(program.get_args())
        .env_clear();
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            strace.env(name, value);
        }
    }
    if let Some(folder) = program.get_current_dir() {
        strace.current_dir(folder);
    }
    let output = wait::output(&mut strace);
    let was_killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
    assert!(
        was_killed || output.status.success(),
        "{}: {} (124: no end after 60 s; 127: apt-get install strace)",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    was_killed
}

/// So long a sweep goes on, without `SEAWALL_LONG`.
const LONGEST: Duration = Duration::from_secs(90);

/// Dies at every point of a restore into a copy of `from`, and goes on; returns the number of the last point. On a machine
/// that is too busy for all of them it leaves some out, and ends after 90 seconds (`SEAWALL_LONG`: none, and never).
fn sweep(user: &User, from: &Path, arguments: &[&str]) -> usize {
    let begun = Instant::now();
    let target = user.path("target");
    let all = [arguments, &["--target", target.to_str().unwrap()]].concat();
    let (mut number, mut points) = (1, 0);
    loop {
        if target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        // Nothing in a target is written in place.
        run(
            "cp",
            &["-al", from.to_str().unwrap(), target.to_str().unwrap()],
        );
        let was_killed = killed(user, &all, "renameat,renameat2,unlinkat", number);
        let about = format!("{arguments:?} killed at {number}");
        assert_eq!(unreachable_commits(&target), [] as [PathBuf; 0], "{about}");
        if !was_killed || rounds(0, 1) == 0 && begun.elapsed() > LONGEST {
            return number;
        }
        points += 1;
        // Some go on; a restore that goes on is swept elsewhere.
        if points % 7 == 0 {
            if arguments.contains(&"--standby") {
                // Not as something else: that would put commits of one snapshot beside databases of another.
                let alone = ["restore", arguments[1], "--data-only", "--target"];
                let alone = [&alone[..], &[target.to_str().unwrap()]].concat();
                user.run(&alone).fails(1, &["--standby"]);
            }
            user.run(&all).succeeds();
            assert_eq!(unreachable_commits(&target), [] as [PathBuf; 0], "{about}");
            assert!(!target.join(STAGED).exists(), "{about}");
            user.run(&["verify", target.to_str().unwrap()]).succeeds();
        }
        number += match begun.elapsed().as_secs() {
            _ if rounds(0, 1) > 0 => 1,
            ..40 => 1,
            40..60 => 5,
            _ => 20,
        };
    }
}

/// A user with two snapshots, of which the second has a newer head and one library less; and standbys at both.
struct Stage {
    _source: Source,
    user: User,
    first: String,
}

impl Stage {
    fn new() -> Self {
        let (source, user) = (Source::example(), User::new());
        // One library changes, so that the threads that write rename no more than the one that begins.
        add_library(&source, 30, 2000, 1);
        let backup = ["backup", source.path.to_str().unwrap()];
        user.backup(&source.path).succeeds();
        let first = user.only_marker();
        generator::change(&source.path, 10, 2000, 5);
        source.sql(&format!(
            "DELETE FROM Branch WHERE repo_id = '{UNICODE}'; DELETE FROM Repo WHERE repo_id = '{UNICODE}'; \
             INSERT INTO GarbageRepos VALUES ('{UNICODE}')"
        ));
        user.run(&backup);
        Self {
            _source: source,
            user,
            first,
        }
    }

    /// A standby at a snapshot.
    fn standby(&self, snapshot: &str) -> PathBuf {
        let target = self.user.path("standby");
        let all = ["restore", snapshot, "--standby", "--target"];
        let all = [&all[..], &[target.to_str().unwrap()]].concat();
        self.user.run(&all).succeeds();
        target
    }
}

#[test]
fn forward_at_no_moment_would_a_client_be_set_back() {
    let stage = Stage::new();
    let old = stage.standby(&stage.first);
    let points = sweep(&stage.user, &old, &["restore", "latest", "--standby"]);
    eprintln!("killed at {points} points");
    assert!(points >= 10, "{points}");
}

#[test]
fn back_at_no_moment_would_a_client_be_set_back() {
    let stage = Stage::new();
    let new = stage.standby("latest");
    let back = ["restore", &stage.first, "--standby", "--older"];
    let points = sweep(&stage.user, &new, &back);
    eprintln!("killed at {points} points");
    assert!(points >= 10, "{points}");
}

#[test]
fn anew_at_no_moment_would_a_client_be_set_back() {
    let stage = Stage::new();
    let empty = stage.user.path("empty");
    fs::create_dir(&empty).unwrap();
    let points = sweep(&stage.user, &empty, &["restore", "latest"]);
    eprintln!("killed at {points} points");
    assert!(points >= 10, "{points}");
}
