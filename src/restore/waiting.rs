//! A restore that has everything in place but commits, which wait where Seafile does not find them. Databases are loaded
//! into a server in that time: a client that asks a server whose heads are older than the commits beside it would be set
//! back (docs/design.md, "Commits that no pointer leads to").

use std::path::Path;

use super::commits;
use super::error::Error;
use super::import::owner_of;
use super::mark::{Mark, UNFINISHED};
use super::target::{self, Target};
use crate::repository::configuration::RepositoryId;
use crate::repository::names::SnapshotId;
use crate::repository::{Repository, Snapshot};

/// Dropped, it leaves the target unfinished; [`waiting`] takes it up again.
#[must_use = "the commits are not in their places yet"]
#[derive(Debug)]
pub struct Waiting {
    target: Target,
    /// Something was there before, or on a server: databases of another state.
    has_older: bool,
    /// The target is a standby: of which repository, and completed to which snapshot.
    standby: Option<(RepositoryId, SnapshotId)>,
}

impl Waiting {
    pub(super) const fn new(
        target: Target,
        has_older: bool,
        standby: Option<(RepositoryId, SnapshotId)>,
    ) -> Self {
        Self { target, has_older, standby }
    }

    /// Gives commits their places. Returns once everything is on disk and the restore is finished.
    pub fn finish(self, progress: &dyn Fn(&str)) -> Result<(), Error> {
        // After a power cut there must be no commit beside databases that came back as they were before.
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

/// Takes up a restore whose databases were not all loaded into a server. `None`: nothing waits for that in this folder.
pub fn waiting(
    folder: &Path,
    repository: &Repository,
    snapshot: &Snapshot,
) -> Result<Option<Waiting>, Error> {
    let Some(mark) = Mark::read(folder, UNFINISHED)? else {
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
    let target = Target::open(folder, owner, &mark)?;
    let standby = is_standby.then(|| (repository.id().clone(), snapshot.id()));
    Ok(Some(Waiting::new(target, true, standby)))
}
