//! What B2 says, in JSON: <https://www.backblaze.com/apidocs/introduction-to-the-b2-native-api>

use std::fmt;

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bad_answer;
use crate::http::find;
use crate::{Error, ErrorKind, Result};

/// As much of a server's own words as a message repeats.
const SHOWN: usize = 200;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoggedIn {
    pub(super) authorization_token: String,
    pub(super) api_url: String,
    pub(super) download_url: String,
}

/// Where one upload after the other may go.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UploadUrl {
    pub(super) authorization_token: String,
    pub(super) upload_url: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) files: Vec<B2Version>,
    pub(super) next_file_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct B2Version {
    pub(super) file_name: String,
    pub(super) action: String,
    pub(super) content_length: u64,
    /// In milliseconds since 1970.
    pub(super) upload_timestamp: u64,
}

/// B2 refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct B2Refusal {
    status: u16,
    code: String,
    message: String,
}

impl fmt::Display for B2Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{} {}: {}", self.status, self.code, self.message);
        let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        write!(f, "B2 answered {}", plain.take(SHOWN).collect::<String>())
    }
}

impl std::error::Error for B2Refusal {}

/// An answer, or what it means that it says no.
pub(super) fn accepted(answer: Response<Bytes>) -> Result<Response<Bytes>> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let mut refused: B2Refusal = serde_json::from_slice(answer.body()).unwrap_or_default();
    // The answer to a HEAD says no more than this.
    refused.status = answer.status().as_u16();
    Err(refused.explained())
}

pub(super) fn parsed<T: DeserializeOwned>(answer: &Response<Bytes>) -> Result<T> {
    // Without the text: it holds tokens.
    serde_json::from_slice(answer.body()).map_err(|_| bad_answer("it is other JSON"))
}

/// Whether a token has to be fetched anew.
pub(super) fn is_expired(error: &Error) -> bool {
    find::<B2Refusal>(error).is_some_and(|refused| {
        // The answer to a HEAD has no code.
        refused.status == 401
            && matches!(refused.code.as_str(), "expired_auth_token" | "bad_auth_token" | "")
    })
}

/// Whether a name is not there, to somebody who removes it.
pub(super) fn is_gone(error: &Error) -> bool {
    find::<B2Refusal>(error)
        .is_some_and(|refused| matches!(refused.code.as_str(), "already_hidden" | "no_such_file"))
}

impl B2Refusal {
    /// Codes: the pages of each call.
    fn explained(self) -> Error {
        let (kind, hint) = match (self.code.as_str(), self.status) {
            ("storage_cap_exceeded", _) => (
                ErrorKind::NoSpace,
                "the account's cap for storage is reached: raise it on B2's web page",
            ),
            ("cap_exceeded" | "transaction_cap_exceeded" | "download_cap_exceeded", _) => (
                ErrorKind::PermissionDenied,
                "a daily cap of the account is reached: raise it on B2's web page, or wait until midnight UTC",
            ),
            ("bad_bucket_id", _) => {
                (ErrorKind::Invalid, "check the bucket-id in the URL: the bucket has to exist")
            }
            (_, 401 | 403) => (
                ErrorKind::PermissionDenied,
                "look at B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY: the key needs listFiles, readFiles and writeFiles",
            ),
            (_, 404) => (ErrorKind::NotFound, ""),
            (_, 416) => (ErrorKind::OutOfRange, ""),
            (_, 408 | 429 | 500..=599) => (ErrorKind::Transient, ""),
            (_, 400 | 405 | 413) => (ErrorKind::Invalid, ""),
            _ => (ErrorKind::Other, ""),
        };
        let error = Error::new(kind).with_source(self);
        if hint.is_empty() { error } else { error.with_hint(hint) }
    }
}
