//! Reads the database settings of the web interface, which `seahub_settings.py` holds for Django.

use super::Seen;
use super::origin::{Origin, Setting};
use super::warning::Warning;
use crate::seafile::config::python::{Located, Value};

/// The kind of database that `DATABASES` names.
pub(super) fn engine(seen: &Seen) -> Option<Setting<String>> {
    let file = &seen.configuration.seahub;
    let engine = file.settings.get_in("DATABASES", &["default", "ENGINE"])?;
    let from = Origin::Line(file.path.clone(), engine.line);
    Some(Setting::new(engine.text()?, from))
}

/// Where a setting stands whose value is known only when the file runs.
pub(super) fn unknown(seen: &Seen, key: &str) -> Option<Origin> {
    let file = &seen.configuration.seahub;
    let at = |line| Origin::Line(file.path.clone(), line);
    let Some(databases) = file.settings.get("DATABASES") else {
        return file.settings.imports_everything().map(at);
    };
    let located = file.settings.get_in("DATABASES", &["default", key]);
    let is_unknown = |value: &Value| {
        matches!(value, Value::Dynamic | Value::Environment(_) | Value::List(_) | Value::Dict(_))
    };
    match located {
        Some(located) => is_unknown(&located.value).then(|| at(located.line)),
        // An import that is not followed may set it.
        None if file.settings.get_in("DATABASES", &["default"]).is_none() => {
            file.settings.imports_everything().map(|_| at(databases.line))
        }
        None => None,
    }
}

/// `DATABASES['default']` of `seahub_settings.py`.
pub(super) struct Django<'a> {
    seen: &'a Seen<'a>,
    warnings: &'a mut Vec<Warning>,
    /// Whether the settings have `DATABASES`.
    pub has_database: bool,
}

impl<'a> Django<'a> {
    pub(super) fn new(seen: &'a Seen<'a>, warnings: &'a mut Vec<Warning>) -> Self {
        let settings = &seen.configuration.seahub.settings;
        let has_database = settings.get("DATABASES").is_some();
        let django = Self { seen, warnings, has_database };
        if let Some(line) = settings.imports_everything()
            && !has_database
        {
            let at = Origin::Line(seen.configuration.seahub.path.clone(), line);
            django.warnings.push(Warning::NotFollowed { at });
        }
        django
    }

    /// A setting as text, if it exists, is not empty and is a literal.
    pub(super) fn text(&mut self, keys: &[&str]) -> Option<Setting<String>> {
        let file = &self.seen.configuration.seahub;
        let path: Vec<&str> = std::iter::once("default").chain(keys.iter().copied()).collect();
        let located = file.settings.get_in("DATABASES", &path)?;
        if let Some(text) = located.text() {
            let from = Origin::Line(file.path.clone(), located.line);
            let setting =
                || super::mysql::dead_in_docker(self.seen, Setting::new(text.clone(), from));
            return (!text.is_empty()).then(setting);
        }
        self.warn_unknown(keys, located);
        None
    }

    fn warn_unknown(&mut self, keys: &[&str], located: &Located) {
        if matches!(located.value, Value::Dynamic | Value::Environment(_)) {
            let keys = keys.join("']['");
            self.warn(located.line, format!("DATABASES['default']['{keys}']"));
        }
    }

    fn warn(&mut self, line: usize, setting: String) {
        let at = Origin::Line(self.seen.configuration.seahub.path.clone(), line);
        self.warnings.push(Warning::NotLiteral { at, setting });
    }
}
