//! A pack that is being built: what is stored elsewhere already becomes a link.

use crossbeam_channel::Sender;

use super::{FRAME_BYTES, PACK_BYTES, Result, Shared, lock};
use crate::object::{Kind, Object, Store};
use crate::repository::names::PackKind;
use crate::repository::pack::{self, MemberName, Pack, PackBuilder, PackOptions};

/// A pack that is being built.
pub(super) struct Open<'a> {
    shared: &'a Shared,
    kind: PackKind,
    packs: &'a Sender<(PackKind, Pack)>,
    builder: PackBuilder,
    /// Objects in the source behind the builder's members.
    bytes: u64,
}

impl<'a> Open<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        kind: PackKind,
        packs: &'a Sender<(PackKind, Pack)>,
    ) -> Result<Self> {
        Ok(Self { shared, kind, packs, builder: Self::builder(shared)?, bytes: 0 })
    }

    fn builder(shared: &Shared) -> Result<PackBuilder> {
        Ok(PackBuilder::new(PackOptions { level: shared.level, frame_bytes: FRAME_BYTES })?)
    }

    pub(super) fn add(&mut self, name: MemberName, bytes: &[u8]) -> Result<()> {
        let MemberName { object, damaged } = name;
        let target = if damaged { None } else { self.link_target(&object)? };
        let added = match target {
            Some(store) => self.builder.add_link(object, store),
            None => self.builder.add(name, bytes),
        };
        match added {
            // Two libraries of an odd database may lead to one object: it is there, verified.
            Err(pack::Error::Duplicate(_)) => return Ok(()),
            added => added?,
        }
        self.bytes += bytes.len() as u64;
        if self.builder.stored_len() >= PACK_BYTES || self.builder.is_full() {
            self.finish_pack()?;
        }
        Ok(())
    }

    /// Another store that holds the same content, in this pack or in one that is stored. Both were
    /// verified against the id; of a random block id that cannot be said.
    fn link_target(&self, object: &Object) -> Result<Option<Store>> {
        if object.kind == Kind::Commit {
            // Equal ids do not mean equal bytes: an id covers neither parents nor library.
            return Ok(None);
        }
        if self.shared.random_block_ids && object.kind == Kind::Block {
            // Nothing proves that two blocks of one random id are equal.
            return Ok(None);
        }
        match self.builder.holds(object.kind, object.id) {
            Some(store) if store != object.store => Ok(Some(store)),
            _ => Ok(self.shared.catalog.same_content(object)?),
        }
    }

    fn finish_pack(&mut self) -> Result<()> {
        let next = Self::builder(self.shared)?;
        let builder = std::mem::replace(&mut self.builder, next);
        let mut totals = lock(&self.shared.totals);
        totals.objects += builder.members() as u64;
        totals.object_bytes += std::mem::take(&mut self.bytes);
        drop(totals);
        // The other end is gone only after a failure, which is recorded.
        let _ = self.packs.send((self.kind, builder.finish()?));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        if self.builder.is_empty() { Ok(()) } else { self.finish_pack() }
    }
}
