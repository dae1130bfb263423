//! Which server to connect to, and how to log in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::{Opts, OptsBuilder, SslOpts};

use crate::seafile::config::DatabasePassword;

/// The most bytes that one row may have: the limit of the protocol.
const MAX_PACKET: usize = 1 << 30;
/// Pause between the probes that notice a peer that went away without a word.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A database server and an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MySqlServer {
    /// Where it listens.
    pub address: MySqlAddress,
    /// The account.
    pub user: String,
    /// Its password.
    pub password: Option<DatabasePassword>,
    /// Whether the connection is encrypted.
    pub tls: MySqlTls,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MySqlAddress {
    /// A machine and a port.
    Tcp {
        /// Its name or address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket of this machine.
    Socket(PathBuf),
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MySqlTls {
    /// No.
    #[default]
    Off,
    /// Yes.
    Required {
        /// Certificates (PEM) to trust besides the usual ones.
        ca_file: Option<PathBuf>,
        /// Whether the server's certificate is not looked at.
        skip_verify: bool,
    },
}

impl fmt::Display for MySqlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for MySqlServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.address)
    }
}

impl MySqlServer {
    /// For the driver.
    pub(super) fn opts(&self) -> Opts {
        let builder = OptsBuilder::default()
            .user(Some(self.user.clone()))
            .pass(self.password.as_ref().map(|password| password.reveal().to_owned()))
            // Connect to the address that was given, not to the socket that the server names as
            // well.
            .prefer_socket(false)
            .tcp_keepalive(Some(KEEPALIVE))
            .max_allowed_packet(Some(MAX_PACKET))
            .wait_timeout(Some(24 * 3600))
            .stmt_cache_size(0);
        let builder = match &self.address {
            MySqlAddress::Tcp { host, port } => {
                builder.ip_or_hostname(host.clone()).tcp_port(*port)
            }
            MySqlAddress::Socket(path) => builder.socket(Some(path.to_string_lossy().into_owned())),
        };
        match &self.tls {
            MySqlTls::Off => builder,
            MySqlTls::Required { ca_file, skip_verify } => {
                let roots = ca_file.iter().map(|file| file.clone().into());
                builder.ssl_opts(
                    SslOpts::default()
                        .with_root_certs(roots.collect())
                        .with_danger_accept_invalid_certs(*skip_verify)
                        .with_danger_skip_domain_validation(*skip_verify),
                )
            }
        }
        .into()
    }
}
