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

pub use connection::{Connection, Vendor};
pub use dump::{DumpError, Totals, is_complete};
pub use error::{Error, ErrorKind, LOGIN_REFUSED};
pub use load::{
    DumpNeeds, Found, LoadError, Loaded, Progress, Replaced, SplitError, Statement, Statements,
    Target, Wanted, load, load_marked, must_take, replace, unmark,
};
pub use server::{Address, Server, Tls};
pub use snapshot::Snapshot;
pub use text::{DumpText, TextError};
pub use unreadable::{InDatabase, Unreadable};
