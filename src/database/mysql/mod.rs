//! Databases on a `MySQL` or `MariaDB` server: one snapshot over all of them, dumped as SQL text that
//! the stock clients load, pointers read inside of the same snapshot, and dumps loaded back.
//!
//! To dump, the server's account needs to read and nothing else. Nothing here knows of repositories, or of
//! where an installation says that its databases are.

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
