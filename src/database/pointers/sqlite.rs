//! Seafile's tables in a private copy of a SQLite database.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::rows::{Cell, Table, TableSource};
use crate::database::Error;

/// A copy that nobody writes to.
pub(super) struct CopiedDatabase {
    connection: Connection,
    file: PathBuf,
}

impl CopiedDatabase {
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)
            .map_err(|error| Error::from_sqlite(file, error))?;
        Ok(Self {
            connection,
            file: file.to_path_buf(),
        })
    }

    /// The names of a table's columns; none if there is no such table. SQLite ignores their case.
    fn columns(&self, table: &str) -> Result<Vec<String>, rusqlite::Error> {
        let mut query = self
            .connection
            .prepare("SELECT name FROM pragma_table_info(?1)")?;
        query.query_map([table], |row| row.get(0))?.collect()
    }

    fn select<const COLUMNS: usize>(
        &self,
        table: &Table<COLUMNS>,
        present: &[String],
    ) -> Result<Vec<[Cell; COLUMNS]>, rusqlite::Error> {
        // An absent column in double quotes would be taken for a text.
        let columns = table.columns.map(|column| {
            if is_among(column, present) {
                format!("\"{column}\"")
            } else {
                String::from("NULL")
            }
        });
        let query = format!("SELECT {} FROM \"{}\"", columns.join(", "), table.name);
        let mut query = self.connection.prepare(&query)?;
        query.query_map([], cells)?.collect()
    }
}

impl TableSource for CopiedDatabase {
    fn rows<const COLUMNS: usize>(
        &self,
        table: &Table<COLUMNS>,
    ) -> Result<Vec<[Cell; COLUMNS]>, Error> {
        let failed = |error| Error::from_sqlite(&self.file, error);
        let present = self.columns(table.name).map_err(failed)?;
        let absent = table
            .columns
            .into_iter()
            .find(|column| !is_among(column, &present));
        match absent {
            Some(column) if table.needed => Err(Error::MissingTable {
                file: self.file.clone(),
                table: table.name,
                column,
            }),
            _ if present.is_empty() => Ok(Vec::new()),
            _ => self.select(table, &present).map_err(failed),
        }
    }
}

fn is_among(column: &str, present: &[String]) -> bool {
    present.iter().any(|name| name.eq_ignore_ascii_case(column))
}

fn cells<const COLUMNS: usize>(row: &Row<'_>) -> Result<[Cell; COLUMNS], rusqlite::Error> {
    let mut cells = [const { Cell::Null }; COLUMNS];
    for (at, cell) in cells.iter_mut().enumerate() {
        *cell = match row.get_ref(at)? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Real(number) => Cell::Text(number.to_string()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Cell::Text(String::from_utf8_lossy(bytes).into_owned())
            }
        };
    }
    Ok(cells)
}
