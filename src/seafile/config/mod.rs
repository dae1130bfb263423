//! Reads Seafile's configuration files as text: INI files, `.env`, compose files and the literals
//! of `seahub_settings.py`. Nothing is executed, and no other file is opened.
//! [`discover`](super::discover) decides what the settings mean.
//!
//! These files hold passwords, so types that keep their values do not show them in `Debug`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

pub mod compose;
pub mod dotenv;
pub mod ini;
pub mod python;
pub mod template;
pub mod yaml;

/// The longest configuration file that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// A password: `Debug` and `Display` do not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabasePassword(String);

impl DatabasePassword {
    /// Wraps a text that must stay secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it. Never put it into a message.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabasePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl fmt::Display for DatabasePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why a configuration file has no text.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be opened or read.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// It is longer than [`MAX_BYTES`].
    #[error("is longer than {MAX_BYTES} bytes: this is no configuration file")]
    TooLong,
}

/// Reads a whole configuration file; `None` if there is none. Removes a byte order mark. Bytes that
/// are not UTF-8 become U+FFFD.
pub fn read_text(path: &Path) -> Result<Option<String>, ReadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ReadError::TooLong);
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(without_byte_order_mark(&text).to_owned()))
}

/// Whether an error says that nothing is at a path. Other errors only say that the path cannot be
/// looked at.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Removes a byte order mark. Windows editors write one.
fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests need no durable files")]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let secret = DatabasePassword::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "(secret) (secret)");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn files_are_bounded_and_may_be_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seafile.conf");
        assert!(read_text(&path).unwrap().is_none());
        assert!(read_text(&path.join("below")).unwrap().is_none());
        std::fs::write(&path, "\u{feff}[a]\n").unwrap();
        assert!(read_text(&path.join("below")).unwrap().is_none());
        assert_eq!(read_text(&path).unwrap().unwrap(), "[a]\n");
        std::fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        assert!(read_text(&path).is_ok());
        std::fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(matches!(read_text(&path), Err(ReadError::TooLong)));
        assert!(matches!(read_text(folder.path()), Err(ReadError::Io(_))));
    }

    #[test]
    fn other_encodings_do_not_stop_the_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seafile.conf");
        std::fs::write(&path, b"[a]\nname = B\xfcro\n").unwrap();
        assert_eq!(read_text(&path).unwrap().unwrap(), "[a]\nname = B\u{fffd}ro\n");
    }
}
