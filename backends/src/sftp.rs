//! A folder of another machine, reached by SFTP.
//!
//! A put writes a temporary file in the key's folder, syncs it if the server can, and then gives it
//! its name in one step that fails if the name is taken (`publish`). The requests of one file are
//! pipelined (`transfer`), and calls share a few connections with several sessions each (`pool`).
//! This backend never retries: it reports `Transient`, and the next call connects anew.
//!
//! Host keys have to be known (`known_hosts`), and `~/.ssh/config` is honoured (`config`, `route`).
//!
//! Limits: a sync is as good as the server makes it, and a server without `fsync@openssh.com`
//! promises nothing about a power cut. seawall never lists, reads or makes symbolic links below the
//! repository's folder, but the server follows a link in place of a folder on the way to a key.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use futures_util::future;

use crate::destination::Remote;
use crate::key::{check_prefix, is_segment};
use crate::limit::Pace;
use crate::options::Absent;
use crate::{
    Backend, Entry, Error, ErrorKind, Key, Options, Properties, Result, SettingFinding, Writes,
    range, runtime, temporary,
};

use self::connection::SshLine;
use self::errors::Failed;
use self::folders::DurableFolders;
use self::listing::{SftpFile, SftpListing};
use self::login::Secrets;
use self::place::SftpFolder;
use self::pool::Pool;
use self::publish::{Publisher, SftpPublishing};
use self::session::{Session, SftpPathKind};

pub mod config;
mod connection;
mod errors;
mod examine;
mod files;
mod folders;
pub mod known_hosts;
mod life;
mod listing;
mod login;
mod packets;
mod pattern;
mod place;
mod pool;
mod publish;
mod route;
mod session;
mod space;
mod stale;
#[cfg(test)]
mod tests;
mod transfer;

/// Connections, where nobody says how many.
const CONNECTIONS: usize = 2;
/// More are of no use, and servers refuse them.
const MAX_CONNECTIONS: usize = 32;

/// A destination on another machine.
pub struct SftpBackend {
    server: Arc<Server>,
    properties: Properties,
}

/// What all calls share.
struct Server {
    pool: Arc<Pool>,
    place: SftpFolder,
    folders: DurableFolders,
    upload: Pace,
    download: Pace,
    /// Whether the server was seen to keep what should be removed.
    keeps: AtomicBool,
    /// How to publish; found out when the first session begins.
    publishing: OnceLock<SftpPublishing>,
}

impl SftpBackend {
    /// Connects, once, and sees to the folder.
    ///
    /// Errors: `NotFound`; `Invalid`, also for a host key that is not the known one;
    /// `PermissionDenied`, also for a login that is refused; `Transient` where the server cannot be
    /// reached.
    pub(crate) fn open(remote: &Remote, options: &Options, absent: Absent) -> Result<Self> {
        remote.allow(&[])?;
        let place = SftpFolder::of(remote)?;
        let hops = route::find(remote, options)?;
        let line = SshLine {
            hops: hops.into_iter().map(Arc::new).collect(),
            secrets: Secrets::new(options),
            stalled_after: options.stalled_after,
            unsynced_folders: Arc::default(),
        };
        let connections = options.connections.map_or(CONNECTIONS, NonZeroUsize::get);
        let server = Arc::new(Server {
            pool: Pool::new(line, connections.min(MAX_CONNECTIONS)),
            place,
            folders: DurableFolders::default(),
            upload: Pace::new(options.upload_limit),
            download: Pace::new(options.download_limit),
            keeps: AtomicBool::new(false),
            publishing: OnceLock::new(),
        });
        let publishing = server.run(async |session| {
            if absent == Absent::Make {
                folders::make_place(session, &server.place).await?;
            }
            folders::see_place(session, &server.place).await?;
            Ok(server.publishing(session))
        })?;
        let writes = match publishing {
            SftpPublishing::Rename => Writes::CreateOnly,
            SftpPublishing::LinkOrRename => Writes::Unproven,
        };
        let width = NonZeroUsize::new(server.pool.width());
        Ok(Self {
            properties: Properties { writes, connections: width.unwrap_or(NonZeroUsize::MIN) },
            server,
        })
    }

    /// The same connections, another folder of the server.
    #[cfg(test)]
    fn beside(&self, folder: &str) -> Self {
        let server = Server {
            pool: Arc::clone(&self.server.pool),
            place: SftpFolder::of_folder(folder),
            folders: DurableFolders::default(),
            upload: self.server.upload.clone(),
            download: self.server.download.clone(),
            keeps: AtomicBool::new(false),
            publishing: self.server.publishing.clone(),
        };
        Self { server: Arc::new(server), properties: self.properties }
    }

    /// The same, as if nothing were known of the server.
    #[cfg(test)]
    fn published(mut self, publishing: SftpPublishing) -> Self {
        let server = Arc::get_mut(&mut self.server).expect("nobody else has it yet");
        server.publishing = OnceLock::from(publishing);
        self
    }

    fn about<T>(key: &Key, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.with_key(key))
    }
}

impl Server {
    /// Does something with a session.
    fn run<T>(&self, work: impl AsyncFnOnce(&Session) -> Result<T>) -> Result<T> {
        runtime::block_on(async {
            let lease = self.pool.lease().await?;
            lease.run(work(&lease)).await
        })?
    }

    fn publishing(&self, session: &Session) -> SftpPublishing {
        let found = || SftpPublishing::of(&self.pool.software(), session);
        *self.publishing.get_or_init(found)
    }

    async fn put(&self, session: &Session, key: &Key, body: &[u8]) -> Result<()> {
        let publisher = Publisher {
            place: &self.place,
            folders: &self.folders,
            publishing: self.publishing(session),
            pace: &self.upload,
            keeps: &self.keeps,
        };
        publisher.put(session, key, body).await
    }

    async fn get(
        &self,
        session: &Session,
        key: &Key,
        asked: Option<Range<u64>>,
    ) -> Result<Vec<u8>> {
        let path = self.place.of_key(key);
        let about = |failed: Failed| failed.into_error(&path);
        let (looked, opened) = future::join(session.look(&path), session.open(&path)).await;
        let range = match looked.map_err(about) {
            Ok(SftpPathKind::File { len, .. }) => range::within(key, asked, len),
            Ok(_) => Err(Error::new(ErrorKind::NotFound)),
            Err(error) => Err(error),
        };
        let file = match (&range, opened) {
            (_, Ok(file)) => file,
            // A folder cannot be opened everywhere.
            (Err(_), Err(_)) => return range.map(|_| Vec::new()),
            (Ok(_), Err(failed)) => return Err(about(failed)),
        };
        let body = match range {
            Ok(range) => transfer::read(session, &file, range, &self.download).await,
            Err(error) => Err(error),
        };
        session.close(file).await.map_err(about)?;
        body
    }

    async fn stat(&self, session: &Session, key: &Key) -> Result<Entry> {
        let path = self.place.of_key(key);
        let looked = session.look(&path).await;
        match looked.map_err(|failed| failed.into_error(&path))? {
            SftpPathKind::File { len, modified } => Ok(Entry { key: key.clone(), len, modified }),
            _ => Err(Error::new(ErrorKind::NotFound)),
        }
    }

    async fn delete(&self, session: &Session, key: &Key) -> Result<()> {
        let path = self.place.of_key(key);
        let about = |failed: Failed| failed.into_error(&path);
        if !matches!(session.look(&path).await.map_err(about)?, SftpPathKind::File { .. }) {
            return Ok(());
        }
        match session.remove(&path).await {
            Ok(_) => {}
            Err(failed) => match session.look(&path).await {
                // Somebody else was faster.
                Ok(SftpPathKind::Nothing) => {}
                Ok(_) => return Err(about(failed)),
                Err(unknown) => return Err(about(unknown)),
            },
        }
        let (folder, _) = key.folder_and_name();
        folders::sync(session, &self.place.at(folder)).await
    }
}

impl fmt::Debug for SftpBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SftpBackend")
            .field("server", &self.server.pool.name())
            .field("folder", &self.server.place.folder())
            .finish_non_exhaustive()
    }
}

impl Backend for SftpBackend {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        let server = &self.server;
        Self::about(key, server.run(async |session| server.put(session, key, body).await))
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        let server = &self.server;
        Self::about(key, server.run(async |session| server.get(session, key, range).await))
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        let server = &self.server;
        Self::about(key, server.run(async |session| server.stat(session, key).await))
    }

    /// Folder by folder, many at a time. One that cannot be read is an error that names it, and the
    /// listing goes on with the others.
    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        if let Err(error) = check_prefix(prefix) {
            return Box::new(std::iter::once(Err(error)));
        }
        let found = SftpListing::begin(&self.server, prefix, is_segment);
        Box::new(found.filter_map(|found| found.map(SftpFile::into_entry).transpose()))
    }

    fn delete(&self, key: &Key) -> Result<()> {
        let server = &self.server;
        Self::about(key, server.run(async |session| server.delete(session, key).await))
    }

    /// Reads the names in every folder.
    fn remove_stale_temporaries(&self) -> Result<u64> {
        stale::remove(&self.server)
    }

    fn properties(&self) -> Properties {
        self.properties
    }

    fn weaknesses(&self) -> Vec<String> {
        let pool = &self.server.pool;
        let unsynced = || {
            format!(
                "{} cannot sync folders: its power cut may take what was stored last",
                pool.name()
            )
        };
        pool.has_unsynced_folders().then(unsynced).into_iter().collect()
    }

    fn examine(&self) -> Vec<SettingFinding> {
        let server = &self.server;
        server
            .run(async |session| examine::examine(server, session).await)
            .unwrap_or_else(|error| vec![examine::not_asked(&error)])
    }
}
