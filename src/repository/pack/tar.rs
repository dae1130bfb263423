//! Tar members as packs hold them: ustar, owner 0, time 0, mode 0600. A link whose target is longer
//! than ustar's 100 bytes has a GNU `K` record before it: GNU tar, bsdtar, busybox and Python read
//! it, while busybox does not read pax headers. Names need no such record: they fit with ustar's
//! prefix field.

use super::{Member, MemberName, MemberPlace, link_target};
use crate::object::Object;

/// Everything in a tar begins at a multiple of this many bytes.
pub(super) const BLOCK: usize = 512;

/// The end of a tar: two blocks of zeros.
pub(super) const END_MARK: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The longest name, and the longest target of a link, without a further record.
const MAX_NAME: usize = 100;

/// The name that GNU tar gives to a record with a long link target.
const LONG_LINK: &str = "././@LongLink";

#[derive(Clone, Copy)]
#[repr(u8)]
enum Type {
    Data = b'0',
    Link = b'1',
    LongLink = b'K',
}

/// Bytes from the end of a content of this length to the next member.
pub(super) const fn padding(len: usize) -> usize {
    len.next_multiple_of(BLOCK) - len
}

/// Appends all that comes before a member's content.
pub(super) fn append_header(member: &Member, to: &mut Vec<u8>) {
    match member.place {
        MemberPlace::Data { len, .. } => append_data_header(&member.name, len, to),
        MemberPlace::Link { target } => {
            append_link(&member.name.object, &link_target(&member.name.object, target), to);
        }
    }
}

fn append_data_header(name: &MemberName, len: u64, to: &mut Vec<u8>) {
    to.extend_from_slice(&header(Type::Data, &name.path(), len, b""));
}

fn append_link(object: &Object, target: &Object, to: &mut Vec<u8>) {
    let mut target = target.path().into_bytes();
    if target.len() > MAX_NAME {
        target.push(0);
        let len = target.len();
        to.extend_from_slice(&header(Type::LongLink, LONG_LINK, len as u64, b""));
        to.extend_from_slice(&target);
        to.resize(to.len() + padding(len), 0);
        target.truncate(MAX_NAME);
    }
    to.extend_from_slice(&header(Type::Link, &object.path(), 0, &target));
}

/// One header block. The last slash of `path` must be within the 155 bytes of the prefix field,
/// with at most 100 bytes behind it.
fn header(entry: Type, path: &str, len: u64, link: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let (prefix, name) = if path.len() < MAX_NAME {
        ("", path)
    } else {
        path.rsplit_once('/').unwrap_or(("", path))
    };
    let mut field = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    field(0, name.as_bytes());
    field(100, b"0000600\x000000000\x000000000\0");
    field(124, format!("{len:011o}\x0000000000000\0").as_bytes());
    field(148, b"        ");
    field(156, &[entry as u8]);
    field(157, link);
    // Records of GNU's own kinds have GNU's magic.
    field(
        257,
        match entry {
            Type::LongLink => b"ustar  \0",
            Type::Data | Type::Link => b"ustar\x0000",
        },
    );
    field(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}
