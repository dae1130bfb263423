//! Dumps, loaded into a server: without a stock client, and with its sense of where statements end.
//!
//! Nothing is loaded over anything: [`load`] wants an empty database, and [`replace()`] loads beside what
//! is there, and swaps when all of it has arrived. Whether it may be this server at all is the caller's
//! to decide; [`Target`] says what there is to know of it.

mod collations;
mod error;
mod old;
mod replace;
mod statements;
mod target;

use std::io::Read;

use collations::Collations;
pub use error::LoadError;
use error::Result;
pub use replace::{Replaced, replace};
pub use statements::{SplitError, Statement, Statements};
pub use target::{Found, Target};

use super::{Connection, Server, dump, literal};

/// How much of the end of a dump is kept, for its last line.
const TAIL_BYTES: usize = 256;
/// How much of its beginning is looked at for what the database was made with.
const HEAD_BYTES: u64 = 1024;
/// How much room a statement takes in its packet besides itself; servers keep some for themselves.
const PACKET_EXTRA: usize = 1024;

/// How far a load has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
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
pub struct Loaded {
    /// Tables.
    pub tables: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// What differs from what was dumped.
    pub notes: Vec<String>,
}

/// Loads a dump into a database that is made if it is not there, and has to be empty and unused if it
/// is. What was loaded before an error stays there.
///
/// # Errors
///
/// [`LoadError::NotEmpty`] and [`LoadError::InUse`] before anything is changed; each later one says how
/// far it got.
pub fn load(
    server: &Server,
    database: &str,
    dump: &mut dyn Read,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Loaded> {
    let connection = Connection::open(server)?;
    let found = Found::examine(&connection, database)?;
    found.must_be_empty(&connection)?;
    found.must_be_unused(&connection)?;
    let mut dump = Dump::begin(dump)?;
    let mut loader = Loader::new(&connection, database, progress)?;
    loader.create(dump.defaults.as_ref(), found.exists)?;
    loader.load(&mut dump, |_, _| Ok(true))?;
    Ok(loader.loaded())
}

/// A dump that is being read.
struct Dump<'a> {
    statements: Statements<Whole<'a>>,
    /// The character set and collation of the database that it was made of.
    defaults: Option<(String, String)>,
    tail: std::rc::Rc<std::cell::RefCell<Vec<u8>>>,
}

impl<'a> Dump<'a> {
    fn begin(dump: &'a mut dyn Read) -> Result<Self> {
        let mut head = Vec::new();
        let read = (&mut *dump).take(HEAD_BYTES).read_to_end(&mut head);
        read.map_err(SplitError::Read)?;
        let tail = std::rc::Rc::default();
        Ok(Self {
            defaults: dump::defaults(&head),
            statements: Statements::new(Whole {
                rest: std::io::Cursor::new(head).chain(dump),
                tail: std::rc::Rc::clone(&tail),
            }),
            tail,
        })
    }

    /// Tables and rows, as its last line says; none: it is not whole.
    fn counts(&self) -> Option<(u64, u64)> {
        dump::counts(&self.tail.borrow())
    }
}

/// A reader that remembers the end of what it read.
struct Whole<'a> {
    rest: std::io::Chain<std::io::Cursor<Vec<u8>>, &'a mut dyn Read>,
    tail: std::rc::Rc<std::cell::RefCell<Vec<u8>>>,
}

impl Read for Whole<'_> {
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
struct Loader<'a> {
    connection: &'a Connection,
    database: String,
    collations: Collations,
    /// The longest statement that the server takes.
    packet: usize,
    at: Progress,
    progress: &'a mut dyn FnMut(&Progress),
    notes: Vec<String>,
}

impl<'a> Loader<'a> {
    fn new(
        connection: &'a Connection,
        database: &str,
        progress: &'a mut dyn FnMut(&Progress),
    ) -> Result<Self> {
        let packet = connection.text("SELECT @@max_allowed_packet")?;
        Ok(Self {
            connection,
            database: database.to_owned(),
            collations: Collations::of(connection)?,
            packet: packet.and_then(|text| text.parse().ok()).unwrap_or(1 << 20),
            at: Progress::default(),
            progress,
            notes: Vec::new(),
        })
    }

    /// Makes the database if it is not there, and goes into it.
    fn create(&mut self, defaults: Option<&(String, String)>, exists: bool) -> Result<()> {
        let name = literal::name(&self.database);
        let settings = defaults.map(|(charset, collation)| {
            let other = self.collations.replacement(collation);
            let collation = other.as_ref().unwrap_or(collation);
            format!("CHARACTER SET {charset} COLLATE {collation}")
        });
        let settings = settings.unwrap_or_default();
        // An empty one that is there is made the same.
        let verb = if exists { "ALTER" } else { "CREATE" };
        if !exists || !settings.is_empty() {
            self.connection
                .run(&format!("{verb} DATABASE {name} {settings}"))?;
        }
        Ok(self.connection.run(&format!("USE {name}"))?)
    }

    /// Runs all statements that `chosen` says (it is told whether a statement is about tables), and
    /// compares what there was with what the last line says.
    fn load(
        &mut self,
        dump: &mut Dump<'_>,
        mut chosen: impl FnMut(&Statement<'_>, bool) -> Result<bool>,
    ) -> Result<()> {
        while let Some(statement) = dump.statements.next()? {
            let sort = Sort::of(statement.text);
            if chosen(&statement, sort != Sort::Other)? {
                self.run(&statement, sort)?;
            }
        }
        let Some((tables, rows)) = dump.counts() else {
            return Err(LoadError::Incomplete {
                at: self.at.clone(),
            });
        };
        if (tables, rows) != (self.at.tables, self.at.rows) {
            return Err(LoadError::Counts {
                tables,
                rows,
                at: self.at.clone(),
            });
        }
        Ok(())
    }

    fn run(&mut self, statement: &Statement<'_>, sort: Sort) -> Result<()> {
        let text = self.collations.fit(statement);
        let needed = text.len() + PACKET_EXTRA;
        if sort == Sort::Table {
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
        let changed = self
            .connection
            .feed(&text, &beginning(&text))
            .map_err(|source| LoadError::Statement {
                database: self.database.clone(),
                line: statement.line,
                at: self.at.clone(),
                source: Box::new(source),
            })?;
        match sort {
            Sort::Table => self.at.tables += 1,
            Sort::Rows => self.at.rows += changed,
            Sort::Sequence | Sort::Other => {}
        }
        self.at.bytes += text.len() as u64;
        (self.progress)(&self.at);
        Ok(())
    }

    fn loaded(mut self) -> Loaded {
        self.notes.extend(self.collations.notes());
        Loaded {
            tables: self.at.tables,
            rows: self.at.rows,
            notes: self.notes,
        }
    }
}

/// What a statement does, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Makes a table.
    Table,
    /// Fills one.
    Rows,
    /// Makes a sequence, or sets it.
    Sequence,
    /// Anything else: views and programs, and what sets up the session.
    Other,
}

impl Sort {
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

/// Enough of a statement for a message, and nothing of anybody's rows.
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
