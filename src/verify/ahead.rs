//! Commits that are newer than a library's head and that no pointer leads to.
//!
//! They exist when the databases are older than the objects. If such a commit is the newest of a
//! sync client, the client is silently set back to the head, and its user loses newer files
//! (observed on 11.0.13; docs/design.md, "Commits newer than the head").
//!
//! Commits that a live server leaves are recognised. A commit that lost a race has an older commit
//! among its ancestors, not the head. A client that uploads puts its commit first, then the files,
//! and the head moves last: until then the commit's tree is not whole.

use std::collections::HashSet;
use std::convert::Infallible;

use super::report::LibraryAhead;
use crate::database::{Head, LibraryPointers, LibraryState, Pointers};
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::seafile::commit::Commit;
use crate::seafile::folders::{ObjectEntry, ObjectFolders};
use crate::walk::{
    Ancestry, CommitNode, LibraryGroup, NothingKnown, ReachedObjects, Walk, WalkError,
};

/// How many commits of a library are tried, newest first, until one has a whole tree.
const MOST_TRIED: usize = 20;

/// A library, with its commits that no pointer led to.
#[derive(Debug)]
pub(super) struct Beside {
    library: LibraryPointers,
    commits: Ancestry,
    /// Each of them, in every store in which it lies.
    objects: Vec<Object>,
}

impl Beside {
    /// Lists the commits of a live library that a walk did not reach. `None`: there are none, or
    /// the library is not live, so no client sees it.
    pub(super) fn of(
        source: &ObjectFolders,
        library: &LibraryPointers,
        reached: &ReachedObjects,
    ) -> Option<Self> {
        if library.state != LibraryState::Live {
            return None;
        }
        let (mut commits, mut objects) = (Ancestry::default(), Vec::new());
        for store in source.places(Store::Library(library.id)) {
            // The walk, or the listing of leftovers, reports a folder that cannot be listed.
            for found in source.objects(Kind::Commit, store).flatten() {
                let ObjectEntry::Object(id) = found else {
                    continue;
                };
                let object = Object::new(store, Kind::Commit, id);
                if reached.contains(&object) {
                    continue;
                }
                // A commit that no server can load sets no client back.
                if let Some(commit) = read(source, &object, library.id) {
                    commits.insert(id, CommitNode::of(&commit));
                    objects.push(object);
                }
            }
        }
        (!commits.is_empty()).then(|| Self { library: library.clone(), commits, objects })
    }

    /// The commits that have a head among their ancestors and to which no other head leads, newest
    /// first.
    fn ahead(&self, library: &LibraryPointers) -> Vec<ObjectId> {
        let heads: HashSet<ObjectId> = library.heads.iter().map(|head| head.commit).collect();
        let reached = self.commits.reachable(heads.iter().copied(), &Ancestry::default());
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

    /// Whether any commit is newer than the head that the walk saw.
    pub(super) fn is_ahead(&self) -> bool {
        !self.ahead(&self.library).is_empty()
    }

    /// Whether a commit is newer than the head that the library has now.
    pub(super) fn is_still_ahead(&self, now: &Pointers, commit: &ObjectId) -> bool {
        let library = now.library(self.library.id);
        library.is_some_and(|library| self.ahead(library).contains(commit))
    }

    /// Describes the commits that are newer than the head that the library has now. `None`: there
    /// are none.
    pub(super) fn describe(
        &self,
        source: &ObjectFolders,
        now: &Pointers,
    ) -> Result<Option<LibraryAhead>, WalkError<Infallible>> {
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
        Ok(Some(LibraryAhead {
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
    // Libraries of Seafile 1 and 2 share a store, which has other libraries' commits too.
    let is_ours = object.store != Store::Shared || commit.library == Some(library);
    (commit.id == object.id && is_ours).then_some(commit)
}

/// Whether all files and folders of a commit's tree are present: a client would be shown them.
fn has_whole_tree(
    source: &ObjectFolders,
    library: &LibraryPointers,
    commit: ObjectId,
) -> Result<bool, WalkError<Infallible>> {
    let alone = LibraryPointers {
        heads: vec![Head { branch: "master".into(), commit }],
        // For a library in the trash the walk requires only the newest state.
        state: LibraryState::Trashed { deleted_at: None },
        ..library.clone()
    };
    let group = LibraryGroup { libraries: vec![&alone], ..LibraryGroup::default() };
    let outcome = Walk::new(source, &NothingKnown).group(&group)?;
    let is_whole = outcome.damage().next().is_none();
    Ok(is_whole)
}

/// The commit that a library's lost row in `Branch` probably named: the newest of the commits that
/// are nobody's parent. Also returns how many such commits there are.
pub(super) fn lost_head(source: &ObjectFolders, library: LibraryId) -> Option<(ObjectId, usize)> {
    let mut commits = Ancestry::default();
    for store in source.places(Store::Library(library)) {
        for found in source.objects(Kind::Commit, store).flatten() {
            if let ObjectEntry::Object(id) = found
                && let Some(commit) = read(source, &Object::new(store, Kind::Commit, id), library)
            {
                commits.insert(id, CommitNode::of(&commit));
            }
        }
    }
    let parents: HashSet<ObjectId> = commits.iter().flat_map(|(_, node)| node.parents()).collect();
    let ends = commits.iter().filter(|(id, _)| !parents.contains(id));
    let ends: Vec<(i64, ObjectId)> = ends.map(|(id, node)| (node.ctime, *id)).collect();
    let (_, newest) = ends.iter().max()?;
    Some((*newest, ends.len()))
}
