//! Commits that are newer than a library's head and that no pointer leads to. A sync client whose newest commit is one
//! of them is set back to the head, silently: its user's newer files go (observed on 11.0.13; docs/design.md,
//! "Commits newer than the head"). They are there when databases are older than objects.
//!
//! What a live server leaves is told apart. A commit that lost a race has an older commit below it, not the head.
//! A client that uploads puts its commit first and the files after it, and the head is moved last: until then the
//! commit's tree is not whole.

use std::collections::HashSet;
use std::convert::Infallible;

use super::report::Ahead;
use crate::database::{Head, LibraryPointers, LibraryState, Pointers};
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::seafile::commit::Commit;
use crate::seafile::folders::{Found, ObjectFolders};
use crate::walk::{Ancestry, CommitNode, Group, NothingKnown, Reached, Walk, WalkError};

/// How many commits of a library are tried, newest first, until one has a whole tree.
const MOST_TRIED: usize = 20;

/// A library with commits that no pointer led to.
#[derive(Debug)]
pub(super) struct Beside {
    library: LibraryPointers,
    commits: Ancestry,
    /// Each of them, in every store in which it lies.
    objects: Vec<Object>,
}

impl Beside {
    /// Lists the commits of a live library that a walk did not reach. `None`: there are none, or no client sees it.
    pub(super) fn of(
        source: &ObjectFolders,
        library: &LibraryPointers,
        reached: &Reached,
    ) -> Option<Self> {
        if library.state != LibraryState::Live {
            return None;
        }
        let (mut commits, mut objects) = (Ancestry::default(), Vec::new());
        for store in source.places(Store::Library(library.id)) {
            // A folder that cannot be listed is told by the walk, or by the listing of leftovers.
            for found in source.objects(Kind::Commit, store).flatten() {
                let Found::Object(id) = found else {
                    continue;
                };
                let object = Object::new(store, Kind::Commit, id);
                if reached.contains(&object) {
                    continue;
                }
                // What no server can load sets nobody back.
                if let Some(commit) = read(source, &object, library.id) {
                    commits.insert(id, CommitNode::of(&commit));
                    objects.push(object);
                }
            }
        }
        (!commits.is_empty()).then(|| Self {
            library: library.clone(),
            commits,
            objects,
        })
    }

    /// The commits that have a head among their ancestors, and are not among those of another.
    fn ahead(&self, library: &LibraryPointers) -> Vec<ObjectId> {
        let heads: HashSet<ObjectId> = library.heads.iter().map(|head| head.commit).collect();
        let reached = self
            .commits
            .reachable(heads.iter().copied(), &Ancestry::default());
        let mut ahead: Vec<ObjectId> = self
            .commits
            .descendants(&heads)
            .into_iter()
            .filter(|id| !reached.commits.contains(id))
            .collect();
        let time = |id: &ObjectId| self.commits.get(id).map(|node| node.ctime);
        ahead.sort_by_key(|id| (std::cmp::Reverse(time(id)), *id));
        ahead
    }

    /// Whether there is anything to look at again.
    pub(super) fn is_ahead(&self) -> bool {
        !self.ahead(&self.library).is_empty()
    }

    /// Whether a commit is newer than the head that the library has now.
    pub(super) fn is_still_ahead(&self, now: &Pointers, commit: &ObjectId) -> bool {
        let library = now.library(self.library.id);
        library.is_some_and(|library| self.ahead(library).contains(commit))
    }

    /// What is newer than the head that the library has now.
    pub(super) fn describe(
        &self,
        source: &ObjectFolders,
        now: &Pointers,
    ) -> Result<Option<Ahead>, WalkError<Infallible>> {
        let Some(library) = now.library(self.library.id) else {
            return Ok(None);
        };
        let commits = self.ahead(library);
        let (Some(newest), Some(head)) = (commits.first(), library.heads.first()) else {
            return Ok(None);
        };
        let mut is_whole = false;
        for commit in commits.iter().take(MOST_TRIED) {
            if has_whole_tree(source, library, *commit)? {
                is_whole = true;
                break;
            }
        }
        let objects = self.objects.iter();
        let objects = objects.filter(|object| commits.contains(&object.id));
        let files = objects.map(|object| (source.path(object), *object));
        let newest_time = self.commits.get(newest).map(|node| node.ctime);
        Ok(Some(Ahead {
            library: library.id,
            library_name: super::describe::name(source, library),
            head: head.commit,
            newest: *newest,
            newest_time,
            files: files.collect(),
            // Of more than were tried nobody can say that they are uploads.
            is_upload: !is_whole && commits.len() <= MOST_TRIED,
            commits,
            is_elsewhere: false,
        }))
    }
}

fn read(source: &ObjectFolders, object: &Object, library: LibraryId) -> Option<Commit> {
    let bytes = source.read(object).ok()??;
    let commit = Commit::parse(&bytes).ok()?;
    // The store that libraries of Seafile 1 and 2 shared has those of others too.
    let is_ours = object.store != Store::Shared || commit.library == Some(library);
    (commit.id == object.id && is_ours).then_some(commit)
}

/// Whether everything is there that a client would be shown of a commit.
fn has_whole_tree(
    source: &ObjectFolders,
    library: &LibraryPointers,
    commit: ObjectId,
) -> Result<bool, WalkError<Infallible>> {
    let alone = LibraryPointers {
        heads: vec![Head {
            branch: "master".into(),
            commit,
        }],
        // Of these the newest state alone is required.
        state: LibraryState::Trashed { deleted_at: None },
        ..library.clone()
    };
    let group = Group {
        libraries: vec![&alone],
        ..Group::default()
    };
    let outcome = Walk::new(source, &NothingKnown).group(&group)?;
    let is_whole = outcome.damage().next().is_none();
    Ok(is_whole)
}

/// The commit that a library's lost Branch row named, as far as its store tells: of the commits that are nobody's
/// parent the newest. Also how many such commits there are.
pub(super) fn lost_head(source: &ObjectFolders, library: LibraryId) -> Option<(ObjectId, usize)> {
    let mut commits = Ancestry::default();
    for store in source.places(Store::Library(library)) {
        for found in source.objects(Kind::Commit, store).flatten() {
            if let Found::Object(id) = found
                && let Some(commit) = read(source, &Object::new(store, Kind::Commit, id), library)
            {
                commits.insert(id, CommitNode::of(&commit));
            }
        }
    }
    let parents: HashSet<ObjectId> = commits
        .iter()
        .flat_map(|(_, node)| node.parents())
        .collect();
    let ends = commits.iter().filter(|(id, _)| !parents.contains(id));
    let ends: Vec<(i64, ObjectId)> = ends.map(|(id, node)| (node.ctime, *id)).collect();
    let (_, newest) = ends.iter().max()?;
    Some((*newest, ends.len()))
}
