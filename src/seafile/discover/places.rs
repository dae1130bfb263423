//! The folders of an installation: its top, its data folder, and the links that are followed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::DiscoverError;
use super::origin::Origin;
use super::program::Program;
use super::warning::Warning;
use crate::object::Kind;
use crate::seafile::config::{self, is_absence};

/// The data folder's name inside an installation, wherever it really is.
pub(super) const DATA: &str = "seafile-data";
/// Up to 7.0: a file with the data folder's path.
const DATA_POINTER: &str = "ccnet/seafile.ini";

/// A link whose target is taken for what lies at its path. All other links are kept as links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedLink {
    /// Its path inside the installation.
    pub path: PathBuf,
    /// The real place, absolute.
    pub target: PathBuf,
}

/// Whether a folder is there; a file or nothing is not.
pub(super) fn is_folder(path: &Path) -> Result<bool, DiscoverError> {
    metadata(path).map(|metadata| metadata.is_some_and(|metadata| metadata.is_dir()))
}

/// Whether a file is there; a folder or nothing is not.
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

/// The target of a link, if there is a link; it need not exist.
fn link_target(path: &Path) -> Result<Option<PathBuf>, DiscoverError> {
    match fs::read_link(path) {
        Ok(target) => Ok(Some(target)),
        // What is no link gives EINVAL.
        Err(error) if is_absence(&error) || error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(DiscoverError::read(path, error)),
    }
}

fn real_path(path: &Path) -> Result<PathBuf, DiscoverError> {
    fs::canonicalize(path).map_err(|error| DiscoverError::read(path, error))
}

/// The real path of the top folder, which may be given as a link.
pub(super) fn top(given: &Path) -> Result<PathBuf, DiscoverError> {
    let top = real_path(given)?;
    if is_folder(&top)? {
        Ok(top)
    } else {
        Err(not_an_installation(&top))
    }
}

/// Finds the data folder: since 7.1 always `seafile-data`, before that where `ccnet/seafile.ini`
/// says. Without a known version, `seafile-data` wins: old pointers are left behind by upgrades.
pub(super) fn data_dir(
    top: &Path,
    program: &Program,
    warnings: &mut Vec<Warning>,
) -> Result<PathBuf, DiscoverError> {
    let own = top.join(DATA);
    let has_own = is_folder(&own)?;
    let pointer = match program.is_at_least(7, 1) {
        Some(true) => None,
        None if has_own => None,
        Some(false) | None => data_pointer(top)?,
    };
    let Some(named) = pointer else {
        return if has_own {
            real_path(&own)
        } else {
            Err(no_data_dir(top, &own)?)
        };
    };
    if !is_folder(&named)? {
        if !has_own {
            return Err(missing_folder(
                "the data folder",
                &named,
                Origin::Path(DATA_POINTER.into()),
            ));
        }
        let used = real_path(&own)?;
        warnings.push(Warning::DataFolderElsewhere {
            named,
            used: used.clone(),
        });
        return Ok(used);
    }
    let used = real_path(&named)?;
    if has_own && real_path(&own)? != used {
        warnings.push(Warning::DataFolderElsewhere {
            named,
            used: used.clone(),
        });
    }
    Ok(used)
}

/// The path in `ccnet/seafile.ini`; a relative one is meant from the top.
fn data_pointer(top: &Path) -> Result<Option<PathBuf>, DiscoverError> {
    let path = top.join(DATA_POINTER);
    let text = config::read_text(&path).map_err(|error| DiscoverError::config(&path, error))?;
    let line = text
        .as_deref()
        .and_then(|text| text.lines().map(str::trim).find(|line| !line.is_empty()));
    Ok(line.map(|line| top.join(line)))
}

fn no_data_dir(top: &Path, own: &Path) -> Result<DiscoverError, DiscoverError> {
    Ok(match link_target(own)? {
        Some(target) => missing_folder(
            "the data folder",
            &target,
            Origin::Path(PathBuf::from(DATA)),
        ),
        None => not_an_installation(top),
    })
}

pub(super) fn missing_folder(what: &str, path: &Path, from: Origin) -> DiscoverError {
    DiscoverError::Missing {
        what: what.to_owned(),
        path: path.to_owned(),
        from,
        advice: "is its disk mounted?".to_owned(),
    }
}

/// What an installation has at least one of, beside a data folder.
const TRACES: [&str; 6] = [
    "conf/seafile.conf",
    "conf/.env",
    "seafile-data/seafile.conf",
    "seafile-data/seafile.db",
    "seafile-data/storage",
    "seafile-data/commits",
];

/// Refuses a data folder that nothing of Seafile goes with, such as docker's `/opt/seafile-data`
/// seen from `/opt`.
pub(super) fn expect_traces(top: &Path, data_dir: &Path) -> Result<(), DiscoverError> {
    for trace in TRACES {
        if metadata(&inside(top, data_dir, trace))?.is_some() {
            return Ok(());
        }
    }
    Err(not_an_installation(top))
}

/// The real place of a path inside the installation.
pub(super) fn inside(top: &Path, data_dir: &Path, path: &str) -> PathBuf {
    match Path::new(path).strip_prefix(DATA) {
        Ok(rest) => data_dir.join(rest),
        Err(_) => top.join(path),
    }
}

fn not_an_installation(top: &Path) -> DiscoverError {
    let near = ["haiwen", "seafile", "seafile-data/seafile"]
        .iter()
        .map(|name| top.join(name))
        .chain(top.ancestors().skip(1).take(2).map(Path::to_owned))
        .find(|folder| looks_like_installation(folder));
    DiscoverError::NotAnInstallation {
        top: top.to_owned(),
        looked_for: format!(
            "{DATA} (or the folder that {DATA_POINTER} names) and one of {}",
            TRACES.join(", ")
        ),
        near,
    }
}

/// A guess for a hint: what cannot be seen does not count.
fn looks_like_installation(top: &Path) -> bool {
    let own = top.join(DATA);
    own.is_dir() && TRACES.iter().any(|trace| top.join(trace).exists())
}

/// The links that are followed, outer ones first. Links of ordinary files that point nowhere are
/// warnings; where objects should be, an error: a disk may not be mounted.
pub(super) fn followed_links(
    top: &Path,
    data_dir: &Path,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<FollowedLink>, DiscoverError> {
    let mut links = Vec::new();
    let own = top.join(DATA);
    if own != data_dir {
        links.push(FollowedLink {
            path: DATA.into(),
            target: data_dir.to_owned(),
        });
    }
    for path in object_places() {
        let place = inside(top, data_dir, &path);
        if let Some(target) = link_target(&place)? {
            if metadata(&place)?.is_none() {
                let what = "the target of a link";
                return Err(missing_folder(what, &target, Origin::Path(path.into())));
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
                warnings.push(Warning::DanglingLink { path, target });
            } else {
                let target = real_path(&place)?;
                links.push(FollowedLink { path, target });
            }
        }
    }
    Ok(links)
}

/// Folders of objects, inside the installation.
fn object_places() -> impl Iterator<Item = String> {
    let kinds = || Kind::ALL.into_iter().map(Kind::folder);
    std::iter::once(format!("{DATA}/storage"))
        .chain(kinds().map(|kind| format!("{DATA}/storage/{kind}")))
        .chain(kinds().map(|kind| format!("{DATA}/{kind}")))
}
