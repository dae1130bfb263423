//! Folders that must not lie in each other: what is restored, the repository, the state folder, and an
//! installation. A restore inside a repository would count as files that do not belong there, and a
//! repository inside an installation would be backed up into itself.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::{CommandError, Global};
use crate::place::{absolute, real};

/// A folder in which something must not lie, and what it is.
struct Outer {
    what: &'static str,
    folder: PathBuf,
}

/// Whether the folder itself is refused too, or only what lies in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Itself {
    Refused,
    Allowed,
}

/// Refuses a target in the repository, in the state folder, or in an installation.
pub(super) fn target(global: &Global, target: &Path) -> Result<(), CommandError> {
    let mut outer = Vec::new();
    if let Some(folder) = repository(global) {
        outer.push(Outer { what: "the repository", folder });
    }
    if let Ok(folder) = global.state_path() {
        outer.push(Outer { what: "the state folder", folder });
    }
    refuse("the target", target, &outer, Itself::Allowed)
}

/// Refuses a repository or a state folder that lies in the other, or in an installation.
pub(super) fn repository_and_state(global: &Global) -> Result<(), CommandError> {
    let state = global.state_path()?;
    let Some(repository) = repository(global) else {
        return refuse("the state folder", &state, &[], Itself::Refused);
    };
    let outer = |what, folder: &Path| [Outer { what, folder: folder.to_owned() }];
    let in_state = outer("the state folder", &state);
    let in_repository = outer("the repository", &repository);
    refuse("the repository", &repository, &in_state, Itself::Refused)?;
    refuse("the state folder", &state, &in_repository, Itself::Refused)
}

/// The repository's folder, if it is one of this machine.
fn repository(global: &Global) -> Option<PathBuf> {
    seawall_backends::local_path(global.url().ok()?)
}

/// Links are followed first: what counts is where a folder is.
fn refuse(
    what: &str,
    path: &Path,
    outer: &[Outer],
    installation: Itself,
) -> Result<(), CommandError> {
    let inner = real(path);
    let mut outer = outer.iter();
    let known = outer.find(|outer| inner.starts_with(real(&outer.folder)));
    let found = known
        .map(|outer| (outer.what, outer.folder.clone()))
        .or_else(|| by_content(&inner, installation));
    let Some((of, folder)) = found else {
        return Ok(());
    };
    Err(CommandError::new(
        anyhow!("{what} {} lies inside of {of} {}", absolute(path).display(), folder.display()),
        "choose a place outside, best on another disk",
    ))
}

/// What a folder above is, by what is in it. A folder that is to be filled may be an installation's own: it is
/// refused elsewhere unless it is empty.
fn by_content(inner: &Path, installation: Itself) -> Option<(&'static str, PathBuf)> {
    let mut above = inner.ancestors().skip(1);
    let strictly = above.find_map(|folder| {
        let is = |name: &str| folder.join(name).exists();
        if is("seawall.json") && is("keys") {
            Some(("a repository", folder.to_owned()))
        } else if is("host.key") && is("lock") {
            Some(("a state folder", folder.to_owned()))
        } else if is_installation(folder) {
            Some(("an installation", folder.to_owned()))
        } else {
            None
        }
    });
    let itself = || {
        let is_it = installation == Itself::Refused && is_installation(inner);
        is_it.then(|| ("an installation", inner.to_owned()))
    };
    strictly.or_else(itself)
}

/// The top folder of an installation, or its data folder.
fn is_installation(folder: &Path) -> bool {
    ["seafile-data", "conf/seafile.conf", "storage/commits"]
        .iter()
        .any(|name| folder.join(name).exists())
}
