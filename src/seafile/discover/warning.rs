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
    /// No program folder, so this is docker's volume or a copy; and no `.env` in it.
    DockerEnvMissing,
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
    /// A value of a `.env` file that names another variable, which is not expanded.
    Unexpanded {
        /// Where it stands.
        at: Origin,
        /// The variable's name.
        name: String,
    },
    /// `ccnet/seafile.ini` names a data folder other than `seafile-data` of this installation.
    DataFolderElsewhere {
        /// The folder it names.
        named: PathBuf,
        /// The folder that is taken.
        used: PathBuf,
    },
    /// A link to a place that does not exist.
    DanglingLink {
        /// Its path inside the installation.
        path: PathBuf,
        /// Where it points to.
        target: PathBuf,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SqliteBesideMysql {
                path,
                libraries,
                mysql,
            } => {
                let path = path.display();
                match libraries {
                    Some(1) => write!(f, "{path} has 1 library")?,
                    Some(count) => write!(f, "{path} has {count} libraries")?,
                    None => write!(f, "{path} may have libraries (it is open or was left open)")?,
                }
                write!(
                    f,
                    ", but {mysql} names MySQL: MySQL is backed up, the file is copied as it is"
                )
            }
            Self::MysqlBesideSqlite { mysql, sqlite } => write!(
                f,
                "{mysql} names a MySQL server, but the databases are SQLite ({sqlite}): \
                 SQLite is backed up, MySQL is not"
            ),
            Self::DockerEnvMissing => f.write_str(
                "there is no program folder and no .env: if this is docker's volume, then the \
                 .env file and the compose files beside it are not in this backup",
            ),
            Self::DatabaseMissing { role, looked_for } => {
                write!(f, "there is no database {role}: looked for {looked_for}")
            }
            Self::NotLiteral { at, setting } => {
                write!(f, "{at}: {setting} is not a literal, so it is not known")
            }
            Self::IgnoredLine { at } => write!(f, "{at}: this line is no setting"),
            Self::Unexpanded { at, name } => {
                write!(
                    f,
                    "{at}: {name} names another variable, which is not expanded"
                )
            }
            Self::DataFolderElsewhere { named, used } => write!(
                f,
                "ccnet/seafile.ini names {} as data folder, {} is taken",
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
