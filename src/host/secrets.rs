//! Secrets that the administrator gives in a file or in a variable.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use age::secrecy::SecretString;
use seawall_backends::Exposure;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Error, Result, Tell, Warning};

/// No password or passphrase file is longer.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Reads a secret: the first line of a file. `variable` could hold it instead; it is named in errors.
///
/// # Errors
///
/// [`Error::SecretOpenToOthers`] if other users can read the file, as ssh refuses it too;
/// [`Error::UnreadableSecret`] and [`Error::EmptySecret`].
pub fn first_line(path: &Path, variable: &'static str, tell: Tell<'_>) -> Result<SecretString> {
    let mut exposure = Exposure::Private;
    let mut read = || {
        let mut text = String::new();
        let file = File::open(path)?;
        exposure = Exposure::of(path, &file.metadata()?);
        file.take(MAX_SECRET_BYTES).read_to_string(&mut text)?;
        let line = text.lines().next().unwrap_or_default().to_owned();
        text.zeroize();
        io::Result::Ok(line)
    };
    let line = read().map_err(|source| Error::UnreadableSecret {
        path: path.to_owned(),
        variable,
        source,
    })?;
    must_be_private(path, exposure, tell)?;
    if line.is_empty() {
        return Err(Error::EmptySecret { path: path.to_owned() });
    }
    Ok(line.into())
}

/// Refuses a file with a secret that others can read too, as ssh does. Tells of one that only its owner can
/// close.
pub(super) fn must_be_private(path: &Path, exposure: Exposure, tell: Tell<'_>) -> Result<()> {
    let mode = || path.metadata().map_or(0, |metadata| metadata.mode() & 0o7777);
    match exposure {
        Exposure::Private => Ok(()),
        Exposure::Open => Err(Error::SecretOpenToOthers { path: path.to_owned(), mode: mode() }),
        Exposure::OpenByItsOwner => {
            tell(Warning::SecretOpenToOthers { path: path.to_owned(), mode: mode() });
            Ok(())
        }
    }
}

/// Reads a file that may hold secrets, up to a limit.
pub(super) fn read(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>> {
    let read = || {
        let mut bytes = Zeroizing::new(Vec::new());
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    read().map_err(|source| Error::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a file of a test")]
    fn secrets_come_from_the_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2 \r\nmore").unwrap();
        let set_mode = |mode| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&path, mode).unwrap();
        };
        let read = |path: &Path| first_line(path, "SECRET", &|_| {});
        for mode in [0o644, 0o640, 0o666, 0o604] {
            set_mode(mode);
            let refused = read(&path).unwrap_err();
            assert!(refused.to_string().contains(&format!("mode {mode:04o}")));
            assert!(refused.hint().unwrap().starts_with("chmod 600 "));
        }
        set_mode(0o600);
        assert_eq!(read(&path).unwrap().expose_secret(), "hunter2 ");
        std::fs::write(&path, "\nx").unwrap();
        assert!(matches!(read(&path), Err(Error::EmptySecret { .. })));
        let none = read(&folder.path().join("none")).unwrap_err();
        assert!(none.hint().unwrap().contains("or set SECRET"));
    }
}
