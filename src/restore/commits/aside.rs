//! The folder for things that must not stay where Seafile finds them. They may be the last copy, so
//! they are moved and never deleted.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, RenameFlags};
use rustix::io::Errno;

use super::super::folders::{self, TargetFolders};

/// The folder's name in the target. Inside it, files have the path that they had in the
/// installation.
pub const ASIDE: &str = "seawall-set-aside";

/// How many bytes of each file are compared at a time.
const PIECE_BYTES: u64 = 64 << 10;

/// Moves a file of the target aside; `false` if there is none.
pub fn set_aside_file(folders: &TargetFolders, path: &str) -> io::Result<bool> {
    let (above, name) = folders::split(path);
    match folders.find(above)? {
        Some(folder) => move_aside(folders, (folder.as_fd(), name), path),
        None => Ok(false),
    }
}

/// Moves a file to its path in the set-aside folder. If another file has that name, it stays, and
/// the new one gets a number. If both have the same bytes, the new one is removed instead.
pub(super) fn move_aside(
    folders: &TargetFolders,
    from @ (folder, name): (BorrowedFd<'_>, &str),
    path: &str,
) -> io::Result<bool> {
    if folders::stat(folder, name)?.is_none() {
        return Ok(false);
    }
    let is_same = |to: BorrowedFd<'_>, name: &str| have_same_bytes((to, name), from);
    let (to, new_name) = match free_name(folders, path, is_same)? {
        AsideName::New(to, name) => (to, name),
        AsideName::SameIsThere => {
            folders::remove(folder, name)?;
            return Ok(true);
        }
    };
    rename(folders, from, (to.as_fd(), &new_name))?;
    Ok(true)
}

/// Moves a file or folder to its path in the set-aside folder. If something is there already, the
/// moved one gets a number.
pub(super) fn move_whole_aside(
    folders: &TargetFolders,
    from: (BorrowedFd<'_>, &str),
    path: &str,
) -> io::Result<()> {
    match free_name(folders, path, |_, _| Ok(false))? {
        AsideName::New(to, name) => rename(folders, from, (to.as_fd(), &name)),
        AsideName::SameIsThere => Ok(()),
    }
}

/// Where something is moved to.
enum AsideName {
    /// In this folder, under a name that nothing has.
    New(OwnedFd, String),
    /// A file with the same bytes is there already.
    SameIsThere,
}

fn free_name(
    folders: &TargetFolders,
    path: &str,
    is_same: impl Fn(BorrowedFd<'_>, &str) -> io::Result<bool>,
) -> io::Result<AsideName> {
    let path = format!("{ASIDE}/{path}");
    let (above, wanted) = folders::split(&path);
    let to = folders.enter(above)?;
    let mut number = 1;
    let mut name = wanted.to_owned();
    while folders::stat(to.as_fd(), &name)?.is_some() {
        if is_same(to.as_fd(), &name)? {
            return Ok(AsideName::SameIsThere);
        }
        number += 1;
        name = format!("{wanted}.{number}");
    }
    Ok(AsideName::New(to, name))
}

/// Whether two names are regular files with the same bytes. Anything else equals nothing. Databases
/// are set aside too, so memory holds only two buffers.
fn have_same_bytes(one: (BorrowedFd<'_>, &str), other: (BorrowedFd<'_>, &str)) -> io::Result<bool> {
    let (Some(mut one), Some(mut other)) = (regular_file(one)?, regular_file(other)?) else {
        return Ok(false);
    };
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut piece, mut others) = (Vec::new(), Vec::new());
    loop {
        read_piece(&mut one, &mut piece)?;
        read_piece(&mut other, &mut others)?;
        if piece != others || piece.is_empty() {
            return Ok(piece == others);
        }
    }
}

/// Reads the next piece of a file; at its end the piece is short, or empty.
fn read_piece(file: &mut File, piece: &mut Vec<u8>) -> io::Result<()> {
    piece.clear();
    file.take(PIECE_BYTES).read_to_end(piece).map(drop)
}

/// Opens a file, if it is a regular one.
pub(super) fn regular_file((folder, name): (BorrowedFd<'_>, &str)) -> io::Result<Option<File>> {
    match folders::kind(folder, name)? {
        Some(FileType::RegularFile) => folders::open_file(folder, name).map(Some),
        _ => Ok(None),
    }
}

fn rename(
    folders: &TargetFolders,
    (folder, name): (BorrowedFd<'_>, &str),
    (to, new_name): (BorrowedFd<'_>, &str),
) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, name, to, new_name, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(()),
        // Some file systems cannot refuse to replace. Nobody else works here, so a plain rename
        // will do.
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    /// A file that is set aside twice is there once; one with other bytes gets a number.
    #[test]
    fn files_are_the_same_only_to_the_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let folders = TargetFolders::open(folder.path(), None).unwrap();
        let bytes = vec![7; 3 * usize::try_from(PIECE_BYTES).unwrap()];
        let mut other = bytes.clone();
        *other.last_mut().unwrap() = 8;
        let texts = [&bytes, &bytes, &other, &bytes[1..].to_vec(), &other];
        for text in texts {
            let file = File::create_new(folder.path().join("large"));
            file.unwrap().write_all(text).unwrap();
            assert!(set_aside_file(&folders, "large").unwrap());
            assert!(!folder.path().join("large").exists());
        }
        assert!(!set_aside_file(&folders, "large").unwrap());
        let aside = folder.path().join(ASIDE);
        let read = |name: &str| fs::read(aside.join(name)).unwrap();
        assert!(read("large") == bytes && read("large.2") == other);
        assert!(read("large.3") == bytes[1..] && !aside.join("large.4").exists());
    }

    /// Things that are not regular files are not read, and none is lost.
    #[test]
    fn what_is_no_file_equals_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let folders = TargetFolders::open(folder.path(), None).unwrap();
        let path = folder.path().join("odd");
        let aside = folder.path().join(ASIDE);
        for number in 0..2 {
            let fifo = rustix::fs::CWD;
            rustix::fs::mknodat(fifo, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
            assert!(set_aside_file(&folders, "odd").unwrap(), "{number}");
            std::os::unix::fs::symlink("odd", &path).unwrap();
            assert!(set_aside_file(&folders, "odd").unwrap(), "{number}");
        }
        assert_eq!(fs::read_dir(aside).unwrap().count(), 4);
    }
}
