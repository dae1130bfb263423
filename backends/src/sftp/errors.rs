//! What a server's answer means for a caller.

use std::fmt;

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::StatusCode;

use super::packets;
use crate::{Error, ErrorKind};

/// The number of a status: of version 3 of the protocol up to 8, of its later drafts beyond
/// (draft-ietf-secsh-filexfer-13, section 9.1). Servers that speak version 3 send those too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(pub(super) u32);

impl Code {
    #[cfg(test)]
    pub(super) const OK: Self = Self(0);
    pub(super) const EOF: Self = Self(1);
    const NO_SUCH_FILE: Self = Self(2);
    const PERMISSION_DENIED: Self = Self(3);
    pub(super) const FAILURE: Self = Self(4);
    pub(super) const UNSUPPORTED: Self = Self(8);
    const NO_SUCH_PATH: Self = Self(10);
    pub(super) const EXISTS: Self = Self(11);
    const WRITE_PROTECTED: Self = Self(12);
    const NO_MEDIUM: Self = Self(13);
    const NO_SPACE: Self = Self(14);
    const QUOTA_EXCEEDED: Self = Self(15);
    const NO_FOLDER: Self = Self(19);
    const CANNOT_DELETE: Self = Self(22);

    /// Whether the medium itself is in the way: protected, absent, full, over a quota, or corrupt (28).
    pub(super) fn is_of_the_medium(self) -> bool {
        matches!(self.0, 12..=15 | 28)
    }

    /// Whether the server does not let this user do it.
    pub(super) fn is_denied(self) -> bool {
        matches!(self, Self::PERMISSION_DENIED | Self::WRITE_PROTECTED | Self::CANNOT_DELETE)
    }

    fn name(self) -> &'static str {
        const NAMES: [&str; 32] = [
            "ok",
            "end of file",
            "no such file",
            "permission denied",
            "failure",
            "bad message",
            "no connection",
            "connection lost",
            "operation unsupported",
            "invalid handle",
            "no such path",
            "file already exists",
            "write-protected",
            "no medium",
            "no space left",
            "quota exceeded",
            "unknown principal",
            "lock conflict",
            "folder not empty",
            "not a folder",
            "invalid name",
            "link loop",
            "cannot delete",
            "invalid parameter",
            "file is a folder",
            "range locked",
            "range lock refused",
            "delete pending",
            "file corrupt",
            "invalid owner",
            "invalid group",
            "no such range lock",
        ];
        let number = usize::try_from(self.0).unwrap_or(usize::MAX);
        NAMES.get(number).copied().unwrap_or("no known status")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.name())
    }
}

/// How a request failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// The server refused it; the text is its own.
    Refused(Code, String),
    /// Nobody knows: the connection or the channel ended, or what came makes no sense.
    Lost(String),
}

impl From<SftpError> for Failed {
    fn from(error: SftpError) -> Self {
        match error {
            SftpError::Status(status) => {
                let known = status.status_code as u32;
                let told = packets::number_and_text(&status.error_message);
                let (number, text) = told.unwrap_or((known, &status.error_message));
                match status.status_code {
                    StatusCode::NoConnection | StatusCode::ConnectionLost => {
                        Self::Lost(shown(text))
                    }
                    _ => Self::Refused(Code(number), shown(text)),
                }
            }
            error => Self::Lost(error.to_string()),
        }
    }
}

impl Failed {
    /// Whether the server says that nothing is there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused(Code::NO_SUCH_FILE | Code::NO_SUCH_PATH | Code::NO_FOLDER, _))
    }

    /// As an error of this layer, about what was being done. OpenSSH says `Failure` about nearly
    /// everything, so who can find out more does so before.
    pub(super) fn into_error(self, doing: &str) -> Error {
        match self {
            Self::Refused(code, text) => {
                let kind = match code {
                    Code::NO_SUCH_FILE | Code::NO_SUCH_PATH => ErrorKind::NotFound,
                    Code::NO_SPACE | Code::QUOTA_EXCEEDED => ErrorKind::NoSpace,
                    code if code.is_denied() => ErrorKind::PermissionDenied,
                    // EXISTS is no `AlreadyExists`: whether a key is there is looked up by who asked.
                    _ => ErrorKind::Other,
                };
                let said = format!("{doing}: the server says {text:?} ({code})");
                let error = Error::new(kind).with_source(said);
                match code {
                    Code::WRITE_PROTECTED => error
                        .with_hint("is the server's disk write-protected, or mounted read-only?"),
                    Code::NO_MEDIUM => {
                        error.with_hint("is the disk attached and mounted at the server?")
                    }
                    Code::QUOTA_EXCEEDED => {
                        error.with_hint("the quota of this user is used up at the server")
                    }
                    _ => error,
                }
            }
            Self::Lost(text) => lost(&format!("{doing}: {text}")),
        }
    }
}

/// The effect is unknown.
pub(super) fn lost(text: &str) -> Error {
    Error::new(ErrorKind::Transient).with_source(text.to_owned())
}

/// The same error with another text.
pub(super) fn retold(error: &Error, retell: impl FnOnce(&str) -> String) -> Error {
    use std::error::Error as _;
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    let told = Error::new(error.kind()).with_source(retell(&source));
    match error.hint() {
        Some(hint) => told.with_hint(hint),
        None => told,
    }
}

/// What a server says, as a message may show it.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let is_shown = |letter: &char| !letter.is_control();
    text.chars().filter(is_shown).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use russh_sftp::protocol::Status;

    use super::*;

    fn refused(code: StatusCode, text: &str) -> Failed {
        Failed::from(SftpError::Status(Status {
            id: 1,
            status_code: code,
            error_message: text.to_owned(),
            language_tag: String::new(),
        }))
    }

    #[test]
    fn numbers_of_later_drafts_are_answers() {
        for number in 9..=40 {
            let kind = match number {
                10 => ErrorKind::NotFound,
                12 | 22 => ErrorKind::PermissionDenied,
                14 | 15 => ErrorKind::NoSpace,
                _ => ErrorKind::Other,
            };
            let error = refused(StatusCode::Failure, &format!("{number} its text"));
            let error = error.into_error("doing");
            assert_eq!(error.kind(), kind, "{number}");
            let source = error.source().unwrap().to_string();
            assert!(
                source.contains(&format!("{number}: ")) && source.contains("\"its text\""),
                "{source}"
            );
        }
        assert!(refused(StatusCode::Failure, "10 x").is_absent());
    }

    #[test]
    fn answers_have_their_kinds() {
        for (code, kind) in [
            (StatusCode::NoSuchFile, ErrorKind::NotFound),
            (StatusCode::PermissionDenied, ErrorKind::PermissionDenied),
            (StatusCode::Failure, ErrorKind::Other),
            (StatusCode::BadMessage, ErrorKind::Other),
            (StatusCode::OpUnsupported, ErrorKind::Other),
            (StatusCode::NoConnection, ErrorKind::Transient),
            (StatusCode::ConnectionLost, ErrorKind::Transient),
        ] {
            let error = refused(code, "text").into_error("doing");
            assert_eq!(error.kind(), kind, "{code:?}");
            let source = error.source().unwrap().to_string();
            assert!(source.contains("doing") && source.contains("text"), "{source}");
        }
        for error in [SftpError::Timeout, SftpError::UnexpectedPacket] {
            let error = Failed::from(error).into_error("doing");
            assert_eq!(error.kind(), ErrorKind::Transient);
        }
    }

    #[test]
    fn a_server_cannot_write_into_the_terminal() {
        let long = format!("\x1b[2J\n{}", "x".repeat(10_000));
        let error = refused(StatusCode::Failure, &long).into_error("doing");
        let source = error.source().unwrap().to_string();
        assert!(!source.contains('\x1b') && source.len() < 400, "{source}");
    }
}
