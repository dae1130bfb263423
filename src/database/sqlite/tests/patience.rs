//! A copy ends, even if SQLite refuses to open a file that can be read.

use std::sync::mpsc::{RecvTimeoutError, channel};

use super::*;

/// No copy of these tests may take longer.
const LIMIT: Duration = Duration::from_mins(1);

/// Copies a database, and fails the test if that does not end.
fn copy_within(source: SqliteSource, patience: Duration) -> Result<(), Error> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let spool = tempfile::tempdir().unwrap();
        let copied = copy_all_within(&[source], spool.path(), patience);
        // Nobody receives this if it took too long.
        let _ = send.send(copied.map(|copies| assert_clean(&copies[0])));
    });
    match receive.recv_timeout(LIMIT) {
        Ok(copied) => copied,
        Err(RecvTimeoutError::Timeout) => panic!("the copy did not end within {LIMIT:?}"),
        Err(RecvTimeoutError::Disconnected) => panic!("the copy is not clean"),
    }
}

/// SQLite refuses to open a path of more than 512 bytes. Files can still be read there.
fn too_deep_for_sqlite(place: &Place) -> SqliteSource {
    let mut folder = place.folder.path().to_owned();
    while folder.as_os_str().len() < 600 {
        folder = folder.join("f".repeat(100));
    }
    fs::create_dir_all(&folder).unwrap();
    fs::rename(place.path("a.db"), folder.join("a.db")).unwrap();
    SqliteSource { role: "a.db".into(), path: folder.join("a.db") }
}

#[test]
fn a_database_that_sqlite_refuses_is_copied_by_its_files_or_given_up() {
    let place = Place::new();
    drop(create(&place.path("a.db"), 10));
    let source = too_deep_for_sqlite(&place);
    let opened = Connection::open_with_flags(&source.path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    assert!(opened.is_err(), "SQLite can open it: nothing is tested");
    copy_within(source.clone(), Duration::from_secs(20)).unwrap();
    // The file is so young that somebody may be writing to it at this very moment, and there is no
    // time to find out.
    let file = fs::OpenOptions::new().append(true).open(&source.path);
    let file = file.unwrap();
    let later = SystemTime::now() + Duration::from_hours(1);
    file.set_modified(later).unwrap();
    let error = copy_within(source.clone(), Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::Changing { .. }), "{error}");
    // With more time, the copy sees that the file holds still.
    copy_within(source, Duration::from_secs(20)).unwrap();
}
