//! What can go wrong with a repository.

use seawall_backends::{self as backends, ErrorKind, Key};

use super::{RepositoryId, frames, names, note, pack, sums};
use crate::crypt::{OpenError, SealError};
use crate::place;
use crate::place::shell;

/// What can go wrong with a repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The place holds no `seawall.json`.
    #[error("there is no repository at {place}")]
    NoRepository {
        /// The URL or path as given.
        place: String,
    },
    /// The place holds markers and no `seawall.json`.
    #[error("seawall.json is missing at {place}, where snapshots are")]
    ConfigurationMissing {
        /// The URL or path as given.
        place: String,
    },
    /// `seawall.json` is there but cannot be read as a configuration.
    #[error("seawall.json at {place} is damaged: {reason}")]
    ConfigurationDamaged {
        /// The URL or path as given.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `seawall.json` is not the one that the markers belong to.
    #[error(
        "seawall.json at {place} has the id {id}, but all markers belong to {other}: it was altered, or taken from \
         another repository"
    )]
    OtherRepository {
        /// The URL or path as given.
        place: String,
        /// The id in `seawall.json`.
        id: RepositoryId,
        /// The one in the markers.
        other: RepositoryId,
    },
    /// Trusted markers name two repositories, and nothing tells which one is meant.
    #[error("the markers at {place} belong to two repositories, {first} and {second}")]
    TwoRepositories {
        /// The URL or path as given.
        place: String,
        /// The id that was read first.
        first: RepositoryId,
        /// The id that differs.
        second: RepositoryId,
    },
    /// No trusted key signed a marker, so the repository's id cannot be taken from markers.
    #[error("no key that is trusted here signed a marker at {place}")]
    Unvouched {
        /// The URL or path as given.
        place: String,
    },
    /// A file is encrypted, and no key that was given opens it.
    #[error("{key} is encrypted, and {} it", opener(*.any))]
    Locked {
        /// The file.
        key: Key,
        /// Whether any key was given.
        any: bool,
    },
    /// A key could not be used.
    #[error("cannot open {key}")]
    Key {
        /// The file.
        key: Key,
        /// Why.
        source: OpenError,
    },
    /// A file could not be encrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The repository is encrypted, and this host has no recipients for it.
    #[error("the repository at {place} is encrypted, and this host has no recipients for it")]
    NoRecipients {
        /// The URL or path as given.
        place: String,
    },
    /// This host has recipients for the repository, but `seawall.json` says that nothing is
    /// encrypted.
    #[error(
        "this host encrypts what it stores at {place}, but seawall.json there says that nothing is encrypted"
    )]
    NotEncrypted {
        /// The URL or path as given.
        place: String,
    },
    /// The repository's format is not one that this version reads.
    #[error("the repository has format {found}; this version of seawall reads format 1")]
    NewerFormat {
        /// The format in `seawall.json` or in a manifest.
        found: u32,
    },
    /// No snapshot has this name.
    #[error("there is no snapshot {name:?}")]
    NoSnapshot {
        /// What was asked for.
        name: String,
    },
    /// The beginning of a name fits several snapshots.
    #[error("{name:?} is the beginning of {}: {}", several(names.len()), shortened(names))]
    ManySnapshots {
        /// What was asked for.
        name: String,
        /// The snapshots that begin like this.
        names: Vec<names::SnapshotId>,
    },
    /// Stored bytes are not what a verified marker says.
    #[error("{key}: {problem}")]
    Altered {
        /// The stored thing.
        key: Key,
        /// What is wrong with it.
        problem: String,
    },
    /// Bytes that cannot be parsed.
    #[error("{what} cannot be read: {reason}")]
    Malformed {
        /// What the bytes should be, for people.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The destination failed.
    #[error(transparent)]
    Backend(#[from] backends::Error),
    /// The destination overwrites existing keys, and the administrator has not accepted that.
    #[error("{place} overwrites what it has: two runs could destroy each other's markers")]
    Overwrites {
        /// The URL or path as given.
        place: String,
    },
    /// A void has the name of this run's marker: a prune declared the run dead while it slept.
    #[error("this run was declared dead by a prune: its marker's name {snapshot} is taken")]
    Voided {
        /// The run.
        snapshot: names::SnapshotId,
    },
    /// The temporary files of a check failed.
    #[error("cannot use temporary files in {}", folder.display())]
    Spool {
        /// Their folder.
        folder: std::path::PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A pack could not be built or read.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// Compressed bytes could not be made or read.
    #[error(transparent)]
    Frames(#[from] frames::Error),
    /// A list or sums could not be read.
    #[error(transparent)]
    Sums(#[from] sums::SumsError),
    /// A note could not be signed or opened.
    #[error(transparent)]
    Note(#[from] note::NoteError),
    /// The computer gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// A worker thread ended without a result: a defect of seawall.
    #[error("a worker ended early: {0}")]
    Worker(&'static str),
}

impl Error {
    /// The next step for the user, if there is one.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRepository { place } => {
                format!("make one with `seawall init -r {}`, or give the place where it is", shell(place))
            }
            Self::NewerFormat { .. } => {
                "use a newer version of seawall; if none was ever used there, seawall.json is damaged: move it away and run `seawall init`".into()
            }
            Self::ConfigurationMissing { place } => format!(
                "run `seawall init -r {}` on a host that backed up there, or with --trust KEY from the recovery sheet: it writes the file again",
                shell(place)
            ),
            Self::ConfigurationDamaged { place, .. } | Self::OtherRepository { place, .. } => format!(
                "move {} away (nothing else), then run `seawall init -r {}` on a host that backed up there, or with --trust KEY from the recovery sheet: it writes the file anew",
                place::of_key(place, &names::configuration()),
                shell(place)
            ),
            Self::TwoRepositories { .. } => {
                "move what belongs to one of them to a place of its own".into()
            }
            Self::Overwrites { place } => format!(
                "use a destination that can create without overwriting; or, where only this host writes, run `seawall init -r {} --accept-weak-writes`",
                shell(place)
            ),
            Self::Locked { .. } | Self::Key { .. } => {
                "give the identity that belongs to one of the recipients: -i FILE (the recovery sheet names them); where the repository keeps a key behind a passphrase: --passphrase-file FILE or SEAWALL_PASSPHRASE".into()
            }
            Self::Seal(_) => "if it is a plugin's recipient: is the plugin installed, and in PATH?".into(),
            Self::NoRecipients { place } => format!(
                "run `seawall init -r {} --recipient age1…` on this host",
                shell(place)
            ),
            Self::NotEncrypted { place } => format!(
                "seawall.json was altered, or is another repository's: move {} away (nothing else), and run `seawall init -r {}` on this host",
                place::of_key(place, &names::configuration()),
                shell(place)
            ),
            Self::Unvouched { .. } => "give --trust KEY from the recovery sheet".into(),
            Self::ManySnapshots { .. } => "give more of the name".into(),
            Self::NoSnapshot { .. } => "`seawall snapshots` shows what is there".into(),
            Self::Altered { .. } => {
                "restore what you can from another snapshot; `seawall check --read-data` names all that is bad".into()
            }
            Self::Voided { .. } => "run the backup again: nothing that it stored is stored twice".into(),
            Self::Spool { .. } => "set TMPDIR to a folder with room for the dumped databases and all commits and folders".into(),
            Self::Backend(error) => match error.kind() {
                _ if error.hint().is_some() => return error.hint().map(str::to_owned),
                ErrorKind::NoSpace => {
                    "make room there and run the same again: nothing that was stored is lost".into()
                }
                ErrorKind::PermissionDenied => "check owner and permissions at the destination".into(),
                ErrorKind::Transient => "run the same again: nothing that was stored is lost".into(),
                ErrorKind::AlreadyExists => "somebody else stored it at the same moment: run the same again".into(),
                _ => return None,
            },
            _ => return None,
        })
    }
}

fn several(number: usize) -> String {
    format!("{number} snapshots")
}

/// Shows only the newest names: somebody who types a prefix usually means one of them.
fn shortened(all: &[names::SnapshotId]) -> String {
    const SHOWN: usize = 3;
    let mut texts: Vec<String> = all.iter().rev().take(SHOWN).map(ToString::to_string).collect();
    if all.len() > SHOWN {
        texts.push("…".to_owned());
    }
    texts.join(", ")
}

fn opener(any: bool) -> &'static str {
    if any { "none of the keys given opens" } else { "no key was given to open" }
}
