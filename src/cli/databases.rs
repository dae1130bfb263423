//! Options about how database servers are reached, for verbs that read an installation.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use secrecy::ExposeSecret as _;

use super::CommandError;
use super::destination::secret;
use super::global::environment;
use crate::database::mysql::{LOGIN_REFUSED, MySqlAddress, MySqlServer, MySqlTls};
use crate::place::{absolute, shell};
use crate::seafile::config::DatabasePassword;
use crate::seafile::discover::{DatabaseOverrides, DatabaseRole, Environment};

#[derive(Debug, Args)]
#[command(next_help_heading = "How a MySQL or MariaDB server is reached")]
pub(super) struct DatabaseArguments {
    /// The server's name or address
    #[arg(
        long = "database-host",
        id = "database-host",
        env = "SEAWALL_DATABASE_HOST",
        value_name = "HOST"
    )]
    host: Option<String>,
    /// Its port
    #[arg(
        long = "database-port",
        id = "database-port",
        env = "SEAWALL_DATABASE_PORT",
        value_name = "PORT"
    )]
    port: Option<u16>,
    /// Its socket, instead of host and port
    #[arg(
        long = "database-socket",
        id = "database-socket",
        env = "SEAWALL_DATABASE_SOCKET",
        value_name = "FILE",
        conflicts_with = "database-host"
    )]
    socket: Option<String>,
    /// The account; it needs SELECT, SHOW VIEW, TRIGGER and EVENT
    #[arg(
        long = "database-user",
        id = "database-user",
        env = "SEAWALL_DATABASE_USER",
        value_name = "NAME"
    )]
    user: Option<String>,
    /// Its password is in this file [or: in `SEAWALL_DATABASE_PASSWORD`]
    #[arg(long = "database-password-file", id = "database-password-file", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Encrypt the connection, and trust these certificates (PEM)
    #[arg(
        long = "database-ca-file",
        id = "database-ca-file",
        env = "SEAWALL_DATABASE_CA_FILE",
        value_name = "FILE"
    )]
    ca_file: Option<String>,
    /// The name of a database, such as seafile=seafile-db, ccnet=…, seahub=…, also-NAME=…
    #[arg(long = "database-name", id = "database-name", value_name = "ROLE=NAME", value_parser = role_and_name)]
    name: Vec<(DatabaseRole, String)>,
}

impl DatabaseArguments {
    /// The process's variables, and what was said here.
    pub(super) fn environment(&self) -> Result<Environment, CommandError> {
        self.environment_with(&AlsoDatabases::default())
    }

    /// The same, with further databases.
    pub(super) fn environment_with(
        &self,
        also: &AlsoDatabases,
    ) -> Result<Environment, CommandError> {
        let file = self.password_file.as_deref();
        let password = secret(file, "SEAWALL_DATABASE_PASSWORD")?;
        Ok(environment().with_overrides(DatabaseOverrides {
            host: self.host.clone(),
            port: self.port,
            socket: self.socket.clone(),
            user: self.user.clone(),
            password: password.map(|password| DatabasePassword::new(password.expose_secret())),
            ca_file: self.ca_file.clone(),
            names: self.name.clone(),
            also: also.name.clone(),
        }))
    }
}

impl DatabaseArguments {
    /// The server that is named here, and nothing else.
    pub(super) fn server(&self) -> Result<MySqlServer, CommandError> {
        let missing = |what: &str, option: &str| {
            let error = anyhow!("the database server's {what} is not given");
            CommandError::new(error, format!("add {option}: the configuration is not asked for it"))
        };
        let address = match (&self.socket, &self.host) {
            (Some(socket), _) => MySqlAddress::Socket(socket.into()),
            (None, Some(host)) => {
                MySqlAddress::Tcp { host: host.clone(), port: self.port.unwrap_or(3306) }
            }
            (None, None) => return Err(missing("place", "--database-host or --database-socket")),
        };
        let user = self.user.clone();
        let password = secret(self.password_file.as_deref(), "SEAWALL_DATABASE_PASSWORD")?;
        let ca_file = self.ca_file.as_ref().map(PathBuf::from);
        Ok(MySqlServer {
            address,
            user: user.ok_or_else(|| missing("account", "--database-user"))?,
            password: password.map(|password| DatabasePassword::new(password.expose_secret())),
            tls: ca_file.map_or(MySqlTls::Off, |file| MySqlTls::Required {
                ca_file: Some(file),
                skip_verify: false,
            }),
        })
    }

    /// The options that lead to the server, as words of a shell, each with a space before it. A password in the
    /// environment is there when they are pasted.
    pub(super) fn words(&self) -> String {
        let mut words = String::new();
        let mut add = |option: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = write!(words, " {option} {}", shell(value));
        };
        if let Some(host) = &self.host {
            add("--database-host", host);
        }
        if let Some(port) = self.port {
            add("--database-port", &port.to_string());
        }
        let path = |path: &Path| absolute(path).to_string_lossy().into_owned();
        if let Some(socket) = &self.socket {
            add("--database-socket", &path(socket.as_ref()));
        }
        if let Some(user) = &self.user {
            add("--database-user", user);
        }
        if let Some(file) = &self.password_file {
            add("--database-password-file", &path(file));
        }
        if let Some(file) = &self.ca_file {
            add("--database-ca-file", &path(file.as_ref()));
        }
        words
    }

    /// The names that were given here, in the same way.
    pub(super) fn given_names(&self) -> String {
        let names = self.name.iter();
        let names: Vec<(String, &str)> =
            names.map(|(role, name)| (role.to_string(), name.as_str())).collect();
        Self::name_words(names.iter().map(|(role, name)| (role.as_str(), *name)))
    }

    /// Options that name databases, as words of a shell.
    pub(super) fn name_words<'a>(names: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        let word = |(role, name)| format!(" --database-name {}", shell(&format!("{role}={name}")));
        names.map(word).collect()
    }

    /// The error, with who it was that a server refused, where these options name the account.
    pub(super) fn blame(&self, mut error: CommandError) -> CommandError {
        error.hint = error.hint.map(|hint| self.blame_hint(hint));
        error
    }

    /// The same of a hint. The layers between do not tell whose error it is, and pass the hint on.
    pub(super) fn blame_hint(&self, hint: String) -> String {
        let is_named = self.user.is_some() || self.password_file.is_some();
        if hint == LOGIN_REFUSED && is_named { self.refused() } else { hint }
    }

    fn refused(&self) -> String {
        let account = match &self.user {
            Some(user) => format!("the account {user} of --database-user"),
            None => "the account of Seafile's configuration".to_owned(),
        };
        let password = match (&self.password_file, std::env::var_os("SEAWALL_DATABASE_PASSWORD")) {
            (Some(file), _) => format!("the password in {}", file.display()),
            (None, Some(_)) => "the password in SEAWALL_DATABASE_PASSWORD".to_owned(),
            (None, None) => "no password".to_owned(),
        };
        format!(
            "the server refuses {account} with {password} from this host: accounts are of a name and a host ('{}'@'%'); \
             servers and accounts that take no connection without TLS can say the same: see --database-ca-file",
            self.user.as_deref().unwrap_or("seafile")
        )
    }

    /// Refuses names for roles that are not among these.
    pub(super) fn must_know(&self, roles: &[String]) -> Result<(), CommandError> {
        let mut names = self.name.iter().map(|(role, _)| role.to_string());
        let Some(unknown) = names.find(|role| !roles.contains(role)) else {
            return Ok(());
        };
        let error = anyhow!("the snapshot has no database {unknown} that was on a server");
        Err(CommandError::new(error, format!("it has {}", roles.join(", "))))
    }

    /// What a role's database is called here.
    pub(super) fn name_of(&self, role: &str) -> Option<String> {
        let mut names = self.name.iter();
        let found = names.find(|(given, _)| given.to_string() == role);
        found.map(|(_, name)| name.clone())
    }
}

/// Databases besides Seafile's three.
#[derive(Debug, Default, Args)]
pub(super) struct AlsoDatabases {
    /// Another database on the server of Seafile's own to back up too
    #[arg(
        long = "also-database",
        id = "also-database",
        env = "SEAWALL_ALSO_DATABASE",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = also_name
    )]
    name: Vec<String>,
}

/// The name becomes part of the names of files.
fn also_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("a name of letters, digits, _ and - is wanted".to_owned())
}

fn role_and_name(text: &str) -> Result<(DatabaseRole, String), String> {
    let known = [DatabaseRole::Seafile, DatabaseRole::Ccnet, DatabaseRole::Seahub];
    let parse = || {
        let (role, name) = text.split_once('=')?;
        let also = || Some(DatabaseRole::Also(also_name(role.strip_prefix("also-")?).ok()?));
        let mut known = known.into_iter();
        let role = known.find(|known| known.to_string() == role).or_else(also)?;
        (!name.is_empty()).then(|| (role, name.to_owned()))
    };
    parse().ok_or_else(|| "give seafile=NAME, ccnet=NAME, seahub=NAME or also-OLD=NAME".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_names() {
        let parsed = role_and_name("ccnet=ccnet-db").unwrap();
        assert_eq!(parsed, (DatabaseRole::Ccnet, "ccnet-db".to_owned()));
        let also = role_and_name("also-a_b-c=x").unwrap().0;
        assert_eq!(also.to_string(), "also-a_b-c");
        for text in ["", "ccnet", "ccnet=", "other=x", "also-=x", "also-a/b=x"] {
            assert!(role_and_name(text).is_err(), "{text}");
        }
    }
}
