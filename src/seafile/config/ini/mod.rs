//! Reads INI files by the rules of the program that owns the file. The server in C reads
//! `seafile.conf` and `ccnet.conf` as `GLib` key files. seafevents reads `seafevents.conf` with
//! Python's `ConfigParser`. The two understand some lines differently, so [`IniReader`] says whose
//! rules apply. Comments and order are not kept, and nothing is written.
//!
//! For both, names of sections count as they are spelled, a section that stands twice is one
//! section, and the last of several equal keys wins.

use std::collections::BTreeMap;

mod value;

pub use value::{IniValue, without_comment};

/// The program that reads an INI file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IniReader {
    /// `GLib`'s key files: keys count as they are spelled, and only `=` separates key and value.
    Glib,
    /// Python's `ConfigParser`: keys become lower case, `=` or `:` separates, values may have
    /// several lines, `%%` is one `%`, and keys of `[DEFAULT]` apply to all sections.
    ConfigParser,
}

/// The section whose keys apply to all others, for `ConfigParser`.
const DEFAULT: &str = "DEFAULT";

/// The keys of one section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct IniSection {
    /// The line of its first heading, counted from 1; 0 for keys before any heading.
    line: usize,
    keys: BTreeMap<String, IniValue>,
}

/// The settings of one INI file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ini {
    reader: IniReader,
    sections: BTreeMap<String, IniSection>,
    ignored_lines: Vec<usize>,
}

impl Ini {
    /// Reads a text. Every text is accepted: see [`Self::ignored_lines`].
    pub fn parse(text: &str, reader: IniReader) -> Self {
        let mut ini = Self { reader, sections: BTreeMap::new(), ignored_lines: Vec::new() };
        let mut section = String::new();
        let mut last_key: Option<String> = None;
        let text = super::without_byte_order_mark(text);
        for (number, whole) in text.lines().enumerate() {
            let (number, line) = (number + 1, whole.trim());
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if ini.continues(&section, last_key.as_deref(), whole) {
                continue;
            }
            last_key = None;
            if let Some(name) = section_name(line, reader) {
                name.clone_into(&mut section);
                let added = ini.sections.entry(section.clone()).or_default();
                if added.line == 0 {
                    added.line = number;
                }
            } else if let Some((key, value)) = key_and_value(line, reader) {
                let value = IniValue::new(value, number);
                let keys = &mut ini.sections.entry(section.clone()).or_default().keys;
                keys.insert(key.clone(), value);
                last_key = Some(key);
            } else {
                ini.ignored_lines.push(number);
            }
        }
        ini
    }

    /// Adds an indented line to the value above, as `ConfigParser` does. `false` if the line is no
    /// such line.
    fn continues(&mut self, section: &str, last_key: Option<&str>, line: &str) -> bool {
        let is_indented = line.starts_with([' ', '\t']);
        if self.reader != IniReader::ConfigParser || !is_indented {
            return false;
        }
        let keys = self.sections.get_mut(section).map(|found| &mut found.keys);
        let value = keys.zip(last_key).and_then(|(keys, key)| keys.get_mut(key));
        match value {
            Some(value) => {
                value.text.push('\n');
                value.text.push_str(line.trim());
                true
            }
            None => false,
        }
    }

    /// The value of a key. An empty value counts as absent, as it does for Seafile.
    pub fn get(&self, section: &str, key: &str) -> Option<&IniValue> {
        let keys = &self.sections.get(section)?.keys;
        let of_all = || match self.reader {
            IniReader::ConfigParser => self.sections.get(DEFAULT)?.keys.get(key),
            IniReader::Glib => None,
        };
        let value = keys.get(key).or_else(of_all)?;
        (!value.text.is_empty()).then_some(value)
    }

    /// A value with `%(key)s` and `%%` replaced as `ConfigParser` does. If `ConfigParser` would
    /// refuse the value, it is returned as it stands.
    pub fn interpolated(&self, section: &str, key: &str) -> Option<String> {
        let value = self.get(section, key)?;
        let of_key = |key: &str| Some(self.get(section, &key.to_lowercase())?.text.clone());
        Some(value::interpolate(&value.text, &of_key).unwrap_or_else(|| value.text.clone()))
    }

    /// Whether the file has this section, with or without keys.
    pub fn has_section(&self, section: &str) -> bool {
        self.sections.contains_key(section)
    }

    /// The lines of sections and keys that look like the wanted ones, and that no program accepts
    /// for them: `[ database ]` or `[Database]` for `database`. Counted from 1.
    pub fn misspelled(&self, section: &str, keys: &[&str]) -> Vec<usize> {
        let is_like =
            |name: &str, wanted: &str| name != wanted && name.trim().eq_ignore_ascii_case(wanted);
        let sections = self.sections.iter();
        let sections =
            sections.filter(|(name, _)| is_like(name, section)).map(|(_, found)| found.line);
        let found = self.sections.get(section).into_iter();
        let of_section = found.flat_map(|found| &found.keys);
        let keys = of_section
            .filter(|(name, _)| keys.iter().any(|key| is_like(name, key)))
            .map(|(_, value)| value.line);
        let mut lines: Vec<usize> = sections.chain(keys).collect();
        lines.sort_unstable();
        lines
    }

    /// The lines that are neither comment, section nor setting, counted from 1.
    pub fn ignored_lines(&self) -> &[usize] {
        &self.ignored_lines
    }
}

/// The name in `[name]`, with its blanks. The text behind the bracket counts as a comment.
fn section_name(line: &str, reader: IniReader) -> Option<&str> {
    let line = line.strip_prefix('[')?;
    let end = match reader {
        IniReader::Glib => line.find(']'),
        IniReader::ConfigParser => line.rfind(']'),
    };
    end.map(|end| &line[..end])
}

/// Splits a line into key and value at the first sign that separates them.
fn key_and_value(line: &str, reader: IniReader) -> Option<(String, &str)> {
    let signs: &[char] = match reader {
        IniReader::Glib => &['='],
        IniReader::ConfigParser => &['=', ':'],
    };
    let (key, value) = line.split_at(line.find(signs)?);
    let key = key.trim();
    let key = match reader {
        IniReader::Glib => key.to_owned(),
        IniReader::ConfigParser => key.to_lowercase(),
    };
    (!key.is_empty()).then(|| (key, value[1..].trim()))
}

#[cfg(test)]
mod tests;
