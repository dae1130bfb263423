//! Logging in: keys of the agent, key files, a password, in this order, as OpenSSH does.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::MethodKind;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::UnixStream;

use super::connection::Watcher;
use super::errors::lost;
use super::files;
use super::known_hosts::fingerprint;
use super::route::{Hop, Identity};
use crate::destination::invalid;
use crate::options::Ask;
use crate::{Error, ErrorKind, Options, Result};

/// How long an answer may take; a server that asks another one can be slow.
const ANSWER: Duration = Duration::from_mins(1);
/// How many rounds of questions are answered.
const MAX_ROUNDS: usize = 8;

/// What one logs in with, and what was found out so far, so that nobody is asked twice.
pub(super) struct Secrets {
    password: Option<SecretString>,
    passphrase: Option<SecretString>,
    ask: Arc<Ask>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// Of users at machines.
    passwords: HashMap<String, SecretString>,
    /// Opened key files.
    keys: HashMap<PathBuf, Arc<PrivateKey>>,
    /// The fingerprint of the key that a machine took: it is offered first.
    taken: HashMap<String, String>,
}

impl Secrets {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            password: options.password.clone(),
            passphrase: options.ssh.passphrase.clone(),
            ask: Arc::clone(&options.ask),
            found: Mutex::default(),
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

type Client = AgentClient<UnixStream>;

/// A key that may be offered.
struct Candidate {
    public: PublicKey,
    from: From,
}

enum From {
    Agent,
    /// The file, and the key where it needs no passphrase.
    File(PathBuf, Option<Arc<PrivateKey>>),
}

/// One attempt to log in.
struct Attempt<'a> {
    handle: &'a mut Handle<Watcher>,
    hop: &'a Hop,
    secrets: &'a Secrets,
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
) -> Result<()> {
    let mut attempt = Attempt {
        handle,
        hop,
        secrets,
        methods: Vec::new(),
        tried: Vec::new(),
        troubles: Vec::new(),
    };
    if attempt.run().await? {
        Ok(())
    } else {
        Err(attempt.refusal())
    }
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
            AuthResult::Failure {
                remaining_methods, ..
            } => {
                if self.handle.is_closed() {
                    return Err(self.hung_up());
                }
                self.methods = remaining_methods.to_vec();
                Ok(false)
            }
        }
    }

    /// The server ended the connection: it does so when too much was tried.
    fn hung_up(&self) -> Error {
        if self.tried.is_empty() {
            lost("the server closed the connection at the login")
        } else {
            self.refusal()
        }
    }

    async fn by_keys(&mut self) -> Result<bool> {
        let mut client = self.agent().await;
        let candidates = self.candidates(client.as_mut()).await?;
        for candidate in candidates {
            if !self.takes(MethodKind::PublicKey) {
                break;
            }
            let before = self.methods.clone();
            if self.offer(&candidate, client.as_mut()).await? {
                self.note_taken(&candidate.public);
                return Ok(true);
            }
            // A part of what the server wants: it asks for something else now.
            if self.methods != before {
                self.note_taken(&candidate.public);
                break;
            }
        }
        Ok(false)
    }

    fn note_taken(&self, key: &PublicKey) {
        let mut found = self.secrets.found();
        found.taken.insert(self.hop.shown(), fingerprint(key));
    }

    async fn agent(&mut self) -> Option<Client> {
        let path = self.hop.agent.as_ref()?;
        match answer(AgentClient::connect_uds(path)).await {
            Ok(client) => Some(client),
            Err(error) => {
                self.trouble(&format!("the agent at {}", path.display()), &error);
                None
            }
        }
    }

    fn trouble(&mut self, about: &str, error: &Error) {
        use std::error::Error as _;
        let source = error.source().map(ToString::to_string);
        let why = source.unwrap_or_default();
        self.troubles.push(format!("{about}: {why}"));
    }

    /// The keys to offer: those of the agent that are among the key files, the agent's others, the
    /// key files; first of all the one that worked before.
    async fn candidates(&mut self, client: Option<&mut Client>) -> Result<Vec<Candidate>> {
        let mut of_files = Vec::new();
        for identity in &self.hop.identities {
            match read_identity(identity) {
                Ok(Some(candidate)) => of_files.push(candidate),
                Ok(None) => {}
                Err(error) if identity.is_asked_for => return Err(error),
                Err(error) => self.trouble("a key file", &error),
            }
        }
        let mut of_agent = Vec::new();
        if let Some(client) = client {
            match answer(client.request_identities()).await {
                Ok(identities) => of_agent.extend(identities.into_iter().filter_map(plain)),
                Err(error) => self.trouble("the agent", &error),
            }
        }
        let is_named = |key: &PublicKey| {
            let mut files = of_files.iter();
            files.any(|file: &Candidate| file.public.key_data() == key.key_data())
        };
        let (named, others): (Vec<_>, Vec<_>) = of_agent.into_iter().partition(is_named);
        let others = if self.hop.identities_only {
            Vec::new()
        } else {
            others
        };
        let of_agent = named.into_iter().chain(others).map(|public| Candidate {
            public,
            from: From::Agent,
        });
        let mut candidates: Vec<Candidate> = of_agent.chain(of_files).collect();
        let taken = self.secrets.found().taken.get(&self.hop.shown()).cloned();
        candidates.sort_by_key(|candidate| Some(fingerprint(&candidate.public)) != taken);
        Ok(candidates)
    }

    async fn offer(&mut self, candidate: &Candidate, client: Option<&mut Client>) -> Result<bool> {
        let hash = self.hash(&candidate.public).await;
        let (kind, print) = (candidate.public.algorithm(), fingerprint(&candidate.public));
        let result = match &candidate.from {
            From::Agent => {
                let Some(client) = client else {
                    return Ok(false);
                };
                self.tried.push(format!("key {kind} {print} of the agent"));
                let (user, key) = (self.hop.user.as_str(), candidate.public.clone());
                let signing = self
                    .handle
                    .authenticate_publickey_with(user, key, hash, client);
                match answer(signing).await {
                    Ok(result) => result,
                    // The agent does not sign with it; there may be others.
                    Err(error) if !self.handle.is_closed() => {
                        self.trouble("the agent", &error);
                        return Ok(false);
                    }
                    Err(error) => return Err(error),
                }
            }
            From::File(file, opened) => {
                let shown = file.display();
                self.tried.push(format!("key {kind} {print} of {shown}"));
                let key = match opened {
                    Some(key) => Arc::clone(key),
                    None if !self.would_take(candidate, hash).await? => return Ok(false),
                    None => match self.open(file) {
                        Ok(key) => key,
                        Err(error) => {
                            self.trouble("a key file", &error);
                            return Ok(false);
                        }
                    },
                };
                let key = PrivateKeyWithHashAlg::new(key, hash);
                let user = self.hop.user.as_str();
                answer(self.handle.authenticate_publickey(user, key)).await?
            }
        };
        self.judge(&result)
    }

    /// Never SHA-1.
    async fn hash(&self, key: &PublicKey) -> Option<HashAlg> {
        if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            return None;
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(Some(Some(hash))) => Some(hash),
            _ => Some(HashAlg::Sha512),
        }
    }

    /// Whether the server would let this key in, found out with its public half alone: nobody is
    /// asked for the passphrase of a key that is of no use.
    async fn would_take(&mut self, candidate: &Candidate, hash: Option<HashAlg>) -> Result<bool> {
        let mut nobody = NobodySigns;
        let (user, key) = (self.hop.user.as_str(), candidate.public.clone());
        let asking = self
            .handle
            .authenticate_publickey_with(user, key, hash, &mut nobody);
        match tokio::time::timeout(ANSWER, asking).await {
            Ok(Err(NotSigned::Wanted)) => Ok(true),
            Ok(Ok(result)) => self.judge(&result),
            Ok(Err(NotSigned::Lost)) => Err(self.hung_up()),
            Err(_) => Err(lost("the server did not answer at the login")),
        }
    }

    /// Opens an encrypted key file.
    fn open(&self, file: &Path) -> Result<Arc<PrivateKey>> {
        if let Some(key) = self.secrets.found().keys.get(file) {
            return Ok(Arc::clone(key));
        }
        let shown = file.display();
        let asked = || (self.secrets.ask)(&format!("passphrase of {shown}"));
        let passphrase = self.secrets.passphrase.clone().or_else(asked);
        let passphrase = passphrase
            .ok_or_else(|| invalid(format!("{shown} is encrypted, and no passphrase is given")))?;
        let text = files::read(file)?.unwrap_or_default();
        let opened = russh::keys::decode_secret_key(&text, Some(passphrase.expose_secret()));
        let key = Arc::new(
            opened.map_err(|_| invalid(format!("{shown} does not open with the passphrase")))?,
        );
        let mut found = self.secrets.found();
        found.keys.insert(file.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    fn password(&self) -> Option<SecretString> {
        let shown = self.hop.shown();
        let found = self.secrets.found().passwords.get(&shown).cloned();
        found
            .or_else(|| self.secrets.password.clone())
            .or_else(|| (self.secrets.ask)(&format!("password of {shown}")))
    }

    fn keep_password(&self, password: SecretString) {
        let mut found = self.secrets.found();
        found.passwords.insert(self.hop.shown(), password);
    }

    async fn by_password(&mut self) -> Result<bool> {
        let Some(password) = self.password() else {
            return Ok(false);
        };
        self.tried.push("a password".to_owned());
        let (user, secret) = (self.hop.user.as_str(), password.expose_secret());
        let trying = self.handle.authenticate_password(user, secret);
        let result = answer(trying).await?;
        let is_in = self.judge(&result)?;
        if is_in {
            self.keep_password(password);
        }
        Ok(is_in)
    }

    /// The server asks; what it asks for without showing it is the password.
    async fn by_questions(&mut self) -> Result<bool> {
        use KeyboardInteractiveAuthResponse as Reply;
        let Some(password) = self.password() else {
            return Ok(false);
        };
        self.tried
            .push("a password (keyboard-interactive)".to_owned());
        let user = self.hop.user.as_str();
        let starting = self
            .handle
            .authenticate_keyboard_interactive_start(user, None::<String>);
        let mut reply = answer(starting).await?;
        let mut answered = false;
        for _ in 0..MAX_ROUNDS {
            let prompts = match reply {
                Reply::Success => {
                    self.keep_password(password);
                    return Ok(true);
                }
                Reply::Failure {
                    remaining_methods, ..
                } => {
                    self.methods = remaining_methods.to_vec();
                    return Ok(false);
                }
                Reply::InfoRequest { prompts, .. } => prompts,
            };
            // Asked again: it was wrong, or something else is wanted. One answer is enough.
            let asks = prompts.iter().any(|prompt| !prompt.echo);
            if asks && answered {
                return Ok(false);
            }
            answered |= asks;
            let answers = prompts.iter().map(|prompt| {
                if prompt.echo {
                    String::new()
                } else {
                    password.expose_secret().to_owned()
                }
            });
            let answers = answers.collect();
            let responding = self
                .handle
                .authenticate_keyboard_interactive_respond(answers);
            reply = answer(responding).await?;
        }
        Ok(false)
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
        let tried = [tried]
            .iter()
            .chain(&self.troubles)
            .cloned()
            .collect::<Vec<_>>();
        let text = format!("the login is refused ({}{takes})", tried.join("; "));
        let hint = if self.tried.len() >= 5 {
            "servers hang up after a few keys: name the one key file, and set IdentitiesOnly yes in ~/.ssh/config"
        } else if self.takes(MethodKind::Password) || self.takes(MethodKind::KeyboardInteractive) {
            "name a key file whose public half is in ~/.ssh/authorized_keys there, start an agent that has it, or give the password in a file or a variable"
        } else {
            "name a key file whose public half is in ~/.ssh/authorized_keys there, or start an agent that has it"
        };
        Error::new(ErrorKind::PermissionDenied)
            .with_source(text)
            .with_hint(hint)
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

/// A key of the agent that is no certificate.
fn plain(identity: AgentIdentity) -> Option<PublicKey> {
    match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    }
}

/// A key file that is there.
fn read_identity(identity: &Identity) -> Result<Option<Candidate>> {
    let file = &identity.file;
    let shown = file.display();
    let Some(text) = files::read(file)? else {
        let missing = invalid(format!("{shown}: there is no such key file"));
        return if identity.is_asked_for {
            Err(missing)
        } else {
            Ok(None)
        };
    };
    let candidate = |public, opened| Candidate {
        public,
        from: From::File(file.clone(), opened),
    };
    if let Ok(key) = russh::keys::decode_secret_key(&text, None) {
        let public = key.public_key().clone();
        return Ok(Some(candidate(public, Some(Arc::new(key)))));
    }
    // Encrypted: its public half is in the file (OpenSSH's own format), or beside it.
    if let Ok(key) = PrivateKey::from_openssh(&text) {
        return Ok(Some(candidate(key.public_key().clone(), None)));
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    let public = files::read(Path::new(&beside))?.unwrap_or_default();
    match PublicKey::from_openssh(&public) {
        Ok(public) => Ok(Some(candidate(public, None))),
        Err(_) => Err(invalid(format!(
            "{shown} is no private key that can be read here, nor is {shown}.pub beside it its public half"
        ))),
    }
}

/// Notes that a signature is wanted, and gives none.
struct NobodySigns;

#[derive(Debug)]
enum NotSigned {
    Wanted,
    Lost,
}

impl std::convert::From<russh::SendError> for NotSigned {
    fn from(_: russh::SendError) -> Self {
        Self::Lost
    }
}

impl russh::Signer for NobodySigns {
    type Error = NotSigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        _: Option<HashAlg>,
        _: Vec<u8>,
    ) -> std::result::Result<Vec<u8>, NotSigned> {
        Err(NotSigned::Wanted)
    }
}
