//! A tolerant reader of INI files: what both `GLib`'s key files (the server, in C) and Python's
//! `configparser` (seahub, seafevents) take, this takes too. It does not write, and it keeps
//! neither comments nor order.
//!
//! Sections and keys are found in upper or lower case, since `seafile.conf` has `[database] host`
//! where `ccnet.conf` has `[Database] HOST`. A section that stands twice is one; the last of
//! several equal keys wins. There are no comments behind a value: a password may hold a `#`.

use std::collections::BTreeMap;
use std::fmt;

/// One value and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct IniValue {
    /// The text, without white space around it.
    pub text: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl IniValue {
    /// The text as `GLib` gives it to the server: `\s`, `\n`, `\t`, `\r` and `\\` mean one
    /// character. Other backslashes, which `GLib` refuses, are kept.
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

    /// Whether it says yes: `true`, `1`, `yes` or `on`.
    pub fn is_true(&self) -> bool {
        ["true", "1", "yes", "on"]
            .iter()
            .any(|yes| self.text.eq_ignore_ascii_case(yes))
    }
}

impl fmt::Debug for IniValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(value of line {})", self.line)
    }
}

/// The settings of one INI file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ini {
    sections: BTreeMap<String, BTreeMap<String, IniValue>>,
    ignored_lines: Vec<usize>,
}

impl Ini {
    /// Reads a text. Every text is taken: see [`Self::ignored_lines`].
    pub fn parse(text: &str) -> Self {
        let mut ini = Self::default();
        let mut section = String::new();
        let text = super::without_byte_order_mark(text);
        for (number, line) in text.lines().enumerate() {
            let (number, line) = (number + 1, line.trim());
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = section_name(line) {
                section = name.to_ascii_lowercase();
                ini.sections.entry(section.clone()).or_default();
            } else if let Some((key, value)) = key_and_value(line) {
                let value = IniValue {
                    text: value.to_owned(),
                    line: number,
                };
                let keys = ini.sections.entry(section.clone()).or_default();
                keys.insert(key.to_ascii_lowercase(), value);
            } else {
                ini.ignored_lines.push(number);
            }
        }
        ini
    }

    /// A value; an empty one counts as none, as it does for Seafile.
    pub fn get(&self, section: &str, key: &str) -> Option<&IniValue> {
        let keys = self.sections.get(&section.to_ascii_lowercase())?;
        let value = keys.get(&key.to_ascii_lowercase())?;
        (!value.text.is_empty()).then_some(value)
    }

    /// Whether a section stands there, with or without keys.
    pub fn has_section(&self, section: &str) -> bool {
        self.sections.contains_key(&section.to_ascii_lowercase())
    }

    /// Lines that are neither comment, section nor setting, counted from 1.
    pub fn ignored_lines(&self) -> &[usize] {
        &self.ignored_lines
    }
}

/// The name in `[name]`; what follows the bracket is taken as a comment.
fn section_name(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix('[')?.split_once(']')?;
    Some(name.trim())
}

/// Splits at the first `=`, or at the first `:` where there is none (which only Python takes).
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=').or_else(|| line.split_once(':'))?;
    let key = key.trim();
    (!key.is_empty()).then(|| (key, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text<'a>(ini: &'a Ini, section: &str, key: &str) -> Option<&'a str> {
        ini.get(section, key).map(|value| value.text.as_str())
    }

    #[test]
    fn both_habits_are_read() {
        let ini = Ini::parse(
            "\u{feff}; comment\r\n# comment\r\n[Database]\r\nENGINE = mysql\r\nPASSWD=a=b#c;d\r\n\
             \r\n[General] # here\nNAME: tests\n[database]\n  host =  db \nengine=sqlite\nempty =\nnonsense\n= x\n",
        );
        assert_eq!(text(&ini, "database", "engine"), Some("sqlite"));
        assert_eq!(ini.get("DATABASE", "Engine").unwrap().line, 11);
        assert_eq!(text(&ini, "Database", "passwd"), Some("a=b#c;d"));
        assert_eq!(text(&ini, "database", "HOST"), Some("db"));
        assert_eq!(text(&ini, "general", "name"), Some("tests"));
        assert_eq!(text(&ini, "database", "empty"), None);
        assert_eq!(text(&ini, "nowhere", "empty"), None);
        assert_eq!(ini.ignored_lines(), [13, 14]);
        assert!(ini.has_section("GENERAL") && !ini.has_section("other"));
    }

    #[test]
    fn escapes_are_those_of_glib() {
        let ini = Ini::parse(r"password = \sa\tb\\n\q\");
        let value = ini.get("", "password").unwrap();
        assert_eq!(value.unescaped(), " a\tb\\n\\q\\");
    }

    #[test]
    fn yes_has_several_words() {
        let ini = Ini::parse("a = True\nb = 0\nc = ON\nd = false\ne = 1");
        let yes = |key| ini.get("", key).unwrap().is_true();
        assert!(yes("a") && yes("c") && yes("e") && !yes("b") && !yes("d"));
    }

    #[test]
    fn values_are_not_shown() {
        let ini = Ini::parse("[database]\npassword = hunter2\n");
        assert!(!format!("{ini:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let ini = Ini::parse(&text);
            prop_assert!(ini.ignored_lines().len() <= text.lines().count());
        }

        #[test]
        fn what_is_written_is_found(
            key in "[a-zA-Z_][a-zA-Z0-9_]{0,9}",
            value in "[!-~]([ -~]{0,20}[!-~])?",
            noise in "[;#][ -~]{0,20}",
        ) {
            let ini = Ini::parse(&format!("{noise}\n[s]\n{noise}\n  {key} = {value}\n{noise}"));
            prop_assert_eq!(text(&ini, "S", &key), Some(value.as_str()));
        }
    }
}
