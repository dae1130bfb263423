//! Commits: JSON texts that name a root folder, their parents, and the library's properties.
//!
//! A [`Commit`] holds the fields that seawall needs. It is never written back: a backup stores the
//! file's own bytes, with all their fields. `check` and the walk use it.

use super::{FormatError, parse_json, sha1};
use crate::object::{LibraryId, ObjectId};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The longest commit file that is read. Real commits have about 500 bytes.
pub const MAX_COMMIT_BYTES: usize = 16 << 20;

/// The first words of the description of a commit that `seaf-fsck -r` made.
const REPAIRED: &str = "Repaired by system";

/// One version of a library.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Commit {
    /// The id that the text claims. Must be the file's name.
    #[serde(rename = "commit_id")]
    pub id: ObjectId,
    /// The root folder.
    #[serde(rename = "root_id")]
    pub root: ObjectId,
    /// The library that the text claims; `None` if it claims none, or no valid id.
    #[serde(rename = "repo_id", default, deserialize_with = "lenient_library")]
    pub library: Option<LibraryId>,
    /// The commit before this one.
    #[serde(rename = "parent_id", default, deserialize_with = "optional_id")]
    pub parent: Option<ObjectId>,
    /// The second parent of a merge.
    #[serde(rename = "second_parent_id", default, deserialize_with = "optional_id")]
    pub second_parent: Option<ObjectId>,
    /// When it was made, by the clock of the machine that made it: seconds since 1970.
    #[serde(default, deserialize_with = "seconds")]
    pub ctime: i64,
    /// 40 hex digits that name a device, or zeros.
    #[serde(default, deserialize_with = "text")]
    pub creator: String,
    /// The user's e-mail address.
    #[serde(default)]
    pub creator_name: Option<String>,
    /// What was done.
    #[serde(default, deserialize_with = "text")]
    pub description: String,
    /// The library's name at that time.
    #[serde(rename = "repo_name", default, deserialize_with = "text")]
    pub library_name: String,
    /// Whether the library's blocks are encrypted.
    #[serde(default, deserialize_with = "flag")]
    pub encrypted: bool,
    /// The version of the encryption scheme; 0 if the library is not encrypted.
    #[serde(default, deserialize_with = "small_number")]
    pub enc_version: u32,
    /// The form of the library's fs objects: 0 is binary, 1 is JSON.
    #[serde(default, deserialize_with = "small_number")]
    pub version: u32,
    /// Whether `seaf-fsck -r` made this commit. In it, files that could not be read are empty.
    #[serde(default, deserialize_with = "flag")]
    pub repaired: bool,
    /// Whether the library was set to keep no history.
    #[serde(default, deserialize_with = "flag")]
    pub no_local_history: bool,
}

/// Which of the two formulas for commit ids a commit follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitIdCheck {
    /// The formula of the server in C and of the sync clients: each text ends in NUL.
    CServer,
    /// The formula of the file server in Go: texts without NULs.
    GoServer,
    /// Neither formula. The commit was altered later, or an unusual client made it. Seafile itself
    /// never checks this.
    Mismatch,
}

impl Commit {
    /// Reads a commit file. Old servers wrote one NUL at the end, which is ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.is_empty() {
            return Err(FormatError::Empty);
        }
        if bytes.len() > MAX_COMMIT_BYTES {
            return Err(FormatError::TooLarge { limit_bytes: MAX_COMMIT_BYTES });
        }
        parse_json(bytes.strip_suffix(b"\0").unwrap_or(bytes))
    }

    /// The commits before it: none, one, or two for a merge.
    pub fn parents(&self) -> impl Iterator<Item = ObjectId> + use<> {
        self.parent.into_iter().chain(self.second_parent)
    }

    /// Whether `seaf-fsck -r` made this commit: its field `repaired` or its description says so.
    pub fn is_repair(&self) -> bool {
        self.repaired || self.description.starts_with(REPAIRED)
    }

    /// Computes the id again and compares. The id covers root, creator, description and time. It
    /// does not cover the parents, the library, or the keys of an encrypted library.
    pub fn id_check(&self) -> CommitIdCheck {
        if self.computed_id(self.root, b"\0") == self.id {
            CommitIdCheck::CServer
        } else if self.computed_id(self.root, b"") == self.id {
            CommitIdCheck::GoServer
        } else {
            CommitIdCheck::Mismatch
        }
    }

    /// Whether the id would be right with another root. If so, the commit was made with that root.
    pub fn fits_with_root(&self, root: ObjectId) -> bool {
        let ends: [&[u8]; 2] = [b"\0", b""];
        ends.iter().any(|end| self.computed_id(root, end) == self.id)
    }

    fn computed_id(&self, root: ObjectId, end: &[u8]) -> ObjectId {
        let root = root.to_string();
        let texts = [root.as_str(), &self.creator]
            .into_iter()
            .chain(self.creator_name.as_deref())
            .chain([self.description.as_str()]);
        let time = self.ctime.to_be_bytes();
        sha1(texts.flat_map(|text| [text.as_bytes(), end]).chain([time.as_slice()]))
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn optional_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ObjectId>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

fn lenient_library<'de, D>(deserializer: D) -> Result<Option<LibraryId>, D::Error>
where
    D: Deserializer<'de>,
{
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(|text| text.parse().ok()))
}

/// `"true"` (as the server in C writes it), `true`, or a number other than 0.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(flag) => flag,
        Value::String(text) => text == "true",
        value => integer(&value).is_some_and(|number| number != 0),
    })
}

/// A time that does not fit an `i64` becomes the largest one, so that the commit counts as new.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(integer(&Value::deserialize(deserializer)?).unwrap_or(0))
}

fn small_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = integer(&Value::deserialize(deserializer)?).unwrap_or(0);
    Ok(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

/// The whole number in a value that may be written `1`, `1.0` or `"1"`. A number out of range
/// becomes the nearest `i64`.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let text = format!("{:.0}", number.as_f64()?.trunc());
            let beyond = if text.starts_with('-') { i64::MIN } else { i64::MAX };
            Some(text.parse().unwrap_or(beyond))
        }),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const REAL: &str = r#"{"commit_id": "af93e0eb0645eb5ef10453589e67e78ab7c3ffae", "root_id": "58b88adcc4c4cf88186bdc9cc2fe3481cbfef66f", "repo_id": "4dd8df17-3a9d-4e43-ae3a-c510e039be4b", "creator_name": "alice@example.com", "creator": "0000000000000000000000000000000000000000", "description": "Added \"sub-1.txt\"", "ctime": 1795383248, "parent_id": "50a59e4fbc975cbc5eb1f73afcf591b631db901e", "second_parent_id": null, "repo_name": "Projects", "repo_desc": "sub-library", "repo_category": null, "no_local_history": 1, "version": 1}"#;

    fn altered(field: &str, value: Value) -> Result<Commit, FormatError> {
        let mut fields: serde_json::Map<String, Value> = serde_json::from_str(REAL).unwrap();
        fields.insert(field.to_owned(), value);
        Commit::parse(&serde_json::to_vec(&fields).unwrap())
    }

    #[test]
    fn a_real_commit_is_read() {
        let commit = Commit::parse(REAL.as_bytes()).unwrap();
        assert_eq!(commit.library.unwrap().to_string(), "4dd8df17-3a9d-4e43-ae3a-c510e039be4b");
        assert_eq!(
            commit.parents().map(|id| id.to_string()).collect::<Vec<_>>(),
            ["50a59e4fbc975cbc5eb1f73afcf591b631db901e"]
        );
        assert_eq!(commit.ctime, 1_795_383_248);
        assert_eq!(commit.creator_name.as_deref(), Some("alice@example.com"));
        assert_eq!(commit.description, "Added \"sub-1.txt\"");
        assert_eq!(commit.library_name, "Projects");
        assert_eq!((commit.version, commit.enc_version), (1, 0));
        assert!(commit.no_local_history && !commit.encrypted);
        assert_eq!(commit.id_check(), CommitIdCheck::CServer);
    }

    #[test]
    fn both_formulas_are_known() {
        let mut commit = Commit::parse(REAL.as_bytes()).unwrap();
        // Computed with Python: the SHA-1 of root, creator, name, description and
        // `struct.pack(">Q", ctime)`.
        commit.id = "712d5062971fb6ffa5fc3494f1bbc3fa784abebf".parse().unwrap();
        assert_eq!(commit.id_check(), CommitIdCheck::GoServer);
        commit.ctime += 1;
        assert_eq!(commit.id_check(), CommitIdCheck::Mismatch);
    }

    #[test]
    fn an_absent_creator_name_is_not_hashed_as_an_empty_one() {
        let mut commit = Commit::parse(REAL.as_bytes()).unwrap();
        commit.creator_name = Some(String::new());
        let empty = commit.computed_id(commit.root, b"\0");
        commit.creator_name = None;
        assert_ne!(commit.computed_id(commit.root, b"\0"), empty);
    }

    #[test]
    fn one_nul_at_the_end_is_tolerated() {
        let expected = Commit::parse(REAL.as_bytes());
        assert_eq!(Commit::parse(format!("{REAL}\0").as_bytes()), expected);
        assert!(Commit::parse(format!("{REAL}\0\0").as_bytes()).is_err());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        let at = REAL.find("Projects").unwrap();
        let mut bytes = REAL.as_bytes().to_vec();
        bytes[at] = 0xff;
        let commit = Commit::parse(&bytes).unwrap();
        assert_eq!(commit.library_name, "\u{fffd}rojects");
    }

    #[test]
    fn numbers_may_be_written_oddly() {
        for (value, expected) in [
            (json!(-5), -5),
            (json!(17.9), 17),
            (json!("12"), 12),
            (json!(null), 0),
            (json!(u64::MAX), i64::MAX),
            (json!(-1e300), i64::MIN),
        ] {
            assert_eq!(altered("ctime", value).unwrap().ctime, expected);
        }
        assert_eq!(altered("version", json!(-1)).unwrap().version, 0);
        assert_eq!(altered("version", json!(1e30)).unwrap().version, u32::MAX);
    }

    #[test]
    fn encrypted_is_a_text_or_a_flag() {
        for (value, expected) in [
            (json!("true"), true),
            (json!(true), true),
            (json!(1), true),
            (json!("false"), false),
            (json!(false), false),
            (json!(null), false),
        ] {
            assert_eq!(altered("encrypted", value).unwrap().encrypted, expected);
        }
    }

    #[test]
    fn ids_must_be_ids_but_the_library_need_not() {
        assert!(altered("root_id", json!("abc")).is_err());
        assert!(altered("commit_id", json!(null)).is_err());
        assert!(altered("parent_id", json!("abc")).is_err());
        assert_eq!(altered("parent_id", json!("")).unwrap().parent, None);
        assert_eq!(altered("repo_id", json!("nonsense")).unwrap().library, None);
        assert_eq!(altered("repo_id", json!(7)).unwrap().library, None);
    }

    #[test]
    fn absurd_files_are_refused() {
        assert_eq!(Commit::parse(b""), Err(FormatError::Empty));
        assert!(Commit::parse(b"\0").is_err());
        assert!(Commit::parse(&[0; 520]).is_err());
        assert!(Commit::parse("[".repeat(100_000).as_bytes()).is_err());
        let deep = format!("{{\"x\": {}", "{\"x\": ".repeat(100_000));
        assert!(Commit::parse(deep.as_bytes()).is_err());
        let huge = vec![b' '; MAX_COMMIT_BYTES + 1];
        assert!(matches!(Commit::parse(&huge), Err(FormatError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = Commit::parse(&bytes);
        }

        #[test]
        fn altered_bytes_never_panic(at in 0..REAL.len(), byte: u8, end in 0..=REAL.len()) {
            let mut bytes = REAL.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = Commit::parse(&bytes).map(|commit| commit.id_check());
            if end < REAL.len() {
                prop_assert!(Commit::parse(&REAL.as_bytes()[..end]).is_err());
            }
        }
    }
}
