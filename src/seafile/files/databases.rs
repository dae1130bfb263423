//! SQLite databases among ordinary files: at unusual places, such as the `/shared/sqlite` of some
//! docker images, or databases of other programs. If a database is written to during a plain copy,
//! the copy mixes bytes of different moments.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::database::{self, SqliteCopy, SqliteSource};

/// The first bytes of each database that is not empty.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The suffixes that SQLite adds to a database's name for the files beside it.
pub(super) const BESIDE: [&str; 3] = ["-journal", "-wal", INDEX];
/// The suffix of the index of a write-ahead log. Readers write to the index too, so its times say
/// nothing.
pub(super) const INDEX: &str = "-shm";

/// Whether an open file begins like a database. If it cannot be read, the answer is no, and the
/// next read gives the error.
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

/// The path of the database to which an index of a log would belong.
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

/// Whether an error says that the file is no database, although its first bytes are those of one.
pub(super) fn is_none(error: &database::Error) -> bool {
    use database::Error;
    matches!(error, Error::NotADatabase { .. } | Error::Malformed { .. } | Error::Sqlite { .. })
}
