//! Logging in: keys of the agent, key files, a password, in this order, as OpenSSH does. The agent
//! signs here; it is never forwarded.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use russh::MethodKind;
use russh::client::{AuthResult, Handle};

use super::connection::{SeenMachine, Watcher};
use super::errors::lost;
use super::route::Hop;
use crate::{Error, ErrorKind, Result};

mod identity;
mod keys;
mod password;
mod secrets;

pub(super) use self::secrets::Secrets;

/// How long an answer may take; a server that asks another one can be slow.
const ANSWER: Duration = Duration::from_mins(1);
/// Servers hang up after about so many keys (`MaxAuthTries`).
const MANY: usize = 5;

/// One attempt to log in.
struct Attempt<'a> {
    handle: &'a mut Handle<Watcher>,
    hop: &'a Hop,
    secrets: &'a Secrets,
    seen: &'a Mutex<SeenMachine>,
    /// What the server takes, as far as it said.
    methods: Vec<MethodKind>,
    /// What was tried, for the message.
    tried: Vec<String>,
    /// Why something could not be tried.
    troubles: Vec<String>,
}

/// Logs in to a machine.
///
/// Errors: `PermissionDenied`, `Invalid` for a key file that a person named and that cannot be used,
/// `Transient`.
pub(super) async fn log_in(
    handle: &mut Handle<Watcher>,
    hop: &Hop,
    secrets: &Secrets,
    seen: &Mutex<SeenMachine>,
) -> Result<()> {
    let mut attempt = Attempt {
        handle,
        hop,
        secrets,
        seen,
        methods: Vec::new(),
        tried: Vec::new(),
        troubles: Vec::new(),
    };
    if attempt.run().await? { Ok(()) } else { Err(attempt.refusal()) }
}

impl Attempt<'_> {
    async fn run(&mut self) -> Result<bool> {
        let asked = self.handle.authenticate_none(self.hop.user.as_str());
        let asked = answer(asked).await?;
        if self.judge(&asked)? {
            return Ok(true);
        }
        if self.takes(MethodKind::PublicKey) && self.by_keys().await? {
            return Ok(true);
        }
        if self.takes(MethodKind::Password) {
            return self.by_password().await;
        }
        if self.takes(MethodKind::KeyboardInteractive) {
            return self.by_questions().await;
        }
        Ok(false)
    }

    fn takes(&self, method: MethodKind) -> bool {
        self.methods.contains(&method)
    }

    /// Whether one is in; otherwise what the server takes now.
    fn judge(&mut self, result: &AuthResult) -> Result<bool> {
        match result {
            AuthResult::Success => Ok(true),
            AuthResult::Failure { remaining_methods, .. } => {
                if self.handle.is_closed() {
                    return Err(self.hung_up());
                }
                self.methods = remaining_methods.to_vec();
                Ok(false)
            }
        }
    }

    /// The connection ended: the server hangs up, and says so, when too much was tried; otherwise the
    /// line broke.
    fn hung_up(&self) -> Error {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = self.tried.len();
        if tried >= MANY || (tried > 0 && seen.hung_up()) {
            self.refusal()
        } else {
            lost("the connection was closed at the login")
        }
    }

    fn trouble(&mut self, about: &str, error: &Error) {
        use std::error::Error as _;
        let source = error.source().map(ToString::to_string);
        let why = source.unwrap_or_default();
        self.troubles.push(format!("{about}: {why}"));
    }

    /// Says what was tried, what the server takes, and what to do next.
    fn refusal(&self) -> Error {
        let tried = if self.tried.is_empty() {
            "nothing could be tried".to_owned()
        } else {
            format!("tried: {}", self.tried.join("; "))
        };
        let methods: Vec<&str> = self.methods.iter().map(Into::into).collect();
        let takes = if methods.is_empty() {
            String::new()
        } else {
            format!("; the server takes: {}", methods.join(", "))
        };
        let tried = [tried].iter().chain(&self.troubles).cloned().collect::<Vec<_>>();
        let text = format!("the login is refused ({}{takes})", tried.join("; "));
        let hint = if self.tried.len() >= MANY {
            "servers hang up after a few keys: name the one key file, and set IdentitiesOnly yes in ~/.ssh/config"
        } else if self.tried.iter().any(|tried| tried.contains("password")) {
            "is the password right, and the user's name?"
        } else if self.takes(MethodKind::Password) || self.takes(MethodKind::KeyboardInteractive) {
            "name a key file whose public half is in ~/.ssh/authorized_keys there, start an agent that has it, or give the password in a file or a variable"
        } else {
            "name a key file whose public half is in ~/.ssh/authorized_keys there, or start an agent that has it"
        };
        Error::new(ErrorKind::PermissionDenied).with_source(text).with_hint(hint)
    }
}

/// Waits for an answer at the login.
async fn answer<T, E: fmt::Display>(
    asking: impl Future<Output = std::result::Result<T, E>>,
) -> Result<T> {
    match tokio::time::timeout(ANSWER, asking).await {
        Ok(Ok(answered)) => Ok(answered),
        Ok(Err(error)) => Err(lost(&format!("at the login: {error}"))),
        Err(_) => Err(lost("the server did not answer at the login")),
    }
}
