//! What a database has: tables and their columns, views, triggers, routines, events, sequences.

use mysql_async::Row;

use super::connection::{MySqlConnection, cell_text};
use super::definition;
use super::error::{Error, MySqlErrorKind};
use super::literal::{self, SqlLiteral};
use super::unreadable::UnreadableRelation;

/// What a database has. Each kind is sorted by name.
#[derive(Debug)]
pub(super) struct MySqlSchema {
    /// Its default character set and collation.
    pub(super) charset: String,
    pub(super) collation: String,
    pub(super) case: NameCase,
    pub(super) tables: Vec<MySqlTable>,
    pub(super) sequences: Vec<String>,
    pub(super) views: Vec<MySqlView>,
    /// What the server lists and cannot open.
    pub(super) unreadable: Vec<UnreadableRelation>,
}

/// A table with rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MySqlTable {
    pub(super) name: String,
    pub(super) engine: String,
    /// When it was made or last rebuilt: another table under the same name has another time.
    pub(super) created: String,
    /// Whether a snapshot covers it.
    pub(super) is_transactional: bool,
    /// Whether the server keeps old versions of rows. Only the newest rows are dumped.
    pub(super) is_versioned: bool,
    /// The collation of text columns that name none.
    pub(super) collation: String,
    /// All columns, in their order.
    pub(super) columns: Vec<MySqlColumn>,
    /// The names of the primary key's columns.
    pub(super) primary: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MySqlColumn {
    pub(super) name: String,
    pub(super) literal: SqlLiteral,
    /// The character set and collation of a text column.
    pub(super) text: Option<MySqlTextType>,
}

impl MySqlColumn {
    /// The character set of a column whose text is dumped as bytes. Not every text of it would
    /// survive a conversion to UTF-8 and back. Some character sets have two codes for one character
    /// of Unicode, or a code without a character of Unicode.
    pub(super) fn introducer(&self) -> Option<&str> {
        const SAFE: [&str; 5] = ["utf8mb4", "utf8mb3", "utf8", "ascii", "latin1"];
        let charset = self.text.as_ref()?.charset.as_str();
        (self.literal == SqlLiteral::Quoted && !SAFE.contains(&charset)).then_some(charset)
    }
}

/// The character set and collation of a column's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MySqlTextType {
    pub(super) charset: String,
    pub(super) collation: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MySqlView {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// The rows of an `information_schema` table that are about a database. If the server tells case
/// apart in names, the database's name is also compared byte for byte, because these tables take
/// `A` for `a`.
pub(super) fn about(
    connection: &MySqlConnection,
    columns: &str,
    table: &str,
    schema_column: &str,
    database: &str,
) -> Result<Vec<Row>, Error> {
    let name = literal::text(database);
    connection.rows(&format!(
        "SELECT {columns} FROM information_schema.{table} \
         WHERE {schema_column} = {name} AND (@@lower_case_table_names <> 0 \
         OR CAST({schema_column} AS BINARY) = CAST({name} AS BINARY))"
    ))
}

/// Reads what a database has. A table that cannot be opened is an error.
pub(super) fn read(connection: &MySqlConnection, database: &str) -> Result<MySqlSchema, Error> {
    let schema = read_all(connection, database)?;
    let Some(UnreadableRelation { name, reason }) = schema.unreadable.first() else {
        return Ok(schema);
    };
    let what = format!("the table {database}.{name} cannot be opened: {reason}");
    Err(Error::new(connection.server(), MySqlErrorKind::Unsupported, what))
}

/// Reads what a database has. Tables that cannot be opened are listed apart.
pub(super) fn read_all(connection: &MySqlConnection, database: &str) -> Result<MySqlSchema, Error> {
    let defaults = about(
        connection,
        "DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME",
        "SCHEMATA",
        "SCHEMA_NAME",
        database,
    )?;
    let Some(mut defaults) = defaults.into_iter().next() else {
        let what = format!("there is no database {database}, or the account may not see it");
        return Err(Error::new(connection.server(), MySqlErrorKind::NoDatabase, what));
    };
    let mut schema = MySqlSchema {
        charset: cell_text(&mut defaults, 0).unwrap_or_default(),
        collation: cell_text(&mut defaults, 1).unwrap_or_default(),
        case: NameCase::of(connection)?,
        tables: Vec::new(),
        sequences: Vec::new(),
        views: Vec::new(),
        unreadable: Vec::new(),
    };
    let transactional: Vec<String> = connection
        .rows("SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'")?
        .iter_mut()
        .filter_map(|row| cell_text(row, 0))
        .collect();
    let columns = SchemaColumns::read(connection, database)?;
    let tables = about(
        connection,
        "TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COMMENT, CREATE_TIME, TABLE_COLLATION",
        "TABLES",
        "TABLE_SCHEMA",
        database,
    )?;
    for mut row in tables {
        let mut cell = |column| cell_text(&mut row, column);
        let (name, sort, engine) = (cell(0).unwrap_or_default(), cell(1), cell(2));
        match sort.as_deref().unwrap_or_default() {
            "VIEW" | "SYSTEM VIEW" => schema.views.push(MySqlView {
                columns: columns.of(&name).into_iter().map(|column| column.name).collect(),
                name,
            }),
            "SEQUENCE" => schema.sequences.push(name),
            sort => {
                let Some(engine) = engine else {
                    let reason = cell(3).unwrap_or_default();
                    schema.unreadable.push(UnreadableRelation { name, reason });
                    continue;
                };
                schema.tables.push(MySqlTable {
                    is_transactional: transactional.contains(&engine),
                    is_versioned: sort == "SYSTEM VERSIONED",
                    columns: columns.of(&name),
                    primary: columns.primary_of(&name),
                    engine,
                    created: cell(4).unwrap_or_default(),
                    collation: cell(5).unwrap_or_default(),
                    name,
                });
            }
        }
    }
    schema.tables.sort_by(|one, other| one.name.cmp(&other.name));
    schema.views.sort_by(|one, other| one.name.cmp(&other.name));
    schema.sequences.sort();
    Ok(schema)
}

/// How the server treats upper and lower case in names of databases and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameCase {
    /// Names that differ by case are different.
    Differs,
    /// Names are kept in lower case.
    Lowered,
    /// Names are kept as they are, and compared in lower case.
    Folded,
}

impl NameCase {
    pub(super) fn of(connection: &MySqlConnection) -> Result<Self, Error> {
        let setting = connection.text("SELECT @@lower_case_table_names")?;
        Ok(match setting.as_deref() {
            Some("1") => Self::Lowered,
            Some("2") => Self::Folded,
            _ => Self::Differs,
        })
    }
}

impl MySqlTable {
    /// Columns that hold values of their own, without those that the server computes.
    pub(super) fn held(&self) -> impl Iterator<Item = &MySqlColumn> {
        let columns = self.columns.iter();
        columns.filter(|column| column.literal != SqlLiteral::None)
    }
}

/// The columns of all tables.
struct SchemaColumns {
    /// Table, position, column.
    all: Vec<(String, u64, MySqlColumn)>,
    /// Table, position in the primary key, column.
    primary: Vec<(String, u64, String)>,
}

impl SchemaColumns {
    fn read(connection: &MySqlConnection, database: &str) -> Result<Self, Error> {
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        let rows = about(
            connection,
            "TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, DATA_TYPE, EXTRA, CHARACTER_SET_NAME, COLLATION_NAME",
            "COLUMNS",
            "TABLE_SCHEMA",
            database,
        )?;
        let mut all: Vec<_> = rows
            .into_iter()
            .map(|mut row| {
                let mut cell = |column| cell_text(&mut row, column);
                let extra = cell(4).unwrap_or_default();
                let literal = SqlLiteral::of(&cell(3).unwrap_or_default());
                let text = cell(5).zip(cell(6));
                let column = MySqlColumn {
                    name: cell(2).unwrap_or_default(),
                    literal: if is_computed(&extra) { SqlLiteral::None } else { literal },
                    text: text.map(|(charset, collation)| MySqlTextType { charset, collation }),
                };
                (cell(0).unwrap_or_default(), number(cell(1)), column)
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
                    (cell(0).unwrap_or_default(), number(cell(1)), cell(2).unwrap_or_default())
                })
            })
            .collect();
        primary.sort();
        Ok(Self { all, primary })
    }

    fn of(&self, table: &str) -> Vec<MySqlColumn> {
        let start = self.all.partition_point(|column| column.0.as_str() < table);
        let of_table = self.all[start..].iter().take_while(|column| column.0 == table);
        of_table.map(|(_, _, column)| column.clone()).collect()
    }

    fn primary_of(&self, table: &str) -> Vec<String> {
        let start = self.primary.partition_point(|column| column.0.as_str() < table);
        let of_table = self.primary[start..].iter().take_while(|column| column.0 == table);
        of_table.map(|(_, _, name)| name.clone()).collect()
    }
}

/// Whether a column is computed, by its `EXTRA`: `VIRTUAL GENERATED`, `STORED GENERATED`, and old
/// `MariaDB`'s `VIRTUAL` and `PERSISTENT`. A `DEFAULT_GENERATED` column only has an expression as
/// its default, and holds what it was given.
fn is_computed(extra: &str) -> bool {
    let extra = extra.to_ascii_uppercase();
    ["VIRTUAL", "STORED GENERATED", "PERSISTENT"].iter().any(|word| extra.contains(word))
}

/// A routine, trigger or event, with the settings of the session that it was made in and runs in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SqlProgram {
    pub(super) create: String,
    pub(super) sql_mode: String,
    pub(super) time_zone: Option<String>,
    /// The collation of the session.
    pub(super) collation: String,
    /// The collation of the database, for parameters and variables that name none.
    pub(super) database_collation: String,
}

/// The database's triggers, in the order in which they have to be made. Of several for one table
/// and moment, the first one runs first.
pub(super) fn triggers(
    connection: &MySqlConnection,
    database: &str,
    unreadable: &[UnreadableRelation],
) -> Result<Vec<SqlProgram>, Error> {
    let rows = about(
        connection,
        "EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER, TRIGGER_NAME",
        "TRIGGERS",
        "TRIGGER_SCHEMA",
        database,
    )?;
    let mut triggers = Vec::new();
    for mut row in rows {
        let mut cell = |column| cell_text(&mut row, column).unwrap_or_default();
        let (table, timing, event) = (cell(0), cell(1), cell(2));
        let order: u64 = cell(3).parse().unwrap_or(0);
        let name = cell(4);
        // The trigger is left out with its table.
        if unreadable.iter().any(|one| one.name == table) {
            continue;
        }
        let trigger = trigger(connection, database, &name, &table, &format!("{timing} {event}"))?;
        triggers.push(((table, timing, event, order), trigger));
    }
    triggers.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(triggers.into_iter().map(|(_, trigger)| trigger).collect())
}

/// Reads one trigger. Its body comes from the statement that made it. The server has read and
/// rewritten the one in `information_schema`, which loses backslashes and character sets of texts.
fn trigger(
    connection: &MySqlConnection,
    database: &str,
    name: &str,
    table: &str,
    moment: &str,
) -> Result<SqlProgram, Error> {
    let (name, table) = (literal::name(name), literal::name(table));
    let statement = format!("SHOW CREATE TRIGGER {}.{name}", literal::name(database));
    let mut rows = connection.rows(&statement)?;
    let mut cell = |column| rows.first_mut().and_then(|row| cell_text(row, column));
    let (sql_mode, made, collation, of_database) = (cell(1), cell(2), cell(4), cell(5));
    let made = made.unwrap_or_default();
    let body = definition::trigger_body(&made).ok_or_else(|| {
        let what = format!("it cannot be told what the trigger {database}.{name} does: {made}");
        Error::new(connection.server(), MySqlErrorKind::Other, what)
    })?;
    Ok(SqlProgram {
        create: format!("CREATE TRIGGER {name} {moment} ON {table} FOR EACH ROW {body}"),
        sql_mode: sql_mode.unwrap_or_default(),
        time_zone: None,
        collation: collation.unwrap_or_default(),
        database_collation: of_database.unwrap_or_default(),
    })
}

/// Procedures and functions, as (kind, name).
pub(super) fn routines(
    connection: &MySqlConnection,
    database: &str,
) -> Result<Vec<(String, String)>, Error> {
    let rows =
        about(connection, "ROUTINE_TYPE, ROUTINE_NAME", "ROUTINES", "ROUTINE_SCHEMA", database)?;
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
            Err(Error::new(connection.server(), MySqlErrorKind::Unsupported, what))
        }
        None => Ok(routines),
    }
}

pub(super) fn events(connection: &MySqlConnection, database: &str) -> Result<Vec<String>, Error> {
    let rows = about(connection, "EVENT_NAME", "EVENTS", "EVENT_SCHEMA", database)?;
    let mut events: Vec<String> =
        rows.into_iter().filter_map(|mut row| cell_text(&mut row, 0)).collect();
    events.sort();
    Ok(events)
}

/// For a sequence: the statement that makes it, and the one that sets it (`MariaDB`).
pub(super) fn sequence(
    connection: &MySqlConnection,
    database: &str,
    name: &str,
) -> Result<(String, String), Error> {
    let place = format!("{}.{}", literal::name(database), literal::name(name));
    let mut rows = connection.rows(&format!("SHOW CREATE SEQUENCE {place}"))?;
    let create = rows.first_mut().and_then(|row| cell_text(row, 1));
    let next = connection.text(&format!("SELECT next_not_cached_value FROM {place}"))?;
    let Some((create, next)) = create.zip(next) else {
        let what = format!("the server does not say how the sequence {database}.{name} is made");
        return Err(Error::new(connection.server(), MySqlErrorKind::Other, what));
    };
    let set = format!("SELECT SETVAL({}, {next}, 0)", literal::name(name));
    Ok((create, set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_columns() {
        for extra in ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT", "VIRTUAL"] {
            assert!(is_computed(extra), "{extra}");
        }
        for extra in
            ["", "auto_increment", "DEFAULT_GENERATED on update CURRENT_TIMESTAMP", "INVISIBLE"]
        {
            assert!(!is_computed(extra), "{extra}");
        }
    }
}
