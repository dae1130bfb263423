//! Reads the settings of `MySQL` databases, each with its origin. It connects to no server.

use std::path::Path;

use super::DiscoveredParts;
use super::database::{self, DatabaseRole};
use super::django::{self, DjangoDatabase};
use super::error::DiscoverError;
use super::origin::{Certainty, Setting, SettingOrigin};
use super::sqlite::{self, SqliteFile};
use super::warning::DiscoverWarning;
use crate::seafile::config::DatabasePassword;

/// The port, if no setting names one.
const PORT: u16 = 3306;

/// How to reach one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlDatabase {
    /// What it is for.
    pub role: DatabaseRole,
    /// Its name on the server.
    pub name: Setting<String>,
    /// The server. With docker this is a name that only its network knows.
    pub host: Option<Setting<String>>,
    /// The server's port.
    pub port: Setting<u16>,
    /// The server's socket. It is used instead of host and port.
    pub unix_socket: Option<Setting<String>>,
    /// The account.
    pub user: Option<Setting<String>>,
    /// Its password.
    pub password: Option<Setting<DatabasePassword>>,
    /// The character set of the connection between Seafile and the server.
    pub charset: Option<Setting<String>>,
    /// Whether the connection is encrypted.
    pub use_ssl: bool,
    /// Whether the server's certificate is accepted without a check.
    pub skip_verify: bool,
    /// The certificates to trust.
    pub ca_path: Option<Setting<String>>,
}

/// The databases of an installation on `MySQL` or `MariaDB`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlSettings {
    /// The databases on a server, Seafile's own first.
    pub databases: Vec<MysqlDatabase>,
    /// The databases that are `SQLite` files nevertheless.
    pub sqlite: Vec<SqliteFile>,
}

impl MysqlSettings {
    /// The origin of the server or the name of Seafile's own database, if the program does not read
    /// that setting.
    pub(super) fn taken_from_dead(&self) -> Option<&SettingOrigin> {
        let first = self.databases.first()?;
        let host = first.host.as_ref().map(|host| &host.from);
        let socket = first.unix_socket.as_ref().map(|socket| &socket.from);
        let place = socket.or(host);
        let mut origins = place.into_iter().chain([&first.name.from]);
        origins.find(|from| from.certainty() == Certainty::Guess)
    }

    /// The setting that names the server of Seafile's own database.
    pub(super) fn named_by(&self) -> SettingOrigin {
        let first = self.databases.first();
        let host = first.and_then(|database| database.host.as_ref());
        host.map_or(SettingOrigin::Default, |host| host.from.clone())
    }
}

/// The setting that names a `MySQL` server for Seafile's own database, if there is one.
pub(super) fn named_by(seen: &DiscoveredParts) -> Option<SettingOrigin> {
    let server = MysqlServerSettings::of_seafile(seen);
    server.host.or(server.unix_socket).map(|setting| setting.from)
}

/// Reads the settings of all three databases.
pub(super) fn settings(
    seen: &DiscoveredParts,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<MysqlSettings, DiscoverError> {
    let server = MysqlServerSettings::of_seafile(seen);
    let overrides = seen.configuration.environment.overrides();
    let has_place = server.host.is_some() || server.unix_socket.is_some();
    if !has_place && !overrides.has_place() {
        return Err(no_server(seen));
    }
    let conf = || seen.configuration.seafile.get("database", "db_name");
    let name = name(seen, "SEAFILE", conf(), "seafile_db");
    let mut databases = vec![server.clone().database(DatabaseRole::Seafile, name, "seafile_db")];
    let mut files = Vec::new();
    if database::ccnet_is_sqlite(seen)? {
        files.extend(sqlite::ccnet_files(seen, warnings)?);
    } else {
        databases.push(ccnet(seen, &server));
    }
    match seahub(seen, &server, warnings)? {
        Some(seahub) => databases.push(seahub),
        None => files.extend(sqlite::seahub_file(seen, warnings)?),
    }
    for also in &overrides.also {
        let name = Setting::new(also.clone(), SettingOrigin::Option("--also-database".to_owned()));
        let role = DatabaseRole::Also(also.clone());
        databases.push(server.clone().database(role, Some(name), also));
    }
    for database in &mut databases {
        overrides.apply(database);
    }
    Ok(MysqlSettings { databases, sqlite: files })
}

fn no_server(seen: &DiscoveredParts) -> DiscoverError {
    let file = match seen.configuration.container.seen.first() {
        Some(seen) => seen.display().to_string(),
        None => "FILE, the .env that lies beside the compose file".to_owned(),
    };
    DiscoverError::Missing {
        what: "the host of the MySQL server".to_owned(),
        path: seen.top.join(&seen.configuration.seafile.path),
        from: SettingOrigin::Default,
        advice: format!(
            "with docker, add --env-file {file}; or say it with --database-host or \
             --database-socket"
        ),
    }
}

/// The name of a database: first a variable, then the configuration. From 12 on the compose file
/// gives a container the usual name if nothing else is set, so there the name in `conf/` is tried
/// last.
fn name(
    seen: &DiscoveredParts,
    role: &str,
    of_conf: Option<Setting<String>>,
    usual: &str,
) -> Option<Setting<String>> {
    let variable = seen.variable(&format!("SEAFILE_MYSQL_DB_{role}_DB_NAME"));
    let is_known = seen.variable("SEAFILE_MYSQL_DB_HOST").is_some()
        || seen.configuration.environment.overrides().has_place();
    let of_conf = of_conf.map(|name| dead_in_docker(seen, name));
    if variable.is_some() || !seen.goes_by_environment() || !is_known {
        return variable.or(of_conf);
    }
    let usual = Setting::new(usual.to_owned(), SettingOrigin::Default);
    Some(usual.or_else_try(of_conf))
}

/// A setting of `conf/`. It is marked as dead if a container of this version does not read it.
pub(super) fn dead_in_docker<T>(seen: &DiscoveredParts, setting: Setting<T>) -> Setting<T> {
    if !seen.goes_by_environment() {
        return setting;
    }
    let version = seen.program.major().unwrap_or(12);
    let why = format!("which a container of version {version} does not go by");
    let from = match setting.from {
        dead @ SettingOrigin::Dead(..) => dead,
        from => SettingOrigin::Dead(Box::new(from), why),
    };
    Setting { from, ..setting }
}

/// How to reach a server.
#[derive(Debug, Clone, Default)]
struct MysqlServerSettings {
    host: Option<Setting<String>>,
    port: Option<Setting<u16>>,
    unix_socket: Option<Setting<String>>,
    user: Option<Setting<String>>,
    password: Option<Setting<DatabasePassword>>,
    charset: Option<Setting<String>>,
    use_ssl: bool,
    skip_verify: bool,
    ca_path: Option<Setting<String>>,
}

impl MysqlServerSettings {
    /// `[database]` of `seafile.conf`.
    fn of_seafile(seen: &DiscoveredParts) -> Self {
        let file = &seen.configuration.seafile;
        let get = |key| Some(dead_in_docker(seen, file.get("database", key)?));
        let is_true = |key| file.is_true("database", key).is_some_and(|yes| yes.value);
        // From 12 on the server has no setting for a socket.
        let has_socket = seen.program.is_at_least(12, 0) != Some(true);
        Self {
            host: get("host"),
            port: get("port").and_then(port),
            unix_socket: get("unix_socket").filter(|_| has_socket),
            user: get("user"),
            password: get("password").map(|setting| setting.map(DatabasePassword::new)),
            charset: get("connection_charset"),
            use_ssl: is_true("use_ssl"),
            skip_verify: is_true("skip_verify"),
            ca_path: get("ca_path"),
        }
        .with_variables(seen)
    }

    /// `[Database]` of `ccnet.conf`, which is read up to version 11.
    fn of_ccnet(seen: &DiscoveredParts) -> Self {
        let file = &seen.configuration.ccnet;
        let get = |key| file.get("Database", key);
        let is_true = |key| file.is_true("Database", key).is_some_and(|yes| yes.value);
        Self {
            host: get("HOST"),
            port: get("PORT").and_then(port),
            unix_socket: get("UNIX_SOCKET"),
            user: get("USER"),
            password: get("PASSWD").map(|setting| setting.map(DatabasePassword::new)),
            charset: get("CONNECTION_CHARSET"),
            use_ssl: is_true("USE_SSL"),
            skip_verify: is_true("SKIP_VERIFY"),
            ca_path: get("CA_PATH"),
        }
        .with_variables(seen)
    }

    /// `DATABASES['default']` of `seahub_settings.py`.
    fn of_django(seen: &DiscoveredParts, django: &mut DjangoDatabase) -> Self {
        // If the host is a path, Django uses it as a socket.
        let host = django.text(&["HOST"]);
        let (socket, host) = match host {
            Some(host) if Path::new(&host.value).is_absolute() => (Some(host), None),
            host => (None, host),
        };
        Self {
            host,
            unix_socket: socket.or_else(|| django.text(&["OPTIONS", "unix_socket"])),
            port: django.text(&["PORT"]).and_then(port),
            user: django.text(&["USER"]),
            password: django.text(&["PASSWORD"]).map(|setting| setting.map(DatabasePassword::new)),
            charset: django.text(&["OPTIONS", "charset"]),
            ..Self::default()
        }
        .with_variables(seen)
    }

    /// `[DATABASE]` of `seafevents.conf`, which uses the database of the web interface.
    fn of_seafevents(seen: &DiscoveredParts) -> Self {
        let get = |key| seen.configuration.seafevents.get_of_events("DATABASE", key);
        Self {
            host: get("host"),
            port: get("port").and_then(port),
            user: get("username"),
            password: get("password").map(|setting| setting.map(DatabasePassword::new)),
            ..Self::default()
        }
        .with_variables(seen)
    }

    /// Puts environment variables in place of these settings: they win from 12 on.
    fn with_variables(mut self, seen: &DiscoveredParts) -> Self {
        let variable = |key: &str| seen.variable(&format!("SEAFILE_MYSQL_DB_{key}"));
        if let Some(host) = variable("HOST") {
            self.host = Some(host);
            self.unix_socket = None;
        }
        self.port = variable("PORT").and_then(port).or(self.port);
        self.user = variable("USER").or(self.user);
        let password = variable("PASSWORD").map(|setting| setting.map(DatabasePassword::new));
        self.password = password.or(self.password);
        self
    }

    /// Fills in missing settings from another server.
    fn or(self, other: &Self) -> Self {
        let has_place = self.host.is_some() || self.unix_socket.is_some();
        let place = if has_place { &self } else { other };
        Self {
            host: place.host.clone(),
            port: place.port.clone(),
            unix_socket: place.unix_socket.clone(),
            user: self.user.or_else(|| other.user.clone()),
            password: self.password.or_else(|| other.password.clone()),
            charset: self.charset.or_else(|| other.charset.clone()),
            use_ssl: self.use_ssl || other.use_ssl,
            skip_verify: self.skip_verify || other.skip_verify,
            ca_path: self.ca_path.or_else(|| other.ca_path.clone()),
        }
    }

    fn database(
        self,
        role: DatabaseRole,
        name: Option<Setting<String>>,
        usual: &str,
    ) -> MysqlDatabase {
        MysqlDatabase {
            role,
            name: name.unwrap_or_else(|| Setting::new(usual.to_owned(), SettingOrigin::Default)),
            host: self.host,
            port: self.port.unwrap_or_else(|| Setting::new(PORT, SettingOrigin::Default)),
            unix_socket: self.unix_socket,
            user: self.user,
            password: self.password,
            charset: self.charset,
            use_ssl: self.use_ssl,
            skip_verify: self.skip_verify,
            ca_path: self.ca_path,
        }
    }
}

/// Reads a port. An invalid one counts as absent, as it does for Seafile.
fn port(setting: Setting<String>) -> Option<Setting<u16>> {
    let port = setting.value.trim().parse().ok().filter(|&port| port > 0)?;
    Some(Setting::new(port, setting.from))
}

/// The ccnet database. Up to 11 `ccnet.conf` names its server; from 12 on it is on the server of
/// Seafile's own database.
fn ccnet(seen: &DiscoveredParts, seafile: &MysqlServerSettings) -> MysqlDatabase {
    let conf = seen.configuration.ccnet.get("Database", "DB");
    if seen.program.is_at_least(12, 0) == Some(true) {
        let variable = seen.variable("SEAFILE_MYSQL_DB_CCNET_DB_NAME");
        let usual = || Setting::new("ccnet_db".to_owned(), SettingOrigin::Default);
        // No program reads ccnet.conf any more. In a volume it may be the only place that still has
        // the name.
        let dead =
            conf.filter(|_| seen.goes_by_environment()).map(|name| dead_in_docker(seen, name));
        let name = variable.unwrap_or_else(|| usual().or_else_try(dead));
        return seafile.clone().database(DatabaseRole::Ccnet, Some(name), "ccnet_db");
    }
    let name = name(seen, "CCNET", conf, "ccnet_db");
    let server = MysqlServerSettings::of_ccnet(seen).or(seafile);
    server.database(DatabaseRole::Ccnet, name, "ccnet_db")
}

/// The database of the web interface; `None` if it is a `SQLite` file.
fn seahub(
    seen: &DiscoveredParts,
    seafile: &MysqlServerSettings,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<Option<MysqlDatabase>, DiscoverError> {
    let engine = django::engine(seen);
    let events_name = seen.configuration.seafevents.get_of_events("DATABASE", "name");
    let variable = seen.variable("SEAFILE_MYSQL_DB_SEAHUB_DB_NAME");
    let is_told = variable.is_some() || seen.goes_by_environment();
    match &engine {
        Some(engine) if engine.value.contains("sqlite") => return Ok(None),
        Some(engine) if !engine.value.contains("mysql") => return Err(unsupported(engine)),
        _ => {}
    }
    let mut django = DjangoDatabase::new(seen, warnings);
    if !is_told {
        refuse_unknown(seen, events_name.is_some())?;
    }
    let is_named =
        seen.configuration.environment.overrides().name_of(&DatabaseRole::Seahub).is_some();
    let is_unknown = !django.has_database && events_name.is_none() && !is_named;
    if is_unknown && seen.program.is_at_least(12, 0) == Some(false) {
        // Up to 11, settings without a database mean a file.
        return Ok(None);
    }
    let server = MysqlServerSettings::of_django(seen, &mut django);
    let conf = django.text(&["NAME"]).or(events_name);
    let name = name(seen, "SEAHUB", conf, "seahub_db");
    let server = server.or(&MysqlServerSettings::of_seafevents(seen)).or(seafile);
    Ok(Some(server.database(DatabaseRole::Seahub, name, "seahub_db")))
}

/// Refuses settings that the Python file computes only when it runs. seawall does not guess them:
/// another installation on the same server may have the usual name. seafevents uses the same
/// database and says its name in plain text.
fn refuse_unknown(seen: &DiscoveredParts, events_know: bool) -> Result<(), DiscoverError> {
    let overrides = seen.configuration.environment.overrides();
    let is_named = overrides.name_of(&DatabaseRole::Seahub).is_some();
    let is_placed = overrides.has_place() || is_named || events_know;
    let keys = [("NAME", is_named || events_know), ("HOST", is_placed), ("ENGINE", is_placed)];
    let unknown = keys.into_iter().filter(|(_, is_known)| !is_known);
    let found = unknown
        .map(|(key, _)| (key, django::unknown(seen, key)))
        .find_map(|(key, at)| Some((key, at?)));
    match found {
        None => Ok(()),
        Some((key, at)) => Err(DiscoverError::Unclear {
            what: format!(
                "the database of the web interface is not known: {key} of {at} is known only when \
                 Seafile runs"
            ),
            advice: "say its name with --database-name seahub=NAME (SHOW DATABASES on the server \
                     lists them); it is looked for on the server of Seafile's own database, or on \
                     that of --database-host"
                .to_owned(),
        }),
    }
}

fn unsupported(engine: &Setting<String>) -> DiscoverError {
    DiscoverError::Unsupported {
        what: "the seahub database".to_owned(),
        value: engine.value.clone(),
        from: engine.from.clone(),
        advice: "seawall backs up SQLite, MySQL and MariaDB".to_owned(),
    }
}
