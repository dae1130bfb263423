//! Finds out which databases an installation has. The server's own rules decide: the type in
//! `seafile.conf`; without it, `SQLite` up to version 12 and `MySQL` from 13.

use std::fmt;

use super::django;
use super::error::DiscoverError;
use super::mysql::{self, MysqlSettings};
use super::origin::{Setting, SettingOrigin};
use super::places::is_file;
use super::sqlite::{self, SqliteFile};
use super::warning::DiscoverWarning;
use super::{DatabaseDoubt, DiscoveredParts};

/// The purpose of a database. `Display` gives the name of its dump.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatabaseRole {
    /// Libraries and their heads. Only the pointers in this database count.
    Seafile,
    /// Users, groups and organisations in one database, on `MySQL`.
    Ccnet,
    /// Users, as a `SQLite` file.
    Usermgr,
    /// Groups, as a `SQLite` file.
    Groupmgr,
    /// Organisations, as a `SQLite` file.
    Orgmgr,
    /// Settings of the server, as a `SQLite` file.
    Config,
    /// The web interface.
    Seahub,
    /// Another database of this name on the server of Seafile's own database. The administrator
    /// asked for it.
    Also(String),
}

impl fmt::Display for DatabaseRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seafile => "seafile",
            Self::Ccnet => "ccnet",
            Self::Usermgr => "usermgr",
            Self::Groupmgr => "groupmgr",
            Self::Orgmgr => "orgmgr",
            Self::Config => "config",
            Self::Seahub => "seahub",
            Self::Also(name) => return write!(f, "also-{name}"),
        })
    }
}

/// Where the databases are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseKind {
    /// `SQLite` files, Seafile's own first. Only files that exist are listed.
    Sqlite(Vec<SqliteFile>),
    /// `MySQL` or `MariaDB`.
    Mysql(MysqlSettings),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DatabaseEngine {
    Sqlite,
    Mysql,
}

/// Decides on the kind of databases and finds them. The origin is the setting that decided.
pub(super) fn databases(
    seen: &DiscoveredParts,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<(DatabaseKind, SettingOrigin), DiscoverError> {
    let engine = engine(seen)?;
    let kind = match engine.value {
        DatabaseEngine::Sqlite => DatabaseKind::Sqlite(sqlite_files(seen, &engine.from, warnings)?),
        DatabaseEngine::Mysql => {
            let settings = mysql::settings(seen, warnings)?;
            warn_of_leftover_sqlite(seen, &settings, warnings)?;
            DatabaseKind::Mysql(settings)
        }
    };
    Ok((kind, engine.from))
}

fn engine(seen: &DiscoveredParts) -> Result<Setting<DatabaseEngine>, DiscoverError> {
    let overrides = seen.configuration.environment.overrides();
    if let Some(option) = overrides.first_option() {
        let from = SettingOrigin::Option(option.to_owned());
        return Ok(Setting::new(DatabaseEngine::Mysql, from));
    }
    if let Some(named) = seen.configuration.seafile.get("database", "type") {
        return named_engine("the database", named);
    }
    if let Some(is_13) = seen.program.is_at_least(13, 0) {
        let engine = if is_13 { DatabaseEngine::Mysql } else { DatabaseEngine::Sqlite };
        return Ok(Setting::new(engine, SettingOrigin::Default));
    }
    // If there are both, the `SQLite` file is left over from a migration.
    if let Some(from) = mysql::named_by(seen) {
        return Ok(Setting::new(DatabaseEngine::Mysql, from));
    }
    Ok(Setting::new(DatabaseEngine::Sqlite, SettingOrigin::Default))
}

fn named_engine(
    what: &str,
    named: Setting<String>,
) -> Result<Setting<DatabaseEngine>, DiscoverError> {
    let engine = match named.value.to_ascii_lowercase().as_str() {
        "sqlite" => DatabaseEngine::Sqlite,
        "mysql" | "mariadb" => DatabaseEngine::Mysql,
        _ => return Err(unsupported(what, named)),
    };
    Ok(Setting::new(engine, named.from))
}

fn unsupported(what: &str, named: Setting<String>) -> DiscoverError {
    DiscoverError::Unsupported {
        what: what.to_owned(),
        value: named.value,
        from: named.from,
        advice: "seawall backs up SQLite, MySQL and MariaDB; dump other databases with their own \
                 tools"
            .to_owned(),
    }
}

/// Whether `conf/ccnet.conf` names `MySQL`. It is read up to version 11; without the setting,
/// `SQLite` is used.
fn ccnet_is_mysql(seen: &DiscoveredParts) -> Result<bool, DiscoverError> {
    let named = seen.configuration.ccnet.get("Database", "ENGINE");
    if seen.program.is_at_least(12, 0) == Some(true) {
        return Ok(false);
    }
    match named {
        Some(named) => {
            Ok(named_engine("the ccnet database", named)?.value == DatabaseEngine::Mysql)
        }
        None => Ok(false),
    }
}

/// Finds all databases as files.
fn sqlite_files(
    seen: &DiscoveredParts,
    named_by: &SettingOrigin,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<Vec<SqliteFile>, DiscoverError> {
    let seafile = sqlite::seafile_file(seen);
    let mysql = mysql::named_by(seen);
    if !is_file(&seafile.file)? {
        return Err(missing_sqlite(&seafile, named_by, mysql));
    }
    refuse_mixture(seen)?;
    if let Some(mysql) = mysql {
        let sqlite = named_by.clone();
        warnings.push(DiscoverWarning::MysqlBesideSqlite { mysql, sqlite });
    }
    let mut files = vec![seafile];
    files.extend(sqlite::ccnet_files(seen, warnings)?);
    files.extend(sqlite::seahub_file(seen, warnings)?);
    Ok(files)
}

fn missing_sqlite(
    seafile: &SqliteFile,
    named_by: &SettingOrigin,
    mysql: Option<SettingOrigin>,
) -> DiscoverError {
    let advice = match mysql {
        Some(from) => format!(
            "{from} names a MySQL server, but the server takes SQLite unless seafile.conf has \
             type = mysql in [database]"
        ),
        None => "if the databases are on MySQL, say where: --env-file FILE (docker's .env, which \
                 lies beside the compose file), or --database-host and --database-user"
            .to_owned(),
    };
    DiscoverError::Missing {
        what: "Seafile's SQLite database".to_owned(),
        path: seafile.file.clone(),
        from: named_by.clone(),
        advice,
    }
}

/// Refuses an installation with Seafile's own database as a file and another one on `MySQL`: no
/// setup script makes that.
fn refuse_mixture(seen: &DiscoveredParts) -> Result<(), DiscoverError> {
    let ccnet =
        ccnet_is_mysql(seen)?.then(|| seen.configuration.ccnet.get("Database", "ENGINE")).flatten();
    let seahub = django::engine(seen).filter(|engine| engine.value.contains("mysql"));
    match ccnet.or(seahub) {
        Some(named) => Err(unsupported("MySQL beside Seafile's own database in SQLite", named)),
        None => Ok(()),
    }
}

/// Whether the ccnet databases are files although Seafile's own database is on `MySQL`: up to
/// version 11 each program has its own setting.
pub(super) fn ccnet_is_sqlite(seen: &DiscoveredParts) -> Result<bool, DiscoverError> {
    let has_own_setting = seen.program.is_at_least(12, 0) == Some(false);
    Ok(has_own_setting && !ccnet_is_mysql(seen)?)
}

/// A reason to doubt the databases that were found: the program does not read the settings, or
/// databases of another kind exist too. With a doubt, the caller compares the databases with the
/// objects on disk.
pub(super) fn doubt(
    seen: &DiscoveredParts,
    database: &DatabaseKind,
    warnings: &mut Vec<DiscoverWarning>,
) -> Option<DatabaseDoubt> {
    if let DatabaseKind::Mysql(settings) = database
        && let Some(dead) = settings.taken_from_dead()
    {
        let advice = match seen.configuration.container.seen.first() {
            Some(seen) => {
                format!("give the container's own settings: --env-file {}", seen.display())
            }
            None => "give the container's own settings with --env-file".to_owned(),
        };
        let at = dead.clone();
        warnings.push(DiscoverWarning::DeadConfiguration { at, advice });
        return Some(DatabaseDoubt::DeadConfiguration(dead.clone()));
    }
    let is_beside = |warning: &DiscoverWarning| {
        matches!(
            warning,
            DiscoverWarning::SqliteBesideMysql { .. } | DiscoverWarning::MysqlBesideSqlite { .. }
        )
    };
    let is_doubtful = warnings.iter().any(is_beside);
    is_doubtful.then_some(DatabaseDoubt::OtherDatabases)
}

fn warn_of_leftover_sqlite(
    seen: &DiscoveredParts,
    settings: &MysqlSettings,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<(), DiscoverError> {
    let SqliteFile { path, file, .. } = sqlite::seafile_file(seen);
    if !is_file(&file)? {
        return Ok(());
    }
    let libraries = sqlite::count_libraries(&file);
    if libraries != Some(0) {
        warnings.push(DiscoverWarning::SqliteBesideMysql {
            path,
            libraries,
            mysql: settings.named_by(),
        });
    }
    Ok(())
}
