//! Stores the databases of an installation in the repository.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::heartbeat::Heartbeat;
use super::prepare::PreparedRun;
use super::{Error, stream};
use crate::database::Pointers;
use crate::repository::Repository;
use crate::repository::manifest::{self, Database};
use crate::repository::names::{self, SnapshotId};
use crate::seafile::discover::Installation;
use crate::source::databases::{self, Copy, DatabasePlace};

/// The result of dumping.
pub struct DumpedDatabases {
    /// As the manifest lists them.
    pub databases: Vec<Database>,
    /// What the dumped `seafile` database points to.
    pub pointers: Pointers,
    /// How many were stored; the others equal those of the base.
    pub stored: usize,
    /// The longest time that a lock on one of them was held.
    pub locked_for: Duration,
    /// Parts of the base's dumps that the destination lost, one line each.
    pub alarms: Vec<String>,
    /// What the person who loads the dumps should know.
    pub notes: Vec<String>,
    /// Databases on the same servers that were not dumped.
    pub others: Vec<String>,
}

/// Copies all databases as of one moment, then stores those that changed since the base.
pub fn dump(
    repository: &Repository,
    heartbeat: &Heartbeat,
    prepared: &PreparedRun,
    installation: &Installation,
    spool: &std::path::Path,
) -> Result<DumpedDatabases, Error> {
    let copies = databases::copy(installation, spool)?;
    let mut stored = 0;
    let mut databases = Vec::new();
    let mut alarms = Vec::new();
    for copy in &copies.all {
        let known = prepared.base_manifest.iter().flat_map(|base| &base.databases).find(|known| {
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
        databases.push(describe(copy, parts)?);
    }
    Ok(DumpedDatabases {
        databases,
        pointers: copies.pointers,
        stored,
        locked_for: copies.locked_for,
        alarms,
        notes: copies.notes,
        others: copies.others,
    })
}

fn store_copy(
    repository: &Repository,
    heartbeat: &Heartbeat,
    snapshot: SnapshotId,
    copy: &Copy,
) -> Result<Vec<crate::repository::manifest::Part>, Error> {
    let ending = match copy.place {
        DatabasePlace::File(_) => "db",
        DatabasePlace::Server(..) => "sql",
    };
    let name = |index| names::dump_part(snapshot, &copy.role, ending, index, repository.seal());
    let stored = stream::store(repository, heartbeat, name, |out| {
        copy.write_to(out).map_err(Error::Stream)
    })?;
    if stored.totals.plain_sha256 == copy.sha256 {
        Ok(stored.parts)
    } else {
        Err(Error::Stream(io::Error::other(format!(
            "the copy of the database {} changed in the spool",
            copy.role
        ))))
    }
}

fn describe(copy: &Copy, parts: Vec<crate::repository::manifest::Part>) -> Result<Database, Error> {
    let database = Database {
        role: copy.role.clone(),
        engine: manifest::MYSQL.into(),
        name: None,
        server: copy.server.clone(),
        identity: copy.identity.clone(),
        path: None,
        size: copy.len,
        sha256: copy.sha256,
        mode: None,
        owner: None,
        integrity: copy.integrity.clone(),
        parts,
    };
    let file = match &copy.place {
        DatabasePlace::Server(_, name) => {
            return Ok(Database { name: Some(name.clone()), ..database });
        }
        DatabasePlace::File(file) => file,
    };
    let metadata = fs::metadata(&file.file)
        .map_err(|error| Error::Source { path: file.file.clone(), source: error })?;
    Ok(Database {
        engine: manifest::SQLITE.into(),
        path: Some(file.path.to_string_lossy().into_owned()),
        mode: Some(metadata.mode() & 0o7777),
        owner: Some((metadata.uid(), metadata.gid())),
        ..database
    })
}
