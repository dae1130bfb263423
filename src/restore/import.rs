//! What the loading of databases into a server needs from a restore. It reads the dumps and the
//! configuration before anything is restored, checks whether a folder holds what a snapshot's
//! restore left, and keeps a record of what was loaded from it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::Owner;
use super::databases::SQL_FOLDER;
use super::error::Error;
use super::folders::{self, TargetFolders};
use super::mark::{RestoreMark, STANDBY, UNFINISHED};
use super::stream::{self, RestoreStreamError};
use super::target::{RestoreTarget, put_text_in};
use crate::object::Sha256;
use crate::repository::Repository;
use crate::repository::manifest::{Database, Manifest};
use crate::repository::names::SnapshotId;
use crate::unpack::{UnpackOptions, Unpacker};

/// The record of what was loaded, beside the dumps.
const RECORD: &str = "imported.json";
/// The most bytes of a record that are read.
const MAX_RECORD_BYTES: u64 = 1 << 20;
/// The largest group of files that is searched for configuration.
const MAX_CONFIGURATION_BYTES: u64 = 64 << 20;
/// Groups of ordinary files that hold configuration.
const CONFIGURATION: [&str; 3] = ["top level", "conf", "ccnet"];

/// Reads a stored dump through `read`. `None`: the repository has lost the dump, which the restore
/// will report.
pub fn read_dump<T>(
    repository: &Repository,
    database: &Database,
    read: impl FnOnce(&mut dyn Read) -> T,
) -> Result<Option<T>, Error> {
    match stream::read(repository, &database.parts, |stream| Ok(read(stream))) {
        Ok((read, seen)) if seen.sha256 == database.sha256 => Ok(Some(read)),
        Ok(_) | Err(RestoreStreamError::Lost(_)) => Ok(None),
        Err(RestoreStreamError::Fatal(error)) => Err(error),
    }
}

/// Restores only a snapshot's configuration into an empty folder, which then looks like an
/// installation. Groups that are lost or too large are left out.
pub fn configuration(
    repository: &Repository,
    manifest: &Manifest,
    folder: &Path,
) -> Result<(), Error> {
    let mut unpacker = Unpacker::new(folder, &UnpackOptions::default())?;
    for group in &manifest.files {
        let is_wanted = CONFIGURATION.contains(&group.label.as_str());
        if !is_wanted || group.size > MAX_CONFIGURATION_BYTES {
            continue;
        }
        let done = stream::read(repository, &group.parts, |stream| {
            unpacker.unpack(stream).map_err(|error| RestoreStreamError::Lost(error.to_string()))
        });
        if let Err(RestoreStreamError::Fatal(error)) = done {
            return Err(error);
        }
    }
    unpacker.finish()?;
    for kind in ["blocks", "commits", "fs"] {
        let path = folder.join("seafile-data/storage").join(kind);
        fs::create_dir_all(&path).map_err(|source| Error::Write { path, source })?;
    }
    Ok(())
}

/// From which snapshot a folder was restored, as its notes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredFrom {
    /// The repository's URL or path, as it was then.
    pub repository: String,
    /// The snapshot's name.
    pub snapshot: String,
}

/// Reads the notes of a restored folder. `None`: it is no restored folder, or somebody removed the
/// notes.
pub fn restored_from(folder: &Path) -> Option<RestoredFrom> {
    let text = fs::read(folder.join(super::NOTES)).ok()?;
    let text = String::from_utf8_lossy(&text);
    let field = |name: &str| {
        let mut lines = text.lines().take(30);
        let value = lines.find_map(|line| line.strip_prefix("  ")?.strip_prefix(name));
        value.map(|value| value.trim().to_owned())
    };
    Some(RestoredFrom { repository: field("repository ")?, snapshot: field("snapshot ")? })
}

/// Why databases cannot be loaded out of a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRestored {
    /// Nothing was restored there.
    #[error("{} holds no restored databases", _0.display())]
    Nothing(PathBuf),
    /// The restore was not finished.
    #[error("the restore into {} is not finished", _0.display())]
    Unfinished(PathBuf),
    /// The dump is another snapshot's, or was changed.
    #[error("{} is not the dump that this snapshot has: its {what} differs", path.display())]
    Other {
        /// The dump.
        path: PathBuf,
        /// Length or SHA-256.
        what: &'static str,
    },
    /// The dump cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where a database's dump lies in a target.
pub fn dump_path(target: &Path, role: &str) -> PathBuf {
    target.join(SQL_FOLDER).join(format!("{role}.sql"))
}

/// Fails unless a finished restore left its dumps in this folder.
pub fn must_be_restored(target: &Path) -> Result<(), NotRestored> {
    let is_there = |name: &str| target.join(name).symlink_metadata().is_ok();
    if is_there(UNFINISHED) {
        return Err(NotRestored::Unfinished(target.to_owned()));
    }
    let is_ours = is_there(super::NOTES) || is_there(STANDBY);
    if is_ours || is_there(SQL_FOLDER) {
        return Ok(());
    }
    Err(NotRestored::Nothing(target.to_owned()))
}

/// Checks that a restored dump is the one that the manifest names, then reads it through `read`.
pub fn read_restored<T>(
    target: &Path,
    database: &Database,
    read: impl FnOnce(&mut dyn Read) -> T,
) -> Result<T, NotRestored> {
    let path = dump_path(target, &database.role);
    let unreadable = |source| NotRestored::Unreadable { path: path.clone(), source };
    let other = |what| NotRestored::Other { path: path.clone(), what };
    let mut file = File::open(&path).map_err(unreadable)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        let read = file.read(&mut buffer).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        len += read as u64;
    }
    if len != database.size {
        return Err(other("length"));
    }
    if Sha256::new(hasher.finalize().into()) != database.sha256 {
        return Err(other("SHA-256"));
    }
    let file = File::open(&path).map_err(unreadable)?;
    Ok(read(&mut io::BufReader::with_capacity(1 << 20, file)))
}

/// A database that was loaded out of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRecord {
    /// `seafile`, `ccnet` …
    pub role: String,
    /// Account and address of the server, as they were given.
    pub server: String,
    /// What tells that server from others.
    pub identity: String,
    /// The database's name there.
    pub name: String,
    /// The SHA-256 of the dump.
    pub sha256: Sha256,
    /// Its tables.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// The database that holds what was there before.
    pub before: Option<String>,
}

/// The databases that were loaded from a target so far; none if the record cannot be read.
pub fn records(target: &Path) -> Vec<ImportRecord> {
    let read = || -> io::Result<Vec<u8>> {
        let folders = TargetFolders::open(target, None)?;
        let folder = folders.find(SQL_FOLDER)?.ok_or(io::ErrorKind::NotFound)?;
        let file = folders::open_file(folder.as_fd(), RECORD)?;
        let mut bytes = Vec::new();
        file.take(MAX_RECORD_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let records = read().ok();
    records.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// The databases that the unfinished restore of this snapshot in a target has loaded so far.
pub fn loaded_so_far(target: &Path, snapshot: SnapshotId) -> Vec<ImportRecord> {
    // If the mark cannot be read, the restore refuses it.
    let mark = RestoreMark::read(target, UNFINISHED).ok().flatten();
    if mark.is_some_and(|mark| mark.is_waiting && mark.is_at(snapshot)) {
        records(target)
    } else {
        Vec::new()
    }
}

/// Removes the record of what was loaded from a target, durably: somebody may have used those
/// databases since.
pub(super) fn forget(target: &RestoreTarget) -> Result<(), Error> {
    let path = format!("{SQL_FOLDER}/{RECORD}");
    let forget = || -> io::Result<()> {
        let Some(folder) = target.folders().find(SQL_FOLDER)? else {
            return Ok(());
        };
        folders::remove(folder.as_fd(), RECORD)?;
        Ok(rustix::fs::fsync(&folder)?)
    };
    forget().map_err(target.failed(&path))
}

/// Records durably that a database was loaded. An earlier record of the same role is replaced.
pub fn record(target: &Path, record: ImportRecord) -> Result<(), Error> {
    let failed =
        |source: io::Error| Error::Write { path: target.join(SQL_FOLDER).join(RECORD), source };
    let mut all = records(target);
    all.retain(|known| known.role != record.role);
    all.push(record);
    let text = serde_json::to_string_pretty(&all).map_err(|error| failed(error.into()))?;
    let owner = owner_of(target).map_err(failed)?;
    let folders = TargetFolders::open(target, owner).map_err(failed)?;
    put_text_in(&folders, SQL_FOLDER, RECORD, &text).map_err(failed)
}

/// The owner of a restored folder, if this process is root; `None` for other users.
pub(super) fn owner_of(target: &Path) -> io::Result<Option<Owner>> {
    let metadata = fs::metadata(target)?;
    Ok(rustix::process::geteuid()
        .is_root()
        .then(|| Owner { uid: metadata.uid(), gid: Some(metadata.gid()) }))
}
