//! How long a server's writes are kept out of a SQLite database while it is copied, and how many commits fail because of
//! that: by seawall, and by SQLite's own backup in one step, which seawall used before. In one run:
//! `cargo bench --bench sqlite [-- --copies N --bytes N --rate N]`. Results and how to read them: docs/benchmarks.md.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a program that measures, and stops at what it does not expect"
)]

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use seawall::database::{SqliteSource, copy_all};

/// Databases of so many bytes.
const SIZES: [u64; 3] = [400_000, 20_000_000, 200_000_000];
/// Commits a second.
const RATES: [u64; 3] = [1, 20, 165];
/// How often each is copied.
const COPIES: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| -> Option<u64> {
        let at = arguments.iter().position(|word| word == name)?;
        Some(arguments[at + 1].parse().unwrap())
    };
    if let Some(at) = arguments.iter().position(|word| word == "--write") {
        return write(Path::new(&arguments[at + 1]), value("--rate").unwrap());
    }
    let copies = value("--copies").map_or(COPIES, |copies| usize::try_from(copies).unwrap());
    let sizes = value("--bytes").map_or(SIZES.to_vec(), |bytes| vec![bytes]);
    let rates = value("--rate").map_or(RATES.to_vec(), |rate| vec![rate]);
    println!(
        "{copies} copies each; the lock's shortest, median and longest time, copies that took one, failed commits"
    );
    for bytes in sizes {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seafile.db");
        fill(&file, bytes);
        for &rate in &rates {
            let what = format!("{:>6} kB, {rate:>3} commits a second", bytes / 1000);
            let before = measure(&file, rate, copies, || copy_in_one_step(&file, folder.path()));
            println!("{what}: before  {before}");
            let source = SqliteSource { role: "seafile".into(), path: file.clone() };
            let after = measure(&file, rate, copies, || {
                copy_all(std::slice::from_ref(&source), folder.path()).unwrap()[0].locked_for
            });
            println!("{what}: seawall {after}");
        }
    }
}

/// A database of about so many bytes, with a table as small and as often changed as the server's.
fn fill(file: &Path, bytes: u64) {
    let db = Connection::open(file).unwrap();
    db.execute_batch(
        "PRAGMA synchronous = OFF; CREATE TABLE filler (n INTEGER PRIMARY KEY, text BLOB);
         CREATE TABLE RepoSize (repo_id INTEGER PRIMARY KEY, size INTEGER);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000)
         INSERT INTO RepoSize SELECT n, 0 FROM c",
    )
    .unwrap();
    let sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1)
               INSERT INTO filler SELECT n, randomblob(480) FROM c";
    db.execute(sql, [i64::try_from(bytes / 500).unwrap()]).unwrap();
}

/// Copies beside a process that writes.
fn measure(file: &Path, rate: u64, copies: usize, mut copy: impl FnMut() -> Duration) -> String {
    let writer = begin_writer(file, rate);
    let mut held: Vec<Duration> = (0..copies).map(|_| copy()).collect();
    let (done, failed) = end_writer(writer);
    held.sort_unstable();
    let locked = held.iter().filter(|held| !held.is_zero()).count();
    let ms = |held: Duration| held.as_secs_f64() * 1e3;
    format!(
        "{:>7.2} ms {:>7.2} ms {:>7.2} ms, {locked:>3}, {failed} of {done}",
        ms(held[0]),
        ms(held[copies / 2]),
        ms(held[copies - 1])
    )
}

fn begin_writer(file: &Path, rate: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--write").arg(file).args(["--rate", &rate.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn end_writer(mut writer: Child) -> (u64, u64) {
    drop(writer.stdin.take());
    let output = writer.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Writes as Seafile's server does, without a busy timeout, until stdin ends; a commit that fails is tried once more by
/// the next one.
fn write(file: &Path, rate: u64) {
    let db = Connection::open(file).unwrap();
    db.busy_timeout(Duration::ZERO).unwrap();
    let (ended, end) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        drop(ended);
    });
    let pause = Duration::from_secs(1) / u32::try_from(rate).unwrap();
    let (mut done, mut failed) = (0_u64, 0_u64);
    let mut next = Instant::now();
    loop {
        next += pause;
        let left = next.saturating_duration_since(Instant::now());
        if end.recv_timeout(left) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected) {
            break;
        }
        done += 1;
        let changed = db.execute(
            "UPDATE RepoSize SET size = size + 1 WHERE repo_id = ?1",
            [i64::try_from(1 + done * 7919 % 1000).unwrap()],
        );
        failed += u64::from(changed.is_err());
    }
    println!("{done} {failed}");
}

/// What seawall did before: a lock for reading for as long as SQLite copies.
fn copy_in_one_step(file: &Path, folder: &Path) -> Duration {
    let to = tempfile::NamedTempFile::new_in(folder).unwrap();
    let mut target = Connection::open(to.path()).unwrap();
    target.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF").unwrap();
    let source = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    source.busy_timeout(Duration::from_mins(1)).unwrap();
    source.execute_batch("BEGIN").unwrap();
    source.query_row("PRAGMA schema_version", [], |_| Ok(())).unwrap();
    let begun = Instant::now();
    let backup = Backup::new(&source, &mut target).unwrap();
    backup.step(-1).unwrap();
    drop(backup);
    drop(source);
    begun.elapsed()
}
