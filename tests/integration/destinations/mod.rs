//! Every kind of destination, with a real server behind it, as a user meets it: init, two backups,
//! check, restore, the verbs that watch.

mod local;
mod reaching;
mod s3;
mod sftp;
mod webdav;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use seawall::object::Sha256;
use seawall_test_servers::wait;

use crate::cli::{Ran, User};
use crate::support::{Source, files_below};

/// A destination as the command line is told of it.
struct Place {
    url: String,
    /// Options that reach it.
    arguments: Vec<String>,
    /// Variables that reach it.
    variables: Vec<(String, String)>,
}

impl Place {
    fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), arguments: Vec::new(), variables: Vec::new() }
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&text| text.into()));
        self
    }

    fn run(&self, user: &User, arguments: &[&str]) -> Ran {
        let mut command = user.command(arguments);
        command.args(["-r", &self.url]).args(&self.arguments);
        user.make_secrets_private(&self.arguments);
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        Ran::of(wait::output(&mut command))
    }
}

/// What the kind of destination is like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    CreateOnly,
    Weak,
}

/// The whole way of a user, from nothing to a restored installation, in the clear and encrypted.
fn whole_way(place: &Place, writes: Writes) {
    way(place, writes, None);
    let (path, query) = match place.url.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (place.url.as_str(), String::new()),
    };
    let sealed = Place {
        url: format!("{path}-sealed{query}"),
        arguments: place.arguments.clone(),
        variables: place.variables.clone(),
    };
    let owner = User::new();
    let (file, public) = crate::encryption::age_key(&owner, "restore.key");
    way(&sealed, writes, Some((&file, &public)));
}

/// `key` is an identity's file and its public half, of who shall read.
fn way(place: &Place, writes: Writes, key: Option<(&Path, &str)>) {
    let recipient = key.map_or(Vec::new(), |(_, public)| vec!["--recipient", public]);
    let identity = key.map_or(Vec::new(), |(file, _)| vec!["-i", file.to_str().unwrap()]);
    let (user, source) = (User::new(), Source::example());
    let installation = source.path.to_str().unwrap();
    place.run(&user, &["snapshots"]).fails(10, &["seawall init"]);
    if writes == Writes::Weak {
        let refused = place.run(&user, &["init"]);
        refused.fails(1, &["overwrites", "--accept-weak-writes"]);
        let init = [&["init", "--accept-weak-writes"], &recipient[..]].concat();
        place.run(&user, &init).succeeds();
    } else {
        let init = [&["init"], &recipient[..]].concat();
        place.run(&user, &init).succeeds();
    }
    let first = place.run(&user, &["backup", installation, "--json"]);
    first.succeeds();
    fs::write(source.path.join("conf/new.conf"), "new = 1\n").unwrap();
    let second = place.run(&user, &["backup", installation, "--json"]);
    second.succeeds();
    assert_eq!(second.json()["objects_stored"], 0);
    // Another machine: no state folder, no catalog, only the key.
    let signer = key_of(&user);
    let other = User::new();
    let deep = ["check", "--deep", "--trust", &signer];
    let target = other.path("restored");
    let restore = ["restore", "latest", "--trust", &signer, "--target", target.to_str().unwrap()];
    if key.is_some() {
        place.run(&other, &deep).fails(12, &["-i"]);
        place.run(&other, &restore).fails(12, &["-i"]);
        assert!(!target.exists());
    }
    place.run(&other, &[&deep, &identity[..]].concat()).succeeds();
    let read = place.run(&other, &["check", "--read-data", "--trust", &signer]);
    read.succeeds();
    place.run(&other, &[&restore, &identity[..]].concat()).succeeds();
    let stored = first.json()["objects_stored"].as_u64().unwrap() as usize;
    assert_restored(&source, &target, stored);
    let listed = place.run(&other, &["snapshots", "--trust", &signer]);
    assert_eq!(listed.succeeds().lines().count(), 3);
    place.run(&other, &["status", "--max-age", "1h", "--trust", &signer]).succeeds();
    let doctor = place.run(&user, &["doctor"]);
    assert!(doctor.stdout.contains("create-only"), "{}{}", doctor.stdout, doctor.stderr);
}

fn key_of(user: &User) -> String {
    let sheets = files_below(&user.path("state/repositories")).into_iter();
    let mut sheets = sheets.filter(|path| path.ends_with("recovery-sheet.txt"));
    let sheet = fs::read_to_string(sheets.next().unwrap()).unwrap();
    let word = sheet.split_whitespace().find(|word| word.starts_with("seawall-"));
    word.unwrap().to_owned()
}

/// What was restored is what is in the source: every object that was stored, and an ordinary file
/// that changed.
fn assert_restored(source: &Source, target: &Path, stored: usize) {
    let (there, restored) = (objects(&source.path), objects(target));
    assert_eq!(restored.len(), stored);
    for (path, hash) in restored {
        assert_eq!(there.get(&path), Some(&hash), "{}", path.display());
    }
    let new = fs::read_to_string(target.join("conf/new.conf")).unwrap();
    assert_eq!(new, "new = 1\n");
}

/// Every object by its path, with a hash of its bytes.
fn objects(installation: &Path) -> BTreeMap<PathBuf, Sha256> {
    let storage = installation.join("seafile-data/storage");
    let files = files_below(&storage).into_iter();
    let files = files.map(|path| {
        let hash = Sha256::of(&fs::read(&path).unwrap());
        (path.strip_prefix(&storage).unwrap().to_owned(), hash)
    });
    files.collect()
}

#[test]
fn a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}/a%20b", folder.path().display());
    whole_way(&Place::new(url), Writes::CreateOnly);
}

#[test]
fn a_folder_with_limits_and_connections() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--limit-upload", "100M", "--limit-download", "100M", "--retry-for", "1m"];
    let place = Place::new(folder.path().join("r").to_str().unwrap()).with(&arguments);
    whole_way(&place, Writes::CreateOnly);
}
