//! Places as people write them: a repository's URL or path, and folders of this machine.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use seawall_backends::Key;

/// Quotes the place for a shell, if it needs quotes.
pub fn shell(place: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.:@%+=,_-".contains(&byte);
    if !place.is_empty() && place.bytes().all(is_plain) {
        Cow::Borrowed(place)
    } else {
        Cow::Owned(format!("'{}'", place.replace('\'', r"'\''")))
    }
}

/// The path of a key at a place. A URL's parameters are left out: they only say how to connect.
pub fn of_key(place: &str, key: &Key) -> String {
    let without = match place.split_once('?') {
        Some((before, _)) if place.contains("://") => before,
        _ => place,
    };
    format!("{}/{key}", without.trim_end_matches('/'))
}

/// A path as messages show it: absolute if possible. Links are not followed.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Where a path leads to. Links are followed as far as the path exists.
pub fn real(path: &Path) -> PathBuf {
    let path = absolute(path);
    let existing = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match existing {
        Some((above, real)) => {
            path.strip_prefix(above).map_or(real.clone(), |rest| real.join(rest))
        }
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell() {
        for place in ["/backup", "sftp://me@host:22/a%20b", "./x"] {
            assert_eq!(shell(place), place);
        }
        assert_eq!(shell("s3://b?x=1&y=2"), "'s3://b?x=1&y=2'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
        assert_eq!(shell("~/x"), "'~/x'");
    }

    #[test]
    fn keys_at_places() {
        let key = Key::parse("markers/x").unwrap();
        for (place, expected) in [
            ("/backup", "/backup/markers/x"),
            ("/what?", "/what?/markers/x"),
            ("s3://b/p/?endpoint=https://h/", "s3://b/p/markers/x"),
            ("/", "/markers/x"),
        ] {
            assert_eq!(of_key(place, &key), expected);
        }
    }
}
