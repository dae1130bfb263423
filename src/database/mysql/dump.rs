//! A database as SQL text that the stock clients load into a database of any name.
//!
//! Equal databases give equal text: nothing in it tells time, server or account. It begins with a
//! header that sets up the session, and ends with a line that says how much there is of it: without
//! that line it is not whole. Between stand, in this order: sequences, tables with their rows,
//! placeholders for views (so that views may use each other in any order), routines, triggers, views,
//! events.

use std::io::{self, Write};

use mysql_async::Row;

use super::connection::{Connection, cell_text};
use super::definition;
use super::error::{Error, ErrorKind};
use super::literal::{self, Literal};
use super::schema::{self, Schema, Table};
use super::snapshot::released;

/// An INSERT is ended when it has so many bytes.
const INSERT_BYTES: usize = 1 << 20;
/// What servers take in one statement unless they are told otherwise (16 MiB since `MySQL` 5.6).
const USUAL_PACKET: usize = 16 << 20;
/// How the last line begins.
const TRAILER: &str = "-- seawall dump complete: ";

const HEADER: &str = "\
SET @old_names = @@character_set_client, @old_time_zone = @@time_zone, @old_sql_mode = @@sql_mode,
  @old_foreign_key_checks = @@foreign_key_checks, @old_unique_checks = @@unique_checks;
SET NAMES utf8mb4;
SET time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0, unique_checks = 0;
";
const FOOTER: &str = "
SET time_zone = @old_time_zone, sql_mode = @old_sql_mode, character_set_client = @old_names,
  foreign_key_checks = @old_foreign_key_checks, unique_checks = @old_unique_checks;
";

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tables.
    pub tables: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// What somebody who loads it should know.
    pub notes: Vec<String>,
}

/// A dump that was not finished.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The server.
    #[error(transparent)]
    Server(#[from] Error),
    /// It could not be written.
    #[error("the dump cannot be written")]
    Write(#[from] io::Error),
}

/// Whether the end of a dump is the end of a whole one.
pub fn is_complete(tail: &[u8]) -> bool {
    let Some(text) = tail.strip_suffix(b"\n") else {
        return false;
    };
    let line = text
        .rsplit(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    line.starts_with(TRAILER.as_bytes())
}

/// How many tables and rows a whole dump says at its end that it has.
pub(super) fn counts(tail: &[u8]) -> Option<(u64, u64)> {
    let text = tail.strip_suffix(b"\n")?;
    let line = text.rsplit(|&byte| byte == b'\n').next()?;
    let said = std::str::from_utf8(line).ok()?.strip_prefix(TRAILER)?;
    let (tables, rows) = said.strip_suffix(" rows")?.split_once(" tables, ")?;
    Some((tables.parse().ok()?, rows.parse().ok()?))
}

/// The character set and collation that a dump says at its beginning that its database has.
pub(super) fn defaults(head: &[u8]) -> Option<(String, String)> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines().take_while(|line| line.starts_with("-- "));
    let line = lines.find_map(|line| line.strip_prefix("-- CHARACTER SET "))?;
    let (charset, rest) = line.split_once(" COLLATE ")?;
    let (collation, _) = rest.split_once(';')?;
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || char == '_')
    };
    (is_name(charset) && is_name(collation)).then(|| (charset.to_owned(), collation.to_owned()))
}

/// What a database has besides tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// What does nothing by itself: routines and views.
    Passive,
    /// What follows changes of tables.
    Triggers,
    /// What happens at its time.
    Events,
}

/// What a database has besides tables, as statements.
pub(super) fn part(
    connection: &Connection,
    database: &str,
    schema: &Schema,
    part: Part,
) -> Result<Vec<u8>, DumpError> {
    connection.run(&format!("USE {}", literal::name(database)))?;
    let mut text = HEADER.as_bytes().to_vec();
    let mut dump = Dump {
        connection,
        database,
        out: &mut text,
        totals: Totals::default(),
    };
    match part {
        Part::Passive => {
            dump.placeholders(schema)?;
            dump.routines()?;
            dump.views(schema)?;
        }
        Part::Triggers => dump.triggers()?,
        Part::Events => dump.events()?,
    }
    dump.out.write_all(FOOTER.as_bytes())?;
    Ok(text)
}

/// Writes a database that is read inside of a transaction.
pub(super) fn write(
    connection: &Connection,
    database: &str,
    schema: &Schema,
    out: &mut dyn Write,
) -> Result<Totals, DumpError> {
    // Views and routines then name tables of this database without it.
    connection.run(&format!("USE {}", literal::name(database)))?;
    let mut dump = Dump {
        connection,
        database,
        out,
        totals: Totals::default(),
    };
    dump.header(schema)?;
    for name in &schema.sequences {
        let (create, set) = schema::sequence(connection, database, name)?;
        dump.statement(&create)?;
        dump.statement(&set)?;
    }
    // Those that are locked come first.
    let (snapshot, locked): (Vec<&Table>, Vec<&Table>) = schema
        .tables
        .iter()
        .partition(|table| table.is_transactional);
    for table in locked.into_iter().chain(snapshot) {
        released(connection, || dump.table(table))?;
    }
    dump.placeholders(schema)?;
    dump.routines()?;
    dump.triggers()?;
    dump.views(schema)?;
    dump.events()?;
    let Totals { tables, rows, .. } = dump.totals;
    writeln!(dump.out, "{FOOTER}{TRAILER}{tables} tables, {rows} rows")?;
    Ok(dump.totals)
}

struct Dump<'a> {
    connection: &'a Connection,
    database: &'a str,
    out: &'a mut dyn Write,
    totals: Totals,
}

impl Dump<'_> {
    fn header(&mut self, schema: &Schema) -> Result<(), DumpError> {
        let Schema {
            charset, collation, ..
        } = schema;
        write!(
            self.out,
            "-- SQL dump by seawall: load it into an empty database that was made with\n\
             -- CHARACTER SET {charset} COLLATE {collation}; the last line says that it is whole.\n{HEADER}"
        )?;
        Ok(())
    }

    fn statement(&mut self, text: &str) -> Result<(), DumpError> {
        writeln!(self.out, "\n{text};")?;
        Ok(())
    }

    /// The second column of what the server answers; nothing there: the account may not see it.
    fn shown(&self, what: &str, name: &str, column: usize) -> Result<String, Error> {
        let statement = format!("SHOW CREATE {what} {}", literal::name(name));
        let mut rows = self.connection.rows(&statement)?;
        let text = rows.first_mut().and_then(|row| cell_text(row, column));
        text.ok_or_else(|| {
            let text = format!(
                "the account may not see how the {} {}.{name} is made",
                what.to_lowercase(),
                self.database
            );
            let grant = format!(
                "GRANT SELECT ON mysql.proc TO {user} (MariaDB), or GRANT SHOW_ROUTINE ON *.* TO {user} (MySQL)",
                user = self.connection.server().user
            );
            Error::new(self.connection.server(), ErrorKind::Denied(grant), text)
        })
    }

    fn table(&mut self, table: &Table) -> Result<(), DumpError> {
        let create = self.shown("TABLE", &table.name, 1)?;
        self.statement(&definition::without_database(&create, self.database))?;
        self.totals.tables += 1;
        if table.is_versioned {
            self.totals.notes.push(format!(
                "{}.{}: of rows that the server keeps old versions of, only the newest are dumped",
                self.database, table.name
            ));
        }
        self.rows(table)
    }

    fn rows(&mut self, table: &Table) -> Result<(), DumpError> {
        let names: Vec<String> = table
            .columns
            .iter()
            .map(|column| literal::name(&column.name))
            .collect();
        let selected: Vec<String> = table
            .columns
            .iter()
            .zip(&names)
            .map(|(column, name)| match column.literal {
                Literal::Double => format!("{name} + 0e0"),
                _ => name.clone(),
            })
            .collect();
        let order: Vec<String> = table
            .primary
            .iter()
            .map(|name| literal::name(name))
            .collect();
        let place = literal::name(&table.name);
        let statement = format!(
            "SELECT {} FROM {place}{}{}",
            if selected.is_empty() {
                "1".to_owned()
            } else {
                selected.join(", ")
            },
            // The order of the table itself, whichever index the server would like.
            if order.is_empty() || !table.is_transactional {
                ""
            } else {
                " ORDER BY "
            },
            if table.is_transactional {
                order.join(", ")
            } else {
                String::new()
            },
        );
        let mut insert = Insert {
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
        if insert.largest > USUAL_PACKET {
            self.totals.notes.push(format!(
                "{}.{} has a row of {} bytes: it loads where max_allowed_packet is larger",
                self.database, table.name, insert.largest
            ));
        }
        Ok(())
    }

    /// Views may use each other: each stands as a table of its columns would, until all are there.
    fn placeholders(&mut self, schema: &Schema) -> Result<(), DumpError> {
        for view in &schema.views {
            let columns = view.columns.iter();
            let columns: Vec<String> = columns
                .map(|column| format!("1 AS {}", literal::name(column)))
                .collect();
            self.statement(&format!(
                "CREATE VIEW {} AS SELECT {}",
                literal::name(&view.name),
                if columns.is_empty() {
                    "1".to_owned()
                } else {
                    columns.join(", ")
                }
            ))?;
        }
        Ok(())
    }

    fn views(&mut self, schema: &Schema) -> Result<(), DumpError> {
        for view in &schema.views {
            let create = self.shown("VIEW", &view.name, 1)?;
            let create = definition::replacing(&definition::without_definer(&create));
            self.statement(&create)?;
        }
        Ok(())
    }

    fn routines(&mut self) -> Result<(), DumpError> {
        for (kind, name) in schema::routines(self.connection, self.database)? {
            let create = self.shown(&kind, &name, 2)?;
            let mut rows = self
                .connection
                .rows(&format!("SHOW CREATE {kind} {}", literal::name(&name)))?;
            let mut cell = |at| rows.first_mut().and_then(|row| cell_text(row, at));
            let session = Session {
                sql_mode: cell(1).unwrap_or_default(),
                collation: cell(4).unwrap_or_default(),
                time_zone: None,
            };
            self.program(&session, &definition::without_definer(&create))?;
        }
        Ok(())
    }

    fn triggers(&mut self) -> Result<(), DumpError> {
        for trigger in schema::triggers(self.connection, self.database)? {
            let session = Session {
                sql_mode: trigger.sql_mode,
                collation: trigger.collation,
                time_zone: None,
            };
            self.program(&session, &trigger.create)?;
        }
        Ok(())
    }

    fn events(&mut self) -> Result<(), DumpError> {
        for name in schema::events(self.connection, self.database)? {
            let create = self.shown("EVENT", &name, 3)?;
            let statement = format!("SHOW CREATE EVENT {}", literal::name(&name));
            let mut rows = self.connection.rows(&statement)?;
            let mut cell = |at| rows.first_mut().and_then(|row| cell_text(row, at));
            let session = Session {
                sql_mode: cell(1).unwrap_or_default(),
                time_zone: cell(2),
                collation: cell(5).unwrap_or_default(),
            };
            self.program(&session, &definition::without_definer(&create))?;
        }
        Ok(())
    }

    /// Something with statements of its own in it, made in the session that it was made in. What is
    /// in it is UTF-8 like all of the dump.
    fn program(&mut self, session: &Session, create: &str) -> Result<(), DumpError> {
        let delimiter = definition::delimiter(create);
        let mut settings = format!("sql_mode = {}", literal::text(&session.sql_mode));
        if !session.collation.is_empty() {
            settings.push_str(", collation_connection = ");
            settings.push_str(&literal::text(&session.collation));
        }
        if let Some(zone) = &session.time_zone {
            settings.push_str(", time_zone = ");
            settings.push_str(&literal::text(zone));
        }
        write!(
            self.out,
            "\nSET {settings};\nDELIMITER {delimiter}\n{create}{delimiter}\nDELIMITER ;\n\
             SET NAMES utf8mb4;\nSET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';\n"
        )?;
        Ok(())
    }
}

/// The session that a routine, a trigger or an event was made in, and runs in.
struct Session {
    sql_mode: String,
    collation: String,
    time_zone: Option<String>,
}

/// Rows on their way into one statement.
struct Insert {
    begin: Vec<u8>,
    text: Vec<u8>,
    /// The longest row, in bytes.
    largest: usize,
}

impl Insert {
    fn add(&mut self, table: &Table, row: &Row, connection: &Connection) -> Result<(), Error> {
        if self.text.is_empty() {
            self.text.extend_from_slice(&self.begin);
        } else {
            self.text.extend_from_slice(b",\n");
        }
        let start = self.text.len();
        self.text.push(b'(');
        for (at, column) in table.columns.iter().enumerate() {
            if at > 0 {
                self.text.push(b',');
            }
            let value = row.as_ref(at);
            if !value.is_some_and(|value| column.literal.write(value, &mut self.text)) {
                let what = format!("{}.{}: no text came for a value", table.name, column.name);
                return Err(Error::new(connection.server(), ErrorKind::Other, what));
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
            // A row that was huge is not to be paid for by all that follow.
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
        let found = defaults(head("utf8mb4_bin").as_bytes()).unwrap();
        assert_eq!(found, ("utf8mb4".to_owned(), "utf8mb4_bin".to_owned()));
        assert_eq!(defaults(head("x ENCRYPTION='Y'").as_bytes()), None);
        assert_eq!(defaults(b"SELECT 1;\n-- CHARACTER SET a COLLATE b;"), None);
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
