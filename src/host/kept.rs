//! Small files of the state folder that hold one value as text each: trusted keys, recipients, accepted damage.
//! They are replaced whole, durably and atomically, and only their owner can read them.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Error, Result};

/// A value that a small file holds.
pub(super) trait Keepable: Sized {
    /// Reads the file's text. The error is what is wrong with it.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text of the file.
    fn to_text(&self) -> Result<Zeroizing<String>, String>;
}

/// A small file with a value of this kind. The file need not exist.
#[derive(Debug)]
pub(super) struct Kept<T> {
    path: PathBuf,
    value: PhantomData<fn() -> T>,
}

impl<T: Keepable> Kept<T> {
    /// The file of this name in a folder.
    pub(super) fn at(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(name), value: PhantomData }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The value; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] names a file that cannot be parsed, [`Error::State`] one that cannot be read.
    pub(super) fn read(&self) -> Result<Option<T>> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(&self.path)(source)),
        };
        T::parse(&text).map(Some).map_err(|reason| self.malformed(reason))
    }

    /// Replaces the value.
    pub(super) fn write(&self, value: &T) -> Result<()> {
        let text = value.to_text().map_err(|reason| self.malformed(reason))?;
        replace(&self.path, text.as_bytes())
    }

    /// Writes the first value. Fails if there is a file.
    pub(super) fn write_first(&self, value: &T) -> Result<()> {
        let text = value.to_text().map_err(|reason| self.malformed(reason))?;
        let file = temporary(&self.path, text.as_bytes())?;
        let persisted = file.persist_noclobber(&self.path).map(drop).map_err(|error| error.error);
        persisted.and_then(|()| sync_folder(&self.path)).map_err(failed(&self.path))
    }

    fn malformed(&self, reason: String) -> Error {
        Error::Malformed { path: self.path.clone(), reason }
    }
}

/// Makes a folder and those above it, readable by its owner alone.
pub(super) fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))
}

/// Replaces a file durably and atomically.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = temporary(path, bytes)?;
    let persisted = file.persist(path).map(drop).map_err(|error| error.error);
    persisted.and_then(|()| sync_folder(path)).map_err(failed(path))
}

/// Maps an error of a file or folder.
pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    |source| Error::State { path: path.to_owned(), source }
}

fn temporary(path: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile> {
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder_of(path))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(failed(path))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number, as a line.
    #[derive(Debug, PartialEq)]
    struct Number(u8);

    impl Keepable for Number {
        fn parse(text: &str) -> Result<Self, String> {
            text.trim()
                .parse()
                .map(Self)
                .map_err(|error: std::num::ParseIntError| error.to_string())
        }
        fn to_text(&self) -> Result<Zeroizing<String>, String> {
            Ok(Zeroizing::new(format!("{}\n", self.0)))
        }
    }

    #[test]
    fn a_value_is_absent_then_kept_then_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let kept: Kept<Number> = Kept::at(folder.path(), "number");
        assert_eq!(kept.read().unwrap(), None);
        kept.write_first(&Number(7)).unwrap();
        assert!(matches!(kept.write_first(&Number(8)), Err(Error::State { .. })));
        assert_eq!(kept.read().unwrap(), Some(Number(7)));
        kept.write(&Number(9)).unwrap();
        assert_eq!(kept.read().unwrap(), Some(Number(9)));
    }

    #[test]
    fn a_file_that_cannot_be_parsed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let kept: Kept<Number> = Kept::at(folder.path(), "number");
        replace(kept.path(), b"many\n").unwrap();
        let error = kept.read().unwrap_err();
        assert!(matches!(&error, Error::Malformed { path, .. } if path == kept.path()), "{error}");
        fs::remove_file(kept.path()).unwrap();
        make_folder(kept.path()).unwrap();
        assert!(matches!(kept.read(), Err(Error::State { .. })));
    }
}
