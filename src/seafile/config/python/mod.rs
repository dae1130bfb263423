//! Reads the literals of `seahub_settings.py`. The file is a program, but nothing in it is run. A
//! name that is assigned a literal at the top level gets that value. Everything else is
//! [`PythonValue::Dynamic`], with its line. Time and memory are bounded by the length of the text,
//! nesting by [`MAX_DEPTH`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

mod expression;
mod statement;
mod token;

/// How deeply lists, dictionaries, parentheses and subscripts may nest.
pub const MAX_DEPTH: usize = 32;

/// The value of an expression, as far as it is known without running it.
#[derive(Clone, PartialEq, Eq)]
pub enum PythonValue {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// A string; adjacent ones are joined.
    Text(Arc<str>),
    /// A list or a tuple.
    List(Vec<LocatedValue>),
    /// A dictionary. Entries whose keys are no strings are left out.
    Dict(BTreeMap<Arc<str>, LocatedValue>),
    /// An environment variable whose value is not known, and that has no default.
    Environment(Arc<str>),
    /// Not a literal.
    Dynamic,
}

/// A value and the line on which its expression begins, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedValue {
    /// The value.
    pub value: PythonValue,
    /// The line.
    pub line: usize,
}

impl LocatedValue {
    /// A string, or an integer as text; `None` for everything else.
    pub fn text(&self) -> Option<String> {
        match &self.value {
            PythonValue::Text(text) => Some(text.to_string()),
            PythonValue::Int(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

impl PythonValue {
    /// Whether it is neither a list nor a dictionary. Only such a value is copied when another name
    /// stands for it: it is small.
    fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Dict(_))
    }
}

/// Shows only what kind of value it is: texts may be passwords.
impl fmt::Debug for PythonValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(_) => f.write_str("(integer)"),
            Self::Text(_) => f.write_str("(text)"),
            Self::List(values) => values.fmt(f),
            Self::Dict(entries) => entries.fmt(f),
            Self::Environment(name) => write!(f, "(variable {name})"),
            Self::Dynamic => f.write_str("(not a literal)"),
        }
    }
}

/// The names that a settings file sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PythonSettings {
    values: BTreeMap<Arc<str>, LocatedValue>,
    imports_everything: Option<usize>,
}

impl PythonSettings {
    /// Reads a text. `variable` returns the value of an environment variable, if it is known. Every
    /// text is accepted.
    pub fn parse(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let tokens = token::tokens(super::without_byte_order_mark(text));
        statement::StatementReader::new(variable).read(&tokens)
    }

    /// The last value that a name was set to.
    pub fn get(&self, name: &str) -> Option<&LocatedValue> {
        self.values.get(name)
    }

    /// The value of `name['a']['b']`. It is [`PythonValue::Dynamic`] if one of the values on the way is
    /// not a literal.
    pub fn get_in(&self, name: &str, path: &[&str]) -> Option<&LocatedValue> {
        let mut place = self.get(name)?;
        for key in path {
            match &place.value {
                PythonValue::Dict(entries) => place = entries.get(*key)?,
                PythonValue::Dynamic => return Some(place),
                _ => return None,
            }
        }
        Some(place)
    }

    /// The line of the last `from … import *`, which may set any name.
    pub fn imports_everything(&self) -> Option<usize> {
        self.imports_everything
    }
}

#[cfg(test)]
mod tests;
