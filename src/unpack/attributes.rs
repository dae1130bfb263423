//! Modes, owners and times of what is extracted.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};

use super::UnpackOptions;

/// What a member's header says besides name, kind and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

impl Attributes {
    /// Attributes of a folder that no tar lists. Its owner and times are not set.
    pub(super) const UNLISTED: Self =
        Self { mode: 0o755, uid: u32::MAX, gid: u32::MAX, seconds: 0, nanoseconds: 0 };
}

/// Sets owner, mode and time of an open file or folder. The owner comes first, because changing it
/// may clear bits of the mode.
pub(super) fn dress(
    file: impl AsFd,
    attributes: Attributes,
    options: &UnpackOptions,
    with_time: bool,
) -> io::Result<()> {
    if let Some((uid, gid)) = owner(attributes, options) {
        rustix::fs::fchown(&file, uid, gid)?;
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(attributes.mode & 0o7777))?;
    if with_time {
        rustix::fs::futimens(&file, &times(attributes))?;
    }
    Ok(())
}

/// Sets owner and time of the link with this name in a folder.
pub(super) fn dress_link(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    attributes: Attributes,
    options: &UnpackOptions,
) -> rustix::io::Result<()> {
    if let Some((uid, gid)) = owner(attributes, options) {
        rustix::fs::chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    rustix::fs::utimensat(folder, name, &times(attributes), AtFlags::SYMLINK_NOFOLLOW)
}

/// Chooses the owner to set. The number −1 means "unchanged" to the system; rustix takes `None` for
/// that.
fn owner(attributes: Attributes, options: &UnpackOptions) -> Option<(Option<Uid>, Option<Gid>)> {
    let kept = options.keep_owner.then_some((attributes.uid, attributes.gid));
    let (uid, gid) = options.owner.or(kept)?;
    Some((
        (uid != u32::MAX).then(|| Uid::from_raw(uid)),
        (gid != u32::MAX).then(|| Gid::from_raw(gid)),
    ))
}

fn times(attributes: Attributes) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: attributes.seconds,
            tv_nsec: attributes.nanoseconds.into(),
        },
    }
}
