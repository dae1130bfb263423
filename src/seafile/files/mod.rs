//! Ordinary files: everything of an installation that is neither an object nor a dumped database.
//!
//! Every file is stored, with few exceptions (docs/design.md, "Ordinary files"). Object folders and
//! dumped databases are stored in their own ways, sockets cannot be stored, and
//! [`DEFAULT_EXCLUDES`] names what Seafile makes anew. [`scan()`] lists the other files in groups,
//! [`fingerprint()`] says whether a group changed since an earlier run, and [`write_tar`] writes a
//! group as one tar that stock `tar` reads. Nothing is ever written into the source. A link is
//! followed only at Seafile's known places and at those that the caller names.
//!
//! This module does not decide where tars are stored, and does not compress them. [`crate::unpack`]
//! extracts them. The verb `backup` calls this module.
//!
//! A run uses it like this:
//!
//! 1. It calls [`scan()`].
//! 2. For each group it calls [`fingerprint()`] with the *reference time of the earlier run*, and
//!    compares the result with the fingerprint that the earlier run stored. If they are equal, the
//!    group's older parts still hold.
//! 3. It calls [`fingerprint()`] with its own start as reference time, and keeps the result for the
//!    next run. This must come before the tar is written. A file that changes in between then
//!    differs from its fingerprint, so the next run reads it again. If the fingerprint were made
//!    after the tar, such a change would count as stored.
//! 4. It calls [`write_tar`] for each changed group. A fingerprint counts only if the report has no
//!    warnings.

mod archive;
mod databases;
mod extra;
mod fingerprint;
mod found;
mod groups;
mod header;
mod links;
mod patterns;
mod scan;
mod walk;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::path::PathBuf;

pub use archive::{TarReport, write_tar};
pub use fingerprint::fingerprint;
pub use links::{KnownLink, known_links};
pub use patterns::{DEFAULT_EXCLUDES, check_patterns};
pub use scan::{ScanOptions, scan};

/// The result of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileScan {
    /// The groups, sorted by name. No group is empty, and no two have the same name.
    pub groups: Vec<OrdinaryGroup>,
    /// Files and folders of the installation that are in no group.
    pub left_out: Vec<LeftOutPath>,
    /// Problems that the user should know. [`FileWarningKind::is_incomplete`] tells which of them mean
    /// that the backup lacks something.
    pub warnings: Vec<FileWarning>,
}

/// Ordinary files that are stored together, as one tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrdinaryGroup {
    /// Its name in keys of the repository: `[A-Za-z0-9][A-Za-z0-9._-]*`, at most 60 bytes.
    pub name: String,
    /// Its name for people: `conf`, `seahub-data/avatars`, `top level`, `extra//opt/.env`.
    pub label: String,
    /// Its entries, sorted by path, so that a folder comes before its content.
    pub entries: Vec<ScanEntry>,
}

/// One ordinary file, folder or link, as the scan saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanEntry {
    /// Its path inside the installation. It may hold any bytes except NUL.
    pub path: PathBuf,
    /// Where it really lies.
    pub source: PathBuf,
    /// What it is.
    pub kind: ScanEntryKind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Last change of the content.
    pub mtime: FileTime,
    /// Last change of content or attributes. Programs cannot set it back.
    pub ctime: FileTime,
    /// Inode number.
    pub inode: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanEntryKind {
    /// A regular file.
    File {
        /// Its length in bytes at the time of the scan.
        len: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Its target. This is untrusted text.
        target: PathBuf,
    },
}

/// A time of a file system, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds beyond the whole seconds.
    pub nanoseconds: i64,
}

/// A path that is not stored as an ordinary file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOutPath {
    /// The path inside the installation. If a pattern is the reason, this is the pattern.
    pub path: PathBuf,
    /// Why.
    pub reason: LeftOutReason,
    /// How many files, folders and links. The content of a folder that is left out is not counted.
    pub count: u64,
}

/// Why a path is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOutReason {
    /// One of [`DEFAULT_EXCLUDES`].
    Default,
    /// The user's pattern.
    Excluded,
    /// A program folder that `seafile-server-latest` does not point to.
    OtherProgram,
    /// The installation or its data folder, found again by another path.
    Installation,
    /// A socket.
    Socket,
    /// A FIFO.
    Fifo,
    /// A device.
    Device,
    /// The target of a link that leads out of the installation. The link itself is stored.
    LeadsOut,
    /// An old copy, in the installation's folder `extra`, of a path outside. The path itself is
    /// stored.
    Outside,
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "made anew by Seafile",
            Self::Excluded => "excluded",
            Self::OtherProgram => "not the program in use",
            Self::Installation => "the installation itself, stored already",
            Self::Socket => "a socket",
            Self::Fifo => "a FIFO",
            Self::Device => "a device",
            Self::Outside => {
                "an old copy of a path that --also or --env-file names, stored from there"
            }
            Self::LeadsOut => "a link out of the installation: its content is not in the backup",
        })
    }
}

/// A problem with one path, for the user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileWarning {
    /// The path inside the installation. For [`FileWarningKind::Missing`] it is the path that was asked
    /// for.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: FileWarningKind,
}

/// What a warning is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileWarningKind {
    /// `--also` names a path that does not exist.
    Missing,
    /// It cannot be read, so it is not in the backup.
    Unreadable {
        /// The system's error message.
        message: String,
    },
    /// It disappeared between the scan and the reading.
    Vanished,
    /// It changed while it was read, so the stored bytes may be a mixture.
    Changed,
    /// A link that should be followed leads nowhere. It is stored as a link.
    BrokenLink,
    /// A link leads out of the installation, to a target that is not in the backup.
    LeadsOut {
        /// The target's real path.
        target: PathBuf,
    },
    /// It looks like a SQLite database, but is damaged or is no database. It is stored as it is.
    Unsound {
        /// SQLite's message.
        message: String,
    },
    /// It is stored, but is so large that it may be a forgotten dump.
    Huge {
        /// Its length in bytes.
        len: u64,
    },
}

impl FileWarningKind {
    /// Whether the backup lacks something because of this.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete_word().is_some()
    }

    /// The marker's word for what the backup lacks because of this; `None` if it lacks nothing.
    pub fn incomplete_word(&self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("also-missing"),
            Self::Unreadable { .. } => Some("files-unreadable"),
            Self::Vanished | Self::Changed => Some("files-changed"),
            Self::LeadsOut { .. } => Some("links-lead-out"),
            Self::BrokenLink => Some("links-broken"),
            Self::Huge { .. } | Self::Unsound { .. } => None,
        }
    }
}

impl fmt::Display for FileWarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("not there"),
            Self::Unreadable { message } => write!(f, "unreadable: {message}"),
            Self::Vanished => f.write_str("vanished before it was read"),
            Self::Changed => f.write_str("changed while read"),
            Self::BrokenLink => f.write_str("a link that leads nowhere"),
            Self::LeadsOut { target } => write!(
                f,
                "content not in the backup: this link leads out of the installation, to {0}; add --also {0}, \
                 or --exclude and its path if nobody needs it",
                target.display()
            ),
            Self::Unsound { message } => {
                write!(f, "a damaged SQLite database, stored as it is: {message}")
            }
            Self::Huge { len } => write!(f, "{len} bytes: an old dump in the tree?"),
        }
    }
}

/// Why ordinary files could not be listed or written at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The installation's top or data folder cannot be read.
    #[error("cannot read the folder {path:?}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A pattern of `--exclude` is malformed.
    #[error("{pattern:?} is not a pattern for excluding files")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The cause.
        source: globset::Error,
    },
    /// A path of `--also` cannot be stored below `extra`.
    #[error("{path:?} is not an absolute path without `..`")]
    Also {
        /// The path.
        path: PathBuf,
    },
    /// The installation has a file of its own in the place of the folder `extra`, which `--also`
    /// and `--env-file` need.
    #[error(
        "{path:?} of the installation is no folder, and paths of --also and --env-file are kept in a folder of that name"
    )]
    ExtraTaken {
        /// The inside path.
        path: PathBuf,
    },
    /// The bytes of the tar could not be written.
    #[error("cannot write the tar of {label:?}")]
    Write {
        /// The group's label.
        label: String,
        /// The cause.
        source: std::io::Error,
    },
}
