//! What one logs in with, and what was found out so far, so that nobody is asked twice.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::keys::{PrivateKey, PublicKey};
use secrecy::{ExposeSecret, SecretString};

use crate::destination::invalid;
use crate::options::Ask;
use crate::sftp::files;
use crate::sftp::known_hosts::fingerprint;
use crate::sftp::route::Hop;
use crate::{Options, Result};

/// Secrets of all the machines on the way.
pub(in crate::sftp) struct Secrets {
    password: Option<SecretString>,
    passphrase: Option<SecretString>,
    ask: Arc<Ask>,
    found: Mutex<FoundIdentity>,
}

#[derive(Default)]
struct FoundIdentity {
    /// Of users at machines.
    passwords: HashMap<String, SecretString>,
    /// Opened key files.
    keys: HashMap<PathBuf, Arc<PrivateKey>>,
    /// The fingerprint of the key that a machine took: it is offered first.
    taken: HashMap<String, String>,
}

impl Secrets {
    pub(in crate::sftp) fn new(options: &Options) -> Self {
        Self {
            password: options.password.clone(),
            passphrase: options.ssh.passphrase.clone(),
            ask: Arc::clone(&options.ask),
            found: Mutex::default(),
        }
    }

    /// The password of a machine's user. The one that was given is shown to nobody but the
    /// destination: machines on the way to it are others'.
    pub(super) fn password(&self, hop: &Hop) -> Option<SecretString> {
        let shown = hop.shown();
        let found = self.found().passwords.get(&shown).cloned();
        found
            .or_else(|| self.password.clone().filter(|_| hop.is_destination))
            .or_else(|| (self.ask)(&format!("password of {shown}")))
    }

    pub(super) fn keep_password(&self, hop: &Hop, password: SecretString) {
        self.found().passwords.insert(hop.shown(), password);
    }

    /// The fingerprint of the key that this machine took before.
    pub(super) fn taken(&self, hop: &Hop) -> Option<String> {
        self.found().taken.get(&hop.shown()).cloned()
    }

    pub(super) fn keep_taken(&self, hop: &Hop, key: &PublicKey) {
        let print = fingerprint(key);
        self.found().taken.insert(hop.shown(), print);
    }

    /// Opens an encrypted key file.
    pub(super) fn open(&self, file: &Path) -> Result<Arc<PrivateKey>> {
        if let Some(key) = self.found().keys.get(file) {
            return Ok(Arc::clone(key));
        }
        let shown = file.display();
        let asked = || (self.ask)(&format!("passphrase of {shown}"));
        let passphrase = self.passphrase.clone().or_else(asked);
        let passphrase = passphrase
            .ok_or_else(|| invalid(format!("{shown} is encrypted, and no passphrase is given")))?;
        let text = files::read(file)?.unwrap_or_default();
        let opened = russh::keys::decode_secret_key(&text, Some(passphrase.expose_secret()));
        let key = Arc::new(
            opened.map_err(|_| invalid(format!("{shown} does not open with the passphrase")))?,
        );
        self.found().keys.insert(file.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    fn found(&self) -> MutexGuard<'_, FoundIdentity> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}
