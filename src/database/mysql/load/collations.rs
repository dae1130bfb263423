//! Replaces collations that the server does not know by the nearest ones that it knows. `MySQL` 8
//! and `MariaDB` 11 each made a collation of their own the default. Only definitions are changed,
//! and in them no text in quotes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::statements::{SqlTokenKind, Statement, token};
use crate::database::mysql::connection::cell_text;
use crate::database::mysql::{Error, MySqlConnection};

/// Words before a collation's name.
const BEFORE: [&[u8]; 2] = [b"collate", b"collation_connection"];

/// The collations of a server, and which were replaced.
#[derive(Debug, Default)]
pub(super) struct Collations {
    known: HashSet<String>,
    replaced: BTreeMap<String, String>,
}

impl Collations {
    pub(super) fn of(connection: &MySqlConnection) -> Result<Self, Error> {
        let mut rows =
            connection.rows("SELECT COLLATION_NAME FROM information_schema.COLLATIONS")?;
        // MariaDB from 10.10 on has collations for many character sets. Their full names are in
        // another table.
        let full = "SELECT COUNT(*) FROM information_schema.COLUMNS \
            WHERE TABLE_SCHEMA = 'information_schema' AND COLUMN_NAME = 'FULL_COLLATION_NAME'";
        if connection.text(full)?.is_some_and(|count| count != "0") {
            rows.extend(connection.rows(
                "SELECT FULL_COLLATION_NAME FROM \
                 information_schema.COLLATION_CHARACTER_SET_APPLICABILITY",
            )?);
        }
        let names = rows.iter_mut().filter_map(|row| cell_text(row, 0));
        Ok(Self { known: names.map(|name| name.to_ascii_lowercase()).collect(), ..Self::default() })
    }

    /// Whether the server knows neither this collation nor one that is near to it.
    pub(super) fn is_unknown(&mut self, name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        !self.known.contains(&lower) && self.replacement(name).is_none()
    }

    /// Says which collations were replaced.
    pub(super) fn notes(&self) -> Vec<String> {
        let note = |(old, new): (&String, &String)| {
            format!("the collation {old}, which this server does not know, became {new}")
        };
        self.replaced.iter().map(note).collect()
    }

    /// The statement, with collations that this server knows.
    pub(super) fn fit<'a>(&mut self, statement: &Statement<'a>) -> Cow<'a, [u8]> {
        let text = statement.text;
        let mut fitted = Vec::new();
        let mut done = 0;
        if defines(text) {
            for (start, end) in names(text, statement.escapes) {
                let name = String::from_utf8_lossy(&text[start..end]).into_owned();
                if let Some(other) = self.replacement(&name) {
                    fitted.extend_from_slice(&text[done..start]);
                    fitted.extend_from_slice(other.as_bytes());
                    done = end;
                }
            }
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        fitted.extend_from_slice(&text[done..]);
        Cow::Owned(fitted)
    }

    /// The nearest collation that the server knows. `None` if it knows this one, or none that is
    /// near.
    pub(super) fn replacement(&mut self, name: &str) -> Option<String> {
        let lower = name.to_ascii_lowercase();
        if self.known.contains(&lower) {
            return None;
        }
        let known = |name: &String| self.known.contains(name);
        let other = candidates(&lower).into_iter().find(known)?;
        self.replaced.insert(name.to_owned(), other.clone());
        Some(other)
    }
}

/// What may replace a collation: first the same one by other names, then those that differ least.
fn candidates(name: &str) -> Vec<String> {
    let Some((charset, rest)) = name.split_once('_') else {
        return Vec::new();
    };
    // Newer servers call `utf8` `utf8mb3`.
    let charsets: &[&str] = match charset {
        "utf8" | "utf8mb3" => &["utf8mb3", "utf8"],
        charset => &[charset],
    };
    let same = |rest: &'static str| charsets.iter().map(move |set| format!("{set}_{rest}"));
    let mut all: Vec<String> = charsets.iter().map(|set| format!("{set}_{rest}")).collect();
    // A collation that distinguishes accents or case must be replaced by one that does so too.
    let names: &[&'static str] = if rest.ends_with("_bin") {
        &["bin"]
    } else if rest.ends_with("_cs") {
        &["uca1400_as_cs", "0900_as_cs", "bin"]
    } else if rest.contains("_as_") {
        &["uca1400_as_ci", "0900_as_ci", "bin"]
    } else {
        &["uca1400_ai_ci", "0900_ai_ci", "unicode_520_ci", "unicode_ci", "general_ci"]
    };
    all.extend(names.iter().flat_map(|name| same(name)));
    all
}

/// Whether a statement makes something, or sets up the session for one that does.
fn defines(text: &[u8]) -> bool {
    [&b"CREATE "[..], b"ALTER ", b"SET "].iter().any(|word| {
        let (begin, _) = text.split_at(text.len().min(word.len()));
        begin.eq_ignore_ascii_case(word)
    })
}

/// The collations that a statement names, if it defines something.
pub(super) fn named(text: &[u8], escapes: bool) -> Vec<String> {
    if !defines(text) {
        return Vec::new();
    }
    let names = names(text, escapes).into_iter();
    names.map(|(start, end)| String::from_utf8_lossy(&text[start..end]).into_owned()).collect()
}

/// Whether these words stand in the code of a statement, one after the other.
pub(super) fn has_words(text: &[u8], escapes: bool, wanted: &[&str]) -> bool {
    let mut at = 0;
    let mut seen = 0;
    while let Some(token) = token(&text[at..], true, escapes, b' ').filter(|token| token.len > 0) {
        let end = at + token.len;
        if token.sort == SqlTokenKind::Code {
            for (start, stop) in words(&text[at..end]) {
                let word = &text[at + start..at + stop];
                let is_next = |seen: usize| word.eq_ignore_ascii_case(wanted[seen].as_bytes());
                seen = if is_next(seen) { seen + 1 } else { usize::from(is_next(0)) };
                if seen == wanted.len() {
                    return true;
                }
            }
        }
        at = end;
    }
    false
}

/// Where collations are named.
fn names(text: &[u8], escapes: bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = token(&text[at..], true, escapes, b' ').filter(|token| token.len > 0) {
        let end = at + token.len;
        if token.sort == SqlTokenKind::Code {
            for word in words(&text[at..end]) {
                let (start, end) = (at + word.0, at + word.1);
                let is_before = BEFORE.iter().any(|one| text[start..end].eq_ignore_ascii_case(one));
                found.extend(is_before.then(|| name_after(text, end)).flatten());
            }
        }
        at = end;
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The words of a piece of code.
fn words(code: &[u8]) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, &byte) in code.iter().chain(b" ").enumerate() {
        match start {
            None if is_word(byte) => start = Some(at),
            Some(begin) if !is_word(byte) => {
                words.push((begin, at));
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// `COLLATE name`, `COLLATE=name`, `collation_connection = 'name'`.
fn name_after(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let rest = &text[from..];
    let before =
        |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'\'' | b'`' | b'"');
    let start = from + rest.iter().position(|byte| !before(byte))?;
    let len = text[start..].iter().position(|&byte| !is_word(byte));
    let end = len.map_or(text.len(), |len| start + len);
    (start > from && end > start).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(known: &[&str], text: &str) -> (String, Vec<String>) {
        let mut collations = Collations {
            known: known.iter().map(|&name| name.to_owned()).collect(),
            ..Collations::default()
        };
        let statement = Statement { text: text.as_bytes(), line: 1, escapes: true };
        let fitted = collations.fit(&statement).into_owned();
        (String::from_utf8(fitted).unwrap(), collations.notes())
    }

    #[test]
    fn definitions_name_what_the_server_knows() {
        let known = ["utf8mb4_unicode_520_ci", "utf8mb4_bin", "utf8mb3_general_ci"];
        for (text, expected) in [
            (
                "CREATE TABLE `t` (`a` text COLLATE utf8mb4_0900_ai_ci DEFAULT 'COLLATE utf8mb4_0900_ai_ci') COLLATE=utf8mb4_0900_ai_ci",
                "CREATE TABLE `t` (`a` text COLLATE utf8mb4_unicode_520_ci DEFAULT 'COLLATE utf8mb4_0900_ai_ci') COLLATE=utf8mb4_unicode_520_ci",
            ),
            (
                "SET sql_mode = '', collation_connection = 'utf8mb4_uca1400_ai_ci'",
                "SET sql_mode = '', collation_connection = 'utf8mb4_unicode_520_ci'",
            ),
            (
                "CREATE FUNCTION f() -- it's COLLATE utf8mb4_0900_ai_ci\nRETURN (a collate utf8mb4_0900_as_cs)",
                "CREATE FUNCTION f() -- it's COLLATE utf8mb4_0900_ai_ci\nRETURN (a collate utf8mb4_bin)",
            ),
            (
                "create table t (a text collate utf8_general_ci)",
                "create table t (a text collate utf8mb3_general_ci)",
            ),
            ("ALTER TABLE t COLLATE utf8mb4_0900_bin", "ALTER TABLE t COLLATE utf8mb4_bin"),
        ] {
            let (fitted, notes) = fit(&known, text);
            assert_eq!(fitted, expected);
            assert_eq!(notes.len(), 1, "{notes:?}");
        }
    }

    #[test]
    fn what_need_not_change_does_not() {
        for text in [
            "CREATE TABLE t (a text COLLATE utf8mb4_bin)",
            "CREATE TABLE t (a text COLLATE sjis_nonsense_ci)",
            "INSERT INTO t VALUES (1) COLLATE utf8mb4_0900_ai_ci",
            "CREATE TABLE `collate utf8mb4_0900_ai_ci` (a INT)",
            "CREATE TABLE t (xcollate utf8mb4_0900_ai_ci)",
            "CREATE TABLE t COLLATE",
            "CREATE TABLE t COLLATE='",
            "",
        ] {
            let (fitted, notes) = fit(&["utf8mb4_bin", "utf8mb4_general_ci"], text);
            assert_eq!((fitted.as_str(), notes.len()), (text, 0));
        }
    }
}
