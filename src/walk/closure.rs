//! Which objects are closed after a walk that found something: all except those above an object
//! that nobody has.
//!
//! Computed only for groups with damage or collected history. It reads their metadata a second
//! time.

use std::collections::{HashMap, HashSet};

use super::{
    FoundObject, LibraryGroup, Need, Objects, Sight, WalkError, base_commit, content_store, find,
    roots, tree::children,
};
use crate::object::{Kind, LibraryId, Object, Store};
use crate::seafile::check::ObjectContent;
use crate::seafile::fs::FsObject;

/// The commits, fs objects and bad blocks of a group, and whether each is closed.
#[derive(Debug, Default)]
pub struct Closure {
    /// By object, as the pointers name it.
    pub closed: HashMap<Object, bool>,
}

impl Closure {
    /// Whether an object is known not to be closed.
    pub fn is_open(&self, object: &Object) -> bool {
        self.closed.get(object) == Some(&false)
    }
}

struct ClosureFrame {
    object: Object,
    /// The children that decide whether `object` is closed.
    needed: Vec<Object>,
    next: usize,
    closed: bool,
}

struct ClosurePass<'a, S> {
    source: &'a dyn Objects,
    sight: &'a S,
    holes: Holes<'a>,
    valid_since: HashMap<LibraryId, Option<i64>>,
    content: HashMap<Store, Store>,
    /// Commits in history that may be collected. They are looked at too, but do not decide whether
    /// the commits after them are closed. They come last, so that an object which something else
    /// requires is looked at as required.
    beside: Vec<Object>,
    need: Need,
    closure: Closure,
}

/// The objects at which a walk could not go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holes<'a> {
    /// Objects that nobody has.
    pub(super) bad: &'a HashSet<Object>,
    /// Objects below which the walk did not look.
    pub(super) unfollowed: &'a HashSet<Object>,
}

pub(super) fn compute<S: Sight>(
    source: &dyn Objects,
    sight: &S,
    group: &LibraryGroup<'_>,
    holes: Holes<'_>,
) -> Result<Closure, WalkError<S::Error>> {
    let mut pass = ClosurePass {
        source,
        sight,
        holes,
        valid_since: group
            .libraries
            .iter()
            .map(|library| (library.id, library.valid_since))
            .collect(),
        content: group
            .libraries
            .iter()
            .map(|library| (Store::Library(library.id), content_store(library)))
            .collect(),
        beside: Vec::new(),
        need: Need::Required,
        closure: Closure::default(),
    };
    for library in &group.libraries {
        for root in roots(library).chain(base_commit(library)) {
            pass.from(root)?;
        }
    }
    pass.need = Need::Optional;
    while let Some(commit) = pass.beside.pop() {
        pass.from(commit)?;
    }
    Ok(pass.closure)
}

impl<S: Sight> ClosurePass<'_, S> {
    fn from(&mut self, root: Object) -> Result<(), WalkError<S::Error>> {
        let mut stack = Vec::new();
        self.enter(root, &mut stack)?;
        while let Some(frame) = stack.last_mut() {
            let index = frame.next;
            frame.next += 1;
            if let Some(child) = frame.needed.get(index).copied() {
                self.enter(child, &mut stack)?;
            } else if let Some(frame) = stack.pop() {
                let closed = frame.closed
                    && frame
                        .needed
                        .iter()
                        .all(|child| self.closure.closed.get(child) != Some(&false));
                self.closure.closed.insert(frame.object, closed);
            }
        }
        Ok(())
    }

    /// Starts with an object, unless it is already decided.
    fn enter(
        &mut self,
        object: Object,
        stack: &mut Vec<ClosureFrame>,
    ) -> Result<(), WalkError<S::Error>> {
        if self.closure.closed.contains_key(&object) {
            return Ok(());
        }
        let bad = self
            .source
            .places(object.store)
            .any(|store| self.holes.bad.contains(&Object { store, ..object }));
        if object.kind == Kind::Block {
            if bad {
                self.closure.closed.insert(object, false);
            }
            return Ok(());
        }
        let mut places = self.source.places(object.store);
        if places.any(|store| self.holes.unfollowed.contains(&Object { store, ..object })) {
            // The walk did not look below it. Even if it can be read by now, what is below is
            // unproven.
            self.closure.closed.insert(object, false);
            return Ok(());
        }
        match self.sight.known(&object).map_err(WalkError::Sight)? {
            // A snapshot with a marker holds it: it was closed then and still is.
            Some(known) if known.closed => return Ok(()),
            // An earlier walk left it open, and this walk stopped there.
            Some(known) if known.walked => {
                self.closure.closed.insert(object, false);
                return Ok(());
            }
            _ => {}
        }
        // Hashes cannot form a cycle, but commit ids do not cover parents. A commit that is its own
        // ancestor counts as open.
        self.closure.closed.insert(object, false);
        stack.push(self.frame(object, bad)?);
        Ok(())
    }

    fn frame(&mut self, object: Object, bad: bool) -> Result<ClosureFrame, WalkError<S::Error>> {
        let mut frame = ClosureFrame { object, needed: Vec::new(), next: 0, closed: !bad };
        match find(self.source, self.sight, object, self.need)? {
            // It appeared after the walk, which did not look below it. (A file may be bad only for
            // its length.)
            FoundObject::Good {
                known: false,
                content: ObjectContent::Commit(_) | ObjectContent::Fs(FsObject::Folder(_)),
                ..
            } if bad => {}
            FoundObject::Good { content, .. } | FoundObject::Rescued { content, .. } => {
                match content {
                    ObjectContent::Commit(commit) => {
                        let content =
                            self.content.get(&object.store).copied().unwrap_or(object.store);
                        let parents = commit.parents().map(|id| Object { id, ..object });
                        if !commit.root.is_empty() {
                            frame.needed.push(Object::new(content, Kind::Fs, commit.root));
                        }
                        if self.parents_required(object.store, commit.ctime) {
                            frame.needed.extend(parents);
                        } else {
                            self.beside.extend(parents);
                        }
                    }
                    ObjectContent::Fs(fs) => frame.needed = children(object.store, &fs),
                    ObjectContent::Block { .. } => {}
                }
            }
            FoundObject::Nowhere { .. } => frame.closed = false,
        }
        Ok(frame)
    }

    /// The rules of a live library, also for one in the trash, whose history is optional: it may be
    /// taken out of the trash again.
    fn parents_required(&self, store: Store, ctime: i64) -> bool {
        let Store::Library(library) = store else {
            return true;
        };
        let valid_since = self.valid_since.get(&library).copied().flatten();
        valid_since.is_none_or(|since| ctime > since)
    }
}
