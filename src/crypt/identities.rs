//! Identities: the secret keys that open what is stored.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;
use std::sync::OnceLock;

use age::armor::{ArmoredWriter, Format};
use age::secrecy::{ExposeSecret as _, SecretString};
use age::{Callbacks, Decryptor, Identity};
use zeroize::Zeroizing;

use super::{OpenError, one_line};

/// The longest identity file that is read.
pub const MAX_BYTES: u64 = 1 << 20;
/// The longest header that is read: 20 recipients with the longest keys take half of it.
const MAX_HEADER_BYTES: u64 = 32 * 1024;
/// The most work that a passphrase may take, as a power of two; each unit takes a kilobyte of
/// memory. age itself uses 2^18.
const MAX_WORK: u8 = 22;
/// The limit for a file that anybody could have put there: 1 GiB of memory.
const MAX_WORK_OF_STRANGERS: u8 = 20;

/// Who chose a passphrase-protected file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassphraseOrigin {
    /// The user named it.
    Named,
    /// It was found in a repository: anybody with write access could have put it there.
    Found,
}

/// Secret keys. Without any, nothing sealed can be opened.
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
    /// It holds no key that age or OpenSSH accepts.
    #[error("it holds no identity: AGE-SECRET-KEY-1… or an SSH private key")]
    None,
    /// Its kind of SSH key cannot open age files.
    #[error("this kind of SSH key cannot open age files: ssh-ed25519 and ssh-rsa can")]
    Unsupported,
    /// A passphrase protects it, and none was given.
    #[error("it is protected by a passphrase")]
    NoPassphrase,
    /// A passphrase protects it, and a wrong one was given.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// It is damaged.
    #[error("it cannot be read: {0}")]
    Malformed(String),
}

/// Asks for a passphrase. The argument names, for people, what it opens.
pub type AskPassphrase<'a> = dyn FnMut(&str) -> Option<SecretString> + 'a;

impl Identities {
    /// Reads an identity file: age's own, also with a passphrase (armored or not), or an SSH
    /// private key. `name` is for people.
    pub fn read(
        bytes: &[u8],
        name: &str,
        ask: &mut AskPassphrase<'_>,
    ) -> Result<Self, IdentityError> {
        if is_wrapped(bytes) {
            let plain = unwrap(bytes, name, PassphraseOrigin::Named, ask)?;
            return Self::parse(plain.expose_secret().as_bytes(), name, ask);
        }
        Self::parse(bytes, name, ask)
    }

    fn parse(bytes: &[u8], name: &str, ask: &mut AskPassphrase<'_>) -> Result<Self, IdentityError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::None)?;
        // Some editors put a byte order mark first.
        let text = text.trim_start_matches('\u{feff}');
        if text.contains("PRIVATE KEY-----") {
            return ssh(text, name, ask).map(|key| Self { all: vec![Secret::Ssh(key)] });
        }
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let all: Option<Vec<Secret>> = lines.map(parse_line).collect();
        match all {
            Some(all) if !all.is_empty() => Ok(Self { all }),
            _ => Err(IdentityError::None),
        }
    }

    /// A new X25519 identity: the text of its file, which is secret and ends in a line feed, and
    /// its recipient.
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

    /// Adds the keys of `others`.
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

    /// Reads the plain bytes of a sealed file.
    pub fn reader<R: Read>(
        &self,
        sealed: R,
    ) -> Result<age::stream::StreamReader<Bounded<R>>, OpenError> {
        let decryptor = decryptor(sealed)?;
        let boxed = self.boxed()?;
        Ok(decryptor.decrypt(boxed.iter().map(|one| &**one))?)
    }

    fn boxed(&self) -> Result<Vec<Box<dyn Identity>>, OpenError> {
        let boxed = self.all.iter().map(|one| -> Result<Box<dyn Identity>, OpenError> {
            Ok(match one {
                Secret::X25519(key) => Box::new(key.clone()),
                Secret::Ssh(key) => Box::new(key.clone()),
                Secret::Plugin(key) => {
                    let keys = std::slice::from_ref(key);
                    Box::new(age::plugin::IdentityPluginV1::new(key.plugin(), keys, Plugins)?)
                }
            })
        });
        boxed.collect()
    }
}

/// Reads the header of a sealed file, at most [`MAX_HEADER_BYTES`] of it, since nobody has vouched
/// for it yet. Without the limit a long header would take very long: age parses the header from its
/// beginning again after each small read.
fn decryptor<R: Read>(sealed: R) -> Result<Decryptor<Bounded<R>>, age::DecryptError> {
    let left = Rc::new(Cell::new(MAX_HEADER_BYTES));
    let sealed = Bounded { inner: sealed, left: Rc::clone(&left) };
    let decryptor = Decryptor::new(sealed)?;
    left.set(u64::MAX);
    Ok(decryptor)
}

/// A reader that fails after a number of bytes.
#[derive(Debug)]
pub struct Bounded<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            let text = "its header is too long";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let most = to.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let len = self.inner.read(&mut to[..most])?;
        self.left.set(left - len as u64);
        Ok(len)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
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

/// Opens a passphrase-protected identity file.
pub fn unwrap(
    bytes: &[u8],
    name: &str,
    origin: PassphraseOrigin,
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
    let decryptor = decryptor(age::armor::ArmoredReader::new(bytes));
    let decryptor = decryptor.map_err(|error| malformed(error.into()))?;
    if !decryptor.is_scrypt() {
        return Err(IdentityError::None);
    }
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(match origin {
        PassphraseOrigin::Named => MAX_WORK,
        PassphraseOrigin::Found => MAX_WORK_OF_STRANGERS,
    });
    let reader = decryptor.decrypt(std::iter::once(&identity as &dyn Identity)).map_err(
        |error| match error {
            age::DecryptError::DecryptionFailed => IdentityError::WrongPassphrase,
            error => malformed(error.into()),
        },
    )?;
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
    // Armored, because it is also printed on paper.
    let armored = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armored)?;
    writer.write_all(identity.as_bytes())?;
    Ok(writer.finish()?.finish()?)
}

/// Shows the kinds of the keys, never a key.
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

/// How age plugins reach a person: to say that a hardware key wants to be touched, or to ask for
/// its PIN.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    /// Shows a line.
    pub show: fn(&str),
    /// Asks for a secret; `None` if there is nobody to ask.
    pub ask: fn(&str) -> Option<SecretString>,
}

static PERSON: OnceLock<Person> = OnceLock::new();

/// Sets how plugins reach a person, once for the process. Before that they reach nobody.
pub fn set_person(person: Person) {
    // A second call changes nothing.
    let _ = PERSON.set(person);
}

/// Passes what plugins say and ask on to the [`Person`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Plugins;

impl Callbacks for Plugins {
    fn display_message(&self, message: &str) {
        if let Some(person) = PERSON.get() {
            (person.show)(&shown(message));
        }
    }

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        let person = PERSON.get()?;
        (person.ask)(&shown(description))
    }
}

/// Makes a plugin's text one line without control characters, which a terminal would obey.
fn shown(text: &str) -> String {
    let text: String =
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    one_line(&text)
}
