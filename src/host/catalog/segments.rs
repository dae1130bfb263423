//! Segments in the catalog: which packs the base's lists name, in order.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::packs::{NewPack, PackRecord, hash, pack_kind, recount, signed};
use super::{ADOPTING, Base, Catalog, set_base, set_meta};
use crate::host::Result;
use crate::object::Sha256;
use crate::repository;
use crate::repository::configuration::RepositoryId;
use crate::repository::marker::Named;
use crate::repository::names::PackKind;
use crate::repository::pack::Contents;
use crate::repository::segment::Line;

/// A segment and its list as the base names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRecord {
    /// The segment's name.
    pub name: Sha256,
    /// Bytes stored.
    pub size: u64,
    /// Its tier.
    pub tier: u32,
    /// Its list.
    pub list: Named,
    /// Its packs, in write order.
    pub packs: Vec<(PackKind, Sha256)>,
    /// Whether its list names a pack that was forgotten: then it must be written again.
    pub dirty: bool,
}

impl Catalog {
    /// The segments of the base, in order.
    pub fn segments(&self) -> Result<Vec<SegmentRecord>> {
        self.with(|inner| {
            let mut packs: HashMap<i64, Vec<(PackKind, Sha256)>> = HashMap::new();
            let mut statement = inner.connection.prepare(
                "SELECT segment, kind, name FROM pack WHERE segment IS NOT NULL ORDER BY number",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                packs
                    .entry(row.get(0)?)
                    .or_default()
                    .push((pack_kind(row.get(1)?), hash(row, 2)?));
            }
            drop(rows);
            let mut statement = inner.connection.prepare(
                "SELECT number, name, size, tier, list, list_size, dirty FROM segment ORDER BY number",
            )?;
            let rows = statement.query_map([], |row| {
                let list = hash(row, 4)?;
                Ok(SegmentRecord {
                    name: hash(row, 1)?,
                    size: u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default(),
                    tier: row.get(3)?,
                    list: Named {
                        sha256: list,
                        size: u64::try_from(row.get::<_, i64>(5)?).unwrap_or_default(),
                        key: crate::repository::names::list(&list),
                    },
                    packs: packs.remove(&row.get(0)?).unwrap_or_default(),
                    dirty: row.get(6)?,
                })
            })?;
            rows.collect()
        })
    }

    /// The index line of a pack that is in no segment yet.
    pub fn unindexed_line(&self, pack: &PackRecord) -> Result<Option<Line>> {
        self.with(|inner| {
            let contents: Option<Vec<u8>> = inner.connection.query_row(
                "SELECT contents FROM pack WHERE number = ?",
                [pack.number],
                |row| row.get(0),
            )?;
            let contents = contents.and_then(|json| serde_json::from_slice(&json).ok());
            Ok(contents.map(|contents| Line {
                pack: pack.name,
                kind: pack.kind,
                size: pack.size,
                contents,
            }))
        })
    }

    /// Stores a pack's own table of contents, if the pack's segment is lost.
    pub fn describe_pack(&self, name: &Sha256, contents: &Contents) -> Result<()> {
        let json = serde_json::to_vec(contents).map_err(|error| repository::Error::Malformed {
            what: format!("the table of contents of pack {name}"),
            reason: error.to_string(),
        })?;
        self.with(|inner| {
            let sql = "UPDATE pack SET contents = ? WHERE name = ?";
            inner.connection.execute(sql, params![json, name.as_bytes()]).map(drop)
        })
    }

    /// The index line of a pack; `None` unless the catalog has its table of contents.
    pub fn described_line(&self, name: &Sha256) -> Result<Option<Line>> {
        let row = self.with(|inner| {
            let sql =
                "SELECT kind, size, contents FROM pack WHERE name = ? AND contents IS NOT NULL";
            let mut statement = inner.connection.prepare_cached(sql)?;
            let row = |row: &rusqlite::Row<'_>| {
                let size: i64 = row.get(1)?;
                Ok((pack_kind(row.get(0)?), size, row.get::<_, Vec<u8>>(2)?))
            };
            statement.query_row([name.as_bytes()], row).optional()
        })?;
        Ok(row.and_then(|(kind, size, contents)| {
            Some(Line {
                pack: *name,
                kind,
                size: u64::try_from(size).ok()?,
                contents: serde_json::from_slice(&contents).ok()?,
            })
        }))
    }

    /// Forgets everything but alarms, to take in what a base names. If the process dies before
    /// [`Self::finish_adoption`], the next [`Self::open`] empties the catalog.
    pub fn begin_adoption(&self, repository: &RepositoryId) -> Result<()> {
        self.clear(repository)?;
        self.with(|inner| set_meta(&inner.connection, ADOPTING, ""))
    }

    /// Takes in a pack that a verified base names: its objects are stored, but none is closed.
    /// Returns `false` and leaves the pack out if one of its links leads to nothing that was taken
    /// in before, because the target is lost ([`Self::drop_packs`]).
    pub fn adopt_line(&self, line: &Line) -> Result<bool> {
        self.with(|inner| {
            let pack = NewPack {
                name: line.pack,
                kind: line.kind,
                size: line.size,
                contents: &line.contents,
                walked: true,
            };
            inner.insert_pack(&pack, true, true, 0)
        })
    }

    /// Ends an adoption: the catalog now holds what the base's lists say.
    pub fn finish_adoption(&self, base: &Base, segments: &[SegmentRecord]) -> Result<()> {
        self.with(|inner| {
            let transaction = inner.connection.transaction()?;
            replace_segments(&transaction, segments)?;
            set_base(&transaction, base)?;
            recount(&transaction)?;
            transaction.execute("DELETE FROM meta WHERE name = ?", [ADOPTING])?;
            transaction.commit()
        })
    }
}

pub(super) fn replace_segments(
    connection: &Connection,
    segments: &[SegmentRecord],
) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM segment", [])?;
    let mut insert = connection.prepare(
        "INSERT INTO segment (number, name, size, tier, list, list_size, dirty) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut update = connection.prepare(
        "UPDATE pack SET segment = ?, contents = NULL
         WHERE name = ? AND (segment IS NOT ? OR contents IS NOT NULL)",
    )?;
    for (number, segment) in (1i64..).zip(segments) {
        insert.execute(params![
            number,
            segment.name.as_bytes(),
            signed(segment.size),
            segment.tier,
            segment.list.sha256.as_bytes(),
            signed(segment.list.size),
            segment.dirty
        ])?;
        for (_, pack) in &segment.packs {
            update.execute(params![number, pack.as_bytes(), number])?;
        }
    }
    Ok(())
}
