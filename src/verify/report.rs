//! What the verification of an installation found, in a form that is also its JSON.

use serde::Serialize;

use crate::object::{LibraryId, Object, Store};

/// Entries of [`Report::damage`] at most; [`Report::damaged`] counts them all.
pub const MAX_DAMAGE: usize = 10_000;
/// Lines of [`Report::warnings`] of one sort at most.
pub const MAX_WARNINGS: usize = 100;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Libraries with a row: live, in the trash, virtual.
    pub libraries: u64,
    /// Objects that they need and that were looked at.
    pub objects: u64,
    /// Bytes that were read and verified.
    pub bytes_read: u64,
    /// Blocks whose ids prove nothing (Pro's `skip_block_hash`): there, with the right lengths.
    pub unverifiable: u64,
    /// The databases.
    pub databases: Vec<DatabaseState>,
    /// What is missing or bad, by library.
    pub damage: Vec<Damage>,
    /// How many entries [`Self::damage`] would have without a limit.
    pub damaged: u64,
    /// Libraries with history that Seafile has collected; no damage.
    pub history_incomplete: Vec<HistoryIncomplete>,
    /// Libraries that changed while they were verified, and were walked once more.
    pub changed: Vec<Changed>,
    /// Stores on disk that no row points to. A library younger than this run's look at the database
    /// is among them.
    pub without_pointer: Vec<LooseStore>,
    /// Names where stores should be that are none.
    pub foreign: u64,
    /// What the administrator should know, one line each.
    pub warnings: Vec<String>,
}

impl Report {
    /// Whether everything is as it should be. Otherwise exit status 3.
    pub fn is_good(&self) -> bool {
        self.damaged == 0
            && self
                .databases
                .iter()
                .all(|database| database.problems.is_empty())
            && self.changed.iter().all(|changed| changed.unsettled == 0)
    }
}

/// A database and whether it is sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseState {
    /// `seafile`, `usermgr` …
    pub role: String,
    /// Its path inside the installation.
    pub path: String,
    /// What `PRAGMA integrity_check` says, or why it cannot be read; empty if it is sound.
    pub problems: Vec<String>,
}

/// An object that a library needs and that is missing or bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub library_name: Option<String>,
    /// It is in the trash.
    pub in_trash: bool,
    /// What is damaged; where the database is (`no-head`, `no-origin`) the library's empty commit.
    #[serde(flatten)]
    pub object: ObjectName,
    /// A stable word: `missing`, `empty`, `wrong-id` …
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// The library's newest state needs it; otherwise its history, or the merging of a shared folder.
    pub in_newest_state: bool,
    /// Every path of the newest state that needs it, sorted, as many as asked for. Folders end in `/`.
    pub paths: Vec<String>,
}

/// An object, field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ObjectName {
    /// Its store.
    pub store: Store,
    /// Its kind.
    pub kind: crate::object::Kind,
    /// Its id.
    pub id: crate::object::ObjectId,
}

impl From<Object> for ObjectName {
    fn from(Object { store, kind, id }: Object) -> Self {
        Self { store, kind, id }
    }
}

/// Collected history of a library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryIncomplete {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub library_name: Option<String>,
    /// Objects of its history that are not there any more.
    pub objects: u64,
}

/// A library whose pointers changed while it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub library_name: Option<String>,
    /// Objects that were missing only in the last walk, after which the library had changed again:
    /// neither damage nor whole, verify once more.
    pub unsettled: u64,
}

/// A store on disk that no row points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LooseStore {
    /// Its name.
    pub store: LibraryId,
    /// Listed in `GarbageRepos`: deleted for good, waiting for the garbage collection.
    pub garbage: bool,
}
