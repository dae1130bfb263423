//! Replaces a database by a dump. The dump is loaded beside it under another name, then both change
//! places.
//!
//! Tables change places in one `RENAME TABLE`, which servers do whole or not at all. Servers never
//! move a table with triggers to another database, nor views, routines and events. So old triggers,
//! and old views that have the name of a new table, are dropped right before the swap. If the swap
//! fails, they are made again as they were. The other old views, routines and events are dropped
//! after the swap. All but events are made again where the old tables went. Events would go on to
//! happen there. The views, routines and triggers of the new database are made beside the old one
//! first, so that they are known to be good, and then again in its place. Its events are made only
//! there.
//!
//! A connection that breaks during the swap says nothing: the server may still be at it. seawall
//! waits until the server has ended that connection, and only then looks at the databases. The
//! database for the old tables is not dropped then.

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::error::Result;
use super::old::OldDatabase;
use super::{
    DumpLoader, DumpReader, LoadError, LoadProgress, LoadTotals, Statements, TargetDatabase,
    beginning,
};
use crate::database::mysql::connection::cell_text;
use crate::database::mysql::schema::{self, MySqlSchema};
use crate::database::mysql::{Error, MySqlConnection, MySqlErrorKind, MySqlServer, dump, literal};

/// How much memory views, routines, triggers and events of a dump may take until they are made
/// again.
const PROGRAM_BYTES: usize = 64 << 20;
/// The longest name of a database, in characters.
const NAME_CHARS: usize = 64;
/// How long the server may take to end a connection that broke.
const PATIENCE: Duration = Duration::from_mins(1);

/// What came of a replacement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplacedDatabase {
    /// What is there now.
    pub loaded: LoadTotals,
    /// The database that holds what was there. `None` if there was nothing. The caller may drop it.
    pub before: Option<String>,
}

/// Replaces what is in a database by a dump. Nobody may use the database. Nothing old is touched
/// until all of the dump has arrived.
///
/// # Errors
///
/// [`LoadError::InUse`] comes before anything is changed. After any error but [`LoadError::Half`],
/// [`LoadError::Unclear`] and [`LoadError::NotPutBack`] the database is as it was. The loaded part
/// of the dump is dropped, if the server can still be reached.
pub fn replace(
    server: &MySqlServer,
    database: &str,
    dump: &mut dyn Read,
    progress: &mut dyn FnMut(&LoadProgress),
) -> Result<ReplacedDatabase> {
    let connection = MySqlConnection::open(server)?;
    let found = TargetDatabase::examine(&connection, database)?;
    found.must_be_unused(&connection)?;
    if found.is_empty() {
        let loaded = super::load(server, database, dump, progress)?;
        return Ok(ReplacedDatabase { loaded, before: None });
    }
    let old = OldDatabase::read(&connection, database)?;
    let mut dump = DumpReader::begin(dump)?;
    let beside = with_suffix(database, &format!("__seawall_{:08x}", random()));
    let mut loader = DumpLoader::new(&connection, &beside, progress)?;
    loader.create(&dump.head, false)?;
    let dropped = DatabaseDropGuard { server, name: beside.clone() };
    let programs = load_beside(&mut loader, &mut dump)?;
    // Somebody may have connected while the dump was loaded.
    TargetDatabase::examine(&connection, database)?.must_be_unused(&connection)?;
    let before = name_before(&connection, database)?;
    let swap = TableSwap {
        id: connection.text("SELECT CONNECTION_ID()")?,
        connection: &connection,
        server,
        old: &old,
        beside: &beside,
        before: &before,
    };
    if let Err(error) = swap.run() {
        if matches!(error, LoadError::Unclear { .. }) {
            dropped.keep();
        }
        return Err(error);
    }
    let finished = finish(&mut loader, &swap, &dump.head, &programs);
    finished.map_err(|error| LoadError::Half {
        database: database.to_owned(),
        before: before.clone(),
        source: Box::new(error),
    })?;
    drop(dropped);
    Ok(ReplacedDatabase { loaded: loader.loaded(), before: Some(before) })
}

/// A statement that will be run again.
struct KeptStatement {
    text: Vec<u8>,
    line: u64,
    escapes: bool,
}

/// Loads all but events. Returns the statements that stand after the tables.
fn load_beside(
    loader: &mut DumpLoader<'_>,
    dump: &mut DumpReader<'_>,
) -> Result<Vec<KeptStatement>> {
    let (mut programs, mut bytes) = (Vec::new(), 0);
    loader.load(dump, |statement, is_about_tables| {
        if is_about_tables {
            (programs, bytes) = (Vec::new(), 0);
            return Ok(true);
        }
        bytes += statement.text.len();
        if bytes > PROGRAM_BYTES {
            return Err(LoadError::TooManyPrograms(PROGRAM_BYTES));
        }
        programs.push(KeptStatement {
            text: statement.text.to_vec(),
            line: statement.line,
            escapes: statement.escapes,
        });
        Ok(!makes_event(statement.text))
    })?;
    Ok(programs)
}

/// `CREATE [OR REPLACE] [DEFINER=account] EVENT`.
fn makes_event(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&text[..text.len().min(512)]).to_ascii_uppercase();
    let mut words = text.split_whitespace();
    words.next() == Some("CREATE")
        && words.find(|word| !matches!(*word, "OR" | "REPLACE") && !word.starts_with("DEFINER="))
            == Some("EVENT")
}

/// Runs statements that seawall wrote in a database. Each error goes through `judge`.
fn run_all(
    connection: &MySqlConnection,
    database: &str,
    text: &[u8],
    mut judge: impl FnMut(Error) -> std::result::Result<(), Error>,
) -> std::result::Result<(), Error> {
    connection.run(&format!("USE {}", literal::name(database)))?;
    let mut statements = Statements::new(text);
    let unread = |error: super::SplitError| {
        Error::new(connection.server(), MySqlErrorKind::Other, error.to_string())
    };
    while let Some(statement) = statements.next().map_err(unread)? {
        let done = connection.feed(statement.text, &beginning(statement.text));
        done.map(drop).or_else(&mut judge)?;
    }
    Ok(())
}

/// The swap of all tables.
struct TableSwap<'a> {
    connection: &'a MySqlConnection,
    /// The server's id of that connection.
    id: Option<String>,
    server: &'a MySqlServer,
    old: &'a OldDatabase,
    beside: &'a str,
    before: &'a str,
}

impl TableSwap<'_> {
    /// Swaps, or leaves everything as it was.
    fn run(&self) -> Result<()> {
        let new = schema::read(self.connection, self.beside)?;
        let old = &self.old.schema;
        self.connection.run(&format!(
            "CREATE DATABASE {} CHARACTER SET {} COLLATE {}",
            literal::name(self.before),
            old.charset,
            old.collation
        ))?;
        let Err(error) = self.drop_and_rename(&new) else {
            return Ok(());
        };
        self.undo(error)
    }

    fn drop_and_rename(&self, new: &MySqlSchema) -> std::result::Result<(), Error> {
        let names = new.tables.iter().map(|table| &table.name);
        let names: Vec<&String> = names.chain(&new.sequences).collect();
        self.old.make_way(self.connection, &names)?;
        // Triggers of the new database have to go too. Its views and routines go with the database.
        let triggers = schema::about(
            self.connection,
            "TRIGGER_NAME",
            "TRIGGERS",
            "TRIGGER_SCHEMA",
            self.beside,
        )?;
        for mut row in triggers {
            let name = cell_text(&mut row, 0).unwrap_or_default();
            let place = format!("{}.{}", literal::name(self.beside), literal::name(&name));
            self.connection.run(&format!("DROP TRIGGER {place}"))?;
        }
        let database = self.old.database.as_str();
        let mut moves = moves_of(&self.old.schema, database, self.before);
        moves.extend(moves_of(new, self.beside, database));
        if moves.is_empty() {
            return Ok(());
        }
        // With this setting, references of one table to another follow both.
        self.connection.run("SET foreign_key_checks = 1")?;
        self.connection.run(&format!("RENAME TABLE {}", moves.join(", ")))
    }

    /// After an error, goes back to how it was, unless the server has swapped and could not say so.
    fn undo(&self, error: Error) -> Result<()> {
        let is_lost = *error.kind() == MySqlErrorKind::Lost;
        let looked = MySqlConnection::open(self.server).and_then(|connection| {
            if is_lost && !self.has_ended(&connection)? {
                return Ok(None);
            }
            let there = TargetDatabase::examine(&connection, self.before)?;
            Ok(Some((connection, there)))
        });
        let (database, before) = (self.old.database.clone(), self.before.to_owned());
        let Ok(Some((connection, there))) = looked else {
            let source = Box::new(error);
            return Err(LoadError::Unclear { database, before, source });
        };
        let source = Box::new(LoadError::Server(error));
        if !there.tables.is_empty() {
            return Err(LoadError::Half { database, before, source });
        }
        if let Err(said) = self.old.put_back(self.server) {
            return Err(LoadError::NotPutBack { database, said: said.to_string(), source });
        }
        if !is_lost {
            // The database is empty. If it stays, only its name is odd.
            let _ = connection.run(&format!("DROP DATABASE {}", literal::name(self.before)));
        }
        Err(*source)
    }

    /// Tells the server to end the connection that broke, and waits. Returns whether it has ended.
    fn has_ended(&self, connection: &MySqlConnection) -> std::result::Result<bool, Error> {
        let Some(id) = &self.id else {
            return Ok(false);
        };
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let there = connection
                .text(&format!("SELECT ID FROM information_schema.PROCESSLIST WHERE ID = {id}"))?;
            if there.is_none() {
                return Ok(true);
            }
            // The connection may have ended by itself.
            let _ = connection.run(&format!("KILL {id}"));
            thread::sleep(Duration::from_millis(100));
        }
        Ok(false)
    }
}

/// How tables, and sequences, go from one database to another.
fn moves_of(schema: &MySqlSchema, from: &str, to: &str) -> Vec<String> {
    let tables = schema.tables.iter().map(|table| &table.name);
    tables
        .chain(&schema.sequences)
        .map(|name| {
            let (from, to, name) = (literal::name(from), literal::name(to), literal::name(name));
            format!("{from}.{name} TO {to}.{name}")
        })
        .collect()
}

/// Makes the views, routines, triggers and events of both databases, where their tables are now.
fn finish(
    loader: &mut DumpLoader<'_>,
    swap: &TableSwap<'_>,
    head: &dump::DumpHead,
    programs: &[KeptStatement],
) -> Result<()> {
    swap.old.drop_all(swap.connection)?;
    loader.database.clone_from(&swap.old.database);
    loader.create(head, true)?;
    for KeptStatement { text, line, escapes } in programs {
        let statement = super::Statement { text, line: *line, escapes: *escapes };
        loader.run(&statement, super::StatementKind::Other)?;
    }
    for part in [&swap.old.passive, &swap.old.triggers] {
        let before = swap.before;
        let notes = &mut loader.notes;
        run_all(swap.connection, before, part, |error| {
            // This is no error: the old tables matter, and they are there.
            notes.push(format!("{before}: {error}"));
            Ok(())
        })?;
    }
    if !swap.old.event_names.is_empty() {
        loader.notes.push(format!(
            "{}: the events of before are not kept, as they would go on to happen: {}",
            swap.before,
            swap.old.event_names.join(", ")
        ));
    }
    Ok(())
}

/// Drops a database when this is dropped.
struct DatabaseDropGuard<'a> {
    server: &'a MySqlServer,
    name: String,
}

impl DatabaseDropGuard<'_> {
    /// Leaves the database where it is.
    fn keep(mut self) {
        self.name.clear();
    }
}

impl Drop for DatabaseDropGuard<'_> {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        // If the server is gone, the database stays, under a name that says whose it is.
        let _ = MySqlConnection::open(self.server).and_then(|connection| {
            connection.run(&format!("DROP DATABASE IF EXISTS {}", literal::name(&self.name)))
        });
    }
}

/// Names like those that a replacement gives to its databases: the new one, and the one for old
/// tables.
pub(super) fn names_beside(database: &str) -> [String; 2] {
    ["__seawall_00000000", "__before_20260101000000"].map(|suffix| with_suffix(database, suffix))
}

/// A free name, for the database that takes what was there until now.
fn name_before(connection: &MySqlConnection, database: &str) -> Result<String> {
    let suffix = format!("__before_{}", Utc::now().format("%Y%m%d%H%M%S"));
    let mut name = with_suffix(database, &suffix);
    let mut number = 1;
    // Two replacements may come within one second.
    while TargetDatabase::examine(connection, &name)?.exists {
        number += 1;
        name = with_suffix(database, &format!("{suffix}_{number}"));
    }
    Ok(name)
}

/// A name with a suffix. It is cut so that both fit.
fn with_suffix(name: &str, suffix: &str) -> String {
    let room = NAME_CHARS.saturating_sub(suffix.chars().count());
    let kept: String = name.chars().take(room).collect();
    kept + suffix
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Names only have to differ: a server refuses to make one twice.
    match getrandom::fill(&mut bytes) {
        Ok(()) => u32::from_le_bytes(bytes),
        Err(_) => std::process::id(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_long_as_servers_allow() {
        assert_eq!(with_suffix("a", "__b"), "a__b");
        let long = with_suffix(&"é".repeat(64), "__seawall_00000000");
        assert_eq!(long.chars().count(), 64);
        assert!(long.ends_with("é__seawall_00000000"));
    }

    #[test]
    fn events_are_known() {
        for text in
            ["CREATE EVENT `e`", "create  definer=`a`@`b` event e", "CREATE OR REPLACE EVENT e"]
        {
            assert!(makes_event(text.as_bytes()), "{text}");
        }
        for text in ["CREATE PROCEDURE EVENT()", "CREATE TRIGGER EVENT", "SET EVENT", ""] {
            assert!(!makes_event(text.as_bytes()), "{text}");
        }
    }
}
