//! Which commits of a store a head leads to: the whole history behind it, by both parents.
//!
//! A sync client whose newest commit is on the server but not in this history is set back to the
//! head: its user loses newer files (docs/design.md, "Commits that no pointer leads to"). A walk
//! cannot tell this: it ends at closed objects and at history that may have been collected.

use std::collections::{HashMap, HashSet};

use crate::object::ObjectId;
use crate::seafile::commit::Commit;

/// The parents and time of one commit: 48 bytes, since all commits of a store are held at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitNode {
    /// Its parents; [`ObjectId::EMPTY`] for none.
    parents: [ObjectId; 2],
    /// When it was made (seconds since 1970), by the clock of the computer that made it.
    pub ctime: i64,
}

impl CommitNode {
    /// Of a commit that was read.
    pub fn of(commit: &Commit) -> Self {
        let mut parents = [ObjectId::EMPTY; 2];
        for (slot, parent) in parents.iter_mut().zip(commit.parents()) {
            *slot = parent;
        }
        Self { parents, ctime: commit.ctime }
    }

    /// The commits before it.
    pub fn parents(&self) -> impl Iterator<Item = ObjectId> + use<> {
        self.parents.into_iter().filter(|id| !id.is_empty())
    }
}

/// The commits of one store.
#[derive(Debug, Clone, Default)]
pub struct Ancestry(HashMap<ObjectId, CommitNode>);

/// The commits to which some heads lead.
#[derive(Debug, Clone, Default)]
pub struct Reachable {
    /// Commits that are present, including the heads that were asked about.
    pub commits: HashSet<ObjectId>,
    /// Commits that are needed and missing: (its id, the time of the first commit found that names
    /// it as a parent). Commits behind a gap look like commits to which nothing leads.
    pub gaps: Vec<(ObjectId, Option<i64>)>,
}

impl Ancestry {
    /// Takes a commit in.
    pub fn insert(&mut self, id: ObjectId, node: CommitNode) {
        self.0.insert(id, node);
    }

    /// A commit, if it is there.
    pub fn get(&self, id: &ObjectId) -> Option<&CommitNode> {
        self.0.get(id)
    }

    /// Every commit that is there.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectId, &CommitNode)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The commits to which heads lead. `elsewhere` has the commits of the store that libraries of
    /// Seafile 1 and 2 shared: the search passes through them, and they are part of the result.
    pub fn reachable(
        &self,
        heads: impl IntoIterator<Item = ObjectId>,
        elsewhere: &Self,
    ) -> Reachable {
        let mut reachable = Reachable::default();
        let mut seen = HashSet::new();
        let mut pending: Vec<(ObjectId, Option<i64>)> =
            heads.into_iter().map(|head| (head, None)).collect();
        while let Some((id, child)) = pending.pop() {
            if id.is_empty() || !seen.insert(id) {
                continue;
            }
            match self.get(&id).or_else(|| elsewhere.get(&id)) {
                Some(node) => {
                    reachable.commits.insert(id);
                    let time = Some(node.ctime);
                    pending.extend(node.parents().map(|parent| (parent, time)));
                }
                None => reachable.gaps.push((id, child)),
            }
        }
        reachable
    }

    /// The commits outside of the set `of` that have a member of `of` among their ancestors: a
    /// client whose newest commit is one of the returned is set back.
    #[allow(clippy::implicit_hasher, reason = "the set is made by this crate")]
    pub fn descendants(&self, of: &HashSet<ObjectId>) -> HashSet<ObjectId> {
        let mut children: HashMap<ObjectId, Vec<ObjectId>> = HashMap::new();
        let mut pending = Vec::new();
        for (id, node) in self.iter().filter(|(id, _)| !of.contains(*id)) {
            for parent in node.parents() {
                if of.contains(&parent) {
                    pending.push(*id);
                } else {
                    children.entry(parent).or_default().push(*id);
                }
            }
        }
        let mut found = HashSet::new();
        while let Some(id) = pending.pop() {
            if found.insert(id) {
                pending.extend(children.get(&id).into_iter().flatten());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ObjectId {
        ObjectId::new([number; 20])
    }

    /// Commits as (number, parents); the time is ten times the number.
    fn ancestry(commits: &[(u8, &[u8])]) -> Ancestry {
        let mut ancestry = Ancestry::default();
        for (number, parents) in commits {
            let mut node =
                CommitNode { parents: [ObjectId::EMPTY; 2], ctime: i64::from(*number) * 10 };
            for (slot, parent) in node.parents.iter_mut().zip(parents.iter()) {
                *slot = id(*parent);
            }
            ancestry.insert(id(*number), node);
        }
        ancestry
    }

    fn set(numbers: &[u8]) -> HashSet<ObjectId> {
        numbers.iter().copied().map(id).collect()
    }

    #[test]
    fn both_parents_are_followed_and_what_is_newer_is_not() {
        let commits = ancestry(&[(1, &[]), (2, &[1]), (3, &[1]), (4, &[2, 3]), (5, &[4])]);
        let reachable = commits.reachable([id(4)], &Ancestry::default());
        assert_eq!(reachable.commits, set(&[1, 2, 3, 4]));
        assert_eq!(reachable.gaps, []);
        let reachable = commits.reachable([id(2)], &Ancestry::default());
        assert_eq!(reachable.commits, set(&[1, 2]));
        assert_eq!(commits.descendants(&reachable.commits), set(&[3, 4, 5]));
    }

    #[test]
    fn a_gap_is_told_with_the_time_of_what_needs_it() {
        let commits = ancestry(&[(1, &[]), (3, &[2]), (4, &[3])]);
        let reachable = commits.reachable([id(4), id(9)], &Ancestry::default());
        assert_eq!(reachable.commits, set(&[3, 4]));
        let gaps: HashSet<_> = reachable.gaps.into_iter().collect();
        assert_eq!(gaps, [(id(2), Some(30)), (id(9), None)].into());
        assert_eq!(commits.descendants(&set(&[3, 4])), set(&[]));
    }

    #[test]
    fn history_goes_on_in_the_shared_store() {
        let (own, shared) = (ancestry(&[(3, &[2])]), ancestry(&[(1, &[]), (2, &[1])]));
        let reachable = own.reachable([id(3)], &shared);
        assert_eq!(reachable.commits, set(&[1, 2, 3]));
        assert!(reachable.gaps.is_empty());
    }

    #[test]
    fn circles_end() {
        let commits = ancestry(&[(1, &[2]), (2, &[1]), (3, &[4]), (4, &[3])]);
        let reachable = commits.reachable([id(1)], &Ancestry::default());
        assert_eq!(reachable.commits, set(&[1, 2]));
        assert!(commits.descendants(&reachable.commits).is_empty());
    }
}
