//! What a caller may know of a destination beyond the contract: facts that decide how it is used,
//! and findings that a person should read.

use std::num::NonZeroUsize;

/// What the destination does with a put of a key that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writes {
    /// It refuses the put, even if several writers race.
    CreateOnly,
    /// It should refuse; only a trial shows whether this server does ([`probe`](crate::probe)).
    Unproven,
    /// Only a look before the write can refuse it. Two writers at the same moment may both get Ok,
    /// and the later one's bytes stay. Unique names keep that harmless for backups.
    Weak,
}

/// Facts about an opened destination; asking costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Properties {
    /// How it guards what is stored.
    pub writes: Writes,
    /// How many calls at a time it is worth to make, from as many threads.
    pub connections: NonZeroUsize,
}

impl Default for Properties {
    /// Create-only, one call at a time.
    fn default() -> Self {
        Self { writes: Writes::CreateOnly, connections: NonZeroUsize::MIN }
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weight {
    /// As it should be.
    Good,
    /// Worth to know.
    Note,
    /// Backups are in danger, or cost what they need not.
    Bad,
}

/// One thing that a destination's own settings say, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingFinding {
    /// What it is about, in a word or two: `versioning`.
    pub about: &'static str,
    /// How much it matters.
    pub weight: Weight,
    /// What was found.
    pub text: String,
    /// What to do, if there is something.
    pub next: Option<String>,
}
