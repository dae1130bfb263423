//! HTTP as opendal's services use it, through one client of ours: paced, watched for lines that
//! died, limited in requests at a time, and with what a status means told by its type, where
//! opendal would drop it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{DATE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use opendal::raw::Timestamp;
use opendal::{Buffer, HttpBody, HttpTransport};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::multistatus;
use crate::limit::Pace;
use crate::{Error, ErrorKind, Options, Result};

/// What goes at a time: little enough for an even pace, much enough for few wake-ups.
const CHUNK: usize = 64 * 1024;
const CONNECT: Duration = Duration::from_secs(30);

/// Why there is no answer that a service of opendal could read, by type.
#[derive(Debug)]
pub(super) enum Trouble {
    /// An answer with this status.
    Status(StatusCode),
    /// Azure answered with this status and code that a rule keeps what is stored.
    Kept(StatusCode),
    /// The server sends us to another place.
    Elsewhere(StatusCode),
    /// Nothing moved for so long.
    Stalled(Duration),
    /// The server's certificate is not believed.
    Certificate(String),
    /// The line failed.
    Line(String),
    /// The answer is not one to this request.
    Foreign,
}

impl fmt::Display for Trouble {
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
            Self::Stalled(time) => {
                write!(f, "nothing moved for {} seconds", time.as_secs())
            }
            Self::Certificate(text) | Self::Line(text) => f.write_str(text),
            Self::Foreign => {
                f.write_str("the server names its files by other paths than those it is asked for")
            }
        }
    }
}

impl StdError for Trouble {}

impl Trouble {
    fn into_error(self) -> opendal::Error {
        opendal::Error::new(opendal::ErrorKind::Unexpected, "").set_source(self)
    }

    /// What a failed request is. The texts of reqwest hold the URL, and that may hold a signature.
    fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut is_certificate = false;
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            // What rustls does not believe comes as this kind.
            is_certificate |= error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData);
            cause = error.source();
        }
        if is_certificate && error.is_connect() {
            Self::Certificate(text)
        } else {
            Self::Line(text)
        }
    }
}

/// A client, shared by everybody who holds a clone.
#[derive(Clone)]
pub(super) struct Transport(Arc<Shared>);

struct Shared {
    client: reqwest::Client,
    upload: Pace,
    download: Pace,
    stalled_after: Duration,
    requests: Semaphore,
    /// What the server's clock showed last.
    server_time: Mutex<Option<SystemTime>>,
}

impl Transport {
    /// At most so many requests at a time.
    ///
    /// Errors: `Invalid`, `PermissionDenied`, `Other`: the file of certificates.
    pub(super) fn new(options: &Options, requests: usize) -> Result<Self> {
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("seawall/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(requests)
            // A request that went elsewhere would take its body, or its password, along.
            .redirect(reqwest::redirect::Policy::none())
            .http1_only();
        if let Some(path) = &options.ca_file {
            client = client.tls_certs_merge(certificates(path)?);
        }
        let client = client.build().map_err(|error| {
            Error::new(ErrorKind::Other).with_source(Trouble::of(error).to_string())
        })?;
        Ok(Self(Arc::new(Shared {
            client,
            upload: Pace::new(options.upload_limit),
            download: Pace::new(options.download_limit),
            stalled_after: options.stalled_after,
            requests: Semaphore::new(requests),
            server_time: Mutex::default(),
        })))
    }

    /// What the server's clock showed in its last answer.
    pub(super) fn server_time(&self) -> Option<SystemTime> {
        *self
            .0
            .server_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The certificates of a file.
fn certificates(path: &std::path::Path) -> Result<Vec<reqwest::Certificate>> {
    let about = |text: String| format!("{}: {text}", path.display());
    let pem = std::fs::read(path).map_err(|error| {
        let kind = Error::from(io::Error::from(error.kind())).kind();
        Error::new(kind).with_source(about(error.to_string()))
    })?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Invalid)
            .with_source(about("no certificate is in it".to_owned()))
            .with_hint("give a file of PEM: -----BEGIN CERTIFICATE-----"));
    }
    Ok(found)
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        // Nobody closes it.
        let _turn = self.0.requests.acquire().await;
        let propfind =
            (request.method().as_str() == "PROPFIND").then(|| request.uri().path().to_owned());
        let mut answer = self.0.send(request).await.map_err(Trouble::into_error)?;
        self.0.note_time(answer.headers());
        if let Some(trouble) = told_by_status(answer.status(), answer.headers()) {
            return Err(trouble.into_error());
        }
        let mut response = Response::new(());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        let mut chunks = self.0.receive(answer).await.map_err(Trouble::into_error)?;
        if let Some(asked) = propfind
            && response.status() == StatusCode::MULTI_STATUS
        {
            let paths = multistatus::with_paths(&chunks.concat(), &asked);
            chunks = vec![paths.ok_or_else(|| Trouble::Foreign.into_error())?.into()];
        }
        let whole = Ok(Buffer::from(chunks));
        let body = HttpBody::new(futures_util::stream::iter([whole]), None);
        Ok(response.map(|()| body))
    }
}

impl Shared {
    /// Sends a request until the answer begins.
    async fn send(&self, request: Request<Buffer>) -> Result<reqwest::Response, Trouble> {
        let progress = Arc::new(Progress::new());
        let (mut parts, body) = request.into_parts();
        if parts.method.as_str() == "MOVE" {
            // opendal asks to overwrite; nothing here ever is.
            let name = HeaderName::from_static("overwrite");
            parts.headers.insert(name, HeaderValue::from_static("F"));
        }
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|error| Trouble::Line(error.to_string()))?;
        let mut builder = self.client.request(parts.method.clone(), url);
        builder = builder.headers(parts.headers);
        if !body.is_empty() || parts.method == Method::PUT || parts.method == Method::POST {
            builder = builder.body(reqwest::Body::wrap(Outgoing {
                rest: body.to_bytes(),
                pace: self.upload.clone(),
                pause: None,
                progress: Arc::clone(&progress),
            }));
        }
        let mut answer = std::pin::pin!(builder.send());
        loop {
            let until = progress.moved() + self.stalled_after;
            tokio::select! {
                answer = &mut answer => return answer.map_err(Trouble::of),
                () = sleep_until(until) => {
                    if progress.moved() + self.stalled_after <= Instant::now() {
                        return Err(Trouble::Stalled(self.stalled_after));
                    }
                }
            }
        }
    }

    /// The body of an answer. That it is whole is HTTP's to see.
    async fn receive(&self, mut answer: reqwest::Response) -> Result<Vec<Bytes>, Trouble> {
        let mut chunks = Vec::new();
        loop {
            let next = timeout(self.stalled_after, answer.chunk()).await;
            let Some(chunk) = next
                .map_err(|_| Trouble::Stalled(self.stalled_after))?
                .map_err(Trouble::of)?
            else {
                return Ok(chunks);
            };
            self.download.wait_async(chunk.len() as u64).await;
            chunks.push(chunk);
        }
    }

    fn note_time(&self, headers: &HeaderMap) {
        let time = headers
            .get(DATE)
            .and_then(|date| date.to_str().ok())
            .and_then(|date| Timestamp::parse_rfc2822(date).ok());
        if let Some(time) = time {
            let mut noted = self
                .server_time
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *noted = Some(time.into());
        }
    }
}

/// What an answer means, if its status alone says so; the rest is for the services of opendal,
/// which read the body.
fn told_by_status(status: StatusCode, headers: &HeaderMap) -> Option<Trouble> {
    /// Azure's, see "Blob service error codes".
    const KEPT: [&str; 2] = ["BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"];
    let code = headers.get("x-ms-error-code");
    if code.is_some_and(|code| KEPT.iter().any(|kept| code == kept)) {
        return Some(Trouble::Kept(status));
    }
    match status.as_u16() {
        401 | 408 | 413 | 423 | 425 | 429 | 507 => Some(Trouble::Status(status)),
        // Without a place 308 is how Google says that an upload is not over.
        301 | 302 | 303 | 307 | 308 if headers.contains_key(LOCATION) => {
            Some(Trouble::Elsewhere(status))
        }
        _ => None,
    }
}

/// When something moved last, or may move next.
#[derive(Debug)]
struct Progress(Mutex<Instant>);

impl Progress {
    fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    fn moved(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moves_in(&self, pause: Duration) {
        let now = Instant::now();
        let next = now.checked_add(pause).unwrap_or(now);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// The body of a request, in chunks of an even pace.
struct Outgoing {
    rest: Bytes,
    pace: Pace,
    /// What ends before the next chunk may go.
    pause: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let len = self.rest.len().min(CHUNK);
        if self.pause.is_none() {
            let pause = self.pace.take(len as u64);
            self.progress.moves_in(pause);
            if !pause.is_zero() {
                self.pause = Some(Box::pin(sleep(pause)));
            }
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
