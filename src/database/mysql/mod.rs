//! Databases on a `MySQL` or `MariaDB` server. One snapshot covers all of them. They are dumped as
//! SQL text that the stock clients load, and pointers are read in the same snapshot. Dumps can be
//! loaded back.
//!
//! To dump, an account needs to read and nothing else. This module knows nothing of repositories,
//! nor where an installation says that its databases are.

mod connection;
mod definition;
mod dump;
mod error;
mod literal;
mod load;
mod privileges;
mod programs;
mod schema;
mod server;
mod snapshot;
#[cfg(test)]
mod tests;
mod text;
mod unreadable;

pub use connection::{MySqlConnection, MySqlVendor};
pub use dump::{DumpError, DumpTotals, is_complete};
pub use error::{Error, LOGIN_REFUSED, MySqlErrorKind};
pub use load::{
    DatabaseToLoad, DumpNeeds, LoadError, LoadProgress, LoadTarget, LoadTotals, ReplacedDatabase,
    SplitError, Statement, Statements, TargetDatabase, load, load_marked, must_take, replace,
    unmark,
};
pub use server::{MySqlAddress, MySqlServer, MySqlTls};
pub use snapshot::MySqlSnapshot;
pub use text::{DumpText, TextError};
pub use unreadable::{UnreadableInDatabase, UnreadableRelation};
