//! One SFTP session: the requests that are needed, and what the server offers beyond the standard.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future;
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use russh_sftp::client::{Config, RawSftpSession, rawsession::SftpResult};
use russh_sftp::extensions::Statvfs;
use russh_sftp::protocol::{FileAttributes, OpenFlags};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::errors::{Code, Failed, lost};
use super::life::Life;
use super::packets::Packets;
use crate::{Error, ErrorKind, Result};

/// Files and folders that are open at once. More would not make it faster, and servers limit them.
const MAX_HANDLES: u32 = 96;
/// The longest answer; one with names holds at most a hundred of them.
const MAX_PACKET: u32 = 1024 * 1024;
/// What one write carries, of what every server takes.
pub(super) const CHUNK: usize = 32 * 1024;

/// A session may be silent for so many times the limit of its connection, since others share it.
const SHARED: u32 = 4;

const NO_SUBSYSTEM: &str = "sshd_config needs a line like: Subsystem sftp internal-sftp";

/// Nobody, not even the owner, may write to a stored file again. If the server forbids mode
/// changes, a user of this login cannot overwrite it. The handle that creates it can still write.
const FILE_MODE: u32 = 0o400;
/// The mode that a file gets before its removal, for servers that remove only writable files.
const WRITABLE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// A channel of a connection with the SFTP subsystem behind it.
pub(super) struct Session {
    raw: RawSftpSession,
    life: Arc<Life>,
    handles: Semaphore,
    is_lost: AtomicBool,
    /// When something was answered last, or asked while nothing was under way.
    moved: Mutex<Moved>,
    pub(super) offers: Offers,
}

/// What the server offers beyond version 3 of the protocol.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Offers {
    /// `fsync@openssh.com`.
    pub(super) sync: bool,
    /// `hardlink@openssh.com`.
    pub(super) link: bool,
    /// `statvfs@openssh.com`.
    pub(super) space: bool,
    /// `posix-rename@openssh.com`; never used.
    pub(super) replacing_rename: bool,
    /// How many bytes one write may carry.
    pub(super) chunk: usize,
}

/// What goes on in a session.
#[derive(Debug)]
struct Moved {
    waiting: usize,
    last: Instant,
}

/// A request of a session, until this is dropped.
struct PendingRequest<'a>(&'a Session);

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        self.0.moved().waiting -= 1;
    }
}

/// An open file or folder, which counts for the limit until it is closed.
pub(super) struct Handle<'a> {
    id: String,
    _permit: SemaphorePermit<'a>,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SftpPathKind {
    Nothing,
    File {
        len: u64,
        modified: SystemTime,
    },
    Folder,
    /// A symbolic link, which is not followed, a device or the like.
    Other,
}

/// How a file was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removed {
    AsItWas,
    /// Its other names have this mode now, too.
    WithAnotherMode,
}

/// One name of a folder.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) name: String,
    /// None: the server does not say.
    pub(super) holds: Option<SftpPathKind>,
}

impl Session {
    /// Begins a session on a channel that was just opened.
    pub(super) async fn begin(mut channel: Channel<Msg>, life: Arc<Life>) -> Result<Self> {
        let about = |error: russh::Error| lost(&format!("starting SFTP: {error}"));
        let waiting = life.request();
        channel.request_subsystem(true, "sftp").await.map_err(about)?;
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => break,
                Some(ChannelMsg::Failure) => {
                    return Err(Error::new(ErrorKind::Invalid)
                        .with_source("the server does not offer SFTP to this user")
                        .with_hint(NO_SUBSYSTEM));
                }
                // The line broke, as a rule.
                Some(ChannelMsg::Close | ChannelMsg::Eof) | None => {
                    let error = lost("starting SFTP: the channel was closed");
                    return Err(error.with_hint(NO_SUBSYSTEM));
                }
                Some(_) => {}
            }
        }
        waiting.answered();
        drop(waiting);
        let config = Config {
            max_packet_len: MAX_PACKET,
            // Never: `Life` watches.
            request_timeout_secs: u64::MAX,
            ..Config::default()
        };
        let mut session = Self {
            raw: RawSftpSession::new_with_config(Packets::new(channel.into_stream()), config),
            life,
            handles: Semaphore::new(MAX_HANDLES as usize),
            is_lost: AtomicBool::new(false),
            moved: Mutex::new(Moved { waiting: 0, last: Instant::now() }),
            offers: Offers::default(),
        };
        session.offers = session.negotiate().await?;
        Ok(session)
    }

    async fn negotiate(&self) -> Result<Offers> {
        let begun = self.call(self.raw.init()).await;
        let version = begun.map_err(|failed| failed.into_error("starting SFTP"))?;
        if version.version != 3 {
            let text = format!("the server speaks version {} of SFTP, not 3", version.version);
            return Err(Error::new(ErrorKind::Invalid).with_source(text));
        }
        let offers = |name: &str| version.extensions.contains_key(name);
        let mut chunk = CHUNK;
        if offers("limits@openssh.com")
            && let Ok(limits) = self.call(self.raw.limits()).await
            && let Ok(longest) = usize::try_from(limits.max_write_len.min(limits.max_read_len))
            && longest > 0
        {
            chunk = chunk.min(longest);
        }
        Ok(Offers {
            sync: offers("fsync@openssh.com"),
            link: offers("hardlink@openssh.com"),
            space: offers("statvfs@openssh.com"),
            replacing_rename: offers("posix-rename@openssh.com"),
            chunk,
        })
    }

    /// The connection's state.
    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    /// Whether requests can still be made.
    pub(super) fn is_alive(&self) -> bool {
        !self.is_lost.load(Ordering::Acquire) && !self.life.is_over()
    }

    async fn call<T>(&self, request: impl Future<Output = SftpResult<T>>) -> Result<T, Failed> {
        // The library's writer may hang on a channel that ended, and then takes requests that nobody
        // ever answers.
        if !self.is_alive() {
            return Err(Failed::Lost(self.life.reason()));
        }
        let waiting = self.life.request();
        match self.answer(request).await {
            Err(Failed::Lost(text)) => {
                self.is_lost.store(true, Ordering::Release);
                let is_over = self.life.is_over();
                Err(Failed::Lost(if is_over { self.life.reason() } else { text }))
            }
            answer => {
                waiting.answered();
                answer
            }
        }
    }

    /// Waits for the answer for as long as this session answers anything. That of the connection may
    /// move on without it: each session has a process of its own at the server, and the library may
    /// lose one.
    async fn answer<T>(&self, request: impl Future<Output = SftpResult<T>>) -> Result<T, Failed> {
        let patience = self.life.stalled_after() * SHARED;
        let _asked = self.ask();
        let mut request = pin!(request);
        loop {
            match tokio::time::timeout(patience, &mut request).await {
                Ok(answer) => {
                    self.moved().last = Instant::now();
                    return answer.map_err(Failed::from);
                }
                Err(_) if self.moved().last.elapsed() < patience => {}
                Err(_) => {
                    let seconds = patience.as_secs_f32();
                    let text = format!("the session answered nothing for {seconds} seconds");
                    return Err(Failed::Lost(text));
                }
            }
        }
    }

    fn ask(&self) -> PendingRequest<'_> {
        let mut moved = self.moved();
        if moved.waiting == 0 {
            moved.last = Instant::now();
        }
        moved.waiting += 1;
        PendingRequest(self)
    }

    fn moved(&self) -> MutexGuard<'_, Moved> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(
        &self,
        path: &str,
        opening: impl Future<Output = SftpResult<russh_sftp::protocol::Handle>>,
    ) -> Result<Handle<'_>, Failed> {
        let gone = |_| Failed::Lost(format!("{path}: the session ended"));
        let permit = self.handles.acquire().await.map_err(gone)?;
        let id = self.call(opening).await?.handle;
        Ok(Handle { id, _permit: permit })
    }

    /// Makes a new file for writing; its name must be free.
    pub(super) async fn open_new(&self, path: &str) -> Result<Handle<'_>, Failed> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
        let opening = self.raw.open(path, flags, with_mode(FILE_MODE));
        self.handle(path, opening).await
    }

    /// Opens a file for reading; with OpenSSH also a folder, to sync it.
    pub(super) async fn open(&self, path: &str) -> Result<Handle<'_>, Failed> {
        let opening = self.raw.open(path, OpenFlags::READ, FileAttributes::empty());
        self.handle(path, opening).await
    }

    /// Closes a file or folder.
    pub(super) async fn close(&self, handle: Handle<'_>) -> Result<(), Failed> {
        self.call(self.raw.close(handle.id.as_str())).await?;
        Ok(())
    }

    /// Writes at an offset.
    pub(super) async fn write(
        &self,
        handle: &Handle<'_>,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Failed> {
        let writing = self.raw.write(handle.id.as_str(), offset, bytes.to_vec());
        self.call(writing).await?;
        Ok(())
    }

    /// Reads at an offset; empty at the end. May be less than asked for.
    pub(super) async fn read(
        &self,
        handle: &Handle<'_>,
        offset: u64,
        len: u32,
    ) -> Result<Vec<u8>, Failed> {
        match self.call(self.raw.read(handle.id.as_str(), offset, len)).await {
            Ok(data) => Ok(data.data),
            Err(Failed::Refused(Code::EOF, _)) => Ok(Vec::new()),
            Err(failed) => Err(failed),
        }
    }

    /// Makes what was written survive a power cut.
    pub(super) async fn sync(&self, handle: &Handle<'_>) -> Result<(), Failed> {
        self.call(self.raw.fsync(handle.id.as_str())).await?;
        Ok(())
    }

    /// What a path is; symbolic links are not followed.
    pub(super) async fn look(&self, path: &str) -> Result<SftpPathKind, Failed> {
        seen(self.call(self.raw.lstat(path)).await)
    }

    /// What a path is, or what it leads to.
    pub(super) async fn look_through(&self, path: &str) -> Result<SftpPathKind, Failed> {
        seen(self.call(self.raw.stat(path)).await)
    }

    /// Makes a folder.
    pub(super) async fn make_folder(&self, path: &str) -> Result<(), Failed> {
        self.call(self.raw.mkdir(path, with_mode(FOLDER_MODE))).await?;
        Ok(())
    }

    /// Removes a file. Servers under Windows refuse that for one that its owner may not write to
    /// (Win32-OpenSSH #467): then its mode is changed first.
    pub(super) async fn remove(&self, path: &str) -> Result<Removed, Failed> {
        let denied = match self.call(self.raw.remove(path)).await {
            Ok(_) => return Ok(Removed::AsItWas),
            Err(Failed::Refused(code, text)) if code.is_denied() => Failed::Refused(code, text),
            Err(failed) => return Err(failed),
        };
        match self.change_mode(path, WRITABLE_MODE).await {
            Ok(()) => {}
            Err(Failed::Refused(..)) => return Err(denied),
            Err(lost) => return Err(lost),
        }
        match self.call(self.raw.remove(path)).await {
            Ok(_) => Ok(Removed::WithAnotherMode),
            Err(failed) => {
                // It stays, so nobody shall overwrite it.
                let _ = self.change_mode(path, FILE_MODE).await;
                Err(failed)
            }
        }
    }

    /// Lets nobody write to a file any more.
    pub(super) async fn protect(&self, path: &str) -> Result<(), Failed> {
        self.change_mode(path, FILE_MODE).await
    }

    /// Changes a file's mode; where the server cannot by the path, by an open handle.
    async fn change_mode(&self, path: &str, mode: u32) -> Result<(), Failed> {
        match self.call(self.raw.setstat(path, with_mode(mode))).await {
            Ok(_) => Ok(()),
            Err(Failed::Refused(Code::UNSUPPORTED, _)) => {
                let file = self.open(path).await?;
                let setting = self.raw.fsetstat(file.id.as_str(), with_mode(mode));
                let set = self.call(setting).await;
                self.close(file).await?;
                set.map(drop)
            }
            Err(failed) => Err(failed),
        }
    }

    /// Renames a file; OpenSSH refuses a name that is taken.
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<(), Failed> {
        self.call(self.raw.rename(from, to)).await?;
        Ok(())
    }

    /// Gives a file a second name, which must be free.
    pub(super) async fn link(&self, from: &str, to: &str) -> Result<(), Failed> {
        self.call(self.raw.hardlink(from, to)).await?;
        Ok(())
    }

    /// The space of the file system that a path is on. None: the server does not tell.
    pub(super) async fn space(&self, path: &str) -> Result<Option<Statvfs>, Failed> {
        if !self.offers.space {
            return Ok(None);
        }
        match self.call(self.raw.statvfs(path)).await {
            Ok(space) => Ok(Some(space)),
            Err(Failed::Refused(..)) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// The names in a folder, `.` and `..` among them. A folder that is not there: None.
    pub(super) async fn names(&self, path: &str) -> Result<Option<Vec<Name>>, Failed> {
        let folder = match self.handle(path, self.raw.opendir(path)).await {
            Ok(folder) => folder,
            Err(failed) if failed.is_absent() => return Ok(None),
            Err(failed @ Failed::Lost(_)) => return Err(failed),
            // OpenSSH says that nothing is there if it is a file; others have other words.
            Err(failed) => match self.look(path).await {
                Ok(SftpPathKind::Nothing | SftpPathKind::File { .. }) => return Ok(None),
                Ok(_) => return Err(failed),
                Err(unknown) => return Err(unknown),
            },
        };
        let mut names = Vec::new();
        let read = loop {
            match self.call(self.raw.readdir(folder.id.as_str())).await {
                Ok(some) => names.extend(
                    some.files
                        .into_iter()
                        .map(|file| Name { name: file.filename, holds: holds(&file.attrs) }),
                ),
                Err(Failed::Refused(Code::EOF, _)) => break Ok(Some(names)),
                Err(failed) => break Err(failed),
            }
        };
        // Closed also if reading failed; what closing says then does not matter.
        let closed = self.close(folder).await;
        let read = read?;
        closed?;
        Ok(read)
    }

    /// Several requests at a time of which each stands for itself.
    pub(super) async fn look_at_all(&self, paths: &[String]) -> Result<Vec<SftpPathKind>, Failed> {
        let looks = paths.iter().map(|path| self.look(path));
        future::join_all(looks).await.into_iter().collect()
    }
}

/// What a backup never asks for: for tests of what a server lets others do.
#[cfg(test)]
impl Session {
    pub(super) async fn replace(&self, from: &str, to: &str) -> Result<(), Failed> {
        let mut data = Vec::new();
        for path in [from, to] {
            data.extend(u32::try_from(path.len()).unwrap_or(0).to_be_bytes());
            data.extend(path.as_bytes());
        }
        let asking = self.raw.extended("posix-rename@openssh.com", data);
        match self.call(asking).await? {
            russh_sftp::protocol::Packet::Status(status)
                if status.status_code != russh_sftp::protocol::StatusCode::Ok =>
            {
                Err(russh_sftp::client::error::Error::from(status).into())
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn overwrite(&self, path: &str) -> Result<(), Failed> {
        let opening = self.raw.open(path, OpenFlags::WRITE, FileAttributes::empty());
        self.handle(path, opening).await.map(drop)
    }

    pub(super) async fn set_mode(&self, path: &str, mode: u32) -> Result<(), Failed> {
        self.call(self.raw.setstat(path, with_mode(mode))).await?;
        Ok(())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("offers", &self.offers).finish_non_exhaustive()
    }
}

fn with_mode(mode: u32) -> FileAttributes {
    FileAttributes { permissions: Some(mode), ..FileAttributes::empty() }
}

fn seen(answer: Result<russh_sftp::protocol::Attrs, Failed>) -> Result<SftpPathKind, Failed> {
    match answer {
        // Without a type it is nothing that could be trusted to be a file.
        Ok(attrs) => Ok(holds(&attrs.attrs).unwrap_or(SftpPathKind::Other)),
        Err(failed) if failed.is_absent() => Ok(SftpPathKind::Nothing),
        Err(failed) => Err(failed),
    }
}

/// What attributes say; None without a type.
fn holds(attrs: &FileAttributes) -> Option<SftpPathKind> {
    const TYPE: u32 = 0o170_000;
    const FOLDER: u32 = 0o040_000;
    const FILE: u32 = 0o100_000;
    Some(match attrs.permissions? & TYPE {
        0 => return None,
        FOLDER => SftpPathKind::Folder,
        FILE => SftpPathKind::File {
            len: attrs.size?,
            modified: UNIX_EPOCH + Duration::from_secs(attrs.mtime?.into()),
        },
        _ => SftpPathKind::Other,
    })
}
