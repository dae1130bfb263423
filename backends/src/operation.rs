//! One call of a [`Backend`](crate::Backend) as data: what the recording and the faulty wrapper
//! speak of.

use std::ops::Range;

use crate::Key;

/// One call with its arguments; of a body only the length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`put_new`](crate::Backend::put_new), and the length of the body in bytes.
    Put(Key, u64),
    /// [`get`](crate::Backend::get).
    Get(Key, Option<Range<u64>>),
    /// [`stat`](crate::Backend::stat).
    Stat(Key),
    /// [`list`](crate::Backend::list), and its prefix.
    List(String),
    /// [`delete`](crate::Backend::delete).
    Delete(Key),
}

/// An [`Operation`] without its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// [`put_new`](crate::Backend::put_new).
    Put,
    /// [`get`](crate::Backend::get).
    Get,
    /// [`stat`](crate::Backend::stat).
    Stat,
    /// [`list`](crate::Backend::list).
    List,
    /// [`delete`](crate::Backend::delete).
    Delete,
}

impl Operation {
    /// What it does.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Put(..) => Verb::Put,
            Self::Get(..) => Verb::Get,
            Self::Stat(..) => Verb::Stat,
            Self::List(..) => Verb::List,
            Self::Delete(..) => Verb::Delete,
        }
    }

    /// The key that it is about; a listing is about none.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Put(key, _) | Self::Get(key, _) | Self::Stat(key) | Self::Delete(key) => {
                Some(key)
            }
            Self::List(_) => None,
        }
    }

    /// Whether what it is about, a key or the prefix of a listing, is `prefix` or lies below it.
    pub fn is_at_or_below(&self, prefix: &str) -> bool {
        let about = match self {
            Self::List(listed) => listed,
            _ => self.key().map_or("", Key::as_str),
        };
        match about.strip_prefix(prefix) {
            Some(rest) => prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

/// The length of a body, as [`Operation::Put`] and [`Entry`](crate::Entry) count it.
pub(crate) fn len(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_operations_are_whole_segments() {
        let put = Operation::Put(Key::parse("data/blocks/x").unwrap(), 1);
        for prefix in ["", "data", "data/blocks", "data/blocks/x"] {
            assert!(put.is_at_or_below(prefix), "{prefix}");
        }
        for prefix in ["dat", "data/block", "data/blocks/x/y", "blocks"] {
            assert!(!put.is_at_or_below(prefix), "{prefix}");
        }
        assert!(Operation::List("data/runs".to_owned()).is_at_or_below("data"));
        assert!(!Operation::List(String::new()).is_at_or_below("data"));
    }
}
