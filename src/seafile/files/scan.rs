//! What a scan is asked for, and its outer steps; [`super::walk`] visits the folders.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::walk::Walk;
use super::{Error, Scan};

/// Where an installation's files lie, and what of them is stored in other ways.
///
/// Inside paths are relative to the installation, as Seafile sees it: `seafile-data/seafile.db`.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions {
    /// The installation's top folder.
    pub top: PathBuf,
    /// Where `seafile-data` really lies; that place in the top folder may be a link, or absent.
    pub data_dir: PathBuf,
    /// Where `conf` really lies, if nothing of that name is in the top folder.
    pub conf_dir: Option<PathBuf>,
    /// Inside paths that are stored in other ways and not looked at here: object folders, dumped
    /// databases with their `-journal`, `-wal` and `-shm`.
    pub skip_paths: Vec<PathBuf>,
    /// The name of the program folder in the top folder that `seafile-server-latest` points to.
    pub program_folder: Option<String>,
    /// Inside paths where a link is followed: what it leads to is stored in its place.
    /// `seafile-data` always counts as one of them.
    pub followed_links: Vec<PathBuf>,
    /// Patterns of what the user wants left out, relative to the installation.
    pub excludes: Vec<String>,
    /// Absolute paths outside, stored below `extra/`. Links named here are followed.
    pub also: Vec<PathBuf>,
}

/// Lists the ordinary files of an installation, in groups.
///
/// Costs one look at each folder, file and link, and reads no content. Something that cannot be read
/// is a warning; that the top folder or the data folder cannot be read is an error.
pub fn scan(options: &ScanOptions) -> Result<Scan, Error> {
    let also = also_paths(&options.also)?;
    let mut walk = Walk::new(options)?;
    walk.installation()?;
    for path in &also {
        walk.extra(path);
    }
    walk.finish()
}

/// The paths of `--also`, checked; those that lie in another one are dropped.
fn also_paths(also: &[PathBuf]) -> Result<Vec<&Path>, Error> {
    let mut paths: Vec<&Path> = also.iter().map(PathBuf::as_path).collect();
    if let Some(path) = paths.iter().find(|path| below_root(path).is_none()) {
        return Err(Error::Also { path: path.to_path_buf() });
    }
    paths.sort_unstable();
    paths.dedup_by(|later, earlier| later.starts_with(earlier));
    Ok(paths)
}

/// An absolute path without its first `/`, if it leads strictly downward.
pub(super) fn below_root(path: &Path) -> Option<&Path> {
    let below = path.strip_prefix("/").ok()?;
    let plain = below.components().all(|name| matches!(name, Component::Normal(_)));
    (plain && below != Path::new("")).then_some(below)
}

/// Whether a name is that of a Seafile program folder.
pub(super) fn is_program_folder(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"seafile-server-") || name.starts_with(b"seafile-pro-server-")
}
