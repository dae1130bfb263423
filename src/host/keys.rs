//! What opens an encrypted repository: identities in files, and those that the repository itself keeps
//! behind a passphrase.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use age::secrecy::{ExposeSecret as _, SecretString};
use seawall_backends::{Exposure, Key};

use super::passphrase::NewPassphrase;
use super::secrets::{first_line, must_be_private, read};
use super::{Error, Result, Tell, Warning};
use crate::crypt::{self, AskPassphrase, Identities, IdentityError, PassphraseOrigin, Recipients};
use crate::repository::wrapped::Wrapped;
use crate::repository::{Repository, bounded, names};

/// Keys behind passphrases that are tried. Each costs a second or more, and anybody who can write to the
/// repository can add some.
const MAX_TRIED: usize = 16;
/// No file of recipients is longer.
const MAX_RECIPIENTS_BYTES: u64 = 1 << 20;
/// The variable that may hold the passphrase.
pub const PASSPHRASE_VARIABLE: &str = "SEAWALL_PASSPHRASE";

/// What the administrator gave to open an encrypted repository. Nothing is read before it is needed.
#[derive(Debug)]
pub struct Keys {
    /// Files: identities as age-keygen makes them, also behind a passphrase, or SSH private keys.
    pub identities: Vec<PathBuf>,
    /// A file whose first line is the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// The passphrase, if it was given in a variable.
    pub passphrase: Option<SecretString>,
    /// Asks the person at the terminal; `None` if there is nobody.
    pub ask: fn(&str) -> Option<SecretString>,
    /// The passphrase, once it was read. The file may be a pipe, which can be read once.
    read: OnceCell<Option<SecretString>>,
}

/// A new key behind a passphrase.
pub struct NewKey {
    /// What the repository keeps.
    pub wrapped: Wrapped,
    /// The public half.
    pub recipient: String,
    /// The passphrase, if seawall invented it: somebody has to be shown it.
    pub invented: Option<SecretString>,
}

impl Default for Keys {
    /// No keys, and nobody to ask.
    fn default() -> Self {
        Self::new(Vec::new(), None, None, |_| None)
    }
}

impl Keys {
    /// Keys in files, and a passphrase in a file or as text.
    pub fn new(
        identities: Vec<PathBuf>,
        passphrase_file: Option<PathBuf>,
        passphrase: Option<SecretString>,
        ask: fn(&str) -> Option<SecretString>,
    ) -> Self {
        Self { identities, passphrase_file, passphrase, ask, read: OnceCell::new() }
    }

    /// Whether any identity is named.
    pub fn has_identities(&self) -> bool {
        !self.identities.is_empty()
    }

    /// Whether a passphrase is given by file or variable.
    pub fn has_passphrase(&self, tell: Tell<'_>) -> bool {
        self.passphrase(tell).is_ok_and(|passphrase| passphrase.is_some())
    }

    /// The identities that are named. Fails if any file cannot be used, whether or not it is needed.
    pub(super) fn given(&self, tell: Tell<'_>) -> Result<Identities> {
        self.passphrase(tell)?;
        let mut all = Identities::default();
        for path in &self.identities {
            let bytes = read(path, crypt::MAX_IDENTITY_BYTES)?;
            if holds_open_secret(&bytes)
                && let Ok(metadata) = path.metadata()
            {
                must_be_private(path, Exposure::of(path, &metadata), tell)?;
            }
            let name = path.display().to_string();
            all.extend(self.parse(&bytes, &name, tell)?);
        }
        Ok(all)
    }

    /// The identities that the repository keeps behind a passphrase, if there is a passphrase to try.
    pub(super) fn of_repository(
        &self,
        repository: &Repository,
        tell: Tell<'_>,
    ) -> Result<Identities> {
        let mut all = Identities::default();
        for (key, secret) in self.secrets_of_repository(repository, tell)? {
            all.extend(self.parse(secret.expose_secret().as_bytes(), key.as_str(), tell)?);
        }
        Ok(all)
    }

    /// The texts of those identities, with the stored file of each.
    pub(super) fn secrets_of_repository(
        &self,
        repository: &Repository,
        tell: Tell<'_>,
    ) -> Result<Vec<(Key, SecretString)>> {
        let mut all = Vec::new();
        let mut refused = None;
        let mut tried = 0;
        for entry in repository.backend().list(names::KEYS) {
            let key = entry?.key;
            if !names::is_wrapped_key(&key) {
                continue;
            }
            let backend = &**repository.backend();
            let Some(bytes) = bounded::get(backend, &key, crypt::MAX_IDENTITY_BYTES)? else {
                continue;
            };
            tried += 1;
            if tried > MAX_TRIED {
                tell(Warning::ManyWrappedKeys { tried: MAX_TRIED });
                break;
            }
            let opened = self.with_passphrase(key.as_str(), tell, |ask| {
                crypt::unwrap(&bytes, key.as_str(), PassphraseOrigin::Found, ask)
            });
            match opened {
                Ok(secret) => all.push((key, secret)),
                // Nobody was there to ask.
                Err(Error::Identity { source: IdentityError::NoPassphrase, .. }) => {}
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            // With another key at hand this one may not be needed.
            Some(error) if all.is_empty() && !self.has_identities() => Err(error),
            _ => Ok(all),
        }
    }

    /// Makes a key that is kept in the repository behind a passphrase.
    pub fn make_wrapped(&self, tell: Tell<'_>) -> Result<NewKey> {
        let NewPassphrase { secret, invented } = self.new_passphrase(tell)?;
        let (identity, recipient) = Identities::generate();
        let bytes = crypt::wrap(&identity, secret).map_err(crate::repository::Error::from)?;
        let key = names::wrapped_key(&recipient);
        Ok(NewKey { wrapped: Wrapped { key, bytes }, recipient, invented })
    }

    /// A passphrase to be used from now on. It is asked for twice on a terminal, where an empty answer makes
    /// one.
    fn new_passphrase(&self, tell: Tell<'_>) -> Result<NewPassphrase> {
        if let Some(passphrase) = self.passphrase(tell)? {
            return NewPassphrase::chosen(passphrase);
        }
        let ask = |what| (self.ask)(what).ok_or(Error::NoPassphrase);
        let first = ask("New passphrase of the repository (empty: make one)")?;
        if first.expose_secret().is_empty() {
            return NewPassphrase::invent();
        }
        if first.expose_secret() != ask("The same again")?.expose_secret() {
            return Err(Error::PassphrasesDiffer);
        }
        NewPassphrase::chosen(first)
    }

    fn parse(&self, bytes: &[u8], name: &str, tell: Tell<'_>) -> Result<Identities> {
        self.with_passphrase(name, tell, |ask| Identities::read(bytes, name, ask))
    }

    /// Reads something that may ask for a passphrase.
    fn with_passphrase<T>(
        &self,
        name: &str,
        tell: Tell<'_>,
        read: impl FnOnce(&mut AskPassphrase<'_>) -> Result<T, IdentityError>,
    ) -> Result<T> {
        let mut failure = None;
        let mut passphrase = |what: &str| match self.passphrase(tell) {
            Ok(Some(passphrase)) => Some(passphrase),
            Ok(None) => (self.ask)(&format!("Passphrase of {what}")),
            Err(error) => {
                failure = Some(error);
                None
            }
        };
        let read = read(&mut passphrase);
        match failure {
            Some(failure) => Err(failure),
            None => read.map_err(|source| Error::Identity { name: name.to_owned(), source }),
        }
    }

    fn passphrase(&self, tell: Tell<'_>) -> Result<Option<SecretString>> {
        if let Some(known) = self.read.get() {
            return Ok(known.clone());
        }
        let read = match &self.passphrase_file {
            Some(path) => Some(first_line(path, PASSPHRASE_VARIABLE, tell)?),
            None => self.passphrase.clone(),
        };
        Ok(self.read.get_or_init(|| read).clone())
    }
}

/// Parses recipients: public keys as texts, and files with one on each line.
///
/// # Errors
///
/// [`Error::Recipient`], [`Error::RecipientsFile`] and [`Error::NoRecipientIn`].
pub fn parse_recipients(texts: &[String], files: &[PathBuf]) -> Result<Recipients> {
    let mut recipients = Recipients::default();
    for text in texts {
        recipients.add(text)?;
    }
    for path in files {
        for text in recipients_in(path)?.texts() {
            recipients.add(text)?;
        }
    }
    Ok(recipients)
}

fn recipients_in(path: &Path) -> Result<Recipients> {
    let text = read(path, MAX_RECIPIENTS_BYTES)?;
    let parsed = Recipients::parse(&String::from_utf8_lossy(&text))
        .map_err(|source| Error::RecipientsFile { path: path.to_owned(), source })?;
    if parsed.is_empty() {
        return Err(Error::NoRecipientIn { path: path.to_owned() });
    }
    Ok(parsed)
}

/// Whether an identity file opens what is stored without a passphrase or a plugin's device.
fn holds_open_secret(bytes: &[u8]) -> bool {
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    holds(b"AGE-SECRET-KEY-1") || holds(b"PRIVATE KEY-----")
}
