//! Seals and opens a repository's files: whom this host seals to, and the keys it reads with.

use std::ops::Range;
use std::sync::Arc;

use seawall_backends::{Backend as _, Key};

use super::host_key::HostKey;
use super::wrapped::Wrapped;
use super::{Error, Repository, Result};
use crate::crypt::{Content, Identities, OpenError, Recipients, Seal};

/// The recipients that a host seals to.
#[derive(Debug, Clone)]
pub(super) struct Sealing {
    recipients: Recipients,
    host: age::x25519::Recipient,
}

impl Repository {
    /// Sets the recipients of all files that are written. The index and manifests are sealed to
    /// this host as well.
    ///
    /// # Errors
    ///
    /// [`Error::NotEncrypted`] if there are recipients but the repository says that nothing is
    /// sealed, and [`Error::NoRecipients`] in the opposite case. So a destination cannot make a
    /// host store plain text.
    pub(crate) fn sealing_to(mut self, recipients: Recipients, host: &HostKey) -> Result<Self> {
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

    /// Adds keys that open what is read.
    #[must_use]
    pub(crate) fn with_identities(mut self, identities: Identities) -> Self {
        let mut all = (*self.identities).clone();
        all.extend(identities);
        self.identities = Arc::new(all);
        self
    }

    /// Sets how files are sealed, as signed markers say, in place of what `seawall.json` says.
    #[must_use]
    pub(crate) fn with_seal(mut self, seal: Seal) -> Self {
        self.seal = seal;
        self
    }

    /// Sets the passphrase-protected keys that runs put into the repository if they are missing.
    #[must_use]
    pub(crate) fn with_wrapped(mut self, wrapped: Vec<Wrapped>) -> Self {
        self.wrapped = wrapped.into();
        self
    }

    /// The passphrase-protected keys that must be in the repository.
    pub fn wrapped(&self) -> &[Wrapped] {
        &self.wrapped
    }

    /// Whether a sealed file could be opened at all: nothing is sealed, or there is a key.
    pub fn has_identities(&self) -> bool {
        self.seal == Seal::None || !self.identities.is_empty()
    }

    /// The recipients of what is written.
    pub fn recipients(&self) -> Vec<String> {
        let sealing = self.sealing.iter();
        sealing.flat_map(|sealing| sealing.recipients.texts().map(ToOwned::to_owned)).collect()
    }

    /// Seals a whole file. Returns the bytes unchanged if the repository is not encrypted.
    pub fn seal_file(&self, content: Content, bytes: Vec<u8>) -> Result<Vec<u8>> {
        if self.seal == Seal::None {
            return Ok(bytes);
        }
        let Some(sealing) = &self.sealing else {
            return Err(Error::NoRecipients { place: self.place.clone() });
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

    /// Reads a range of a file's plain bytes. Of a sealed file, fetches only the header and the
    /// pieces that hold the range, and as a rule the last piece.
    pub fn open_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>> {
        if self.seal == Seal::None {
            return Ok(self.backend.get(key, Some(range))?);
        }
        let len = self.backend.stat(key)?.len;
        let mut failure = None;
        let opened = self.identities.open_range(len, range, &mut |range| {
            self.backend.get(key, Some(range)).map_err(|error| {
                failure = Some(error);
                std::io::Error::other("the destination failed")
            })
        });
        match failure {
            Some(error) => Err(error.into()),
            None => self.opened(key, opened),
        }
    }

    /// Fails early if a sealed file cannot be opened. Reads only its header.
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
            OpenError::NoKey => {
                Error::Locked { key: key.clone(), any: !self.identities.is_empty() }
            }
            OpenError::Broken(problem) => Error::Altered {
                key: key.clone(),
                problem: format!("is no file that age made: {problem}"),
            },
            source @ (OpenError::Identity(_) | OpenError::Read(_)) => {
                Error::Key { key: key.clone(), source }
            }
        })
    }
}
