//! What seawall stores: packs, segments, lists, sums, manifests, markers and intents, and the local
//! catalog of them. Knows nothing of Seafile's formats: here an object is a name and bytes.
//!
//! [`Repository`] is an opened repository: its backend, its id, and the keys that are trusted for
//! it.

use std::sync::Arc;

use seawall_backends::{Backend, ErrorKind, Key};

pub(crate) mod bounded;
pub mod chains;
pub mod clocks;
pub mod configuration;
mod error;
pub mod faults;
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
pub(crate) mod pool;
pub mod reader;
pub mod readers;
pub mod remains;
pub mod runs;
mod sealing;
pub mod segment;
pub mod snapshots;
pub mod stream;
pub mod sums;
pub mod wrapped;

pub use configuration::{Configuration, RepositoryId};
pub use error::Error;
pub use snapshots::{SignedBy, Snapshot};

use crate::crypt::{Identities, Seal};
use crate::object::Sha256;
use note::VerifyingKey;
use sealing::Sealing;
use wrapped::Wrapped;

/// The page that explains how to restore without seawall. `init` puts it into new repositories.
pub const PAGE: &str = include_str!("../../docs/restore-by-hand.md");
/// The longest page of any version.
const MAX_PAGE_BYTES: u64 = 1 << 20;

/// Result of an operation on a repository.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An opened repository: its backend, its id, and the keys to verify, seal and open with.
#[derive(Debug, Clone)]
pub struct Repository {
    backend: Arc<dyn Backend>,
    place: String,
    id: RepositoryId,
    seal: Seal,
    /// Keys that the administrator vouched for.
    pinned: Vec<VerifyingKey>,
    /// The recipients of what is written.
    sealing: Option<Sealing>,
    /// The keys that open what is read.
    identities: Arc<Identities>,
    /// Passphrase-protected keys that this host made. They must stay in the repository as long as
    /// any snapshot needs them.
    wrapped: Arc<[Wrapped]>,
}

impl Repository {
    /// Opens the repository at `backend`; `place` is its URL, for messages.
    pub(crate) fn open(backend: Arc<dyn Backend>, place: &str) -> Result<Self> {
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
            Error::Malformed { reason, .. } => {
                Error::ConfigurationDamaged { place: place_text(), reason }
            }
            error => error,
        })?;
        Ok(Self::open_as(backend, place, configuration.id, configuration.seal))
    }

    /// Opens the repository with this id for reading, without reading `seawall.json`. The caller
    /// took the id from markers ([`identity::vouched`]).
    pub(crate) fn open_as(
        backend: Arc<dyn Backend>,
        place: &str,
        id: RepositoryId,
        seal: Seal,
    ) -> Self {
        Self {
            backend,
            place: place.into(),
            id,
            seal,
            pinned: Vec::new(),
            sealing: None,
            identities: Arc::default(),
            wrapped: Arc::default(),
        }
    }

    /// Makes a repository where none is, and sets how its files are sealed. If two processes race, one
    /// succeeds.
    pub(crate) fn make(
        backend: Arc<dyn Backend>,
        place: &str,
        now: crate::time::Timestamp,
        seal: Seal,
    ) -> Result<Self> {
        let configuration = Configuration { id: RepositoryId::random()?, created: now, seal };
        backend.put_new(&names::configuration(), &configuration.to_bytes())?;
        Self::open(backend, place)
    }

    /// Puts the page that explains how to restore without seawall, unless one is there. After a
    /// disaster the repository may be all that is left.
    pub fn put_page(&self) -> Result<()> {
        match self.backend.put_new(&names::page(), PAGE.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Whether this version's page is there. The page is not signed.
    pub fn has_page(&self) -> Result<bool> {
        match bounded::get(&*self.backend, &names::page(), MAX_PAGE_BYTES) {
            Ok(page) => Ok(page.is_some_and(|page| page == PAGE.as_bytes())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the repository for writing ([`guard::guarded`]).
    pub(crate) fn guarded(self, weak: guard::WeakWrites) -> Result<Self> {
        let backend = guard::guarded(self.backend, &self.place, weak)?;
        Ok(Self { backend, ..self })
    }

    /// Sets the keys whose signatures are trusted.
    #[must_use]
    pub(crate) fn with_pinned(mut self, keys: Vec<VerifyingKey>) -> Self {
        self.pinned = keys;
        self
    }

    /// How many calls to the destination may usefully run at the same time.
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

    /// Whether its files are sealed.
    pub fn is_encrypted(&self) -> bool {
        self.seal == Seal::Age
    }

    /// Keys that the administrator vouched for.
    pub fn pinned(&self) -> &[VerifyingKey] {
        &self.pinned
    }

    /// Whether a read failed because the destination is unreachable. Then the error says nothing
    /// about the stored file, which must not count as lost or bad.
    pub fn is_out_of_reach(&self, error: &seawall_backends::Error) -> bool {
        match error.kind() {
            ErrorKind::Transient => true,
            ErrorKind::NotFound | ErrorKind::OutOfRange => false,
            // A bad sector, or the whole disk is gone. In the second case no other file can be read
            // either.
            _ => match self.backend.get(&names::configuration(), Some(0..1)) {
                Ok(_) => false,
                Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::OutOfRange),
            },
        }
    }

    /// Reads a stored file of unknown length that must have this SHA-256. Nothing interprets the
    /// bytes before the SHA-256 was checked. Reads no more bytes than the longest file that seawall
    /// stores.
    pub fn read_verified(&self, key: &Key, sha256: &Sha256) -> Result<Vec<u8>> {
        let altered = |problem: &str| Error::Altered { key: key.clone(), problem: problem.into() };
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

    /// Reads a file that a marker names and checks its SHA-256. Asks for no more bytes than the
    /// marker says.
    pub fn read_named(&self, named: &marker::Named) -> Result<Vec<u8>> {
        let altered =
            |problem: &str| Error::Altered { key: named.key.clone(), problem: problem.into() };
        let bytes =
            self.backend.get(&named.key, Some(0..named.size)).map_err(|error| {
                match error.kind() {
                    ErrorKind::NotFound => altered("is missing"),
                    ErrorKind::OutOfRange => altered("is shorter than the marker says"),
                    _ => error.into(),
                }
            })?;
        if Sha256::of(&bytes) == named.sha256 {
            Ok(bytes)
        } else {
            Err(altered("its bytes are not what the marker says"))
        }
    }
}
