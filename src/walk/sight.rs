//! What a walk asks its caller and tells it. The caller (`backup`, `verify`, `check`) decides what
//! follows.

use super::Need;
use crate::object::{Object, Sha256};

/// What the caller knows about an object before the walk reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownObject {
    /// Its length in bytes.
    pub length: u64,
    /// It and all that it points to are stored and verified: the walk stops here.
    pub closed: bool,
    /// Of a commit: an earlier walk went through the optional history behind it.
    pub walked: bool,
    /// Of a commit: the SHA-256 of the stored bytes. A commit's id does not cover all of them.
    pub sha256: Option<Sha256>,
}

/// What became of reading an object that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rescue {
    /// Its verified bytes.
    Bytes(Vec<u8>),
    /// This host cannot open what is stored. Nothing speaks against it.
    Sealed,
    /// It is not stored, or what is stored is bad.
    Nothing,
}

impl Rescue {
    /// The bytes, if they were to be had.
    pub fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Sealed | Self::Nothing => None,
        }
    }
}

/// What a walk asks and tells. Many threads ask, [`Sight::known`] and [`Sight::rescue`]; one tells.
pub trait Sight: Sync {
    /// Why the walk must end: a failed catalog or destination, never damage.
    type Error: Send;

    /// What is known about an object. `None`: nothing, so the walk reads it and keeps it if it is
    /// new.
    fn known(&self, object: &Object) -> Result<Option<KnownObject>, Self::Error>;

    /// The walk passed a known object that is not closed.
    fn visit(&self, object: &Object) -> Result<(), Self::Error>;

    /// The walk found a new commit or fs object and verified it.
    fn keep(&self, object: Object, bytes: Vec<u8>) -> Result<(), Self::Error>;

    /// The walk found a new block on disk and has not read it. `need` says whether its loss is
    /// damage.
    fn keep_block(&self, object: Object, need: Need) -> Result<(), Self::Error>;

    /// The walk found bytes that do not match their name and that no known object has.
    fn salvage(&self, object: Object, bytes: Vec<u8>) -> Result<(), Self::Error>;

    /// The verified bytes of a known object that the source does not have (any more).
    fn rescue(&self, object: &Object) -> Result<Rescue, Self::Error>;
}

/// A sight that knows nothing and ignores everything, for a second look at metadata.
#[derive(Debug, Clone, Copy)]
pub struct NothingKnown;

impl Sight for NothingKnown {
    type Error = std::convert::Infallible;

    fn known(&self, _: &Object) -> Result<Option<KnownObject>, Self::Error> {
        Ok(None)
    }

    fn visit(&self, _: &Object) -> Result<(), Self::Error> {
        Ok(())
    }

    fn keep(&self, _: Object, _: Vec<u8>) -> Result<(), Self::Error> {
        Ok(())
    }

    fn keep_block(&self, _: Object, _: Need) -> Result<(), Self::Error> {
        Ok(())
    }

    fn salvage(&self, _: Object, _: Vec<u8>) -> Result<(), Self::Error> {
        Ok(())
    }

    fn rescue(&self, _: &Object) -> Result<Rescue, Self::Error> {
        Ok(Rescue::Nothing)
    }
}
