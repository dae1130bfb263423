//! The folder that a restore fills: empty at first, or left by an unfinished restore of the same
//! snapshot, or a standby. While the restore goes on it holds `RESTORE-UNFINISHED.txt`, which is removed last.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::error::Error;
use super::folders::{self, Folders, NewFile, TEMPORARY};
use super::{Owner, Scope};
use crate::repository::manifest::Manifest;
use crate::repository::names::SnapshotId;
use crate::repository::{Repository, Snapshot};

/// Stands in the target until everything is restored.
pub const UNFINISHED: &str = "RESTORE-UNFINISHED.txt";

/// Stands in a standby: later snapshots may complete it.
pub const STANDBY: &str = "SEAWALL-STANDBY.txt";

/// The longest such file that is read.
const MAX_UNFINISHED_BYTES: u64 = 64 << 10;

/// What is at the target's path before anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// A folder without content.
    Empty {
        /// Whom it belongs to.
        owner: (u32, u32),
    },
    /// A folder with an unfinished restore of the same snapshot.
    Unfinished {
        /// Whom it belongs to.
        owner: (u32, u32),
    },
    /// A standby that a restore of this repository completed.
    Standby {
        /// Whom it belongs to.
        owner: (u32, u32),
    },
}

impl State {
    /// Whether a restore broke off there.
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Unfinished { .. })
    }

    /// Whether files may be there already.
    pub fn has_content(self) -> bool {
        matches!(self, Self::Unfinished { .. } | Self::Standby { .. })
    }
}

/// Looks at the target's path; refuses what a restore must not touch.
pub fn look(
    path: &Path,
    repository: &Repository,
    snapshot: &Snapshot,
    standby: bool,
) -> Result<State, Error> {
    let failed = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if path.is_symlink() {
                Err(not_a_folder(path))
            } else {
                Ok(State::Absent)
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
        return Ok(State::Empty { owner });
    }
    let of_standby = read_title(path, STANDBY).map_err(failed)?;
    let is_standby = of_standby.is_some_and(|title| {
        let mut lines = title.lines();
        lines.next_back() == Some(&of_repository(repository))
    });
    let unfinished = read_title(path, UNFINISHED).map_err(failed)?;
    if is_standby && standby {
        refuse_running(path)?;
    }
    match unfinished {
        None if is_standby && standby => Ok(State::Standby { owner }),
        None if is_standby => Err(Error::IsStandby {
            path: path.to_owned(),
        }),
        None => Err(Error::NotEmpty {
            path: path.to_owned(),
        }),
        // What goes on with it has to know that: else commits of one snapshot come beside databases of another.
        Some(_) if is_standby && !standby => Err(Error::IsStandby {
            path: path.to_owned(),
        }),
        // A standby may go on with a later snapshot than the one at which it broke off.
        Some(of) if of == title(repository, snapshot.id()) || is_standby && standby => {
            Ok(State::Unfinished { owner })
        }
        Some(of) => Err(Error::OtherUnfinished {
            path: path.to_owned(),
            of: of.replace('\n', ", "),
        }),
    }
}

fn not_a_folder(path: &Path) -> Error {
    Error::NotAFolder {
        path: path.to_owned(),
    }
}

/// A fresh file system has a folder of its own at its top. A restore that was killed at its very
/// beginning leaves the unfinished file without its name.
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

/// Refuses a folder in which Seafile runs, as far as its files of process numbers tell.
fn refuse_running(path: &Path) -> Result<(), Error> {
    // A folder that is not there, or cannot be listed, tells nothing.
    let entries = fs::read_dir(path.join("pids")).into_iter().flatten();
    for entry in entries.flatten() {
        let number = fs::read_to_string(entry.path()).unwrap_or_default();
        let Ok(number) = number.trim().parse::<u32>() else {
            continue;
        };
        let command = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        if ["seaf", "ccnet", "seahub"]
            .iter()
            .any(|word| command.contains(word))
        {
            return Err(Error::Runs {
                path: path.to_owned(),
                pid: number,
            });
        }
    }
    Ok(())
}

/// The lines of one of our files that say what is, or was, restored.
fn read_title(path: &Path, name: &str) -> io::Result<Option<String>> {
    let opened = File::options()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path.join(name));
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut text = String::new();
    file.take(MAX_UNFINISHED_BYTES).read_to_string(&mut text)?;
    let said = |line: &&str| line.starts_with("snapshot ") || line.starts_with("repository ");
    let lines: Vec<&str> = text.lines().filter(said).collect();
    Ok(Some(lines.join("\n")))
}

fn title(repository: &Repository, snapshot: SnapshotId) -> String {
    format!("snapshot {snapshot}\n{}", of_repository(repository))
}

fn of_repository(repository: &Repository) -> String {
    format!("repository {}", repository.id().as_str())
}

/// Snapshots of which a standby may hold ordinary files: the one that it was completed to, and one at which that
/// broke off.
pub fn earlier(path: &Path) -> Result<Vec<SnapshotId>, Error> {
    let mut snapshots = Vec::new();
    for name in [STANDBY, UNFINISHED] {
        let title = read_title(path, name).map_err(|source| Error::Write {
            path: path.join(name),
            source,
        })?;
        let title = title.unwrap_or_default();
        let names = title
            .lines()
            .filter_map(|line| line.strip_prefix("snapshot "));
        snapshots.extend(names.filter_map(|name| name.parse::<SnapshotId>().ok()));
    }
    snapshots.dedup();
    Ok(snapshots)
}

fn standby_text(repository: &Repository, completed: Option<SnapshotId>) -> String {
    let title = completed.map_or_else(
        || of_repository(repository),
        |snapshot| title(repository, snapshot),
    );
    format!(
        "This folder is a standby, made by `seawall restore --standby`. The same again completes it by what a later\n\
         snapshot has more: databases and ordinary files are replaced, objects are added. Do not start Seafile here while\n\
         that goes on. Remove this file when the folder becomes the server's own.\n\n{title}\n"
    )
}

fn unfinished_text(repository: &Repository, snapshot: SnapshotId) -> String {
    format!(
        "This restore is not finished: do not start Seafile with this folder.\n\
         Run the same `seawall restore` again; it goes on where it stopped. What you change\n\
         here before it has finished may be replaced.\n\n{}\n",
        title(repository, snapshot)
    )
}

/// Whom everything shall belong to; `None`: who restores. An existing folder of root says nothing:
/// Seafile's server does not run as root.
pub fn owner(
    wanted: Option<Owner>,
    state: State,
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
        State::Absent => None,
        State::Empty { owner } | State::Unfinished { owner } | State::Standby { owner } => {
            Some(owner)
        }
    };
    let existing = existing.filter(|(uid, _)| *uid != 0);
    let recorded = || {
        manifest
            .databases
            .iter()
            .find_map(|database| database.owner)
    };
    let of = |(uid, gid)| Owner {
        uid,
        gid: Some(gid),
    };
    Ok(wanted.or_else(|| existing.or_else(recorded).map(of)))
}

/// The unfinished file, locked.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough while a process that was just started still has a copy.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// The target, opened and locked.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    folders: Folders,
    /// Held until the restore ends: its lock keeps a second restore out.
    _lock: Lock,
}

impl Target {
    /// Makes or opens the folder and puts the unfinished file into it.
    pub fn prepare(
        path: &Path,
        state: State,
        owner: Option<Owner>,
        repository: &Repository,
        snapshot: &Snapshot,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Write {
            path: path.to_owned(),
            source,
        };
        let busy = || Error::Busy {
            path: path.to_owned(),
        };
        if state == State::Absent {
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(path);
            made.map_err(failed)?;
        }
        let folders = Folders::open(path, owner).map_err(failed)?;
        if state == State::Absent {
            folders.give(folders.root()).map_err(failed)?;
        }
        if !state.is_unfinished() {
            let text = unfinished_text(repository, snapshot.id());
            let is_first = put_first(&folders, &text);
            if !is_first.map_err(failed)? {
                return Err(busy());
            }
        }
        let unfinished = folders::open_file(folders.root(), UNFINISHED).map_err(failed)?;
        match rustix::fs::flock(&unfinished, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(busy()),
            Err(error) => return Err(failed(error.into())),
        }
        Ok(Self {
            path: path.to_owned(),
            folders,
            _lock: Lock(unfinished),
        })
    }

    /// Its path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its folders.
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// An error about something inside.
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

    /// Says that the folder is a standby: from the beginning, so that one which breaks off can go on with a later
    /// snapshot; and at the end, which snapshot it was completed to.
    pub fn write_standby(
        &self,
        repository: &Repository,
        completed: Option<SnapshotId>,
    ) -> Result<(), Error> {
        self.write_text(STANDBY, &standby_text(repository, completed))
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
pub(super) fn put_text(folders: &Folders, name: &str, text: &str) -> io::Result<()> {
    new_text(folders, name, text).and_then(NewFile::finish)
}

/// The same in a folder below, and durable under its name.
pub(super) fn put_text_in(
    folders: &Folders,
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
fn new_text<'a>(folders: &'a Folders, name: &'a str, text: &str) -> io::Result<NewFile<'a>> {
    let mut file = folders.new_file(folders.root(), name, 0o600)?;
    file.file().write_all(text.as_bytes())?;
    file.file().sync_all()?;
    Ok(file)
}

/// Puts the unfinished file; `false` if another restore was first.
fn put_first(folders: &Folders, text: &str) -> io::Result<bool> {
    let is_first = new_text(folders, UNFINISHED, text)?.finish_new()?;
    rustix::fs::fsync(folders.root())?;
    Ok(is_first)
}
