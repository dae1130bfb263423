//! All configuration files of an installation, read once; and which file each setting is from.

use std::path::{Path, PathBuf};

use super::error::DiscoverError;
use super::origin::{Environment, Origin, Setting};
use super::places::{inside, is_file};
use super::warning::Warning;
use crate::seafile::config::dotenv::Dotenv;
use crate::seafile::config::ini::{Ini, IniValue};
use crate::seafile::config::python::PythonSettings;
use crate::seafile::config::{self};

/// The files, by what they configure.
#[derive(Debug)]
pub(super) struct Configuration {
    /// The server.
    pub seafile: IniFile,
    /// Users and groups, up to 11.
    pub ccnet: IniFile,
    /// The event service.
    pub seafevents: IniFile,
    /// The web interface.
    pub seahub: PythonFile,
    /// What was handed in, and `.env` files of the installation.
    pub environment: Environment,
    /// The files that were read, inside the installation.
    pub files: Vec<PathBuf>,
    /// Whether one of them is a `.env`.
    pub has_dotenv: bool,
    /// Whether one of them lies in `conf/`.
    pub has_conf: bool,
}

/// An INI file; an absent one has no settings.
#[derive(Debug)]
pub(super) struct IniFile {
    pub path: PathBuf,
    pub ini: Ini,
}

/// The Python file; an absent one has no settings.
#[derive(Debug)]
pub(super) struct PythonFile {
    pub path: PathBuf,
    pub settings: PythonSettings,
}

impl IniFile {
    /// A value as the server reads it, and its line.
    pub(super) fn get(&self, section: &str, key: &str) -> Option<Setting<String>> {
        self.value(section, key, IniValue::unescaped)
    }

    /// A value as Python programs read it, and its line.
    pub(super) fn get_raw(&self, section: &str, key: &str) -> Option<Setting<String>> {
        self.value(section, key, |value| value.text.clone())
    }

    /// Whether it says yes, if it says anything.
    pub(super) fn is_true(&self, section: &str, key: &str) -> Option<Setting<bool>> {
        self.value(section, key, IniValue::is_true)
    }

    fn value<T>(
        &self,
        section: &str,
        key: &str,
        read: impl FnOnce(&IniValue) -> T,
    ) -> Option<Setting<T>> {
        let value = self.ini.get(section, key)?;
        let from = Origin::Line(self.path.clone(), value.line);
        Some(Setting::new(read(value), from))
    }
}

/// Reads files of one installation and remembers which were there.
struct Loader<'a> {
    top: &'a Path,
    data_dir: &'a Path,
    files: Vec<PathBuf>,
    warnings: &'a mut Vec<Warning>,
}

impl Configuration {
    /// Reads the files: in `conf/` since Seafile 5, beside the data before.
    pub(super) fn load(
        top: &Path,
        data_dir: &Path,
        mut environment: Environment,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, DiscoverError> {
        let mut loader = Loader {
            top,
            data_dir,
            files: Vec::new(),
            warnings,
        };
        let seafile = loader.ini(["conf/seafile.conf", "seafile-data/seafile.conf"])?;
        let ccnet = loader.ini(["conf/ccnet.conf", "ccnet/ccnet.conf"])?;
        let seafevents = loader.ini(["conf/seafevents.conf", "pro-data/seafevents.conf"])?;
        let before = loader.files.len();
        for path in ["conf/.env", ".env"] {
            if let Some(dotenv) = loader.dotenv(path)? {
                environment.add_dotenv(Path::new(path), &dotenv);
            }
        }
        let has_dotenv = loader.files.len() > before;
        let seahub = loader.python(
            ["conf/seahub_settings.py", "seahub_settings.py"],
            &environment,
        )?;
        let files = loader.files;
        Ok(Self {
            seafile,
            ccnet,
            seafevents,
            seahub,
            environment,
            has_dotenv,
            has_conf: files.iter().any(|file| file.starts_with("conf")),
            files,
        })
    }
}

impl Loader<'_> {
    /// The text of the first of two files that is there, and its path.
    fn first(&mut self, paths: [&str; 2]) -> Result<(PathBuf, Option<String>), DiscoverError> {
        for path in paths {
            if let Some(text) = self.text(path)? {
                return Ok((PathBuf::from(path), Some(text)));
            }
        }
        Ok((PathBuf::from(paths[0]), None))
    }

    fn text(&mut self, path: &str) -> Result<Option<String>, DiscoverError> {
        let place = inside(self.top, self.data_dir, path);
        if !is_file(&place)? {
            return Ok(None);
        }
        let text =
            config::read_text(&place).map_err(|error| DiscoverError::config(&place, error))?;
        if text.is_some() {
            self.files.push(PathBuf::from(path));
        }
        Ok(text)
    }

    fn ini(&mut self, paths: [&str; 2]) -> Result<IniFile, DiscoverError> {
        let (path, text) = self.first(paths)?;
        let ini = Ini::parse(&text.unwrap_or_default());
        self.tell_ignored(&path, ini.ignored_lines());
        Ok(IniFile { path, ini })
    }

    fn dotenv(&mut self, path: &str) -> Result<Option<Dotenv>, DiscoverError> {
        let Some(text) = self.text(path)? else {
            return Ok(None);
        };
        let dotenv = Dotenv::parse(&text);
        self.tell_ignored(Path::new(path), dotenv.ignored_lines());
        let unexpanded = dotenv
            .iter()
            .filter(|(name, value)| value.has_reference && name.starts_with("SEAFILE_MYSQL_DB_"));
        self.warnings
            .extend(unexpanded.map(|(name, value)| Warning::Unexpanded {
                at: Origin::Line(PathBuf::from(path), value.line),
                name: name.to_owned(),
            }));
        Ok(Some(dotenv))
    }

    fn python(
        &mut self,
        paths: [&str; 2],
        environment: &Environment,
    ) -> Result<PythonFile, DiscoverError> {
        let (path, text) = self.first(paths)?;
        let variable = |name: &str| environment.get(name).map(|setting| setting.value.clone());
        let settings = PythonSettings::parse(&text.unwrap_or_default(), &variable);
        Ok(PythonFile { path, settings })
    }

    fn tell_ignored(&mut self, path: &Path, lines: &[usize]) {
        /// More say nothing new about a file that is no configuration.
        const MOST: usize = 3;
        let told = lines.iter().take(MOST).map(|&line| Warning::IgnoredLine {
            at: Origin::Line(path.to_owned(), line),
        });
        self.warnings.extend(told);
    }
}
