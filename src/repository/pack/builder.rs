//! Builds a pack in memory, member by member.

use std::collections::{HashMap, HashSet};

use super::seek_table::{self, FrameLengths};
use super::{
    Contents, Error, Frame, MAX_MEMBER_BYTES, MAX_MEMBERS, Member, MemberName, MemberPlace, Nonce,
    Pack, Result, tar,
};
use crate::object::{Kind, Object, ObjectId, Sha256, Store};
use crate::repository::frames::{FrameWriter, Skippable};

/// How packs are written.
#[derive(Debug, Clone, Copy)]
pub struct PackOptions {
    /// The zstd level.
    pub level: i32,
    /// The plain bytes of a frame with several members, at most 16 MiB.
    pub frame_bytes: usize,
}

impl PackOptions {
    /// Frames of 1 MiB.
    pub const fn new(level: i32) -> Self {
        Self { level, frame_bytes: 1 << 20 }
    }
}

/// A pack under construction. The caller decides by [`Self::stored_len`] when it is long enough,
/// and must begin another one when [`Self::is_full`].
///
/// Memory: the pack so far and one frame. The pack stays usable after [`Error::TooLong`],
/// [`Error::Duplicate`], [`Error::Link`] and [`Error::Full`], but after no other error.
#[derive(Debug)]
pub struct PackBuilder {
    frame_bytes: usize,
    frames: FrameWriter,
    bytes: Vec<u8>,
    plain: Vec<u8>,
    contents: Contents,
    names: HashSet<MemberName>,
    good: HashMap<(Kind, ObjectId), Store>,
}

impl PackBuilder {
    /// Begins a pack.
    pub fn new(options: PackOptions) -> Result<Self> {
        Ok(Self {
            frame_bytes: options.frame_bytes.min(16 << 20),
            frames: FrameWriter::new(options.level)?,
            bytes: Vec::new(),
            plain: Vec::new(),
            contents: Contents::default(),
            names: HashSet::new(),
            good: HashMap::new(),
        })
    }

    /// Adds an object's bytes. The caller has verified that they are the object's.
    pub fn add(&mut self, name: MemberName, bytes: &[u8]) -> Result<()> {
        let len = bytes.len() as u64;
        if len > MAX_MEMBER_BYTES {
            return Err(Error::TooLong { name, len });
        }
        self.take_name(name)?;
        let padding = tar::padding(bytes.len());
        self.make_room(tar::BLOCK + bytes.len() + padding)?;
        let mut member = Member {
            name,
            place: MemberPlace::Data {
                frame: u32::try_from(self.contents.frames.len())
                    .map_err(|_| Error::Malformed("too many frames"))?,
                offset: (self.plain.len() + tar::BLOCK) as u64,
                len,
                sha256: None,
            },
        };
        tar::append_header(&member, &mut self.plain);
        self.plain.extend_from_slice(bytes);
        self.plain.resize(self.plain.len() + padding, 0);
        if let MemberPlace::Data { sha256, .. } = &mut member.place {
            *sha256 = name.needs_sha256().then(|| Sha256::of(bytes));
        }
        self.contents.members.push(member);
        if !name.damaged {
            let Object { store, kind, id } = name.object;
            self.good.entry((kind, id)).or_insert(store);
        }
        self.end_full_frame()
    }

    /// Adds a block or fs object as a link to another store's bytes, which lie in this pack or in
    /// one that comes earlier in the lists. The caller has verified both.
    pub fn add_link(&mut self, object: Object, target: Store) -> Result<()> {
        if object.kind == Kind::Commit || object.store == target {
            return Err(Error::Link { object, target });
        }
        let name = MemberName::good(object);
        self.take_name(name)?;
        self.make_room(4 * tar::BLOCK)?;
        let member = Member { name, place: MemberPlace::Link { target } };
        tar::append_header(&member, &mut self.plain);
        self.contents.members.push(member);
        self.end_full_frame()
    }

    /// The compressed bytes so far, plus the plain bytes that wait for compression.
    pub fn stored_len(&self) -> u64 {
        (self.bytes.len() + self.plain.len()) as u64
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.contents.members.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.contents.members.is_empty()
    }

    /// Whether no further member fits.
    pub fn is_full(&self) -> bool {
        self.members() >= MAX_MEMBERS
    }

    /// A store whose good bytes of this object are in this pack, so that other stores can link to
    /// them.
    pub fn holds(&self, kind: Kind, id: ObjectId) -> Option<Store> {
        self.good.get(&(kind, id)).copied()
    }

    /// Ends the pack with the end mark, the table of contents with new random bytes, and the seek
    /// table.
    pub fn finish(self) -> Result<Pack> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(Error::Random)?;
        self.finish_with(nonce)
    }

    fn finish_with(mut self, nonce: Nonce) -> Result<Pack> {
        self.end_frame()?;
        let mut entries = self
            .contents
            .frames
            .iter()
            .map(|frame| FrameLengths::new(frame.len, frame.plain_len))
            .collect::<Result<Vec<_>>>()?;
        let len = self.frames.append(&tar::END_MARK, &mut self.bytes)?;
        entries.push(FrameLengths::new(len as u64, tar::END_MARK.len() as u64)?);
        let mut table = nonce.to_vec();
        self.frames.append(&self.contents.to_json()?, &mut table)?;
        let len = Skippable::Contents.append(&table, &mut self.bytes)?;
        entries.push(FrameLengths::new(len as u64, 0)?);
        seek_table::append(&entries, &mut self.bytes)?;
        Ok(Pack { bytes: self.bytes, contents: self.contents })
    }

    fn take_name(&mut self, name: MemberName) -> Result<()> {
        if self.is_full() {
            Err(Error::Full)
        } else if self.names.insert(name) {
            Ok(())
        } else {
            Err(Error::Duplicate(name))
        }
    }

    /// Ends the frame unless `len` more bytes fit.
    fn make_room(&mut self, len: usize) -> Result<()> {
        if self.plain.len() + len > self.frame_bytes {
            self.end_frame()?;
        }
        self.plain.reserve(len);
        Ok(())
    }

    fn end_full_frame(&mut self) -> Result<()> {
        if self.plain.len() >= self.frame_bytes {
            self.end_frame()?;
        }
        Ok(())
    }

    fn end_frame(&mut self) -> Result<()> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let offset = self.bytes.len() as u64;
        let len = self.frames.append(&self.plain, &mut self.bytes)?;
        self.contents.frames.push(Frame {
            offset,
            len: len as u64,
            plain_len: self.plain.len() as u64,
        });
        self.plain.clear();
        // Otherwise a long member would keep its memory for the rest of the pack.
        self.plain.shrink_to(self.frame_bytes);
        Ok(())
    }
}
