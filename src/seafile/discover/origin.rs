//! Where a setting comes from, and the variables of the environment that may set one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::overrides::DatabaseOverrides;
use crate::seafile::config::dotenv::Dotenv;

/// What set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, counted from 1; the path is inside the installation where it can be.
    Line(PathBuf, usize),
    /// A file or folder as such.
    Path(PathBuf),
    /// A variable of the environment that was handed in.
    Variable(String),
    /// An option of the command line, or the variable that stands for it.
    Option(String),
    /// Nothing: it is what Seafile takes then.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Path(path) => path.display().fmt(f),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Option(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and what set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// What set it.
    pub from: Origin,
}

impl<T> Setting<T> {
    /// Names a value and its origin.
    pub fn new(value: T, from: Origin) -> Self {
        Self { value, from }
    }

    /// Changes the value and keeps the origin.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Setting<U> {
        Setting::new(change(self.value), self.from)
    }
}

/// Variables of the environment, as the caller hands them in: this library does not read the
/// process's own. `Debug` shows their names only.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Setting<String>>,
    overrides: DatabaseOverrides,
}

impl Environment {
    /// Takes variables and their values.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| {
            let from = Origin::Variable(name.clone());
            (name, Setting::new(value, from))
        });
        Self {
            variables: variables.collect(),
            overrides: DatabaseOverrides::default(),
        }
    }

    /// Adds what the administrator says of database servers.
    #[must_use]
    pub fn with_overrides(mut self, overrides: DatabaseOverrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// What the administrator says of database servers.
    pub fn overrides(&self) -> &DatabaseOverrides {
        &self.overrides
    }

    /// Adds what a `.env` file sets. Variables that are there already stay, as with docker.
    pub fn add_dotenv(&mut self, path: &Path, dotenv: &Dotenv) {
        for (name, value) in dotenv.iter() {
            let from = Origin::Line(path.to_owned(), value.line);
            self.variables
                .entry(name.to_owned())
                .or_insert_with(|| Setting::new(value.text.clone(), from));
        }
    }

    /// A variable; an empty one counts as none, as it does for Seafile.
    pub fn get(&self, name: &str) -> Option<&Setting<String>> {
        let setting = self.variables.get(name)?;
        (!setting.value.is_empty()).then_some(setting)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
