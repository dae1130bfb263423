//! The walk through a folder and all below it. No recursion: a hostile library may be as deep as it
//! likes.

use super::{Asking, Fetched, Sight, Trouble, WalkError, Walker, unreadable};
use crate::object::{Kind, Object, ObjectId, Store};
use crate::seafile::check::{Content, block_lengths_fit};
use crate::seafile::fs::{FileObject, FsObject};

impl<S: Sight> Walker<'_, S> {
    /// Walks a root folder.
    pub(super) fn tree(&mut self, root: Object, asking: Asking) -> Result<(), WalkError<S::Error>> {
        let mut pending = vec![root];
        while let Some(object) = pending.pop() {
            if self.pass(&object)? {
                continue;
            }
            match self.fetch(object, asking)? {
                Some(Fetched {
                    content: Content::Fs(FsObject::Folder(folder)),
                    ..
                }) => {
                    pending.extend(folder.entries.iter().map(|entry| Object {
                        id: entry.id,
                        ..object
                    }));
                }
                Some(Fetched {
                    object: file,
                    content: Content::Fs(FsObject::File(content)),
                }) => {
                    self.file(object.store, file, &content, asking)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether there is nothing to do for an object: it stands for emptiness, was seen, or is closed.
    fn pass(&mut self, object: &Object) -> Result<bool, WalkError<S::Error>> {
        if object.id.is_empty() || !self.seen.insert(*object) {
            return Ok(true);
        }
        for store in self.source.places(object.store) {
            let object = Object { store, ..*object };
            if self
                .sight
                .known(&object)
                .map_err(WalkError::Sight)?
                .is_some_and(|known| known.closed)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn file(
        &mut self,
        store: Store,
        object: Object,
        file: &FileObject,
        asking: Asking,
    ) -> Result<(), WalkError<S::Error>> {
        let mut lengths = Vec::with_capacity(file.blocks.len());
        for id in &file.blocks {
            if !id.is_empty() {
                lengths.push(self.block(Object::new(store, Kind::Block, *id), asking)?);
            }
        }
        let lengths: Option<Vec<u64>> = lengths.into_iter().collect();
        if let Some(lengths) = lengths
            && !block_lengths_fit(file, &lengths, asking.encrypted)
        {
            self.record(object, asking, Trouble::Lengths, false);
        }
        Ok(())
    }

    /// Finds a block; returns its length, if it can be had.
    fn block(&mut self, block: Object, asking: Asking) -> Result<Option<u64>, WalkError<S::Error>> {
        let first = self.seen.insert(block);
        let mut trouble = Trouble::Missing;
        for store in self.source.places(block.store) {
            let object = Object { store, ..block };
            if let Some(known) = self.sight.known(&object).map_err(WalkError::Sight)? {
                return Ok(Some(known.length));
            }
            match self.source.len(&object) {
                Ok(Some(length)) => {
                    if first {
                        self.outcome.visited += 1;
                        self.sight.keep_block(object).map_err(WalkError::Sight)?;
                    }
                    return Ok(Some(length));
                }
                Ok(None) => {}
                Err(error) => trouble = unreadable(error).map_err(WalkError::Source)?,
            }
        }
        if first {
            self.record(block, asking, trouble, false);
        }
        Ok(None)
    }
}

/// What a fs object points to.
pub(super) fn children(store: Store, object: &FsObject) -> Vec<Object> {
    let child = |kind| move |id: &ObjectId| (!id.is_empty()).then(|| Object::new(store, kind, *id));
    match object {
        FsObject::Folder(folder) => folder
            .entries
            .iter()
            .filter_map(|entry| child(Kind::Fs)(&entry.id))
            .collect(),
        FsObject::File(file) => file.blocks.iter().filter_map(child(Kind::Block)).collect(),
    }
}
