//! Packs in the catalog.
//!
//! A pack is recorded *before* it is put. If the run dies before it hears the put's answer, the
//! next run finds the pack in the listing and adopts it, so that nothing is lost.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::objects::{LISTED, WITH_RUN, kind_number};
use super::{Catalog, Inner};
use crate::host::Result;
use crate::object::{Object, Sha256, Store};
use crate::repository::names::PackKind;
use crate::repository::pack::{Contents, Member, MemberPlace};

/// A pack that is about to be put.
#[derive(Debug)]
pub struct NewPack<'a> {
    /// SHA-256 of the stored bytes.
    pub name: Sha256,
    /// What it holds.
    pub kind: PackKind,
    /// Bytes stored.
    pub size: u64,
    /// Frames and members.
    pub contents: &'a Contents,
    /// Whether a walk led to its objects, so that they close with the run.
    pub walked: bool,
}

/// A pack as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRecord {
    /// The catalog's number of the pack. Numbers are in write order.
    pub number: i64,
    /// What it holds.
    pub kind: PackKind,
    /// SHA-256 of the stored bytes.
    pub name: Sha256,
    /// Bytes stored.
    pub size: u64,
    /// Whether its put returned Ok, or a listing showed it.
    pub stored: bool,
    /// Whether its bytes were seen to be bad.
    pub suspect: bool,
    /// The number of the segment that indexes it; `None` if no segment does.
    pub segment: Option<i64>,
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn pack_kind(number: i64) -> PackKind {
    PackKind::ALL[usize::from(number != 0)]
}

fn pack_kind_number(kind: PackKind) -> i64 {
    i64::from(kind != PackKind::ALL[0])
}

pub(super) fn hash(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Sha256> {
    row.get::<_, [u8; 32]>(index).map(Sha256::new)
}

impl Inner {
    /// Takes in a pack. Returns `false` and takes in nothing if the pack is indexed and one of its
    /// links leads nowhere. In a pack that is not indexed, such a link alone is left out.
    pub(super) fn insert_pack(
        &mut self,
        pack: &NewPack<'_>,
        stored: bool,
        indexed: bool,
        run: i64,
    ) -> rusqlite::Result<bool> {
        let mut numbers = HashMap::new();
        for member in &pack.contents.members {
            for store in [Some(member.name.object.store), link(member)].into_iter().flatten() {
                numbers.insert(store, self.store_number(store)?);
            }
        }
        let frames: Vec<_> = pack
            .contents
            .frames
            .iter()
            .map(|frame| (frame.offset, frame.len, frame.plain_len))
            .collect();
        let frames = json(&frames)?;
        let contents = if indexed { None } else { Some(json(pack.contents)?) };
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT INTO pack (name, kind, size, stored, frames, contents) VALUES (?, ?, ?, ?, ?, ?)",
            params![pack.name.as_bytes(), pack_kind_number(pack.kind), signed(pack.size), stored, frames, contents],
        )?;
        let number = transaction.last_insert_rowid();
        if !stored {
            self.facts.change().pending.insert(number);
        }
        let run_mark = RunMark { run, mark: if pack.walked { WITH_RUN } else { LISTED } };
        let own = own_objects(pack.contents);
        let mut targets = HashSet::new();
        for member in &pack.contents.members {
            if member.name.damaged {
                insert_salvaged(&transaction, number, member, &numbers)?;
                continue;
            }
            match find_target(&transaction, member, &numbers)? {
                Some(MemberBytes::Own) => {}
                // The target is also in this pack. Its row may still point to the older pack that
                // it was stored in.
                Some(MemberBytes::Other { .. }) if is_own(&own, member) => {}
                Some(MemberBytes::Other { pack, .. }) => {
                    targets.insert(pack);
                }
                None if indexed => return Ok(false),
                None => continue,
            }
            insert_object(&transaction, number, member, &numbers, run_mark, stored)?;
        }
        for target in targets {
            transaction
                .prepare_cached("INSERT INTO pack_link (pack, target) VALUES (?, ?)")?
                .execute([number, target])?;
        }
        transaction.commit().map(|()| true)
    }
}

impl Inner {
    pub(super) fn void_all(&mut self) -> rusqlite::Result<()> {
        self.connection.execute("UPDATE store SET since = ?", [self.run])?;
        for since in self.facts.change().since.values_mut() {
            *since = self.run;
        }
        Ok(())
    }
}

/// A value as JSON. That cannot fail for these types; a defect becomes an error, not a panic.
fn json(value: &impl serde::Serialize) -> rusqlite::Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The columns of an object's row that say which run reached it, and how.
#[derive(Debug, Clone, Copy)]
struct RunMark {
    run: i64,
    mark: i64,
}

fn link(member: &Member) -> Option<Store> {
    match member.place {
        MemberPlace::Link { target } => Some(target),
        MemberPlace::Data { .. } => None,
    }
}

/// The objects whose bytes are in the pack. Empty if the pack has no links: only links need the
/// answer.
fn own_objects(contents: &Contents) -> HashSet<Object> {
    let members = contents.members.iter();
    if members.clone().all(|member| link(member).is_none()) {
        return HashSet::new();
    }
    let own = members.filter(|member| !member.name.damaged && link(member).is_none());
    own.map(|member| member.name.object).collect()
}

fn is_own(own: &HashSet<Object>, link_member: &Member) -> bool {
    let object = link_member.name.object;
    link(link_member).is_some_and(|store| own.contains(&Object { store, ..object }))
}

/// Where the bytes of a member are.
enum MemberBytes {
    /// The member itself has them.
    Own,
    /// In the pack that its link leads to.
    Other { pack: i64, length: i64 },
}

/// Finds the pack with a member's bytes. `None` if the member is a link and its target is not
/// stored.
fn find_target(
    connection: &Connection,
    member: &Member,
    stores: &HashMap<Store, i64>,
) -> rusqlite::Result<Option<MemberBytes>> {
    let Some(target) = link(member) else {
        return Ok(Some(MemberBytes::Own));
    };
    let Object { kind, id, .. } = member.name.object;
    connection
        .prepare_cached("SELECT pack, length FROM object WHERE id = ? AND kind = ? AND store = ?")?
        .query_row(params![id.as_bytes(), kind_number(kind), stores[&target]], |row| {
            Ok(MemberBytes::Other { pack: row.get(0)?, length: row.get(1)? })
        })
        .optional()
}

fn insert_object(
    transaction: &Transaction<'_>,
    pack: i64,
    member: &Member,
    stores: &HashMap<Store, i64>,
    run_mark: RunMark,
    is_there: bool,
) -> rusqlite::Result<()> {
    let Object { store, kind, id } = member.name.object;
    let (frame, start, length, sha256, target) = match &member.place {
        MemberPlace::Data { frame, offset, len, sha256 } => {
            (*frame, signed(*offset), signed(*len), *sha256, None)
        }
        MemberPlace::Link { target } => {
            let Some(MemberBytes::Other { length, .. }) = find_target(transaction, member, stores)?
            else {
                return Ok(());
            };
            (0, 0, length, None, Some(stores[target]))
        }
    };
    let insert = |into: &str| {
        let sql = format!(
            "INSERT {into} (id, kind, store, pack, frame, start, length, sha256, link, run, mark)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        transaction.prepare_cached(&sql)?.execute(params![
            id.as_bytes(),
            kind_number(kind),
            stores[&store],
            pack,
            frame,
            start,
            length,
            sha256.map(|hash| *hash.as_bytes()),
            target,
            run_mark.run,
            run_mark.mark
        ])
    };
    if is_there {
        insert("OR REPLACE INTO object")?;
    } else if insert("OR IGNORE INTO object")? == 0 {
        // The object has a row already, which stays until this pack is stored.
        insert("OR REPLACE INTO replacement")?;
    }
    Ok(())
}

fn insert_salvaged(
    transaction: &Transaction<'_>,
    pack: i64,
    member: &Member,
    stores: &HashMap<Store, i64>,
) -> rusqlite::Result<()> {
    let Object { store, kind, id } = member.name.object;
    let MemberPlace::Data { sha256: Some(sha256), .. } = &member.place else {
        return Ok(());
    };
    let sql =
        "INSERT OR REPLACE INTO salvaged (id, kind, store, sha256, pack) VALUES (?, ?, ?, ?, ?)";
    transaction
        .prepare_cached(sql)?
        .execute(params![id.as_bytes(), kind_number(kind), stores[&store], sha256.as_bytes(), pack])
        .map(drop)
}

fn add_counts(
    transaction: &Transaction<'_>,
    contents: &Contents,
    stores: &HashMap<Store, i64>,
) -> rusqlite::Result<()> {
    let mut counts: HashMap<i64, ([i64; 3], i64)> = HashMap::new();
    for member in contents.members.iter().filter(|member| !member.name.damaged) {
        let length = match &member.place {
            MemberPlace::Data { len, .. } => Some(signed(*len)),
            MemberPlace::Link { .. } => match find_target(transaction, member, stores)? {
                Some(MemberBytes::Other { length, .. }) => Some(length),
                _ => None,
            },
        };
        let Some(length) = length else { continue };
        let (kinds, bytes) = counts.entry(stores[&member.name.object.store]).or_default();
        if let Ok(index) = usize::try_from(kind_number(member.name.object.kind)) {
            kinds[index] += 1;
        }
        *bytes += length;
    }
    for (store, ([commits, fs, blocks], bytes)) in counts {
        transaction.execute(
            "UPDATE store SET commits = commits + ?, fs = fs + ?, blocks = blocks + ?, bytes = bytes + ? WHERE number = ?",
            [commits, fs, blocks, bytes, store],
        )?;
    }
    Ok(())
}

/// Makes the rows of objects that were stored before point to this pack, which is stored now.
/// Before that, takes their old copies out of the counts.
fn take_places(transaction: &Transaction<'_>, pack: i64) -> rusqlite::Result<()> {
    let counted = "SELECT o.store, o.kind, count(*), sum(o.length) FROM replacement AS r
        JOIN object AS o ON o.id = r.id AND o.kind = r.kind AND o.store = r.store
        JOIN pack AS p ON p.number = o.pack AND p.stored = 1 WHERE r.pack = ? GROUP BY o.store, o.kind";
    let mut statement = transaction.prepare_cached(counted)?;
    let rows = statement
        .query_map([pack], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    for counted in rows.collect::<rusqlite::Result<Vec<(i64, i64, i64, i64)>>>()? {
        let (store, kind, objects, bytes) = counted;
        let of = |wanted| if kind == wanted { objects } else { 0 };
        transaction.execute(
            "UPDATE store SET commits = commits - ?, fs = fs - ?, blocks = blocks - ?, bytes = bytes - ? WHERE number = ?",
            [of(0), of(1), of(2), bytes, store],
        )?;
    }
    transaction
        .prepare_cached("INSERT OR REPLACE INTO object SELECT * FROM replacement WHERE pack = ?")?
        .execute([pack])?;
    transaction.prepare_cached("DELETE FROM replacement WHERE pack = ?")?.execute([pack]).map(drop)
}

impl Catalog {
    /// Records a pack that is about to be put. Its objects count as not stored.
    pub fn add_pending(&self, pack: &NewPack<'_>) -> Result<()> {
        self.with(|inner| inner.insert_pack(pack, false, false, inner.run).map(drop))
    }

    /// Records that a pack is stored, because its put returned Ok or a listing showed it.
    pub fn mark_stored(&self, name: &Sha256) -> Result<()> {
        self.with(|inner| {
            let (number, contents): (i64, Vec<u8>) = inner.connection.query_row(
                "SELECT number, contents FROM pack WHERE name = ?",
                [name.as_bytes()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let contents: Contents = serde_json::from_slice(&contents).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(
                    0,
                    rusqlite::types::Type::Blob,
                    Box::new(error),
                )
            })?;
            let stores = inner.facts.get().stores.clone();
            let transaction = inner.connection.transaction()?;
            transaction.execute("UPDATE pack SET stored = 1 WHERE number = ?", [number])?;
            add_counts(&transaction, &contents, &stores)?;
            take_places(&transaction, number)?;
            transaction.commit()?;
            inner.facts.change().pending.remove(&number);
            Ok(())
        })
    }

    /// Every pack, in write order.
    pub fn packs(&self) -> Result<Vec<PackRecord>> {
        self.with(|inner| {
            let mut statement = inner.connection.prepare(
                "SELECT number, kind, name, size, stored, suspect, segment FROM pack ORDER BY number",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(PackRecord {
                    number: row.get(0)?,
                    kind: pack_kind(row.get(1)?),
                    name: hash(row, 2)?,
                    size: u64::try_from(row.get::<_, i64>(3)?).unwrap_or_default(),
                    stored: row.get(4)?,
                    suspect: row.get(5)?,
                    segment: row.get(6)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Voids the marks of all earlier runs in all stores: until this run ends, only blocks count as
    /// closed.
    pub fn void_all(&self) -> Result<()> {
        self.with(Inner::void_all)
    }

    /// Voids the marks of all earlier runs in a store: its library is not what it was when they
    /// were made.
    pub fn void_marks(&self, store: Store) -> Result<()> {
        self.with(|inner| {
            let (number, run) = (inner.store_number(store)?, inner.run);
            inner
                .connection
                .execute("UPDATE store SET since = ? WHERE number = ?", [run, number])?;
            inner.facts.change().since.insert(number, run);
            Ok(())
        })
    }

    /// Whether the marks of a store were voided in this run.
    pub fn is_voided(&self, store: Store) -> Result<bool> {
        self.with(|inner| {
            let facts = inner.facts.get();
            let number = facts.stores.get(&store);
            Ok(number
                .and_then(|number| facts.since.get(number))
                .is_some_and(|since| *since == inner.run))
        })
    }

    /// The number of stored packs, and the sum of their sizes in bytes.
    pub fn totals(&self) -> Result<(u64, u64)> {
        self.with(|inner| {
            inner.connection.query_row(
                "SELECT count(*), coalesce(sum(size), 0) FROM pack WHERE stored = 1",
                [],
                |row| {
                    let number = |index| {
                        row.get::<_, i64>(index).map(|n| u64::try_from(n).unwrap_or_default())
                    };
                    Ok((number(0)?, number(1)?))
                },
            )
        })
    }
}

pub(super) fn recount(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "UPDATE store SET commits = 0, fs = 0, blocks = 0, bytes = 0;
         UPDATE store SET commits = c.commits, fs = c.fs, blocks = c.blocks, bytes = c.bytes FROM
            (SELECT store, sum(object.kind = 0) AS commits, sum(object.kind = 1) AS fs, sum(object.kind = 2) AS blocks,
                sum(length) AS bytes FROM object JOIN pack ON pack.number = object.pack AND pack.stored = 1
             GROUP BY store) AS c
         WHERE c.store = store.number;",
    )
}
