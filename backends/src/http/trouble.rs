//! Why an HTTP request got no answer, and the [`Error`] that this becomes.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::{Error, ErrorKind};

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) struct HttpTrouble {
    /// The server's name, and its port where that was given.
    pub(super) host: String,
    pub(super) what: HttpTroubleKind,
}

#[derive(Debug)]
pub(super) enum HttpTroubleKind {
    /// No byte moved for this time.
    Stalled(Duration),
    /// The server's certificate is not believed.
    Certificate(String),
    /// There is a connection, but no encrypted one.
    Tls(String),
    /// There is no connection.
    Connect(String),
    /// Anything else failed: the connection broke, or the request could not be built.
    Line(String),
    /// The answer has more bytes than this.
    TooLong(u64),
}

impl HttpTroubleKind {
    /// Takes the innermost text: reqwest's own texts show the URL and hide what happened.
    pub(super) fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let text = innermost(&error).to_string();
        if !error.is_connect() {
            return Self::Line(text);
        }
        match find(&error) {
            Some(rustls::Error::InvalidCertificate(why)) => Self::Certificate(why.to_string()),
            Some(_) => Self::Tls(text),
            None => Self::Connect(text),
        }
    }
}

impl HttpTrouble {
    /// What it means, and what to do about it.
    pub(crate) fn explained(&self) -> Error {
        let (kind, hint) = match self.what {
            HttpTroubleKind::Stalled(_) | HttpTroubleKind::Line(_) => (ErrorKind::Transient, None),
            HttpTroubleKind::Connect(_) => (
                ErrorKind::Transient,
                Some(
                    "is the name right, and does a server listen there? Then run the same again: nothing that was stored is lost",
                ),
            ),
            HttpTroubleKind::Certificate(_) => (
                ErrorKind::Invalid,
                Some("if it is right, give the authority's certificate with --ca-file FILE"),
            ),
            HttpTroubleKind::Tls(_) => {
                (ErrorKind::Invalid, Some("check host and port: is it HTTPS that is spoken there?"))
            }
            HttpTroubleKind::TooLong(_) => (ErrorKind::Other, None),
        };
        let error = Error::new(kind).with_source(self.to_string());
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl fmt::Display for HttpTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.host)?;
        match &self.what {
            HttpTroubleKind::Stalled(time) => {
                write!(f, "nothing moved for {} seconds", time.as_secs())
            }
            HttpTroubleKind::Certificate(why) => write!(f, "the certificate is not trusted: {why}"),
            HttpTroubleKind::Tls(text) => write!(f, "no encryption: {text}"),
            HttpTroubleKind::Connect(text) => write!(f, "no connection: {text}"),
            HttpTroubleKind::Line(text) => f.write_str(text),
            HttpTroubleKind::TooLong(most) => write!(f, "the answer is longer than {most} bytes"),
        }
    }
}

impl StdError for HttpTrouble {}

/// The first error of a type among an error and its causes, those inside of I/O errors too.
pub(crate) fn find<'e, T: StdError + 'static>(
    error: &'e (dyn StdError + 'static),
) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    None
}

/// The last cause.
pub(crate) fn innermost<'e>(error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
