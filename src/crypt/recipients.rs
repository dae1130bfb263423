//! Recipients: the public keys of those who can read what is stored.

use std::fmt;
use std::io::Write as _;

use age::{Encryptor, Recipient};

use super::SealError;
use super::identities::Plugins;

/// The most recipients. So many take a few kilobytes in each stored file.
const MOST: usize = 20;
/// The longest recipient: an SSH key of 16,384 bits.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Public keys to seal to, kept as the texts that were given.
#[derive(Clone, Default)]
pub struct Recipients {
    all: Vec<One>,
}

#[derive(Clone)]
struct One {
    text: String,
    key: Public,
}

#[derive(Clone)]
enum Public {
    X25519(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
    Plugin(age::plugin::Recipient),
}

/// A text that is no recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRecipientError {
    /// Neither age nor OpenSSH has recipients of this form.
    #[error("{0:?} is no recipient: it would look like age1… or ssh-ed25519 AAAA…")]
    Unknown(String),
    /// A private key where a public one belongs.
    #[error("this is a secret key, not a recipient: give its public half (age-keygen -y shows it)")]
    Secret,
    /// More recipients than anybody can mean.
    #[error("more than {MOST} recipients")]
    TooMany,
}

impl Recipients {
    /// Reads recipients, one a line. Skips empty lines and lines that begin with `#`, as age does.
    pub fn parse(text: &str) -> Result<Self, ParseRecipientError> {
        let mut recipients = Self::default();
        let text = text.trim_start_matches('\u{feff}');
        for line in text.lines().map(str::trim) {
            if !line.is_empty() && !line.starts_with('#') {
                recipients.add(line)?;
            }
        }
        Ok(recipients)
    }

    /// Adds a recipient, unless it is there already.
    pub fn add(&mut self, text: &str) -> Result<(), ParseRecipientError> {
        let text = text.trim();
        if text.to_ascii_uppercase().contains("SECRET-KEY") || text.contains("PRIVATE KEY") {
            return Err(ParseRecipientError::Secret);
        }
        // A comment after an SSH key only tells people whose key it is.
        let words: Vec<&str> = text.split_whitespace().take(2).collect();
        let key = parse_one(text, &words).ok_or_else(|| {
            let shown = text.chars().take(60).collect();
            ParseRecipientError::Unknown(shown)
        })?;
        let is_same = |one: &One| one.text.split_whitespace().take(2).eq(words.iter().copied());
        if self.all.iter().any(is_same) {
            return Ok(());
        }
        if self.all.len() == MOST {
            return Err(ParseRecipientError::TooMany);
        }
        self.all.push(One { text: text.to_owned(), key });
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The texts as they were given.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|one| one.text.as_str())
    }

    /// Seals a whole file to all of them, and to `also`.
    pub fn seal(
        &self,
        also: Option<&age::x25519::Recipient>,
        bytes: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let all = self.boxed().map_err(SealError::Age)?;
        let also = also.map(|also| also as &dyn Recipient);
        let all = all.iter().map(|one| &**one).chain(also);
        let encryptor = Encryptor::with_recipients(all).map_err(SealError::Age)?;
        // The header has a few hundred bytes for each recipient, and each piece of 64 KiB grows by
        // 16 bytes.
        let room = bytes.len() + bytes.len() / 4096 + 512 * (self.all.len() + 2);
        let mut writer = encryptor.wrap_output(Vec::with_capacity(room))?;
        writer.write_all(bytes)?;
        Ok(writer.finish()?)
    }

    fn boxed(&self) -> Result<Vec<Box<dyn Recipient>>, age::EncryptError> {
        let mut boxed: Vec<Box<dyn Recipient>> = Vec::new();
        let mut of_plugins = Vec::new();
        for one in &self.all {
            match &one.key {
                Public::X25519(key) => boxed.push(Box::new(key.clone())),
                Public::Ssh(key) => boxed.push(Box::new(key.clone())),
                Public::Plugin(key) => of_plugins.push(key.clone()),
            }
        }
        let mut names: Vec<&str> = of_plugins.iter().map(age::plugin::Recipient::plugin).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let plugin = age::plugin::RecipientPluginV1::new(name, &of_plugins, &[], Plugins)?;
            boxed.push(Box::new(plugin));
        }
        Ok(boxed)
    }
}

fn parse_one(text: &str, words: &[&str]) -> Option<Public> {
    if text.len() > MAX_LINE_BYTES || text.chars().any(char::is_control) {
        return None;
    }
    if let [_, _] = words {
        let key = words.join(" ").parse().ok()?;
        return Some(Public::Ssh(key));
    }
    let x25519 = text.parse().map(Public::X25519).ok();
    x25519.or_else(|| text.parse().map(Public::Plugin).ok())
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.texts()).finish()
    }
}

impl PartialEq for Recipients {
    fn eq(&self, other: &Self) -> bool {
        self.texts().eq(other.texts())
    }
}
