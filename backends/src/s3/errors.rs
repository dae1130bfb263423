//! Maps errors of the library and the server to a kind, a text and a hint. Statuses and codes
//! decide about the kind, never a text.

use object_store::client::HttpError;

use super::answer::Answer;
use super::credentials::NoCredentials;
use super::http::S3Refusal;
use super::place::BucketPlace;
use crate::http::{HttpTrouble, find, innermost};
use crate::{Error, ErrorKind};

/// What went wrong, in our terms.
pub(super) fn failed(error: &object_store::Error, place: &BucketPlace) -> Error {
    if let Some(refused) = find::<S3Refusal>(error) {
        return of_answer(refused, place);
    }
    if let Some(NoCredentials(text)) = find(error) {
        return Error::new(ErrorKind::PermissionDenied)
            .with_source(format!("there are no credentials for S3: {text}"))
            .with_hint(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with ?profile=…",
            );
    }
    if let Some(trouble) = find::<HttpTrouble>(error) {
        return trouble.explained();
    }
    let kind = match (error, find::<HttpError>(error)) {
        (object_store::Error::NotFound { .. }, _) => ErrorKind::NotFound,
        (object_store::Error::InvalidPath { .. }, _) => ErrorKind::Invalid,
        (_, Some(_)) => ErrorKind::Transient,
        _ => ErrorKind::Other,
    };
    // The innermost error names the cause; the outer ones repeat method and address.
    Error::new(kind).with_source(format!("{}: {}", place.server(), innermost(error)))
}

/// A put was refused, and it may be for a header that the server does not know.
#[derive(Debug)]
struct RefusedRequest(String);

impl std::fmt::Display for RefusedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for RefusedRequest {}

/// Whether the server called a request one that it does not understand (400, 501): the same without
/// some headers may be one that it does.
pub(super) fn may_be_a_header(error: &Error) -> bool {
    find::<RefusedRequest>(error).is_some()
}

/// Refusals that no header can be the reason for.
fn is_about_the_object(code: &str) -> bool {
    const CODES: [&str; 4] =
        ["KeyTooLongError", "EntityTooLarge", "EntityTooSmall", "InvalidBucketName"];
    CODES.contains(&code)
}

/// Such an error, told with the headers and the way out.
pub(super) fn refuses_headers(error: &Error) -> Error {
    Error::new(ErrorKind::Invalid)
        .with_source(format!(
            "{}; a put has the headers If-None-Match and x-amz-checksum-sha256, of which this server may know one not",
            innermost_text(error)
        ))
        .with_hint("if it is for one of these headers: `seawall init --accept-weak-writes` sends neither, where only this host writes (docs/destinations.md, \"Weak writes\")")
}

/// What an error says by its source.
pub(super) fn innermost_text(error: &Error) -> String {
    use std::error::Error as _;
    error.source().map(ToString::to_string).unwrap_or_default()
}

/// The bucket is not there.
pub(super) fn no_bucket(place: &BucketPlace) -> Error {
    Error::new(ErrorKind::Invalid)
        .with_source(format!("{} has no bucket {}", place.server(), place.bucket))
        .with_hint("make the bucket first, with its own tools: seawall makes none")
}

fn other_region(region: Option<&str>, place: &BucketPlace) -> Error {
    let here = &place.region;
    match region.filter(|region| region != here) {
        Some(region) => Error::new(ErrorKind::Invalid)
            .with_source(format!(
                "the bucket {} is in the region {region}, not in {here}",
                place.bucket
            ))
            .with_hint(format!("write ?region={region} into the URL")),
        None => Error::new(ErrorKind::Invalid)
            .with_source(format!(
                "{} says that the bucket {} is to be asked for elsewhere",
                place.server(),
                place.bucket
            ))
            .with_hint("check region and endpoint in the URL"),
    }
}

/// Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList>;
/// `XMinio…` are those of `MinIO`, `QuotaExceeded` is Ceph's and others'.
fn of_answer(refused: &S3Refusal, place: &BucketPlace) -> Error {
    let (status, answer) = (refused.status, &refused.answer);
    let region = answer.region.as_deref().or(refused.region.as_deref());
    let kind = match (answer.code.as_str(), status.as_u16()) {
        ("NoSuchBucket", _) => return no_bucket(place),
        (
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "TemporaryRedirect"
            | "IllegalLocationConstraintException",
            _,
        ) => return other_region(region, place),
        ("RequestTimeTooSkewed", _) => return skewed(answer),
        (
            "QuotaExceeded"
            | "XMinioStorageFull"
            | "XMinioAdminBucketQuotaExceeded"
            | "EntityQuotaExceeded"
            | "InsufficientStorage",
            _,
        )
        | (_, 507) => ErrorKind::NoSpace,
        // Digest errors: bytes changed on their way. Conflicts: another writer of the same key has
        // not finished yet.
        (
            "RequestTimeout"
            | "SlowDown"
            | "InternalError"
            | "ServiceUnavailable"
            | "BadDigest"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
            | "ConditionalRequestConflict"
            | "OperationAborted",
            _,
        )
        | (_, 408 | 409 | 425 | 429 | 500 | 502 | 503 | 504) => ErrorKind::Transient,
        ("InvalidObjectState", _) => ErrorKind::Other,
        ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) | (_, 401 | 403) => {
            ErrorKind::PermissionDenied
        }
        (_, 404) => ErrorKind::NotFound,
        (_, 412) => ErrorKind::AlreadyExists,
        (_, 416) => ErrorKind::OutOfRange,
        (_, 301 | 302 | 307 | 308) => return other_region(region, place),
        // The answer to a HEAD has no more than this.
        ("", 400) if region.is_some_and(|region| region != place.region) => {
            return other_region(region, place);
        }
        (_, 400 | 405 | 411 | 413 | 501) => ErrorKind::Invalid,
        _ => ErrorKind::Other,
    };
    let text = answer.text().unwrap_or_else(|| status.to_string());
    let said = format!("{}: {text}", place.server());
    let error = match status.as_u16() {
        400 | 501 if kind == ErrorKind::Invalid && !is_about_the_object(&answer.code) => {
            Error::new(kind).with_source(RefusedRequest(said))
        }
        _ => Error::new(kind).with_source(said),
    };
    match hint(&answer.code) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" => {
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile, and that they are for this server"
        }
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            "the session has ended: log in again (aws sso login), or renew the token"
        }
        "AccessDenied" => {
            "allow these credentials s3:ListBucket on the bucket, s3:GetObject and s3:PutObject below the prefix"
        }
        "InvalidObjectState" => {
            "it lies in an archive class: have the storage restore it first, then run the same again"
        }
        _ => return None,
    })
}

fn skewed(answer: &Answer) -> Error {
    let clocks = match (&answer.request_time, &answer.server_time) {
        (Some(here), Some(there)) => format!("it is {here} here and {there} there"),
        _ => "the server does not say which time it has".to_owned(),
    };
    Error::new(ErrorKind::Invalid)
        .with_source(format!("this host's clock and the server's are too far apart: {clocks}"))
        .with_hint("set the clock (NTP)")
}
