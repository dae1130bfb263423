//! Keys on the command line: to whom to encrypt, and what opens it again.

use std::cell::OnceCell;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use age::secrecy::{ExposeSecret as _, SecretString};
use anyhow::{Context as _, anyhow};
use clap::Args;
use seawall_backends::{Exposure, Key};
use zeroize::Zeroizing;

use super::destination::{ask, must_be_private, secret};
use super::output::Output;
use super::passphrase::NewPassphrase;
use super::{CommandError, Status};
use crate::crypt::{self, AskPassphrase, Identities, IdentityError, Origin, Recipients};
use crate::repository::wrapped::Wrapped;
use crate::repository::{Repository, bounded, names};

/// No file of recipients is longer.
const MAX_RECIPIENTS_BYTES: u64 = 1 << 20;

/// What opens an encrypted repository.
#[derive(Debug, Args)]
#[command(next_help_heading = "How an encrypted repository is opened")]
pub(super) struct Keys {
    /// An identity: a file as age-keygen makes it, also behind a passphrase, or an SSH private key
    #[arg(short = 'i', long = "identity", global = true, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// The passphrase of an identity is in this file [or: in `SEAWALL_PASSPHRASE`]
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[arg(skip)]
    passphrase: OnceCell<Option<SecretString>>,
}

/// To whom a host encrypts.
#[derive(Debug, Args)]
pub(super) struct To {
    /// Encrypt to this public key: age1…, 'ssh-ed25519 …', 'ssh-rsa …', or an age plugin's
    #[arg(long, value_name = "KEY")]
    recipient: Vec<String>,
    /// Encrypt to the public keys in this file, one a line
    #[arg(long, value_name = "FILE")]
    recipients_file: Vec<PathBuf>,
    /// Encrypt to a new key that is kept in the repository, behind a passphrase
    #[arg(long)]
    with_passphrase: bool,
}

impl To {
    /// The recipients that were given.
    pub(super) fn recipients(&self) -> Result<Recipients, CommandError> {
        let mut recipients = Recipients::default();
        for text in &self.recipient {
            let added = recipients.add(text);
            added.map_err(|error| CommandError::new(anyhow::Error::from(error), WHAT_TO_GIVE))?;
        }
        for path in &self.recipients_file {
            let text = read(path, MAX_RECIPIENTS_BYTES)?;
            let parsed = Recipients::parse(&String::from_utf8_lossy(&text))
                .with_context(|| path.display().to_string());
            let parsed = parsed.map_err(|error| CommandError::new(error, WHAT_TO_GIVE))?;
            if parsed.is_empty() {
                let error = anyhow!("{} names no recipient", path.display());
                return Err(CommandError::new(error, WHAT_TO_GIVE));
            }
            for text in parsed.texts() {
                recipients.add(text).map_err(anyhow::Error::from)?;
            }
        }
        Ok(recipients)
    }

    /// Whether a new key behind a passphrase is wanted.
    pub(super) fn is_with_passphrase(&self) -> bool {
        self.with_passphrase
    }

    /// Whether any of them is given.
    pub(super) fn is_given(&self) -> bool {
        self.with_passphrase || !self.recipient.is_empty() || !self.recipients_file.is_empty()
    }

    /// A new key, if one behind a passphrase is wanted.
    pub(super) fn new_key(&self, keys: &Keys) -> Result<Option<NewKey>, CommandError> {
        if !self.with_passphrase {
            return Ok(None);
        }
        let NewPassphrase { secret, invented } = keys.new_passphrase()?;
        let (identity, recipient) = Identities::generate();
        let bytes = crypt::wrap(&identity, secret).map_err(anyhow::Error::from)?;
        let key = names::wrapped_key(&recipient);
        Ok(Some(NewKey { wrapped: Wrapped { key, bytes }, recipient, invented }))
    }
}

/// A new key behind a passphrase.
pub(super) struct NewKey {
    /// What the repository keeps.
    pub wrapped: Wrapped,
    /// The public half.
    pub recipient: String,
    /// The passphrase, if seawall invented it: somebody has to be shown it.
    pub invented: Option<SecretString>,
}

/// Each costs a second or more, and anybody who can write to the repository can add some.
const MAX_TRIED: usize = 16;

const WHAT_TO_GIVE: &str = "`age-keygen -o key.txt` makes a key and prints its public half; keep the file away from this host";

impl Keys {
    /// Whether any identity is named.
    pub(super) fn are_given(&self) -> bool {
        !self.identity.is_empty()
    }

    /// The options that name files, and the files.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let identities = self.identity.iter().map(|path| ("-i", path.as_path()));
        let passphrase = self.passphrase_file.as_deref();
        identities.chain(passphrase.map(|path| ("--passphrase-file", path)))
    }

    /// The identities that are named.
    pub(super) fn given(&self) -> Result<Identities, CommandError> {
        // Whether or not it turns out to be needed: a file that cannot be used is told at once.
        self.passphrase()?;
        let mut all = Identities::default();
        for path in &self.identity {
            let bytes = read(path, crypt::MAX_IDENTITY_BYTES)?;
            if holds_open_secret(&bytes)
                && let Ok(metadata) = path.metadata()
            {
                must_be_private(path, Exposure::of(path, &metadata))?;
            }
            let name = path.display().to_string();
            all.extend(self.parse(&bytes, &name)?);
        }
        Ok(all)
    }

    /// Those that lie in the repository behind a passphrase, if there is one to try.
    pub(super) fn of_repository(
        &self,
        repository: &Repository,
    ) -> Result<Identities, CommandError> {
        let mut all = Identities::default();
        for (key, secret) in self.secrets_of_repository(repository)? {
            all.extend(self.parse(secret.expose_secret().as_bytes(), key.as_str())?);
        }
        Ok(all)
    }

    /// Their texts.
    pub(super) fn secrets_of_repository(
        &self,
        repository: &Repository,
    ) -> Result<Vec<(Key, SecretString)>, CommandError> {
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
                Output::warning(format_args!(
                    "{} holds more than {MAX_TRIED} keys behind passphrases: the others are not tried",
                    names::KEYS
                ));
                break;
            }
            let opened = self.with_passphrase(key.as_str(), |ask| {
                crypt::unwrap(&bytes, key.as_str(), Origin::Found, ask)
            });
            match opened {
                Ok(secret) => all.push((key, secret)),
                // Nobody was there to ask.
                Err(error) if is_unasked(&error) => {}
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            // With another key at hand this one may not be needed.
            Some(error) if all.is_empty() && !self.are_given() => Err(error),
            _ => Ok(all),
        }
    }

    fn parse(&self, bytes: &[u8], name: &str) -> Result<Identities, CommandError> {
        self.with_passphrase(name, |ask| Identities::read(bytes, name, ask))
    }

    /// Reads something that may ask for a passphrase.
    fn with_passphrase<T>(
        &self,
        name: &str,
        read: impl FnOnce(&mut AskPassphrase<'_>) -> Result<T, IdentityError>,
    ) -> Result<T, CommandError> {
        let mut failure = None;
        let mut passphrase = |what: &str| match self.passphrase() {
            Ok(Some(passphrase)) => Some(passphrase),
            Ok(None) => ask(&format!("Passphrase of {what}")),
            Err(error) => {
                failure = Some(error);
                None
            }
        };
        let read = read(&mut passphrase);
        if let Some(failure) = failure {
            return Err(failure);
        }
        read.map_err(|error| {
            let hint = match error {
                IdentityError::NoPassphrase | IdentityError::WrongPassphrase => {
                    "give it with --passphrase-file FILE or in SEAWALL_PASSPHRASE"
                }
                _ => "give the file that age-keygen wrote, or an SSH private key",
            };
            CommandError {
                status: Status::NoKey,
                error: anyhow::Error::from(error).context(format!("cannot use {name}")),
                hint: Some(hint.into()),
            }
        })
    }

    /// Whether a passphrase is given by file or variable.
    pub(super) fn has_passphrase(&self) -> bool {
        self.passphrase().is_ok_and(|passphrase| passphrase.is_some())
    }

    /// Read once: what it comes from may be a pipe.
    fn passphrase(&self) -> Result<Option<SecretString>, CommandError> {
        if let Some(known) = self.passphrase.get() {
            return Ok(known.clone());
        }
        let read = secret(self.passphrase_file.as_deref(), "SEAWALL_PASSPHRASE")?;
        Ok(self.passphrase.get_or_init(|| read).clone())
    }

    /// One to be used from now on: asked twice on a terminal, where an empty answer makes one.
    fn new_passphrase(&self) -> Result<NewPassphrase, CommandError> {
        if let Some(passphrase) = self.passphrase()? {
            return NewPassphrase::chosen(passphrase);
        }
        let missing = || {
            CommandError::new(
                anyhow!("no passphrase was given"),
                "give it with --passphrase-file FILE or in SEAWALL_PASSPHRASE; on a terminal seawall asks for it, or makes one",
            )
        };
        let one = ask("New passphrase of the repository (empty: make one)").ok_or_else(missing)?;
        if one.expose_secret().is_empty() {
            return NewPassphrase::invent();
        }
        let again = ask("The same again").ok_or_else(missing)?;
        if one.expose_secret() != again.expose_secret() {
            return Err(anyhow!("the two passphrases differ").into());
        }
        NewPassphrase::chosen(one)
    }
}

/// Whether an identity file opens what is stored without a passphrase or a plugin's device.
fn holds_open_secret(bytes: &[u8]) -> bool {
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    holds(b"AGE-SECRET-KEY-1") || holds(b"PRIVATE KEY-----")
}

fn is_unasked(error: &CommandError) -> bool {
    let cause = error.error.downcast_ref::<IdentityError>();
    matches!(cause, Some(IdentityError::NoPassphrase))
}

/// A file, which may hold secrets.
fn read(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let read = || {
        let mut bytes = Zeroizing::new(Vec::new());
        let file = File::open(path)?;
        file.take(most).read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let read = read().with_context(|| format!("cannot read {}", path.display()));
    read.map_err(CommandError::from)
}
