//! Finds the top folder and the data folder of an installation, and the links that are followed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::DiscoverError;
use super::folders::InstallationFolders;
use super::latest;
use super::origin::{Setting, SettingOrigin};
use super::program::SeafileProgram;
use super::warning::DiscoverWarning;
use crate::object::Kind;
use crate::seafile::config::{self, is_absence};

/// The data folder's name inside an installation. The folder itself may lie elsewhere.
pub(super) const DATA: &str = "seafile-data";
/// A file that holds the data folder's path, up to version 7.0.
const DATA_POINTER: &str = "ccnet/seafile.ini";
/// The configuration folder's name inside an installation. The folder itself may lie elsewhere.
pub(super) const CONF: &str = "conf";

/// A link that is followed: the target's content counts as the content of the link's path. All
/// other links are kept as links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedLink {
    /// Its path inside the installation.
    pub path: PathBuf,
    /// The folder or file that it leads to: an absolute path without links.
    pub target: PathBuf,
}

/// Whether a folder exists at a path. A file does not count.
pub(super) fn is_folder(path: &Path) -> Result<bool, DiscoverError> {
    metadata(path).map(|metadata| metadata.is_some_and(|metadata| metadata.is_dir()))
}

/// Whether a file exists at a path. A folder does not count.
pub(super) fn is_file(path: &Path) -> Result<bool, DiscoverError> {
    metadata(path).map(|metadata| metadata.is_some_and(|metadata| metadata.is_file()))
}

fn metadata(path: &Path) -> Result<Option<fs::Metadata>, DiscoverError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(DiscoverError::read(path, error)),
    }
}

/// The target of a link, if there is a link. The target need not exist.
pub(super) fn link_target(path: &Path) -> Result<Option<PathBuf>, DiscoverError> {
    match fs::read_link(path) {
        Ok(target) => Ok(Some(target)),
        // A path that is no link gives EINVAL.
        Err(error) if is_absence(&error) || error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(DiscoverError::read(path, error)),
    }
}

/// Whether an error says that nothing is at a path, or a link that leads to itself.
pub(super) fn is_absence_or_loop(error: &io::Error) -> bool {
    is_absence(error) || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

pub(super) fn real_path(path: &Path) -> Result<PathBuf, DiscoverError> {
    fs::canonicalize(path).map_err(|error| DiscoverError::read(path, error))
}

/// The real path of the top folder, which may be given as a link.
pub(super) fn top(given: &Path) -> Result<PathBuf, DiscoverError> {
    let top = real_path(given)?;
    if is_folder(&top)? { Ok(top) } else { Err(not_an_installation(&top)) }
}

/// The data folder's path, and its origin.
pub(super) type DataFolder = Setting<PathBuf>;

/// Finds the data folder. Since 7.1 it is always `seafile-data`; before, `ccnet/seafile.ini` names
/// it. If the version is not known, an existing `seafile-data` wins, because upgrades leave old
/// pointers behind. `None` if neither exists.
pub(super) fn data_dir(
    top: &Path,
    program: &SeafileProgram,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<Option<DataFolder>, DiscoverError> {
    // On a share without links, a link becomes a file.
    let own = top.join(DATA);
    let own = latest::stand_in(&own).unwrap_or(own);
    let has_own = is_folder(&own)?;
    let own_folder =
        || real_path(&own).map(|real| Setting::new(real, SettingOrigin::Path(DATA.into())));
    let pointer = match program.is_at_least(7, 1) {
        Some(true) => None,
        None if has_own => None,
        Some(false) | None => data_pointer(top)?,
    };
    let Some(named) = pointer else {
        return match link_target(&own)? {
            _ if has_own => own_folder().map(Some),
            Some(target) => Err(missing_folder(
                "the data folder",
                &target,
                SettingOrigin::Path(PathBuf::from(DATA)),
            )),
            None => Ok(None),
        };
    };
    let pointer = SettingOrigin::Path(DATA_POINTER.into());
    if !is_folder(&named)? {
        if !has_own {
            return Err(missing_folder("the data folder", &named, pointer));
        }
        let used = own_folder()?;
        warnings.push(DiscoverWarning::DataFolderElsewhere {
            named,
            from: pointer,
            used: used.value.clone(),
        });
        return Ok(Some(used));
    }
    let used = real_path(&named)?;
    if has_own && real_path(&own)? != used {
        warnings.push(DiscoverWarning::DataFolderElsewhere {
            named,
            from: pointer.clone(),
            used: used.clone(),
        });
    }
    Ok(Some(Setting::new(used, pointer)))
}

/// The path in `ccnet/seafile.ini`. A relative path begins at the top folder.
fn data_pointer(top: &Path) -> Result<Option<PathBuf>, DiscoverError> {
    let path = top.join(DATA_POINTER);
    let text = config::read_text(&path).map_err(|error| DiscoverError::config(&path, error))?;
    let line =
        text.as_deref().and_then(|text| text.lines().map(str::trim).find(|line| !line.is_empty()));
    Ok(line.map(|line| top.join(line)))
}

pub(super) fn missing_folder(what: &str, path: &Path, from: SettingOrigin) -> DiscoverError {
    DiscoverError::Missing {
        what: what.to_owned(),
        path: path.to_owned(),
        from,
        advice: "is its disk mounted?".to_owned(),
    }
}

/// Every installation has at least one of these files and folders, besides a data folder.
const TRACES: [&str; 6] = [
    "conf/seafile.conf",
    "conf/.env",
    "seafile-data/seafile.conf",
    "seafile-data/seafile.db",
    "seafile-data/storage",
    "seafile-data/commits",
];

/// Refuses a data folder without any other trace of Seafile, such as docker's `/opt/seafile-data`
/// when `/opt` is given.
pub(super) fn expect_traces(folders: &InstallationFolders) -> Result<(), DiscoverError> {
    for trace in TRACES {
        if metadata(&folders.inside(trace))?.is_some() {
            return Ok(());
        }
    }
    Err(not_an_installation(&folders.top))
}

pub(super) fn not_an_installation(top: &Path) -> DiscoverError {
    let near = ["haiwen", "seafile", "seafile-data/seafile"]
        .iter()
        .map(|name| top.join(name))
        .chain(top.ancestors().skip(1).take(2).map(Path::to_owned))
        .find(|folder| looks_like_installation(folder));
    DiscoverError::NotAnInstallation {
        top: top.to_owned(),
        looked_for: format!(
            "{DATA} (or the folder that {DATA_POINTER} or --data-dir names) and one of {}",
            TRACES.join(", ")
        ),
        near,
    }
}

/// Guesses for a hint. A path that cannot be looked at does not count.
fn looks_like_installation(top: &Path) -> bool {
    let own = top.join(DATA);
    own.is_dir() && TRACES.iter().any(|trace| top.join(trace).exists())
}

/// The links that are followed, outer ones first. If a link of ordinary files leads nowhere, that
/// is a warning. If a link of objects leads nowhere, that is an error: a disk may not be mounted.
pub(super) fn followed_links(
    folders: &InstallationFolders,
    warnings: &mut Vec<DiscoverWarning>,
) -> Result<Vec<FollowedLink>, DiscoverError> {
    let InstallationFolders { top, data_dir, .. } = folders;
    let mut links = Vec::new();
    let own = top.join(DATA);
    if own != *data_dir {
        links.push(FollowedLink { path: DATA.into(), target: data_dir.clone() });
    }
    if folders.conf_is_apart() {
        links.push(FollowedLink { path: CONF.into(), target: folders.conf_dir.clone() });
    }
    for path in object_places() {
        let place = folders.inside(&path);
        if let Some(target) = link_target(&place)? {
            if metadata(&place)?.is_none() {
                let what = "the target of a link";
                return Err(missing_folder(what, &target, SettingOrigin::Path(path.into())));
            }
            let target = real_path(&place)?;
            let path = path.into();
            links.push(FollowedLink { path, target });
        }
    }
    for path in ["conf", "ccnet", "seahub-data", "pro-data"] {
        let place = top.join(path);
        if let Some(target) = link_target(&place)? {
            let path = path.into();
            if metadata(&place)?.is_none() {
                warnings.push(DiscoverWarning::DanglingLink { path, target });
            } else {
                let target = real_path(&place)?;
                links.push(FollowedLink { path, target });
            }
        }
    }
    Ok(links)
}

/// The folders of objects, as paths inside the installation.
fn object_places() -> impl Iterator<Item = String> {
    let kinds = || Kind::ALL.into_iter().map(Kind::folder);
    std::iter::once(format!("{DATA}/storage"))
        .chain(kinds().map(|kind| format!("{DATA}/storage/{kind}")))
        .chain(kinds().map(|kind| format!("{DATA}/{kind}")))
}
