//! A dump in the place of what is there: loaded beside it under another name, then swapped.
//!
//! Tables change places in one `RENAME TABLE`, which servers do whole or not at all. Servers do not move
//! tables with triggers to another database, and views, routines and events never. So those of the old
//! database are read before, dropped right before the swap and made again where the old tables went (but
//! events, which would go on to happen), or where they were if the swap fails. Those of the new one are
//! made beside it first, so that they are known to be good, and again in its place; events only there.

use std::io::Read;

use chrono::Utc;

use super::error::Result;
use super::{Dump, Found, LoadError, Loaded, Loader, Progress, Statements, beginning};
use crate::database::mysql::connection::cell_text;
use crate::database::mysql::dump::{self, Part};
use crate::database::mysql::schema::{self, Schema};
use crate::database::mysql::{Connection, Error, ErrorKind, Server, literal};

/// How much memory views, routines, triggers and events of a dump may take until they are made again.
const PROGRAM_BYTES: usize = 64 << 20;
/// No name of a database is longer, in characters.
const NAME_CHARS: usize = 64;
/// Servers' numbers for a view, a routine, a trigger or an event that is there already.
const IS_THERE: [u16; 4] = [1050, 1304, 1359, 1537];

/// What was replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced {
    /// What is there now.
    pub loaded: Loaded,
    /// The database that holds what was there; none: there was nothing. It is the caller's to drop.
    pub before: Option<String>,
}

/// Loads a dump in the place of what is in a database, which nobody may use. Until all of it has arrived
/// nothing of the old is touched.
///
/// # Errors
///
/// [`LoadError::InUse`] before anything is changed. After any other than [`LoadError::Half`] and
/// [`LoadError::NotPutBack`] the database is as it was; what came of the dump is dropped, if the
/// server can still be reached.
pub fn replace(
    server: &Server,
    database: &str,
    dump: &mut dyn Read,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Replaced> {
    let connection = Connection::open(server)?;
    let found = Found::examine(&connection, database)?;
    found.must_be_unused(&connection)?;
    if found.is_empty() {
        let loaded = super::load(server, database, dump, progress)?;
        return Ok(Replaced {
            loaded,
            before: None,
        });
    }
    let old = Old::read(&connection, database)?;
    let mut dump = Dump::begin(dump)?;
    let beside = with_suffix(database, &format!("__seawall_{:08x}", random()));
    let mut loader = Loader::new(&connection, &beside, progress)?;
    loader.create(dump.defaults.as_ref(), false)?;
    let dropped = Dropped {
        server,
        name: beside.clone(),
    };
    let programs = load_beside(&mut loader, &mut dump)?;
    // Somebody may have come while it was loaded.
    Found::examine(&connection, database)?.must_be_unused(&connection)?;
    let before = name_before(&connection, database)?;
    let swap = Swap {
        connection: &connection,
        server,
        old: &old,
        beside: &beside,
        before: &before,
    };
    swap.run()?;
    let finished = finish(&mut loader, &swap, dump.defaults.as_ref(), &programs);
    finished.map_err(|error| LoadError::Half {
        database: database.to_owned(),
        before: before.clone(),
        source: Box::new(error),
    })?;
    drop(dropped);
    Ok(Replaced {
        loaded: loader.loaded(),
        before: Some(before),
    })
}

/// A statement to be run again.
struct Program {
    text: Vec<u8>,
    line: u64,
    escapes: bool,
}

/// Loads all but events, and keeps what stands after the tables.
fn load_beside(loader: &mut Loader<'_>, dump: &mut Dump<'_>) -> Result<Vec<Program>> {
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
        programs.push(Program {
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

/// What is there before.
struct Old {
    database: String,
    schema: Schema,
    passive: Vec<u8>,
    triggers: Vec<u8>,
    events: Vec<u8>,
    /// The statements that drop all of these.
    drops: Vec<(Part, String)>,
    event_names: Vec<String>,
}

impl Old {
    fn read(connection: &Connection, database: &str) -> Result<Self> {
        let schema = schema::read(connection, database)?;
        let part = |part| {
            dump::part(connection, database, &schema, part).map_err(|source| LoadError::Keep {
                database: database.to_owned(),
                source: Box::new(source),
            })
        };
        let (passive, triggers, events) = (
            part(Part::Passive)?,
            part(Part::Triggers)?,
            part(Part::Events)?,
        );
        let event_names = schema::events(connection, database)?;
        let mut drops = Vec::new();
        let mut add = |part, kind: &str, name: &str| {
            let (database, name) = (literal::name(database), literal::name(name));
            drops.push((part, format!("DROP {kind} IF EXISTS {database}.{name}")));
        };
        for name in &event_names {
            add(Part::Events, "EVENT", name);
        }
        let mut rows = schema::about(
            connection,
            "TRIGGER_NAME",
            "TRIGGERS",
            "TRIGGER_SCHEMA",
            database,
        )?;
        for row in &mut rows {
            add(
                Part::Triggers,
                "TRIGGER",
                &cell_text(row, 0).unwrap_or_default(),
            );
        }
        for view in &schema.views {
            add(Part::Passive, "VIEW", &view.name);
        }
        for (kind, name) in schema::routines(connection, database)? {
            add(Part::Passive, &kind, &name);
        }
        Ok(Self {
            database: database.to_owned(),
            schema,
            passive,
            triggers,
            events,
            drops,
            event_names,
        })
    }

    fn text(&self, part: Part) -> &[u8] {
        match part {
            Part::Passive => &self.passive,
            Part::Triggers => &self.triggers,
            Part::Events => &self.events,
        }
    }

    /// Makes again what of it was dropped.
    fn put_back(&self, dropped: &[Part], server: &Server) -> std::result::Result<(), Error> {
        let connection = Connection::open(server)?;
        let parts = [Part::Passive, Part::Triggers, Part::Events];
        for part in parts.into_iter().filter(|part| dropped.contains(part)) {
            let part = self.text(part);
            run_all(&connection, &self.database, part, |error| {
                match error.code() {
                    Some(code) if IS_THERE.contains(&code) => Ok(()),
                    _ => Err(error),
                }
            })?;
        }
        Ok(())
    }
}

/// Runs statements of our own making in a database; what failed goes through `judge`.
fn run_all(
    connection: &Connection,
    database: &str,
    text: &[u8],
    mut judge: impl FnMut(Error) -> std::result::Result<(), Error>,
) -> std::result::Result<(), Error> {
    connection.run(&format!("USE {}", literal::name(database)))?;
    let mut statements = Statements::new(text);
    let unread = |error: super::SplitError| {
        Error::new(connection.server(), ErrorKind::Other, error.to_string())
    };
    while let Some(statement) = statements.next().map_err(unread)? {
        let done = connection.feed(statement.text, &beginning(statement.text));
        done.map(drop).or_else(&mut judge)?;
    }
    Ok(())
}

/// The swap of all tables.
struct Swap<'a> {
    connection: &'a Connection,
    server: &'a Server,
    old: &'a Old,
    beside: &'a str,
    before: &'a str,
}

impl Swap<'_> {
    /// Swaps, or leaves all as it was.
    fn run(&self) -> Result<()> {
        let new = schema::read(self.connection, self.beside)?;
        let old = &self.old.schema;
        self.connection.run(&format!(
            "CREATE DATABASE {} CHARACTER SET {} COLLATE {}",
            literal::name(self.before),
            old.charset,
            old.collation
        ))?;
        let mut dropped = Vec::new();
        let Err(error) = self.drop_and_rename(&new, &mut dropped) else {
            return Ok(());
        };
        self.undo(&dropped, LoadError::Server(error))
    }

    fn drop_and_rename(
        &self,
        new: &Schema,
        dropped: &mut Vec<Part>,
    ) -> std::result::Result<(), Error> {
        for (part, statement) in &self.old.drops {
            // What is lost with the connection may have been done all the same.
            let done = self.connection.run(statement);
            if !matches!(&done, Err(error) if *error.kind() != ErrorKind::Lost) {
                dropped.push(*part);
            }
            done?;
        }
        // Triggers of what was loaded; its views and routines go with the database.
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
        // References of one table to another follow both.
        self.connection.run("SET foreign_key_checks = 1")?;
        self.connection
            .run(&format!("RENAME TABLE {}", moves.join(", ")))
    }

    /// After an error: back to how it was, unless the server swapped and could not say so any more.
    fn undo(&self, dropped: &[Part], error: LoadError) -> Result<()> {
        let half = |error| LoadError::Half {
            database: self.old.database.clone(),
            before: self.before.to_owned(),
            source: Box::new(error),
        };
        let not_put_back = |said: Error, error| LoadError::NotPutBack {
            database: self.old.database.clone(),
            said: said.to_string(),
            source: Box::new(error),
        };
        let looked = Connection::open(self.server).and_then(|connection| {
            let there = Found::examine(&connection, self.before)?;
            Ok((connection, there))
        });
        let (connection, there) = match looked {
            Ok(looked) => looked,
            Err(said) => return Err(not_put_back(said, error)),
        };
        if !there.tables.is_empty() {
            return Err(half(error));
        }
        if let Err(said) = self.old.put_back(dropped, self.server) {
            return Err(not_put_back(said, error));
        }
        // Nothing is in it; if it stays, it only has an odd name.
        let _ = connection.run(&format!("DROP DATABASE {}", literal::name(self.before)));
        Err(error)
    }
}

/// How tables, and sequences, go from one database to another.
fn moves_of(schema: &Schema, from: &str, to: &str) -> Vec<String> {
    let tables = schema.tables.iter().map(|table| &table.name);
    tables
        .chain(&schema.sequences)
        .map(|name| {
            let (from, to, name) = (literal::name(from), literal::name(to), literal::name(name));
            format!("{from}.{name} TO {to}.{name}")
        })
        .collect()
}

/// Makes views, routines, triggers and events of both, where their tables are now.
fn finish(
    loader: &mut Loader<'_>,
    swap: &Swap<'_>,
    defaults: Option<&(String, String)>,
    programs: &[Program],
) -> Result<()> {
    loader.database.clone_from(&swap.old.database);
    loader.create(defaults, true)?;
    for Program {
        text,
        line,
        escapes,
    } in programs
    {
        let statement = super::Statement {
            text,
            line: *line,
            escapes: *escapes,
        };
        loader.run(&statement, super::Sort::Other)?;
    }
    for part in [Part::Passive, Part::Triggers] {
        let (before, part) = (swap.before, swap.old.text(part));
        let notes = &mut loader.notes;
        run_all(swap.connection, before, part, |error| {
            // The tables are what matters, and they are there.
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

/// A database that is dropped when this is.
struct Dropped<'a> {
    server: &'a Server,
    name: String,
}

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        // A server that is gone keeps it, under a name that says whose it is.
        let _ = Connection::open(self.server).and_then(|connection| {
            connection.run(&format!(
                "DROP DATABASE IF EXISTS {}",
                literal::name(&self.name)
            ))
        });
    }
}

/// A name that is free, for what was there until now.
fn name_before(connection: &Connection, database: &str) -> Result<String> {
    let suffix = format!("__before_{}", Utc::now().format("%Y%m%d%H%M%S"));
    let mut name = with_suffix(database, &suffix);
    let mut number = 1;
    // Two may come within one second.
    while Found::examine(connection, &name)?.exists {
        number += 1;
        name = with_suffix(database, &format!("{suffix}_{number}"));
    }
    Ok(name)
}

/// A name with something after it; as much of it as there is room for.
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
        for text in [
            "CREATE EVENT `e`",
            "create  definer=`a`@`b` event e",
            "CREATE OR REPLACE EVENT e",
        ] {
            assert!(makes_event(text.as_bytes()), "{text}");
        }
        for text in [
            "CREATE PROCEDURE EVENT()",
            "CREATE TRIGGER EVENT",
            "SET EVENT",
            "",
        ] {
            assert!(!makes_event(text.as_bytes()), "{text}");
        }
    }
}
