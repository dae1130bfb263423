//! Passphrase-protected keys: the identity of a recipient, in an age file below `keys/`. Whoever
//! has the storage can try passphrases. Without the file the passphrase is worthless, so the host
//! keeps a copy, markers name the file, and the recovery sheet contains it.

use seawall_backends::{Backend, ErrorKind, Key};

use super::marker::Named;
use super::{Result, bounded};
use crate::crypt::MAX_IDENTITY_BYTES;
use crate::object::Sha256;

/// A passphrase-protected key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// Where it lies.
    pub key: Key,
    /// The age file, armored.
    pub bytes: Vec<u8>,
}

/// The state of a passphrase-protected key in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrappedCondition {
    /// The same bytes as this host's copy.
    Good,
    /// No file.
    Missing,
    /// A file with other bytes.
    Altered,
}

impl Wrapped {
    /// Its entry for a marker.
    pub fn named(&self) -> Named {
        Named {
            sha256: Sha256::of(&self.bytes),
            size: self.bytes.len() as u64,
            key: self.key.clone(),
        }
    }

    /// Compares the repository's file with this copy.
    pub fn look(&self, backend: &dyn Backend) -> Result<WrappedCondition> {
        match bounded::get(backend, &self.key, MAX_IDENTITY_BYTES) {
            Ok(found) if found.as_ref() == Some(&self.bytes) => Ok(WrappedCondition::Good),
            Ok(_) => Ok(WrappedCondition::Altered),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(WrappedCondition::Missing),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores it in the repository. Fails if the key exists.
    pub fn put(&self, backend: &dyn Backend) -> Result<()> {
        Ok(backend.put_new(&self.key, &self.bytes)?)
    }
}
