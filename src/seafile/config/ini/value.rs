//! One value of an INI file, and how each program that reads the file understands it.

use std::fmt;

/// How deeply values may refer to each other. `ConfigParser` has the same limit.
const MAX_DEPTH: usize = 10;
/// The longest value after interpolation, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// The most references that are replaced in one value.
const MAX_VALUES: usize = 1000;

/// One value and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct IniValue {
    /// The text, without white space around it.
    pub text: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl IniValue {
    pub(super) fn new(text: &str, line: usize) -> Self {
        Self { text: text.to_owned(), line }
    }

    /// The text as `GLib` passes it to the server: `\s`, `\n`, `\t`, `\r` and `\\` mean one
    /// character. `GLib` refuses other backslashes; here they are kept.
    pub fn unescaped(&self) -> String {
        let mut out = String::with_capacity(self.text.len());
        let mut characters = self.text.chars();
        while let Some(character) = characters.next() {
            if character != '\\' {
                out.push(character);
                continue;
            }
            match characters.next() {
                Some('s') => out.push(' '),
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('\\') | None => out.push('\\'),
                Some(other) => out.extend(['\\', other]),
            }
        }
        out
    }

    /// The text as the file server in Go reads it (`ini.v1`): quotes around it are removed, and a
    /// blank with `#` or `;` begins a comment.
    pub fn as_go_reads(&self) -> String {
        let text = self.text.as_str();
        for quote in ["\"\"\"", "`", "\"", "'"] {
            let inside = text.strip_prefix(quote).and_then(|rest| Some(&rest[..rest.find(quote)?]));
            if let Some(inside) = inside {
                return inside.to_owned();
            }
        }
        without_comment(text).to_owned()
    }

    /// Whether it says yes: `true`, `1`, `yes` or `on`.
    pub fn is_true(&self) -> bool {
        ["true", "1", "yes", "on"].iter().any(|yes| self.text.eq_ignore_ascii_case(yes))
    }
}

impl fmt::Debug for IniValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(value of line {})", self.line)
    }
}

/// A value up to a blank with `#` or `;`. To seafevents of 2026 and the file server in Go the rest
/// is a comment.
pub fn without_comment(text: &str) -> &str {
    let comment = text.char_indices().find(|&(at, character)| {
        matches!(character, '#' | ';') && text[..at].ends_with(char::is_whitespace)
    });
    text[..comment.map_or(text.len(), |(at, _)| at)].trim_end()
}

/// Interpolates as `ConfigParser` does; `None` if it would refuse the value.
pub(super) fn interpolate(text: &str, of_key: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut interpolation = Interpolation { of_key, values_left: MAX_VALUES, out: String::new() };
    interpolation.put_in(text, MAX_DEPTH)?;
    Some(interpolation.out)
}

struct Interpolation<'a> {
    of_key: &'a dyn Fn(&str) -> Option<String>,
    values_left: usize,
    out: String,
}

impl Interpolation<'_> {
    fn put_in(&mut self, text: &str, depth: usize) -> Option<()> {
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            self.out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('%') {
                self.out.push('%');
                rest = after;
            } else {
                let (key, after) = after.strip_prefix('(')?.split_once(")s")?;
                self.values_left = self.values_left.checked_sub(1)?;
                let value = (self.of_key)(key).filter(|_| depth > 0)?;
                self.put_in(&value, depth - 1)?;
                rest = after;
            }
        }
        self.out.push_str(rest);
        (self.out.len() < MAX_BYTES).then_some(())
    }
}
