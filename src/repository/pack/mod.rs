//! Packs: one stored file with many objects (docs/format.md, "Pack").
//!
//! A pack is, in this order:
//!
//! 1. zstd frames of whole tar members, about 1 MiB each, or one longer member;
//! 2. one frame with the end mark of a tar: 1024 zero bytes;
//! 3. a skippable frame (magic `0x184D2A50`): 16 random bytes, then one zstd frame with the table
//!    of contents in JSON;
//! 4. a skippable frame (magic `0x184D2A5E`): the seek table of the zstd seekable format.
//!
//! So `zstd -dc PACK | tar x` puts every object where Seafile expects it. The random bytes make
//! sure that no two packs have the same bytes, and so the same name.
//!
//! This module turns bytes into bytes. The callers encrypt, name and store packs, and decide
//! whether an object's bytes are good. [`PackBuilder`] writes; [`Contents`] says where everything
//! lies, both in a pack's own table and in the index; [`read_frame`] and [`member_bytes`] read.

mod builder;
mod contents;
mod read;
mod seek_table;
mod tar;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;

use crate::object::{Kind, Object, Sha256, Store};
use crate::repository::frames;

pub use builder::{PackBuilder, PackOptions};
pub use read::{HeaderCheck, check_end_mark, member_bytes, read_contents, read_frame};

/// The longest content of a member.
pub const MAX_MEMBER_BYTES: u64 = 1 << 30;

/// The most plain bytes in one frame: the longest member and what may lie around it.
pub const MAX_FRAME_BYTES: u64 = MAX_MEMBER_BYTES + (16 << 20);

/// The longest JSON of a [`Contents`], and the longest line of a segment.
pub const MAX_CONTENTS_BYTES: usize = 16 << 20;

/// The most members of one pack. Their JSON always fits in [`MAX_CONTENTS_BYTES`].
pub const MAX_MEMBERS: usize = 1 << 16;

/// The random bytes of a pack.
pub type Nonce = [u8; 16];

/// What can be wrong with packs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object is longer than [`MAX_MEMBER_BYTES`].
    #[error("{name} has {len} bytes: a pack takes at most {MAX_MEMBER_BYTES}")]
    TooLong {
        /// Which object.
        name: MemberName,
        /// Its length.
        len: u64,
    },
    /// The pack has [`MAX_MEMBERS`] members: finish it and begin another.
    #[error("a pack takes at most {MAX_MEMBERS} members")]
    Full,
    /// The pack already has a member of this name.
    #[error("{0} is in the pack already")]
    Duplicate(MemberName),
    /// A link to a commit, whose bytes differ between stores, or to the object itself.
    #[error("{object} cannot be a link into store {target}")]
    Link {
        /// What was to become a link.
        object: Object,
        /// Where it was to lead.
        target: Store,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for a pack")]
    Random(#[source] getrandom::Error),
    /// The pack's bytes, or a table of contents, are not as they must be.
    #[error("malformed pack: {0}")]
    Malformed(&'static str),
    /// The table of contents is no JSON of the expected shape.
    #[error("the contents of a pack cannot be read")]
    Json(#[from] serde_json::Error),
    /// A frame could not be written or read.
    #[error("a frame of a pack")]
    Frame(#[from] frames::Error),
}

/// The result of this module's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// The name of a member: an object, and whether its bytes are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberName {
    /// The object.
    pub object: Object,
    /// Whether the bytes failed the object's check. Such a member is kept, but never under the
    /// object's path.
    pub damaged: bool,
}

impl MemberName {
    /// Names a verified object.
    pub const fn good(object: Object) -> Self {
        Self { object, damaged: false }
    }

    /// Names bad bytes that were found in place of an object.
    pub const fn damaged(object: Object) -> Self {
        Self { object, damaged: true }
    }

    /// The member's name in the tar: the object's path, or
    /// `seawall-damaged/<store>/<commit|fs|block>/<id>`.
    pub fn path(&self) -> String {
        let Object { store, kind, id } = self.object;
        if self.damaged {
            format!("seawall-damaged/{store}/{kind}/{id}")
        } else {
            self.object.path()
        }
    }

    /// Whether the contents record a SHA-256. A commit's id does not cover all its bytes, and
    /// damaged bytes do not fit their id.
    const fn needs_sha256(&self) -> bool {
        self.damaged || matches!(self.object.kind, Kind::Commit)
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.damaged {
            f.write_str("damaged ")?;
        }
        self.object.fmt(f)
    }
}

/// A finished pack before encryption.
#[derive(Clone, PartialEq, Eq)]
pub struct Pack {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// Where everything lies in it.
    pub contents: Contents,
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pack")
            .field("bytes", &self.bytes.len())
            .field("members", &self.contents.members.len())
            .finish_non_exhaustive()
    }
}

/// Where everything lies in one pack: the pack's own table of contents, and, with the pack's name
/// and size, one line of a segment.
///
/// In JSON: `stores` (names), `frames` (`[offset, len, plain_len]`) and `members`, in the order of
/// the tar. A member is `[store, kind, id, frame, offset, len]`, with the SHA-256 behind it for
/// commits and damaged members, or `[store, kind, id, "link", store]`. Stores and frames are
/// numbers: their place in the lists, from 0. Kinds are `commit`, `fs`, `block`, `damaged commit`,
/// `damaged fs` and `damaged block`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The frames with members, in order.
    pub frames: Vec<Frame>,
    /// The members, in order.
    pub members: Vec<Member>,
}

/// Where one zstd frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins in the pack, before encryption.
    pub offset: u64,
    /// Stored bytes.
    pub len: u64,
    /// Bytes when decompressed.
    pub plain_len: u64,
}

/// One member of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The object that the bytes belong to.
    pub name: MemberName,
    /// Where they are.
    pub place: MemberPlace,
}

/// Where a member's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberPlace {
    /// In this pack.
    Data {
        /// The frame's place in [`Contents::frames`].
        frame: u32,
        /// Where the content begins in the decompressed frame.
        offset: u64,
        /// The content's length in bytes.
        len: u64,
        /// SHA-256 of the content, only for commits and damaged members.
        sha256: Option<Sha256>,
    },
    /// The bytes are those of the object of the same kind and id in another store, which comes
    /// earlier in this pack or in an earlier pack.
    Link {
        /// The other store.
        target: Store,
    },
}

/// The object that a link leads to.
const fn link_target(object: &Object, target: Store) -> Object {
    Object::new(target, object.kind, object.id)
}
