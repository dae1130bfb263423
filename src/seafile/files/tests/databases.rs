//! SQLite databases among ordinary files.

use rusqlite::Connection;

use super::*;

/// A database in write-ahead mode, as a crashed process leaves it: its rows are in the log.
fn database_with_log(installation: &Installation, path: &str) {
    let made = installation.outside("made.db");
    let db = Connection::open(&made).unwrap();
    let sql = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (n); INSERT INTO t VALUES (7)";
    db.execute_batch(sql).unwrap();
    installation.write(path, "");
    for suffix in ["", "-wal", "-shm"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        fs::copy(name(&made), name(&installation.path(path))).unwrap();
    }
}

/// Writes a group's tar and unpacks it with stock tar.
fn unpacked(scan: &FileScan, name: &str) -> (tempfile::TempDir, TarReport) {
    let spool = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("group.tar");
    let mut tar = fs::File::create(&file).unwrap();
    let report = write_tar(group(scan, name), spool.path(), &mut tar).unwrap();
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0, "the spool is not empty");
    let mut command = Command::new("tar");
    command.arg("-xf").arg(&file).arg("-C").arg(folder.path());
    wait::success(&mut command);
    let members = wait::success(Command::new("tar").arg("-tf").arg(&file));
    let members = String::from_utf8(members).unwrap();
    assert_eq!(report.members, members.lines().count() as u64);
    (folder, report)
}

#[test]
fn a_database_is_stored_as_one_file_with_all_that_was_committed() {
    let installation = Installation::new();
    let path = "sqlite/PeerMgr/usermgr.db";
    database_with_log(&installation, path);
    // There is no database beside this file.
    installation.write("sqlite/x-wal", "text");
    fs::set_permissions(installation.path(path), fs::Permissions::from_mode(0o640)).unwrap();
    let scan = installation.scan();
    let (folder, report) = unpacked(&scan, "sqlite");
    assert_eq!(report.warnings, []);
    let file = folder.path().join(path);
    let mut names: Vec<_> = fs::read_dir(file.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["usermgr.db"]);
    assert!(folder.path().join("sqlite/x-wal").exists());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let db = Connection::open(&file).unwrap();
    let n: i64 = db.query_row("SELECT n FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(n, 7);
}

#[test]
fn what_only_looks_like_a_database_is_stored_as_it_is_and_told() {
    let installation = Installation::new();
    let text = "SQLite format 3\0and nothing else";
    installation.write("sqlite/odd.db", text);
    let (folder, report) = unpacked(&installation.scan(), "sqlite");
    assert_eq!(fs::read(folder.path().join("sqlite/odd.db")).unwrap(), text.as_bytes());
    let [warning] = &report.warnings[..] else { panic!("{:?}", report.warnings) };
    assert!(
        matches!(warning.kind, FileWarningKind::Unsound { .. }) && !warning.kind.is_incomplete()
    );
}

#[test]
fn a_reader_does_not_change_the_fingerprint_and_a_writer_does() {
    let installation = Installation::new();
    database_with_log(&installation, "sqlite/a.db");
    let print = || fingerprint(group(&installation.scan(), "sqlite"), 0).unwrap();
    let first = print();
    fs::write(installation.path("sqlite/a.db-shm"), "another index").unwrap();
    assert_eq!(print(), first);
    fs::write(installation.path("sqlite/a.db-wal"), "another log").unwrap();
    assert_ne!(print(), first);
    // Beside a file that is no database, it is a file like any other.
    installation.write("sqlite/b", "text");
    installation.write("sqlite/b-shm", "text");
    let second = print();
    fs::write(installation.path("sqlite/b-shm"), "other text").unwrap();
    assert_ne!(print(), second);
}
