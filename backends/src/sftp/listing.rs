//! Listing: many folders at a time, each read whole before anything of it is given out, so that a
//! listing that somebody holds on to keeps nothing open on the server.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Server;
use super::errors::Failed;
use super::publish::join;
use super::session::{Name, Session, SftpPathKind};
use crate::key::is_segment;
use crate::{Entry, Error, Key, Result, runtime};

/// Folders that are read at a time, over all sessions.
const AT_ONCE: usize = 64;
/// Folders that are read ahead of whoever takes the entries.
const AHEAD: usize = 64;

/// A file that was found.
#[derive(Debug)]
pub(super) struct SftpFile {
    /// Below the repository's folder.
    pub(super) path: String,
    pub(super) holds: SftpPathKind,
}

/// What a folder holds, as far as it is wanted.
struct FolderContent {
    files: Vec<Result<SftpFile>>,
    folders: Vec<String>,
}

/// Files below a folder, in the order in which folders were read.
pub(super) struct SftpListing {
    batches: mpsc::Receiver<Vec<Result<SftpFile>>>,
    current: std::vec::IntoIter<Result<SftpFile>>,
}

impl SftpListing {
    /// Begins to list the files below the folder `prefix` whose names are wanted.
    pub(super) fn begin(server: &Arc<Server>, prefix: &str, wanted: fn(&str) -> bool) -> Self {
        let (sender, batches) = mpsc::channel(AHEAD);
        let (server, prefix) = (Arc::clone(server), prefix.to_owned());
        match runtime::runtime() {
            Ok(runtime) => {
                runtime.spawn(walk(server, prefix, wanted, sender));
            }
            Err(error) => {
                let _ = sender.try_send(vec![Err(error.into())]);
            }
        }
        Self { batches, current: Vec::new().into_iter() }
    }
}

impl Iterator for SftpListing {
    type Item = Result<SftpFile>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.current.next() {
                return Some(found);
            }
            self.current = self.batches.blocking_recv()?.into_iter();
        }
    }
}

impl SftpFile {
    /// As a listing shows it, if its path can be a key.
    pub(super) fn into_entry(self) -> Option<Entry> {
        let SftpPathKind::File { len, modified } = self.holds else {
            return None;
        };
        Some(Entry { key: Key::parse(&self.path).ok()?, len, modified })
    }
}

/// Reads folder after folder until nobody wants more of it, or the server cannot be reached.
async fn walk(
    server: Arc<Server>,
    prefix: String,
    wanted: fn(&str) -> bool,
    sender: mpsc::Sender<Vec<Result<SftpFile>>>,
) {
    let mut pending = Vec::new();
    if has_room(&prefix) {
        pending.push(prefix);
    }
    let mut reading = JoinSet::new();
    loop {
        while reading.len() < AT_ONCE
            && let Some(path) = pending.pop()
        {
            let server = Arc::clone(&server);
            reading.spawn(async move { read(&server, path, wanted).await });
        }
        let Some(Ok(read)) = reading.join_next().await else {
            return;
        };
        let (files, is_over) = match read {
            Ok(read) => {
                pending.extend(read.folders);
                (read.files, false)
            }
            // Each of the other folders would wait as long for nothing.
            Err(error) => (vec![Err(error)], true),
        };
        let is_wanted = files.is_empty() || sender.send(files).await.is_ok();
        if is_over || !is_wanted {
            break;
        }
    }
    // Whoever reads a folder closes it: a task that was aborted would leave it open on the server.
    while reading.join_next().await.is_some() {}
}

/// Reads a folder. An error about it is among the files.
///
/// Errors: there is no session to read it with.
async fn read(
    server: &Arc<Server>,
    path: String,
    wanted: fn(&str) -> bool,
) -> Result<FolderContent> {
    let lease = match server.pool.lease().await {
        Ok(lease) => lease,
        Err(error) => return Err(about(&path, error)),
    };
    let read = lease.run(read_folder(server, &lease, &path, wanted)).await;
    Ok(read.unwrap_or_else(|error| FolderContent {
        files: vec![Err(about(&path, error))],
        folders: Vec::new(),
    }))
}

async fn read_folder(
    server: &Server,
    session: &Session,
    path: &str,
    wanted: fn(&str) -> bool,
) -> Result<FolderContent> {
    let full = server.place.at(path);
    let failed = |failed: Failed| failed.into_error(&full);
    // One that went away holds nothing.
    let names = session.names(&full).await.map_err(failed)?;
    let mut read = FolderContent { files: Vec::new(), folders: Vec::new() };
    for Name { name, holds } in names.unwrap_or_default() {
        if !wanted(&name) && !is_segment(&name) {
            continue;
        }
        let path = join(path, &name);
        let holds = match holds {
            Some(holds) => holds,
            // The server's listing does not say.
            None => session.look(&server.place.at(&path)).await.map_err(failed)?,
        };
        match holds {
            SftpPathKind::File { .. } if wanted(&name) => {
                read.files.push(Ok(SftpFile { path, holds }));
            }
            SftpPathKind::Folder if is_segment(&name) && has_room(&path) => read.folders.push(path),
            _ => {}
        }
    }
    Ok(read)
}

/// Whether a key can lie below this path: a slash and a character have to fit.
fn has_room(path: &str) -> bool {
    path.len() + 2 <= Key::MAX_LEN
}

/// An error about a folder, named as if it were a key.
fn about(path: &str, error: Error) -> Error {
    match Key::parse(path) {
        Ok(key) => error.with_key(&key),
        Err(_) => error,
    }
}
