//! Finds databases that Django's settings name besides the web interface's own: an archive,
//! statistics, or one of an add-on.

use std::fmt;
use std::path::{Path, PathBuf};

use super::DiscoveredParts;
use super::database::DatabaseKind;
use super::origin::SettingOrigin;
use super::warning::DiscoverWarning;
use crate::seafile::config::python::{LocatedValue, PythonValue};

/// What is known about another database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherDatabase {
    /// On Seafile's own server, under this name.
    OnServer(String),
    /// On another server than Seafile's, or of a kind that seawall does not know.
    Elsewhere(String),
    /// A SQLite file outside of the installation.
    File(PathBuf),
    /// Its name is not a literal.
    Unknown,
}

impl fmt::Display for OtherDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnServer(name) => write!(f, "{name}; add --also-database {name}"),
            Self::Elsewhere(name) => write!(
                f,
                "{name}, on another server than Seafile's or of another kind; dump it with its own tools"
            ),
            Self::File(file) => write!(f, "{0}; add --also {0}", file.display()),
            Self::Unknown => f.write_str(
                "its name is not a literal; add --also-database and the name that your server has for it",
            ),
        }
    }
}

/// Warns of each such database that is not backed up.
pub(super) fn warn(
    seen: &DiscoveredParts,
    database: &DatabaseKind,
    warnings: &mut Vec<DiscoverWarning>,
) {
    let file = &seen.configuration.seahub;
    let Some(PythonValue::Dict(aliases)) = file.settings.get("DATABASES").map(|all| &all.value)
    else {
        return;
    };
    for (alias, located) in aliases.iter().filter(|(alias, _)| &***alias != "default") {
        if let Some(other) = left_out(seen, database, located, aliases.get("default")) {
            warnings.push(DiscoverWarning::DatabaseLeftOut {
                at: SettingOrigin::Line(file.path.clone(), located.line),
                alias: alias.to_string(),
                database: other,
            });
        }
    }
}

/// The database that one alias names; `None` if it is backed up already.
fn left_out(
    seen: &DiscoveredParts,
    database: &DatabaseKind,
    alias: &LocatedValue,
    default: Option<&LocatedValue>,
) -> Option<OtherDatabase> {
    let text = |key| field(alias, key).and_then(LocatedValue::text);
    let name = text("NAME").filter(|name| !name.is_empty());
    let engine = text("ENGINE").unwrap_or_default();
    if engine.contains("sqlite") {
        let named = PathBuf::from(name?);
        let file = seen.on_this_machine(&named);
        let is_inside = [seen.top, seen.data_dir].iter().any(|folder| file.starts_with(folder));
        // A database in memory needs no backup.
        let is_file = file.is_absolute() && !is_inside;
        return is_file.then_some(OtherDatabase::File(file));
    }
    let DatabaseKind::Mysql(settings) = database else {
        return Some(name.map_or(OtherDatabase::Unknown, OtherDatabase::Elsewhere));
    };
    let Some(name) = name else {
        return Some(OtherDatabase::Unknown);
    };
    let mut known = settings.databases.iter();
    if known.any(|database| database.name.value == name) {
        return None;
    }
    let host = text("HOST").filter(|host| !host.is_empty());
    let own = default.and_then(|default| field(default, "HOST"));
    let own = own.and_then(LocatedValue::text);
    let of_seafile = settings.databases.first();
    let of_seafile = of_seafile.and_then(|database| database.host.as_ref());
    let is_own = |host: &String| {
        own.as_ref() == Some(host)
            || of_seafile.is_some_and(|seafile| seafile.value == *host)
            || Path::new(host).is_absolute()
    };
    let on_server = engine.contains("mysql") && host.as_ref().is_none_or(is_own);
    Some(if on_server { OtherDatabase::OnServer(name) } else { OtherDatabase::Elsewhere(name) })
}

fn field<'a>(alias: &'a LocatedValue, key: &str) -> Option<&'a LocatedValue> {
    match &alias.value {
        PythonValue::Dict(entries) => entries.get(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fake;
    use super::*;

    const CONF: &str =
        "[database]\ntype = mysql\nhost = dbhost\nuser = seafile\ndb_name = seafile-db\n";

    fn warnings(aliases: &str) -> Vec<String> {
        let settings = format!(
            "NAME = 'archive-db'\nDATABASES = {{\n'default': {{'ENGINE': 'django.db.backends.mysql', \
             'NAME': 'seahub-db', 'HOST': 'dbhost'}},\n{aliases}}}\n"
        );
        let ccnet = "[Database]\nENGINE = mysql\nHOST = dbhost\nDB = ccnet-db\n";
        let fake = Fake::with_program("seafile-server-11.0.1", CONF)
            .file("conf/ccnet.conf", ccnet)
            .file("conf/seahub_settings.py", &settings);
        let found = fake.discover().unwrap();
        let words = found.warnings.iter().filter_map(DiscoverWarning::incomplete_word);
        assert!(words.clone().all(|word| word == "database-left-out"));
        assert_eq!(words.count(), found.warnings.len());
        found.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_database_that_only_the_settings_name_is_told_with_the_option_for_it() {
        let mysql = "'ENGINE': 'django.db.backends.mysql', ";
        let told = warnings(&format!("'archive': {{{mysql}'NAME': NAME, 'HOST': 'dbhost'}},\n"));
        assert_eq!(
            told,
            [
                "conf/seahub_settings.py:4: DATABASES['archive'] names another database, which is not backed up: \
              archive-db; add --also-database archive-db"
            ]
        );
        let told = warnings(&format!("'x': {{{mysql}'NAME': 'a', 'HOST': 'other'}},\n"));
        assert!(told[0].contains("a, on another server"), "{told:?}");
        let told = warnings(&format!("'x': {{{mysql}'NAME': os.environ['N']}},\n"));
        assert!(told[0].contains("not a literal"), "{told:?}");
        let told =
            warnings("'x': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '/srv/x.db'},\n");
        assert!(told[0].contains("--also /srv/x.db"), "{told:?}");
        // These are backed up already, or are no databases.
        assert!(warnings(&format!("'x': {{{mysql}'NAME': 'seafile-db'}},\n")).is_empty());
        let memory = "'x': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'},\n";
        assert!(warnings(memory).is_empty());
        assert!(warnings("").is_empty());
    }
}
