//! Copies of an installation's databases, and the pointers that they hold.
//!
//! [`sqlite`] takes consistent private copies of SQLite databases while Seafile runs. [`mysql`]
//! dumps the databases of a server and loads dumps back. [`pointers`] reads which libraries there
//! are and which commits they point to. A backup needs [`Pointers`], whatever kind of database they
//! come from. Rows come through one small trait, so another kind of server is one more
//! implementation of it.
//!
//! It writes nothing into an installation, knows nothing of objects on disk or of repositories, and
//! does not discover where databases are. The verbs call it.

mod error;
pub mod mysql;
pub mod pointers;
pub mod sqlite;

pub use error::Error;
pub use pointers::assemble::MASTER;
pub use pointers::{
    Head, LibraryPointers, LibraryState, Oddity, Pointers, VirtualOrigin, read_pointers,
    read_pointers_live,
};
pub use sqlite::{SqliteCopy, SqliteSource, check_copy, copy_all, probe, remove_leftovers};
