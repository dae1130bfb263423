//! The walk through a folder and all below it. It does not recurse: a hostile library may be so
//! deep that recursion exhausts the stack.

use rayon::prelude::*;

use super::find::{BadObject, FoundObject, find, read_checked, unreadable};
use super::{Asking, Audit, Fetched, GroupWalker, Need, ObjectDamage, Objects, Sight, WalkError};
use crate::object::{Kind, Object, ObjectId, Store};
use crate::seafile::check::{ObjectContent, ObjectFault, block_lengths_fit};
use crate::seafile::fs::FsObject;

/// How many fs objects all threads together read at a time: their content is held in memory.
const READ_AT_ONCE: usize = 64;
/// How many objects are looked up at a time.
const ASK_AT_ONCE: usize = 1024;
/// The fewest look-ups for which waking a thread pays.
const ASK_EACH: usize = 32;
/// The fewest blocks for which waking a thread pays. Most files have fewer.
const BLOCKS_EACH: usize = 64;

/// An fs object that was looked for and, if it is a file, its blocks.
struct LookedUpObject {
    asked: Object,
    found: FoundObject,
    blocks: Vec<(Object, Block)>,
}

/// What was found of a block, in whichever store it lies.
enum Block {
    /// It is stored, with its length, and what is wrong with it in the source, if anything.
    Known(Object, u64, Option<ObjectDamage>),
    /// It lies in the source, with its length, and is not stored yet.
    New(Object, u64),
    /// It cannot be read; the object names the place where it should lie.
    Nowhere(Object, ObjectDamage),
}

impl<S: Sight> GroupWalker<'_, S> {
    /// Walks a root folder. Neighbours are looked up and read in parallel; one thread then takes in
    /// the results, in order.
    pub(super) fn tree(&mut self, root: Object, asking: Asking) -> Result<(), WalkError<S::Error>> {
        let mut pending = vec![root];
        let mut open = Vec::new();
        loop {
            if !pending.is_empty() {
                let from = pending.len().saturating_sub(ASK_AT_ONCE);
                let mut asked: Vec<Object> = pending.drain(from..).rev().collect();
                asked.retain(|object| !object.id.is_empty() && self.seen.insert(*object));
                open.extend(self.open_ones(asked)?.into_iter().rev());
            } else if !open.is_empty() {
                let from = open.len().saturating_sub(READ_AT_ONCE);
                let wanted: Vec<Object> = open.drain(from..).rev().collect();
                let from = pending.len();
                for looked in self.look(&wanted, asking.need)? {
                    self.take(looked, asking, &mut pending)?;
                }
                // `pending` is a stack: the first child has to be on top.
                pending[from..].reverse();
            } else {
                return Ok(());
            }
        }
    }

    /// The objects that are not closed.
    fn open_ones(&self, asked: Vec<Object>) -> Result<Vec<Object>, WalkError<S::Error>> {
        let is_open = |object: &Object| Ok(!is_closed(self.source, self.sight, object)?);
        let open: Result<Vec<bool>, _> = if asked.len() < 2 * ASK_EACH {
            asked.iter().map(is_open).collect()
        } else {
            let ask = || asked.par_iter().with_min_len(ASK_EACH).map(is_open);
            self.threads.get()?.install(|| ask().collect())
        };
        let both = asked.into_iter().zip(open?);
        Ok(both.filter_map(|(object, open)| open.then_some(object)).collect())
    }

    /// Reads fs objects and finds their blocks. The result has the order of `wanted`.
    fn look(
        &self,
        wanted: &[Object],
        need: Need,
    ) -> Result<Vec<LookedUpObject>, WalkError<S::Error>> {
        if let [one] = wanted {
            return Ok(vec![self.look_at(*one, need)?]);
        }
        let look = |object: &Object| self.look_at(*object, need);
        let look = || wanted.par_iter().map(look).collect();
        self.threads.get()?.install(look)
    }

    fn look_at(&self, asked: Object, need: Need) -> Result<LookedUpObject, WalkError<S::Error>> {
        let found = find(self.source, self.sight, asked, need)?;
        let blocks: Vec<Object> = match found.content() {
            Some(ObjectContent::Fs(FsObject::File(file))) => {
                let ids = file.blocks.iter().filter(|id| !id.is_empty());
                ids.map(|id| Object::new(asked.store, Kind::Block, *id)).collect()
            }
            _ => Vec::new(),
        };
        let find = |block: &Object| Ok((*block, self.find_block(*block)?));
        let blocks = if blocks.len() < 2 * BLOCKS_EACH {
            blocks.iter().map(find).collect::<Result<_, _>>()?
        } else {
            let find =
                || blocks.par_iter().with_min_len(BLOCKS_EACH).map(find).collect::<Result<_, _>>();
            self.threads.get()?.install(find)?
        };
        Ok(LookedUpObject { asked, found, blocks })
    }

    fn take(
        &mut self,
        looked: LookedUpObject,
        asking: Asking,
        pending: &mut Vec<Object>,
    ) -> Result<(), WalkError<S::Error>> {
        let LookedUpObject { asked, found, blocks } = looked;
        match self.had(asked, found, asking)? {
            Some(Fetched { content: ObjectContent::Fs(FsObject::Folder(folder)), .. }) => {
                let ids = folder.entries.iter().map(|entry| entry.id);
                pending.extend(ids.map(|id| Object { id, ..asked }));
            }
            Some(Fetched { object, content: ObjectContent::Fs(FsObject::File(file)) }) => {
                let wanted = blocks.len();
                let mut there = Vec::new();
                let mut lengths = Vec::new();
                // Keep every block: those behind a missing one may be the last copy of the rest.
                for (block, found) in blocks {
                    if let Some((block, length)) = self.block(block, found, asking)? {
                        there.push(block);
                        lengths.push(length);
                    }
                }
                if lengths.len() == wanted && !block_lengths_fit(&file, &lengths, asking.encrypted)
                {
                    self.outcome.lengths_of.insert(object, there);
                    self.record(object, asking, ObjectDamage::Lengths, false);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes in what was found of a block. Returns its place and length, if it can be read.
    fn block(
        &mut self,
        asked: Object,
        found: Block,
        asking: Asking,
    ) -> Result<Option<(Object, u64)>, WalkError<S::Error>> {
        let first = self.seen.insert(asked);
        match found {
            Block::Known(object, length, trouble) => {
                // The repository need not keep a block that Seafile collected with its history.
                let collected =
                    asking.need == Need::Optional && trouble == Some(ObjectDamage::Missing);
                if first && self.audit != Audit::No && !collected {
                    self.outcome.visited += 1;
                    self.sight.visit(&object).map_err(WalkError::Sight)?;
                }
                if let Some(trouble) = trouble.filter(|_| first) {
                    self.record(object, asking, trouble, true);
                }
                Ok(Some((object, length)))
            }
            Block::New(object, length) => {
                let new = object == asked || self.seen.insert(object);
                if first && new {
                    self.outcome.visited += 1;
                    let kept = self.sight.keep_block(object, asking.need);
                    kept.map_err(WalkError::Sight)?;
                }
                Ok(Some((object, length)))
            }
            Block::Nowhere(object, trouble) => {
                if first {
                    self.record(object, asking, trouble, false);
                }
                Ok(None)
            }
        }
    }

    fn find_block(&self, block: Object) -> Result<Block, WalkError<S::Error>> {
        let mut nowhere = (block, ObjectDamage::Missing);
        for store in self.source.places(block.store) {
            let object = Object { store, ..block };
            if let Some(known) = self.sight.known(&object).map_err(WalkError::Sight)? {
                let doubted = self.doubts.blocks.contains(&object);
                let look = (self.audit != Audit::No || doubted) && !self.seen.contains(&block);
                let read = self.audit == Audit::Read || doubted;
                let trouble =
                    if look { self.look_at_block(&block, known.length, read)? } else { None };
                return Ok(Block::Known(object, known.length, trouble));
            }
            match self.source.len(&object) {
                Ok(Some(length)) => return Ok(Block::New(object, length)),
                Ok(None) => {}
                Err(error) => {
                    let trouble = unreadable(error).map_err(WalkError::Source)?;
                    nowhere = (object, trouble);
                }
            }
        }
        let (mut object, trouble) = nowhere;
        if trouble == ObjectDamage::Missing {
            object.store = self.source.home(&object);
        }
        Ok(Block::Nowhere(object, trouble))
    }

    /// What is wrong with a stored block in the source; `None` if one of its places has it whole. A
    /// block whose length differs from the stored one is read.
    fn look_at_block(
        &self,
        block: &Object,
        length: u64,
        read: bool,
    ) -> Result<Option<ObjectDamage>, WalkError<S::Error>> {
        let mut worst = ObjectDamage::Missing;
        for store in self.source.places(block.store) {
            let object = Object { store, ..*block };
            let trouble = match self.source.len(&object) {
                Ok(None) => continue,
                Ok(Some(found)) if found == length && !read => None,
                Ok(Some(_)) => self.read_block(&object, length)?,
                Err(error) => Some(unreadable(error).map_err(WalkError::Source)?),
            };
            match trouble {
                None => return Ok(None),
                Some(trouble) => worst = trouble,
            }
        }
        Ok(Some(worst))
    }

    fn read_block(
        &self,
        object: &Object,
        length: u64,
    ) -> Result<Option<ObjectDamage>, WalkError<S::Error>> {
        let read = read_checked(self.source, object).map_err(WalkError::Source)?;
        Ok(match read {
            Ok(_) => None,
            Err(BadObject {
                trouble: ObjectDamage::Bad(ObjectFault::WrongId { .. }),
                bytes: Some(bytes),
            }) if self.doubts.random_block_ids && bytes.len() as u64 == length => None,
            Err(bad) => Some(bad.trouble),
        })
    }
}

/// Whether an object is closed in one of the stores that it may lie in.
fn is_closed<S: Sight>(
    source: &dyn Objects,
    sight: &S,
    object: &Object,
) -> Result<bool, WalkError<S::Error>> {
    for store in source.places(object.store) {
        let known = sight.known(&Object { store, ..*object });
        if known.map_err(WalkError::Sight)?.is_some_and(|known| known.closed) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The objects to which an fs object points.
pub(super) fn children(store: Store, object: &FsObject) -> Vec<Object> {
    let child = |kind| move |id: &ObjectId| (!id.is_empty()).then(|| Object::new(store, kind, *id));
    match object {
        FsObject::Folder(folder) => {
            folder.entries.iter().filter_map(|entry| child(Kind::Fs)(&entry.id)).collect()
        }
        FsObject::File(file) => file.blocks.iter().filter_map(child(Kind::Block)).collect(),
    }
}
