//! One moment of all databases of a server.

use std::io::Write;

use super::connection::{MySqlConnection, cell_text};
use super::dump::{self, DumpError, DumpTotals};
use super::error::{Error, MySqlErrorKind};
use super::literal::{self, SqlLiteral};
use super::privileges;
use super::schema::{self, MySqlSchema, NameCase};
use super::server::MySqlServer;
use super::unreadable::{self, UnreadableInDatabase, UnreadableRelation};
use crate::database;
use crate::database::pointers::rows::{PointerCell, PointerRows, PointerTable, TableSource};
use crate::database::pointers::{Pointers, assemble};

/// A transaction that sees all databases of one server as they were at one moment. A second
/// connection locks tables of engines without transactions until they are dumped.
pub struct MySqlSnapshot {
    connection: MySqlConnection,
    databases: Vec<(String, MySqlSchema)>,
    locks: Option<MySqlConnection>,
}

impl MySqlSnapshot {
    /// Finds out what is there and whether it may be read, locks the tables without transactions,
    /// and begins.
    ///
    /// Errors: every [`MySqlErrorKind`]. `Changed` says that a table was made or altered meanwhile. A
    /// new attempt helps then.
    pub fn begin(server: &MySqlServer, databases: &[&str]) -> Result<Self, Error> {
        Self::begin_without(server, databases, &[])
    }

    /// Like [`Self::begin`], without the tables and views that a dump has failed at.
    pub fn begin_without(
        server: &MySqlServer,
        databases: &[&str],
        known: &[UnreadableInDatabase],
    ) -> Result<Self, Error> {
        let connection = MySqlConnection::open(server)?;
        let mut before = schemas(&connection, databases)?;
        privileges::check(&connection, &before)?;
        for (database, schema) in &mut before {
            let of_database = known.iter().filter(|known| known.database == *database);
            let known: Vec<UnreadableRelation> =
                of_database.map(|one| one.unreadable.clone()).collect();
            unreadable::take_out(&connection, database, schema, &known)?;
        }
        let locks = lock(server, &before)?;
        connection.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
        connection.run("START TRANSACTION WITH CONSISTENT SNAPSHOT")?;
        let mut databases = schemas(&connection, databases)?;
        for ((_, schema), (_, before)) in databases.iter_mut().zip(&before) {
            unreadable::take_out_known(schema, &before.unreadable);
        }
        let tables = |all: &[(String, MySqlSchema)]| -> Vec<_> {
            let schemas = all.iter().map(|(_, schema)| schema);
            schemas.map(|schema| (schema.tables.clone(), schema.views.clone())).collect()
        };
        if tables(&before) != tables(&databases) {
            let what = "tables were made, altered or removed just now";
            return Err(Error::new(server, MySqlErrorKind::Changed, what));
        }
        Ok(Self { connection, databases, locks })
    }

    /// What [`MySqlConnection::identity`] says.
    pub fn identity(&self) -> Result<String, Error> {
        self.connection.identity()
    }

    /// The server's version.
    pub fn version(&self) -> &str {
        self.connection.version()
    }

    /// Databases that the account sees and that are not part of this snapshot. The server's own are
    /// left out.
    pub fn others(&self) -> Result<Vec<String>, Error> {
        const SERVERS_OWN: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];
        let mut rows = self.connection.rows("SHOW DATABASES")?;
        let names = rows.iter_mut().filter_map(|row| cell_text(row, 0));
        let is_ours = |name: &String| self.databases.iter().any(|(ours, _)| ours == name);
        Ok(names.filter(|name| !is_ours(name) && !SERVERS_OWN.contains(&name.as_str())).collect())
    }

    /// Tables and views of a database that cannot be read, and are in no dump.
    pub fn unreadable(&self, database: &str) -> Result<&[UnreadableRelation], Error> {
        Ok(&self.schema(database)?.unreadable)
    }

    /// What Seafile's own database points to.
    pub fn pointers(&self, database: &str) -> Result<Pointers, database::Error> {
        assemble::assemble(&SnapshotDatabase {
            snapshot: self,
            name: database,
            schema: self.schema(database)?,
        })
    }

    /// Writes a database as SQL text. The `dump` module says what is in it.
    pub fn dump(&self, database: &str, out: &mut dyn Write) -> Result<DumpTotals, DumpError> {
        let totals = dump::write(&self.connection, database, self.schema(database)?, out)?;
        // The locks end when their connection does, and then the tables may have changed.
        if let Some(locks) = &self.locks {
            locks.run("SELECT 1")?;
        }
        Ok(totals)
    }

    /// Releases the locks. All databases must be dumped by then.
    pub fn unlock(&mut self) {
        self.locks = None;
    }

    fn schema(&self, database: &str) -> Result<&MySqlSchema, Error> {
        let found = self.databases.iter().find(|(name, _)| name == database);
        found.map(|(_, schema)| schema).ok_or_else(|| {
            let what = format!("the database {database} is not part of this snapshot");
            Error::new(self.connection.server(), MySqlErrorKind::NoDatabase, what)
        })
    }
}

fn schemas(
    connection: &MySqlConnection,
    databases: &[&str],
) -> Result<Vec<(String, MySqlSchema)>, Error> {
    databases
        .iter()
        .map(|&name| Ok((name.to_owned(), schema::read_all(connection, name)?)))
        .collect()
}

/// Locks all tables without transactions for reading, since the snapshot does not cover them.
fn lock(
    server: &MySqlServer,
    databases: &[(String, MySqlSchema)],
) -> Result<Option<MySqlConnection>, Error> {
    let tables = databases.iter().flat_map(|(database, schema)| {
        let tables = schema.tables.iter().filter(|table| !table.is_transactional);
        tables.map(move |table| {
            format!("{}.{} READ", literal::name(database), literal::name(&table.name))
        })
    });
    let tables: Vec<String> = tables.collect();
    if tables.is_empty() {
        return Ok(None);
    }
    let connection = MySqlConnection::open(server)?;
    connection.run(&format!("LOCK TABLES {}", tables.join(", ")))?;
    Ok(Some(connection))
}

/// A database inside of a snapshot, as pointers are read from it.
struct SnapshotDatabase<'a> {
    snapshot: &'a MySqlSnapshot,
    name: &'a str,
    schema: &'a MySqlSchema,
}

impl TableSource for SnapshotDatabase<'_> {
    fn rows<const COLUMNS: usize>(
        &self,
        table: &PointerTable<COLUMNS>,
    ) -> Result<PointerRows<COLUMNS>, database::Error> {
        let connection = &self.snapshot.connection;
        let missing = |column| database::Error::MissingTable {
            file: format!("{} on {}", self.name, connection.server()).into(),
            table: table.name,
            column,
        };
        let is_it = |name: &str| {
            name == table.name
                || self.schema.case != NameCase::Differs && name.eq_ignore_ascii_case(table.name)
        };
        let mut bad = self.schema.unreadable.iter();
        if let Some(bad) = bad.find(|known| is_it(&known.name)) {
            return Ok(PointerRows::lost(bad.reason.clone()));
        }
        let Some(known) = self.schema.tables.iter().find(|known| is_it(&known.name)) else {
            return if table.needed {
                Err(missing(table.columns[0]))
            } else {
                Ok(PointerRows::all(Vec::new()))
            };
        };
        let columns = table.columns.map(|name| {
            let mut columns = known.columns.iter();
            columns.find(|column| column.name.eq_ignore_ascii_case(name))
        });
        if table.needed
            && let Some(at) = columns.iter().position(Option::is_none)
        {
            return Err(missing(table.columns[at]));
        }
        let selected = columns.map(|column| {
            column.map_or_else(|| "NULL".to_owned(), |column| literal::name(&column.name))
        });
        let statement = format!(
            "SELECT {} FROM {}.{}",
            selected.join(", "),
            literal::name(self.name),
            literal::name(&known.name)
        );
        let mut rows = Vec::new();
        released(connection, || {
            connection.each(&statement, |mut row| {
                let cell = |at: usize| match cell_text(&mut row, at) {
                    None => PointerCell::Null,
                    Some(text) => match (columns[at].map(|column| column.literal), text.parse()) {
                        (Some(SqlLiteral::Bare), Ok(number)) => PointerCell::Integer(number),
                        _ => PointerCell::Text(text),
                    },
                };
                rows.push(std::array::from_fn(cell));
                Ok::<_, Error>(())
            })
        })
        .map_err(|error: Error| {
            if !unreadable::is_unreadable(&error) {
                return error;
            }
            let bad = UnreadableInDatabase::failed(self.name, &known.name, &error);
            error.with_kind(MySqlErrorKind::Unreadable(Box::new(bad)))
        })?;
        Ok(PointerRows::all(rows))
    }
}

/// Reads tables, and then releases them. Nobody can alter a table that a transaction has read until
/// the transaction ends. Meanwhile, an attempt to alter it keeps all others from the table.
pub(super) fn released<T, E: From<Error>>(
    connection: &MySqlConnection,
    read: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    connection.run("SAVEPOINT seawall")?;
    let value = read()?;
    connection.run("ROLLBACK TO SAVEPOINT seawall")?;
    Ok(value)
}
