//! One host, one repository, three snapshots with a change before each, and what each snapshot needs
//! and restores to, found out before anything is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use seawall::object::{Object, Sha256};
use seawall::repository::Snapshot;
use seawall::repository::index::{self, List};
use seawall::repository::names::{self, SnapshotId};
use seawall::repository::pack::MemberPlace;
use seawall::repository::segment::Line;
use seawall::restore;

use crate::support::{Source, World, run};

const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";
/// A library with the content of [`PHOTOS`], as after a copy by a user: its blocks are links.
const COPIED: &str = "aaaaaaaa-17a4-4b5c-839d-8a9946370e27";
/// Groups of files with the same length and other bytes; two of them have parts of one size.
const NOISES: u8 = 12;

/// Files and links below a folder, by their path: what a restore is compared by.
pub type Content = BTreeMap<String, String>;

pub struct Prepared {
    /// Never changed: cells take copies of it.
    pub world: World,
    /// As it was at the last backup; backups do not change it, so cells share it.
    pub source: Source,
    /// In order.
    pub snapshots: Vec<Told>,
}

/// A snapshot as it was before the damage.
pub struct Told {
    pub id: SnapshotId,
    /// Every key that it needs, by the plain text of marker, sums and lists.
    pub needs: BTreeSet<String>,
    /// What its restore gives.
    pub content: Content,
    /// The keys of its lists and segments, with the lines of their packs.
    pub lists: Vec<(String, String, Vec<Line>)>,
    /// The path of each database and group of files, by the keys of its parts.
    pub paths: BTreeMap<String, String>,
}

pub fn prepared() -> &'static Prepared {
    static PREPARED: OnceLock<Prepared> = OnceLock::new();
    PREPARED.get_or_init(prepare)
}

fn prepare() -> Prepared {
    let world = World::local();
    let source = Source::example();
    let storage = |kind: &str, library: &str| {
        let path = source.path.join("seafile-data/storage");
        path.join(kind).join(library)
    };
    for number in 0..NOISES {
        let folder = source.path.join(format!("noise-{number:02}"));
        fs::create_dir(&folder).unwrap();
        let noise: Vec<u8> =
            (0..20).flat_map(|piece| *Sha256::of(&[number, piece]).as_bytes()).collect();
        fs::write(folder.join("noise"), noise).unwrap();
    }
    let database = source.path.join("seafile-data/seafile.db");
    let aside = world.path("aside");
    fs::create_dir(&aside).unwrap();
    fs::copy(&database, aside.join("seafile.db")).unwrap();
    for table in ["Repo", "Branch", "RepoHead"] {
        source.sql(&format!("DELETE FROM {table} WHERE repo_id = '{PHOTOS}'"));
    }
    for kind in ["commits", "fs", "blocks"] {
        fs::rename(storage(kind, PHOTOS), aside.join(kind)).unwrap();
    }
    world.backup(&source);

    for kind in ["commits", "fs", "blocks"] {
        fs::rename(aside.join(kind), storage(kind, PHOTOS)).unwrap();
    }
    fs::copy(aside.join("seafile.db"), &database).unwrap();
    fs::write(source.path.join("conf/added"), "in the second").unwrap();
    world.backup(&source);

    for kind in ["commits", "fs", "blocks"] {
        let (from, to) = (storage(kind, PHOTOS), storage(kind, COPIED));
        run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    }
    source.sql(&format!(
        "INSERT INTO Repo (repo_id) VALUES ('{COPIED}');
         INSERT INTO Branch (name, repo_id, commit_id) SELECT name, '{COPIED}', commit_id FROM Branch WHERE repo_id = '{PHOTOS}';"
    ));
    fs::write(source.path.join("seahub-data/added"), "in the third").unwrap();
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    assert_eq!(report.alarms, Vec::<String>::new());

    let markers = world.repository.markers().unwrap();
    let snapshots: Vec<Told> =
        markers.snapshots.iter().map(|snapshot| tell(&world, snapshot)).collect();
    assert_eq!(snapshots.len(), 3);
    Prepared { world, source, snapshots }
}

fn tell(world: &World, snapshot: &Snapshot) -> Told {
    let marker = &snapshot.marker;
    let key = names::marker(snapshot.id()).to_string();
    let text = |key: &str| fs::read_to_string(world.repository_path().join(key)).unwrap();
    let mut needs = BTreeSet::from([key.clone()]);
    for line in text(&key).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["sums" | "list", _, _, named] = words[..] {
            needs.insert(named.into());
            needs.extend(text(named).lines().map(|line| line[66..].to_owned()));
        }
    }
    let lists = marker.lists.iter().map(|named| {
        let list = List::read(&world.repository, named).unwrap();
        let (_, lines, _) = list.read_segment(&world.repository).unwrap();
        let segment = names::segment(&list.segment, world.repository.seal());
        (named.key.to_string(), segment.to_string(), lines)
    });
    let manifest = index::read_manifest(&world.repository, marker).unwrap();
    let mut paths = BTreeMap::new();
    for database in &manifest.databases {
        for part in &database.parts {
            paths.insert(part.key.to_string(), database.path.clone().unwrap());
        }
    }
    for group in &manifest.files {
        for part in &group.parts {
            paths.insert(part.key.to_string(), format!("{}/", group.label));
        }
    }
    let target = world.path(&format!("reference-{}", snapshot.id()));
    let report = restored(world, snapshot, &target).unwrap();
    assert!(report.lost.is_empty(), "{:#?}", report.lost);
    Told { id: snapshot.id(), needs, content: content(&target), lists: lists.collect(), paths }
}

/// Restores a snapshot.
pub fn restored(
    world: &World,
    snapshot: &Snapshot,
    target: &Path,
) -> Result<restore::Report, restore::Error> {
    let options = restore::Options::new(target.to_owned());
    restore::run(&world.repository, snapshot, &options, &|_| {})
}

/// Every file and link below a folder, but for what a restore says of itself.
pub fn content(folder: &Path) -> Content {
    let mut found = Content::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            let path: PathBuf = entry.path();
            let text = if kind.is_dir() {
                folders.push(path);
                continue;
            } else if kind.is_symlink() {
                format!("link to {}", fs::read_link(&path).unwrap().display())
            } else {
                Sha256::of(&fs::read(&path).unwrap()).to_string()
            };
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            if name != restore::NOTES {
                found.insert(name.to_owned(), text);
            }
        }
    }
    found
}

impl Told {
    /// The objects that cannot be had without these packs: what lies in them, and links to that.
    pub fn objects_of(&self, packs: &BTreeSet<String>) -> BTreeSet<String> {
        let mut lost: BTreeSet<Object> = BTreeSet::new();
        let mut had = BTreeSet::new();
        let all = || self.lists.iter().flat_map(|(_, _, lines)| lines);
        for line in all() {
            let key = names::pack(line.kind, &line.pack, seawall::crypt::Seal::None).to_string();
            for member in &line.contents.members {
                let object = member.name.object;
                match member.place {
                    MemberPlace::Data { .. } if packs.contains(&key) => lost.insert(object),
                    MemberPlace::Data { .. } => had.insert(object),
                    MemberPlace::Link { .. } => false,
                };
            }
        }
        lost = lost.difference(&had).copied().collect();
        for line in all() {
            for member in &line.contents.members {
                if let MemberPlace::Link { target } = member.place {
                    let object = member.name.object;
                    let is_lost = lost.contains(&Object::new(target, object.kind, object.id));
                    if is_lost && !had.contains(&object) {
                        lost.insert(object);
                    }
                }
            }
        }
        lost.iter().map(Object::path).collect()
    }
}
