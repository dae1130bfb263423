//! Some settings of databases can be read in more than one way. This module logs in to find out
//! which reading works. It tries the first one first, and keeps it if none works.

use super::databases::server_of;
use crate::database::mysql::{Error, MySqlConnection, MySqlErrorKind};
use crate::seafile::discover::{
    DatabaseKind, DatabaseRole, DiscoverWarning, Installation, MysqlDatabase, Setting,
};

/// The most log-ins for one database: more would look like somebody who guesses passwords.
const MOST_ATTEMPTS: usize = 6;

/// For each database with several readings of its password, host or name, finds those that work,
/// keeps them, and adds a warning to the installation.
///
/// A server that cannot be reached is no error here: the next reader of the database reports it.
pub fn settle(installation: &mut Installation) {
    let DatabaseKind::Mysql(settings) = &mut installation.database else {
        return;
    };
    for database in &mut settings.databases {
        if has_several(database) {
            installation.warnings.extend(settle_one(database));
        }
    }
}

fn has_several(database: &MysqlDatabase) -> bool {
    let host = database.host.as_ref().map(|host| host.others.len());
    let password = database.password.as_ref().map(|password| password.others.len());
    host.unwrap_or_default() + password.unwrap_or_default() + database.name.others.len() > 0
}

fn settle_one(database: &mut MysqlDatabase) -> Vec<DiscoverWarning> {
    let mut tried = database.clone();
    let mut told = Vec::new();
    for _ in 0..MOST_ATTEMPTS {
        let Err(error) = log_in(&tried) else {
            *database = tried;
            return told;
        };
        let role = tried.role.clone();
        let next = match error.kind() {
            MySqlErrorKind::Login => next(tried.password.as_mut(), role, "password"),
            MySqlErrorKind::Unreachable => next(tried.host.as_mut(), role, "host"),
            // A denial may mean a wrong name: a server does not tell an account whether a database
            // exists that it may not see.
            MySqlErrorKind::NoDatabase | MySqlErrorKind::Denied(_) => {
                next(Some(&mut tried.name), role, "name")
            }
            _ => None,
        };
        match next {
            Some(warning) => told.push(warning),
            None => break,
        }
    }
    Vec::new()
}

fn log_in(database: &MysqlDatabase) -> Result<(), Error> {
    MySqlConnection::open(&server_of(database))?.use_database(&database.name.value)
}

/// Replaces a reading that does not work by the next one; `None` if there is no other.
fn next<T>(
    setting: Option<&mut Setting<T>>,
    role: DatabaseRole,
    what: &'static str,
) -> Option<DiscoverWarning> {
    let setting = setting?;
    if setting.others.is_empty() {
        return None;
    }
    let mut others = std::mem::take(&mut setting.others);
    let mut next = others.remove(0);
    next.others = others;
    let at = next.from.clone();
    *setting = next;
    Some(DiscoverWarning::OtherReading { role, what, at })
}
