//! The catalog: a local SQLite file that remembers what is stored and what is closed. It belongs to
//! one chain of one repository, and can always be rebuilt from the lists that the base names.
//!
//! *Stored*: the put of the object's pack returned Ok, and the pack holds the verified bytes.
//! *Closed*: the object and all that it points to are stored and verified. During a run no object
//! is set to closed. Instead each object carries the number of the run that last visited it, and
//! counts as closed once that run has its marker, unless the run could not close the object's store
//! ([`Catalog::mark`]). So closing a library costs one row, and a run that dies closes nothing.
//!
//! An object is stored a second time by a compaction, or because its commit was mended. Its row
//! keeps pointing to the old pack until the new pack is stored; the new row waits in `replacement`.
//! `pack_link` says which pack holds the targets of another pack's links. It describes the stored
//! files, so it stays even if an object's row has moved to another pack.

mod compaction;
mod examine;
mod forget;
mod lookups;
mod objects;
mod packs;
mod segments;
#[cfg(test)]
mod tests;

pub use compaction::{Moving, Usage};
pub use examine::{CatalogCondition, examine};
use lookups::Lookups;
pub use objects::{CatalogEntry, Mark};
pub use packs::{NewPack, PackRecord};
pub use segments::SegmentRecord;

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Error, Result, share};
use crate::object::{Sha256, Store};
use crate::repository::RepositoryId;
use crate::repository::names::SnapshotId;
use crate::repository::readers::Audience;
use crate::time::Timestamp;

/// Raised with every change of the tables. A catalog of another version is replaced by an empty
/// one.
const VERSION: i64 = 3;

/// The cache of the connection that writes.
const CACHE_KIB: i64 = 32 * 1024;

/// The name in `meta` of the alarms, a JSON array.
const ALARMS: &str = "alarms";
/// The name in `meta` of the [`Audience`], in JSON.
const READERS: &str = "readers";
/// The name in `meta` of a flag that is set while a base's lists are taken in.
const ADOPTING: &str = "adopting";

const SCHEMA: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run (number INTEGER PRIMARY KEY, completed INTEGER NOT NULL);
CREATE TABLE unclean (run INTEGER NOT NULL, store INTEGER NOT NULL, PRIMARY KEY (run, store)) WITHOUT ROWID;
CREATE TABLE store (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, since INTEGER NOT NULL DEFAULT 0,
    commits INTEGER NOT NULL DEFAULT 0, fs INTEGER NOT NULL DEFAULT 0,
    blocks INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0);
CREATE TABLE pack (
    number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL, size INTEGER NOT NULL,
    stored INTEGER NOT NULL, suspect INTEGER NOT NULL DEFAULT 0, segment INTEGER, frames BLOB NOT NULL, contents BLOB);
CREATE TABLE segment (
    number INTEGER PRIMARY KEY, name BLOB NOT NULL, size INTEGER NOT NULL, tier INTEGER NOT NULL,
    list BLOB NOT NULL, list_size INTEGER NOT NULL, dirty INTEGER NOT NULL DEFAULT 0);
CREATE TABLE salvaged (
    id BLOB NOT NULL, kind INTEGER NOT NULL, store INTEGER NOT NULL, sha256 BLOB NOT NULL, pack INTEGER NOT NULL,
    PRIMARY KEY (id, kind, store)) WITHOUT ROWID;
CREATE TABLE object (
    id BLOB NOT NULL, kind INTEGER NOT NULL, store INTEGER NOT NULL, pack INTEGER NOT NULL,
    frame INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL, sha256 BLOB,
    link INTEGER, run INTEGER NOT NULL, mark INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (id, kind, store)) WITHOUT ROWID;
CREATE TABLE replacement (
    id BLOB NOT NULL, kind INTEGER NOT NULL, store INTEGER NOT NULL, pack INTEGER NOT NULL,
    frame INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL, sha256 BLOB,
    link INTEGER, run INTEGER NOT NULL, mark INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (pack, id, kind, store)) WITHOUT ROWID;
CREATE TABLE pack_link (pack INTEGER NOT NULL, target INTEGER NOT NULL, PRIMARY KEY (pack, target)) WITHOUT ROWID;
";

/// The newest marker of the chain, as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// SHA-256 of its marker.
    pub sha256: Sha256,
    /// Its sequence number in the chain.
    pub sequence: u64,
}

/// The open catalog of one repository: one connection that writes, and several for look-ups.
#[derive(Debug)]
pub struct Catalog {
    path: PathBuf,
    inner: Mutex<Inner>,
    lookups: Lookups,
    facts: SharedFacts,
}

/// The connection that writes.
#[derive(Debug)]
struct Inner {
    connection: Connection,
    /// The number of the current run; 0 before [`Catalog::begin_run`].
    run: i64,
    facts: SharedFacts,
}

/// Small tables that every look-up needs, held in memory.
#[derive(Debug, Default)]
struct Facts {
    stores: HashMap<Store, i64>,
    names: HashMap<i64, Store>,
    /// Runs whose marker was written.
    completed: HashSet<i64>,
    /// By store, the first run whose marks count. Marks of earlier runs are void.
    since: HashMap<i64, i64>,
    /// Pairs (run, store) for which a visit alone does not close an object.
    unclean: HashSet<(i64, i64)>,
    /// Packs that count as not stored, and so do the objects in them.
    pending: HashSet<i64>,
}

/// The shared [`Facts`]. Only the holder of the writing connection changes them.
#[derive(Debug, Clone, Default)]
struct SharedFacts(Arc<RwLock<Facts>>);

impl SharedFacts {
    fn get(&self) -> RwLockReadGuard<'_, Facts> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Facts> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Catalog {
    /// Opens the catalog of a repository. A file of another version or of another repository is
    /// replaced by an empty catalog, and so is one whose adoption of a base did not end.
    pub fn open(path: &Path, repository: &RepositoryId) -> Result<Self> {
        let failed = |source| share::catalog_error(path, source);
        let connection = open_connection(path, CACHE_KIB).map_err(failed)?;
        let version: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        let of: Option<String> = if version == VERSION {
            get_meta(&connection, "repository").map_err(failed)?
        } else {
            None
        };
        if of.as_deref() != Some(repository.as_str()) {
            reset(&connection, repository, None).map_err(failed)?;
        } else if get_meta(&connection, ADOPTING).map_err(failed)?.is_some() {
            let alarms = get_meta(&connection, ALARMS).map_err(failed)?;
            reset(&connection, repository, alarms.as_deref()).map_err(failed)?;
        }
        let inner = Inner::load(connection).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            facts: inner.facts.clone(),
            inner: Mutex::new(inner),
            lookups: Lookups::new(path),
        })
    }

    /// Forgets everything but the alarms that were not reported yet.
    pub fn clear(&self, repository: &RepositoryId) -> Result<()> {
        self.with(|inner| {
            let alarms = get_meta(&inner.connection, ALARMS)?;
            reset(&inner.connection, repository, alarms.as_deref())?;
            inner.reload()
        })
    }

    /// Alarms of runs that died before they could report them.
    pub fn alarms(&self) -> Result<Vec<String>> {
        let json = self.with(|inner| get_meta(&inner.connection, ALARMS))?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
    }

    /// Remembers alarms until a run has its marker. Call this before the catalog forgets what
    /// caused them: the next run could not notice it again.
    pub fn set_alarms(&self, alarms: &[String]) -> Result<()> {
        let json = serde_json::json!(alarms).to_string();
        self.with(|inner| set_meta(&inner.connection, ALARMS, &json))
    }

    /// Who can open what is stored, as the last run recorded it when it began.
    pub fn readers(&self) -> Result<Option<Audience>> {
        let json = self.with(|inner| get_meta(&inner.connection, READERS))?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// Records who can open what is stored. Call this before a run stores anything.
    pub fn set_readers(&self, readers: &Audience) -> Result<()> {
        let json = serde_json::json!(readers).to_string();
        self.with(|inner| set_meta(&inner.connection, READERS, &json))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> rusqlite::Result<T>) -> Result<T> {
        let mut inner = self.lock();
        let worked = work(&mut inner)
            .and_then(|value| self.lookups.wrote(&inner.connection).map(|()| value));
        worked.map_err(|source| self.failed(source))
    }

    /// Runs a look-up on a connection that only reads. A run makes millions of them.
    fn read<T>(&self, work: impl FnOnce(&Connection, &Facts) -> rusqlite::Result<T>) -> Result<T> {
        let read = |connection: &Connection| work(connection, &self.facts.get());
        self.lookups.read(read).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> Error {
        share::catalog_error(&self.path, source)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked with the lock held left at most an open transaction, which was
        // rolled back.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run. What it visits counts as closed only after [`Self::finish_run`].
    pub fn begin_run(&self) -> Result<()> {
        self.with(|inner| {
            inner.connection.execute("INSERT INTO run (completed) VALUES (0)", [])?;
            inner.run = inner.connection.last_insert_rowid();
            Ok(())
        })
    }

    /// Ends a run whose marker is stored, in one transaction: what it visited is closed, its
    /// snapshot is the new base, and alarms are forgotten.
    pub fn finish_run(&self, base: &Base, segments: &[SegmentRecord]) -> Result<()> {
        self.with(|inner| {
            let transaction = inner.connection.transaction()?;
            transaction.execute("UPDATE run SET completed = 1 WHERE number = ?", [inner.run])?;
            segments::replace_segments(&transaction, segments)?;
            set_base(&transaction, base)?;
            transaction.execute("DELETE FROM meta WHERE name = ?", [ALARMS])?;
            transaction.commit()?;
            inner.facts.change().completed.insert(inner.run);
            Ok(())
        })
    }

    /// The base that the catalog knows.
    pub fn base(&self) -> Result<Option<Base>> {
        self.with(|inner| {
            let get = |name| get_meta(&inner.connection, name);
            let (snapshot, sha256, sequence) =
                (get("base")?, get("base-sha256")?, get("base-sequence")?);
            let parse = || {
                Some(Base {
                    snapshot: snapshot?.parse().ok()?,
                    sha256: sha256?.parse().ok()?,
                    sequence: sequence?.parse().ok()?,
                })
            };
            Ok(parse())
        })
    }

    /// When a run that finished last compared the packs at the destination with the catalog.
    pub fn listed(&self) -> Result<Option<Timestamp>> {
        self.with(|inner| {
            Ok(get_meta(&inner.connection, "listed")?.and_then(|text| text.parse().ok()))
        })
    }

    /// Remembers when the packs were compared. `None` makes the next run compare them.
    pub fn set_listed(&self, listed: Option<Timestamp>) -> Result<()> {
        self.with(|inner| match listed {
            Some(time) => set_meta(&inner.connection, "listed", &time.to_string()),
            None => {
                inner.connection.execute("DELETE FROM meta WHERE name = 'listed'", []).map(drop)
            }
        })
    }
}

impl Inner {
    fn load(connection: Connection) -> rusqlite::Result<Self> {
        let inner = Self { connection, run: 0, facts: SharedFacts::default() };
        inner.reload()?;
        Ok(inner)
    }

    fn reload(&self) -> rusqlite::Result<()> {
        *self.facts.change() = Facts::load(&self.connection)?;
        Ok(())
    }

    /// The number of a store. Makes one for a new store.
    fn store_number(&self, store: Store) -> rusqlite::Result<i64> {
        if let Some(number) = self.facts.get().stores.get(&store) {
            return Ok(*number);
        }
        self.connection.execute("INSERT INTO store (name) VALUES (?)", [store.to_string()])?;
        let number = self.connection.last_insert_rowid();
        self.facts.change().add_store(store, number, 0);
        Ok(number)
    }
}

impl Facts {
    fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut facts = Self::default();
        let mut statement = connection.prepare("SELECT number, name, since FROM store")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Ok(store) = row.get::<_, String>(1)?.parse() {
                facts.add_store(store, row.get(0)?, row.get(2)?);
            }
        }
        let numbers = |sql| {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        facts.completed = numbers("SELECT number FROM run WHERE completed = 1")?;
        facts.pending = numbers("SELECT number FROM pack WHERE stored = 0")?;
        let mut statement = connection.prepare("SELECT run, store FROM unclean")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        facts.unclean = rows.collect::<rusqlite::Result<_>>()?;
        Ok(facts)
    }

    fn add_store(&mut self, store: Store, number: i64, since: i64) {
        self.stores.insert(store, number);
        self.names.insert(number, store);
        self.since.insert(number, since);
    }
}

fn open_connection(path: &Path, cache_kib: i64) -> rusqlite::Result<Connection> {
    // Only the owner may read the file, whatever the folder's mode is; SQLite gives its log the
    // same mode. Errors are ignored here, because SQLite reports them.
    let mut private = std::fs::OpenOptions::new();
    let _ = private.append(true).create(true).mode(0o600).open(path);
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Without this, SQLite as it is built here (STAT4) plans a statement again whenever other
    // values are bound to it. That doubled the time of a first backup.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn reset(
    connection: &Connection,
    repository: &RepositoryId,
    alarms: Option<&str>,
) -> rusqlite::Result<()> {
    let tables = [
        "meta",
        "run",
        "unclean",
        "store",
        "pack",
        "segment",
        "object",
        "salvaged",
        "replacement",
        "pack_link",
    ];
    let drops: String = tables.map(|table| format!("DROP TABLE IF EXISTS {table};")).concat();
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;{drops}{SCHEMA}PRAGMA user_version = {VERSION};"
    ))?;
    set_meta(connection, "repository", repository.as_str())?;
    if let Some(alarms) = alarms {
        set_meta(connection, ALARMS, alarms)?;
    }
    connection.execute_batch("COMMIT")
}

fn get_meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .query_row("SELECT value FROM meta WHERE name = ?", [name], |row| row.get(0))
        .optional()
}

fn set_meta(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", params![name, value])
        .map(drop)
}

fn set_base(connection: &Connection, base: &Base) -> rusqlite::Result<()> {
    set_meta(connection, "base", &base.snapshot.to_string())?;
    set_meta(connection, "base-sha256", &base.sha256.to_string())?;
    set_meta(connection, "base-sequence", &base.sequence.to_string())
}
