//! Who signs in a repository, and who can read what this host stores there.

use age::secrecy::SecretString;
use seawall_backends::Key;

use super::state::StateFolder;
use super::{Error, Host, Reading, Result, Writing};
use crate::repository::note::VerifyingKey;
use crate::repository::readers::Audience;
use crate::repository::{bounded, host_key, names};

/// Who signs in a repository, and who can read what this host stores there.
#[derive(Debug)]
pub struct KeyList {
    /// Who can open what this host stored. Empty if this host does not back up there.
    pub readers: Audience,
    /// The keys of hosts, as the repository names them.
    pub signers: Vec<Signer>,
    /// Keys that the repository keeps behind a passphrase.
    pub wrapped: Vec<Key>,
    /// Files that should be a host's public key and are not.
    pub unreadable: Vec<Key>,
}

/// A host's key.
#[derive(Debug)]
pub struct Signer {
    /// The key that verifies what the host signs.
    pub key: VerifyingKey,
    /// Whether it is this host's.
    pub is_this_host: bool,
    /// Whether its signatures count.
    pub is_trusted: bool,
}

impl KeyList {
    /// The stored file that a passphrase opens for this recipient, if the repository keeps one.
    pub fn wrapped_key_of(&self, recipient: &str) -> Option<&Key> {
        let key = names::wrapped_key(recipient);
        self.wrapped.iter().find(|wrapped| **wrapped == key)
    }
}

impl Host<'_> {
    /// Lists who signs and who can read.
    pub fn list_keys(&self, repository: &Reading) -> Result<KeyList> {
        let state = self.state.and_then(StateFolder::existing);
        let own = state.as_ref().map(StateFolder::host_key).transpose()?.flatten();
        let own = own.map(|key| key.verifying());
        let known =
            self.state.and_then(|state| StateFolder::existing_repository(state, repository.id()));
        let recipients = known.map(|known| known.recipients()).transpose()?.unwrap_or_default();
        let recipients: Vec<String> = recipients.texts().map(ToOwned::to_owned).collect();
        let readers = match &own {
            Some(own) => repository.readers_after(own, &recipients)?,
            None => Audience::after([], &recipients),
        };
        let mut list =
            KeyList { readers, signers: Vec::new(), wrapped: Vec::new(), unreadable: Vec::new() };
        for entry in repository.backend().list(names::KEYS) {
            let key = entry?.key;
            if names::is_wrapped_key(&key) {
                list.wrapped.push(key);
                continue;
            }
            let bytes = bounded::get(&**repository.backend(), &key, host_key::MAX_BYTES)?;
            match bytes.and_then(|bytes| host_key::parse_public(&bytes).ok()) {
                Some(verifying) => list.signers.push(Signer {
                    is_this_host: own.as_ref() == Some(&verifying),
                    is_trusted: repository.pinned().contains(&verifying),
                    key: verifying,
                }),
                None => list.unreadable.push(key),
            }
        }
        Ok(list)
    }

    /// The secret keys that the repository keeps behind the passphrase that was given, with the stored file of
    /// each. Never empty.
    ///
    /// # Errors
    ///
    /// [`Error::NoKeysToRead`], [`Error::NoWrappedKeys`] and [`Error::NoPassphraseGiven`].
    pub fn export_keys(&self, repository: &Reading) -> Result<Vec<(Key, SecretString)>> {
        if !repository.is_encrypted() {
            return Err(Error::NoKeysToRead { place: repository.place().to_owned() });
        }
        let secrets = self.keys.secrets_of_repository(repository, self.tell)?;
        if !secrets.is_empty() {
            return Ok(secrets);
        }
        let mut keys = repository.backend().list(names::KEYS);
        let has_wrapped =
            keys.any(|entry| entry.is_ok_and(|entry| names::is_wrapped_key(&entry.key)));
        Err(if has_wrapped { Error::NoPassphraseGiven } else { Error::NoWrappedKeys })
    }
}

impl Writing {
    /// The stored file that a passphrase opens for this recipient, if this host made one.
    pub fn wrapped_key_of(&self, recipient: &str) -> Option<&Key> {
        let key = names::wrapped_key(recipient);
        self.wrapped().iter().map(|wrapped| &wrapped.key).find(|wrapped| **wrapped == key)
    }
}
