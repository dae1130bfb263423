//! Restores databases. Each one is put in place whole: the file that was dumped, proved by the
//! SHA-256 in the manifest.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;

use rustix::fs::Mode;

use super::commits;
use super::error::Error;
use super::folders::{self, NewTargetFile};
use super::report::{LossKind, RestoreLoss};
use super::stream::{self, RestoreStreamError};
use super::target::RestoreTarget;
use crate::repository::Repository;
use crate::repository::manifest::{self, Database, Manifest};

/// Where dumps of databases on servers are put.
pub const SQL_FOLDER: &str = "seawall-databases";
/// Permissions of a database if none are recorded.
const DEFAULT_MODE: u32 = 0o600;

/// Restores every database. Returns the roles of those that are in place, and those that are lost.
pub fn restore(
    repository: &Repository,
    manifest: &Manifest,
    target: &RestoreTarget,
) -> Result<(Vec<String>, Vec<RestoreLoss>), Error> {
    let (mut roles, mut lost) = (Vec::new(), Vec::new());
    for database in &manifest.databases {
        match restore_one(repository, database, target) {
            Ok(()) => roles.push(database.role.clone()),
            Err(RestoreStreamError::Lost(problem)) => lost.push(RestoreLoss {
                kind: LossKind::Database,
                name: database.role.clone(),
                problem,
                objects: None,
                libraries: Vec::new(),
            }),
            Err(RestoreStreamError::Fatal(error)) => return Err(error),
        }
    }
    Ok((roles, lost))
}

/// Moves aside databases of earlier restores, where this one did not restore a database. Older or
/// newer pointers beside these commits would set clients back. Returns a line for each.
pub fn set_aside_older(
    manifest: &Manifest,
    earlier: &[Manifest],
    restored: &[String],
    target: &RestoreTarget,
) -> Result<Vec<String>, Error> {
    let places = |manifest: &Manifest, is_wanted: &dyn Fn(&Database) -> bool| -> BTreeSet<String> {
        let wanted = manifest.databases.iter().filter(|one| is_wanted(one));
        let places = wanted.filter_map(|database| place(database).ok());
        places.map(Cow::into_owned).collect()
    };
    let is_restored = |database: &Database| restored.contains(&database.role);
    let in_place = places(manifest, &is_restored);
    let mut strange = places(manifest, &|database| !is_restored(database));
    for manifest in earlier {
        strange.extend(places(manifest, &|_| true));
    }
    let mut moved = Vec::new();
    for path in strange.difference(&in_place) {
        let failed = |error| target.failed(path)(error);
        // The database goes first: SQLite does not open a log alone.
        if commits::set_aside_file(target.folders(), path).map_err(failed)? {
            moved.push(format!(
                "{path} is of another snapshot, and was moved to {}/{path}",
                commits::ASIDE
            ));
        }
        for log in ["-wal", "-shm", "-journal"] {
            let path = format!("{path}{log}");
            commits::set_aside_file(target.folders(), &path).map_err(target.failed(&path))?;
        }
    }
    Ok(moved)
}

fn restore_one(
    repository: &Repository,
    database: &Database,
    target: &RestoreTarget,
) -> Result<(), RestoreStreamError> {
    let path = place(database).map_err(RestoreStreamError::Lost)?;
    let path = path.as_ref();
    let failed = |source| RestoreStreamError::Fatal(target.failed(path)(source));
    let (parent, name) = folders::split(path);
    let folder = target.folders().enter(parent).map_err(failed)?;
    let mut file = target.folders().new_file(folder.as_fd(), name, DEFAULT_MODE).map_err(failed)?;
    let ((), seen) = stream::read(repository, &database.parts, |stream| {
        copy(stream, &mut file, database.size, failed)
    })?;
    if seen.sha256 != database.sha256 {
        return Err(RestoreStreamError::Lost("its bytes are not those that were dumped".into()));
    }
    let mode = Mode::from_raw_mode(database.mode.unwrap_or(DEFAULT_MODE) & 0o777);
    rustix::fs::fchmod(file.file(), mode).map_err(|error| failed(error.into()))?;
    // A log that a server left belongs to the database that is replaced: SQLite would play it into
    // the new one.
    for log in ["-wal", "-shm", "-journal"] {
        folders::remove(folder.as_fd(), &format!("{name}{log}")).map_err(failed)?;
    }
    file.finish().map_err(failed)
}

/// The path of a database inside the target. SQL text lies in a folder that Seafile does not know,
/// to be loaded into a server.
pub fn place(database: &Database) -> Result<Cow<'_, str>, String> {
    let path = match database.engine.as_str() {
        manifest::SQLITE => {
            let path = database.path.as_deref();
            Cow::Borrowed(path.ok_or("the manifest does not say where it belongs")?)
        }
        manifest::MYSQL => Cow::Owned(format!("{SQL_FOLDER}/{}.sql", database.role)),
        engine => return Err(format!("{engine} databases cannot be put in place")),
    };
    let is_plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    if path.split('/').all(is_plain) {
        Ok(path)
    } else {
        Err(format!("the manifest puts it at {path:?}"))
    }
}

/// Copies at most `size` bytes: a longer stream is not what was dumped.
fn copy(
    stream: &mut dyn Read,
    file: &mut NewTargetFile<'_>,
    size: u64,
    failed: impl Fn(io::Error) -> RestoreStreamError,
) -> Result<(), RestoreStreamError> {
    let mut buffer = vec![0; 256 << 10];
    let mut left = size;
    loop {
        let len = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(RestoreStreamError::Lost(error.to_string())),
        };
        left = left.checked_sub(len as u64).ok_or_else(|| {
            RestoreStreamError::Lost("it is longer than the manifest says".into())
        })?;
        file.file().write_all(&buffer[..len]).map_err(&failed)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Sha256;

    fn database(path: Option<&str>) -> Database {
        Database {
            identity: None,
            name: None,
            server: None,
            role: "seafile".into(),
            engine: "sqlite".into(),
            path: path.map(Into::into),
            size: 0,
            sha256: Sha256::of(b""),
            mode: None,
            owner: None,
            integrity: Vec::new(),
            parts: Vec::new(),
        }
    }

    #[test]
    fn databases_stay_inside() {
        assert_eq!(
            place(&database(Some("ccnet/PeerMgr/usermgr.db"))),
            Ok("ccnet/PeerMgr/usermgr.db".into())
        );
        for path in ["/etc/passwd", "../x", "a/../b", "", "a//b", "./a", "a/", "a\0"] {
            place(&database(Some(path))).unwrap_err();
        }
        place(&database(None)).unwrap_err();
        let of = |engine: &str, role: &str| Database {
            engine: engine.into(),
            role: role.into(),
            ..database(Some("x"))
        };
        assert_eq!(place(&of("mysql", "seahub")), Ok("seawall-databases/seahub.sql".into()));
        for hostile in
            [of("mysql", "../x"), of("mysql", "/x"), of("mysql", "a\0"), of("oracle", "x")]
        {
            place(&hostile).unwrap_err();
        }
    }
}
