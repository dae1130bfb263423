//! The attempts of a run. Each one dumps, walks, and looks a second time for what is missing. If
//! the server changed a library meanwhile, that is a race and not damage, and the run tries again
//! (docs/design.md, "Something is not on disk").

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::dumps::{self, DumpedDatabases};
use super::heartbeat::Heartbeat;
use super::objects::{WalkedGroup, known_damage};
use super::{BackupRun, Error, prepare};
use crate::database::{LibraryPointers, Pointers};
use crate::object::{LibraryId, Store};
use crate::repository::names::SnapshotId;
use crate::repository::{manifest, runs};
use crate::seafile::folders::ObjectFolders;
use crate::source::databases::SeafileDatabase;
use crate::units::count;
use crate::walk;

/// The dumps and the walks of one attempt.
pub(super) struct BackupAttempt {
    /// The dumps, and what they point to.
    pub dumped: DumpedDatabases,
    /// What the walk of each group found.
    pub walked: Vec<WalkedGroup>,
}

impl BackupRun<'_> {
    /// Dumps and walks until no library changed during the walk, or no attempts are left.
    pub(super) fn attempts(&mut self) -> Result<BackupAttempt, Error> {
        let mut attempt = self.attempt(None, &HashSet::new())?;
        for pause in self.options.attempts_after.clone() {
            let raced = self.raced(&attempt)?;
            if raced.is_empty() {
                break;
            }
            self.races += 1;
            self.say(&format!(
                "{} changed under the walk: once more",
                count(raced.len() as u64, "library", "libraries")
            ));
            std::thread::sleep(pause);
            self.prepared.snapshot = runs::put_intent(
                self.context.at.backend().as_ref(),
                self.context.at.place(),
                self.context.at.id(),
                self.context.at.host_key().id(),
                SnapshotId::new(self.context.clock.now(), self.context.at.host_key().id())
                    .max(self.prepared.snapshot.next()),
            )?;
            prepare::check_tombstones(self.context.at, &self.prepared)?;
            self.heartbeat = Arc::new(Heartbeat::new(
                self.context.at,
                self.context.clock,
                self.prepared.snapshot,
            ));
            attempt = self.attempt(Some(attempt), &raced)?;
        }
        Ok(attempt)
    }

    /// Dumps once, and walks what the dump points to. After an earlier attempt, only libraries that
    /// changed are walked again.
    fn attempt(
        &mut self,
        before: Option<BackupAttempt>,
        raced: &HashSet<LibraryId>,
    ) -> Result<BackupAttempt, Error> {
        self.say("copying the databases");
        let mut dumped = dumps::dump(
            self.context.at,
            &self.heartbeat,
            &self.prepared,
            self.installation,
            self.context.spool,
        )?;
        self.prepared.alarm(dumped.alarms.iter());
        self.remember_valid_since(&mut dumped.pointers);
        let source = self.folders(&dumped.pointers);
        let libraries: Vec<_> = dumped
            .pointers
            .libraries
            .iter()
            .filter(|library| !library.heads.is_empty())
            .cloned()
            .collect();
        let one = source.places(Store::Library(LibraryId::new([0; 16]))).count() > 1;
        self.void_changed(&libraries)?;
        self.say("looking for the libraries on disk");
        self.look_at_source(&libraries, &source)?;
        if self.is_full() && before.is_none() {
            // A full run has to visit every object itself, so it trusts no mark of an earlier run.
            self.catalog.void_all()?;
        }
        let mut groups = self.audit(walk::groups(&libraries, one), &source)?;
        self.suspect(&mut groups, &source)?;
        let (mut walked, groups, lost) = keep_unchanged(before, groups, raced);
        for walked in lost {
            self.discarded.extend(walked.stores(&source));
        }
        let number = count(libraries.len() as u64, "library", "libraries");
        self.say(&format!("walking {number}"));
        let (first, totals) = self.objects(&source).walk(&groups)?;
        self.totals.add(totals);
        walked.extend(self.second_look(first, &source)?);
        Ok(BackupAttempt { dumped, walked })
    }

    /// Voids the marks of libraries for which they no longer hold. Marks hold while the library has
    /// the content store that it had when they were made, and while the base knows the library: the
    /// base remembers what they rest on.
    fn void_changed(&self, libraries: &[LibraryPointers]) -> Result<(), Error> {
        for library in libraries {
            let known = self.base().and_then(|base| base.library(library.id));
            let origin =
                |known: &manifest::Library| known.origin.as_ref().map(|origin| origin.library);
            let now = library.origin.as_ref().map(|origin| origin.library);
            if known.is_none_or(|known| origin(known) != now) {
                self.catalog.void_marks(Store::Library(library.id))?;
            }
        }
        Ok(())
    }

    /// Walks groups with new damage again after a pause. A missing object may only be late: a
    /// checker writes rows before files, and network folders lag.
    fn second_look(
        &mut self,
        first: Vec<WalkedGroup>,
        source: &Arc<ObjectFolders>,
    ) -> Result<Vec<WalkedGroup>, Error> {
        let known = known_damage(self.base());
        let (again, mut settled): (Vec<WalkedGroup>, Vec<WalkedGroup>) =
            first.into_iter().partition(|walked| walked.is_news(&known));
        if again.is_empty() {
            return Ok(settled);
        }
        for walked in &again {
            self.discarded.extend(walked.stores(source));
        }
        self.say(&format!(
            "objects are missing in {} groups of libraries: looking again",
            again.len()
        ));
        std::thread::sleep(self.options.second_look);
        let groups: Vec<_> = again.iter().map(WalkedGroup::group).collect();
        let (walked, totals) = self.objects(source).walk(&groups)?;
        self.totals.add(totals);
        settled.extend(walked);
        Ok(settled)
    }

    /// Libraries in damaged groups whose pointers have changed since the dump.
    fn raced(&self, attempt: &BackupAttempt) -> Result<HashSet<LibraryId>, Error> {
        let known = known_damage(self.base());
        let damaged: Vec<&WalkedGroup> =
            attempt.walked.iter().filter(|walked| walked.is_news(&known)).collect();
        if damaged.is_empty() {
            return Ok(HashSet::new());
        }
        let seafile = SeafileDatabase::of(self.installation)?;
        let mut now = seafile.pointers(self.context.spool)?;
        self.remember_valid_since(&mut now);
        let changed = |library: &&LibraryPointers| {
            now.library(library.id).is_none_or(|now| !now.same_roots(library))
        };
        let libraries = damaged.iter().flat_map(|walked| &walked.libraries);
        Ok(libraries.filter(changed).map(|library| library.id).collect())
    }

    /// Gives each library the highest valid-since time ever recorded. History before that time may
    /// be gone, and the row with the time vanishes when a library goes through the trash.
    fn remember_valid_since(&self, pointers: &mut Pointers) {
        let libraries = self.base().into_iter().flat_map(|base| &base.libraries);
        let known = libraries.map(|library| (library.id, library.valid_since));
        let stores = self.base().into_iter().flat_map(|base| &base.unreferenced);
        let known = known.chain(stores.map(|store| (store.store, store.valid_since)));
        // A library without a head is in both lists, and its two times may differ.
        let mut highest: HashMap<LibraryId, Option<i64>> = HashMap::new();
        for (library, since) in known {
            let highest = highest.entry(library).or_default();
            *highest = since.max(*highest);
        }
        for library in &mut pointers.libraries {
            let known = highest.get(&library.id).copied().flatten();
            library.valid_since = library.valid_since.max(known);
        }
    }
}

/// Splits the work after an earlier attempt. Returns the earlier walks that still hold, the groups
/// that are left to walk, and the earlier walks that are void.
fn keep_unchanged<'a>(
    before: Option<BackupAttempt>,
    groups: Vec<walk::LibraryGroup<'a>>,
    raced: &HashSet<LibraryId>,
) -> (Vec<WalkedGroup>, Vec<walk::LibraryGroup<'a>>, Vec<WalkedGroup>) {
    let mut before = before.map(|attempt| attempt.walked).unwrap_or_default();
    let mut kept = Vec::new();
    let mut left = Vec::new();
    for group in groups {
        let is_raced = group.libraries.iter().any(|library| raced.contains(&library.id));
        let same = before.iter().position(|walked| walked.has_roots_of(&group));
        match same.filter(|_| !is_raced) {
            Some(position) => kept.push(before.swap_remove(position)),
            None => left.push(group),
        }
    }
    (kept, left, before)
}
