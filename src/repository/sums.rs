//! Sums and lists: which stored bytes a snapshot needs, in the plain format of `sha256sum`
//! (docs/format.md, "Sums" and "List").
//!
//! A line is 64 hex digits, two spaces, a key relative to the repository's top folder, and a
//! newline. Nothing else may be in the file, since `sha256sum -c` skips what it cannot read. The
//! order of the lines is kept: a list names its segment first, then packs in write order. The
//! caller knows what the keys mean.

use std::collections::HashSet;
use std::fmt;

use seawall_backends::{InvalidKey, Key};

use crate::object::{ParseIdError, Sha256};

/// The longest file of sums that is read, in bytes.
pub const MAX_SUMS_BYTES: usize = 1 << 30;

/// What can be wrong with sums.
#[derive(Debug, thiserror::Error)]
pub enum SumsError {
    /// There is no line. `sha256sum -c` calls this an error as well.
    #[error("the sums are empty")]
    Empty,
    /// More bytes than a reader accepts.
    #[error("the sums are longer than {MAX_SUMS_BYTES} bytes")]
    TooLong,
    /// A line is not hash, two spaces, key and newline.
    #[error("line {line} of the sums is malformed")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// The first word is not a SHA-256.
    #[error("line {line} of the sums has no SHA-256")]
    Sha256 {
        /// Counted from 1.
        line: usize,
        /// What was read instead.
        source: ParseIdError,
    },
    /// The second word is not a valid key.
    #[error("line {line} of the sums has no key")]
    Key {
        /// Counted from 1.
        line: usize,
        /// What was read instead.
        source: InvalidKey,
    },
    /// The same key is in two lines.
    #[error("the sums name {0} twice")]
    Duplicate(Key),
}

/// The SHA-256 of some stored files, in an order that is kept. At least one, and no key twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    entries: Vec<(Sha256, Key)>,
}

impl Sums {
    /// Checks that there is at least one entry and no key twice.
    pub fn new(entries: Vec<(Sha256, Key)>) -> Result<Self, SumsError> {
        if entries.is_empty() {
            return Err(SumsError::Empty);
        }
        let mut seen = HashSet::with_capacity(entries.len());
        if let Some((_, key)) = entries.iter().find(|(_, key)| !seen.insert(key)) {
            return Err(SumsError::Duplicate(key.clone()));
        }
        Ok(Self { entries })
    }

    /// The entries in their order.
    pub fn entries(&self) -> &[(Sha256, Key)] {
        &self.entries
    }

    /// The entries in their order.
    pub fn into_entries(self) -> Vec<(Sha256, Key)> {
        self.entries
    }

    /// The stored bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Reads what [`Self::to_bytes`] wrote, and refuses anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, SumsError> {
        if bytes.len() > MAX_SUMS_BYTES {
            return Err(SumsError::TooLong);
        }
        let entries = bytes
            .split_inclusive(|&byte| byte == b'\n')
            .zip(1..)
            .map(|(text, line)| parse_line(text, line))
            .collect::<Result<_, _>>()?;
        Self::new(entries)
    }
}

fn parse_line(text: &[u8], line: usize) -> Result<(Sha256, Key), SumsError> {
    let malformed = || SumsError::Line { line };
    let text = text.strip_suffix(b"\n").ok_or_else(malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| malformed())?;
    let (sha256, key) = text.split_once("  ").ok_or_else(malformed)?;
    let sha256 = sha256.parse().map_err(|source| SumsError::Sha256 { line, source })?;
    let key = Key::parse(key).map_err(|source| SumsError::Key { line, source })?;
    Ok((sha256, key))
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|(sha256, key)| writeln!(f, "{sha256}  {key}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::frames::tests::{put, shell};
    use proptest::prelude::*;

    fn entries(keys: &[&str]) -> Vec<(Sha256, Key)> {
        keys.iter().map(|key| (Sha256::of(key.as_bytes()), Key::parse(key).unwrap())).collect()
    }

    proptest! {
        #[test]
        fn sums_round_trip(keys in prop::collection::hash_set("[A-Za-z0-9][A-Za-z0-9._-]{0,20}(/[a-z0-9]{1,9}){0,3}", 1..20)) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let sums = Sums::new(entries(&keys)).unwrap();
            prop_assert_eq!(Sums::parse(&sums.to_bytes()).unwrap(), sums);
        }

        #[test]
        fn any_change_is_refused_or_other_sums(at: prop::sample::Index, byte: u8) {
            let sums = Sums::new(entries(&["a/b", "c", "d-e.f/g"])).unwrap();
            let mut bytes = sums.to_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            if let Ok(changed) = Sums::parse(&bytes) {
                prop_assert_eq!(changed.to_bytes(), bytes);
                prop_assert_ne!(changed, sums);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(sums) = Sums::parse(&bytes) {
                prop_assert_eq!(sums.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn only_pure_lines_are_sums() {
        let hash = Sha256::of(b"");
        for text in [
            String::new(),
            "\n".to_owned(),
            format!("{hash}  a"),
            format!("{hash}  a\n\n"),
            format!("{hash}  a\r\n"),
            format!("{hash} *a\n"),
            format!("{hash} a\n"),
            format!("{hash}   a\n"),
            format!("\\{hash}  a\n"),
            format!("{hash}  ../a\n"),
            format!("{hash}  a\n# comment\n"),
            format!("{}  a\n", hash.to_string().to_uppercase()),
            format!("{hash}  a\n{hash}  a\n"),
            format!("SHA256 (a) = {hash}\n"),
        ] {
            assert!(Sums::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Sums::parse(format!("{hash}  a\n{hash}  b\n").as_bytes()).is_ok());
        assert!(matches!(Sums::parse(&vec![0; MAX_SUMS_BYTES + 1]), Err(SumsError::TooLong)));
    }

    #[test]
    fn the_stock_tool_checks_them() {
        let folder = tempfile::tempdir().unwrap();
        shell(folder.path(), "mkdir -p data/runs");
        put(folder.path(), "data/runs/one", b"data/runs/one");
        put(folder.path(), "two", b"two");
        let sums = Sums::new(entries(&["data/runs/one", "two"])).unwrap();
        put(folder.path(), "sums", &sums.to_bytes());
        shell(folder.path(), "sha256sum --quiet --strict -c sums");
        assert_eq!(shell(folder.path(), "sha256sum data/runs/one two"), sums.to_bytes());
        put(folder.path(), "two", b"2");
        shell(folder.path(), "! sha256sum --status -c sums");
    }
}
