//! A pack that is being built. If another store holds the same content already, the object becomes
//! a link to it.

use crossbeam_channel::Sender;

use super::{FRAME_BYTES, PACK_BYTES, PipelineShared, Result, lock};
use crate::object::{Kind, Object, Store};
use crate::repository::names::PackKind;
use crate::repository::pack::{self, MemberName, Pack, PackBuilder, PackOptions};

/// A pack that is being built.
pub(super) struct OpenPack<'a> {
    shared: &'a PipelineShared,
    kind: PackKind,
    packs: &'a Sender<(PackKind, Pack)>,
    builder: PackBuilder,
    /// Bytes in the source of the builder's members.
    bytes: u64,
}

impl<'a> OpenPack<'a> {
    pub(super) fn new(
        shared: &'a PipelineShared,
        kind: PackKind,
        packs: &'a Sender<(PackKind, Pack)>,
    ) -> Result<Self> {
        Ok(Self { shared, kind, packs, builder: Self::builder(shared)?, bytes: 0 })
    }

    fn builder(shared: &PipelineShared) -> Result<PackBuilder> {
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
            // In an odd database two libraries may lead to one object: it is in the pack already,
            // verified.
            Err(pack::Error::Duplicate(_)) => return Ok(()),
            added => added?,
        }
        self.bytes += bytes.len() as u64;
        if self.builder.stored_len() >= PACK_BYTES || self.builder.is_full() {
            self.finish_pack()?;
        }
        Ok(())
    }

    /// Another store that holds the same content, in this pack or in a stored one. Both objects
    /// were verified against the id. A random block id proves nothing, so such a block has no link
    /// target.
    fn link_target(&self, object: &Object) -> Result<Option<Store>> {
        if object.kind == Kind::Commit {
            // Commits with equal ids may have different bytes: an id covers neither parents nor
            // library.
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
        // The receiver is gone only after a failure, and that is recorded.
        let _ = self.packs.send((self.kind, builder.finish()?));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        if self.builder.is_empty() { Ok(()) } else { self.finish_pack() }
    }
}
