//! Compressed bytes, packs, parts, and tars of ordinary files.

use std::io::Read as _;

use seawall::repository::frames::{self, Skippable};
use seawall::repository::pack::{self, Contents, HeaderCheck, MemberPlace};
use seawall::repository::parts::PartReader;
use seawall::unpack::{TarLimits, UnpackOptions};

use crate::{folder, put};

/// No target has more than this in memory: what is longer is only looked at.
const MOST: u64 = 16 << 20;

/// One frame; the first two bytes are the length that it should have.
pub fn frame(data: &[u8]) {
    let Some((len, frame)) = data.split_first_chunk::<2>() else {
        return;
    };
    let len = u64::from(u16::from_le_bytes(*len));
    if let Ok(plain) = frames::decompress_frame(frame, len) {
        assert_eq!(plain.len() as u64, len);
    }
    for sort in [Skippable::Contents, Skippable::SeekTable] {
        if let Ok(content) = sort.parse(data) {
            assert_eq!(content.len() + Skippable::HEADER_LEN, data.len());
        }
    }
}

/// Frames, never beyond a limit.
pub fn frames(data: &[u8]) {
    for most in [0, 1000, MOST] {
        if let Ok(plain) = frames::decompress_bounded(data, most) {
            assert!(plain.len() as u64 <= most);
        }
    }
}

/// The table of contents of a pack, as JSON.
pub fn contents(data: &[u8]) {
    if let Ok(contents) = Contents::parse(data) {
        let written = contents.to_json().expect("what was read can be written");
        assert_eq!(Contents::parse(&written).ok(), Some(contents));
    }
}

/// A whole pack: contents, seek table, frames, tar members.
pub fn pack(data: &[u8]) {
    let Ok((contents, _)) = pack::read_contents(data) else {
        return;
    };
    let mut check = HeaderCheck::new(&contents);
    for (number, frame) in (0..).zip(&contents.frames) {
        let range = usize::try_from(frame.offset).ok().zip(usize::try_from(frame.len).ok());
        let bytes = range.and_then(|(start, len)| data.get(start..start.checked_add(len)?));
        let bytes = bytes.expect("the seek table was held against the pack");
        if frame.plain_len > MOST {
            return;
        }
        let Ok(plain) = pack::read_frame(bytes, frame) else {
            return;
        };
        assert_eq!(plain.len() as u64, frame.plain_len);
        for member in &contents.members {
            if let MemberPlace::Data { frame, len, .. } = member.place
                && frame == number
            {
                let found = pack::member_bytes(&plain, member).expect("contents were validated");
                assert_eq!(found.len() as u64, len);
            }
        }
        if check.check_frame(&plain).is_err() {
            return;
        }
    }
    let _ = check.finish();
}

/// Tar members of a pack against its contents: JSON, 0xff, the plain bytes of each frame.
pub fn members(data: &[u8]) {
    let [json, plain] = crate::pieces(data);
    let Ok(contents) = Contents::parse(json) else {
        return;
    };
    for member in &contents.members {
        let _ = pack::member_bytes(plain, member);
    }
    let mut check = HeaderCheck::new(&contents);
    for half in plain.chunks(plain.len().div_ceil(2).max(1)) {
        if check.check_frame(half).is_err() {
            return;
        }
    }
    let _ = check.finish();
}

/// Parts of a stream; the first byte is the length of the first part.
pub fn parts(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let (first, second) = data.split_at(data.len().min(first.into()));
    let parts = [first, second].map(|part| Ok(part.to_vec()));
    let reader = PartReader::new(parts.into_iter()).expect("a decompressor");
    let mut plain = Vec::new();
    let result = reader.take(MOST).read_to_end(&mut plain);
    assert!(plain.len() as u64 <= MOST);
    assert!(result.is_err() || !data.is_empty());
}

/// A tar of ordinary files: nothing outside of the target is touched.
pub fn unpack(data: &[u8]) {
    let folder = folder();
    let canary = folder.path().join("canary/file");
    put(&canary, b"untouched");
    let options = UnpackOptions {
        limits: TarLimits { bytes: 1 << 20, members: 100, ..TarLimits::default() },
        ..UnpackOptions::default()
    };
    let target = folder.path().join("target");
    let _ = seawall::unpack::unpack(data, &target, &options);
    let names = |path: &std::path::Path| -> Vec<_> {
        let entries = std::fs::read_dir(path).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(folder.path()), ["canary", "target"]);
    assert_eq!(names(&folder.path().join("canary")), ["file"]);
    assert_eq!(std::fs::read(&canary).expect("the canary"), b"untouched");
}
