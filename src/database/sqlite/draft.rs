//! A private copy while it is being made: its place in the spool folder, and the work on it after
//! all locks are released.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use sha2::Digest as _;
use tempfile::TempDir;

use super::files::{self, CONTENT};
use super::{SqliteCopy, SqliteSource};
use crate::database::Error;
use crate::object::Sha256;

/// The names of copies' folders begin with this.
const PREFIX: &str = "seawall-database-";
/// How many complaints of the integrity check are kept, and how many characters of each.
const COMPLAINTS: usize = 20;
const COMPLAINT_CHARS: usize = 300;

/// A copy that is being made. Dropping it removes its files.
#[derive(Debug)]
pub(super) struct Draft {
    folder: TempDir,
    file: PathBuf,
    spool: PathBuf,
}

/// What is known of a draft that has its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct CopyFacts {
    pub(super) locked_for: Duration,
    pub(super) recovered_journal: bool,
    pub(super) wal: bool,
}

impl Draft {
    /// Creates a folder for a copy of `source` (0700). The copy's file has the same name as the
    /// source.
    pub(super) fn create(source: &Path, spool: &Path) -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(spool)
            .map_err(Error::spool(spool))?;
        let file = folder.path().join(source.file_name().unwrap_or_else(|| "database".as_ref()));
        Ok(Self { folder, file, spool: spool.to_path_buf() })
    }

    /// Creates the empty file (0600); SQLite gives what it creates beside it the same mode.
    fn create_file(&self) -> Result<(), Error> {
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.file);
        created.map(drop).map_err(Error::spool(&self.file))
    }

    /// The file that becomes the copy.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Opens it as the target of a copy. It is empty, even if an earlier attempt had filled it.
    pub(super) fn open_empty(&self) -> Result<Connection, Error> {
        for suffix in CONTENT {
            let file = files::beside(&self.file, suffix);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::spool(&file)(error));
                }
                _ => {}
            }
        }
        self.create_file()?;
        // There is no journal and no sync. A copy that a crash interrupts is useless, and waiting
        // for the disk here would prolong the lock on the source.
        let open = || -> Result<Connection, rusqlite::Error> {
            let connection = self.open()?;
            connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;")?;
            Ok(connection)
        };
        open().map_err(|error| self.sort(&self.file, error))
    }

    fn open(&self) -> Result<Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&self.file, flags)
    }

    /// Makes one clean file of it, checks and hashes it.
    pub(super) fn finish(
        self,
        source: &SqliteSource,
        filled: CopyFacts,
    ) -> Result<SqliteCopy, Error> {
        let integrity = self.clean_and_check().map_err(|error| self.sort(&source.path, error))?;
        let (len, sha256) = hash(&self.file).map_err(Error::spool(&self.file))?;
        Ok(SqliteCopy {
            role: source.role.clone(),
            source: source.path.clone(),
            file: self.file,
            len,
            sha256,
            locked_for: filled.locked_for,
            integrity,
            recovered_journal: filled.recovered_journal,
            wal: filled.wal,
            _folder: self.folder,
        })
    }

    /// Rolls back the journal or merges the log beside the file, and sets the file to rollback
    /// mode. Then the file needs no other. Lets SQLite check it.
    fn clean_and_check(&self) -> Result<Vec<String>, rusqlite::Error> {
        let connection = self.open()?;
        connection.execute_batch("PRAGMA synchronous = OFF")?;
        // This reads the database, so SQLite rolls back a hot journal, or merges a log and removes
        // it.
        connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
        connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        let complaints = integrity(&connection);
        connection.close().map_err(|(_, error)| error)?;
        Ok(complaints)
    }

    /// Makes an error of SQLite, met while copying `source`, into the variant that fits. A full
    /// disk is the spool folder's.
    pub(super) fn sort(&self, source: &Path, error: rusqlite::Error) -> Error {
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            return self.no_space(source);
        }
        Error::from_sqlite(source, error)
    }

    /// Makes an error, met while writing the copy `to` of the file `source`, into the variant that
    /// fits.
    pub(super) fn sort_write(&self, source: &Path, to: &Path, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::StorageFull {
            return self.no_space(source);
        }
        Error::spool(to)(error)
    }

    fn no_space(&self, source: &Path) -> Error {
        Error::NoSpace {
            spool: self.spool.clone(),
            needed: fs::metadata(source).map_or(0, |found| found.len()),
            free: free_bytes(&self.spool).unwrap_or(0),
        }
    }
}

/// Fails early if the copies would fill the spool folder's disk.
pub(super) fn check_space(spool: &Path, needed: u64) -> Result<(), Error> {
    let free = free_bytes(spool).map_err(Error::spool(spool))?;
    if free < needed {
        return Err(Error::NoSpace { spool: spool.to_path_buf(), needed, free });
    }
    Ok(())
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Removes the folders that killed runs left.
pub(super) fn remove_leftovers(spool: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(spool).map_err(Error::spool(spool))? {
        let entry = entry.map_err(Error::spool(spool))?;
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            fs::remove_dir_all(entry.path()).map_err(Error::spool(&entry.path()))?;
        }
    }
    Ok(())
}

/// Checks a file in rollback mode that has no file beside it. It is opened for reading only.
pub(super) fn check_file(file: &Path) -> Vec<String> {
    let mode = mode_bytes(file);
    if let Ok(Some(mode)) = mode
        && mode != [1, 1]
    {
        return vec!["it is not in rollback mode".into()];
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match mode.map(|_| Connection::open_with_flags(file, flags)) {
        Ok(Ok(connection)) => integrity(&connection),
        Ok(Err(error)) => vec![error.to_string()],
        Err(error) => vec![error.to_string()],
    }
}

/// The header's versions for writing and reading: 1 is rollback mode, 2 is a write-ahead log. An
/// empty file has none.
fn mode_bytes(file: &Path) -> io::Result<Option<[u8; 2]>> {
    let mut header = Vec::new();
    File::open(file)?.take(20).read_to_end(&mut header)?;
    Ok(header.last_chunk().copied().filter(|_| header.len() == 20))
}

/// What SQLite finds wrong, line by line. If SQLite cannot check the file at all, that is a line
/// too.
fn integrity(connection: &Connection) -> Vec<String> {
    let mut complaints = Vec::new();
    if let Err(error) = check(connection, &mut complaints) {
        complaints.push(error.to_string());
    }
    complaints.truncate(COMPLAINTS);
    complaints
}

/// Runs the check. A row of its answer may hold many lines under a heading.
fn check(connection: &Connection, complaints: &mut Vec<String>) -> Result<(), rusqlite::Error> {
    let mut check = connection.prepare(&format!("PRAGMA integrity_check({COMPLAINTS})"))?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let text = row.get_ref(0)?.as_bytes().unwrap_or(b"(no text)");
        let lines = String::from_utf8_lossy(text);
        let lines = lines.lines().filter(|line| *line != "ok" && !line.starts_with("***"));
        complaints.extend(lines.map(|line| line.chars().take(COMPLAINT_CHARS).collect::<String>()));
    }
    Ok(())
}

fn hash(file: &Path) -> io::Result<(u64, Sha256)> {
    let mut reader = File::open(file)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut len = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok((len, Sha256::new(hasher.finalize().into()))),
            count => {
                hasher.update(&buffer[..count]);
                len += count as u64;
            }
        }
    }
}
