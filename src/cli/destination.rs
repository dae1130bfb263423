//! Options about how a destination is reached, the same for every verb.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::Args;
use seawall_backends::{Options, RetryPolicy, Ssh};
use secrecy::SecretString;

use super::CommandError;
use super::status::Age;
use crate::repository::names;

/// No password or passphrase file is longer.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

#[derive(Debug, Args)]
#[command(next_help_heading = "How the destination is reached")]
pub(super) struct Reaching {
    /// Connections (SFTP) or requests (object storage) at a time [default: by kind]
    #[arg(long, global = true, value_name = "N")]
    connections: Option<NonZeroUsize>,
    /// Send at most so many bytes a second (500K, 2M)
    #[arg(long, global = true, value_name = "RATE", value_parser = rate)]
    limit_upload: Option<NonZeroU64>,
    /// Receive at most so many bytes a second
    #[arg(long, global = true, value_name = "RATE", value_parser = rate)]
    limit_download: Option<NonZeroU64>,
    /// How long to try again what fails in passing, each call (5m, 2h)
    #[arg(long, global = true, value_name = "TIME", value_parser = Age::from_str)]
    retry_for: Option<Age>,
    /// Trust these certificates (PEM) too
    #[arg(long, global = true, env = "SEAWALL_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Allow unencrypted HTTP
    #[arg(long, global = true)]
    plain_http: bool,
    /// The password for SFTP or WebDAV is in this file [or: in `SEAWALL_PASSWORD`]
    #[arg(long, global = true, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Log in with this key (SFTP)
    #[arg(long, global = true, value_name = "FILE")]
    ssh_key: Vec<PathBuf>,
    /// The passphrase of that key is in this file [or: in `SEAWALL_SSH_PASSPHRASE`]
    #[arg(long, global = true, value_name = "FILE")]
    ssh_passphrase_file: Option<PathBuf>,
    /// Read this instead of `~/.ssh/config`
    #[arg(long, global = true, value_name = "FILE")]
    ssh_config: Option<PathBuf>,
    /// Read this instead of `~/.ssh/known_hosts`
    #[arg(long, global = true, value_name = "FILE")]
    ssh_known_hosts: Option<PathBuf>,
    /// Keep packs of blocks in this storage class (S3), such as `STANDARD_IA`; all else stays hot
    #[arg(
        long,
        global = true,
        env = "SEAWALL_PACK_STORAGE_CLASS",
        value_name = "CLASS"
    )]
    pack_storage_class: Option<String>,
}

impl Reaching {
    /// What the transfer layer is told.
    pub(super) fn options(&self) -> Result<Options, CommandError> {
        let classes = self.pack_storage_class.iter();
        Ok(Options {
            connections: self.connections,
            upload_limit: self.limit_upload,
            download_limit: self.limit_download,
            retry: self.retry_for.map_or_else(RetryPolicy::default, |time| {
                RetryPolicy::lasting(time.duration())
            }),
            plain_http: self.plain_http,
            ca_file: self.ca_file.clone(),
            // Commits and fs objects are small, and what restore and browsing begin with.
            storage_classes: classes
                .map(|class| (names::BLOCKS.to_owned(), class.clone()))
                .collect(),
            password: secret(self.password_file.as_deref(), "SEAWALL_PASSWORD")?,
            ssh: Ssh {
                identities: self.ssh_key.clone(),
                passphrase: secret(
                    self.ssh_passphrase_file.as_deref(),
                    "SEAWALL_SSH_PASSPHRASE",
                )?,
                config: self.ssh_config.clone(),
                known_hosts: self.ssh_known_hosts.clone(),
            },
            variable: Arc::new(|name| std::env::var(name).ok()),
            ask: Arc::new(ask),
            ..Options::default()
        })
    }
}

/// Asks on the terminal, if there is one.
fn ask(what: &str) -> Option<SecretString> {
    use std::io::IsTerminal as _;
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let answer = rpassword::prompt_password(format!("{what}: "));
    answer.ok().map(SecretString::from)
}

/// A secret: the first line of a file, or a variable.
fn secret(file: Option<&Path>, variable: &str) -> Result<Option<SecretString>, CommandError> {
    let Some(path) = file else {
        return Ok(std::env::var(variable).ok().map(SecretString::from));
    };
    let read = || {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(path)?
            .take(MAX_SECRET_BYTES)
            .read_to_string(&mut text)?;
        let line = text.lines().next().unwrap_or_default().to_owned();
        zeroize::Zeroize::zeroize(&mut text);
        std::io::Result::Ok(line)
    };
    let line = read().with_context(|| format!("cannot read {}", path.display()))?;
    if line.is_empty() {
        let error = anyhow!("{} begins with an empty line", path.display());
        return Err(CommandError::new(error, "the secret is its first line"));
    }
    Ok(Some(line.into()))
}

/// Bytes a second: a number, and K, M or G for 1024 and its powers.
fn rate(text: &str) -> Result<NonZeroU64, String> {
    let (digits, factor) = match text.trim_end_matches(['B', 'b']).char_indices().next_back() {
        Some((end, 'K' | 'k')) => (&text[..end], 1 << 10),
        Some((end, 'M' | 'm')) => (&text[..end], 1 << 20),
        Some((end, 'G' | 'g')) => (&text[..end], 1 << 30),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok();
    number
        .and_then(|number| number.checked_mul(factor))
        .and_then(NonZeroU64::new)
        .ok_or_else(|| "give bytes a second, such as 500K or 2M".to_owned())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn rates() {
        for (text, bytes) in [
            ("1", 1),
            ("500K", 500 << 10),
            ("2m", 2 << 20),
            ("2MB", 2 << 20),
            ("1G", 1 << 30),
        ] {
            assert_eq!(rate(text).unwrap().get(), bytes, "{text}");
        }
        for text in ["", "0", "K", "-1", "1.5M", "2 M", "99999999999G", "1T", "B"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a file of a test")]
    fn secrets_come_from_the_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2 \r\nmore").unwrap();
        let read = secret(Some(&path), "NO_SUCH_VARIABLE").unwrap().unwrap();
        assert_eq!(read.expose_secret(), "hunter2 ");
        std::fs::write(&path, "\nx").unwrap();
        assert!(secret(Some(&path), "NO_SUCH_VARIABLE").is_err());
        assert!(secret(Some(&folder.path().join("none")), "NO_SUCH_VARIABLE").is_err());
        assert!(secret(None, "NO_SUCH_VARIABLE").unwrap().is_none());
    }
}
