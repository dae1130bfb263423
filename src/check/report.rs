//! What a check of a repository found. Its JSON has the same form.

use seawall_backends::Key;
use serde::{Serialize, Serializer};

use super::CheckLevel;
use super::subset::Subset;
use crate::repository::names::SnapshotId;

/// The most snapshots that a problem lists; [`Problem::affected`] counts them all.
pub const MAX_SNAPSHOTS: usize = 20;
/// The most unknown things that are listed by name.
pub const MAX_EXAMPLES: usize = 20;

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How much the check did.
    pub level: CheckLevel,
    /// How many snapshots were checked. Their markers are good.
    pub snapshots: u64,
    /// How many stored things these snapshots name, markers included.
    pub things: u64,
    /// The bytes of these things, by the listing.
    pub bytes: u64,
    /// Bytes that were read and compared by SHA-256 or signature.
    pub bytes_read: u64,
    /// How much was read of what only reading can prove; `None` at level [`CheckLevel::Names`].
    pub data: Option<ReadData>,
    /// What decoding showed; `None` except at level [`CheckLevel::Deep`].
    pub deep: Option<Deep>,
    /// What is wrong, sorted by key.
    pub problems: Vec<Problem>,
    /// Facts that are good to know and no problems.
    pub information: Information,
}

impl Report {
    /// Whether there is a snapshot and every problem is accepted. Otherwise the exit status is 3.
    pub fn is_good(&self) -> bool {
        self.snapshots > 0 && self.open_problems().next().is_none()
    }

    /// The problems that are not accepted.
    pub fn open_problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| !problem.accepted)
    }
}

/// How much was read of what only reading can prove: packs, and parts of dumps and ordinary files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadData {
    /// What the user chose.
    pub subset: Subset,
    /// How much was read.
    pub read: Amount,
    /// How much there is to read, without what is missing or has a wrong size.
    pub of: Amount,
}

/// What a deep check decoded, each thing once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deep {
    /// Packs.
    pub packs: u64,
    /// Objects in packs whose bytes match their names.
    pub objects: u64,
    /// Blocks whose ids prove nothing (Pro's `skip_block_hash`).
    pub unverifiable: u64,
    /// Links to such objects.
    pub links: u64,
    /// Dumps of databases.
    pub dumps: u64,
    /// Tars of ordinary files.
    pub file_groups: u64,
    /// Objects to which pointers led. An object that several snapshots need counts once while their
    /// packs are the same.
    pub walked: u64,
    /// Objects that the source has lost, as the manifests list them.
    pub damage: u64,
    /// Absent objects of history that Seafile was told to collect.
    pub history_gone: u64,
}

/// Something that is wrong with one stored thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where the thing is stored.
    #[serde(serialize_with = "as_text")]
    pub key: Key,
    /// What kind of problem.
    pub kind: ProblemKind,
    /// The problem for people: one line that continues after the key.
    pub detail: String,
    /// The snapshots that need the thing, newest first, at most [`MAX_SNAPSHOTS`].
    pub snapshots: Vec<SnapshotId>,
    /// How many snapshots need it.
    pub affected: u64,
    /// No host's newest snapshot needs it: what it held was stored again, or is needed no more.
    pub healed: bool,
    /// It is healed, and the administrator accepted that older snapshots lack what it held.
    pub accepted: bool,
}

/// Kinds of problems. They are serialised as stable words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// It is not there.
    Missing,
    /// Its length is wrong.
    Size,
    /// Its bytes differ from those that a marker names.
    Altered,
    /// A file in `markers/` is no snapshot: its signature, repository or name does not fit.
    Signature,
    /// Markers are signed by a key that nobody vouched for.
    Unpinned,
    /// Its bytes are as a marker says, but their form is wrong.
    Malformed,
    /// Two signed things contradict each other.
    Contradiction,
    /// A marker does not follow the one before it.
    Chain,
    /// The destination refuses to read it.
    Unreadable,
    /// Its bytes are as a marker says, but do not hold what the index or the manifest says.
    Undecodable,
    /// A pointer of the dumped databases leads to an object that is not in the repository and that
    /// the manifest does not list as lost.
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

/// Facts that are good to know and no problems.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Information {
    /// Snapshots whose predecessor is absent: forgotten or removed. Nothing tells which.
    pub gaps: Vec<Gap>,
    /// Snapshots that were forgotten while the check ran. What they needed may be gone.
    pub forgotten_meanwhile: Vec<SnapshotId>,
    /// Runs without a marker: still running, or dead.
    pub unfinished: Vec<SnapshotId>,
    /// Runs that a prune declared dead.
    pub voids: u64,
    /// How many tombstones and damage records exist: of a prune that is running or dead, or of a
    /// check that recorded what is bad.
    pub records: u64,
    /// What no marker names, in folders where a marker must name everything: left by dead runs,
    /// being written now, or for prune to remove. `None` if only one snapshot was checked.
    pub unnamed: Option<Amount>,
    /// Files that do not belong in a repository.
    pub unknown: Unknown,
}

/// A snapshot whose predecessor is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The snapshot on which it was built.
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

/// Files that do not belong in a repository. seawall never reads them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Unknown {
    /// How many, and their bytes.
    #[serde(flatten)]
    pub amount: Amount,
    /// The first of them by name, at most [`MAX_EXAMPLES`].
    pub examples: Vec<String>,
}

pub(super) fn as_text<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.as_str())
}
