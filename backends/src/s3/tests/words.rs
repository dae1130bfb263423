//! Every word of a server that a caller acts on, said by a server of this process.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seawall_test_servers::bucket::failure;
use seawall_test_servers::web::Answer;

use super::*;

const KEYS: (&str, &str) = ("some-key", "hunter2");

/// A bucket that answers puts like this.
fn refusing(answer: Answer) -> (Bucket, S3Backend) {
    let bucket = Bucket::that_keeps();
    let backend = try_open(&bucket.url(), KEYS, |options| {
        options.stalled_after = Duration::from_millis(400);
    });
    bucket.script(move |request| (request.method == "PUT").then(|| answer.clone()));
    (bucket, backend.unwrap())
}

fn put_fails(answer: Answer) -> Error {
    let (_bucket, backend) = refusing(answer);
    let error = backend.put_new(&key("a/b"), b"body").unwrap_err();
    assert_eq!(error.key(), Some(&key("a/b")));
    let shown = format!("{error:?} {error} {:?}", error.source().map(ToString::to_string));
    assert!(!shown.contains("hunter2") && !shown.contains("Signature="), "{shown}");
    error
}

#[test]
fn each_word_has_its_kind() {
    for (status, code, kind) in [
        (412, "PreconditionFailed", ErrorKind::Invalid), // Nothing is there: see s3.rs, `put`.
        (409, "ConditionalRequestConflict", ErrorKind::Transient),
        (503, "SlowDown", ErrorKind::Transient),
        (500, "InternalError", ErrorKind::Transient),
        (502, "", ErrorKind::Transient),
        (504, "", ErrorKind::Transient),
        (429, "TooManyRequests", ErrorKind::Transient),
        (400, "RequestTimeout", ErrorKind::Transient),
        (400, "BadDigest", ErrorKind::Transient),
        (403, "AccessDenied", ErrorKind::PermissionDenied),
        (403, "SignatureDoesNotMatch", ErrorKind::PermissionDenied),
        (403, "InvalidAccessKeyId", ErrorKind::PermissionDenied),
        (400, "ExpiredToken", ErrorKind::PermissionDenied),
        (401, "", ErrorKind::PermissionDenied),
        (403, "QuotaExceeded", ErrorKind::NoSpace),
        (507, "XMinioStorageFull", ErrorKind::NoSpace),
        (507, "", ErrorKind::NoSpace),
        (403, "RequestTimeTooSkewed", ErrorKind::Invalid),
        (404, "NoSuchBucket", ErrorKind::Invalid),
        (400, "EntityTooLarge", ErrorKind::Invalid),
        (418, "Teapot", ErrorKind::Other),
    ] {
        let error = put_fails(failure(status, code, ""));
        assert_eq!(error.kind(), kind, "{status} {code}: {error:?}");
    }
}

#[test]
fn hints_name_the_next_step() {
    for (status, code, more, words) in [
        (403, "AccessDenied", "", "s3:PutObject"),
        (403, "SignatureDoesNotMatch", "", "AWS_SECRET_ACCESS_KEY"),
        (400, "ExpiredToken", "", "log in again"),
        (404, "NoSuchBucket", "", "make the bucket"),
        (403, "RequestTimeTooSkewed", "", "NTP"),
        (400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>", "region=eu-west-3"),
        (301, "PermanentRedirect", "", "check region"),
    ] {
        let error = put_fails(failure(status, code, more));
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains(words), "{code}: {hint:?}");
    }
}

#[test]
fn both_clocks_are_told() {
    let clocks =
        "<RequestTime>20261123T080000Z</RequestTime><ServerTime>2026-11-23T09:30:00Z</ServerTime>";
    let error = put_fails(failure(403, "RequestTimeTooSkewed", clocks));
    let text = error.source().unwrap().to_string();
    assert!(text.contains("20261123T080000Z") && text.contains("09:30:00Z"), "{text}");
}

#[test]
fn a_region_is_told_by_a_header_too() {
    let bucket = Bucket::that_keeps();
    let backend = try_open(&bucket.url(), KEYS, |_| {}).unwrap();
    bucket.script(|_| Some(Answer::new(301, "").with("x-amz-bucket-region", "ap-south-1")));
    let error = backend.stat(&key("a")).unwrap_err();
    assert!(error.hint().unwrap().contains("region=ap-south-1"));
}

#[test]
fn archived_bytes_are_asked_to_be_restored_first() {
    let bucket = Bucket::that_keeps();
    let backend = try_open(&bucket.url(), KEYS, |_| {}).unwrap();
    bucket.script(|_| Some(failure(403, "InvalidObjectState", "")));
    let error = backend.get(&key("a"), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.hint().unwrap().contains("archive"));
}

#[test]
fn opening_says_what_is_wrong() {
    for (status, code, kind) in [
        (404, "NoSuchBucket", ErrorKind::Invalid),
        (403, "InvalidAccessKeyId", ErrorKind::PermissionDenied),
        (503, "SlowDown", ErrorKind::Transient),
    ] {
        let bucket = Bucket::that_keeps();
        bucket.script(move |_| Some(failure(status, code, "")));
        let error = try_open(&bucket.url(), KEYS, |_| {}).unwrap_err();
        assert_eq!(error.kind(), kind, "{code}");
    }
    // A port on which nothing listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("s3://bucket?endpoint=http://127.0.0.1:{port}");
    let error = try_open(&url, KEYS, |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.source().unwrap().to_string().contains("127.0.0.1"));
}

#[test]
fn answers_that_end_early_are_no_answers() {
    for (name, answer) in [
        ("hangs up", Answer { hangs_up: true, ..Answer::default() }),
        ("short", Answer { claims: Some(100), ..Answer::new(200, "x") }),
        ("stalls", Answer { claims: Some(100), stalls: true, ..Answer::new(200, "x") }),
    ] {
        let answer =
            answer.with("last-modified", "Mon, 23 Nov 2026 08:00:00 GMT").with("etag", "\"x\"");
        let bucket = Bucket::that_keeps();
        let backend = try_open(&bucket.url(), KEYS, |options| {
            options.stalled_after = Duration::from_millis(400);
        });
        let backend = backend.unwrap();
        bucket.script(move |_| Some(answer.clone()));
        let error = backend.get(&key("a"), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{name}: {error:?}");
    }
}

#[test]
fn a_whole_thing_is_no_range() {
    let bucket = Bucket::that_keeps();
    let backend = try_open(&bucket.url(), KEYS, |_| {}).unwrap();
    backend.put_new(&key("a"), b"0123456789").unwrap();
    bucket.script(|request| {
        let mut answer = Answer::new(200, "0123456789").with("etag", "\"x\"");
        answer = answer.with("last-modified", "Mon, 23 Nov 2026 08:00:00 GMT");
        request.header("range").is_some().then_some(answer)
    });
    assert!(backend.get(&key("a"), Some(2..4)).is_err());
    assert_eq!(backend.get(&key("a"), None).unwrap(), b"0123456789");
}

#[test]
fn what_passes_is_tried_again_and_a_lost_answer_is_ok() {
    let bucket = Bucket::that_keeps();
    let backend = try_open(&bucket.url(), KEYS, |_| {}).unwrap();
    let retrying = RetryingBackend::new(backend, RetryPolicy::fast());
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    bucket.script(move |request| {
        let slow = request.method == "PUT" && count.fetch_add(1, Ordering::SeqCst) < 3;
        slow.then(|| failure(503, "SlowDown", ""))
    });
    retrying.put_new(&key("a"), b"x").unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 4);
    // The put has its effect, and its answer is lost.
    let bucket = Bucket::that_keeps();
    let plain = try_open(&bucket.url(), KEYS, |_| {}).unwrap();
    plain.put_new(&key("lost"), b"x").unwrap();
    let first = AtomicUsize::new(0);
    bucket.script(move |request| {
        let is_first = request.method == "PUT" && first.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then(|| Answer { hangs_up: true, ..Answer::default() })
    });
    let retrying = RetryingBackend::new(plain, RetryPolicy::fast());
    retrying.put_new(&key("lost"), b"x").unwrap();
}
