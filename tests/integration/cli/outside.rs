//! What lies outside of an installation or at places that Seafile does not have: it is in the backup, or it is told.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use seawall_test_servers::wait::SetAtEnd;

use super::*;

/// A copy of the example below the user's home.
fn installation(user: &User) -> (Source, PathBuf) {
    let source = Source::example();
    let disk = user.path("disk");
    fs::create_dir(&disk).unwrap();
    (source, disk)
}

fn restored(user: &User) -> PathBuf {
    let target = user.path("restored");
    let target_text = target.to_str().unwrap();
    user.run(&["restore", "latest", "--target", target_text]).succeeds();
    target
}

#[test]
fn links_that_lead_out_are_followed_or_told() {
    let user = User::new();
    let (source, disk) = installation(&user);
    let top = source.path.as_path();
    fs::create_dir_all(disk.join("md-data/v1")).unwrap();
    fs::write(disk.join("md-data/v1/tags.bin"), "tags").unwrap();
    fs::write(disk.join("licence"), "licence").unwrap();
    symlink(disk.join("md-data"), top.join("md-data")).unwrap();
    symlink(disk.join("licence"), top.join("seafile-license.txt")).unwrap();
    user.backup(top).succeeds();
    let target = restored(&user);
    assert_eq!(fs::read_to_string(target.join("md-data/v1/tags.bin")).unwrap(), "tags");
    assert!(fs::symlink_metadata(target.join("seafile-license.txt")).unwrap().is_file());

    fs::create_dir(disk.join("reports")).unwrap();
    symlink(disk.join("reports"), top.join("reports")).unwrap();
    let told = "reports: content not in the backup";
    user.backup(top).fails(3, &[told, "--also"]);
    assert!(user.run(&["snapshots"]).stdout.contains("incomplete: links-lead-out"));
    let dry = user.run(&["backup", top.to_str().unwrap(), "--dry-run"]);
    dry.fails(3, &[told]);
    assert!(
        dry.stdout.contains("read      a backup ends with exit status 3, left out: links-lead-out"),
        "{}",
        dry.stdout
    );
    let json = ["backup", top.to_str().unwrap(), "--dry-run", "--json"];
    let json = user.run(&json);
    assert_eq!(json.status, 3);
    assert!(json.json().is_array());
    assert!(dry.stdout.contains("md-data is a link, followed to"), "{}", dry.stdout);
    let also = disk.join("reports");
    let with = ["backup", top.to_str().unwrap(), "--also", also.to_str().unwrap()];
    user.run(&with).succeeds();
    user.run(&[&with[..], &["--dry-run"]].concat()).succeeds();

    // What is followed must not hold the repository.
    symlink(user.home(), top.join("custom")).unwrap();
    user.backup(top).fails(1, &["lies inside of"]);
}

#[test]
fn a_database_at_any_place_is_stored_by_sqlites_own_way() {
    let user = User::new();
    let (source, _) = installation(&user);
    let top = source.path.as_path();
    fs::create_dir_all(top.join("sqlite/PeerMgr")).unwrap();
    let usual = top.join("ccnet/PeerMgr/usermgr.db");
    let moved = top.join("sqlite/PeerMgr/usermgr.db");
    fs::rename(&usual, &moved).unwrap();
    let db = Connection::open(&moved).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE note (n); INSERT INTO note VALUES (7)",
    )
    .unwrap();
    // Open, so that the log is there; and nobody knows users any more.
    user.backup(top).fails(3, &["there is no database usermgr"]);
    let snapshots = user.run(&["snapshots"]).stdout;
    assert!(snapshots.contains("incomplete: users-missing"), "{snapshots}");
    let target = restored(&user);
    let names = fs::read_dir(target.join("sqlite/PeerMgr")).unwrap().count();
    assert_eq!(names, 1, "something lies beside the database");
    let copy = Connection::open(target.join("sqlite/PeerMgr/usermgr.db")).unwrap();
    let n: i64 = copy.query_row("SELECT n FROM note", [], |row| row.get(0)).unwrap();
    assert_eq!(n, 7);
    user.run(&["check", "--deep"]).succeeds();
}

/// Runs a backup on a file system that refuses locks on one file, as strace plays it. `injected` says with which error.
fn backup_without_locks(user: &User, source: &Path, injected: &str) -> Ran {
    let plain = user.command(&["backup", source.to_str().unwrap(), "--init"]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-P"]);
    command.arg(source.join("seafile-data/seafile.db"));
    command.arg(format!("--inject=fcntl:error={injected}"));
    command.arg(plain.get_program()).args(plain.get_args());
    command.env_clear().current_dir(user.home());
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    Ran::of(wait::output(&mut command))
}

#[test]
fn a_quiet_database_needs_no_locks_and_one_that_changes_is_told_by_name() {
    for error in ["ENOLCK", "EINVAL"] {
        let user = User::new();
        let (source, _) = installation(&user);
        backup_without_locks(&user, source.path.as_path(), error).succeeds();
        let file = source.path.as_path().join("seafile-data/seafile.db");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let stopped = SetAtEnd(&done);
            scope.spawn(|| {
                let mut ahead = 0;
                while !done.load(Ordering::Acquire) {
                    ahead += 1;
                    let time = std::time::SystemTime::now() + std::time::Duration::from_secs(ahead);
                    fs::File::open(&file).unwrap().set_modified(time).unwrap();
                    std::thread::yield_now();
                }
            });
            let begun = std::time::Instant::now();
            // Between two looks there is time for a change, also on a machine that has much else to do.
            let slowly = format!("{error}:delay_exit=300000");
            let ran = backup_without_locks(&user, source.path.as_path(), &slowly);
            drop(stopped);
            ran.fails(1, &["seafile.db: this file system gives no locks", "stop Seafile"]);
            assert!(begun.elapsed().as_secs() < 50, "{:?}", begun.elapsed());
        });
    }
}
