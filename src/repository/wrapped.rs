//! Keys behind a passphrase: the identity of a recipient, in an age file of its own below `keys/`. Whoever has the
//! storage may try passphrases; without the file the passphrase is worth nothing, so the host keeps a copy, markers
//! name it, and the recovery sheet has it.

use seawall_backends::{Backend, ErrorKind, Key};

use super::marker::Named;
use super::{Result, bounded};
use crate::crypt::MAX_IDENTITY_BYTES;
use crate::object::Sha256;

/// A key behind a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// Where it lies.
    pub key: Key,
    /// The age file, armored.
    pub bytes: Vec<u8>,
}

/// What lies where a key should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The key.
    Good,
    /// Nothing.
    Missing,
    /// Something else.
    Altered,
}

impl Wrapped {
    /// As markers name it.
    pub fn named(&self) -> Named {
        Named {
            sha256: Sha256::of(&self.bytes),
            size: self.bytes.len() as u64,
            key: self.key.clone(),
        }
    }

    /// Looks whether it is there.
    pub fn look(&self, backend: &dyn Backend) -> Result<Condition> {
        match bounded::get(backend, &self.key, MAX_IDENTITY_BYTES) {
            Ok(found) if found.as_ref() == Some(&self.bytes) => Ok(Condition::Good),
            Ok(_) => Ok(Condition::Altered),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Condition::Missing),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts it there.
    pub fn put(&self, backend: &dyn Backend) -> Result<()> {
        Ok(backend.put_new(&self.key, &self.bytes)?)
    }
}
