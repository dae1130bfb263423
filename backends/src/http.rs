//! The HTTP client of all destinations that speak HTTP. It limits the number of requests at a time
//! and the bandwidth in both directions, gives up a stalled request, and trusts the certificates
//! that the user names. A request may take any time as long as bytes move, because a slow line is
//! not a dead one.
//!
//! Answers are read into memory whole, up to a limit, since [`Backend::get`](crate::Backend::get)
//! returns whole bodies too. Errors never show a URL, which may be signed, nor a header.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};

use crate::destination::invalid;
use crate::limit::Pace;
use crate::{Error, ErrorKind, Options, Result};

use self::trouble::HttpTroubleKind;
#[cfg(feature = "s3")]
pub(crate) use self::trouble::innermost;
pub(crate) use self::trouble::{HttpTrouble, find};

#[cfg(test)]
mod tests;
mod trouble;

/// Time limit for the connection; a server that takes longer counts as down.
const CONNECT: Duration = Duration::from_secs(30);
/// Bytes that are sent at a time.
const CHUNK: usize = 256 << 10;
/// Bytes that are sent at a time under a bandwidth limit; small pieces keep the pace even.
const SMALL_CHUNK: usize = 16 << 10;
/// So much of a file of certificates is read; no real one is longer.
const MAX_CA_BYTES: u64 = 16 << 20;
/// So much of the body of an error answer is read.
const MAX_FAILURE_BYTES: u64 = 64 << 10;
/// The longest answer to a GET: as much as S3 takes at a time; nothing that seawall stores is longer.
const MAX_BODY_BYTES: u64 = 5 << 30;
/// The longest answer to anything else: a WebDAV folder with half a million files.
const MAX_ANSWER_BYTES: u64 = 256 << 20;
/// Most memory that is reserved on the word of a `Content-Length`; the rest grows with the bytes.
const MAX_ROOM: u64 = 64 << 20;

/// Makes requests; clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct WebClient {
    inner: reqwest::Client,
    requests: Arc<Semaphore>,
    upload: Pace,
    download: Pace,
    stalled_after: Duration,
}

impl WebClient {
    /// At most so many requests at a time.
    ///
    /// Errors: `Invalid` (the file of certificates), `Other`.
    pub(crate) fn new(options: &Options, requests: NonZeroUsize) -> Result<Self> {
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("seawall/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_max_idle_per_host(requests.get())
            // A redirect would send the body, or the password, to another server.
            .redirect(reqwest::redirect::Policy::none())
            .http1_only();
        if let Some(path) = &options.ca_file {
            client = client.tls_certs_merge(certificates(path)?);
        }
        let client =
            client.build().map_err(|error| Error::new(ErrorKind::Other).with_source(error))?;
        Ok(Self {
            inner: client,
            requests: Arc::new(Semaphore::new(requests.get())),
            upload: Pace::new(options.upload_limit),
            download: Pace::new(options.download_limit),
            stalled_after: options.stalled_after,
        })
    }

    /// Sends a request and reads its answer. The body of an error answer may be cut off: its status
    /// says what matters.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, HttpTrouble> {
        // The semaphore is never closed, so this never fails.
        let _turn = self.requests.acquire().await;
        // Show the port if the URL names one: the port may be what is wrong.
        let mut host = request.uri().host().unwrap_or_default().to_owned();
        if let Some(port) = request.uri().port() {
            host = format!("{host}:{port}");
        }
        let most = match *request.method() {
            Method::GET => MAX_BODY_BYTES,
            _ => MAX_ANSWER_BYTES,
        };
        let exchange = async { self.gather(self.begin(request).await?, most).await };
        exchange.await.map_err(|what| HttpTrouble { host, what })
    }

    /// Sends a request until its answer begins.
    async fn begin(&self, request: Request<Bytes>) -> Result<reqwest::Response, HttpTroubleKind> {
        let progress = Progress::now();
        let request = request.map(|body| {
            reqwest::Body::wrap(PacedBody {
                rest: body,
                pace: self.upload.clone(),
                pause: None,
                progress: progress.clone(),
            })
        });
        let request = reqwest::Request::try_from(request).map_err(HttpTroubleKind::of)?;
        let mut answer = std::pin::pin!(self.inner.execute(request));
        loop {
            match timeout_at(progress.last() + self.stalled_after, &mut answer).await {
                Ok(answer) => return answer.map_err(HttpTroubleKind::of),
                Err(_) if progress.last().elapsed() < self.stalled_after => {}
                Err(_) => return Err(HttpTroubleKind::Stalled(self.stalled_after)),
            }
        }
    }

    /// Reads the whole answer, at most `most` bytes. The HTTP library notices one that ends early.
    async fn gather(
        &self,
        mut answer: reqwest::Response,
        most: u64,
    ) -> Result<Response<Bytes>, HttpTroubleKind> {
        let is_failure = !answer.status().is_success();
        let most = if is_failure { MAX_FAILURE_BYTES } else { most };
        let room = answer.content_length().unwrap_or(0).min(MAX_ROOM);
        let mut body = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
        loop {
            let next = timeout(self.stalled_after, answer.chunk()).await;
            let chunk = match next {
                Ok(Ok(None)) => break,
                Ok(Ok(Some(chunk))) => chunk,
                _ if is_failure => break,
                Ok(Err(error)) => return Err(HttpTroubleKind::of(error)),
                Err(_) => return Err(HttpTroubleKind::Stalled(self.stalled_after)),
            };
            if (body.len() + chunk.len()) as u64 > most {
                if is_failure {
                    break;
                }
                return Err(HttpTroubleKind::TooLong(most));
            }
            self.download.wait_async(chunk.len() as u64).await;
            body.extend_from_slice(&chunk);
        }
        let mut whole = Response::new(Bytes::from(body));
        *whole.status_mut() = answer.status();
        *whole.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(whole)
    }
}

/// The certificates of a file.
fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>> {
    let bad = |text: String| {
        invalid(format!("{}: {text}", path.display()))
            .with_hint("give a file of certificates in PEM form: -----BEGIN CERTIFICATE-----")
    };
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CA_BYTES).read_to_end(&mut pem))
        .map_err(|error| bad(error.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() {
        return Err(bad("no certificate is in it".to_owned()));
    }
    Ok(found)
}

/// When bytes moved last, or when the bandwidth limit lets them move next.
#[derive(Clone)]
struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moves_in(&self, pause: Duration) {
        let now = Instant::now();
        let next = now.checked_add(pause).unwrap_or(now);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// The body of a request, in pieces of an even pace.
struct PacedBody {
    rest: Bytes,
    pace: Pace,
    /// The wait before the next piece, under a bandwidth limit.
    pause: Option<Pin<Box<Sleep>>>,
    progress: Progress,
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let chunk = if self.pace.is_limited() { SMALL_CHUNK } else { CHUNK };
        let len = self.rest.len().min(chunk);
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
