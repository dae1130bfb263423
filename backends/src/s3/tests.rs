//! Against SeaweedFS and moto, and against a server that answers as a test says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use seawall_test_servers::bucket::Bucket;
use seawall_test_servers::moto::Moto;
use seawall_test_servers::rclone::Rclone;
use seawall_test_servers::seaweedfs::{self, SeaweedFs};

use super::*;
use crate::conformance::Fresh;
use crate::{LookingBackend, ParsedUrl, RetryPolicy, RetryingBackend};

mod odd;
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
    let ParsedUrl::Remote(remote) = ParsedUrl::parse(url)? else {
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
    format!("s3://bucket/case-{}?endpoint={}", number(), server.endpoint())
}

/// rclone's server, which takes a folder for a bucket.
fn rclone_url() -> String {
    static SERVER: OnceLock<Rclone> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let (key, secret) = seaweedfs::ADMIN;
        let server = Rclone::serve("s3", &["--auth-key", &format!("{key},{secret}")]);
        std::fs::create_dir(server.folder.join("bucket")).unwrap();
        server
    });
    let (number, port) = (number(), server.port);
    format!("s3://bucket/case-{number}?endpoint=http://127.0.0.1:{port}")
}

fn fresh(url: &str) -> Fresh {
    // As it is used: a busy server may say so (503).
    let client = || RetryingBackend::new(open(url), RetryPolicy::patient());
    Fresh::new(client(), client())
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

mod on_seaweedfs {
    use super::{fresh, seaweed_url};
    crate::conformance_tests!(|| fresh(&seaweed_url()));
}

/// It looks for the key in one step and stores in another: of many writers at one moment two may win.
mod on_moto {
    use super::{fresh, moto_url};
    crate::with_conformance_cases! { crate::weak_conformance_tests, || fresh(&moto_url()) }
}

/// As Garage: what two writers at one moment do cannot be promised there.
#[test]
fn a_store_that_overwrites_keeps_all_other_promises() {
    for name in cases_but(&RACES) {
        crate::conformance::run(name, &|| {
            let bucket = Bucket::that_overwrites();
            let (first, second) = (looking(&bucket.url()), looking(&bucket.url()));
            Fresh::new(first, second).keeping(bucket)
        });
    }
}

/// It overwrites too, has folders below its buckets, which it says is its own failure (500), and
/// rounds times in one of two places.
#[test]
fn rclone_keeps_what_repositories_need() {
    let left_out = [
        "a_key_above_a_key_loses_nothing",
        "a_key_below_a_key_loses_nothing",
        "deleting_a_folder_takes_nothing",
        "deleting_below_a_key_takes_nothing",
        "entries_are_what_stat_tells",
    ];
    for name in cases_but(&[&RACES[..], &left_out].concat()) {
        crate::conformance::run(name, &|| {
            let url = rclone_url();
            Fresh::new(looking(&url), looking(&url))
        });
    }
}

const RACES: [&str; 3] = [
    "one_of_racing_writers_wins",
    "one_of_racing_writers_of_equal_bytes_wins",
    "one_writer_wins_each_of_many_races",
];

/// The conformance cases but these, which must be among them.
fn cases_but(left_out: &[&str]) -> Vec<&'static str> {
    let cases = crate::conformance::CASES.iter().map(|(name, _)| *name);
    let cases: Vec<_> = cases.filter(|name| !left_out.contains(name)).collect();
    let all = crate::conformance::CASES.len();
    assert_eq!(cases.len() + left_out.len(), all, "{left_out:?}");
    cases
}

/// As a store is used that overwrites.
fn looking(url: &str) -> LookingBackend<RetryingBackend<S3Backend>> {
    LookingBackend::new(RetryingBackend::new(open(url), RetryPolicy::fast()))
}
