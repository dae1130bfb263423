//! What an account may do, found out before a dump begins: what it may not see a server hides, and a
//! dump without it would look whole.

use super::connection::{Connection, cell_text};
use super::error::{Error, ErrorKind};
use super::literal;
use super::schema::Schema;

/// Refuses an account that lacks something, by the statement that would give it.
pub(super) fn check(connection: &Connection, databases: &[(String, Schema)]) -> Result<(), Error> {
    let mut grants = Grants::default();
    let mut account = String::new();
    for mut row in connection.rows("SHOW GRANTS")? {
        if let Some(line) = cell_text(&mut row, 0) {
            if account.is_empty() {
                account_of(&line).clone_into(&mut account);
            }
            grants.add(&line);
        }
    }
    for (database, schema) in databases {
        let lacking: Vec<&str> = needed(schema)
            .into_iter()
            .filter(|privilege| !grants.has(privilege, database))
            .collect();
        if lacking.is_empty() || grants.has_roles {
            continue;
        }
        let privileges = lacking.join(", ");
        let grant = format!(
            "GRANT {privileges} ON {}.* TO {account}",
            literal::name(database)
        );
        let what = format!("the account lacks {privileges} on the database {database}");
        return Err(Error::new(
            connection.server(),
            ErrorKind::Denied(grant),
            what,
        ));
    }
    Ok(())
}

/// What a whole dump takes. Without TRIGGER and EVENT the server shows none of them.
fn needed(schema: &Schema) -> Vec<&'static str> {
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
    /// Whether there are roles, which may give what is not listed.
    has_roles: bool,
}

impl Grants {
    /// A line: GRANT, privileges, ON, a database's pattern in backticks, TO, the account.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("GRANT ") else {
            return;
        };
        let Some((privileges, place)) = rest.split_once(" ON ") else {
            self.has_roles |= rest.contains(" TO ");
            return;
        };
        let privileges = privileges
            .split(',')
            .map(|privilege| privilege.trim().to_ascii_uppercase())
            .collect();
        if place.starts_with("*.* ") {
            self.all.push((privileges, None));
        } else if let Some((database, _)) =
            quoted(place).filter(|(_, rest)| rest.starts_with(".* "))
        {
            self.all.push((privileges, Some(database)));
        }
    }

    fn has(&self, privilege: &str, database: &str) -> bool {
        self.all.iter().any(|(privileges, place)| {
            let is_there = place
                .as_ref()
                .is_none_or(|pattern| matches(pattern.as_bytes(), database.as_bytes()));
            let gives =
                |given: &String| given == privilege || given == "ALL PRIVILEGES" || given == "ALL";
            is_there && privileges.iter().any(gives)
        })
    }
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

/// Whether a database's name is meant by the pattern of a grant: `%`, `_`, and a backslash before what
/// stands for itself.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'%', rest @ ..] => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        [b'_', rest @ ..] => !name.is_empty() && matches(rest, &name[1..]),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            name.first()
                .is_some_and(|first| first.eq_ignore_ascii_case(literal))
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
        assert!(!grants.has_roles);
        grants.add("GRANT `role` TO `u`@`%`");
        assert!(grants.has_roles);
        assert_eq!(
            account_of("GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED"),
            "`u`@`%`"
        );
    }
}
