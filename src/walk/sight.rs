//! What a walk asks and tells; what comes of it is the business of who walks.

use super::Need;
use crate::object::{Object, Sha256};

/// What is known of an object before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its length in bytes.
    pub length: u64,
    /// It and all that it points to are stored and verified: the walk stops here.
    pub closed: bool,
    /// A commit: the optional history behind it was looked through before.
    pub walked: bool,
    /// Of a commit: the SHA-256 of the known bytes, which its id does not cover.
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

    /// What is known of an object; `None`: nothing, it has to be read (and kept).
    fn known(&self, object: &Object) -> Result<Option<Known>, Self::Error>;

    /// A known object was passed that is not closed.
    fn visit(&self, object: &Object) -> Result<(), Self::Error>;

    /// A new commit or fs object, verified.
    fn keep(&self, object: Object, bytes: Vec<u8>) -> Result<(), Self::Error>;

    /// A new block, on disk, not read yet. `need`: whether its loss is damage.
    fn keep_block(&self, object: Object, need: Need) -> Result<(), Self::Error>;

    /// Bytes on disk that are not what their name says, and stand for no known object.
    fn salvage(&self, object: Object, bytes: Vec<u8>) -> Result<(), Self::Error>;

    /// The verified bytes of a known object that the source does not have (any more).
    fn rescue(&self, object: &Object) -> Result<Rescue, Self::Error>;
}

/// The sight of those who look at metadata a second time: it does nothing at all.
#[derive(Debug, Clone, Copy)]
pub struct NothingKnown;

impl Sight for NothingKnown {
    type Error = std::convert::Infallible;

    fn known(&self, _: &Object) -> Result<Option<Known>, Self::Error> {
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
