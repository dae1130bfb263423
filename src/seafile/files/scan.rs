//! The options of a scan, and its outer steps. [`super::walk`] visits the folders.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::walk::FileWalk;
use super::{Error, FileScan};

/// Where an installation's files lie, and which of them are stored in other ways.
///
/// Inside paths are relative to the installation and have the names that Seafile uses:
/// `seafile-data/seafile.db`.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions {
    /// The installation's top folder.
    pub top: PathBuf,
    /// Where `seafile-data` really lies. In the top folder it may be a link, or absent.
    pub data_dir: PathBuf,
    /// Where `conf` really lies, if nothing of that name is in the top folder.
    pub conf_dir: Option<PathBuf>,
    /// Inside paths that are stored in other ways and skipped here: object folders, and dumped
    /// databases with their `-journal`, `-wal` and `-shm`.
    pub skip_paths: Vec<PathBuf>,
    /// The name of the program folder in the top folder that `seafile-server-latest` points to.
    pub program_folder: Option<String>,
    /// Inside paths where a link is followed: the content of its target is stored in its place.
    /// `seafile-data` always counts as one of them.
    pub followed_links: Vec<PathBuf>,
    /// Patterns for files that the user excludes, relative to the installation.
    pub excludes: Vec<String>,
    /// Absolute paths outside, which are stored below `extra/`. Links named here are followed.
    pub also: Vec<PathBuf>,
}

/// Lists the ordinary files of an installation, in groups.
///
/// It reads the attributes of each folder, file and link once, and no content. If something cannot
/// be read, that is a warning. If the top folder or the data folder cannot be read, that is an
/// error.
pub fn scan(options: &ScanOptions) -> Result<FileScan, Error> {
    let also = also_paths(&options.also)?;
    let mut walk = FileWalk::new(options)?;
    walk.installation()?;
    for path in &also {
        walk.extra(path);
    }
    walk.finish()
}

/// Checks the paths of `--also`. A path that lies below another one is dropped.
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
