//! `seawall.json`: the file that makes a place a repository (docs/format.md, "seawall.json"). It is
//! written once and holds no keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::crypt::Seal;
use crate::time::Timestamp;

/// The format that this version writes, and the newest one that it reads.
pub const FORMAT: u32 = 1;
/// The longest `seawall.json` that is read.
pub const MAX_BYTES: u64 = 64 * 1024;

/// A repository's id: 16 random bytes as 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryId(String);

impl RepositoryId {
    /// A new random id.
    pub fn random() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bytes))))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not a repository's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a repository id of 32 lower-case hex digits")]
pub struct ParseRepositoryIdError;

impl FromStr for RepositoryId {
    type Err = ParseRepositoryIdError;

    fn from_str(text: &str) -> Result<Self, ParseRepositoryIdError> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == 32 && digits {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseRepositoryIdError)
        }
    }
}

/// What `seawall.json` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The repository's id.
    pub id: RepositoryId,
    /// When it was made.
    pub created: Timestamp,
    /// How its files are sealed.
    pub seal: Seal,
}

#[derive(Serialize, Deserialize)]
struct ConfigurationWire {
    format: u32,
    id: String,
    created: Timestamp,
    encryption: Option<String>,
}

/// The value of `encryption`.
const AGE: &str = "age";

fn malformed(reason: String) -> Error {
    Error::Malformed { what: "seawall.json".into(), reason }
}

/// The error for a file longer than [`MAX_BYTES`].
pub fn too_long() -> Error {
    malformed("it is too long".into())
}

impl Configuration {
    /// The bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (id, created) = (&self.id, self.created);
        let encryption = match self.seal {
            Seal::None => String::new(),
            Seal::Age => format!(",\"encryption\":\"{AGE}\""),
        };
        format!("{{\"format\":{FORMAT},\"id\":\"{id}\",\"created\":\"{created}\"{encryption}}}\n")
            .into_bytes()
    }

    /// Reads stored bytes. A newer format is [`Error::NewerFormat`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct FormatVersion {
            format: u32,
        }
        if bytes.len() as u64 > MAX_BYTES {
            return Err(too_long());
        }
        let version: FormatVersion =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if version.format == 0 {
            return Err(malformed("there is no format 0".into()));
        }
        if version.format != FORMAT {
            return Err(Error::NewerFormat { found: version.format });
        }
        let wire: ConfigurationWire =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        let id = wire
            .id
            .parse()
            .map_err(|error: ParseRepositoryIdError| malformed(error.to_string()))?;
        let seal = match wire.encryption.as_deref() {
            None => Seal::None,
            Some(AGE) => Seal::Age,
            Some(_) => {
                return Err(malformed("its encryption is none that this version knows".into()));
            }
        };
        Ok(Self { id, created: wire.created, seal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn round_trip() {
        for seal in [Seal::None, Seal::Age] {
            let configuration = Configuration {
                id: RepositoryId::random().unwrap(),
                created: Timestamp::from_seconds(1_795_383_248).unwrap(),
                seal,
            };
            assert_eq!(Configuration::parse(&configuration.to_bytes()).unwrap(), configuration);
        }
    }

    #[test]
    fn a_newer_format_is_told_from_garbage() {
        let newer = br#"{"format":2,"something":"else"}"#;
        assert!(matches!(Configuration::parse(newer), Err(Error::NewerFormat { found: 2 })));
        assert!(matches!(Configuration::parse(b"{}"), Err(Error::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Configuration::parse(&bytes);
        }
    }
}
