//! Which objects are closed after a walk that found something: all but those above what nobody has.
//!
//! Only walked for groups with damage or collected history; reads their metadata a second time.

use std::collections::{HashMap, HashSet};

use super::{
    Found, Group, Need, Objects, Sight, WalkError, base_commit, content_store, find, roots,
    tree::children,
};
use crate::object::{Kind, LibraryId, Object, Store};
use crate::seafile::check::Content;
use crate::seafile::fs::FsObject;

/// Commits and fs objects that a walk passed, and whether each is closed.
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

struct Frame {
    object: Object,
    /// Decide whether `object` is closed.
    needed: Vec<Object>,
    next: usize,
    closed: bool,
}

struct Pass<'a, S> {
    source: &'a dyn Objects,
    sight: &'a S,
    holes: Holes<'a>,
    valid_since: HashMap<LibraryId, Option<i64>>,
    content: HashMap<Store, Store>,
    /// History that may be collected: it is looked at as well, but does not decide. It comes last, so that what is
    /// needed elsewhere too is looked at as such.
    beside: Vec<Object>,
    need: Need,
    closure: Closure,
}

/// Where a walk could not go on.
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
    group: &Group<'_>,
    holes: Holes<'_>,
) -> Result<Closure, WalkError<S::Error>> {
    let mut pass = Pass {
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

impl<S: Sight> Pass<'_, S> {
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

    /// Begins with an object, unless it is decided already.
    fn enter(&mut self, object: Object, stack: &mut Vec<Frame>) -> Result<(), WalkError<S::Error>> {
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
            // Nobody looked at what is below it, whether it is there by now or can be had from the repository.
            self.closure.closed.insert(object, false);
            return Ok(());
        }
        match self.sight.known(&object).map_err(WalkError::Sight)? {
            // Held by an earlier marked snapshot: closed then and now.
            Some(known) if known.closed => return Ok(()),
            // Left open by an earlier walk, and not looked at by this one.
            Some(known) if known.walked => {
                self.closure.closed.insert(object, false);
                return Ok(());
            }
            _ => {}
        }
        // A cycle cannot be made of hashes, but commit ids do not cover parents: whoever meets an
        // ancestor of its own is open.
        self.closure.closed.insert(object, false);
        stack.push(self.frame(object, bad)?);
        Ok(())
    }

    fn frame(&mut self, object: Object, bad: bool) -> Result<Frame, WalkError<S::Error>> {
        let mut frame = Frame {
            object,
            needed: Vec::new(),
            next: 0,
            closed: !bad,
        };
        match find(self.source, self.sight, object, self.need)? {
            // It came after the walk, which has not looked at what is below it. (A file may be bad for
            // its length alone.)
            Found::Good {
                known: false,
                content: Content::Commit(_) | Content::Fs(FsObject::Folder(_)),
                ..
            } if bad => {}
            Found::Good { content, .. } | Found::Rescued { content, .. } => match content {
                Content::Commit(commit) => {
                    let content = self
                        .content
                        .get(&object.store)
                        .copied()
                        .unwrap_or(object.store);
                    let parents = commit.parents().map(|id| Object { id, ..object });
                    if !commit.root.is_empty() {
                        frame
                            .needed
                            .push(Object::new(content, Kind::Fs, commit.root));
                    }
                    if self.parents_required(object.store, commit.ctime) {
                        frame.needed.extend(parents);
                    } else {
                        self.beside.extend(parents);
                    }
                }
                Content::Fs(fs) => frame.needed = children(object.store, &fs),
                Content::Block { .. } => {}
            },
            Found::Nowhere { .. } => frame.closed = false,
        }
        Ok(frame)
    }

    /// As for a live library, also in the trash, where history is optional: it may come back.
    fn parents_required(&self, store: Store, ctime: i64) -> bool {
        let Store::Library(library) = store else {
            return true;
        };
        let valid_since = self.valid_since.get(&library).copied().flatten();
        valid_since.is_none_or(|since| ctime > since)
    }
}
