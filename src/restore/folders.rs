//! Folders and new files in the target. Each is opened from the folder above it, and no link is
//! followed. So nothing that a hostile repository puts there can lead anywhere else.
//!
//! Ordinary files appear under their names only whole, by rename. Objects are written under their
//! names at once, which saves a third of their system calls. Their ids prove them, and a restore
//! that goes on checks them by these. Nothing is synced here: one `syncfs` at the end of the
//! restore does that.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid};
use rustix::io::Errno;

use super::{Owner, SQL_FOLDER};

/// How the names of files begin that are not whole yet.
pub const TEMPORARY: &str = ".seawall-";

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The target's folders. Shared by all workers.
#[derive(Debug)]
pub struct TargetFolders {
    root: OwnedFd,
    /// The owner that everything gets; `None`: owners are not changed.
    owner: Option<Owner>,
    /// Whether new files have that owner without a `chown`.
    is_ours: bool,
}

impl TargetFolders {
    /// Opens the target, which exists. Links on the way to it are followed.
    pub fn open(target: &Path, owner: Option<Owner>) -> io::Result<Self> {
        let flags = FOLDER.difference(OFlags::NOFOLLOW);
        let root = rustix::fs::open(target, flags, Mode::empty())?;
        // A folder with the setgid bit gives its own group to what is made in it.
        let gives_group = rustix::fs::fstat(&root)?.st_mode & 0o2000 != 0;
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let is_me = |owner: Owner| {
            owner.uid == uid.as_raw() && owner.gid.is_none_or(|wanted| wanted == gid.as_raw())
        };
        let is_ours = !gives_group && owner.is_none_or(is_me);
        Ok(Self { root, owner, is_ours })
    }

    /// The target itself.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a folder by its path of plain names, and makes what is missing on the way. Only the
    /// owner may write there, whatever this process's umask is.
    pub fn enter(&self, path: &str) -> io::Result<OwnedFd> {
        self.enter_from(self.root(), path)
    }

    /// Like [`Self::enter`], but the path begins at another folder inside.
    pub fn enter_from(&self, from: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
        let mut folder = None;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let above = folder.as_ref().map_or(from, OwnedFd::as_fd);
            folder = Some(match open_folder(above, name)? {
                Some(folder) => folder,
                None => self.make(above, name)?,
            });
        }
        folder.map_or_else(|| from.try_clone_to_owned(), Ok)
    }

    fn make(&self, folder: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
        match rustix::fs::mkdirat(folder, name, folder_mode(name)) {
            Ok(()) => {
                let made = open_folder(folder, name)?.ok_or(io::ErrorKind::NotFound)?;
                self.give_new(&made)?;
                Ok(made)
            }
            // Another worker was first.
            Err(Errno::EXIST) => Ok(open_folder(folder, name)?.ok_or(io::ErrorKind::NotFound)?),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a folder, if it is there.
    pub fn find(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        find_from(self.root(), path)
    }

    /// Gives a file or folder to the owner.
    pub fn give(&self, file: impl AsFd) -> io::Result<()> {
        if let Some(owner) = self.owner {
            let gid = owner.gid.map(Gid::from_raw);
            rustix::fs::fchown(file, Some(Uid::from_raw(owner.uid)), gid)?;
        }
        Ok(())
    }

    fn give_new(&self, file: impl AsFd) -> io::Result<()> {
        if self.is_ours { Ok(()) } else { self.give(file) }
    }

    /// Whether a file has another owner than it should.
    pub fn is_strange(&self, stat: &Stat) -> bool {
        self.owner.is_some_and(|owner| {
            stat.st_uid != owner.uid || owner.gid.is_some_and(|gid| stat.st_gid != gid)
        })
    }

    /// Writes an object. `false`: something has its name already, and stays. If writing fails, the
    /// file is removed. If a crash cuts a file off, the restore that goes on finds it, since it
    /// proves what is there.
    pub fn put_object(
        &self,
        folder: BorrowedFd<'_>,
        name: &str,
        mode: u32,
        bytes: &[u8],
    ) -> io::Result<bool> {
        let mode = Mode::from_raw_mode(mode);
        let mut file = match rustix::fs::openat(folder, name, NEW_FILE, mode) {
            Ok(file) => File::from(file),
            Err(Errno::EXIST) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let written = self.give_new(&file).and_then(|()| file.write_all(bytes));
        if let Err(error) = written {
            // The first error is returned. If the removal fails too, the next restore removes the
            // file.
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
            return Err(error);
        }
        Ok(true)
    }

    /// Begins a file. What an interrupted restore left of it is removed.
    pub fn new_file<'a>(
        &self,
        folder: BorrowedFd<'a>,
        name: &'a str,
        mode: u32,
    ) -> io::Result<NewTargetFile<'a>> {
        let temporary = format!("{TEMPORARY}{name}");
        let mode = Mode::from_raw_mode(mode);
        let file = match rustix::fs::openat(folder, &temporary, NEW_FILE, mode) {
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(folder, &temporary, AtFlags::empty())?;
                rustix::fs::openat(folder, &temporary, NEW_FILE, mode)?
            }
            other => other?,
        };
        let file = NewTargetFile { folder, name, temporary: Some(temporary), file: file.into() };
        self.give_new(&file.file)?;
        Ok(file)
    }
}

/// Dumps hold hashes of passwords: their folder is private.
fn folder_mode(name: &str) -> Mode {
    Mode::from_raw_mode(if name == SQL_FOLDER { 0o700 } else { 0o755 })
}

/// Opens a folder in a folder; `None` if nothing has that name.
fn open_folder(folder: BorrowedFd<'_>, name: &str) -> io::Result<Option<OwnedFd>> {
    match rustix::fs::openat(folder, name, FOLDER, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT) => Ok(None),
        // Kernels differ in the error for a link that is not followed.
        Err(Errno::LOOP | Errno::NOTDIR) => {
            Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{name} is not a folder")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a folder by its path from another, if it is there.
pub fn find_from(from: BorrowedFd<'_>, path: &str) -> io::Result<Option<OwnedFd>> {
    let mut folder = from.try_clone_to_owned()?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        match open_folder(folder.as_fd(), name)? {
            Some(next) => folder = next,
            None => return Ok(None),
        }
    }
    Ok(Some(folder))
}

/// Opens a regular file for reading; no link is followed.
pub fn open_file(folder: BorrowedFd<'_>, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// A path as the folder that it lies in and its name there.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Whether a name is a folder, and not a link to one.
pub fn is_folder(folder: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    Ok(kind(folder, name)? == Some(FileType::Directory))
}

/// What kind of thing has a name in a folder, without following links.
pub fn kind(folder: BorrowedFd<'_>, name: &str) -> io::Result<Option<FileType>> {
    let stat = stat(folder, name)?;
    Ok(stat.map(|stat| FileType::from_raw_mode(stat.st_mode)))
}

/// What has a name in a folder, without following links.
pub fn stat(folder: BorrowedFd<'_>, name: &str) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes a file or link, if it is there.
pub fn remove(folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A file that is being written. If it is dropped unfinished, it is removed.
#[derive(Debug)]
pub struct NewTargetFile<'a> {
    folder: BorrowedFd<'a>,
    name: &'a str,
    temporary: Option<String>,
    file: File,
}

impl NewTargetFile<'_> {
    /// The open file, to write to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name. `false`: something has that name already, and stays.
    pub fn finish_new(mut self) -> io::Result<bool> {
        let Some(temporary) = self.temporary.take() else {
            return Ok(false);
        };
        let renamed = rename_new(self.folder, &temporary, self.name);
        if !matches!(renamed, Ok(true)) {
            self.temporary = Some(temporary);
        }
        renamed
    }

    /// Gives the file its name. A file that has the name is replaced.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(temporary) = &self.temporary {
            rustix::fs::renameat(self.folder, temporary, self.folder, self.name)?;
            self.temporary = None;
        }
        Ok(())
    }
}

impl Drop for NewTargetFile<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // An error is being reported already. A restore that goes on removes the file.
            let _ = rustix::fs::unlinkat(self.folder, temporary, AtFlags::empty());
        }
    }
}

fn rename_new(folder: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<bool> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(true),
        Err(Errno::EXIST) => return Ok(false),
        // Some file systems cannot refuse to replace.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    if stat(folder, to)?.is_some() {
        return Ok(false);
    }
    rustix::fs::renameat(folder, from, folder, to)?;
    Ok(true)
}
