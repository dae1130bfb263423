//! Names of groups. A name is safe as a segment of a key, and no two groups get the same name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::OrdinaryGroup;
use crate::object::Sha256;

/// The name of the group for the single files of the top folder.
const TOP_LEVEL: &str = "top-level";

/// The folder whose own folders are groups.
pub(super) const SEAHUB_DATA: &str = "seahub-data";

/// The longest name, in bytes, that is used unchanged.
const MAX_NAME_BYTES: usize = 60;

/// The group for files and links of the top folder, and for its folders that are stored empty.
pub(super) fn top_level() -> OrdinaryGroup {
    group(TOP_LEVEL.to_owned(), b"top level")
}

/// The group for a folder of the top folder.
pub(super) fn folder(name: &OsStr) -> OrdinaryGroup {
    let bytes = name.as_bytes();
    let own = safe(bytes).filter(|name| !is_reserved(name));
    group(own.map_or_else(|| hashed(bytes), str::to_owned), bytes)
}

/// The group for a folder of `seahub-data`.
pub(super) fn seahub_folder(name: &OsStr) -> OrdinaryGroup {
    let with = |separator: &str| [SEAHUB_DATA, separator].concat().into_bytes();
    let label = [with("/").as_slice(), name.as_bytes()].concat();
    let plain = [with(".").as_slice(), name.as_bytes()].concat();
    let own = safe(&plain).map(str::to_owned);
    group(own.unwrap_or_else(|| hashed(&label)), &label)
}

/// The group for a path outside of the installation.
pub(super) fn extra(path: &Path) -> OrdinaryGroup {
    let label = [b"extra/", path.as_os_str().as_bytes()].concat();
    group(hashed(&label), &label)
}

fn group(name: String, label: &[u8]) -> OrdinaryGroup {
    OrdinaryGroup { name, label: String::from_utf8_lossy(label).into_owned(), entries: Vec::new() }
}

/// The name, if it can be part of a key unchanged.
fn safe(bytes: &[u8]) -> Option<&str> {
    let fits = bytes.len() <= MAX_NAME_BYTES
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
    std::str::from_utf8(bytes).ok().filter(|_| fits)
}

/// Whether another kind of group may have this name.
fn is_reserved(name: &str) -> bool {
    name == TOP_LEVEL || name.starts_with("seahub-data.") || name.starts_with("x-")
}

fn hashed(label: &[u8]) -> String {
    let hex = Sha256::of(label).to_string();
    format!("x-{}", &hex[..16])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn name_of(name: &[u8]) -> String {
        folder(OsStr::from_bytes(name)).name
    }

    #[test]
    fn safe_names_stay() {
        assert_eq!(name_of(b"conf"), "conf");
        assert_eq!(name_of(b"seafile-server-11.0.13"), "seafile-server-11.0.13");
        assert_eq!(name_of(&[b'a'; 60]), "a".repeat(60));
        assert_eq!(seahub_folder(OsStr::new("avatars")).name, "seahub-data.avatars");
        assert_eq!(seahub_folder(OsStr::new("avatars")).label, "seahub-data/avatars");
    }

    #[test]
    fn other_names_are_hashed_and_never_meet() {
        let names: Vec<String> = [
            &b"top-level"[..],
            b"seahub-data.avatars",
            b"seahub-data/avatars",
            b"x-0123456789abcdef",
            b".env",
            b"a b",
            b"a\xff",
            b"a\xfe",
            "ü".as_bytes(),
            &[b'a'; 61],
        ]
        .map(name_of)
        .to_vec();
        assert!(names.iter().all(|name| name.starts_with("x-") && name.len() == 18));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        assert_eq!(extra(Path::new("/opt/.env")).label, "extra//opt/.env");
    }
}
