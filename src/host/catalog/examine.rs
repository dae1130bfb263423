//! Examines a catalog without changing anything, for `doctor`.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{VERSION, get_meta};
use crate::repository::configuration::RepositoryId;
use crate::repository::names::SnapshotId;

/// The state of a catalog's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogCondition {
    /// There is no file: the next backup makes it.
    Absent,
    /// SQLite's log is not empty: a run uses the catalog, or died with it. Reading it would mean
    /// writing to it.
    InUse,
    /// It belongs to this repository and has this base.
    Good(Option<SnapshotId>),
    /// It belongs to another repository or has another version: the next backup replaces it.
    Foreign,
    /// SQLite cannot read it.
    Broken(String),
}

/// Examines a catalog's file.
pub fn examine(path: &Path, repository: &RepositoryId) -> CatalogCondition {
    if !path.exists() {
        return CatalogCondition::Absent;
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return CatalogCondition::InUse;
    }
    let look = || -> rusqlite::Result<CatalogCondition> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(immutable_uri(path), flags)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version != VERSION
            || get_meta(&connection, "repository")?.as_deref() != Some(repository.as_str())
        {
            return Ok(CatalogCondition::Foreign);
        }
        let base = get_meta(&connection, "base")?;
        Ok(CatalogCondition::Good(base.and_then(|base| base.parse().ok())))
    };
    look().unwrap_or_else(|error| CatalogCondition::Broken(error.to_string()))
}

/// The file's URI with `immutable=1`: SQLite then makes no files beside it.
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        // Writing to a String cannot fail.
        let _ = match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                write!(uri, "{}", char::from(*byte))
            }
            other => write!(uri, "%{other:02X}"),
        };
    }
    uri + "?immutable=1"
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests lay out files that need not last")]
mod tests {
    use super::*;
    use crate::host::catalog::Catalog;

    #[test]
    fn a_catalog_is_told_from_others_and_nothing_is_made_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b%ü.db");
        let id = RepositoryId::random().unwrap();
        assert_eq!(examine(&path, &id), CatalogCondition::Absent);
        drop(Catalog::open(&path, &id).unwrap());
        assert_eq!(examine(&path, &id), CatalogCondition::Good(None));
        let other = RepositoryId::random().unwrap();
        assert_eq!(examine(&path, &other), CatalogCondition::Foreign);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        std::fs::write(&path, vec![b'x'; 5000]).unwrap();
        assert!(matches!(examine(&path, &id), CatalogCondition::Broken(_)));
    }

    #[test]
    fn one_that_is_in_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        let id = RepositoryId::random().unwrap();
        let catalog = Catalog::open(&path, &id).unwrap();
        catalog.begin_run().unwrap();
        assert_eq!(examine(&path, &id), CatalogCondition::InUse);
    }
}
