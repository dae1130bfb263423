//! What a file system turned out not to be able to do.
//!
//! FAT, exFAT, `VirtualBox` shares, SMB and many FUSE file systems lack hard links, a rename that replaces
//! nothing, or a sync of folders, and each says so with another error. That is no failure of the disk,
//! but what is stored is less safe, so it is remembered and told.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

/// What was found out of the file system of a repository; shared by all its open folders.
#[derive(Debug, Default)]
pub(super) struct Quirks {
    accepts_weak_writes: AtomicBool,
    has_weak_writes: AtomicBool,
    has_no_exclusive_names: AtomicBool,
    has_unsynced_folders: AtomicBool,
}

impl Quirks {
    /// Weak writes may be used where there are no others.
    pub(super) fn accept_weak_writes(&self) {
        self.accepts_weak_writes.store(true, Ordering::Relaxed);
    }

    /// A name cannot be given without replacing; whether that is accepted.
    pub(super) fn may_write_weakly(&self) -> bool {
        let is_accepted = self.accepts_weak_writes.load(Ordering::Relaxed);
        self.has_weak_writes.fetch_or(is_accepted, Ordering::Relaxed);
        is_accepted
    }

    /// Whether a name was given by a look and a rename that replaces.
    pub(super) fn has_weak_writes(&self) -> bool {
        self.has_weak_writes.load(Ordering::Relaxed)
    }

    /// A trial showed that neither kind of giving a name without replacing is there.
    pub(super) fn note_no_exclusive_names(&self) {
        self.has_no_exclusive_names.store(true, Ordering::Relaxed);
    }

    /// Whether a name that is taken is not refused here, or would not be.
    pub(super) fn overwrites(&self) -> bool {
        self.has_weak_writes() || self.has_no_exclusive_names.load(Ordering::Relaxed)
    }

    /// A folder could not be synced.
    pub(super) fn note_unsynced_folder(&self) {
        self.has_unsynced_folders.store(true, Ordering::Relaxed);
    }

    /// Whether a folder could not be synced.
    pub(super) fn has_unsynced_folders(&self) -> bool {
        self.has_unsynced_folders.load(Ordering::Relaxed)
    }
}

/// Whether a rename that must not replace failed because there is none here: the kernel or the file
/// system does not know it.
pub(super) fn has_no_such_rename(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)
}

/// Whether a hard link failed because there are none here. The file to be linked was just made in the
/// same folder, so neither permissions nor a broken disk explain these: FAT gives EPERM, NFS appliances
/// EIO (borg #4336), shares EACCES, EMLINK, EXDEV or ENOSYS.
pub(super) fn has_no_links(error: Errno) -> bool {
    matches!(
        error,
        Errno::PERM
            | Errno::ACCESS
            | Errno::IO
            | Errno::MLINK
            | Errno::XDEV
            | Errno::NOTSUP
            | Errno::NOSYS
            | Errno::INVAL
            | Errno::NOTTY
    )
}

/// Whether a sync of a folder failed because folders cannot be synced there (restic PR 3752, borg #1287
/// and #4839). EIO is that of a share only: of a disk of this machine it is a failure.
pub(super) fn has_no_folder_sync(error: Errno, file_system: impl FnOnce() -> String) -> bool {
    match error {
        Errno::INVAL
        | Errno::NOTSUP
        | Errno::NOSYS
        | Errno::ACCESS
        | Errno::PERM
        | Errno::NOENT
        | Errno::BADF
        | Errno::NOTTY
        | Errno::ISDIR => true,
        Errno::IO => is_share(&file_system()),
        _ => false,
    }
}

/// Whether a kind of file system is another machine's, or a program's (`fuseblk` is a disk).
fn is_share(file_system: &str) -> bool {
    const SHARES: [&str; 17] = [
        "9p", "afs", "ceph", "cifs", "coda", "davfs", "fuse", "gpfs", "lustre", "ncpfs", "nfs",
        "nfs4", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs",
    ];
    SHARES.contains(&file_system) || file_system.starts_with("fuse.")
}

/// What kind of file system an open folder is on, as `mount` shows it: `ext4`, `cifs`, `fuse.sshfs`.
pub(super) fn file_system_of(folder: impl AsFd) -> String {
    let found = rustix::fs::fstat(folder).ok().and_then(|stat| {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
        kind_of(&mounts, &format!("{major}:{minor}")).map(str::to_owned)
    });
    found.unwrap_or_else(|| "of an unknown kind".to_owned())
}

/// The kind of a device's file system (proc(5), `mountinfo`).
fn kind_of<'a>(mounts: &'a str, device: &str) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        (mount.split(' ').nth(2)? == device).then(|| source.split(' ').next())?
    })
}

/// Neither kind of giving a name without replacing is there.
#[derive(Debug)]
pub(super) struct NoExclusiveNames {
    pub(super) file_system: String,
}

impl NoExclusiveNames {
    pub(super) const HINT: &'static str = "use a disk with ext4, XFS, btrfs or ZFS; or, where only this host writes, `seawall init --accept-weak-writes`";
}

impl fmt::Display for NoExclusiveNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the file system ({}) can neither rename without replacing nor make hard links, so it cannot refuse to overwrite",
            self.file_system
        )
    }
}

impl std::error::Error for NoExclusiveNames {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_mount_is_found() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            40 22 0:52 / /mnt/a\\040b rw - fuse.sshfs me@host: rw,user_id=0\n\
            41 22 0:53 / /mnt/c rw master:2 shared:3 - cifs //nas/c rw\n";
        assert_eq!(kind_of(mounts, "8:1"), Some("ext4"));
        assert_eq!(kind_of(mounts, "0:52"), Some("fuse.sshfs"));
        assert_eq!(kind_of(mounts, "0:53"), Some("cifs"));
        assert_eq!(kind_of(mounts, "0:5"), None);
        assert!(!file_system_of(std::fs::File::open("/proc").unwrap()).contains("unknown"));
    }

    #[test]
    fn an_error_of_a_disk_stays_one() {
        for (file_system, is_weak) in [
            ("cifs", true),
            ("fuse.rclone", true),
            ("ext4", false),
            ("fuseblk", false),
            ("vfat", false),
        ] {
            assert_eq!(has_no_folder_sync(Errno::IO, || file_system.to_owned()), is_weak);
            assert!(has_no_folder_sync(Errno::ACCESS, || file_system.to_owned()));
            assert!(!has_no_folder_sync(Errno::NOSPC, || file_system.to_owned()));
        }
    }
}
