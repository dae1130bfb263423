//! Half written files, and how they get their name: none, or whole.
//!
//! Who writes one holds a lock on it as long as it lives, and the kernel lets go of the locks of the
//! dead: so what a killed process left is told from what another one is writing.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::folder::{self, Folder, LocalName};
use super::quirks::{self, NoExclusiveNames};
pub(super) use crate::temporary::is_name;
use crate::temporary::random_name;

/// Where the file system has no locks: nobody writes to one file for longer.
const STALE_AFTER: Duration = Duration::from_hours(24);
/// For how long cleaners may come between making a file and locking it. A cleaner on another host of a
/// loaded share can win many times in a row.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two attempts: leaves a cleaner the time to finish.
const PAUSE: Duration = Duration::from_millis(1);

/// How a file gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalPublishing {
    /// By a rename that replaces nothing; where the file system has none, by a hard link.
    Rename,
    /// By a hard link at once: what a file system without such a rename comes to.
    #[cfg(test)]
    Link,
}

/// A file without a name that anybody looks for; it goes away with this value unless published.
#[derive(Debug)]
pub(super) struct LocalTemporary<'a> {
    folder: &'a Folder,
    name: String,
    file: File,
    renamed: bool,
}

impl<'a> LocalTemporary<'a> {
    /// Writes a new file that survives a power cut, though its name may not.
    pub(super) fn write(folder: &'a Folder, body: &[u8]) -> io::Result<Self> {
        let (name, file) = new_locked(folder, PATIENCE, &mut |_| ())?;
        let mut temporary = Self { folder, name, file, renamed: false };
        temporary.file.write_all(body)?;
        // Without this a power cut may leave the name with an empty file behind it.
        folder::sync(&temporary.file)?;
        Ok(temporary)
    }

    /// Gives it its name; false, and the file is gone, if that is taken.
    pub(super) fn publish(mut self, name: &str, by: LocalPublishing) -> io::Result<bool> {
        let renamed = match by {
            LocalPublishing::Rename => self.folder.rename_new(&self.name, name),
            #[cfg(test)]
            LocalPublishing::Link => Err(Errno::INVAL),
        };
        match renamed {
            Ok(()) => {
                self.renamed = true;
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(error) if quirks::has_no_such_rename(error) => self.link(name),
            Err(error) => Err(error.into()),
        }
    }

    fn link(&mut self, name: &str) -> io::Result<bool> {
        match self.folder.link(&self.name, name) {
            Ok(()) => Ok(true),
            // Over NFS the answer may be lost, and the repeated request then finds its own work:
            // a second name on our file tells (open(2), on O_EXCL).
            Err(Errno::EXIST) => Ok(self.file.metadata()?.nlink() == 2),
            Err(error) if !quirks::has_no_links(error) => Err(error.into()),
            Err(_) if self.folder.quirks().may_write_weakly() => self.look_and_rename(name),
            Err(_) => {
                let file_system = self.folder.file_system();
                let error = NoExclusiveNames { file_system };
                Err(io::Error::new(io::ErrorKind::InvalidInput, error))
            }
        }
    }

    /// What is left where nothing refuses a name that is taken: two writers at one moment may both pass.
    fn look_and_rename(&mut self, name: &str) -> io::Result<bool> {
        if self.folder.holds(name)? != LocalName::Nothing {
            return Ok(false);
        }
        self.folder.rename(&self.name, name)?;
        self.renamed = true;
        Ok(true)
    }
}

impl Drop for LocalTemporary<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is removed as stale later.
            let _ = self.folder.remove(&self.name);
        }
    }
}

/// Makes a new file and locks it; `made` hears the name of each before it is locked.
pub(super) fn new_locked(
    folder: &Folder,
    patience: Duration,
    made: &mut dyn FnMut(&str),
) -> io::Result<(String, File)> {
    let deadline = Instant::now() + patience;
    loop {
        let name = random_name().map_err(io::Error::other)?;
        let file = folder.write_new(&name).map_err(|error| {
            // Another's temporary file is not the key being taken: try again, with another name.
            match error.kind() {
                io::ErrorKind::AlreadyExists => io::ErrorKind::Interrupted.into(),
                _ => error,
            }
        })?;
        made(&name);
        lock(&file);
        // A cleaner that was faster took it for left behind, and removed it.
        if file.metadata()?.nlink() > 0 {
            return Ok((name, file));
        }
        if Instant::now() >= deadline {
            let text = "another program removed each new temporary file";
            return Err(io::Error::new(io::ErrorKind::Interrupted, text));
        }
        std::thread::sleep(PAUSE);
    }
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
    SystemTime::now().duration_since(modified).is_ok_and(|age| age >= STALE_AFTER)
}
