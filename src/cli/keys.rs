//! Keys on the command line: to whom to encrypt, and what opens it again.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use clap::Args;

use super::CommandError;
use super::destination::{ask, variable_secret};
use super::warnings::warn;
use crate::host::{self, Encryption, NewKey, PASSPHRASE_VARIABLE, Recipients};

/// What opens an encrypted repository.
#[derive(Debug, Args)]
#[command(next_help_heading = "How an encrypted repository is opened")]
pub(super) struct KeyArguments {
    /// An identity: a file as age-keygen makes it, also behind a passphrase, or an SSH private key
    #[arg(short = 'i', long = "identity", global = true, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// The passphrase of an identity is in this file [or: in `SEAWALL_PASSPHRASE`]
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[arg(skip)]
    given: OnceCell<host::Keys>,
}

impl KeyArguments {
    /// As the host takes them.
    pub(super) fn get(&self) -> &host::Keys {
        self.given.get_or_init(|| {
            host::Keys::new(
                self.identity.clone(),
                self.passphrase_file.clone(),
                variable_secret(PASSPHRASE_VARIABLE),
                ask,
            )
        })
    }

    /// The options that name files, and the files.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let identities = self.identity.iter().map(|path| ("-i", path.as_path()));
        let passphrase = self.passphrase_file.as_deref();
        identities.chain(passphrase.map(|path| ("--passphrase-file", path)))
    }
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
        Ok(host::parse_recipients(&self.recipient, &self.recipients_file)?)
    }

    /// Whether any of them is given.
    pub(super) fn is_given(&self) -> bool {
        self.with_passphrase || !self.recipient.is_empty() || !self.recipients_file.is_empty()
    }

    /// What they say about encryption; nothing if none is given.
    pub(super) fn encryption(&self) -> Result<Encryption, CommandError> {
        if !self.is_given() {
            return Ok(Encryption::Undecided);
        }
        let recipients = self.recipients()?;
        Ok(Encryption::To { recipients, with_passphrase: self.with_passphrase })
    }

    /// A new key, if one behind a passphrase is wanted.
    pub(super) fn new_key(&self, keys: &KeyArguments) -> Result<Option<NewKey>, CommandError> {
        let make = || keys.get().make_wrapped(&warn);
        Ok(self.with_passphrase.then(make).transpose()?)
    }
}
