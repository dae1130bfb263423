//! What a database has: tables and their columns, views, triggers, routines, events, sequences.

use mysql_async::Row;

use super::connection::{Connection, Vendor, cell_text};
use super::error::{Error, ErrorKind};
use super::literal::{self, Literal};

/// What a database has; each sort in order of names.
#[derive(Debug, Default)]
pub(super) struct Schema {
    /// Its default character set and collation.
    pub(super) charset: String,
    pub(super) collation: String,
    pub(super) tables: Vec<Table>,
    pub(super) sequences: Vec<String>,
    pub(super) views: Vec<View>,
}

/// A table with rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) engine: String,
    /// Whether a snapshot holds for it.
    pub(super) is_transactional: bool,
    /// Whether the server keeps old rows, of which only the newest are dumped.
    pub(super) is_versioned: bool,
    /// Columns that hold something: not those that the server computes.
    pub(super) columns: Vec<Column>,
    /// The names of the primary key's columns.
    pub(super) primary: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) literal: Literal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// The rows of an `information_schema` table that are about a database. Its name is compared byte for
/// byte too: these tables would take `A` for `a`.
pub(super) fn about(
    connection: &Connection,
    columns: &str,
    table: &str,
    schema_column: &str,
    database: &str,
) -> Result<Vec<Row>, Error> {
    let name = literal::text(database);
    connection.rows(&format!(
        "SELECT {columns} FROM information_schema.{table} \
         WHERE {schema_column} = {name} AND CAST({schema_column} AS BINARY) = CAST({name} AS BINARY)"
    ))
}

pub(super) fn read(connection: &Connection, database: &str) -> Result<Schema, Error> {
    let defaults = about(
        connection,
        "DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME",
        "SCHEMATA",
        "SCHEMA_NAME",
        database,
    )?;
    let Some(mut defaults) = defaults.into_iter().next() else {
        let what = format!("there is no database {database}, or the account may not see it");
        return Err(Error::new(connection.server(), ErrorKind::NoDatabase, what));
    };
    let mut schema = Schema {
        charset: cell_text(&mut defaults, 0).unwrap_or_default(),
        collation: cell_text(&mut defaults, 1).unwrap_or_default(),
        ..Schema::default()
    };
    let transactional: Vec<String> = connection
        .rows("SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'")?
        .iter_mut()
        .filter_map(|row| cell_text(row, 0))
        .collect();
    let mut columns = Columns::read(connection, database)?;
    let tables = about(
        connection,
        "TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COMMENT",
        "TABLES",
        "TABLE_SCHEMA",
        database,
    )?;
    for mut row in tables {
        let mut cell = |column| cell_text(&mut row, column);
        let (name, sort, engine) = (cell(0).unwrap_or_default(), cell(1), cell(2));
        match sort.as_deref().unwrap_or_default() {
            "VIEW" | "SYSTEM VIEW" => schema.views.push(View {
                columns: columns
                    .of(&name)
                    .into_iter()
                    .map(|(name, _)| name)
                    .collect(),
                name,
            }),
            "SEQUENCE" => schema.sequences.push(name),
            sort => {
                let Some(engine) = engine else {
                    let comment = cell(3).unwrap_or_default();
                    let what = format!("the table {database}.{name} cannot be opened: {comment}");
                    return Err(Error::new(
                        connection.server(),
                        ErrorKind::Unsupported,
                        what,
                    ));
                };
                let held = columns.of(&name).into_iter();
                let held = held.filter_map(|(name, literal)| {
                    let literal = literal?;
                    Some(Column { name, literal })
                });
                schema.tables.push(Table {
                    is_transactional: transactional.contains(&engine),
                    is_versioned: sort == "SYSTEM VERSIONED",
                    columns: held.collect(),
                    primary: columns.primary_of(&name),
                    engine,
                    name,
                });
            }
        }
    }
    schema
        .tables
        .sort_by(|one, other| one.name.cmp(&other.name));
    schema.views.sort_by(|one, other| one.name.cmp(&other.name));
    schema.sequences.sort();
    Ok(schema)
}

/// The columns of all tables: name, and how values are written, if it holds any.
struct Columns {
    /// Table, position, column.
    all: Vec<(String, u64, String, Option<Literal>)>,
    /// Table, position in the primary key, column.
    primary: Vec<(String, u64, String)>,
}

impl Columns {
    fn read(connection: &Connection, database: &str) -> Result<Self, Error> {
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        let rows = about(
            connection,
            "TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, DATA_TYPE, EXTRA",
            "COLUMNS",
            "TABLE_SCHEMA",
            database,
        )?;
        let mut all: Vec<_> = rows
            .into_iter()
            .map(|mut row| {
                let mut cell = |column| cell_text(&mut row, column);
                let extra = cell(4).unwrap_or_default();
                let literal = Literal::of(&cell(3).unwrap_or_default());
                (
                    cell(0).unwrap_or_default(),
                    number(cell(1)),
                    cell(2).unwrap_or_default(),
                    (!is_computed(&extra)).then_some(literal),
                )
            })
            .collect();
        all.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
        let rows = about(
            connection,
            "TABLE_NAME, SEQ_IN_INDEX, COLUMN_NAME, INDEX_NAME",
            "STATISTICS",
            "TABLE_SCHEMA",
            database,
        )?;
        let mut primary: Vec<_> = rows
            .into_iter()
            .filter_map(|mut row| {
                let mut cell = |column| cell_text(&mut row, column);
                (cell(3).as_deref() == Some("PRIMARY")).then(|| {
                    (
                        cell(0).unwrap_or_default(),
                        number(cell(1)),
                        cell(2).unwrap_or_default(),
                    )
                })
            })
            .collect();
        primary.sort();
        Ok(Self { all, primary })
    }

    fn of(&mut self, table: &str) -> Vec<(String, Option<Literal>)> {
        let start = self.all.partition_point(|column| column.0.as_str() < table);
        let of_table = self.all[start..]
            .iter()
            .take_while(|column| column.0 == table);
        of_table
            .map(|(_, _, name, literal)| (name.clone(), *literal))
            .collect()
    }

    fn primary_of(&self, table: &str) -> Vec<String> {
        let start = self
            .primary
            .partition_point(|column| column.0.as_str() < table);
        let of_table = self.primary[start..]
            .iter()
            .take_while(|column| column.0 == table);
        of_table.map(|(_, _, name)| name.clone()).collect()
    }
}

/// By `EXTRA`: `VIRTUAL GENERATED`, `STORED GENERATED`, old `MariaDB`'s `VIRTUAL` and `PERSISTENT`. A
/// `DEFAULT_GENERATED` column has a default that is an expression, and holds what it was given.
fn is_computed(extra: &str) -> bool {
    let extra = extra.to_ascii_uppercase();
    ["VIRTUAL", "STORED GENERATED", "PERSISTENT"]
        .iter()
        .any(|word| extra.contains(word))
}

/// The database's triggers, in the order in which they have to be made: of those of one table and
/// moment the first runs first.
pub(super) struct Trigger {
    pub(super) create: String,
    pub(super) sql_mode: String,
    pub(super) collation: String,
}

pub(super) fn triggers(connection: &Connection, database: &str) -> Result<Vec<Trigger>, Error> {
    let rows = about(
        connection,
        "EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER, TRIGGER_NAME, \
         ACTION_STATEMENT, SQL_MODE, COLLATION_CONNECTION",
        "TRIGGERS",
        "TRIGGER_SCHEMA",
        database,
    )?;
    let mut triggers = Vec::new();
    for mut row in rows {
        let mut cell = |column| cell_text(&mut row, column).unwrap_or_default();
        let (table, timing, event) = (cell(0), cell(1), cell(2));
        let order: u64 = cell(3).parse().unwrap_or(0);
        let (name, body) = (cell(4), cell(5));
        let create = format!(
            "CREATE TRIGGER {} {timing} {event} ON {} FOR EACH ROW {body}",
            literal::name(&name),
            literal::name(&table)
        );
        let trigger = Trigger {
            create,
            sql_mode: cell(6),
            collation: cell(7),
        };
        triggers.push(((table, timing, event, order), trigger));
    }
    triggers.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(triggers.into_iter().map(|(_, trigger)| trigger).collect())
}

/// Procedures and functions, as (kind, name).
pub(super) fn routines(
    connection: &Connection,
    database: &str,
) -> Result<Vec<(String, String)>, Error> {
    let rows = about(
        connection,
        "ROUTINE_TYPE, ROUTINE_NAME",
        "ROUTINES",
        "ROUTINE_SCHEMA",
        database,
    )?;
    let mut routines: Vec<(String, String)> = rows
        .into_iter()
        .map(|mut row| {
            let mut cell = |column| cell_text(&mut row, column).unwrap_or_default();
            (cell(0), cell(1))
        })
        .collect();
    routines.sort();
    let plain = |kind: &str| kind == "PROCEDURE" || kind == "FUNCTION";
    match routines.iter().find(|(kind, _)| !plain(kind)) {
        Some((kind, name)) => {
            let what = format!("{database}.{name}: a {kind} cannot be dumped by this version");
            Err(Error::new(
                connection.server(),
                ErrorKind::Unsupported,
                what,
            ))
        }
        None => Ok(routines),
    }
}

pub(super) fn events(connection: &Connection, database: &str) -> Result<Vec<String>, Error> {
    let rows = about(connection, "EVENT_NAME", "EVENTS", "EVENT_SCHEMA", database)?;
    let mut events: Vec<String> = rows
        .into_iter()
        .filter_map(|mut row| cell_text(&mut row, 0))
        .collect();
    events.sort();
    Ok(events)
}

/// A sequence's state, as the statement that sets it (`MariaDB`).
pub(super) fn sequence(
    connection: &Connection,
    database: &str,
    name: &str,
) -> Result<(String, String), Error> {
    debug_assert_eq!(connection.vendor(), Vendor::MariaDb);
    let place = format!("{}.{}", literal::name(database), literal::name(name));
    let mut rows = connection.rows(&format!("SHOW CREATE SEQUENCE {place}"))?;
    let create = rows.first_mut().and_then(|row| cell_text(row, 1));
    let next = connection.text(&format!("SELECT next_not_cached_value FROM {place}"))?;
    let next = next.unwrap_or_default();
    let set = format!("SELECT SETVAL({}, {next}, 0)", literal::name(name));
    Ok((create.unwrap_or_default(), set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_columns() {
        for extra in [
            "VIRTUAL GENERATED",
            "STORED GENERATED",
            "PERSISTENT",
            "VIRTUAL",
        ] {
            assert!(is_computed(extra), "{extra}");
        }
        for extra in [
            "",
            "auto_increment",
            "DEFAULT_GENERATED on update CURRENT_TIMESTAMP",
            "INVISIBLE",
        ] {
            assert!(!is_computed(extra), "{extra}");
        }
    }
}
