//! Turns the URL or path that a user types into a backend with its wrappers: rate limit and retry.

use std::path::PathBuf;
use std::sync::Arc;

#[allow(unused_imports, reason = "no feature of this crate is on")]
use crate::destination::Scheme;
use crate::destination::{ParsedUrl, Remote};
use crate::limit::LimitedBackend;
use crate::options::Absent;
use crate::retry::retry;
use crate::{Backend, LocalBackend, Options, Result, RetryingBackend};

/// Opens the destination that a URL or a path names; it must exist. Transient errors are retried,
/// also while opening a remote one: at the time of a nightly run its server may just be starting.
///
/// Errors: `NotFound`, `Invalid` (also a kind of destination that this version was built without),
/// `PermissionDenied`, `Transient`, `Other`.
pub fn open(url: &str, options: &Options) -> Result<Arc<dyn Backend>> {
    open_or_make(url, options, Absent::Refuse)
}

/// Opens the destination that a URL or a path names, and makes its folder if that is missing. A
/// bucket has to exist already.
///
/// Errors: as [`open`], and `NoSpace`.
pub fn create(url: &str, options: &Options) -> Result<Arc<dyn Backend>> {
    open_or_make(url, options, Absent::Make)
}

/// The folder of this machine that a URL or a path names, if it names one.
pub fn local_path(url: &str) -> Option<PathBuf> {
    match ParsedUrl::parse(url) {
        Ok(ParsedUrl::Folder(path)) => Some(path),
        _ => None,
    }
}

fn open_or_make(url: &str, options: &Options, absent: Absent) -> Result<Arc<dyn Backend>> {
    match ParsedUrl::parse(url)? {
        ParsedUrl::Folder(path) => {
            let folder = match absent {
                Absent::Refuse => LocalBackend::open(path)?,
                Absent::Make => LocalBackend::create(path)?,
            };
            let (upload, download) = (options.upload_limit, options.download_limit);
            if upload.or(download).is_some() {
                let limited = LimitedBackend::new(folder, upload, download);
                Ok(retrying(limited, options))
            } else {
                Ok(retrying(folder, options))
            }
        }
        ParsedUrl::Remote(remote) => {
            retry(options.retry, &*options.tell_retry, || open_remote(&remote, options, absent))
        }
    }
}

fn retrying(backend: impl Backend + 'static, options: &Options) -> Arc<dyn Backend> {
    let told = Arc::clone(&options.tell_retry);
    Arc::new(RetryingBackend::telling(backend, options.retry, told))
}

#[allow(unused_variables, reason = "not all features of this crate are on")]
fn open_remote(remote: &Remote, options: &Options, absent: Absent) -> Result<Arc<dyn Backend>> {
    match remote.scheme {
        #[cfg(feature = "sftp")]
        Scheme::Sftp => {
            Ok(retrying(crate::sftp::SftpBackend::open(remote, options, absent)?, options))
        }
        #[cfg(feature = "s3")]
        Scheme::S3 => Ok(retrying(crate::s3::S3Backend::open(remote, options)?, options)),
        #[cfg(feature = "b2")]
        Scheme::B2 => Ok(retrying(crate::b2::B2Backend::open(remote, options)?, options)),
        #[cfg(feature = "opendal")]
        Scheme::Azblob | Scheme::Gcs | Scheme::Webdav | Scheme::Webdavs => {
            Ok(retrying(crate::opendal::OpendalBackend::open(remote, options, absent)?, options))
        }
        #[allow(unreachable_patterns, reason = "all features of this crate are on")]
        scheme => Err(crate::destination::invalid(format!(
            "this seawall was built without {}://",
            scheme.name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Key};

    #[cfg(feature = "sftp")]
    #[test]
    fn opening_is_tried_again() {
        use std::net::TcpListener;
        use std::sync::atomic::{AtomicUsize, Ordering};
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let options = Options {
            retry: crate::RetryPolicy::fast(),
            tell_retry: Arc::new(move |error, _| {
                assert_eq!(error.kind(), ErrorKind::Transient);
                count.fetch_add(1, Ordering::Relaxed);
            }),
            ..Options::default()
        };
        // A port that nobody listens on any more.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let url = format!("sftp://me@127.0.0.1:{}/x", port.unwrap().port());
        let error = open(&url, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
        assert_eq!(told.load(Ordering::Relaxed), options.retry.attempts - 1);
    }

    #[test]
    fn create_then_open() {
        let options = Options::default();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}/a%20b/c", folder.path().display());
        assert_eq!(open(&url, &options).unwrap_err().kind(), ErrorKind::NotFound);
        let key = Key::parse("x").unwrap();
        let made = create(&url, &options).unwrap();
        made.put_new(&key, b"1").unwrap();
        assert_eq!(open(&url, &options).unwrap().get(&key, None).unwrap(), b"1");
        let again = create(&url, &options).unwrap();
        assert_eq!(again.get(&key, None).unwrap(), b"1");
        assert!(folder.path().join("a b/c/x").exists());
        assert_eq!(local_path(&url).unwrap(), folder.path().join("a b/c"));
        assert_eq!(local_path("sftp://host/x"), None);
    }
}
