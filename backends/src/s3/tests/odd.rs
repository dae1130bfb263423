//! Servers that do not know a header of a put, or answer one oddly.

use seawall_test_servers::bucket::failure;
use seawall_test_servers::web::{Answer, Request};

use super::*;
use crate::RetryingBackend;

/// A bucket that answers so to a put with this header, and overwrites.
fn refusing(header: &'static str, answer: fn() -> Answer) -> Bucket {
    let bucket = Bucket::that_overwrites();
    bucket.script(move |request: &Request| {
        let is_refused = request.method == "PUT" && request.header(header).is_some();
        is_refused.then(answer)
    });
    bucket
}

/// Backblaze's S3 (cyberduck #16107), Alibaba's OSS (walgit #67), and answers that say less.
fn odd_buckets() -> Vec<(&'static str, Bucket)> {
    let (condition, sum) = ("if-none-match", "x-amz-checksum-sha256");
    let unsupported = || failure(400, "InvalidArgument", "");
    let not_implemented = || failure(501, "NotImplemented", "");
    vec![
        ("400 sum", refusing(sum, unsupported)),
        ("501 sum", refusing(sum, not_implemented)),
        ("501 condition", refusing(condition, not_implemented)),
        ("400 condition", refusing(condition, unsupported)),
        ("501 alone", refusing(condition, || Answer::new(501, ""))),
        ("400 alone", refusing(sum, || Answer::new(400, "no"))),
    ]
}

#[test]
fn a_header_that_is_refused_is_named() {
    for (name, bucket) in odd_buckets() {
        let error = open(&bucket.url()).put_new(&key("a"), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}: {error:?}");
        assert_eq!(error.key(), Some(&key("a")));
        let text = errors::innermost_text(&error);
        assert!(text.contains("If-None-Match"), "{name}: {text}");
        assert!(text.contains("x-amz-checksum-sha256"), "{name}: {text}");
        assert!(error.hint().unwrap().contains("--accept-weak-writes"));
        let puts = bucket.requests();
        let puts = puts.iter().filter(|put| put.method == "PUT");
        assert_eq!(puts.count(), 1, "{name}: it is tried without being told to");
    }
}

#[test]
fn with_weak_writes_neither_header_is_sent() {
    for (name, bucket) in odd_buckets() {
        let backend = open(&bucket.url());
        backend.accept_weak_writes();
        assert!(backend.weaknesses().is_empty());
        let backend = LookingBackend::new(backend);
        for name in ["a", "b"] {
            backend.put_new(&key(name), b"x").unwrap();
        }
        let again = backend.put_new(&key("a"), b"y").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{name}");
        assert_eq!(backend.get(&key("a"), None).unwrap(), b"x");
        let [weakness] = backend.weaknesses().try_into().unwrap();
        assert!(weakness.contains("refuses If-None-Match"), "{weakness}");
        let puts = bucket.requests();
        let puts: Vec<_> = puts.iter().filter(|put| put.method == "PUT").collect();
        assert_eq!(puts.len(), 3, "{name}: the refusal is found out once");
        for put in &puts[1..] {
            assert_eq!(put.header("if-none-match"), None, "{name}");
            assert_eq!(put.header("x-amz-checksum-sha256"), None, "{name}");
            assert_eq!(put.header("x-amz-sdk-checksum-algorithm"), None, "{name}");
        }
    }
}

/// What is wrong with the object itself is wrong without headers too: nothing weaker is tried, and no option named.
#[test]
fn a_refusal_of_the_object_itself_is_none_of_a_header() {
    for code in ["KeyTooLongError", "EntityTooLarge", "EntityTooSmall", "InvalidBucketName"] {
        for is_accepted in [false, true] {
            let bucket = Bucket::that_keeps();
            let backend = open(&bucket.url());
            bucket.script(move |request: &Request| {
                (request.method == "PUT").then(|| failure(400, code, ""))
            });
            if is_accepted {
                backend.accept_weak_writes();
            }
            let error = backend.put_new(&key("a"), b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{code}: {error:?}");
            let text = errors::innermost_text(&error);
            assert!(text.contains(code) && !text.contains("If-None-Match"), "{text}");
            let hint = error.hint().unwrap_or_default();
            assert!(!hint.contains("--accept-weak-writes"), "{code}: {hint}");
            let puts = bucket.requests();
            let puts = puts.iter().filter(|put| put.method == "PUT");
            assert_eq!(puts.count(), 1, "{code}");
            assert!(backend.weaknesses().is_empty(), "{code}");
        }
    }
}

/// Weak writes that were accepted for another reason change nothing about what is sent.
#[test]
fn headers_that_are_taken_are_sent() {
    let bucket = Bucket::that_keeps();
    let backend = open(&bucket.url());
    backend.accept_weak_writes();
    backend.put_new(&key("a"), b"x").unwrap();
    assert!(backend.weaknesses().is_empty());
    let puts = bucket.requests();
    let put = puts.iter().find(|put| put.method == "PUT").unwrap();
    assert_eq!(put.header("if-none-match"), Some("*"));
}

/// As it happens beside a removal (AWS's own words about conditional writes).
#[test]
fn a_put_that_finds_nothing_is_tried_again() {
    let bucket = Bucket::that_keeps();
    let count = AtomicUsize::new(0);
    bucket.script(move |request: &Request| {
        let is_first = request.method == "PUT" && count.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then(|| failure(404, "NoSuchKey", ""))
    });
    let backend = RetryingBackend::new(open(&bucket.url()), RetryPolicy::fast());
    backend.put_new(&key("a"), b"x").unwrap();
    assert_eq!(backend.get(&key("a"), None).unwrap(), b"x");
}
