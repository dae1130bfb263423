//! Which libraries an installation has, and which commits they point to: what a backup starts from.
//!
//! Only Seafile's database says so. It is read from a private copy, and with tolerance. Rows that
//! make no sense become [`Oddity`]s. They never cause a panic, and never keep other libraries from
//! being backed up. This module does not look at objects.

pub(in crate::database) mod assemble;
pub(in crate::database) mod rows;
mod sqlite;
pub(in crate::database) mod tables;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::database::{Error, SqliteSource, copy_all};
use crate::object::{LibraryId, ObjectId};

/// All that Seafile's database says about where data is. Equal databases give equal pointers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pointers {
    /// Live libraries (virtual ones and the template too) and those in the trash, sorted by id.
    pub libraries: Vec<LibraryPointers>,
    /// Libraries deleted for good whose stores may still be on disk. None of them is in
    /// [`Self::libraries`].
    pub garbage: BTreeSet<LibraryId>,
    /// Which storage class a library's objects are in (Pro, several storages).
    pub storage_classes: BTreeMap<LibraryId, String>,
    /// The library that new users' first library is copied from.
    pub template: Option<LibraryId>,
    /// What made no sense.
    pub oddities: Vec<Oddity>,
}

impl Pointers {
    /// Finds a library.
    pub fn library(&self, id: LibraryId) -> Option<&LibraryPointers> {
        let at = self.libraries.binary_search_by_key(&id, |library| library.id).ok()?;
        self.libraries.get(at)
    }
}

/// What the database says about one library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LibraryPointers {
    /// Its id.
    pub id: LibraryId,
    /// Whether it is in the trash.
    pub state: LibraryState,
    /// Its name. Even a healthy library may lack one: a server with a narrow character set fails to
    /// store some names.
    pub name: Option<String>,
    /// The account that owns it.
    pub owner: Option<String>,
    /// Every branch, sorted. A library in the trash has one, `master`. If there is none, the
    /// database does not say where the library's data is.
    pub heads: Vec<Head>,
    /// Where a virtual library's files and folders are.
    pub origin: Option<VirtualOrigin>,
    /// History from before this time (seconds since 1970) may have been collected.
    pub valid_since: Option<i64>,
    /// How many days of history are kept: -1 means all, 0 none. If absent, the server's
    /// configuration decides.
    pub history_days: Option<i64>,
    /// Whether its content is encrypted by the users.
    pub encrypted: Option<bool>,
    /// The version of its format.
    pub version: Option<i64>,
    /// Changes with each online garbage collection (Seafile 12 and later, not on SQLite).
    pub gc_id: Option<String>,
}

impl LibraryPointers {
    /// Whether a walk starts from the same objects and checks them by the same rules. If so, and
    /// the library was whole, a missing object is damage. It is not a race with the server.
    pub fn same_roots(&self, other: &Self) -> bool {
        fn origin(library: &LibraryPointers) -> Option<(LibraryId, Option<ObjectId>)> {
            library.origin.as_ref().map(|origin| (origin.library, origin.base_commit))
        }
        self.id == other.id
            && self.heads == other.heads
            && origin(self) == origin(other)
            && self.valid_since == other.valid_since
            && self.gc_id == other.gc_id
            && self.state == other.state
            && self.encrypted == other.encrypted
    }
}

/// Whether users see a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LibraryState {
    /// In use.
    Live,
    /// In the trash, from which an administrator can bring it back.
    Trashed {
        /// When it was deleted, in seconds since 1970, if the database says so.
        deleted_at: Option<i64>,
    },
}

/// A branch and its newest commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Head {
    /// Its name; `master` on servers.
    pub branch: String,
    /// Its newest commit.
    pub commit: ObjectId,
}

/// The origin of a virtual library, which is a shared folder of another library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VirtualOrigin {
    /// The library in whose store its folders and blocks are.
    pub library: LibraryId,
    /// The folder in it.
    pub path: String,
    /// The origin's commit at which both were last merged.
    pub base_commit: Option<ObjectId>,
}

/// Something in the database that makes no sense. The length of texts is bounded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Oddity {
    /// A cell that should hold a number, or the id of a library or a commit, holds something else.
    /// It was ignored.
    Unreadable {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The library, where the row names one.
        library: Option<LibraryId>,
        /// What it holds.
        text: String,
    },
    /// An id in capital letters. It was read as the same id in small letters, because MySQL treats
    /// both as equal. On SQLite, Seafile itself does not find it.
    Capitals {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What it holds.
        text: String,
    },
    /// A table cannot be read. Some or all of its rows are unknown.
    UnreadableTable {
        /// The table.
        table: &'static str,
        /// What the server, or SQLite, says.
        reason: String,
    },
    /// A library without a branch. The database no longer says where its data is.
    NoBranch {
        /// The library.
        library: LibraryId,
    },
    /// A library in the trash without a head: nothing says where its data is.
    NoHeadInTrash {
        /// The library.
        library: LibraryId,
    },
    /// A branch of a library that is neither live nor in the trash. It was ignored.
    StrayBranch {
        /// The library.
        library: LibraryId,
        /// The branch.
        branch: String,
    },
    /// A virtual library that is neither live nor in the trash. The row was ignored.
    StrayVirtual {
        /// The virtual library.
        library: LibraryId,
    },
    /// A virtual library whose origin is not live: no library in use holds its files.
    NoOrigin {
        /// The virtual library.
        library: LibraryId,
        /// What it says is its origin.
        origin: LibraryId,
    },
    /// A library that is both live and in the trash; it counts as live.
    LiveAndTrashed {
        /// The library.
        library: LibraryId,
    },
    /// A library in the trash that is also listed as deleted for good. The next garbage collection
    /// destroys it.
    TrashedAndGarbage {
        /// The library.
        library: LibraryId,
    },
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { table, column, library: Some(library), text } => {
                write!(f, "{table}.{column} of library {library} makes no sense: {text:?}")
            }
            Self::Unreadable { table, column, library: None, text } => {
                write!(f, "{table}.{column} makes no sense: {text:?}")
            }
            Self::Capitals { table, column, text } => {
                write!(
                    f,
                    "{table}.{column} has an id in capital letters, which was read in small ones: {text:?}"
                )
            }
            Self::UnreadableTable { table, reason } => {
                write!(f, "the table {table} cannot be read: {reason}")
            }
            Self::NoBranch { library } => write!(f, "library {library} has no branch"),
            Self::NoHeadInTrash { library } => {
                write!(f, "library {library} in the trash has no head")
            }
            Self::StrayBranch { library, branch } => {
                write!(f, "branch {branch:?} belongs to library {library}, which does not exist")
            }
            Self::StrayVirtual { library } => write!(f, "virtual library {library} does not exist"),
            Self::NoOrigin { library, origin } => {
                write!(f, "virtual library {library} comes from {origin}, which does not exist")
            }
            Self::LiveAndTrashed { library } => {
                write!(f, "library {library} is both live and in the trash")
            }
            Self::TrashedAndGarbage { library } => {
                write!(f, "library {library} is both in the trash and deleted for good")
            }
        }
    }
}

/// Reads the pointers from a copy of Seafile's own database. Memory grows with the number of
/// libraries.
///
/// # Errors
///
/// [`Error::MissingTable`] if it is another database. Other errors if it cannot be read.
pub fn read_pointers(seafile_copy: &Path) -> Result<Pointers, Error> {
    assemble::assemble(&sqlite::CopiedDatabase::open(seafile_copy)?)
}

/// Copies Seafile's own database to a spool folder, reads the pointers and removes the copy.
///
/// # Errors
///
/// Those of [`copy_all`] and [`read_pointers`].
pub fn read_pointers_live(source: &SqliteSource, spool: &Path) -> Result<Pointers, Error> {
    let copies = copy_all(std::slice::from_ref(source), spool)?;
    let no_copy = || Error::NotADatabase { file: source.path.clone() };
    read_pointers(&copies.first().ok_or_else(no_copy)?.file)
}
