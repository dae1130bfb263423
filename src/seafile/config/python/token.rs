//! Cuts Python text into tokens: names, numbers, strings, signs and ends of statements. Any other
//! text becomes [`TokenKind::Other`], which is never part of a literal.

use std::sync::Arc;

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    Name(Arc<str>),
    Int(i64),
    Text(Arc<str>),
    Sign(char),
    /// `==`, `+=`, `->` …: never part of a literal. Augmented assignments end in `=`.
    Operator(Arc<str>),
    /// The end of a logical line, or `;`.
    End,
    /// A float, bytes, an f-string, an open string …
    Other,
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PythonToken {
    pub kind: TokenKind,
    /// Counted from 1.
    pub line: usize,
    pub start: TokenStart,
}

/// Where in its logical line a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenStart {
    /// It is the first one, at the margin.
    Margin,
    /// It is the first one, behind white space.
    Indented,
    /// It is not the first one.
    Inside,
}

/// Cuts a whole text. The last token is always [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Vec<PythonToken> {
    let mut cutter =
        TokenCutter { rest: text, line: 1, depth: 0, start: TokenStart::Margin, out: Vec::new() };
    while cutter.step() {}
    cutter.push(TokenKind::End);
    cutter.out
}

struct TokenCutter<'a> {
    rest: &'a str,
    line: usize,
    /// How many brackets are open.
    depth: usize,
    /// Where the next token stands in its logical line.
    start: TokenStart,
    out: Vec<PythonToken>,
}

impl TokenCutter<'_> {
    fn push(&mut self, kind: TokenKind) {
        self.push_at(kind, self.line);
    }

    fn push_at(&mut self, kind: TokenKind, line: usize) {
        let start = std::mem::replace(&mut self.start, TokenStart::Inside);
        self.out.push(PythonToken { kind, line, start });
    }

    /// Moves on by `len` bytes and counts the lines in them.
    fn take(&mut self, len: usize) {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.bytes().filter(|&byte| byte == b'\n').count();
        self.rest = rest;
    }

    /// Cuts one token or skips one gap; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        match first {
            '\n' => self.line_end(),
            ' ' | '\t' | '\r' | '\u{c}' => {
                if self.start == TokenStart::Margin && matches!(first, ' ' | '\t') {
                    self.start = TokenStart::Indented;
                }
                self.take(1);
            }
            '#' => {
                let len = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(len);
            }
            '\\' => self.joined_line(),
            '"' | '\'' => self.string(0),
            '0'..='9' => self.number(),
            first if first == '_' || first.is_alphabetic() => self.name(),
            _ => self.sign(first),
        }
        true
    }

    fn line_end(&mut self) {
        if self.depth == 0 {
            if self.start == TokenStart::Inside {
                self.push(TokenKind::End);
            }
            self.start = TokenStart::Margin;
        }
        self.take(1);
    }

    fn joined_line(&mut self) {
        let end = ["\\\n", "\\\r\n"].into_iter().find(|end| self.rest.starts_with(end));
        if let Some(end) = end {
            self.take(end.len());
        } else {
            self.push(TokenKind::Other);
            self.take(1);
        }
    }

    fn sign(&mut self, first: char) {
        match first {
            '(' | '[' | '{' => self.depth += 1,
            ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
            ';' => {
                self.push(TokenKind::End);
                self.take(1);
                return;
            }
            _ => {}
        }
        if let Some(len) = operator_len(self.rest) {
            let operator = self.rest[..len].into();
            self.push(TokenKind::Operator(operator));
            self.take(len);
        } else {
            self.push(TokenKind::Sign(first));
            self.take(first.len_utf8());
        }
    }

    fn number(&mut self) {
        let is_part = |character: char| character.is_alphanumeric() || "._".contains(character);
        let len = len_while(self.rest, is_part);
        let kind = integer(&self.rest[..len]).map_or(TokenKind::Other, TokenKind::Int);
        self.push(kind);
        self.take(len);
    }

    fn name(&mut self) {
        let len = len_while(self.rest, |character| character == '_' || character.is_alphanumeric());
        if len <= 2 && self.rest[len..].starts_with(['"', '\'']) {
            self.string(len);
            return;
        }
        let name = self.rest[..len].into();
        self.push(TokenKind::Name(name));
        self.take(len);
    }

    /// A string whose prefix (`r`, `u`, `b`, `f` …) has `prefix_len` bytes.
    fn string(&mut self, prefix_len: usize) {
        let line = self.line;
        let (prefix, body) = self.rest.split_at(prefix_len);
        let prefix = prefix.to_ascii_lowercase();
        let quote = &body[..1];
        let triple = quote.repeat(3);
        let quote = if body.starts_with(&triple) { triple.as_str() } else { quote };
        let Some((len, end_len)) = string_len(&body[quote.len()..], quote) else {
            self.push_at(TokenKind::Other, line);
            // A string without an end is a syntax error. Skip the rest of the line, or of the text
            // if it has triple quotes.
            let line_len = body.find('\n').unwrap_or(body.len());
            let spoilt = if quote.len() == 3 { body.len() } else { line_len };
            self.take(prefix_len + spoilt);
            return;
        };
        let raw = body[quote.len()..][..len].replace("\r\n", "\n");
        let text = match prefix.as_str() {
            "" | "u" => unescaped(&raw),
            "r" => Some(raw),
            _ => None,
        };
        self.push_at(text.map_or(TokenKind::Other, |text| TokenKind::Text(text.into())), line);
        self.take(prefix_len + quote.len() + len + end_len);
    }
}

/// The length of a string's body and of its closing quotes; `None` if they are missing.
fn string_len(body: &str, quote: &str) -> Option<(usize, usize)> {
    let bytes = body.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if bytes[at..].starts_with(b"\\\r\n") => at += 3,
            b'\\' => at += 2,
            b'\n' if quote.len() == 1 => return None,
            _ if bytes[at..].starts_with(quote.as_bytes()) => return Some((at, quote.len())),
            _ => at += 1,
        }
    }
    None
}

fn len_while(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|character| !is_part(character)).unwrap_or(text.len())
}

/// The length of an operator of two or three characters at the start, if there is one.
fn operator_len(text: &str) -> Option<usize> {
    const OPERATORS: [&str; 22] = [
        "**=", "//=", ">>=", "<<=", "...", "==", "!=", "<=", ">=", "->", ":=", "+=", "-=", "*=",
        "/=", "%=", "&=", "|=", "^=", "**", "//", "<<",
    ];
    OPERATORS.into_iter().find(|operator| text.starts_with(operator)).map(str::len)
}

fn integer(text: &str) -> Option<i64> {
    let digits = text.replace('_', "");
    let prefix = digits.get(..2).unwrap_or_default().to_ascii_lowercase();
    match prefix.as_str() {
        "0x" => i64::from_str_radix(&digits[2..], 16).ok(),
        "0o" => i64::from_str_radix(&digits[2..], 8).ok(),
        "0b" => i64::from_str_radix(&digits[2..], 2).ok(),
        _ => digits.parse().ok(),
    }
}

/// Resolves the escapes of a plain string; `None` if one of them is not known here.
fn unescaped(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next()?;
        let after = &rest[at + 1 + escape.len_utf8()..];
        rest = after;
        match escape {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(escape),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            'x' => rest = push_code(&mut out, after, 2)?,
            'u' => rest = push_code(&mut out, after, 4)?,
            'U' => rest = push_code(&mut out, after, 8)?,
            '0'..='7' => rest = push_octal(&mut out, &raw[raw.len() - after.len() - 1..])?,
            'N' => return None,
            other => out.extend(['\\', other]),
        }
    }
    out.push_str(rest);
    Some(out)
}

/// Appends the character whose number stands in the first `len` hex digits. Returns the text behind
/// them.
fn push_code<'a>(out: &mut String, text: &'a str, len: usize) -> Option<&'a str> {
    let digits = text.get(..len)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let code = is_hex.then(|| u32::from_str_radix(digits, 16).ok())??;
    out.push(char::from_u32(code)?);
    Some(&text[len..])
}

/// Does the work of [`push_code`] for one to three octal digits.
fn push_octal<'a>(out: &mut String, text: &'a str) -> Option<&'a str> {
    let len = len_while(text, |character| matches!(character, '0'..='7')).min(3);
    let code = u32::from_str_radix(&text[..len], 8).ok()?;
    out.push(char::from_u32(code)?);
    Some(&text[len..])
}
