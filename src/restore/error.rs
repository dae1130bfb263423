//! Why a restore stops. Losses in the repository do not stop it: they are in the report.

use std::io;
use std::path::PathBuf;

use super::{Scope, mark};
use crate::causes::chain;
use crate::repository::names::SnapshotId;
use crate::repository::{self, Repository};
use crate::units::bytes;
use crate::unpack;

/// Why a restore stopped. What was restored stays. The same call goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository failed, or the marker, sums or manifest are not valid.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// The target has content that does not come from an unfinished restore.
    #[error("the target {} is not empty", path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
    },
    /// The target is a standby, and nobody asked to complete it.
    #[error("the target {} is a standby", path.display())]
    IsStandby {
        /// The target.
        path: PathBuf,
    },
    /// The standby is at a later snapshot.
    #[error("the standby {} is at the later snapshot {at}; {to} is older", path.display())]
    GoesBack {
        /// The target.
        path: PathBuf,
        /// The snapshot to which it was completed.
        at: SnapshotId,
        /// The snapshot that was asked for.
        to: SnapshotId,
    },
    /// Seafile runs in the target.
    #[error("Seafile runs in {} (process {pid})", path.display())]
    Runs {
        /// The target.
        path: PathBuf,
        /// One of its processes.
        pid: u32,
    },
    /// The target is a file, or something else, but not a folder.
    #[error("the target {} is not a folder", path.display())]
    NotAFolder {
        /// The target.
        path: PathBuf,
    },
    /// The target has an unfinished restore of something else.
    #[error("the target {} has an unfinished restore of {of}", path.display())]
    OtherUnfinished {
        /// The target.
        path: PathBuf,
        /// Snapshot and repository, as its file says.
        of: String,
    },
    /// The target has an unfinished restore of another part of the snapshot.
    #[error("the target {} has an unfinished restore of {}", path.display(), part(*began))]
    OtherScope {
        /// The target.
        path: PathBuf,
        /// The part with which it began.
        began: Scope,
    },
    /// The target has an unfinished restore whose databases are to be loaded into a server.
    #[error("the unfinished restore in {} loads its databases into a server", path.display())]
    LoadsDatabases {
        /// The target.
        path: PathBuf,
    },
    /// Another restore works there at this moment.
    #[error("another restore is busy with {}", path.display())]
    Busy {
        /// The target.
        path: PathBuf,
    },
    /// The target's file system is too small.
    #[error("{} has {} free; the restore needs {}", path.display(), bytes(*available), bytes(*needed))]
    NoSpace {
        /// The target.
        path: PathBuf,
        /// Bytes that will be taken.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// The target's file system takes too few files.
    #[error("{} has {available} inodes free; the restore needs {needed}", path.display())]
    NoInodes {
        /// The target.
        path: PathBuf,
        /// Files and folders to make.
        needed: u64,
        /// Inodes that are free.
        available: u64,
    },
    /// Only root can give files to another user.
    #[error("only root can restore files that belong to user {uid}")]
    OwnerNeedsRoot {
        /// The owner that was asked for.
        uid: u32,
    },
    /// Something in the target cannot be made, written or read.
    #[error("cannot restore {}", path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Ordinary files cannot be written.
    #[error("cannot restore ordinary files")]
    Unpack(#[from] unpack::Error),
    /// A thread ended without a word: a defect of seawall.
    #[error("a thread of the restore ended early")]
    Worker,
}

impl Error {
    /// What the user can do about it, if anything.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Repository(error @ repository::Error::Altered { .. }) => {
                return Some(format!(
                    "without it this snapshot cannot be restored; `seawall snapshots` shows others ({})",
                    error.hint()?
                ));
            }
            Self::Repository(error) => return error.hint(),
            Self::NotEmpty { .. } | Self::NotAFolder { .. } => {
                "give a folder that is empty or does not exist yet".into()
            }
            Self::IsStandby { .. } => {
                "to complete it by what the snapshot has more, add --standby".into()
            }
            Self::GoesBack { .. } => {
                "to go back, add --older: sync clients that have newer files will stop with an error until somebody acts on them".into()
            }
            Self::Runs { .. } => "stop it first: its databases are replaced".into(),
            Self::OtherUnfinished { .. } => {
                "finish that restore, or remove the folder, or give another".into()
            }
            Self::OtherScope { began, .. } => format!(
                "go on with the same part ({}), or give another target",
                match began {
                    Scope::Everything => "without --data-only and --databases-only",
                    Scope::Data => "--data-only",
                    Scope::Databases => "--databases-only",
                }
            ),
            Self::LoadsDatabases { .. } => format!(
                "go on with --import-databases and the same --database options; if no server holds databases of this \
                 folder, remove the line \"{}\" from its {}",
                mark::LOADS,
                mark::UNFINISHED
            ),
            Self::Busy { .. } => "wait until it has ended".into(),
            Self::NoSpace { .. } | Self::NoInodes { .. } => {
                "make room there, or give a target on a larger file system".into()
            }
            Self::OwnerNeedsRoot { .. } => {
                "run seawall as root, or leave --owner out and restore as the user that Seafile runs as".into()
            }
            Self::Write { source, .. } if is_full(source) => {
                "make room there and run the same again: it goes on where it stopped".into()
            }
            Self::Write { .. } | Self::Unpack(_) => {
                "see that the target can be written, and run the same again: it goes on where it stopped".into()
            }
            Self::Worker => return None,
        })
    }
}

/// A part of a snapshot, for people.
const fn part(scope: Scope) -> &'static str {
    match scope {
        Scope::Everything => "everything",
        Scope::Data => "data without databases",
        Scope::Databases => "databases alone",
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Turns an error about one stored thing into words, if only that thing is lost. If the destination
/// itself fails, returns the error: otherwise everything would be called lost.
pub(super) fn loss(repository: &Repository, error: repository::Error) -> Result<String, Error> {
    use repository::Error as Of;
    let is_loss = match &error {
        Of::Altered { .. } | Of::Malformed { .. } | Of::Pack(_) | Of::Frames(_) | Of::Sums(_) => {
            true
        }
        // It may be one bad sector, or one file with other permissions; or the whole disk is gone.
        Of::Backend(failure) => !repository.is_out_of_reach(failure),
        _ => false,
    };
    if is_loss { Ok(chain(&error)) } else { Err(error.into()) }
}
