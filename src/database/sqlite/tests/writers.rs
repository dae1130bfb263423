//! Copies beside processes that write, in every mode of journals, and that are killed while they write.

#![expect(
    clippy::disallowed_methods,
    reason = "tests lay out files that need not last"
)]

use std::sync::PoisonError;

use rusqlite::ErrorCode;

use super::super::Setback;
use super::super::draft::Draft;
use super::super::live::LiveDatabase;
use super::super::still::StillCopy;
use super::super::together::ALONE;
use super::*;

/// How long a writer works in one test.
const WORK: Duration = Duration::from_secs(3);

/// A database of many pages, in which every transaction changes each of them: a copy that mixes two moments shows it.
fn lay_out_pages(place: &Place) -> SqliteSource {
    let db = Connection::open(place.path("a.db")).unwrap();
    db.execute_batch(
        "PRAGMA synchronous = OFF; CREATE TABLE page (id INTEGER PRIMARY KEY, n INTEGER, filler BLOB);
         CREATE TABLE total (n INTEGER); INSERT INTO total VALUES (0);
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 300)
         INSERT INTO page SELECT i, 0, zeroblob(3000) FROM c",
    )
    .unwrap();
    place.source("a.db")
}

/// The number that the last transaction wrote to each page and to another table.
fn whole(file: &Path) -> i64 {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT (SELECT min(n) FROM page), (SELECT max(n) FROM page), (SELECT n FROM total)";
    let found = db
        .query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
        .unwrap();
    let [least, most, total]: [i64; 3] = found;
    assert_eq!((least, most), (total, total), "a mixture of moments");
    total
}

/// How long a writer pauses after a transaction.
#[derive(Clone, Copy)]
enum Pauses {
    /// Now a moment, now longer, so that most copies need no lock.
    Some,
    /// A millisecond: most copies need one.
    Hardly,
}

/// Begins a process that writes to `a.db`, prepared by this SQL.
fn begin_writer(place: &Place, prepare: &str, pauses: Pauses) -> Child {
    fs::write(place.path("prepare"), prepare).unwrap();
    if matches!(pauses, Pauses::Some) {
        fs::write(place.path("pauses"), "").unwrap();
    }
    child("writers::child_writer", place.folder.path(), false)
}

#[test]
#[ignore = "run by tests with a writer"]
fn child_writer() {
    let folder = child_folder();
    let db = Connection::open(folder.join("a.db")).unwrap();
    db.execute_batch(&fs::read_to_string(folder.join("prepare")).unwrap())
        .unwrap();
    db.busy_timeout(Duration::ZERO).unwrap();
    let has_pauses = folder.join("pauses").exists();
    let end = Instant::now() + WORK;
    let mut done: u64 = 0;
    while Instant::now() < end {
        let write = || {
            db.execute_batch("BEGIN")?;
            db.execute_batch("UPDATE page SET n = n + 1; UPDATE total SET n = n + 1; COMMIT")
        };
        if let Err(error) = write() {
            assert_eq!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy),
                "{error}"
            );
            // Where SQLite has not done so itself.
            let _ = db.execute_batch("ROLLBACK");
        }
        done += 1;
        let is_short = !has_pauses || done % 40 < 20;
        let pause = if is_short { 1 } else { done % 7 * 10 };
        thread::sleep(Duration::from_millis(pause));
    }
    assert!(
        whole(&folder.join("a.db")) > 10,
        "hardly anything was written"
    );
}

/// Copies as long as a writer works. Returns how many copies took no lock, and how many did.
fn copy_beside_a_writer(prepare: &str, pauses: Pauses) -> (u32, u32) {
    let place = Place::new();
    let source = lay_out_pages(&place);
    let mut writer = begin_writer(&place, prepare, pauses);
    let (mut last, mut unlocked, mut locked) = (0, 0, 0);
    while writer.try_wait().unwrap().is_none() {
        let copies = copy_all(std::slice::from_ref(&source), place.spool.path()).unwrap();
        assert_clean(&copies[0]);
        let now = whole(&copies[0].file);
        assert!(now >= last, "a commit was lost: {prepare}");
        last = now;
        if copies[0].locked_for == Duration::ZERO {
            unlocked += 1;
        } else {
            locked += 1;
        }
    }
    assert!(writer.wait().unwrap().success(), "{prepare}");
    println!("{prepare}: {unlocked} copies without a lock, {locked} with one");
    assert!(unlocked + locked > 0, "{prepare}: nothing was copied");
    (unlocked, locked)
}

#[test]
fn no_copy_mixes_two_moments_in_any_mode_of_journals() {
    let small_cache = "PRAGMA synchronous = OFF; PRAGMA cache_size = 10";
    let mut unlocked = 0;
    for mode in ["DELETE", "TRUNCATE", "PERSIST", "MEMORY"] {
        let prepare = format!("{small_cache}; PRAGMA journal_mode = {mode}");
        unlocked += copy_beside_a_writer(&prepare, Pauses::Some).0;
    }
    // Without a journal nobody rolls back what did not fit into the cache.
    let without = "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF";
    unlocked += copy_beside_a_writer(without, Pauses::Some).0;
    assert!(unlocked > 0, "each copy took a lock");
}

/// Copies as the last rounds do where nothing else has helped: under a lock.
fn copy_under_a_lock(source: &SqliteSource, spool: &Path) -> SqliteCopy {
    let database = LiveDatabase::find(&source.path).unwrap();
    let draft = Draft::create(database.path(), spool).unwrap();
    let mut still = StillCopy::new(&database, &draft);
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        still.prove(Instant::now()).unwrap();
        let filled = database
            .lock(0, deadline)
            .and_then(|lock| still.finish_locked(0, lock));
        match filled {
            Ok(filled) => return draft.finish(source, filled).unwrap(),
            Err(Setback::Failed(error)) => panic!("{error}"),
            // What SQLite takes for a journal left by a crash was that of a transaction that ended.
            Err(Setback::Wait { reason, .. }) => {
                assert!(Instant::now() < deadline, "never copied: {reason:?}");
            }
        }
    }
}

#[test]
fn a_copy_that_is_finished_under_a_lock_mixes_no_moments() {
    let place = Place::new();
    let source = lay_out_pages(&place);
    let mut writer = begin_writer(&place, "PRAGMA synchronous = OFF", Pauses::Hardly);
    let (mut last, mut copies) = (0, 0);
    while writer.try_wait().unwrap().is_none() {
        let copy = copy_under_a_lock(&source, place.spool.path());
        assert_clean(&copy);
        assert!(copy.locked_for > Duration::ZERO);
        let now = whole(&copy.file);
        assert!(now >= last, "a commit was lost");
        (last, copies) = (now, copies + 1);
    }
    assert!(writer.wait().unwrap().success());
    assert!(copies > 0 && last > 0, "nothing was tested");
    // And through the front door.
    let (unlocked, locked) = copy_beside_a_writer("PRAGMA synchronous = OFF", Pauses::Hardly);
    println!("{copies} copies under a lock; {unlocked} without, {locked} with one");
}

#[test]
fn a_writer_that_is_killed_leaves_a_database_that_can_be_copied() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST"] {
        let mut recovered = 0;
        for round in 0..15 {
            let place = Place::new();
            lay_out_pages(&place);
            let small_cache = "PRAGMA synchronous = OFF; PRAGMA cache_size = 10";
            let prepare = format!("{small_cache}; PRAGMA journal_mode = {mode}");
            let mut writer = begin_writer(&place, &prepare, Pauses::Some);
            let begun = Instant::now();
            while !place.path("a.db-journal").exists() {
                assert!(
                    begun.elapsed() < Duration::from_mins(1),
                    "the writer does not write"
                );
                thread::yield_now();
            }
            // A little later each time, so that it dies in different moments of a transaction.
            thread::sleep(Duration::from_micros(round * 700));
            writer.kill().unwrap();
            writer.wait().unwrap();
            let copy = place.copy("a.db").unwrap();
            assert_clean(&copy);
            whole(&copy.file);
            recovered += u32::from(copy.recovered_journal);
        }
        assert!(recovered > 0, "{mode}: never killed within a transaction");
    }
}

#[test]
fn what_a_transaction_has_written_without_a_journal_beside_it_is_not_copied() {
    let place = Place::new();
    lay_out_pages(&place);
    let holder = Holder::begin(
        &place,
        "a.db",
        "PRAGMA journal_mode = MEMORY; PRAGMA cache_size = 10; BEGIN; UPDATE page SET n = n + 1",
    );
    assert!(!place.path("a.db-journal").exists());
    // Long enough for its times to say nothing any more.
    thread::sleep(Duration::from_millis(1_200));
    let error = place.copy("a.db").unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    holder.end();
    assert_eq!(whole(&place.copy("a.db").unwrap().file), 0);
}

/// What a server without busy timeout sees while we copy its databases again and again: the longest
/// time without a commit, and whether any commit is lost.
#[test]
fn a_server_without_busy_timeout_is_kept_out_for_moments_only() {
    let place = Place::new();
    copy_beside_a_server(&place, &lay_out(&place));
}

#[test]
fn a_server_with_a_write_ahead_log_is_not_disturbed() {
    let place = Place::new();
    let sources = lay_out(&place);
    wal(&Connection::open(&sources[0].path).unwrap());
    copy_beside_a_server(&place, &sources);
}

fn copy_beside_a_server(place: &Place, sources: &[SqliteSource]) {
    let db = Connection::open(&sources[0].path).unwrap();
    db.execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
    db.close().unwrap();
    // As large as those of the small installation.
    for (at, bytes) in [(0, 370_000), (sources.len() - 1, 1_300_000)] {
        let db = Connection::open(&sources[at].path).unwrap();
        db.execute(
            "CREATE TABLE filler AS SELECT zeroblob(?1) AS content",
            [bytes],
        )
        .unwrap();
    }
    let mut server = child("writers::child_server", place.folder.path(), false);
    let (mut longest, mut seen, mut runs) = (Duration::ZERO, 0, 0);
    while server.try_wait().unwrap().is_none() {
        let copies = copy_all(sources, place.spool.path()).unwrap();
        assert_clean(&copies[0]);
        let now = count(&copies[0].file);
        assert!(now >= seen, "a commit was lost");
        seen = now;
        runs += 1;
        longest = copies
            .iter()
            .map(|copy| copy.locked_for)
            .max()
            .unwrap()
            .max(longest);
        // A real backup does not come again at once.
        thread::sleep(Duration::from_millis(30));
    }
    assert!(server.wait().unwrap().success());
    assert!(
        runs > 0 && seen > 100,
        "{runs} copies, {seen} commits: nothing was tested"
    );
    println!("{runs} copies, longest lock {longest:?}");
}

#[test]
#[ignore = "run by the two tests with a server"]
fn child_server() {
    let db = Connection::open(child_folder().join("seafile.db")).unwrap();
    db.busy_timeout(Duration::ZERO).unwrap();
    // Else a slow disk would be measured, each time the server writes its journal to try again.
    db.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let (mut longest, mut refused, mut done) = (Duration::ZERO, 0, 0);
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        let begin = Instant::now();
        let refused_before = refused;
        while let Err(error) = db.execute("INSERT INTO t VALUES (?1)", [done]) {
            assert_eq!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy),
                "{error}"
            );
            refused += 1;
            thread::sleep(Duration::from_micros(200));
        }
        if refused > refused_before {
            longest = longest.max(begin.elapsed());
        }
        done += 1;
        thread::sleep(Duration::from_millis(3).saturating_sub(begin.elapsed()));
    }
    let stored: i64 = db
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap();
    println!("{done} commits, refused {refused} times, longest {longest:?}");
    assert_eq!(stored, done);
    assert!(longest < Duration::from_millis(200), "{longest:?}");
}
