//! Folders below a target, each opened from its parent.
//!
//! Every system call here, except the one that opens the target, gets a single name and follows no
//! link. If a link stands where a folder is expected, the error is `NotADirectory`, whoever made
//! the link and whenever.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

const OPEN_FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The target folder, and the folder that was used last: members come sorted, so most lie in the
/// same one.
#[derive(Debug)]
pub(super) struct UnpackFolders {
    target: OwnedFd,
    last: Option<(PathBuf, OwnedFd)>,
    made: BTreeSet<PathBuf>,
}

impl UnpackFolders {
    pub(super) fn open(target: &Path) -> io::Result<Self> {
        let flags = OPEN_FOLDER.difference(OFlags::NOFOLLOW);
        Ok(Self {
            target: rustix::fs::open(target, flags, Mode::empty())?,
            last: None,
            made: BTreeSet::new(),
        })
    }

    /// The folders that were made here. A second call gives none.
    pub(super) fn take_made(&mut self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut self.made)
    }

    /// Opens a folder. Makes it and its parents, with mode 0700, where they are missing.
    ///
    /// The path has only plain names ([`super::members`] checks this). An empty path is the target.
    pub(super) fn enter(&mut self, path: &Path) -> io::Result<BorrowedFd<'_>> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let folder = self.descend(path)?;
            self.last = Some((path.to_path_buf(), folder));
        }
        let folder = self.last.as_ref().map_or(&self.target, |(_, folder)| folder);
        Ok(folder.as_fd())
    }

    /// The folder that a path lies in, and its name there.
    pub(super) fn place_of<'a>(
        &mut self,
        path: &'a Path,
    ) -> io::Result<(BorrowedFd<'_>, &'a OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok((self.enter(folder)?, name))
    }

    /// Makes a file with a temporary name, which it keeps until it is finished.
    pub(super) fn new_file<'a>(&'a mut self, path: &'a Path) -> io::Result<NewFile<'a>> {
        let (folder, name) = self.place_of(path)?;
        let temporary = temporary_name()?;
        let mode = Mode::from_raw_mode(0o600);
        let file = rustix::fs::openat(folder, &temporary, NEW_FILE, mode)?;
        Ok(NewFile { folder, name, temporary: Some(temporary), file: file.into() })
    }

    fn descend(&mut self, path: &Path) -> io::Result<OwnedFd> {
        let mut folder = self.target.try_clone()?;
        let mut walked = PathBuf::new();
        for name in path {
            walked.push(name);
            folder = match rustix::fs::openat(&folder, name, OPEN_FOLDER, Mode::empty()) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&folder, name, Mode::RWXU)?;
                    self.made.insert(walked.clone());
                    rustix::fs::openat(&folder, name, OPEN_FOLDER, Mode::empty())?
                }
                // Kernels differ in the error for a link that is not followed.
                Err(Errno::LOOP) => return Err(io::ErrorKind::NotADirectory.into()),
                other => other?,
            };
        }
        Ok(folder)
    }
}

/// A file that is being written. Dropping it unfinished deletes it.
pub(super) struct NewFile<'a> {
    folder: BorrowedFd<'a>,
    name: &'a OsStr,
    temporary: Option<OsString>,
    file: File,
}

impl NewFile<'_> {
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name. `AlreadyExists` if something has that name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let Some(temporary) = &self.temporary else {
            return Ok(());
        };
        rename_new(self.folder, temporary, self.name)?;
        self.temporary = None;
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // An error is being reported already. At worst a file named `.seawall-…` stays.
            let _ = rustix::fs::unlinkat(self.folder, temporary, AtFlags::empty());
        }
    }
}

/// Renames within a folder without replacing anything.
fn rename_new(folder: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot refuse to replace, so this looks first. Neither way follows a
        // link.
        Err(Errno::INVAL | Errno::NOSYS) => {}
        other => return Ok(other?),
    }
    match rustix::fs::statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(rustix::fs::renameat(folder, from, folder, to)?),
        Err(error) => Err(error.into()),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

fn temporary_name() -> io::Result<OsString> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!(".seawall-{:016x}", u64::from_ne_bytes(random)).into())
}
