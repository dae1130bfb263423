//! Reads the database settings of the web interface, which `seahub_settings.py` holds for Django.

use super::DiscoveredParts;
use super::origin::{Setting, SettingOrigin};
use super::warning::DiscoverWarning;
use crate::seafile::config::python::{LocatedValue, PythonValue};

/// The kind of database that `DATABASES` names.
pub(super) fn engine(seen: &DiscoveredParts) -> Option<Setting<String>> {
    let file = &seen.configuration.seahub;
    let engine = file.settings.get_in("DATABASES", &["default", "ENGINE"])?;
    let from = SettingOrigin::Line(file.path.clone(), engine.line);
    Some(Setting::new(engine.text()?, from))
}

/// Where a setting stands whose value is known only when the file runs.
pub(super) fn unknown(seen: &DiscoveredParts, key: &str) -> Option<SettingOrigin> {
    let file = &seen.configuration.seahub;
    let at = |line| SettingOrigin::Line(file.path.clone(), line);
    let Some(databases) = file.settings.get("DATABASES") else {
        return file.settings.imports_everything().map(at);
    };
    let located = file.settings.get_in("DATABASES", &["default", key]);
    let is_unknown = |value: &PythonValue| {
        matches!(
            value,
            PythonValue::Dynamic
                | PythonValue::Environment(_)
                | PythonValue::List(_)
                | PythonValue::Dict(_)
        )
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
pub(super) struct DjangoDatabase<'a> {
    seen: &'a DiscoveredParts<'a>,
    warnings: &'a mut Vec<DiscoverWarning>,
    /// Whether the settings have `DATABASES`.
    pub has_database: bool,
}

impl<'a> DjangoDatabase<'a> {
    pub(super) fn new(
        seen: &'a DiscoveredParts<'a>,
        warnings: &'a mut Vec<DiscoverWarning>,
    ) -> Self {
        let settings = &seen.configuration.seahub.settings;
        let has_database = settings.get("DATABASES").is_some();
        let django = Self { seen, warnings, has_database };
        if let Some(line) = settings.imports_everything()
            && !has_database
        {
            let at = SettingOrigin::Line(seen.configuration.seahub.path.clone(), line);
            django.warnings.push(DiscoverWarning::NotFollowed { at });
        }
        django
    }

    /// A setting as text, if it exists, is not empty and is a literal.
    pub(super) fn text(&mut self, keys: &[&str]) -> Option<Setting<String>> {
        let file = &self.seen.configuration.seahub;
        let path: Vec<&str> = std::iter::once("default").chain(keys.iter().copied()).collect();
        let located = file.settings.get_in("DATABASES", &path)?;
        if let Some(text) = located.text() {
            let from = SettingOrigin::Line(file.path.clone(), located.line);
            let setting =
                || super::mysql::dead_in_docker(self.seen, Setting::new(text.clone(), from));
            return (!text.is_empty()).then(setting);
        }
        self.warn_unknown(keys, located);
        None
    }

    fn warn_unknown(&mut self, keys: &[&str], located: &LocatedValue) {
        if matches!(located.value, PythonValue::Dynamic | PythonValue::Environment(_)) {
            let keys = keys.join("']['");
            self.warn(located.line, format!("DATABASES['default']['{keys}']"));
        }
    }

    fn warn(&mut self, line: usize, setting: String) {
        let at = SettingOrigin::Line(self.seen.configuration.seahub.path.clone(), line);
        self.warnings.push(DiscoverWarning::NotLiteral { at, setting });
    }
}
