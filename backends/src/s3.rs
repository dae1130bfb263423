//! S3 and servers that speak its protocol, by `object_store`.
//!
//! A put is one PUT with `If-None-Match: *` and a SHA-256 checksum. Without multipart uploads there
//! are no unfinished uploads to pay for. The condition keeps a put from overwriting a key, but some
//! servers ignore it (Garage, `rclone serve s3`), so writes are [`Writes::Unproven`]. Other servers
//! refuse one of the two headers; if weak writes are accepted, seawall then sends neither.
//!
//! Limits: a PUT holds at most 5 GiB, and a server may confirm bytes that are only in its memory.
//! The library's own retries are switched off: [`RetryingBackend`](crate::RetryingBackend) retries.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMode, PutOptions, PutPayload, RetryConfig,
};

use crate::destination::{Remote, invalid};
use crate::http::WebClient;
use crate::key::check_prefix;
use crate::operation;
use crate::options::Options;
use crate::runtime::{block_on, runtime};
use crate::{Backend, Entry, Error, ErrorKind, Key, Properties, Result, SettingFinding, Writes};

use self::credentials::Credentials;
use self::http::S3HttpService;
use self::place::BucketPlace;

mod answer;
mod credentials;
mod errors;
mod examine;
mod http;
mod place;
#[cfg(test)]
mod tests;

/// Requests at a time where nobody says otherwise: as many as restic makes.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// A destination that is a bucket, or a prefix in one.
pub struct S3Backend {
    client: AmazonS3,
    /// Sends neither condition nor checksum.
    plain: AmazonS3,
    weak: Weak,
    service: S3HttpService,
    credentials: Arc<Credentials>,
    place: BucketPlace,
    storage_classes: Vec<(String, String)>,
    connections: NonZeroUsize,
}

/// How far this server is used without the headers that it refuses.
#[derive(Debug, Default)]
struct Weak {
    is_accepted: AtomicBool,
    /// The server refused a put with the headers and accepted it without them.
    is_used: AtomicBool,
}

impl S3Backend {
    /// Opens a bucket, which must exist: one request shows that it does, and that the credentials are
    /// good.
    ///
    /// Errors: `Invalid` (URL, region, bucket), `PermissionDenied` (credentials), `Transient`, `Other`.
    pub(crate) fn open(remote: &Remote, options: &Options) -> Result<Self> {
        let connections = options.connections.unwrap_or(CONNECTIONS);
        let given = place::Given::parse(remote, options)?;
        let service = S3HttpService(WebClient::new(options, connections)?);
        let loaded = block_on(credentials::load(&given, options))?;
        let place = given.complete(loaded.region)?;
        let credentials = Arc::new(loaded.credentials);
        let bare = AmazonS3Builder::new()
            .with_bucket_name(&place.bucket)
            .with_region(&place.region)
            .with_endpoint(place.store_endpoint())
            .with_virtual_hosted_style_request(place.is_virtual)
            .with_allow_http(options.plain_http)
            .with_credentials(Arc::clone(&credentials) as _)
            .with_disable_tagging(true)
            // Deletes one key a request: every server understands that, and reports a refusal for
            // it.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(service.clone());
        let guarded = bare
            .clone()
            .with_checksum_algorithm(Checksum::SHA256)
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        let build = |builder: AmazonS3Builder| {
            let built = builder.build();
            built.map_err(|error| errors::failed(&error, &place))
        };
        let (client, plain) = (build(guarded)?, build(bare)?);
        let backend = Self {
            client,
            plain,
            weak: Weak::default(),
            service,
            credentials,
            place,
            storage_classes: options.storage_classes.clone(),
            connections,
        };
        backend.try_bucket()?;
        Ok(backend)
    }

    /// Lists next to nothing.
    fn try_bucket(&self) -> Result<()> {
        let nothing = self.path("seawall.json")?;
        let first = runtime()?.block_on(self.client.list(Some(&nothing)).next());
        match first {
            Some(Err(error)) => {
                let error = errors::failed(&error, &self.place);
                Err(match error.kind() {
                    // Nothing else is looked for here.
                    ErrorKind::NotFound => errors::no_bucket(&self.place),
                    _ => error,
                })
            }
            _ => Ok(()),
        }
    }

    /// The whole name of a key, or of a prefix.
    fn path(&self, below: &str) -> Result<Path> {
        let name = match (self.place.prefix.as_str(), below) {
            (prefix, "") => prefix.to_owned(),
            ("", below) => below.to_owned(),
            (prefix, below) => format!("{prefix}/{below}"),
        };
        Path::parse(&name).map_err(|error| invalid(error.to_string()))
    }

    fn about(&self, key: &Key) -> impl Fn(object_store::Error) -> Error {
        |error| errors::failed(&error, &self.place).with_key(key)
    }

    /// The class that a key is stored in, if not the bucket's own.
    fn attributes(&self, key: &Key) -> Attributes {
        let mut classes = self.storage_classes.iter();
        let class = classes.find(|(prefix, _)| key.is_below(prefix));
        class.map(|(_, class)| (Attribute::StorageClass, class.clone())).into_iter().collect()
    }

    /// Puts without condition and checksum where the server refuses these and weak writes are accepted.
    async fn put(&self, key: &Key, body: &[u8]) -> Result<()> {
        if self.weak.is_used.load(Ordering::Relaxed) {
            return self.send(&self.plain, PutMode::Overwrite, key, body).await;
        }
        let put = self.put_guarded(key, body).await;
        let refusal = match put {
            // Backblaze's S3 answers 400 to the checksum's header, Alibaba's OSS 501 to the condition's.
            Err(error) if error.kind() == ErrorKind::Invalid && errors::may_be_a_header(&error) => {
                error
            }
            other => return other,
        };
        if !self.weak.is_accepted.load(Ordering::Relaxed) {
            return Err(errors::refuses_headers(&refusal).with_key(key));
        }
        let plain = self.send(&self.plain, PutMode::Overwrite, key, body).await;
        if plain.is_ok() {
            self.weak.is_used.store(true, Ordering::Relaxed);
        }
        plain
    }

    async fn send(&self, client: &AmazonS3, mode: PutMode, key: &Key, body: &[u8]) -> Result<()> {
        let path = self.path(key.as_str())?;
        let payload = PutPayload::from(Bytes::copy_from_slice(body));
        let options =
            PutOptions { mode, attributes: self.attributes(key), ..PutOptions::default() };
        let put = client.put_opts(&path, payload, options).await;
        match put.map(drop).map_err(self.about(key)) {
            // A put that races with a removal may get this; its effect is unknown.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::new(ErrorKind::Transient)
                    .with_key(key)
                    .with_source(errors::innermost_text(&error)))
            }
            other => other,
        }
    }

    async fn put_guarded(&self, key: &Key, body: &[u8]) -> Result<()> {
        let put = self.send(&self.client, PutMode::Create, key, body).await;
        if put.as_ref().map_err(Error::kind) == Err(ErrorKind::AlreadyExists) {
            // SeaweedFS has folders: one of this name is in the way, and cannot be read.
            let head = self.head(key).await;
            if head.map_err(|error| error.kind()) == Err(ErrorKind::NotFound) {
                return Err(invalid("the name is taken by a folder".to_owned()).with_key(key));
            }
        }
        put
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        let path = self.path(key.as_str())?;
        let options =
            GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
        let got = self.client.get_opts(&path, options).await;
        let got = got.map_err(self.about(key))?;
        let asked = crate::range::within(key, range, got.meta.size)?;
        let mut bytes = Vec::with_capacity(capacity(asked.end - asked.start));
        let mut chunks = got.into_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(self.about(key))?;
            bytes.extend_from_slice(&chunk);
        }
        if operation::len(&bytes) == asked.end - asked.start {
            Ok(bytes)
        } else {
            // The connection ended early, without saying so.
            Err(Error::new(ErrorKind::Transient)
                .with_key(key)
                .with_source("the answer has another length than it says"))
        }
    }

    async fn head(&self, key: &Key) -> Result<Entry> {
        let path = self.path(key.as_str())?;
        let meta = self.client.head(&path).await.map_err(self.about(key))?;
        Ok(Entry { key: key.clone(), len: meta.size, modified: meta.last_modified.into() })
    }

    /// What a listing shows as an entry; `None` for what is no key of ours.
    fn entry(&self, listed: object_store::Result<ObjectMeta>) -> Option<Result<Entry>> {
        let meta = match listed {
            Ok(meta) => meta,
            Err(error) => return Some(Err(errors::failed(&error, &self.place))),
        };
        let name = meta.location.as_ref();
        let below = match self.place.prefix.as_str() {
            "" => name,
            prefix => name.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        let key = Key::parse(below).ok()?;
        if meta.size == 0 {
            // It may be called `x/`, as the folders are that some tools make; the library has left
            // out the slash.
            return match self.stat(&key) {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                found => Some(found),
            };
        }
        Some(Ok(Entry { key, len: meta.size, modified: meta.last_modified.into() }))
    }
}

/// Room for a body of a length that a server told: more is made only for bytes that came.
fn capacity(len: u64) -> usize {
    usize::try_from(len.min(64 << 20)).unwrap_or(0)
}

impl fmt::Debug for S3Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Backend")
            .field("place", &self.place)
            .field("storage_classes", &self.storage_classes)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl Backend for S3Backend {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        block_on(self.put(key, body))?
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        match range {
            // Of nothing nobody can ask.
            Some(range) if range.start >= range.end => {
                let len = self.stat(key)?.len;
                crate::range::within(key, Some(range), len)?;
                Ok(Vec::new())
            }
            range => block_on(self.read(key, range))?,
        }
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        block_on(self.head(key))?
    }

    /// Lazily, page by page.
    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        let begin = || {
            check_prefix(prefix)?;
            Ok((self.path(prefix)?, runtime()?))
        };
        let (path, runtime) = match begin() {
            Ok(both) => both,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let mut listed = self.client.list(Some(&path)).fuse();
        let next = std::iter::from_fn(move || runtime.block_on(listed.next()));
        Box::new(next.filter_map(|listed| self.entry(listed)))
    }

    fn delete(&self, key: &Key) -> Result<()> {
        let path = self.path(key.as_str())?;
        match block_on(self.client.delete(&path))?.map_err(self.about(key)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            deleted => deleted,
        }
    }

    fn properties(&self) -> Properties {
        Properties { writes: Writes::Unproven, connections: self.connections }
    }

    fn accept_weak_writes(&self) {
        self.weak.is_accepted.store(true, Ordering::Relaxed);
    }

    fn weaknesses(&self) -> Vec<String> {
        let text = || {
            format!(
                "{} refuses If-None-Match or x-amz-checksum-sha256, which was accepted: it cannot refuse to overwrite",
                self.place.server()
            )
        };
        let is_used = self.weak.is_used.load(Ordering::Relaxed);
        is_used.then(text).into_iter().collect()
    }

    fn examine(&self) -> Vec<SettingFinding> {
        examine::examine(self)
    }
}
