//! Removes packs from the catalog, with everything that was recorded of them.

use rusqlite::Transaction;

use super::Catalog;
use super::packs::recount;
use crate::host::Result;

impl Catalog {
    /// Forgets packs whose put never succeeded. No object was closed because of them.
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

    /// Forgets packs that are missing at the destination, and packs with a link to something in
    /// them. Segments that index such a pack become dirty.
    ///
    /// All marks of all stores become void, since an object may be closed because of what another
    /// store held. So the run walks every library in full, which reads only metadata.
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

    /// Forgets packs that the next snapshot does not need. Segments that index such a pack become
    /// dirty. The caller must have voided all marks in this run. Then only what this run visited
    /// counts, and these packs hold none of it.
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

/// Puts packs into the temporary table `forgotten`.
fn name_packs(transaction: &Transaction<'_>, packs: &[i64]) -> rusqlite::Result<()> {
    transaction.execute_batch("CREATE TEMP TABLE forgotten (pack INTEGER PRIMARY KEY)")?;
    let mut insert = transaction.prepare("INSERT OR IGNORE INTO forgotten VALUES (?)")?;
    for pack in packs {
        insert.execute([pack])?;
    }
    Ok(())
}

/// Adds the packs with a link to something in a forgotten pack, and repeats this until no pack is
/// added.
fn name_linking(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let to_nothing = "INSERT INTO forgotten SELECT DISTINCT pack FROM object AS o WHERE link IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM object AS t WHERE t.id = o.id AND t.kind = o.kind AND t.store = o.link)";
    // Also packs whose links' rows have moved to other packs: the links are still in the file.
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

/// Forgets the packs in `forgotten`, with everything that was recorded of them.
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
