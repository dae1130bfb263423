//! How a repository's files are sealed and opened: to whom this host seals, and with what it reads.

use std::ops::Range;
use std::sync::Arc;

use seawall_backends::{Backend as _, Key};

use super::host_key::HostKey;
use super::wrapped::Wrapped;
use super::{Error, Repository, Result};
use crate::crypt::{Content, Identities, OpenError, Recipients, Seal};

/// To whom a host seals.
#[derive(Debug, Clone)]
pub(super) struct Sealing {
    recipients: Recipients,
    host: age::x25519::Recipient,
}

impl Repository {
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

    /// With another word on how files are sealed than `seawall.json` has: signed markers have it.
    #[must_use]
    pub fn with_seal(mut self, seal: Seal) -> Self {
        self.seal = seal;
        self
    }

    /// With keys behind a passphrase that are to be there.
    #[must_use]
    pub fn with_wrapped(mut self, wrapped: Vec<Wrapped>) -> Self {
        self.wrapped = wrapped.into();
        self
    }

    /// Keys behind a passphrase that are to be there.
    pub fn wrapped(&self) -> &[Wrapped] {
        &self.wrapped
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
}
