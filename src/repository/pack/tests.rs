use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::seek_table::FrameLengths;
use super::*;
use crate::object::{LibraryId, ObjectId};
use crate::repository::frames::Skippable;
use crate::repository::frames::tests::{noise, put, shell};

fn store(number: u8) -> Store {
    match number {
        0 => Store::Shared,
        _ => Store::Library(LibraryId::new([number; 16])),
    }
}

fn object(store_number: u8, kind: Kind, id: u8) -> Object {
    Object::new(store(store_number), kind, ObjectId::new([id; 20]))
}

fn builder(frame_bytes: usize) -> PackBuilder {
    PackBuilder::new(PackOptions { level: 3, frame_bytes }).unwrap()
}

/// A pack with one member of every sort.
fn sample() -> Pack {
    let mut pack = builder(4096);
    for kind in Kind::ALL {
        pack.add(MemberName::good(object(1, kind, 1)), b"some content").unwrap();
    }
    pack.add(MemberName::damaged(object(1, Kind::Commit, 2)), &noise(5000, 1)).unwrap();
    pack.add(MemberName::good(object(0, Kind::Block, 2)), b"").unwrap();
    pack.add_link(object(2, Kind::Block, 1), store(1)).unwrap();
    pack.add_link(object(2, Kind::Block, 2), store(0)).unwrap();
    pack.finish().unwrap()
}

fn frame_bytes<'a>(pack: &'a Pack, frame: &Frame) -> &'a [u8] {
    let start = usize::try_from(frame.offset).unwrap();
    &pack.bytes[start..][..usize::try_from(frame.len).unwrap()]
}

fn read_frames(pack: &Pack) -> Vec<Vec<u8>> {
    let read = |frame| read_frame(frame_bytes(pack, frame), frame).unwrap();
    pack.contents.frames.iter().map(read).collect()
}

fn check_headers(contents: &Contents, frames: &[Vec<u8>]) -> Result<()> {
    let mut check = HeaderCheck::new(contents);
    frames.iter().try_for_each(|plain| check.check_frame(plain))?;
    check.finish()
}

#[derive(Debug, Clone)]
enum Step {
    Add(MemberName, Vec<u8>),
    Link(Object, Store),
}

fn any_step() -> impl Strategy<Value = Step> {
    let name =
        (0u8..4, 0usize..3, any::<u8>(), any::<bool>()).prop_map(|(store, kind, id, damaged)| {
            MemberName { object: object(store, Kind::ALL[kind], id), damaged }
        });
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(0u8..3, 400..1200)
    ];
    prop_oneof![
        4 => (name.clone(), bytes).prop_map(|(name, bytes)| Step::Add(name, bytes)),
        1 => (name, 0u8..4).prop_map(|(name, target)| Step::Link(name.object, store(target))),
    ]
}

proptest! {
    #[test]
    fn packs_round_trip(steps in prop::collection::vec(any_step(), 0..30), frame_bytes in 0usize..5000) {
        let mut pack = builder(frame_bytes);
        let mut expected = Vec::new();
        for step in steps {
            match step {
                Step::Add(name, bytes) => if pack.add(name, &bytes).is_ok() {
                    expected.push((name, Some(bytes)));
                },
                Step::Link(object, target) => if pack.add_link(object, target).is_ok() {
                    expected.push((MemberName::good(object), None));
                },
            }
        }
        prop_assert_eq!(pack.members(), expected.len());
        prop_assert_eq!(pack.is_empty(), expected.is_empty());
        let pack = pack.finish().unwrap();
        let (contents, _) = read_contents(&pack.bytes).unwrap();
        prop_assert_eq!(&contents, &pack.contents);
        let frames = read_frames(&pack);
        check_headers(&contents, &frames).unwrap();
        for (member, (name, bytes)) in contents.members.iter().zip(&expected) {
            prop_assert_eq!(member.name, *name);
            match (member.place, bytes) {
                (MemberPlace::Data { frame, sha256, .. }, Some(bytes)) => {
                    prop_assert_eq!(member_bytes(&frames[frame as usize], member).unwrap(), &bytes[..]);
                    prop_assert_eq!(sha256, name.needs_sha256().then(|| Sha256::of(bytes)));
                }
                (MemberPlace::Link { .. }, None) => prop_assert!(member_bytes(&frames[0], member).is_err()),
                _ => prop_assert!(false, "{member:?}"),
            }
        }
        prop_assert_eq!(contents.members.len(), expected.len());
    }

    #[test]
    fn changed_packs_never_pass(at: prop::sample::Index, flip in 1u8..) {
        let mut pack = sample();
        let at = at.index(pack.bytes.len());
        pack.bytes[at] ^= flip;
        let frames_end = pack.contents.frames.iter().map(|frame| frame.offset + frame.len).max();
        match read_contents(&pack.bytes) {
            // Neither random bytes nor the bytes of members are this function's to judge.
            Ok((contents, _)) => prop_assert_eq!(contents, pack.contents.clone()),
            Err(_) => prop_assert!(at as u64 >= frames_end.unwrap()),
        }
        for frame in &pack.contents.frames {
            if let Ok(plain) = read_frame(frame_bytes(&pack, frame), frame) {
                prop_assert_eq!(plain.len() as u64, frame.plain_len);
            }
        }
    }

    #[test]
    fn cut_packs_are_refused(at: prop::sample::Index) {
        let bytes = sample().bytes;
        prop_assert!(read_contents(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0u32..20) {
        let _ = read_contents(&bytes);
        let _ = Contents::parse(&bytes);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&[0, 0xB1, 0xEA, 0x92, 0x8F]);
        let _ = read_contents(&bytes);
        let contents = sample().contents;
        let _ = HeaderCheck::new(&contents).check_frame(&bytes);
    }

    #[test]
    fn changed_frames_are_no_tar_of_the_members(at: prop::sample::Index, flip in 1u8..) {
        let pack = sample();
        let mut frames = read_frames(&pack);
        let index = at.index(frames.len());
        let at = at.index(frames[index].len());
        frames[index][at] ^= flip;
        let in_a_member = pack.contents.members.iter().any(|member| match member.place {
            MemberPlace::Data { frame, offset, len, .. } => {
                frame as usize == index && (offset..offset + len).contains(&(at as u64))
            }
            MemberPlace::Link { .. } => false,
        });
        prop_assert_eq!(check_headers(&pack.contents, &frames).is_ok(), in_a_member);
    }

    #[test]
    fn changed_json_is_refused_or_valid(at: prop::sample::Index, byte: u8) {
        let mut json = sample().contents.to_json().unwrap();
        let at = at.index(json.len());
        json[at] = byte;
        if let Ok(contents) = Contents::parse(&json) {
            prop_assert_eq!(contents.validate(), Ok(()));
        }
    }
}

#[test]
fn json_is_as_documented() {
    let data = |offset, len, sha256: Option<u8>| MemberPlace::Data {
        frame: 0,
        offset,
        len,
        sha256: sha256.map(|byte| Sha256::new([byte; 32])),
    };
    let link = MemberPlace::Link { target: store(1) };
    let members = [
        (MemberName::good(object(1, Kind::Commit, 1)), data(512, 12, Some(0xee))),
        (MemberName::good(object(1, Kind::Fs, 1)), data(1536, 13, None)),
        (MemberName::damaged(object(1, Kind::Block, 2)), data(2560, 0, Some(0xff))),
        (MemberName::good(object(0, Kind::Fs, 1)), link),
    ];
    let contents = Contents {
        frames: vec![Frame { offset: 0, len: 900, plain_len: 4096 }],
        members: members.map(|(name, place)| Member { name, place }).into(),
    };
    let expected = concat!(
        r#"{"stores":["01010101-0101-0101-0101-010101010101","shared"],"#,
        r#""frames":[[0,900,4096]],"members":["#,
        r#"[0,"commit","0101010101010101010101010101010101010101",0,512,12,"EE"],"#,
        r#"[0,"fs","0101010101010101010101010101010101010101",0,1536,13],"#,
        r#"[0,"damaged block","0202020202020202020202020202020202020202",0,2560,0,"FF"],"#,
        r#"[1,"fs","0101010101010101010101010101010101010101","link",0]]}"#
    );
    let expected = expected.replace("EE", &"ee".repeat(32)).replace("FF", &"ff".repeat(32));
    let json = contents.to_json().unwrap();
    assert_eq!(String::from_utf8(json).unwrap(), expected);
    assert_eq!(Contents::parse(expected.as_bytes()).unwrap(), contents);
}

#[test]
fn contents_can_be_part_of_a_line() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Line {
        pack: Sha256,
        size: u64,
        #[serde(flatten)]
        contents: Contents,
    }
    let pack = sample();
    let line = Line {
        pack: Sha256::of(&pack.bytes),
        size: pack.bytes.len() as u64,
        contents: pack.contents,
    };
    let json = serde_json::to_string(&line).unwrap();
    assert!(json.starts_with("{\"pack\":\"") && json.contains(",\"stores\":["), "{json}");
    assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), line);
    let more = json.replacen('{', "{\"later\":[1],", 1);
    assert_eq!(serde_json::from_str::<Line>(&more).unwrap(), line);
    let wrong = json.replacen("\"link\",0", "\"link\",9", 1);
    assert!(serde_json::from_str::<Line>(&wrong).is_err());
    let longer = json.replacen("\"link\",0", "\"link\",0,0", 1);
    assert!(serde_json::from_str::<Line>(&longer).is_err());
}

#[test]
fn contents_that_break_a_rule_are_refused() {
    let good: serde_json::Value =
        serde_json::from_slice(&sample().contents.to_json().unwrap()).unwrap();
    let frames = good["frames"].as_array().unwrap().len();
    let accepted = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = good.clone();
        change(&mut value);
        Contents::parse(value.to_string().as_bytes()).is_ok()
    };
    assert!(accepted(&|_| ()));
    assert!(accepted(&|value| value["later"] = 1.into()));
    let changes: &[(&str, &str, serde_json::Value)] = &[
        ("no store", "/stores", serde_json::json!([])),
        ("no frames", "/frames", serde_json::json!([])),
        ("overlap", "/frames/1/0", 1.into()),
        ("end of numbers", "/frames/1/0", u64::MAX.into()),
        ("empty frame", "/frames/0/1", 0.into()),
        ("empty plain", "/frames/0/2", 0.into()),
        ("short plain", "/frames/1/2", 600.into()),
        ("long plain", "/frames/1/2", (MAX_FRAME_BYTES + 1).into()),
        ("negative", "/frames/0/2", (-1).into()),
        ("unknown store", "/members/0/0", 9.into()),
        ("unknown kind", "/members/0/1", "tree".into()),
        ("short id", "/members/0/2", "ab".into()),
        ("unknown frame", "/members/0/3", frames.into()),
        ("huge frame", "/members/0/3", (1_u64 << 32).into()),
        ("float", "/members/0/3", 0.5.into()),
        ("other word", "/members/1/3", "lunk".into()),
        ("no header", "/members/0/4", 511.into()),
        ("outside", "/members/3/5", 1_000_000.into()),
        ("overflow", "/members/3/4", u64::MAX.into()),
        ("overlap of members", "/members/1/4", 1024.into()),
        ("order of frames", "/members/0/3", 1.into()),
        ("wrong sha256", "/members/0/6", "ee".into()),
        ("no sha256", "/members/0/6", serde_json::Value::Null),
        ("link to itself", "/members/5/4", 2.into()),
        ("link into nowhere", "/members/5/4", 3.into()),
        ("damaged link", "/members/5/1", "damaged block".into()),
        ("linked commit", "/members/5/1", "commit".into()),
        ("sha256 missing", "/members/1/1", "commit".into()),
        ("sha256 too many", "/members/0/1", "fs".into()),
        ("twice", "/members/2/1", "fs".into()),
    ];
    for (what, at, new) in changes {
        let change = |value: &mut serde_json::Value| *value.pointer_mut(at).unwrap() = new.clone();
        assert!(!accepted(&change), "{what}");
    }
    for field in ["stores", "frames", "members"] {
        assert!(!accepted(&|value| {
            value.as_object_mut().unwrap().remove(field);
        }));
    }
    let mut spacious = sample().contents.to_json().unwrap();
    spacious.resize(MAX_CONTENTS_BYTES, b' ');
    assert!(Contents::parse(&spacious).is_ok());
    spacious.push(b' ');
    assert!(Contents::parse(&spacious).is_err());
}

#[test]
fn members_have_a_longest_length() {
    let contents = |len| Contents {
        frames: vec![Frame { offset: 0, len: 1, plain_len: MAX_FRAME_BYTES }],
        members: vec![Member {
            name: MemberName::good(object(1, Kind::Fs, 1)),
            place: MemberPlace::Data { frame: 0, offset: 512, len, sha256: None },
        }],
    };
    assert!(contents(MAX_MEMBER_BYTES).to_json().is_ok());
    assert!(contents(MAX_MEMBER_BYTES + 1).to_json().is_err());
}

#[test]
fn frames_of_another_length_are_refused() {
    let pack = sample();
    let frame = pack.contents.frames[0];
    let bytes = frame_bytes(&pack, &frame);
    read_frame(bytes, &frame).unwrap();
    for (len, plain_len) in [
        (frame.len + 1, frame.plain_len),
        (frame.len, frame.plain_len + 512),
        (frame.len, MAX_FRAME_BYTES + 1),
    ] {
        let other = Frame { len, plain_len, ..frame };
        assert!(read_frame(bytes, &other).is_err(), "{other:?}");
    }
    let end = &bytes[..bytes.len() - 1];
    assert!(read_frame(end, &frame).is_err());
}

/// A pack's bytes with another table of contents and another seek table.
fn with_tables(
    pack: &Pack,
    contents: &Contents,
    change: impl Fn(&mut Vec<FrameLengths>),
) -> Vec<u8> {
    let (before, mut entries) = seek_table::split(&pack.bytes).unwrap();
    let table = entries.pop().unwrap();
    let mut bytes = before[..before.len() - table.len as usize].to_vec();
    let json = frames::compress_frame(&contents.to_json().unwrap(), 3).unwrap();
    let content = [[0; 16].as_slice(), &json].concat();
    let len = Skippable::Contents.append(&content, &mut bytes).unwrap();
    entries.push(FrameLengths::new(len as u64, 0).unwrap());
    change(&mut entries);
    seek_table::append(&entries, &mut bytes).unwrap();
    bytes
}

#[test]
fn both_tables_must_agree() {
    let pack = sample();
    let count = pack.contents.frames.len();
    let accepted = |change: &dyn Fn(&mut Vec<FrameLengths>)| {
        read_contents(&with_tables(&pack, &pack.contents, change)).is_ok()
    };
    assert!(accepted(&|_| ()));
    assert!(!accepted(&|entries| entries[count + 1].plain_len = 1));
    assert!(!accepted(&|entries| entries[count].plain_len = 1025));
    assert!(!accepted(&|entries| entries[0].plain_len += 512));
    assert!(!accepted(&|entries| entries[0].len += 1));
    assert!(!accepted(&|entries| {
        entries[0].len += 1;
        entries[1].len -= 1;
    }));
    assert!(!accepted(&|entries| {
        let end = entries.remove(count);
        entries[0].len += end.len;
    }));
    assert!(!accepted(&|entries| entries.clear()));

    let mut contents = pack.contents.clone();
    contents.frames[count - 1].offset += 1;
    assert!(read_contents(&with_tables(&pack, &contents, |_| ())).is_err());
}

#[test]
fn every_byte_of_the_seek_table_counts() {
    let pack = sample();
    let (before, _) = seek_table::split(&pack.bytes).unwrap();
    for at in before.len()..pack.bytes.len() {
        let mut bytes = pack.bytes.clone();
        bytes[at] ^= 0x10;
        assert!(read_contents(&bytes).is_err(), "{at}");
    }
}

#[test]
fn a_member_in_another_frame_is_noticed() {
    let mut pack = sample();
    let frames = read_frames(&pack);
    check_headers(&pack.contents, &frames).unwrap();
    assert!(check_headers(&pack.contents, &frames[..1]).is_err());
    let MemberPlace::Data { frame, .. } = &mut pack.contents.members[3].place else {
        panic!("{:?}", pack.contents.members[3]);
    };
    *frame += 1;
    assert!(check_headers(&pack.contents, &frames).is_err());
}

#[test]
fn what_cannot_be_added_leaves_the_pack_as_it_was() {
    let mut pack = builder(1 << 20);
    let name = MemberName::good(object(1, Kind::Commit, 1));
    pack.add(name, b"a").unwrap();
    assert!(matches!(pack.add(name, b"b"), Err(Error::Duplicate(twice)) if twice == name));
    let one_too_many = vec![0; usize::try_from(MAX_MEMBER_BYTES).unwrap() + 1];
    let long = MemberName::good(object(1, Kind::Block, 1));
    assert!(matches!(pack.add(long, &one_too_many), Err(Error::TooLong { .. })));
    assert!(matches!(pack.add_link(object(2, Kind::Commit, 1), store(1)), Err(Error::Link { .. })));
    assert!(matches!(pack.add_link(object(2, Kind::Block, 1), store(2)), Err(Error::Link { .. })));
    pack.add(long, b"short").unwrap();
    assert!(matches!(pack.add_link(long.object, store(2)), Err(Error::Duplicate(_))));
    let pack = pack.finish().unwrap();
    check_headers(&pack.contents, &read_frames(&pack)).unwrap();
    assert_eq!(pack.contents.members.len(), 2);
}

#[test]
fn a_pack_holds_good_data_only() {
    let mut pack = builder(1 << 20);
    let id = ObjectId::new([1; 20]);
    pack.add(MemberName::damaged(object(1, Kind::Block, 1)), b"bad").unwrap();
    pack.add_link(object(2, Kind::Block, 1), store(3)).unwrap();
    assert_eq!(pack.holds(Kind::Block, id), None);
    pack.add(MemberName::good(object(1, Kind::Block, 1)), b"good").unwrap();
    pack.add(MemberName::good(object(3, Kind::Block, 1)), b"good").unwrap();
    assert_eq!(pack.holds(Kind::Block, id), Some(store(1)));
    assert_eq!(pack.holds(Kind::Fs, id), None);
}

#[test]
fn frames_are_about_as_long_as_asked_for() {
    let mut pack = builder(64 << 10);
    for id in 0..200 {
        let len = if id == 100 { 9 << 20 } else { 10_000 };
        let before = pack.stored_len();
        pack.add(MemberName::good(object(1, Kind::Block, id)), &noise(len, id.into())).unwrap();
        assert!(pack.stored_len() > before);
    }
    let stored_len = pack.stored_len();
    let pack = pack.finish().unwrap();
    let end = pack.bytes.len() as u64;
    assert!((stored_len / 100 * 99..stored_len + 20_000).contains(&end));
    let short = |frame: &&Frame| frame.plain_len < 54_000;
    // The one before the long member, and the last.
    assert!(pack.contents.frames.iter().filter(short).count() <= 2);
    let long = |frame: &&Frame| frame.plain_len > 64 << 10;
    assert_eq!(pack.contents.frames.iter().filter(long).count(), 1);
    let alone = |frame: &&Frame| frame.plain_len == (9 << 20) + 512;
    assert_eq!(pack.contents.frames.iter().filter(alone).count(), 1);
    read_frames(&pack);
}

#[test]
fn frames_with_several_members_have_a_longest_length() {
    let mut pack = builder(usize::MAX);
    let zeros = vec![0; 1 << 20];
    for id in 0..17 {
        pack.add(MemberName::good(object(1, Kind::Fs, id)), &zeros).unwrap();
    }
    let frames = pack.finish().unwrap().contents.frames;
    assert_eq!(frames.len(), 2);
    assert!(frames[0].plain_len <= 16 << 20);
}

#[test]
fn no_two_packs_are_equal() {
    let (one, two) = (sample(), sample());
    assert_eq!(one.contents, two.contents);
    assert_ne!(one.bytes, two.bytes);
    assert_ne!(read_contents(&one.bytes).unwrap().1, read_contents(&two.bytes).unwrap().1);
}

#[test]
fn a_full_pack_fits_and_takes_no_more() {
    let mut pack = builder(1 << 20);
    let numbered = |number: usize| {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&number.to_le_bytes());
        Object::new(store(1), Kind::Fs, ObjectId::new(id))
    };
    for number in 0..MAX_MEMBERS {
        assert!(!pack.is_full());
        pack.add(MemberName::good(numbered(number)), b"").unwrap();
    }
    assert!(pack.is_full());
    let one_more = numbered(MAX_MEMBERS);
    assert!(matches!(pack.add(MemberName::good(one_more), b""), Err(Error::Full)));
    assert!(matches!(pack.add_link(one_more, store(2)), Err(Error::Full)));
    let pack = pack.finish().unwrap();
    assert_eq!(read_contents(&pack.bytes).unwrap().0, pack.contents);
}

#[test]
fn the_longest_contents_fit_in_a_line() {
    let len = MAX_MEMBER_BYTES;
    let frame_at = |number: u64| Frame {
        offset: number * (len + 4096),
        len: len + 4096,
        plain_len: len + 512,
    };
    let member_at = |number: u32| {
        let mut library = [0xff; 16];
        library[..4].copy_from_slice(&number.to_le_bytes());
        Member {
            name: MemberName::damaged(Object::new(
                Store::Library(LibraryId::new(library)),
                Kind::Commit,
                ObjectId::new([0xff; 20]),
            )),
            place: MemberPlace::Data {
                frame: number,
                offset: 512,
                len,
                sha256: Some(Sha256::new([0xff; 32])),
            },
        }
    };
    let count = u32::try_from(MAX_MEMBERS).unwrap();
    let mut contents = Contents {
        frames: (0..u64::from(count)).map(frame_at).collect(),
        members: (0..count).map(member_at).collect(),
    };
    let json = contents.to_json().unwrap();
    assert!(json.len() < MAX_CONTENTS_BYTES - (1 << 16), "{}", json.len());
    assert_eq!(Contents::parse(&json).unwrap(), contents);
    contents.frames.push(frame_at(count.into()));
    contents.members.push(member_at(count));
    assert!(contents.to_json().is_err());
}

/// 10^8 objects are to cost about 3 GB of index.
#[test]
fn an_index_line_is_small() {
    let mut pack = builder(1 << 20);
    let count = 5000;
    for number in 0..count {
        let random = noise(21, number);
        let id = ObjectId::new(random[..20].try_into().unwrap());
        let bytes = vec![random[20]; usize::from(random[20]) * 16];
        pack.add(MemberName::good(Object::new(store(1), Kind::Fs, id)), &bytes).unwrap();
    }
    let json = pack.finish().unwrap().contents.to_json().unwrap();
    let line = frames::compress_frame(&json, 3).unwrap();
    let each = line.len() as u64 / count;
    assert!((20..33).contains(&each), "{each} bytes each");
}

#[test]
fn stock_tools_extract_packs_in_order() {
    let content = |id: u8| noise(3000 + usize::from(id) * 400, id.into());
    let mut first = builder(8192);
    for (store, kind) in [(0, Kind::Block), (1, Kind::Fs), (1, Kind::Block), (1, Kind::Commit)] {
        for id in 1..9 {
            let id = id + store * 100;
            first.add(MemberName::good(object(store, kind, id)), &content(id)).unwrap();
        }
    }
    first.add_link(object(2, Kind::Fs, 101), store(1)).unwrap();
    first.add(MemberName::damaged(object(1, Kind::Commit, 77)), b"bad").unwrap();
    let mut second = builder(8192);
    second.add_link(object(2, Kind::Block, 101), store(1)).unwrap();
    second.add_link(object(2, Kind::Block, 3), store(0)).unwrap();
    second.add_link(object(0, Kind::Fs, 101), store(2)).unwrap();
    second.add(MemberName::good(object(3, Kind::Block, 9)), &content(9)).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (name, pack) in [("1.tar.zst", first), ("2.tar.zst", second)] {
        let pack = pack.finish().unwrap();
        put(folder.path(), name, &pack.bytes);
        paths.extend(pack.contents.members.iter().map(|member| member.name.path()));
    }
    shell(folder.path(), "zstd -tq 1.tar.zst && zstd -tq 2.tar.zst");
    let listed = shell(folder.path(), "zstd -l 1.tar.zst");
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed.contains("XXH64"), "{listed}");
    let listed = shell(
        folder.path(),
        "for p in 1 2; do zstd -dc $p.tar.zst | tar tv --full-time --numeric-owner; done",
    );
    let listed = String::from_utf8(listed).unwrap();
    assert_eq!(listed.lines().count(), paths.len());
    for (line, path) in listed.lines().zip(&paths) {
        let (line, target) = line.split_once(" link to ").unwrap_or((line, ""));
        assert!(line.ends_with(path), "{line}");
        assert!(line.contains(" 0/0 ") && line.contains(" 1970-01-01 "), "{line}");
        assert!(line.starts_with(if target.is_empty() { "-rw-------" } else { "hrw-------" }));
    }
    shell(
        folder.path(),
        "mkdir out; for p in 1 2; do zstd -dc $p.tar.zst | tar x --no-same-owner -C out; done",
    );
    let out = folder.path().join("out");
    for path in &paths {
        assert!(out.join(path).is_file(), "{path}");
    }
    let read = |object: Object| std::fs::read(out.join(object.path())).unwrap();
    for (object, id) in [
        (object(0, Kind::Block, 3), 3),
        (object(1, Kind::Commit, 105), 105),
        (object(2, Kind::Fs, 101), 101),
        (object(2, Kind::Block, 101), 101),
        (object(2, Kind::Block, 3), 3),
        (object(0, Kind::Fs, 101), 101),
        (object(3, Kind::Block, 9), 9),
    ] {
        assert_eq!(read(object), content(id), "{object}");
    }
    let damaged = out.join("seawall-damaged/01010101-0101-0101-0101-010101010101/commit");
    assert_eq!(damaged.read_dir().unwrap().count(), 1);
}

/// Finds frames as a reader would who knows only the documentation of the seekable format.
#[test]
fn the_seek_table_leads_a_stranger_to_every_frame() {
    let pack = sample();
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "pack", &pack.bytes);
    let number = |at: usize| {
        let bytes = pack.bytes[at..at + 4].try_into().unwrap();
        u32::from_le_bytes(bytes) as usize
    };
    let end = pack.bytes.len();
    assert_eq!(number(end - 4), 0x8F92_EAB1);
    assert_eq!(pack.bytes[end - 5], 0);
    let count = number(end - 9);
    let table = end - 9 - 8 * count;
    assert_eq!(number(table - 8), 0x184D_2A5E);
    assert_eq!(number(table - 4), 8 * count + 9);
    let mut at = 0;
    let mut joined = Vec::new();
    for entry in 0..count {
        let (len, plain_len) = (number(table + 8 * entry), number(table + 8 * entry + 4));
        let script = format!("tail -c +{} pack | head -c {len} | zstd -dcq", at + 1);
        let plain = shell(folder.path(), &script);
        assert_eq!(plain.len(), plain_len);
        joined.extend(plain);
        at += len;
    }
    assert_eq!(at, table - 8);
    assert_eq!(count, pack.contents.frames.len() + 2);
    assert!(joined == shell(folder.path(), "zstd -dcq pack"));
    // The last entry is the table of contents: random bytes, then JSON.
    let toc = at - number(table + 8 * (count - 1));
    let json = shell(
        folder.path(),
        &format!("tail -c +{} pack | head -c {} | zstd -dcq", toc + 8 + 16 + 1, at - toc - 24),
    );
    assert_eq!(Contents::parse(&json).unwrap(), pack.contents);
}
