//! What is sent, and what the settings of a caller and of a bucket do.

use std::num::NonZeroUsize;
use std::process::Command;
use std::thread;
use std::time::Duration;

use seawall_test_servers::wait;

use super::*;
use crate::{Weight, probe};

const KEYS: (&str, &str) = ("some-key", "hunter2");

#[test]
fn a_put_is_create_only_and_checked() {
    let bucket = Bucket::that_keeps();
    let backend = try_open(&bucket.url(), KEYS, |options| {
        options.storage_classes = vec![("data/blocks".to_owned(), "GLACIER_IR".to_owned())];
    });
    let backend = backend.unwrap();
    for name in ["data/blocks/00/x", "data/blocksy", "markers/x"] {
        backend.put_new(&key(name), b"body").unwrap();
    }
    let puts: Vec<_> = bucket.requests();
    let puts: Vec<_> = puts.iter().filter(|put| put.method == "PUT").collect();
    assert_eq!(puts.len(), 3);
    for put in &puts {
        assert_eq!(put.header("if-none-match"), Some("*"));
        // printf body | openssl dgst -sha256 -binary | base64
        let sum = "Iw2DWNyOiJC0xY3utikS7i8gNXrpKlzIYbmOaP4xrLU=";
        assert_eq!(put.header("x-amz-checksum-sha256"), Some(sum));
        assert_eq!(put.header("content-length"), Some("4"));
        assert!(!put.target.contains("hunter2"));
    }
    let classes: Vec<_> = puts.iter().map(|put| put.header("x-amz-storage-class")).collect();
    assert_eq!(classes, [Some("GLACIER_IR"), None, None]);
    assert!(!format!("{backend:?}").contains("hunter2"));
}

#[test]
fn stores_that_overwrite_are_told_from_those_that_do_not() {
    for (url, expected) in [
        (seaweed_url(), Writes::CreateOnly),
        (moto_url(), Writes::CreateOnly),
        (Bucket::that_overwrites().url(), Writes::Weak),
    ] {
        let backend = open(&url);
        backend.put_new(&key("keys/x"), b"x").unwrap();
        assert_eq!(probe(&backend, &key("keys/x"), b"x").unwrap(), expected);
    }
    let looking = LookingBackend::new(open(&Bucket::that_overwrites().url()));
    looking.put_new(&key("a"), b"first").unwrap();
    let again = looking.put_new(&key("a"), b"second").unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    assert_eq!(looking.get(&key("a"), None).unwrap(), b"first");
}

#[test]
fn so_many_requests_are_made_at_once_and_no_more() {
    let bucket = Bucket::that_gathers(3);
    let backend = try_open(&bucket.url(), KEYS, |options| {
        options.connections = NonZeroUsize::new(3);
    });
    let backend = backend.unwrap();
    assert_eq!(backend.properties().connections.get(), 3);
    thread::scope(|scope| {
        for number in 0..12 {
            let backend = &backend;
            scope.spawn(move || backend.put_new(&key(&format!("a/{number}")), b"x").unwrap());
        }
    });
    assert_eq!(bucket.most_at_once(), 3);
}

#[test]
fn a_slow_line_is_not_a_dead_one() {
    let bucket = Bucket::that_keeps();
    let url = bucket.url();
    let slow = try_open(&url, KEYS, |options| {
        // A second for the body, five times what a dead line is given.
        options.upload_limit = std::num::NonZeroU64::new(200_000);
        options.stalled_after = Duration::from_millis(500);
    });
    let body = vec![7; 300_000];
    slow.unwrap().put_new(&key("a"), &body).unwrap();
    let slow = try_open(&url, KEYS, |options| {
        options.download_limit = std::num::NonZeroU64::new(200_000);
        options.stalled_after = Duration::from_millis(500);
    });
    assert!(slow.unwrap().get(&key("a"), None).unwrap() == body);
}

#[test]
fn many_keys_are_listed_in_pages() {
    let bucket = Bucket::that_keeps();
    let backend = open(&bucket.url());
    for number in 0..10 {
        backend.put_new(&key(&format!("a/{number}")), b"x").unwrap();
    }
    assert_eq!(backend.list("a").count(), 10);
    let lists = bucket.requests();
    let is_list =
        |request: &&seawall_test_servers::web::Request| request.target.contains("list-type=2");
    // Four pages, and the one request of `open`.
    assert_eq!(lists.iter().filter(is_list).count(), 5);
}

#[test]
fn what_other_tools_left_is_passed_over() {
    let endpoint = seaweed().endpoint();
    let url = format!("s3://bucket/folders-{}?endpoint={endpoint}", number());
    let backend = open(&url);
    backend.put_new(&key("data/x"), b"x").unwrap();
    backend.put_new(&key("data/empty"), b"").unwrap();
    let whole = open(&format!("s3://bucket?endpoint={endpoint}"));
    let hidden = Path::parse(format!("{}/data/.hidden", backend.place.prefix)).unwrap();
    let other = whole.client.put(&hidden, PutPayload::from_static(b"x"));
    block_on(other).unwrap().unwrap();
    let mut names: Vec<_> = backend.list("").map(|entry| entry.unwrap().key.to_string()).collect();
    names.sort();
    assert_eq!(names, ["data/empty", "data/x"]);
}

#[test]
fn a_locked_bucket_takes_backups_and_gives_nothing_away() {
    static NAME: &str = "locked";
    let server = seaweed();
    server.shell(&format!("s3.bucket.create -name {NAME} -withLock"));
    let backend = open(&format!("s3://{NAME}/p?endpoint={}", server.endpoint()));
    backend.put_new(&key("a"), b"first").unwrap();
    let again = backend.put_new(&key("a"), b"second").unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    assert_eq!(backend.get(&key("a"), None).unwrap(), b"first");
    let findings = backend.examine();
    let about = |about: &str| findings.iter().find(|finding| finding.about == about).unwrap();
    assert!(about("object lock").text.starts_with("on"), "{findings:?}");
    assert_eq!(about("versioning").weight, Weight::Note, "{findings:?}");
}

#[test]
fn settings_are_read_where_they_can_be() {
    let findings = open(&seaweed_url()).examine();
    let abouts: Vec<_> = findings.iter().map(|finding| finding.about).collect();
    assert_eq!(abouts, ["versioning", "lifecycle", "object lock"]);
    assert_eq!(findings[0].text, "off", "{findings:?}");
}

#[test]
fn wrong_keys_and_buckets_are_told() {
    let endpoint = seaweed().endpoint();
    let url = format!("s3://bucket/x?endpoint={endpoint}");
    let wrong = try_open(&url, ("admin-key", "wrong"), |_| {}).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::PermissionDenied);
    assert!(wrong.hint().unwrap().contains("AWS_SECRET_ACCESS_KEY"));
    let url = format!("s3://no-such-bucket/x?endpoint={endpoint}");
    let missing = try_open(&url, seaweedfs::ADMIN, |_| {}).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Invalid);
    assert!(missing.hint().unwrap().contains("make the bucket"));
}

#[test]
fn a_certificate_of_ones_own_is_believed_if_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, private) = (path("cert.pem"), path("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &private, "-out", &certificate]);
    wait::success(&mut openssl);
    let server = SeaweedFs::with_tls(&certificate, &private);
    server.create_bucket("bucket");
    let url = format!("s3://bucket/x?endpoint=https://localhost:{}", server.tls_port.unwrap());
    let refused = try_open(&url, seaweedfs::ADMIN, |options| options.plain_http = false);
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused:?}");
    assert!(refused.hint().unwrap().contains("--ca-file"));
    let backend = try_open(&url, seaweedfs::ADMIN, |options| {
        options.plain_http = false;
        options.ca_file = Some(certificate.into());
    });
    backend.unwrap().put_new(&key("a"), b"x").unwrap();
    let none = try_open(&url, seaweedfs::ADMIN, |options| {
        options.ca_file = Some(private.into());
    });
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Invalid);
}
