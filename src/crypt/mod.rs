//! How stored files are sealed before they leave the host, with [age](https://age-encryption.org/v1):
//! the one place through which every stored byte passes on its way out and in.
//!
//! Whole stored files are sealed, after they were compressed and cut, so that what is stored opens
//! with the stock `age` program. Packs, dumps and ordinary files are sealed to the administrator's
//! recipients alone: the host that backs up cannot read them again. Index and manifests are sealed to
//! the host's own key besides.

mod identities;
mod ranges;
mod recipients;

pub use identities::{
    AskPassphrase, Identities, IdentityError, MAX_BYTES as MAX_IDENTITY_BYTES, Origin, Person,
    set_person, unwrap, wrap,
};
pub use recipients::{ParseRecipientError, Recipients};

use age::{DecryptError, EncryptError};

/// How the files of a repository are sealed: it decides their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seal {
    /// Stored as they are.
    #[default]
    None,
    /// Sealed with age.
    Age,
}

impl Seal {
    /// What the names of sealed files end in.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Age => ".age",
        }
    }
}

/// What a stored file is, which decides who can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Packs, dumps, ordinary files: the recipients.
    Data,
    /// Segments and manifests: the recipients, and the host that wrote them.
    Index,
}

/// Why a file could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// age says so.
    #[error("cannot encrypt: {}", one_line(.0))]
    Age(EncryptError),
    /// Memory could not be written to: never.
    #[error("cannot encrypt")]
    Write(#[from] std::io::Error),
}

/// Why a sealed file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// None of the identities fits, or there is none.
    #[error("none of the keys given opens it")]
    NoKey,
    /// It is no age file, or altered.
    #[error("not what age made: {0}")]
    Broken(String),
    /// An identity could not be used: a plugin that is missing, or failed.
    #[error("a key could not be used: {0}")]
    Identity(String),
    /// What it lies on could not be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
}

impl From<DecryptError> for OpenError {
    fn from(error: DecryptError) -> Self {
        match error {
            DecryptError::NoMatchingKeys => Self::NoKey,
            DecryptError::Io(error) => Self::of_read(error),
            DecryptError::MissingPlugin { .. }
            | DecryptError::Plugin(_)
            | DecryptError::KeyDecryptionFailed => Self::Identity(one_line(&error)),
            _ => Self::Broken(one_line(&error)),
        }
    }
}

impl OpenError {
    /// What came while bytes were read: of age if it is about their content.
    fn of_read(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::InvalidInput => Self::Broken(one_line(&error)),
            _ => Self::Read(error),
        }
    }
}

/// age explains over several lines, with marks of text direction.
fn one_line(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let is_shown = |char: &char| !matches!(char, '\u{2066}'..='\u{2069}');
    let text: String = text.chars().filter(is_shown).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
