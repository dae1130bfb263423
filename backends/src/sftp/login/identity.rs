//! Keys that may be offered: those of the agent, and those of key files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::{PrivateKey, PublicKey};

use crate::destination::invalid;
use crate::sftp::files;
use crate::sftp::route::Identity;
use crate::{Result, refuse_exposed};

/// A key that may be offered.
pub(super) struct Candidate {
    pub(super) public: PublicKey,
    pub(super) from: From,
}

/// Where a private key is.
pub(super) enum From {
    Agent,
    /// The file, and the key where it needs no passphrase.
    File(PathBuf, Option<Arc<PrivateKey>>),
    /// Not in this file, which has the public half alone and so picks out a key of the agent.
    Elsewhere(PathBuf),
}

/// A key of the agent that is no certificate.
pub(super) fn plain(identity: AgentIdentity) -> Option<PublicKey> {
    match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    }
}

/// The key of a file that is there: private, or public where the private half is with an agent, as
/// `IdentityFile` may name it.
pub(super) fn read(identity: &Identity) -> Result<Option<Candidate>> {
    let file = &identity.file;
    let shown = file.display();
    let Some(text) = files::read(file)? else {
        if let Some(public) = read_public_half(file)? {
            let from = From::Elsewhere(file.clone());
            return Ok(Some(Candidate { public, from }));
        }
        return if identity.is_asked_for {
            Err(invalid(format!("{shown}: there is no such key file")))
        } else {
            Ok(None)
        };
    };
    let candidate = |public, opened| Candidate { public, from: From::File(file.clone(), opened) };
    if text.contains("PRIVATE KEY-----") {
        // ssh does not take such a key either.
        let metadata = std::fs::metadata(file).map_err(crate::Error::from)?;
        refuse_exposed(file, &metadata)?;
    }
    if let Ok(key) = russh::keys::decode_secret_key(&text, None) {
        let public = key.public_key().clone();
        return Ok(Some(candidate(public, Some(Arc::new(key)))));
    }
    // Encrypted: its public half is in the file (OpenSSH's own format), or beside it.
    if let Ok(key) = PrivateKey::from_openssh(&text) {
        return Ok(Some(candidate(key.public_key().clone(), None)));
    }
    if let Ok(public) = PublicKey::from_openssh(&text) {
        let from = From::Elsewhere(file.clone());
        return Ok(Some(Candidate { public, from }));
    }
    match read_public_half(file)? {
        Some(public) => Ok(Some(candidate(public, None))),
        None => Err(invalid(format!(
            "{shown} is no key that can be read here, nor is {shown}.pub beside it its public half"
        ))),
    }
}

/// What lies beside a private key.
fn read_public_half(file: &Path) -> Result<Option<PublicKey>> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    let text = files::read(Path::new(&beside))?;
    Ok(text.and_then(|text| PublicKey::from_openssh(&text).ok()))
}
