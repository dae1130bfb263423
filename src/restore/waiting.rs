//! A restore that has everything in place except commits, which wait where Seafile does not find
//! them. Databases are loaded into a server in that time. If commits were in place beside a server
//! with older heads, a client that asks that server would be set back (docs/design.md, "Commits
//! that no pointer leads to").

use std::path::Path;

use super::commits;
use super::error::Error;
use super::import::owner_of;
use super::mark::{RestoreMark, UNFINISHED};
use super::target::{self, RestoreTarget};
use crate::repository::configuration::RepositoryId;
use crate::repository::names::SnapshotId;
use crate::repository::{Repository, Snapshot};

/// A restore whose commits wait. If it is dropped, the target stays unfinished, and [`waiting`]
/// takes it up again.
#[must_use = "the commits are not in their places yet"]
#[derive(Debug)]
pub struct WaitingRestore {
    target: RestoreTarget,
    /// Databases of another state may have been in the target before, or on a server.
    has_older: bool,
    /// For a standby: its repository, and the snapshot to which it is completed.
    standby: Option<(RepositoryId, SnapshotId)>,
}

impl WaitingRestore {
    pub(super) const fn new(
        target: RestoreTarget,
        has_older: bool,
        standby: Option<(RepositoryId, SnapshotId)>,
    ) -> Self {
        Self { target, has_older, standby }
    }

    /// Gives commits their places. Returns once everything is on disk and the restore is finished.
    pub fn finish(self, progress: &dyn Fn(&str)) -> Result<(), Error> {
        // A power cut may bring back the databases as they were before. No commit may be beside
        // them then.
        if self.has_older {
            self.target.sync()?;
        }
        let placed = commits::place(self.target.folders());
        placed.map_err(self.target.failed("seafile-data/storage"))?;
        if let Some((repository, snapshot)) = &self.standby {
            self.target.write_standby(repository, Some(*snapshot))?;
        }
        progress("waiting until everything is on disk");
        self.target.finish()
    }
}

/// Takes up a restore whose databases were not all loaded into a server. `None`: no commits wait
/// for that in this folder.
pub fn waiting(
    folder: &Path,
    repository: &Repository,
    snapshot: &Snapshot,
) -> Result<Option<WaitingRestore>, Error> {
    let Some(mark) = RestoreMark::read(folder, UNFINISHED)? else {
        return Ok(None);
    };
    if !(mark.is_of(repository) && mark.is_at(snapshot.id())) {
        return Err(Error::OtherUnfinished { path: folder.to_owned(), of: mark.title() });
    }
    if !mark.is_waiting {
        return Ok(None);
    }
    let is_standby = target::is_standby(folder, repository)?;
    if is_standby {
        target::refuse_running(folder)?;
    }
    let owner =
        owner_of(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })?;
    let target = RestoreTarget::open(folder, owner, &mark)?;
    let standby = is_standby.then(|| (repository.id().clone(), snapshot.id()));
    Ok(Some(WaitingRestore::new(target, true, standby)))
}
