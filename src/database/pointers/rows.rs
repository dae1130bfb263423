//! The tables that pointers are read from, and what a database server has to offer to be read from.
//!
//! Columns are named, never counted: SQLite and MySQL order them differently, MySQL has an `id` more, and
//! old versions of Seafile have fewer.

use crate::database::Error;

/// What a cell holds, as far as pointers care.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::database) enum Cell {
    /// Nothing, or a column that this version of Seafile does not have.
    Null,
    /// A whole number.
    Integer(i64),
    /// Anything else; bytes that are not UTF-8 are replaced.
    Text(String),
}

impl Cell {
    /// Its text; `None` for nothing.
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
pub(in crate::database) struct Table<const COLUMNS: usize> {
    /// Its name.
    pub(in crate::database) name: &'static str,
    /// Its columns, in the order in which cells are handed over.
    pub(in crate::database) columns: [&'static str; COLUMNS],
    /// Whether every version of Seafile has it, so that without it this is another database.
    pub(in crate::database) needed: bool,
}

/// What could be read of a table.
#[derive(Debug)]
pub(in crate::database) struct Rows<const COLUMNS: usize> {
    /// The rows, in any order.
    pub(in crate::database) rows: Vec<[Cell; COLUMNS]>,
    /// Why others are missing, where some or all could not be read.
    pub(in crate::database) lost: Option<String>,
}

impl<const COLUMNS: usize> Rows<COLUMNS> {
    /// All rows of a table.
    pub(in crate::database) const fn all(rows: Vec<[Cell; COLUMNS]>) -> Self {
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
    /// Hands over the rows of a table. An absent table has none, an absent column holds [`Cell::Null`]; in a needed
    /// table both are [`Error::MissingTable`]. A table that is damaged is no error.
    fn rows<const COLUMNS: usize>(&self, table: &Table<COLUMNS>) -> Result<Rows<COLUMNS>, Error>;
}
