//! A repository that is opened to read.

use std::ops::Deref;

use seawall_backends::Key;

use super::catalog::{self, CatalogCondition};
use super::state::{StateFolder, StoredBefore, stored_before};
use super::{Destination, Error, Host, Result, Warning};
use crate::repository::identity::{self, Voucher};
use crate::repository::manifest::Manifest;
use crate::repository::names::SnapshotId;
use crate::repository::{self, Repository, RepositoryId, Snapshot, index, names};
use crate::time::Clock;

/// A repository that is opened to read: signatures of trusted keys count, and files open with the keys at hand.
#[derive(Debug, Clone)]
pub struct Reading {
    repository: Repository,
}

impl Deref for Reading {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.repository
    }
}

impl Host<'_> {
    /// Opens a repository to read. This host need not know it, nor have a state folder.
    ///
    /// Where `seawall.json` does not tell the id, or tells one that no marker has, markers that a trusted key
    /// signed do. What they say about encryption overrules `seawall.json`, too.
    pub fn read(&self, destination: &Destination) -> Result<Reading> {
        // A key file that cannot be used is an error, also where no key is needed.
        let given = self.keys.given(self.tell)?;
        let repository = self.open_to_read(destination)?;
        let known =
            self.state.and_then(|state| StateFolder::existing_repository(state, repository.id()));
        let mut pinned = known.map(|known| known.trusted()).transpose()?.unwrap_or_default();
        pinned.extend(self.trusted.iter().cloned());
        let mut repository = repository.with_pinned(pinned);
        if let Some(seal) = repository.seal_of_markers()?.filter(|seal| *seal != repository.seal())
        {
            let said_encrypted = repository.is_encrypted();
            (self.tell)(Warning::EncryptionOverruled { said_encrypted });
            repository = repository.with_seal(seal);
        }
        if repository.is_encrypted() {
            repository = repository.with_identities(given);
            // Where this user may not read the host's key, there is none.
            let state = self.state.and_then(StateFolder::existing);
            if let Some(Ok(Some(host_key))) = state.map(|state| state.host_key()) {
                repository = repository.with_identities(host_key.identities()?);
            }
        }
        Ok(Reading { repository })
    }

    fn open_to_read(&self, destination: &Destination) -> Result<Repository> {
        let (problem, as_it_says) = match self.open(destination) {
            Ok(repository) => match repository.refuse_other() {
                Ok(()) => return Ok(repository),
                Err(error) => (Error::from(error), Some(repository)),
            },
            Err(error) => (error, None),
        };
        if !is_about_configuration(&problem) {
            return Err(problem);
        }
        let backend = destination.open()?;
        let url = destination.url();
        let vouched = identity::vouched(backend.as_ref(), url, &self.vouchers()?)?;
        let of_markers =
            vouched.map(|vouched| Repository::open_as(backend, url, vouched.id, vouched.seal));
        let Some(repository) = of_markers.or(as_it_says) else {
            return Err(problem);
        };
        let id = repository.id().clone();
        (self.tell)(Warning::ConfigurationOverruled { problem, id });
        Ok(repository)
    }

    /// Opens the repository at a place, as `seawall.json` there describes it.
    pub(super) fn open(&self, destination: &Destination) -> Result<Repository> {
        let opened = destination
            .open()
            .and_then(|backend| Ok(Repository::open(backend, destination.url())?));
        match opened {
            Err(Error::Repository(repository::Error::NoRepository { place })) => {
                Err(match self.stored_before(destination, None) {
                    Some(before) => Error::NotThere { place, before },
                    None => repository::Error::NoRepository { place }.into(),
                })
            }
            opened => opened,
        }
    }

    /// What this host knows of a place where its repository is not, or another one than `found`.
    pub(super) fn stored_before(
        &self,
        destination: &Destination,
        found: Option<&RepositoryId>,
    ) -> Option<StoredBefore> {
        stored_before(self.state?, &destination.spellings(), found).ok()?
    }

    /// The newest snapshot that this host's catalog knows; `None` where this host does not back up.
    pub fn newest_known(&self, repository: &Reading) -> Option<SnapshotId> {
        let known = StateFolder::existing_repository(self.state?, repository.id())?;
        match catalog::examine(&known.catalog_path(), repository.id()) {
            CatalogCondition::Good(newest) => newest,
            _ => None,
        }
    }

    /// Bad stored files that the administrator of this host accepted. A list that cannot be read accepts
    /// nothing, and is told.
    pub fn accepted_faults(&self, repository: &Reading) -> Vec<Key> {
        let known =
            self.state.and_then(|state| StateFolder::existing_repository(state, repository.id()));
        match known.map(|known| known.accepted_faults()).transpose() {
            Ok(accepted) => {
                accepted.map(|accepted| accepted.keys(Clock::system().now())).unwrap_or_default()
            }
            Err(problem) => {
                (self.tell)(Warning::AcceptedFaultsUnreadable { problem });
                Vec::new()
            }
        }
    }

    /// Keys that may say which repository a place holds.
    pub(super) fn vouchers(&self) -> Result<Vec<Voucher>> {
        let mut vouchers = match self.state {
            Some(state) => StateFolder::vouchers(state)?,
            None => Vec::new(),
        };
        let given = self.trusted.iter().cloned();
        vouchers.extend(given.map(|key| Voucher { key, of: None }));
        Ok(vouchers)
    }
}

impl Reading {
    /// Adds the keys that a passphrase opens, for files that this host cannot read. Nobody is asked for a
    /// passphrase if an identity was given.
    pub fn unlock(self, host: &Host<'_>) -> Result<Self> {
        let is_enough = host.keys.has_identities() && !host.keys.has_passphrase(host.tell);
        if !self.is_encrypted() || is_enough {
            return Ok(self);
        }
        let identities = host.keys.of_repository(&self, host.tell)?;
        Ok(Self { repository: self.repository.with_identities(identities) })
    }

    /// Like [`Self::unlock`], if the keys at hand do not open this snapshot's manifest and index. The host that
    /// wrote them can open them.
    pub fn unlock_for(self, host: &Host<'_>, snapshot: &Snapshot) -> Result<Self> {
        let manifest = names::manifest(snapshot.id(), self.seal());
        match self.must_open(&manifest) {
            Err(repository::Error::Locked { .. }) => self.unlock(host),
            // Whatever reads the manifest reports that it is lost.
            _ => Ok(self),
        }
    }

    /// The manifest of a snapshot.
    pub fn manifest(&self, snapshot: &Snapshot) -> Result<Manifest> {
        Ok(index::read_manifest(self, &snapshot.marker)?)
    }
}

/// Whether `seawall.json` is what is wrong.
fn is_about_configuration(error: &Error) -> bool {
    matches!(
        error,
        Error::Repository(
            repository::Error::ConfigurationMissing { .. }
                | repository::Error::ConfigurationDamaged { .. }
                | repository::Error::OtherRepository { .. }
        )
    )
}
