//! Copies databases in every state in which they can be found. Each copy leaves the source as it
//! was.

#![expect(clippy::disallowed_methods, reason = "tests lay out files that need not last")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use seawall_test_servers::wait::{self, Killed};
use tempfile::TempDir;

use super::{SqliteCopy, SqliteSource, copy_all, copy_all_within, probe, remove_leftovers};
use crate::database::Error;
use crate::object::Sha256;

mod patience;
mod writers;

/// Tells a test that runs as a child process where to work.
const CHILD_FOLDER: &str = "SEAWALL_TEST_FOLDER";
/// Where the library's own tests find a real installation.
const HAIWEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/haiwen");

/// A folder with databases, and a spool folder.
struct Place {
    folder: TempDir,
    spool: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), spool: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Copies one database, and asserts that its folder is the same afterwards.
    fn copy(&self, name: &str) -> Result<SqliteCopy, Error> {
        let before = listing(self.folder.path());
        let copied =
            copy_all_within(&[self.source(name)], self.spool.path(), Duration::from_secs(2));
        assert_eq!(listing(self.folder.path()), before, "the source was written to");
        copied.map(|mut copies| copies.pop().unwrap())
    }

    fn source(&self, name: &str) -> SqliteSource {
        SqliteSource { role: name.into(), path: self.path(name) }
    }

    fn assert_spool_empty(&self) {
        assert_eq!(fs::read_dir(self.spool.path()).unwrap().count(), 0);
    }
}

/// Name, length, inode, owner, mode and time of every file.
fn listing(folder: &Path) -> Vec<(PathBuf, [u64; 6])> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let is = entry.metadata().unwrap();
            let time = is.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
            let nanos = u64::try_from(time.as_nanos()).unwrap();
            let owner = u64::from(is.uid());
            (
                entry.path(),
                [is.len(), is.ino(), owner, u64::from(is.gid()), is.mode().into(), nanos],
            )
        })
        .collect();
    found.sort();
    found
}

/// All rows of all tables, as `.dump` would show them.
fn rows(file: &Path) -> BTreeMap<String, Vec<Vec<Value>>> {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut query = db.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let schema: Vec<(String, Option<String>)> = query
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut tables = BTreeMap::new();
    for (name, sql) in schema {
        let is_table = sql.as_ref().is_some_and(|sql| sql.starts_with("CREATE TABLE"));
        let mut all = vec![vec![Value::Text(sql.unwrap_or_default())]];
        if is_table {
            let mut query = db.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
            let count = query.column_count();
            let found = query
                .query_map([], |row| {
                    (0..count).map(|at| row.get(at)).collect::<Result<Vec<_>, _>>()
                })
                .unwrap();
            all.extend(found.map(Result::unwrap));
        }
        tables.insert(name, all);
    }
    tables
}

fn count(file: &Path) -> i64 {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

/// Creates a table with rows.
fn create(file: &Path, count: i64) -> Connection {
    let db = Connection::open(file).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF").unwrap();
    db.execute_batch("CREATE TABLE t (n INTEGER, text TEXT)").unwrap();
    insert(&db, count);
    db
}

fn insert(db: &Connection, count: i64) {
    let sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1) \
               INSERT INTO t SELECT n, hex(randomblob(50)) FROM c";
    db.execute(sql, [count]).unwrap();
}

fn wal(db: &Connection) {
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    db.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
}

/// Copies files, as a crash of the server's process would leave them.
fn crash(from: &Path, to: &Path, suffixes: &[&str]) {
    for suffix in suffixes {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        fs::copy(name(from), name(to)).unwrap();
    }
}

/// Asserts that a copy is one private file in rollback mode.
fn assert_clean(copy: &SqliteCopy) {
    let folder = copy.file.parent().unwrap();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "something lies beside the copy");
    assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&copy.file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&copy.file).unwrap();
    assert_eq!((copy.len, copy.sha256), (bytes.len() as u64, Sha256::of(&bytes)));
    assert_eq!(&bytes[18..20], [1, 1], "not in rollback mode");
    assert_eq!(copy.integrity, Vec::<String>::new());
}

/// Runs an ignored test of this file in another process, as nobody if we are root.
fn child(test: &str, folder: &Path, as_nobody: bool) -> Child {
    child_command(test, folder, as_nobody).spawn().unwrap()
}

fn child_command(test: &str, folder: &Path, as_nobody: bool) -> Command {
    let exe = std::env::current_exe().unwrap();
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let mut command = if as_nobody && rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(exe);
        command
    } else {
        Command::new(exe)
    };
    command.args(["--exact", &name, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(CHILD_FOLDER, folder);
    command
}

/// Another process that has run SQL on a database and keeps its locks.
struct Holder(Killed);

impl Holder {
    /// Runs SQL in another process, and returns once it is done there.
    fn begin(place: &Place, database: &str, sql: &str) -> Self {
        let own = tempfile::tempdir_in(place.spool.path()).unwrap();
        fs::write(own.path().join("database"), place.path(database).to_str().unwrap()).unwrap();
        fs::write(own.path().join("sql"), sql).unwrap();
        let mut command = child_command("child_holder", own.path(), false);
        let mut child = Killed(command.stdin(Stdio::piped()).spawn().unwrap());
        wait::until("the holder is ready", || {
            assert!(child.0.try_wait().unwrap().is_none(), "the holder failed");
            own.path().join("ready").exists()
        });
        Self(child)
    }

    /// Ends its connection, which rolls back what was not committed.
    fn end(mut self) {
        drop(self.0.0.stdin.take());
        assert!(wait::end_of(&mut self.0.0, "the holder").success());
    }
}

#[test]
#[ignore = "run by Holder"]
fn child_holder() {
    let folder = child_folder();
    let file = fs::read_to_string(folder.join("database")).unwrap();
    let db = Connection::open(file).unwrap();
    db.execute_batch(&fs::read_to_string(folder.join("sql")).unwrap()).unwrap();
    fs::write(folder.join("ready"), "").unwrap();
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}

fn child_folder() -> PathBuf {
    std::env::var_os(CHILD_FOLDER).expect("only run by other tests").into()
}

fn installation_databases(haiwen: &Path) -> Vec<PathBuf> {
    let names = [
        "seafile-data/seafile.db",
        "ccnet/PeerMgr/usermgr.db",
        "ccnet/GroupMgr/groupmgr.db",
        "ccnet/OrgMgr/orgmgr.db",
        "ccnet/misc/config.db",
        "seahub.db",
    ];
    names.iter().map(|name| haiwen.join(name)).filter(|path| path.exists()).collect()
}

/// Copies an installation's databases to a folder of their own.
fn lay_out(place: &Place) -> Vec<SqliteSource> {
    let found = installation_databases(Path::new(HAIWEN));
    assert!(found.len() >= 5, "examples/haiwen is missing or has no databases");
    (found.iter())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            fs::copy(path, place.path(name)).unwrap();
            place.source(name)
        })
        .collect()
}

#[test]
fn databases_of_an_installation_are_copied_whole() {
    let place = Place::new();
    let sources = lay_out(&place);
    let before = listing(place.folder.path());
    let copies = copy_all(&sources, place.spool.path()).unwrap();
    assert_eq!(listing(place.folder.path()), before);
    assert_eq!(copies.len(), sources.len());
    for (copy, source) in copies.iter().zip(&sources) {
        assert_eq!((&copy.role, &copy.source), (&source.role, &source.path));
        assert_clean(copy);
        assert_eq!(rows(&copy.file), rows(&source.path), "{}", source.role);
        assert!(!copy.wal && !copy.recovered_journal);
        assert_eq!(copy.locked_for, Duration::ZERO, "nobody writes");
    }
    drop(copies);
    place.assert_spool_empty();
}

#[test]
fn an_unchanged_database_gives_the_same_bytes() {
    let place = Place::new();
    let sources = lay_out(&place);
    let hashes = || -> Vec<Sha256> {
        let copies = copy_all(&sources, place.spool.path()).unwrap();
        copies.iter().map(|copy| copy.sha256).collect()
    };
    assert_eq!(hashes(), hashes());
    // A server that only reads, and one that starts and stops, change nothing.
    rows(&sources[0].path);
    assert_eq!(hashes(), hashes());
    // A new row changes the bytes.
    let before = hashes();
    let db = Connection::open(&sources[0].path).unwrap();
    db.execute("INSERT INTO GarbageRepos VALUES ('x')", []).unwrap();
    assert_ne!(hashes()[0], before[0]);
    assert_eq!(hashes()[1..], before[1..]);
}

#[test]
fn a_wal_in_use_gives_the_same_bytes_and_all_committed_rows() {
    let place = Place::new();
    let db = create(&place.path("a.db"), 100);
    wal(&db);
    insert(&db, 400);
    db.execute_batch("BEGIN").unwrap();
    insert(&db, 7);
    // In use, with an index: read in place, as of the last commit.
    let first = place.copy("a.db").unwrap();
    assert_clean(&first);
    assert!(first.wal && first.locked_for == Duration::ZERO);
    assert_eq!(count(&first.file), 500);
    assert_eq!(place.copy("a.db").unwrap().sha256, first.sha256);
    db.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&place.copy("a.db").unwrap().file), 507);
}

#[test]
fn a_wal_left_by_a_killed_server_is_merged_in_the_copy() {
    let place = Place::new();
    let db = create(&place.path("live.db"), 100);
    wal(&db);
    insert(&db, 400);
    for suffixes in [&["", "-wal"] as &[_], &["", "-wal", "-shm"]] {
        let name = format!("{}.db", suffixes.len());
        crash(&place.path("live.db"), &place.path(&name), suffixes);
        thread::sleep(Duration::from_millis(120));
        let copy = place.copy(&name).unwrap();
        assert_clean(&copy);
        assert_eq!(count(&copy.file), 500, "{suffixes:?}");
        assert!(copy.wal && !copy.recovered_journal);
        assert_eq!(copy.locked_for, Duration::ZERO);
        assert_eq!(place.copy(&name).unwrap().sha256, copy.sha256);
    }
}

#[test]
fn a_stale_index_that_lies_is_not_believed() {
    let place = Place::new();
    let db = create(&place.path("live.db"), 100);
    wal(&db);
    insert(&db, 400);
    crash(&place.path("live.db"), &place.path("a.db"), &["", "-wal"]);
    fs::write(place.path("a.db-shm"), vec![0xff; 32 * 1024]).unwrap();
    assert_eq!(count(&place.copy("a.db").unwrap().file), 500);
}

#[test]
fn a_wal_database_at_rest_is_copied() {
    let place = Place::new();
    let db = create(&place.path("a.db"), 100);
    wal(&db);
    insert(&db, 400);
    db.close().unwrap();
    assert_eq!(listing(place.folder.path()).len(), 1);
    thread::sleep(Duration::from_millis(120));
    let copy = place.copy("a.db").unwrap();
    assert_clean(&copy);
    assert_eq!(count(&copy.file), 500);
    assert!(copy.wal);
}

/// Leaves `a.db` with a hot journal: a transaction that changes 3000 rows was cut off half-way.
fn hot_journal(place: &Place) {
    let db = create(&place.path("live.db"), 3000);
    db.execute_batch(
        "PRAGMA cache_size = 5; BEGIN; UPDATE t SET text = 'new'; DELETE FROM t WHERE n > 100",
    )
    .unwrap();
    crash(&place.path("live.db"), &place.path("a.db"), &["", "-journal"]);
    db.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn a_transaction_of_a_killed_server_is_rolled_back_in_the_copy() {
    let place = Place::new();
    hot_journal(&place);
    assert_ne!(fs::read(place.path("a.db")).unwrap(), fs::read(place.path("live.db")).unwrap());
    let copy = place.copy("a.db").unwrap();
    assert_clean(&copy);
    assert!(copy.recovered_journal && !copy.wal);
    assert_eq!(copy.locked_for, Duration::ZERO);
    assert_eq!(rows(&copy.file), rows(&place.path("live.db")));
}

#[test]
fn a_journal_of_a_running_transaction_is_none_of_our_business() {
    let place = Place::new();
    drop(create(&place.path("a.db"), 3000));
    let holder = Holder::begin(&place, "a.db", "BEGIN; UPDATE t SET text = 'new'");
    assert!(place.path("a.db-journal").exists());
    let copy = place.copy("a.db").unwrap();
    assert_clean(&copy);
    assert!(!copy.recovered_journal && copy.locked_for == Duration::ZERO);
    holder.end();
    assert_eq!(rows(&copy.file), rows(&place.path("a.db")));
}

#[test]
fn files_beside_an_empty_database_are_not_deleted() {
    let place = Place::new();
    for suffixes in [&["-wal"] as &[_], &["-journal"], &["-wal", "-shm"]] {
        fs::write(place.path("a.db"), "").unwrap();
        for suffix in suffixes {
            fs::write(place.path(&format!("a.db{suffix}")), "left over").unwrap();
        }
        thread::sleep(Duration::from_millis(120));
        let copy = place.copy("a.db").unwrap();
        assert_eq!(copy.len, 0);
        assert!(rows(&copy.file).is_empty());
    }
}

/// SQLite, run by root, would give these files to the database's owner.
#[test]
fn files_beside_keep_their_owner() {
    let place = Place::new();
    let db = create(&place.path("a.db"), 100);
    wal(&db);
    insert(&db, 400);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(place.path("a.db-wal"), Some(65534), Some(65534)).unwrap();
        std::os::unix::fs::chown(place.path("a.db-shm"), Some(65534), Some(65534)).unwrap();
    }
    assert_eq!(count(&place.copy("a.db").unwrap().file), 500);
}

#[test]
fn a_database_that_sqlite_cannot_lock_and_that_changes_is_given_up() {
    let place = Place::new();
    hot_journal(&place);
    let journal = fs::OpenOptions::new().append(true).open(place.path("a.db-journal")).unwrap();
    // The file is so young that somebody may be writing to it at this very moment, and there is no
    // time to find out.
    let later = SystemTime::now() + Duration::from_hours(1);
    journal.set_modified(later).unwrap();
    let result = copy_all_within(&[place.source("a.db")], place.spool.path(), Duration::ZERO);
    assert!(matches!(result, Err(Error::Changing { .. })), "{result:?}");
    place.assert_spool_empty();
}

#[test]
fn an_empty_file_is_an_empty_database() {
    let place = Place::new();
    fs::write(place.path("a.db"), "").unwrap();
    let copy = place.copy("a.db").unwrap();
    assert_eq!((copy.len, &copy.integrity), (0, &Vec::new()));
    assert!(rows(&copy.file).is_empty());
}

#[test]
fn names_need_no_utf8_and_links_are_followed() {
    use std::os::unix::ffi::OsStrExt as _;
    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"a b%41?&#\xff.db");
    let real = place.folder.path().join(name);
    drop(create(&real, 10));
    std::os::unix::fs::symlink(&real, place.path("link.db")).unwrap();
    let copy = place.copy("link.db").unwrap();
    assert_clean(&copy);
    assert_eq!(count(&copy.file), 10);
}

#[test]
fn what_is_no_database_is_named() {
    let place = Place::new();
    let whole = fs::read(format!("{HAIWEN}/seafile-data/seafile.db")).unwrap();
    fs::write(place.path("garbage"), vec![b'x'; 8192]).unwrap();
    fs::write(place.path("stub"), &whole[..50]).unwrap();
    fs::write(place.path("truncated"), &whole[..20_000]).unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    for name in ["garbage", "stub", "truncated", "folder", "absent"] {
        let error = place.copy(name).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(!error.to_string().contains('\n'));
        match name {
            "truncated" | "stub" => assert!(matches!(error, Error::Malformed { .. }), "{error:?}"),
            "absent" => assert!(matches!(error, Error::Unreadable { .. }), "{error:?}"),
            _ => assert!(matches!(error, Error::NotADatabase { .. }), "{error:?}"),
        }
    }
    place.assert_spool_empty();
}

#[test]
fn damage_inside_is_copied_and_reported() {
    let place = Place::new();
    drop(create(&place.path("a.db"), 30_000));
    let mut bytes = fs::read(place.path("a.db")).unwrap();
    for page in bytes.chunks_mut(4096).skip(100) {
        page[..200].fill(0xee);
    }
    fs::write(place.path("a.db"), &bytes).unwrap();
    let copy = place.copy("a.db").unwrap();
    assert_eq!(copy.len, bytes.len() as u64);
    assert_eq!(copy.integrity.len(), 20, "{:?}", copy.integrity);
    assert!(copy.integrity.iter().all(|line| line.len() < 2000 && !line.is_empty()));
}

#[test]
fn a_locked_database_is_waited_for_while_the_others_are_free() {
    let place = Place::new();
    drop(create(&place.path("free.db"), 10));
    drop(create(&place.path("locked.db"), 10));
    let holder = Holder::begin(&place, "locked.db", "BEGIN EXCLUSIVE");
    let free = Connection::open(place.path("free.db")).unwrap();
    free.busy_timeout(Duration::ZERO).unwrap();
    let sources = [place.source("free.db"), place.source("locked.db")];
    thread::scope(|scope| {
        let copying = scope
            .spawn(|| copy_all_within(&sources, place.spool.path(), Duration::from_millis(1500)));
        while !copying.is_finished() {
            free.execute("UPDATE t SET n = n + 1", []).expect("our wait keeps the server out");
            thread::sleep(Duration::from_millis(10));
        }
        let error = copying.join().unwrap().unwrap_err();
        assert!(
            matches!(&error, Error::Busy { file, .. } if file.ends_with("locked.db")),
            "{error}"
        );
        assert!(error.hint().is_some());
    });
    place.assert_spool_empty();

    thread::scope(|scope| {
        let copying = scope.spawn(|| copy_all(&sources, place.spool.path()));
        holder.end();
        assert_eq!(copying.join().unwrap().unwrap().len(), 2);
    });
}

#[test]
fn a_probe_says_whether_a_copy_would_work_and_writes_nothing() {
    let place = Place::new();
    drop(create(&place.path("a.db"), 10));
    let source = place.source("a.db");
    let before = listing(place.folder.path());
    let len = fs::metadata(&source.path).unwrap().len();
    assert_eq!(probe(&source, Duration::ZERO).unwrap(), len);
    assert_eq!(listing(place.folder.path()), before);
    let holder = Holder::begin(&place, "a.db", "BEGIN EXCLUSIVE");
    let error = probe(&source, Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    holder.end();
    probe(&source, Duration::ZERO).unwrap();
    assert!(probe(&place.source("none.db"), Duration::ZERO).is_err());
    fs::write(place.path("text"), "no database").unwrap();
    let error = probe(&place.source("text"), Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
}

#[test]
fn a_small_disk_is_noticed_before_anything_is_copied() {
    let spool = tempfile::tempdir().unwrap();
    let error = super::draft::check_space(spool.path(), u64::MAX).unwrap_err();
    assert!(matches!(error, Error::NoSpace { needed: u64::MAX, .. }));
    assert!(error.to_string().contains(spool.path().to_str().unwrap()), "{error}");
    assert!(error.to_string().contains(&u64::MAX.to_string()), "{error}");
    super::draft::check_space(spool.path(), 1).unwrap();
}

#[test]
fn leftovers_of_killed_runs_are_removed_and_nothing_else() {
    let place = Place::new();
    drop(create(&place.path("a.db"), 10));
    std::mem::forget(place.copy("a.db").unwrap());
    fs::write(place.spool.path().join("other"), "").unwrap();
    remove_leftovers(place.spool.path()).unwrap();
    let left: Vec<_> =
        fs::read_dir(place.spool.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["other"]);
}

#[test]
fn a_reader_without_write_access_copies_every_kind() {
    let place = Place::new();
    let databases = place.folder.path().join("databases");
    fs::create_dir(&databases).unwrap();
    fs::create_dir(place.path("spool")).unwrap();
    let inner = Place { folder: tempfile::tempdir().unwrap(), spool: tempfile::tempdir().unwrap() };
    let db = create(&inner.path("in-use.db"), 100);
    wal(&db);
    insert(&db, 400);
    hot_journal(&inner);
    let to = |name: &str| databases.join(name);
    crash(&inner.path("in-use.db"), &to("no-index.db"), &["", "-wal"]);
    crash(&inner.path("in-use.db"), &to("stale-index.db"), &["", "-wal", "-shm"]);
    crash(&inner.path("in-use.db"), &to("no-log.db"), &[""]);
    crash(&inner.path("a.db"), &to("hot.db"), &["", "-journal"]);
    crash(&inner.path("live.db"), &to("plain.db"), &[""]);
    fs::rename(inner.path("in-use.db"), to("unused.db")).unwrap();
    fs::remove_file(to("unused.db")).unwrap();
    let set =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for entry in fs::read_dir(&databases).unwrap() {
        set(&entry.unwrap().path(), 0o444);
    }
    set(&databases, 0o555);
    set(place.folder.path(), 0o755);
    set(&place.path("spool"), 0o777);
    thread::sleep(Duration::from_millis(120));
    let before = listing(&databases);
    let mut child = child("child_without_write_access", place.folder.path(), true);
    assert!(wait::end_of(&mut child, "a reader without write access").success());
    assert_eq!(listing(&databases), before);
    set(&databases, 0o755);
}

#[test]
#[ignore = "run by a_reader_without_write_access_copies_every_kind"]
fn child_without_write_access() {
    let folder = child_folder();
    let databases = folder.join("databases");
    assert!(fs::write(databases.join("x"), "").is_err(), "the folder is writable");
    for (name, expected) in [
        ("no-index.db", 500),
        ("stale-index.db", 500),
        ("no-log.db", 100),
        ("hot.db", 3000),
        ("plain.db", 3000),
    ] {
        let source = SqliteSource { role: name.into(), path: databases.join(name) };
        let copies = copy_all(&[source], &folder.join("spool")).unwrap();
        assert_clean(&copies[0]);
        assert_eq!(count(&copies[0].file), expected, "{name}");
    }
}
