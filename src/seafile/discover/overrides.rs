//! What the administrator says of database servers against the installation's configuration: a
//! container's configuration names a host that only its network knows.

use super::database::Role;
use super::mysql::MysqlDatabase;
use super::origin::{Origin, Setting};
use crate::seafile::config::Secret;

/// What counts instead of the configuration, for all databases that are on a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseOverrides {
    /// The server's name or address.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Its socket, instead of host and port.
    pub socket: Option<String>,
    /// The account.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Certificates (PEM) to trust; the connection is encrypted then.
    pub ca_file: Option<String>,
    /// Names of databases.
    pub names: Vec<(Role, String)>,
    /// Further databases on the server of Seafile's own.
    pub also: Vec<String>,
}

impl DatabaseOverrides {
    /// Whether it says where the server is.
    pub(super) fn has_place(&self) -> bool {
        self.host.is_some() || self.socket.is_some()
    }

    /// Puts it in the place of what was found.
    pub(super) fn apply(&self, database: &mut MysqlDatabase) {
        fn set<T: Clone>(given: Option<&T>, name: &str) -> Option<Setting<T>> {
            given.map(|value| Setting::new(value.clone(), Origin::Option(name.to_owned())))
        }
        if let Some(host) = set(self.host.as_ref(), "--database-host") {
            database.host = Some(host);
            database.unix_socket = None;
        }
        if let Some(socket) = set(self.socket.as_ref(), "--database-socket") {
            database.unix_socket = Some(socket);
        }
        if let Some(port) = set(self.port.as_ref(), "--database-port") {
            database.port = port;
        }
        if let Some(user) = set(self.user.as_ref(), "--database-user") {
            database.user = Some(user);
            // That of another account is of no use.
            database.password = None;
        }
        if let Some(password) = set(self.password.as_ref(), "--database-password-file") {
            database.password = Some(password);
        }
        if let Some(file) = set(self.ca_file.as_ref(), "--database-ca-file") {
            database.ca_path = Some(file);
            database.use_ssl = true;
            database.skip_verify = false;
        }
        let name = self.names.iter().find(|(role, _)| *role == database.role);
        if let Some(name) = set(name.map(|(_, name)| name), "--database-name") {
            database.name = name;
        }
    }
}
