//! The names of everything in a repository (docs/format.md, "Names"). No other module builds a key.

use std::fmt;
use std::str::FromStr;

use seawall_backends::Key;

use super::note::KeyId;
use crate::crypt::Seal;
use crate::object::Sha256;
use crate::time::Timestamp;

/// Folder of the packs' indexes.
pub const INDEX: &str = "data/index";
/// Folder of lists and sums.
pub const LISTS: &str = "data/lists";
/// Folder of packs of blocks.
pub const BLOCKS: &str = "data/blocks";
/// Folder of packs of commits and fs objects.
pub const TREES: &str = "data/trees";
/// Folder of ordinary files.
pub const FILES: &str = "data/files";
/// Folder of manifests.
pub const MANIFESTS: &str = "data/manifests";
/// Folder of intents, heartbeats, tombstones and damage records.
pub const RUNS: &str = "data/runs";
/// Folder of database dumps.
pub const DATABASES: &str = "databases";
/// Folder of markers.
pub const MARKERS: &str = "markers";
/// Folder of hosts' public keys.
pub const KEYS: &str = "keys";

/// The name of one backup run: its UTC start and the first four hex digits of its host's key id,
/// such as `2026-11-22T20-40-05Z-9f3c`. Sorts by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId {
    started: Timestamp,
    host: u16,
}

impl SnapshotId {
    /// Names a run.
    pub fn new(started: Timestamp, host: KeyId) -> Self {
        let [first, second, ..] = *host.as_bytes();
        Self { started, host: u16::from_be_bytes([first, second]) }
    }

    /// When the run started.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The first four hex digits of its host's key id.
    pub fn host(&self) -> String {
        format!("{:04x}", self.host)
    }

    /// The name of a run of the same host one second later.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { started: self.started.plus(std::time::Duration::from_secs(1)), host: self.host }
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:04x}", self.started.file_name(), self.host)
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that does not name a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a snapshot (like 2026-11-22T20-40-05Z-9f3c)")]
pub struct ParseSnapshotError;

impl FromStr for SnapshotId {
    type Err = ParseSnapshotError;

    fn from_str(text: &str) -> Result<Self, ParseSnapshotError> {
        let parse = || {
            let (time, host) = text.rsplit_once('-')?;
            let started = Timestamp::from_file_name(time)?;
            let host = u16::from_str_radix(host, 16).ok()?;
            let snapshot = Self { started, host };
            (snapshot.to_string() == text).then_some(snapshot)
        };
        parse().ok_or(ParseSnapshotError)
    }
}

impl serde::Serialize for SnapshotId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SnapshotId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a pack holds. The kind decides the pack's folder, so that an administrator can move blocks
/// alone to cold storage.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PackKind {
    /// Blocks: the content of files.
    Blocks,
    /// Commits and fs objects: history and folders.
    Trees,
}

impl PackKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Blocks, Self::Trees];

    /// The folder that packs of this kind lie in.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Blocks => BLOCKS,
            Self::Trees => TREES,
        }
    }
}

/// Builds a key from parts that were validated before.
fn key(text: &str) -> Key {
    Key::parse(text).expect("names of stored things are built from checked parts")
}

/// `seawall.json`
pub fn configuration() -> Key {
    key("seawall.json")
}

/// `restore-by-hand.md`: how to restore without seawall.
pub fn page() -> Key {
    key("restore-by-hand.md")
}

/// `keys/<key id>.pub`
pub fn host_key(id: KeyId) -> Key {
    key(&format!("{KEYS}/{id}.pub"))
}

/// `keys/passphrase-<8 hex>.age`: the identity of a recipient, protected by a passphrase. The hex
/// digits are the first of the SHA-256 of the recipient's text.
pub fn wrapped_key(recipient: &str) -> Key {
    let hash = Sha256::of(recipient.as_bytes()).to_string();
    key(&format!("{KEYS}/passphrase-{}.age", &hash[..8]))
}

/// Whether a key has the form of [`wrapped_key`].
pub fn is_wrapped_key(text: &Key) -> bool {
    let file = text.as_str().strip_prefix(KEYS);
    let name = file.and_then(|file| file.strip_prefix("/passphrase-"));
    name.is_some_and(|name| name.strip_suffix(Seal::Age.suffix()).is_some())
}

/// `markers/<snapshot>`
pub fn marker(snapshot: SnapshotId) -> Key {
    key(&format!("{MARKERS}/{snapshot}"))
}

/// `data/runs/<snapshot>`
pub fn intent(snapshot: SnapshotId) -> Key {
    key(&format!("{RUNS}/{snapshot}"))
}

/// `data/runs/<snapshot>.<n>`
pub fn heartbeat(snapshot: SnapshotId, number: u32) -> Key {
    key(&format!("{RUNS}/{snapshot}.{number}"))
}

/// `data/runs/damaged-<time>-<random>`
pub fn damage_record(now: Timestamp, random: u32) -> Key {
    key(&format!("{RUNS}/damaged-{}-{random:08x}", now.file_name()))
}

/// Whether a damage record may name this file, so that runs count it as absent: packs, the index,
/// and a snapshot's own files. Markers, host keys and the files of `data/runs/` are never recorded.
pub fn may_be_absent(key: &Key) -> bool {
    let folders = [INDEX, LISTS, BLOCKS, TREES, FILES, MANIFESTS, DATABASES];
    folders.into_iter().any(|folder| key.is_below(folder))
}

/// `data/manifests/<snapshot>.json.zst`
pub fn manifest(snapshot: SnapshotId, seal: Seal) -> Key {
    key(&format!("{MANIFESTS}/{snapshot}.json.zst{}", seal.suffix()))
}

/// `data/lists/<snapshot>.sha256`
pub fn sums(snapshot: SnapshotId) -> Key {
    key(&format!("{LISTS}/{snapshot}.sha256"))
}

/// `data/lists/<64 hex>.sha256`
pub fn list(name: &Sha256) -> Key {
    key(&format!("{LISTS}/{name}.sha256"))
}

/// `data/index/<64 hex>.jsonl.zst`
pub fn segment(name: &Sha256, seal: Seal) -> Key {
    key(&format!("{INDEX}/{name}.jsonl.zst{}", seal.suffix()))
}

/// `data/{blocks,trees}/<2 hex>/<64 hex>.tar.zst`
pub fn pack(kind: PackKind, name: &Sha256, seal: Seal) -> Key {
    let name = name.to_string();
    key(&format!("{}/{}/{name}.tar.zst{}", kind.folder(), &name[..2], seal.suffix()))
}

/// The snapshot whose marker would lie at this key.
pub fn parse_marker(text: &Key) -> Option<SnapshotId> {
    let name = text.as_str().strip_prefix(MARKERS)?.strip_prefix('/')?;
    name.parse().ok()
}

/// Reads [`intent`] and [`heartbeat`] back: the run that the key belongs to.
pub fn parse_run(text: &Key) -> Option<SnapshotId> {
    let name = text.as_str().strip_prefix(RUNS)?.strip_prefix('/')?;
    name.split_once('.').map_or(name, |(run, _)| run).parse().ok()
}

/// Reads [`pack`] back.
pub fn parse_pack(text: &Key, seal: Seal) -> Option<(PackKind, Sha256)> {
    let (folder, file) = text.as_str().rsplit_once('/')?;
    let kind = PackKind::ALL.into_iter().find(|kind| text.is_below(kind.folder()))?;
    let name = file.strip_suffix(seal.suffix())?.strip_suffix(".tar.zst")?.parse().ok()?;
    (folder.len() == kind.folder().len() + 3 && pack(kind, &name, seal) == *text)
        .then_some((kind, name))
}

/// Reads [`segment`] back.
pub fn parse_segment(text: &Key, seal: Seal) -> Option<Sha256> {
    let file = text.as_str().strip_prefix(INDEX)?.strip_prefix('/')?;
    let name = file.strip_suffix(seal.suffix())?.strip_suffix(".jsonl.zst")?.parse().ok()?;
    (segment(&name, seal) == *text).then_some(name)
}

/// `databases/<snapshot>/<role>.<ending>.zst.<five digits>`; `None` if `role` cannot be part of a
/// key.
pub fn dump_part(
    snapshot: SnapshotId,
    role: &str,
    ending: &str,
    index: u32,
    seal: Seal,
) -> Option<Key> {
    let suffix = seal.suffix();
    Key::parse(&format!("{DATABASES}/{snapshot}/{role}.{ending}.zst.{index:05}{suffix}")).ok()
}

/// `data/files/<snapshot>/<group>.tar.zst.<five digits>`; `None` if `group` cannot be part of a
/// key.
pub fn files_part(snapshot: SnapshotId, group: &str, index: u32, seal: Seal) -> Option<Key> {
    let suffix = seal.suffix();
    Key::parse(&format!("{FILES}/{snapshot}/{group}.tar.zst.{index:05}{suffix}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_as_documented() {
        let snapshot: SnapshotId = "2026-11-22T20-40-05Z-9f3c".parse().unwrap();
        let hash = Sha256::of(b"");
        assert_eq!(marker(snapshot).as_str(), "markers/2026-11-22T20-40-05Z-9f3c");
        assert_eq!(
            dump_part(snapshot, "seafile", "db", 3, Seal::None).unwrap().as_str(),
            "databases/2026-11-22T20-40-05Z-9f3c/seafile.db.zst.00003"
        );
        assert_eq!(
            pack(PackKind::Trees, &hash, Seal::None).as_str(),
            format!("data/trees/e3/{hash}.tar.zst")
        );
    }

    proptest! {
        #[test]
        fn packs_and_segments_are_read_back(bytes in any::<[u8; 32]>(), blocks in any::<bool>()) {
            let name = Sha256::new(bytes);
            let kind = PackKind::ALL[usize::from(blocks)];
            prop_assert_eq!(parse_pack(&pack(kind, &name, Seal::None), Seal::None), Some((kind, name)));
            prop_assert_eq!(parse_segment(&segment(&name, Seal::None), Seal::None), Some(name));
            prop_assert_eq!(parse_segment(&list(&name), Seal::None), None);
        }

        #[test]
        fn snapshots_round_trip(seconds in 0i64..253_402_300_799, host in any::<[u8; 4]>()) {
            let time = Timestamp::from_seconds(seconds).unwrap();
            let snapshot = SnapshotId::new(time, KeyId::new(host));
            prop_assert_eq!(parse_marker(&marker(snapshot)), Some(snapshot));
            prop_assert_eq!(parse_run(&intent(snapshot)), Some(snapshot));
            prop_assert_eq!(parse_run(&heartbeat(snapshot, 3)), Some(snapshot));
            prop_assert!(KeyId::new(host).to_string().starts_with(&snapshot.host()));
            prop_assert_eq!(snapshot.to_string().parse(), Ok(snapshot));
        }
    }

    #[test]
    fn packs_in_the_wrong_folder_are_no_packs() {
        let name = Sha256::of(b"x");
        let right = pack(PackKind::Blocks, &name, Seal::None);
        let wrong = Key::parse(&right.as_str().replacen(&name.to_string()[..2], "zz", 1)).unwrap();
        assert_eq!(parse_pack(&wrong, Seal::None), None);
    }
}
