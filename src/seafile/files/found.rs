//! One file, folder or link that the walk found.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::{Error, FileTime, ScanEntry, ScanEntryKind};

/// The file at a path inside the installation. If a link is followed there, this is its target.
pub(super) struct FoundPath {
    pub(super) path: PathBuf,
    pub(super) source: PathBuf,
    pub(super) metadata: Metadata,
}

impl FoundPath {
    /// Device and inode. They identify a folder whatever its path is.
    pub(super) fn identity(&self) -> (u64, u64) {
        identity(&self.metadata)
    }

    /// The error if it cannot be opened for reading. Only a clear "no" of the system counts. If the
    /// system does not understand the question, reading the file will tell.
    pub(super) fn read_refusal(&self) -> Option<io::Error> {
        match accessat(CWD, &self.source, Access::READ_OK, AtFlags::EACCESS) {
            Err(error @ (Errno::ACCESS | Errno::PERM)) => Some(error.into()),
            _ => None,
        }
    }

    pub(super) fn into_entry(self, kind: ScanEntryKind) -> ScanEntry {
        let metadata = &self.metadata;
        ScanEntry {
            kind,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: FileTime { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() },
            ctime: FileTime { seconds: metadata.ctime(), nanoseconds: metadata.ctime_nsec() },
            inode: metadata.ino(),
            path: self.path,
            source: self.source,
        }
    }
}

/// The identity of a folder that must exist.
pub(super) fn identity_of(folder: &Path) -> Result<(u64, u64), Error> {
    let metadata = fs::metadata(folder)
        .map_err(|source| Error::Folder { path: folder.to_path_buf(), source })?;
    Ok(identity(&metadata))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

pub(super) fn names_in(folder: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}
