//! An encrypted repository, as a user meets it: made with recipients, backed up to by a host that
//! cannot read it, checked by who has no key, restored by who has one, opened by the stock `age`.

mod attacks;
mod keys;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seawall::object::{Kind, Object, Store};
use seawall::repository::index::List;
use seawall::repository::marker::Marker;
use seawall::repository::pack::MemberPlace;
use seawall::repository::{Repository, names, reader};
use seawall::seafile::check::{ObjectContent, check};
use seawall::seafile::fs::FsObject;
use seawall_test_servers::wait;

use crate::cli::{Ran, User};
use crate::support::{Source, example, files_below};

/// Runs a stock program in a shell, in a folder.
fn shell(folder: &Path, script: &str) -> Vec<u8> {
    let output = wait::output(
        Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(folder),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said} (apt-get install age zstd)");
    output.stdout
}

/// A key of the stock age: its file, and its public half.
pub fn age_key(user: &User, name: &str) -> (PathBuf, String) {
    let path = user.path(name);
    shell(user.home(), &format!("age-keygen -o {name}"));
    let public = shell(user.home(), &format!("age-keygen -y {name}"));
    (path, String::from_utf8(public).unwrap().trim().to_owned())
}

/// A key of ssh-keygen.
fn ssh_key(user: &User, name: &str, kind: &str) -> (PathBuf, String) {
    shell(user.home(), &format!("ssh-keygen -q -t {kind} -N '' -C me@here -f {name}"));
    let path = user.path(name);
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, public.trim().to_owned())
}

fn restore(user: &User, folder: &str, more: &[&str]) -> Ran {
    let target = user.path(folder);
    let common = ["restore", "latest", "--target", target.to_str().unwrap()];
    user.run(&[&common[..], more].concat())
}

/// That a restored folder is what was backed up.
fn is_whole(user: &User, folder: &str) {
    let target = user.path(folder);
    user.run(&["verify", target.to_str().unwrap()]).succeeds();
    let conf = fs::read(example().join("conf/seafile.conf")).unwrap();
    assert_eq!(fs::read(target.join("conf/seafile.conf")).unwrap(), conf);
}

#[test]
fn the_main_job_encrypted() {
    let (user, source) = (User::new(), example());
    let (key, public) = age_key(&user, "office.key");
    let (ssh, ssh_public) = ssh_key(&user, "id_ed25519", "ed25519");
    let (stranger, _) = age_key(&user, "stranger.key");
    let made = user.run(&["init", "--recipient", &public, "--recipient", &ssh_public]);
    let sheet = made.succeeds();
    for text in ["encrypted to 2 recipients", &public, &ssh_public, "-i IDENTITY-FILE"] {
        assert!(sheet.contains(text), "{text}: {sheet}");
    }
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    let again = user.run(&["backup", source.to_str().unwrap(), "--json"]);
    again.succeeds();
    assert_eq!(again.json()["objects_stored"], 0, "the catalog knows them");
    assert_eq!(again.json()["databases_stored"], 0);
    // The repository gives nothing away but names and lengths.
    let stored = files_below(&user.repository());
    for path in &stored {
        let bytes = fs::read(path).unwrap();
        let name = path.strip_prefix(user.repository()).unwrap().to_str().unwrap();
        let is_plain = [
            "markers/",
            "data/lists/",
            "data/runs/",
            "keys/",
            "seawall.json",
            "restore-by-hand.md",
        ]
        .iter()
        .any(|begin| name.starts_with(begin));
        let is_named = path.extension().is_some_and(|end| end == "age");
        assert_eq!(is_named, !is_plain, "{name}");
        assert_eq!(bytes.starts_with(b"age-encryption.org/v1\n"), !is_plain, "{name}");
    }
    // Who has no key can check it, and nobody can read it without one.
    let trusted = sheet.lines().find_map(|line| line.strip_prefix("verification key   ")).unwrap();
    let keyless = |arguments: &[&str]| {
        let mut command = user.command(arguments);
        command.args(["--trust", trusted]);
        command.env("SEAWALL_STATE_DIR", user.path("nothing"));
        Ran::of(wait::output(&mut command))
    };
    keyless(&["check"]).succeeds();
    keyless(&["check", "--read-data"]).succeeds();
    keyless(&["snapshots"]).succeeds();
    keyless(&["check", "--deep"]).fails(12, &["is encrypted", "-i FILE"]);
    keyless(&["libraries"]).fails(12, &["is encrypted", "-i FILE"]);
    assert!(!user.path("nothing").exists());
    // The host itself reads the manifest, and nothing else.
    assert!(user.run(&["libraries"]).succeeds().contains("Documents"));
    let which = ["none of the keys given opens", "-i FILE", public.as_str(), ssh_public.as_str()];
    restore(&user, "a", &[]).fails(12, &which);
    let stranger = stranger.to_str().unwrap();
    restore(&user, "a", &["-i", stranger]).fails(12, &["none of the keys given opens"]);
    assert!(!user.path("a").exists());
    let missing = user.path("missing.key");
    restore(&user, "a", &["-i", missing.to_str().unwrap()]).fails(1, &["missing.key"]);
    // Each recipient can, also where this host's state is lost.
    restore(&user, "b", &["-i", key.to_str().unwrap()]).succeeds();
    is_whole(&user, "b");
    fs::rename(user.path("state"), user.path("lost")).unwrap();
    let both = ["-i", stranger, "-i", ssh.to_str().unwrap()];
    restore(&user, "c", &both).succeeds();
    is_whole(&user, "c");
    let deep = ["check", "--deep", "--trust", trusted, "-i"];
    user.run(&[&deep[..], &[key.to_str().unwrap()]].concat()).succeeds();
}

/// With `age`, `zstd` and `tar` alone.
#[test]
fn the_stock_age_opens_all_that_is_stored() {
    let (user, source) = (User::new(), example());
    let (_, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    let opened = shell(
        &user.repository(),
        "find . -name '*.age' | sort | while read -r file; do \
         age -d -i ../office.key \"$file\" | zstd -dcq | wc -c; done",
    );
    let opened = String::from_utf8(opened).unwrap();
    let sealed = files_below(&user.repository());
    let sealed = sealed.iter().filter(|path| path.extension().is_some_and(|end| end == "age"));
    assert_eq!(opened.lines().count(), sealed.count());
    assert!(opened.lines().all(|bytes| bytes.trim() != "0"), "{opened}");
    // The packs, unpacked in their order, are the objects.
    fs::create_dir(user.path("by-hand")).unwrap();
    shell(
        &user.repository(),
        "for list in $(sed -n 's/^list [0-9a-f]* [0-9]* //p' markers/*); do \
         sed 1d \"$list\" | while read -r _ pack; do \
         age -d -i ../office.key \"$pack\" | zstd -dcq | tar x -C ../by-hand; done; done",
    );
    let objects = files_below(&user.path("by-hand")).len();
    let manifest = user.run(&["backup", source.to_str().unwrap(), "--json"]).json();
    assert_eq!(objects as u64, manifest["objects"].as_u64().unwrap_or(objects as u64));
    assert!(objects > 300, "{objects}");
}

#[test]
fn what_cannot_be_encrypted_to_is_refused_before_anything_is_made() {
    let user = User::new();
    let (key, public) = age_key(&user, "office.key");
    let secret = fs::read_to_string(&key).unwrap();
    let secret = secret.lines().last().unwrap();
    for (recipient, text) in [
        ("age1abc", "is no recipient"),
        ("ssh-ed25519", "is no recipient"),
        (secret, "secret key"),
        ("age1nosuchplugin1qqqq", "is no recipient"),
    ] {
        let refused = user.run(&["init", "--recipient", recipient]);
        refused.fails(1, &[text, "age-keygen"]);
        assert!(!refused.stderr.contains(secret));
    }
    fs::write(user.path("none"), "# nobody\n").unwrap();
    user.run(&["init", "--recipients-file", "none"]).fails(1, &["names no recipient"]);
    assert!(!user.repository().exists());
    fs::write(user.path("some"), format!("# us\n{public}\n")).unwrap();
    user.run(&["init", "--recipients-file", "some"]).succeeds();
    // What a repository is is decided when it is made.
    let plain = User::new();
    plain.run(&["init"]).succeeds();
    plain.run(&["init", "--recipient", &public]).fails(1, &["is not encrypted"]);
    // Another host has recipients of its own.
    let mut command = user.as_typed(&["init"]);
    let other = command.env("SEAWALL_STATE_DIR", user.path("other"));
    Ran::of(wait::output(other)).fails(12, &["has no recipients", "--recipient"]);
}

/// No secret in what is said, nor in the state folder but where it belongs.
#[test]
fn secrets_stay_where_they_belong() {
    let (user, source) = (User::new(), example());
    let (key, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.to_str().unwrap(), "-v"]).succeeds();
    let secret = fs::read_to_string(&key).unwrap();
    let secret = secret.lines().last().unwrap();
    let ran = restore(&user, "a", &["-v", "-i", key.to_str().unwrap()]);
    ran.succeeds();
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(secret));
    for path in files_below(&user.path("state")) {
        let bytes = fs::read(&path).unwrap();
        let has = bytes.windows(16).any(|window| window == b"AGE-SECRET-KEY-1");
        assert_eq!(has, path.ends_with("host.key"), "{}", path.display());
    }
}

/// `docs/restore-by-hand.md`, with the key of a recipient.
#[test]
fn the_page_restores_what_is_encrypted() {
    let (user, source) = (User::new(), example());
    let (key, public) = age_key(&user, "office.key");
    let made = user.run(&["init", "--json", "--recipient", &public]).json();
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    let output = wait::output(
        Command::new("sh")
            .args(["-eu", "-c", &crate::by_hand::blocks()])
            .env("REPOSITORY", user.repository())
            .env("TARGET", user.path("by hand"))
            .env("IDENTITY", key)
            .env("KEY", made["verification_key"].as_str().unwrap()),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    is_whole(&user, "by hand");
}

/// Where each object lies, and how large that pack is.
fn places(repository: &Repository, marker: &Marker) -> HashMap<Object, (reader::ObjectPlace, u64)> {
    let lists = marker.lists.iter().map(|named| List::read(repository, named).unwrap());
    let lines: Vec<_> = lists.flat_map(|list| list.read_segment(repository).unwrap().1).collect();
    let mut places = HashMap::new();
    for line in &lines {
        for member in &line.contents.members {
            if let MemberPlace::Data { frame, offset, len, .. } = member.place {
                let place = reader::ObjectPlace {
                    kind: line.kind,
                    pack: line.pack,
                    frame: line.contents.frames[frame as usize],
                    start: offset,
                    length: len,
                };
                places.insert(member.name.object, (place, line.size));
            }
        }
    }
    places
}

/// One object out of a large pack takes the pieces that it lies in.
#[test]
fn an_object_out_of_an_encrypted_pack_takes_a_little_of_it() {
    use seawall::host::{Destination, Host, Keys};
    use seawall_backends::{LocalBackend, Operation, RecordingBackend};
    let (user, source) = (User::new(), Source::example());
    let size = crate::synthetic::generator::Size {
        libraries: 1,
        files: 200,
        folder: 60,
        mean_len: 60_000,
        blocks: 0,
        commits: 0,
    };
    crate::synthetic::generator::grow(&source.path, size, 5);
    let (key, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.path.to_str().unwrap()]).succeeds();
    let recording =
        std::sync::Arc::new(RecordingBackend::new(LocalBackend::open(user.repository()).unwrap()));
    let keys = Keys::new(vec![key], None, None, |_| None);
    let host = Host { state: None, trusted: &[], keys: &keys, tell: &|_| {} };
    let repository = host.read(&Destination::of_backend(recording.clone(), "test")).unwrap();
    let markers = repository.markers().unwrap();
    let marker = &markers.snapshots[0].marker;
    let places = places(&repository, marker);
    let largest = places.values().map(|(_, size)| *size).max().unwrap();
    assert!(largest > 2 << 20, "{largest}");
    recording.take();
    let sum = std::cell::Cell::new(0);
    // What one object takes of its pack: the frame that it lies in, the header and the last piece.
    let read = |object: Object| {
        let (place, size) = &places[&object];
        let bytes = reader::Frames::default().read_object(&repository, place).unwrap();
        assert_eq!(bytes, fs::read(source.path.join(object.path())).unwrap());
        let pack = names::pack(place.kind, &place.pack, repository.seal());
        let mut fetched = 0;
        for recorded in recording.take() {
            match recorded.operation {
                Operation::Get(key, Some(range)) => {
                    assert_eq!(key, pack);
                    fetched += range.end - range.start;
                }
                Operation::Stat(key) => assert_eq!(key, pack),
                other => panic!("{other:?}"),
            }
        }
        let most = place.frame.len + 4 * 65_552;
        assert!(fetched <= most.min(*size), "{fetched} of {size}");
        sum.set(sum.get() + fetched);
        (bytes, check(&object, &fs::read(source.path.join(object.path())).unwrap()).unwrap())
    };
    // A file of the library, from the head by its path.
    let library = source.query(
        "SELECT b.repo_id || ' ' || b.commit_id FROM Branch b JOIN RepoInfo i USING (repo_id) WHERE i.name = 'Synthetic 0'",
    );
    let (library, head) = library.trim().split_once(' ').unwrap();
    let store = Store::Library(library.parse().unwrap());
    let (_, commit) = read(Object::new(store, Kind::Commit, head.parse().unwrap()));
    let ObjectContent::Commit(commit) = commit else { panic!("{commit:?}") };
    let mut id = commit.root;
    let file = loop {
        match read(Object::new(store, Kind::Fs, id)).1 {
            ObjectContent::Fs(FsObject::Folder(folder)) => id = folder.entries[0].id,
            ObjectContent::Fs(FsObject::File(file)) => break file,
            other => panic!("{other:?}"),
        }
    };
    let mut len = 0;
    for block in &file.blocks {
        len += read(Object::new(store, Kind::Block, *block)).0.len() as u64;
    }
    assert_eq!(len, file.size);
    let beyond = sum.get() - len;
    println!("{beyond} bytes beyond a file of {len}");
    assert!(beyond < 3 << 20, "{beyond} bytes beyond a file of {len}");
}

/// What an earlier version stored, and what the stock age made, is read.
#[test]
fn what_was_once_stored_is_still_read() {
    let user = User::new();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/encrypted");
    let vector = |name: &str| vectors.join(name).to_str().unwrap().to_owned();
    let key = fs::read_to_string(vector("verification-key")).unwrap();
    let (repository, trust) = (vector("repository"), key.trim());
    let ways = [
        ["-i", &vector("office.key")],
        ["-i", &vector("id_ed25519")],
        ["--passphrase-file", &vector("passphrase")],
    ];
    for (number, way) in ways.iter().enumerate() {
        let folder = format!("way {number}");
        let more = [&["-r", &repository, "--trust", trust], &way[..]].concat();
        let restored = restore(&user, &folder, &more);
        restored.succeeds();
        assert_eq!(restored.stderr, "");
        is_whole(&user, &folder);
    }
    let common = ["check", "--deep", "-r", &repository, "--trust", trust];
    user.run(&[&common[..], &ways[0]].concat()).succeeds();
    for (sealed, key) in [("stock.x25519.age", "office.key"), ("stock.ssh.age", "id_ed25519")] {
        let identity = fs::read(vector(key)).unwrap();
        let identities = seawall::crypt::Identities::read(&identity, key, &mut |_| None).unwrap();
        let opened = identities.open(&fs::read(vector(sealed)).unwrap()).unwrap();
        assert_eq!(opened, b"made by the stock age\n");
    }
}
