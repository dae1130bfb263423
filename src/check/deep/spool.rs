//! The memory of a deep check, in a temporary SQLite file.
//!
//! It holds the index as the lists have it, every object that was found in a pack, and the bytes of
//! commits and fs objects, for the walk. So main memory does not grow with what is stored, and each
//! pack is fetched once.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::object::{Kind, LibraryId, Object, ObjectId, Sha256, Store};
use crate::repository::manifest::Manifest;
use crate::repository::names::SnapshotId;
use crate::repository::segment::Line;
use crate::repository::{Error, Result};

const SCHEMA: &str = "
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA cache_size = -65536;
    CREATE TABLE packs (number INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE, line BLOB NOT NULL);
    CREATE TABLE lists (name BLOB PRIMARY KEY, packs BLOB NOT NULL);
    CREATE TABLE manifests (snapshot TEXT PRIMARY KEY, bytes BLOB NOT NULL);
    CREATE TABLE contents (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
    CREATE TABLE members (
        id BLOB NOT NULL, kind INTEGER NOT NULL, store BLOB NOT NULL, pack INTEGER NOT NULL,
        ordinal INTEGER NOT NULL, length INTEGER NOT NULL, target BLOB, content INTEGER,
        PRIMARY KEY (id, kind, store, pack)) WITHOUT ROWID;
    CREATE TABLE links (
        pack INTEGER NOT NULL, ordinal INTEGER NOT NULL,
        id BLOB NOT NULL, kind INTEGER NOT NULL, store BLOB NOT NULL, target BLOB NOT NULL,
        PRIMARY KEY (pack, ordinal)) WITHOUT ROWID;
    BEGIN;
";

/// The temporary file. The caller of the check owns its folder.
#[derive(Debug)]
pub(in crate::check) struct Spool {
    connection: Mutex<Connection>,
    folder: PathBuf,
}

/// The number of a pack in the spool: one for each distinct line of the index.
pub(super) type PackNumber = u32;

/// Where an object was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpooledPlace {
    pub pack: PackNumber,
    /// Its position among the pack's members.
    pub ordinal: u32,
    pub what: SpooledContent,
}

/// What was found there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpooledContent {
    /// Bytes that match the name. `content` is the number of the stored bytes, for commits and fs
    /// objects.
    Bytes { len: u64, content: Option<i64> },
    /// A link to the object of equal kind and id in another store.
    Link(Store),
}

/// A link among a pack's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub ordinal: u32,
    pub object: Object,
    pub target: Store,
}

impl Spool {
    /// Creates an empty spool in a private folder.
    pub(in crate::check) fn create(folder: &Path) -> Result<Self> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(folder.join("check.db"))?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        let connection = open().map_err(failed(folder))?;
        Ok(Self { connection: Mutex::new(connection), folder: folder.to_owned() })
    }

    /// The folder, in which other temporary files may be made too.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection).map_err(failed(&self.folder))
    }

    /// Stores a list and the lines of its segment. A pack that two lists describe differently
    /// counts as two packs: each description is compared with the bytes.
    pub(in crate::check) fn add_list(&self, list: &Sha256, lines: &[Line]) -> Result<()> {
        let mut numbers = Vec::with_capacity(4 * lines.len());
        for line in lines {
            let json = serde_json::to_vec(line).map_err(|error| failed(&self.folder)(error))?;
            numbers.extend(self.add_line(&json)?.to_le_bytes());
        }
        self.with(|connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO lists VALUES (?1, ?2)")?
                .execute(params![list.as_bytes(), numbers])
        })?;
        Ok(())
    }

    fn add_line(&self, json: &[u8]) -> Result<PackNumber> {
        let sha256 = Sha256::of(json);
        self.with(|connection| {
            let known = connection
                .prepare_cached("SELECT number FROM packs WHERE sha256 = ?1")?
                .query_row([sha256.as_bytes()], |row| row.get(0))
                .optional()?;
            known.map_or_else(
                || {
                    connection
                        .prepare_cached(
                            "INSERT INTO packs (sha256, line) VALUES (?1, ?2) RETURNING number",
                        )?
                        .query_row(params![sha256.as_bytes(), json], |row| row.get(0))
                },
                Ok,
            )
        })
    }

    /// The packs of a list, in its order; `None` if its segment could not be read.
    pub(super) fn list(&self, list: &Sha256) -> Result<Option<Vec<PackNumber>>> {
        let bytes: Option<Vec<u8>> = self.with(|connection| {
            connection
                .prepare_cached("SELECT packs FROM lists WHERE name = ?1")?
                .query_row([list.as_bytes()], |row| row.get(0))
                .optional()
        })?;
        Ok(bytes.map(|bytes| {
            let (numbers, _) = bytes.as_chunks();
            numbers.iter().copied().map(u32::from_le_bytes).collect()
        }))
    }

    /// The number of packs. Their numbers begin at 1.
    pub(super) fn packs(&self) -> Result<PackNumber> {
        self.with(|connection| {
            connection.query_row("SELECT count(*) FROM packs", [], |row| row.get(0))
        })
    }

    /// A pack's line in the index.
    pub(super) fn line(&self, number: PackNumber) -> Result<Line> {
        let json: Vec<u8> = self.with(|connection| {
            connection
                .prepare_cached("SELECT line FROM packs WHERE number = ?1")?
                .query_row([number], |row| row.get(0))
        })?;
        serde_json::from_slice(&json).map_err(|error| failed(&self.folder)(error))
    }

    /// Stores a manifest.
    pub(in crate::check) fn add_manifest(
        &self,
        snapshot: SnapshotId,
        manifest: &Manifest,
    ) -> Result<()> {
        let bytes = manifest.to_bytes()?;
        self.with(|connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO manifests VALUES (?1, ?2)")?
                .execute(params![snapshot.to_string(), bytes])
        })?;
        Ok(())
    }

    /// A snapshot's manifest; `None` if it could not be read.
    pub(super) fn manifest(&self, snapshot: SnapshotId) -> Result<Option<Manifest>> {
        let bytes: Option<Vec<u8>> = self.with(|connection| {
            connection
                .prepare_cached("SELECT bytes FROM manifests WHERE snapshot = ?1")?
                .query_row([snapshot.to_string()], |row| row.get(0))
                .optional()
        })?;
        bytes.map(|bytes| Manifest::parse(&bytes)).transpose()
    }

    /// Records that an object was found in a pack. `content` has the bytes of a commit or fs
    /// object.
    pub(super) fn add_bytes(
        &self,
        pack: PackNumber,
        ordinal: u32,
        object: &Object,
        len: u64,
        content: Option<&[u8]>,
    ) -> Result<()> {
        self.with(|connection| {
            let content: Option<i64> = content
                .map(|bytes| {
                    connection
                        .prepare_cached(
                            "INSERT INTO contents (bytes) VALUES (?1) RETURNING number",
                        )?
                        .query_row([bytes], |row| row.get(0))
                })
                .transpose()?;
            let len = i64::try_from(len).unwrap_or(i64::MAX);
            connection
                .prepare_cached("INSERT INTO members VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, ?7)")?
                .execute(params![
                    object.id.as_bytes(),
                    kind_number(object.kind),
                    store_bytes(object.store),
                    pack,
                    ordinal,
                    len,
                    content
                ])
        })?;
        Ok(())
    }

    /// Records a link. Whether its target exists depends on the snapshot.
    pub(super) fn add_link(&self, pack: PackNumber, link: &Link) -> Result<()> {
        let Link { ordinal, object, target } = link;
        let (id, kind) = (object.id.as_bytes(), kind_number(object.kind));
        let (store, target) = (store_bytes(object.store), store_bytes(*target));
        self.with(|connection| {
            connection
                .prepare_cached("INSERT INTO members VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, NULL)")?
                .execute(params![id, kind, store, pack, ordinal, target])?;
            connection
                .prepare_cached("INSERT INTO links VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                .execute(params![pack, ordinal, id, kind, store, target])
        })?;
        Ok(())
    }

    /// The fs objects of a store, in all packs of the spool.
    pub(super) fn fs_ids(&self, store: Store) -> Result<Vec<ObjectId>> {
        self.with(|connection| {
            let sql = "SELECT DISTINCT id FROM members WHERE kind = ? AND store = ?";
            connection
                .prepare(sql)?
                .query_map(params![kind_number(Kind::Fs), store_bytes(store)], |row| {
                    row.get(0).map(ObjectId::new)
                })?
                .collect()
        })
    }

    /// Every place where an object was found.
    pub(super) fn find(&self, object: &Object) -> Result<Vec<SpooledPlace>> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "SELECT pack, ordinal, length, target, content FROM members
                     WHERE id = ?1 AND kind = ?2 AND store = ?3",
                )?
                .query_map(
                    params![
                        object.id.as_bytes(),
                        kind_number(object.kind),
                        store_bytes(object.store)
                    ],
                    |row| {
                        let target: Option<Vec<u8>> = row.get(3)?;
                        let len: i64 = row.get(2)?;
                        let what = match target {
                            Some(store) => SpooledContent::Link(parse_store(&store)),
                            None => SpooledContent::Bytes {
                                len: len.unsigned_abs(),
                                content: row.get(4)?,
                            },
                        };
                        Ok(SpooledPlace { pack: row.get(0)?, ordinal: row.get(1)?, what })
                    },
                )?
                .collect()
        })
    }

    /// The bytes that [`Self::add_bytes`] stored under a number.
    pub(super) fn content(&self, number: i64) -> Result<Vec<u8>> {
        self.with(|connection| {
            connection
                .prepare_cached("SELECT bytes FROM contents WHERE number = ?1")?
                .query_row([number], |row| row.get(0))
        })
    }

    /// The links among a pack's members, in the order of the members.
    pub(super) fn links(&self, pack: PackNumber) -> Result<Vec<Link>> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "SELECT ordinal, id, kind, store, target FROM links WHERE pack = ?1 ORDER BY ordinal",
                )?
                .query_map([pack], |row| {
                    let (store, target): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(4)?);
                    let kind = Kind::ALL[usize::from(row.get::<_, u8>(2)?) % Kind::ALL.len()];
                    Ok(Link {
                        ordinal: row.get(0)?,
                        object: Object::new(parse_store(&store), kind, ObjectId::new(row.get(1)?)),
                        target: parse_store(&target),
                    })
                })?
                .collect()
        })
    }

    /// Whether any object lies in the folder that all libraries shared.
    pub(super) fn has_shared(&self) -> Result<bool> {
        self.with(|connection| {
            let query = "SELECT EXISTS (SELECT 1 FROM members WHERE store = x'')";
            connection.query_row(query, [], |row| row.get(0))
        })
    }
}

/// Makes the error for a failure of the temporary files.
pub(super) fn failed<E>(folder: &Path) -> impl FnOnce(E) -> Error
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let folder = folder.to_owned();
    move |error| Error::Spool { folder, source: error.into() }
}

fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::Commit => 0,
        Kind::Fs => 1,
        Kind::Block => 2,
    }
}

/// The bytes of a library's id; no bytes for the shared folder.
fn store_bytes(store: Store) -> Vec<u8> {
    match store {
        Store::Library(library) => library.as_bytes().to_vec(),
        Store::Shared => Vec::new(),
    }
}

fn parse_store(bytes: &[u8]) -> Store {
    bytes.try_into().map_or(Store::Shared, |id| Store::Library(LibraryId::new(id)))
}
