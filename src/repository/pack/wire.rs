//! [`Contents`] as JSON, for a pack's own table and, flattened, for a line of a segment.
//!
//! The input is not trusted. A number becomes a store only if the list has it, and
//! [`Contents::validate`] checks the result.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::{self, SerializeSeq as _, SerializeStruct as _, Serializer};
use serde::{Deserialize, Serialize};

use super::contents::Stores;
use super::{Contents, Frame, Member, MemberName, MemberPlace};
use crate::object::{Kind, Object, ObjectId, Sha256, Store};

/// Stands where a frame's number would be.
const LINK: &str = "link";

impl Serialize for Contents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.validate().map_err(ser::Error::custom)?;
        let stores = Stores::of(self);
        let mut fields = serializer.serialize_struct("Contents", 3)?;
        fields.serialize_field("stores", &stores.names)?;
        fields.serialize_field("frames", &FramesOf(&self.frames))?;
        fields.serialize_field("members", &MembersOf(&self.members, &stores))?;
        fields.end()
    }
}

struct FramesOf<'a>(&'a [Frame]);

impl Serialize for FramesOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_seq(self.0.iter().map(|frame| (frame.offset, frame.len, frame.plain_len)))
    }
}

struct MembersOf<'a>(&'a [Member], &'a Stores);

impl Serialize for MembersOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|member| MemberOf(member, self.1)))
    }
}

struct MemberOf<'a>(&'a Member, &'a Stores);

impl Serialize for MemberOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(Member { name, place }, stores) = self;
        let mut fields = serializer.serialize_seq(None)?;
        fields.serialize_element(&stores.indices.get(&name.object.store))?;
        fields.serialize_element(kind_name(name.object.kind, name.damaged))?;
        fields.serialize_element(&name.object.id)?;
        match place {
            MemberPlace::Data { frame, offset, len, sha256 } => {
                fields.serialize_element(frame)?;
                fields.serialize_element(offset)?;
                fields.serialize_element(len)?;
                if let Some(sha256) = sha256 {
                    fields.serialize_element(sha256)?;
                }
            }
            MemberPlace::Link { target } => {
                fields.serialize_element(LINK)?;
                fields.serialize_element(&stores.indices.get(target))?;
            }
        }
        fields.end()
    }
}

const fn kind_name(kind: Kind, damaged: bool) -> &'static str {
    match (kind, damaged) {
        (Kind::Block, false) => "block",
        (Kind::Fs, false) => "fs",
        (Kind::Commit, false) => "commit",
        (Kind::Block, true) => "damaged block",
        (Kind::Fs, true) => "damaged fs",
        (Kind::Commit, true) => "damaged commit",
    }
}

impl<'de> Deserialize<'de> for Contents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let contents = ContentsWire::deserialize(deserializer)?
            .resolve()
            .ok_or_else(|| de::Error::custom("a store that is not in the list"))?;
        contents.validate().map_err(de::Error::custom)?;
        Ok(contents)
    }
}

/// The JSON as it is read, before numbers become stores.
#[derive(Deserialize)]
struct ContentsWire {
    stores: Vec<Store>,
    frames: Vec<(u64, u64, u64)>,
    members: Vec<WireMember>,
}

struct WireMember {
    store: usize,
    kind: Kind,
    damaged: bool,
    id: ObjectId,
    place: WirePlace,
}

enum WirePlace {
    Data(MemberPlace),
    Link(usize),
}

impl ContentsWire {
    fn resolve(self) -> Option<Contents> {
        let store = |index: usize| self.stores.get(index).copied();
        let resolve = |member: WireMember| {
            Some(Member {
                name: MemberName {
                    object: Object::new(store(member.store)?, member.kind, member.id),
                    damaged: member.damaged,
                },
                place: match member.place {
                    WirePlace::Data(place) => place,
                    WirePlace::Link(target) => MemberPlace::Link { target: store(target)? },
                },
            })
        };
        let frame = |(offset, len, plain_len)| Frame { offset, len, plain_len };
        Some(Contents {
            frames: self.frames.into_iter().map(frame).collect(),
            members: self.members.into_iter().map(resolve).collect::<Option<_>>()?,
        })
    }
}

impl<'de> Deserialize<'de> for WireMember {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(MemberVisitor)
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = WireMember;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member: [store, kind, id, frame, offset, length] or [store, kind, id, \"link\", store]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<WireMember, A::Error> {
        let store = next(&mut fields)?;
        let WireKind(kind, damaged) = next(&mut fields)?;
        let id = next(&mut fields)?;
        let place = match next(&mut fields)? {
            FrameOrLink::Link => WirePlace::Link(next(&mut fields)?),
            FrameOrLink::Frame(frame) => WirePlace::Data(MemberPlace::Data {
                frame,
                offset: next(&mut fields)?,
                len: next(&mut fields)?,
                sha256: fields.next_element::<Sha256>()?,
            }),
        };
        // serde refuses the list if elements are left.
        Ok(WireMember { store, kind, damaged, id, place })
    }
}

fn next<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(fields: &mut A) -> Result<T, A::Error> {
    fields.next_element()?.ok_or_else(|| de::Error::custom("a member with too few elements"))
}

struct WireKind(Kind, bool);

impl<'de> Deserialize<'de> for WireKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KindVisitor;

        impl Visitor<'_> for KindVisitor {
            type Value = WireKind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("commit, fs or block, perhaps with \"damaged \" before it")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<WireKind, E> {
                Kind::ALL
                    .into_iter()
                    .flat_map(|kind| [WireKind(kind, false), WireKind(kind, true)])
                    .find(|&WireKind(kind, damaged)| kind_name(kind, damaged) == text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(KindVisitor)
    }
}

enum FrameOrLink {
    Frame(u32),
    Link,
}

impl<'de> Deserialize<'de> for FrameOrLink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FrameOrLinkVisitor;

        impl Visitor<'_> for FrameOrLinkVisitor {
            type Value = FrameOrLink;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of a frame or \"link\"")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<FrameOrLink, E> {
                u32::try_from(number)
                    .map(FrameOrLink::Frame)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FrameOrLink, E> {
                if text == LINK {
                    Ok(FrameOrLink::Link)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }
        }

        deserializer.deserialize_any(FrameOrLinkVisitor)
    }
}
