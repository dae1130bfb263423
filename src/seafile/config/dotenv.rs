//! Reads `.env` files as Seafile 12+ uses them: `conf/.env` of an installation, or the one beside
//! docker's compose file. Nothing is expanded: a value that names another variable is marked.

use std::collections::BTreeMap;
use std::fmt;

/// One value and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct DotenvValue {
    /// The text between the quotes, or the bare text without a comment behind it.
    pub text: String,
    /// The line on which the variable's name stands, counted from 1.
    pub line: usize,
    /// Whether it holds a `$` outside single quotes: the shell or docker may have put something
    /// else there.
    pub has_reference: bool,
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
    /// Reads a text. Every text is taken: see [`Self::ignored_lines`].
    pub fn parse(text: &str) -> Self {
        let mut dotenv = Self::default();
        let mut rest = super::without_byte_order_mark(text);
        let mut number = 1;
        while !rest.is_empty() {
            let line = rest.split('\n').next().unwrap_or_default();
            let mut used = line.len();
            let content = line.trim();
            if !content.is_empty() && !content.starts_with('#') {
                if let Some((name, after)) = name_and_rest(line) {
                    let start = line.len() - after.len();
                    let (text, has_reference, len) = value(&rest[start..], after);
                    used = start + len;
                    let value = DotenvValue {
                        text,
                        line: number,
                        has_reference,
                    };
                    dotenv.values.insert(name.to_owned(), value);
                } else {
                    dotenv.ignored_lines.push(number);
                }
            }
            let end = rest[used..]
                .find('\n')
                .map_or(rest.len(), |at| used + at + 1);
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
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// Lines that are neither comment nor setting, counted from 1.
    pub fn ignored_lines(&self) -> &[usize] {
        &self.ignored_lines
    }
}

/// Splits `export NAME = rest` into the name and what follows the white space behind `=`.
fn name_and_rest(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once('=')?;
    let name = name.trim();
    let name = match name.strip_prefix("export") {
        Some(after) if after.starts_with(char::is_whitespace) => after.trim_start(),
        _ => name,
    };
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    let is_valid = !name.is_empty() && name.chars().all(is_name);
    is_valid.then(|| (name, rest.trim_start_matches([' ', '\t'])))
}

/// Reads the value at the start of `rest`, whose first line is `line`: its text, whether it may
/// name another variable, and how many bytes it takes.
fn value(rest: &str, line: &str) -> (String, bool, usize) {
    let quoted = match rest.chars().next() {
        Some('\'') => single_quoted(&rest[1..]).map(|(text, len)| (text, false, len)),
        Some('"') => double_quoted(&rest[1..]),
        _ => None,
    };
    quoted.map_or_else(
        || {
            let text = bare(line);
            (text.to_owned(), text.contains('$'), line.len())
        },
        |(text, has_reference, len)| (text, has_reference, len + 1),
    )
}

/// The text up to the next single quote, and its length with that quote.
fn single_quoted(rest: &str) -> Option<(String, usize)> {
    let end = rest.find('\'')?;
    Some((rest[..end].to_owned(), end + 1))
}

/// As [`single_quoted`], with escapes, and whether a `$` stood there unescaped.
fn double_quoted(rest: &str) -> Option<(String, bool, usize)> {
    let mut text = String::new();
    let mut has_reference = false;
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, has_reference, at + 1)),
            '\\' => match characters.next()?.1 {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                other @ ('"' | '\\' | '$' | '`') => text.push(other),
                other => text.extend(['\\', other]),
            },
            other => {
                has_reference |= other == '$';
                text.push(other);
            }
        }
    }
    None
}

/// A value without quotes ends where white space and `#` begin a comment.
fn bare(line: &str) -> &str {
    let comment = line.char_indices().find(|&(at, character)| {
        character == '#' && (at == 0 || line[..at].ends_with(char::is_whitespace))
    });
    line[..comment.map_or(line.len(), |(at, _)| at)].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text<'a>(dotenv: &'a Dotenv, name: &str) -> Option<&'a str> {
        dotenv.get(name).map(|value| value.text.as_str())
    }

    #[test]
    fn quotes_comments_and_export_are_read() {
        let dotenv = Dotenv::parse(
            "\u{feff}# comment\r\nA=plain # why\r\nexport B='single $X # \"' # c\nC = \"a\\\"b\\n\\$\"\n\
             D=a#b\nE=\nF=\"two\nlines\"\nG=${A}\nnonsense\nexport=1\n=2\nH='open\nI=\"open\nA.B-1=x",
        );
        assert_eq!(text(&dotenv, "A"), Some("plain"));
        assert_eq!(text(&dotenv, "B"), Some("single $X # \""));
        assert!(!dotenv.get("B").unwrap().has_reference);
        assert_eq!(text(&dotenv, "C"), Some("a\"b\n$"));
        assert!(!dotenv.get("C").unwrap().has_reference);
        assert_eq!(text(&dotenv, "D"), Some("a#b"));
        assert_eq!(text(&dotenv, "E"), Some(""));
        assert_eq!(text(&dotenv, "F"), Some("two\nlines"));
        assert!(dotenv.get("G").unwrap().has_reference);
        assert_eq!(dotenv.get("G").unwrap().line, 9);
        assert_eq!(text(&dotenv, "export"), Some("1"));
        assert_eq!(text(&dotenv, "H"), Some("'open"));
        assert_eq!(text(&dotenv, "I"), Some("\"open"));
        assert_eq!(text(&dotenv, "A.B-1"), Some("x"));
        assert_eq!(dotenv.ignored_lines(), [10, 12]);
        assert_eq!(dotenv.iter().count(), 11);
    }

    #[test]
    fn values_are_not_shown() {
        let dotenv = Dotenv::parse("PASSWORD=hunter2");
        assert!(!format!("{dotenv:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            Dotenv::parse(&text);
        }

        #[test]
        fn text_with_signs_of_the_format_is_read(text in "[A='\"\\\\$# \n]{0,60}") {
            Dotenv::parse(&text);
        }

        #[test]
        fn single_quotes_keep_everything(value in "[^']{0,30}", after in "[a-z]{1,5}") {
            let dotenv = Dotenv::parse(&format!("A='{value}'\nB={after}"));
            prop_assert_eq!(text(&dotenv, "A"), Some(value.as_str()));
            prop_assert_eq!(text(&dotenv, "B"), Some(after.as_str()));
        }
    }
}
