//! The `.env` files of an installation. Each is read by the rules of the program that uses it.
//! Other programs may read a value differently; their readings are kept to fall back on.

use std::path::{Path, PathBuf};

use super::error::DiscoverError;
use super::origin::{Environment, Setting, SettingOrigin};
use super::warning::DiscoverWarning;
use crate::seafile::config;
use crate::seafile::config::dotenv::{Dotenv, DotenvReader};

/// The prefix of the variables that say where the databases are.
const DATABASE: &str = "SEAFILE_MYSQL_DB_";
/// Prefixes of variables whose values decide something here.
const DECISIVE: [&str; 3] = [DATABASE, "SEAF_SERVER_STORAGE_TYPE", "SEAFILE_VOLUME"];
/// Prefixes of variables that show that a `.env` file is one of Seafile.
const SEAFILES: [&str; 4] = [DATABASE, "SEAFILE_SERVER_", "SEAFILE_VOLUME", "JWT_PRIVATE_KEY"];
/// The most warnings about lines that are no setting. More would say nothing new about a file.
const MOST_IGNORED: usize = 3;

/// A `.env` file that was read.
#[derive(Debug)]
pub(super) struct EnvFile {
    /// The file itself.
    pub path: PathBuf,
    /// The path as messages show it.
    shown: PathBuf,
    dotenv: Dotenv,
    others: Vec<Dotenv>,
    /// Why the file may not belong to this installation, if there is a reason.
    doubt: Option<String>,
}

impl EnvFile {
    /// Reads a file; `None` if there is none. `variable` returns variables that are set outside of
    /// it.
    pub(super) fn read(
        path: &Path,
        shown: &Path,
        reader: DotenvReader,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, DiscoverError> {
        let text = match config::read_text(path) {
            Ok(text) => text,
            // It is a folder of that name. docker makes one if a file that it should mount is
            // missing.
            Err(_) if path.is_dir() => None,
            Err(error) => return Err(DiscoverError::config(path, error)),
        };
        let Some(text) = text else { return Ok(None) };
        let others = DotenvReader::ALL.into_iter().filter(|other| *other != reader);
        Ok(Some(Self {
            path: path.to_owned(),
            shown: shown.to_owned(),
            dotenv: Dotenv::parse(&text, reader, variable),
            others: others.map(|other| Dotenv::parse(&text, other, variable)).collect(),
            doubt: None,
        }))
    }

    /// Notes why the file may not belong to this installation.
    pub(super) fn doubted(mut self, why: &str) -> Self {
        self.doubt = Some(why.to_owned());
        self
    }

    /// A variable's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.dotenv.get(name).map(|value| value.text.as_str())
    }

    /// Whether nothing is set in it.
    pub(super) fn is_empty(&self) -> bool {
        self.dotenv.is_empty()
    }

    /// Whether it sets a variable by which a file is known as one of Seafile.
    pub(super) fn is_seafiles(&self) -> bool {
        let mut names = self.dotenv.iter().map(|(name, _)| name);
        names.any(|name| SEAFILES.iter().any(|begin| name.starts_with(begin)))
    }

    /// Adds its variables to an environment, and warns of odd lines.
    pub(super) fn apply(&self, environment: &mut Environment, warnings: &mut Vec<DiscoverWarning>) {
        for (name, value) in self.dotenv.iter() {
            let from = self.origin(value.line);
            let mut setting = Setting::new(value.text.clone(), from);
            if name.starts_with(DATABASE) {
                for other in &self.others {
                    let reading = other
                        .get(name)
                        .map(|other| Setting::new(other.text.clone(), self.origin(other.line)));
                    setting = setting.or_else_try(reading);
                }
            }
            environment.add(name, setting);
            if let Some(unset) = &value.unset
                && DECISIVE.iter().any(|begin| name.starts_with(begin))
            {
                warnings.push(DiscoverWarning::Unset {
                    at: SettingOrigin::Line(self.shown.clone(), value.line),
                    name: name.to_owned(),
                    unset: unset.clone(),
                });
            }
        }
        let lines = self.dotenv.ignored_lines().iter().take(MOST_IGNORED);
        warnings.extend(lines.map(|&line| DiscoverWarning::IgnoredLine {
            at: SettingOrigin::Line(self.shown.clone(), line),
        }));
    }

    fn origin(&self, line: usize) -> SettingOrigin {
        let line = SettingOrigin::Line(self.shown.clone(), line);
        match &self.doubt {
            Some(why) => SettingOrigin::Likely(Box::new(line), why.clone()),
            None => line,
        }
    }
}
