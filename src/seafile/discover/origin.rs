//! Where a setting comes from, and the variables of the environment that may set one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::overrides::{DatabaseOverrides, SourceOptions};

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
    /// As the first says, which is likely for this installation and not certain; why.
    Likely(Box<Origin>, String),
    /// As the first says, which the program in use does not go by; why.
    Dead(Box<Origin>, String),
    /// Nothing: it is what Seafile takes then.
    Default,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// The administrator said so.
    Given,
    /// The program in use goes by it.
    Certain,
    /// Something near the installation says so.
    Likely,
    /// Nothing says anything: it is what Seafile takes then.
    Default,
    /// Taken from what the program in use does not go by.
    Guess,
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "given",
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Default => "default",
            Self::Guess => "guess",
        })
    }
}

impl Origin {
    /// How much it proves.
    pub fn certainty(&self) -> Certainty {
        match self {
            Self::Option(_) => Certainty::Given,
            Self::Line(..) | Self::Path(_) | Self::Variable(_) => Certainty::Certain,
            Self::Likely(..) => Certainty::Likely,
            Self::Dead(..) => Certainty::Guess,
            Self::Default => Certainty::Default,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Path(path) => path.display().fmt(f),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Option(name) => f.write_str(name),
            Self::Likely(from, why) | Self::Dead(from, why) => write!(f, "{from}, {why}"),
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
    /// Other values that count if this one does not work: another reader of the same line takes it
    /// otherwise, or another file says something else. The likelier ones are first.
    pub others: Vec<Setting<T>>,
}

impl<T> Setting<T> {
    /// Names a value and its origin.
    pub fn new(value: T, from: Origin) -> Self {
        let others = Vec::new();
        Self { value, from, others }
    }

    /// Changes the value and keeps the origin.
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> Setting<U> {
        self.map_dyn(&mut change)
    }

    fn map_dyn<U>(self, change: &mut dyn FnMut(T) -> U) -> Setting<U> {
        let value = change(self.value);
        let others = self.others.into_iter();
        let others = others.map(|other| other.map_dyn(change)).collect();
        Setting { value, from: self.from, others }
    }
}

impl<T: PartialEq> Setting<T> {
    /// Adds a value to fall back on, if it is another one.
    #[must_use]
    pub fn or_else_try(mut self, other: Option<Self>) -> Self {
        if let Some(other) = other {
            let is_known = |known: &T| *known == other.value;
            if !is_known(&self.value) && !self.others.iter().any(|other| is_known(&other.value)) {
                self.others.push(other);
            }
        }
        self
    }
}

/// Variables of the environment, as the caller hands them in: this library does not read the
/// process's own. `Debug` shows their names only.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Setting<String>>,
    overrides: DatabaseOverrides,
    options: SourceOptions,
}

impl Environment {
    /// Takes variables and their values.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| {
            let from = Origin::Variable(name.clone());
            (name, Setting::new(value, from))
        });
        Self { variables: variables.collect(), ..Self::default() }
    }

    /// Adds what the administrator says of files and folders.
    #[must_use]
    pub fn with_options(mut self, options: SourceOptions) -> Self {
        self.options = options;
        self
    }

    /// What the administrator says of files and folders.
    pub fn options(&self) -> &SourceOptions {
        &self.options
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

    /// Adds a variable. One that is there already stays, as with docker.
    pub(super) fn add(&mut self, name: &str, setting: Setting<String>) {
        self.variables.entry(name.to_owned()).or_insert(setting);
    }

    /// A variable as it is set, also to nothing.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        Some(self.variables.get(name)?.value.clone())
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
