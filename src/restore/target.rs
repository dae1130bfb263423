//! The folder that a restore fills. At first it is absent, empty, a standby, or left by an
//! unfinished restore of the same snapshot. During the restore it holds `RESTORE-UNFINISHED.txt`,
//! which is removed last.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::error::Error;
use super::folders::{self, NewTargetFile, TEMPORARY, TargetFolders};
use super::mark::{self, RestoreMark, STANDBY, UNFINISHED};
use super::{Options, Owner, Scope};
use crate::repository::configuration::RepositoryId;
use crate::repository::manifest::Manifest;
use crate::repository::names::SnapshotId;
use crate::repository::{Repository, Snapshot};

/// What is at the target's path before anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// Nothing.
    Absent,
    /// A folder without content.
    Empty {
        /// Its owner: user and group.
        owner: (u32, u32),
    },
    /// A folder with an unfinished restore of the same snapshot.
    Unfinished {
        /// Its owner: user and group.
        owner: (u32, u32),
    },
    /// A standby that a restore of this repository completed.
    Standby {
        /// Its owner: user and group.
        owner: (u32, u32),
    },
}

impl TargetState {
    /// Whether a restore broke off there.
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Unfinished { .. })
    }

    /// Whether files may be there already.
    pub fn has_content(self) -> bool {
        matches!(self, Self::Unfinished { .. } | Self::Standby { .. })
    }
}

/// Looks at the target's path, and refuses what a restore must not touch. Also returns what the
/// mark of an unfinished restore says.
pub fn look(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &Options,
) -> Result<(TargetState, Option<RestoreMark>), Error> {
    let path = options.target.as_path();
    let owner = match look_at_path(path)? {
        TargetState::Unfinished { owner } => owner,
        state => return Ok((state, None)),
    };
    let is_standby = is_standby(path, repository)?;
    let mark = RestoreMark::read(path, UNFINISHED)?;
    if is_standby && options.standby {
        refuse_running(path)?;
    }
    match mark {
        None if is_standby && options.standby => Ok((TargetState::Standby { owner }, None)),
        None if is_standby => Err(Error::IsStandby { path: path.to_owned() }),
        None => Err(Error::NotEmpty { path: path.to_owned() }),
        // A restore that goes on in a standby has to know that it is one. Otherwise commits of one
        // snapshot come beside databases of another.
        Some(_) if is_standby && !options.standby => {
            Err(Error::IsStandby { path: path.to_owned() })
        }
        // A standby may go on with a later snapshot than the one at which it broke off.
        Some(mark)
            if mark.is_of(repository) && mark.is_at(snapshot.id())
                || is_standby && options.standby =>
        {
            must_be_as_begun(&mark, options)?;
            Ok((TargetState::Unfinished { owner }, Some(mark)))
        }
        Some(mark) => Err(Error::OtherUnfinished { path: path.to_owned(), of: mark.title() }),
    }
}

/// Tells absent, empty, and a folder with content, which is called unfinished here.
fn look_at_path(path: &Path) -> Result<TargetState, Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if path.is_symlink() {
                Err(not_a_folder(path))
            } else {
                Ok(TargetState::Absent)
            };
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(not_a_folder(path));
        }
        Err(error) => return Err(failed(error)),
    };
    if !metadata.is_dir() {
        return Err(not_a_folder(path));
    }
    let owner = (metadata.uid(), metadata.gid());
    if is_empty(path).map_err(failed)? {
        return Ok(TargetState::Empty { owner });
    }
    Ok(TargetState::Unfinished { owner })
}

/// Whether a restore of this repository made a folder a standby.
pub fn is_standby(path: &Path, repository: &Repository) -> Result<bool, Error> {
    let mark = RestoreMark::read(path, STANDBY)?;
    Ok(mark.is_some_and(|mark| mark.is_of(repository)))
}

/// Refuses to go on with another part of the snapshot. The end of that restore would remove the
/// mark, and what the first restore had not done yet (its commits wait beside) would never come.
fn must_be_as_begun(mark: &RestoreMark, options: &Options) -> Result<(), Error> {
    if mark.scope != options.scope {
        return Err(Error::OtherScope { path: options.target.clone(), began: mark.scope });
    }
    if mark.loads_databases && !options.loads_databases {
        return Err(Error::LoadsDatabases { path: options.target.clone() });
    }
    Ok(())
}

fn not_a_folder(path: &Path) -> Error {
    Error::NotAFolder { path: path.to_owned() }
}

/// Whether a folder counts as empty. A new file system has a folder `lost+found` at its top. A
/// restore that was killed at its very beginning leaves the unfinished file under its temporary
/// name.
fn is_empty(path: &Path) -> io::Result<bool> {
    let left = format!("{TEMPORARY}{UNFINISHED}");
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != "lost+found" && name.to_str() != Some(&left) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses a folder in which Seafile runs, as far as its pid files tell.
pub fn refuse_running(path: &Path) -> Result<(), Error> {
    // A folder that is not there, or cannot be listed, tells nothing.
    let entries = fs::read_dir(path.join("pids")).into_iter().flatten();
    for entry in entries.flatten() {
        let number = fs::read_to_string(entry.path()).unwrap_or_default();
        let Ok(number) = number.trim().parse::<u32>() else {
            continue;
        };
        let command = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        if ["seaf", "ccnet", "seahub"].iter().any(|word| command.contains(word)) {
            return Err(Error::Runs { path: path.to_owned(), pid: number });
        }
    }
    Ok(())
}

/// Snapshots of which a standby may hold ordinary files: the one to which it was completed, and
/// those at which a restore broke off.
pub fn earlier(path: &Path, mark: Option<&RestoreMark>) -> Result<Vec<SnapshotId>, Error> {
    let completed = RestoreMark::read(path, STANDBY)?;
    let marks = completed.iter().chain(mark);
    let mut snapshots: Vec<SnapshotId> = marks.flat_map(|mark| mark.snapshots.clone()).collect();
    snapshots.sort_unstable();
    snapshots.dedup();
    Ok(snapshots)
}

/// The owner that everything gets; `None`: the user who restores. An existing folder of root says
/// nothing: Seafile's server does not run as root.
pub fn owner(
    wanted: Option<Owner>,
    state: TargetState,
    manifest: &Manifest,
) -> Result<Option<Owner>, Error> {
    let me = rustix::process::geteuid();
    if !me.is_root() {
        return match wanted {
            Some(owner) if owner.uid != me.as_raw() => {
                Err(Error::OwnerNeedsRoot { uid: owner.uid })
            }
            other => Ok(other),
        };
    }
    let existing = match state {
        TargetState::Absent => None,
        TargetState::Empty { owner }
        | TargetState::Unfinished { owner }
        | TargetState::Standby { owner } => Some(owner),
    };
    let existing = existing.filter(|(uid, _)| *uid != 0);
    let recorded = || manifest.databases.iter().find_map(|database| database.owner);
    let of = |(uid, gid)| Owner { uid, gid: Some(gid) };
    Ok(wanted.or_else(|| existing.or_else(recorded).map(of)))
}

/// The unfinished file, locked.
#[derive(Debug)]
struct TargetLock(File);

impl Drop for TargetLock {
    fn drop(&mut self) {
        // To close the file is not enough while a process that was just started still has a copy of
        // it.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// The target, opened and locked.
#[derive(Debug)]
pub struct RestoreTarget {
    path: PathBuf,
    folders: TargetFolders,
    /// Held until the restore ends: it keeps a second restore out.
    lock: TargetLock,
}

impl RestoreTarget {
    /// Makes or opens the folder and puts the unfinished file into it, which says what this restore
    /// does.
    pub fn prepare(
        state: TargetState,
        seen: Option<&RestoreMark>,
        owner: Option<Owner>,
        repository: &Repository,
        snapshot: &Snapshot,
        options: &Options,
    ) -> Result<Self, Error> {
        let path = options.target.as_path();
        let failed = |source| Error::Write { path: path.to_owned(), source };
        if state == TargetState::Absent {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
            made.map_err(failed)?;
        }
        let folders = TargetFolders::open(path, owner).map_err(failed)?;
        if state == TargetState::Absent {
            folders.give(folders.root()).map_err(failed)?;
        }
        let (scope, loads) = (options.scope, options.loads_databases);
        if !state.is_unfinished() {
            let text = mark::unfinished(repository, snapshot.id(), scope, loads);
            let is_first = put_first(&folders, &text);
            if !is_first.map_err(failed)? {
                return Err(Error::Busy { path: path.to_owned() });
            }
        }
        let target = Self::lock(path, folders, seen)?;
        let lacking = seen.map(|mark| mark.lacking(snapshot.id(), loads));
        let said = mark::append(&target.lock.0, &lacking.unwrap_or_default());
        said.map_err(target.failed(UNFINISHED))?;
        Ok(target)
    }

    /// Opens a folder whose unfinished file said what is in `seen`.
    pub fn open(path: &Path, owner: Option<Owner>, seen: &RestoreMark) -> Result<Self, Error> {
        let folders = TargetFolders::open(path, owner)
            .map_err(|source| Error::Write { path: path.to_owned(), source })?;
        Self::lock(path, folders, Some(seen))
    }

    fn lock(
        path: &Path,
        folders: TargetFolders,
        seen: Option<&RestoreMark>,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Write { path: path.join(UNFINISHED), source };
        let busy = || Error::Busy { path: path.to_owned() };
        let mut unfinished = mark::open(&folders).map_err(failed)?;
        match rustix::fs::flock(&unfinished, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(busy()),
            Err(error) => return Err(failed(error.into())),
        }
        let now = RestoreMark::of(&mut unfinished).map_err(failed)?;
        let is_gone = unfinished.metadata().map_err(failed)?.nlink() == 0;
        // Another restore worked here since this one looked.
        if is_gone || seen.is_some_and(|seen| *seen != now) {
            return Err(busy());
        }
        Ok(Self { path: path.to_owned(), folders, lock: TargetLock(unfinished) })
    }

    /// Writes into the unfinished file that everything is in place except commits, which wait for
    /// databases to be loaded into a server. Databases that were loaded for another restore do not
    /// count any more.
    pub fn wait_for_databases(
        &self,
        seen: Option<&RestoreMark>,
        snapshot: SnapshotId,
    ) -> Result<(), Error> {
        if seen.is_some_and(|mark| mark.is_waiting && mark.is_at(snapshot)) {
            return Ok(());
        }
        super::import::forget(self)?;
        self.sync()?;
        mark::append_waiting(&self.lock.0).map_err(self.failed(UNFINISHED))
    }

    /// Its path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its folders.
    pub fn folders(&self) -> &TargetFolders {
        &self.folders
    }

    /// Makes an error about a path inside.
    pub fn failed(&self, inside: &str) -> impl FnOnce(io::Error) -> Error {
        let path = self.path.join(inside);
        move |source| Error::Write { path, source }
    }

    /// Makes the folders that Seafile's programs want and no backup holds: `seaf-fsck` refuses to
    /// start without `tmpfiles`.
    pub fn make_needed_folders(&self, scope: Scope) -> Result<(), Error> {
        const NEEDED: [&str; 7] = [
            "logs",
            "pids",
            "seafile-data/httptemp",
            "seafile-data/tmpfiles",
            "seafile-data/storage/blocks",
            "seafile-data/storage/commits",
            "seafile-data/storage/fs",
        ];
        if scope == Scope::Databases {
            return Ok(());
        }
        for path in NEEDED {
            self.folders.enter(path).map_err(self.failed(path))?;
        }
        Ok(())
    }

    /// Writes a private text file at the top, over an older one.
    pub fn write_text(&self, name: &str, text: &str) -> Result<(), Error> {
        put_text(&self.folders, name, text).map_err(self.failed(name))
    }

    /// Writes the file that says that the folder is a standby. It is written at the beginning, so
    /// that a standby that breaks off can go on with a later snapshot. At the end it is written
    /// with the snapshot to which the standby was completed.
    pub fn write_standby(
        &self,
        repository: &RepositoryId,
        completed: Option<SnapshotId>,
    ) -> Result<(), Error> {
        self.write_text(STANDBY, &mark::standby(repository, completed))
    }

    /// Makes everything so far durable, so that a power cut keeps the order of what was done.
    pub fn sync(&self) -> Result<(), Error> {
        let root = self.folders.root();
        rustix::fs::syncfs(root).map_err(|error| self.failed("")(error.into()))
    }

    /// Makes everything durable, and only then says that the restore is finished.
    pub fn finish(self) -> Result<(), Error> {
        let root = self.folders.root();
        let done = rustix::fs::syncfs(root)
            .map_err(io::Error::from)
            .and_then(|()| folders::remove(root, UNFINISHED))
            .and_then(|()| Ok(rustix::fs::fsync(root)?));
        done.map_err(self.failed(""))
    }
}

/// Puts a private text file at the top, over an older one.
pub(super) fn put_text(folders: &TargetFolders, name: &str, text: &str) -> io::Result<()> {
    new_text(folders, name, text).and_then(NewTargetFile::finish)
}

/// Puts a private text file into a folder below, durable under its name.
pub(super) fn put_text_in(
    folders: &TargetFolders,
    folder: &str,
    name: &str,
    text: &str,
) -> io::Result<()> {
    let folder = folders.enter(folder)?;
    let mut file = folders.new_file(folder.as_fd(), name, 0o600)?;
    file.file().write_all(text.as_bytes())?;
    file.file().sync_all()?;
    file.finish()?;
    Ok(rustix::fs::fsync(&folder)?)
}

/// A private file with this text, on disk but not under its name yet.
fn new_text<'a>(
    folders: &'a TargetFolders,
    name: &'a str,
    text: &str,
) -> io::Result<NewTargetFile<'a>> {
    let mut file = folders.new_file(folders.root(), name, 0o600)?;
    file.file().write_all(text.as_bytes())?;
    file.file().sync_all()?;
    Ok(file)
}

/// Puts the unfinished file; `false` if another restore was first.
fn put_first(folders: &TargetFolders, text: &str) -> io::Result<bool> {
    let is_first = new_text(folders, UNFINISHED, text)?.finish_new()?;
    rustix::fs::fsync(folders.root())?;
    Ok(is_first)
}
