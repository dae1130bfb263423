//! Ordinary files: everything of an installation that is neither an object nor a dumped database.
//!
//! The rule is "everything except" (DESIGN 4.8): object folders and dumped databases are stored in
//! their own ways, sockets cannot be stored, and [`DEFAULT_EXCLUDES`] names what Seafile makes anew.
//! [`scan()`] lists what remains in groups, [`fingerprint()`] says whether a group changed since an
//! earlier run, and [`write_tar`] writes a group as one tar that stock `tar` reads. Nothing is ever
//! written inside the source, and no link is followed but at the places that the caller names.
//!
//! This module is not about where tars are stored, nor about their compression; extraction is
//! [`crate::unpack`]. The verb `backup` calls it.
//!
//! How a run uses it:
//!
//! 1. [`scan()`];
//! 2. for each group, [`fingerprint()`] with the *reference time of the earlier run*, compared with the
//!    fingerprint that the earlier run stored: equal means that the group's older parts still hold;
//! 3. [`fingerprint()`] with the own start as reference time, kept for the next run. This comes before
//!    the tar is written: a file that changes in between then differs from its fingerprint, and the
//!    next run reads it again. After it, a change would be taken for stored;
//! 4. [`write_tar`] for each changed group. A fingerprint counts only if the report has no warnings.

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

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The groups, by name; none is empty and no two share a name.
    pub groups: Vec<Group>,
    /// What is not in the groups, though it lies in the installation.
    pub left_out: Vec<LeftOut>,
    /// What the user should look at. [`WarningKind::is_incomplete`] tells which of these mean that
    /// something is missing from the backup.
    pub warnings: Vec<Warning>,
}

/// Ordinary files that are stored together, as one tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name in keys of the repository: `[A-Za-z0-9][A-Za-z0-9._-]*`, at most 60 bytes.
    pub name: String,
    /// Its true name, for people: `conf`, `seahub-data/avatars`, `top level`, `extra//opt/.env`.
    pub label: String,
    /// Its entries, by path, a folder before what lies in it.
    pub entries: Vec<Entry>,
}

/// One ordinary file, folder or link, as the scan saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path inside the installation; any bytes but NUL.
    pub path: PathBuf,
    /// Where it really lies.
    pub source: PathBuf,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of anything; programs cannot set it back.
    pub ctime: Time,
    /// Inode number.
    pub inode: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file of so many bytes.
    File {
        /// Bytes, when the scan looked.
        len: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Where it points to: any text, believed by nobody.
        target: PathBuf,
    },
}

/// A time of a file system, since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds past them.
    pub nanoseconds: i64,
}

/// Something that is not stored as an ordinary file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The inside path; where a pattern is the reason, the pattern.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
    /// How many files, folders and links; what lies in a folder that is left out is not counted.
    pub count: u64,
}

/// Why something is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// One of [`DEFAULT_EXCLUDES`].
    Default,
    /// The user's pattern.
    Excluded,
    /// A program folder that `seafile-server-latest` does not point to.
    OtherProgram,
    /// The installation or its data folder, met again on another way.
    Installation,
    /// A socket.
    Socket,
    /// A FIFO.
    Fifo,
    /// A device.
    Device,
    /// What a link leads to, outside of the installation; the link itself is stored.
    LeadsOut,
    /// An old copy in the installation's folder `extra` of a path outside that is stored itself.
    Outside,
}

impl fmt::Display for Reason {
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

/// Something to tell the user about one path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The inside path; for [`WarningKind::Missing`] the path that was asked for.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: WarningKind,
}

/// What a warning is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WarningKind {
    /// `--also` names something that is not there.
    Missing,
    /// It cannot be read, and is not in the backup.
    Unreadable {
        /// The system's words.
        message: String,
    },
    /// It vanished between the scan and the reading.
    Vanished,
    /// It changed while it was read: what is stored may be a mixture.
    Changed,
    /// A link that was to be followed leads nowhere; it is stored as a link.
    BrokenLink,
    /// A link that leads out of the installation, to something that is not in the backup.
    LeadsOut {
        /// Where it leads, without links.
        target: PathBuf,
    },
    /// It looks like a SQLite database and is damaged, or is none; stored as it was.
    Unsound {
        /// What SQLite said.
        message: String,
    },
    /// Stored, but so large that it may be a forgotten dump.
    Huge {
        /// Bytes.
        len: u64,
    },
}

impl WarningKind {
    /// Whether the backup lacks something because of this.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete_word().is_some()
    }

    /// The marker's word for what the backup lacks because of this; `None`: it lacks nothing.
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

impl fmt::Display for WarningKind {
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
    /// A path of `--also` has no place below `extra`.
    #[error("{path:?} is not an absolute path without `..`")]
    Also {
        /// The path.
        path: PathBuf,
    },
    /// The installation has a file of its own where the folder for `--also` and `--env-file` must be.
    #[error(
        "{path:?} of the installation is no folder, and paths of --also and --env-file are kept in a folder of that name"
    )]
    ExtraTaken {
        /// The inside path.
        path: PathBuf,
    },
    /// The tar's bytes could not be handed on.
    #[error("cannot write the tar of {label:?}")]
    Write {
        /// The group's label.
        label: String,
        /// The cause.
        source: std::io::Error,
    },
}
