//! A standby dies at every rename and every removal, the only steps that change what Seafile would find: at no moment is
//! there a commit to which the databases that are there do not lead.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::unreachable_commits;
use crate::cli::User;
use crate::compaction::add_library;
use crate::damage::UNICODE;
use crate::support::{Source, run};
use crate::synthetic::generator;

const LIMIT: Duration = Duration::from_secs(110);

/// Runs `seawall` and kills it at the n-th of these calls of one of its threads; whether that happened.
fn killed(user: &User, arguments: &[&str], calls: &str, number: usize) -> bool {
    let program = user.command(arguments);
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:signal=SIGKILL:when={number}");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
        .arg(program.get_program())
        .args(program.get_args())
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            strace.env(name, value);
        }
    }
    if let Some(folder) = program.get_current_dir() {
        strace.current_dir(folder);
    }
    let output = strace
        .output()
        .unwrap_or_else(|error| panic!("strace cannot be run ({error}): apt-get install strace"));
    let was_killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
    assert!(
        was_killed || output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    was_killed
}

/// Dies at every point of a restore into a copy of `from`, and goes on; returns how many points there were.
fn sweep(user: &User, from: &Path, arguments: &[&str], begun: Instant) -> usize {
    let target = user.path("target");
    let all = [arguments, &["--target", target.to_str().unwrap()]].concat();
    for number in 1.. {
        assert!(begun.elapsed() < LIMIT, "{number} points took {LIMIT:?}");
        if target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        run(
            "cp",
            &["-a", from.to_str().unwrap(), target.to_str().unwrap()],
        );
        let was_killed = killed(user, &all, "renameat,renameat2,unlinkat", number);
        let about = format!("{arguments:?} killed at {number}");
        assert_eq!(
            unreachable_commits(&target),
            [] as [std::path::PathBuf; 0],
            "{about}"
        );
        if !was_killed {
            return number - 1;
        }
        // Each fifth goes on; a restore that goes on is swept elsewhere.
        if number % 5 == 0 {
            user.run(&all).succeeds();
            assert_eq!(
                unreachable_commits(&target),
                [] as [std::path::PathBuf; 0],
                "{about}"
            );
            assert!(
                !target.join("seafile-data/storage/seawall-commits").exists(),
                "{about}"
            );
            user.run(&["verify", target.to_str().unwrap()]).succeeds();
        }
    }
    unreachable!()
}

#[test]
fn at_no_moment_would_a_client_be_set_back() {
    let begun = Instant::now();
    let (source, user) = (Source::example(), User::new());
    // One library changes, so that the threads that write rename no more than the one that begins.
    add_library(&source, 30, 2000, 1);
    let backup = ["backup", source.path.to_str().unwrap(), "--init"];
    user.run(&backup).succeeds();
    let first = user.only_marker();
    let (old, new) = (user.path("old"), user.path("new"));
    let standby = |snapshot: &str, target: &Path, more: &[&str]| {
        let target = target.to_str().unwrap();
        let all = ["restore", snapshot, "--standby", "--target", target];
        user.run(&[&all[..], more].concat()).succeeds();
    };
    standby("latest", &old, &[]);
    generator::change(&source.path, 10, 2000, 5);
    source.sql(&format!(
        "DELETE FROM Branch WHERE repo_id = '{UNICODE}'; DELETE FROM Repo WHERE repo_id = '{UNICODE}'; \
         INSERT INTO GarbageRepos VALUES ('{UNICODE}')"
    ));
    user.run(&backup);
    standby("latest", &new, &[]);
    let empty = user.path("empty");
    fs::create_dir(&empty).unwrap();
    let points = [
        sweep(&user, &old, &["restore", "latest", "--standby"], begun),
        sweep(
            &user,
            &new,
            &["restore", &first, "--standby", "--older"],
            begun,
        ),
        sweep(&user, &empty, &["restore", "latest"], begun),
    ];
    eprintln!("killed at {points:?} points");
    assert!(points.iter().all(|&points| points >= 5), "{points:?}");
}
