//! Reads one expression of literals. A part that is no literal becomes [`PythonValue::Dynamic`], up to
//! the comma, colon or bracket that ends it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::token::{PythonToken, TokenKind};
use super::{LocatedValue, MAX_DEPTH, PythonValue};

/// The known values: names that the file has set so far, and environment variables.
pub(super) struct PythonScope<'a> {
    pub names: &'a BTreeMap<Arc<str>, LocatedValue>,
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// A position in the tokens of one statement. The statement ends with [`TokenKind::End`] or with the
/// slice.
pub(super) struct TokenCursor<'a> {
    tokens: &'a [PythonToken],
    known: &'a PythonScope<'a>,
    depth: usize,
}

impl<'a> TokenCursor<'a> {
    pub(super) fn new(tokens: &'a [PythonToken], known: &'a PythonScope<'a>) -> Self {
        Self { tokens, known, depth: 0 }
    }

    /// Reads a whole right-hand side. `1, 2` without brackets is a tuple.
    pub(super) fn right_hand_side(&mut self) -> LocatedValue {
        let first = self.element();
        if !self.is_at(',') {
            return self.whole(first);
        }
        let line = first.line;
        let mut values = vec![first];
        while self.skip(',') && !self.is_at_end() {
            values.push(self.element());
        }
        self.whole(LocatedValue { value: PythonValue::List(values), line })
    }

    /// Makes a value unknown if anything follows it.
    fn whole(&self, mut located: LocatedValue) -> LocatedValue {
        if !self.is_at_end() {
            located.value = PythonValue::Dynamic;
        }
        located
    }

    /// Reads one element. It is a literal only if nothing follows it before the next separator.
    fn element(&mut self) -> LocatedValue {
        let line = self.line();
        let value = self.atom().unwrap_or(PythonValue::Dynamic);
        let value = self.with_default(value);
        if self.is_at_separator() {
            return LocatedValue { value, line };
        }
        self.skip_to_separator();
        LocatedValue { value: PythonValue::Dynamic, line }
    }

    /// Reads the rest of `os.environ.get('X') or 'default'`.
    fn with_default(&mut self, value: PythonValue) -> PythonValue {
        let is_or = matches!(self.kind(), Some(TokenKind::Name(name)) if &**name == "or");
        let is_unset = match &value {
            PythonValue::Environment(_) | PythonValue::None => true,
            PythonValue::Text(text) => text.is_empty(),
            _ => return value,
        };
        if !is_or {
            return value;
        }
        self.advance();
        let default = self.atom().unwrap_or(PythonValue::Dynamic);
        if is_unset { default } else { value }
    }

    /// Reads a literal. `None` if it is no literal; the cursor then stands somewhere inside of it.
    fn atom(&mut self) -> Option<PythonValue> {
        match self.kind()?.clone() {
            TokenKind::Text(text) => {
                self.advance();
                Some(self.joined_texts(text))
            }
            TokenKind::Int(number) => {
                self.advance();
                Some(PythonValue::Int(number))
            }
            TokenKind::Sign('-') => {
                self.advance();
                let TokenKind::Int(number) = *self.kind()? else {
                    return None;
                };
                self.advance();
                number.checked_neg().map(PythonValue::Int)
            }
            TokenKind::Sign(open @ ('(' | '[' | '{')) => self.bracketed(|cursor| match open {
                '(' => cursor.tuple_or_group(),
                '[' => cursor.values(']').map(PythonValue::List),
                _ => cursor.dict(),
            }),
            TokenKind::Name(name) => self.name(&name),
            _ => None,
        }
    }

    fn joined_texts(&mut self, first: Arc<str>) -> PythonValue {
        let Some(TokenKind::Text(_)) = self.kind() else {
            return PythonValue::Text(first);
        };
        let mut joined = first.to_string();
        while let Some(TokenKind::Text(text)) = self.kind() {
            joined.push_str(text);
            self.advance();
        }
        PythonValue::Text(joined.into())
    }

    /// Reads a value in brackets. If it is no literal, the cursor goes back to the opening bracket,
    /// so that the caller can skip the whole. Such text is read once for each level of nesting, and
    /// the depth is bounded.
    fn bracketed<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        let start = self.tokens;
        self.advance();
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        if value.is_none() {
            self.tokens = start;
        }
        value
    }

    fn tuple_or_group(&mut self) -> Option<PythonValue> {
        let start = self.tokens;
        let mut values = self.values(')')?;
        // A comma before the closing bracket makes a tuple of a single value.
        let used = &start[..start.len() - self.tokens.len()];
        let has_comma = matches!(used, [.., comma, _] if comma.kind == TokenKind::Sign(','));
        if values.len() == 1 && !has_comma {
            return values.pop().map(|located| located.value);
        }
        Some(PythonValue::List(values))
    }

    /// Reads the elements up to a closing bracket, and the bracket itself.
    fn values(&mut self, close: char) -> Option<Vec<LocatedValue>> {
        let mut values = Vec::new();
        while !self.skip(close) {
            values.push(self.element());
            if !self.skip(',') && !self.is_at(close) {
                return None;
            }
        }
        Some(values)
    }

    fn dict(&mut self) -> Option<PythonValue> {
        let mut entries = BTreeMap::new();
        let mut is_whole = true;
        while !self.skip('}') {
            let key = self.element();
            if self.skip(':') {
                let value = self.element();
                match key.value {
                    PythonValue::Text(key) => drop(entries.insert(key, value)),
                    PythonValue::Dynamic | PythonValue::Environment(_) => is_whole = false,
                    _ => {}
                }
            } else {
                // A set, or `**other`: the entries are not known.
                is_whole = false;
            }
            if !self.skip(',') && !self.is_at('}') {
                return None;
            }
        }
        is_whole.then_some(PythonValue::Dict(entries))
    }

    fn name(&mut self, name: &str) -> Option<PythonValue> {
        self.advance();
        match name {
            "None" => Some(PythonValue::None),
            "True" => Some(PythonValue::Bool(true)),
            "False" => Some(PythonValue::Bool(false)),
            "os" if self.skip('.') => {
                let Some(TokenKind::Name(name)) = self.kind().cloned() else {
                    return None;
                };
                self.advance();
                self.environment(&name)
            }
            "environ" | "getenv" => self.environment(name),
            "int" | "str" if self.is_at('(') => {
                let value = self.bracketed(Self::tuple_or_group)?;
                let is_plain = matches!(
                    value,
                    PythonValue::Int(_) | PythonValue::Text(_) | PythonValue::Environment(_)
                );
                is_plain.then_some(value)
            }
            _ => {
                let value = &self.known.names.get(name)?.value;
                value.is_scalar().then(|| value.clone())
            }
        }
    }

    /// Reads `environ.get(…)`, `environ[…]` or `getenv(…)`. The first word is read already.
    fn environment(&mut self, word: &str) -> Option<PythonValue> {
        let is_subscript = word == "environ" && self.is_at('[');
        if word == "environ" && !is_subscript {
            let is_get = self.skip('.')
                && matches!(self.kind(), Some(TokenKind::Name(name)) if &**name == "get");
            if !is_get {
                return None;
            }
            self.advance();
        } else if word != "environ" && word != "getenv" {
            return None;
        }
        let close = if is_subscript { ']' } else { ')' };
        if !is_subscript && !self.is_at('(') {
            return None;
        }
        let arguments = self.bracketed(|cursor| cursor.values(close))?;
        self.variable(&arguments)
    }

    fn variable(&self, arguments: &[LocatedValue]) -> Option<PythonValue> {
        let (name, default) = match arguments {
            [name] => (name, None),
            [name, default] => (name, Some(default)),
            _ => return None,
        };
        let PythonValue::Text(name) = &name.value else {
            return None;
        };
        if let Some(value) = (self.known.variable)(name) {
            return Some(PythonValue::Text(value.into()));
        }
        match default {
            Some(default) => default.value.is_scalar().then(|| default.value.clone()),
            None => Some(PythonValue::Environment(name.clone())),
        }
    }

    fn kind(&self) -> Option<&'a TokenKind> {
        self.tokens.first().map(|token| &token.kind)
    }

    fn line(&self) -> usize {
        self.tokens.first().map_or(0, |token| token.line)
    }

    fn advance(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    fn is_at(&self, sign: char) -> bool {
        self.kind() == Some(&TokenKind::Sign(sign))
    }

    fn skip(&mut self, sign: char) -> bool {
        let is_there = self.is_at(sign);
        if is_there {
            self.advance();
        }
        is_there
    }

    fn is_at_end(&self) -> bool {
        matches!(self.kind(), None | Some(TokenKind::End))
    }

    fn is_at_separator(&self) -> bool {
        self.is_at_end()
            || matches!(self.kind(), Some(TokenKind::Sign(',' | ':' | ')' | ']' | '}' | '=')))
    }

    /// Skips to the separator that ends the current element. Brackets inside of the element are
    /// skipped as a whole.
    fn skip_to_separator(&mut self) {
        let mut open = 0usize;
        while !self.is_at_end() {
            match self.kind() {
                Some(TokenKind::Sign('(' | '[' | '{')) => open += 1,
                _ if open == 0 && self.is_at_separator() => return,
                Some(TokenKind::Sign(')' | ']' | '}')) => open -= 1,
                _ => {}
            }
            self.advance();
        }
    }
}
