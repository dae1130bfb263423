//! Reads statements: which values names are set to, and which names may be set by code that seawall
//! does not run.

use std::sync::Arc;

use super::expression::{PythonScope, TokenCursor};
use super::token::{PythonToken, TokenKind, TokenStart};
use super::{LocatedValue, MAX_DEPTH, PythonSettings, PythonValue};

/// Applies statements, one after the other.
pub(super) struct StatementReader<'a> {
    settings: PythonSettings,
    variable: &'a dyn Fn(&str) -> Option<String>,
    /// What the current statement belongs to.
    block: StatementBlock,
}

/// What a statement belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StatementBlock {
    /// The file itself.
    File,
    /// Code that may or may not run.
    Condition,
    /// A function or class. Its names are not names of the file.
    Definition,
}

impl<'a> StatementReader<'a> {
    pub(super) fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { settings: PythonSettings::default(), variable, block: StatementBlock::File }
    }

    pub(super) fn read(mut self, tokens: &[PythonToken]) -> PythonSettings {
        for statement in tokens.split(|token| token.kind == TokenKind::End) {
            if let Some(first) = statement.first() {
                self.statement(first, statement);
            }
        }
        self.settings
    }

    fn statement(&mut self, first: &PythonToken, tokens: &[PythonToken]) {
        let word = match &first.kind {
            TokenKind::Name(name) => &**name,
            TokenKind::Sign('@') => "@",
            _ => "",
        };
        self.block = match (first.start, self.block) {
            (TokenStart::Margin, _) => block(word),
            (TokenStart::Indented, StatementBlock::File) => StatementBlock::Condition,
            (_, block) => block,
        };
        match self.block {
            StatementBlock::Definition => {}
            _ if word == "from" || word == "import" => self.import(first.line, tokens),
            _ if is_execution(tokens) => self.settings.imports_everything = Some(first.line),
            StatementBlock::Condition => self.condition(tokens),
            StatementBlock::File => self.simple(tokens),
        }
    }

    /// Reads an import. The values of imported names are in another file, which is not read.
    fn import(&mut self, line: usize, tokens: &[PythonToken]) {
        if tokens.iter().any(|token| token.kind == TokenKind::Sign('*')) {
            self.settings.imports_everything = Some(line);
            return;
        }
        // `from module import NAME`, `import NAME as OTHER`: the names behind the last `import`.
        let is_import = |token: &PythonToken| matches!(&token.kind, TokenKind::Name(name) if &**name == "import");
        let at = tokens.iter().rposition(is_import).unwrap_or_default();
        self.spoil(tokens.get(at + 1..).unwrap_or_default());
    }

    /// Reads an assignment at the top level, or a statement that may change the value of a name.
    fn simple(&mut self, tokens: &[PythonToken]) {
        let (targets, right) = split_assignment(tokens);
        let Some(right) = right else {
            // `NAME.update(…)`, `NAME += …`, `del NAME`, `f(NAME)` …
            self.forget_named(if is_annotation(tokens) { &[] } else { tokens });
            return;
        };
        let known = PythonScope { names: &self.settings.values, variable: self.variable };
        let mut value = TokenCursor::new(right, &known).right_hand_side();
        if targets.len() > MAX_DEPTH {
            // Nobody writes this, and the memory for so many copies of a large value would not be
            // bounded.
            value.value = PythonValue::Dynamic;
        }
        for target in targets {
            self.assign(target, &value);
        }
    }

    fn assign(&mut self, target: &[PythonToken], value: &LocatedValue) {
        let target = without_annotation(target);
        let Some((name, path)) = place(target) else {
            self.spoil(target);
            return;
        };
        if path.is_empty() {
            self.settings.values.insert(name, value.clone());
            return;
        }
        let Some(mut at) = self.settings.values.get_mut(&name) else {
            return;
        };
        for (depth, key) in path.iter().enumerate() {
            let PythonValue::Dict(entries) = &mut at.value else {
                return;
            };
            if depth + 1 == path.len() {
                entries.insert(key.clone(), value.clone());
                return;
            }
            let Some(entry) = entries.get_mut(key) else {
                return;
            };
            at = entry;
        }
    }

    /// Marks every name as unknown in a target that cannot be followed: `A, B = …`, `A[x] = …`.
    fn spoil(&mut self, target: &[PythonToken]) {
        for token in target {
            if let TokenKind::Name(name) = &token.kind {
                let values = &mut self.settings.values;
                values.insert(name.clone(), dynamic(token.line));
            }
        }
    }

    /// Marks every name of the file that stands in `tokens` as unknown from here on.
    fn forget_named(&mut self, tokens: &[PythonToken]) {
        for token in tokens {
            if let TokenKind::Name(name) = &token.kind
                && let Some(located) = self.settings.values.get_mut(name)
            {
                *located = dynamic(token.line);
            }
        }
    }

    /// Reads code that may or may not run. `NAME['a']['b'] = …` makes only that entry unknown.
    fn condition(&mut self, tokens: &[PythonToken]) {
        let (targets, right) = split_assignment(tokens);
        let is_entry =
            |target: &&[PythonToken]| place(target).is_some_and(|(_, path)| !path.is_empty());
        match right {
            Some(_) if targets.iter().all(is_entry) && targets.len() <= MAX_DEPTH => {
                let line = tokens.first().map_or(0, |token| token.line);
                for target in targets {
                    self.assign(target, &dynamic(line));
                }
            }
            _ => self.forget_assigned(tokens),
        }
    }

    /// Reads code that may or may not run. The names that it assigns are unknown from here on.
    fn forget_assigned(&mut self, tokens: &[PythonToken]) {
        for pair in tokens.windows(2) {
            let TokenKind::Name(name) = &pair[0].kind else {
                continue;
            };
            let is_assigned = pair[1].kind == TokenKind::Sign('=');
            if is_assigned || self.settings.values.contains_key(name) && is_touched(&pair[1].kind) {
                let line = pair[0].line;
                self.settings.values.insert(name.clone(), dynamic(line));
            }
        }
    }
}

fn dynamic(line: usize) -> LocatedValue {
    LocatedValue { value: PythonValue::Dynamic, line }
}

/// Whether a statement is `exec(…)`, `globals().update(…)` and the like, which may set any name.
fn is_execution(tokens: &[PythonToken]) -> bool {
    let [first, open, ..] = tokens else {
        return false;
    };
    let TokenKind::Name(name) = &first.kind else {
        return false;
    };
    let is_call = open.kind == TokenKind::Sign('(');
    is_call && matches!(&**name, "exec" | "execfile" | "globals" | "locals" | "vars")
}

/// Whether the statement may change the name that stands before this token.
fn is_touched(next: &TokenKind) -> bool {
    match next {
        TokenKind::Sign(sign) => matches!(sign, '[' | '.' | ','),
        TokenKind::Operator(operator) => is_augmented(operator),
        _ => false,
    }
}

fn is_augmented(operator: &str) -> bool {
    operator.ends_with('=') && !matches!(operator, "==" | "!=" | "<=" | ">=")
}

/// The block of a statement that begins at the margin with this word.
fn block(word: &str) -> StatementBlock {
    match word {
        "def" | "class" | "async" | "@" => StatementBlock::Definition,
        "if" | "elif" | "else" | "for" | "while" | "with" | "try" | "except" | "finally" => {
            StatementBlock::Condition
        }
        _ => StatementBlock::File,
    }
}

/// Splits `a = b = value` into its targets and the value. Only a `=` outside of brackets counts.
fn split_assignment(tokens: &[PythonToken]) -> (Vec<&[PythonToken]>, Option<&[PythonToken]>) {
    let mut open = 0usize;
    let mut start = 0;
    let mut targets = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match &token.kind {
            TokenKind::Sign('(' | '[' | '{') => open += 1,
            TokenKind::Sign(')' | ']' | '}') => open = open.saturating_sub(1),
            TokenKind::Sign('=') if open == 0 => {
                targets.push(&tokens[start..at]);
                start = at + 1;
            }
            TokenKind::Operator(operator) if open == 0 && is_augmented(operator) => {
                return (Vec::new(), None);
            }
            TokenKind::Name(name) if open == 0 && &**name == "lambda" => break,
            _ => {}
        }
    }
    let right = (!targets.is_empty()).then(|| &tokens[start..]);
    (targets, right)
}

/// Whether this is `NAME: type`. Without a value it sets nothing.
fn is_annotation(tokens: &[PythonToken]) -> bool {
    matches!(tokens, [name, colon, ..]
        if matches!(name.kind, TokenKind::Name(_)) && colon.kind == TokenKind::Sign(':'))
}

fn without_annotation(target: &[PythonToken]) -> &[PythonToken] {
    if is_annotation(target) { &target[..1] } else { target }
}

/// Reads `NAME['a']['b']`.
fn place(target: &[PythonToken]) -> Option<(Arc<str>, Vec<Arc<str>>)> {
    let (first, mut rest) = target.split_first()?;
    let TokenKind::Name(name) = &first.kind else {
        return None;
    };
    let mut path = Vec::new();
    while let [open, key, close, after @ ..] = rest {
        let TokenKind::Text(key) = &key.kind else {
            return None;
        };
        let is_subscript = open.kind == TokenKind::Sign('[') && close.kind == TokenKind::Sign(']');
        if !is_subscript || path.len() == MAX_DEPTH {
            return None;
        }
        path.push(key.clone());
        rest = after;
    }
    rest.is_empty().then(|| (name.clone(), path))
}
