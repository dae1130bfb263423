//! The version of Seafile that an installation runs, told by names alone.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::DiscoverError;
use super::origin::{Origin, Setting};
use crate::seafile::config::{self, is_absence};

/// The link that Seafile's own scripts keep on the version in use.
const LATEST: &str = "seafile-server-latest";
/// Docker's start script keeps the version here, in the data folder.
const VERSION_STAMP: &str = "current_version";

/// The program, as far as it lies in the installation.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    /// `11.0.13`, and what says so.
    pub version: Option<Setting<String>>,
    /// Whether the folder is named as the Professional edition's.
    pub is_pro: bool,
    /// Its folder, inside the installation.
    pub folder: Option<PathBuf>,
}

impl Program {
    /// Looks at the link and the folders in the installation's top.
    pub(super) fn find(top: &Path) -> Result<Self, DiscoverError> {
        if let Some(program) = Self::from_link(top)? {
            return Ok(program);
        }
        let entries = fs::read_dir(top).map_err(|error| DiscoverError::read(top, error))?;
        let mut folders = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| DiscoverError::read(top, error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some((is_pro, version)) = parse_name(&name)
                && entry.path().is_dir()
            {
                folders.push((Reverse(numbers(&version)), name, version, is_pro));
            }
        }
        folders.sort();
        let newest = folders.into_iter().next();
        Ok(
            newest.map_or_else(Self::default, |(_, name, version, is_pro)| Self {
                version: Some(Setting::new(version, Origin::Path(PathBuf::from(&name)))),
                is_pro,
                folder: Some(PathBuf::from(name)),
            }),
        )
    }

    fn from_link(top: &Path) -> Result<Option<Self>, DiscoverError> {
        let link = top.join(LATEST);
        let target = match fs::read_link(&link) {
            Ok(target) => target,
            Err(error) if is_absence(&error) || link.is_dir() => return Ok(None),
            Err(error) => return Err(DiscoverError::read(&link, error)),
        };
        let parsed = target
            .file_name()
            .and_then(|name| parse_name(name.to_str()?));
        let real = fs::canonicalize(&link).ok();
        let folder = real.and_then(|real| Some(real.strip_prefix(top).ok()?.to_owned()));
        let from = Origin::Path(PathBuf::from(LATEST));
        Ok(Some(Self {
            is_pro: parsed.as_ref().is_some_and(|&(is_pro, _)| is_pro),
            version: parsed.map(|(_, version)| Setting::new(version, from)),
            folder,
        }))
    }

    /// Takes docker's version stamp if no folder told a version.
    pub(super) fn look_for_stamp(&mut self, data_dir: &Path) -> Result<(), DiscoverError> {
        if self.version.is_some() {
            return Ok(());
        }
        let path = data_dir.join(VERSION_STAMP);
        let text = config::read_text(&path).map_err(|error| DiscoverError::config(&path, error))?;
        let version = text.unwrap_or_default().trim().to_owned();
        if version.starts_with(|character: char| character.is_ascii_digit()) && version.len() < 40 {
            self.version = Some(Setting::new(version, Self::stamp_origin()));
        }
        Ok(())
    }

    /// What a version is from that only docker's stamp tells.
    pub(super) fn stamp_origin() -> Origin {
        Origin::Path(Path::new("seafile-data").join(VERSION_STAMP))
    }

    /// Whether the version is at least this one; `None` if no version is known.
    pub(super) fn is_at_least(&self, major: u32, minor: u32) -> Option<bool> {
        let version = self.version.as_ref()?;
        Some(numbers(&version.value) >= vec![major, minor])
    }
}

/// Reads `seafile-server-11.0.13` or `seafile-pro-server-11.0.13`.
fn parse_name(name: &str) -> Option<(bool, String)> {
    let community = name.strip_prefix("seafile-server-");
    let version = community.or_else(|| name.strip_prefix("seafile-pro-server-"))?;
    let is_version = version.starts_with(|character: char| character.is_ascii_digit());
    is_version.then(|| (community.is_none(), version.to_owned()))
}

/// The numbers of a version, to be compared.
fn numbers(version: &str) -> Vec<u32> {
    version
        .split(['.', '-', '_'])
        .map_while(|part| part.parse().ok())
        .collect()
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
            Some((true, "9.0.1".to_owned()))
        );
        assert_eq!(parse_name("seafile-server-latest"), None);
        assert_eq!(parse_name("seafile-data"), None);
    }
}
