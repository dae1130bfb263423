//! How a thing gets its name: none, or whole.
//!
//! It is written to a temporary file in its own folder, synced, and renamed. The plain rename of
//! SFTP, as OpenSSH does it, makes a hard link and removes the old name, and so refuses a name that
//! is taken, whoever races (`sftp-server.c`, `process_rename`); where the server's file system has no
//! hard links it looks and then renames, which two at one moment both may pass.
//! `posix-rename@openssh.com`, which replaces, is never used.
//!
//! What other servers do at a rename is not known (rclone replaces what is there). There a hard link
//! is made, which no server replaces anything by, if they can; otherwise they are asked to rename.
//! That the name is taken by a file is not looked up before, so that [`probe`](crate::probe) sees what they do.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future;

use super::errors::{Code, Failed, lost};
use super::folders::{self, DurableFolders};
use super::place::SftpFolder;
use super::session::{Handle, Removed, Session, SftpPathKind};
use super::{space, temporary, transfer};
use crate::destination::invalid;
use crate::limit::Pace;
use crate::{Error, ErrorKind, Key, Result};

/// How a server is made to refuse a name that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SftpPublishing {
    /// By the plain rename, which refuses it.
    Rename,
    /// By a hard link, or a rename of which nothing is known.
    LinkOrRename,
}

impl SftpPublishing {
    /// What suits a server. The subsystem behind an OpenSSH server may be another one, which does not
    /// offer what OpenSSH's own does.
    pub(super) fn of(software: &str, session: &Session) -> Self {
        if software.contains("OpenSSH") && session.offers.sync {
            Self::Rename
        } else {
            Self::LinkOrRename
        }
    }
}

/// What a put needs besides the session.
pub(super) struct Publisher<'a> {
    pub(super) place: &'a SftpFolder,
    pub(super) folders: &'a DurableFolders,
    pub(super) publishing: SftpPublishing,
    pub(super) pace: &'a Pace,
    /// Whether this server was seen to keep temporary files: it lets nobody remove.
    pub(super) keeps: &'a AtomicBool,
}

/// A temporary file that is there until it is published or removed.
struct SftpTemporary<'a> {
    path: String,
    file: Option<Handle<'a>>,
    /// The open folder, to be synced at the end.
    folder: Option<Handle<'a>>,
}

impl Publisher<'_> {
    /// Stores a body under a key, which must be new.
    pub(super) async fn put(&self, session: &Session, key: &Key, body: &[u8]) -> Result<()> {
        let (path, _) = key.folder_and_name();
        self.folders.see_to(session, self.place, path).await?;
        let target = self.place.of_key(key);
        if self.keeps.load(Ordering::Relaxed) && self.publishing == SftpPublishing::Rename {
            // Not beside the opening of a file that would stay.
            let looked = session.look(&target).await;
            match looked.map_err(|failed| failed.into_error(&target))? {
                SftpPathKind::Nothing => {}
                taken => return Err(refused(&target, taken)),
            }
        }
        let (looked, mut temporary) = self.begin(session, path, &target).await?;
        let stored = match looked {
            SftpPathKind::Nothing => self.fill(session, &mut temporary, &target, body).await,
            taken => Err(refused(&target, taken)),
        };
        let left = match &stored {
            Ok(is_renamed) => !is_renamed,
            Err(_) => true,
        };
        let linked = stored.is_ok().then_some(target.as_str());
        let synced = self.end(session, temporary, left, linked).await;
        // A name that was taken is settled too: who finds the same bytes there will rely on it.
        match stored {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            other => synced.and(other.map(drop)),
        }
    }

    /// Looks at the target, and opens what is needed, all at once.
    async fn begin<'s>(
        &self,
        session: &'s Session,
        path: &str,
        target: &str,
    ) -> Result<(SftpPathKind, SftpTemporary<'s>)> {
        let folder = self.place.at(path);
        let name = temporary::random_name()?;
        let new = self.place.at(&join(path, &name));
        let look = async {
            match self.publishing {
                SftpPublishing::Rename => session.look(target).await,
                SftpPublishing::LinkOrRename => match session.look(target).await {
                    // What the server does about a file is for it to show; rclone puts the new
                    // file in the place of a folder too, with all that is in it.
                    Ok(SftpPathKind::File { .. }) => Ok(SftpPathKind::Nothing),
                    other => other,
                },
            }
        };
        let open_folder = async {
            if session.offers.sync { session.open(&folder).await.map(Some) } else { Ok(None) }
        };
        let (looked, opened, opened_folder) =
            future::join3(look, session.open_new(&new), open_folder).await;
        let mut temporary = SftpTemporary {
            path: new,
            file: None,
            // One that cannot be opened cannot be synced.
            folder: opened_folder.ok().flatten(),
        };
        match opened {
            Ok(file) => temporary.file = Some(file),
            Err(failed) => {
                let path = temporary.path.clone();
                self.end(session, temporary, false, None).await?;
                return Err(self.not_opened(session, &path, failed).await);
            }
        }
        match looked {
            Ok(looked) => Ok((looked, temporary)),
            Err(failed) => {
                self.end(session, temporary, true, None).await?;
                Err(failed.into_error(target))
            }
        }
    }

    /// A folder went away under us: the next attempt makes a new one.
    async fn not_opened(&self, session: &Session, path: &str, failed: Failed) -> Error {
        if let Failed::Refused(Code::EXISTS, _) = failed {
            return lost(&format!("{path}: another writer has this name"));
        }
        if failed.is_absent() {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let root = self.place.at("");
            let folder = folder.strip_prefix(root.as_str()).unwrap_or(folder);
            self.folders.forget(folder.trim_start_matches('/'));
            return lost(&format!("{path}: its folder went away"));
        }
        space::explain(session, path, 0, failed).await
    }

    /// Writes, syncs and publishes; whether the temporary name is gone with that.
    async fn fill<'s>(
        &self,
        session: &'s Session,
        temporary: &mut SftpTemporary<'s>,
        target: &str,
        body: &[u8],
    ) -> Result<bool> {
        let Some(file) = temporary.file.take() else {
            return Err(lost("the file was never opened"));
        };
        let from = temporary.path.as_str();
        let mut written = transfer::write(session, &file, body, self.pace).await;
        if written.is_ok() && session.offers.sync {
            // Without this a power cut may leave the name with an empty file behind it.
            written = session.sync(&file).await;
        }
        if let Err(failed) = written {
            let _ = session.close(file).await;
            return Err(space::explain(session, from, body.len(), failed).await);
        }
        let (published, is_renamed) = match self.publishing {
            // One after the other on the server, and both at once on the line.
            SftpPublishing::Rename => {
                let renaming = session.rename(from, target);
                (future::join(session.close(file), renaming).await.1, true)
            }
            SftpPublishing::LinkOrRename => {
                // Some disks are full only now.
                if let Err(failed) = session.close(file).await {
                    return Err(space::explain(session, from, body.len(), failed).await);
                }
                link_or_rename(session, from, target).await
            }
        };
        match published {
            Ok(()) => Ok(is_renamed),
            Err(failed) => Err(why_not(session, from, target, failed).await),
        }
    }

    /// Closes what is open, syncs the folder, and removes what is left, of which `linked` is another
    /// name; a server that lets nobody remove keeps it, and it counts for nothing.
    async fn end(
        &self,
        session: &Session,
        temporary: SftpTemporary<'_>,
        is_left: bool,
        linked: Option<&str>,
    ) -> Result<()> {
        if let Some(file) = temporary.file {
            let _ = session.close(file).await;
        }
        if is_left {
            match session.remove(&temporary.path).await {
                Err(Failed::Refused(code, _)) if code.is_denied() => {
                    self.keeps.store(true, Ordering::Relaxed);
                }
                // The stored file is the same by another name. A server that refuses keeps it writable.
                Ok(Removed::WithAnotherMode) => {
                    if let Some(linked) = linked {
                        let _ = session.protect(linked).await;
                    }
                }
                _ => {}
            }
        }
        let Some(folder) = temporary.folder else {
            return Ok(());
        };
        let synced = session.sync(&folder).await;
        let closed = session.close(folder).await;
        folders::synced_or_not_possible(session, synced)
            .and(closed)
            .map_err(|failed| failed.into_error(&temporary.path))
    }
}

/// Gives a file its name by a link, or by a rename if the server makes no links; whether it was the
/// latter.
async fn link_or_rename(session: &Session, from: &str, target: &str) -> (Result<(), Failed>, bool) {
    if session.offers.link {
        match session.link(from, target).await {
            // Offered by its library, and not done.
            Err(Failed::Refused(Code::UNSUPPORTED, _)) => {}
            linked => return (linked, false),
        }
    }
    (session.rename(from, target).await, true)
}

/// Why a file did not get its name.
async fn why_not(session: &Session, from: &str, target: &str, failed: Failed) -> Error {
    match failed {
        Failed::Lost(_) => failed.into_error(target),
        Failed::Refused(code, _) if code.is_denied() => failed.into_error(target),
        Failed::Refused(..) => match session.look(target).await {
            Ok(SftpPathKind::Nothing) => match session.look(from).await {
                Ok(SftpPathKind::Nothing) => lost(&format!("{from}: the file went away")),
                Ok(_) => failed.into_error(target),
                Err(failed) => failed.into_error(target),
            },
            Ok(taken) => refused(target, taken),
            Err(failed) => failed.into_error(target),
        },
    }
}

/// What stands where a key should.
fn refused(target: &str, taken: SftpPathKind) -> Error {
    match taken {
        SftpPathKind::File { .. } => Error::new(ErrorKind::AlreadyExists),
        SftpPathKind::Folder => invalid(format!("{target} is a folder")),
        SftpPathKind::Nothing | SftpPathKind::Other => {
            invalid(format!("{target} is neither a file nor a folder"))
        }
    }
}

/// A path, one name further.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}
