//! Options by which the administrator overrides the installation's own configuration: where the
//! database servers are (a container's configuration names a host that only its network knows), and
//! where files and folders lie.

use std::path::PathBuf;

use super::database::DatabaseRole;
use super::mysql::MysqlDatabase;
use super::origin::{Setting, SettingOrigin};
use crate::seafile::config::DatabasePassword;

/// Where files and folders of an installation lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// Files with the container's variables; later ones win over earlier ones.
    pub env_files: Vec<PathBuf>,
    /// The folder that holds `storage`.
    pub data_dir: Option<PathBuf>,
    /// The folder that holds `seafile.conf`.
    pub conf_dir: Option<PathBuf>,
    /// Whether objects lie on the disk, whatever the configuration says about object storage.
    pub objects_on_disk: bool,
    /// Paths that are backed up besides the installation (`--also`). Discovery does not ask for
    /// docker's files if they are among these.
    pub also: Vec<PathBuf>,
}

/// Values that replace those of the configuration, for all databases on a server.
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
    pub password: Option<DatabasePassword>,
    /// Certificates (PEM) to trust. If given, the connection is encrypted.
    pub ca_file: Option<String>,
    /// Names of databases.
    pub names: Vec<(DatabaseRole, String)>,
    /// Further databases on the server of Seafile's own database.
    pub also: Vec<String>,
}

impl DatabaseOverrides {
    /// The first option that is given. If there is one, databases are on a server, whatever else is
    /// found.
    pub(super) fn first_option(&self) -> Option<&'static str> {
        let given = [
            (self.host.is_some(), "--database-host"),
            (self.socket.is_some(), "--database-socket"),
            (self.port.is_some(), "--database-port"),
            (self.user.is_some(), "--database-user"),
            (self.password.is_some(), "--database-password-file"),
            (self.ca_file.is_some(), "--database-ca-file"),
            (!self.names.is_empty(), "--database-name"),
            (!self.also.is_empty(), "--also-database"),
        ];
        let given = given.into_iter().find(|(is_given, _)| *is_given);
        given.map(|(_, option)| option)
    }

    /// The given name of a role's database.
    pub(super) fn name_of(&self, role: &DatabaseRole) -> Option<&String> {
        let mut names = self.names.iter();
        names.find(|(given, _)| given == role).map(|(_, name)| name)
    }

    /// Whether it says where the server is.
    pub(super) fn has_place(&self) -> bool {
        self.host.is_some() || self.socket.is_some()
    }

    /// Replaces the settings that were found.
    pub(super) fn apply(&self, database: &mut MysqlDatabase) {
        fn set<T: Clone>(given: Option<&T>, name: &str) -> Option<Setting<T>> {
            given.map(|value| Setting::new(value.clone(), SettingOrigin::Option(name.to_owned())))
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
            // The password that was found belongs to another account.
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
        if let Some(name) = set(self.name_of(&database.role), "--database-name") {
            database.name = name;
        }
    }
}
