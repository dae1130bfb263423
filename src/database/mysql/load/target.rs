//! What is on a server before anything is loaded into it.

use std::time::{Duration, Instant};

use super::survey::{MARK, marked};
use super::{LoadError, Result};
use crate::database::mysql::connection::cell_text;
use crate::database::mysql::{Error, MySqlConnection, MySqlServer, literal, schema};

/// What is on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadTarget {
    /// The server, as messages name it.
    pub server: String,
    /// What tells it from other servers.
    pub identity: String,
    /// The server's own version.
    pub version: String,
    /// The machine's name, as the server says it.
    pub host: String,
    /// Whether our account sees connections of other accounts. Only then is a database known to be
    /// unused.
    pub sees_others: bool,
    /// Where it keeps its data, in its own file system.
    pub data_dir: String,
    /// The databases that were asked for.
    pub databases: Vec<TargetDatabase>,
}

/// What is in one database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetDatabase {
    /// Its name.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// Tables (views and sequences too), and about how many rows each has.
    pub tables: Vec<(String, u64)>,
    /// How many procedures, functions and events it has.
    pub programs: usize,
    /// The dump that was being loaded into it, if a load broke off.
    pub unfinished: Option<String>,
    /// Connections that use it: `user from host: what it does`.
    pub used_by: Vec<String>,
}

impl LoadTarget {
    /// Examines a server, and changes nothing.
    pub fn examine(server: &MySqlServer, names: &[&str]) -> std::result::Result<Self, Error> {
        let connection = MySqlConnection::open(server)?;
        // With PROCESS, an account sees the connections of all accounts. A privilege by a role is
        // not counted.
        let sees_others = connection.text(
            "SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'PROCESS' \
             AND GRANTEE = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', \
             SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')",
        )?;
        let databases = names.iter().map(|name| TargetDatabase::examine(&connection, name));
        Ok(Self {
            server: server.to_string(),
            identity: connection.identity()?,
            version: connection.version().to_owned(),
            host: connection.text("SELECT @@hostname")?.unwrap_or_default(),
            data_dir: connection.text("SELECT @@datadir")?.unwrap_or_default(),
            sees_others: sees_others.is_some_and(|count| count != "0"),
            databases: databases.collect::<std::result::Result<_, _>>()?,
        })
    }
}

impl TargetDatabase {
    pub(super) fn examine(
        connection: &MySqlConnection,
        name: &str,
    ) -> std::result::Result<Self, Error> {
        let about =
            |columns, table, column| schema::about(connection, columns, table, column, name);
        let mut tables: Vec<(String, u64)> =
            about("TABLE_NAME, TABLE_ROWS", "TABLES", "TABLE_SCHEMA")?
                .iter_mut()
                .map(|row| {
                    let rows = cell_text(row, 1).and_then(|text| text.parse().ok());
                    (cell_text(row, 0).unwrap_or_default(), rows.unwrap_or(0))
                })
                .collect();
        tables.sort();
        let routines = about("ROUTINE_NAME", "ROUTINES", "ROUTINE_SCHEMA")?.len();
        let events = about("EVENT_NAME", "EVENTS", "EVENT_SCHEMA")?.len();
        let is_marked = tables.iter().any(|(table, _)| table == MARK);
        let unfinished = is_marked.then(|| marked(connection, name)).transpose()?;
        Ok(Self {
            name: name.to_owned(),
            // A mark without its row is an unfinished load too.
            unfinished: unfinished.map(Option::unwrap_or_default),
            exists: !about("SCHEMA_NAME", "SCHEMATA", "SCHEMA_NAME")?.is_empty(),
            tables,
            programs: routines + events,
            used_by: still_used_by(connection, name)?,
        })
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.programs == 0
    }

    /// Fails if somebody uses the database.
    pub(super) fn must_be_unused(&self, connection: &MySqlConnection) -> Result<()> {
        if self.used_by.is_empty() {
            return Ok(());
        }
        Err(LoadError::InUse {
            server: connection.server().to_string(),
            database: self.name.clone(),
            by: self.used_by.join("; "),
        })
    }

    /// Fails if something is in the database.
    pub(super) fn must_be_empty(&self, connection: &MySqlConnection) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        Err(LoadError::NotEmpty {
            server: connection.server().to_string(),
            database: self.name.clone(),
            tables: self.tables.len(),
            rows: self.tables.iter().map(|(_, rows)| rows).sum(),
            programs: self.programs,
        })
    }
}

/// How long the server may still list a session that has ended.
const LEAVING: Duration = Duration::from_secs(2);

/// Who uses a database. The server still lists a client for a moment after it has gone, so a
/// session counts only if it stays.
fn still_used_by(
    connection: &MySqlConnection,
    name: &str,
) -> std::result::Result<Vec<String>, Error> {
    let end = Instant::now() + LEAVING;
    loop {
        let users = used_by(connection, name)?;
        if users.is_empty() || Instant::now() >= end {
            return Ok(users);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn used_by(connection: &MySqlConnection, name: &str) -> std::result::Result<Vec<String>, Error> {
    let mut rows = connection.rows(&format!(
        "SELECT USER, HOST, COMMAND FROM information_schema.PROCESSLIST \
         WHERE DB = {} AND ID <> CONNECTION_ID() ORDER BY ID",
        literal::text(name)
    ))?;
    let mut shown: Vec<String> = rows
        .iter_mut()
        .map(|row| {
            let mut cell = |column| cell_text(row, column).unwrap_or_default();
            format!("{} from {} ({})", cell(0), cell(1), cell(2))
        })
        .collect();
    shown.sort();
    Ok(shown)
}
