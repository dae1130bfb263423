//! What can go wrong during extraction, and whether the tar or the disk is at fault.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why extraction stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target folder cannot be made or opened.
    #[error("cannot use the folder {path:?}")]
    Target {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The tar has a member that no tar of ordinary files has.
    #[error("refused {member:?}: {refusal}")]
    Refused {
        /// Its name, as the tar says it.
        member: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// The tar is cut off or damaged, or cannot be read.
    #[error("cannot read the tar after {after:?}")]
    Read {
        /// The last member whose header was read.
        after: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A member could not be written to the target.
    #[error("cannot write {member:?}")]
    Write {
        /// Its path inside the tar.
        member: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Why a member is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A name that is absolute or empty, or has an empty, `.` or `..` part, or a NUL.
    Name,
    /// A name or target beyond [`super::TarLimits::path_bytes`].
    Long,
    /// A link's target is empty or has a NUL.
    Target,
    /// A hard link, device, FIFO, sparse file or something unknown.
    Kind,
    /// A folder on its path is a link or a file.
    Way,
    /// Something with its name exists already.
    Exists,
    /// Long names or pax records contradict each other, or belong to no member.
    Extension,
    /// Its header has a number that no file system has.
    Number,
    /// More members than [`super::TarLimits::members`].
    Members,
    /// More content than [`super::TarLimits::bytes`].
    Bytes,
    /// Bytes after the end of the tar.
    AfterEnd,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "not a path that leads downward",
            Self::Long => "too long",
            Self::Target => "a link without a target",
            Self::Kind => "neither a file nor a folder nor a symbolic link",
            Self::Way => "a folder on its way is a link or a file",
            Self::Exists => "it is there already",
            Self::Extension => "its long name or pax records contradict themselves",
            Self::Number => "a number that no file system has",
            Self::Members => "too many members",
            Self::Bytes => "too many bytes",
            Self::AfterEnd => "bytes after the end of the tar",
        })
    }
}

pub(super) fn refused(member: &Path, refusal: Refusal) -> Error {
    Error::Refused { member: member.to_path_buf(), refusal }
}

pub(super) fn write_failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let member = path.to_path_buf();
    move |source| Error::Write { member, source }
}

/// Makes the error for a read that failed after this member's header.
pub(super) fn read_failed(after: &Path) -> impl FnOnce(io::Error) -> Error {
    let after = after.to_path_buf();
    move |source| Error::Read { after, source }
}

/// Separates faults of the tar from faults of the disk.
pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let member = path.to_path_buf();
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => refused(&member, Refusal::Exists),
        io::ErrorKind::NotADirectory => refused(&member, Refusal::Way),
        _ => Error::Write { member, source },
    }
}
