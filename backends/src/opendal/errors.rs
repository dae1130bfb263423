//! From an error of opendal to ours: by its kind, and by what the transport noted. Nothing of a URL,
//! which may hold a signature, gets into a text.

use opendal::ErrorKind as Theirs;

use super::services::OpendalService;
use super::transport::Told;
use crate::http::{HttpTrouble, find};
use crate::{Error, ErrorKind};

/// As much of a server's own words as a message repeats.
const SHOWN: usize = 200;

/// What an error means, and what to do about it.
pub(super) fn explained(error: &opendal::Error, service: OpendalService) -> Error {
    if let Some(trouble) = find::<HttpTrouble>(error) {
        return trouble.explained();
    }
    if let Some(told) = find(error) {
        return of_told(told, service);
    }
    let kind = kind(error);
    let told = Error::new(kind).with_source(text(error));
    match kind {
        ErrorKind::PermissionDenied => told.with_hint(service.credentials_hint()),
        ErrorKind::Other | ErrorKind::Transient if find::<reqsign_core::Error>(error).is_some() => {
            told.with_hint(service.credentials_hint())
        }
        _ => told,
    }
}

fn kind(error: &opendal::Error) -> ErrorKind {
    match error.kind() {
        Theirs::NotFound => ErrorKind::NotFound,
        Theirs::ConditionNotMatch | Theirs::AlreadyExists => ErrorKind::AlreadyExists,
        Theirs::PermissionDenied => ErrorKind::PermissionDenied,
        Theirs::RangeNotSatisfied => ErrorKind::OutOfRange,
        Theirs::RateLimited => ErrorKind::Transient,
        Theirs::ConfigInvalid
        | Theirs::Unsupported
        | Theirs::IsADirectory
        | Theirs::NotADirectory
        | Theirs::IsSameFile => ErrorKind::Invalid,
        _ if error.is_temporary() => ErrorKind::Transient,
        _ => ErrorKind::Other,
    }
}

fn of_told(told: &Told, service: OpendalService) -> Error {
    let (kind, hint) = match told {
        Told::Status(status) => match status.as_u16() {
            401 => (ErrorKind::PermissionDenied, Some(service.credentials_hint())),
            413 => (
                ErrorKind::Invalid,
                Some(
                    "the server limits what it takes at a time: raise that (nginx: client_max_body_size)",
                ),
            ),
            507 => (ErrorKind::NoSpace, Some("the server's disk is full, or a quota is used up")),
            _ => (ErrorKind::Transient, None),
        },
        Told::Kept(_) => (ErrorKind::PermissionDenied, None),
        Told::Elsewhere(_) => (
            ErrorKind::Invalid,
            Some("give the URL that it sends to: nothing is sent on by itself"),
        ),
        Told::Foreign => {
            (ErrorKind::Invalid, Some("the proxy before the server has to leave paths as they are"))
        }
        // Cut off, or a proxy's page: another attempt may get the list.
        Told::Malformed => (ErrorKind::Transient, None),
    };
    let error = Error::new(kind).with_source(told.to_string());
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// What happened, in one line without a URL.
fn text(error: &opendal::Error) -> String {
    let words = error.message();
    let line: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
    // A page for a browser says no more than the status.
    if line.is_empty() || line.starts_with('<') {
        return format!("the server answered: {}", error.kind());
    }
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}
