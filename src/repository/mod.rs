//! What seawall stores: packs, segments, lists, sums, manifests, markers, intents; and the local
//! catalog of it. Knows nothing of Seafile's formats: an object is a name and bytes here.
//!
//! [`Repository`] is a repository that was opened: its backend, its id, and whom to believe.

use std::sync::Arc;

use seawall_backends::{self as backends, Backend, ErrorKind, Key};

pub mod acceptances;
pub(crate) mod bounded;
pub mod catalog;
pub mod chains;
pub mod configuration;
pub mod frames;
pub mod guard;
pub mod host_key;
pub mod identity;
pub mod index;
pub mod manifest;
pub mod marker;
pub mod names;
pub mod note;
pub mod pack;
pub mod parts;
pub mod place;
pub(crate) mod pool;
pub mod reader;
pub mod runs;
pub mod segment;
pub mod snapshots;
pub mod state;
pub mod stream;
pub mod sums;

pub use configuration::{Configuration, RepositoryId};
pub use snapshots::{SignedBy, Snapshot};

use self::place::shell;
use crate::crypt::{Content, Identities, OpenError, Recipients, Seal, SealError};
use crate::object::Sha256;
use host_key::HostKey;
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
    /// The place holds markers and no `seawall.json`.
    #[error("seawall.json is missing at {place}, where snapshots are")]
    ConfigurationMissing {
        /// The URL or path as given.
        place: String,
    },
    /// `seawall.json` is there and says nothing.
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
    /// Markers of two repositories lie together, and nothing says which one is meant.
    #[error("the markers at {place} belong to two repositories, {first} and {second}")]
    TwoRepositories {
        /// The URL or path as given.
        place: String,
        /// One id.
        first: RepositoryId,
        /// Another.
        second: RepositoryId,
    },
    /// Nobody vouches for the markers from which the repository's id would be taken.
    #[error("no key that is trusted here signed a marker at {place}")]
    Unvouched {
        /// The URL or path as given.
        place: String,
    },
    /// A file is encrypted, and no key that was given opens it.
    #[error("{key} is encrypted, and {} it", opener(.any))]
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
    /// This host does not know to whom to encrypt.
    #[error("the repository at {place} is encrypted, and this host has no recipients for it")]
    NoRecipients {
        /// The URL or path as given.
        place: String,
    },
    /// This host encrypts what it stores there, and `seawall.json` says that nothing is encrypted.
    #[error(
        "this host encrypts what it stores at {place}, but seawall.json there says that nothing is encrypted"
    )]
    NotEncrypted {
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
    #[error(transparent)]
    Backend(#[from] backends::Error),
    /// The destination does not refuse to overwrite, and nobody accepted that.
    #[error("{place} overwrites what it has: two runs could destroy each other's markers")]
    Overwrites {
        /// The URL or path as given.
        place: String,
    },
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
    /// A thread ended without a word: a defect of seawall.
    #[error("a worker ended early: {0}")]
    Worker(&'static str),
}

impl Error {
    /// What to do about it, where there is something to do.
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
                "give the identity that belongs to one of the recipients: -i FILE (the recovery sheet names them)".into()
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
            Self::NoSnapshot { .. } => "`seawall snapshots` shows what is there".into(),
            Self::Altered { .. } => {
                "restore what you can from another snapshot; `seawall check --read-data` names all that is bad".into()
            }
            Self::NoHostKey { place } => format!("run `seawall init -r {}` on this host first", shell(place)),
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
            Self::Spool { .. } => "set TMPDIR to a folder with room for the dumped databases and all commits and folders".into(),
            Self::State { .. } => "give another folder with --state-dir, or make this one writable".into(),
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

fn opener(any: &bool) -> &'static str {
    if *any {
        "none of the keys given opens"
    } else {
        "no key was given to open"
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
    /// To whom what is written is sealed.
    sealing: Option<Sealing>,
    /// What opens what is read.
    identities: Arc<Identities>,
}

/// To whom a host seals.
#[derive(Debug, Clone)]
struct Sealing {
    recipients: Recipients,
    host: age::x25519::Recipient,
}

impl Repository {
    /// Opens the repository at `backend`; `place` is its URL, for messages.
    pub fn open(backend: Arc<dyn Backend>, place: &str) -> Result<Self> {
        let place_text = || place.to_owned();
        let key = names::configuration();
        let bytes = match bounded::get(&*backend, &key, configuration::MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let place = place_text();
                return Err(match backend.list(names::MARKERS).next().transpose()? {
                    Some(_) => Error::ConfigurationMissing { place },
                    None => Error::NoRepository { place },
                });
            }
            Err(error) => return Err(error.into()),
        };
        let parsed = bytes
            .ok_or_else(configuration::too_long)
            .and_then(|bytes| Configuration::parse(&bytes));
        let configuration = parsed.map_err(|error| match error {
            Error::Malformed { reason, .. } => Error::ConfigurationDamaged {
                place: place_text(),
                reason,
            },
            error => error,
        })?;
        Ok(Self::open_as(
            backend,
            place,
            configuration.id,
            configuration.seal,
        ))
    }

    /// Opens the repository of that id to read, whatever `seawall.json` says: the id was taken from
    /// markers ([`identity::vouched`]).
    pub fn open_as(backend: Arc<dyn Backend>, place: &str, id: RepositoryId, seal: Seal) -> Self {
        Self {
            backend,
            place: place.into(),
            id,
            seal,
            pinned: Vec::new(),
            sealing: None,
            identities: Arc::default(),
        }
    }

    /// Makes a repository; there must be none. Of two that race, one succeeds.
    pub fn init(
        backend: Arc<dyn Backend>,
        place: &str,
        now: crate::time::Timestamp,
    ) -> Result<Self> {
        Self::init_sealed(backend, place, now, Seal::None)
    }

    /// The same, with a word on how its files are to be sealed.
    pub fn init_sealed(
        backend: Arc<dyn Backend>,
        place: &str,
        now: crate::time::Timestamp,
        seal: Seal,
    ) -> Result<Self> {
        let configuration = Configuration {
            id: RepositoryId::random()?,
            created: now,
            seal,
        };
        backend.put_new(&names::configuration(), &configuration.to_bytes())?;
        Self::open(backend, place)
    }

    /// The same repository, to write to ([`guard::guarded`]).
    pub fn guarded(self, weak: guard::WeakWrites) -> Result<Self> {
        let backend = guard::guarded(self.backend, &self.place, weak)?;
        Ok(Self { backend, ..self })
    }

    /// Believes the signatures of these keys.
    #[must_use]
    pub fn with_pinned(mut self, keys: Vec<VerifyingKey>) -> Self {
        self.pinned = keys;
        self
    }

    /// Seals what is written to these, and index and manifests to this host besides.
    ///
    /// # Errors
    ///
    /// [`Error::NotEncrypted`] if there are recipients and the repository says that nothing is sealed,
    /// [`Error::NoRecipients`] if it is the other way round: nothing is ever stored in the clear because
    /// of what a destination says.
    pub fn sealing_to(mut self, recipients: Recipients, host: &HostKey) -> Result<Self> {
        let place = || self.place.clone();
        match (self.seal, recipients.is_empty()) {
            (Seal::None, true) => return Ok(self),
            (Seal::None, false) => return Err(Error::NotEncrypted { place: place() }),
            (Seal::Age, true) => return Err(Error::NoRecipients { place: place() }),
            (Seal::Age, false) => {}
        }
        let host = host.recipient().parse().map_err(|_| Error::Malformed {
            what: "the host key".into(),
            reason: "its age identity is bad".into(),
        })?;
        self.sealing = Some(Sealing { recipients, host });
        Ok(self)
    }

    /// Opens what is read with these, besides those that it had.
    #[must_use]
    pub fn with_identities(mut self, identities: Identities) -> Self {
        let mut all = (*self.identities).clone();
        all.extend(identities);
        self.identities = Arc::new(all);
        self
    }

    /// Whether anything that is sealed might be opened.
    pub fn has_identities(&self) -> bool {
        self.seal == Seal::None || !self.identities.is_empty()
    }

    /// To whom what is written is sealed.
    pub fn recipients(&self) -> Vec<String> {
        let sealing = self.sealing.iter();
        sealing
            .flat_map(|sealing| sealing.recipients.texts().map(ToOwned::to_owned))
            .collect()
    }

    /// Seals a whole file.
    pub fn seal_file(&self, content: Content, bytes: Vec<u8>) -> Result<Vec<u8>> {
        if self.seal == Seal::None {
            return Ok(bytes);
        }
        let Some(sealing) = &self.sealing else {
            return Err(Error::NoRecipients {
                place: self.place.clone(),
            });
        };
        let host = match content {
            Content::Data => None,
            Content::Index => Some(&sealing.host),
        };
        Ok(sealing.recipients.seal(host, &bytes)?)
    }

    /// Opens a whole file.
    pub fn open_file(&self, key: &Key, bytes: Vec<u8>) -> Result<Vec<u8>> {
        match self.seal {
            Seal::None => Ok(bytes),
            Seal::Age => self.opened(key, self.identities.open(&bytes)),
        }
    }

    /// Opens a range of a file as it was before it was sealed; of what is sealed only the pieces are
    /// fetched that it lies in.
    pub fn open_range(&self, key: &Key, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        if self.seal == Seal::None {
            return Ok(self.backend.get(key, Some(range))?);
        }
        let len = self.backend.stat(key)?.len;
        let mut failure = None;
        let opened = self.identities.open_range(len, range, &mut |range| {
            self.backend.get(key, Some(range)).map_err(|error| {
                let kind = std::io::ErrorKind::Other;
                failure = Some(error);
                std::io::Error::new(kind, "the destination failed")
            })
        });
        match failure {
            Some(error) => Err(error.into()),
            None => self.opened(key, opened),
        }
    }

    /// Refuses early what could not be opened later: looks at the header of a sealed file.
    pub fn must_open(&self, key: &Key) -> Result<()> {
        match self.seal {
            Seal::None => Ok(()),
            Seal::Age => self.open_range(key, 0..0).map(drop),
        }
    }

    fn opened(
        &self,
        key: &Key,
        opened: std::result::Result<Vec<u8>, OpenError>,
    ) -> Result<Vec<u8>> {
        opened.map_err(|error| match error {
            OpenError::NoKey => Error::Locked {
                key: key.clone(),
                any: !self.identities.is_empty(),
            },
            OpenError::Broken(problem) => Error::Altered {
                key: key.clone(),
                problem: format!("is no file that age made: {problem}"),
            },
            source @ (OpenError::Identity(_) | OpenError::Read(_)) => Error::Key {
                key: key.clone(),
                source,
            },
        })
    }

    /// How many calls at a time the destination is worth.
    pub fn connections(&self) -> usize {
        self.backend.properties().connections.get()
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

    /// Whether a failed read says nothing of what is stored: nothing at the destination may count as
    /// lost or bad because the destination went away.
    pub fn is_out_of_reach(&self, error: &seawall_backends::Error) -> bool {
        match error.kind() {
            ErrorKind::Transient => true,
            ErrorKind::NotFound | ErrorKind::OutOfRange => false,
            // A bad sector, or a disk that is gone: then nothing else can be read either.
            _ => match self.backend.get(&names::configuration(), Some(0..1)) {
                Ok(_) => false,
                Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::OutOfRange),
            },
        }
    }

    /// Reads a stored file that must have this SHA-256, and whose length nothing tells. No byte is
    /// interpreted before that was seen, and none read of what is longer than anything stored.
    pub fn read_verified(&self, key: &Key, sha256: &Sha256) -> Result<Vec<u8>> {
        let altered = |problem: &str| Error::Altered {
            key: key.clone(),
            problem: problem.into(),
        };
        let bytes = bounded::get(&*self.backend, key, bounded::MAX_STORED_BYTES)
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => altered("is missing"),
                _ => error.into(),
            })?
            .ok_or_else(|| altered("is longer than anything that seawall stores"))?;
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
