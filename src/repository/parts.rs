//! Parts: the bounded pieces of one long stream, a dump or a tar of ordinary files (docs/format.md,
//! "Dumps" and "Ordinary files").
//!
//! Every part consists of whole zstd frames. So `cat` of all parts through `zstd -dc` gives the
//! stream, and one part alone gives its piece. This module cannot notice a missing last part: the
//! sums name all parts, and the stream has an end of its own. The caller names, encrypts and stores
//! parts one by one.

use std::fmt;
use std::io::{self, Read, Write};

use sha2::Digest as _;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::frames::{FrameWriter, WINDOW_LOG};
use crate::object::Sha256;

/// A part ends as soon as it has this many stored bytes, so parts are a little longer.
pub const PART_BYTES: usize = 32 << 20;

/// The most plain bytes in one frame of a part.
pub const FRAME_BYTES: usize = 4 << 20;

/// The most parts of one stream. Their names have five digits, so that they sort.
pub const MAX_PARTS: u32 = 100_000;

/// How a stream is cut.
#[derive(Debug, Clone, Copy)]
pub struct PartOptions {
    /// The zstd level.
    pub level: i32,
    /// The stored bytes that close a part.
    pub part_bytes: usize,
    /// The plain bytes of a frame.
    pub frame_bytes: usize,
}

impl PartOptions {
    /// The usual sizes.
    pub const fn new(level: i32) -> Self {
        Self { level, part_bytes: PART_BYTES, frame_bytes: FRAME_BYTES }
    }
}

/// What went through a [`PartWriter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartTotals {
    /// The stream's length.
    pub plain_len: u64,
    /// The stream's SHA-256.
    pub plain_sha256: Sha256,
    /// How many parts there are: at least one.
    pub parts: u32,
}

/// Cuts a stream into parts and hands each to a function, with its index from 0.
///
/// Memory: about one part and one frame. `flush` does nothing, since every cut costs space. After
/// an error nothing more is accepted: a part may be lost.
pub struct PartWriter<F> {
    options: PartOptions,
    frames: FrameWriter,
    plain: Vec<u8>,
    part: Vec<u8>,
    totals: PartTotals,
    sha256: sha2::Sha256,
    put: F,
    failed: bool,
}

impl<F> fmt::Debug for PartWriter<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartWriter")
            .field("options", &self.options)
            .field("parts", &self.totals.parts)
            .finish_non_exhaustive()
    }
}

impl<F: FnMut(u32, Vec<u8>) -> io::Result<()>> PartWriter<F> {
    /// Begins a stream whose parts go to `put`.
    pub fn new(options: PartOptions, put: F) -> io::Result<Self> {
        Ok(Self {
            frames: FrameWriter::new(options.level).map_err(io::Error::other)?,
            options: PartOptions { frame_bytes: options.frame_bytes.max(1), ..options },
            plain: Vec::new(),
            part: Vec::new(),
            totals: PartTotals { plain_len: 0, plain_sha256: Sha256::new([0; 32]), parts: 0 },
            sha256: sha2::Sha256::new(),
            put,
            failed: false,
        })
    }

    /// Puts the last part. An empty stream gives one part with an empty frame.
    pub fn finish(mut self) -> io::Result<PartTotals> {
        self.check()?;
        if !self.plain.is_empty() || (self.part.is_empty() && self.totals.parts == 0) {
            self.end_frame()?;
        }
        if !self.part.is_empty() {
            self.end_part()?;
        }
        self.totals.plain_sha256 = Sha256::new(self.sha256.finalize().into());
        Ok(self.totals)
    }

    fn check(&self) -> io::Result<()> {
        if self.failed {
            Err(io::Error::other("an earlier part of this stream failed"))
        } else {
            Ok(())
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.failed = true;
        self.frames.append(&self.plain, &mut self.part).map_err(io::Error::other)?;
        self.totals.plain_len += self.plain.len() as u64;
        self.sha256.update(&self.plain);
        self.plain.clear();
        self.failed = false;
        if self.part.len() >= self.options.part_bytes {
            self.end_part()?;
        }
        Ok(())
    }

    fn end_part(&mut self) -> io::Result<()> {
        self.failed = true;
        let index = self.totals.parts;
        if index >= MAX_PARTS {
            return Err(io::Error::other("a stream has too many parts to name"));
        }
        (self.put)(index, std::mem::take(&mut self.part))?;
        self.totals.parts += 1;
        self.failed = false;
        Ok(())
    }
}

impl<F: FnMut(u32, Vec<u8>) -> io::Result<()>> Write for PartWriter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let room = self.options.frame_bytes - self.plain.len();
        let taken = &bytes[..room.min(bytes.len())];
        self.plain.extend_from_slice(taken);
        if self.plain.len() == self.options.frame_bytes {
            self.end_frame()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check()
    }
}

/// Reads the stream back from the bytes of its parts, in order.
///
/// Memory: one part and a window of at most 8 MiB. A part that ends inside a frame is an error, and
/// so is a stream without parts. After an error every further read fails.
pub struct PartReader<I> {
    parts: I,
    part: Vec<u8>,
    position: usize,
    context: DCtx<'static>,
    state: PartState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartState {
    /// No part was read yet.
    Start,
    /// Inside a frame, or before the first one of a part.
    InFrame,
    /// A frame just ended.
    BetweenFrames,
    /// All parts were read.
    End,
    Failed,
}

impl<I> fmt::Debug for PartReader<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartReader").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<I: Iterator<Item = io::Result<Vec<u8>>>> PartReader<I> {
    /// Reads parts as an iterator gives them.
    pub fn new(parts: I) -> io::Result<Self> {
        let mut context =
            DCtx::try_create().ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(zstd_error)?;
        Ok(Self { parts, part: Vec::new(), position: 0, context, state: PartState::Start })
    }

    fn next_part(&mut self) -> io::Result<()> {
        // Frees the old part's memory before the next part is fetched.
        self.part = Vec::new();
        self.position = 0;
        match self.parts.next() {
            Some(part) => {
                self.part = part?;
                self.state = PartState::InFrame;
            }
            None if self.state == PartState::Start => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a stream has no parts"));
            }
            None => self.state = PartState::End,
        }
        Ok(())
    }

    fn decode(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let at_end = self.position == self.part.len();
        let mut output = OutBuffer::around(to);
        let mut input = InBuffer::around(&self.part);
        input.set_pos(self.position);
        let wanted = self.context.decompress_stream(&mut output, &mut input).map_err(zstd_error)?;
        self.position = input.pos();
        let len = output.pos();
        self.state = if wanted == 0 { PartState::BetweenFrames } else { PartState::InFrame };
        if at_end && len == 0 && self.state == PartState::InFrame {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a part ends inside a zstd frame",
            ));
        }
        Ok(len)
    }

    fn read_some(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let at_end = self.position == self.part.len();
            match self.state {
                PartState::End => return Ok(0),
                PartState::Failed => {
                    return Err(io::Error::other("an earlier read of this stream failed"));
                }
                PartState::Start => self.next_part()?,
                PartState::BetweenFrames if at_end => self.next_part()?,
                PartState::BetweenFrames | PartState::InFrame => {
                    let len = self.decode(to)?;
                    if len > 0 {
                        return Ok(len);
                    }
                }
            }
        }
    }
}

fn zstd_error(code: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, get_error_name(code))
}

impl<I: Iterator<Item = io::Result<Vec<u8>>>> Read for PartReader<I> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let result = self.read_some(to);
        if result.is_err() {
            self.state = PartState::Failed;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::frames::tests::{noise, put, shell};
    use proptest::prelude::*;

    const SMALL: PartOptions = PartOptions { level: 3, part_bytes: 500, frame_bytes: 100 };

    fn cut(options: PartOptions, plain: &[u8]) -> (Vec<Vec<u8>>, PartTotals) {
        let mut parts = Vec::new();
        let mut writer = PartWriter::new(options, |index, part| {
            assert_eq!(index as usize, parts.len());
            parts.push(part);
            Ok(())
        })
        .unwrap();
        writer.write_all(plain).unwrap();
        let totals = writer.finish().unwrap();
        assert_eq!(totals.parts as usize, parts.len());
        (parts, totals)
    }

    fn join(parts: &[Vec<u8>]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut reader = PartReader::new(parts.iter().cloned().map(Ok))?;
        let result = reader.read_to_end(&mut plain);
        assert_eq!(reader.read(&mut [0]).is_err(), result.is_err());
        result.map(|_| plain)
    }

    proptest! {
        #[test]
        fn streams_round_trip(
            plain in prop::collection::vec(any::<u8>(), 0..3000), part_bytes in 0usize..600, frame_bytes in 0usize..300,
        ) {
            let (parts, totals) = cut(PartOptions { level: 1, part_bytes, frame_bytes }, &plain);
            prop_assert_eq!(totals.plain_len, plain.len() as u64);
            prop_assert_eq!(totals.plain_sha256, Sha256::of(&plain));
            prop_assert!(!parts.is_empty());
            prop_assert_eq!(join(&parts).unwrap(), plain);
        }

        #[test]
        fn pieces_of_any_length_are_read(plain in prop::collection::vec(any::<u8>(), 0..1500), len in 1usize..200) {
            let (parts, _) = cut(SMALL, &plain);
            let mut reader = PartReader::new(parts.into_iter().map(Ok)).unwrap();
            let mut read = Vec::new();
            let mut piece = vec![0; len];
            loop {
                let len = reader.read(&mut piece).unwrap();
                if len == 0 {
                    break;
                }
                read.extend_from_slice(&piece[..len]);
            }
            prop_assert_eq!(read, plain);
        }

        #[test]
        fn cut_parts_are_refused(index: prop::sample::Index, at: prop::sample::Index, seed: u64) {
            let plain = noise(2000, seed);
            let (mut parts, _) = cut(SMALL, &plain);
            let index = index.index(parts.len());
            let part = &mut parts[index];
            part.truncate(at.index(part.len()));
            match join(&parts) {
                Err(error) => prop_assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
                // The cut fell between two frames: sums notice that.
                Ok(joined) => prop_assert!(!parts[index].is_empty() && joined.len() < plain.len()),
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, flip: u8) {
            let _ = join(&[bytes]);
            let (mut parts, _) = cut(SMALL, &noise(700, 3));
            let at = at.index(parts[0].len());
            parts[0][at] ^= flip;
            let _ = join(&parts);
        }
    }

    #[test]
    fn an_empty_stream_is_one_empty_frame() {
        let (parts, totals) = cut(SMALL, b"");
        assert_eq!(parts.len(), 1);
        assert_eq!(totals.plain_sha256, Sha256::of(b""));
        assert_eq!(join(&parts).unwrap(), b"");
        assert!(join(&[]).is_err());
        assert!(join(&[Vec::new()]).is_err());
        assert!(join(&[parts[0].clone(), Vec::new()]).is_err());
    }

    #[test]
    fn a_stream_that_ends_with_a_part_has_no_empty_one() {
        let one = PartOptions { part_bytes: 1, ..SMALL };
        assert_eq!(cut(one, &[7; 300]).0.len(), 3);
        assert_eq!(cut(one, &[7; 301]).0.len(), 4);
    }

    #[test]
    fn usual_parts_are_as_long_as_said() {
        let plain = noise(70 << 20, 4);
        let (parts, totals) = cut(PartOptions::new(3), &plain);
        assert_eq!(totals.parts, 3);
        for part in &parts[..2] {
            assert!((PART_BYTES..PART_BYTES + FRAME_BYTES + 4096).contains(&part.len()));
        }
        assert!(join(&parts).unwrap() == plain);
    }

    #[test]
    fn parts_without_a_name_are_refused() {
        let options = PartOptions { level: 1, part_bytes: 1, frame_bytes: 1 };
        let mut writer = PartWriter::new(options, |_, _| Ok(())).unwrap();
        writer.write_all(&vec![0; MAX_PARTS as usize]).unwrap();
        assert!(writer.write_all(&[0]).is_err());
    }

    #[test]
    fn after_an_error_nothing_is_accepted() {
        let mut calls = 0;
        let mut writer = PartWriter::new(SMALL, |_, _| {
            calls += 1;
            Err(io::ErrorKind::Interrupted.into())
        })
        .unwrap();
        assert!(writer.write_all(&noise(2000, 5)).is_err());
        assert!(writer.write_all(b"more").is_err());
        assert!(writer.flush().is_err());
        assert!(writer.finish().is_err());
        assert_eq!(calls, 1);

        let parts = [Err(io::Error::other("gone")), Ok(cut(SMALL, b"a").0.remove(0))];
        let mut reader = PartReader::new(parts.into_iter()).unwrap();
        assert!(reader.read(&mut [0; 9]).is_err());
        assert!(reader.read(&mut [0; 9]).is_err());
    }

    #[test]
    fn a_larger_window_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "plain", &noise(20 << 20, 6));
        let part = shell(folder.path(), "zstd -q -1 --long=24 --stdout plain");
        assert!(join(&[part]).is_err());
    }

    #[test]
    fn stock_tools_join_a_thousand_and_one_parts() {
        let options = PartOptions { level: 1, part_bytes: 1, frame_bytes: 50 };
        let plain = noise(50 * 1001, 7);
        let (parts, totals) = cut(options, &plain);
        assert_eq!(totals.parts, 1001);
        let folder = tempfile::tempdir().unwrap();
        for (index, part) in parts.iter().enumerate() {
            put(folder.path(), &format!("db.sql.zst.{index:05}"), part);
        }
        let joined = shell(folder.path(), "cat db.sql.zst.* | zstd -dc");
        assert!(joined == plain);
        shell(folder.path(), "cat db.sql.zst.* | zstd -tq");
    }
}
