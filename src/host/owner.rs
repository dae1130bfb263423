//! Who owns files on this host. If root creates files in another user's state folder, that user can
//! no longer read them. So root does not write there.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::Access;

use super::{Error, Result};

/// Refuses a state folder of another user. Root may use it only if its file system gives every new
/// file to that user; other users may use it if they have write permission.
pub(super) fn refuse_other(folder: &Path) -> Result<()> {
    let owner = match folder.metadata() {
        Ok(metadata) => metadata.uid(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(Error::State { path: folder.to_owned(), source });
        }
    };
    let this = rustix::process::geteuid();
    let fits = if owner == this.as_raw() {
        true
    } else if this.is_root() {
        gives_files_to(folder, owner)
    } else {
        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    };
    if fits {
        return Ok(());
    }
    Err(Error::OtherOwner {
        path: folder.to_owned(),
        owner: name(owner),
        this: name(this.as_raw()),
    })
}

/// Whether a file that root creates there belongs to this user, as on FAT and on some network file
/// systems. Tries it with a temporary file that has no name or loses it at once.
fn gives_files_to(folder: &Path, owner: u32) -> bool {
    let made = tempfile::tempfile_in(folder).and_then(|file| file.metadata());
    made.is_ok_and(|metadata| metadata.uid() == owner)
}

/// The owner of a file that cannot be used, if that is another user.
pub(super) fn other_owner(path: &Path) -> Option<String> {
    let owner = path.symlink_metadata().ok()?.uid();
    (owner != rustix::process::geteuid().as_raw()).then(|| name(owner))
}

/// The name of the user who runs this.
pub(super) fn this_user() -> String {
    name(rustix::process::geteuid().as_raw())
}

/// A user's name; `user <uid>` if it has none.
pub fn name(uid: u32) -> String {
    let user = uzers::get_user_by_uid(uid);
    let name = user.and_then(|user| user.name().to_str().map(ToOwned::to_owned));
    name.unwrap_or_else(|| format!("user {uid}"))
}
