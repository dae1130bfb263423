//! Against SeaweedFS and moto, and against a server that answers as a test says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use seawall_test_servers::moto::Moto;
use seawall_test_servers::seaweedfs::{self, SeaweedFs};

use super::*;
use crate::Destination;
use crate::conformance::Fresh;

mod settings;
mod words;

/// Opens a bucket of a server.
fn try_open(url: &str, keys: (&str, &str), change: impl FnOnce(&mut Options)) -> Result<S3Backend> {
    let (key, secret) = (keys.0.to_owned(), keys.1.to_owned());
    let mut options = Options {
        plain_http: true,
        variable: Arc::new(move |name| match name {
            "AWS_ACCESS_KEY_ID" => Some(key.clone()),
            "AWS_SECRET_ACCESS_KEY" => Some(secret.clone()),
            _ => None,
        }),
        ..Options::default()
    };
    change(&mut options);
    let Destination::Remote(remote) = Destination::parse(url)? else {
        panic!("{url} is no folder");
    };
    S3Backend::open(&remote, &options)
}

fn open(url: &str) -> S3Backend {
    try_open(url, seaweedfs::ADMIN, |_| {}).unwrap()
}

fn number() -> usize {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// The one SeaweedFS of all tests, with a bucket.
fn seaweed() -> &'static SeaweedFs {
    static SERVER: OnceLock<SeaweedFs> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = SeaweedFs::start();
        server.create_bucket("bucket");
        server
    })
}

/// A prefix of its own in that bucket.
fn seaweed_url() -> String {
    let endpoint = seaweed().endpoint();
    format!("s3://bucket/case%20{}?endpoint={endpoint}", number())
}

fn moto_url() -> String {
    static SERVER: OnceLock<Moto> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let server = Moto::start();
        server.create_bucket("bucket");
        server
    });
    format!(
        "s3://bucket/case-{}?endpoint={}",
        number(),
        server.endpoint()
    )
}

fn fresh(url: &str) -> Fresh {
    Fresh::new(open(url), open(url))
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

mod on_seaweedfs {
    use super::{fresh, seaweed_url};
    crate::conformance_tests!(|| fresh(&seaweed_url()));
}

mod on_moto {
    use super::{fresh, moto_url};
    crate::conformance_tests!(|| fresh(&moto_url()));
}
