//! The tables from which pointers are read, and the trait of anything that has such tables.
//!
//! Columns are named, never counted. SQLite and MySQL order them differently, MySQL has an `id`
//! column more, and old versions of Seafile have fewer columns.

use crate::database::Error;

/// The content of a cell, as far as pointers need it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::database) enum PointerCell {
    /// NULL, or a column that this version of Seafile does not have.
    Null,
    /// A whole number.
    Integer(i64),
    /// Anything else; bytes that are not UTF-8 are replaced.
    Text(String),
}

impl PointerCell {
    /// The cell as text; `None` for NULL.
    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Integer(number) => Some(number.to_string()),
            Self::Text(text) => Some(text),
        }
    }
}

/// A table, and the columns that are read from it.
#[derive(Debug)]
pub(in crate::database) struct PointerTable<const COLUMNS: usize> {
    /// Its name.
    pub(in crate::database) name: &'static str,
    /// Its columns, in the order in which cells are handed over.
    pub(in crate::database) columns: [&'static str; COLUMNS],
    /// Whether every version of Seafile has it. A database without it is not Seafile's.
    pub(in crate::database) needed: bool,
}

/// The rows that could be read of a table.
#[derive(Debug)]
pub(in crate::database) struct PointerRows<const COLUMNS: usize> {
    /// The rows, in any order.
    pub(in crate::database) rows: Vec<[PointerCell; COLUMNS]>,
    /// Why rows are missing, if some or all could not be read.
    pub(in crate::database) lost: Option<String>,
}

impl<const COLUMNS: usize> PointerRows<COLUMNS> {
    /// All rows of a table.
    pub(in crate::database) const fn all(rows: Vec<[PointerCell; COLUMNS]>) -> Self {
        Self { rows, lost: None }
    }

    /// No row, because the table cannot be read.
    pub(in crate::database) const fn lost(reason: String) -> Self {
        Self { rows: Vec::new(), lost: Some(reason) }
    }
}

/// Something that has Seafile's tables, as of one moment: a copy of a SQLite database, or a
/// transaction on a database server.
pub(in crate::database) trait TableSource {
    /// Returns the rows of a table. An absent table has no rows, and an absent column holds
    /// [`PointerCell::Null`]. In a needed table either is [`Error::MissingTable`]. A damaged table is no
    /// error: its [`PointerRows`] say why rows are missing.
    fn rows<const COLUMNS: usize>(
        &self,
        table: &PointerTable<COLUMNS>,
    ) -> Result<PointerRows<COLUMNS>, Error>;
}
