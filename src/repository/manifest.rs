//! Manifests: what one snapshot holds (docs/format.md, "Manifest"). JSON, compressed; unknown fields
//! are ignored by readers.

use seawall_backends::Key;
use serde::{Deserialize, Serialize};

use super::names::SnapshotId;
use super::{Error, frames};
use crate::object::{Kind, LibraryId, Object, ObjectId, Sha256, Store};
use crate::time::{Day, Timestamp};

/// The largest manifest that is read, in bytes of JSON.
const MAX_BYTES: u64 = 1 << 30;

/// What one snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of the manifest, 1.
    pub format: u32,
    /// Name and version of the program that wrote it.
    pub tool: String,
    /// The snapshot that it belongs to.
    pub snapshot: SnapshotId,
    /// When its run began.
    pub started: Timestamp,
    /// The installation.
    pub source: Source,
    /// The dumped databases, `seafile` first.
    pub databases: Vec<Database>,
    /// Every library with a row: live, in the trash, virtual. Sorted by id.
    pub libraries: Vec<Library>,
    /// Stores on disk that no row points to.
    pub unreferenced: Vec<Unreferenced>,
    /// Ordinary files.
    pub files: Vec<FileGroup>,
    /// Objects that something points to and that are nowhere to be had.
    pub damage: Vec<Damage>,
    /// Objects that the source lost and the repository still has.
    pub source_damage: Vec<Damage>,
    /// What was left out on purpose, and why.
    pub left_out: Vec<LeftOut>,
    /// What the administrator should know, one line each.
    pub warnings: Vec<String>,
}

/// The installation that was backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its absolute path.
    pub path: String,
    /// The host's name.
    pub host: String,
    /// Seafile's version, if the program folder tells.
    pub seafile_version: Option<String>,
    /// Whether it is Seafile Professional.
    pub pro: bool,
    /// Whether ids of blocks may be random, so that their bytes prove nothing.
    #[serde(default)]
    pub random_block_ids: bool,
    /// Links at Seafile's known places that were followed, as (path inside, target).
    pub links: Vec<(String, String)>,
    /// Whether unreachable objects were copied too.
    pub everything: bool,
    /// The patterns that were excluded.
    pub excludes: Vec<String>,
}

/// A stored piece of a dump or of a group of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    #[serde(with = "key_text")]
    pub key: Key,
    /// Bytes stored.
    pub size: u64,
    /// SHA-256 of the stored bytes, as in the sums.
    pub sha256: Sha256,
}

/// The word of `incomplete` for a night on which the source was gone: what is stored stays.
pub const SOURCE_GONE: &str = "source-gone";

/// The engine of a database that is a SQLite file, and is stored as one.
pub const SQLITE: &str = "sqlite";
/// The engine of a database on MySQL or MariaDB, stored as SQL text.
pub const MYSQL: &str = "mysql";

/// A dumped database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// `seafile`, `usermgr` …: its name in the repository.
    pub role: String,
    /// [`SQLITE`] or [`MYSQL`].
    pub engine: String,
    /// Its name on the server (MySQL, MariaDB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The version of the server that it was dumped from (MySQL, MariaDB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What tells that server from others, as it said itself (MySQL, MariaDB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Where it belongs inside the installation (SQLite).
    pub path: Option<String>,
    /// Its length before compression, in bytes.
    pub size: u64,
    /// SHA-256 of the whole dump before compression.
    pub sha256: Sha256,
    /// Permission bits of the source file (SQLite).
    pub mode: Option<u32>,
    /// Owner and group of the source file (SQLite).
    pub owner: Option<(u32, u32)>,
    /// What `PRAGMA integrity_check` found in the copy; empty if it is sound.
    pub integrity: Vec<String>,
    /// Its pieces, in order.
    pub parts: Vec<Part>,
}

/// Whether a library is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LibraryState {
    /// It has a row in `Repo`.
    Live,
    /// It is in the system's trash.
    Trash,
}

/// How many objects of a store the repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Commits.
    pub commits: u64,
    /// Folders and lists of blocks.
    pub fs: u64,
    /// Blocks.
    pub blocks: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Counts {
    /// Of all kinds.
    pub fn objects(&self) -> u64 {
        self.commits + self.fs + self.blocks
    }
}

/// Where a virtual library takes its content from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The library whose folder it shares, and in whose store fs objects and blocks lie.
    pub library: LibraryId,
    /// That folder.
    pub path: String,
    /// The origin's commit that both were last merged at.
    pub base_commit: Option<ObjectId>,
}

/// A library as it was in the dumped databases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// Its id.
    pub id: LibraryId,
    /// Its name.
    pub name: Option<String>,
    /// Its owner's e-mail address.
    pub owner: Option<String>,
    /// Live or in the trash.
    pub state: LibraryState,
    /// Branches and the commits that they point to.
    pub heads: Vec<(String, ObjectId)>,
    /// Only of a virtual library.
    pub origin: Option<Origin>,
    /// Whether its content is encrypted by its users.
    pub encrypted: Option<bool>,
    /// History before this moment (seconds since 1970) may have been collected: the highest value ever recorded.
    pub valid_since: Option<i64>,
    /// Days of history that Seafile keeps.
    pub history_days: Option<i64>,
    /// Seconds since 1970 of the newest head commit.
    pub head_time: Option<i64>,
    /// What the repository holds of its own store.
    pub counts: Counts,
    /// Everything that its heads point to, as far as it is required, is in the repository.
    pub closed: bool,
    /// Objects of collected history that are not there any more; no damage.
    pub history_incomplete: u64,
    /// Required objects that are nowhere to be had.
    pub damage: u64,
    /// A lost commit or fs object of it cuts off what may be the last copy: its stores were copied by listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Listed>,
    /// When all of it was last looked at in the source, whether it had changed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audited: Option<Audited>,
}

/// What was copied by listing, since no pointer leads to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Listed {
    /// Objects that no walk came by.
    pub objects: u64,
    /// The newest commit of the library that can be read: its id, and its time in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<(ObjectId, i64)>,
}

/// A look at all of a library in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// When the run began.
    pub time: Timestamp,
    /// Its place in the chain.
    pub sequence: u64,
}

/// A store on disk without a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreferenced {
    /// Its library id.
    pub store: LibraryId,
    /// Listed in `GarbageRepos`: deleted for good, waiting for the garbage collection; left out.
    pub garbage: bool,
    /// What the repository holds of it.
    pub counts: Counts,
    /// The newest commit found: its id, its time in seconds since 1970, and the library's name in it.
    pub newest: Option<(ObjectId, i64, String)>,
    /// The highest valid-since that was recorded while it had a row.
    #[serde(default)]
    pub valid_since: Option<i64>,
}

/// A group of ordinary files: one tar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGroup {
    /// Its name in the repository.
    pub name: String,
    /// Its true name: a folder inside the installation.
    pub label: String,
    /// Tells, without reading the files, whether anything changed.
    pub fingerprint: Sha256,
    /// The moment that the fingerprint counts as settled before, in seconds since 1970.
    pub settled_before: i64,
    /// Number of members.
    pub members: u64,
    /// Bytes of the tar before compression.
    pub size: u64,
    /// SHA-256 of the tar before compression.
    pub sha256: Sha256,
    /// Its pieces, in order.
    pub parts: Vec<Part>,
}

/// An object that is missing or bad in the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Its store.
    pub store: Store,
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: ObjectId,
    /// The library that needs it.
    pub library: LibraryId,
    /// A stable word: `missing`, `empty`, `wrong-id` …
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// Paths of the newest state that are affected, at most 100.
    pub paths: Vec<String>,
    /// The first snapshot that had it.
    pub first_seen: SnapshotId,
    /// SHA-256 of the bad bytes that are kept below `seawall-damaged/`.
    pub kept: Option<Sha256>,
    /// The administrator knows of it, and it is no news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
}

/// The administrator's word that some damage is known (docs/design.md, "Accepted damage").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// When it was given.
    pub since: Timestamp,
    /// The last day that it holds; `None`: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Day>,
    /// Why, in the administrator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Acceptance {
    /// Whether it held once and does not any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until.is_over(now))
    }
}

/// How many objects are damaged; one may be listed for several libraries.
pub fn count_objects<'a>(damage: impl IntoIterator<Item = &'a Damage>) -> u64 {
    let objects: std::collections::HashSet<Object> =
        damage.into_iter().map(Damage::object).collect();
    objects.len() as u64
}

impl Damage {
    /// What is damaged.
    pub fn object(&self) -> Object {
        Object::new(self.store, self.kind, self.id)
    }
}

/// Something that is not in the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Path inside the installation, or a name.
    pub path: String,
    /// Why.
    pub reason: String,
}

mod key_text {
    use seawall_backends::Key;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(key.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let text = String::deserialize(deserializer)?;
        Key::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Manifest {
    /// The bytes to seal and store.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_vec(self).map_err(|error| self.malformed(&error))?;
        Ok(frames::compress_frame(&json, 3)?)
    }

    /// Reads bytes whose SHA-256 was checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let json = frames::decompress_bounded(bytes, MAX_BYTES)?;
        let mut manifest: Self =
            serde_json::from_slice(&json).map_err(|error| Error::Malformed {
                what: "a manifest".into(),
                reason: error.to_string(),
            })?;
        if manifest.format > super::configuration::FORMAT {
            return Err(Error::NewerFormat {
                found: manifest.format,
            });
        }
        manifest.libraries.sort_by_key(|library| library.id);
        Ok(manifest)
    }

    fn malformed(&self, error: &serde_json::Error) -> Error {
        Error::Malformed {
            what: format!("the manifest of {}", self.snapshot),
            reason: error.to_string(),
        }
    }

    /// The library of that id.
    pub fn library(&self, id: LibraryId) -> Option<&Library> {
        let at = self
            .libraries
            .binary_search_by_key(&id, |library| library.id);
        self.libraries.get(at.ok()?)
    }

    /// What nobody has, then what the source alone lost.
    pub fn all_damage(&self) -> impl Iterator<Item = &Damage> + Clone {
        self.damage.iter().chain(&self.source_damage)
    }

    /// Whether damage of this snapshot was not in the one before.
    pub fn is_new(&self, damage: &Damage) -> bool {
        damage.first_seen == self.snapshot
    }

    /// Since when every library that has a head was looked at in the source at least once.
    pub fn audited(&self) -> Option<Timestamp> {
        let libraries = self.libraries.iter();
        let with_head = libraries.filter(|library| !library.heads.is_empty());
        let times = with_head.map(|library| library.audited.map(|audited| audited.time));
        // `None` is before all of them.
        times.min().flatten()
    }

    /// Every part of dumps and files.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let databases = self.databases.iter().flat_map(|database| &database.parts);
        databases.chain(self.files.iter().flat_map(|group| &group.parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        let snapshot: SnapshotId = "2026-11-22T20-40-05Z-9f3c".parse().unwrap();
        let hash = Sha256::of(b"x");
        let key = Key::parse("databases/2026-11-22T20-40-05Z-9f3c/seafile.db.zst.00000").unwrap();
        let library = LibraryId::new([7; 16]);
        Manifest {
            format: 1,
            tool: "seawall 0".into(),
            snapshot,
            started: snapshot.started(),
            source: Source {
                path: "/opt/haiwen".into(),
                host: "h".into(),
                seafile_version: None,
                pro: false,
                random_block_ids: false,
                links: vec![("seafile-data".into(), "/mnt".into())],
                everything: false,
                excludes: vec!["*.bak".into()],
            },
            databases: vec![Database {
                identity: None,
                name: None,
                server: None,
                role: "seafile".into(),
                engine: "sqlite".into(),
                path: Some("seafile-data/seafile.db".into()),
                size: 5,
                sha256: hash,
                mode: Some(0o644),
                owner: Some((1, 2)),
                integrity: vec![],
                parts: vec![Part {
                    key,
                    size: 3,
                    sha256: hash,
                }],
            }],
            libraries: Vec::new(),
            unreferenced: Vec::new(),
            files: Vec::new(),
            damage: vec![Damage {
                store: Store::Library(library),
                kind: Kind::Block,
                id: ObjectId::new([1; 20]),
                library,
                reason: "missing".into(),
                detail: "is missing".into(),
                paths: vec!["/a/ü".into()],
                first_seen: snapshot,
                kept: None,
                accepted: Some(Acceptance {
                    since: snapshot.started(),
                    until: Some("2026-12-31".parse().unwrap()),
                    note: None,
                }),
            }],
            source_damage: Vec::new(),
            left_out: Vec::new(),
            warnings: vec!["x".into()],
        }
    }

    #[test]
    fn round_trip() {
        let manifest = manifest();
        assert_eq!(
            Manifest::parse(&manifest.to_bytes().unwrap()).unwrap(),
            manifest
        );
        assert_eq!(manifest.parts().count(), 1);
    }

    #[test]
    fn unknown_fields_are_ignored_and_a_newer_format_is_refused() {
        let json = serde_json::to_string(&manifest()).unwrap();
        let stored = |json: &str| frames::compress_frame(json.as_bytes(), 1).unwrap();
        let more = json.replacen('{', "{\"later\":[1,{}],", 1);
        assert_eq!(Manifest::parse(&stored(&more)).unwrap(), manifest());
        let newer = json.replacen("\"format\":1", "\"format\":2", 1);
        assert!(matches!(
            Manifest::parse(&stored(&newer)),
            Err(Error::NewerFormat { found: 2 })
        ));
    }

    proptest! {
        #[test]
        fn altered_manifests_never_panic(at in any::<prop::sample::Index>(), with in any::<u8>()) {
            let mut json = serde_json::to_vec(&manifest()).unwrap();
            let at = at.index(json.len());
            json[at] = with;
            let _ = Manifest::parse(&frames::compress_frame(&json, 1).unwrap());
            let mut stored = manifest().to_bytes().unwrap();
            let at = at % stored.len();
            stored[at] ^= with;
            let _ = Manifest::parse(&stored);
            stored.truncate(at);
            let _ = Manifest::parse(&stored);
        }
    }
}
