//! Which bad objects a library needs, in its newest state or in its history. For reports.
//!
//! A walk looks at each object once, for the library that comes first. This search finds the other
//! libraries that need the object, and where in their history it shows.

use std::collections::{HashMap, HashSet, VecDeque};

use super::history::HistoryRules;
use super::paths::{content, find_bad, open_children};
use super::{Closure, Need, Sight, WalkError, base_commit, content_store, roots};
use crate::database::LibraryPointers;
use crate::object::{Kind, Object, ObjectId};
use crate::seafile::check::ObjectContent;
use crate::seafile::commit::Commit;
use crate::seafile::folders::ObjectFolders;

/// Where a library needs a bad object: the first place found on the way from its heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedPlace {
    /// Which part of the library needs it.
    pub by: NeededBy,
    /// The commit whose tree contains the object, or the bad commit itself.
    pub commit: ObjectId,
    /// When that commit was made (seconds since 1970), if it can be read.
    pub time: Option<i64>,
    /// One path in that commit's tree; `None` for a commit.
    pub path: Option<String>,
}

/// What part of a library needs an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeededBy {
    /// What users see.
    NewestState,
    /// Versions and deleted files.
    History,
    /// A virtual library's base commit, from which Seafile merges with the origin.
    Base,
}

/// Finds the bad objects that a library requires, by the rules of docs/design.md, "History".
///
/// It goes only into what the closure knows to be open, and looks at each object once.
#[allow(clippy::implicit_hasher, reason = "the set is made by this crate")]
pub fn needs<S: Sight>(
    source: &ObjectFolders,
    sight: &S,
    library: &LibraryPointers,
    bad: &HashSet<Object>,
    closure: &Closure,
) -> Result<HashMap<Object, NeedPlace>, WalkError<S::Error>> {
    let mut search = NeedSearch {
        source,
        sight,
        bad,
        closure,
        library,
        seen: HashSet::new(),
        needs: HashMap::new(),
    };
    search.history()?;
    if let Some(base) = base_commit(library) {
        search.commit(base, NeededBy::Base)?;
    }
    Ok(search.needs)
}

struct NeedSearch<'a, S> {
    source: &'a ObjectFolders,
    sight: &'a S,
    bad: &'a HashSet<Object>,
    closure: &'a Closure,
    library: &'a LibraryPointers,
    seen: HashSet<Object>,
    needs: HashMap<Object, NeedPlace>,
}

impl<S: Sight> NeedSearch<'_, S> {
    /// Looks at heads first, then at required ancestors: so the newest commit that needs an object
    /// is named.
    fn history(&mut self) -> Result<(), WalkError<S::Error>> {
        let rules = HistoryRules::of(self.library);
        let heads = roots(self.library).map(|head| (head, NeededBy::NewestState));
        let mut pending: VecDeque<(Object, NeededBy)> = heads.collect();
        while let Some((object, by)) = pending.pop_front() {
            if !self.seen.insert(object) {
                continue;
            }
            let Some(commit) = self.commit(object, by)? else {
                continue;
            };
            if rules.parents_of_required(commit.ctime) == Need::Required {
                let parents = commit.parents().map(|id| Object { id, ..object });
                pending.extend(parents.map(|parent| (parent, NeededBy::History)));
            }
        }
        Ok(())
    }

    /// Records what a commit needs. Returns the commit if its parents may lead to more.
    fn commit(
        &mut self,
        object: Object,
        by: NeededBy,
    ) -> Result<Option<Box<Commit>>, WalkError<S::Error>> {
        let mut needed = NeedPlace { by, commit: object.id, time: None, path: None };
        if let Some(bad) = find_bad(self.source, self.bad, &object) {
            self.needs.entry(bad).or_insert(needed);
            return Ok(None);
        }
        if !self.closure.is_open(&object) {
            return Ok(None);
        }
        let Some(ObjectContent::Commit(commit)) = content(self.source, self.sight, object)? else {
            return Ok(None);
        };
        needed.time = Some(commit.ctime);
        let root = Object::new(content_store(self.library), Kind::Fs, commit.root);
        self.tree(root, &needed)?;
        Ok(Some(commit))
    }

    fn tree(&mut self, root: Object, needed: &NeedPlace) -> Result<(), WalkError<S::Error>> {
        let mut pending = vec![(root, "/".to_owned())];
        while let Some((object, path)) = pending.pop() {
            if !self.closure.is_open(&object) || !self.seen.insert(object) {
                continue;
            }
            if let Some(bad) = find_bad(self.source, self.bad, &object) {
                self.needs
                    .entry(bad)
                    .or_insert_with(|| NeedPlace { path: Some(path.clone()), ..needed.clone() });
            }
            if object.kind == Kind::Fs {
                let children = open_children(self.source, self.sight, self.closure, object)?;
                let below = children.into_iter();
                pending.extend(below.map(|(child, name)| (child, format!("{path}{name}"))));
            }
        }
        Ok(())
    }
}
