//! The commands that come after a restore, ready to be pasted. Only the caller knows which options
//! reach this repository and this state folder.

use std::path::Path;

use super::Scope;
use crate::place::shell;
use crate::repository::manifest::{self, Manifest};
use crate::repository::{Repository, Snapshot};
use crate::source::databases::SEAFILE;

/// The options that name a server. Only the administrator knows which server it will be.
pub(super) const SERVER_OPTIONS: &str =
    "--database-host HOST --database-user USER --database-password-file FILE";

/// Commands about one restored folder, each whole and quoted for a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextCommands {
    /// Verifies the folder by the databases in it.
    pub verify: String,
    /// Verifies it by what the snapshot says of its libraries.
    pub verify_by_snapshot: String,
    /// Loads its databases; options that name the server have to follow.
    pub import: String,
    /// Backs it up, as the server that it becomes.
    pub backup: String,
    /// Tells whether Seafile can run there, and be backed up.
    pub doctor: String,
}

impl NextCommands {
    /// Makes the commands. `reach` has the options that name the repository, and begins with a
    /// space.
    pub fn new(snapshot: &Snapshot, target: &Path, reach: &str) -> Self {
        let target = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
        let target = target.to_string_lossy();
        let (target, id) = (shell(&target), snapshot.id());
        Self {
            verify: format!("seawall verify {target}"),
            verify_by_snapshot: format!("seawall verify {target} --snapshot {id}{reach}"),
            import: format!("seawall restore {id}{reach} --target {target} --import-only"),
            backup: format!("seawall backup {target}{reach}"),
            doctor: format!("seawall doctor {target}{reach}"),
        }
    }

    /// Makes the commands for callers without options of their own.
    pub(super) fn plain(repository: &Repository, snapshot: &Snapshot, target: &Path) -> Self {
        let reach = format!(" -r {}", shell(repository.place()));
        Self::new(snapshot, target, &reach)
    }
}

/// How a restored folder is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VerifyMethod {
    /// By the databases that lie in it.
    ByDatabases,
    /// By the snapshot: the databases are not in place, or not yet.
    BySnapshot,
    /// Not at all: there is no data.
    Not,
}

/// How a folder with this part of a snapshot, and these databases, is verified.
pub(super) fn verified(scope: Scope, manifest: &Manifest, restored: &[String]) -> VerifyMethod {
    if scope == Scope::Databases {
        return VerifyMethod::Not;
    }
    let is_in_place = manifest.databases.iter().any(|database| {
        database.role == SEAFILE
            && database.engine == manifest::SQLITE
            && restored.contains(&database.role)
    });
    if is_in_place { VerifyMethod::ByDatabases } else { VerifyMethod::BySnapshot }
}

/// Whether databases were restored as SQL text, to be loaded.
pub(super) fn has_sql(manifest: &Manifest, restored: &[String]) -> bool {
    let mut databases = manifest.databases.iter();
    databases
        .any(|database| database.engine == manifest::MYSQL && restored.contains(&database.role))
}

/// The commands that come next.
pub(super) fn next(
    scope: Scope,
    manifest: &Manifest,
    restored: &[String],
    commands: &NextCommands,
) -> Vec<String> {
    let mut next = Vec::new();
    match verified(scope, manifest, restored) {
        VerifyMethod::ByDatabases => next.push(commands.verify.clone()),
        VerifyMethod::BySnapshot => next.push(commands.verify_by_snapshot.clone()),
        VerifyMethod::Not => {}
    }
    if has_sql(manifest, restored) {
        next.push(format!("{} {SERVER_OPTIONS}", commands.import));
    }
    next
}
