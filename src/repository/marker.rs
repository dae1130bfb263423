//! Markers: the last thing that a run writes, a signed note (docs/format.md, "Marker"). A snapshot
//! exists if and only if its marker does.

use std::fmt::Write as _;
use std::str::FromStr;

use seawall_backends::Key;

use super::names::SnapshotId;
use super::note::VerifyingKey;
use super::readers::Audience;
use crate::crypt::Seal;
use crate::object::Sha256;
use crate::time::Timestamp;

/// The first line of a marker's text.
const TITLE: &str = "seawall snapshot 1";
/// The first line of a void: it takes the name of a marker, so that a run that was declared dead
/// cannot finish.
const VOID: &str = "seawall void 1";
/// The largest marker. Go's reader of signed notes accepts no more.
pub const MAX_BYTES: usize = 1_000_000;

/// A stored file with what a reader needs to check its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// SHA-256 of the stored bytes.
    pub sha256: Sha256,
    /// Number of stored bytes.
    pub size: u64,
    /// Where they are.
    pub key: Key,
}

/// A host key that signs no more: another chain continues its chain, and nobody waits for new
/// snapshots of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// The last snapshot that it signed, as far as the run knew.
    pub last: SnapshotId,
    /// The key.
    pub key: VerifyingKey,
}

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The repository's id, so that a marker copied to another repository is refused there.
    pub repository: String,
    /// The snapshot's name, which is also the marker's.
    pub snapshot: SnapshotId,
    /// 1 for the first marker of a chain, and one more than the previous marker for the others.
    pub sequence: u64,
    /// The marker that this run built on, and the SHA-256 of its bytes.
    pub previous: Option<(SnapshotId, Sha256)>,
    /// When the run began.
    pub started: Timestamp,
    /// When everything was stored and the marker was written.
    pub finished: Timestamp,
    /// The host's clock when the marker was written. Only set if the snapshot's name, and so
    /// `started`, is ahead of it because an earlier run of the host had a clock that was ahead.
    pub clock: Option<Timestamp>,
    /// When the packs were last listed and compared with the catalog.
    pub listed: Timestamp,
    /// The oldest of the libraries' last full readings in the source. `None`: some library has none
    /// that is known.
    pub audited: Option<Timestamp>,
    /// Objects that the databases point to and that neither source nor repository has.
    pub damage: u64,
    /// How many of the damaged objects the administrator has accepted.
    pub accepted: u64,
    /// One word for each thing that should be in the backup and was left out.
    pub incomplete: Vec<String>,
    /// Number of packs that the lists name.
    pub packs: u64,
    /// Stored bytes of these packs.
    pub bytes: u64,
    /// The age recipients that it was sealed to. Empty: it is not encrypted.
    pub recipients: Vec<String>,
    /// Present or earlier recipients that can open only a part of what the snapshot names.
    pub partly: Vec<String>,
    /// Passphrase-protected keys that open it.
    pub keys: Vec<Named>,
    /// The snapshot's sums: its manifest, and every part of dumps and files.
    pub sums: Named,
    /// Every list that the snapshot needs. By hand, unpack them in this order.
    pub lists: Vec<Named>,
    /// Host keys whose chains this chain continues.
    pub retired: Vec<Retired>,
    /// Lines that this version does not know. Readers ignore them; code that deletes or signs must
    /// refuse.
    pub unknown: Vec<String>,
}

/// Why a text could not be read as a marker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// The first line is another one: not a marker, or of a later format.
    #[error("does not begin with \"{TITLE}\"")]
    Title,
    /// The void of a run that was declared dead. It is no snapshot.
    #[error("is the void of a run that was declared dead")]
    Void,
    /// A line that must be there exactly once is missing or repeated.
    #[error("the line \"{0}\" is missing or there twice")]
    Count(&'static str),
    /// A line's value cannot be parsed.
    #[error("the line {0:?} cannot be read")]
    Line(String),
}

impl Marker {
    /// The text to sign.
    pub fn to_text(&self) -> String {
        let mut text = format!("{TITLE}\n");
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} {value}");
        };
        line("repository", &self.repository);
        line("snapshot", &self.snapshot);
        line("sequence", &self.sequence);
        match &self.previous {
            Some((snapshot, sha256)) => line("previous", &format_args!("{snapshot} {sha256}")),
            None => line("previous", &"none"),
        }
        line("started", &self.started);
        line("finished", &self.finished);
        if let Some(clock) = &self.clock {
            line("clock", clock);
        }
        line("listed", &self.listed);
        if let Some(audited) = &self.audited {
            line("audited", audited);
        }
        line("damage", &self.damage);
        line("accepted", &self.accepted);
        for word in &self.incomplete {
            line("incomplete", word);
        }
        line("packs", &self.packs);
        line("bytes", &self.bytes);
        for recipient in &self.recipients {
            line("recipient", recipient);
        }
        for recipient in &self.partly {
            line("partly", recipient);
        }
        for key in &self.keys {
            line("key", key);
        }
        line("sums", &self.sums);
        for list in &self.lists {
            line("list", list);
        }
        for Retired { last, key } in &self.retired {
            line("retired", &format_args!("{last} {key}"));
        }
        text
    }

    /// How the files that it names are sealed.
    pub fn seal(&self) -> Seal {
        if self.recipients.is_empty() { Seal::None } else { Seal::Age }
    }

    /// Who can open the files that it names.
    pub fn readers(&self) -> Audience {
        Audience { recipients: self.recipients.clone(), partly: self.partly.clone() }
    }

    /// Reads a text whose signature was checked.
    pub fn parse(text: &str) -> Result<Self, MarkerError> {
        let mut lines = text.lines();
        match lines.next() {
            Some(TITLE) => {}
            Some(VOID) => return Err(MarkerError::Void),
            _ => return Err(MarkerError::Title),
        }
        let mut fields = Fields::default();
        for line in lines {
            fields.take(line)?;
        }
        fields.finish()
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.sha256, self.size, self.key)
    }
}

/// The lines of a marker, collected until all are read.
#[derive(Default)]
struct Fields<'a> {
    once: std::collections::BTreeMap<&'static str, &'a str>,
    incomplete: Vec<String>,
    recipients: Vec<String>,
    partly: Vec<String>,
    keys: Vec<Named>,
    lists: Vec<Named>,
    retired: Vec<Retired>,
    unknown: Vec<String>,
}

/// Lines that may stand only once. All but `audited` and `clock` are required.
const ONCE: [&str; 14] = [
    "audited",
    "clock",
    "repository",
    "snapshot",
    "sequence",
    "previous",
    "started",
    "finished",
    "listed",
    "damage",
    "accepted",
    "packs",
    "bytes",
    "sums",
];

impl<'a> Fields<'a> {
    fn take(&mut self, line: &'a str) -> Result<(), MarkerError> {
        let bad = || MarkerError::Line(line.chars().take(200).collect());
        let (name, value) = line.split_once(' ').ok_or_else(bad)?;
        match name {
            "list" => self.lists.push(parse_named(value).ok_or_else(bad)?),
            "retired" => self.retired.push(parse_retired(value).ok_or_else(bad)?),
            "incomplete" => self.incomplete.push(value.to_owned()),
            "recipient" => self.recipients.push(value.to_owned()),
            "partly" => self.partly.push(value.to_owned()),
            "key" => self.keys.push(parse_named(value).ok_or_else(bad)?),
            _ => match ONCE.into_iter().find(|known| *known == name) {
                Some(known) => {
                    if self.once.insert(known, value).is_some() {
                        return Err(MarkerError::Count(known));
                    }
                }
                None => self.unknown.push(line.to_owned()),
            },
        }
        Ok(())
    }

    fn text(&self, name: &'static str) -> Result<&'a str, MarkerError> {
        self.once.get(name).copied().ok_or(MarkerError::Count(name))
    }

    fn value<T: FromStr>(&self, name: &'static str) -> Result<T, MarkerError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| MarkerError::Line(format!("{name} {text}")))
    }

    fn optional<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, MarkerError> {
        let is_there = self.once.contains_key(name);
        is_there.then(|| self.value(name)).transpose()
    }

    fn previous(&self) -> Result<Option<(SnapshotId, Sha256)>, MarkerError> {
        let text = self.text("previous")?;
        if text == "none" {
            return Ok(None);
        }
        let parse = || {
            let (snapshot, sha256) = text.split_once(' ')?;
            Some((snapshot.parse().ok()?, sha256.parse().ok()?))
        };
        parse().map(Some).ok_or_else(|| MarkerError::Line(format!("previous {text}")))
    }

    fn finish(self) -> Result<Marker, MarkerError> {
        let sums = self.text("sums")?;
        Ok(Marker {
            repository: self.value("repository")?,
            snapshot: self.value("snapshot")?,
            sequence: self.value("sequence")?,
            previous: self.previous()?,
            started: self.value("started")?,
            finished: self.value("finished")?,
            listed: self.value("listed")?,
            audited: self.optional("audited")?,
            clock: self.optional("clock")?,
            damage: self.value("damage")?,
            accepted: self.value("accepted")?,
            packs: self.value("packs")?,
            bytes: self.value("bytes")?,
            sums: parse_named(sums).ok_or_else(|| MarkerError::Line(format!("sums {sums}")))?,
            incomplete: self.incomplete,
            recipients: self.recipients,
            partly: self.partly,
            keys: self.keys,
            lists: self.lists,
            retired: self.retired,
            unknown: self.unknown,
        })
    }
}

fn parse_retired(text: &str) -> Option<Retired> {
    let (last, key) = text.split_once(' ')?;
    Some(Retired { last: last.parse().ok()?, key: key.parse().ok()? })
}

fn parse_named(text: &str) -> Option<Named> {
    let mut words = text.split(' ');
    let named = Named {
        sha256: words.next()?.parse().ok()?,
        size: words.next()?.parse().ok()?,
        key: Key::parse(words.next()?).ok()?,
    };
    words.next().is_none().then_some(named)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(seed: u8) -> Named {
        let sha256 = Sha256::new([seed; 32]);
        Named { sha256, size: u64::from(seed), key: super::super::names::list(&sha256) }
    }

    fn retired() -> Retired {
        let host_key = crate::repository::host_key::HostKey::generate("old.example").unwrap();
        Retired { last: "2026-11-21T20-40-05Z-1234".parse().unwrap(), key: host_key.verifying() }
    }

    /// A marker of so many lists; an even number has an audit, and one that three divides a clock.
    pub(crate) fn marker(lists: u8, incomplete: Vec<String>, previous: bool) -> Marker {
        let time = Timestamp::from_seconds(1_795_383_248).unwrap();
        let snapshot = "2026-11-22T20-40-05Z-9f3c".parse().unwrap();
        Marker {
            repository: "00ff".into(),
            snapshot,
            sequence: 7,
            previous: previous.then(|| (snapshot, Sha256::of(b"before"))),
            started: time,
            finished: time,
            listed: time,
            audited: lists.is_multiple_of(2).then_some(time),
            clock: lists.is_multiple_of(3).then_some(time),
            damage: 2,
            accepted: 1,
            incomplete,
            packs: 3,
            bytes: 4,
            sums: named(99),
            recipients: (0..lists % 3).map(|n| format!("age1{n} x")).collect(),
            partly: (1..lists % 3).map(|n| format!("age1{n} x")).collect(),
            keys: (0..lists % 2).map(|_| named(7)).collect(),
            lists: (0..lists).map(named).collect(),
            retired: (0..lists % 3).map(|_| retired()).collect(),
            unknown: Vec::new(),
        }
    }

    proptest! {
        #[test]
        fn round_trip(lists in 0u8..20, words in prop::collection::vec("[a-z-]{1,12}", 0..4), previous in any::<bool>()) {
            let marker = marker(lists, words, previous);
            prop_assert_eq!(Marker::parse(&marker.to_text()), Ok(marker));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "(seawall snapshot 1\n)?([a-z]{1,10} [0-9a-z ]{0,20}\n){0,20}") {
            let _ = Marker::parse(&text);
        }
    }

    #[test]
    fn each_line_must_stand_once() {
        let text = marker(6, Vec::new(), true).to_text();
        for name in ONCE {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
            let without = text.replacen(&format!("{line}\n"), "", 1);
            if ["audited", "clock"].contains(&name) {
                let marker = Marker::parse(&without).unwrap();
                assert!(marker.audited.is_none() || marker.clock.is_none());
            } else {
                assert_eq!(Marker::parse(&without), Err(MarkerError::Count(name)));
            }
            let twice = format!("{text}{line}\n");
            assert_eq!(Marker::parse(&twice), Err(MarkerError::Count(name)));
        }
    }

    #[test]
    fn unknown_lines_are_kept_apart() {
        let text = format!("{}later what\n", marker(1, Vec::new(), false).to_text());
        assert_eq!(Marker::parse(&text).unwrap().unknown, ["later what"]);
    }

    #[test]
    fn voids_and_other_texts_are_told_apart() {
        assert_eq!(Marker::parse("seawall void 1\n"), Err(MarkerError::Void));
        assert_eq!(Marker::parse("seawall snapshot 2\n"), Err(MarkerError::Title));
        assert_eq!(Marker::parse(""), Err(MarkerError::Title));
    }
}
