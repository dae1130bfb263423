//! Seals stored files with [age](https://age-encryption.org/v1) before they leave the host. Every
//! stored byte passes through this module on its way out and in.
//!
//! Files are compressed and cut first, then sealed whole, so that the stock `age` program opens
//! them. Packs, dumps and ordinary files are sealed only to the administrator's recipients: the
//! host that backs up cannot read them again. The index and manifests are sealed to the host's own
//! key as well.

mod identities;
mod ranges;
mod recipients;

pub use identities::{
    AskPassphrase, Identities, IdentityError, MAX_BYTES as MAX_IDENTITY_BYTES, PassphraseOrigin,
    Person, set_person, unwrap, wrap,
};
pub use recipients::{ParseRecipientError, Recipients};

use age::{DecryptError, EncryptError};

/// How the files of a repository are sealed. File names depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seal {
    /// Stored as they are.
    #[default]
    None,
    /// Sealed with age.
    Age,
}

impl Seal {
    /// The end of a stored file's name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Age => ".age",
        }
    }
}

/// The kind of a stored file. It decides who can read the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Packs, dumps and ordinary files: only the recipients.
    Data,
    /// Segments and manifests: the recipients and the host that wrote them.
    Index,
}

/// Why a file could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// age failed, for example because a plugin is missing.
    #[error("cannot encrypt: {}", one_line(.0))]
    Age(EncryptError),
    /// Writing to memory failed, which does not happen.
    #[error("cannot encrypt")]
    Write(#[from] std::io::Error),
}

/// Why a sealed file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No identity fits, or none was given.
    #[error("none of the keys given opens it")]
    NoKey,
    /// It is not an age file, or was altered.
    #[error("not what age made: {0}")]
    Broken(String),
    /// An identity could not be used: its plugin is missing or failed.
    #[error("a key could not be used: {0}")]
    Identity(String),
    /// The file could not be read.
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
    /// Maps an error of reading: those about the content come from age, the others from the file.
    fn of_read(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::InvalidInput => Self::Broken(one_line(&error)),
            _ => Self::Read(error),
        }
    }
}

/// age's messages have several lines and characters that mark text direction.
fn one_line(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let is_shown = |char: &char| !matches!(char, '\u{2066}'..='\u{2069}');
    let text: String = text.chars().filter(is_shown).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
