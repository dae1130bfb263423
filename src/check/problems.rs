//! Collects problems, and judges at the end which are healed or accepted.

use std::collections::{HashMap, HashSet};

use seawall_backends::{ErrorKind, Key};

use super::report::{Information, MAX_SNAPSHOTS, Problem, ProblemKind};
use crate::repository::names::{self, SnapshotId};
use crate::repository::{Repository, Result};

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<SharedProblem>,
}

/// A problem, with all snapshots that it affects.
#[derive(Debug)]
struct SharedProblem {
    key: Key,
    kind: ProblemKind,
    detail: String,
    snapshots: Vec<SnapshotId>,
}

impl Problems {
    /// Adds a problem. `snapshots` may contain duplicates.
    pub(super) fn add(
        &mut self,
        key: &Key,
        kind: ProblemKind,
        detail: impl Into<String>,
        mut snapshots: Vec<SnapshotId>,
    ) {
        snapshots.sort_unstable_by(|a, b| b.cmp(a));
        snapshots.dedup();
        self.found.push(SharedProblem { key: key.clone(), kind, detail: detail.into(), snapshots });
    }

    /// Returns all problems, sorted by key. Leaves out those that only concern snapshots which were
    /// forgotten meanwhile: a prune may have removed what they needed.
    pub(super) fn finish(
        self,
        repository: &Repository,
        known: &KnownSnapshots<'_>,
        information: &mut Information,
    ) -> Result<Vec<Problem>> {
        let forgotten = self.forgotten(repository)?;
        let found = self.found.into_iter();
        let found: Vec<SharedProblem> =
            found.filter_map(|found| found.without(&forgotten)).collect();
        let accepted = |found: &&SharedProblem| known.accepts(found);
        let lacking: HashSet<SnapshotId> = found
            .iter()
            .filter(accepted)
            .flat_map(|found| found.snapshots.iter().copied())
            .collect();
        let mut problems: Vec<Problem> =
            found.into_iter().map(|found| found.judged(known, &lacking)).collect();
        problems.sort_by(|a, b| (&a.key, a.kind, &a.detail).cmp(&(&b.key, b.kind, &b.detail)));
        information.forgotten_meanwhile = forgotten.into_iter().collect();
        information.forgotten_meanwhile.sort_unstable();
        Ok(problems)
    }

    /// Affected snapshots whose markers do not exist any more.
    fn forgotten(&self, repository: &Repository) -> Result<HashSet<SnapshotId>> {
        let mut known: HashMap<SnapshotId, bool> = HashMap::new();
        for found in &self.found {
            for &snapshot in &found.snapshots {
                if let std::collections::hash_map::Entry::Vacant(entry) = known.entry(snapshot) {
                    entry.insert(is_forgotten(repository, snapshot)?);
                }
            }
        }
        let forgotten = known.into_iter().filter(|(_, forgotten)| *forgotten);
        Ok(forgotten.map(|(snapshot, _)| snapshot).collect())
    }
}

fn is_forgotten(repository: &Repository, snapshot: SnapshotId) -> Result<bool> {
    match repository.backend().stat(&names::marker(snapshot)) {
        Ok(_) => Ok(false),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(true),
            ErrorKind::Transient => Err(error.into()),
            _ => Ok(false),
        },
    }
}

/// What decides whether a problem is healed or accepted.
pub(super) struct KnownSnapshots<'a> {
    /// The newest snapshot of each chain.
    pub newest: HashSet<SnapshotId>,
    /// Only one snapshot was checked, so nobody knows what the newest ones need.
    pub is_partial: bool,
    /// Whether the administrator accepted that a stored file is bad.
    pub is_accepted: &'a dyn Fn(&Key) -> bool,
}

impl KnownSnapshots<'_> {
    fn is_healed(&self, found: &SharedProblem) -> bool {
        let is_newest = |snapshot| self.newest.contains(snapshot);
        !self.is_partial && !found.snapshots.is_empty() && !found.snapshots.iter().any(is_newest)
    }

    /// An administrator can accept only a bad file, never a bad signature or a gap in the chain.
    fn accepts(&self, found: &SharedProblem) -> bool {
        names::may_be_absent(&found.key) && self.is_healed(found) && (self.is_accepted)(&found.key)
    }
}

impl SharedProblem {
    /// `lacking`: snapshots that lack what an accepted file held. Pointers in them lead nowhere for
    /// that reason, so these problems are accepted too.
    fn judged(mut self, known: &KnownSnapshots<'_>, lacking: &HashSet<SnapshotId>) -> Problem {
        let healed = known.is_healed(&self);
        let follows = self.kind == ProblemKind::Unresolved
            && self.snapshots.iter().all(|snapshot| lacking.contains(snapshot));
        let accepted = known.accepts(&self) || healed && follows;
        let affected = self.snapshots.len() as u64;
        self.snapshots.truncate(MAX_SNAPSHOTS);
        Problem {
            key: self.key,
            kind: self.kind,
            detail: self.detail,
            snapshots: self.snapshots,
            affected,
            healed,
            accepted,
        }
    }

    fn without(mut self, forgotten: &HashSet<SnapshotId>) -> Option<Self> {
        let before = self.snapshots.len();
        self.snapshots.retain(|snapshot| !forgotten.contains(snapshot));
        if before > 0 && self.snapshots.is_empty() {
            return None;
        }
        Some(self)
    }
}
