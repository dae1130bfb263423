//! Runs statements and hands over their rows one after the other. Each call waits for the server.

use std::cell::RefCell;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row, Value};
use tokio::runtime::{Builder, Runtime};

use super::error::{Error, MySqlErrorKind};
use super::literal;
use super::server::MySqlServer;

/// A server that does not answer a login for so long counts as unreachable.
const CONNECT: Duration = Duration::from_secs(30);
/// A statement that gives nothing for so long is given up. Waits for locks end sooner.
const SILENCE: Duration = Duration::from_mins(10);
/// So many rows, or bytes, are read at a time. They share one timeout, so that not each row has its
/// own.
const ROWS: usize = 256;
const BYTES: usize = 1 << 20;

/// A connection to a server, with its session set up.
pub struct MySqlConnection {
    // This comes before the runtime, because it needs the runtime to end.
    conn: RefCell<Option<Conn>>,
    runtime: Runtime,
    server: MySqlServer,
    vendor: MySqlVendor,
    version: String,
}

/// Who made the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MySqlVendor {
    /// `MariaDB`.
    MariaDb,
    /// `MySQL`, or any server that does not say that it is something else.
    MySql,
}

/// What a statement of a dump did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StatementEffect {
    /// How many rows it changed.
    pub(super) rows: u64,
    /// How many warnings the server has of it.
    pub(super) warnings: u16,
}

impl MySqlConnection {
    /// Logs in.
    pub fn open(server: &MySqlServer) -> Result<Self, Error> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(server, MySqlErrorKind::Other, error.to_string()))?;
        let opts = server.opts();
        let connecting = async { tokio::time::timeout(CONNECT, Conn::new(opts)).await };
        let conn = match runtime.block_on(connecting) {
            Ok(Ok(conn)) => conn,
            Ok(Err(error)) => return Err(not_connected(server, &error)),
            Err(_) => {
                let what = format!("no answer for {} seconds", CONNECT.as_secs());
                return Err(Error::new(server, MySqlErrorKind::Unreachable, what));
            }
        };
        let mut this = Self {
            conn: RefCell::new(Some(conn)),
            runtime,
            server: server.clone(),
            vendor: MySqlVendor::MySql,
            version: String::new(),
        };
        this.version = this.text("SELECT VERSION()")?.unwrap_or_default();
        if this.version.contains("MariaDB") {
            this.vendor = MySqlVendor::MariaDb;
        }
        this.begin_session()?;
        Ok(this)
    }

    /// Sets up the session: text is UTF-8, times are UTC, and the server does not limit how long
    /// statements run.
    fn begin_session(&self) -> Result<(), Error> {
        self.run("SET NAMES utf8mb4")?;
        self.run(
            "SET SESSION time_zone = '+00:00', sql_mode = '', sql_quote_show_create = 1, \
             lock_wait_timeout = 60, innodb_lock_wait_timeout = 60, \
             net_write_timeout = 3600, net_read_timeout = 3600, sql_select_limit = DEFAULT",
        )?;
        let unlimited = self.run(match self.vendor {
            MySqlVendor::MariaDb => "SET SESSION max_statement_time = 0",
            MySqlVendor::MySql => "SET SESSION max_execution_time = 0",
        });
        match unlimited {
            // MySQL before 5.7.8 has no such limit, nor a variable for it.
            Err(error) if error.code() == Some(1193) => Ok(()),
            other => other,
        }
    }

    /// Which server.
    pub fn server(&self) -> &MySqlServer {
        &self.server
    }

    /// Who made it.
    pub fn vendor(&self) -> MySqlVendor {
        self.vendor
    }

    /// As the server says it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What tells this server from others, whatever name it was reached by: its own id (`MySQL`),
    /// or else its host name, port, data folder and server id.
    pub fn identity(&self) -> Result<String, Error> {
        if self.vendor == MySqlVendor::MySql
            && let Some(id) = self.text("SELECT @@server_uuid")?
        {
            return Ok(id);
        }
        let id = self.text("SELECT CONCAT_WS(' ', @@hostname, @@port, @@datadir, @@server_id)")?;
        Ok(id.unwrap_or_default())
    }

    /// Runs a statement and drops its rows.
    pub fn run(&self, statement: &str) -> Result<(), Error> {
        self.each(statement, |_| Ok::<_, Error>(()))
    }

    /// Makes a database the one that later statements use. The error says whether there is no such
    /// database or the account may not see it.
    pub fn use_database(&self, name: &str) -> Result<(), Error> {
        self.run(&format!("USE {}", literal::name(name)))
    }

    /// The first cell of the first row.
    pub fn text(&self, statement: &str) -> Result<Option<String>, Error> {
        let mut rows = self.rows(statement)?;
        Ok(rows.first_mut().and_then(|row| cell_text(row, 0)))
    }

    /// All rows of a small table.
    pub fn rows(&self, statement: &str) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.each(statement, |row| {
            rows.push(row);
            Ok::<_, Error>(())
        })?;
        Ok(rows)
    }

    /// Runs a statement of a dump, which may hold bytes that are not UTF-8. `doing` names it in
    /// errors.
    pub(super) fn feed(&self, statement: &[u8], doing: &str) -> Result<StatementEffect, Error> {
        let mut held = self.conn.borrow_mut();
        let Some(conn) = held.as_mut() else {
            return Err(Error::new(&self.server, MySqlErrorKind::Lost, "the connection is closed"));
        };
        let work = async {
            let result = conn.query_iter(statement).await?;
            let rows = result.affected_rows();
            let warnings = result.warnings();
            result.drop_result().await?;
            Ok::<_, mysql_async::Error>(StatementEffect { rows, warnings })
        };
        // The timer is made inside the runtime, which drives it.
        let timed = async { tokio::time::timeout(SILENCE, work).await };
        let answered = self.runtime.block_on(timed);
        match answered {
            Ok(Ok(fed)) => Ok(fed),
            Ok(Err(error)) => {
                if error.is_fatal() {
                    *held = None;
                }
                Err(Error::of(&self.server, doing, &error))
            }
            Err(_) => {
                *held = None;
                Err(Error::silent(&self.server, doing, SILENCE))
            }
        }
    }

    /// Hands over one row after the other. Cells are the server's own text, as bytes: only the text
    /// protocol gives every type exactly. An error closes the connection, unless the server has
    /// refused the statement.
    pub fn each<E: From<Error>>(
        &self,
        statement: &str,
        mut with: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut held = self.conn.borrow_mut();
        let Some(mut conn) = held.take() else {
            return Err(
                Error::new(&self.server, MySqlErrorKind::Lost, "the connection is closed").into()
            );
        };
        let doing = || first_words(statement);
        let about = |error: mysql_async::Error| E::from(Error::of(&self.server, &doing(), &error));
        let silent = |_| E::from(Error::silent(&self.server, &doing(), SILENCE));
        let answered: Result<Result<(), E>, E> = self.runtime.block_on(async {
            let asked = tokio::time::timeout(SILENCE, conn.query_iter(statement)).await;
            let mut result = match asked.map_err(silent)? {
                Ok(result) => result,
                // The server refused, and the session goes on.
                Err(error @ mysql_async::Error::Server(_)) => return Ok(Err(about(error))),
                Err(error) => return Err(about(error)),
            };
            loop {
                let some = async {
                    let (mut rows, mut bytes) = (Vec::new(), 0);
                    while rows.len() < ROWS && bytes < BYTES {
                        let Some(row) = result.next().await? else {
                            return Ok((rows, true));
                        };
                        bytes += len(&row);
                        rows.push(row);
                    }
                    Ok((rows, false))
                };
                let rows = tokio::time::timeout(SILENCE, some).await.map_err(silent)?;
                let (rows, is_over): (Vec<Row>, bool) = rows.map_err(about)?;
                for row in rows {
                    with(row)?;
                }
                if is_over {
                    return Ok(Ok(()));
                }
            }
        });
        match answered {
            Ok(result) => {
                *held = Some(conn);
                result
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for MySqlConnection {
    fn drop(&mut self) {
        let conn = self.conn.get_mut().take();
        self.runtime.block_on(async {
            if let Some(conn) = conn {
                // Do not wait longer for a server that does not say goodbye.
                let _ = tokio::time::timeout(Duration::from_secs(5), conn.disconnect()).await;
            }
        });
    }
}

fn not_connected(server: &MySqlServer, error: &mysql_async::Error) -> Error {
    let is_io = matches!(error, mysql_async::Error::Io(_));
    let sorted = Error::of(server, "no connection", error);
    if is_io || *sorted.kind() == MySqlErrorKind::Lost {
        sorted.with_kind(MySqlErrorKind::Unreachable)
    } else {
        sorted
    }
}

fn len(row: &Row) -> usize {
    let value = |at| match row.as_ref(at) {
        Some(Value::Bytes(bytes)) => bytes.len(),
        _ => 0,
    };
    (0..row.len()).map(value).sum()
}

/// Enough of a statement for a message.
fn first_words(statement: &str) -> String {
    const MOST: usize = 80;
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A cell as text; bytes that are not UTF-8 are replaced.
pub(super) fn cell_text(row: &mut Row, column: usize) -> Option<String> {
    match row.take(column)? {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
        // The text protocol has nothing else.
        other => Some(other.as_sql(true)),
    }
}
