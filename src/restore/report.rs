//! What a restore did, and what it could not do.

use std::path::PathBuf;

use serde::Serialize;

use super::Owner;
use super::page::plain;
use crate::object::{LibraryId, Store};
use crate::repository::manifest::Counts;
use crate::repository::names::SnapshotId;
use crate::time::Timestamp;

/// The kind of thing that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LossKind {
    /// A list: nothing says any more which packs it named.
    List,
    /// A pack, or some objects of it.
    Pack,
    /// Objects that are links to lost ones.
    Links,
    /// A database.
    Database,
    /// A group of ordinary files, or what lies behind the first lost part of it.
    Files,
}

impl LossKind {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::List => "list of packs",
            Self::Pack => "pack",
            Self::Links => "links to lost objects",
            Self::Database => "database",
            Self::Files => "ordinary files",
        }
    }
}

/// Something that the repository should have had, and lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreLoss {
    /// What it was.
    pub kind: LossKind,
    /// Its name: a key, a role, a folder.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
    /// How many objects are not restored because of it; `None` if that cannot be known.
    pub objects: Option<u64>,
    /// Libraries that lost something, by id.
    pub libraries: Vec<String>,
}

/// A file that is not whole, because of what the repository lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostFile {
    /// Its library.
    #[serde(rename = "library")]
    pub id: LibraryId,
    /// The library's name, if it has one.
    pub library_name: Option<String>,
    /// Its path in the library; a folder ends in `/`.
    pub path: String,
    /// `None`: users see the file. Otherwise only history has it: the time of the newest version
    /// that has it, in seconds since 1970.
    pub version: Option<i64>,
}

impl LostFile {
    /// Its path, and where it shows if users do not see it.
    pub fn text(&self) -> String {
        let path = plain(&self.path);
        match self.version.map(Timestamp::from_seconds) {
            None => path,
            Some(Some(time)) => format!("{path} (history only, in the version of {time})"),
            Some(None) => format!("{path} (history only)"),
        }
    }
}

/// A number of commits of one library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreCommitCount {
    /// The library's id, or `shared` for the store of Seafile 1 and 2.
    pub library: String,
    /// The number of commits.
    pub commits: u64,
}

impl StoreCommitCount {
    pub(super) fn of((store, commits): (Store, u64)) -> Self {
        Self { library: store.to_string(), commits }
    }
}

/// Counts of ordinary files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OrdinaryFileCounts {
    /// Groups that were restored whole.
    pub groups: u64,
    /// Regular files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Folders.
    pub folders: u64,
    /// Symbolic links.
    pub links: u64,
}

/// What will be written, as far as the index tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RestoreNeeds {
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that they take in blocks of 4 KiB.
    pub allocated: u64,
    /// Files and folders.
    pub inodes: u64,
    /// Packs to fetch.
    pub packs: u64,
    /// Their bytes.
    pub packed_bytes: u64,
}

/// What a restore did.
#[derive(Debug, Clone, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a field of its own for programs")]
pub struct Report {
    /// The repository's URL or path.
    pub repository: String,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The moment that everything is restored to.
    pub started: Timestamp,
    /// The folder that it was restored into.
    pub target: PathBuf,
    /// It was a dry run, and nothing was written.
    pub dry_run: bool,
    /// An unfinished restore was taken up again.
    pub resumed: bool,
    /// It completed a standby.
    pub completed: bool,
    /// The later snapshot to which the standby had been completed, if it went back.
    pub went_back_from: Option<SnapshotId>,
    /// The owner of what was restored; `None`: the user who ran the restore.
    pub owner: Option<Owner>,
    /// What the restore takes.
    pub needs: RestoreNeeds,
    /// Objects that were written.
    pub objects: Counts,
    /// Objects that an unfinished restore had left, whole.
    pub present: Counts,
    /// Objects that are hard links to another library's.
    pub hard_links: u64,
    /// Objects that had to become copies instead of hard links.
    pub copies: u64,
    /// Blocks whose id proves nothing (Pro's `skip_block_hash`).
    pub unverifiable: u64,
    /// Commits that no restored pointer leads to: they are in the folder [`super::ASIDE`].
    pub set_aside: Vec<StoreCommitCount>,
    /// Commits that are in place although nothing proves that a pointer leads to them: a head or a
    /// part of the history is lost.
    pub unproved: Vec<StoreCommitCount>,
    /// Roles of the databases that were put in place.
    pub databases: Vec<String>,
    /// Ordinary files.
    pub files: OrdinaryFileCounts,
    /// What the repository should have had, and lost.
    pub lost: Vec<RestoreLoss>,
    /// Files that are hit by these losses, as far as they can be named.
    pub lost_files: Vec<LostFile>,
    /// More files are hit than `lost_files` names.
    pub lost_files_cut: bool,
    /// Objects that were restored from bad packs.
    pub remains: Counts,
    /// Members whose bytes were bad in the source already. They are left out.
    pub salvaged: u64,
    /// Objects that were lost in the source already when the snapshot was made.
    pub damage: u64,
    /// How many of the lost objects the administrator has accepted.
    pub accepted: u64,
    /// What the administrator should know, one line each.
    pub warnings: Vec<String>,
    /// The commands to run next, in order. Each can be pasted, except for the options of a server
    /// that only the administrator knows.
    pub next: Vec<String>,
}

impl Report {
    /// Whether the administrator has to read the report: exit status 3.
    pub fn needs_reading(&self) -> bool {
        !self.lost.is_empty() || self.damage > self.accepted
    }
}
