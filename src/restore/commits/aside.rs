//! The folder for what must not stay where Seafile finds it, and may be the last copy: it is moved, never deleted.

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use super::super::folders::{self, Folders};

/// Its name in the target. Files have the path in it that they had in the installation.
pub const ASIDE: &str = "seawall-set-aside";

/// Moves a file of the target aside; `false` if there is none.
pub fn set_aside_file(folders: &Folders, path: &str) -> io::Result<bool> {
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    match folders.find(above)? {
        Some(folder) => move_aside(folders, (folder.as_fd(), name), path),
        None => Ok(false),
    }
}

/// Moves a file to its path in the folder. Another file of that name stays: the new one gets a number, unless both have
/// the same bytes.
pub(super) fn move_aside(
    folders: &Folders,
    (folder, name): (BorrowedFd<'_>, &str),
    path: &str,
) -> io::Result<bool> {
    if folders::stat(folder, name)?.is_none() {
        return Ok(false);
    }
    let path = format!("{ASIDE}/{path}");
    let (above, wanted) = path.rsplit_once('/').unwrap_or(("", &path));
    let to = folders.enter(above)?;
    let mut number = 1;
    let mut new_name = wanted.to_owned();
    while folders::stat(to.as_fd(), &new_name)?.is_some() {
        if bytes_of(to.as_fd(), &new_name)? == bytes_of(folder, name)? {
            folders::remove(folder, name)?;
            return Ok(true);
        }
        number += 1;
        new_name = format!("{wanted}.{number}");
    }
    rename(folders, (folder, name), (to.as_fd(), &new_name))?;
    Ok(true)
}

/// The bytes of a regular file; none for anything else, which equals nothing.
fn bytes_of(folder: BorrowedFd<'_>, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut file = match folders::open_file(folder, name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn rename(
    folders: &Folders,
    (folder, name): (BorrowedFd<'_>, &str),
    (to, new_name): (BorrowedFd<'_>, &str),
) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, name, to, new_name, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(()),
        // Some file systems cannot refuse to replace. Nobody else works here.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            return Ok(rustix::fs::renameat(folder, name, to, new_name)?);
        }
        Err(Errno::XDEV) => {}
        Err(error) => return Err(error.into()),
    }
    let mut from = folders::open_file(folder, name)?;
    let mut file = folders.new_file(to, new_name, 0o600)?;
    io::copy(&mut from, file.file())?;
    file.file().sync_all()?;
    file.finish()?;
    Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
}
