//! Identities: the secret keys that open what is stored.

use std::fmt;
use std::io::Read;

use age::secrecy::{ExposeSecret as _, SecretString};
use age::{Callbacks, Decryptor, Identity};
use zeroize::Zeroizing;

use super::{OpenError, one_line};

/// No identity file is longer.
pub const MAX_BYTES: u64 = 1 << 20;
/// So much work a passphrase may take: about a quarter of an hour. age itself makes 2^18.
const MAX_WORK_FACTOR: u8 = 24;

/// Secret keys; none at all opens nothing.
#[derive(Clone, Default)]
pub struct Identities {
    all: Vec<Secret>,
}

#[derive(Clone)]
enum Secret {
    X25519(age::x25519::Identity),
    Ssh(age::ssh::Identity),
    Plugin(age::plugin::Identity),
}

/// An identity file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nothing that age or OpenSSH would take.
    #[error("it holds no identity: AGE-SECRET-KEY-1… or an SSH private key")]
    None,
    /// A kind of SSH key that age does not take.
    #[error("this kind of SSH key cannot open age files: ssh-ed25519 and ssh-rsa can")]
    Unsupported,
    /// It is protected, and no passphrase was given.
    #[error("it is protected by a passphrase")]
    NoPassphrase,
    /// It is protected, and the passphrase is another.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// Damaged.
    #[error("it cannot be read: {0}")]
    Malformed(String),
}

/// Gives the passphrase of something, of which it is told what it is.
pub type AskPassphrase<'a> = dyn FnMut(&str) -> Option<SecretString> + 'a;

impl Identities {
    /// Reads an identity file: age's own, also protected by a passphrase (armored or not), or an SSH
    /// private key. `name` is for people.
    pub fn read(
        bytes: &[u8],
        name: &str,
        ask: &mut AskPassphrase<'_>,
    ) -> Result<Self, IdentityError> {
        if is_wrapped(bytes) {
            let plain = unwrap(bytes, name, ask)?;
            return Self::parse(plain.expose_secret().as_bytes(), name, ask);
        }
        Self::parse(bytes, name, ask)
    }

    fn parse(bytes: &[u8], name: &str, ask: &mut AskPassphrase<'_>) -> Result<Self, IdentityError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::None)?;
        if text.contains("PRIVATE KEY-----") {
            return ssh(text, name, ask).map(|key| Self {
                all: vec![Secret::Ssh(key)],
            });
        }
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let all: Option<Vec<Secret>> = lines.map(parse_line).collect();
        match all {
            Some(all) if !all.is_empty() => Ok(Self { all }),
            _ => Err(IdentityError::None),
        }
    }

    /// A new X25519 identity; its text ends in a line feed and is secret.
    pub fn generate() -> (Zeroizing<String>, String) {
        let identity = age::x25519::Identity::generate();
        let public = identity.to_public().to_string();
        let secret = Zeroizing::new(format!(
            "# public key: {public}\n{}\n",
            identity.to_string().expose_secret()
        ));
        (secret, public)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes others in too.
    pub fn extend(&mut self, others: Self) {
        self.all.extend(others.all);
    }

    /// Opens a whole file.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut plain = Vec::with_capacity(sealed.len());
        let mut reader = self.reader(sealed)?;
        reader.read_to_end(&mut plain).map_err(OpenError::of_read)?;
        Ok(plain)
    }

    /// Reads a file as it was before it was sealed.
    pub fn reader<R: Read>(&self, sealed: R) -> Result<age::stream::StreamReader<R>, OpenError> {
        let decryptor = Decryptor::new(sealed)?;
        let boxed = self.boxed()?;
        Ok(decryptor.decrypt(boxed.iter().map(|one| &**one))?)
    }

    fn boxed(&self) -> Result<Vec<Box<dyn Identity>>, OpenError> {
        let boxed = self
            .all
            .iter()
            .map(|one| -> Result<Box<dyn Identity>, OpenError> {
                Ok(match one {
                    Secret::X25519(key) => Box::new(key.clone()),
                    Secret::Ssh(key) => Box::new(key.clone()),
                    Secret::Plugin(key) => {
                        let keys = std::slice::from_ref(key);
                        Box::new(age::plugin::IdentityPluginV1::new(
                            key.plugin(),
                            keys,
                            Silent,
                        )?)
                    }
                })
            });
        boxed.collect()
    }
}

fn parse_line(line: &str) -> Option<Secret> {
    let x25519 = line.parse().map(Secret::X25519).ok();
    x25519.or_else(|| line.parse().map(Secret::Plugin).ok())
}

fn ssh(
    text: &str,
    name: &str,
    ask: &mut AskPassphrase<'_>,
) -> Result<age::ssh::Identity, IdentityError> {
    let key = age::ssh::Identity::from_buffer(text.as_bytes(), Some(name.to_owned()));
    match key.map_err(|error| IdentityError::Malformed(one_line(&error)))? {
        age::ssh::Identity::Encrypted(key) => {
            let passphrase = ask(name).ok_or(IdentityError::NoPassphrase)?;
            let opened = key.decrypt(passphrase);
            Ok(opened.map_err(|_| IdentityError::WrongPassphrase)?.into())
        }
        age::ssh::Identity::Unsupported(_) => Err(IdentityError::Unsupported),
        key @ age::ssh::Identity::Unencrypted(_) => Ok(key),
    }
}

fn is_wrapped(bytes: &[u8]) -> bool {
    bytes.starts_with(b"age-encryption.org/v1\n") || bytes.starts_with(b"-----BEGIN AGE ")
}

/// Opens an identity file that is protected by a passphrase.
pub fn unwrap(
    bytes: &[u8],
    name: &str,
    ask: &mut AskPassphrase<'_>,
) -> Result<SecretString, IdentityError> {
    if !is_wrapped(bytes) {
        return Err(IdentityError::None);
    }
    let passphrase = ask(name).ok_or(IdentityError::NoPassphrase)?;
    let malformed = |error: OpenError| match error {
        OpenError::NoKey | OpenError::Identity(_) => IdentityError::WrongPassphrase,
        error => IdentityError::Malformed(error.to_string()),
    };
    let decryptor = Decryptor::new(age::armor::ArmoredReader::new(bytes));
    let decryptor = decryptor.map_err(|error| malformed(error.into()))?;
    if !decryptor.is_scrypt() {
        return Err(IdentityError::None);
    }
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let reader = decryptor
        .decrypt(std::iter::once(&identity as &dyn Identity))
        .map_err(|error| match error {
            age::DecryptError::DecryptionFailed => IdentityError::WrongPassphrase,
            error => malformed(error.into()),
        })?;
    let mut plain = Zeroizing::new(String::new());
    reader
        .take(MAX_BYTES)
        .read_to_string(&mut plain)
        .map_err(|error| malformed(OpenError::of_read(error)))?;
    Ok(SecretString::from(std::mem::take(&mut *plain)))
}

/// Seals an identity file with a passphrase; `age -d` opens it.
pub fn wrap(identity: &str, passphrase: SecretString) -> Result<Vec<u8>, super::SealError> {
    use std::io::Write as _;
    let encryptor = age::Encryptor::with_user_passphrase(passphrase);
    let mut writer = encryptor.wrap_output(Vec::new())?;
    writer.write_all(identity.as_bytes())?;
    Ok(writer.finish()?)
}

/// Names kinds, no key.
impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.all.iter().map(|one| match one {
            Secret::X25519(_) => "x25519",
            Secret::Ssh(_) => "ssh",
            Secret::Plugin(key) => key.plugin(),
        });
        f.debug_list().entries(kinds).finish()
    }
}

/// A plugin is not given a terminal: what it has to ask, it asks by its own window or touch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silent;

impl Callbacks for Silent {
    fn display_message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        None
    }
}
