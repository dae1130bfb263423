//! Loads dumps into a server, without a stock client. A dump is cut into statements as that client
//! would.
//!
//! A load overwrites nothing. [`load`] needs an empty database. [`replace()`] loads beside what is
//! there, and swaps once all of it has arrived. The caller decides whether this server may be used
//! at all; [`LoadTarget`] says what is known about it.

mod collations;
mod error;
mod old;
mod replace;
mod statements;
mod survey;
mod target;

use std::borrow::Cow;
use std::io::Read;

use collations::Collations;
pub use error::LoadError;
use error::Result;
pub use replace::{ReplacedDatabase, replace};
pub use statements::{SplitError, Statement, Statements};
pub use survey::{DatabaseToLoad, DumpNeeds, must_take, unmark};
pub use target::{LoadTarget, TargetDatabase};

use super::connection::cell_text;
use super::schema::NameCase;
use super::{MySqlConnection, MySqlServer, dump, literal};

/// How much of the end of a dump is kept, for its last line.
const TAIL_BYTES: usize = 256;
/// How much of its beginning is read to find the database's character set and collation.
const HEAD_BYTES: u64 = 1024;
/// How many bytes a packet needs besides its statement. Servers keep some for themselves.
const PACKET_EXTRA: usize = 1024;

/// A mode of routines and triggers that `MySQL` 8 refuses to set.
const GONE_MODE: &str = "NO_AUTO_CREATE_USER";

/// How far a load has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadProgress {
    /// The table that is being filled.
    pub table: String,
    /// Tables that were made.
    pub tables: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of statements that were run.
    pub bytes: u64,
}

/// What was loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadTotals {
    /// Tables.
    pub tables: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// What differs from what was dumped.
    pub notes: Vec<String>,
}

/// Loads a dump into a database. If the database does not exist, it is made. If it exists, it has
/// to be empty and unused. After an error, the loaded part stays.
///
/// # Errors
///
/// [`LoadError::NotEmpty`] and [`LoadError::InUse`] come before anything is changed. Each later
/// error says how far the load got.
pub fn load(
    server: &MySqlServer,
    database: &str,
    dump: &mut dyn Read,
    progress: &mut dyn FnMut(&LoadProgress),
) -> Result<LoadTotals> {
    let connection = MySqlConnection::open(server)?;
    let found = TargetDatabase::examine(&connection, database)?;
    found.must_be_empty(&connection)?;
    found.must_be_unused(&connection)?;
    let mut dump = DumpReader::begin(dump)?;
    let mut loader = DumpLoader::new(&connection, database, progress)?;
    loader.create(&dump.head, found.exists)?;
    loader.load(&mut dump, |_, _| Ok(true))?;
    Ok(loader.loaded())
}

/// Like [`load`], for a load that may break off and go on. Meanwhile a table in the database says
/// which dump is loaded (`mark`). If an earlier attempt with the same mark broke off, its database
/// is dropped first. The table stays after the load: the caller notes what was loaded, and then
/// calls [`unmark`].
///
/// # Errors
///
/// As [`load`], and [`LoadError::OtherUnfinished`] if an attempt with another mark left something.
pub fn load_marked(
    server: &MySqlServer,
    database: &str,
    mark: &str,
    dump: &mut dyn Read,
    progress: &mut dyn FnMut(&LoadProgress),
) -> Result<LoadTotals> {
    let connection = MySqlConnection::open(server)?;
    let mut found = TargetDatabase::examine(&connection, database)?;
    found.must_be_unused(&connection)?;
    match found.unfinished.as_deref() {
        Some(of) if of == mark => {
            connection.run(&format!("DROP DATABASE {}", literal::name(database)))?;
            found = TargetDatabase::examine(&connection, database)?;
        }
        Some(_) => {
            return Err(LoadError::OtherUnfinished {
                server: connection.server().to_string(),
                database: database.to_owned(),
            });
        }
        None => found.must_be_empty(&connection)?,
    }
    let mut dump = DumpReader::begin(dump)?;
    let mut loader = DumpLoader::new(&connection, database, progress)?;
    loader.create(&dump.head, found.exists)?;
    survey::mark(&connection, database, mark)?;
    loader.load(&mut dump, |_, _| Ok(true))?;
    Ok(loader.loaded())
}

/// A dump that is being read.
struct DumpReader<'a> {
    statements: Statements<TailReader<'a>>,
    head: dump::DumpHead,
    tail: std::rc::Rc<std::cell::RefCell<Vec<u8>>>,
}

impl<'a> DumpReader<'a> {
    fn begin(dump: &'a mut dyn Read) -> Result<Self> {
        let mut head = Vec::new();
        let read = (&mut *dump).take(HEAD_BYTES).read_to_end(&mut head);
        read.map_err(SplitError::Read)?;
        let tail = std::rc::Rc::default();
        Ok(Self {
            head: dump::DumpHead::parse(&head),
            statements: Statements::new(TailReader {
                rest: std::io::Cursor::new(head).chain(dump),
                tail: std::rc::Rc::clone(&tail),
            }),
            tail,
        })
    }

    /// Tables and rows, by its last line. `None` if the dump is not whole.
    fn counts(&self) -> Option<(u64, u64)> {
        dump::counts(&self.tail.borrow())
    }
}

/// A reader that remembers the end of what it read.
struct TailReader<'a> {
    rest: std::io::Chain<std::io::Cursor<Vec<u8>>, &'a mut dyn Read>,
    tail: std::rc::Rc<std::cell::RefCell<Vec<u8>>>,
}

impl Read for TailReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let len = self.rest.read(into)?;
        let mut tail = self.tail.borrow_mut();
        let last = &into[len.saturating_sub(TAIL_BYTES)..len];
        tail.extend_from_slice(last);
        let surplus = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..surplus);
        Ok(len)
    }
}

/// Runs the statements of dumps.
struct DumpLoader<'a> {
    connection: &'a MySqlConnection,
    database: String,
    collations: Collations,
    /// The longest statement that the server takes.
    packet: usize,
    /// Whether the server still has the mode [`GONE_MODE`].
    has_gone_mode: bool,
    at: LoadProgress,
    progress: &'a mut dyn FnMut(&LoadProgress),
    notes: Vec<String>,
}

impl<'a> DumpLoader<'a> {
    fn new(
        connection: &'a MySqlConnection,
        database: &str,
        progress: &'a mut dyn FnMut(&LoadProgress),
    ) -> Result<Self> {
        let mode = format!("SET SESSION sql_mode = '{GONE_MODE}'");
        let has_gone_mode = match connection.run(&mode) {
            Ok(()) => {
                connection.run("SET SESSION sql_mode = ''")?;
                true
            }
            Err(error) if error.code() == Some(1231) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            connection,
            database: database.to_owned(),
            collations: Collations::of(connection)?,
            packet: survey::packet(connection)?,
            has_gone_mode,
            at: LoadProgress::default(),
            progress,
            notes: Vec::new(),
        })
    }

    /// Makes the database if it does not exist, and selects it.
    fn create(&mut self, head: &dump::DumpHead, exists: bool) -> Result<()> {
        if head.lowers_names && NameCase::of(self.connection)? == NameCase::Differs {
            return Err(LoadError::LowerCase {
                server: self.connection.server().to_string(),
                database: self.database.clone(),
            });
        }
        let name = literal::name(&self.database);
        let settings = head.defaults.as_ref().map(|(charset, collation)| {
            let other = self.collations.replacement(collation);
            let collation = other.as_ref().unwrap_or(collation);
            format!("CHARACTER SET {charset} COLLATE {collation}")
        });
        let settings = settings.unwrap_or_default();
        // An empty database that exists gets the same settings.
        let verb = if exists { "ALTER" } else { "CREATE" };
        if !exists || !settings.is_empty() {
            self.connection.run(&format!("{verb} DATABASE {name} {settings}"))?;
        }
        Ok(self.connection.run(&format!("USE {name}"))?)
    }

    /// Runs each statement for which `chosen` returns true. (`chosen` hears whether a statement is
    /// about tables.) Then compares what was loaded with the dump's last line.
    fn load(
        &mut self,
        dump: &mut DumpReader<'_>,
        mut chosen: impl FnMut(&Statement<'_>, bool) -> Result<bool>,
    ) -> Result<()> {
        while let Some(statement) = dump.statements.next()? {
            let sort = StatementKind::of(statement.text);
            if chosen(&statement, sort != StatementKind::Other)? {
                self.run(&statement, sort)?;
            }
        }
        let Some((tables, rows)) = dump.counts() else {
            return Err(LoadError::Incomplete { at: self.at.clone() });
        };
        if (tables, rows) != (self.at.tables, self.at.rows) {
            return Err(LoadError::Counts { tables, rows, at: self.at.clone() });
        }
        Ok(())
    }

    fn run(&mut self, statement: &Statement<'_>, sort: StatementKind) -> Result<()> {
        let mut text = self.collations.fit(statement);
        if !self.has_gone_mode && sort == StatementKind::Other {
            text = without_mode(text);
        }
        let needed = text.len() + PACKET_EXTRA;
        if sort == StatementKind::Table {
            self.at.table = table_of(&text);
        }
        if needed > self.packet {
            return Err(LoadError::Packet {
                server: self.connection.server().to_string(),
                table: self.at.table.clone(),
                needed,
                allowed: self.packet,
            });
        }
        let fed = self.connection.feed(&text, &beginning(&text)).map_err(|source| {
            LoadError::Statement {
                database: self.database.clone(),
                line: statement.line,
                at: self.at.clone(),
                source: Box::new(source),
            }
        })?;
        match sort {
            StatementKind::Table => self.at.tables += 1,
            StatementKind::Rows => {
                self.at.rows += fed.rows;
                if fed.warnings > 0 {
                    self.warned(fed.warnings)?;
                }
            }
            StatementKind::Sequence | StatementKind::Other => {}
        }
        self.at.bytes += text.len() as u64;
        (self.progress)(&self.at);
        Ok(())
    }

    /// Notes that the server changed rows as it took them. Only the first warning for each table is
    /// noted.
    fn warned(&mut self, warnings: u16) -> Result<()> {
        let mut rows = self.connection.rows("SHOW WARNINGS LIMIT 1")?;
        let first = rows.first_mut().and_then(|row| cell_text(row, 2));
        let begin = format!("{}: ", self.at.table);
        if !self.notes.iter().any(|note| note.starts_with(&begin)) {
            let first = first.unwrap_or_default();
            self.notes.push(format!(
                "{begin}the server changed what it was given, {warnings} times in one statement at least: {first}"
            ));
        }
        Ok(())
    }

    fn loaded(mut self) -> LoadTotals {
        self.notes.extend(self.collations.notes());
        LoadTotals { tables: self.at.tables, rows: self.at.rows, notes: self.notes }
    }
}

/// What a statement does, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StatementKind {
    /// Makes a table.
    Table,
    /// Fills one.
    Rows,
    /// Makes a sequence, or sets it.
    Sequence,
    /// Anything else: views and programs, and what sets up the session.
    Other,
}

impl StatementKind {
    fn of(text: &[u8]) -> Self {
        let begins = |word: &str| {
            let (begin, _) = text.split_at(text.len().min(word.len()));
            begin.eq_ignore_ascii_case(word.as_bytes())
        };
        if begins("CREATE TABLE ") {
            Self::Table
        } else if begins("INSERT ") {
            Self::Rows
        } else if begins("CREATE SEQUENCE ") || begins("SELECT SETVAL(") {
            Self::Sequence
        } else {
            Self::Other
        }
    }
}

/// A statement that sets up a session, without a mode that the server does not know. That mode only
/// concerned GRANT.
fn without_mode(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match std::str::from_utf8(&text) {
        Ok(set) if set.starts_with("SET sql_mode = ") && set.contains(GONE_MODE) => {
            let set = set.replace(&format!(",{GONE_MODE}"), "");
            let set = set.replace(&format!("{GONE_MODE},"), "");
            Cow::Owned(set.replace(GONE_MODE, "").into_bytes())
        }
        _ => text,
    }
}

/// The name that stands in the first backticks.
fn table_of(text: &[u8]) -> String {
    let mut parts = text.splitn(2, |&byte| byte == b'`').skip(1);
    let inside = parts.next().unwrap_or_default();
    let mut name = Vec::new();
    let mut bytes = inside.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte == b'`' && bytes.next_if(|&&next| next == b'`').is_none() {
            break;
        }
        name.push(byte);
    }
    String::from_utf8_lossy(&name).into_owned()
}

/// Enough of a statement for a message. It holds no values of rows.
fn beginning(text: &[u8]) -> String {
    const MOST: usize = 80;
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * MOST)]);
    let head = text.split("VALUES").next().unwrap_or_default();
    let line = head.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_that_not_all_servers_know() {
        let without = |text: &str| {
            let text = without_mode(Cow::Borrowed(text.as_bytes())).into_owned();
            String::from_utf8(text).unwrap()
        };
        for (from, to) in [
            ("SET sql_mode = 'A,NO_AUTO_CREATE_USER,B', x = 1", "SET sql_mode = 'A,B', x = 1"),
            ("SET sql_mode = 'NO_AUTO_CREATE_USER,B'", "SET sql_mode = 'B'"),
            ("SET sql_mode = 'NO_AUTO_CREATE_USER'", "SET sql_mode = ''"),
            ("CREATE VIEW NO_AUTO_CREATE_USER", "CREATE VIEW NO_AUTO_CREATE_USER"),
        ] {
            assert_eq!(without(from), to);
        }
    }

    #[test]
    fn statements_are_named_without_what_is_in_rows() {
        assert_eq!(
            beginning(b"\nINSERT INTO `t` (`a`) VALUES\n('secret')"),
            "INSERT INTO `t` (`a`)"
        );
        assert_eq!(beginning(&[b'x'; 1000]).len(), 80);
        assert_eq!(table_of(b"CREATE TABLE `a``b c` (`d` INT)"), "a`b c");
        assert_eq!(table_of(b"CREATE TABLE t"), "");
        assert_eq!(table_of(b"CREATE TABLE `t"), "t");
    }
}
