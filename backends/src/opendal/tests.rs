//! Against real servers where there are any: rclone's WebDAV.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use seawall_test_servers::proxy::Proxy;
use seawall_test_servers::rclone::Rclone;

use super::*;
use crate::conformance::Fresh;
use crate::{ParsedUrl, RetryPolicy, RetryingBackend};

mod clouds;

const USER: &str = "backup";
const PASSWORD: &str = "hunter2-of-backup";

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn number() -> usize {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn try_open(url: &str, options: &Options, absent: Absent) -> Result<OpendalBackend> {
    let ParsedUrl::Remote(remote) = ParsedUrl::parse(url)? else {
        panic!("{url} is no folder");
    };
    OpendalBackend::open(&remote, options, absent)
}

fn open(url: &str, options: &Options) -> OpendalBackend {
    try_open(url, options, Absent::Refuse).unwrap()
}

/// Everything that an error says, its causes included.
fn said(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |&cause| cause.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    format!("{error}: {} ({:?}) {error:?}", causes.join(": "), error.hint())
}

fn webdav() -> &'static Rclone {
    static SERVER: OnceLock<Rclone> = OnceLock::new();
    SERVER.get_or_init(|| Rclone::serve("webdav", &["--user", USER, "--pass", PASSWORD]))
}

fn webdav_options() -> Options {
    Options { plain_http: true, password: Some(PASSWORD.into()), ..Options::default() }
}

/// A new folder of the server: its URL at a port, and as seen on this machine. The server makes it:
/// it does not look again for what others make.
fn folder(port: u16) -> (String, PathBuf) {
    let name = format!("case {} &+%", number());
    let folder = webdav().folder.join(&name);
    let name = name.replace('%', "%25").replace(' ', "%20");
    let url = format!("webdav://{USER}@127.0.0.1:{port}/{name}");
    try_open(&url, &webdav_options(), Absent::Make).unwrap();
    (url, folder)
}

fn webdav_backend() -> (OpendalBackend, PathBuf) {
    let (url, folder) = folder(webdav().port);
    (open(&url, &webdav_options()), folder)
}

/// Names in a folder of this machine.
fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn listed(backend: &OpendalBackend, prefix: &str) -> Vec<String> {
    let mut keys: Vec<_> =
        backend.list(prefix).map(|entry| entry.unwrap().key.to_string()).collect();
    keys.sort();
    keys
}

/// As it is used: a server may be busy with the same folder, and says so (423).
fn patient(backend: OpendalBackend) -> RetryingBackend<OpendalBackend> {
    RetryingBackend::new(backend, RetryPolicy::patient())
}

mod webdav_conformance {
    use super::{Fresh, folder, open, patient, webdav, webdav_options};

    crate::with_conformance_cases! { crate::weak_conformance_tests, || {
        let (url, folder) = folder(webdav().port);
        let open = || patient(open(&url, &webdav_options()));
        Fresh::new(open(), open()).keeping(super::Cleaned(folder))
    } }
}

/// Removes a case's folder, so that many cases do not fill a disk.
struct Cleaned(PathBuf);

impl Drop for Cleaned {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_upload_that_breaks_off_leaves_no_key() {
    let (url, _) = folder(webdav().port);
    let proxy = Proxy::start(webdav().port, Duration::ZERO);
    let through = url.replace(&webdav().port.to_string(), &proxy.port.to_string());
    let backend = open(&through, &webdav_options());
    proxy.cut_after(3 << 20);
    let body = vec![7; 8 << 20];
    let error = backend.put_new(&key("data/a"), &body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    assert_eq!(listed(&backend, ""), [] as [&str; 0]);
    let gone = backend.stat(&key("data/a")).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    backend.put_new(&key("data/a"), &body).unwrap();
    assert!(backend.get(&key("data/a"), None).unwrap() == body);
}

#[test]
fn a_wrong_password_is_refused_and_not_repeated() {
    let (url, _) = folder(webdav().port);
    for password in ["", "wrong-hunter2"] {
        let options = Options { password: Some(password.into()), ..webdav_options() };
        let error = try_open(&url, &options, Absent::Refuse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
        assert!(!said(&error).contains("hunter2"), "{}", said(&error));
    }
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let (url, _) = folder(webdav().port);
    let error = try_open(&format!("{url}/x/y"), &webdav_options(), Absent::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    let made = try_open(&format!("{url}/x/y"), &webdav_options(), Absent::Make).unwrap();
    made.put_new(&key("a"), b"1").unwrap();
    assert_eq!(listed(&open(&url, &webdav_options()), "x"), ["x/y/a"]);
}

#[test]
fn secrets_are_not_shown() {
    let (backend, _) = webdav_backend();
    let shown = format!("{backend:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("Webdav"), "{shown}");
}

#[test]
fn only_old_temporaries_of_ours_are_removed() {
    let (url, folder) = folder(webdav().port);
    let plant = |name: &str, hours: u64| {
        let mut file = std::fs::OpenOptions::new();
        let file = file.create_new(true).write(true).open(folder.join(name));
        let time = SystemTime::now() - Duration::from_hours(hours);
        file.unwrap().set_modified(time).unwrap();
    };
    let name = |digit: &str| format!(".seawall-{}.tmp", digit.repeat(32));
    plant(&name("a"), 25);
    plant(&name("b"), 23);
    plant("other.tmp", 25);
    plant(".seawall-x.tmp", 25);
    let backend = open(&url, &webdav_options());
    backend.put_new(&key("data/a"), b"x").unwrap();
    assert_eq!(listed(&backend, ""), ["data/a", "other.tmp"]);
    assert_eq!(backend.remove_stale_temporaries().unwrap(), 1);
    let left = [&name("b"), ".seawall-x.tmp", "data", "other.tmp"].map(str::to_owned);
    assert_eq!(names(&folder), left);
}

#[test]
fn plain_http_and_parameters_are_asked_for() {
    let refused = |url: &str, variables: &'static [(&str, &str)], part: &str| {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let options = Options { variable: Arc::new(variable), ..Options::default() };
        let error = try_open(url, &options, Absent::Refuse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
        assert!(said(&error).contains(part), "{url}: {}", said(&error));
        assert!(!said(&error).contains("secret"), "{url}: {}", said(&error));
    };
    refused("webdav://h/x", &[], "--plain-http");
    refused("webdavs://h/x?y=1", &[], "parameter y");
    refused("webdavs://u@h/x", &[], "password");
    refused("azblob://account", &[], "container");
    refused("azblob://a/c", &[], "AZURE_STORAGE_ACCOUNT_KEY");
    refused("azblob://a/c?endpoint=http://h", &[], "--plain-http");
    refused("azblob://a/c?endpoint=https://u:secret@h", &[], "no password");
    let bad_key = &[("AZURE_STORAGE_ACCOUNT_KEY", "~secret~")];
    refused("azblob://a/c", bad_key, "base64");
    let no_file = &[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/x.json")];
    refused("gcs://b/p", no_file, "/nowhere/x.json");
    refused("gcs://b/p?x=1", &[], "parameter x");
}
