//! Errors of database servers. A case has a kind of its own if a caller or a user acts differently.

use std::fmt;
use std::time::Duration;

use super::unreadable::UnreadableInDatabase;

/// The hint if a server refuses a login. A caller that took the account from elsewhere gives a hint
/// of its own.
pub const LOGIN_REFUSED: &str = "the account and password of Seafile's configuration are refused from this host: \
                                 see --database-user and --database-password-file; servers and accounts that take no \
                                 connection without TLS can say the same: see --database-ca-file";

/// An error about a server: it could not be asked, or no dump can be made of its answer.
#[derive(Debug, thiserror::Error)]
#[error("{server}: {what}")]
pub struct Error {
    /// The server, as messages name it.
    server: String,
    what: String,
    /// The message of the server or the driver, if one of them reported the error.
    said: String,
    kind: MySqlErrorKind,
    /// The server's error number.
    code: Option<u16>,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MySqlErrorKind {
    /// Nobody answers there.
    Unreachable,
    /// The login is refused.
    Login,
    /// There is no such database.
    NoDatabase,
    /// The account may not do what is needed. Holds the statement that would allow it.
    Denied(String),
    /// A table was altered or removed before it was read. The dump has to begin anew.
    Changed,
    /// Somebody else holds a lock.
    Locked,
    /// The connection ended: the server was stopped, or the line broke.
    Lost,
    /// Something cannot be dumped whole.
    Unsupported,
    /// One table cannot be read to its end. The dump has to begin anew without it.
    Unreadable(Box<UnreadableInDatabase>),
    /// The server takes no connection without TLS.
    NeedsTls,
    /// Anything else.
    Other,
}

impl Error {
    pub(super) fn new(
        server: impl fmt::Display,
        kind: MySqlErrorKind,
        what: impl Into<String>,
    ) -> Self {
        Self {
            server: server.to_string(),
            what: what.into(),
            said: String::new(),
            kind,
            code: None,
        }
    }

    /// Makes an error of the driver into one of ours. `doing` says what was being done.
    pub(super) fn of(server: impl fmt::Display, doing: &str, source: &mysql_async::Error) -> Self {
        // Each layer of the driver repeats the message of the one below it, so the innermost is
        // enough.
        let mut innermost: &dyn std::error::Error = source;
        while let Some(below) = innermost.source() {
            innermost = below;
        }
        Self {
            server: server.to_string(),
            what: format!("{doing}: {innermost}"),
            said: innermost.to_string(),
            kind: kind_of(source),
            code: match source {
                mysql_async::Error::Server(said) => Some(said.code),
                _ => None,
            },
        }
    }

    /// The error for a dump that would lack something.
    pub fn incomplete(server: &super::server::MySqlServer, lacking: &str) -> Self {
        Self::new(server, MySqlErrorKind::Unsupported, lacking)
    }

    pub(super) fn silent(server: impl fmt::Display, doing: &str, time: Duration) -> Self {
        let what = format!("{doing}: nothing came for {} seconds", time.as_secs());
        Self::new(server, MySqlErrorKind::Lost, what)
    }

    pub(super) fn with_kind(mut self, kind: MySqlErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The server's error number (`mysqld_error.h`), if the server reported the error.
    pub(super) fn code(&self) -> Option<u16> {
        self.code
    }

    /// What the server said.
    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// Why.
    pub fn kind(&self) -> &MySqlErrorKind {
        &self.kind
    }

    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        let text = match &self.kind {
            MySqlErrorKind::Unreachable => {
                "does the server run, and can this host reach it? A name that only docker's network knows \
                 needs a published port or the socket on the host: see --database-host and --database-socket"
            }
            MySqlErrorKind::Login => LOGIN_REFUSED,
            MySqlErrorKind::Denied(grant) => {
                return Some(format!("let an administrator run: {grant}"));
            }
            MySqlErrorKind::Locked => {
                "somebody holds a lock on a table (ALTER, LOCK TABLES, a long transaction): \
                 SHOW PROCESSLIST names who; run again when it is over"
            }
            MySqlErrorKind::Changed => "a table was altered while it was dumped: run again",
            MySqlErrorKind::Lost => "look into the server's log, and run again: nothing was lost",
            MySqlErrorKind::NeedsTls => {
                "the server refuses connections without TLS: name the certificates that it is to be checked by \
                 with --database-ca-file"
            }
            MySqlErrorKind::NoDatabase
            | MySqlErrorKind::Unsupported
            | MySqlErrorKind::Unreadable(_)
            | MySqlErrorKind::Other => return None,
        };
        Some(text.to_owned())
    }
}

/// Sorts errors by the servers' numbers (`mysqld_error.h`).
fn kind_of(error: &mysql_async::Error) -> MySqlErrorKind {
    use mysql_async::{DriverError, Error as Driver, IoError};
    match error {
        Driver::Server(server) => match server.code {
            // `require_secure_transport`. Not all versions of MariaDB say so: 10.11 says 1045.
            3159 => MySqlErrorKind::NeedsTls,
            _ if server.message.contains("insecure transport") => MySqlErrorKind::NeedsTls,
            // The account, or the host that it comes from.
            1045 | 1130 | 1131 | 1698 | 1862 | 3118 | 3948 | 4151 => MySqlErrorKind::Login,
            1049 => MySqlErrorKind::NoDatabase,
            1044 | 1142 | 1143 | 1227 | 1370 => MySqlErrorKind::Denied(
                "GRANT … (the message says which privilege is missing)".into(),
            ),
            // A definition that changed; a table or view that is gone.
            1412 | 1146 | 1684 => MySqlErrorKind::Changed,
            1205 | 1213 => MySqlErrorKind::Locked,
            // The server shut down, or the connection was killed or aborted.
            1053 | 1077 | 1078 | 1079 | 1080 | 1152 | 1158 | 1159 | 1160 | 1161 | 1184 | 1317
            | 1927 | 3169 => MySqlErrorKind::Lost,
            1040 | 1203 => MySqlErrorKind::Unreachable,
            _ => MySqlErrorKind::Other,
        },
        Driver::Io(IoError::Io(_)) | Driver::Driver(DriverError::ConnectionClosed) => {
            MySqlErrorKind::Lost
        }
        _ => MySqlErrorKind::Other,
    }
}
