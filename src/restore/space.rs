//! Checks whether the target's file system can take a restore, before the first byte is written.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::Error;
use super::report::RestoreNeeds;

/// The bytes that a file system allocates at a time, for this estimate. Network file systems may
/// report more, but that is the size of their transfers.
const BLOCK_BYTES: u64 = 4096;

/// What a file system has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// Bytes that we may take.
    pub bytes: u64,
    /// Files that we may make; `None` where they are not counted.
    pub inodes: Option<u64>,
}

impl RestoreNeeds {
    /// Counts a file.
    pub fn add_file(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        let blocks = bytes.div_ceil(BLOCK_BYTES);
        self.allocated = self.allocated.saturating_add(blocks.saturating_mul(BLOCK_BYTES));
        self.inodes += 1;
    }

    /// Counts folders.
    pub fn add_folders(&mut self, count: u64) {
        self.allocated = self.allocated.saturating_add(count.saturating_mul(BLOCK_BYTES));
        self.inodes += count;
    }
}

/// What is free where the target is or will be.
pub fn free(target: &Path) -> Result<FreeSpace, Error> {
    let there = target.ancestors().find(|path| path.exists());
    let path = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(path)
        .map_err(|error| Error::Write { path: path.to_owned(), source: error.into() })?;
    Ok(FreeSpace {
        bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: (stat.f_files > 0).then_some(stat.f_favail),
    })
}

/// Fails if the restore does not fit. `present`: what an unfinished restore took already.
pub fn check(
    target: &Path,
    needs: &RestoreNeeds,
    present: &RestoreNeeds,
    free: FreeSpace,
) -> Result<(), Error> {
    let needed = needs.allocated.saturating_sub(present.allocated);
    if needed > free.bytes {
        return Err(Error::NoSpace { path: target.to_owned(), needed, available: free.bytes });
    }
    let inodes = needs.inodes.saturating_sub(present.inodes);
    match free.inodes {
        Some(available) if inodes > available => {
            Err(Error::NoInodes { path: target.to_owned(), needed: inodes, available })
        }
        _ => Ok(()),
    }
}

/// Counts what lies below a folder. Folders and files that cannot be read count as nothing.
pub fn present(target: &Path) -> RestoreNeeds {
    let mut present = RestoreNeeds::default();
    let mut folders = vec![target.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            // A folder's link count does not count names. The names of a file share its space.
            let links = if metadata.is_dir() { 1 } else { metadata.nlink().max(1) };
            present.inodes += 1;
            present.allocated += metadata.blocks() * 512 / links;
        }
    }
    present
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(files: &[u64]) -> RestoreNeeds {
        let mut needs = RestoreNeeds::default();
        for bytes in files {
            needs.add_file(*bytes);
        }
        needs
    }

    #[test]
    fn small_files_take_a_block_each() {
        let needs = needs(&[1, 4096, 4097, 0]);
        assert_eq!((needs.bytes, needs.allocated, needs.inodes), (8194, 4 * 4096, 4));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers() {
        let (target, none) = (Path::new("/x"), RestoreNeeds::default());
        let free = |bytes, inodes| FreeSpace { bytes, inodes };
        let needs = needs(&[5000, 1]);
        check(target, &needs, &none, free(3 * 4096, Some(2))).unwrap();
        check(target, &needs, &none, free(3 * 4096, None)).unwrap();
        let error = check(target, &needs, &none, free(3 * 4096 - 1, None)).unwrap_err();
        assert!(matches!(error, Error::NoSpace { needed: 12288, available: 12287, .. }));
        assert!(error.hint().is_some());
        let error = check(target, &needs, &none, free(3 * 4096, Some(1))).unwrap_err();
        assert!(matches!(error, Error::NoInodes { needed: 2, available: 1, .. }));
    }

    #[test]
    fn what_is_there_already_is_not_needed_again() {
        let present = needs(&[5000]);
        let free = FreeSpace { bytes: 4096, inodes: Some(1) };
        check(Path::new("/x"), &needs(&[5000, 1]), &present, free).unwrap();
    }

    #[test]
    fn the_nearest_folder_that_exists_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let free = free(&folder.path().join("a/b/c")).unwrap();
        assert!(free.bytes > 0);
    }
}
