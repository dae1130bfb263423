//! Segments: the index of some packs, one line of JSON for each pack (docs/format.md, "Segment").

use serde::{Deserialize, Serialize};

use super::names::{PackKind, SnapshotId};
use super::pack::Contents;
use super::{Error, frames};
use crate::object::Sha256;

/// The longest line that is read.
const MAX_LINE_BYTES: usize = 16 << 20;
/// The most bytes that one segment may hold when decompressed.
pub const MAX_BYTES: usize = 1 << 30;
/// A segment with this many stored bytes is full and never merged again.
pub const FULL_BYTES: u64 = 32 << 20;
/// Plain bytes that go into one frame.
const FRAME_BYTES: usize = 4 << 20;

/// The first line. It makes every segment's bytes, and so its name, unique.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Format, 1.
    pub segment: u32,
    /// The run that wrote it.
    pub snapshot: SnapshotId,
    /// Its number among the segments of that run.
    pub number: u32,
    /// 0 in a segment that a run wrote. Eight segments of one tier are merged into one of the next.
    pub tier: u32,
}

/// One pack: where each of its objects lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The pack's name.
    pub pack: Sha256,
    /// What it holds.
    pub kind: PackKind,
    /// Bytes stored.
    pub size: u64,
    /// Frames and members.
    #[serde(flatten)]
    pub contents: Contents,
}

/// Builds the bytes of a segment.
pub struct SegmentWriter {
    plain: Vec<u8>,
    stored: Vec<u8>,
    plain_bytes: usize,
    packs: Vec<(PackKind, Sha256)>,
}

impl SegmentWriter {
    /// Begins a segment.
    pub fn new(header: &Header) -> Result<Self, Error> {
        let mut writer =
            Self { plain: Vec::new(), stored: Vec::new(), plain_bytes: 0, packs: Vec::new() };
        writer.push(header)?;
        Ok(writer)
    }

    /// Adds a pack.
    pub fn add(&mut self, line: &Line) -> Result<(), Error> {
        self.packs.push((line.kind, line.pack));
        self.push(line)
    }

    fn push<T: Serialize>(&mut self, value: &T) -> Result<(), Error> {
        let before = self.plain.len();
        serde_json::to_writer(&mut self.plain, value).map_err(|error| malformed(&error))?;
        self.plain.push(b'\n');
        self.plain_bytes += self.plain.len() - before;
        if self.plain.len() >= FRAME_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.plain.is_empty() {
            self.stored.extend(frames::compress_frame(&self.plain, 3)?);
            self.plain.clear();
        }
        Ok(())
    }

    /// Whether the caller should finish this segment and begin another.
    pub fn is_full(&self) -> bool {
        self.stored.len() as u64 >= FULL_BYTES || self.plain_bytes >= MAX_BYTES - 2 * MAX_LINE_BYTES
    }

    /// The packs so far, in order.
    pub fn packs(&self) -> &[(PackKind, Sha256)] {
        &self.packs
    }

    /// The bytes to seal and store.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        self.flush()?;
        Ok(self.stored)
    }
}

/// Reads bytes whose SHA-256 the caller has checked.
pub fn parse(bytes: &[u8]) -> Result<(Header, Vec<Line>), Error> {
    let plain = frames::decompress_bounded(bytes, MAX_BYTES as u64)?;
    let mut lines = plain.split(|&byte| byte == b'\n');
    let header = parse_line(lines.next().unwrap_or_default())?;
    let lines = lines.filter(|line| !line.is_empty()).map(parse_line).collect::<Result<_, _>>()?;
    Ok((header, lines))
}

fn parse_line<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Error> {
    if line.len() > MAX_LINE_BYTES {
        return Err(Error::Malformed {
            what: "a segment".into(),
            reason: "a line is too long".into(),
        });
    }
    serde_json::from_slice(line).map_err(|error| malformed(&error))
}

fn malformed(error: &serde_json::Error) -> Error {
    Error::Malformed { what: "a segment".into(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
    use crate::repository::names::SnapshotId;
    use crate::repository::pack::{MemberName, PackBuilder, PackOptions};
    use proptest::prelude::*;

    fn header() -> Header {
        let snapshot: SnapshotId = "2026-11-22T20-40-05Z-9f3c".parse().unwrap();
        Header { segment: 1, snapshot, number: 3, tier: 1 }
    }

    /// A real pack's line, of objects made from `seeds`.
    fn line(seeds: &[(u8, u8, Vec<u8>)]) -> Line {
        let mut builder = PackBuilder::new(PackOptions::new(1)).unwrap();
        for (store, kind, bytes) in seeds {
            let store = Store::Library(LibraryId::new([*store; 16]));
            let id = ObjectId::new(Sha256::of(bytes).as_bytes()[..20].try_into().unwrap());
            let object = Object::new(store, Kind::ALL[usize::from(*kind)], id);
            // The same object twice is refused, which is fine here.
            let _ = builder.add(MemberName { object, damaged: false }, bytes);
        }
        let pack = builder.finish().unwrap();
        let size = pack.bytes.len() as u64;
        let name = Sha256::of(&pack.bytes);
        Line { pack: name, kind: PackKind::Trees, size, contents: pack.contents }
    }

    fn bytes_of(lines: &[Line]) -> Vec<u8> {
        let mut writer = SegmentWriter::new(&header()).unwrap();
        for line in lines {
            writer.add(line).unwrap();
            assert!(!writer.is_full(), "these are small");
        }
        assert_eq!(writer.packs().len(), lines.len());
        writer.finish().unwrap()
    }

    type Seeds = Vec<Vec<(u8, u8, Vec<u8>)>>;

    fn any_seeds() -> impl Strategy<Value = Seeds> {
        let member = (0u8..4, 0u8..3, prop::collection::vec(any::<u8>(), 0..40));
        prop::collection::vec(prop::collection::vec(member, 0..12), 0..5)
    }

    proptest! {
        #[test]
        fn round_trip(seeds in any_seeds()) {
            let lines: Vec<Line> = seeds.iter().map(|seeds| line(seeds)).collect();
            prop_assert_eq!(parse(&bytes_of(&lines)).unwrap(), (header(), lines));
        }

        #[test]
        fn altered_bytes_never_panic(seeds in any_seeds(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
            let lines: Vec<Line> = seeds.iter().map(|seeds| line(seeds)).collect();
            let mut bytes = bytes_of(&lines);
            let at = at.index(bytes.len());
            bytes[at] = with;
            let _ = parse(&bytes);
            bytes.truncate(at);
            let _ = parse(&bytes);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "(\\{\"segment\":1,.{0,60}\\}\n)?.{0,200}") {
            let _ = parse(&frames::compress_frame(text.as_bytes(), 1).unwrap());
        }
    }

    #[test]
    fn two_runs_never_write_the_same_bytes() {
        let lines = [line(&[(1, 1, b"x".to_vec())])];
        let other: SnapshotId = "2026-11-22T20-40-06Z-9f3c".parse().unwrap();
        let mut writer = SegmentWriter::new(&Header { snapshot: other, ..header() }).unwrap();
        writer.add(&lines[0]).unwrap();
        assert_ne!(writer.finish().unwrap(), bytes_of(&lines));
    }

    #[test]
    fn a_segment_without_a_header_is_refused() {
        let mut plain = serde_json::to_vec(&line(&[])).unwrap();
        plain.push(b'\n');
        assert!(parse(&frames::compress_frame(&plain, 1).unwrap()).is_err());
        assert!(parse(b"").is_err());
    }
}
