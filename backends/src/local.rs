//! A folder of this machine as a destination: a disk, a mounted share.
//!
//! A put writes a temporary file in the key's folder, syncs it, renames it to its name, which must
//! not be taken, and syncs the folder. All paths start at a handle on the root folder and never
//! follow a symbolic link. So a disk that goes away gives an error instead of a full mount point,
//! and nothing outside of the repository is touched. `quirks` notes what a file system cannot do.
//!
//! Limits: on a network file system, caches decide when other clients see a name (NFS: after
//! seconds), and some report a sync that they did not make. A file system that ignores case cannot
//! be used.

use std::collections::HashSet;
use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::{check_prefix, is_segment};
use crate::{
    Backend, Entry, Error, ErrorKind, Key, Properties, Result, SettingFinding, Weight, Writes,
    range,
};

use self::folder::{Folder, LocalName};
use self::quirks::NoExclusiveNames;
use self::temporary::{LocalPublishing, LocalTemporary};
use self::walk::{LocalFile, LocalWalk};

mod folder;
mod quirks;
mod temporary;
#[cfg(test)]
mod tests;
mod walk;

/// A destination that is a folder.
pub struct LocalBackend {
    path: PathBuf,
    root: Folder,
    publishing: LocalPublishing,
    /// Folders whose own name is known to survive a power cut.
    settled: Mutex<HashSet<String>>,
}

/// An open folder on the way to a key.
struct FolderStep {
    path: String,
    folder: Folder,
    made: bool,
}

impl LocalBackend {
    /// Opens a repository's folder, which may be a symbolic link to one.
    ///
    /// Errors: `NotFound`, `Invalid` if it is no folder, `PermissionDenied`, `Other`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let root = Folder::open_path(&path).map_err(|error| at_path(&path, error))?;
        Ok(Self { path, root, publishing: LocalPublishing::Rename, settled: Mutex::default() })
    }

    /// Makes the folder, and those above it, where they are not there, for this user only; then
    /// opens it.
    ///
    /// Errors: as [`open`](Self::open), and `NoSpace`.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        make_durably(&path).map_err(|error| at_path(&path, error))?;
        Self::open(path)
    }

    /// The folder of a key, and whether the key is there.
    fn find(&self, key: &Key) -> io::Result<Option<(Folder, LocalName)>> {
        let (path, name) = key.folder_and_name();
        let Some(folder) = self.root.descend(path)? else {
            return Ok(None);
        };
        let holds = folder.holds(name)?;
        match holds {
            LocalName::Other => Err(folder::not_followed(name)),
            _ => Ok(Some((folder, holds))),
        }
    }

    /// The same folder, as if its file system could not rename without replacing.
    #[cfg(test)]
    pub(crate) fn by_links(mut self) -> Self {
        self.publishing = LocalPublishing::Link;
        self
    }

    /// Opens or makes every folder from the root to `path`.
    fn make_folders(&self, path: &str) -> io::Result<(Vec<FolderStep>, Folder)> {
        let mut steps = Vec::new();
        let mut folder = self.root.clone();
        let mut end = 0;
        for name in folder::segments(path) {
            let (next, made) = folder.open_or_make(name)?;
            end += name.len();
            steps.push(FolderStep { path: path[..end].to_owned(), folder, made });
            end += 1;
            folder = next;
        }
        Ok((steps, folder))
    }

    /// Makes the names in `folder`, and its own name, survive a power cut. The process that made a
    /// folder may have crashed before it synced that name, so each process syncs it once.
    fn settle(&self, steps: &[FolderStep], folder: &Folder) -> io::Result<()> {
        folder.sync()?;
        for step in steps.iter().rev() {
            if step.made || !self.settled().contains(&step.path) {
                step.folder.sync()?;
                self.settled().insert(step.path.clone());
            }
        }
        Ok(())
    }

    fn settled(&self) -> MutexGuard<'_, HashSet<String>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: &Key, body: &[u8]) -> io::Result<()> {
        let (path, name) = key.folder_and_name();
        let (steps, folder) = self.make_folders(path)?;
        let stored = !is_taken(&folder, name)?
            && LocalTemporary::write(&folder, body)?.publish(name, self.publishing)?;
        // Sync even if the name was taken: a caller that finds the same bytes there relies on them,
        // and their writer may have crashed before its own sync.
        self.settle(&steps, &folder)?;
        if stored { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) }
    }
}

impl fmt::Debug for LocalBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBackend").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Backend for LocalBackend {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        self.put(key, body).map_err(|error| {
            // A folder or the temporary file went away under us; the next attempt makes new ones.
            let has_no_exclusive_names = is_about_exclusive_names(&error);
            if error.kind() == io::ErrorKind::NotFound {
                Error::new(ErrorKind::Transient).with_source(error)
            } else if has_no_exclusive_names {
                Error::from(error).with_hint(NoExclusiveNames::HINT)
            } else {
                Error::from(error)
            }
            .with_key(key)
        })
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        let (_, name) = key.folder_and_name();
        let about = |error: io::Error| Error::from(error).with_key(key);
        let Some((folder, LocalName::File { .. })) = self.find(key).map_err(about)? else {
            return Err(Error::new(ErrorKind::NotFound).with_key(key));
        };
        let file = folder.read(name).map_err(about)?;
        let len = file.metadata().map_err(about)?.len();
        folder::read_exactly(file, &range::within(key, range, len)?).map_err(about)
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        match self.find(key) {
            Ok(Some((_, LocalName::File { len, modified }))) => {
                Ok(Entry { key: key.clone(), len, modified })
            }
            Ok(_) => Err(Error::new(ErrorKind::NotFound).with_key(key)),
            Err(error) => Err(Error::from(error).with_key(key)),
        }
    }

    /// Lazily, folder by folder. A folder that cannot be read is an error that names it, and the
    /// listing goes on with the others; one whose name no key can have is passed over.
    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        if let Err(error) = check_prefix(prefix) {
            return Box::new(std::iter::once(Err(error)));
        }
        let found = LocalWalk::new(&self.root, prefix, is_segment);
        Box::new(found.filter_map(|found| found.map(LocalFile::into_entry).transpose()))
    }

    fn delete(&self, key: &Key) -> Result<()> {
        let (_, name) = key.folder_and_name();
        let delete = || {
            let Some((folder, holds)) = self.find(key)? else {
                return Ok(());
            };
            if matches!(holds, LocalName::File { .. }) {
                folder.remove(name)?;
            }
            // Sync even if the key was missing: a process that removed it may have crashed before.
            folder.sync()
        };
        delete().map_err(|error: io::Error| Error::from(error).with_key(key))
    }

    fn accept_weak_writes(&self) {
        self.root.quirks().accept_weak_writes();
    }

    fn properties(&self) -> Properties {
        let mut properties = Properties::default();
        if self.root.quirks().overwrites() {
            properties.writes = Writes::Weak;
        }
        properties
    }

    fn weaknesses(&self) -> Vec<String> {
        let quirks = self.root.quirks();
        let weak = quirks.has_weak_writes().then(|| {
            format!(
                "the file system ({}) cannot refuse to overwrite, which was accepted: only one host may write there",
                self.root.file_system()
            )
        });
        let unsynced = quirks.has_unsynced_folders().then(|| self.unsynced());
        weak.into_iter().chain(unsynced).collect()
    }

    /// Tries a sync of the root folder, which changes nothing, and whether a name can be given without replacing: that
    /// leaves nothing, and [`properties`](Self::properties) tells it afterwards.
    fn examine(&self) -> Vec<SettingFinding> {
        self.try_exclusive_name();
        let synced = self.root.sync();
        let (weight, text, next) = match synced {
            Ok(()) if !self.root.quirks().has_unsynced_folders() => {
                let text = format!("the file system ({}) syncs folders", self.root.file_system());
                (Weight::Good, text, None)
            }
            Ok(()) => {
                let next = "run `seawall check` after a power cut";
                (Weight::Note, self.unsynced(), Some(next.to_owned()))
            }
            Err(error) => {
                let text = format!("the folder cannot be synced: {error}");
                (Weight::Bad, text, Some("look at the disk and its cable".to_owned()))
            }
        };
        vec![SettingFinding { about: "durability", weight, text, next }]
    }

    /// Reads the names in every folder. Who writes a temporary file holds a lock on it.
    fn remove_stale_temporaries(&self) -> Result<u64> {
        let mut removed = 0;
        for found in LocalWalk::new(&self.root, "", temporary::is_name) {
            let is_removed = match found {
                Ok(found) => temporary::remove_stale(&found.folder, &found.name),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(false),
                Err(error) => return Err(error),
            };
            removed += u64::from(is_removed?);
        }
        Ok(removed)
    }
}

impl LocalBackend {
    /// Gives a temporary file another name. Who may not write here is told so by others.
    fn try_exclusive_name(&self) {
        let Ok(name) = crate::temporary::random_name() else {
            return;
        };
        let publish = || {
            LocalTemporary::write(&self.root, b"")?.publish(&name, self.publishing)?;
            self.root.remove(&name)
        };
        let tried: io::Result<()> = publish();
        if tried.is_err_and(|error| is_about_exclusive_names(&error)) {
            self.root.quirks().note_no_exclusive_names();
        }
    }

    fn unsynced(&self) -> String {
        format!(
            "the file system ({}) cannot sync folders: a power cut may take what was stored last",
            self.root.file_system()
        )
    }
}

fn is_about_exclusive_names(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<NoExclusiveNames>)
}

/// Whether a file has this name; what a file cannot stand beside is an error.
fn is_taken(folder: &Folder, name: &str) -> io::Result<bool> {
    match folder.holds(name)? {
        LocalName::Nothing => Ok(false),
        LocalName::File { .. } => Ok(true),
        LocalName::Folder => Err(folder::invalid(format!("{name} is a folder"))),
        LocalName::Other => Err(folder::not_followed(name)),
    }
}

/// Makes a folder and those above it, and their names durable.
fn make_durably(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    for parent in missing.iter().filter_map(|made| made.parent()) {
        Folder::open_path(parent)?.sync()?;
    }
    Ok(())
}

/// An error about the folder of the repository itself.
fn at_path(path: &Path, error: io::Error) -> Error {
    let kind = match Error::from(io::Error::from(error.kind())).kind() {
        // A file has the name that the folder should have.
        ErrorKind::AlreadyExists => ErrorKind::Invalid,
        kind => kind,
    };
    Error::new(kind).with_source(AtPath { path: path.to_owned(), source: error })
}

/// An error of the operating system, and where.
#[derive(Debug)]
struct AtPath {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for AtPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl std::error::Error for AtPath {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
