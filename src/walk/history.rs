//! The walk through a library's commits.
//!
//! Each head is required, and on each path from a head every commit newer than valid-since and the
//! first one that is not (review-seafile.md F11: the rule is about paths). Older commits on that
//! path are optional. The commit alone decides whether its parents are required, so the walk looks
//! at each commit once for each need.

use super::{
    Asking, Fetched, GroupWalker, LibraryGroup, Need, Sight, WalkError, base_commit, content_store,
    only_head_required, roots,
};
use crate::database::LibraryPointers;
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::seafile::check::ObjectContent;
use crate::seafile::commit::Commit;

/// How far this walk has looked at a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitProgress {
    /// The walk follows its history.
    Followed,
    /// Only its tree was walked, because it is a base commit.
    Tree,
}

/// A commit to walk next.
#[derive(Debug, Clone, Copy)]
struct CommitStep {
    commit: Object,
    need: Need,
}

/// What the walk still needs of a commit after its tree.
struct Lineage {
    /// Seconds since 1970.
    ctime: i64,
    parents: Vec<ObjectId>,
}

impl Lineage {
    fn of(commit: &Commit) -> Self {
        Self { ctime: commit.ctime, parents: commit.parents().collect() }
    }
}

/// The rules by which the commits of one library are walked.
#[derive(Debug, Clone, Copy)]
pub(super) struct HistoryRules {
    library: LibraryId,
    content: Store,
    valid_since: Option<i64>,
    only_head: bool,
    encrypted: bool,
}

impl HistoryRules {
    /// The store that has the trees of its commits.
    pub(super) fn content(&self) -> Store {
        self.content
    }

    pub(super) fn of(library: &LibraryPointers) -> Self {
        Self {
            library: library.id,
            content: content_store(library),
            valid_since: library.valid_since,
            only_head: only_head_required(library),
            encrypted: library.encrypted.unwrap_or_default(),
        }
    }

    /// Whether the parents of a required commit are required.
    pub(super) fn parents_of_required(&self, ctime: i64) -> Need {
        let collected = self.valid_since.is_some_and(|since| ctime <= since);
        if collected || self.only_head { Need::Optional } else { Need::Required }
    }
}

impl<S: Sight> GroupWalker<'_, S> {
    /// Walks everything that is required in the whole group, then what is optional.
    pub(super) fn libraries(
        &mut self,
        group: &LibraryGroup<'_>,
    ) -> Result<(), WalkError<S::Error>> {
        let mut optional = Vec::new();
        for library in &group.libraries {
            let rules = HistoryRules::of(library);
            let mut steps: Vec<CommitStep> =
                roots(library).map(|commit| CommitStep { commit, need: Need::Required }).collect();
            while let Some(step) = steps.pop() {
                for next in self.commit(&rules, step)? {
                    match next.need {
                        Need::Required => steps.push(next),
                        Need::Optional => optional.push((rules, next)),
                    }
                }
            }
        }
        for library in &group.libraries {
            optional.extend(self.base(group, library)?);
        }
        while let Some((rules, step)) = optional.pop() {
            for next in self.commit(&rules, step)? {
                optional.push((rules, next));
            }
        }
        self.judge_doubtful()
    }

    /// Walks the tree of a virtual library's base commit, which is required. Returns the commit as
    /// the start of its optional history; `None` if it was walked already or is closed.
    fn base(
        &mut self,
        group: &LibraryGroup<'_>,
        library: &LibraryPointers,
    ) -> Result<Option<(HistoryRules, CommitStep)>, WalkError<S::Error>> {
        let Some(commit) = base_commit(library) else {
            return Ok(None);
        };
        let origin = group.libraries.iter().find(|other| Store::Library(other.id) == commit.store);
        let rules = HistoryRules {
            library: library.id,
            ..origin.map_or_else(|| HistoryRules::of(library), |origin| HistoryRules::of(origin))
        };
        let followed = Some((rules, CommitStep { commit, need: Need::Optional }));
        if self.commits.contains_key(&commit) || self.is_closed(&commit)? {
            return Ok(None);
        }
        self.commits.insert(commit, CommitProgress::Tree);
        self.tree_of(&rules, CommitStep { commit, need: Need::Required })?;
        Ok(followed)
    }

    fn is_closed(&self, commit: &Object) -> Result<bool, WalkError<S::Error>> {
        let known = self.sight.known(commit).map_err(WalkError::Sight)?;
        Ok(known.is_some_and(|known| known.closed))
    }

    /// Walks a commit and its tree, unless that was done. Returns its parents, each with its need.
    fn commit(
        &mut self,
        rules: &HistoryRules,
        step: CommitStep,
    ) -> Result<Vec<CommitStep>, WalkError<S::Error>> {
        let seen = self.commits.get(&step.commit).copied();
        if seen == Some(CommitProgress::Followed) {
            return Ok(Vec::new());
        }
        let known = self.sight.known(&step.commit).map_err(WalkError::Sight)?;
        let ends_here =
            known.is_some_and(|known| known.closed || step.need == Need::Optional && known.walked);
        if ends_here && seen.is_none() {
            self.outcome.passed_open |= known.is_some_and(|known| !known.closed);
            return Ok(Vec::new());
        }
        self.commits.insert(step.commit, CommitProgress::Followed);
        let lineage = match seen {
            // Its tree was walked as a base commit's. Only its history is left.
            Some(CommitProgress::Tree) => self.parents_again(step.commit)?,
            _ => self.tree_of(rules, step)?,
        };
        let Some(Lineage { ctime, parents }) = lineage else {
            return Ok(Vec::new());
        };
        let need = match step.need {
            Need::Required => rules.parents_of_required(ctime),
            Need::Optional => Need::Optional,
        };
        let parent =
            |id| CommitStep { commit: Object::new(step.commit.store, Kind::Commit, id), need };
        Ok(parents.into_iter().map(parent).collect())
    }

    /// Fetches a commit and walks its tree; returns its time and parents.
    fn tree_of(
        &mut self,
        rules: &HistoryRules,
        step: CommitStep,
    ) -> Result<Option<Lineage>, WalkError<S::Error>> {
        let asking = Asking { library: rules.library, need: step.need, encrypted: rules.encrypted };
        let Some(Fetched { object, content: ObjectContent::Commit(commit) }) =
            self.fetch(step.commit, asking)?
        else {
            return Ok(None);
        };
        let asking = Asking { encrypted: rules.encrypted || commit.encrypted, ..asking };
        if self.commit_warnings(rules.library, &object, &commit) {
            self.doubt(rules, object, asking, &commit)?;
        }
        self.tree(Object::new(rules.content, Kind::Fs, commit.root), asking)?;
        Ok(Some(Lineage::of(&commit)))
    }

    fn parents_again(&self, commit: Object) -> Result<Option<Lineage>, WalkError<S::Error>> {
        Ok(match super::find(self.source, self.sight, commit, Need::Required)? {
            super::FoundObject::Good { content: ObjectContent::Commit(commit), .. }
            | super::FoundObject::Rescued { content: ObjectContent::Commit(commit), .. } => {
                Some(Lineage::of(&commit))
            }
            _ => None,
        })
    }
}
