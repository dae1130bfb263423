//! The catalog's part of a compaction: which packs hold little that is still needed, and what that
//! is (docs/design.md, "Compaction").

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::objects::{LISTED, kind_of};
use super::packs::{pack_kind, signed};
use super::{Catalog, Inner};
use crate::host::Result;
use crate::object::{Object, ObjectId, Store};
use crate::repository::names::PackKind;

/// How much of a stored pack this run visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The catalog's number of the pack.
    pub pack: i64,
    /// What it holds.
    pub kind: PackKind,
    /// Bytes stored.
    pub size: u64,
    /// Bytes of its tar that this run visited.
    pub live: u64,
    /// Bytes of its tar.
    pub whole: u64,
}

/// An object that is to be stored again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moving {
    /// Its number. Numbers are in the order of the packs.
    pub number: i64,
    /// The object.
    pub object: Object,
}

/// Bytes that a link takes in a tar: the header and the text of its long target, and its own
/// header.
const LINK_BYTES: u64 = 3 * 512;

impl Catalog {
    /// Packs that may be emptied, with how much of each this run visited. Leaves out packs with bad
    /// bytes that are kept, packs with an object in `held`, and packs with an object of a store in
    /// `stores`.
    pub fn usage(&self, stores: &HashSet<Store>, held: &[Object]) -> Result<Vec<Usage>> {
        self.with(|inner| {
            let kept = inner.kept(stores, held)?;
            let live = inner.live()?;
            let sql =
                "SELECT number, size, frames, kind FROM pack WHERE stored = 1 ORDER BY number";
            let mut statement = inner.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let pack = row.get(0)?;
                let frames: Vec<(u64, u64, u64)> =
                    serde_json::from_slice(row.get_ref(2)?.as_blob()?).unwrap_or_default();
                // If a pack's frames cannot be read, nothing is known of it.
                if frames.is_empty() || kept.contains(&pack) {
                    continue;
                }
                found.push(Usage {
                    pack,
                    kind: pack_kind(row.get(3)?),
                    size: u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
                    live: live.get(&pack).copied().unwrap_or_default(),
                    whole: frames.iter().map(|(_, _, plain_len)| plain_len).sum(),
                });
            }
            Ok(found)
        })
    }

    /// Pairs (pack, target): `target` holds what a link in `pack` leads to.
    pub fn links(&self) -> Result<Vec<(i64, i64)>> {
        self.with(|inner| {
            let mut statement = inner.connection.prepare("SELECT pack, target FROM pack_link")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    /// Begins to empty packs. Until [`Self::end_moving`] what they hold counts as not stored, so
    /// that no new link leads to it.
    pub fn begin_moving(&self, packs: &[i64]) -> Result<()> {
        self.with(|inner| {
            let transaction = inner.connection.transaction()?;
            transaction.execute_batch(
                "DROP TABLE IF EXISTS temp.moving; DROP TABLE IF EXISTS temp.emptied;
                 CREATE TEMP TABLE emptied (pack INTEGER PRIMARY KEY);
                 CREATE TEMP TABLE moving (number INTEGER PRIMARY KEY, id BLOB, kind INTEGER, store INTEGER, mark INTEGER, link INTEGER)",
            )?;
            for pack in packs {
                transaction.execute("INSERT INTO emptied VALUES (?)", [pack])?;
            }
            // Links come last, since they lead to objects that are moved before.
            transaction.execute(
                "INSERT INTO moving (id, kind, store, mark, link) SELECT id, kind, store, mark, link FROM object
                 WHERE pack IN emptied AND run = ? ORDER BY link IS NOT NULL, pack, frame, start",
                [inner.run],
            )?;
            transaction.commit()?;
            inner.facts.change().pending.extend(packs);
            Ok(())
        })
    }

    /// The next objects to store again, at most `most`, with numbers above `after`. Either links or
    /// others, and either objects that a walk visited or objects that were listed.
    pub fn moving(&self, links: bool, walked: bool, after: i64, most: u64) -> Result<Vec<Moving>> {
        self.with(|inner| {
            let facts = inner.facts.get();
            let mut statement = inner.connection.prepare_cached(
                "SELECT number, id, kind, store FROM moving
                 WHERE (link IS NOT NULL) = ? AND (mark <> ?) = ? AND number > ? ORDER BY number LIMIT ?",
            )?;
            let wanted = params![links, LISTED, walked, after, signed(most)];
            let mut rows = statement.query(wanted)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let (kind, store) = (kind_of(row.get(2)?), facts.names.get(&row.get(3)?));
                let (Some(kind), Some(store)) = (kind, store) else {
                    continue;
                };
                found.push(Moving {
                    number: row.get(0)?,
                    object: Object::new(*store, kind, ObjectId::new(row.get(1)?)),
                });
            }
            Ok(found)
        })
    }

    /// Ends the emptying: what is left in the packs counts as stored again. Returns the packs that
    /// hold nothing that this run visited.
    pub fn end_moving(&self) -> Result<Vec<i64>> {
        self.with(|inner| {
            let mut statement = inner.connection.prepare(
                "SELECT pack FROM emptied EXCEPT SELECT pack FROM object WHERE pack IN emptied AND run = ?",
            )?;
            let rows = statement.query_map([inner.run], |row| row.get(0))?;
            let empty = rows.collect::<rusqlite::Result<_>>()?;
            drop(statement);
            inner
                .connection
                .execute_batch("DROP TABLE temp.moving; DROP TABLE temp.emptied")?;
            inner.reload()?;
            Ok(empty)
        })
    }
}

impl Inner {
    /// The bytes of each pack's tar that this run visited. Reads each object's row once, in the
    /// order of the file.
    fn live(&self) -> rusqlite::Result<HashMap<i64, u64>> {
        let sql = "SELECT pack, length, link IS NOT NULL FROM object WHERE run = ?";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([self.run])?;
        let mut live: HashMap<i64, u64> = HashMap::new();
        while let Some(row) = rows.next()? {
            let length = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
            let bytes = if row.get(2)? { LINK_BYTES } else { 512 + length.next_multiple_of(512) };
            *live.entry(row.get(0)?).or_default() += bytes;
        }
        Ok(live)
    }

    /// Packs that must not be emptied.
    fn kept(&self, stores: &HashSet<Store>, held: &[Object]) -> rusqlite::Result<HashSet<i64>> {
        let select = |sql: &str| {
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<HashSet<i64>>>()
        };
        let mut kept = select("SELECT DISTINCT pack FROM salvaged")?;
        let facts = self.facts.get();
        let numbers = stores.iter().filter_map(|store| facts.stores.get(store));
        let numbers: Vec<String> = numbers.map(ToString::to_string).collect();
        if !numbers.is_empty() {
            let list = numbers.join(",");
            kept.extend(select(&format!(
                "SELECT DISTINCT pack FROM object WHERE store IN ({list})"
            ))?);
        }
        for object in held {
            if let Some(store) = facts.stores.get(&object.store) {
                kept.extend(pack_of(&self.connection, object, *store)?);
            }
        }
        Ok(kept)
    }
}

fn pack_of(connection: &Connection, object: &Object, store: i64) -> rusqlite::Result<Option<i64>> {
    let row = super::objects::ObjectRow::find(connection, object, store)?;
    Ok(row.map(|row| row.pack))
}
