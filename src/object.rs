//! Ids of objects, stores and snapshots: the words that the source side and the repository side
//! share. Both import this module, and it knows neither Seafile's formats nor the repository's.

use std::fmt;
use std::str::FromStr;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

impl ParseIdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

/// Writes up to 32 bytes as lower-case hex with a single write: paths and lists are full of ids.
fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        for (digit, half) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = b"0123456789abcdef"[usize::from(half)];
        }
    }
    let digits = str::from_utf8(&digits[..2 * bytes.len()]).map_err(|_| fmt::Error)?;
    f.write_str(digits)
}

/// The value of each byte as a lower-case hex digit, or 255 if it is not one.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

/// Reads exactly `2 × N` lower-case hex digits. There is no branch for each digit, for speed: every
/// entry of a folder has an id.
fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let (mut bytes, mut all) = ([0; N], 0);
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        all |= high | low;
        *byte = high << 4 | low;
    }
    (all < 16).then_some(bytes)
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Takes the raw bytes.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text.as_bytes()).map(Self).ok_or_else(|| ParseIdError::new(text, $expected))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_from_str(deserializer)
            }
        }
    };
}

hex_id!(
    /// The id of a commit, fs object or block: 40 hex digits.
    ObjectId, 20, "an object id of 40 lower-case hex digits"
);

hex_id!(
    /// A SHA-256, as in names of stored things and in lists: 64 hex digits.
    Sha256, 32, "a SHA-256 of 64 lower-case hex digits"
);

impl ObjectId {
    /// Stands for an empty folder or an empty file; no object exists for it.
    pub const EMPTY: Self = Self([0; 20]);

    /// Whether this is [`Self::EMPTY`].
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }
}

impl Sha256 {
    /// Hashes bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
}

fn deserialize_from_str<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: FromStr<Err = ParseIdError>,
{
    /// Parses the text where it lies in the input, without a copy for each id of a folder.
    struct Text<T>(std::marker::PhantomData<T>);

    impl<T: FromStr<Err = ParseIdError>> serde::de::Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an id")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(std::marker::PhantomData))
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_from_str(deserializer)
            }
        }
    };
}

/// The id of a Seafile library: a UUID in its usual form of 36 characters, lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LibraryId([u8; 16]);

impl LibraryId {
    /// Takes the raw bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for LibraryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0[..4], f)?;
        for part in [4..6, 6..8, 8..10, 10..16] {
            f.write_str("-")?;
            write_hex(&self.0[part], f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for LibraryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LibraryId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, "a library id (a UUID in lower case)");
        let bytes = text.as_bytes();
        if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&at| bytes[at] != b'-') {
            return Err(error());
        }
        let digits: Vec<u8> = [0..8, 9..13, 14..18, 19..23, 24..36]
            .into_iter()
            .flat_map(|range| bytes[range].iter().copied())
            .collect();
        parse_hex(&digits).map(Self).ok_or_else(error)
    }
}

serde_as_text!(LibraryId);

/// Where objects live: a library's own store, or the one folder that all libraries shared before
/// Seafile 3 (`seafile-data/{commits,fs,blocks}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Store {
    /// `seafile-data/storage/<kind>/<library id>`.
    Library(LibraryId),
    /// `seafile-data/<kind>`, as Seafile 1 and 2 kept it. Written `shared`.
    Shared,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(library) => library.fmt(f),
            Self::Shared => f.write_str("shared"),
        }
    }
}

impl FromStr for Store {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text == "shared" { Ok(Self::Shared) } else { text.parse().map(Self::Library) }
    }
}

serde_as_text!(Store);

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A commit: JSON text that names a root folder and its parents.
    Commit,
    /// A folder or the list of a file's blocks.
    Fs,
    /// A piece of a file's content.
    Block,
}

impl Kind {
    /// Every kind. A restore by hand takes them in this order.
    pub const ALL: [Self; 3] = [Self::Commit, Self::Fs, Self::Block];

    /// The folder's name on a Seafile server: `commits`, `fs` or `blocks`.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Commit => "commits",
            Self::Fs => "fs",
            Self::Block => "blocks",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit => "commit",
            Self::Fs => "fs",
            Self::Block => "block",
        })
    }
}

impl FromStr for Kind {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or_else(|| ParseIdError::new(text, "a kind of object (commit, fs or block)"))
    }
}

serde_as_text!(Kind);

/// One object of a store. An id that is in two stores means two objects. Their content is the same,
/// except for commits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    /// Whose folder it lies in.
    pub store: Store,
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: ObjectId,
}

impl Object {
    /// Names an object.
    pub const fn new(store: Store, kind: Kind, id: ObjectId) -> Self {
        Self { store, kind, id }
    }

    /// Its path inside an installation, as Seafile's server expects it:
    /// `seafile-data/storage/<commits|fs|blocks>/<library>/<2 hex>/<38 hex>`; in the shared
    /// store: `seafile-data/<commits|fs|blocks>/<2 hex>/<38 hex>`.
    pub fn path(&self) -> String {
        let id = self.id.to_string();
        let (first, rest) = id.split_at(2);
        let folder = self.kind.folder();
        match self.store {
            Store::Library(library) => {
                format!("seafile-data/storage/{folder}/{library}/{first}/{rest}")
            }
            Store::Shared => format!("seafile-data/{folder}/{first}/{rest}"),
        }
    }

    /// Reads [`Self::path`] back; `None` for any other path.
    pub fn from_path(path: &str) -> Option<Self> {
        let mut names = path.strip_prefix("seafile-data/")?.split('/');
        let first = names.next()?;
        let (folder, store) = if first == "storage" {
            let folder = names.next()?;
            (folder, Store::Library(names.next()?.parse().ok()?))
        } else {
            (first, Store::Shared)
        };
        let kind = Kind::ALL.into_iter().find(|kind| kind.folder() == folder)?;
        let id = format!("{}{}", names.next()?, names.next()?).parse().ok()?;
        let object = Self::new(store, kind, id);
        (object.path() == path).then_some(object)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.kind, self.store, self.id)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_object() -> impl Strategy<Value = Object> {
        let store = prop_oneof![
            Just(Store::Shared),
            any::<[u8; 16]>().prop_map(|bytes| Store::Library(LibraryId::new(bytes)))
        ];
        (store, 0usize..3, any::<[u8; 20]>())
            .prop_map(|(store, kind, id)| Object::new(store, Kind::ALL[kind], ObjectId::new(id)))
    }

    proptest! {
        #[test]
        fn paths_round_trip(object in any_object()) {
            prop_assert_eq!(Object::from_path(&object.path()), Some(object));
        }

        #[test]
        fn texts_round_trip(object in any_object()) {
            prop_assert_eq!(object.store.to_string().parse(), Ok(object.store));
            prop_assert_eq!(object.kind.to_string().parse(), Ok(object.kind));
            prop_assert_eq!(object.id.to_string().parse(), Ok(object.id));
        }

        #[test]
        fn any_text_is_refused_or_round_trips(text in ".{0,48}") {
            if let Ok(store) = text.parse::<Store>() {
                prop_assert_eq!(store.to_string(), text.clone());
            }
            if let Some(object) = Object::from_path(&text) {
                prop_assert_eq!(object.path(), text);
            }
        }
    }

    #[test]
    fn upper_case_and_short_ids_are_refused() {
        assert!("ABCDEF0123456789abcdef0123456789abcdef01".parse::<ObjectId>().is_err());
        assert!("abc".parse::<ObjectId>().is_err());
        assert!("B47A83DD-90a4-497e-8ed3-28ccedce9e2d".parse::<LibraryId>().is_err());
        assert!("b47a83dd090a4-497e-8ed3-28ccedce9e2d".parse::<LibraryId>().is_err());
    }

    #[test]
    fn paths_with_other_splits_are_refused() {
        let object: Object = Object::new(Store::Shared, Kind::Fs, ObjectId::new([0xab; 20]));
        let path = object.path();
        assert!(Object::from_path(&path.replacen("ab/", "aba/", 1)).is_none());
        assert!(Object::from_path(&format!("{path}/x")).is_none());
        assert!(Object::from_path(&path.replacen("seafile-data", "..", 1)).is_none());
    }
}
