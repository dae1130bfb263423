//! The long tail of destinations: Azure Blob Storage, Google Cloud Storage and WebDAV, through opendal,
//! over an HTTP transport of our own (`transport`).
//!
//! * Azure and Google decide which of several writers of a key wins: a put is one conditional
//!   request. A key appears whole.
//! * WebDAV has no conditional write, and many servers keep the first part of a broken upload under
//!   its name. So an upload goes to a temporary name and is then moved (`folders`).
//!
//! This backend never retries; it reports `Transient`. Durability after a power cut is up to the
//! service; a WebDAV server promises nothing.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::ops::Range;

use bytes::Bytes;
use futures_util::TryStreamExt;
use opendal::{EntryMode, Lister, Metadata, Operator};

use crate::destination::Remote;
use crate::key::check_prefix;
use crate::options::Absent;
use crate::{
    Backend, Entry, Error, ErrorKind, Key, Options, Properties, Result, SettingFinding, Weight,
    Writes, range, runtime,
};

use self::errors::explained;
use self::folders::OpendalFolders;
use self::services::{Configured, OpendalService, configured};
use self::transport::Transport;

mod errors;
mod folders;
mod multistatus;
mod services;
#[cfg(test)]
mod tests;
mod transport;

/// Requests at a time where nobody says how many.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(4).expect("four is not zero");

/// A destination behind opendal.
pub struct OpendalBackend {
    calls: Calls,
    /// Where there are folders.
    folders: Option<OpendalFolders>,
    properties: Properties,
}

/// A service, and how it is called.
struct Calls {
    operator: Operator,
    service: OpendalService,
    transport: Transport,
}

impl Calls {
    /// Makes a call and waits for its end.
    fn wait<T>(&self, call: impl Future<Output = opendal::Result<T>>) -> Result<T> {
        runtime::block_on(call)?.map_err(|error| explained(&error, self.service))
    }

    fn metadata(&self, path: &str) -> Result<Metadata> {
        self.wait(self.operator.stat(path))
    }

    /// What a key's metadata says; a folder is `NotFound`.
    fn entry(&self, key: &Key) -> Result<Entry> {
        let metadata = self.metadata(key.as_str())?;
        if metadata.mode() == EntryMode::DIR {
            return Err(Error::new(ErrorKind::NotFound));
        }
        entry(key.clone(), &metadata)
    }
}

impl OpendalBackend {
    /// Opens a container, a bucket or a folder, and makes sure that it is there and lets us in. Only
    /// folders are made.
    ///
    /// Errors: `Invalid` for a bad URL or missing credentials, `NotFound`, `PermissionDenied`,
    /// `Transient`, `NoSpace`, `Other`.
    pub(crate) fn open(remote: &Remote, options: &Options, absent: Absent) -> Result<Self> {
        let connections = options.connections.unwrap_or(CONNECTIONS);
        let transport = Transport::new(options, connections)?;
        let Configured { operator, service, writes } = configured(remote, options, &transport)?;
        let backend = Self {
            calls: Calls { operator, service, transport },
            folders: service.has_folders().then(OpendalFolders::default),
            properties: Properties { writes, connections },
        };
        match &backend.folders {
            Some(_) => OpendalFolders::open_root(&backend.calls, absent)?,
            None => backend.look_into_bucket()?,
        }
        Ok(backend)
    }

    /// Asks for the first names: a bucket that is not there says so, and bad credentials too.
    fn look_into_bucket(&self) -> Result<()> {
        let first = async {
            let lister = self.calls.operator.lister_with("/").limit(1);
            lister.await?.try_next().await
        };
        match self.calls.wait(first) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(error.with_hint("the bucket or container is not there: make it first"))
            }
            Err(error) => Err(error),
        }
    }

    fn put(&self, key: &Key, body: &[u8]) -> Result<()> {
        if let Some(folders) = &self.folders {
            return folders.put_new(&self.calls, key, body);
        }
        let body = Bytes::copy_from_slice(body);
        let write = self.calls.operator.write_with(key.as_str(), body);
        let write = write.if_not_exists(true);
        self.calls.wait(write.into_future()).map(drop)
    }

    fn read(&self, key: &Key, asked: Option<Range<u64>>) -> Result<Vec<u8>> {
        // A server shows a folder as a page for browsers.
        if asked.is_none() && self.folders.is_none() {
            let body = self.calls.wait(self.calls.operator.read(key.as_str()))?;
            return Ok(body.to_vec());
        }
        let range = range::within(key, asked, self.calls.entry(key)?.len)?;
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let len = range.end - range.start;
        let read = self.calls.operator.read_with(key.as_str()).range(range);
        let body = self.calls.wait(read.into_future())?;
        if body.len() as u64 == len {
            return Ok(body.to_vec());
        }
        Err(Error::new(ErrorKind::Transient)
            .with_source(format!("{} of {len} bytes arrived", body.len())))
    }
}

/// An entry from what a service tells of it.
fn entry(key: Key, metadata: &Metadata) -> Result<Entry> {
    let Some(modified) = metadata.last_modified() else {
        return Err(Error::new(ErrorKind::Other)
            .with_key(&key)
            .with_source("the server does not tell when this was stored"));
    };
    Ok(Entry { key, len: metadata.content_length(), modified: modified.into() })
}

/// The path of the folder that a prefix names.
fn folder_path(prefix: &str) -> String {
    format!("{prefix}/")
}

impl fmt::Debug for OpendalBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpendalBackend")
            .field("service", &self.calls.service)
            .field("name", &self.calls.operator.info().name())
            .field("root", &self.calls.operator.info().root())
            .field("properties", &self.properties)
            .finish_non_exhaustive()
    }
}

impl Backend for OpendalBackend {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        self.put(key, body).map_err(|error| error.with_key(key))
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        self.read(key, range).map_err(|error| error.with_key(key))
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        self.calls.entry(key).map_err(|error| error.with_key(key))
    }

    /// Lazily: page by page, or folder by folder.
    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        if let Err(error) = check_prefix(prefix) {
            return Box::new(std::iter::once(Err(error)));
        }
        match &self.folders {
            Some(_) => Box::new(folders::OpendalWalk::new(&self.calls, prefix)),
            None => Box::new(OpendalPages::new(&self.calls, prefix)),
        }
    }

    fn delete(&self, key: &Key) -> Result<()> {
        let delete = || {
            // A server with folders deletes a folder with all its content.
            if self.folders.is_some()
                && let Err(error) = self.calls.entry(key)
            {
                return match error.kind() {
                    ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                };
            }
            self.calls.wait(self.calls.operator.delete(key.as_str()))
        };
        delete().map_err(|error: Error| error.with_key(key))
    }

    fn remove_stale_temporaries(&self) -> Result<u64> {
        match &self.folders {
            Some(_) => folders::remove_stale(&self.calls),
            None => Ok(0),
        }
    }

    fn properties(&self) -> Properties {
        self.properties
    }

    fn examine(&self) -> Vec<SettingFinding> {
        let overwriting = match self.properties.writes {
            Writes::CreateOnly => SettingFinding {
                about: "overwriting",
                weight: Weight::Good,
                text: "this service refuses to overwrite, whoever races".to_owned(),
                next: None,
            },
            Writes::Unproven => SettingFinding {
                about: "overwriting",
                weight: Weight::Note,
                text: "whether this endpoint refuses to overwrite is only known by trying"
                    .to_owned(),
                next: None,
            },
            Writes::Weak => SettingFinding {
                about: "overwriting",
                weight: Weight::Note,
                text: "this kind of destination overwrites: of two hosts that write one name at one moment both may succeed".to_owned(),
                next: Some("let one host write to it; what is backed up has names of its own and stays safe".to_owned()),
            },
        };
        let kept = match self.calls.service {
            OpendalService::Webdav => SettingFinding {
                about: "durability",
                weight: Weight::Note,
                text: "WebDAV cannot tell whether the server synced what it took: what was written last may be lost in its power cut".to_owned(),
                next: Some("run check after a power cut of the server".to_owned()),
            },
            OpendalService::Azblob | OpendalService::Gcs => SettingFinding {
                about: "versions",
                weight: Weight::Note,
                text: "whether deleted things are kept, versioned or moved to a colder class was not asked".to_owned(),
                next: Some("look at the bucket's soft delete, versioning and lifecycle rules: an archive class makes a restore wait for hours".to_owned()),
            },
        };
        vec![overwriting, kept]
    }
}

/// A listing of a service without folders.
struct OpendalPages<'a> {
    calls: &'a Calls,
    prefix: String,
    lister: Option<Lister>,
    is_over: bool,
}

impl<'a> OpendalPages<'a> {
    fn new(calls: &'a Calls, prefix: &str) -> Self {
        Self { calls, prefix: prefix.to_owned(), lister: None, is_over: false }
    }

    /// What a service names next, if it names more.
    fn next_named(&mut self) -> Result<Option<opendal::Entry>> {
        let lister = match &mut self.lister {
            Some(lister) => lister,
            none => {
                let path = folder_path(&self.prefix);
                let begun = self.calls.operator.lister_with(&path).recursive(true);
                none.insert(self.calls.wait(begun.into_future())?)
            }
        };
        self.calls.wait(lister.try_next())
    }
}

impl Iterator for OpendalPages<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            let named = match self.next_named() {
                Ok(Some(named)) => named,
                Ok(None) => break,
                Err(error) => {
                    // What comes after a page that failed is not known.
                    self.is_over = true;
                    return Some(Err(error));
                }
            };
            let is_file = named.metadata().mode() == EntryMode::FILE;
            if let Ok(key) = Key::parse(named.path())
                && is_file
                && key.is_below(&self.prefix)
            {
                return Some(entry(key, named.metadata()));
            }
        }
        self.is_over = true;
        None
    }
}
