//! What a check of a repository found, in a form that is also its JSON.

use seawall_backends::Key;
use serde::{Serialize, Serializer};

use super::Level;
use super::subset::Subset;
use crate::repository::names::SnapshotId;

/// Snapshots that a problem names at most; [`Problem::affected`] counts them all.
pub const MAX_SNAPSHOTS: usize = 20;
/// Unknown things that are named at most.
pub const MAX_EXAMPLES: usize = 20;

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How far it looked.
    pub level: Level,
    /// Snapshots that were checked: their markers are good.
    pub snapshots: u64,
    /// Stored things that these name, markers included.
    pub things: u64,
    /// Bytes of these, by the listing.
    pub bytes: u64,
    /// Bytes that were read and compared by SHA-256 or signature.
    pub bytes_read: u64,
    /// How much was read of what only reading proves; `None` at level [`Level::Names`].
    pub data: Option<ReadData>,
    /// What decoding showed; `None` but at level [`Level::Deep`].
    pub deep: Option<Deep>,
    /// What is wrong, sorted by key.
    pub problems: Vec<Problem>,
    /// What is not wrong, and good to know.
    pub information: Information,
}

impl Report {
    /// Whether there is a backup and nothing is wrong with it that is not accepted. Otherwise exit status 3.
    pub fn is_good(&self) -> bool {
        self.snapshots > 0 && self.open_problems().next().is_none()
    }

    /// What is wrong and not accepted.
    pub fn open_problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| !problem.accepted)
    }
}

/// How much was read of what only reading proves: packs, and parts of dumps and ordinary files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadData {
    /// What was chosen.
    pub subset: Subset,
    /// What was read.
    pub read: Amount,
    /// What there is to read; what is missing or has another size is not counted.
    pub of: Amount,
}

/// What was decoded, each thing once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deep {
    /// Packs.
    pub packs: u64,
    /// Members of packs with bytes that are what their name says.
    pub objects: u64,
    /// Blocks whose ids prove nothing (Pro's `skip_block_hash`).
    pub unverifiable: u64,
    /// Links to such members.
    pub links: u64,
    /// Dumps of databases.
    pub dumps: u64,
    /// Tars of ordinary files.
    pub file_groups: u64,
    /// Objects that pointers led to; of several snapshots each counts once while their packs are
    /// the same.
    pub walked: u64,
    /// Objects that are lost in the source, as the manifests list them.
    pub damage: u64,
    /// Objects of history that Seafile was told to collect, and that are not there.
    pub history_gone: u64,
}

/// Something that is wrong with one stored thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The thing.
    #[serde(serialize_with = "as_text")]
    pub key: Key,
    /// What kind of problem.
    pub kind: ProblemKind,
    /// The same for people: one line that goes on after the key.
    pub detail: String,
    /// Snapshots that need the thing, newest first, at most [`MAX_SNAPSHOTS`].
    pub snapshots: Vec<SnapshotId>,
    /// How many need it.
    pub affected: u64,
    /// No host's newest snapshot needs it: what it held was stored anew, or is needed no more.
    pub healed: bool,
    /// It is healed, and the administrator knows that older snapshots lack what it held.
    pub accepted: bool,
}

/// Kinds of problems; serialised as stable words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// It is not there.
    Missing,
    /// It has another length than it should.
    Size,
    /// Its bytes are not those that a marker names.
    Altered,
    /// Something in `markers/` is no snapshot: its signature, repository or name does not fit.
    Signature,
    /// Markers are signed by a key that nobody vouched for.
    Unpinned,
    /// Its bytes are as a marker says, and are not what they should be all the same.
    Malformed,
    /// Two things that were signed contradict each other.
    Contradiction,
    /// A marker does not follow the one before it.
    Chain,
    /// The destination refuses to give it.
    Unreadable,
    /// Its bytes are as a marker says, and do not hold what index or manifest say.
    Undecodable,
    /// A pointer of the dumped databases leads to something that is not in the repository, and
    /// that the manifest does not list as lost.
    Unresolved,
}

impl ProblemKind {
    /// The stable word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Size => "size",
            Self::Altered => "altered",
            Self::Signature => "signature",
            Self::Unpinned => "unpinned",
            Self::Malformed => "malformed",
            Self::Contradiction => "contradiction",
            Self::Chain => "chain",
            Self::Unreadable => "unreadable",
            Self::Undecodable => "undecodable",
            Self::Unresolved => "unresolved",
        }
    }
}

/// What is not wrong, and good to know.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Information {
    /// Snapshots whose predecessor is not there: forgotten or removed, which cannot be told apart.
    pub gaps: Vec<Gap>,
    /// Snapshots that were forgotten while the check ran; what they needed may be gone.
    pub forgotten_meanwhile: Vec<SnapshotId>,
    /// Runs without a marker: they go on, or died.
    pub unfinished: Vec<SnapshotId>,
    /// Runs that a prune declared dead.
    pub voids: u64,
    /// Tombstones and damage records: a prune goes on, or died; or a check recorded what is bad.
    pub records: u64,
    /// What no marker names, in folders that hold what markers name: left by runs that died, being
    /// written just now, or what prune would remove. `None` if only one snapshot was checked.
    pub unnamed: Option<Amount>,
    /// What does not belong in a repository.
    pub unknown: Unknown,
}

/// A snapshot whose predecessor is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// What it was built on.
    pub previous: SnapshotId,
}

/// A number of things and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub things: u64,
    /// Their bytes together.
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, len: u64) {
        self.things += 1;
        self.bytes += len;
    }

    pub(super) fn join(&mut self, other: Self) {
        self.things += other.things;
        self.bytes += other.bytes;
    }
}

/// What does not belong in a repository; nothing in it is ever read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Unknown {
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
    /// The first of it by name, at most [`MAX_EXAMPLES`].
    pub examples: Vec<String>,
}

pub(super) fn as_text<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.as_str())
}
