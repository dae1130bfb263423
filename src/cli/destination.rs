//! Options about how a destination is reached, the same for every verb.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use seawall_backends::{Error, Options, RetryPolicy, Ssh};
use secrecy::SecretString;

use super::CommandError;
use super::output::{Loudness, Output, count, shown, while_};
use super::warnings::warn;
use crate::causes;
use crate::host::secrets;
use crate::place::{absolute, shell};
use crate::repository::names;

/// No server is the faster for more; each is a thread.
const MAX_CONNECTIONS: usize = 256;
/// Failures in passing that are told without `-v`: those that cost a person's time.
const LONG_PAUSE: Duration = Duration::from_secs(2);

/// How many calls were made again.
pub(super) static RETRIES: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Args)]
#[command(next_help_heading = "How the destination is reached")]
pub(super) struct Reaching {
    /// Connections (SFTP) or requests (object storage) at a time [default: by kind]
    #[arg(long, global = true, value_name = "N", value_parser = connections)]
    connections: Option<NonZeroUsize>,
    /// Send at most so many bytes a second (500K, 2M: of 1024 each)
    #[arg(long, global = true, value_name = "RATE", value_parser = rate)]
    limit_upload: Option<NonZeroU64>,
    /// Receive at most so many bytes a second
    #[arg(long, global = true, value_name = "RATE", value_parser = rate)]
    limit_download: Option<NonZeroU64>,
    /// How long to try again what fails in passing, each call (30s, 2h; 0: not at all) [default: 5m]
    #[arg(long, global = true, value_name = "TIME", value_parser = patience)]
    retry_for: Option<Duration>,
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
    #[arg(long, global = true, env = "SEAWALL_PACK_STORAGE_CLASS", value_name = "CLASS")]
    pack_storage_class: Option<String>,
}

impl Reaching {
    /// What the transfer layer is told.
    pub(super) fn options(&self, loudness: Loudness) -> Result<Options, CommandError> {
        let classes = self.pack_storage_class.iter();
        Ok(Options {
            connections: self.connections,
            upload_limit: self.limit_upload,
            download_limit: self.limit_download,
            retry: self.retry_for.map_or_else(RetryPolicy::default, RetryPolicy::lasting),
            tell_retry: Arc::new(move |error, pause| tell_retry(loudness, error, pause)),
            plain_http: self.plain_http,
            ca_file: self.ca_file.clone(),
            // Commits and fs objects are small, and what restore and browsing begin with.
            storage_classes: classes
                .map(|class| (names::BLOCKS.to_owned(), class.clone()))
                .collect(),
            password: secret(self.password_file.as_deref(), "SEAWALL_PASSWORD")?,
            ssh: Ssh {
                identities: self.ssh_key.clone(),
                passphrase: secret(self.ssh_passphrase_file.as_deref(), "SEAWALL_SSH_PASSPHRASE")?,
                config: self.ssh_config.clone(),
                known_hosts: self.ssh_known_hosts.clone(),
            },
            variable: Arc::new(variable),
            ask: Arc::new(ask),
            ..Options::default()
        })
    }
}

impl Reaching {
    /// Those options, as words of a shell, for a command on this host; each with a space before it.
    pub(super) fn words(&self) -> String {
        let plain = self.plain_http.then(|| " --plain-http".to_owned());
        let files = [
            ("--ca-file", &self.ca_file),
            ("--password-file", &self.password_file),
            ("--ssh-passphrase-file", &self.ssh_passphrase_file),
            ("--ssh-config", &self.ssh_config),
            ("--ssh-known-hosts", &self.ssh_known_hosts),
        ];
        let files = files.iter().filter_map(|(name, file)| Some((*name, file.as_ref()?)));
        let keys = self.ssh_key.iter().map(|key| ("--ssh-key", key));
        let files = keys
            .chain(files)
            .map(|(name, file)| format!(" {name} {}", shell(&absolute(file).to_string_lossy())));
        plain.into_iter().chain(files).collect()
    }

    /// Those options, as words of a shell, that another machine needs to reach the destination too;
    /// each with a space before it. Files have no paths of this host, which may be dead by then.
    pub(super) fn words_elsewhere(&self) -> String {
        let given = |name, file: &Option<PathBuf>| file.is_some().then_some(name);
        let words = [
            self.plain_http.then_some("--plain-http"),
            (!self.ssh_key.is_empty()).then_some("--ssh-key SSH-KEY-FILE"),
            given("--ca-file CA-FILE", &self.ca_file),
            given("--password-file PASSWORD-FILE", &self.password_file),
            given("--ssh-passphrase-file PASSPHRASE-FILE", &self.ssh_passphrase_file),
            given("--ssh-config SSH-CONFIG-FILE", &self.ssh_config),
            given("--ssh-known-hosts KNOWN-HOSTS-FILE", &self.ssh_known_hosts),
        ];
        let words = words.into_iter().flatten();
        words.fold(String::new(), |all, word| all + " " + word)
    }
}

/// How many calls were made again in this process, in words; `None`: none.
pub(super) fn retries() -> Option<String> {
    let number = RETRIES.load(Ordering::Relaxed);
    (number > 0).then(|| {
        format!(
            "{} failed in passing and {} made again",
            count(number, "call", "calls"),
            if number == 1 { "was" } else { "were" }
        )
    })
}

fn tell_retry(loudness: Loudness, error: &Error, pause: Duration) {
    RETRIES.fetch_add(1, Ordering::Relaxed);
    let is_told = match loudness {
        Loudness::Quiet => false,
        Loudness::Normal => pause >= LONG_PAUSE,
        Loudness::Verbose => true,
    };
    if is_told {
        Output::warning(format_args!(
            "{}: trying again in {}",
            shown(&causes::chain(error)),
            while_(pause.as_secs().max(1))
        ));
    }
}

/// A variable of the environment. A service of systemd may have neither HOME nor USER, which SSH
/// looks up in the list of users.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().or_else(|| match name {
        "HOME" => std::env::home_dir()?.into_os_string().into_string().ok(),
        "USER" => uzers::get_current_username()?.into_string().ok(),
        _ => None,
    })
}

/// Asks on the terminal, if there is one.
pub(super) fn ask(what: &str) -> Option<SecretString> {
    use std::io::IsTerminal as _;
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let answer = rpassword::prompt_password(format!("{what}: "));
    answer.ok().map(SecretString::from)
}

/// A secret: the first line of a file, or a variable.
pub(super) fn secret(
    file: Option<&Path>,
    variable: &'static str,
) -> Result<Option<SecretString>, CommandError> {
    match file {
        Some(path) => Ok(Some(secrets::first_line(path, variable, &warn)?)),
        None => Ok(variable_secret(variable)),
    }
}

/// A secret in a variable of the environment. An empty one is none.
pub(super) fn variable_secret(variable: &str) -> Option<SecretString> {
    std::env::var(variable).ok().filter(|secret| !secret.is_empty()).map(SecretString::from)
}

/// A number and its unit, which may be empty.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let digits = text.bytes().take_while(is_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// Bytes a second: a number, and K, M or G for 1024 and its powers.
fn rate(text: &str) -> Result<NonZeroU64, String> {
    let rate = || {
        let (number, unit) = number_and_unit(text)?;
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            _ => return None,
        };
        NonZeroU64::new(number.checked_mul(factor)?)
    };
    rate().ok_or_else(|| "give bytes a second, such as 500K or 2M".to_owned())
}

/// A while: a number and s, m, h or d; 0 is none.
fn patience(text: &str) -> Result<Duration, String> {
    let seconds = || {
        let (number, unit) = number_and_unit(text)?;
        let factor = match unit {
            "" if number == 0 => 1,
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        number.checked_mul(factor)
    };
    let seconds = seconds().ok_or_else(|| "give a time such as 30s, 5m, 2h, or 0".to_owned())?;
    Ok(Duration::from_secs(seconds))
}

fn connections(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().and_then(NonZeroUsize::new);
    number
        .filter(|number| number.get() <= MAX_CONNECTIONS)
        .ok_or_else(|| format!("give a number from 1 to {MAX_CONNECTIONS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, bytes) in [
            ("1", 1),
            ("500K", 500 << 10),
            ("2m", 2 << 20),
            ("2MB", 2 << 20),
            ("1G", 1 << 30),
            ("100b", 100),
            ("500KiB", 500 << 10),
        ] {
            assert_eq!(rate(text).unwrap().get(), bytes, "{text}");
        }
        for text in ["", "0", "K", "-1", "1.5M", "2 M", "99999999999G", "1T", "B", "2MBB"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_and_connections() {
        for (text, seconds) in [("0", 0), ("0s", 0), ("90s", 90), ("5m", 300), ("2h", 7200)] {
            assert_eq!(patience(text).unwrap().as_secs(), seconds, "{text}");
        }
        for text in ["", "5", "m", "-1m", "1w", "1.5m", "99999999999999999d"] {
            assert!(patience(text).is_err(), "{text}");
        }
        assert_eq!(connections("256").unwrap().get(), 256);
        for text in ["0", "257", "x", ""] {
            assert!(connections(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_another_machine_needs_is_told_as_words() {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Typed {
            #[command(flatten)]
            reaching: Reaching,
        }
        let words = |typed: &[&str]| {
            let typed = [&["seawall"], typed].concat();
            Typed::try_parse_from(typed).unwrap().reaching.words_elsewhere()
        };
        assert_eq!(words(&["--connections", "3", "--retry-for", "0"]), "");
        let typed = ["--plain-http", "--ssh-key", "/keys/a key", "--ca-file", "/ca.pem"];
        assert_eq!(words(&typed), " --plain-http --ssh-key SSH-KEY-FILE --ca-file CA-FILE");
    }
}
