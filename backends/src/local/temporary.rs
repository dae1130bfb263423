//! Half written files, and how they get their name: none, or whole.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;

use super::folder::{self, Folder, invalid};

const PREFIX: &str = ".seawall-";
const SUFFIX: &str = ".tmp";
const RANDOM_LEN: usize = 32;

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
        let name = random_name()?;
        let file = folder.write_new(&name).map_err(|error| {
            // Another's temporary file is not the key being taken: try again, with another name.
            match error.kind() {
                io::ErrorKind::AlreadyExists => io::ErrorKind::Interrupted.into(),
                _ => error,
            }
        })?;
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

/// A name that no key has and no other writer takes.
fn random_name() -> io::Result<String> {
    let mut random = [0; RANDOM_LEN / 2];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let random = u128::from_le_bytes(random);
    Ok(format!("{PREFIX}{random:0RANDOM_LEN$x}{SUFFIX}"))
}

/// Whether a name is one of those made here.
pub(super) fn is_name(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(SUFFIX))
        .is_some_and(|random| {
            random.len() == RANDOM_LEN
                && random
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
}
