//! SQLite databases among ordinary files: at places that Seafile does not have, such as the `/shared/sqlite` of some
//! docker images, or of programs beside it. Plain bytes of one that is written to would be a mixture of moments.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::database::{self, SqliteCopy, SqliteSource};

/// How each database begins, but an empty one.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What SQLite appends to the name of a database for the files beside it.
pub(super) const BESIDE: [&str; 3] = ["-journal", "-wal", INDEX];
/// The index of a write-ahead log. Readers write to it too, so its times say nothing.
pub(super) const INDEX: &str = "-shm";

/// Whether an open file begins like a database. One that cannot be read is met again by whoever reads it.
pub(super) fn begins_like_one(file: &File) -> bool {
    let mut begin = [0; MAGIC.len()];
    file.read_exact_at(&mut begin, 0).is_ok() && begin == *MAGIC
}

/// The path of a file beside a database.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(suffix);
    name.into()
}

/// The path of the database that a log's index would belong to.
pub(super) fn indexed_by(path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?.strip_suffix(INDEX)?;
    Some(PathBuf::from(name))
}

/// Copies a database into a folder of its own in `spool`.
pub(super) fn copy(file: &Path, spool: &Path) -> Result<SqliteCopy, database::Error> {
    let source = SqliteSource { role: file.display().to_string(), path: file.to_owned() };
    let mut copies = database::copy_all(&[source], spool)?;
    copies.pop().ok_or_else(|| database::Error::NotADatabase { file: file.to_owned() })
}

/// Whether this says that the file is no database, whatever its first bytes are.
pub(super) fn is_none(error: &database::Error) -> bool {
    use database::Error;
    matches!(error, Error::NotADatabase { .. } | Error::Malformed { .. } | Error::Sqlite { .. })
}
