//! Where a setting comes from, and the environment variables that may set one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::overrides::{DatabaseOverrides, SourceOptions};

/// The file, variable or option that set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingOrigin {
    /// A line of a file, counted from 1. The path is relative to the installation where possible.
    Line(PathBuf, usize),
    /// A file or folder itself.
    Path(PathBuf),
    /// An environment variable that the caller gave.
    Variable(String),
    /// A command-line option, or the variable that stands for it.
    Option(String),
    /// A likely origin: it probably belongs to this installation. The text says why it is not
    /// certain.
    Likely(Box<SettingOrigin>, String),
    /// A dead origin: the program in use does not read it. The text says why.
    Dead(Box<SettingOrigin>, String),
    /// No setting: it is Seafile's default.
    Default,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// The administrator gave it.
    Given,
    /// The program in use reads it.
    Certain,
    /// A file near the installation says it.
    Likely,
    /// No setting: it is Seafile's default.
    Default,
    /// It comes from a setting that the program in use does not read.
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

impl SettingOrigin {
    /// How sure a value of this origin is.
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

impl fmt::Display for SettingOrigin {
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

/// A value and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Its origin.
    pub from: SettingOrigin,
    /// Other values to try if this one does not work: another reader understands the same line
    /// differently, or another file has another value. The likelier ones are first.
    pub others: Vec<Setting<T>>,
}

impl<T> Setting<T> {
    /// Makes a setting of a value and its origin.
    pub fn new(value: T, from: SettingOrigin) -> Self {
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
    /// Adds a value to fall back on, unless it is known already.
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

/// The environment variables that the caller gives. This library does not read those of its own
/// process. `Debug` shows only their names.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Setting<String>>,
    overrides: DatabaseOverrides,
    options: SourceOptions,
}

impl Environment {
    /// Makes an environment of variables and their values.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| {
            let from = SettingOrigin::Variable(name.clone());
            (name, Setting::new(value, from))
        });
        Self { variables: variables.collect(), ..Self::default() }
    }

    /// Adds the administrator's options about files and folders.
    #[must_use]
    pub fn with_options(mut self, options: SourceOptions) -> Self {
        self.options = options;
        self
    }

    /// The administrator's options about files and folders.
    pub fn options(&self) -> &SourceOptions {
        &self.options
    }

    /// Adds the administrator's options about database servers.
    #[must_use]
    pub fn with_overrides(mut self, overrides: DatabaseOverrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// The administrator's options about database servers.
    pub fn overrides(&self) -> &DatabaseOverrides {
        &self.overrides
    }

    /// Adds a variable. If it exists already, it stays as it is, as with docker.
    pub(super) fn add(&mut self, name: &str, setting: Setting<String>) {
        self.variables.entry(name.to_owned()).or_insert(setting);
    }

    /// The value of a variable, which may be empty.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        Some(self.variables.get(name)?.value.clone())
    }

    /// A variable. An empty one counts as absent, as it does for Seafile.
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
