//! Why a dump was not loaded.

use super::{LoadProgress, SplitError};
use crate::database::mysql::{DumpError, Error, MySqlErrorKind};
use crate::units::{bytes, count};

pub(super) type Result<T> = std::result::Result<T, LoadError>;

/// Why a dump was not loaded, or only in part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The server failed, before or between statements of the dump.
    #[error(transparent)]
    Server(#[from] Error),
    /// The dump cannot be cut into statements.
    #[error(transparent)]
    Dump(#[from] SplitError),
    /// The database has something in it.
    #[error(
        "{server}: the database {database} is not empty: {tables} tables and views, about {rows} rows, {programs} routines and events"
    )]
    NotEmpty {
        /// The server.
        server: String,
        /// The database.
        database: String,
        /// Tables, views, sequences.
        tables: usize,
        /// About how many rows.
        rows: u64,
        /// Routines and events.
        programs: usize,
    },
    /// Somebody uses the database.
    #[error("{server}: the database {database} is in use: {by}")]
    InUse {
        /// The server.
        server: String,
        /// The database.
        database: String,
        /// The connections.
        by: String,
    },
    /// The dump has names in lower case, and this server tells case apart: programs would not find
    /// the tables.
    #[error(
        "{server}: the dump of {database} has names in lower case, as its server kept them, and this server tells case apart: Seafile would not find its tables"
    )]
    LowerCase {
        /// The server.
        server: String,
        /// The database.
        database: String,
    },
    /// The server lacks something that the dump has.
    #[error("{server}: {}{what}", of_database(database))]
    Unfit {
        /// The server.
        server: String,
        /// The database. Empty means all of them.
        database: String,
        /// What is lacking.
        what: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The database was left half loaded from another dump.
    #[error(
        "{server}: the database {database} was left half loaded, from another dump than this one"
    )]
    OtherUnfinished {
        /// The server.
        server: String,
        /// The database.
        database: String,
    },
    /// A statement failed.
    #[error("the database {database}, line {line} of its dump, after {}", far(at))]
    Statement {
        /// The database.
        database: String,
        /// The line that the statement begins in.
        line: u64,
        /// How far it got.
        at: LoadProgress,
        /// What the server said.
        source: Box<Error>,
    },
    /// The server does not take so long a statement.
    #[error(
        "{server}: the table {table} needs a max_allowed_packet of {}, and it is {}", bytes(*needed as u64), bytes(*allowed as u64)
    )]
    Packet {
        /// The server.
        server: String,
        /// The table.
        table: String,
        /// How many bytes the server would have to take.
        needed: usize,
        /// How many bytes it takes.
        allowed: usize,
    },
    /// The dump's last line is not there.
    #[error("the dump is cut off: its last line is missing, after {}", far(at))]
    Incomplete {
        /// How far it got.
        at: LoadProgress,
    },
    /// The dump held other numbers of tables or rows than its last line says.
    #[error(
        "the dump says that it has {tables} tables and {rows} rows, but there came {}",
        far(at)
    )]
    Counts {
        /// Tables, by its last line.
        tables: u64,
        /// Rows, by its last line.
        rows: u64,
        /// What was loaded.
        at: LoadProgress,
    },
    /// Views, routines, triggers and events take more memory than they may.
    #[error("the dump has more than {0} bytes of views, routines, triggers and events")]
    TooManyPrograms(usize),
    /// The database that would be replaced cannot be read, so it cannot be kept.
    #[error("what is in the database {database} cannot be kept")]
    Keep {
        /// The database.
        database: String,
        /// Why.
        source: Box<DumpError>,
    },
    /// The new tables are in place and the old ones are kept, but not all views, routines, triggers
    /// and events are there.
    #[error(
        "the tables of the database {database} are in place, those of before are in {before}, but not all views, routines, triggers and events are"
    )]
    Half {
        /// The database.
        database: String,
        /// Where the old tables are.
        before: String,
        /// What went wrong.
        source: Box<LoadError>,
    },
    /// The connection broke while tables changed places. Whether they did cannot be told.
    #[error(
        "the connection broke while the tables of the database {database} changed places with new ones: if {before} has tables now, they are those of before, else {database} has them; its triggers may be lacking"
    )]
    Unclear {
        /// The database.
        database: String,
        /// Where the old tables are, if they were moved.
        before: String,
        /// What went wrong.
        source: Box<Error>,
    },
    /// The old tables are in place, but not all of their triggers.
    #[error("the database {database} has its tables as before, but lost triggers ({said})")]
    NotPutBack {
        /// The database.
        database: String,
        /// Why they could not be made again.
        said: String,
        /// Why the tables were not replaced.
        source: Box<LoadError>,
    },
}

fn of_database(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("the database {name}: ") }
}

fn far(at: &LoadProgress) -> String {
    let LoadProgress { tables, rows, table, .. } = at;
    if table.is_empty() {
        return "nothing".to_owned();
    }
    format!(
        "{} and {} (the last table is {table})",
        count(*tables, "table", "tables"),
        count(*rows, "row", "rows")
    )
}

impl LoadError {
    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Server(error) if *error.kind() == MySqlErrorKind::Lost => {
                "see that the server runs, and run again: what was there is as it was"
            }
            Self::Server(error) => return error.hint(),
            Self::Statement { source, .. } => match source.hint() {
                Some(hint) if *source.kind() != MySqlErrorKind::Lost => return Some(hint),
                _ => {
                    "a database that was to be replaced is as it was; one that was empty is loaded again when the restore goes on with --import-only"
                }
            },
            Self::Unclear { .. } => "look at both before anything else; nothing was dropped",
            Self::Unfit { hint, .. } => hint,
            Self::OtherUnfinished { database, .. } => {
                return Some(format!(
                    "nothing of it is of use: DROP DATABASE `{database}`, or choose another name with --database-name"
                ));
            }
            Self::NotEmpty { .. } => "choose another name, or replace what is there",
            Self::LowerCase { .. } => {
                "load it into a server that was set up with lower_case_table_names=1, as the old one was"
            }
            Self::InUse { .. } => "stop Seafile, and whatever else is connected, and run again",
            Self::Packet { needed, .. } => {
                let megabytes = needed.div_ceil(1 << 20);
                return Some(format!(
                    "let an administrator run: SET GLOBAL max_allowed_packet = {megabytes} * 1024 * 1024"
                ));
            }
            Self::Dump(_) | Self::Incomplete { .. } | Self::Counts { .. } => {
                "check the snapshot that it comes from, and restore it from another one"
            }
            Self::Half { source, .. } | Self::NotPutBack { source, .. } => return source.hint(),
            Self::TooManyPrograms(_) | Self::Keep { .. } => return None,
        };
        Some(text.to_owned())
    }
}
