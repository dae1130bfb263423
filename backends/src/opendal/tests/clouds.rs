//! Azure and Google, by a server of this process that speaks as they do.

use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_test_servers::blobs::{Blobs, azure_failure, google_failure};
use seawall_test_servers::web::Answer;

use super::*;

/// A key of Azure's is Base64: `printf hunter2-key | base64`.
const AZURE_KEY: &str = "aHVudGVyMi1rZXk=";
const AZURE_TOKEN: &str = "sv=2024-11-04&sp=racwdl&sig=hunter2sig";
const GOOGLE_TOKEN: &str = "hunter2-token";

/// Which of them, and with which credentials.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cloud {
    AzureByKey,
    AzureByToken,
    Google,
}
use Cloud::{AzureByKey, AzureByToken, Google};

const CLOUDS: [Cloud; 3] = [AzureByKey, AzureByToken, Google];

impl Cloud {
    fn try_open(self, endpoint: &str) -> Result<OpendalBackend> {
        let (url, name, secret) = match self {
            AzureByKey => ("azblob://account/bucket", "AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY),
            AzureByToken => ("azblob://account/bucket", "AZURE_STORAGE_SAS_TOKEN", AZURE_TOKEN),
            Google => ("gcs://bucket", "GOOGLE_OAUTH_ACCESS_TOKEN", GOOGLE_TOKEN),
        };
        let options = Options {
            plain_http: true,
            stalled_after: Duration::from_millis(400),
            variable: Arc::new(move |asked| (asked == name).then(|| secret.to_owned())),
            ..Options::default()
        };
        let url = format!("{url}/of%20x?endpoint={endpoint}");
        super::try_open(&url, &options, Absent::Refuse)
    }

    fn open(self, server: &Blobs) -> OpendalBackend {
        self.try_open(&server.endpoint()).unwrap()
    }

    fn failure(self, status: u16, azure: &str, google: &str) -> Answer {
        match self {
            AzureByKey | AzureByToken => azure_failure(status, azure),
            Google => google_failure(status, google),
        }
    }

    fn fresh(self) -> Fresh {
        let server = Blobs::new();
        let (first, second) = (self.open(&server), self.open(&server));
        Fresh::new(first, second).keeping(server)
    }
}

mod azure_conformance {
    crate::conformance_tests!(|| super::AzureByKey.fresh());
}

mod google_conformance {
    crate::conformance_tests!(|| super::Google.fresh());
}

/// What an error says shows no secret, and nothing that is made from one.
fn without_secrets(error: &Error) -> String {
    let text = said(error);
    for secret in ["hunter2", AZURE_KEY, "sig=", "Bearer", "SharedKey"] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}

#[test]
fn statuses_have_their_kinds() {
    for cloud in CLOUDS {
        for (status, azure, google, kind, words) in [
            (
                401,
                "NoAuthenticationInformation",
                "authError",
                ErrorKind::PermissionDenied,
                "look at",
            ),
            (403, "AuthorizationFailure", "forbidden", ErrorKind::PermissionDenied, "look at"),
            (403, "AuthenticationFailed", "forbidden", ErrorKind::PermissionDenied, "look at"),
            (413, "RequestBodyTooLarge", "uploadTooLarge", ErrorKind::Invalid, "limits"),
            (429, "TooManyRequests", "rateLimitExceeded", ErrorKind::Transient, ""),
            (500, "InternalError", "internalError", ErrorKind::Transient, ""),
            (503, "ServerBusy", "backendError", ErrorKind::Transient, ""),
            (507, "", "", ErrorKind::NoSpace, "full"),
            (418, "Teapot", "teapot", ErrorKind::Other, ""),
        ] {
            let server = Blobs::new();
            let backend = cloud.open(&server);
            server.script(move |request| {
                let is_put = matches!(request.method.as_str(), "PUT" | "POST");
                is_put.then(|| cloud.failure(status, azure, google))
            });
            let error = backend.put_new(&key("a"), b"x").unwrap_err();
            let text = without_secrets(&error);
            assert_eq!(error.kind(), kind, "{cloud:?} {status}: {text}");
            assert!(error.hint().unwrap_or_default().contains(words), "{text}");
            assert_eq!(error.key(), Some(&key("a")));
        }
    }
}

#[test]
fn lines_that_fail_are_transient() {
    for cloud in CLOUDS {
        for (name, answer) in [
            ("hangs up", Answer { hangs_up: true, ..Answer::default() }),
            ("short", Answer { claims: Some(100), ..Answer::new(200, "x") }),
            ("stalls", Answer { claims: Some(100), stalls: true, ..Answer::new(200, "x") }),
        ] {
            let server = Blobs::new();
            let backend = cloud.open(&server);
            server.script(move |_| Some(answer.clone()));
            let error = backend.get(&key("a"), None).unwrap_err();
            let text = without_secrets(&error);
            assert_eq!(error.kind(), ErrorKind::Transient, "{cloud:?} {name}: {text}");
        }
    }
}

#[test]
fn what_passes_is_tried_again() {
    for cloud in CLOUDS {
        let server = Blobs::new();
        let backend = RetryingBackend::new(cloud.open(&server), RetryPolicy::fast());
        let tries = AtomicUsize::new(0);
        server.script(move |request| {
            let is_put = matches!(request.method.as_str(), "PUT" | "POST");
            let is_early = is_put && tries.fetch_add(1, Ordering::SeqCst) < 2;
            is_early.then(|| cloud.failure(503, "ServerBusy", "backendError"))
        });
        backend.put_new(&key("a"), b"x").unwrap();
        assert_eq!(backend.get(&key("a"), None).unwrap(), b"x");
    }
}

#[test]
fn opening_says_what_is_wrong() {
    for cloud in CLOUDS {
        let server = Blobs::new();
        server.script(move |_| Some(cloud.failure(404, "ContainerNotFound", "notFound")));
        let error = cloud.try_open(&server.endpoint()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}", without_secrets(&error));
        assert!(error.hint().unwrap().contains("make it first"));
        server.script(move |_| Some(cloud.failure(403, "AuthenticationFailed", "forbidden")));
        let error = cloud.try_open(&server.endpoint()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", without_secrets(&error));
        server.script(|_| Some(Answer::new(302, "").with("location", "http://127.0.0.1:9/")));
        let error = cloud.try_open(&server.endpoint()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{}", without_secrets(&error));
        let shown = format!("{:?}", cloud.open(&Blobs::new()));
        assert!(!shown.contains("hunter2") && !shown.contains(AZURE_KEY), "{shown}");
    }
}

#[test]
fn what_a_rule_of_azure_keeps_is_no_backup_that_was_there() {
    let server = Blobs::new();
    let backend = AzureByKey.open(&server);
    for code in ["BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"] {
        server.script(move |_| Some(azure_failure(409, code)));
        let error = backend.put_new(&key("a"), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    }
}

/// Google takes larger bodies in pieces of 8 MiB: the condition stands in the first request, and
/// holds when the last piece has come.
#[test]
fn a_body_in_pieces_is_create_only() {
    let server = Arc::new(Blobs::new());
    let backend = Google.open(&server);
    let body = vec![7; 20 << 20];
    backend.put_new(&key("a"), &body).unwrap();
    let requests = server.requests();
    let starts: Vec<_> = requests.iter().filter(|request| request.method == "POST").collect();
    assert_eq!(starts.len(), 1);
    assert_eq!(starts[0].parameter("ifGenerationMatch"), Some("0"));
    let pieces = requests.iter().filter(|request| request.method == "PUT");
    let pieces: Vec<_> = pieces.map(|piece| piece.header("content-range").unwrap()).collect();
    let ranges = ["0-8388607/*", "8388608-16777215/*", "16777216-20971519/20971520"];
    assert_eq!(pieces, ranges.map(|range| format!("bytes {range}")));
    assert!(backend.get(&key("a"), None).unwrap() == body);
    // Somebody else is faster, between the first request and the last.
    let other = Google.open(&server);
    let is_done = AtomicUsize::new(0);
    server.script(move |request| {
        let is_last = request.method == "PUT" && !request.header("content-range")?.ends_with("/*");
        if is_last && is_done.fetch_add(1, Ordering::SeqCst) == 0 {
            other.put_new(&key("b"), b"other").unwrap();
        }
        None
    });
    let late = backend.put_new(&key("b"), &body).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::AlreadyExists, "{late:?}");
    assert_eq!(backend.get(&key("b"), None).unwrap(), b"other");
}
