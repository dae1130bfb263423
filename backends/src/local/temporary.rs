//! Half written files, and how they get their name: none, or whole.
//!
//! Who writes one holds a lock on it as long as it lives, and the kernel lets go of the locks of the
//! dead: so what a killed process left is told from what another one is writing.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::folder::{self, Folder, invalid};
pub(super) use crate::temporary::is_name;
use crate::temporary::random_name;

/// Where the file system has no locks: nobody writes to one file for longer.
const STALE_AFTER: Duration = Duration::from_hours(24);
/// How often a cleaner may come between making a file and locking it.
const ATTEMPTS: usize = 8;

/// How a file gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publishing {
    /// By a rename that replaces nothing; where the file system has none, by a hard link.
    Rename,
    /// By a hard link at once: what a file system without such a rename comes to.
    #[cfg(test)]
    Link,
}

/// A file without a name that anybody looks for; it goes away with this value unless published.
#[derive(Debug)]
pub(super) struct Temporary<'a> {
    folder: &'a Folder,
    name: String,
    file: File,
    renamed: bool,
}

impl<'a> Temporary<'a> {
    /// Writes a new file that survives a power cut, though its name may not.
    pub(super) fn write(folder: &'a Folder, body: &[u8]) -> io::Result<Self> {
        let (name, file) = new_locked(folder)?;
        let mut temporary = Self {
            folder,
            name,
            file,
            renamed: false,
        };
        temporary.file.write_all(body)?;
        // Without this a power cut may leave the name with an empty file behind it.
        folder::sync(&temporary.file)?;
        Ok(temporary)
    }

    /// Gives it its name; false, and the file is gone, if that is taken.
    pub(super) fn publish(mut self, name: &str, by: Publishing) -> io::Result<bool> {
        let renamed = match by {
            Publishing::Rename => self.folder.rename_new(&self.name, name),
            #[cfg(test)]
            Publishing::Link => Err(Errno::INVAL),
        };
        match renamed {
            Ok(()) => {
                self.renamed = true;
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            // The kernel or the file system does not know this rename.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.link(name),
            Err(error) => Err(error.into()),
        }
    }

    fn link(&self, name: &str) -> io::Result<bool> {
        match self.folder.link(&self.name, name) {
            Ok(()) => Ok(true),
            // Over NFS the answer may be lost, and the repeated request then finds its own work:
            // a second name on our file tells (open(2), on O_EXCL).
            Err(Errno::EXIST) => Ok(self.file.metadata()?.nlink() == 2),
            Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS) => Err(invalid(
                "the file system can neither rename without replacing nor make hard links"
                    .to_owned(),
            )),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is removed as stale later.
            let _ = self.folder.remove(&self.name);
        }
    }
}

/// Makes a new file and locks it.
fn new_locked(folder: &Folder) -> io::Result<(String, File)> {
    for _ in 0..ATTEMPTS {
        let name = random_name().map_err(io::Error::other)?;
        let file = folder.write_new(&name).map_err(|error| {
            // Another's temporary file is not the key being taken: try again, with another name.
            match error.kind() {
                io::ErrorKind::AlreadyExists => io::ErrorKind::Interrupted.into(),
                _ => error,
            }
        })?;
        lock(&file);
        // A cleaner that was faster took it for left behind, and removed it.
        if file.metadata()?.nlink() > 0 {
            return Ok((name, file));
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// Where the file system has no locks, the file's age has to do.
fn lock(file: &File) {
    while rustix::fs::flock(file, FlockOperation::LockExclusive) == Err(Errno::INTR) {}
}

/// Removes a temporary file whose writer is dead; says whether it did. What may not be opened or
/// removed stays.
///
/// A writer on another host, with which the file system shares no locks, notices that its file is
/// gone and writes it again.
pub(super) fn remove_stale(folder: &Folder, name: &str) -> io::Result<bool> {
    let file = match folder.open_to_lock(name) {
        Ok(file) => file,
        // Gone, or of somebody else.
        Err(Errno::NOENT | Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::LOOP) => {
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    let is_stale = match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => true,
        Err(Errno::WOULDBLOCK) => false,
        Err(_) => is_old(file.metadata()?.modified()?),
    };
    // Still under the lock, so that no writer can take it for its own meanwhile.
    match is_stale.then(|| folder.remove(name)) {
        None => Ok(false),
        Some(Ok(())) => Ok(true),
        Some(Err(error)) => match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Ok(false),
            _ => Err(error),
        },
    }
}

fn is_old(modified: SystemTime) -> bool {
    // A clock that was set back says nothing.
    SystemTime::now()
        .duration_since(modified)
        .is_ok_and(|age| age >= STALE_AFTER)
}
