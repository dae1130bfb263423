//! Every kind of damage to every kind of object, through the program: exit status, library, paths,
//! object and reason in its JSON, and nothing but the damage in it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use seawall::object::{Kind, Object, ObjectId};
use seawall_test_servers::wait;
use serde_json::Value;

use super::contents::{Contents, alter, path, put, put_head};
use super::{DOCUMENTS, ENCRYPTED, PHOTOS, TRASH, VIRTUAL};
use crate::support::{Source, files_below};

/// Runs `seawall verify --json`; returns its exit status and JSON.
pub fn program(source: &Source) -> (i32, Value) {
    let output = wait::output(
        Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["verify", "--json", "--second-look", "0"])
            .arg(&source.path)
            .env_remove("SEAWALL_REPOSITORY"),
    );
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), json)
}

type Spoil = fn(&Path, &Path);

/// What is done to the file of an object (a file of another library is at hand), and its word.
struct Damage(&'static str, Spoil, &'static str);

fn missing(path: &Path, _: &Path) {
    fs::remove_file(path).unwrap();
}

fn empty(path: &Path, _: &Path) {
    alter(path, Vec::clear);
}

fn truncated(path: &Path, _: &Path) {
    alter(path, |bytes| bytes.truncate(bytes.len() / 2));
}

fn garbage(path: &Path, _: &Path) {
    alter(path, |bytes| bytes.fill(b'x'));
}

fn swapped(path: &Path, other: &Path) {
    put(path, &fs::read(other).unwrap());
}

fn folder(path: &Path, _: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

fn link(path: &Path, _: &Path) {
    let aside = path.with_extension("aside");
    fs::rename(path, &aside).unwrap();
    symlink(&aside, path).unwrap();
}

fn fifo(path: &Path, _: &Path) {
    fs::remove_file(path).unwrap();
    let mode = rustix::fs::Mode::RUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

fn flipped(path: &Path, _: &Path) {
    alter(path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}

fn same_length(path: &Path, _: &Path) {
    alter(path, |bytes| bytes.reverse());
}

fn other_commit(path: &Path, _: &Path) {
    alter(path, |bytes| {
        let mut commit: Value = serde_json::from_slice(bytes).unwrap();
        commit["commit_id"] = "1".repeat(40).into();
        *bytes = serde_json::to_vec(&commit).unwrap();
    });
}

const ANY: [Damage; 6] = [
    Damage("missing", missing, "missing"),
    Damage("empty", empty, "empty"),
    Damage("a folder", folder, "unreadable"),
    Damage("a link", link, "unreadable"),
    Damage("a fifo", fifo, "unreadable"),
    Damage("another's", swapped, "wrong-id wrong-commit-field"),
];

const BLOCK: [Damage; 3] = [
    Damage("truncated", truncated, "wrong-id"),
    Damage("flipped", flipped, "wrong-id"),
    Damage("same length", same_length, "wrong-id"),
];

const FS: [Damage; 3] = [
    Damage("truncated", truncated, "undecodable"),
    Damage("garbage", garbage, "undecodable"),
    Damage("flipped", flipped, "undecodable wrong-id"),
];

const COMMIT: [Damage; 3] = [
    Damage("truncated", truncated, "undecodable"),
    Damage("garbage", garbage, "undecodable"),
    Damage("other commit", other_commit, "wrong-commit-field"),
];

/// A file of another object of that kind and another length.
fn other_file(source: &Source, object: &Object) -> PathBuf {
    let own = path(source, object);
    let length = fs::metadata(&own).unwrap().len();
    let all = source.path.join("seafile-data/storage").join(object.kind.folder());
    let mut files = files_below(&all).into_iter();
    let other = |file: &PathBuf| *file != own && fs::metadata(file).unwrap().len() != length;
    files.find(other).unwrap()
}

/// All that is said about damage: (library, kind, id, reason, newest, paths), as text.
fn told(report: &Value) -> BTreeSet<String> {
    let damage = report["damage"].as_array().unwrap();
    assert_eq!(report["damaged"], damage.len());
    let line = |entry: &Value| {
        assert!(entry["library_name"].is_string(), "{entry}");
        let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        format!(
            "{} {} {} {} {}",
            field("library"),
            field("kind"),
            field("id"),
            entry["in_newest_state"],
            entry["paths"]
        )
    };
    damage.iter().map(line).collect()
}

/// Whether an object is on the way to a shared folder, or in it, where it was last merged.
fn merging_needs(source: &Source, store: &Contents<'_>, library: &str, object: Object) -> bool {
    let of = format!("FROM VirtualRepo WHERE repo_id = '{library}'");
    if library != VIRTUAL {
        return false;
    }
    let base = source.query(&format!("SELECT base_commit {of}"));
    let shared = format!("{}/", source.query(&format!("SELECT path {of}")));
    let origin = Contents::new(source, DOCUMENTS);
    let base = origin.commit(base.parse().unwrap());
    assert_eq!(origin.root(base).store, store.root(store.head()).store);
    let mut entries = origin.entries(base).into_iter();
    base == object
        || entries.any(|entry| {
            let is_near = shared.starts_with(&entry.path) || entry.path.starts_with(&shared);
            is_near && entry.needs(object)
        })
}

/// Who must be told about an object, found by reading everything of every library named.
fn expected(source: &Source, object: Object, libraries: &[&str]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for library in libraries {
        let store = Contents::new(source, library);
        let head = store.head();
        let newest = if object == head {
            Some(Vec::new())
        } else {
            Some(store.paths_of(object)).filter(|paths| !paths.is_empty())
        };
        let needs = |commit: Object| {
            let mut entries = store.entries(commit).into_iter();
            commit == object || entries.any(|entry| entry.needs(object))
        };
        let is_old = || {
            store.history().into_iter().any(needs) || merging_needs(source, &store, library, object)
        };
        let (in_newest, paths) = match newest {
            Some(paths) => (true, paths),
            None if is_old() => (false, Vec::new()),
            None => continue,
        };
        let paths = serde_json::to_string(&paths).unwrap();
        let kind = serde_json::to_value(object.kind).unwrap();
        let kind = kind.as_str().unwrap();
        lines.insert(format!("{library} {kind} {} {in_newest} {paths}", object.id));
    }
    lines
}

/// Damages objects of a library in every way; `libraries` are those that share its store.
fn damage_all(source: &Source, library: &str, libraries: &[&str]) -> usize {
    let store = Contents::new(source, library);
    let (file, folder, head) = (store.some_file(), store.last_folder(), store.head());
    let mut cases = 0;
    for object in [file.blocks[0], file.object, folder.object, store.root(head), head] {
        let own = match object.kind {
            Kind::Block => BLOCK,
            Kind::Fs => FS,
            Kind::Commit => COMMIT,
        };
        let expected = expected(source, object, libraries);
        assert!(expected.iter().any(|line| line.contains(library)), "{expected:?}");
        let (at, other) = (path(source, &object), other_file(source, &object));
        let before = fs::read(&at).unwrap();
        for Damage(name, spoil, words) in ANY.into_iter().chain(own) {
            spoil(&at, &other);
            let (status, report) = program(source);
            let what = format!("{library} {object} {name}: {report:#}");
            assert_eq!(status, 3, "{what}");
            assert_eq!(report["good"], false, "{what}");
            assert_eq!(told(&report), expected, "{what}");
            for entry in report["damage"].as_array().unwrap() {
                let reason = entry["reason"].as_str().unwrap();
                assert!(words.split(' ').any(|word| word == reason), "{what}");
                assert_eq!(entry["file"], object.path(), "{what}");
            }
            let _ = fs::remove_file(at.with_extension("aside"));
            let _ = fs::remove_dir(&at);
            put(&at, &before);
            cases += 1;
        }
    }
    assert_eq!(program(source).0, 0, "all is back");
    cases
}

#[test]
fn every_damage_of_the_example_is_found_and_nothing_else() {
    let source = Source::example();
    let mut cases = 0;
    for library in [DOCUMENTS, VIRTUAL, ENCRYPTED, TRASH] {
        let sharing: &[&str] = match library {
            DOCUMENTS | VIRTUAL => &[DOCUMENTS, VIRTUAL],
            library => &[library],
        };
        cases += damage_all(&source, library, sharing);
    }
    assert_eq!(cases, 4 * 5 * 9);
}

#[test]
fn every_damage_of_the_small_installation_is_found_and_nothing_else() {
    let Some(source) = Source::small() else {
        return;
    };
    let trashed = "32d9c116-dc24-4ba3-a212-9ca013d501e3";
    let emoji = "68fed5f0-5b12-45d0-ad0a-b5ca6fdc693a";
    assert_eq!(damage_all(&source, trashed, &[trashed]), 45);
    assert_eq!(damage_all(&source, emoji, &[emoji]), 45);
}

#[test]
fn torn_objects_of_version_0_are_damage() {
    use sha1::{Digest as _, Sha1};
    let source = Source::example();
    let store = Contents::new(&source, PHOTOS);
    let (head, file) = (store.head(), store.some_file());
    let id = |bytes: &[u8]| ObjectId::new(Sha1::digest(bytes).into());
    let block = file.blocks[0];
    let size = fs::metadata(path(&source, &block)).unwrap().len();
    let raw = hex(&block.id.to_string());
    let file_bytes = [&1u32.to_be_bytes()[..], &size.to_be_bytes()[..], &raw].concat();
    let old_file = Object { id: id(&raw), ..file.object };
    put(&path(&source, &old_file), &file_bytes);
    let (name, mode) = ("old.txt", 0o100_644_u32);
    let old_id = old_file.id.to_string();
    let hashed = [old_id.as_bytes(), name.as_bytes(), &mode.to_le_bytes()].concat();
    let mut folder_bytes = [&3u32.to_be_bytes()[..], &mode.to_be_bytes()[..]].concat();
    folder_bytes.extend_from_slice(old_id.as_bytes());
    folder_bytes.extend_from_slice(&(name.len() as u32).to_be_bytes());
    folder_bytes.extend_from_slice(name.as_bytes());
    let root = Object { id: id(&hashed), ..file.object };
    put(&path(&source, &root), &folder_bytes);
    put_head(&source, PHOTOS, head, root.id);
    assert_eq!(program(&source).0, 0);
    for (object, length) in [(old_file, 8), (old_file, 25), (old_file, 0), (root, 50), (root, 4)] {
        let whole = fs::read(path(&source, &object)).unwrap();
        put(&path(&source, &object), &whole[..length]);
        let (status, report) = program(&source);
        put(&path(&source, &object), &whole);
        let [entry] = report["damage"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
        assert_eq!((status, &entry["id"]), (3, &object.id.to_string().into()));
        let at = if object == root { "/" } else { "/old.txt" };
        assert_eq!(entry["paths"], serde_json::json!([at]));
    }
    // Its size, which no id covers.
    alter(&path(&source, &old_file), |bytes| bytes[11] ^= 1);
    let (status, report) = program(&source);
    assert_eq!((status, &report["damage"][0]["reason"]), (3, &"wrong-length".into()));
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

#[test]
fn folders_that_are_gone_are_named() {
    for (kind, word) in [("commits", "commit"), ("fs", "fs"), ("blocks", "block")] {
        let source = Source::example();
        let folder = format!("seafile-data/storage/{kind}/{PHOTOS}");
        fs::remove_dir_all(source.path.join(&folder)).unwrap();
        let (status, report) = program(&source);
        assert_eq!(status, 3);
        let damage = report["damage"].as_array().unwrap();
        assert!(!damage.is_empty());
        for entry in damage {
            let told = (&entry["library"], &entry["kind"], &entry["reason"]);
            assert_eq!(told, (&PHOTOS.into(), &word.into(), &"missing".into()));
        }
        let libraries = report["damaged_libraries"].as_array().unwrap();
        assert_eq!(libraries.len(), 1);
        assert_eq!(libraries[0]["damaged"], damage.len());
        let hints = report["hints"].to_string();
        assert!(hints.contains(&folder), "{hints}");
    }
}

#[test]
fn what_may_not_be_read_is_damage_that_is_perhaps_none() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let source = Source::example();
    let folder = source.path.parent().unwrap();
    crate::support::run("chmod", &["-R", "a+rX", folder.to_str().unwrap()]);
    let block = Contents::new(&source, PHOTOS).some_file().blocks[0];
    let closed = fs::Permissions::from_mode(0o0);
    fs::set_permissions(path(&source, &block), closed).unwrap();
    // Its own folder: what cargo built may lie where nobody else may look.
    let binary = folder.join("seawall");
    fs::copy(env!("CARGO_BIN_EXE_seawall"), &binary).unwrap();
    let mut command = Command::new(&binary);
    command.args(["verify", "--json", "--second-look", "0"]);
    command.arg(&source.path).current_dir("/").env("TMPDIR", "/tmp");
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = wait::output(&mut command);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [entry] = report["damage"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    assert_eq!(
        (&entry["id"], &entry["reason"]),
        (&block.id.to_string().into(), &"unreadable".into())
    );
    assert!(report["hints"].to_string().contains("as root"), "{report:#}");
}
