//! A repository that this host writes to.

use std::ops::Deref;

use seawall_backends::Key;

use super::state::{RepositoryState, StateFolder};
use super::{Destination, Error, Host, NewKey, Result, Warning};
use crate::crypt::Recipients;
use crate::repository::guard::WeakWrites;
use crate::repository::host_key::HostKey;
use crate::repository::note::VerifyingKey;
use crate::repository::readers::Audience;
use crate::repository::wrapped::Wrapped;
use crate::repository::{self, Repository, Snapshot};
use crate::time::Clock;

/// A repository that this host has joined and writes to. What it writes is encrypted to this host's recipients,
/// or to nobody in a repository that is not encrypted.
#[derive(Debug)]
pub struct Writing {
    repository: Repository,
    host_key: HostKey,
    state: RepositoryState,
}

impl Deref for Writing {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.repository
    }
}

impl Host<'_> {
    /// Opens a repository that this host has joined, to write. `weak` is what the administrator decided about
    /// weak writes in this run; it is remembered.
    ///
    /// # Errors
    ///
    /// [`Error::NoHostKey`] if this host has not joined it, [`repository::Error::OtherRepository`] if
    /// `seawall.json` is not the one that the markers belong to, [`repository::Error::Overwrites`],
    /// [`repository::Error::NotEncrypted`].
    pub fn write(
        &self,
        state: &StateFolder,
        destination: &Destination,
        weak: WeakWrites,
    ) -> Result<Writing> {
        let repository = self.open(destination)?;
        let no_key = || Error::NoHostKey {
            place: repository.place().into(),
            knows_others: state.knows_repositories(),
        };
        let Some(of_repository) = StateFolder::existing_repository(state.path(), repository.id())
        else {
            // Rather a wrong `seawall.json` than a repository that this host never joined.
            repository.refuse_other()?;
            return Err(no_key());
        };
        let host_key = state.host_key()?.ok_or_else(no_key)?;
        if !of_repository.trusted()?.contains(&host_key.verifying()) {
            repository.refuse_other()?;
            return Err(no_key());
        }
        if weak == WeakWrites::Accepted {
            of_repository.accept_weak_writes()?;
        }
        let repository = repository.guarded(of_repository.weak_writes())?;
        Writing::new(self, repository, host_key, of_repository)
    }
}

impl Writing {
    /// The only place where a repository becomes one that is written to.
    pub(super) fn new(
        host: &Host<'_>,
        guarded: Repository,
        host_key: HostKey,
        state: RepositoryState,
    ) -> Result<Self> {
        let mut pinned = state.trusted()?;
        pinned.extend(host.trusted.iter().cloned());
        let repository = guarded.with_pinned(pinned).sealing_to(state.recipients()?, &host_key)?;
        let mut repository = repository.with_wrapped(state.wrapped()?);
        if repository.is_encrypted() {
            // The host has to read its own index and manifests.
            repository = repository
                .with_identities(host_key.identities()?)
                .with_identities(host.keys.given(host.tell)?);
        }
        Ok(Self { repository, host_key, state })
    }

    /// This host's key, which signs markers.
    pub fn host_key(&self) -> &HostKey {
        &self.host_key
    }

    /// What this host keeps of the repository.
    pub fn state(&self) -> &RepositoryState {
        &self.state
    }

    /// Remembers that this host stored there: then an empty place is a disk that is not mounted.
    pub fn remember(&self, host: &Host<'_>, destination: &Destination) {
        let now = Clock::system().now();
        if let Err(problem) = self.state.remember_place(&destination.spellings(), now) {
            (host.tell)(Warning::PlaceNotRemembered { problem });
        }
    }

    /// Vouches for what a key signs in this repository, from now on.
    pub fn trust(&self, key: &VerifyingKey) -> Result<()> {
        self.state.trust(key)
    }

    /// Who can open what this host has stored, and stores from now on.
    pub fn readers(&self) -> Result<Audience> {
        Ok(self.readers_after(&self.host_key.verifying(), &self.recipients())?)
    }

    /// Refuses a repository that is not encrypted: it has no keys to change.
    pub fn must_be_encrypted(&self) -> Result<()> {
        if self.is_encrypted() {
            return Ok(());
        }
        Err(Error::NoKeysToRead { place: self.place().to_owned() })
    }

    /// Encrypts to further recipients from the next run on, and puts a new key behind a passphrase into the
    /// repository. Returns how many recipients were added.
    pub fn add_recipients(&self, given: &Recipients, new_key: Option<&NewKey>) -> Result<usize> {
        self.must_be_encrypted()?;
        let mut recipients = self.state.recipients()?;
        let before = recipients.texts().count();
        for text in given.texts().chain(new_key.map(|new| new.recipient.as_str())) {
            recipients.add(text)?;
        }
        self.host_key.try_sealing_to(&recipients)?;
        if let Some(new) = new_key {
            // The copy first: a key that lies in the repository alone could be lost there.
            self.state.keep_wrapped(&new.wrapped)?;
            new.wrapped.put(&**self.backend())?;
        }
        self.state.set_recipients(&recipients)?;
        Ok(recipients.texts().count() - before)
    }

    /// Encrypts to a recipient no more from the next run on: to the one whose text begins like this. Returns its
    /// text.
    ///
    /// # Errors
    ///
    /// [`Error::WhichRecipient`] if not exactly one fits, [`Error::OnlyRecipient`].
    pub fn remove_recipient(&self, beginning: &str) -> Result<String> {
        self.must_be_encrypted()?;
        let recipients = self.state.recipients()?;
        let is_meant = |text: &&str| !beginning.is_empty() && text.starts_with(beginning);
        let meant: Vec<&str> = recipients.texts().filter(is_meant).collect();
        let [meant] = meant[..] else {
            return Err(Error::WhichRecipient { found: meant.len() });
        };
        let kept: Vec<&str> = recipients.texts().filter(|text| *text != meant).collect();
        if kept.is_empty() {
            return Err(Error::OnlyRecipient);
        }
        self.state.set_recipients(&Recipients::parse(&kept.join("\n"))?)?;
        Ok(meant.to_owned())
    }

    /// The snapshot that is to be written again: the newest of its host. Another host's has to be signed by a
    /// key that somebody vouches for, and this host may have none of its own then.
    ///
    /// # Errors
    ///
    /// [`Error::NotNewest`], [`Error::NotVouchedFor`], [`Error::HasOwnSnapshots`]; for this host's own,
    /// [`Error::NoKeysToRead`] if the repository is not encrypted.
    pub fn snapshot_to_rewrite(&self, name: &str, whose: Rewritten) -> Result<Snapshot> {
        let own = self.host_key.verifying();
        let is_own = |snapshot: &Snapshot| *snapshot.signed_by.key() == own;
        let mut markers = self.markers()?;
        match whose {
            Rewritten::OfThisHost => {
                self.must_be_encrypted()?;
                markers.snapshots.retain(is_own);
            }
            Rewritten::OfAnotherHost => markers.snapshots.retain(|snapshot| !is_own(snapshot)),
        }
        let snapshot = markers.find(name)?;
        let newest = self.base(snapshot.signed_by.key())?.0;
        if let Some(newest) = newest.filter(|newest| newest.id() != snapshot.id()) {
            return Err(Error::NotNewest { snapshot: snapshot.id(), newest: newest.id() });
        }
        if !snapshot.signed_by.is_pinned() {
            let key = snapshot.signed_by.key().to_string();
            return Err(Error::NotVouchedFor { snapshot: snapshot.id(), key });
        }
        if whose == Rewritten::OfAnotherHost
            && let Some(newest) = self.base(&own)?.0
        {
            return Err(Error::HasOwnSnapshots { newest: newest.id() });
        }
        Ok(snapshot.clone())
    }

    /// Takes over from the host of a snapshot: trusts its key, and keeps copies of the keys behind a passphrase
    /// that open the snapshot, as that host had them.
    pub fn take_over(&self, source: &Snapshot) -> Result<()> {
        for named in &source.marker.keys {
            let key: Key = named.key.clone();
            let bytes = self.read_named(named)?;
            self.state.keep_wrapped(&Wrapped { key, bytes })?;
        }
        self.state.trust(source.signed_by.key())
    }
}

/// Whose snapshot is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewritten {
    /// The newest of this host, for the recipients of now.
    OfThisHost,
    /// The newest of another host, from which this host goes on.
    OfAnotherHost,
}

impl Repository {
    /// Who can open what the host with this key has stored, and stores for `recipients` from now on.
    pub(super) fn readers_after(
        &self,
        own: &VerifyingKey,
        recipients: &[String],
    ) -> repository::Result<Audience> {
        let (base, _) = self.base(own)?;
        let stored = base.map(|base| base.marker.readers());
        Ok(Audience::after(&stored, recipients))
    }
}
