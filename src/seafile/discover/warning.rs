//! Problems that the administrator must know, and that do not stop a backup.

use std::fmt;
use std::path::PathBuf;

use super::origin::SettingOrigin;

/// Something about an installation that its administrator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscoverWarning {
    /// The databases are on `MySQL`, and a `SQLite` file with libraries exists too. It is left over
    /// from a migration, or the configuration is wrong. It is stored as an ordinary file.
    SqliteBesideMysql {
        /// Its path inside the installation.
        path: PathBuf,
        /// How many libraries it has. `None` if they cannot be counted without touching the file.
        libraries: Option<u64>,
        /// The setting that names `MySQL`.
        mysql: SettingOrigin,
    },
    /// The databases are `SQLite` files, and there are settings of a `MySQL` server too.
    MysqlBesideSqlite {
        /// The setting that names the server.
        mysql: SettingOrigin,
        /// The setting that names `SQLite`.
        sqlite: SettingOrigin,
    },
    /// There is no program folder, so this is docker's volume or a copy. No `.env` is in it, near
    /// it or given.
    DockerEnvMissing {
        /// Files near it that may belong to it.
        seen: Vec<PathBuf>,
    },
    /// Values are taken from settings that the program in use does not read.
    DeadConfiguration {
        /// The first such setting.
        at: SettingOrigin,
        /// What to do about it.
        advice: String,
    },
    /// Settings of object storage that the community edition does not read.
    DeadStorage {
        /// Where the first of them stands.
        at: SettingOrigin,
        /// What they say.
        what: String,
        /// Why they are ignored.
        why: String,
    },
    /// A section or key that looks like a known one, but is spelled differently.
    Misspelled {
        /// Where it stands.
        at: SettingOrigin,
        /// The section and keys that it looks like.
        wanted: String,
    },
    /// `from … import *` and similar statements, which are not followed.
    NotFollowed {
        /// Where it stands.
        at: SettingOrigin,
    },
    /// How doubtful databases compare with the objects on disk.
    Compared {
        /// A text with the times of both.
        text: String,
    },
    /// A setting can be read in several ways, and another way than the first one works.
    OtherReading {
        /// The database that it belongs to.
        role: super::DatabaseRole,
        /// The setting: `password`, `host` or `name`.
        what: &'static str,
        /// Where the reading that works comes from.
        at: SettingOrigin,
    },
    /// `seafile-server-latest` is no link.
    LatestIsFile {
        /// The program that is taken for the one in use.
        used: Option<PathBuf>,
    },
    /// `seafile-server-latest` leads out of the installation, but a program of that name lies
    /// inside.
    LatestLeadsOut {
        /// Where it leads.
        target: PathBuf,
        /// The program that is taken for the one in use.
        used: PathBuf,
    },
    /// A database that belongs to a Seafile server is missing.
    DatabaseMissing {
        /// Which: `usermgr`, `seahub` …
        role: super::DatabaseRole,
        /// Where seawall searched for it.
        looked_for: String,
    },
    /// A setting of a Python file is not a literal, so its value is not known.
    NotLiteral {
        /// Where it stands.
        at: SettingOrigin,
        /// Its name.
        setting: String,
    },
    /// A line of a configuration file is no setting.
    IgnoredLine {
        /// Where it stands.
        at: SettingOrigin,
    },
    /// A value of a `.env` file refers to a variable that is not set.
    Unset {
        /// Where it stands.
        at: SettingOrigin,
        /// The name of the variable that is set there.
        name: String,
        /// The variable that is not set, or the `$…` that is no reference.
        unset: String,
    },
    /// The configuration names a data folder other than `seafile-data` of this installation.
    DataFolderElsewhere {
        /// The folder that the configuration names.
        named: PathBuf,
        /// Where the configuration names it.
        from: SettingOrigin,
        /// The folder that is used.
        used: PathBuf,
    },
    /// The web interface has another database, which is not backed up.
    DatabaseLeftOut {
        /// Where the settings name it.
        at: SettingOrigin,
        /// Django's name for it.
        alias: String,
        /// What is known about it.
        database: super::aliases::OtherDatabase,
    },
    /// A link to a place that does not exist.
    DanglingLink {
        /// Its path inside the installation.
        path: PathBuf,
        /// Its target.
        target: PathBuf,
    },
}

impl DiscoverWarning {
    /// The word for a marker, if a backup is incomplete because of this.
    pub fn incomplete_word(&self) -> Option<&'static str> {
        match self {
            Self::DatabaseMissing { role: super::DatabaseRole::Usermgr, .. } => {
                Some("users-missing")
            }
            Self::DatabaseLeftOut { .. } => Some("database-left-out"),
            _ => None,
        }
    }
}

impl fmt::Display for DiscoverWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SqliteBesideMysql { path, libraries, mysql } => {
                let path = path.display();
                match libraries {
                    Some(1) => write!(f, "{path} has 1 library")?,
                    Some(count) => write!(f, "{path} has {count} libraries")?,
                    None => write!(f, "{path} may have libraries (it is open or was left open)")?,
                }
                write!(
                    f,
                    ", but {mysql} names MySQL: MySQL is backed up, the file is stored with the ordinary files"
                )
            }
            Self::MysqlBesideSqlite { mysql, sqlite } => write!(
                f,
                "{mysql} names a MySQL server, but the databases are SQLite ({sqlite}): \
                 SQLite is backed up, MySQL is not"
            ),
            Self::DockerEnvMissing { seen } => docker_env_missing(f, seen),
            Self::DeadConfiguration { at, advice } => {
                write!(f, "{at}: {advice}")
            }
            Self::DeadStorage { at, what, why } => {
                write!(f, "{at}: {what}, but {why}: objects are taken from the disk")
            }
            Self::Misspelled { at, wanted } => {
                write!(f, "{at}: this is another name than {wanted} for Seafile, and is not read")
            }
            Self::NotFollowed { at } => {
                write!(f, "{at}: import * is not followed: what it sets is not known")
            }
            Self::Compared { text } => f.write_str(text),
            Self::OtherReading { role, what, at } => write!(
                f,
                "database {role}: its {what} can be read in two ways; the reading of {at} works"
            ),
            Self::LatestIsFile { used: Some(used) } => write!(
                f,
                "seafile-server-latest is no link, as on a share without links: {} is taken for \
                 the program in use",
                used.display()
            ),
            Self::LatestIsFile { used: None } => {
                f.write_str("seafile-server-latest is no link and names no program that lies here")
            }
            Self::LatestLeadsOut { target, used } => write!(
                f,
                "seafile-server-latest leads to {}: {}, which lies here, is taken for the program \
                 in use",
                target.display(),
                used.display()
            ),
            Self::DatabaseMissing { role, looked_for } => {
                write!(f, "there is no database {role}: looked for {looked_for}")
            }
            Self::DatabaseLeftOut { at, alias, database } => write!(
                f,
                "{at}: DATABASES['{alias}'] names another database, which is not backed up: {database}"
            ),
            Self::NotLiteral { at, setting } => {
                write!(f, "{at}: {setting} is not a literal, so it is not known")
            }
            Self::IgnoredLine { at } => write!(f, "{at}: this line is no setting"),
            Self::Unset { at, name, unset } => write!(
                f,
                "{at}: {name} holds {unset}, which nothing sets: it counts as empty, as for docker"
            ),
            Self::DataFolderElsewhere { named, from, used } => write!(
                f,
                "{from} names {} as data folder, {} is taken",
                named.display(),
                used.display()
            ),
            Self::DanglingLink { path, target } => write!(
                f,
                "{} is a link to {}, which does not exist",
                path.display(),
                target.display()
            ),
        }
    }
}

fn docker_env_missing(f: &mut fmt::Formatter<'_>, seen: &[PathBuf]) -> fmt::Result {
    f.write_str(
        "there is no program folder and no .env: if this is docker's volume, the .env file and \
         the compose files beside it are not in this backup; add --env-file ",
    )?;
    match seen {
        [] => f.write_str("with the .env file that lies beside the compose file"),
        [first, ..] => write!(f, "{}, if that is the one", first.display()),
    }
}
