//! What the verification of an installation found. Its JSON has the same form.

use std::path::PathBuf;

use serde::Serialize;

use crate::object::{Kind, LibraryId, Object, ObjectId, Store};

/// The most entries of [`Report::damage`]; [`Report::damaged`] counts them all.
pub const MAX_DAMAGE: usize = 10_000;
/// The most lines of one sort in [`Report::warnings`].
pub const MAX_WARNINGS: usize = 100;

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The value of [`Self::is_good`], for readers of the JSON.
    pub good: bool,
    /// Libraries with a row: live, in the trash, virtual.
    pub libraries: u64,
    /// Objects of these libraries that were visited.
    pub objects: u64,
    /// Bytes that were read and verified.
    pub bytes_read: u64,
    /// Blocks whose ids prove nothing (Pro's `skip_block_hash`): present, with the right lengths.
    pub unverifiable: u64,
    /// Each database, and whether it is sound.
    pub databases: Vec<DatabaseState>,
    /// What is missing or bad, by library.
    pub damage: Vec<LibraryDamage>,
    /// How many entries [`Self::damage`] would have without a limit.
    pub damaged: u64,
    /// Only with a snapshot's pointers: damage that the snapshot already lists. It does not count.
    pub lost_before: Vec<LibraryDamage>,
    /// All libraries that have damage. Every other library is whole.
    pub damaged_libraries: Vec<DamagedLibrary>,
    /// Libraries with commits newer than their head, to which clients would be set back. This is
    /// damage, except for running uploads.
    pub ahead: Vec<LibraryAhead>,
    /// What the damage as a whole suggests, and what to do about it.
    pub hints: Vec<String>,
    /// Libraries with history that Seafile has collected. No damage.
    pub history_incomplete: Vec<HistoryIncomplete>,
    /// Libraries that changed during the verification, and were walked once more.
    pub changed: Vec<Changed>,
    /// Stores on disk to which no row points. A library made after this run read the database is
    /// among them.
    pub without_pointer: Vec<LooseStore>,
    /// How many names, where only stores should be, are no stores.
    pub foreign: u64,
    /// Files among the objects that are no objects: left by crashed servers, or running uploads. No
    /// damage.
    pub leftovers: Vec<Leftovers>,
    /// Objects to which no pointer leads: garbage, or running uploads. No damage. Stores without a
    /// pointer are not examined.
    pub unreached: Vec<Unreached>,
    /// Other facts for the administrator, one line each.
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

    /// Libraries whose clients would be set back and lose newer files.
    pub fn would_revert(&self) -> impl Iterator<Item = &LibraryAhead> {
        self.ahead.iter().filter(|ahead| !ahead.is_upload && !ahead.is_elsewhere)
    }

    /// Whether everything was checked and is whole. Otherwise the exit status is 3.
    pub fn is_good(&self) -> bool {
        self.libraries > 0
            && self.is_whole()
            && self.changed.iter().all(|changed| changed.unsettled == 0)
    }
}

/// A database, and whether it is sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseState {
    /// `seafile`, `usermgr` …
    pub role: String,
    /// Its path inside the installation; or its name and server.
    pub path: String,
    /// Where the server is named: a configuration file or an option. `None`: the database is a
    /// file.
    pub from: Option<String>,
    /// The lines of `PRAGMA integrity_check`, or why it cannot be read. Empty if it is sound.
    pub problems: Vec<String>,
}

/// An object that a library needs and that is missing or bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LibraryDamage {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub library_name: Option<String>,
    /// It is in the trash.
    pub in_trash: bool,
    /// The damaged object. If the database is damaged (`no-head`, `no-origin`, `senseless-row`), a
    /// commit of the library with an empty id.
    #[serde(flatten)]
    pub object: ObjectName,
    /// Its file in an installation of the usual layout; `None` if the database is damaged.
    pub file: Option<String>,
    /// A stable word: `missing`, `empty`, `wrong-id` …
    pub reason: String,
    /// The reason as a text for people.
    pub detail: String,
    /// The library's newest state needs it. Otherwise its history or the merging of a shared folder
    /// does.
    pub in_newest_state: bool,
    /// The paths of the newest state that need it, sorted, up to a limit. Folders end in `/`.
    pub paths: Vec<String>,
    /// The limit was reached, so there may be more paths.
    pub paths_cut: bool,
    /// Which version needs it, if not the newest state.
    pub version: Option<DamagedVersion>,
}

/// A version of a library that needs a damaged object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedVersion {
    /// The newest commit that needs it, or the damaged commit itself.
    pub commit: ObjectId,
    /// When it was made, in seconds since 1970; `None` for a commit that cannot be read.
    pub time: Option<i64>,
    /// One path of that version; `None` for a commit.
    pub path: Option<String>,
    /// The commit is not history: at it a virtual library was last merged with its origin.
    pub base: bool,
}

/// A library with commits that are newer than its head and to which no pointer leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LibraryAhead {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub library_name: Option<String>,
    /// Its head, as the database says.
    pub head: ObjectId,
    /// The newest of these commits.
    pub newest: ObjectId,
    /// When that commit was made, in seconds since 1970.
    pub newest_time: Option<i64>,
    /// All these commits, newest first.
    pub commits: Vec<ObjectId>,
    /// Their files on this machine, and what each is by its place: libraries may share a store, and a data folder may lie
    /// elsewhere.
    #[serde(skip)]
    pub files: Vec<(PathBuf, Object)>,
    /// None of them has its whole tree: a client uploads, or broke off. No damage.
    pub is_upload: bool,
    /// The head comes from a snapshot. The installation's own databases were not read and may be as
    /// new as these commits. No damage.
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
    /// How many damaged objects it needs.
    pub damaged: u64,
    /// How many of them its newest state needs.
    pub in_newest_state: u64,
    /// How many of them only the merging with its origin needs.
    pub in_base: u64,
}

/// Files in or below one folder that are no objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// The folder: relative to the installation if it lies inside.
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

/// Where a file that is no object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverSort {
    /// A server is writing it, or was killed while it did.
    Temporary,
    /// Seafile makes no such file.
    Foreign,
}

/// Objects of one kind in one store to which no pointer leads.
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
    /// How many of them do not match their names. Of blocks only empty ones are noticed.
    pub bad: u64,
    /// A folder or commit of a library that uses the store is damaged. So some of these objects may
    /// lie below it, and are no garbage.
    pub below_damage: bool,
    /// Some of the bad objects.
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

/// A library with collected history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryIncomplete {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub library_name: Option<String>,
    /// How many objects of its history are absent.
    pub objects: u64,
}

/// A library whose pointers changed while it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub library_name: Option<String>,
    /// Objects that were missing only in the last walk, after which the library had changed again.
    /// They are neither damaged nor whole: verify once more.
    pub unsettled: u64,
}

/// A store on disk to which no row points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LooseStore {
    /// Its name, which is a library's id.
    pub store: LibraryId,
    /// `GarbageRepos` lists it: deleted for good, waiting for the garbage collection.
    pub garbage: bool,
    /// It is in the trash, in a row without a head: Seafile cannot bring it back.
    pub in_trash: bool,
}
