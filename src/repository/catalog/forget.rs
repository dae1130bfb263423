//! What the catalog forgets: packs, and all that was recorded of them.

use rusqlite::Transaction;

use super::Catalog;
use super::packs::recount;
use crate::repository::Result;

impl Catalog {
    /// Forgets packs whose put never succeeded. Nothing was closed because of them.
    pub fn forget_pending(&self, packs: &[i64]) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        self.with(|inner| {
            let transaction = inner.connection.transaction()?;
            name_packs(&transaction, packs)?;
            forget_named(&transaction)?;
            transaction.commit()?;
            inner.reload()
        })
    }

    /// Forgets packs that are not at the destination (any more), and packs with a link to something
    /// that they held. Segments that index one of them are dirty, and all marks of all stores are
    /// void: an object may be closed because of what another store held. Every library is walked in
    /// full, which reads metadata only.
    pub fn drop_packs(&self, packs: &[i64]) -> Result<()> {
        self.with(|inner| {
            let transaction = inner.connection.transaction()?;
            name_packs(&transaction, packs)?;
            name_linking(&transaction)?;
            forget_named(&transaction)?;
            recount(&transaction)?;
            transaction.commit()?;
            inner.reload()?;
            inner.void_all()
        })
    }

    /// Forgets packs that the next snapshot need not name. Segments that index one of them are dirty. Whoever calls this
    /// has voided all marks in this run: what it came by is not forgotten, and nothing else is closed.
    pub fn retire(&self, packs: &[i64]) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        self.with(|inner| {
            let transaction = inner.connection.transaction()?;
            name_packs(&transaction, packs)?;
            forget_named(&transaction)?;
            recount(&transaction)?;
            transaction.commit()?;
            inner.reload()
        })
    }
}

/// Names packs that are to be forgotten.
fn name_packs(transaction: &Transaction<'_>, packs: &[i64]) -> rusqlite::Result<()> {
    transaction.execute_batch("CREATE TEMP TABLE forgotten (pack INTEGER PRIMARY KEY)")?;
    let mut insert = transaction.prepare("INSERT OR IGNORE INTO forgotten VALUES (?)")?;
    for pack in packs {
        insert.execute([pack])?;
    }
    Ok(())
}

/// Names also the packs with a link to something that those named held, and so on.
fn name_linking(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let to_nothing = "INSERT INTO forgotten SELECT DISTINCT pack FROM object AS o WHERE link IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM object AS t WHERE t.id = o.id AND t.kind = o.kind AND t.store = o.link)";
    // Also one whose links' rows have moved on: they are in the pack all the same.
    let moved_on =
        "INSERT OR IGNORE INTO forgotten SELECT pack FROM pack_link WHERE target IN forgotten";
    loop {
        transaction.execute("DELETE FROM object WHERE pack IN forgotten", [])?;
        let linking = transaction.execute(to_nothing, [])? + transaction.execute(moved_on, [])?;
        if linking == 0 {
            return Ok(());
        }
    }
}

/// Forgets the packs that were named, and all that was recorded of them.
fn forget_named(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "DELETE FROM object WHERE pack IN forgotten;
         DELETE FROM salvaged WHERE pack IN forgotten;
         DELETE FROM replacement WHERE pack IN forgotten;
         DELETE FROM pack_link WHERE pack IN forgotten OR target IN forgotten;
         UPDATE segment SET dirty = 1 WHERE number IN (SELECT segment FROM pack WHERE number IN forgotten);
         DELETE FROM pack WHERE number IN forgotten;
         DROP TABLE forgotten;",
    )
}
