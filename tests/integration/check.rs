//! `check` of a repository: every kind of damage to every kind of stored thing, at the level that
//! promises to find it; and that nothing is ever written.

mod deep;
mod destination;
mod forge;
mod markers;
mod record;
mod signed;
mod things;

use crate::support::open_to_read;
use seawall::host::{self, Reading};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use seawall::check::{self, CheckLevel, Options, ProblemKind, Report};
use seawall::repository::note::VerifyingKey;
use seawall::repository::{Error, Repository};
use seawall_backends::LocalBackend;

use crate::support::{Source, World, files_below, run};

/// A library of the example that the first snapshot lacks.
const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";

/// A repository with three snapshots, of which the second stored new packs of both kinds, and the
/// key that signed them. Tests take copies.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let world = World::local();
        let source = Source::example();
        for table in ["Repo", "Branch", "RepoHead"] {
            source.sql(&format!("DELETE FROM {table} WHERE repo_id = '{PHOTOS}'"));
        }
        for kind in ["commits", "fs", "blocks"] {
            fs::remove_dir_all(source.path.join("seafile-data/storage").join(kind).join(PHOTOS))
                .unwrap();
        }
        world.backup(&source);
        world.backup(&Source::example());
        world.backup(&Source::example());
        world
    })
}

/// A copy of the repository to break.
struct Copy {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("repository");
        run("cp", &["-a", world().repository_path().to_str().unwrap(), path.to_str().unwrap()]);
        Self { _folder: folder, path }
    }

    fn open(&self, trusted: &[VerifyingKey]) -> host::Result<Reading> {
        let backend = Arc::new(LocalBackend::open(&self.path).unwrap());
        open_to_read(backend, trusted)
    }

    fn check(&self, level: CheckLevel) -> Report {
        let repository = self.open(&[world().host_key().verifying()]).unwrap();
        checked(&repository, level)
    }

    /// Keys below a folder that fit, sorted.
    fn keys(&self, folder: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
        let files = files_below(&self.path.join(folder));
        let keys = files
            .iter()
            .map(|file| file.strip_prefix(&self.path).unwrap().to_str().unwrap().to_owned());
        keys.filter(|key| fits(key)).collect()
    }

    fn write(&self, key: &str, bytes: &[u8]) {
        let path = self.path.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if path.exists() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        overwrite(&path, bytes);
    }

    fn read(&self, key: &str) -> Vec<u8> {
        fs::read(self.path.join(key)).unwrap()
    }
}

fn overwrite(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    std::io::Write::write_all(&mut fs::File::create_new(path).unwrap(), bytes).unwrap();
}

fn checked(repository: &Repository, level: CheckLevel) -> Report {
    let options = Options { level, workers: 3, ..Options::default() };
    check::run(repository, &options, &|_| {}).unwrap()
}

fn problems(report: &Report) -> Vec<(String, ProblemKind)> {
    report.problems.iter().map(|problem| (problem.key.to_string(), problem.kind)).collect()
}

#[test]
fn a_good_repository_is_good() {
    let copy = Copy::new();
    for level in [CheckLevel::Names, CheckLevel::Data, CheckLevel::Deep] {
        let report = copy.check(level);
        assert!(report.is_good(), "{:#?}", report.problems);
        assert_eq!(report.snapshots, 3);
        let information = &report.information;
        assert!(information.gaps.is_empty() && information.unfinished.is_empty());
        assert_eq!(information.unnamed.unwrap().things, 0, "{information:?}");
        assert_eq!(information.unknown.amount.things, 0, "{information:?}");
        let stored = copy.keys("", |key| key.starts_with("data") || key.starts_with("databases"));
        let intents = copy.keys("data/runs", |_| true);
        assert_eq!(report.things, (stored.len() - intents.len()) as u64);
        if level == CheckLevel::Names {
            assert!(report.bytes_read < report.bytes / 2);
        } else {
            assert_eq!(report.bytes_read, report.bytes);
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["problems"], serde_json::json!([]));
    }
}

#[test]
fn what_nothing_names_is_information() {
    let copy = Copy::new();
    let hash = "ab".repeat(32);
    let snapshot = "2020-01-01T00-00-00Z-0000";
    let unnamed = [
        format!("data/blocks/ab/{hash}.tar.zst"),
        format!("data/trees/ab/{hash}.tar.zst"),
        format!("data/index/{hash}.jsonl.zst"),
        format!("data/lists/{hash}.sha256"),
        format!("data/lists/{snapshot}.sha256"),
        format!("data/manifests/{snapshot}.json.zst"),
        format!("databases/{snapshot}/seafile.db.zst.00000"),
        format!("data/files/{snapshot}/conf.tar.zst.00000"),
    ];
    let unknown = [
        "README".to_owned(),
        "data/notes.txt".to_owned(),
        format!("data/blocks/cd/{hash}.tar.zst"),
        format!("data/blocks/{hash}.tar.zst"),
        "data/lists/x.sha256".to_owned(),
        "databases/yesterday/seafile.sql".to_owned(),
        "keys/readme".to_owned(),
        "photos/1.jpg".to_owned(),
    ];
    for key in unnamed.iter().chain(&unknown) {
        copy.write(key, b"planted");
    }
    copy.write(&format!("data/runs/{snapshot}"), b"seawall intent 1\n");
    copy.write(&format!("data/runs/{snapshot}.3"), b"seawall heartbeat 1\n");
    copy.write("data/runs/prune-x", b"seawall tombstone 1\n");
    copy.write(&format!("data/forgotten/{snapshot}"), b"seawall snapshot 1\n");
    copy.write("markers/2021-01-01T00-00-00Z-0000", b"seawall void 1\n");
    let report = copy.check(CheckLevel::Data);
    assert!(report.is_good(), "{:#?}", report.problems);
    let information = report.information;
    let amount = information.unnamed.unwrap();
    assert_eq!((amount.things, amount.bytes), (8, 56));
    assert_eq!(information.unknown.amount.things, 8);
    let mut expected = unknown.to_vec();
    expected.sort();
    assert_eq!(information.unknown.examples, expected);
    assert_eq!(
        information.unfinished.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [snapshot]
    );
    assert_eq!((information.records, information.voids), (1, 1));
}

#[test]
fn one_snapshot_can_be_checked_alone() {
    let copy = Copy::new();
    let keys = copy.keys("markers", |_| true);
    let names: Vec<&str> = keys.iter().map(|key| &key["markers/".len()..]).collect();
    fs::remove_file(copy.path.join(format!("data/manifests/{}.json.zst", names[0]))).unwrap();
    let repository = copy.open(&[world().host_key().verifying()]).unwrap();
    let of = |name: &str| {
        let options = Options { snapshot: Some(name.into()), ..Options::default() };
        check::run(&repository, &options, &|_| {})
    };
    for good in [names[1], names[2], "latest"] {
        let report = of(good).unwrap();
        assert!(report.is_good() && report.snapshots == 1);
        assert_eq!(report.information.unnamed, None);
    }
    let report = of(names[0]).unwrap();
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].snapshots[0].to_string(), names[0]);
    assert!(matches!(of("1999"), Err(Error::NoSnapshot { .. })));
    // A name that only a bad marker has.
    copy.write(&keys[2], b"");
    let report = of(names[2]).unwrap();
    assert_eq!(problems(&report), [(keys[2].clone(), ProblemKind::Signature)]);
    assert_eq!(report.snapshots, 0);
}

#[test]
fn a_repository_without_snapshots_is_not_good() {
    let world = World::local();
    let report = checked(&world.repository, CheckLevel::Data);
    assert!(!report.is_good() && report.problems.is_empty());
    assert_eq!((report.snapshots, report.things), (0, 0));
}
