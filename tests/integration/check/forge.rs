//! Repositories that are signed and lie: the newest snapshot of a copy, taken apart, changed by a
//! test, and put together again with every SHA-256, size and signature as it should be.

use std::io::{Read as _, Write as _};

use seawall::check::{CheckLevel, Report};
use seawall::host::Reading;
use seawall::object::{Sha256, Store};
use seawall::repository::frames::{Skippable, compress_frame};
use seawall::repository::index::{List, read_manifest};
use seawall::repository::manifest::{Manifest, Part};
use seawall::repository::marker::{Marker, Named};
use seawall::repository::names;
use seawall::repository::note;
use seawall::repository::pack::{
    Contents, Frame, Member, MemberName, MemberPlace, PackBuilder, PackOptions, member_bytes,
    read_frame,
};
use seawall::repository::parts::{PartOptions, PartReader, PartWriter};
use seawall::repository::segment::{Header, Line, SegmentWriter};
use seawall::repository::sums::Sums;

use super::{Copy, checked, world};
use crate::support::CLEANED;

/// The newest snapshot, open for lies.
pub(super) struct Forge {
    pub copy: Copy,
    pub repository: Reading,
    pub marker: Marker,
    pub manifest: Manifest,
    /// The index, in order.
    pub lines: Vec<Line>,
}

/// What a pack is rebuilt from.
#[derive(Clone)]
pub(super) enum Entry {
    Bytes(Vec<u8>),
    Link(Store),
}

impl Forge {
    pub(super) fn new() -> Self {
        let copy = Copy::new();
        let repository = copy.open(&[world().host_key().verifying()]).unwrap();
        let marker = repository.markers().unwrap().latest().unwrap().marker.clone();
        let manifest = read_manifest(&repository, &marker).unwrap();
        let mut lines = Vec::new();
        for named in &marker.lists {
            let list = List::read(&repository, named).unwrap();
            lines.extend(list.read_segment(&repository).unwrap().1);
        }
        Self { copy, repository, marker, manifest, lines }
    }

    /// A member that fits and that the snapshot cannot do without: its line and its place there.
    pub(super) fn find(&self, fits: impl Fn(&Member) -> bool) -> (usize, usize) {
        // Some of what this library has is history that may be gone; which pack comes first is chance.
        let cleaned = Store::Library(CLEANED.parse().unwrap());
        let needed = |member: &Member| member.name.object.store != cleaned && fits(member);
        let lines = self.lines.iter().enumerate();
        let mut found = lines.filter_map(|(number, line)| {
            let at = line.contents.members.iter().position(needed)?;
            Some((number, at))
        });
        found.next().unwrap()
    }

    pub(super) fn member(&mut self, (line, at): (usize, usize)) -> &mut Member {
        &mut self.lines[line].contents.members[at]
    }

    pub(super) fn pack_key(&self, line: usize) -> String {
        let line = &self.lines[line];
        names::pack(line.kind, &line.pack, self.repository.seal()).to_string()
    }

    pub(super) fn pack_bytes(&self, line: usize) -> Vec<u8> {
        self.copy.read(&self.pack_key(line))
    }

    /// The plain frames of a pack.
    pub(super) fn frames(&self, line: usize) -> Vec<Vec<u8>> {
        let bytes = self.pack_bytes(line);
        let frames = self.lines[line].contents.frames.iter();
        let plain = |frame: &Frame| {
            let (start, len) = (frame.offset as usize, frame.len as usize);
            read_frame(&bytes[start..start + len], frame).unwrap()
        };
        frames.map(plain).collect()
    }

    /// The members of a pack.
    pub(super) fn entries(&self, line: usize) -> Vec<(MemberName, Entry)> {
        let frames = self.frames(line);
        let entry = |member: &Member| match member.place {
            MemberPlace::Link { target } => (member.name, Entry::Link(target)),
            MemberPlace::Data { frame, .. } => {
                let bytes = member_bytes(&frames[frame as usize], member).unwrap();
                (member.name, Entry::Bytes(bytes.to_vec()))
            }
        };
        self.lines[line].contents.members.iter().map(entry).collect()
    }

    /// Builds a pack anew from other members.
    pub(super) fn repack(
        &mut self,
        line: usize,
        change: impl FnOnce(&mut Vec<(MemberName, Entry)>),
    ) {
        let mut entries = self.entries(line);
        change(&mut entries);
        let mut builder = PackBuilder::new(PackOptions::new(3)).unwrap();
        for (name, entry) in entries {
            match entry {
                Entry::Bytes(bytes) => builder.add(name, &bytes).unwrap(),
                Entry::Link(target) => builder.add_link(name.object, target).unwrap(),
            }
        }
        let pack = builder.finish().unwrap();
        self.put_pack(line, &pack.bytes, pack.contents);
    }

    /// Stores a pack in place of another; the index says what the caller says.
    pub(super) fn put_pack(&mut self, line: usize, bytes: &[u8], contents: Contents) {
        let seal = self.repository.seal();
        let line = &mut self.lines[line];
        line.pack = Sha256::of(bytes);
        line.size = bytes.len() as u64;
        line.contents = contents;
        let key = names::pack(line.kind, &line.pack, seal);
        self.copy.write(key.as_str(), bytes);
    }

    /// Stores a stream in parts of about so many bytes.
    pub(super) fn put_stream(
        &mut self,
        name: &str,
        plain: &[u8],
        part_bytes: usize,
    ) -> (Vec<Part>, Sha256) {
        let mut parts = Vec::new();
        let options = PartOptions { level: 1, part_bytes, frame_bytes: part_bytes.min(4 << 20) };
        let mut writer = PartWriter::new(options, |index, bytes| {
            let key = format!("{name}.{index:05}");
            self.copy.write(&key, &bytes);
            parts.push(Part {
                key: seawall_backends::Key::parse(&key).unwrap(),
                size: bytes.len() as u64,
                sha256: Sha256::of(&bytes),
            });
            Ok(())
        })
        .unwrap();
        writer.write_all(plain).unwrap();
        let totals = writer.finish().unwrap();
        (parts, totals.plain_sha256)
    }

    fn stream(&self, parts: &[Part]) -> Vec<u8> {
        let parts = parts.iter().map(|part| Ok(self.copy.read(part.key.as_str())));
        let mut plain = Vec::new();
        PartReader::new(parts).unwrap().read_to_end(&mut plain).unwrap();
        plain
    }

    /// Stores another database in place of a dump; manifest and sums agree with it.
    pub(super) fn redump(
        &mut self,
        role: &str,
        part_bytes: usize,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let at = self.manifest.databases.iter().position(|database| database.role == role).unwrap();
        let mut plain = self.stream(&self.manifest.databases[at].parts);
        change(&mut plain);
        let name = format!("databases/{}/{role}.db.zst", self.marker.snapshot);
        let (parts, sha256) = self.put_stream(&name, &plain, part_bytes);
        let database = &mut self.manifest.databases[at];
        (database.parts, database.sha256, database.size) = (parts, sha256, plain.len() as u64);
        at
    }

    /// Stores another tar in place of a group's.
    pub(super) fn refile(&mut self, label: &str, change: impl FnOnce(&mut Vec<u8>)) -> usize {
        let at = self.manifest.files.iter().position(|group| group.label == label).unwrap();
        let mut plain = self.stream(&self.manifest.files[at].parts);
        change(&mut plain);
        let name = format!("data/files/{}/{label}.tar.zst", self.marker.snapshot);
        let (parts, sha256) = self.put_stream(&name, &plain, 32 << 20);
        let group = &mut self.manifest.files[at];
        (group.parts, group.sha256, group.size) = (parts, sha256, plain.len() as u64);
        at
    }

    /// Puts segment, list, manifest, sums and marker as if a run had written them.
    pub(super) fn sign(&mut self) {
        let seal = self.repository.seal();
        let header = Header { segment: 1, snapshot: self.marker.snapshot, number: 999, tier: 0 };
        let mut writer = SegmentWriter::new(&header).unwrap();
        for line in &self.lines {
            writer.add(line).unwrap();
        }
        let packs = writer.packs().to_vec();
        let segment = writer.finish().unwrap();
        let segment_name = Sha256::of(&segment);
        self.copy.write(names::segment(&segment_name, seal).as_str(), &segment);
        let list = List::to_bytes(&self.repository, &segment_name, &packs).unwrap();
        let list_name = Sha256::of(&list);
        let list_key = names::list(&list_name);
        self.copy.write(list_key.as_str(), &list);
        self.marker.lists =
            vec![Named { key: list_key, sha256: list_name, size: list.len() as u64 }];
        self.marker.packs = self.lines.len() as u64;
        self.marker.bytes = self.lines.iter().map(|line| line.size).sum();
        let manifest = self.manifest.to_bytes().unwrap();
        let manifest_key = names::manifest(self.marker.snapshot, seal);
        self.copy.write(manifest_key.as_str(), &manifest);
        let mut entries = vec![(Sha256::of(&manifest), manifest_key)];
        entries.extend(self.manifest.parts().map(|part| (part.sha256, part.key.clone())));
        let sums = Sums::new(entries).unwrap().to_bytes();
        self.copy.write(self.marker.sums.key.as_str(), &sums);
        self.marker.sums.sha256 = Sha256::of(&sums);
        self.marker.sums.size = sums.len() as u64;
        let text = note::sign(&self.marker.to_text(), world().host_key().signing()).unwrap();
        self.copy.write(names::marker(self.marker.snapshot).as_str(), text.as_bytes());
    }

    /// Signs, and checks all that there is.
    pub(super) fn check(&mut self) -> Report {
        self.sign();
        checked(&self.repository, CheckLevel::Deep)
    }

    pub(super) fn manifest_key(&self) -> String {
        names::manifest(self.marker.snapshot, self.repository.seal()).to_string()
    }
}

/// A pack whose tar, end mark and table of contents need not fit each other.
pub(super) fn assemble(
    plain: &[Vec<u8>],
    end_mark: &[u8],
    members: Vec<Member>,
) -> (Vec<u8>, Contents) {
    let mut bytes = Vec::new();
    let mut seek_table = Vec::new();
    let mut contents = Contents { frames: Vec::new(), members };
    let entry = |table: &mut Vec<u8>, len: usize, plain_len: usize| {
        table.extend((len as u32).to_le_bytes());
        table.extend((plain_len as u32).to_le_bytes());
    };
    for plain in plain {
        let frame = compress_frame(plain, 3).unwrap();
        contents.frames.push(Frame {
            offset: bytes.len() as u64,
            len: frame.len() as u64,
            plain_len: plain.len() as u64,
        });
        entry(&mut seek_table, frame.len(), plain.len());
        bytes.extend(frame);
    }
    let frame = compress_frame(end_mark, 3).unwrap();
    entry(&mut seek_table, frame.len(), end_mark.len());
    bytes.extend(frame);
    let json = compress_frame(&contents.to_json().unwrap(), 3).unwrap();
    let table = [&[7; 16][..], &json].concat();
    let len = Skippable::Contents.append(&table, &mut bytes).unwrap();
    entry(&mut seek_table, len, 0);
    let count = (seek_table.len() / 8) as u32;
    seek_table.extend(count.to_le_bytes());
    seek_table.push(0);
    seek_table.extend(0x8F92_EAB1_u32.to_le_bytes());
    Skippable::SeekTable.append(&seek_table, &mut bytes).unwrap();
    (bytes, contents)
}
