//! Reading a pack: its contents from the whole file, a frame from its bytes, a member from a frame.

use super::seek_table::{self, FrameLengths};
use super::{
    Contents, Error, Frame, MAX_CONTENTS_BYTES, MAX_FRAME_BYTES, Member, MemberPlace, Nonce,
    Result, tar,
};
use crate::repository::frames::{self, Skippable};

/// Decompresses a frame from exactly its stored bytes.
///
/// Allocates `frame.plain_len` bytes at most, and only if the frame itself declares that length.
pub fn read_frame(frame_bytes: &[u8], frame: &Frame) -> Result<Vec<u8>> {
    if frame_bytes.len() as u64 != frame.len || frame.plain_len > MAX_FRAME_BYTES {
        return Err(Error::Malformed("a frame of another length"));
    }
    Ok(frames::decompress_frame(frame_bytes, frame.plain_len)?)
}

/// A member's content, out of its decompressed frame. A link is an error: it has no content of its
/// own.
pub fn member_bytes<'plain>(plain: &'plain [u8], member: &Member) -> Result<&'plain [u8]> {
    let MemberPlace::Data { offset, len, .. } = member.place else {
        return Err(Error::Malformed("a link has no bytes of its own"));
    };
    let range = || {
        let start = usize::try_from(offset).ok()?;
        plain.get(start..)?.get(..usize::try_from(len).ok()?)
    };
    range().ok_or(Error::Malformed("a member outside of its frame"))
}

/// Reads the table of contents of a whole pack and compares it with the seek table.
///
/// Does not look into the frames: [`read_frame`] and [`HeaderCheck`] do that.
pub fn read_contents(pack: &[u8]) -> Result<(Contents, Nonce)> {
    let (before, entries) = seek_table::split(pack)?;
    let [listed @ .., end_mark, table] = entries.as_slice() else {
        return Err(Error::Malformed("too few frames"));
    };
    let table_at = before.len() - table.len as usize;
    let content = Skippable::Contents.parse(&before[table_at..])?;
    let Some((nonce, json)) = content.split_first_chunk() else {
        return Err(Error::Malformed("no random bytes"));
    };
    let json = frames::decompress_bounded(json, MAX_CONTENTS_BYTES as u64)?;
    let contents = Contents::parse(&json)?;
    if table.plain_len != 0
        || u64::from(end_mark.plain_len) != tar::END_MARK.len() as u64
        || !same_frames(&contents.frames, listed)
    {
        return Err(Error::Malformed("seek table and contents differ"));
    }
    Ok((contents, *nonce))
}

/// Checks that the frame after the members is the end mark of a tar. The pack's contents were read
/// before.
pub fn check_end_mark(pack: &[u8], contents: &Contents) -> Result<()> {
    let (_, entries) = seek_table::split(pack)?;
    let start = contents.frames.last().map_or(0, |frame| frame.offset + frame.len);
    let frame = entries.get(contents.frames.len()).and_then(|entry| {
        let start = usize::try_from(start).ok()?;
        pack.get(start..)?.get(..entry.len as usize)
    });
    let frame = frame.ok_or(Error::Malformed("no end of the tar"))?;
    if frames::decompress_frame(frame, tar::END_MARK.len() as u64)? == tar::END_MARK {
        Ok(())
    } else {
        Err(Error::Malformed("an end of the tar that is none"))
    }
}

/// Whether the frames are those of the seek table and follow each other from the pack's first byte,
/// without a gap.
fn same_frames(frames: &[Frame], entries: &[FrameLengths]) -> bool {
    let mut end = 0;
    frames.len() == entries.len()
        && frames.iter().zip(entries).all(|(frame, entry)| {
            let here = frame.offset == end;
            end = frame.offset + frame.len;
            here && frame.len == u64::from(entry.len)
                && frame.plain_len == u64::from(entry.plain_len)
        })
}

/// Checks that a pack's frames are, to the last byte, a tar of the members that the contents list.
/// Then stock tools extract exactly what seawall reads.
#[derive(Debug)]
pub struct HeaderCheck<'contents> {
    members: std::slice::Iter<'contents, Member>,
    frames: u32,
}

impl<'contents> HeaderCheck<'contents> {
    /// Begins with the first frame.
    pub fn new(contents: &'contents Contents) -> Self {
        Self { members: contents.members.iter(), frames: 0 }
    }

    /// Checks the next frame, decompressed.
    pub fn check_frame(&mut self, plain: &[u8]) -> Result<()> {
        let mut header = Vec::new();
        let mut at = 0;
        while at < plain.len() {
            let member =
                self.members.next().ok_or(Error::Malformed("a tar member that is not listed"))?;
            header.clear();
            tar::append_header(member, &mut header);
            if !plain[at..].starts_with(&header) {
                return Err(Error::Malformed("a tar header that does not fit"));
            }
            at += header.len();
            at += self.check_content(member, plain, at)?;
        }
        self.frames += 1;
        Ok(())
    }

    /// Returns the length of the content that begins here, with its padding.
    fn check_content(&self, member: &Member, plain: &[u8], at: usize) -> Result<usize> {
        let MemberPlace::Data { frame, offset, .. } = member.place else {
            return Ok(0);
        };
        if (frame, offset) != (self.frames, at as u64) {
            return Err(Error::Malformed("a tar member at another place"));
        }
        let len = member_bytes(plain, member)?.len();
        let padding = plain[at + len..].get(..tar::padding(len));
        match padding {
            Some(padding) if padding.iter().all(|&byte| byte == 0) => Ok(len + padding.len()),
            _ => Err(Error::Malformed("a tar member with wrong padding")),
        }
    }

    /// After the last frame, checks that no listed member is missing.
    pub fn finish(mut self) -> Result<()> {
        match self.members.next() {
            None => Ok(()),
            Some(_) => Err(Error::Malformed("a listed member is not in the tar")),
        }
    }
}
