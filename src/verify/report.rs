//! What the verification of an installation found, in a form that is also its JSON.

use std::path::PathBuf;

use serde::Serialize;

use crate::object::{Kind, LibraryId, Object, ObjectId, Store};

/// Entries of [`Report::damage`] at most; [`Report::damaged`] counts them all.
pub const MAX_DAMAGE: usize = 10_000;
/// Lines of [`Report::warnings`] of one sort at most.
pub const MAX_WARNINGS: usize = 100;

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// [`Self::is_good`], for those who read the JSON.
    pub good: bool,
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
    /// What was lost already when the snapshot was made whose pointers were followed; no news.
    pub lost_before: Vec<Damage>,
    /// The libraries that [`Self::damage`] is about, all of them; every other library is whole.
    pub damaged_libraries: Vec<DamagedLibrary>,
    /// Libraries with commits newer than their head: clients would be set back. Damage, but for uploads that go on.
    pub ahead: Vec<Ahead>,
    /// What the damage looks like as a whole, and what to do about it.
    pub hints: Vec<String>,
    /// Libraries with history that Seafile has collected; no damage.
    pub history_incomplete: Vec<HistoryIncomplete>,
    /// Libraries that changed while they were verified, and were walked once more.
    pub changed: Vec<Changed>,
    /// Stores on disk that no row points to. A library younger than this run's look at the database
    /// is among them.
    pub without_pointer: Vec<LooseStore>,
    /// Names where stores should be that are none.
    pub foreign: u64,
    /// Files where objects lie that are none: what crashed servers left, and uploads that go on. No
    /// damage.
    pub leftovers: Vec<Leftovers>,
    /// Objects that no pointer leads to: garbage, uploads that go on. No damage. Stores without a
    /// pointer are not looked into.
    pub unreached: Vec<Unreached>,
    /// What the administrator should know, one line each.
    pub warnings: Vec<String>,
}

impl Report {
    /// Whether no damage was found.
    pub fn is_whole(&self) -> bool {
        let mut databases = self.databases.iter();
        self.damaged == 0
            && databases.all(|database| database.problems.is_empty())
            && self.would_revert().next().is_none()
    }

    /// Libraries of which clients would lose newer files.
    pub fn would_revert(&self) -> impl Iterator<Item = &Ahead> {
        self.ahead
            .iter()
            .filter(|ahead| !ahead.is_upload && !ahead.is_elsewhere)
    }

    /// Whether everything is as it should be. Otherwise exit status 3.
    pub fn is_good(&self) -> bool {
        self.libraries > 0
            && self.is_whole()
            && self.changed.iter().all(|changed| changed.unsettled == 0)
    }
}

/// A database and whether it is sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseState {
    /// `seafile`, `usermgr` …
    pub role: String,
    /// Its path inside the installation, or its name and the server that was asked.
    pub path: String,
    /// What names that server: a file of the configuration, or an option. `None`: it is a file.
    pub from: Option<String>,
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
    /// What is damaged; where the database is (`no-head`, `no-origin`, `senseless-row`) the
    /// library's empty commit.
    #[serde(flatten)]
    pub object: ObjectName,
    /// Its file in an installation of the usual layout; `None` where the database is damaged.
    pub file: Option<String>,
    /// A stable word: `missing`, `empty`, `wrong-id` …
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// The library's newest state needs it; otherwise its history, or the merging of a shared folder.
    pub in_newest_state: bool,
    /// Every path of the newest state that needs it, sorted, as many as asked for. Folders end in `/`.
    pub paths: Vec<String>,
    /// There may be more paths: their number reached a limit.
    pub paths_cut: bool,
    /// Where it shows, if not in the newest state.
    pub version: Option<Version>,
}

/// A version of a library that needs a damaged object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The newest commit that does, or that commit itself.
    pub commit: ObjectId,
    /// When it was made, in seconds since 1970; `None` for a commit that cannot be read.
    pub time: Option<i64>,
    /// One path of that version; `None` for a commit.
    pub path: Option<String>,
    /// It is the commit that a virtual library was last merged at with its origin, not its history.
    pub base: bool,
}

/// A library with commits that are newer than its head and that no pointer leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ahead {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub library_name: Option<String>,
    /// What the database says is its newest state.
    pub head: ObjectId,
    /// The newest of these commits.
    pub newest: ObjectId,
    /// When that was made, in seconds since 1970.
    pub newest_time: Option<i64>,
    /// All of them, newest first.
    pub commits: Vec<ObjectId>,
    /// Their files on this machine, and what each is by its place: libraries may share a store, and a data folder may lie
    /// elsewhere.
    #[serde(skip)]
    pub files: Vec<(PathBuf, Object)>,
    /// None of them has its whole tree: a client uploads, or broke off. No damage.
    pub is_upload: bool,
    /// The head is a snapshot's, and the installation's own databases, which were not asked, may be as new as these
    /// commits. No damage.
    pub is_elsewhere: bool,
}

/// A library with damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedLibrary {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub library_name: Option<String>,
    /// It is in the trash.
    pub in_trash: bool,
    /// Damaged objects that it needs.
    pub damaged: u64,
    /// Those of them that its newest state needs.
    pub in_newest_state: u64,
    /// Those of them that only the merging with its origin needs.
    pub in_base: u64,
}

/// Files in one folder, or below it, that are no objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// The folder, inside the installation where it lies there.
    pub folder: String,
    /// What they are.
    pub sort: LeftoverSort,
    /// Their number.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// Some of their names, relative to the folder.
    pub examples: Vec<String>,
}

/// What a file that is no object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverSort {
    /// Being written, or left by a server that was killed.
    Temporary,
    /// Nothing that Seafile makes.
    Foreign,
}

/// Objects of one kind in one store that no pointer leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreached {
    /// The store.
    pub store: Store,
    /// Their kind.
    pub kind: Kind,
    /// Their number.
    pub objects: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// Those that are not what their name says. Of blocks only empty ones are noticed.
    pub bad: u64,
    /// A folder or commit of a library that uses the store is damaged: what lies below it cannot be told from garbage.
    pub below_damage: bool,
    /// Some of the bad ones.
    pub examples: Vec<ObjectId>,
}

/// An object, field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ObjectName {
    /// Its store.
    pub store: Store,
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: ObjectId,
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
    /// In the trash, by a row that names no head: Seafile cannot bring it back.
    pub in_trash: bool,
}
