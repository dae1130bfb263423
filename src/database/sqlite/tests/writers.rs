//! Copies databases while other processes write to them, in every journal mode, and after such
//! processes were killed.

#![expect(clippy::disallowed_methods, reason = "tests lay out files that need not last")]

use std::sync::PoisonError;

use rusqlite::ErrorCode;

use super::super::CopySetback;
use super::super::draft::Draft;
use super::super::live::LiveDatabase;
use super::super::still::FilewiseCopy;
use super::super::together::ALONE;
use super::*;

/// Each writer works for at least so long. On a busy machine it goes on until the test has seen
/// enough.
const WORK: Duration = Duration::from_secs(3);
/// No writer lives longer, even if nobody tells it to end.
const LIFE: Duration = Duration::from_mins(2);

/// A database of many pages. Every transaction changes each page, so a copy that mixes two moments
/// shows it.
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
    let found = db.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap();
    let [least, most, total]: [i64; 3] = found;
    assert_eq!((least, most), (total, total), "a mixture of moments");
    total
}

/// How long a writer pauses after a transaction.
#[derive(Clone, Copy)]
enum Pauses {
    /// Sometimes a moment, sometimes longer, and longer from second to second. Sooner or later a
    /// copy needs no lock.
    Some,
    /// A millisecond. Most copies need a lock.
    Hardly,
}

/// A process that writes until it is told to end.
struct Writer {
    process: Killed,
    folder: PathBuf,
}

impl Writer {
    /// Starts a writer on `a.db` that runs the SQL `prepare` first.
    fn begin(place: &Place, prepare: &str, pauses: Pauses) -> Self {
        fs::write(place.path("prepare"), prepare).unwrap();
        if matches!(pauses, Pauses::Some) {
            fs::write(place.path("pauses"), "").unwrap();
        }
        Self::run(place, "writers::child_writer")
    }

    fn run(place: &Place, test: &str) -> Self {
        Self {
            process: Killed(child(test, place.folder.path(), false)),
            folder: place.folder.path().to_owned(),
        }
    }

    /// Repeats `work` while the writer runs, for [`WORK`] at least and until `work` returns true.
    fn beside(&mut self, what: &str, mut work: impl FnMut() -> bool) {
        let begun = Instant::now();
        wait::until(what, || {
            let ended = self.process.0.try_wait().unwrap();
            assert!(ended.is_none(), "the writer has ended: {ended:?}");
            work() && begun.elapsed() >= WORK
        });
    }

    fn end(mut self) {
        fs::write(self.folder.join("stop"), "").unwrap();
        assert!(wait::end_of(&mut self.process.0, "a writer").success());
    }
}

/// Whether a child process goes on writing.
fn goes_on(folder: &Path, begun: Instant) -> bool {
    !folder.join("stop").exists() && begun.elapsed() < LIFE
}

#[test]
#[ignore = "run by tests with a writer"]
fn child_writer() {
    let folder = child_folder();
    let db = Connection::open(folder.join("a.db")).unwrap();
    db.execute_batch(&fs::read_to_string(folder.join("prepare")).unwrap()).unwrap();
    db.busy_timeout(Duration::ZERO).unwrap();
    let has_pauses = folder.join("pauses").exists();
    let begun = Instant::now();
    let mut done: u64 = 0;
    while goes_on(&folder, begun) {
        let write = || {
            db.execute_batch("BEGIN")?;
            db.execute_batch("UPDATE page SET n = n + 1; UPDATE total SET n = n + 1; COMMIT")
        };
        if let Err(error) = write() {
            assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy), "{error}");
            // In case SQLite has not rolled back itself.
            let _ = db.execute_batch("ROLLBACK");
        }
        done += 1;
        let is_short = !has_pauses || done % 40 < 20;
        let longer = done % 7 * 10 * (1 + begun.elapsed().as_secs());
        thread::sleep(Duration::from_millis(if is_short { 1 } else { longer }));
    }
    whole(&folder.join("a.db"));
}

/// What was copied beside a writer.
#[derive(Debug, Default)]
struct Copies {
    without_lock: u32,
    with_lock: u32,
    /// Copies that show a later moment than the copy before.
    moments: u32,
    last: i64,
}

impl Copies {
    fn add(&mut self, copy: &SqliteCopy) {
        assert_clean(copy);
        let now = whole(&copy.file);
        assert!(now >= self.last, "a commit was lost: {self:?}, {now}");
        self.moments += u32::from(now > self.last);
        self.last = now;
        if copy.locked_for == Duration::ZERO {
            self.without_lock += 1;
        } else {
            self.with_lock += 1;
        }
    }
}

/// Copies while a writer works, until `are_enough` returns true.
fn copy_beside_a_writer(prepare: &str, pauses: Pauses, are_enough: fn(&Copies) -> bool) {
    let place = Place::new();
    let source = lay_out_pages(&place);
    let mut writer = Writer::begin(&place, prepare, pauses);
    let mut copies = Copies::default();
    writer.beside(&format!("enough was copied with {prepare}"), || {
        copies.add(&copy_all(std::slice::from_ref(&source), place.spool.path()).unwrap()[0]);
        copies.moments > 1 && are_enough(&copies)
    });
    writer.end();
    println!("{prepare}: {copies:?}");
}

#[test]
fn no_copy_mixes_two_moments_in_any_mode_of_journals() {
    let small_cache = "PRAGMA synchronous = OFF; PRAGMA cache_size = 10";
    let needs_no_lock = |copies: &Copies| copies.without_lock > 0;
    for mode in ["DELETE", "TRUNCATE", "PERSIST", "MEMORY"] {
        let prepare = format!("{small_cache}; PRAGMA journal_mode = {mode}");
        copy_beside_a_writer(&prepare, Pauses::Some, needs_no_lock);
    }
    // Without a journal, changes that did not fit into the cache cannot be rolled back. So this
    // writer keeps its large cache.
    let without = "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF";
    copy_beside_a_writer(without, Pauses::Some, needs_no_lock);
}

/// Copies under a lock, as the last rounds do when nothing else has helped.
fn copy_under_a_lock(source: &SqliteSource, spool: &Path) -> SqliteCopy {
    let database = LiveDatabase::find(&source.path).unwrap();
    let draft = Draft::create(database.path(), spool).unwrap();
    let mut still = FilewiseCopy::new(&database, &draft);
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        still.prove(Instant::now()).unwrap();
        let filled = database.lock(0, deadline).and_then(|lock| still.finish_locked(0, lock));
        match filled {
            Ok(filled) => return draft.finish(source, filled).unwrap(),
            Err(CopySetback::Failed(error)) => panic!("{error}"),
            // SQLite took the journal of a transaction that was ending for a journal left by a
            // crash.
            Err(CopySetback::Wait { reason, .. }) => {
                assert!(Instant::now() < deadline, "never copied: {reason:?}");
            }
        }
    }
}

#[test]
fn a_copy_that_is_finished_under_a_lock_mixes_no_moments() {
    let place = Place::new();
    let source = lay_out_pages(&place);
    let mut writer = Writer::begin(&place, "PRAGMA synchronous = OFF", Pauses::Hardly);
    let mut copies = Copies::default();
    writer.beside("enough was copied under a lock", || {
        copies.add(&copy_under_a_lock(&source, place.spool.path()));
        assert_eq!(copies.without_lock, 0);
        copies.moments > 1
    });
    writer.end();
    // The same through the public function.
    copy_beside_a_writer("PRAGMA synchronous = OFF", Pauses::Hardly, |_| true);
}

#[test]
fn a_writer_that_is_killed_leaves_a_database_that_can_be_copied() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST"] {
        let (mut round, mut recovered) = (0, 0);
        wait::until(&format!("a writer died within a transaction, {mode}"), || {
            let place = Place::new();
            lay_out_pages(&place);
            let small_cache = "PRAGMA synchronous = OFF; PRAGMA cache_size = 10";
            let prepare = format!("{small_cache}; PRAGMA journal_mode = {mode}");
            let writer = Writer::begin(&place, &prepare, Pauses::Some);
            let begun = Instant::now();
            while !place.path("a.db-journal").exists() {
                assert!(begun.elapsed() < Duration::from_mins(1), "the writer does not write");
                thread::yield_now();
            }
            // A little later each time, so that it dies in different moments of a transaction.
            thread::sleep(Duration::from_micros(round % 15 * 700));
            drop(writer);
            let copy = place.copy("a.db").unwrap();
            assert_clean(&copy);
            whole(&copy.file);
            recovered += u32::from(copy.recovered_journal);
            round += 1;
            round >= 15 && recovered > 0
        });
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
    // After so long the file's times no longer say that it is young.
    thread::sleep(Duration::from_millis(1_200));
    let error = place.copy("a.db").unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    holder.end();
    assert_eq!(whole(&place.copy("a.db").unwrap().file), 0);
}

/// A server without busy timeout loses no commit, and is let in after each copy. The bench `sqlite`
/// measures how long a lock is held. On a busy machine that time says nothing.
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
    fs::write(place.path(NEVER_REFUSED), "").unwrap();
    copy_beside_a_server(&place, &sources);
}

/// This file tells the writer that none of its commits may be refused.
const NEVER_REFUSED: &str = "never-refused";
/// The writer counts its commits in this file.
const PROGRESS: &str = "progress";

fn copy_beside_a_server(place: &Place, sources: &[SqliteSource]) {
    let db = Connection::open(&sources[0].path).unwrap();
    db.execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
    db.close().unwrap();
    // As large as the databases of the small installation.
    for (at, bytes) in [(0, 370_000), (sources.len() - 1, 1_300_000)] {
        let db = Connection::open(&sources[at].path).unwrap();
        db.execute("CREATE TABLE filler AS SELECT zeroblob(?1) AS content", [bytes]).unwrap();
    }
    fs::write(place.path(PROGRESS), [0; 8]).unwrap();
    let mut server = Writer::run(place, "writers::child_server");
    let commits = || {
        let bytes = fs::read(place.path(PROGRESS)).unwrap();
        i64::from_le_bytes(bytes.try_into().unwrap())
    };
    let begun = Instant::now();
    let (mut locked, mut longest, mut seen, mut runs) = (Duration::ZERO, Duration::ZERO, 0, 0);
    server.beside("a server's databases were copied", || {
        let copies = copy_all(sources, place.spool.path()).unwrap();
        assert_clean(&copies[0]);
        let now = count(&copies[0].file);
        assert!(now >= seen, "a commit was lost");
        seen = now;
        runs += 1;
        for copy in &copies {
            locked += copy.locked_for;
            longest = longest.max(copy.locked_for);
        }
        let before = commits();
        wait::until("the server is let in after a copy", || commits() > before);
        runs > 2 && seen > 0
    });
    server.end();
    println!("{runs} copies, {seen} commits seen, locked for {locked:?}, {longest:?} at most");
    // Each lock comes after tries without one. They take longer than the lock, on a machine of any
    // speed.
    let all = begun.elapsed();
    assert!(locked < all / 2, "locked for {locked:?} of {all:?}");
}

#[test]
#[ignore = "run by the two tests with a server"]
fn child_server() {
    use std::os::unix::fs::FileExt as _;
    let folder = child_folder();
    let db = Connection::open(folder.join("seafile.db")).unwrap();
    db.busy_timeout(Duration::ZERO).unwrap();
    // Otherwise the test would measure a slow disk each time the server writes its journal to try
    // again.
    db.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let progress = fs::OpenOptions::new().write(true).open(folder.join(PROGRESS));
    let progress = progress.unwrap();
    let (mut refused, mut done) = (0, 0_i64);
    let started = Instant::now();
    while goes_on(&folder, started) {
        let begin = Instant::now();
        while let Err(error) = db.execute("INSERT INTO t VALUES (?1)", [done]) {
            assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy), "{error}");
            refused += 1;
            assert!(begin.elapsed() < LIFE, "the server is never let in");
            thread::sleep(Duration::from_micros(200));
        }
        done += 1;
        progress.write_all_at(&done.to_le_bytes(), 0).unwrap();
        thread::sleep(Duration::from_millis(3).saturating_sub(begin.elapsed()));
    }
    let stored: i64 = db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    println!("{done} commits, refused {refused} times");
    assert_eq!(stored, done);
    assert!(refused == 0 || !folder.join(NEVER_REFUSED).exists(), "{refused}");
}
