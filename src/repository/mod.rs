//! What seawall stores: packs, segments, lists, sums, manifests, markers, intents; and the local
//! catalog of it. Knows nothing of Seafile's formats: an object is a name and bytes here.
//!
//! [`Repository`] is a repository that was opened: its backend, its id, and whom to believe.

use std::sync::Arc;

use seawall_backends::{self as backends, Backend, ErrorKind, Key};

pub mod acceptances;
pub mod catalog;
pub mod chains;
pub mod configuration;
pub mod frames;
pub mod host_key;
pub mod index;
pub mod manifest;
pub mod marker;
pub mod names;
pub mod note;
pub mod pack;
pub mod parts;
pub mod reader;
pub mod runs;
pub mod segment;
pub mod snapshots;
pub mod state;
pub mod sums;

pub use configuration::{Configuration, RepositoryId};
pub use snapshots::{SignedBy, Snapshot};

use crate::crypt::Seal;
use crate::object::Sha256;
use note::VerifyingKey;

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
    /// Made by a later version.
    #[error("the repository has format {found}; this version of seawall reads format 1")]
    NewerFormat {
        /// The format that it says.
        found: u32,
    },
    /// A snapshot was named that is not there.
    #[error("there is no snapshot {name:?}")]
    NoSnapshot {
        /// What was asked for.
        name: String,
    },
    /// Stored bytes are not what a verified marker says.
    #[error("{key}: {problem}")]
    Altered {
        /// The stored thing.
        key: Key,
        /// What is wrong with it.
        problem: String,
    },
    /// Bytes that cannot be read as what they should be.
    #[error("{what} cannot be read: {reason}")]
    Malformed {
        /// What they should be.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The destination failed.
    #[error("the destination failed")]
    Backend(#[from] backends::Error),
    /// A marker of this run's name is already there: the run was declared dead while it slept.
    #[error("this run was declared dead by a prune: its marker's name {snapshot} is taken")]
    Voided {
        /// The run.
        snapshot: names::SnapshotId,
    },
    /// This host has no key for the repository.
    #[error("this host has no key for the repository {place}")]
    NoHostKey {
        /// The URL or path as given.
        place: String,
    },
    /// The state folder failed.
    #[error("cannot use {}", path.display())]
    State {
        /// The file or folder.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process works with this state folder.
    #[error("another run is busy with {}{}", path.display(), holder.as_deref().map(|holder| format!(" ({holder})")).unwrap_or_default())]
    Busy {
        /// The lock file; it never has to be removed.
        path: std::path::PathBuf,
        /// Who holds it, if that process says so.
        holder: Option<String>,
    },
    /// The catalog failed.
    #[error("the catalog {} failed", path.display())]
    Catalog {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: rusqlite::Error,
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
    /// A thread ended without a word: a defect of seawall.
    #[error("a worker ended early: {0}")]
    Worker(&'static str),
}

impl Error {
    /// What to do about it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRepository { place } => {
                format!("make one with `seawall init -r {place}`, or give the place where it is")
            }
            Self::NewerFormat { .. } => "use a newer version of seawall".into(),
            Self::NoSnapshot { .. } => "`seawall snapshots` shows what is there".into(),
            Self::Altered { .. } => {
                "restore what you can from another snapshot; `seawall check --read-data` names all that is bad".into()
            }
            Self::NoHostKey { place } => format!("run `seawall init -r {place}` on this host first"),
            Self::Busy { .. } => {
                "wait until it has ended; if it was killed, its lock went with it".into()
            }
            Self::Voided { .. } => "run the backup again: nothing that it stored is stored twice".into(),
            Self::Catalog { source, .. } if is_full(source) => {
                "make room there and run the same again: nothing that was stored is lost".into()
            }
            Self::State { source, .. }
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
                ) =>
            {
                "make room there, or give another folder with --state-dir".into()
            }
            Self::Catalog { path, .. } => format!(
                "if the file is damaged, move {} away: it is made again from the repository",
                path.display()
            ),
            Self::State { .. } => "give another folder with --state-dir, or make this one writable".into(),
            Self::Backend(error) => match error.kind() {
                ErrorKind::NoSpace => {
                    "make room there and run the same again: nothing that was stored is lost".into()
                }
                ErrorKind::PermissionDenied => "check owner and permissions at the destination".into(),
                ErrorKind::Transient => "run the same again: nothing that was stored is lost".into(),
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// Whether the disk that a catalog lies on is full.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

/// Result of an operation on a repository.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A repository that was opened.
#[derive(Debug, Clone)]
pub struct Repository {
    backend: Arc<dyn Backend>,
    place: String,
    id: RepositoryId,
    seal: Seal,
    /// Keys that the administrator vouched for.
    pinned: Vec<VerifyingKey>,
}

impl Repository {
    /// Opens the repository at `backend`; `place` is its URL, for messages.
    pub fn open(backend: Arc<dyn Backend>, place: &str) -> Result<Self> {
        let key = names::configuration();
        let bytes = backend
            .get(&key, None)
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::NoRepository {
                    place: place.into(),
                },
                _ => error.into(),
            })?;
        let configuration = Configuration::parse(&bytes)?;
        Ok(Self {
            backend,
            place: place.into(),
            id: configuration.id,
            seal: Seal::None,
            pinned: Vec::new(),
        })
    }

    /// Makes a repository; there must be none. Of two that race, one succeeds.
    pub fn init(
        backend: Arc<dyn Backend>,
        place: &str,
        now: crate::time::Timestamp,
    ) -> Result<Self> {
        let configuration = Configuration {
            id: RepositoryId::random()?,
            created: now,
        };
        backend.put_new(&names::configuration(), &configuration.to_bytes())?;
        Self::open(backend, place)
    }

    /// Believes the signatures of these keys.
    #[must_use]
    pub fn with_pinned(mut self, keys: Vec<VerifyingKey>) -> Self {
        self.pinned = keys;
        self
    }

    /// The destination.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Its id.
    pub fn id(&self) -> &RepositoryId {
        &self.id
    }

    /// Its URL or path as given.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// How its files are sealed.
    pub fn seal(&self) -> Seal {
        self.seal
    }

    /// Keys that the administrator vouched for.
    pub fn pinned(&self) -> &[VerifyingKey] {
        &self.pinned
    }

    /// Reads a stored file that must have this SHA-256. No byte is interpreted before that was seen.
    pub fn read_verified(&self, key: &Key, sha256: &Sha256) -> Result<Vec<u8>> {
        let altered = |problem: &str| Error::Altered {
            key: key.clone(),
            problem: problem.into(),
        };
        let bytes = self
            .backend
            .get(key, None)
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => altered("is missing"),
                _ => error.into(),
            })?;
        if Sha256::of(&bytes) == *sha256 {
            Ok(bytes)
        } else {
            Err(altered("its bytes are not what the marker says"))
        }
    }

    /// Reads what a marker names. No more bytes are asked for than the marker says there are.
    pub fn read_named(&self, named: &marker::Named) -> Result<Vec<u8>> {
        let altered = |problem: &str| Error::Altered {
            key: named.key.clone(),
            problem: problem.into(),
        };
        let bytes =
            self.backend
                .get(&named.key, Some(0..named.size))
                .map_err(|error| match error.kind() {
                    ErrorKind::NotFound => altered("is missing"),
                    ErrorKind::OutOfRange => altered("is shorter than the marker says"),
                    _ => error.into(),
                })?;
        if Sha256::of(&bytes) == named.sha256 {
            Ok(bytes)
        } else {
            Err(altered("its bytes are not what the marker says"))
        }
    }
}
