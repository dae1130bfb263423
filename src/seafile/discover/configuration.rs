//! Reads all configuration files of an installation once, and remembers from which file each
//! setting comes.

use std::path::{Path, PathBuf};

use super::container::{self, DockerContainer};
use super::dotenvs::EnvFile;
use super::error::DiscoverError;
use super::folders::{self, InstallationFolders};
use super::origin::{Environment, Setting, SettingOrigin};
use super::places::{CONF, is_file};
use super::program::SeafileProgram;
use super::warning::DiscoverWarning;
use crate::seafile::config;
use crate::seafile::config::dotenv::DotenvReader;
use crate::seafile::config::ini::{self, Ini, IniValue};
use crate::seafile::config::python::PythonSettings;

/// The configuration files, each under the name of what it configures.
#[derive(Debug)]
pub(super) struct SeafileConfiguration {
    /// The server.
    pub seafile: IniFile,
    /// Users and groups, up to version 11.
    pub ccnet: IniFile,
    /// The event service.
    pub seafevents: IniFile,
    /// The web interface.
    pub seahub: PythonFile,
    /// The variables that the caller gave, and those of the installation's `.env` files.
    pub environment: Environment,
    /// The results from docker's files.
    pub container: DockerContainer,
    /// The files that were read, as messages show them.
    pub files: Vec<PathBuf>,
    /// Whether one of them is a `.env`.
    pub has_dotenv: bool,
    /// Whether one of them lies in `conf/`.
    pub has_conf: bool,
}

/// An INI file. If the file does not exist, it has no settings.
#[derive(Debug)]
pub(super) struct IniFile {
    pub path: PathBuf,
    pub ini: Ini,
}

/// The Python file. If the file does not exist, it has no settings.
#[derive(Debug)]
pub(super) struct PythonFile {
    pub path: PathBuf,
    pub settings: PythonSettings,
}

impl IniFile {
    /// A value as the server in C reads it, with its line. If the file server in Go reads the line
    /// differently, its value is added to fall back on.
    pub(super) fn get(&self, section: &str, key: &str) -> Option<Setting<String>> {
        let found = self.value(section, key, IniValue::unescaped)?;
        let of_go = self.value(section, key, IniValue::as_go_reads);
        Some(found.or_else_try(of_go))
    }

    /// A value as seafevents reads it, with its line. Since 2026 seafevents takes a blank with `#`
    /// or `;` as the start of a comment, so there are several readings.
    pub(super) fn get_of_events(&self, section: &str, key: &str) -> Option<Setting<String>> {
        let text = self.ini.interpolated(section, key)?;
        let uncommented = ini::without_comment(&text).to_owned();
        let found = self.value(section, key, |_| text.clone())?;
        let of_2026 = self.value(section, key, |_| uncommented.clone());
        let as_it_stands = self.value(section, key, |value| value.text.clone());
        Some(found.or_else_try(of_2026).or_else_try(as_it_stands))
    }

    /// Whether the value says yes. `None` if there is no value.
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
        let from = SettingOrigin::Line(self.path.clone(), value.line);
        Some(Setting::new(read(value), from))
    }
}

/// The keys of each file's database section, as its program spells them.
const SEAFILE_KEYS: [&str; 7] =
    ["type", "host", "port", "user", "password", "db_name", "unix_socket"];
const CCNET_KEYS: [&str; 7] = ["ENGINE", "HOST", "PORT", "USER", "PASSWD", "DB", "UNIX_SOCKET"];

/// Reads the files of one installation and remembers which of them exist.
struct ConfigurationLoader<'a> {
    folders: &'a InstallationFolders,
    files: Vec<PathBuf>,
    has_conf: bool,
    warnings: &'a mut Vec<DiscoverWarning>,
}

impl SeafileConfiguration {
    /// Reads the files. They lie in `conf/` since Seafile 5, and beside the data before.
    pub(super) fn load(
        folders: &InstallationFolders,
        program: &SeafileProgram,
        mut environment: Environment,
        warnings: &mut Vec<DiscoverWarning>,
    ) -> Result<Self, DiscoverError> {
        let mut container = container::look(folders, program, &mut environment, warnings)?;
        let mut loader = ConfigurationLoader {
            folders,
            files: container.files.clone(),
            has_conf: false,
            warnings,
        };
        let glib = ini::IniReader::Glib;
        let seafile = loader.ini(["conf/seafile.conf", "seafile-data/seafile.conf"], glib)?;
        loader.tell_misspelled(&seafile, "database", &SEAFILE_KEYS);
        let ccnet = loader.ini(["conf/ccnet.conf", "ccnet/ccnet.conf"], glib)?;
        if program.is_at_least(12, 0) != Some(true) {
            loader.tell_misspelled(&ccnet, "Database", &CCNET_KEYS);
        }
        let seafevents = loader.ini(
            ["conf/seafevents.conf", "pro-data/seafevents.conf"],
            ini::IniReader::ConfigParser,
        )?;
        loader.tell_misspelled(&seafevents, "DATABASE", &[]);
        let has_dotenv = loader.dotenvs(program, &container, &mut environment)?;
        let image = environment.get("SEAFILE_IMAGE").cloned();
        container.image = container.image.or(image);
        let seahub =
            loader.python(["conf/seahub_settings.py", "seahub_settings.py"], &environment)?;
        Ok(Self {
            seafile,
            ccnet,
            seafevents,
            seahub,
            environment,
            has_dotenv: has_dotenv || container.is_known,
            container,
            has_conf: loader.has_conf,
            files: loader.files,
        })
    }
}

impl ConfigurationLoader<'_> {
    /// The path and text of the first of two files that exists.
    fn first(&mut self, paths: [&str; 2]) -> Result<(PathBuf, Option<String>), DiscoverError> {
        for path in paths {
            if let Some(text) = self.text(path)? {
                return Ok((self.folders.shown(path), Some(text)));
            }
        }
        Ok((self.folders.shown(paths[0]), None))
    }

    fn text(&mut self, path: &str) -> Result<Option<String>, DiscoverError> {
        let place = self.folders.inside(path);
        if !is_file(&place)? {
            return Ok(None);
        }
        let text =
            config::read_text(&place).map_err(|error| DiscoverError::config(&place, error))?;
        if text.is_some() {
            self.note(path);
        }
        Ok(text)
    }

    fn note(&mut self, path: &str) {
        self.has_conf |= Path::new(path).starts_with(CONF);
        self.files.push(self.folders.shown(path));
    }

    fn ini(&mut self, paths: [&str; 2], reader: ini::IniReader) -> Result<IniFile, DiscoverError> {
        let (path, text) = self.first(paths)?;
        let ini = Ini::parse(&text.unwrap_or_default(), reader);
        self.tell_ignored(&path, ini.ignored_lines());
        Ok(IniFile { path, ini })
    }

    /// Reads the `.env` files inside the installation, and those near it that probably belong to
    /// it.
    fn dotenvs(
        &mut self,
        program: &SeafileProgram,
        container: &DockerContainer,
        environment: &mut Environment,
    ) -> Result<bool, DiscoverError> {
        // Seafile's own scripts source the file. Without them it is a file of docker.
        let reader = if program.is_named { DotenvReader::Shell } else { DotenvReader::Compose };
        let mut has_any = false;
        for path in ["conf/.env", ".env"] {
            has_any |= self.dotenv(path, reader, environment)?;
        }
        // Services of distributions name a file of their own, such as seafile.env.
        for place in folders::env_files(&self.folders.conf_dir) {
            let name = place.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.filter(|name| *name != ".env") {
                has_any |=
                    self.dotenv(&format!("{CONF}/{name}"), DotenvReader::Systemd, environment)?;
            }
        }
        for file in &container.likely {
            file.apply(environment, self.warnings);
            self.files.push(file.path.clone());
            has_any = true;
        }
        Ok(has_any)
    }

    fn dotenv(
        &mut self,
        path: &str,
        reader: DotenvReader,
        environment: &mut Environment,
    ) -> Result<bool, DiscoverError> {
        let variable = |name: &str| environment.value(name);
        let (place, shown) = (self.folders.inside(path), self.folders.shown(path));
        let file = EnvFile::read(&place, &shown, reader, &variable)?;
        if let Some(file) = &file {
            file.apply(environment, self.warnings);
            self.note(path);
        }
        Ok(file.is_some())
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

    fn tell_misspelled(&mut self, file: &IniFile, section: &str, keys: &[&str]) {
        let lines = file.ini.misspelled(section, keys).into_iter();
        self.warnings.extend(lines.map(|line| DiscoverWarning::Misspelled {
            at: SettingOrigin::Line(file.path.clone(), line),
            wanted: format!("that of [{section}] or of a key in it"),
        }));
    }

    fn tell_ignored(&mut self, path: &Path, lines: &[usize]) {
        /// The most warnings about such lines: more say nothing new about a file that is no
        /// configuration.
        const MOST: usize = 3;
        let told = lines.iter().take(MOST).map(|&line| DiscoverWarning::IgnoredLine {
            at: SettingOrigin::Line(path.to_owned(), line),
        });
        self.warnings.extend(told);
    }
}
