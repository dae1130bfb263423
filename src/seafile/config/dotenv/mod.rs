//! Reads `.env` files. Three programs read such files, each by its own rules. docker compose reads
//! the one beside its compose file. A shell sources `conf/.env` of Seafile 12 or later. systemd
//! reads the file that a distribution's service names. [`DotenvReader`] says whose rules apply.

use std::collections::BTreeMap;
use std::fmt;

mod value;

/// The program that reads a `.env` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DotenvReader {
    /// docker compose: `$$` is one `$`, single quotes keep everything, `NAME: value` is a setting,
    /// and a value with blanks needs no quotes.
    Compose,
    /// A shell that sources the file: Seafile's own start scripts.
    Shell,
    /// systemd's `EnvironmentFile`: nothing is expanded.
    Systemd,
}

impl DotenvReader {
    /// All readers.
    pub const ALL: [Self; 3] = [Self::Compose, Self::Shell, Self::Systemd];
}

/// One value and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct DotenvValue {
    /// The text as this reader understands it, with references replaced.
    pub text: String,
    /// The line on which the variable's name stands, counted from 1.
    pub line: usize,
    /// A variable that the value refers to and that is not set. It counts as empty.
    pub unset: Option<String>,
}

impl fmt::Debug for DotenvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(value of line {})", self.line)
    }
}

/// The variables of one `.env` file; the last of several equal names wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dotenv {
    values: BTreeMap<String, DotenvValue>,
    ignored_lines: Vec<usize>,
}

impl Dotenv {
    /// Reads a text. Every text is accepted: see [`Self::ignored_lines`]. `variable` returns
    /// variables that are set outside of the file. They win over variables that the file itself set
    /// further up.
    pub fn parse(
        text: &str,
        reader: DotenvReader,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let mut dotenv = Self::default();
        let mut rest = super::without_byte_order_mark(text);
        let mut number = 1;
        while !rest.is_empty() {
            let line = rest.split('\n').next().unwrap_or_default();
            let mut used = line.len();
            if let Some((name, after)) = setting(line, reader) {
                let known = |name: &str| {
                    let above = || Some(dotenv.values.get(name)?.text.clone());
                    variable(name).or_else(above)
                };
                let start = line.len() - after.len();
                let read = value::read(reader, &rest[start..], after, &known);
                used = start + read.len;
                let value = DotenvValue { text: read.text, line: number, unset: read.unset };
                dotenv.values.insert(name.to_owned(), value);
            } else if !is_comment(line, reader) {
                dotenv.ignored_lines.push(number);
            }
            let end = rest[used..].find('\n').map_or(rest.len(), |at| used + at + 1);
            number += rest[..end].matches('\n').count();
            rest = &rest[end..];
        }
        dotenv
    }

    /// A variable's value, which may be empty.
    pub fn get(&self, name: &str) -> Option<&DotenvValue> {
        self.values.get(name)
    }

    /// All variables, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &DotenvValue)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Lines that are neither comment nor setting, counted from 1.
    pub fn ignored_lines(&self) -> &[usize] {
        &self.ignored_lines
    }
}

fn is_comment(line: &str, reader: DotenvReader) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.starts_with('#')
        || reader == DotenvReader::Systemd && line.starts_with(';')
}

/// Splits `export NAME = rest` into the name and the text behind the sign. A shell allows no blanks
/// around `=`. A file with blanks cannot be sourced, so it is read as its author meant it.
fn setting(line: &str, reader: DotenvReader) -> Option<(&str, &str)> {
    if is_comment(line, reader) {
        return None;
    }
    let signs: &[char] = match reader {
        DotenvReader::Compose => &['=', ':'],
        DotenvReader::Shell | DotenvReader::Systemd => &['='],
    };
    let (name, rest) = line.split_at(line.find(signs)?);
    let name = name.trim();
    let name = match name.strip_prefix("export") {
        Some(after) if after.starts_with(char::is_whitespace) => after.trim_start(),
        _ => name,
    };
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    let is_valid = !name.is_empty() && name.chars().all(is_name);
    let rest = &rest[1..];
    is_valid.then(|| {
        // Blanks before a `#` are kept: they show that a comment begins here.
        let trimmed = rest.trim_start_matches([' ', '\t']);
        (name, if trimmed.starts_with('#') { rest } else { trimmed })
    })
}

#[cfg(test)]
mod tests;
