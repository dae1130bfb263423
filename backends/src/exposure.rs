//! Whether others may read a file with a secret. The rule is ssh's rule for private keys; it holds
//! for passwords too.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::Error;
use crate::destination::invalid;

/// Where Docker and others mount secrets: readable for all in the container, for nobody outside.
const MOUNTED: &str = "/run/secrets";

/// Who else may read a file with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Nobody, or nobody who was not meant to.
    Private,
    /// Others, and this user could change that.
    Open,
    /// Others, and only its owner could change that.
    OpenByItsOwner,
}

impl Exposure {
    /// Judges a file by its mode, owner and mount point.
    ///
    /// This user's own file must be closed to group and others, as ssh wants it. Another user's
    /// file may be open to a group: so its owner lets this user read it.
    pub fn of(path: &Path, metadata: &Metadata) -> Self {
        // Nobody else can read this process's pipe or terminal.
        if !metadata.is_file() || path.starts_with(MOUNTED) {
            return Self::Private;
        }
        let this = rustix::process::geteuid();
        let exposure =
            Self::by_mode(metadata.mode(), metadata.uid() == this.as_raw(), this.is_root());
        let is_read_only = || {
            let mount = rustix::fs::statvfs(path);
            mount.is_ok_and(|mount| mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
        };
        exposure.on_mount(is_read_only)
    }

    /// Kubernetes and compose mount secrets read-only, also elsewhere: nobody in the container can close such a file.
    fn on_mount(self, is_read_only: impl FnOnce() -> bool) -> Self {
        match self {
            Self::Open if is_read_only() => Self::OpenByItsOwner,
            other => other,
        }
    }

    fn by_mode(mode: u32, is_own: bool, is_root: bool) -> Self {
        let (to_others, to_group) = (mode & 0o007 != 0, mode & 0o070 != 0);
        match (to_others, to_group) {
            (true, _) if is_own || is_root => Self::Open,
            (true, _) => Self::OpenByItsOwner,
            (false, true) if is_own => Self::Open,
            _ => Self::Private,
        }
    }
}

/// Refuses a file with a secret that this user left open to others.
///
/// Errors: `Invalid`, with the file's mode and the command that closes it.
pub fn refuse_exposed(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    if Exposure::of(path, metadata) != Exposure::Open {
        return Ok(());
    }
    let shown = path.display();
    Err(invalid(format!(
        "{shown} has mode {:04o}: other users can read the secret in it; run: chmod 600 {shown}",
        metadata.mode() & 0o7777
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_on_a_read_only_mount_is_its_owners_to_close() {
        for (exposure, expected) in [
            (Exposure::Open, Exposure::OpenByItsOwner),
            (Exposure::OpenByItsOwner, Exposure::OpenByItsOwner),
            (Exposure::Private, Exposure::Private),
        ] {
            assert_eq!(exposure.on_mount(|| true), expected);
            assert_eq!(exposure.on_mount(|| false), exposure);
        }
    }

    #[test]
    fn own_files_are_closed_to_all_and_others_may_have_a_group() {
        let own = |mode| Exposure::by_mode(mode, true, false);
        for mode in [0o100_600, 0o100_400, 0o100_700] {
            assert_eq!(own(mode), Exposure::Private, "{mode:o}");
        }
        for mode in [0o100_644, 0o100_640, 0o100_666, 0o100_604, 0o100_620, 0o100_660] {
            assert_eq!(own(mode), Exposure::Open, "{mode:o}");
        }
        let of_another = |mode, is_root| Exposure::by_mode(mode, false, is_root);
        assert_eq!(of_another(0o100_640, false), Exposure::Private);
        assert_eq!(of_another(0o100_640, true), Exposure::Private);
        assert_eq!(of_another(0o100_644, false), Exposure::OpenByItsOwner);
        assert_eq!(of_another(0o100_644, true), Exposure::Open);
    }
}
