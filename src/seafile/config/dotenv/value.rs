//! Reads one value of a `.env` file by the rules of each reader.

use super::DotenvReader;
use crate::seafile::config::template::{self, ExpandedText};

/// A value, and how many bytes of the text it used.
pub(super) struct ParsedDotenvValue {
    pub text: String,
    /// A variable that the value refers to and that is not set.
    pub unset: Option<String>,
    /// How many bytes it used.
    pub len: usize,
}

/// Reads the value at the start of `rest`, whose first line is `line`.
pub(super) fn read(
    reader: DotenvReader,
    rest: &str,
    line: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> ParsedDotenvValue {
    match reader {
        DotenvReader::Compose => compose(rest, line, variable),
        DotenvReader::Shell | DotenvReader::Systemd => word(reader, rest, line, variable),
    }
}

impl ParsedDotenvValue {
    fn literal(text: &str, len: usize) -> Self {
        let text = text.to_owned();
        let unset = None;
        Self { text, unset, len }
    }

    fn expanded(expanded: ExpandedText, len: usize) -> Self {
        let ExpandedText { text, unset } = expanded;
        Self { text, unset, len }
    }
}

/// Reads a value as the `dotenv` package of compose-go does.
fn compose(rest: &str, line: &str, variable: &dyn Fn(&str) -> Option<String>) -> ParsedDotenvValue {
    let quote = rest.chars().next();
    let quoted = quote
        .filter(|quote| matches!(quote, '\'' | '"'))
        .and_then(|quote| Some((quote, until_quote(&rest[1..], quote)?)));
    match quoted {
        Some(('"', (text, len))) => {
            let expanded = template::expand(&unescaped(&text), variable);
            ParsedDotenvValue::expanded(expanded, len + 1)
        }
        Some((_, (text, len))) => ParsedDotenvValue::literal(&text, len + 1),
        None => ParsedDotenvValue::expanded(template::expand(bare(line), variable), line.len()),
    }
}

/// The text up to a quote that no backslash escapes, and its length with that quote. Backslashes
/// before other characters stay.
fn until_quote(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return Some((text, at + 1));
        }
        if character != '\\' {
            text.push(character);
            continue;
        }
        let (_, escaped) = characters.next()?;
        if escaped != quote {
            text.push('\\');
        }
        text.push(escaped);
    }
    None
}

/// Resolves the escapes of double quotes. `\$` becomes `$$`, which stands for one `$`.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('$') => out.push_str("$$"),
            Some(other @ ('"' | '\\')) => out.push(other),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// A value without quotes ends where a blank and `#` begin a comment. `NAME= # why` is empty, and
/// `NAME=#x` is `#x`.
fn bare(line: &str) -> &str {
    let comment = line
        .char_indices()
        .find(|&(at, character)| character == '#' && line[..at].ends_with(char::is_whitespace));
    line[..comment.map_or(line.len(), |(at, _)| at)].trim()
}

/// Reads a word of the shell or of systemd's `EnvironmentFile`. systemd expands nothing and knows
/// no comment behind a value.
fn word(
    reader: DotenvReader,
    rest: &str,
    line: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> ParsedDotenvValue {
    let is_shell = reader == DotenvReader::Shell;
    let mut word = DotenvWord { is_shell, variable, text: String::new(), kept: 0, unset: None };
    let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
    let mut at = blank;
    // `NAME= # why`: the shell ends the word at the blank.
    if is_shell && blank > 0 {
        return ParsedDotenvValue::literal(line_without_comment(line), line.len());
    }
    while let Some(character) = rest[at..].chars().next() {
        let after = &rest[at + character.len_utf8()..];
        let used = match character {
            '\n' => break,
            '\'' | '"' => {
                let used = word.quoted(after, character);
                word.kept = word.text.len();
                used
            }
            '\\' => Some(word.escaped(after)),
            '#' if is_shell && at == blank => return ParsedDotenvValue::literal("", line.len()),
            ' ' | '\t' | ';' | '&' | '|' | '<' | '>' if is_shell => return word.end(line, at),
            '$' | '`' if is_shell => Some(word.reference(&rest[at..]).saturating_sub(1)),
            other => {
                word.text.push(other);
                Some(0)
            }
        };
        match used {
            Some(used) => at += character.len_utf8() + used,
            // A quote without an end is a syntax error for the reader. Here the line counts as it
            // stands.
            None => return ParsedDotenvValue::literal(line.trim(), line.len()),
        }
    }
    // Removes blanks at the end of the line, but keeps those in quotes.
    let (kept, bare) = word.text.split_at(word.kept);
    let bare = if is_shell { bare.trim_end_matches('\r') } else { bare.trim_end() };
    ParsedDotenvValue { text: format!("{kept}{bare}"), unset: word.unset, len: at }
}

fn line_without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') { "" } else { bare(line) }
}

/// A word that is being read.
struct DotenvWord<'a> {
    is_shell: bool,
    variable: &'a dyn Fn(&str) -> Option<String>,
    text: String,
    /// The length of the text up to the end of the last quotes. Blanks in this part are kept.
    kept: usize,
    unset: Option<String>,
}

impl DotenvWord<'_> {
    /// Reads the text behind an opening quote; `None` if it has no end.
    fn quoted(&mut self, after: &str, quote: char) -> Option<usize> {
        if quote == '\'' {
            let end = after.find('\'')?;
            self.text.push_str(&after[..end]);
            return Some(end + 1);
        }
        let mut at = 0;
        loop {
            let character = after[at..].chars().next()?;
            let rest = &after[at + character.len_utf8()..];
            match character {
                '"' => return Some(at + 1),
                '\\' => {
                    let escaped = rest.chars().next()?;
                    if !matches!(escaped, '"' | '\\' | '$' | '`' | '\n') {
                        self.text.push('\\');
                    }
                    if escaped != '\n' {
                        self.text.push(escaped);
                    }
                    at += 1 + escaped.len_utf8();
                }
                '$' | '`' if self.is_shell => at += self.reference(&after[at..]),
                other => {
                    self.text.push(other);
                    at += other.len_utf8();
                }
            }
        }
    }

    /// Reads the character behind a backslash outside of quotes.
    fn escaped(&mut self, after: &str) -> usize {
        match after.chars().next() {
            Some('\n') | None => after.len().min(1),
            Some(other) => {
                self.text.push(other);
                other.len_utf8()
            }
        }
    }

    /// Replaces the reference at the start of `rest` and returns its length. The output of commands
    /// and the shell's own variables (`$$` is its process number) are not known.
    fn reference(&mut self, rest: &str) -> usize {
        let len = reference_len(rest);
        let text = &rest[..len];
        let is_name = text.len() > 1 && !text.starts_with("$$") && !text.starts_with("$(");
        if text.starts_with('$') && is_name {
            let expanded = template::expand(text, self.variable);
            self.text.push_str(&expanded.text);
            self.unset = self.unset.take().or(expanded.unset);
        } else if text == "$" {
            self.text.push('$');
        } else {
            self.text.push_str(text);
            self.unset.get_or_insert_with(|| text.to_owned());
        }
        len
    }

    /// Ends the word. Only a comment may follow on the line. The shell would run anything else as a
    /// command; then the line counts as it stands.
    fn end(self, line: &str, at: usize) -> ParsedDotenvValue {
        let after = line[at.min(line.len())..].trim_start();
        if at <= line.len() && !after.is_empty() && !after.starts_with('#') {
            return ParsedDotenvValue::literal(bare(line), line.len());
        }
        ParsedDotenvValue { text: self.text, unset: self.unset, len: at }
    }
}

/// The length of `$NAME`, `${…}`, `$(…)`, `$$` or a command in backquotes, in bytes.
fn reference_len(rest: &str) -> usize {
    let is_part = |character: char| character == '_' || character.is_ascii_alphanumeric();
    let after = &rest[1..];
    let closed = |open: &str, close: char| {
        let inside = after.strip_prefix(open)?;
        let line = inside.split('\n').next().unwrap_or_default();
        Some(1 + open.len() + line.find(close)? + 1)
    };
    if rest.starts_with('`') {
        let line = after.split('\n').next().unwrap_or_default();
        return line.find('`').map_or(1, |end| end + 2);
    }
    let found = closed("{", '}').or_else(|| closed("(", ')'));
    if let Some(len) = found {
        return len;
    }
    match after.chars().next() {
        Some('$') => 2,
        Some(first) if is_part(first) => 1 + after.find(|c| !is_part(c)).unwrap_or(after.len()),
        _ => 1,
    }
}
