//! Writes a database as SQL text that the stock clients load into a database of any name.
//!
//! Equal databases give equal text: no time, server or account is in it. The text begins with a
//! header that sets up the session. Its last line says how many tables and rows there are; without
//! that line the dump is not whole. Between them stand, in this order: sequences, tables with their
//! rows, placeholders for views (so that views may use each other in any order), routines,
//! triggers, views, events.

use std::io::{self, Write};

use mysql_async::{Row, Value};

use super::connection::MySqlConnection;
use super::definition;
use super::error::{Error, MySqlErrorKind};
use super::literal::{self, SqlLiteral};
use super::schema::{self, MySqlSchema, MySqlTable, NameCase};
use super::snapshot::released;
use super::unreadable::{self, UnreadableInDatabase, UnreadableRelation};

/// An INSERT ends once it has so many bytes.
const INSERT_BYTES: usize = 1 << 20;
/// How many bytes servers take in one statement unless they are told otherwise (16 MiB since
/// `MySQL` 5.6).
const USUAL_PACKET: usize = 16 << 20;
/// No server takes more bytes in one statement (`max_allowed_packet`'s own limit).
const LARGEST_PACKET: usize = 1 << 30;
/// How the last line begins.
const TRAILER: &str = "-- seawall dump complete: ";

/// A dump has this line if its server kept names in lower case. Elsewhere programs ask for names in
/// their own case, and would not find these.
const LOWERED: &str = "-- The server kept names in lower case (lower_case_table_names).\n";
const HEADER: &str = "\
SET @old_names = @@character_set_client, @old_time_zone = @@time_zone, @old_sql_mode = @@sql_mode,
  @old_foreign_key_checks = @@foreign_key_checks, @old_unique_checks = @@unique_checks;
SET NAMES utf8mb4;
SET time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks = 0, unique_checks = 0
  /*M!100201 , check_constraint_checks = 0 */;
";
const FOOTER: &str = "
SET time_zone = @old_time_zone, sql_mode = @old_sql_mode, character_set_client = @old_names,
  foreign_key_checks = @old_foreign_key_checks, unique_checks = @old_unique_checks
  /*M!100201 , check_constraint_checks = 1 */;
";

/// What a dump holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpTotals {
    /// Tables.
    pub tables: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// What somebody who loads it should know.
    pub notes: Vec<String>,
}

/// Why a dump was not finished.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The server failed.
    #[error(transparent)]
    Server(#[from] Error),
    /// It could not be written.
    #[error("the dump cannot be written")]
    Write(#[from] io::Error),
}

/// Whether `tail` is the end of a whole dump.
pub fn is_complete(tail: &[u8]) -> bool {
    let Some(text) = tail.strip_suffix(b"\n") else {
        return false;
    };
    let line = text.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    line.starts_with(TRAILER.as_bytes())
}

/// How many tables and rows a dump has, by its last line. `None` if it is not whole.
pub(super) fn counts(tail: &[u8]) -> Option<(u64, u64)> {
    let text = tail.strip_suffix(b"\n")?;
    let line = text.rsplit(|&byte| byte == b'\n').next()?;
    let said = std::str::from_utf8(line).ok()?.strip_prefix(TRAILER)?;
    let (tables, rows) = said.strip_suffix(" rows")?.split_once(" tables, ")?;
    Some((tables.parse().ok()?, rows.parse().ok()?))
}

/// What a dump says at its beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DumpHead {
    /// The character set and collation of its database.
    pub(super) defaults: Option<(String, String)>,
    /// Whether its server kept names in lower case.
    pub(super) lowers_names: bool,
}

impl DumpHead {
    pub(super) fn parse(head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head);
        let mut this = Self::default();
        for line in head.lines().take_while(|line| line.starts_with("-- ")) {
            this.defaults = this.defaults.or_else(|| defaults(line));
            this.lowers_names |= line == LOWERED.trim_end();
        }
        this
    }
}

fn defaults(line: &str) -> Option<(String, String)> {
    let (charset, rest) = line.strip_prefix("-- CHARACTER SET ")?.split_once(" COLLATE ")?;
    let (collation, _) = rest.split_once(';')?;
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
    };
    (is_name(charset) && is_name(collation)).then(|| (charset.to_owned(), collation.to_owned()))
}

/// The kinds of things that a database has besides tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProgramGroup {
    /// Routines and views, which do nothing by themselves.
    Passive,
    /// Triggers, which follow changes of tables.
    Triggers,
    /// Events, which happen at their time.
    Events,
}

/// Returns one part of what a database has besides tables, as statements.
pub(super) fn part(
    connection: &MySqlConnection,
    database: &str,
    schema: &MySqlSchema,
    part: ProgramGroup,
) -> Result<Vec<u8>, DumpError> {
    connection.run(&format!("USE {}", literal::name(database)))?;
    let mut text = HEADER.as_bytes().to_vec();
    let mut dump =
        DumpWriter { connection, database, out: &mut text, totals: DumpTotals::default() };
    match part {
        ProgramGroup::Passive => {
            dump.placeholders(schema)?;
            dump.routines(schema)?;
            dump.views(schema)?;
        }
        ProgramGroup::Triggers => dump.triggers(schema)?,
        ProgramGroup::Events => dump.events(schema)?,
    }
    dump.out.write_all(FOOTER.as_bytes())?;
    Ok(text)
}

/// Writes a database that is read inside a transaction.
pub(super) fn write(
    connection: &MySqlConnection,
    database: &str,
    schema: &MySqlSchema,
    out: &mut dyn Write,
) -> Result<DumpTotals, DumpError> {
    // The server then shows views and routines without the database before the names of its tables.
    connection.run(&format!("USE {}", literal::name(database)))?;
    let mut dump = DumpWriter { connection, database, out, totals: DumpTotals::default() };
    dump.header(schema)?;
    for name in &schema.sequences {
        let (create, set) = released(connection, || schema::sequence(connection, database, name))?;
        dump.statement(&create)?;
        dump.statement(&set)?;
    }
    // Locked tables come first.
    let (snapshot, locked): (Vec<&MySqlTable>, Vec<&MySqlTable>) =
        schema.tables.iter().partition(|table| table.is_transactional);
    for table in locked.into_iter().chain(snapshot) {
        released(connection, || dump.table(table)).map_err(|error| match error {
            DumpError::Server(error) if unreadable::is_unreadable(&error) => {
                let bad = UnreadableInDatabase::failed(database, &table.name, &error);
                let kind = MySqlErrorKind::Unreadable(Box::new(bad));
                error.with_kind(kind).into()
            }
            error => error,
        })?;
    }
    dump.placeholders(schema)?;
    dump.routines(schema)?;
    dump.triggers(schema)?;
    dump.views(schema)?;
    dump.events(schema)?;
    let DumpTotals { tables, rows, .. } = dump.totals;
    writeln!(dump.out, "{FOOTER}{TRAILER}{tables} tables, {rows} rows")?;
    Ok(dump.totals)
}

/// A dump that is being written.
pub(super) struct DumpWriter<'a> {
    pub(super) connection: &'a MySqlConnection,
    pub(super) database: &'a str,
    pub(super) out: &'a mut dyn Write,
    pub(super) totals: DumpTotals,
}

impl DumpWriter<'_> {
    fn header(&mut self, schema: &MySqlSchema) -> Result<(), DumpError> {
        let MySqlSchema { charset, collation, .. } = schema;
        write!(
            self.out,
            "-- SQL dump by seawall: load it into an empty database that was made with\n\
             -- CHARACTER SET {charset} COLLATE {collation}; the last line says that it is whole.\n{}{HEADER}",
            if schema.case == NameCase::Lowered { LOWERED } else { "" }
        )?;
        for UnreadableRelation { name, .. } in &schema.unreadable {
            writeln!(self.out, "-- Left out, since the server could not read it: {name:?}")?;
        }
        Ok(())
    }

    pub(super) fn statement(&mut self, text: &str) -> Result<(), DumpError> {
        writeln!(self.out, "\n{text};")?;
        Ok(())
    }

    fn table(&mut self, table: &MySqlTable) -> Result<(), DumpError> {
        let [_, create] = self.shown("TABLE", &table.name, 1)?;
        let create = create.unwrap_or_default();
        let create = definition::without_database(&create, self.database);
        self.statement(&definition::with_collations(&create, table))?;
        self.totals.tables += 1;
        if table.is_versioned {
            self.totals.notes.push(format!(
                "{}.{}: of rows that the server keeps old versions of, only the newest are dumped",
                self.database, table.name
            ));
        }
        if create.contains(char::REPLACEMENT_CHARACTER) {
            self.totals.notes.push(format!(
                "{}.{}: its definition holds bytes that are no text (a binary default?), which are lost",
                self.database, table.name
            ));
        }
        // 1054: a column is gone. Somebody has dropped it since the snapshot began.
        self.rows(table).map_err(|error| match error {
            DumpError::Server(error) if error.code() == Some(1054) => {
                error.with_kind(MySqlErrorKind::Changed).into()
            }
            error => error,
        })?;
        self.is_the_same(table)
    }

    /// Checks that the table that was read is the one that the snapshot began with. Tools for
    /// online changes put another table under its name, and the snapshot shows that one with the
    /// rows that it had then. Nobody can alter the table that was read until it is released.
    fn is_the_same(&self, table: &MySqlTable) -> Result<(), DumpError> {
        let created = self.connection.text(&format!(
            "SELECT CREATE_TIME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            literal::text(self.database),
            literal::text(&table.name)
        ))?;
        if created.unwrap_or_default() == table.created {
            return Ok(());
        }
        let what = format!("the table {}.{} is another one now", self.database, table.name);
        Err(Error::new(self.connection.server(), MySqlErrorKind::Changed, what).into())
    }

    fn rows(&mut self, table: &MySqlTable) -> Result<(), DumpError> {
        let names: Vec<String> = table.held().map(|column| literal::name(&column.name)).collect();
        let selected: Vec<String> = table
            .held()
            .zip(&names)
            .map(|(column, name)| match (column.literal, column.introducer()) {
                (SqlLiteral::Double, _) => format!("{name} + 0e0"),
                (_, Some(_)) => format!("CAST({name} AS BINARY)"),
                _ => name.clone(),
            })
            .collect();
        let order: Vec<String> = table.primary.iter().map(|name| literal::name(name)).collect();
        let place = literal::name(&table.name);
        let statement = format!(
            "SELECT {} FROM {place}{}{}",
            if selected.is_empty() { "1".to_owned() } else { selected.join(", ") },
            // Rows come in the order of the primary key, whichever index the server would choose.
            if order.is_empty() || !table.is_transactional { "" } else { " ORDER BY " },
            if table.is_transactional { order.join(", ") } else { String::new() },
        );
        let mut insert = InsertBuilder {
            begin: format!("\nINSERT INTO {place} ({}) VALUES\n", names.join(", ")).into_bytes(),
            text: Vec::with_capacity(INSERT_BYTES + (64 << 10)),
            largest: 0,
        };
        let mut rows = 0;
        let connection = self.connection;
        connection.each(&statement, |row| {
            rows += 1;
            insert.add(table, &row, connection)?;
            if insert.text.len() >= INSERT_BYTES {
                insert.flush(self.out)?;
            }
            Ok::<_, DumpError>(())
        })?;
        insert.flush(self.out)?;
        self.totals.rows += rows;
        if insert.largest > LARGEST_PACKET {
            let what = format!(
                "the table {}.{} has a row of {} bytes: no server takes so much in one statement",
                self.database, table.name, insert.largest
            );
            return Err(Error::new(connection.server(), MySqlErrorKind::Unsupported, what).into());
        }
        if insert.largest > USUAL_PACKET {
            self.totals.notes.push(format!(
                "{}.{} has a row of {} bytes: it loads where max_allowed_packet is larger",
                self.database, table.name, insert.largest
            ));
        }
        Ok(())
    }
}

/// Rows that are collected for one statement.
struct InsertBuilder {
    begin: Vec<u8>,
    text: Vec<u8>,
    /// The longest row, in bytes.
    largest: usize,
}

impl InsertBuilder {
    fn add(
        &mut self,
        table: &MySqlTable,
        row: &Row,
        connection: &MySqlConnection,
    ) -> Result<(), Error> {
        if self.text.is_empty() {
            self.text.extend_from_slice(&self.begin);
        } else {
            self.text.extend_from_slice(b",\n");
        }
        let start = self.text.len();
        self.text.push(b'(');
        for (at, column) in table.held().enumerate() {
            if at > 0 {
                self.text.push(b',');
            }
            let value = row.as_ref(at);
            let literal = match (value, column.introducer()) {
                (None | Some(Value::NULL), _) | (_, None) => column.literal,
                (_, Some(charset)) => {
                    self.text.push(b'_');
                    self.text.extend_from_slice(charset.as_bytes());
                    self.text.push(b' ');
                    SqlLiteral::Hex
                }
            };
            if !value.is_some_and(|value| literal.write(value, &mut self.text)) {
                let what = format!("{}.{}: no text came for a value", table.name, column.name);
                return Err(Error::new(connection.server(), MySqlErrorKind::Other, what));
            }
        }
        self.text.push(b')');
        self.largest = self.largest.max(self.text.len() - start);
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.text.is_empty() {
            self.text.extend_from_slice(b";\n");
            out.write_all(&self.text)?;
            self.text.clear();
            // Rows that follow a huge one need not hold its memory.
            self.text.shrink_to(INSERT_BYTES + (64 << 10));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_at_both_ends_is_understood() {
        let end = format!("{FOOTER}{TRAILER}3 tables, 5 rows\n");
        assert_eq!(counts(end.as_bytes()), Some((3, 5)));
        assert_eq!(counts(format!("{end}more\n").as_bytes()), None);
        assert_eq!(counts(&end.as_bytes()[..end.len() - 1]), None);
        let head = |collation: &str| {
            format!("-- SQL dump\n-- CHARACTER SET utf8mb4 COLLATE {collation}; the last\n{HEADER}")
        };
        let found = DumpHead::parse(head("utf8mb4_bin").as_bytes());
        let defaults = Some(("utf8mb4".to_owned(), "utf8mb4_bin".to_owned()));
        assert_eq!(found.defaults, defaults);
        assert!(!found.lowers_names);
        let found = DumpHead::parse(format!("-- x\n{LOWERED}{HEADER}").as_bytes());
        assert!(found.lowers_names);
        for other in ["-- x COLLATE a ENCRYPTION='Y';", "SELECT 1;\n-- CHARACTER SET a COLLATE b;"]
        {
            assert_eq!(DumpHead::parse(other.as_bytes()), DumpHead::default());
        }
        assert_eq!(DumpHead::parse(head("x ENCRYPTION='Y'").as_bytes()).defaults, None);
    }

    #[test]
    fn the_last_line_tells_whether_it_is_whole() {
        let end = format!("{FOOTER}{TRAILER}3 tables, 5 rows\n");
        assert!(is_complete(end.as_bytes()));
        for cut in 1..end.len() {
            assert!(!is_complete(&end.as_bytes()[..end.len() - cut]), "{cut}");
        }
        assert!(!is_complete(b""));
        assert!(!is_complete(b"\n"));
        assert!(!is_complete(format!("{end}more\n").as_bytes()));
    }
}
