//! Looks for one object: in the source, and through the sight if it is missing or bad there.

use std::io;

use super::{Need, ObjectDamage, Objects, Rescue, Sight, WalkError, altered};
use crate::object::Object;
use crate::seafile::check::{self, ObjectContent};

/// An object that is missing, or whose bytes do not match its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadObject {
    /// What is wrong.
    pub trouble: ObjectDamage,
    /// The bytes that are there instead; `None`: there are none, or they cannot be read.
    pub bytes: Option<Vec<u8>>,
}

/// Reads an object and checks it against its id. The outer error means that the whole source is out
/// of reach.
pub fn read_checked(
    source: &dyn Objects,
    object: &Object,
) -> io::Result<Result<(ObjectContent, Vec<u8>), BadObject>> {
    let bad = |trouble| BadObject { trouble, bytes: None };
    Ok(match source.read(object) {
        Ok(Some(bytes)) => match check::check(object, &bytes) {
            Ok(content) => Ok((content, bytes)),
            Err(fault) => Err(BadObject { trouble: ObjectDamage::Bad(fault), bytes: Some(bytes) }),
        },
        Ok(None) => Err(bad(ObjectDamage::Missing)),
        Err(error) => Err(bad(unreadable(error)?)),
    })
}

/// Turns a failed read into trouble with that object. Returns the error if the whole source is out
/// of reach.
pub(super) fn unreadable(error: io::Error) -> io::Result<ObjectDamage> {
    match error.kind() {
        io::ErrorKind::NotConnected
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::StaleNetworkFileHandle
        | io::ErrorKind::TimedOut => Err(error),
        _ => {
            let reason = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            Ok(ObjectDamage::Unreadable(reason))
        }
    }
}

/// The result of looking for an object: the source has it, or only the repository has it and could
/// be read, or it is nowhere to be read.
pub(super) enum FoundObject {
    Good {
        object: Object,
        content: ObjectContent,
        bytes: Vec<u8>,
        known: bool,
    },
    Rescued {
        object: Object,
        content: ObjectContent,
        trouble: ObjectDamage,
        /// The bytes in the source, if they are worth keeping: those of a changed commit.
        bytes: Option<Vec<u8>>,
    },
    Nowhere {
        object: Object,
        trouble: ObjectDamage,
        bytes: Option<Vec<u8>>,
        /// Only optional history needs it, and the repository holds it.
        stored: bool,
    },
}

impl FoundObject {
    /// The object's content, if the source or the repository gave it.
    pub(super) fn content(&self) -> Option<&ObjectContent> {
        match self {
            Self::Good { content, .. } | Self::Rescued { content, .. } => Some(content),
            Self::Nowhere { .. } => None,
        }
    }
}

/// Looks for a commit or fs object in every place where it may lie. If the source has lost a stored
/// one, it is read from the repository. Collected history is not: all of it would be fetched,
/// object by object.
pub(super) fn find<S: Sight>(
    source: &dyn Objects,
    sight: &S,
    object: Object,
    need: Need,
) -> Result<FoundObject, WalkError<S::Error>> {
    let mut nowhere = (object, ObjectDamage::Missing, None);
    let mut stored = false;
    for store in source.places(object.store) {
        let object = Object { store, ..object };
        let entry = sight.known(&object).map_err(WalkError::Sight)?;
        let known = entry.is_some();
        let BadObject { trouble, bytes } =
            match read_checked(source, &object).map_err(WalkError::Source)? {
                Ok((content, bytes)) => {
                    let stored = entry.and_then(|entry| entry.sha256);
                    let content = match content {
                        ObjectContent::Commit(commit) if altered::is_changed(stored, &bytes) => {
                            return altered::changed(sight, object, commit, bytes);
                        }
                        content => content,
                    };
                    return Ok(FoundObject::Good { object, content, bytes, known });
                }
                Err(bad) => bad,
            };
        let collected = need == Need::Optional && trouble == ObjectDamage::Missing;
        stored |= known && need == Need::Optional;
        if known
            && !collected
            && let Rescue::Bytes(bytes) = sight.rescue(&object).map_err(WalkError::Sight)?
        {
            let content = check::check(&object, &bytes);
            if let Ok(content) = content {
                return Ok(FoundObject::Rescued { object, content, trouble, bytes: None });
            }
        }
        if nowhere.1 == ObjectDamage::Missing && trouble != ObjectDamage::Missing {
            nowhere = (object, trouble, bytes);
        }
    }
    let (mut object, trouble, bytes) = nowhere;
    if trouble == ObjectDamage::Missing {
        object.store = source.home(&object);
    }
    Ok(FoundObject::Nowhere { object, trouble, bytes, stored })
}
