//! What Seafile keeps on disk: where it lies, its formats, and checks that it is intact.

pub mod check;
pub mod commit;
pub mod config;
pub mod discover;
pub mod files;
pub mod folders;
pub mod fs;

use crate::object::ObjectId;
use sha1::{Digest as _, Sha1};

/// Bytes that are not in the form that Seafile gives a commit or an fs object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// There are no bytes at all. A power cut often leaves such a file.
    #[error("there are no bytes")]
    Empty,
    /// The object, or its inflated form, is longer than a limit.
    #[error("it is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The bytes end before the object does.
    #[error("it ends too early")]
    Truncated,
    /// The zlib stream is broken.
    #[error("it is not a zlib stream")]
    Zlib,
    /// The text is not JSON, or its JSON is not that of a commit or an fs object.
    #[error("its JSON is wrong: {0}")]
    Json(String),
    /// A binary object (version 0) is malformed.
    #[error("it is not a binary object: {0}")]
    Binary(&'static str),
    /// The first byte of an fs object belongs to neither of the two known forms.
    #[error("byte {0:#04x} begins no known form")]
    UnknownForm(u8),
    /// An fs object is neither a file nor a folder.
    #[error("type {0} is neither a file nor a folder")]
    UnknownType(u32),
}

/// Reads JSON as Seafile's server does: bytes that are not UTF-8 become U+FFFD.
fn parse_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, FormatError> {
    serde_json::from_str(&String::from_utf8_lossy(bytes))
        .map_err(|error| FormatError::Json(error.to_string()))
}

/// Computes an id. Seafile's ids are SHA-1 sums. Which bytes are hashed depends on the kind of
/// object.
fn sha1<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> ObjectId {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part);
    }
    ObjectId::new(hasher.finalize().into())
}
