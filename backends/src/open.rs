//! From what a user types to a backend: `/backup`, `./backup`, `file:///backup`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Backend, Error, ErrorKind, LocalBackend, Result};

/// What [`open`] understands, for messages.
const SUPPORTED: &str = "this version supports folders: /path, ./path or file:///path";

/// Opens the destination that a URL or a path names; it must exist.
///
/// Errors: `NotFound`, `Invalid` (also a kind of destination that this version does not know),
/// `PermissionDenied`, `Other`.
pub fn open(url: &str) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(LocalBackend::open(parse(url)?)?))
}

/// Opens the destination that a URL or a path names, made where it does not exist.
///
/// Errors: as [`open`], and `NoSpace`.
pub fn create(url: &str) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(LocalBackend::create(parse(url)?)?))
}

/// The folder of this machine that a URL or a path names, if it names one.
pub fn local_path(url: &str) -> Option<PathBuf> {
    parse(url).ok()
}

/// The folder that a URL names. A URL may hold a password: no message repeats more than its scheme.
pub fn parse(url: &str) -> Result<PathBuf> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return parse_path(url);
    };
    if !scheme.eq_ignore_ascii_case("file") {
        return Err(invalid(format!("no {} yet: {SUPPORTED}", shown(scheme))));
    }
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(invalid(format!(
            "a file:// URL has three slashes: {SUPPORTED}"
        )));
    }
    let bytes = percent_decode(path)
        .ok_or_else(|| invalid("a % stands before two hexadecimal digits".to_owned()))?;
    Ok(OsString::from_vec(bytes).into())
}

/// A path as it is, unless it looks like a place on another machine (`host:path`, `s3:bucket`),
/// which would end up as a folder here.
fn parse_path(text: &str) -> Result<PathBuf> {
    if text.is_empty() {
        return Err(invalid(format!("no destination is given: {SUPPORTED}")));
    }
    let first = text.split('/').next().unwrap_or_default();
    if first.contains(':') {
        return Err(invalid(format!(
            "a path with a colon in its first name begins with ./ here: {SUPPORTED}"
        )));
    }
    Ok(text.into())
}

/// A scheme as a message may show it.
fn shown(scheme: &str) -> String {
    let is_scheme = scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if is_scheme && (1..=20).contains(&scheme.len()) {
        format!("{scheme}://")
    } else {
        "such URL".to_owned()
    }
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::Invalid).with_source(text)
}

/// The bytes that a path of a URL means; none if a `%` does not begin a byte.
fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::Key;

    #[test]
    fn paths_and_file_urls() {
        for (url, path) in [
            ("/backup", "/backup"),
            ("./x", "./x"),
            ("backup/of:us", "backup/of:us"),
            ("./a:b", "./a:b"),
            ("file:///backup", "/backup"),
            ("FILE:///backup", "/backup"),
            ("file://localhost/backup", "/backup"),
            ("file:///a%20b/%c3%a4%25", "/a b/ä%"),
            ("/100%", "/100%"),
        ] {
            assert_eq!(parse(url).unwrap(), PathBuf::from(path), "{url}");
            assert_eq!(local_path(url), Some(path.into()));
        }
    }

    #[test]
    fn what_is_not_understood_says_what_is() {
        for url in [
            "",
            "sftp://user:secret@host/path",
            "s3://bucket",
            "secret@host://x",
            "user@secret:/path",
            "s3:bucket",
            "file://secret/path",
            "file://localhost.secret/path",
            "file://localhost",
            "file://",
            "://",
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            let text = error.source().unwrap().to_string();
            assert!(text.contains("file:///path"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        assert!(
            parse("sftp://host/path")
                .unwrap_err()
                .source()
                .unwrap()
                .to_string()
                .contains("sftp://")
        );
    }

    #[test]
    fn a_percent_sign_begins_a_byte() {
        for url in [
            "file:///%",
            "file:///%4",
            "file:///%zz",
            "file:///%+1",
            "file:///%ä",
        ] {
            assert_eq!(parse(url).unwrap_err().kind(), ErrorKind::Invalid, "{url}");
        }
    }

    #[test]
    fn create_then_open() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}/a%20b/c", folder.path().display());
        assert_eq!(open(&url).unwrap_err().kind(), ErrorKind::NotFound);
        let key = Key::parse("x").unwrap();
        create(&url).unwrap().put_new(&key, b"1").unwrap();
        assert_eq!(open(&url).unwrap().get(&key, None).unwrap(), b"1");
        assert_eq!(create(&url).unwrap().get(&key, None).unwrap(), b"1");
        assert!(folder.path().join("a b/c/x").exists());
    }
}
