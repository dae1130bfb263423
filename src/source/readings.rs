//! Settings of databases that can be read in more ways than one: which way works is found by trying
//! to log in. The first reading is tried first, and kept if none works.

use super::databases::server_of;
use crate::database::mysql::{Connection, Error, ErrorKind};
use crate::seafile::discover::{DatabaseKind, Installation, MysqlDatabase, Role, Setting, Warning};

/// More attempts would look like somebody who guesses passwords.
const MOST_ATTEMPTS: usize = 6;

/// Tries the readings of each database's password, host and name, where there are several, and keeps
/// the ones that work; says so in the installation's warnings. A server that cannot be reached is no
/// error here: who reads from it says so.
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
    let password = database
        .password
        .as_ref()
        .map(|password| password.others.len());
    host.unwrap_or_default() + password.unwrap_or_default() + database.name.others.len() > 0
}

fn settle_one(database: &mut MysqlDatabase) -> Vec<Warning> {
    let mut tried = database.clone();
    let mut told = Vec::new();
    for _ in 0..MOST_ATTEMPTS {
        let Err(error) = log_in(&tried) else {
            *database = tried;
            return told;
        };
        let role = tried.role.clone();
        let next = match error.kind() {
            ErrorKind::Login => next(tried.password.as_mut(), role, "password"),
            ErrorKind::Unreachable => next(tried.host.as_mut(), role, "host"),
            // An account that may not see other databases is told nothing of those that do not exist.
            ErrorKind::NoDatabase | ErrorKind::Denied(_) => {
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
    Connection::open(&server_of(database))?.use_database(&database.name.value)
}

/// Puts the next reading in the place of one that does not work.
fn next<T>(setting: Option<&mut Setting<T>>, role: Role, what: &'static str) -> Option<Warning> {
    let setting = setting?;
    if setting.others.is_empty() {
        return None;
    }
    let mut others = std::mem::take(&mut setting.others);
    let mut next = others.remove(0);
    next.others = others;
    let at = next.from.clone();
    *setting = next;
    Some(Warning::OtherReading { role, what, at })
}
