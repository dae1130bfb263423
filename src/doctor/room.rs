//! How much room a file system has.

use std::io;
use std::path::Path;

use crate::units::bytes;

/// Size and free space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Its size in bytes.
    pub bytes: u64,
    /// Free bytes that this user may take.
    pub free_bytes: u64,
    /// The number of files that it can hold; 0 if the file system does not count files.
    pub inodes: u64,
    /// The number of files that this user may still make.
    pub free_inodes: u64,
}

/// Asks the file system of `path`, or of its nearest existing parent.
pub fn of(path: &Path) -> io::Result<Room> {
    let there = path.ancestors().find(|path| path.exists());
    let stat = rustix::fs::statvfs(there.unwrap_or(Path::new("/")))?;
    Ok(Room {
        bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: stat.f_files,
        free_inodes: stat.f_favail,
    })
}

impl Room {
    /// Whether less than a twentieth of the bytes or of the files is free.
    pub fn is_short(&self) -> bool {
        self.free_bytes < self.bytes / 20
            || (self.inodes > 0 && self.free_inodes < self.inodes / 20)
    }

    /// For people: `12.3 GiB free of 40.0 GiB, and room for 1200000 files`.
    pub fn text(&self) -> String {
        let files = if self.inodes > 0 {
            format!(", and room for {} files", self.free_inodes)
        } else {
            String::new()
        };
        format!("{} free of {}{files}", bytes(self.free_bytes), bytes(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_is_enough() {
        let room =
            |free_bytes, inodes, free_inodes| Room { bytes: 2000, free_bytes, inodes, free_inodes };
        assert!(!room(100, 0, 0).is_short() && room(99, 0, 0).is_short());
        assert!(!room(2000, 200, 10).is_short() && room(2000, 200, 9).is_short());
    }

    #[test]
    fn the_nearest_folder_that_exists_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let room = of(&folder.path().join("a/b")).unwrap();
        assert!(room.bytes > 0 && room.free_bytes <= room.bytes);
    }
}
