//! A standby dies at every rename and every removal, the only steps that change what Seafile would find: at no moment is
//! there a commit to which the databases that are there do not lead.

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use seawall::object::Object;
use seawall::restore;
use seawall_test_servers::wait;

use super::{stores, unreachable_commits};
use crate::cli::User;
use crate::compaction::add_library;
use crate::damage::{UNICODE, head, write_commit};
use crate::support::{DOCUMENTS, Source, files_below, rounds, run};
use crate::synthetic::generator;

pub const STAGED: &str = "seafile-data/storage/seawall-commits";

/// `seawall` below `strace`, which tells of these calls, or does something at one of them.
fn strace(user: &User, arguments: &[&str], calls: &str, more: &[&str]) -> Command {
    let program = user.command(arguments);
    let trace = format!("trace={calls}");
    let mut strace = Command::new("timeout");
    strace
        .args(["-k", "5", "60", "strace", "-f", "-qq", "-e", &trace])
        .args(more)
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
    strace
}

/// The only calls that change what Seafile would find.
pub const CALLS: [&str; 3] = ["renameat", "renameat2", "unlinkat"];

/// A call, and how many of its like a thread has made with it: strace counts each by itself.
pub type Point = (String, usize);

/// Runs `seawall` and kills it at this point of one of its threads; whether that happened.
pub fn killed(user: &User, arguments: &[&str], (call, number): &Point) -> bool {
    let inject = format!("inject={call}:signal=SIGKILL:when={number}");
    let more = ["-o", "/dev/null", "-e", &inject];
    let output = wait::output(&mut strace(user, arguments, call, &more));
    let was_killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
    assert!(
        was_killed || output.status.success(),
        "{}: {} (124: no end after 60 s; 127: apt-get install strace)",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    was_killed
}

/// Runs `seawall` to its end: the points of the thread that has most, in order.
pub fn points(user: &User, arguments: &[&str]) -> Vec<Point> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let more = ["-o", log.path().to_str().unwrap()];
    let output = wait::output(&mut strace(user, arguments, &CALLS.join(","), &more));
    assert!(output.status.success(), "{output:?}");
    let mut by_thread: HashMap<String, Vec<Point>> = HashMap::new();
    for line in fs::read_to_string(log.path()).unwrap().lines() {
        // Not exits, signals, or the second half of a call.
        let (thread, call) = line.split_once(' ').unwrap();
        if let Some((call, _)) = call.trim_start().split_once('(')
            && CALLS.contains(&call)
        {
            let points = by_thread.entry(thread.to_owned()).or_default();
            let before = points.iter().filter(|(other, _)| other == call).count();
            points.push((call.to_owned(), before + 1));
        }
    }
    let mut threads: Vec<Vec<Point>> = by_thread.into_values().collect();
    threads.sort_by_key(Vec::len);
    threads.pop().unwrap_or_default()
}

/// In another order: who has no time for all of them leaves out every second one, not the last half.
pub fn spread(points: &[Point]) -> Vec<Point> {
    const STEP: usize = 8;
    let from = |first: usize| points.iter().skip(first).step_by(STEP).cloned();
    [0, 4, 2, 6, 1, 5, 3, 7].into_iter().flat_map(from).collect()
}

/// So long a sweep goes on, without `SEAWALL_LONG`.
const LONGEST: Duration = Duration::from_secs(40);
/// So many deaths a sweep has to show, also on a machine that is slow.
const ENOUGH: usize = 10;

/// Whether a sweep that has shown enough has to end.
pub fn is_long(begun: Instant) -> bool {
    rounds(0, 1) == 0 && begun.elapsed() > LONGEST
}

/// What must not be: a commit to which the databases do not lead, one in its place without databases, or one of these.
fn must_not_set_back(target: &Path, newer: &[Object], about: &str) {
    assert_eq!(unreachable_commits(target), [] as [PathBuf; 0], "{about}");
    let database = target.join("seafile-data/seafile.db");
    for (_, store) in stores(target).iter().filter(|_| !database.exists()) {
        assert_eq!(files_below(store), [] as [PathBuf; 0], "{about}");
    }
    for object in newer {
        assert!(!target.join(object.path()).exists(), "{object} {about}");
    }
}

/// Dies at every point of a restore into a copy of `from`, and goes on; returns at how many. On a machine that is too busy
/// for all of them it leaves some out, and ends (`SEAWALL_LONG`: none, and never).
fn sweep(user: &User, from: &Path, arguments: &[&str], newer: &[Object]) -> usize {
    let target = user.path("target");
    let all = [arguments, &["--target", target.to_str().unwrap()]].concat();
    let begin_anew = || {
        if target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        // Nothing in a target is written in place.
        let (from, to) = (from.to_str().unwrap(), target.to_str().unwrap());
        run("cp", &["-al", from, to]);
    };
    begin_anew();
    let points = points(user, &all);
    let begun = Instant::now();
    let mut died = 0;
    for point in spread(&points) {
        if is_long(begun) && died >= ENOUGH {
            break;
        }
        begin_anew();
        let was_killed = killed(user, &all, &point);
        let about = format!("{arguments:?} killed at {point:?}");
        must_not_set_back(&target, newer, &about);
        died += usize::from(was_killed);
        // Some go on; a restore that goes on is swept elsewhere.
        if was_killed && died % 7 == 1 {
            if arguments.contains(&"--standby") {
                // Not as something else: that would put commits of one snapshot beside databases of another.
                let alone = ["restore", arguments[1], "--data-only", "--target"];
                let alone = [&alone[..], &[target.to_str().unwrap()]].concat();
                user.run(&alone).fails(1, &["--standby"]);
            }
            user.run(&all).succeeds();
            must_not_set_back(&target, newer, &about);
            assert!(!target.join(STAGED).exists(), "{about}");
            user.run(&["verify", target.to_str().unwrap()]).succeeds();
        }
    }
    eprintln!("died at {died} of {} points", points.len());
    died
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
        Self { _source: source, user, first }
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
    let points = sweep(&stage.user, &old, &["restore", "latest", "--standby"], &[]);
    assert!(points >= ENOUGH, "{points}");
}

#[test]
fn back_at_no_moment_would_a_client_be_set_back() {
    let stage = Stage::new();
    let new = stage.standby("latest");
    let back = ["restore", &stage.first, "--standby", "--older"];
    let points = sweep(&stage.user, &new, &back, &[]);
    assert!(points >= ENOUGH, "{points}");
}

/// In the pack that has the head lies a commit that is newer: somebody put an older database back.
#[test]
fn anew_at_no_moment_would_a_client_be_set_back() {
    let (source, user) = (Source::example(), User::new());
    let set = |id: &str| {
        source.sql(&format!("UPDATE Branch SET commit_id = '{id}' WHERE repo_id = '{DOCUMENTS}'"));
    };
    let older = head(&source, DOCUMENTS);
    let newer = write_commit(&source, &older, &"7".repeat(40), |json| {
        json["parent_id"] = older.id.to_string().into();
        json["ctime"] = (json["ctime"].as_i64().unwrap() + 1).into();
    });
    set(&newer.id.to_string());
    user.backup(&source.path).succeeds();
    set(&older.id.to_string());
    // The head went back: that is told.
    let told = user.run(&["backup", source.path.to_str().unwrap()]);
    assert_eq!(told.status, 3, "{}{}", told.stdout, told.stderr);
    let empty = user.path("empty");
    fs::create_dir(&empty).unwrap();
    let points = sweep(&user, &empty, &["restore", "latest"], &[newer]);
    assert!(points >= ENOUGH, "{points}");
    // It lay in the packs of this snapshot, else all this says nothing.
    let aside = user.path("target").join(restore::ASIDE).join(newer.path());
    assert!(aside.is_file(), "{}", aside.display());
}
