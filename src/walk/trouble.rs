//! What can be wrong with an object of the source.

use crate::object::ObjectId;
use crate::seafile::check::ObjectFault;

/// What is wrong with an object in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectDamage {
    /// There is no such file.
    Missing,
    /// There is a file, but its bytes are not those of the object.
    Bad(ObjectFault),
    /// The blocks of a file do not add up to its size.
    Lengths,
    /// A commit's bytes differ from the stored ones, and the source was not repaired: the stored
    /// ones count (docs/design.md, "Commits that were changed").
    Changed,
    /// A commit's id does not fit its root folder, but does fit this other folder.
    AlteredRoot(ObjectId),
    /// The operating system refuses to read it; the text is the system's error.
    Unreadable(String),
}

/// The word for [`ObjectDamage::AlteredRoot`].
pub const ALTERED_ROOT: &str = "altered-root";

impl ObjectDamage {
    /// One stable word, for manifests and JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Bad(fault) => fault.word(),
            Self::Lengths => "wrong-length",
            Self::Changed => "changed",
            Self::AlteredRoot(_) => ALTERED_ROOT,
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl std::fmt::Display for ObjectDamage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Bad(fault @ ObjectFault::Undecodable(error)) => write!(f, "{fault} ({error})"),
            Self::Bad(fault) => write!(f, "{fault}"),
            Self::Lengths => f.write_str("its blocks do not add up to its size"),
            Self::Changed => f.write_str("was changed since it was stored"),
            Self::AlteredRoot(root) => {
                write!(f, "its root folder was altered: the commit's id fits the folder {root}")
            }
            Self::Unreadable(reason) => write!(f, "cannot be read: {reason}"),
        }
    }
}
