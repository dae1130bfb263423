//! Backblaze B2 by its own interface (<https://www.backblaze.com/apidocs>). It has no conditional
//! write, so this backend looks before it writes. A name that is written twice has two versions,
//! and readers see the later one. B2 checks an upload by its SHA-1, and the file appears whole.
//!
//! opendal's service cannot be used: it does not tell when a file was stored, and it accepts a file
//! whose name only begins like the requested one.
//!
//! This backend retries only after an expired token.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RANGE};
use http::{Method, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use sha1::{Digest as _, Sha1};

use crate::destination::{Remote, invalid};
use crate::http::WebClient;
use crate::key::check_prefix;
use crate::runtime::block_on;
use crate::{
    Backend, Entry, Error, ErrorKind, Key, Options, Properties, Result, SettingFinding, Weight,
    Writes,
};

use self::account::{B2Account, Upload};
use self::answers::{B2Version, Page};
use self::listing::B2Pages;

mod account;
mod answers;
mod listing;
#[cfg(test)]
mod tests;

/// Where an account is logged in to.
const LOGIN: &str = "https://api.backblazeb2.com";
/// Requests at a time where nobody says how many.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(4).expect("four is not zero");
/// What a name keeps in a header or a path: <https://www.backblaze.com/docs/cloud-storage-native-api-string-encoding>
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A destination that is a bucket, or a prefix in one.
pub struct B2Backend {
    account: B2Account,
    bucket: String,
    bucket_id: String,
    /// Empty, or with a slash at its end.
    prefix: String,
    connections: NonZeroUsize,
}

impl B2Backend {
    /// Opens a bucket, which must exist: a listing shows that it does, and that the key is good.
    ///
    /// Errors: `Invalid` (URL, bucket), `PermissionDenied` (key), `Transient`, `Other`.
    pub(crate) fn open(remote: &Remote, options: &Options) -> Result<Self> {
        Self::open_at(LOGIN, remote, options)
    }

    fn open_at(login: &str, remote: &Remote, options: &Options) -> Result<Self> {
        const BUCKET_ID: &str = "bucket-id";
        remote.allow(&[BUCKET_ID])?;
        let Some(bucket_id) = remote.parameters.get(BUCKET_ID) else {
            return Err(invalid(
                "a b2:// URL names the bucket's id too: b2://bucket/prefix?bucket-id=…".into(),
            )
            .with_hint("the id stands beside the bucket on B2's web page"));
        };
        let prefix = remote.prefix()?.join("/");
        let connections = options.connections.unwrap_or(CONNECTIONS);
        let backend = Self {
            account: B2Account::new(login, options, WebClient::new(options, connections)?)?,
            bucket: remote.host.clone(),
            bucket_id: bucket_id.clone(),
            prefix: if prefix.is_empty() { prefix } else { prefix + "/" },
            connections,
        };
        block_on(backend.page("", None, 1))??;
        Ok(backend)
    }

    /// The whole name of a key, or of a prefix.
    fn name(&self, below: &str) -> String {
        format!("{}{below}", self.prefix)
    }

    /// Names from `start` on, in their order.
    async fn page(&self, below: &str, start: Option<&str>, most: usize) -> Result<Page> {
        let asked = json!({
            "bucketId": self.bucket_id,
            "prefix": self.name(below),
            "startFileName": start,
            "maxFileCount": most,
        });
        self.account.call("b2_list_file_names", &asked).await
    }

    async fn head(&self, key: &Key) -> Result<Entry> {
        let answer = self.fetch(Method::HEAD, key, None).await?;
        Ok(Entry {
            key: key.clone(),
            len: number(answer.headers(), CONTENT_LENGTH.as_str())?,
            modified: time(number(answer.headers(), "x-bz-upload-timestamp")?),
        })
    }

    async fn fetch(
        &self,
        method: Method,
        key: &Key,
        range: Option<&Range<u64>>,
    ) -> Result<Response<Bytes>> {
        let name = self.name(key.as_str());
        let name = utf8_percent_encode(&name, ENCODED);
        let path = format!("file/{}/{name}", self.bucket);
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let with_range = |request: http::request::Builder| match &range {
            Some(range) => request.header(RANGE, range),
            None => request,
        };
        self.account.download(method, &path, with_range).await
    }

    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes> {
        let answer = self.fetch(Method::GET, key, range.as_ref()).await?;
        let Some(range) = range else {
            return Ok(answer.into_body());
        };
        // bytes 0-9/100
        let told = answer.headers().get(CONTENT_RANGE);
        let told = told.and_then(|told| told.to_str().ok()?.rsplit_once('/'));
        let whole = told.and_then(|(_, whole)| whole.parse().ok());
        let whole = whole.ok_or_else(|| bad_answer("it was asked for a part"))?;
        let range = crate::range::within(key, Some(range), whole)?;
        if answer.body().len() as u64 != range.end - range.start {
            return Err(bad_answer("it was asked for another part"));
        }
        Ok(answer.into_body())
    }

    async fn put(&self, key: &Key, body: &[u8]) -> Result<()> {
        match self.head(key).await {
            Ok(_) => return Err(Error::new(ErrorKind::AlreadyExists)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let name = self.name(key.as_str());
        let upload = Upload {
            bucket_id: &self.bucket_id,
            name: utf8_percent_encode(&name, ENCODED).to_string(),
            sha1: hex(&Sha1::digest(body)),
            body: Bytes::copy_from_slice(body),
        };
        self.account.upload(upload).await
    }

    /// Hides the name: what it held stays as a version.
    async fn hide(&self, key: &Key) -> Result<()> {
        let asked = json!({"bucketId": self.bucket_id, "fileName": self.name(key.as_str())});
        let hidden: Result<serde_json::Value> = self.account.call("b2_hide_file", &asked).await;
        match hidden {
            Err(error) if answers::is_gone(&error) => Ok(()),
            hidden => hidden.map(drop),
        }
    }

    /// What a listing shows as an entry; None for what is no key of ours.
    fn entry(&self, stored: &B2Version) -> Option<Entry> {
        let below = stored.file_name.strip_prefix(&self.prefix)?;
        (stored.action == "upload").then_some(())?;
        Some(Entry {
            key: Key::parse(below).ok()?,
            len: stored.content_length,
            modified: time(stored.upload_timestamp),
        })
    }
}

fn time(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

fn number(headers: &HeaderMap, name: &str) -> Result<u64> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    let number = value.and_then(|value| value.parse().ok());
    number.ok_or_else(|| bad_answer(&format!("there is no {name}")))
}

fn bad_answer(text: &str) -> Error {
    Error::new(ErrorKind::Other).with_source(format!("B2's answer cannot be read: {text}"))
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Debug for B2Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("B2Backend")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl Backend for B2Backend {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        block_on(self.put(key, body))?.map_err(|error| error.with_key(key))
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        match range {
            // HTTP has no form for an empty range.
            Some(range) if range.start >= range.end => {
                let len = self.stat(key)?.len;
                crate::range::within(key, Some(range), len)?;
                Ok(Vec::new())
            }
            range => {
                let read = block_on(self.read(key, range))?;
                read.map(Vec::from).map_err(|error| error.with_key(key))
            }
        }
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        block_on(self.head(key))?.map_err(|error| error.with_key(key))
    }

    /// Lazily, page by page.
    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        match check_prefix(prefix) {
            Ok(()) => Box::new(B2Pages::new(self, prefix)),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn delete(&self, key: &Key) -> Result<()> {
        block_on(self.hide(key))?.map_err(|error| error.with_key(key))
    }

    fn properties(&self) -> Properties {
        Properties { writes: Writes::Weak, connections: self.connections }
    }

    fn examine(&self) -> Vec<SettingFinding> {
        vec![
            SettingFinding {
                about: "overwriting",
                weight: Weight::Note,
                text: "B2 overwrites: of two hosts that write one name at one moment both may succeed".to_owned(),
                next: Some("let one host write to it; what is backed up has names of its own and stays safe".to_owned()),
            },
            SettingFinding {
                about: "versions",
                weight: Weight::Note,
                text: "B2 hides what is deleted and goes on charging for it".to_owned(),
                next: Some("set the bucket's lifecycle to keep only the last version of a file, with some days in between".to_owned()),
            },
        ]
    }
}
