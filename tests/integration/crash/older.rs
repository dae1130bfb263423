//! A power cut takes the catalog's newest transactions, or the state folder comes from a backup:
//! the catalog is older than the destination.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seawall_backends::{
    Backend, Entry, Fault, FaultPlan, FaultyBackend, Key, MemoryBackend, Result,
};

use super::sweep::{backed_up, joined, older_example};
use super::{Stage, Truth, assert_kept};
use crate::support::{Source, rounds};

/// Keeps a copy of the catalog as it is before each operation.
struct Copying {
    inner: FaultyBackend<MemoryBackend>,
    catalog: PathBuf,
    copies: PathBuf,
    count: AtomicU64,
}

impl fmt::Debug for Copying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Copying")
    }
}

impl Copying {
    fn copy(&self) -> &FaultyBackend<MemoryBackend> {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        if self.catalog.exists() {
            // What is committed, as one moment.
            let database = rusqlite::Connection::open(&self.catalog).unwrap();
            database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
            let copy = self.copies.join(number.to_string());
            database.execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
        }
        &self.inner
    }
}

impl Backend for Copying {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        self.copy().put_new(key, body)
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        self.copy().get(key, range)
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        self.copy().stat(key)
    }

    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        self.copy().list(prefix)
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.copy().delete(key)
    }
}

/// A run that dies at an operation, or does not; gives how many there were.
fn run_and_copy(stage: &Stage, source: &Source, plan: FaultPlan, copies: &Path) -> u64 {
    let backend = Arc::new(Copying {
        inner: FaultyBackend::new(stage.memory.clone(), plan),
        catalog: stage.catalog(),
        copies: copies.to_owned(),
        count: AtomicU64::new(0),
    });
    // Whether it died is the plan's business.
    let _ = stage.backup(backend.clone(), source);
    backend.count.load(Ordering::SeqCst)
}

/// The catalog becomes what it was; `None`: it is gone.
fn roll_back(stage: &Stage, copy: &Path) {
    let catalog = stage.catalog();
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", catalog.display()));
    }
    if copy.exists() {
        fs::copy(copy, &catalog).unwrap();
    }
}

/// The next run with that catalog makes a marker that holds.
fn goes_on(stage: &Stage, copy: &Path, source: &Source, truth: &Truth, about: &str) {
    let place = stage.fork();
    roll_back(&place, copy);
    let before = place.bytes();
    let report = place.backup_well(source);
    assert_kept(&before, &place, about);
    truth.assert_held(&place, &report, about);
    place.assert_good(about);
}

fn sweep(name: &str, stage: &Stage, source: &Source) {
    let folder = tempfile::tempdir().unwrap();
    let all = folder.path().join("all");
    fs::create_dir(&all).unwrap();
    let whole = stage.fork();
    let count = run_and_copy(&whole, source, FaultPlan::new(), &all);
    let truth = {
        let clean = stage.fork();
        let report = clean.backup_well(source);
        Truth::of(&clean, &report)
    };
    // In the long version every pair of a step of the catalog and a death; else every third death.
    let stride = rounds(3, 1).min(3);
    let mut points = 0;
    // The run ended well, and the catalog knows nothing of its end.
    for number in 0..count {
        let about = format!("{name}: a catalog of operation {number}, a run that ended well");
        goes_on(&whole, &all.join(number.to_string()), source, &truth, &about);
        points += 1;
    }
    // The run died, and the catalog is older still.
    for died in (1..count).step_by(stride) {
        let copies = folder.path().join(format!("died-{died}"));
        fs::create_dir(&copies).unwrap();
        let place = stage.fork();
        run_and_copy(&place, source, FaultPlan::new().at(died, Fault::DieAfter), &copies);
        for number in [died / 2, died - 1, died] {
            let about = format!("{name}: a catalog of operation {number}, death at {died}");
            goes_on(&place, &copies.join(number.to_string()), source, &truth, &about);
            points += 1;
        }
    }
    eprintln!("{name}: {count} operations, {points} older catalogs");
}

#[test]
fn of_a_first_backup() {
    sweep("first backup", &joined(), &Source::example());
}

#[test]
fn of_a_backup_of_what_changed() {
    sweep("backup of changes", &backed_up(&older_example()), &Source::example());
}
