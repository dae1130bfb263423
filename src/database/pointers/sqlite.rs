//! Seafile's tables in a private copy of a SQLite database.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use super::rows::{PointerCell, PointerRows, PointerTable, TableSource};
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
        Ok(Self { connection, file: file.to_path_buf() })
    }

    /// The names of a table's columns; none if there is no such table. SQLite ignores their case.
    fn columns(&self, table: &str) -> Result<Vec<String>, rusqlite::Error> {
        let mut query = self.connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        query.query_map([table], |row| row.get(0))?.collect()
    }

    /// Reads a table until its end or until something fails. `how` is SQL that follows the table's
    /// name.
    fn select<const COLUMNS: usize>(
        &self,
        table: &PointerTable<COLUMNS>,
        present: &[String],
        how: &str,
    ) -> (Vec<[PointerCell; COLUMNS]>, Option<rusqlite::Error>) {
        // SQLite would take an absent column in double quotes for a text.
        let columns = table.columns.map(|column| {
            if is_among(column, present) { format!("\"{column}\"") } else { String::from("NULL") }
        });
        let query = format!("SELECT {} FROM \"{}\"{how}", columns.join(", "), table.name);
        let mut read = Vec::new();
        let all = self.connection.prepare(&query).and_then(|mut query| {
            let mut rows = query.query_map([], cells)?;
            rows.try_for_each(|row| {
                read.push(row?);
                Ok(())
            })
        });
        (read, all.err())
    }

    /// Reads a table with damaged pages as far as possible: rows before the first bad page, rows
    /// behind the last bad page, and rows that the index of its first column has.
    fn select_around<const COLUMNS: usize>(
        &self,
        table: &PointerTable<COLUMNS>,
        present: &[String],
    ) -> PointerRows<COLUMNS> {
        let (rows, error) = self.select(table, present, " NOT INDEXED");
        let Some(error) = error else {
            // Only an index is damaged.
            return PointerRows::all(rows);
        };
        let (behind, _) = self.select(table, present, " NOT INDEXED ORDER BY rowid DESC");
        let by_index = format!(" ORDER BY \"{}\"", table.columns[0]);
        let (of_index, _) = self.select(table, present, &by_index);
        let found = rows.into_iter().chain(behind).chain(of_index);
        let found: HashSet<[PointerCell; COLUMNS]> = found.collect();
        let number = found.len();
        PointerRows {
            rows: found.into_iter().collect(),
            lost: Some(format!("{error} ({number} of its rows could be read)")),
        }
    }
}

impl TableSource for CopiedDatabase {
    fn rows<const COLUMNS: usize>(
        &self,
        table: &PointerTable<COLUMNS>,
    ) -> Result<PointerRows<COLUMNS>, Error> {
        let failed = |error| Error::from_sqlite(&self.file, error);
        let present = self.columns(table.name).map_err(failed)?;
        let absent = table.columns.into_iter().find(|column| !is_among(column, &present));
        match absent {
            Some(column) if table.needed => {
                Err(Error::MissingTable { file: self.file.clone(), table: table.name, column })
            }
            _ if present.is_empty() => Ok(PointerRows::all(Vec::new())),
            _ => match self.select(table, &present, "") {
                (rows, None) => Ok(PointerRows::all(rows)),
                (_, Some(error)) if is_damage(&error) => Ok(self.select_around(table, &present)),
                (_, Some(error)) => Err(failed(error)),
            },
        }
    }
}

/// Whether an error says that pages of the file are damaged. A page that is cut off gives an I/O
/// error.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::SystemIoFailure)
    )
}

fn is_among(column: &str, present: &[String]) -> bool {
    present.iter().any(|name| name.eq_ignore_ascii_case(column))
}

fn cells<const COLUMNS: usize>(row: &Row<'_>) -> Result<[PointerCell; COLUMNS], rusqlite::Error> {
    let mut cells = [const { PointerCell::Null }; COLUMNS];
    for (at, cell) in cells.iter_mut().enumerate() {
        *cell = match row.get_ref(at)? {
            ValueRef::Null => PointerCell::Null,
            ValueRef::Integer(number) => PointerCell::Integer(number),
            ValueRef::Real(number) => PointerCell::Text(number.to_string()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                PointerCell::Text(String::from_utf8_lossy(bytes).into_owned())
            }
        };
    }
    Ok(cells)
}
