//! Tables and views that the server lists and cannot open: a table whose file is gone, a crashed
//! table, a view over a table that does not exist. A single one must not keep all others out of a
//! backup. So they are found before a dump begins, left out of it, and named.

use super::connection::{MySqlConnection, cell_text};
use super::error::{Error, MySqlErrorKind};
use super::literal;
use super::schema::{self, MySqlSchema, MySqlView};

/// So many tables are tried with one statement.
const AT_ONCE: usize = 50;

/// A table or view that cannot be read, and is not in the dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRelation {
    /// Its name.
    pub name: String,
    /// What the server says.
    pub reason: String,
}

/// An unreadable table or view, with its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableInDatabase {
    /// The database's name.
    pub database: String,
    /// What cannot be read.
    pub unreadable: UnreadableRelation,
}

impl UnreadableInDatabase {
    /// A table at which a statement failed.
    pub(super) fn failed(database: &str, table: &str, error: &Error) -> Self {
        Self { database: database.to_owned(), unreadable: UnreadableRelation::new(table, error) }
    }
}

impl UnreadableRelation {
    fn new(name: &str, error: &Error) -> Self {
        Self { name: name.to_owned(), reason: error.said().to_owned() }
    }
}

impl std::fmt::Display for UnreadableRelation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, reason } = self;
        write!(f, "{name:?} cannot be read, and is not in the dump: {reason}")
    }
}

/// Takes out of a schema the tables and views that cannot be read. A dump has failed at those in
/// `known`.
pub(super) fn take_out(
    connection: &MySqlConnection,
    database: &str,
    schema: &mut MySqlSchema,
    known: &[UnreadableRelation],
) -> Result<(), Error> {
    let mut unreadable = std::mem::take(&mut schema.unreadable);
    unreadable.extend(known.iter().cloned());
    let mut probe = ReadProbe::open(connection)?;
    let tables = schema.tables.iter().map(|table| &table.name);
    let tables: Vec<&String> = tables.chain(&schema.sequences).collect();
    for tables in tables.chunks(AT_ONCE) {
        let tried = tables.iter().map(|name| first_row(database, name));
        let tried = probe.run(&tried.collect::<Vec<_>>().join(" UNION ALL "))?;
        if tried.is_ok() {
            continue;
        }
        for name in tables {
            unreadable.extend(try_table(&mut probe, database, name)?);
        }
    }
    for view in &schema.views {
        unreadable.extend(try_view(&mut probe, database, view)?);
    }
    take_out_known(schema, &unreadable);
    Ok(())
}

/// Takes out of a schema the tables and views that are known to be unreadable.
pub(super) fn take_out_known(schema: &mut MySqlSchema, unreadable: &[UnreadableRelation]) {
    let is_good = |name: &String| !unreadable.iter().any(|one| one.name == *name);
    schema.tables.retain(|table| is_good(&table.name));
    schema.sequences.retain(is_good);
    schema.views.retain(|view| is_good(&view.name));
    schema.unreadable = unreadable.to_vec();
    schema.unreadable.sort_by(|one, other| one.name.cmp(&other.name));
    schema.unreadable.dedup_by(|one, other| one.name == other.name);
}

/// A connection that is opened again after an error. An error in the midst of rows closes a
/// connection.
struct ReadProbe {
    connection: MySqlConnection,
}

impl ReadProbe {
    fn open(beside: &MySqlConnection) -> Result<Self, Error> {
        let connection = MySqlConnection::open(beside.server())?;
        Ok(Self { connection })
    }

    fn run(&mut self, statement: &str) -> Result<Result<(), Error>, Error> {
        let result = self.connection.run(statement);
        if result.is_err() {
            *self = Self::open(&self.connection)?;
        }
        Ok(result)
    }
}

fn first_row(database: &str, name: &str) -> String {
    let place = format!("{}.{}", literal::name(database), literal::name(name));
    format!("(SELECT 1 FROM {place} LIMIT 1)")
}

/// Whether a table cannot be read, and why.
fn try_table(
    probe: &mut ReadProbe,
    database: &str,
    name: &str,
) -> Result<Option<UnreadableRelation>, Error> {
    let Err(error) = probe.run(&first_row(database, name))? else {
        return Ok(None);
    };
    // The server also says "doesn't exist" of a table that has just been dropped.
    let is_broken = is_unreadable(&error)
        || error.code() == Some(NO_SUCH_TABLE) && is_listed(&probe.connection, database, name)?;
    if is_broken { Ok(Some(UnreadableRelation::new(name, &error))) } else { Err(error) }
}

/// Whether a view cannot be read, and why. Our account may read everything in this database. So
/// whatever the server says concerns what the view leads to, or the account that made it.
fn try_view(
    probe: &mut ReadProbe,
    database: &str,
    view: &MySqlView,
) -> Result<Option<UnreadableRelation>, Error> {
    let Err(error) = probe.run(&first_row(database, &view.name))? else {
        return Ok(None);
    };
    match (error.kind(), error.code()) {
        (MySqlErrorKind::Lost | MySqlErrorKind::Locked | MySqlErrorKind::Unreachable, _)
        | (_, None) => Err(error),
        // The definition can be dumped, because a dump does not name that account.
        (_, Some(code)) if NOT_ALLOWED.contains(&code) && !view.columns.is_empty() => Ok(None),
        _ => Ok(Some(UnreadableRelation::new(&view.name, &error))),
    }
}

fn is_listed(connection: &MySqlConnection, database: &str, name: &str) -> Result<bool, Error> {
    let mut rows = schema::about(connection, "TABLE_NAME", "TABLES", "TABLE_SCHEMA", database)?;
    let mut names = rows.iter_mut().filter_map(|row| cell_text(row, 0));
    Ok(names.any(|listed| listed == name))
}

const NO_SUCH_TABLE: u16 = 1146;
/// The account that a view runs as is gone, or may not do what the view does. MariaDB says 1045 to
/// accounts that may not know more.
const NOT_ALLOWED: [u16; 5] = [1045, 1142, 1143, 1370, 1449];

/// Whether an error says that this one table or view cannot be read, while others can
/// (`mysqld_error.h`; numbers below 1000 are those of the storage engines, `my_base.h`).
pub(super) fn is_unreadable(error: &Error) -> bool {
    let Some(code) = error.code() else {
        return false;
    };
    matches!(
        code,
        // The file is not there; crashed, corrupt, not decrypted, of no known engine.
        29 | 126
            ..=199
            | 1016 | 1017 | 1030 | 1033 | 1034 | 1035 | 1194 | 1195 | 1286 | 1712 | 1728
            // The tablespace is missing, discarded or does not fit.
            | 1808 | 1812 | 1814 | 1815 | 1816 | 1877 | 1932
            // Tables that are somewhere else.
            | 1168 | 1296 | 1429 | 1430 | 1431 | 1432
            // A view over nothing; an account that is gone.
            | 1356 | 1449
    )
}
