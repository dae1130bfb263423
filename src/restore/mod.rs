//! The verb `restore`: a snapshot becomes an installation again, in an empty folder.
//!
//! The order: marker (verified by the caller), sums, manifest, lists and segments; then the check
//! of free space; then objects, links, databases and ordinary files. Last of all commits get their
//! places. Each stored thing is believed only by a SHA-256 that the marker leads to, and each
//! object only by its own id. Losses in the repository do not stop a restore: they are counted and
//! reported. A failure to read or write stops it. The same call goes on from there.
//!
//! A caller that loads databases into a server does it between [`fill`] and [`WaitingRestore::finish`]. So
//! no head on the server is older than the commits beside it.
//!
//! Not here: restoring into a folder with content, single libraries and files, database servers.

mod clients;
mod commits;
mod databases;
mod earlier;
mod error;
mod folders;
mod history;
mod import;
mod index;
mod links;
mod losses;
mod lost_files;
mod mark;
mod next;
mod notes;
mod old_host;
mod ordinary;
mod packs;
mod page;
mod places;
mod report;
mod running;
mod space;
mod steps;
mod stream;
mod survey;
mod target;
mod waiting;
mod writer;

use std::path::PathBuf;

use seawall_backends::Key;
use serde::Serialize;

pub use commits::ASIDE;
pub use databases::SQL_FOLDER;
pub use error::Error;
pub use import::{
    ImportRecord, NotRestored, RestoredFrom, configuration, dump_path, loaded_so_far,
    must_be_restored, read_dump, read_restored, record, records, restored_from,
};
pub use mark::{STANDBY, UNFINISHED};
pub use next::NextCommands;
pub use notes::NOTES;
pub use report::{
    LossKind, LostFile, OrdinaryFileCounts, Report, RestoreLoss, RestoreNeeds, StoreCommitCount,
};
pub use steps::{ImportNotes, LoadedDatabase, note_imports};
pub use waiting::{WaitingRestore, waiting};

use crate::object::Sha256;
use crate::repository::manifest::Manifest;
use crate::repository::names::{self, SnapshotId};
use crate::repository::{Repository, Snapshot, index as stored_index};
use running::RunningRestore;

/// The most workers unless the user asks for more: each holds a pack.
const USUAL_WORKERS: usize = 4;

/// A user and perhaps a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group; `None`: the group is not changed.
    pub gid: Option<u32>,
}

/// Which part of a snapshot to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Objects, ordinary files, databases.
    #[default]
    Everything,
    /// Objects and ordinary files.
    Data,
    /// Databases alone.
    Databases,
}

impl Scope {
    fn has_data(self) -> bool {
        self != Self::Databases
    }

    fn has_databases(self) -> bool {
        self != Self::Data
    }

    /// Its word in the unfinished file.
    const fn word(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Data => "data",
            Self::Databases => "databases",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        let all = [Self::Everything, Self::Data, Self::Databases];
        all.into_iter().find(|scope| scope.word() == word)
    }
}

/// What the user chose.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own on the command line"
)]
pub struct Options {
    /// The folder to restore into: absent or empty, or left by an unfinished restore of the same
    /// snapshot.
    pub target: PathBuf,
    /// The owner that everything gets. `None`, as root: the owner of an existing target unless that
    /// is root, otherwise the owner that the databases had. `None`, not as root: the user who runs
    /// seawall.
    pub owner: Option<Owner>,
    /// Which part of the snapshot to restore.
    pub scope: Scope,
    /// How many packs are restored at a time.
    pub workers: usize,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The target is, or becomes, a standby: later snapshots complete it.
    pub standby: bool,
    /// The standby may go back to an older snapshot than the one that it was completed to.
    pub older: bool,
    /// The caller loads databases into a server between [`fill`] and [`WaitingRestore::finish`].
    pub loads_databases: bool,
    /// The commands that the notes name; `None`: without options that only the caller knows.
    pub commands: Option<NextCommands>,
}

impl Options {
    /// Restores everything, into this folder.
    pub fn new(target: PathBuf) -> Self {
        let processors = std::thread::available_parallelism();
        Self {
            target,
            owner: None,
            scope: Scope::default(),
            workers: processors.map_or(2, std::num::NonZero::get).min(USUAL_WORKERS),
            dry_run: false,
            standby: false,
            older: false,
            loads_databases: false,
            commands: None,
        }
    }
}

/// Restores a snapshot, whose marker was verified. Returns once everything is on disk.
///
/// `progress` receives one line at a time.
pub fn run(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &Options,
    progress: &dyn Fn(&str),
) -> Result<Report, Error> {
    let (report, waiting) = fill(repository, snapshot, options, progress)?;
    if let Some(waiting) = waiting {
        waiting.finish(progress)?;
    }
    Ok(report)
}

/// Restores everything except commits, which wait where Seafile does not find them until
/// [`WaitingRestore::finish`]. After a dry run nothing waits.
pub fn fill(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &Options,
    progress: &dyn Fn(&str),
) -> Result<(Report, Option<WaitingRestore>), Error> {
    let (state, mark) = target::look(repository, snapshot, options)?;
    let earlier = if options.standby && state.has_content() {
        target::earlier(&options.target, mark.as_ref())?
    } else {
        Vec::new()
    };
    let newest = earlier.iter().copied().max_by_key(SnapshotId::started);
    let went_back = newest.filter(|newest| snapshot.id().started() < newest.started());
    if let Some(newest) = went_back.filter(|_| !options.older) {
        return Err(Error::GoesBack {
            path: options.target.clone(),
            at: newest,
            to: snapshot.id(),
        });
    }
    progress("reading the index");
    let manifest = stored_index::read_manifest(repository, &snapshot.marker)?;
    must_open(repository, snapshot, &manifest)?;
    let owner = target::owner(options.owner, state, &manifest)?;
    let restore = RunningRestore {
        repository,
        snapshot,
        manifest,
        options,
        owner,
        state,
        mark,
        earlier,
        went_back,
        progress,
    };
    restore.fill()
}

/// Fails if no key at hand opens what is stored, before anything is written. Losses are reported
/// later.
///
/// One header stands for everything that was sealed to the same recipients. If the recipients have
/// changed, this looks at one part of each run that wrote parts, and at the first, the middle and
/// the last pack of each list: packs in a list are in the order of time.
fn must_open(
    repository: &Repository,
    snapshot: &Snapshot,
    manifest: &Manifest,
) -> Result<(), Error> {
    use crate::repository::Error as Of;
    let mut looked_at: Vec<(Key, Sha256)> = Vec::new();
    let mut runs = std::collections::HashSet::new();
    for part in manifest.parts() {
        let run = part.key.as_str().rsplit_once('/').map(|(run, _)| run);
        if runs.insert(run) {
            looked_at.push((part.key.clone(), part.sha256));
        }
    }
    let is_mixed = !snapshot.marker.partly.is_empty();
    if is_mixed {
        for named in &snapshot.marker.lists {
            let packs = match stored_index::List::read(repository, named) {
                Ok(list) => list.packs,
                Err(error) => {
                    error::loss(repository, error)?;
                    continue;
                }
            };
            let some = [0, packs.len() / 2, packs.len().saturating_sub(1)];
            looked_at.extend(some.iter().filter_map(|&at| {
                let (kind, pack) = packs.get(at)?;
                Some((names::pack(*kind, pack, repository.seal()), *pack))
            }));
        }
    }
    for (key, sha256) in looked_at {
        match repository.must_open(&key) {
            Ok(()) if is_mixed => {}
            Ok(()) => break,
            // An altered header looks like one for another key. That is a loss, which is reported
            // later.
            Err(error @ (Of::Locked { .. } | Of::Key { .. })) => {
                if repository.read_verified(&key, &sha256).is_ok() {
                    return Err(error.into());
                }
            }
            Err(_) => {}
        }
    }
    Ok(())
}
