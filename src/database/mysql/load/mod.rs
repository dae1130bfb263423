//! Dumps, loaded into a server.

mod statements;

pub use statements::{SplitError, Statement, Statements};
