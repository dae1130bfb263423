//! Names of stored things, and the prefixes that listings are asked for.

use std::borrow::Borrow;
use std::fmt;

use crate::{Error, ErrorKind};

/// The name of one stored thing: segments of `[A-Za-z0-9][A-Za-z0-9._-]*` joined by `/`, at most
/// 200 bytes. Every kind of destination can hold such a name as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

/// A text that cannot be a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidKey(String);

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} cannot be the name of a stored thing", self.0)
    }
}

impl std::error::Error for InvalidKey {}

impl Key {
    /// The longest key, in bytes.
    pub const MAX_LEN: usize = 200;

    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if text.len() <= Self::MAX_LEN && text.split('/').all(is_segment) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidKey(text.chars().take(Self::MAX_LEN).collect()))
        }
    }

    /// The folders above it (empty for a key at the top), and the last segment.
    pub(crate) fn folder_and_name(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this key lies below `prefix` (whole segments; the empty prefix holds every key).
    pub fn is_below(&self, prefix: &str) -> bool {
        prefix.is_empty() || self.0.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Whether `text` may stand between two slashes of a key.
pub(crate) fn is_segment(text: &str) -> bool {
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Refuses a prefix that is neither empty nor whole segments. No key can lie below such a prefix,
/// and a file system may take it for a path outside of the repository.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), Error> {
    if prefix.is_empty() || prefix.split('/').all(is_segment) {
        return Ok(());
    }
    let shown: String = prefix.chars().take(Key::MAX_LEN).collect();
    Err(Error::new(ErrorKind::Invalid).with_source(format!("{shown:?} is no prefix of keys")))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_keys() {
        for text in [
            "seawall.json",
            "a",
            "data/blocks/00/ab.tar.zst",
            "markers/2026-11-22T20-40-05Z-9f3c",
            "A_b/c-d",
        ] {
            assert_eq!(Key::parse(text).map(|key| key.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn bad_keys() {
        let long = "a".repeat(201);
        for text in [
            "", "/", "a/", "/a", "a//b", ".a", "a/.b", "-a", "_a", "a b", "ä", "a/..", "a\n",
            "a\0", &long,
        ] {
            assert!(Key::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn below_means_whole_segments() {
        let key = Key::parse("data/runs/x").unwrap();
        assert!(key.is_below("data/runs") && key.is_below("data") && key.is_below(""));
        assert!(!key.is_below("data/run") && !key.is_below("data/runs/x"));
    }

    #[test]
    fn folders_and_names() {
        let parts = |text| {
            let key = Key::parse(text).unwrap();
            let (folder, name) = key.folder_and_name();
            (folder.to_owned(), name.to_owned())
        };
        assert_eq!(parts("a/b/c"), ("a/b".to_owned(), "c".to_owned()));
        assert_eq!(parts("a"), (String::new(), "a".to_owned()));
    }

    #[test]
    fn prefixes_are_whole_segments() {
        for prefix in ["", "a", "data/blocks/00"] {
            assert!(check_prefix(prefix).is_ok(), "{prefix:?}");
        }
        for prefix in ["/", "a/", "/a", "..", "a/../b", "a//b", ".a", "a\0"] {
            let error = check_prefix(prefix).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{prefix:?}");
        }
    }
}
