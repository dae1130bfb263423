//! The objects of one snapshot: what lies in the packs that its lists name, in their order.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::spool::{Link, PackNumber, Place, Spool, What};
use crate::object::{Object, ObjectId, Store};
use crate::repository::{Error, Result};
use crate::seafile::folders::Places;
use crate::walk::Objects;

/// The packs of a snapshot in the order of its lists, and what was found in them.
pub(super) struct View<'a> {
    spool: &'a Spool,
    sequence: Vec<PackNumber>,
    positions: HashMap<PackNumber, u32>,
    has_shared: bool,
    /// A failure of the spool, which the walk cannot tell from a missing object.
    failure: Mutex<Option<Error>>,
}

/// A moment in the order in which things are unpacked: a pack's position, a member's.
type Moment = (u32, u32);

impl<'a> View<'a> {
    /// Begins without packs.
    pub(super) fn new(spool: &'a Spool) -> Result<Self> {
        Ok(Self {
            spool,
            sequence: Vec::new(),
            positions: HashMap::new(),
            has_shared: spool.has_shared()?,
            failure: Mutex::new(None),
        })
    }

    /// Turns to another snapshot's packs. Returns those that are new, if all others stayed as and
    /// where they were; otherwise `None`, and nothing that was found out before counts any more.
    pub(super) fn turn_to(&mut self, sequence: Vec<PackNumber>) -> Option<Vec<PackNumber>> {
        let grown = sequence
            .strip_prefix(&*self.sequence)
            .map(<[PackNumber]>::to_vec);
        self.positions.clear();
        for (position, pack) in (0..).zip(&sequence) {
            // Of a pack that stands there twice the first place counts.
            self.positions.entry(*pack).or_insert(position);
        }
        self.sequence = sequence;
        grown
    }

    /// All packs.
    pub(super) fn packs(&self) -> &[PackNumber] {
        &self.sequence
    }

    /// Whether the packs hold the commits, fs objects and blocks of old libraries in one folder.
    pub(super) fn has_shared(&self) -> bool {
        self.has_shared
    }

    fn moment(&self, place: &Place) -> Option<Moment> {
        let position = self.positions.get(&place.pack)?;
        Some((*position, place.ordinal))
    }

    /// The last place of an object before a moment.
    fn last(&self, object: &Object, before: Option<Moment>) -> Result<Option<(Moment, Place)>> {
        let places = self.spool.find(object)?;
        let earlier = places.into_iter().filter_map(|place| {
            let moment = self.moment(&place)?;
            before
                .is_none_or(|before| moment < before)
                .then_some((moment, place))
        });
        Ok(earlier.max_by_key(|(moment, _)| *moment))
    }

    /// Where an object's bytes are, links followed; each leads to an earlier moment, so this ends.
    fn resolve(&self, mut object: Object, mut before: Option<Moment>) -> Result<Option<What>> {
        while let Some((moment, place)) = self.last(&object, before)? {
            let What::Link(store) = place.what else {
                return Ok(Some(place.what));
            };
            object.store = store;
            before = Some(moment);
        }
        Ok(None)
    }

    /// Whether a link of a pack leads to an earlier member.
    pub(super) fn leads_somewhere(&self, pack: PackNumber, link: &Link) -> Result<bool> {
        let before = self.positions.get(&pack).map(|at| (*at, link.ordinal));
        let target = Object {
            store: link.target,
            ..link.object
        };
        Ok(self.resolve(target, before)?.is_some())
    }

    /// Length and number of an object's bytes.
    fn bytes_of(&self, object: &Object) -> io::Result<Option<(u64, Option<i64>)>> {
        let found = self.keep(self.resolve(*object, None))?;
        Ok(found.and_then(|what| match what {
            What::Bytes { len, content } => Some((len, content)),
            What::Link(_) => None,
        }))
    }

    /// Remembers a failure for [`Self::failure`].
    fn keep<T>(&self, result: Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error);
            io::Error::other("the temporary files of the check failed")
        })
    }

    /// Why something could not be read, if it was not for the repository. To be asked after a walk.
    pub(super) fn failure(&self) -> Result<()> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }
}

impl Objects for View<'_> {
    fn places(&self, store: Store) -> Places {
        let shared = self.has_shared && store != Store::Shared;
        std::iter::once(store).chain(shared.then_some(Store::Shared))
    }

    fn read(&self, object: &Object) -> io::Result<Option<Vec<u8>>> {
        match self.bytes_of(object)? {
            Some((_, Some(content))) => self.keep(self.spool.content(content)).map(Some),
            _ => Ok(None),
        }
    }

    fn len(&self, object: &Object) -> io::Result<Option<u64>> {
        Ok(self.bytes_of(object)?.map(|(len, _)| len))
    }

    fn fs_ids(&self, store: Store) -> io::Result<Box<dyn Iterator<Item = ObjectId> + '_>> {
        Ok(Box::new(self.keep(self.spool.fs_ids(store))?.into_iter()))
    }
}
