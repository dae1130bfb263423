//! Finds the databases that are `SQLite` files, and counts the libraries in one without changing
//! it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::DiscoveredParts;
use super::database::DatabaseRole;
use super::django;
use super::error::DiscoverError;
use super::places::{DATA, is_file};
use super::warning::DiscoverWarning;
use crate::seafile::config::python::PythonValue;

/// The file of Seafile's own `SQLite` database, in the data folder.
const SEAFILE_DB: &str = "seafile.db";

/// One `SQLite` database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteFile {
    /// What it is for.
    pub role: DatabaseRole,
    /// Its path inside the installation, where a restore puts it.
    pub path: PathBuf,
    /// The file itself, absolute.
    pub file: PathBuf,
}

/// Seafile's own database. The file may be missing.
pub(super) fn seafile_file(seen: &DiscoveredParts) -> SqliteFile {
    SqliteFile {
        role: DatabaseRole::Seafile,
        path: Path::new(DATA).join(SEAFILE_DB),
        file: seen.data_dir.join(SEAFILE_DB),
    }
}

/// The database files of users, groups and so on.
pub(super) fn ccnet_files(
    seen: &DiscoveredParts,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<Vec<SqliteFile>, DiscoverError> {
    const FILES: [(DatabaseRole, &str); 4] = [
        (DatabaseRole::Usermgr, "ccnet/PeerMgr/usermgr.db"),
        (DatabaseRole::Groupmgr, "ccnet/GroupMgr/groupmgr.db"),
        (DatabaseRole::Orgmgr, "ccnet/OrgMgr/orgmgr.db"),
        (DatabaseRole::Config, "ccnet/misc/config.db"),
    ];
    let mut files = Vec::new();
    for (role, path) in FILES {
        let file = seen.top.join(path);
        if is_file(&file)? {
            let path = path.into();
            files.push(SqliteFile { role, path, file });
        } else if matches!(role, DatabaseRole::Usermgr | DatabaseRole::Groupmgr) {
            let looked_for = path.to_owned();
            warnings.push(DiscoverWarning::DatabaseMissing { role, looked_for });
        }
    }
    Ok(files)
}

/// The database file of the web interface. The settings may put it elsewhere.
pub(super) fn seahub_file(
    seen: &DiscoveredParts,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<Option<SqliteFile>, DiscoverError> {
    let settings = &seen.configuration.seahub.settings;
    if let Some(at) = django::unknown(seen, "NAME") {
        let setting = "DATABASES['default']['NAME']".to_owned();
        warnings.push(DiscoverWarning::NotLiteral { at, setting });
    }
    let named =
        settings.get_in("DATABASES", &["default", "NAME"]).and_then(|located| {
            match &located.value {
                PythonValue::Text(name) => Some(seen.on_this_machine(Path::new(&**name))),
                _ => None,
            }
        });
    let usual = seen.top.join("seahub.db");
    for file in named.iter().chain([&usual]) {
        if is_file(file)? {
            let path = file.strip_prefix(seen.top).unwrap_or(Path::new("seahub.db"));
            return Ok(Some(SqliteFile {
                role: DatabaseRole::Seahub,
                path: path.to_owned(),
                file: file.clone(),
            }));
        }
    }
    warnings.push(DiscoverWarning::DatabaseMissing {
        role: DatabaseRole::Seahub,
        looked_for: named.unwrap_or(usual).display().to_string(),
    });
    Ok(None)
}

/// Counts libraries. Nothing is written, not even files beside the database. `None` if they cannot
/// be counted so.
pub(super) fn count_libraries(file: &Path) -> Option<u64> {
    // `immutable` takes no lock and rolls nothing back. The result is right only if nobody uses the
    // file.
    for suffix in ["-journal", "-wal"] {
        let mut beside = file.as_os_str().to_owned();
        beside.push(suffix);
        if Path::new(&beside).exists() {
            return None;
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(immutable_uri(file), flags).ok()?;
    let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'Repo'";
    if count(tables).ok()? == 0 {
        return Some(0);
    }
    u64::try_from(count("SELECT count(*) FROM Repo").ok()?).ok()
}

/// The URI by which `SQLite` opens a path as `immutable`.
fn immutable_uri(file: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in file.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests need no durable files")]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_counted_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a ?#%é.db");
        let connection = Connection::open(&file).unwrap();
        assert_eq!(count_libraries(&file), Some(0));
        connection
            .execute_batch("CREATE TABLE Repo (repo_id); INSERT INTO Repo VALUES (1), (2)")
            .unwrap();
        drop(connection);
        assert_eq!(count_libraries(&file), Some(2));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::write(folder.path().join("a ?#%é.db-journal"), "").unwrap();
        assert_eq!(count_libraries(&file), None);
    }

    #[test]
    fn nothing_is_made_beside_a_file_in_wal_mode() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seafile.db");
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE Repo (repo_id)").unwrap();
        assert_eq!(count_libraries(&file), None);
        drop(connection);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let before = std::fs::metadata(folder.path()).unwrap().modified().unwrap();
        assert_eq!(count_libraries(&file), Some(0));
        let after = std::fs::metadata(folder.path()).unwrap().modified().unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn what_is_no_database_is_not_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seafile.db");
        assert_eq!(count_libraries(&file), None);
        std::fs::write(&file, "no database, but long enough to be looked at: ".repeat(20)).unwrap();
        assert_eq!(count_libraries(&file), None);
    }
}
