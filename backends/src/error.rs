//! What can go wrong with a destination, told apart only where a caller acts differently.

use std::fmt;

use crate::Key;

/// Result of an operation on a destination.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was. Only the kind decides about a retry, never the text of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such key.
    NotFound,
    /// The key is taken; its bytes are untouched.
    AlreadyExists,
    /// The range does not lie inside the stored thing.
    OutOfRange,
    /// The destination does not let us.
    PermissionDenied,
    /// The destination is full, or a quota is used up.
    NoSpace,
    /// The effect is unknown, and the same call may succeed if made again.
    Transient,
    /// The request cannot be right: a bad URL, a folder that is a file.
    Invalid,
    /// Anything else.
    Other,
}

/// A failed operation on a destination.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    key: Option<Key>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind, not yet about a key.
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind, key: None, hint: None, source: None }
    }

    /// Says which key it is about.
    #[must_use]
    pub fn with_key(mut self, key: &Key) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Says what caused it.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to do next, where this layer knows.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The key that it is about.
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }
}

impl From<std::io::Error> for Error {
    /// Maps an error of the operating system. Errors that a network file system may give for a
    /// moment (interrupted, timed out, stale handle) are transient.
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::AlreadyExists => ErrorKind::AlreadyExists,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
            Io::StorageFull | Io::QuotaExceeded => ErrorKind::NoSpace,
            Io::Interrupted
            | Io::TimedOut
            | Io::WouldBlock
            | Io::StaleNetworkFileHandle
            | Io::HostUnreachable
            | Io::NetworkUnreachable
            | Io::NetworkDown
            | Io::NotConnected
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::ConnectionRefused
            | Io::BrokenPipe => ErrorKind::Transient,
            Io::NotADirectory | Io::InvalidInput | Io::InvalidFilename | Io::IsADirectory => {
                ErrorKind::Invalid
            }
            _ => ErrorKind::Other,
        };
        Self::new(kind).with_source(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.kind {
            ErrorKind::NotFound => "not there",
            ErrorKind::AlreadyExists => "already there",
            ErrorKind::OutOfRange => "the range lies outside of what is stored",
            ErrorKind::PermissionDenied => "permission denied by the destination",
            ErrorKind::NoSpace => "no space left at the destination",
            ErrorKind::Transient => "the destination did not answer as it should, for now",
            ErrorKind::Invalid => "the destination cannot be used like this",
            ErrorKind::Other => "the destination failed",
        };
        match &self.key {
            Some(key) => write!(f, "{key}: {text}"),
            None => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use super::*;

    #[test]
    fn errors_of_the_operating_system_have_their_kinds() {
        for (number, kind) in [
            (2, ErrorKind::NotFound),
            (17, ErrorKind::AlreadyExists),
            (13, ErrorKind::PermissionDenied),
            (1, ErrorKind::PermissionDenied),
            (30, ErrorKind::PermissionDenied),
            (28, ErrorKind::NoSpace),
            (122, ErrorKind::NoSpace),
            (116, ErrorKind::Transient),
            (110, ErrorKind::Transient),
            (20, ErrorKind::Invalid),
            (36, ErrorKind::Invalid),
            (5, ErrorKind::Other),
        ] {
            let error = Error::from(io::Error::from_raw_os_error(number));
            assert_eq!(error.kind(), kind, "error number {number}");
        }
    }

    #[test]
    fn an_error_names_its_key_and_keeps_its_source() {
        let key = Key::parse("markers/x").unwrap();
        let error = Error::from(io::Error::from_raw_os_error(28)).with_key(&key);
        assert_eq!(error.to_string(), "markers/x: no space left at the destination");
        assert!(error.source().unwrap().to_string().contains("No space"));
        assert_eq!(error.key(), Some(&key));
    }
}
