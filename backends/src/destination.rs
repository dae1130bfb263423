//! From what a user types to what it means: `/backup`, `file:///backup`, `sftp://user@host/path`,
//! `s3://bucket/prefix?endpoint=…`.
//!
//! A URL that is mistyped may hold a password: no message repeats more of it than its scheme and
//! the names of its parameters.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{Error, ErrorKind, Result};

/// What is understood, for messages.
const SUPPORTED: &str = "give /path, file:///path, sftp://user@host/path, s3://bucket/prefix, azblob://account/container, \
gcs://bucket, b2://bucket or webdavs://host/path";
/// The longest URL, in bytes.
const MAX_LEN: usize = 8 * 1024;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParsedUrl {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A place on another machine.
    Remote(Remote),
}

/// A kind of place on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sftp://[user@]host[:port]/path`: an absolute path; `/~/path` is below the home folder.
    Sftp,
    /// `s3://bucket[/prefix]`.
    S3,
    /// `azblob://account/container[/prefix]`.
    Azblob,
    /// `gcs://bucket[/prefix]`.
    Gcs,
    /// `b2://bucket[/prefix]`.
    B2,
    /// `webdav://[user@]host[:port]/path`: over plain HTTP.
    Webdav,
    /// `webdavs://[user@]host[:port]/path`: over HTTPS.
    Webdavs,
}

impl Scheme {
    const ALL: [(&'static str, Self); 7] = [
        ("sftp", Self::Sftp),
        ("s3", Self::S3),
        ("azblob", Self::Azblob),
        ("gcs", Self::Gcs),
        ("b2", Self::B2),
        ("webdav", Self::Webdav),
        ("webdavs", Self::Webdavs),
    ];

    fn parse(text: &str) -> Option<Self> {
        let is_it = |(name, _): &&(&str, Self)| name.eq_ignore_ascii_case(text);
        Self::ALL.iter().find(is_it).map(|(_, scheme)| *scheme)
    }

    /// As it stands in a URL.
    pub fn name(self) -> &'static str {
        let is_it = |(_, scheme): &&(&'static str, Self)| *scheme == self;
        Self::ALL.iter().find(is_it).map_or("", |(name, _)| name)
    }

    /// `an s3:// URL`, `a gcs:// URL`.
    fn a_url(self) -> String {
        let article = match self {
            Self::Azblob | Self::S3 | Self::Sftp => "an",
            _ => "a",
        };
        format!("{article} {}:// URL", self.name())
    }

    /// Whether a machine is named, with a user and a port, and not a bucket or an account.
    fn names_a_machine(self) -> bool {
        matches!(self, Self::Sftp | Self::Webdav | Self::Webdavs)
    }
}

/// A URL of a place on another machine, in its parts; percent-encoding is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Of which kind.
    pub scheme: Scheme,
    /// Who logs in.
    pub user: Option<String>,
    /// The machine (an IPv6 address without brackets), the bucket, or the account.
    pub host: String,
    /// The machine's port.
    pub port: Option<u16>,
    /// What follows the host: empty, or with a slash at its beginning and none at its end (but `/`).
    pub path: String,
    /// What follows the question mark, each name once.
    pub parameters: BTreeMap<String, String>,
}

impl Remote {
    /// The path's segments, of a place that is a prefix: none is empty, `.` or `..`.
    ///
    /// Errors: `Invalid`.
    pub fn prefix(&self) -> Result<Vec<&str>> {
        let path = self.path.trim_matches('/');
        if path.is_empty() {
            return Ok(Vec::new());
        }
        let segments: Vec<&str> = path.split('/').collect();
        let is_bad = |segment: &&str| matches!(*segment, "" | "." | "..");
        if segments.iter().any(is_bad) {
            return Err(invalid(format!(
                "{} has a prefix with an empty segment, or with . or ..",
                self.scheme.a_url()
            )));
        }
        Ok(segments)
    }

    /// Refuses parameters other than these.
    ///
    /// Errors: `Invalid`, with the names that there are.
    pub fn allow(&self, names: &[&str]) -> Result<()> {
        let is_unknown = |name: &&String| !names.contains(&name.as_str());
        let Some(unknown) = self.parameters.keys().find(is_unknown) else {
            return Ok(());
        };
        let known = if names.is_empty() {
            "it has none".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        };
        Err(invalid(format!(
            "{} has no parameter {}; {known}",
            self.scheme.a_url(),
            shown(unknown).unwrap_or("of this name"),
        )))
    }
}

impl ParsedUrl {
    /// Reads what a user typed.
    ///
    /// Errors: `Invalid`.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_LEN {
            return Err(invalid("this is too long for a place".to_owned()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return parse_path(text).map(Self::Folder);
        };
        if scheme.eq_ignore_ascii_case("file") {
            return parse_file(rest).map(Self::Folder);
        }
        match Scheme::parse(scheme) {
            Some(scheme) => parse_remote(scheme, rest).map(Self::Remote),
            None => Err(invalid(match shown(scheme) {
                Some(scheme) => format!("{scheme}:// is not known: {SUPPORTED}"),
                None => format!("no such URL is known: {SUPPORTED}"),
            })),
        }
    }
}

/// A path as it is, unless it looks like a place on another machine (`host:path`, `s3:bucket`),
/// which would end up as a folder here.
fn parse_path(text: &str) -> Result<PathBuf> {
    if text.is_empty() {
        return Err(invalid(format!("no destination is given: {SUPPORTED}")));
    }
    let first = text.split('/').next().unwrap_or_default();
    if first.starts_with('~') {
        return Err(invalid(
            "~ is for a shell to replace, and is still there: give the whole path (or ./~ for a folder of that name)".to_owned(),
        ));
    }
    if first.contains(':') {
        return Err(invalid(format!(
            "a path with a colon in its first name begins with ./ here; for another machine {SUPPORTED}"
        )));
    }
    Ok(text.into())
}

/// What stands after `file://`.
fn parse_file(rest: &str) -> Result<PathBuf> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(invalid(format!("a file:// URL has three slashes: {SUPPORTED}")));
    }
    refuse_bad_escapes(path)?;
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    Ok(OsString::from_vec(bytes).into())
}

fn parse_remote(scheme: Scheme, rest: &str) -> Result<Remote> {
    let name = scheme.name();
    refuse_bad_escapes(rest)?;
    // What is left out here could hold a secret, and would be left out silently.
    if rest.contains('#') {
        return Err(invalid(format!("a {name}:// URL has no #: write %23")));
    }
    let (before_query, _) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, raw_path) = match before_query.find('/') {
        Some(slash) => before_query.split_at(slash),
        None => (before_query, ""),
    };
    let url = Url::parse(&format!("{name}://{rest}"))
        .map_err(|error| invalid(format!("this is no good {name}:// URL: {error}")))?;
    if url.password().is_some() {
        return Err(invalid(format!(
            "a {name}:// URL holds no password: it would end up in logs and process lists; give it in a file or a variable"
        )));
    }
    let host = match url.host() {
        Some(url::Host::Domain(host)) => decoded(host)?,
        Some(url::Host::Ipv4(address)) => address.to_string(),
        Some(url::Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    };
    if host.is_empty() || host.contains(['/', '@', '\0']) || host.starts_with('-') {
        return Err(invalid(format!("a {name}:// URL names a place: {SUPPORTED}")));
    }
    let has_user = authority.contains('@');
    if !scheme.names_a_machine() && (has_user || url.port().is_some()) {
        return Err(invalid(format!("a {name}:// URL names neither user nor port: {SUPPORTED}")));
    }
    let user = has_user.then(|| decoded(url.username())).transpose()?;
    if user.as_deref() == Some("") {
        return Err(invalid(format!("the user of a {name}:// URL is empty")));
    }
    // Not the parser's path: that one has resolved `..`.
    let path = decoded(raw_path)?;
    let path = if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path };
    Ok(Remote {
        scheme,
        user,
        host,
        port: url.port(),
        path: if path.is_empty() && !raw_path.is_empty() { "/".to_owned() } else { path },
        parameters: parameters(name, &url)?,
    })
}

fn parameters(scheme: &str, url: &Url) -> Result<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let query = url.query().unwrap_or_default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        // No form: a plus is a plus.
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        if parameters.insert(name, value).is_some() {
            return Err(invalid(format!("a {scheme}:// URL has one of its parameters twice")));
        }
    }
    Ok(parameters)
}

/// A word of a URL as a message may show it: a name, and nothing that could be a secret.
fn shown(word: &str) -> Option<&str> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    ((1..=20).contains(&word.len()) && word.bytes().all(is_name)).then_some(word)
}

pub(crate) fn invalid(text: String) -> Error {
    Error::new(ErrorKind::Invalid).with_source(text)
}

/// The text that a part of a URL means.
fn decoded(text: &str) -> Result<String> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| invalid("a URL is UTF-8 behind its percent signs".to_owned()))?;
    if text.chars().any(char::is_control) {
        return Err(invalid("a URL has no control characters".to_owned()));
    }
    Ok(text.into_owned())
}

/// A `%` that does not begin a byte is a mistake: who wants the sign writes `%25`.
fn refuse_bad_escapes(text: &str) -> Result<()> {
    let mut parts = text.split('%');
    parts.next();
    let is_byte = |part: &str| part.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if parts.all(is_byte) {
        Ok(())
    } else {
        Err(invalid("a % stands before two hexadecimal digits".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use proptest::prelude::*;

    use super::*;

    fn folder(text: &str) -> PathBuf {
        match ParsedUrl::parse(text).unwrap() {
            ParsedUrl::Folder(path) => path,
            ParsedUrl::Remote(_) => panic!("{text} is a folder"),
        }
    }

    fn remote(text: &str) -> Remote {
        match ParsedUrl::parse(text).unwrap() {
            ParsedUrl::Remote(remote) => remote,
            ParsedUrl::Folder(_) => panic!("{text} is no folder"),
        }
    }

    fn refused(text: &str) -> String {
        let error = ParsedUrl::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        let text = error.source().unwrap().to_string();
        assert!(!text.contains("secret"), "{text}");
        text
    }

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
            assert_eq!(folder(url), PathBuf::from(path), "{url}");
        }
    }

    #[test]
    fn parts_of_urls() {
        for (url, user, host, port, path) in [
            ("sftp://host", None, "host", None, ""),
            ("sftp://host/", None, "host", None, "/"),
            ("SFTP://me@Host:2222/a/b/", Some("me"), "Host", Some(2222), "/a/b"),
            ("sftp://host/~/a%20b", None, "host", None, "/~/a b"),
            ("sftp://host/a/../b", None, "host", None, "/a/../b"),
            ("sftp://me%40corp@[::1]:22/x", Some("me@corp"), "::1", Some(22), "/x"),
            ("sftp://10.0.0.1//x", None, "10.0.0.1", None, "//x"),
            ("sftp://h/%2e%2e/%7e", None, "h", None, "/../~"),
            ("s3://my.bucket/pre%2Bfix/of", None, "my.bucket", None, "/pre+fix/of"),
            ("s3://My_Bucket", None, "My_Bucket", None, ""),
            ("azblob://account/container/x", None, "account", None, "/container/x"),
            ("webdavs://u@h:8443/remote.php/dav", Some("u"), "h", Some(8443), "/remote.php/dav"),
        ] {
            let remote = remote(url);
            assert_eq!(remote.user.as_deref(), user, "{url}");
            assert_eq!(remote.host, host, "{url}");
            assert_eq!(remote.port, port, "{url}");
            assert_eq!(remote.path, path, "{url}");
        }
    }

    #[test]
    fn parameters_are_names_and_values() {
        let remote = remote("s3://b/p?endpoint=https://h:9000/x&region=eu+1&style=path&x");
        let got: Vec<_> =
            remote.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected =
            [("endpoint", "https://h:9000/x"), ("region", "eu+1"), ("style", "path"), ("x", "")];
        assert_eq!(got, expected);
        assert!(remote.allow(&["endpoint", "region", "style", "x"]).is_ok());
        let error = remote.allow(&["endpoint", "region", "style"]).unwrap_err();
        assert!(error.source().unwrap().to_string().contains("parameter x"));
    }

    #[test]
    fn prefixes() {
        assert_eq!(remote("s3://b").prefix().unwrap(), [] as [&str; 0]);
        assert_eq!(remote("s3://b/").prefix().unwrap(), [] as [&str; 0]);
        assert_eq!(remote("s3://b/x%20y/z/").prefix().unwrap(), ["x y", "z"]);
        for url in ["s3://b/x//y", "s3://b/../y", "s3://b/x/%2e%2e/y", "s3://b/./y"] {
            assert_eq!(remote(url).prefix().unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn what_is_not_understood_says_what_is() {
        for url in [
            "",
            "secret@host://x",
            "user@secret:/path",
            "s3:bucket",
            "file://secret/path",
            "file://localhost.secret/path",
            "file://localhost",
            "file://",
            "://",
            "ftp://user:secret@host/path",
            "sftp://",
            "sftp:///path",
            "s3://secret@bucket",
            "s3://bucket:80",
        ] {
            let text = refused(url);
            assert!(text.contains("file:///path"), "{url}: {text}");
        }
        assert!(refused("ftp://host/path").contains("ftp://"));
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for url in [
            "sftp://user:secret@host/path",
            "sftp://:secret@host/path",
            "webdavs://user:secret@host",
            "s3://key:secret@bucket",
            "s3://bucket?secret=1&secret=2",
            "s3://bucket#secret",
            "sftp://-osecret/x",
            "sftp://host:secret/",
        ] {
            refused(url);
        }
        let url = remote("s3://bucket?secret_access_key_of_mine=secret");
        let error = url.allow(&["region"]).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }

    #[test]
    fn a_percent_sign_begins_a_byte() {
        for url in [
            "file:///%",
            "file:///%4",
            "file:///%zz",
            "file:///%+1",
            "file:///%ä",
            "sftp://host/%",
            "s3://b?x=%4",
            "s3://b/%ff",
            "s3://b/%0a",
        ] {
            refused(url);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[a-z0-9:/?#@%&=~.\\[\\]-]{0,60}") {
            for scheme in ["", "sftp://", "s3://", "webdav://"] {
                let _ = ParsedUrl::parse(&format!("{scheme}{text}"));
            }
        }

        #[test]
        fn a_path_comes_back(path in "(/[a-zA-Z0-9 %?#&äß~.-]{1,12}){1,4}") {
            const ESCAPE: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'/');
            let url = format!("sftp://h{}", percent_encoding::utf8_percent_encode(&path, ESCAPE));
            prop_assert_eq!(remote(&url).path, path);
        }
    }
}
