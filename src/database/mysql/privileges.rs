//! Checks what an account may do before a dump begins. A server hides what an account may not see,
//! and a dump without that would look whole.

use super::connection::{MySqlConnection, MySqlVendor, cell_text};
use super::error::{Error, MySqlErrorKind};
use super::literal;
use super::schema::MySqlSchema;

/// Refuses an account that lacks a privilege that a dump needs.
pub(super) fn check(
    connection: &MySqlConnection,
    databases: &[(String, MySqlSchema)],
) -> Result<(), Error> {
    let wanted = databases.iter();
    let wanted: Vec<_> = wanted.map(|(name, schema)| (name.clone(), needed(schema))).collect();
    must_have(connection, &wanted)
}

/// Refuses an account that lacks some of these privileges. The error names the statements that
/// would give them.
pub(super) fn must_have(
    connection: &MySqlConnection,
    wanted: &[(String, Vec<&'static str>)],
) -> Result<(), Error> {
    let (account, sets) = own(connection)?;
    let (mut grants, mut what) = (Vec::new(), Vec::new());
    for (database, needed) in wanted {
        let has = |privilege: &str| sets.iter().any(|grants| grants.has(privilege, database));
        let mut lacking: Vec<&str> = Vec::new();
        for privilege in needed {
            if !has(privilege) && !lacking.contains(privilege) {
                lacking.push(privilege);
            }
        }
        if !lacking.is_empty() {
            let privileges = lacking.join(", ");
            let place = literal::name(database);
            grants.push(format!("GRANT {privileges} ON {place}.* TO {account}"));
            what.push(format!("{privileges} on the database {database}"));
        }
    }
    if grants.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        connection.server(),
        MySqlErrorKind::Denied(grants.join("; ")),
        format!("the account lacks {}", what.join(", and ")),
    ))
}

/// Whether the account has SUPER. Such an account may do what a binary log forbids to others.
pub(super) fn is_super(connection: &MySqlConnection) -> Result<bool, Error> {
    let (_, sets) = own(connection)?;
    Ok(sets.iter().any(|grants| grants.has_everywhere("SUPER")))
}

/// The account as a statement names it, and its grants: its own and those of roles.
fn own(connection: &MySqlConnection) -> Result<(String, Vec<Grants>), Error> {
    let own = connection.rows("SHOW GRANTS")?;
    let mut account = String::new();
    let mut sets = vec![Grants::default()];
    for mut row in own {
        if let Some(line) = cell_text(&mut row, 0) {
            if account.is_empty() {
                account_of(&line).clone_into(&mut account);
            }
            sets[0].add(&line);
        }
    }
    sets.extend(of_roles(connection)?);
    Ok((account, sets))
}

/// The grants of the roles that are in force in this session. `MariaDB` lists them apart; `MySQL`
/// lists them together with the account's own.
fn of_roles(connection: &MySqlConnection) -> Result<Option<Grants>, Error> {
    // Servers without roles do not know the function.
    let Ok(Some(roles)) = connection.text("SELECT CURRENT_ROLE()") else {
        return Ok(None);
    };
    let statement = match connection.vendor() {
        _ if roles.eq_ignore_ascii_case("NONE") || roles.is_empty() => return Ok(None),
        MySqlVendor::MariaDb => "SHOW GRANTS FOR CURRENT_ROLE".to_owned(),
        MySqlVendor::MySql => format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}"),
    };
    let mut grants = Grants::default();
    for mut row in connection.rows(&statement)? {
        if let Some(line) = cell_text(&mut row, 0) {
            grants.add(&line);
        }
    }
    Ok(Some(grants))
}

/// The privileges that a whole dump needs. Without TRIGGER and EVENT the server shows no triggers
/// and no events.
fn needed(schema: &MySqlSchema) -> Vec<&'static str> {
    let mut needed = vec!["SELECT", "TRIGGER", "EVENT"];
    if !schema.views.is_empty() {
        needed.push("SHOW VIEW");
    }
    if schema.tables.iter().any(|table| !table.is_transactional) {
        needed.push("LOCK TABLES");
    }
    needed
}

/// What `SHOW GRANTS` says.
#[derive(Debug, Default)]
struct Grants {
    /// Privileges in upper case, and the databases' pattern (`None`: all).
    all: Vec<(Vec<String>, Option<String>)>,
    /// `MySQL`'s partial revokes: privileges that hold for all databases except for this pattern.
    revoked: Vec<(Vec<String>, String)>,
}

impl Grants {
    /// A line: GRANT, privileges, ON, a database's pattern in backticks, TO, the account. Lines of
    /// roles have no ON.
    fn add(&mut self, line: &str) {
        let (rest, is_revoked) = match line.strip_prefix("GRANT ") {
            Some(rest) => (rest, false),
            None => match line.strip_prefix("REVOKE ") {
                Some(rest) => (rest, true),
                None => return,
            },
        };
        let Some((privileges, place)) = rest.split_once(" ON ") else {
            return;
        };
        let privileges =
            privileges.split(',').map(|privilege| privilege.trim().to_ascii_uppercase()).collect();
        let database = quoted(place).filter(|(_, rest)| rest.starts_with(".* "));
        match database {
            Some((database, _)) if is_revoked => self.revoked.push((privileges, database)),
            Some((database, _)) => self.all.push((privileges, Some(database))),
            None if place.starts_with("*.* ") && !is_revoked => self.all.push((privileges, None)),
            None => {}
        }
    }

    /// Whether a privilege holds for all databases.
    fn has_everywhere(&self, privilege: &str) -> bool {
        let mut everywhere = self.all.iter().filter(|(_, place)| place.is_none());
        everywhere.any(|(given, _)| {
            let mut given = given.iter();
            given.any(|given| given == privilege || given == "ALL PRIVILEGES")
        })
    }

    /// Whether a privilege holds for a database. A grant for all databases counts, unless it is
    /// revoked for this one. Among the grants for some databases, servers go by the most specific
    /// one alone.
    fn has(&self, privilege: &str, database: &str) -> bool {
        let gives = |privileges: &[String]| {
            let mut given = privileges.iter();
            given.any(|given| given == privilege || given == "ALL PRIVILEGES" || given == "ALL")
        };
        let is_meant = |pattern: &str| matches(pattern.as_bytes(), database.as_bytes());
        let mut revoked = self.revoked.iter();
        let is_revoked = revoked.any(|(all, pattern)| is_meant(pattern) && gives(all));
        let mut everywhere = self.all.iter().filter(|(_, place)| place.is_none());
        if !is_revoked && everywhere.any(|(all, _)| gives(all)) {
            return true;
        }
        let patterns = self.all.iter().filter_map(|(_, place)| place.as_deref());
        let patterns = patterns.filter(|pattern| is_meant(pattern));
        let Some(most) = patterns.max_by_key(|pattern| specific(pattern.as_bytes())) else {
            return false;
        };
        let mut those = self.all.iter();
        those.any(|(all, place)| place.as_deref() == Some(most) && gives(all))
    }
}

/// How long a pattern is before its first wildcard. A pattern without a wildcard is more specific
/// than any other.
fn specific(pattern: &[u8]) -> usize {
    let mut bytes = pattern.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'%' | b'_' => return at,
            _ => {}
        }
    }
    usize::MAX
}

/// The account that a line of `SHOW GRANTS` is about, as a statement names it.
fn account_of(line: &str) -> &str {
    let after = line.rsplit_once(" TO ").map_or("", |(_, after)| after);
    after.split(' ').next().unwrap_or_default()
}

/// A name in backticks at the beginning, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text.strip_prefix('`')?;
    loop {
        let (part, after) = rest.split_once('`')?;
        name.push_str(part);
        match after.strip_prefix('`') {
            Some(after) => {
                name.push('`');
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

/// Whether the pattern of a grant matches a database's name. It may hold `%`, `_`, and a backslash
/// before a character that stands for itself.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'%', rest @ ..] => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        [b'_', rest @ ..] => !name.is_empty() && matches(rest, &name[1..]),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            name.first().is_some_and(|first| first.eq_ignore_ascii_case(literal))
                && matches(rest, &name[1..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_understood() {
        let mut grants = Grants::default();
        for line in [
            "GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*X'",
            r"GRANT SELECT, SHOW VIEW ON `sea\_file`.* TO `u`@`%`",
            "GRANT ALL PRIVILEGES ON `c%`.* TO `u`@`%` WITH GRANT OPTION",
            "GRANT TRIGGER ON `a``b`.* TO `u`@`%`",
            "GRANT SELECT (`x`) ON `d`.`t` TO `u`@`%`",
        ] {
            grants.add(line);
        }
        assert!(grants.has("SELECT", "sea_file") && grants.has("SHOW VIEW", "sea_file"));
        assert!(!grants.has("SELECT", "seaxfile"));
        assert!(!grants.has("TRIGGER", "sea_file"));
        assert!(grants.has("EVENT", "ccnet") && grants.has("TRIGGER", "a`b"));
        assert!(!grants.has("SELECT", "d"));
        grants.add("GRANT `role` TO `u`@`%`");
        assert!(!grants.has("SELECT", "d"));
        assert_eq!(account_of("GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED"), "`u`@`%`");
    }

    /// Among several patterns the most specific one alone counts, as in servers.
    #[test]
    fn the_most_specific_grant_counts() {
        let mut grants = Grants::default();
        grants.add("GRANT SELECT, TRIGGER ON `sea%`.* TO `u`@`%`");
        assert!(grants.has("TRIGGER", "seafile"));
        grants.add("GRANT SELECT ON `seafile`.* TO `u`@`%`");
        assert!(grants.has("SELECT", "seafile") && !grants.has("TRIGGER", "seafile"));
        assert!(grants.has("TRIGGER", "seahub"));
        grants.add("GRANT EVENT, TRIGGER ON *.* TO `u`@`%`");
        assert!(grants.has("TRIGGER", "seafile"));
        grants.add("REVOKE EVENT ON `seafile`.* FROM `u`@`%`");
        assert!(!grants.has("EVENT", "seafile") && grants.has("EVENT", "seahub"));
    }
}
