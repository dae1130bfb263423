//! Cuts a dump into statements as the stock clients do (`add_line` of their `mysql.cc`). It knows
//! quotes, comments and `DELIMITER` lines. No more of the dump is in memory than its longest
//! statement.

use std::io::{self, Read};

/// The longest statement that the protocol takes, in bytes.
const MAX_BYTES: usize = 1 << 30;
/// The least that is read at once.
const CHUNK: usize = 64 << 10;

/// Why a dump cannot be cut into statements.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// It cannot be read.
    #[error("the dump cannot be read")]
    Read(#[from] io::Error),
    /// It ends within a statement.
    #[error("the dump ends within the statement of line {line}: it was cut off")]
    Unfinished {
        /// Where the statement begins, from 1 on.
        line: u64,
    },
    /// A statement is longer than any server takes.
    #[error("the statement of line {line} is longer than {MAX_BYTES} bytes")]
    TooLong {
        /// Where it begins.
        line: u64,
    },
    /// A `DELIMITER` line does not name a delimiter.
    #[error("line {line} of the dump: DELIMITER without a delimiter")]
    NoDelimiter {
        /// Its number.
        line: u64,
    },
}

/// A statement, without its delimiter and without comments before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its text.
    pub text: &'a [u8],
    /// The line that it begins in, from 1 on.
    pub line: u64,
    /// Whether a backslash in quotes escapes what follows it.
    pub escapes: bool,
}

/// The statements of a dump.
#[derive(Debug)]
pub struct Statements<R> {
    input: R,
    buffer: Vec<u8>,
    /// How much of the buffer is done with.
    from: usize,
    is_over: bool,
    delimiter: Vec<u8>,
    escapes: bool,
    line: u64,
    most: usize,
}

impl<R: Read> Statements<R> {
    /// Begins at the beginning of `input`.
    pub fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            from: 0,
            is_over: false,
            delimiter: b";".to_vec(),
            escapes: true,
            line: 1,
            most: MAX_BYTES,
        }
    }

    /// The next statement; `None` at the end. After an error no more statements come.
    #[expect(clippy::should_implement_trait, reason = "it lends what it gives")]
    pub fn next(&mut self) -> Result<Option<Statement<'_>>, SplitError> {
        if !self.pass()? {
            return Ok(None);
        }
        let escapes = self.escapes;
        let len = self.statement_len()?;
        let (start, line) = (self.from, self.line);
        self.skip(len);
        self.skip(self.delimiter.len());
        let text = self.buffer[start..start + len].trim_ascii_end();
        if let Some(escaping) = changes_escapes(text) {
            self.escapes = escaping;
        }
        Ok(Some(Statement { text, line, escapes }))
    }

    /// Skips all that stands between statements. False at the end.
    fn pass(&mut self) -> Result<bool, SplitError> {
        loop {
            self.forget();
            self.look(self.delimiter.len().max("delimiter ".len()))?;
            let rest = &self.buffer[self.from..];
            let Some(&byte) = rest.first() else {
                return Ok(false);
            };
            if byte.is_ascii_whitespace() {
                self.skip(1);
            } else if rest.starts_with(&self.delimiter) {
                self.skip(self.delimiter.len());
            } else if is_command(rest) {
                self.command()?;
            } else {
                let token = self.token(0)?;
                if token.sort != SqlTokenKind::Comment {
                    return Ok(true);
                }
                self.skip(token.len);
            }
        }
    }

    /// Reads `DELIMITER word`, up to the end of the line.
    fn command(&mut self) -> Result<(), SplitError> {
        let mut end = 0;
        loop {
            let rest = &self.buffer[self.from + end..];
            match rest.iter().position(|&byte| byte == b'\n') {
                Some(at) => {
                    end += at;
                    break;
                }
                None => end += rest.len(),
            }
            if !self.fill()? {
                break;
            }
        }
        let line = &self.buffer[self.from..self.from + end];
        let mut words = line.split(u8::is_ascii_whitespace);
        let word = words.by_ref().skip(1).find(|word| !word.is_empty());
        let Some(word) = word else {
            return Err(SplitError::NoDelimiter { line: self.line });
        };
        self.delimiter = word.to_vec();
        self.skip(end);
        Ok(())
    }

    /// How long the statement is that begins here.
    fn statement_len(&mut self) -> Result<usize, SplitError> {
        let mut len = 0;
        loop {
            self.look(len + self.delimiter.len())?;
            let rest = &self.buffer[self.from + len..];
            if rest.starts_with(&self.delimiter) {
                return Ok(len);
            }
            if rest.is_empty() {
                return Err(SplitError::Unfinished { line: self.line });
            }
            len += self.token(len)?.len;
        }
    }

    /// The token that begins `at` bytes from here. There must be something. Reads until the token
    /// is whole.
    fn token(&mut self, at: usize) -> Result<SqlToken, SplitError> {
        loop {
            let rest = &self.buffer[self.from + at..];
            let stop = self.delimiter.first().copied().unwrap_or(b';');
            if let Some(token) = token(rest, self.is_over, self.escapes, stop) {
                return Ok(token);
            }
            self.fill()?;
        }
    }

    /// Reads until so many bytes are in the buffer, if the dump has them.
    fn look(&mut self, len: usize) -> Result<(), SplitError> {
        while self.buffer.len() - self.from < len && self.fill()? {}
        Ok(())
    }

    /// Reads as many bytes as are in the buffer already. A token that is not whole is scanned again
    /// from its beginning. This way each byte is scanned twice on average. False if there is
    /// nothing more.
    fn fill(&mut self) -> Result<bool, SplitError> {
        let held = self.buffer.len() - self.from;
        if held > self.most {
            return Err(SplitError::TooLong { line: self.line });
        }
        let wanted = held.clamp(CHUNK, self.most);
        let read = (&mut self.input).take(wanted as u64).read_to_end(&mut self.buffer)?;
        self.is_over = read < wanted;
        Ok(read > 0)
    }

    fn skip(&mut self, len: usize) {
        let end = self.buffer.len().min(self.from + len);
        let passed = &self.buffer[self.from..end];
        self.line += passed.split(|&byte| byte == b'\n').skip(1).count() as u64;
        self.from = end;
    }

    /// Drops the part of the buffer that is done with.
    fn forget(&mut self) {
        if self.from >= CHUNK || self.from == self.buffer.len() {
            self.buffer.drain(..self.from);
            self.from = 0;
            // Statements that follow a huge one need not hold its memory.
            self.buffer.shrink_to(32 * CHUNK);
        }
    }
}

/// What a part of a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SqlTokenKind {
    Code,
    Quoted,
    Comment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SqlToken {
    pub(super) sort: SqlTokenKind,
    pub(super) len: usize,
}

/// What `rest`, which is not empty, begins with: something in quotes, a comment, or code. Code ends
/// before the next `stop` at the latest. `None` if that cannot be told without more bytes.
pub(super) fn token(rest: &[u8], is_over: bool, escapes: bool, stop: u8) -> Option<SqlToken> {
    let some = |sort, len| Some(SqlToken { sort, len });
    let open = |sort| is_over.then_some(rest.len()).and_then(|len| some(sort, len));
    match rest {
        [quote @ (b'\'' | b'"' | b'`'), inside @ ..] => {
            match quoted_len(inside, *quote, escapes && *quote != b'`') {
                Some(len) => some(SqlTokenKind::Quoted, len + 1),
                None => open(SqlTokenKind::Quoted),
            }
        }
        [b'#', ..] => line_len(rest)
            .map_or_else(|| open(SqlTokenKind::Comment), |len| some(SqlTokenKind::Comment, len)),
        [b'-', b'-', after, ..] if after.is_ascii_whitespace() || after.is_ascii_control() => {
            line_len(rest)
                .map_or_else(|| open(SqlTokenKind::Comment), |len| some(SqlTokenKind::Comment, len))
        }
        [b'-', b'-'] if is_over => some(SqlTokenKind::Comment, 2),
        // Code that only some servers run.
        [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => some(SqlTokenKind::Code, 3),
        [b'/', b'*', inside @ ..] if inside.len() >= 2 || is_over => {
            match inside.windows(2).position(|pair| pair == b"*/") {
                Some(at) => some(SqlTokenKind::Comment, at + 4),
                None => open(SqlTokenKind::Comment),
            }
        }
        [b'-' | b'/'] | [b'-', b'-'] | [b'/', b'*', ..] if !is_over => None,
        [_, after @ ..] => {
            let ends = |byte: &u8| {
                *byte == stop || matches!(byte, b'\'' | b'"' | b'`' | b'#' | b'-' | b'/')
            };
            let len = after.iter().position(ends).unwrap_or(after.len());
            some(SqlTokenKind::Code, len + 1)
        }
        [] => some(SqlTokenKind::Code, 0),
    }
}

/// The length up to the closing quote and with it. A doubled quote closes one text and opens the
/// next.
fn quoted_len(inside: &[u8], quote: u8, escapes: bool) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = inside.get(at..)?;
        let found = rest.iter().position(|&byte| byte == quote || escapes && byte == b'\\')?;
        if rest[found] == quote {
            return Some(at + found + 1);
        }
        at += found + 2;
    }
}

fn line_len(rest: &[u8]) -> Option<usize> {
    Some(rest.iter().position(|&byte| byte == b'\n')? + 1)
}

fn is_command(rest: &[u8]) -> bool {
    const WORD: &[u8] = b"delimiter";
    let (word, after) = rest.split_at(rest.len().min(WORD.len()));
    word.eq_ignore_ascii_case(WORD) && after.first().is_none_or(u8::is_ascii_whitespace)
}

/// Whether backslashes escape after this statement, if it sets that. (The stock client asks the
/// server.)
fn changes_escapes(statement: &[u8]) -> Option<bool> {
    // Longer statements set no mode.
    if statement.len() > 4096 {
        return None;
    }
    let text = statement.to_ascii_uppercase();
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    let is_set = text.starts_with(b"SET ") || text.starts_with(b"/*!") && has(b" SET ");
    (is_set && has(b"SQL_MODE")).then(|| !has(b"NO_BACKSLASH_ESCAPES"))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    /// Gives so many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(into.len()).min(self.0.len());
            let (now, later) = self.0.split_at(len);
            into[..len].copy_from_slice(now);
            self.0 = later;
            Ok(len)
        }
    }

    fn split(dump: &[u8], step: usize) -> Result<Vec<(String, u64)>, SplitError> {
        let mut statements = Statements::new(Slow(dump, step));
        let mut all = Vec::new();
        while let Some(statement) = statements.next()? {
            let text = String::from_utf8_lossy(statement.text).into_owned();
            all.push((text, statement.line));
        }
        Ok(all)
    }

    fn texts(dump: &str) -> Vec<String> {
        let all = split(dump.as_bytes(), usize::MAX).unwrap();
        all.into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn statements_end_outside_of_quotes_and_comments() {
        for (dump, expected) in [
            ("a;b ;\n;; c;", &["a", "b", "c"][..]),
            ("", &[]),
            (" \n-- only ;'\n# this\n/* ; */ ", &[]),
            (r"'a;\';' x; `b;\`;", &[r"'a;\';' x", r"`b;\`"]),
            (r#""a;\";''"; 'b'';';"#, &[r#""a;\";''""#, "'b'';'"]),
            ("a -- it's; \n b; a--b;", &["a -- it's; \n b", "a--b"]),
            ("a # ; `\n b;", &["a # ; `\n b"]),
            ("a /* ; ' */ b; c/d; e*f;", &["a /* ; ' */ b", "c/d", "e*f"]),
            ("/*!40101 SET x=';' */; /*M!1 y */;", &["/*!40101 SET x=';' */", "/*M!1 y */"]),
            ("/**/ a; b /*/ ; */;", &["a", "b /*/ ; */"]),
            ("DELIMITER ;;\na;b';;'c;;\nDelimiter ;\nd;", &["a;b';;'c", "d"]),
            ("delimiter $$//\r\n a / $ $$ b$$//\ndelimiter ;\n", &["a / $ $$ b"]),
            ("delimiters;", &["delimiters"]),
            (
                r"SET sql_mode='NO_BACKSLASH_ESCAPES'; '\'; 'b'; set sql_mode=''; '\';';",
                &[
                    "SET sql_mode='NO_BACKSLASH_ESCAPES'",
                    r"'\'",
                    "'b'",
                    "set sql_mode=''",
                    r"'\';'",
                ],
            ),
        ] {
            assert_eq!(texts(dump), expected, "{dump}");
        }
    }

    #[test]
    fn what_is_cut_off_is_told_with_its_line() {
        for (dump, line) in [("a;\n b", 2), ("'a;\n", 1), ("a;\n\nx /* ;", 3), ("a -- ;", 1)] {
            match split(dump.as_bytes(), 3) {
                Err(SplitError::Unfinished { line: told }) => assert_eq!(told, line, "{dump}"),
                other => panic!("{dump}: {other:?}"),
            }
        }
        let nothing = split(b"a;\nDELIMITER \nb;", 3);
        assert!(matches!(nothing, Err(SplitError::NoDelimiter { line: 2 })), "{nothing:?}");
    }

    #[test]
    fn a_statement_without_end_is_an_error_before_memory_is_full() {
        for begin in ["a", "'", "/*", "DELIMITER "] {
            let endless = begin.as_bytes().chain(io::repeat(b'x'));
            let mut statements = Statements::new(endless);
            statements.most = 1 << 20;
            let error = statements.next().unwrap_err();
            assert!(matches!(error, SplitError::TooLong { line: 1 }), "{error:?}");
            assert!(statements.buffer.len() < 4 << 20);
        }
    }

    /// What a statement may be made of, and what may stand between two statements.
    fn piece() -> impl Strategy<Value = String> {
        let inside = "[a;\\\\'\"`$/* -]{0,6}";
        prop_oneof![
            inside
                .prop_map(|text| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))),
            inside.prop_map(|text| format!("`{}`", text.replace('`', "``"))),
            inside.prop_map(|text| format!("/* {} */", text.replace("*/", ""))),
            inside.prop_map(|text| format!("-- {text}\n")),
            Just(" x = 1 ".to_owned()),
            Just("é\n".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn statements_come_back_however_they_are_read(
            statements in prop::collection::vec((prop::collection::vec(piece(), 0..5), any::<bool>()), 0..6),
            step in 1_usize..9,
        ) {
            let mut dump = String::new();
            let mut expected = Vec::new();
            for (pieces, is_program) in statements {
                let text = format!("S{}", pieces.concat());
                let (begin, end) = if is_program { ("DELIMITER $$\n", "$$\nDELIMITER ;") } else { ("", ";") };
                write!(dump, "{begin}{text}{end}\n# it's between\n").unwrap();
                expected.push(text.trim_end().to_owned());
            }
            let all = split(dump.as_bytes(), step).unwrap();
            let (texts, lines): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            prop_assert_eq!(&texts, &expected);
            for (text, line) in texts.iter().zip(lines) {
                let at = dump.split_inclusive('\n').take(usize::try_from(line).unwrap() - 1);
                let start: usize = at.map(str::len).sum();
                prop_assert!(dump[start..].starts_with(text.as_str()), "{line}: {text}");
            }
        }

        #[test]
        fn anything_is_cut_the_same_however_it_is_read(
            dump in "([ab;'\"`#*/\\\\ \n-]|DELIMITER |\\$\\$){0,40}",
            step in 1_usize..5,
        ) {
            let whole = split(dump.as_bytes(), usize::MAX);
            let slow = split(dump.as_bytes(), step);
            prop_assert_eq!(format!("{whole:?}"), format!("{slow:?}"));
        }
    }
}
