//! zstd frames as every stored thing uses them: content size and checksum in each frame, and a
//! window of at most 8 MiB, so that a stock `zstd -d` decodes them (docs/format.md, "zstd frames").
//!
//! This module knows no files and no layout: packs and parts decide what goes into a frame.
//! Manifests and segments are read whole by [`decompress_bounded`]. Every reader here bounds its
//! memory before it decodes.

use std::io::{self, Cursor, Read as _};

use zstd::zstd_safe::{self, CParameter};

/// The longest window that a frame may need, in bytes.
pub const MAX_WINDOW_BYTES: u64 = 1 << WINDOW_LOG;

/// Base-2 logarithm of [`MAX_WINDOW_BYTES`].
pub(super) const WINDOW_LOG: u32 = 23;

const FRAME_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// The smallest block has 4 bytes (RLE: 3 of header, 1 of content) and gives at most 128 KiB. A
/// frame that declares more per byte is a lie.
const MAX_PLAIN_PER_BYTE: u64 = 128 * 1024 / 4;

/// What can be wrong with frames.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// zstd refused to compress: a wrong level or no memory.
    #[error("zstd cannot compress")]
    Compress(#[source] io::Error),
    /// The bytes do not decode: damaged, cut off, not zstd, or a window beyond the limit.
    #[error("zstd cannot decompress")]
    Decompress(#[source] io::Error),
    /// The bytes are not exactly one whole frame of the expected sort.
    #[error("not one whole zstd frame")]
    NotOneFrame,
    /// The frame's header does not declare the length that it must have.
    #[error("a zstd frame does not declare the expected length of {expected} bytes")]
    Length {
        /// The length that the reader was told to expect.
        expected: u64,
    },
    /// The frame needs a larger window than any frame that seawall writes.
    #[error("a zstd frame needs a window of {bytes} bytes, more than {MAX_WINDOW_BYTES}")]
    Window {
        /// The window that the frame asks for.
        bytes: u64,
    },
    /// The plain bytes are more than the reader accepts.
    #[error("more than {max} bytes when decompressed")]
    TooLong {
        /// The reader's limit.
        max: u64,
    },
}

/// Compresses frame after frame with one zstd context.
pub struct FrameWriter {
    compressor: zstd::bulk::Compressor<'static>,
}

impl std::fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameWriter").finish_non_exhaustive()
    }
}

impl FrameWriter {
    /// Prepares a context for a zstd level.
    pub fn new(level: i32) -> Result<Self, Error> {
        let mut compressor = zstd::bulk::Compressor::new(level).map_err(Error::Compress)?;
        for parameter in [
            CParameter::ContentSizeFlag(true),
            CParameter::ChecksumFlag(true),
            CParameter::WindowLog(WINDOW_LOG),
        ] {
            compressor.set_parameter(parameter).map_err(Error::Compress)?;
        }
        Ok(Self { compressor })
    }

    /// Appends one frame with all of `plain` and returns the frame's length.
    pub fn append(&mut self, plain: &[u8], to: &mut Vec<u8>) -> Result<usize, Error> {
        let start = to.len();
        to.reserve(zstd_safe::compress_bound(plain.len()));
        let mut end = Cursor::new(to);
        end.set_position(start as u64);
        self.compressor.compress_to_buffer(plain, &mut end).map_err(Error::Compress)
    }
}

/// Compresses bytes into one frame.
pub fn compress_frame(plain: &[u8], level: i32) -> Result<Vec<u8>, Error> {
    let mut frame = Vec::new();
    FrameWriter::new(level)?.append(plain, &mut frame)?;
    Ok(frame)
}

/// Decompresses exactly one frame, which must declare exactly `plain_len` bytes.
///
/// Allocates only after the header agrees, and never more than a frame of this length could hold.
pub fn decompress_frame(frame: &[u8], plain_len: u64) -> Result<Vec<u8>, Error> {
    check_header(frame, plain_len)?;
    if zstd_safe::find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err(Error::NotOneFrame);
    }
    let capacity =
        usize::try_from(plain_len).map_err(|_| Error::TooLong { max: usize::MAX as u64 })?;
    let mut plain = Vec::new();
    plain.try_reserve_exact(capacity).map_err(|source| Error::Decompress(source.into()))?;
    zstd::bulk::Decompressor::new()
        .and_then(|mut context| context.decompress_to_buffer(frame, &mut plain))
        .map_err(Error::Decompress)?;
    if plain.len() == capacity { Ok(plain) } else { Err(Error::Length { expected: plain_len }) }
}

fn check_header(frame: &[u8], plain_len: u64) -> Result<(), Error> {
    let declared = if frame.starts_with(&FRAME_MAGIC) {
        zstd_safe::get_frame_content_size(frame).map_err(|_| Error::NotOneFrame)?
    } else {
        return Err(Error::NotOneFrame);
    };
    let possible = (frame.len() as u64).saturating_mul(MAX_PLAIN_PER_BYTE);
    if declared != Some(plain_len) || plain_len > possible {
        return Err(Error::Length { expected: plain_len });
    }
    let bytes = window_bytes(frame, plain_len).ok_or(Error::NotOneFrame)?;
    if bytes > MAX_WINDOW_BYTES {
        return Err(Error::Window { bytes });
    }
    Ok(())
}

/// The window that a frame's header asks for (RFC 8878, section 3.1.1.1).
fn window_bytes(frame: &[u8], plain_len: u64) -> Option<u64> {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    if frame.get(4)? & SINGLE_SEGMENT != 0 {
        return Some(plain_len);
    }
    let descriptor = u64::from(*frame.get(5)?);
    let base = 1 << (10 + (descriptor >> 3));
    Some(base + base / 8 * (descriptor & 7))
}

/// Decompresses a whole small stored thing: one or more frames, at most `max` plain bytes.
pub fn decompress_bounded(bytes: &[u8], max: u64) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    zstd::stream::read::Decoder::with_buffer(bytes)
        .and_then(|mut decoder| {
            decoder.window_log_max(WINDOW_LOG)?;
            decoder.take(max.saturating_add(1)).read_to_end(&mut plain)
        })
        .map_err(Error::Decompress)?;
    if plain.len() as u64 > max {
        return Err(Error::TooLong { max });
    }
    Ok(plain)
}

/// Decodes the beginning of a damaged frame, at most `max` bytes. The frame's checksum does not
/// count: nothing proves these bytes.
pub fn decompress_beginning(frame: &[u8], max: u64) -> Vec<u8> {
    let mut plain = Vec::new();
    let Ok(mut decoder) = zstd::stream::read::Decoder::with_buffer(frame) else {
        return plain;
    };
    if decoder.window_log_max(WINDOW_LOG).is_err() {
        return plain;
    }
    let mut decoder = decoder.take(max);
    // If a read fails, the bytes that the same call had decoded are lost. Small steps lose few.
    let mut step = [0; 512];
    while let Ok(len @ 1..) = decoder.read(&mut step) {
        plain.extend_from_slice(&step[..len]);
    }
    plain
}

/// The kinds of skippable frames that seawall writes. A stock `zstd -d` skips both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skippable {
    /// A pack's table of contents.
    Contents,
    /// The seek table of the zstd seekable format.
    SeekTable,
}

impl Skippable {
    /// Bytes before the content: magic and length.
    pub const HEADER_LEN: usize = 8;

    const fn magic(self) -> [u8; 4] {
        match self {
            Self::Contents => 0x184D_2A50_u32.to_le_bytes(),
            Self::SeekTable => 0x184D_2A5E_u32.to_le_bytes(),
        }
    }

    /// Appends a skippable frame and returns its length.
    pub fn append(self, content: &[u8], to: &mut Vec<u8>) -> Result<usize, Error> {
        let len = u32::try_from(content.len())
            .map_err(|_| Error::TooLong { max: u64::from(u32::MAX) })?;
        to.extend_from_slice(&self.magic());
        to.extend_from_slice(&len.to_le_bytes());
        to.extend_from_slice(content);
        Ok(Self::HEADER_LEN + content.len())
    }

    /// The content of bytes that are exactly one such frame.
    pub fn parse(self, frame: &[u8]) -> Result<&[u8], Error> {
        let (magic, rest) = frame.split_first_chunk().ok_or(Error::NotOneFrame)?;
        let (len, content) = rest.split_first_chunk().ok_or(Error::NotOneFrame)?;
        if *magic == self.magic() && u32::from_le_bytes(*len) as usize == content.len() {
            Ok(content)
        } else {
            Err(Error::NotOneFrame)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    /// Writes a file for a stock tool to read.
    #[allow(clippy::disallowed_methods, reason = "a test's file need not be durable")]
    pub fn put(folder: &Path, name: &str, bytes: &[u8]) {
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    /// Runs a script with stock tools in a folder and returns what it prints.
    pub fn shell(folder: &Path, script: &str) -> Vec<u8> {
        let mut shell = std::process::Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", script]).current_dir(folder);
        let output = seawall_test_servers::wait::output(&mut shell);
        assert!(
            output.status.success(),
            "{script}: {}\n{}\n(needs zstd, tar, openssl: apt-get install zstd tar openssl)",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Bytes that do not compress, from a number.
    pub fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..len).map(|_| next()).collect()
    }

    proptest! {
        #[test]
        fn frames_round_trip(plain in prop::collection::vec(any::<u8>(), 0..5000), level in -2..12) {
            let frame = compress_frame(&plain, level).unwrap();
            prop_assert_eq!(&decompress_frame(&frame, plain.len() as u64).unwrap(), &plain);
            prop_assert_eq!(&decompress_bounded(&frame, plain.len() as u64).unwrap(), &plain);
            prop_assert!(decompress_frame(&frame, plain.len() as u64 + 1).is_err());
            prop_assert!(plain.is_empty() || decompress_bounded(&frame, plain.len() as u64 - 1).is_err());
        }

        #[test]
        fn changed_bytes_are_noticed(
            plain in prop::collection::vec(0u8..4, 1..2000), at: prop::sample::Index, flip in 1u8..,
        ) {
            let mut frame = compress_frame(&plain, 3).unwrap();
            let at = at.index(frame.len());
            frame[at] ^= flip;
            // A change in reserved or unused header bits may do no harm: the content stays.
            if let Ok(decoded) = decompress_frame(&frame, plain.len() as u64) {
                prop_assert_eq!(&decoded, &plain);
            }
            if let Ok(decoded) = decompress_bounded(&frame, 1 << 20) {
                prop_assert!(decoded == plain || decoded.is_empty());
            }
        }

        #[test]
        fn any_bytes_are_refused_or_bounded(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200), plain_len in 0u64..2000, magic: bool,
        ) {
            if magic {
                bytes.splice(0..0, FRAME_MAGIC);
            }
            if let Ok(plain) = decompress_frame(&bytes, plain_len) {
                prop_assert_eq!(plain.len() as u64, plain_len);
            }
            if let Ok(plain) = decompress_bounded(&bytes, 1000) {
                prop_assert!(plain.len() <= 1000);
            }
            let _ = Skippable::Contents.parse(&bytes);
        }

        #[test]
        fn cut_frames_are_refused(plain in prop::collection::vec(any::<u8>(), 0..500), cut: prop::sample::Index) {
            let frame = compress_frame(&plain, 3).unwrap();
            let cut = &frame[..cut.index(frame.len())];
            prop_assert!(decompress_frame(cut, plain.len() as u64).is_err());
            prop_assert!(decompress_bounded(cut, 1 << 20).is_err());
        }

        #[test]
        fn skippable_frames_round_trip(content in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut frame = Vec::new();
            let len = Skippable::Contents.append(&content, &mut frame).unwrap();
            prop_assert_eq!(len, frame.len());
            prop_assert_eq!(Skippable::Contents.parse(&frame).unwrap(), &content[..]);
            prop_assert!(Skippable::SeekTable.parse(&frame).is_err());
            prop_assert_eq!(decompress_bounded(&frame, 0).unwrap(), b"");
            frame.push(0);
            prop_assert!(Skippable::Contents.parse(&frame).is_err());
        }
    }

    #[test]
    fn a_huge_frame_keeps_to_the_window_at_every_level() {
        let folder = tempfile::tempdir().unwrap();
        let plain = vec![7; 40 << 20];
        for level in [1, 3, 22] {
            let frame = compress_frame(&plain, level).unwrap();
            assert_eq!(window_bytes(&frame, plain.len() as u64), Some(MAX_WINDOW_BYTES));
            assert!(decompress_frame(&frame, plain.len() as u64).unwrap() == plain);
            assert!(decompress_bounded(&frame, u64::MAX).unwrap() == plain);
            put(folder.path(), "frame", &frame);
            shell(folder.path(), "zstd -tq --memory=8MB < frame");
        }
    }

    #[test]
    fn a_damaged_frame_gives_its_beginning() {
        let mut plain = noise(600_000, 3);
        plain.extend(vec![7; 200_000]);
        let frame = compress_frame(&plain, 3).unwrap();
        assert!(decompress_beginning(&frame, u64::MAX) == plain);
        assert_eq!(decompress_beginning(&frame, 10), &plain[..10]);
        let mut flipped = frame.clone();
        flipped[300_000] ^= 1;
        let beginning = decompress_beginning(&flipped, plain.len() as u64);
        assert!(beginning.len() > 250_000);
        assert!(beginning[..250_000] == plain[..250_000]);
        let cut = decompress_beginning(&frame[..400_000], u64::MAX);
        assert!(cut.len() > 250_000 && plain.starts_with(&cut));
        assert_eq!(decompress_beginning(b"no frame at all", 100), b"");
        assert_eq!(decompress_beginning(b"", 100), b"");
    }

    #[test]
    fn a_larger_window_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "plain", &noise(20 << 20, 2));
        let frame = shell(folder.path(), "zstd -q -1 --long=24 --stdout plain");
        assert!(matches!(
            decompress_frame(&frame, 20 << 20),
            Err(Error::Window { bytes }) if bytes == 1 << 24
        ));
        assert!(matches!(decompress_bounded(&frame, u64::MAX), Err(Error::Decompress(_))));
    }

    #[test]
    fn bombs_take_no_memory() {
        let frame = compress_frame(&vec![0; 64 << 20], 19).unwrap();
        assert!(frame.len() < 10_000);
        assert!(matches!(
            decompress_bounded(&frame, 1 << 20),
            Err(Error::TooLong { max }) if max == 1 << 20
        ));
        // An empty frame whose header claims 2^40 bytes (8 bytes of content size, one raw block).
        let mut lie = FRAME_MAGIC.to_vec();
        lie.extend_from_slice(&[0xC0, 0x50]);
        lie.extend_from_slice(&(1_u64 << 40).to_le_bytes());
        lie.extend_from_slice(&[1, 0, 0]);
        assert!(matches!(decompress_frame(&lie, 1 << 40), Err(Error::Length { .. })));
    }

    #[test]
    fn only_one_frame_is_one_frame() {
        let mut two = compress_frame(b"a", 3).unwrap();
        let one = two.clone();
        two.extend_from_slice(&one);
        assert!(matches!(decompress_frame(&two, 1), Err(Error::NotOneFrame)));
        assert_eq!(decompress_bounded(&two, 2).unwrap(), b"aa");
        assert!(decompress_bounded(b"", 2).is_err());
        let mut skippable = Vec::new();
        Skippable::SeekTable.append(b"", &mut skippable).unwrap();
        assert!(matches!(decompress_frame(&skippable, 0), Err(Error::NotOneFrame)));
    }
}
