//! Restores ordinary files: one tar for each group. They are extracted after objects and databases,
//! so that no link in them can stand where one of those is to be written. Folders keep their times.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::Owner;
use super::error::Error;
use super::folders::TEMPORARY;
use super::report::{LossKind, OrdinaryFileCounts, RestoreLoss};
use super::stream::{self, RestoreStreamError};
use super::target::RestoreTarget;
use crate::causes::chain;
use crate::repository::Repository;
use crate::repository::manifest::{FileGroup, Manifest};
use crate::unpack::{self, UnpackOptions, Unpacker};

/// The result of restoring ordinary files.
#[derive(Debug, Default)]
pub struct RestoredFiles {
    /// What was extracted.
    pub files: OrdinaryFileCounts,
    /// Groups that could not be read to their end.
    pub lost: Vec<RestoreLoss>,
    /// What the administrator should know.
    pub warnings: Vec<String>,
}

/// Extracts every group.
pub fn restore(
    repository: &Repository,
    manifest: &Manifest,
    target: &RestoreTarget,
    owner: Option<Owner>,
    resumed: bool,
) -> Result<RestoredFiles, Error> {
    let options = UnpackOptions {
        owner: owner.map(|owner| (owner.uid, owner.gid.unwrap_or(u32::MAX))),
        ..UnpackOptions::default()
    };
    let mut restored = RestoredFiles::default();
    let mut unpacker = Unpacker::new(target.path(), &options)?;
    for group in &manifest.files {
        if resumed {
            // If something cannot be read here, the restore of the group below reports it.
            clear(repository, group, target)?;
        }
        match restore_group(repository, group, &mut unpacker) {
            Ok(()) => restored.files.groups += 1,
            Err(RestoreStreamError::Lost(problem)) => restored.lost.push(RestoreLoss {
                kind: LossKind::Files,
                name: group.label.clone(),
                problem,
                objects: None,
                libraries: Vec::new(),
            }),
            Err(RestoreStreamError::Fatal(error)) => return Err(error),
        }
    }
    let all = unpacker.finish()?;
    restored.files.files = all.files;
    restored.files.bytes = all.bytes;
    restored.files.folders = all.folders;
    restored.files.links = all.links;
    let refused = all.refused_links.into_iter();
    restored.lost.extend(refused.map(|(path, refusal)| RestoreLoss {
        kind: LossKind::Files,
        name: path.display().to_string(),
        problem: format!("this link was not made: {refusal}"),
        objects: None,
        libraries: Vec::new(),
    }));
    let dropped = all.dropped_bits.iter().take(100);
    restored.warnings.extend(
        dropped
            .map(|path| format!("{}: restored without its setuid or setgid bit", path.display())),
    );
    Ok(restored)
}

fn restore_group(
    repository: &Repository,
    group: &FileGroup,
    unpacker: &mut Unpacker,
) -> Result<(), RestoreStreamError> {
    let ((), seen) = stream::read(repository, &group.parts, |stream| {
        unpacker.unpack(stream).map_err(|error| match error {
            unpack::Error::Refused { .. } | unpack::Error::Read { .. } => {
                RestoreStreamError::Lost(chain(&error))
            }
            other => RestoreStreamError::Fatal(other.into()),
        })
    })?;
    if seen.sha256 == group.sha256 {
        Ok(())
    } else {
        Err(RestoreStreamError::Lost("its bytes are not those that were stored".into()))
    }
}

/// Removes ordinary files of earlier snapshots from a standby, to make way for this one's. Then it
/// removes their folders if nothing else is in them. Returns the groups that cannot be read any
/// more, and why.
pub fn clear_earlier(
    repository: &Repository,
    earlier: &[Manifest],
    target: &RestoreTarget,
) -> Result<Vec<(String, String)>, Error> {
    let (mut folders, mut lost) = (BTreeSet::new(), Vec::new());
    for group in earlier.iter().flat_map(|manifest| &manifest.files) {
        let (members, problem) = clear(repository, group, target)?;
        folders.extend(members);
        lost.extend(problem.map(|problem| (group.label.clone(), problem)));
    }
    // Folders inside a folder come before it.
    for path in folders.iter().rev() {
        remove_folder(target, path).map_err(target.failed(&path.to_string_lossy()))?;
    }
    Ok(lost)
}

/// The paths of all files and links that a snapshot has, as far as its tars can be read.
pub fn members(repository: &Repository, manifest: &Manifest) -> Result<BTreeSet<PathBuf>, Error> {
    let mut members = BTreeSet::new();
    for group in &manifest.files {
        let read = stream::read(repository, &group.parts, |stream| {
            each_member(stream, |path, is_folder| {
                if !is_folder {
                    members.insert(path);
                }
                Ok(())
            })
        });
        match read {
            // Files behind a lost part were not restored.
            Ok(_) | Err(RestoreStreamError::Lost(_)) => {}
            Err(RestoreStreamError::Fatal(error)) => return Err(error),
        }
    }
    Ok(members)
}

fn remove_folder(target: &RestoreTarget, path: &Path) -> io::Result<()> {
    let folder = find(target, path.parent().unwrap_or(Path::new("")))?;
    let (Some(folder), Some(name)) = (folder, path.file_name()) else {
        return Ok(());
    };
    match rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR) {
        // Something is in it, or mounted on it; or it is no folder any more.
        Ok(())
        | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes the files and links that a restore made of a group, to make way for it. Folders stay.
/// Returns the paths of these folders, and why the group cannot be read to its end.
fn clear(
    repository: &Repository,
    group: &FileGroup,
    target: &RestoreTarget,
) -> Result<(BTreeSet<PathBuf>, Option<String>), Error> {
    let (mut folders, mut members) = (BTreeSet::new(), BTreeSet::new());
    let cleared = stream::read(repository, &group.parts, |stream| {
        each_member(stream, |path, is_folder| {
            if is_folder {
                members.insert(path);
                return Ok(());
            }
            let failed =
                |source| RestoreStreamError::Fatal(target.failed(&path.to_string_lossy())(source));
            remove(target, &path).map_err(failed)?;
            folders.insert(path.parent().unwrap_or(Path::new("")).to_owned());
            Ok(())
        })
    });
    let problem = match cleared {
        Ok(_) => None,
        Err(RestoreStreamError::Lost(problem)) => Some(problem),
        Err(RestoreStreamError::Fatal(error)) => return Err(error),
    };
    for folder in folders {
        clear_temporaries(target, &folder).map_err(target.failed(&folder.to_string_lossy()))?;
    }
    Ok((members, problem))
}

/// Calls `visit` with the path of each member, and whether it is a folder.
fn each_member(
    stream: &mut dyn Read,
    mut visit: impl FnMut(PathBuf, bool) -> Result<(), RestoreStreamError>,
) -> Result<(), RestoreStreamError> {
    let lost = |error: io::Error| RestoreStreamError::Lost(error.to_string());
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries().map_err(lost)? {
        let entry = entry.map_err(lost)?;
        let path = entry.path().map_err(lost)?.into_owned();
        visit(path, entry.header().entry_type().is_dir())?;
    }
    Ok(())
}

/// Opens a folder if it is there. `None` also for a path that leads elsewhere.
fn find(target: &RestoreTarget, path: &Path) -> io::Result<Option<OwnedFd>> {
    let mut folder = target.folders().root().try_clone_to_owned()?;
    for part in path.components() {
        let Component::Normal(name) = part else {
            return Ok(None);
        };
        folder = match open(folder.as_fd(), name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            other => other?,
        };
    }
    Ok(Some(folder))
}

fn open(folder: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::OFlags;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, rustix::fs::Mode::empty())
}

fn remove(target: &RestoreTarget, path: &Path) -> io::Result<()> {
    let folder = find(target, path.parent().unwrap_or(Path::new("")))?;
    let (Some(folder), Some(name)) = (folder, path.file_name()) else {
        return Ok(());
    };
    match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
        // A folder of that name stays: the restore that follows refuses it.
        Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes files that were not whole when the restore stopped.
fn clear_temporaries(target: &RestoreTarget, path: &Path) -> io::Result<()> {
    let Some(folder) = find(target, path)? else {
        return Ok(());
    };
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let name = entry?.file_name().to_owned();
        if name.to_bytes().starts_with(TEMPORARY.as_bytes()) {
            match rustix::fs::unlinkat(&folder, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
