//! Decodes every pack. Compares its tar and its table of contents with the index, and each member
//! with its own name.

use std::ops::Range;

use seawall_backends::{self as backends, Key};

use super::DeepPass;
use super::spool::{Link, PackNumber};
use crate::check::data::{ALTERED, Meter, Patience};
use crate::check::needs::NeedReading;
use crate::check::report::ProblemKind;
use crate::object::{Kind, Object, Sha256};
use crate::proof::{self, Proof};
use crate::repository::names::{self, PackKind};
use crate::repository::pack::{self, Contents, HeaderCheck, Member, MemberPlace};
use crate::repository::pool;
use crate::repository::segment::Line;
use crate::repository::{Error, Repository, Result};

/// A pack to decode.
struct DecodeTask {
    number: PackNumber,
    line: Line,
}

/// A decoded pack.
struct Decoded {
    number: PackNumber,
    line: Line,
    /// `None`: the bytes are not those of the pack. An error: it could not be fetched.
    found: backends::Result<Option<DecodedPack>>,
}

/// What a pack holds, and what is wrong with it.
#[derive(Default)]
struct DecodedPack {
    problems: Vec<String>,
    good: Vec<Good>,
    unverifiable: u64,
}

/// A member whose bytes match its name.
struct Good {
    ordinal: u32,
    object: Object,
    len: u64,
    /// The bytes of a commit or fs object; `None` for a block.
    bytes: Option<Vec<u8>>,
}

impl DeepPass<'_> {
    /// Decodes all packs that are present and have no problem yet, each once.
    pub(super) fn packs(&mut self) -> Result<()> {
        let (spool, repository) = (self.spool, self.repository);
        let random_block_ids = self.random_block_ids;
        let mut total = 0;
        let mut numbers = Vec::new();
        for number in 1..=spool.packs()? {
            let line = spool.line(number)?;
            let key = names::pack(line.kind, &line.pack, repository.seal());
            let thing = self.needs.get(&key);
            if thing.is_some_and(|thing| thing.trouble().is_none()) {
                total += line.size;
                numbers.push(number);
            } else {
                self.bad_packs.insert(number);
            }
        }
        let mut patience = Patience::default();
        let mut meter = Meter::new(total, self.progress);
        let task = |number| {
            let line = spool.line(number)?;
            Ok(DecodeTask { number, line })
        };
        pool::run(
            self.workers.min(numbers.len()),
            numbers.into_iter().map(task),
            |task| decode(repository, task, random_block_ids),
            |decoded| self.take_pack(decoded, &mut patience, &mut meter),
        )
    }

    fn take_pack(
        &mut self,
        decoded: Decoded,
        patience: &mut Patience,
        meter: &mut Meter<'_>,
    ) -> Result<()> {
        let Decoded { number, line, found } = decoded;
        meter.add(line.size);
        let key = names::pack(line.kind, &line.pack, self.repository.seal());
        let found = match patience.judge(found)? {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.bad_pack(number, &key, ProblemKind::Altered, ALTERED.into());
                return Ok(());
            }
            Err((kind, detail)) => {
                self.bad_pack(number, &key, kind, detail);
                return Ok(());
            }
        };
        if let Some(thing) = self.needs.get_mut(&key)
            && thing.reading == NeedReading::None
        {
            thing.reading = NeedReading::Good;
            self.read.add(line.size);
            self.deep.packs += 1;
        }
        self.deep.unverifiable += found.unverifiable;
        if let Some(detail) = summary(&found.problems) {
            self.bad_packs.insert(number);
            self.bad(&key, ProblemKind::Undecodable, detail);
        }
        for Good { ordinal, object, len, bytes } in found.good {
            self.deep.objects += 1;
            self.spool.add_bytes(number, ordinal, &object, len, bytes.as_deref())?;
        }
        for (ordinal, member) in (0..).zip(&line.contents.members) {
            if let MemberPlace::Link { target } = member.place {
                self.deep.links += 1;
                let object = member.name.object;
                let link = Link { ordinal, object, target };
                self.spool.add_link(number, &link)?;
            }
        }
        Ok(())
    }
}

impl DeepPass<'_> {
    /// Records a pack that could not be fetched or has other bytes. It is not read again.
    fn bad_pack(&mut self, number: PackNumber, key: &Key, kind: ProblemKind, detail: String) {
        self.bad_packs.insert(number);
        if let Some(thing) = self.needs.get_mut(key)
            && thing.reading == NeedReading::None
        {
            thing.reading = NeedReading::Bad(kind, detail.clone());
            self.bad(key, kind, detail);
        }
    }
}

/// The first of some problems, and how many more there are.
fn summary(problems: &[String]) -> Option<String> {
    match problems {
        [] => None,
        [one] => Some(one.clone()),
        [first, rest @ ..] => Some(format!("{first}; and {} more problems", rest.len())),
    }
}

fn decode(repository: &Repository, task: DecodeTask, random_block_ids: bool) -> Decoded {
    let DecodeTask { number, line } = task;
    let key = names::pack(line.kind, &line.pack, repository.seal());
    let found = repository.backend().get(&key, None).map(|stored| {
        let is_it = Sha256::of(&stored) == line.pack;
        is_it.then(|| match repository.open_file(&key, stored) {
            Ok(bytes) => look(&bytes, &line, random_block_ids),
            Err(error) => unopened(&error),
        })
    });
    Decoded { number, line, found }
}

/// The finding for a pack that could not be decrypted.
fn unopened(error: &Error) -> DecodedPack {
    DecodedPack { problems: vec![crate::causes::chain(error)], ..DecodedPack::default() }
}

/// Examines the bytes of a pack where the index says that its members are, because a restore goes
/// by the index.
fn look(bytes: &[u8], line: &Line, random_block_ids: bool) -> DecodedPack {
    let mut found = DecodedPack::default();
    let contents = &line.contents;
    let agrees = match pack::read_contents(bytes) {
        Ok((own, _)) if own == *contents => true,
        Ok((own, _)) => {
            found.problems.push(difference(&own, contents));
            false
        }
        Err(error) => {
            found.problems.push(format!("its table of contents: {error}"));
            false
        }
    };
    let stray = (contents.members.iter())
        .find(|member| (member.name.object.kind == Kind::Block) != (line.kind == PackKind::Blocks));
    if let Some(member) = stray {
        found.problems.push(format!("{} does not belong in such a pack", member.name));
    }
    let mut tar = agrees.then(|| HeaderCheck::new(contents));
    for (frame, members) in by_frame(contents) {
        let plain = match frame_bytes(bytes, contents, frame) {
            Ok(plain) => plain,
            Err(error) => {
                found.problems.push(format!("frame {frame}: {error}"));
                tar = None;
                continue;
            }
        };
        if let Some(error) = tar.as_mut().and_then(|tar| tar.check_frame(&plain).err()) {
            found.problems.push(format!("frame {frame}: {error}"));
            tar = None;
        }
        for ordinal in members {
            prove(&mut found, contents, ordinal, &plain, random_block_ids);
        }
    }
    if let Some(error) = tar.and_then(|tar| {
        let end = pack::check_end_mark(bytes, contents);
        tar.finish().and(end).err()
    }) {
        found.problems.push(error.to_string());
    }
    found
}

/// For each frame the range of its members. A link belongs to the frame of the next member with
/// bytes.
fn by_frame(contents: &Contents) -> Vec<(usize, Range<usize>)> {
    let mut start = 0;
    (0..contents.frames.len())
        .map(|frame| {
            let is_later = |member: &Member| match member.place {
                MemberPlace::Data { frame: its, .. } => its as usize > frame,
                MemberPlace::Link { .. } => false,
            };
            let rest = contents.members.get(start..).unwrap_or_default();
            let len = rest.iter().position(is_later).unwrap_or(rest.len());
            start += len;
            (frame, start - len..start)
        })
        .collect()
}

fn frame_bytes(bytes: &[u8], contents: &Contents, frame: usize) -> pack::Result<Vec<u8>> {
    let outside = pack::Error::Malformed("a frame outside of the pack");
    let frame = contents.frames.get(frame);
    let stored = frame.and_then(|frame| {
        let start = usize::try_from(frame.offset).ok()?;
        let stored = bytes.get(start..)?.get(..usize::try_from(frame.len).ok()?)?;
        Some((stored, frame))
    });
    let (stored, frame) = stored.ok_or(outside)?;
    pack::read_frame(stored, frame)
}

/// Compares one member with its name.
fn prove(
    found: &mut DecodedPack,
    contents: &Contents,
    ordinal: usize,
    plain: &[u8],
    random_block_ids: bool,
) {
    let Some(member) = contents.members.get(ordinal) else {
        return;
    };
    if matches!(member.place, MemberPlace::Link { .. }) {
        return;
    }
    let bytes = match pack::member_bytes(plain, member) {
        Ok(bytes) => bytes,
        Err(error) => {
            found.problems.push(format!("{}: {error}", member.name));
            return;
        }
    };
    match proof::prove(member, bytes, random_block_ids) {
        Ok(proof) => found.unverifiable += u64::from(proof == Proof::Unverifiable),
        Err(problem) => {
            found.problems.push(problem);
            return;
        }
    }
    let object = member.name.object;
    if !member.name.damaged {
        found.good.push(Good {
            // At most 65,536 members.
            ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
            object,
            len: bytes.len() as u64,
            bytes: (object.kind != Kind::Block).then(|| bytes.to_vec()),
        });
    }
}

/// The first difference between a pack's own table of contents and the index.
fn difference(own: &Contents, index: &Contents) -> String {
    let differ = own.members.iter().zip(&index.members).find(|(a, b)| a != b);
    if let Some((own, index)) = differ {
        return format!("the index names {} and the pack {}", describe(index), describe(own));
    }
    let (has, named) = (own.members.len(), index.members.len());
    if let Some(extra) = own.members.get(named) {
        return format!("the index does not name {}", describe(extra));
    }
    if let Some(lacking) = index.members.get(has) {
        return format!("the pack does not have {}", describe(lacking));
    }
    "the index names other frames than the pack has".into()
}

fn describe(member: &Member) -> String {
    match member.place {
        MemberPlace::Data { frame, offset, len, .. } => {
            format!("{} (frame {frame}, offset {offset}, {len} bytes)", member.name)
        }
        MemberPlace::Link { target } => format!("{} (link into {target})", member.name),
    }
}
