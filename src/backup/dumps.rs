//! The databases of an installation on their way into the repository.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::heartbeat::Heartbeat;
use super::prepare::Prepared;
use super::{Error, stream};
use crate::database::{self, Pointers, SqliteCopy};
use crate::repository::Repository;
use crate::repository::manifest::Database;
use crate::repository::names::{self, SnapshotId};
use crate::seafile::discover::SqliteFile;
use crate::source;

/// What came of dumping.
pub struct Dumped {
    /// As the manifest lists them.
    pub databases: Vec<Database>,
    /// What the dumped `seafile` database points to.
    pub pointers: Pointers,
    /// How many were stored; the others equal those of the base.
    pub stored: usize,
    /// The longest time that a lock on one of them was held.
    pub locked_for: Duration,
    /// What the base's dumps lost at the destination.
    pub alarms: Vec<String>,
}

/// Copies all databases as of one moment, then stores what changed since the base.
pub fn dump(
    repository: &Repository,
    heartbeat: &Heartbeat,
    prepared: &Prepared,
    sources: &[SqliteFile],
    spool: &std::path::Path,
) -> Result<Dumped, Error> {
    let copies = database::copy_all(&source::sqlite_sources(sources), spool)?;
    let seafile = copies
        .iter()
        .find(|copy| copy.role == "seafile")
        .ok_or(Error::NoSeafileDatabase)?;
    let pointers = database::read_pointers(&seafile.file)?;
    let locked_for = copies
        .iter()
        .map(|copy| copy.locked_for)
        .max()
        .unwrap_or_default();
    let mut stored = 0;
    let mut databases = Vec::new();
    let mut alarms = Vec::new();
    for (copy, source) in copies.iter().zip(sources) {
        let known = prepared
            .base_manifest
            .iter()
            .flat_map(|base| &base.databases)
            .find(|known| {
                known.role == copy.role && known.sha256 == copy.sha256 && known.size == copy.len
            });
        let lost = known
            .map(|known| stream::lost(repository, &prepared.absent, &known.parts))
            .transpose()?
            .unwrap_or_default();
        let parts = if let Some(known) = known.filter(|_| lost.is_empty()) {
            known.parts.clone()
        } else {
            stored += 1;
            store_copy(repository, heartbeat, prepared.snapshot, copy)?
        };
        alarms.extend(lost);
        databases.push(describe(copy, source, parts)?);
    }
    Ok(Dumped {
        databases,
        pointers,
        stored,
        locked_for,
        alarms,
    })
}

fn store_copy(
    repository: &Repository,
    heartbeat: &Heartbeat,
    snapshot: SnapshotId,
    copy: &SqliteCopy,
) -> Result<Vec<crate::repository::manifest::Part>, Error> {
    let name = |index| names::dump_part(snapshot, &copy.role, "db", index, repository.seal());
    let stored = stream::store(repository, heartbeat, name, |out| {
        File::open(&copy.file)
            .and_then(|mut file| io::copy(&mut file, out))
            .map_err(Error::Stream)
    })?;
    if stored.totals.plain_sha256 == copy.sha256 {
        Ok(stored.parts)
    } else {
        Err(Error::Stream(io::Error::other(format!(
            "the copy {} changed in the spool",
            copy.file.display()
        ))))
    }
}

fn describe(
    copy: &SqliteCopy,
    source: &SqliteFile,
    parts: Vec<crate::repository::manifest::Part>,
) -> Result<Database, Error> {
    let metadata = fs::metadata(&copy.source).map_err(|error| Error::Source {
        path: copy.source.clone(),
        source: error,
    })?;
    Ok(Database {
        role: copy.role.clone(),
        engine: "sqlite".into(),
        path: Some(source.path.to_string_lossy().into_owned()),
        size: copy.len,
        sha256: copy.sha256,
        mode: Some(metadata.mode() & 0o7777),
        owner: Some((metadata.uid(), metadata.gid())),
        integrity: copy.integrity.clone(),
        parts,
    })
}
