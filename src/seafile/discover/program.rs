//! Finds the version of Seafile that an installation runs, from names and texts. The program is
//! never run.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::DiscoverError;
use super::latest::{self, LATEST, LatestLink};
use super::origin::{Setting, SettingOrigin};
use super::places::is_folder;
use super::warning::DiscoverWarning;
use crate::seafile::config;

/// The file in the data folder where docker's start script keeps the version.
const VERSION_STAMP: &str = "current_version";
/// The file in the top folder where the service of NixOS keeps the version and the kind of
/// databases.
const NIX_STAMP: &str = "server-setup";
/// The file in a program folder that holds its version.
const SEAHUB_VERSION: &str = "seahub/seahub/settings.py";

/// Which of the two editions runs. The community edition ignores settings that only the
/// Professional edition reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeafileEdition {
    Community,
    Professional,
}

/// What is known about the program in use.
#[derive(Debug, Clone, Default)]
pub(super) struct SeafileProgram {
    /// The version, such as `11.0.13`, and its origin.
    pub version: Option<Setting<String>>,
    /// The edition, by the name of the folder or the image.
    pub edition: Option<Setting<SeafileEdition>>,
    /// Its folder, inside the installation.
    pub folder: Option<PathBuf>,
    /// Whether a link or a folder in the top folder names the program. Docker's volume has neither.
    pub is_named: bool,
}

impl SeafileProgram {
    /// Finds the program by the link and the folders in the installation's top folder.
    pub(super) fn find(
        top: &Path,
        warnings: &mut Vec<DiscoverWarning>,
    ) -> Result<Self, DiscoverError> {
        let found = match latest::look(top)? {
            Some(LatestLink::Folder) => Some(Self::of_copied_folder(top)?),
            Some(LatestLink::Link(target)) => Self::of_target(top, &target, warnings)?,
            Some(LatestLink::File(target)) => {
                let found = Self::of_target(top, &target, &mut Vec::new())?;
                let used = found.as_ref().and_then(|found| found.folder.clone());
                warnings.push(DiscoverWarning::LatestIsFile { used });
                found
            }
            Some(LatestLink::Strange) => {
                warnings.push(DiscoverWarning::LatestIsFile { used: None });
                None
            }
            None => None,
        };
        let mut found = match found {
            Some(found) => found,
            None => Self::newest(top)?,
        };
        found.is_named = found.version.is_some() || found.folder.is_some();
        Ok(found)
    }

    /// Takes the newest program folder, if there is no link.
    fn newest(top: &Path) -> Result<Self, DiscoverError> {
        let newest = folders(top)?.into_iter().next();
        Ok(newest.map_or_else(Self::default, |name| {
            let from = SettingOrigin::Path(PathBuf::from(&name));
            Self::named(&name, &from).with_folder(PathBuf::from(name))
        }))
    }

    /// Takes edition and version from the name of a folder.
    fn named(name: &str, from: &SettingOrigin) -> Self {
        let parsed = parse_name(name);
        let setting = |(edition, version)| {
            let version = Setting::new(version, from.clone());
            (Setting::new(edition, from.clone()), version)
        };
        let (edition, version) = parsed.map(setting).unzip();
        Self { version, edition, ..Self::default() }
    }

    fn with_folder(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }

    /// The program that a link leads to. If a folder with the last name of the target lies in the
    /// installation, it is the program in use. This also works if an absolute link leads to the
    /// place of the installation before it moved.
    fn of_target(
        top: &Path,
        target: &Path,
        warnings: &mut Vec<DiscoverWarning>,
    ) -> Result<Option<Self>, DiscoverError> {
        let from = SettingOrigin::Path(PathBuf::from(LATEST));
        let real = fs::canonicalize(top.join(target)).ok();
        let inside = real
            .as_deref()
            .and_then(|real| real.strip_prefix(top).ok())
            .filter(|inside| *inside != Path::new(""));
        let last = latest::last_part(target).filter(|last| *last != LATEST);
        let of_real = real.as_deref().and_then(latest::last_part);
        let named = last.into_iter().chain(of_real);
        let program = named
            .map(|name| Self::named(name, &from))
            .find(|program| program.version.is_some())
            .unwrap_or_default();
        if let Some(inside) = inside {
            let folder = inside.to_owned();
            return Ok(Some(program.with_folder(folder)));
        }
        let here = last.filter(|name| parse_name(name).is_some());
        if let Some(name) = here
            && is_folder(&top.join(name))?
        {
            let folder = PathBuf::from(name);
            warnings.push(DiscoverWarning::LatestLeadsOut {
                target: target.to_owned(),
                used: folder.clone(),
            });
            return Ok(Some(program.with_folder(folder)));
        }
        Ok(program.version.is_some().then_some(program))
    }

    /// Reads the program in a copy of the installation that followed the link. It lies under the
    /// link's name.
    fn of_copied_folder(top: &Path) -> Result<Self, DiscoverError> {
        let folder = top.join(LATEST);
        let from = SettingOrigin::Path(Path::new(LATEST).join(SEAHUB_VERSION));
        let mut program = Self::default().with_folder(PathBuf::from(LATEST));
        program.version = version_inside(&folder)?.map(|version| Setting::new(version, from));
        let is_pro = is_folder(&folder.join("pro"))?;
        if is_pro || program.version.is_some() {
            let edition =
                if is_pro { SeafileEdition::Professional } else { SeafileEdition::Community };
            program.edition =
                Some(Setting::new(edition, SettingOrigin::Path(PathBuf::from(LATEST))));
        }
        // The copy may have the same program a second time, under its own name.
        let beside = folders(top)?;
        if let (None, [name]) = (&program.version, &beside[..]) {
            let from = SettingOrigin::Path(PathBuf::from(name));
            let named = Self::named(name, &from);
            program.version = named.version;
            program.edition = program.edition.or(named.edition);
        }
        Ok(program)
    }

    /// Reads the version from the stamp of docker or NixOS, if no folder names one.
    pub(super) fn look_for_stamp(
        &mut self,
        top: &Path,
        data_dir: &Path,
    ) -> Result<(), DiscoverError> {
        let places = [
            (
                data_dir.join(VERSION_STAMP),
                SettingOrigin::Path(Path::new("seafile-data").join(VERSION_STAMP)),
            ),
            (top.join(NIX_STAMP), SettingOrigin::Path(NIX_STAMP.into())),
        ];
        for (path, from) in places {
            if self.version.is_some() {
                return Ok(());
            }
            let text =
                config::read_text(&path).map_err(|error| DiscoverError::config(&path, error))?;
            let text = text.unwrap_or_default();
            let version = text.trim();
            // NixOS writes `11.0.12-mysql`.
            let version = version.strip_suffix("-mysql").unwrap_or(version);
            let version = version.strip_suffix("-sqlite").unwrap_or(version);
            if is_version(version) {
                self.version = Some(Setting::new(version.to_owned(), from));
            }
        }
        Ok(())
    }

    /// Takes edition and version from a container's image, if they are not known yet.
    pub(super) fn look_at_image(&mut self, image: &Setting<String>) {
        let (name, tag) = image.value.rsplit_once(':').unwrap_or((&image.value, ""));
        let edition = if name.ends_with("seafile-pro-mc") {
            Some(SeafileEdition::Professional)
        } else if name.ends_with("seafile-mc") {
            Some(SeafileEdition::Community)
        } else {
            None
        };
        let from = &image.from;
        if self.edition.is_none() {
            self.edition = edition.map(|edition| Setting::new(edition, from.clone()));
        }
        let version = tag.split('-').next().unwrap_or_default();
        if self.version.is_none() && edition.is_some() && is_version(version) {
            self.version = Some(Setting::new(version.to_owned(), from.clone()));
        }
    }

    /// Whether the version is at least this one; `None` if it is not known.
    pub(super) fn is_at_least(&self, major: u32, minor: u32) -> Option<bool> {
        let version = self.version.as_ref()?;
        Some(numbers(&version.value) >= vec![major, minor])
    }

    /// The first number of the version, for messages: `12` of 12.0.14.
    pub(super) fn major(&self) -> Option<u32> {
        numbers(&self.version.as_ref()?.value).first().copied()
    }
}

fn is_version(text: &str) -> bool {
    text.starts_with(|character: char| character.is_ascii_digit())
        && text.len() < 40
        && text.chars().all(|character| character.is_ascii_graphic())
}

/// The program folders in the top folder, newest first.
fn folders(top: &Path) -> Result<Vec<String>, DiscoverError> {
    let entries = fs::read_dir(top).map_err(|error| DiscoverError::read(top, error))?;
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| DiscoverError::read(top, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some((_, version)) = parse_name(&name)
            && entry.path().is_dir()
        {
            folders.push((Reverse(numbers(&version)), name));
        }
    }
    folders.sort();
    Ok(folders.into_iter().map(|(_, name)| name).collect())
}

/// The version in a program's own settings: `SEAFILE_VERSION = '11.0.13'`.
fn version_inside(folder: &Path) -> Result<Option<String>, DiscoverError> {
    let path = folder.join(SEAHUB_VERSION);
    let text = config::read_text(&path).map_err(|error| DiscoverError::config(&path, error))?;
    let text = text.unwrap_or_default();
    let version = text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "SEAFILE_VERSION").then(|| value.trim().trim_matches(['\'', '"']))
    });
    Ok(version.filter(|version| is_version(version)).map(str::to_owned))
}

/// Parses a folder name such as `seafile-server-11.0.13` or `seafile-pro-server-11.0.13`.
fn parse_name(name: &str) -> Option<(SeafileEdition, String)> {
    let (edition, version) = if let Some(version) = name.strip_prefix("seafile-server-") {
        (SeafileEdition::Community, version)
    } else {
        let version = name.strip_prefix("seafile-pro-server-")?;
        (SeafileEdition::Professional, version)
    };
    is_version(version).then(|| (edition, version.to_owned()))
}

/// The numbers of a version, for comparing.
fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-', '_']).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("11.0.13") > numbers("9.0.2"));
        assert!(numbers("7.1.0-beta") >= vec![7, 1]);
        assert!(numbers("7.0.9") < vec![7, 1]);
    }

    #[test]
    fn names_tell_the_edition() {
        assert_eq!(
            parse_name("seafile-pro-server-9.0.1"),
            Some((SeafileEdition::Professional, "9.0.1".to_owned()))
        );
        assert_eq!(parse_name("seafile-server-latest"), None);
        assert_eq!(parse_name("seafile-data"), None);
    }
}
