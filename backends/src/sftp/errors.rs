//! What a server's answer means for a caller.

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::StatusCode;

use crate::{Error, ErrorKind};

/// How a request failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// The server refused it; the text is its own.
    Refused(StatusCode, String),
    /// Nobody knows: the connection or the channel ended, or what came makes no sense.
    Lost(String),
}

impl From<SftpError> for Failed {
    fn from(error: SftpError) -> Self {
        match error {
            SftpError::Status(status) => match status.status_code {
                StatusCode::NoConnection | StatusCode::ConnectionLost => {
                    Self::Lost(status.error_message)
                }
                code => Self::Refused(code, shown(&status.error_message)),
            },
            error => Self::Lost(error.to_string()),
        }
    }
}

impl Failed {
    /// Whether the server says that nothing is there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused(StatusCode::NoSuchFile, _))
    }

    /// As an error of this layer, about what was being done. OpenSSH says `Failure` about nearly
    /// everything, so who can find out more does so before.
    pub(super) fn into_error(self, doing: &str) -> Error {
        match self {
            Self::Refused(code, text) => {
                let kind = match code {
                    StatusCode::NoSuchFile => ErrorKind::NotFound,
                    StatusCode::PermissionDenied => ErrorKind::PermissionDenied,
                    _ => ErrorKind::Other,
                };
                let said = format!("{doing}: the server says {text:?} ({code})");
                Error::new(kind).with_source(said)
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
            assert!(
                source.contains("doing") && source.contains("text"),
                "{source}"
            );
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
