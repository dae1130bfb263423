//! Open folders: everything in a local repository is reached by a handle on its folder and a name
//! in it, and never through a symbolic link.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::quirks::{self, Quirks};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open folder; clones share the handle.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    handle: Arc<OwnedFd>,
    quirks: Arc<Quirks>,
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalName {
    Nothing,
    File {
        len: u64,
        modified: SystemTime,
    },
    Folder,
    /// A symbolic link, a socket, a device: nothing of ours.
    Other,
}

impl Folder {
    /// Opens a folder by its path, through symbolic links.
    pub(super) fn open_path(path: &Path) -> io::Result<Self> {
        let handle = rustix::fs::open(path, FOLDER, Mode::empty())?;
        Ok(Self { handle: Arc::new(handle), quirks: Arc::default() })
    }

    /// What was found out of its file system.
    pub(super) fn quirks(&self) -> &Quirks {
        &self.quirks
    }

    /// What kind of file system it is on.
    pub(super) fn file_system(&self) -> String {
        quirks::file_system_of(&*self.handle)
    }

    /// Opens a folder in this one; none if the name stands for nothing, or for a file.
    pub(super) fn open(&self, name: &str) -> io::Result<Option<Self>> {
        match rustix::fs::openat(&*self.handle, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(handle) => {
                Ok(Some(Self { handle: Arc::new(handle), quirks: Arc::clone(&self.quirks) }))
            }
            Err(Errno::NOENT) => Ok(None),
            // Which of the two a symbolic link gives is the kernel's choice.
            Err(Errno::NOTDIR | Errno::LOOP) => match self.holds(name)? {
                LocalName::Other => Err(not_followed(name)),
                _ => Ok(None),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a folder below this one by its path (the empty one is this folder itself); none if a
    /// name on the way stands for nothing, or for a file.
    pub(super) fn descend(&self, path: &str) -> io::Result<Option<Self>> {
        let mut folder = self.clone();
        for name in segments(path) {
            match folder.open(name)? {
                Some(next) => folder = next,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }

    /// Opens a folder in this one, made if it is not there; says whether it was made.
    pub(super) fn open_or_make(&self, name: &str) -> io::Result<(Self, bool)> {
        if let Some(folder) = self.open(name)? {
            return Ok((folder, false));
        }
        let made = match rustix::fs::mkdirat(&*self.handle, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        match self.open(name)? {
            Some(folder) => {
                if made {
                    self.give_to_owner(&*folder.handle)?;
                }
                Ok((folder, made))
            }
            None => Err(invalid(format!("{name} is no folder"))),
        }
    }

    /// What a name in this folder stands for.
    pub(super) fn holds(&self, name: &str) -> io::Result<LocalName> {
        match rustix::fs::statat(&*self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => LocalName::File {
                    len: u64::try_from(stat.st_size).unwrap_or_default(),
                    modified: modified(&stat),
                },
                FileType::Directory => LocalName::Folder,
                _ => LocalName::Other,
            }),
            Err(Errno::NOENT) => Ok(LocalName::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file for reading; one that is a pipe by now does not make it wait.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&*self.handle, name, flags, Mode::empty())?;
        Ok(handle.into())
    }

    /// Opens a new file of this user only.
    pub(super) fn write_new(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&*self.handle, name, flags, Mode::RUSR | Mode::WUSR)?;
        self.give_to_owner(&handle)?;
        Ok(handle.into())
    }

    /// Gives what root made in another user's folder to that user, who could not read it otherwise.
    fn give_to_owner(&self, made: impl AsFd) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let folder = rustix::fs::fstat(&*self.handle)?;
        if rustix::fs::fstat(&made)?.st_uid == folder.st_uid {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(folder.st_uid), Gid::from_raw(folder.st_gid));
        match rustix::fs::fchown(&made, Some(uid), Some(gid)) {
            // A file system that knows no owners, or a server that believes no root: it stays whose it is.
            Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file to lock it: network file systems want one that can be written to. One that is a
    /// pipe by now does not make it wait.
    pub(super) fn open_to_lock(&self, name: &str) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&*self.handle, name, flags, Mode::empty())?.into())
    }

    /// Names a file anew; `EXIST` if the new name is taken.
    pub(super) fn rename_new(&self, old: &str, new: &str) -> Result<(), Errno> {
        #[cfg(test)]
        super::tests::odd::refuse(super::tests::odd::Call::Rename)?;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&*self.handle, old, &*self.handle, new, flags)
    }

    /// Names a file anew, in place of what has the name.
    pub(super) fn rename(&self, old: &str, new: &str) -> Result<(), Errno> {
        rustix::fs::renameat(&*self.handle, old, &*self.handle, new)
    }

    /// Gives a file a second name; `EXIST` if that is taken.
    pub(super) fn link(&self, old: &str, new: &str) -> Result<(), Errno> {
        #[cfg(test)]
        super::tests::odd::refuse(super::tests::odd::Call::Link)?;
        rustix::fs::linkat(&*self.handle, old, &*self.handle, new, AtFlags::empty())
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&*self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the names in it.
    pub(super) fn names(&self) -> io::Result<Dir> {
        Ok(Dir::read_from(&*self.handle)?)
    }

    /// Makes the names in it survive a power cut, where the file system can; that it cannot is noted.
    pub(super) fn sync(&self) -> io::Result<()> {
        match sync_folder(&*self.handle) {
            Ok(()) => Ok(()),
            Err(error) if quirks::has_no_folder_sync(error, || self.file_system()) => {
                self.quirks.note_unsynced_folder();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The names in a path of folders, none in the empty one.
pub(super) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

fn sync_folder(handle: impl AsFd) -> Result<(), Errno> {
    #[cfg(test)]
    super::tests::odd::refuse(super::tests::odd::Call::SyncFolder)?;
    sync(handle)
}

/// Makes a file, or the names in a folder, survive a power cut.
pub(super) fn sync(handle: impl AsFd) -> Result<(), Errno> {
    #[cfg(test)]
    super::tests::note_sync(handle.as_fd());
    rustix::fs::fsync(handle)
}

/// When the bytes of a file were last changed; what no clock of this age can have written counts as
/// 1970.
fn modified(stat: &Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)).unwrap_or(UNIX_EPOCH)
}

/// The bytes of a file in `range`, all of them or an error.
pub(super) fn read_exactly(mut file: File, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let len = range.end - range.start;
    let mut body = Vec::new();
    let expected = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    body.try_reserve_exact(expected)?;
    file.seek(SeekFrom::Start(range.start))?;
    file.take(len).read_to_end(&mut body)?;
    if body.len() == expected { Ok(body) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A request that cannot be right with what the folder holds.
pub(super) fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// A name that stands for neither a file nor a folder.
pub(super) fn not_followed(name: &str) -> io::Error {
    invalid(format!("{name} is neither a file nor a folder, and a symbolic link is not followed"))
}
