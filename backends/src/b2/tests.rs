//! Against a server of this process: B2 itself cannot be had.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_test_servers::b2::{B2, BUCKET_ID, KEY, failure};
use seawall_test_servers::web::{Answer, Request};

use super::*;
use crate::conformance::Fresh;
use crate::{ParsedUrl, RetryPolicy, RetryingBackend};

fn try_open(server: &B2, id: &str, secret: &'static str) -> Result<B2Backend> {
    let options = Options {
        plain_http: true,
        stalled_after: Duration::from_millis(400),
        variable: Arc::new(move |name| match name {
            "B2_APPLICATION_KEY_ID" => Some(KEY.0.to_owned()),
            "B2_APPLICATION_KEY" => Some(secret.to_owned()),
            _ => None,
        }),
        ..Options::default()
    };
    let url = format!("b2://bucket/of%20x?bucket-id={id}");
    let ParsedUrl::Remote(remote) = ParsedUrl::parse(&url)? else {
        panic!("{url} is no folder");
    };
    B2Backend::open_at(&server.login(), &remote, &options)
}

fn open(server: &B2) -> B2Backend {
    try_open(server, BUCKET_ID, KEY.1).unwrap()
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn listed(backend: &B2Backend, prefix: &str) -> Vec<String> {
    let entries = backend.list(prefix);
    entries.map(|entry| entry.unwrap().key.to_string()).collect()
}

mod conformance {
    use super::*;

    crate::with_conformance_cases! { crate::weak_conformance_tests, || {
        let server = B2::new();
        let open = || RetryingBackend::new(open(&server), RetryPolicy::fast());
        Fresh::new(open(), open()).keeping(server)
    } }
}

#[test]
fn an_upload_is_checked_and_named() {
    let server = B2::new();
    let backend = open(&server);
    for name in ["a/x", "a/y"] {
        backend.put_new(&key(name), b"body").unwrap();
    }
    let requests = server.requests();
    let calls = |path: &str| -> Vec<&Request> {
        requests.iter().filter(|request| request.path() == path).collect()
    };
    let uploads = calls("/upload");
    // printf body | sha1sum
    let sum = "02083f4579e08a612425c0c1a17ee47add783b94";
    for upload in &uploads {
        assert_eq!(upload.header("x-bz-content-sha1"), Some(sum));
        assert_eq!(upload.header("content-length"), Some("4"));
    }
    assert_eq!(uploads[0].header("x-bz-file-name"), Some("of%20x/a/x"));
    assert_eq!(uploads.len(), 2);
    // An address is used again.
    assert_eq!(calls("/b2api/v2/b2_get_upload_url").len(), 1);
}

#[test]
fn what_is_removed_stays_as_a_version() {
    let server = B2::new();
    let backend = open(&server);
    for expected in [1, 3] {
        backend.put_new(&key("a"), b"body").unwrap();
        assert_eq!(server.versions("of x/a"), expected);
        backend.delete(&key("a")).unwrap();
        backend.delete(&key("a")).unwrap();
        assert_eq!(listed(&backend, ""), [] as [&str; 0]);
    }
    assert_eq!(server.versions("of x/a"), 4);
}

#[test]
fn what_others_stored_is_passed_over() {
    let server = B2::new();
    let backend = open(&server);
    for name in ["other", "of x", "of x/.bzEmpty", "of x/a/", "of x/a/.hidden", "of xy/b"] {
        server.plant(name, b"x");
    }
    for number in 0..12 {
        server.plant(&format!("of x/b/{number:02}"), b"x");
    }
    assert_eq!(listed(&backend, "").len(), 12);
    assert_eq!(listed(&backend, "b").len(), 12);
    // One that only begins like it is another.
    let missing = backend.stat(&key("b/0")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn an_expired_token_is_fetched_anew() {
    let server = B2::new();
    let backend = open(&server);
    backend.put_new(&key("a"), b"1").unwrap();
    server.expire_tokens();
    assert_eq!(backend.stat(&key("a")).unwrap().len, 1);
    server.expire_tokens();
    assert_eq!(listed(&backend, ""), ["a"]);
    server.expire_tokens();
    // That of an address for uploads too, but whoever retries sees to that.
    let put = backend.put_new(&key("b"), b"2").unwrap_err();
    assert_eq!(put.kind(), ErrorKind::Transient, "{put:?}");
    backend.put_new(&key("b"), b"2").unwrap();
    // One that never is good is not asked for again and again.
    server.script(|request| {
        let is_login = request.path().ends_with("authorize_account");
        (!is_login).then(|| failure(401, "expired_auth_token"))
    });
    let refused = backend.stat(&key("a")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
}

/// All that an error says.
fn said(error: &Error) -> String {
    let source = error.source().map(ToString::to_string);
    format!("{error} {error:?} {source:?} {:?}", error.hint())
}

#[test]
fn each_word_has_its_kind() {
    for (status, code, kind, hint) in [
        (403, "storage_cap_exceeded", ErrorKind::NoSpace, "cap"),
        (403, "transaction_cap_exceeded", ErrorKind::PermissionDenied, "midnight"),
        (403, "access_denied", ErrorKind::PermissionDenied, "writeFiles"),
        (401, "unauthorized", ErrorKind::PermissionDenied, "B2_APPLICATION_KEY"),
        (400, "bad_bucket_id", ErrorKind::Invalid, "bucket-id"),
        (400, "bad_request", ErrorKind::Invalid, ""),
        (413, "", ErrorKind::Invalid, ""),
        (404, "not_found", ErrorKind::NotFound, ""),
        (408, "request_timeout", ErrorKind::Transient, ""),
        (429, "too_many_requests", ErrorKind::Transient, ""),
        (500, "internal_error", ErrorKind::Transient, ""),
        (503, "service_unavailable", ErrorKind::Transient, ""),
        (418, "teapot", ErrorKind::Other, ""),
    ] {
        let server = B2::new();
        let backend = open(&server);
        server.script(move |request| (request.path() == "/upload").then(|| failure(status, code)));
        let error = backend.put_new(&key("a"), b"x").unwrap_err();
        let text = said(&error);
        assert_eq!(error.kind(), kind, "{text}");
        assert_eq!(error.key(), Some(&key("a")));
        assert!(error.hint().unwrap_or_default().contains(hint), "{text}");
        for secret in ["hunter2", "token-", "a2V5LWlk"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn an_address_that_failed_is_not_used_again() {
    let server = B2::new();
    let backend = RetryingBackend::new(open(&server), RetryPolicy::fast());
    let tries = AtomicUsize::new(0);
    server.script(move |request| {
        let is_early = request.path() == "/upload" && tries.fetch_add(1, Ordering::SeqCst) < 2;
        is_early.then(|| failure(503, "service_unavailable"))
    });
    backend.put_new(&key("a"), b"x").unwrap();
    let asked = |request: &&Request| request.path().ends_with("get_upload_url");
    assert_eq!(server.requests().iter().filter(asked).count(), 3);
}

#[test]
fn a_wrong_key_and_a_wrong_bucket_are_told() {
    let server = B2::new();
    let wrong = try_open(&server, BUCKET_ID, "wrong-hunter2").unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::PermissionDenied);
    assert!(!said(&wrong).contains("hunter2"));
    let wrong = try_open(&server, "other", KEY.1).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Invalid);
    assert!(wrong.hint().unwrap().contains("bucket-id"));
    let none = try_open(&server, BUCKET_ID, "").unwrap_err();
    assert!(none.hint().unwrap().contains("B2_APPLICATION_KEY_ID"));
    assert!(!format!("{:?}", open(&server)).contains("hunter2"));
}

#[test]
fn answers_that_cannot_be_are_refused() {
    let server = B2::new();
    let backend = open(&server);
    backend.put_new(&key("a"), b"0123456789").unwrap();
    server.script(|request| (request.method == "GET").then(|| Answer::new(200, "0123456789")));
    assert_eq!(backend.get(&key("a"), Some(2..4)).unwrap_err().kind(), ErrorKind::Other);
    server.script(|request| {
        let same = r#"{"files": [], "nextFileName": "x"}"#;
        request.path().ends_with("list_file_names").then(|| Answer::new(200, same))
    });
    assert_eq!(backend.list("").count(), 0);
    server.script(|_| Some(Answer::new(200, "hunter2")));
    let error = backend.list("").next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(!said(&error).contains("hunter2"));
    assert_eq!(backend.stat(&key("a")).unwrap_err().kind(), ErrorKind::Other);
}
