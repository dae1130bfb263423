//! A server with folders: WebDAV.
//!
//! An upload goes to a temporary name in the repository's own folder, where a broken one lies until
//! it is stale, and is moved to its key with `Overwrite: F` (RFC 4918, 10.6), which the transport
//! sees to. Servers look and then rename, so that is no proof against two writers at one moment.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use opendal::{EntryMode, Metadata};

use super::{Calls, entry, folder_path};
use crate::key::is_segment;
use crate::options::Absent;
use crate::temporary::{self, random_name};
use crate::{Entry, Error, ErrorKind, Key, Result};

/// Nobody writes to one file for longer, by the server's clock.
const STALE_AFTER: Duration = Duration::from_hours(24);

/// What is known of a server's folders.
#[derive(Debug, Default)]
pub(super) struct OpendalFolders {
    /// Those that were there when somebody looked.
    known: Mutex<HashSet<String>>,
}

impl OpendalFolders {
    fn known(&self) -> MutexGuard<'_, HashSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees that the repository's own folder is there, or makes it.
    pub(super) fn open_root(calls: &Calls, absent: Absent) -> Result<()> {
        match names_in(calls, "") {
            Err(error) if error.kind() == ErrorKind::NotFound && absent == Absent::Make => {
                calls.wait(calls.operator.create_dir("/"))
            }
            names => names.map(drop),
        }
    }

    pub(super) fn put_new(&self, calls: &Calls, key: &Key, body: &[u8]) -> Result<()> {
        refuse_taken(calls, key)?;
        let (folder, _) = key.folder_and_name();
        self.make(calls, folder)?;
        let temporary = random_name()?;
        let body = Bytes::copy_from_slice(body);
        let put = async {
            calls.operator.write(&temporary, body).await?;
            calls.operator.rename(&temporary, key.as_str()).await
        };
        calls.wait(put).map_err(|error| {
            self.known().remove(folder);
            // What cannot be removed now is removed as stale later.
            let _ = calls.wait(calls.operator.delete(&temporary));
            match error.kind() {
                // A folder, or the upload, went away under us.
                ErrorKind::NotFound => Error::new(ErrorKind::Transient).with_source(error),
                _ => error,
            }
        })
    }

    /// Makes a folder and those above it.
    fn make(&self, calls: &Calls, folder: &str) -> Result<()> {
        if folder.is_empty() || self.known().contains(folder) {
            return Ok(());
        }
        let mut path = folder;
        loop {
            // Not as a folder: a server may take the slash from a file's name.
            match calls.metadata(path) {
                Ok(metadata) if metadata.mode() == EntryMode::DIR => break,
                Ok(_) => {
                    return Err(Error::new(ErrorKind::Invalid)
                        .with_source(format!("{path} is stored, and cannot be a folder too")));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None => break,
            }
        }
        if path != folder || !is_there(calls, folder)? {
            calls.wait(calls.operator.create_dir(&folder_path(folder)))?;
        }
        self.known().insert(folder.to_owned());
        Ok(())
    }
}

/// A look before a write.
fn refuse_taken(calls: &Calls, key: &Key) -> Result<()> {
    match calls.metadata(key.as_str()) {
        Ok(metadata) if metadata.mode() == EntryMode::DIR => {
            Err(Error::new(ErrorKind::Invalid).with_source(format!("{key} is a folder")))
        }
        Ok(_) => Err(Error::new(ErrorKind::AlreadyExists)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_there(calls: &Calls, path: &str) -> Result<bool> {
    match calls.metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is directly in a folder: names, without a slash, and what they are. One request.
///
/// Errors: `NotFound` if the repository's own folder is not there; another is empty then.
fn names_in(calls: &Calls, folder: &str) -> Result<Vec<(String, Metadata)>> {
    let path = folder_path(folder);
    let listed = calls.wait(calls.operator.list(&path))?;
    // A folder is in its own listing; opendal takes one that is not there for one that holds
    // nothing, and does not ask a server at all whether its root is there.
    if listed.is_empty() {
        return match folder {
            "" => Err(Error::new(ErrorKind::NotFound).with_source("the folder is not there")),
            _ => names_in(calls, "").map(|_| Vec::new()),
        };
    }
    let names = listed.into_iter().filter_map(|listed| {
        let (path, metadata) = listed.into_parts();
        let path = path.trim_end_matches('/');
        let name = match folder {
            "" => path,
            _ => path.strip_prefix(folder)?.strip_prefix('/')?,
        };
        let is_name = !name.is_empty() && !name.contains('/');
        is_name.then(|| (name.to_owned(), metadata))
    });
    Ok(names.collect())
}

/// A listing, lazily, folder by folder. One that cannot be read is an error, and the listing goes on.
pub(super) struct OpendalWalk<'a> {
    calls: &'a Calls,
    folders: Vec<String>,
    found: VecDeque<Result<Entry>>,
}

impl<'a> OpendalWalk<'a> {
    pub(super) fn new(calls: &'a Calls, prefix: &str) -> Self {
        Self { calls, folders: vec![prefix.to_owned()], found: VecDeque::new() }
    }

    fn read(&mut self, folder: &str) -> Result<()> {
        for (name, metadata) in names_in(self.calls, folder)? {
            let path = match folder {
                "" => name.clone(),
                _ => format!("{folder}/{name}"),
            };
            if metadata.mode() == EntryMode::DIR {
                if is_segment(&name) && path.len() < Key::MAX_LEN {
                    self.folders.push(path);
                }
            } else if let Ok(key) = Key::parse(&path) {
                self.found.push_back(entry(key, &metadata));
            }
        }
        Ok(())
    }
}

impl Iterator for OpendalWalk<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Some(found);
            }
            let folder = self.folders.pop()?;
            if let Err(error) = self.read(&folder) {
                return Some(Err(error));
            }
        }
    }
}

/// Removes uploads that nobody has written to for a day.
pub(super) fn remove_stale(calls: &Calls) -> Result<u64> {
    let names = names_in(calls, "")?;
    // Two clocks say nothing of an age.
    let Some(now) = calls.transport.server_time() else {
        return Ok(0);
    };
    let mut removed = 0;
    for (name, metadata) in names {
        let age =
            metadata.last_modified().and_then(|modified| now.duration_since(modified.into()).ok());
        let is_stale = metadata.mode() == EntryMode::FILE
            && temporary::is_name(&name)
            && age.is_some_and(|age| age >= STALE_AFTER);
        if !is_stale {
            continue;
        }
        match calls.wait(calls.operator.delete(&name)) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}
