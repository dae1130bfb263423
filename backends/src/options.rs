//! How to reach a destination: settings that do not belong into a URL. The command line fills them
//! in. This crate does not read the environment itself; only AWS's own credential chain does.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::{RetryPolicy, TellRetry};

/// Asks a person for a secret; the text says which. None means that nobody can be asked.
pub type Ask = dyn Fn(&str) -> Option<SecretString> + Send + Sync;
/// Reads a variable of the environment.
pub type Variable = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What to do where the destination does not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Fail with `NotFound`.
    Refuse,
    /// Make its folders.
    Make,
}

/// How to reach a destination. The default suits a server with nothing special about it.
#[derive(Clone)]
pub struct Options {
    /// Connections, or requests, at a time; None leaves it to the kind of destination.
    pub connections: Option<NonZeroUsize>,
    /// At most this many bytes a second go out, over all connections.
    pub upload_limit: Option<NonZeroU64>,
    /// At most this many bytes a second come in, over all connections.
    pub download_limit: Option<NonZeroU64>,
    /// How long and how often transient errors are retried.
    pub retry: RetryPolicy,
    /// Called at each retry.
    pub tell_retry: Arc<TellRetry>,
    /// A connection is given up after so long without a byte in either direction.
    pub stalled_after: Duration,
    /// Whether unencrypted HTTP may be used.
    pub plain_http: bool,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Storage classes (S3) of keys below a prefix; other keys have the bucket's own.
    pub storage_classes: Vec<(String, String)>,
    /// The password to log in with (SFTP, WebDAV).
    pub password: Option<SecretString>,
    /// For SFTP.
    pub ssh: Ssh,
    /// Where SSH finds the agent and the home folder, and cloud storage its credentials.
    pub variable: Arc<Variable>,
    /// Called for a secret that no other option gives.
    pub ask: Arc<Ask>,
}

/// What SFTP needs beyond the URL.
#[derive(Debug, Clone, Default)]
pub struct Ssh {
    /// Key files, before those of the configuration and the usual ones.
    pub identities: Vec<PathBuf>,
    /// The passphrase of encrypted key files.
    pub passphrase: Option<SecretString>,
    /// The configuration, instead of `~/.ssh/config`.
    pub config: Option<PathBuf>,
    /// Known host keys, instead of `~/.ssh/known_hosts`.
    pub known_hosts: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: None,
            upload_limit: None,
            download_limit: None,
            retry: RetryPolicy::default(),
            tell_retry: Arc::new(|_, _| {}),
            stalled_after: Duration::from_mins(2),
            plain_http: false,
            ca_file: None,
            storage_classes: Vec::new(),
            password: None,
            ssh: Ssh::default(),
            variable: Arc::new(|_| None),
            ask: Arc::new(|_| None),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("connections", &self.connections)
            .field("upload_limit", &self.upload_limit)
            .field("download_limit", &self.download_limit)
            .field("retry", &self.retry)
            .field("stalled_after", &self.stalled_after)
            .field("plain_http", &self.plain_http)
            .field("ca_file", &self.ca_file)
            .field("storage_classes", &self.storage_classes)
            .field("password", &self.password)
            .field("ssh", &self.ssh)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let options = Options {
            password: Some("hunter2".into()),
            ssh: Ssh { passphrase: Some("hunter2".into()), ..Ssh::default() },
            variable: Arc::new(|_| Some("hunter2".to_owned())),
            ..Options::default()
        };
        let shown = format!("{options:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("plain_http"), "{shown}");
    }
}
