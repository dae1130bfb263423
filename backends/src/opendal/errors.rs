//! From an error of opendal to ours: by its kind, and by what the transport noted. Nothing of a URL,
//! which may hold a signature, gets into a text.

use std::error::Error as StdError;

use opendal::ErrorKind as Theirs;

use super::services::Service;
use super::transport::Trouble;
use crate::{Error, ErrorKind};

/// As much of a server's own words as a message repeats.
const SHOWN: usize = 200;

/// What an error means, and what to do about it.
pub(super) fn explained(error: &opendal::Error, service: Service) -> Error {
    if let Some(trouble) = trouble(error) {
        return of_trouble(trouble, service);
    }
    let kind = kind(error);
    let told = Error::new(kind).with_source(text(error));
    match kind {
        ErrorKind::PermissionDenied => told.with_hint(service.credentials_hint()),
        ErrorKind::Other | ErrorKind::Transient if is_about_credentials(error) => {
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

fn of_trouble(trouble: &Trouble, service: Service) -> Error {
    let (kind, hint) = match trouble {
        Trouble::Status(status) => match status.as_u16() {
            401 => (
                ErrorKind::PermissionDenied,
                Some(service.credentials_hint()),
            ),
            413 => (
                ErrorKind::Invalid,
                Some(
                    "the server limits what it takes at a time: raise that (nginx: client_max_body_size)",
                ),
            ),
            507 => (
                ErrorKind::NoSpace,
                Some("the server's disk is full, or a quota is used up"),
            ),
            _ => (ErrorKind::Transient, None),
        },
        Trouble::Kept(_) => (ErrorKind::PermissionDenied, None),
        Trouble::Elsewhere(_) => (
            ErrorKind::Invalid,
            Some("give the URL that it sends to: nothing is sent on by itself"),
        ),
        Trouble::Certificate(_) => (
            ErrorKind::Invalid,
            Some("is it the right server? a certificate of your own authority needs --ca-file"),
        ),
        Trouble::Foreign => (
            ErrorKind::Invalid,
            Some("the proxy before the server has to leave paths as they are"),
        ),
        Trouble::Stalled(_) | Trouble::Line(_) => (ErrorKind::Transient, None),
    };
    let told = Error::new(kind).with_source(trouble.to_string());
    match hint {
        Some(hint) => told.with_hint(hint),
        None => told,
    }
}

/// What the transport noted, wherever opendal and its signers put it.
fn trouble(error: &opendal::Error) -> Option<&Trouble> {
    causes(error).find_map(|cause| match cause.downcast_ref::<opendal::Error>() {
        Some(theirs) if !std::ptr::eq(theirs, error) => trouble(theirs),
        _ => cause.downcast_ref(),
    })
}

fn causes<'a>(error: &'a opendal::Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Whether it failed before a request could be signed.
fn is_about_credentials(error: &opendal::Error) -> bool {
    causes(error).any(<dyn StdError>::is::<reqsign_core::Error>)
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
