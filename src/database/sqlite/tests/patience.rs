//! How long a database is waited for, and that it ends.

#![expect(
    clippy::disallowed_methods,
    reason = "tests lay out files that need not last"
)]

use std::sync::mpsc::{RecvTimeoutError, channel};

use super::*;

/// No copy of these tests may take longer.
const LIMIT: Duration = Duration::from_mins(1);

/// A process that writes to the database named in the folder, until the folder has a file `stop`: each transaction
/// keeps everybody out for most of the time.
struct Writer {
    child: Child,
    folder: TempDir,
}

impl Writer {
    fn begin(database: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("database"), database.to_str().unwrap()).unwrap();
        let mut child = child("patience::child_writes_all_the_time", folder.path(), false);
        let begun = Instant::now();
        while !folder.path().join("ready").exists() {
            assert!(child.try_wait().unwrap().is_none(), "the writer failed");
            assert!(begun.elapsed() < LIMIT, "the writer is not ready");
            thread::sleep(Duration::from_millis(2));
        }
        Self { child, folder }
    }

    fn end(mut self) {
        fs::write(self.folder.path().join("stop"), "").unwrap();
        assert!(wait::end_of(&mut self.child, "a writer").success());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Already gone in most cases.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "run by Writer"]
fn child_writes_all_the_time() {
    let folder = child_folder();
    let file = fs::read_to_string(folder.join("database")).unwrap();
    let db = Connection::open(file).unwrap();
    db.busy_timeout(LIMIT).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY")
        .unwrap();
    let end = Instant::now() + LIMIT;
    while Instant::now() < end && !folder.join("stop").exists() {
        db.execute_batch("BEGIN EXCLUSIVE; UPDATE t SET n = n + 1")
            .unwrap();
        fs::write(folder.join("ready"), "").unwrap();
        thread::sleep(Duration::from_millis(20));
        db.execute_batch("COMMIT").unwrap();
        thread::sleep(Duration::from_millis(5));
    }
}

/// Copies, and fails the test where that does not end.
fn copy_within(source: SqliteSource, patience: Duration) -> Result<(), Error> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let spool = tempfile::tempdir().unwrap();
        let copied = copy_all_within(&[source], spool.path(), patience);
        // Nobody waits for it any more where it took too long.
        let _ = send.send(copied.map(|copies| assert_clean(&copies[0])));
    });
    match receive.recv_timeout(LIMIT) {
        Ok(copied) => copied,
        Err(RecvTimeoutError::Timeout) => panic!("the copy did not end within {LIMIT:?}"),
        Err(RecvTimeoutError::Disconnected) => panic!("the copy is not clean"),
    }
}

/// SQLite refuses to open a path of more than 512 bytes; files can be read there all the same.
fn too_deep_for_sqlite(place: &Place) -> SqliteSource {
    let mut folder = place.folder.path().to_owned();
    while folder.as_os_str().len() < 600 {
        folder = folder.join("f".repeat(100));
    }
    fs::create_dir_all(&folder).unwrap();
    // The writer has a short name for the same file.
    fs::hard_link(place.path("a.db"), folder.join("a.db")).unwrap();
    SqliteSource {
        role: "a.db".into(),
        path: folder.join("a.db"),
    }
}

#[test]
fn a_database_that_sqlite_refuses_is_copied_by_its_files_or_given_up() {
    let place = Place::new();
    drop(create(&place.path("a.db"), 10));
    let source = too_deep_for_sqlite(&place);
    let opened = Connection::open_with_flags(&source.path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    assert!(opened.is_err(), "SQLite can open it: nothing is tested");
    copy_within(source.clone(), Duration::from_secs(2)).unwrap();
    let writer = Writer::begin(&place.path("a.db"));
    let error = copy_within(source.clone(), Duration::from_millis(500)).unwrap_err();
    assert!(
        matches!(error, Error::Changing { .. } | Error::Busy { .. }),
        "{error}"
    );
    // The writer ends while the copy is waiting.
    let copying = thread::spawn({
        let source = source.clone();
        move || copy_within(source, LIMIT / 2)
    });
    thread::sleep(Duration::from_millis(700));
    writer.end();
    copying.join().unwrap().unwrap();
}
