//! Whether it is for want of space that something could not be written: OpenSSH does not say.

use super::errors::{Code, Failed};
use super::session::Session;
use crate::{Error, ErrorKind};

/// The error of a write of `len` bytes at a path that the server refused.
pub(super) async fn explain(session: &Session, path: &str, len: usize, failed: Failed) -> Error {
    if !matches!(failed, Failed::Refused(Code::FAILURE, _)) {
        return failed.into_error(path);
    }
    let (folder, _) = path.rsplit_once('/').unwrap_or((".", path));
    let folder = if folder.is_empty() { "/" } else { folder };
    let space = match session.space(folder).await {
        Ok(space) => space,
        Err(lost) => return lost.into_error(path),
    };
    let Some(space) = space else {
        return failed
            .into_error(path)
            .with_hint("the server does not say why: is its disk full, or a quota used up?");
    };
    let free = space.blocks_avail.saturating_mul(space.fragment_size);
    let no_inodes = space.inodes > 0 && space.inodes_avail == 0;
    if free < len.max(1) as u64 || no_inodes {
        let what = if no_inodes {
            "no more files can be made".to_owned()
        } else {
            format!("{free} bytes are free")
        };
        return Error::new(ErrorKind::NoSpace).with_source(format!("{path}: {what} on the server"));
    }
    failed
        .into_error(path)
        .with_hint("the disk has room: is a quota of the user used up, or a limit on file sizes, or is it mounted read-only?")
}
