//! Manifests: what one snapshot holds (docs/format.md, "Manifest"). Compressed JSON. Readers ignore
//! unknown fields.

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
    /// Every library with a row in the databases: live, in the trash or virtual. Sorted by id.
    pub libraries: Vec<Library>,
    /// Stores on disk that no row points to.
    pub unreferenced: Vec<Unreferenced>,
    /// Ordinary files.
    pub files: Vec<FileGroup>,
    /// Objects that something points to and that neither source nor repository has.
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
    /// Whether block ids may be random, so that a block's bytes cannot be checked against its id.
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

/// The word of `incomplete` if the source disappeared during the run. Everything stored until then
/// is kept.
pub const SOURCE_GONE: &str = "source-gone";

/// The engine of a database that is a SQLite file, and is stored as one.
pub const SQLITE: &str = "sqlite";
/// The engine of a database on MySQL or MariaDB, stored as SQL text.
pub const MYSQL: &str = "mysql";

/// A dumped database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name in the repository: `seafile`, `usermgr` …
    pub role: String,
    /// [`SQLITE`] or [`MYSQL`].
    pub engine: String,
    /// Its name on the server (MySQL, MariaDB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The version of the server that it was dumped from (MySQL, MariaDB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The server's own identifier, which tells it from other servers (MySQL, MariaDB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Its path inside the installation (SQLite).
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
pub enum LibraryUse {
    /// It has a row in `Repo`.
    Live,
    /// It is in the system's trash.
    Trash,
}

/// How many objects there are, by kind.
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
    /// Counts an object of a kind.
    pub fn add(&mut self, kind: Kind, bytes: u64) {
        match kind {
            Kind::Commit => self.commits += 1,
            Kind::Fs => self.fs += 1,
            Kind::Block => self.blocks += 1,
        }
        self.bytes += bytes;
    }

    /// Adds what another counted.
    pub fn join(&mut self, other: Self) {
        self.commits += other.commits;
        self.fs += other.fs;
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }

    /// Of one kind.
    pub fn of_kind(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Commit => self.commits,
            Kind::Fs => self.fs,
            Kind::Block => self.blocks,
        }
    }

    /// Of all kinds.
    pub fn objects(&self) -> u64 {
        self.commits + self.fs + self.blocks
    }
}

/// Where a virtual library takes its content from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestOrigin {
    /// The library whose folder it shares, and in whose store fs objects and blocks lie.
    pub library: LibraryId,
    /// That folder.
    pub path: String,
    /// The origin's commit at which both were last merged.
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
    pub state: LibraryUse,
    /// Branches and the commits that they point to.
    pub heads: Vec<(String, ObjectId)>,
    /// The library that a virtual library belongs to; `None` for other libraries.
    pub origin: Option<ManifestOrigin>,
    /// Whether its users encrypt its content.
    pub encrypted: Option<bool>,
    /// History before this moment may have been collected: the highest value ever recorded, in
    /// seconds since 1970.
    pub valid_since: Option<i64>,
    /// Days of history that Seafile keeps.
    pub history_days: Option<i64>,
    /// Seconds since 1970 of the newest head commit.
    pub head_time: Option<i64>,
    /// The objects of its own store that the repository holds.
    pub counts: Counts,
    /// Whether the repository has everything that its heads point to, as far as it is required.
    pub closed: bool,
    /// Objects that are gone because Seafile collected the history. They are no damage.
    pub history_incomplete: u64,
    /// Required objects that neither source nor repository has.
    pub damage: u64,
    /// Set if a lost commit or fs object may cut off the last copy of something. Then the library's
    /// stores were copied by listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<ListedObjects>,
    /// When a run last read all of it in the source, changed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audited: Option<Audited>,
}

/// Objects that were copied by listing, since no pointer leads to them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ListedObjects {
    /// Objects that no walk reached.
    pub objects: u64,
    /// The id of the newest readable commit of the library, and its time in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<(ObjectId, i64)>,
}

/// A run that read all of a library in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// When the run began.
    pub time: Timestamp,
    /// The run's sequence number in the chain.
    pub sequence: u64,
}

/// A store on disk without a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreferenced {
    /// Its library id.
    pub store: LibraryId,
    /// Whether `GarbageRepos` lists it: deleted for good and waiting for garbage collection. Then
    /// it is left out.
    pub garbage: bool,
    /// The objects of it that the repository holds.
    pub counts: Counts,
    /// The newest commit found: id, time in seconds since 1970, and the library's name in it.
    pub newest: Option<(ObjectId, i64, String)>,
    /// The highest valid-since recorded while the library had a row.
    #[serde(default)]
    pub valid_since: Option<i64>,
}

/// A group of ordinary files: one tar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGroup {
    /// Its name in the repository.
    pub name: String,
    /// Its name for people: a folder inside the installation, or `extra/` and a path outside of it.
    pub label: String,
    /// Tells whether anything in the group changed. Only recently changed files are read for it.
    pub fingerprint: Sha256,
    /// The fingerprint's reference time, in seconds since 1970. The fingerprint covers the content
    /// of files that changed around this time or later, and the times of older ones.
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
    /// A stable word for machines: `missing`, `empty`, `wrong-id` …
    pub reason: String,
    /// The reason in words for people.
    pub detail: String,
    /// Affected paths of the newest state, at most 100.
    pub paths: Vec<String>,
    /// The first snapshot that reported it.
    pub first_seen: SnapshotId,
    /// SHA-256 of the bad bytes, which are kept below `seawall-damaged/`.
    pub kept: Option<Sha256>,
    /// Set if the administrator has accepted it: it is no news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
}

/// The administrator's statement that some damage is known (docs/design.md, "Accepted damage").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// When it was given.
    pub since: Timestamp,
    /// The last day on which it holds; `None` means for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Day>,
    /// Why, in the administrator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Acceptance {
    /// Whether its last day is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until.is_over(now))
    }
}

/// Counts damaged objects. An object that is listed for several libraries counts once.
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
        let mut manifest: Self = serde_json::from_slice(&json).map_err(|error| {
            Error::Malformed { what: "a manifest".into(), reason: error.to_string() }
        })?;
        if manifest.format > super::configuration::FORMAT {
            return Err(Error::NewerFormat { found: manifest.format });
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
        let at = self.libraries.binary_search_by_key(&id, |library| library.id);
        self.libraries.get(at.ok()?)
    }

    /// First the objects that nobody has any more, then those that only the source lost.
    pub fn all_damage(&self) -> impl Iterator<Item = &Damage> + Clone {
        self.damage.iter().chain(&self.source_damage)
    }

    /// Whether the snapshot before this one did not have this damage.
    pub fn is_new(&self, damage: &Damage) -> bool {
        damage.first_seen == self.snapshot
    }

    /// The oldest audit among libraries with a head; `None` if one was never audited or there is
    /// none.
    pub fn audited(&self) -> Option<Timestamp> {
        let libraries = self.libraries.iter();
        let with_head = libraries.filter(|library| !library.heads.is_empty());
        let times = with_head.map(|library| library.audited.map(|audited| audited.time));
        // `None` is less than any time, so one library without an audit decides.
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
                parts: vec![Part { key, size: 3, sha256: hash }],
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
        assert_eq!(Manifest::parse(&manifest.to_bytes().unwrap()).unwrap(), manifest);
        assert_eq!(manifest.parts().count(), 1);
    }

    #[test]
    fn unknown_fields_are_ignored_and_a_newer_format_is_refused() {
        let json = serde_json::to_string(&manifest()).unwrap();
        let stored = |json: &str| frames::compress_frame(json.as_bytes(), 1).unwrap();
        let more = json.replacen('{', "{\"later\":[1,{}],", 1);
        assert_eq!(Manifest::parse(&stored(&more)).unwrap(), manifest());
        let newer = json.replacen("\"format\":1", "\"format\":2", 1);
        assert!(matches!(Manifest::parse(&stored(&newer)), Err(Error::NewerFormat { found: 2 })));
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
