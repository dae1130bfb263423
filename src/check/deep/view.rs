//! The objects of one snapshot: those in the packs that its lists name, in the order of the lists.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::spool::{Link, PackNumber, Spool, SpooledContent, SpooledPlace};
use crate::object::{Object, ObjectId, Store};
use crate::repository::{Error, Result};
use crate::seafile::folders::CandidateStores;
use crate::walk::Objects;

/// The packs of a snapshot in the order of its lists, and what was found in them.
pub(super) struct View<'a> {
    spool: &'a Spool,
    sequence: Vec<PackNumber>,
    positions: HashMap<PackNumber, u32>,
    has_shared: bool,
    /// A failure of the spool. The walk sees it only as an unreadable object.
    failure: Mutex<Option<Error>>,
}

/// A moment in the order of unpacking: (position of the pack, position of the member).
type Moment = (u32, u32);

impl<'a> View<'a> {
    /// A view without packs.
    pub(super) fn new(spool: &'a Spool) -> Result<Self> {
        Ok(Self {
            spool,
            sequence: Vec::new(),
            positions: HashMap::new(),
            has_shared: spool.has_shared()?,
            failure: Mutex::new(None),
        })
    }

    /// Turns to another snapshot's packs. If the former packs all stay in place, returns those that
    /// are new. Otherwise returns `None`: then nothing counts any more that was proved for the
    /// former packs.
    pub(super) fn turn_to(&mut self, sequence: Vec<PackNumber>) -> Option<Vec<PackNumber>> {
        let grown = sequence.strip_prefix(&*self.sequence).map(<[PackNumber]>::to_vec);
        self.positions.clear();
        for (position, pack) in (0..).zip(&sequence) {
            // If a pack is listed twice, its first position counts.
            self.positions.entry(*pack).or_insert(position);
        }
        self.sequence = sequence;
        grown
    }

    /// All packs, in order.
    pub(super) fn packs(&self) -> &[PackNumber] {
        &self.sequence
    }

    /// Whether some pack has objects of old libraries, which all share one folder.
    pub(super) fn has_shared(&self) -> bool {
        self.has_shared
    }

    fn moment(&self, place: &SpooledPlace) -> Option<Moment> {
        let position = self.positions.get(&place.pack)?;
        Some((*position, place.ordinal))
    }

    /// The last place of an object before a moment, or of all if there is no moment.
    fn last(
        &self,
        object: &Object,
        before: Option<Moment>,
    ) -> Result<Option<(Moment, SpooledPlace)>> {
        let places = self.spool.find(object)?;
        let earlier = places.into_iter().filter_map(|place| {
            let moment = self.moment(&place)?;
            before.is_none_or(|before| moment < before).then_some((moment, place))
        });
        Ok(earlier.max_by_key(|(moment, _)| *moment))
    }

    /// Where an object's bytes are. Follows links; each leads to an earlier moment, so this ends.
    fn resolve(
        &self,
        mut object: Object,
        mut before: Option<Moment>,
    ) -> Result<Option<SpooledContent>> {
        while let Some((moment, place)) = self.last(&object, before)? {
            let SpooledContent::Link(store) = place.what else {
                return Ok(Some(place.what));
            };
            object.store = store;
            before = Some(moment);
        }
        Ok(None)
    }

    /// Whether a link of a pack leads to bytes that are unpacked before it.
    pub(super) fn leads_somewhere(&self, pack: PackNumber, link: &Link) -> Result<bool> {
        let before = self.positions.get(&pack).map(|at| (*at, link.ordinal));
        let target = Object { store: link.target, ..link.object };
        Ok(self.resolve(target, before)?.is_some())
    }

    /// The length of an object's bytes, and their number in the spool.
    fn bytes_of(&self, object: &Object) -> io::Result<Option<(u64, Option<i64>)>> {
        let found = self.keep(self.resolve(*object, None))?;
        Ok(found.and_then(|what| match what {
            SpooledContent::Bytes { len, content } => Some((len, content)),
            SpooledContent::Link(_) => None,
        }))
    }

    /// Keeps a failure for [`Self::failure`].
    fn keep<T>(&self, result: Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error);
            io::Error::other("the temporary files of the check failed")
        })
    }

    /// Fails if the spool failed during a walk. Call it after each walk.
    pub(super) fn failure(&self) -> Result<()> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }
}

impl Objects for View<'_> {
    fn places(&self, store: Store) -> CandidateStores {
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
