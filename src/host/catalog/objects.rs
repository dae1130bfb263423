//! Objects in the catalog: look-ups and marks.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Catalog, Facts};
use crate::host::Result;
use crate::object::{Kind, Object, ObjectId, Sha256, Store};
use crate::repository;
use crate::repository::names::PackKind;
use crate::repository::pack::Frame;
use crate::repository::reader::ObjectPlace;

/// What the catalog knows of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogEntry {
    /// Its length in bytes.
    pub length: u64,
    /// Whether it and all that it points to are stored and verified. Always true for a stored
    /// block.
    pub closed: bool,
    /// Whether a finished run visited it and, if it is a commit, the history behind it.
    pub walked: bool,
    /// Whether it was copied by listing, since no walk reached it.
    pub listed: bool,
    /// The SHA-256 of the stored bytes, for a commit: its id does not cover all of them.
    pub sha256: Option<Sha256>,
}

/// What a run records for one object if it could not close the object's store as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The object and all that it points to are stored and verified.
    Closed,
    /// It was visited, but something that it points to is missing.
    Walked,
}

/// `mark` of an object that is closed when its run ends and leaves the store clean.
pub(super) const WITH_RUN: i64 = 0;
/// `mark` of an object that is closed although its run left the store unclean.
const CLOSED: i64 = 1;
/// `mark` of an object that was visited but is not closed.
const WALKED: i64 = 2;
/// `mark` of an object that no walk reached: it was copied by listing.
pub(super) const LISTED: i64 = 3;

/// How a run reached an object that is stored already.
#[derive(Debug, Clone, Copy)]
enum Came {
    Walking,
    Listing,
}

pub(super) fn kind_number(kind: Kind) -> i64 {
    match kind {
        Kind::Commit => 0,
        Kind::Fs => 1,
        Kind::Block => 2,
    }
}

pub(super) struct ObjectRow {
    length: i64,
    run: i64,
    mark: i64,
    sha256: Option<[u8; 32]>,
    pub(super) pack: i64,
}

impl ObjectRow {
    pub(super) fn find(
        connection: &Connection,
        object: &Object,
        store: i64,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT length, run, mark, sha256, pack FROM object WHERE id = ? AND kind = ? AND store = ?",
            )?
            .query_row(
                params![object.id.as_bytes(), kind_number(object.kind), store],
                |row| {
                    Ok(Self {
                        length: row.get(0)?,
                        run: row.get(1)?,
                        mark: row.get(2)?,
                        sha256: row.get(3)?,
                        pack: row.get(4)?,
                    })
                },
            )
            .optional()
    }
}

impl Facts {
    fn known(&self, row: &ObjectRow, object: &Object, store: i64) -> CatalogEntry {
        let ended = self.completed.contains(&row.run)
            && row.run >= self.since.get(&store).copied().unwrap_or_default();
        let run_closed_store = !self.unclean.contains(&(row.run, store));
        // All proofs rest on this. A run that closed a store as a whole wrote no mark for each
        // object: everything that it visited is closed with it. A run that could not close the
        // store marked each object that is closed nevertheless.
        let marked_closed = row.mark == CLOSED || row.mark == WITH_RUN && run_closed_store;
        CatalogEntry {
            length: u64::try_from(row.length).unwrap_or_default(),
            // A block points to nothing, so it is closed as soon as it is stored. Another object is
            // closed only when the run that says so has ended, and only as long as no later run
            // voided the store's marks.
            closed: object.kind == Kind::Block || ended && marked_closed,
            walked: ended && (marked_closed || row.mark == WALKED),
            listed: row.mark == LISTED,
            sha256: row.sha256.map(Sha256::new),
        }
    }
}

impl Catalog {
    /// What is known of a stored object; `None` if it is not stored.
    pub fn known(&self, object: &Object) -> Result<Option<CatalogEntry>> {
        self.read(|connection, facts| {
            let Some(store) = facts.stores.get(&object.store).copied() else {
                return Ok(None);
            };
            let row = ObjectRow::find(connection, object, store)?;
            let stored = row.filter(|row| !facts.pending.contains(&row.pack));
            Ok(stored.map(|row| facts.known(&row, object, store)))
        })
    }

    /// Whether a stored object's bytes lie in a pack that no snapshot names yet: it was stored since the base.
    pub fn is_new(&self, object: &Object) -> Result<bool> {
        self.read(|connection, facts| {
            let Some(store) = facts.stores.get(&object.store) else {
                return Ok(false);
            };
            connection
                .prepare_cached(
                    "SELECT segment IS NULL FROM object JOIN pack ON pack.number = object.pack
                     WHERE id = ? AND object.kind = ? AND store = ?",
                )?
                .query_row(params![object.id.as_bytes(), kind_number(object.kind), store], |row| {
                    row.get(0)
                })
                .optional()
                .map(Option::unwrap_or_default)
        })
    }

    /// This run visited stored objects that were not closed.
    pub fn visit(&self, objects: &[Object]) -> Result<()> {
        self.touch(objects, Came::Walking)
    }

    /// Records that this run found stored objects when it listed a store. If a walk of this run has
    /// visited an object, that mark stays.
    pub fn visit_listed(&self, objects: &[Object]) -> Result<()> {
        self.touch(objects, Came::Listing)
    }

    fn touch(&self, objects: &[Object], came: Came) -> Result<()> {
        self.with(|inner| {
            let run = inner.run;
            let numbers = objects
                .iter()
                .map(|object| inner.store_number(object.store))
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let transaction = inner.connection.transaction()?;
            let mut update = transaction.prepare_cached(match came {
                Came::Walking => "UPDATE object SET run = ?1, mark = ?5 WHERE id = ?2 AND kind = ?3 AND store = ?4",
                Came::Listing => {
                    "UPDATE object SET run = ?1, mark = CASE WHEN run = ?1 THEN mark ELSE ?5 END
                     WHERE id = ?2 AND kind = ?3 AND store = ?4"
                }
            })?;
            let mark = match came {
                Came::Walking => WITH_RUN,
                Came::Listing => LISTED,
            };
            for (Object { kind, id, .. }, store) in objects.iter().zip(numbers) {
                update.execute(params![run, id.as_bytes(), kind_number(*kind), store, mark])?;
            }
            drop(update);
            transaction.commit()
        })
    }

    /// Records that this run could not close some stores as a whole. Of what it visited there, only
    /// the objects in `marks` that say so are closed. Takes effect when the run ends.
    pub fn mark(
        &self,
        stores: &[Store],
        marks: impl Iterator<Item = (Object, Mark)>,
    ) -> Result<()> {
        self.with(|inner| {
            let run = inner.run;
            let transaction_stores = stores
                .iter()
                .map(|store| inner.store_number(*store))
                .collect::<Result<Vec<_>, _>>()?;
            let mut numbered = Vec::new();
            for (object, mark) in marks {
                numbered.push((inner.store_number(object.store)?, object, mark));
            }
            let transaction = inner.connection.transaction()?;
            for store in &transaction_stores {
                transaction
                    .execute("INSERT OR IGNORE INTO unclean VALUES (?, ?)", [run, *store])?;
            }
            for (store, object, mark) in numbered {
                set_mark(&transaction, run, store, &object, mark)?;
            }
            transaction.commit()?;
            let mut facts = inner.facts.change();
            facts.unclean.extend(transaction_stores.into_iter().map(|store| (run, store)));
            Ok(())
        })
    }

    /// Damaged objects whose bad bytes are stored, each with the SHA-256 of these bytes.
    pub fn salvaged(&self) -> Result<Vec<(Object, Sha256)>> {
        let rows: Vec<([u8; 20], i64, i64, [u8; 32])> = self.with(|inner| {
            let mut statement = inner.connection.prepare(
                "SELECT id, salvaged.kind, store, sha256 FROM salvaged JOIN pack ON pack.number = salvaged.pack
                 WHERE stored = 1",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect()
        })?;
        let facts = self.facts.get();
        let object = |(id, kind, store, sha256): ([u8; 20], i64, i64, [u8; 32])| {
            let object = Object::new(*facts.names.get(&store)?, kind_of(kind)?, ObjectId::new(id));
            Some((object, Sha256::new(sha256)))
        };
        Ok(rows.into_iter().filter_map(object).collect())
    }

    /// Records that a pack's bytes are bad: the next run treats the pack as lost.
    pub fn suspect(&self, pack: &Sha256) -> Result<()> {
        self.with(|inner| {
            let sql = "UPDATE pack SET suspect = 1 WHERE name = ?";
            inner.connection.execute(sql, [pack.as_bytes()]).map(drop)
        })
    }

    /// Another store that holds a block or fs object of the same id, as bytes and not as a link.
    pub fn same_content(&self, object: &Object) -> Result<Option<Store>> {
        if object.kind == Kind::Commit {
            return Ok(None);
        }
        self.read(|connection, facts| {
            let own = facts.stores.get(&object.store).copied();
            let mut statement = connection.prepare_cached(
                "SELECT store, pack FROM object WHERE id = ? AND kind = ? AND store IS NOT ? AND link IS NULL",
            )?;
            let mut rows = statement.query(params![
                object.id.as_bytes(),
                kind_number(object.kind),
                own
            ])?;
            while let Some(row) = rows.next()? {
                if !facts.pending.contains(&row.get(1)?) {
                    return Ok(facts.names.get(&row.get(0)?).copied());
                }
            }
            Ok(None)
        })
    }

    /// Where a stored object's bytes lie, and for a commit its SHA-256. Follows links.
    pub fn place(&self, object: &Object) -> Result<Option<(ObjectPlace, Option<Sha256>)>> {
        let found = self.read(|connection, facts| {
            let Some(mut store) = facts.stores.get(&object.store).copied() else {
                return Ok(None);
            };
            // A compaction can turn the target of a link into a link itself.
            for _ in 0..MOST_LINKS {
                let Some(found) = read_place(connection, object.kind, &object.id, store)? else {
                    return Ok(None);
                };
                match found.link {
                    Some(target) => store = target,
                    None => return Ok(Some(found)),
                }
            }
            Ok(None)
        })?;
        found.map(|found| found.resolve(&self.path)).transpose()
    }

    /// The number of stored objects of a store, by kind, and their bytes.
    pub fn counts(&self, store: Store) -> Result<crate::repository::manifest::Counts> {
        self.read(|connection, facts| {
            let Some(number) = facts.stores.get(&store).copied() else {
                return Ok(None);
            };
            connection
                .prepare_cached("SELECT commits, fs, blocks, bytes FROM store WHERE number = ?")?
                .query_row([number], |row| {
                    let count = |index| {
                        row.get::<_, i64>(index).map(|n| u64::try_from(n).unwrap_or_default())
                    };
                    Ok(crate::repository::manifest::Counts {
                        commits: count(0)?,
                        fs: count(1)?,
                        blocks: count(2)?,
                        bytes: count(3)?,
                    })
                })
                .optional()
        })
        .map(Option::unwrap_or_default)
    }
}

fn set_mark(
    connection: &Connection,
    run: i64,
    store: i64,
    object: &Object,
    mark: Mark,
) -> rusqlite::Result<()> {
    let number = match mark {
        Mark::Closed => CLOSED,
        Mark::Walked => WALKED,
    };
    connection
        .prepare_cached(
            "UPDATE object SET run = ?, mark = ? WHERE id = ? AND kind = ? AND store = ?",
        )?
        .execute(params![run, number, object.id.as_bytes(), kind_number(object.kind), store])
        .map(drop)
}

/// The most links that a look-up follows one after the other.
const MOST_LINKS: usize = 8;

pub(super) fn kind_of(number: i64) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind_number(*kind) == number)
}

struct FoundPlace {
    kind: i64,
    pack: Vec<u8>,
    frames: Vec<u8>,
    frame: i64,
    start: i64,
    length: i64,
    sha256: Option<Vec<u8>>,
    link: Option<i64>,
}

impl FoundPlace {
    fn resolve(self, path: &std::path::Path) -> Result<(ObjectPlace, Option<Sha256>)> {
        let parse = || {
            let frames: Vec<(u64, u64, u64)> = serde_json::from_slice(&self.frames).ok()?;
            let (offset, len, plain_len) = *frames.get(usize::try_from(self.frame).ok()?)?;
            let sha256 = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok().map(Sha256::new);
            let place = ObjectPlace {
                kind: PackKind::ALL[usize::from(self.kind != 0)],
                pack: sha256(&self.pack)?,
                frame: Frame { offset, len, plain_len },
                start: u64::try_from(self.start).ok()?,
                length: u64::try_from(self.length).ok()?,
            };
            Some((place, self.sha256.as_deref().and_then(sha256)))
        };
        parse().ok_or_else(|| {
            let what = format!("the catalog {}", path.display());
            let reason = "a row is not as seawall writes it".into();
            repository::Error::Malformed { what, reason }.into()
        })
    }
}

fn read_place(
    connection: &Connection,
    kind: Kind,
    id: &ObjectId,
    store: i64,
) -> rusqlite::Result<Option<FoundPlace>> {
    connection
        .prepare_cached(
            "SELECT pack.kind, name, frames, frame, start, length, sha256, link
             FROM object JOIN pack ON pack.number = object.pack
             WHERE id = ? AND object.kind = ? AND store = ? AND pack.stored = 1",
        )?
        .query_row(params![id.as_bytes(), kind_number(kind), store], |row| {
            Ok(FoundPlace {
                kind: row.get(0)?,
                pack: row.get(1)?,
                frames: row.get(2)?,
                frame: row.get(3)?,
                start: row.get(4)?,
                length: row.get(5)?,
                sha256: row.get(6)?,
                link: row.get(7)?,
            })
        })
        .optional()
}
