//! The HTTP below: one client for all requests, at most so many at a time, paced, and given up when
//! nothing moves. There is no limit on how long a request may take: a slow line is not a dead one.

use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::answer::Answer;
use crate::destination::invalid;
use crate::limit::Pace;
use crate::{Error, ErrorKind, Options, Result};

/// A server that does not take a connection within this time is not there.
const CONNECT: Duration = Duration::from_secs(20);
/// Bytes that are sent, or waited for, at a time.
const CHUNK: usize = 256 << 10;
/// The same where somebody limits how fast.
const SMALL_CHUNK: usize = 16 << 10;
/// An answer that says that something failed is read so far.
const MAX_FAILURE_BYTES: usize = 64 << 10;
/// No file of certificates is longer.
const MAX_CA_BYTES: u64 = 16 << 20;

/// Makes requests; clones share everything.
#[derive(Clone)]
pub(super) struct Service {
    client: reqwest::Client,
    permits: Arc<Semaphore>,
    upload: Pace,
    download: Pace,
    stalled_after: Duration,
    /// Requests that are being made now, and the most that ever were.
    #[cfg(test)]
    pub(super) in_flight: Arc<Mutex<(usize, usize)>>,
}

/// Nothing moved for so long.
#[derive(Debug)]
pub(super) struct Stalled(Duration);

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing moved for {} seconds", self.0.as_secs())
    }
}

impl std::error::Error for Stalled {}

/// The server refused. The library keeps status and body of such an answer to itself, so it is made
/// an error here, which its errors lead to.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) answer: Answer,
    /// Where the bucket is, by a header: a HEAD has no body.
    pub(super) region: Option<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.answer.text() {
            Some(text) => f.write_str(&text),
            None => self.status.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// Errors: `Invalid` (certificates), `Other`.
    pub(super) fn new(options: &Options, connections: NonZeroUsize) -> Result<Self> {
        let mut client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_max_idle_per_host(connections.get())
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .user_agent(concat!("seawall/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &options.ca_file {
            client = client.tls_certs_merge(certificates(path)?);
        }
        let client = client
            .build()
            .map_err(|error| Error::new(ErrorKind::Other).with_source(error))?;
        Ok(Self {
            client,
            permits: Arc::new(Semaphore::new(connections.get())),
            upload: Pace::new(options.upload_limit),
            download: Pace::new(options.download_limit),
            stalled_after: options.stalled_after,
            #[cfg(test)]
            in_flight: Arc::default(),
        })
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Closed never.
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let flight = self.flight(permit);
        let progress = Progress::new(self.stalled_after);
        let (parts, body) = request.into_parts();
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(reqwest::Body::wrap(Sending {
            inner: body,
            rest: Bytes::new(),
            pause: None,
            pace: self.upload.clone(),
            progress: progress.clone(),
        }));
        let response = tokio::select! {
            response = self.client.execute(request) => response.map_err(failed)?,
            stalled = progress.stalled() => {
                return Err(HttpError::new(HttpErrorKind::Timeout, stalled));
            }
        };
        let (parts, body) = Response::<reqwest::Body>::from(response).into_parts();
        let left = (!parts.status.is_success()).then_some(MAX_FAILURE_BYTES);
        let body = HttpResponseBody::new(self.receiving(body, left, flight));
        if left.is_none() {
            return Ok(HttpResponse::from_parts(parts, body));
        }
        let body = body.bytes().await?;
        let region = parts.headers.get("x-amz-bucket-region");
        let refused = Refused {
            status: parts.status,
            answer: Answer::parse(&String::from_utf8_lossy(&body)),
            region: region.and_then(|region| Some(region.to_str().ok()?.to_owned())),
        };
        Err(HttpError::new(HttpErrorKind::Unknown, refused))
    }

    fn receiving(&self, inner: reqwest::Body, left: Option<usize>, flight: Flight) -> Receiving {
        Receiving {
            inner,
            left,
            ready: None,
            pause: None,
            idle: Box::pin(tokio::time::sleep(self.stalled_after)),
            stalled_after: self.stalled_after,
            pace: self.download.clone(),
            _flight: flight,
        }
    }

    #[cfg_attr(not(test), allow(clippy::unused_self, reason = "tests count"))]
    fn flight(&self, permit: OwnedSemaphorePermit) -> Flight {
        #[cfg(test)]
        {
            let mut count = lock(&self.in_flight);
            count.0 += 1;
            count.1 = count.1.max(count.0);
        }
        Flight {
            _permit: permit,
            #[cfg(test)]
            count: Arc::clone(&self.in_flight),
        }
    }
}

/// A request, until the last byte of its answer was read or it was dropped.
struct Flight {
    _permit: OwnedSemaphorePermit,
    #[cfg(test)]
    count: Arc<Mutex<(usize, usize)>>,
}

#[cfg(test)]
impl Drop for Flight {
    fn drop(&mut self) {
        lock(&self.count).0 -= 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.send(request).await
    }
}

impl HttpConnector for Service {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// What kind of failure it is, as the library asks; the source says more.
fn failed(error: reqwest::Error) -> HttpError {
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_builder() {
        HttpErrorKind::Unknown
    } else {
        HttpErrorKind::Interrupted
    };
    // A URL may be signed.
    HttpError::new(kind, error.without_url())
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>> {
    let bad = |text: String| invalid(format!("{}: {text}", path.display()));
    let read = || {
        use io::Read as _;
        let mut bytes = Vec::new();
        std::fs::File::open(path)?
            .take(MAX_CA_BYTES)
            .read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    let bytes = read().map_err(|error| bad(error.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&bytes);
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(bad("holds no certificates in PEM form".to_owned())),
    }
}

/// When something last moved.
#[derive(Clone)]
struct Progress {
    last: Arc<Mutex<Instant>>,
    limit: Duration,
}

impl Progress {
    fn new(limit: Duration) -> Self {
        Self {
            last: Arc::new(Mutex::new(Instant::now())),
            limit,
        }
    }

    fn moved(&self) {
        *lock(&self.last) = Instant::now();
    }

    /// Resolves when nothing has moved for too long.
    async fn stalled(&self) -> Stalled {
        loop {
            let idle = lock(&self.last).elapsed();
            let Some(left) = self.limit.checked_sub(idle).filter(|left| !left.is_zero()) else {
                return Stalled(self.limit);
            };
            tokio::time::sleep(left).await;
        }
    }
}

/// A body on its way out, in pieces.
struct Sending {
    inner: HttpRequestBody,
    /// What is left of the piece that the inside gave.
    rest: Bytes,
    pause: Option<Pin<Box<Sleep>>>,
    pace: Pace,
    progress: Progress,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
                let piece = self.next_piece();
                self.progress.moved();
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.rest.is_empty() {
                match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => self.rest = data,
                        Err(frame) => return Poll::Ready(Some(Ok(frame))),
                    },
                    other => return Poll::Ready(other),
                }
                continue;
            }
            let wait = self.pace.take(self.piece_len() as u64);
            self.progress.moved();
            if wait.is_zero() {
                let piece = self.next_piece();
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            self.pause = Some(Box::pin(tokio::time::sleep(wait)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.size_hint();
        let rest = self.rest.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Sending {
    fn piece_len(&self) -> usize {
        let len = if self.pace.is_limited() {
            SMALL_CHUNK
        } else {
            CHUNK
        };
        self.rest.len().min(len)
    }

    fn next_piece(&mut self) -> Bytes {
        let len = self.piece_len();
        self.rest.split_to(len)
    }
}

/// An answer's body on its way in.
struct Receiving {
    inner: reqwest::Body,
    /// How much more is passed on, where not all of it is.
    left: Option<usize>,
    /// What came, and waits for its turn.
    ready: Option<Frame<Bytes>>,
    pause: Option<Pin<Box<Sleep>>>,
    idle: Pin<Box<Sleep>>,
    stalled_after: Duration,
    pace: Pace,
    _flight: Flight,
}

impl Body for Receiving {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if let Some(frame) = self.ready.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        let Poll::Ready(next) = polled else {
            ready!(self.idle.as_mut().poll(context));
            let stalled = Stalled(self.stalled_after);
            return Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, stalled))));
        };
        let Some(frame) = next.transpose().map_err(failed)? else {
            return Poll::Ready(None);
        };
        let Ok(mut data) = frame.into_data() else {
            // Trailers mean nothing here.
            return Poll::Ready(None);
        };
        if let Some(left) = &mut self.left {
            data.truncate(*left);
            *left -= data.len();
        }
        let wait = self.pace.take(data.len() as u64);
        let now = tokio::time::Instant::now();
        let until = now + wait + self.stalled_after;
        self.idle.as_mut().reset(until);
        if wait.is_zero() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        self.ready = Some(Frame::data(data));
        self.pause = Some(Box::pin(tokio::time::sleep(wait)));
        self.poll_frame(context)
    }
}
