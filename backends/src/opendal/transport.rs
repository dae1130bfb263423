//! HTTP as opendal's services use it, through our client: what a status means is told by a type,
//! where opendal would drop it.

use std::error::Error as StdError;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use http::header::{DATE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Request, Response, StatusCode};
use opendal::raw::Timestamp;
use opendal::{Buffer, HttpBody, HttpTransport};

use super::multistatus;
use crate::http::WebClient;
use crate::{Options, Result};

/// An answer that a service of opendal could not tell from others.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// An answer with this status.
    Status(StatusCode),
    /// Azure answered with this status and code that a rule keeps what is stored.
    Kept(StatusCode),
    /// The server sends us to another place.
    Elsewhere(StatusCode),
    /// The answer is not one to this request.
    Foreign,
    /// The list of files is no XML.
    Malformed,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the server answered {status}"),
            Self::Kept(status) => write!(
                f,
                "the server answered {status}: a policy or a legal hold keeps what is stored"
            ),
            Self::Elsewhere(status) => {
                write!(f, "the server answered {status} and names another place")
            }
            Self::Foreign => {
                f.write_str("the server names its files by other paths than those it is asked for")
            }
            Self::Malformed => f.write_str("the server's list of files is no XML"),
        }
    }
}

impl StdError for Told {}

/// What opendal passes on of an error of ours.
fn failed(error: impl StdError + Send + Sync + 'static) -> opendal::Error {
    opendal::Error::new(opendal::ErrorKind::Unexpected, "").set_source(error)
}

/// A client, shared by everybody who holds a clone.
#[derive(Clone)]
pub(super) struct Transport {
    client: WebClient,
    /// What the server's clock showed last.
    server_time: Arc<Mutex<Option<SystemTime>>>,
}

impl Transport {
    /// At most so many requests at a time. Errors: as [`WebClient::new`].
    pub(super) fn new(options: &Options, requests: NonZeroUsize) -> Result<Self> {
        Ok(Self { client: WebClient::new(options, requests)?, server_time: Arc::default() })
    }

    /// What the server's clock showed in its last answer.
    pub(super) fn server_time(&self) -> Option<SystemTime> {
        *self.server_time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_time(&self, headers: &HeaderMap) {
        let time = headers
            .get(DATE)
            .and_then(|date| date.to_str().ok())
            .and_then(|date| Timestamp::parse_rfc2822(date).ok());
        if let Some(time) = time {
            let mut noted = self.server_time.lock().unwrap_or_else(PoisonError::into_inner);
            *noted = Some(time.into());
        }
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, mut request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        if request.method().as_str() == "MOVE" {
            // opendal asks to overwrite; nothing here ever is.
            let name = HeaderName::from_static("overwrite");
            let headers = request.headers_mut();
            headers.insert(name, HeaderValue::from_static("F"));
        }
        let propfind =
            (request.method().as_str() == "PROPFIND").then(|| request.uri().path().to_owned());
        let request = request.map(|body| body.to_bytes());
        let mut answer = self.client.send(request).await.map_err(failed)?;
        self.note_time(answer.headers());
        if let Some(told) = told_by_status(answer.status(), answer.headers()) {
            return Err(failed(told));
        }
        if let Some(asked) = propfind
            && answer.status() == StatusCode::MULTI_STATUS
        {
            let paths = multistatus::with_paths(answer.body(), &asked).map_err(failed)?;
            *answer.body_mut() = paths.into();
        }
        Ok(answer.map(|body| {
            let whole = Ok(Buffer::from(body));
            HttpBody::new(futures_util::stream::iter([whole]), None)
        }))
    }
}

/// What an answer means, if its status alone says so; the rest is for the services of opendal,
/// which read the body.
fn told_by_status(status: StatusCode, headers: &HeaderMap) -> Option<Told> {
    /// Azure's, see "Blob service error codes".
    const KEPT: [&str; 2] = ["BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"];
    let code = headers.get("x-ms-error-code");
    if code.is_some_and(|code| KEPT.iter().any(|kept| code == kept)) {
        return Some(Told::Kept(status));
    }
    match status.as_u16() {
        401 | 408 | 413 | 423 | 425 | 429 | 507 => Some(Told::Status(status)),
        // Without a place 308 is how Google says that an upload is not over.
        301 | 302 | 303 | 307 | 308 if headers.contains_key(LOCATION) => {
            Some(Told::Elsewhere(status))
        }
        _ => None,
    }
}
