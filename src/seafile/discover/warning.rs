//! What does not stop a backup but must be said.

use std::fmt;
use std::path::PathBuf;

use super::origin::Origin;

/// Something about an installation that its administrator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The databases are on `MySQL`, and a `SQLite` file with libraries lies there too: the rest
    /// of a migration, or the wrong configuration. It is stored as an ordinary file.
    SqliteBesideMysql {
        /// Its path inside the installation.
        path: PathBuf,
        /// How many libraries it has; `None` if that could not be seen without touching it.
        libraries: Option<u64>,
        /// What names `MySQL`.
        mysql: Origin,
    },
    /// The databases are `SQLite` files, and the settings of a `MySQL` server are there too.
    MysqlBesideSqlite {
        /// Where the server is named.
        mysql: Origin,
        /// What names `SQLite`.
        sqlite: Origin,
    },
    /// No program folder, so this is docker's volume or a copy; and no `.env` is in it, near it or
    /// given.
    DockerEnvMissing {
        /// Files near it that may be the ones.
        seen: Vec<PathBuf>,
    },
    /// Values are taken from what the program in use does not read.
    DeadConfiguration {
        /// The first line that was taken.
        at: Origin,
        /// What to do about it.
        advice: String,
    },
    /// Settings of object storage that the community edition does not read.
    DeadStorage {
        /// Where they begin.
        at: Origin,
        /// What they say.
        what: String,
        /// Why they do not count.
        why: String,
    },
    /// A section or key that looks like one that counts and is spelled otherwise.
    Misspelled {
        /// Where it stands.
        at: Origin,
        /// How it would count.
        wanted: String,
    },
    /// `from … import *` and its like, which are not followed.
    NotFollowed {
        /// Where it stands.
        at: Origin,
    },
    /// How databases that something speaks against compare with the objects on disk.
    Compared {
        /// Both times.
        text: String,
    },
    /// Of several ways to read a setting, another than the first is the one that works.
    OtherReading {
        /// Which database.
        role: super::Role,
        /// What was read: `password`, `host` or `name`.
        what: &'static str,
        /// Where the one that works stands.
        at: Origin,
    },
    /// `seafile-server-latest` is no link.
    LatestIsFile {
        /// The program that is taken for the one in use.
        used: Option<PathBuf>,
    },
    /// `seafile-server-latest` leads out of the installation, and a program of that name lies in it.
    LatestLeadsOut {
        /// Where it leads.
        target: PathBuf,
        /// The program that is taken for the one in use.
        used: PathBuf,
    },
    /// A database that a Seafile server has is not there.
    DatabaseMissing {
        /// Which: `usermgr`, `seahub` …
        role: super::Role,
        /// Where it was looked for.
        looked_for: String,
    },
    /// A setting of a Python file that is not a literal, and what was taken instead.
    NotLiteral {
        /// Where it stands.
        at: Origin,
        /// Its name.
        setting: String,
    },
    /// A line of a configuration file that is no setting.
    IgnoredLine {
        /// Where it stands.
        at: Origin,
    },
    /// A value of a `.env` file that names a variable that nothing sets.
    Unset {
        /// Where it stands.
        at: Origin,
        /// The name of the variable that is set there.
        name: String,
        /// The variable, or the sign, that stands for nothing.
        unset: String,
    },
    /// The configuration names a data folder other than `seafile-data` of this installation.
    DataFolderElsewhere {
        /// The folder it names.
        named: PathBuf,
        /// Where it names it.
        from: Origin,
        /// The folder that is taken.
        used: PathBuf,
    },
    /// The web interface has another database, which is not backed up.
    DatabaseLeftOut {
        /// Where the settings name it.
        at: Origin,
        /// Django's name for it.
        alias: String,
        /// What is known of it.
        database: super::aliases::OtherDatabase,
    },
    /// A link to a place that does not exist.
    DanglingLink {
        /// Its path inside the installation.
        path: PathBuf,
        /// Where it points to.
        target: PathBuf,
    },
}

impl Warning {
    /// The word for a marker, where a backup is incomplete because of this.
    pub fn incomplete_word(&self) -> Option<&'static str> {
        match self {
            Self::DatabaseMissing { role: super::Role::Usermgr, .. } => Some("users-missing"),
            Self::DatabaseLeftOut { .. } => Some("database-left-out"),
            _ => None,
        }
    }
}

impl fmt::Display for Warning {
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
