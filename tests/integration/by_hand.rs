//! `docs/restore-by-hand.md`, followed to the letter: every block of the page, in order, in one
//! shell, without seawall.

mod others;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use seawall_test_servers::wait;

use crate::backup::stored_objects;
use crate::restore::{assert_same_files, example, latest};
use crate::support::{Source, World, files_below, run, tree};

/// The fenced shell blocks of the page.
pub fn blocks() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/restore-by-hand.md");
    let page = fs::read_to_string(page).unwrap();
    let mut script = String::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            line if is_inside => script = format!("{script}{line}\n"),
            _ => {}
        }
    }
    assert!(!is_inside && script.lines().count() > 50, "{script}");
    script
}

/// Follows the page with the given answers to its questions.
fn follow(world: &World, target: &Path, answers: &[(&str, &str)]) -> Output {
    wait::output(
        Command::new("sh")
            .args(["-eu", "-c", &blocks()])
            .env("REPOSITORY", world.repository_path())
            .env("TARGET", target)
            .envs(answers.iter().copied()),
    )
}

fn succeed(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    // Locales differ in nothing else that these programs would say.
    assert_eq!(errors, "");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn assert_objects(source: &Source, world: &World, target: &Path) {
    let stored = stored_objects(&world.repository, &latest(world).marker);
    let found = files_below(&target.join("seafile-data/storage"));
    assert_eq!(found.len(), stored.len());
    for object in stored.keys() {
        let path = target.join(object.path());
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes, fs::read(source.path.join(object.path())).unwrap(), "{object}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }
}

/// By hand, databases are private; the manifest says what they were.
fn copy_modes_of_databases(source: &Path, target: &Path) {
    for database in crate::restore::DATABASES {
        let mode = fs::metadata(source.join(database)).unwrap().permissions();
        fs::set_permissions(target.join(database), mode).unwrap();
    }
}

#[test]
fn the_page_restores_everything() {
    let source = example();
    let world = World::local();
    world.backup(&source);
    // A second one names parts of the first again.
    source.sql("CREATE TABLE Extra (a); INSERT INTO Extra VALUES (1)");
    fs::write(source.path.join("conf/seafile.conf"), "[fileserver]\nport = 8082\n").unwrap();
    world.backup(&source);
    let target = world.path("by hand");
    let key = world.host_key().verifying().to_string();
    let said = succeed(&follow(&world, &target, &[("KEY", &key)]));
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    assert_eq!(said.matches(": ok\n").count(), crate::restore::DATABASES.len(), "{said}");
    copy_modes_of_databases(&source.path, &target);
    assert_same_files(&source.path, &target);
    assert_objects(&source, &world, &target);
}

#[test]
fn the_page_and_the_verb_agree() {
    let source = example();
    let world = World::local();
    world.backup(&source);
    let (by_hand, by_verb) = (world.path("hand"), world.path("verb"));
    succeed(&follow(&world, &by_hand, &[]));
    let options = seawall::restore::Options::new(by_verb.clone());
    seawall::restore::run(&world.repository, &latest(&world), &options, &|_| {}).unwrap();
    copy_modes_of_databases(&source.path, &by_hand);
    let without_times = |folder: &Path| {
        let mut tree = tree(folder);
        tree.remove(Path::new(seawall::restore::NOTES));
        for (path, text) in &mut tree {
            if path.starts_with("seafile-data/storage")
                || path.extension().is_some_and(|end| end == "db")
            {
                let words: Vec<&str> = text.split(' ').collect();
                *text = [words[0], words[1], words.get(3).unwrap_or(&"")].join(" ");
            }
        }
        tree
    };
    assert_eq!(without_times(&by_hand), without_times(&by_verb));
}

#[test]
fn the_page_takes_an_older_snapshot() {
    let source = example();
    let world = World::local();
    let first = world.backup(&source).marker.snapshot.to_string();
    fs::write(source.path.join("conf/seafile.conf"), "new").unwrap();
    world.backup(&source);
    let target = world.path("target");
    succeed(&follow(&world, &target, &[("SNAPSHOT", &first)]));
    assert_ne!(fs::read_to_string(target.join("conf/seafile.conf")).unwrap(), "new");
}

#[test]
fn the_page_stops_at_what_is_not_right() {
    let source = example();
    let world = World::local();
    world.backup(&source);
    let refused = |answers: &[(&str, &str)], name: &str| {
        let output = follow(&world, &world.path(name), answers);
        assert!(!output.status.success(), "{name}");
        assert!(
            fs::read_dir(world.path(name)).unwrap().next().is_none(),
            "{name}: nothing is written"
        );
    };
    let other = seawall::repository::host_key::HostKey::generate("other").unwrap();
    refused(&[("KEY", &other.verifying().to_string())], "wrong key");
    refused(&[("SNAPSHOT", "2020-01-01T00-00-00Z-0000")], "no such snapshot");
    let pack = files_below(&world.repository_path().join("data/blocks")).remove(0);
    let mut bytes = fs::read(&pack).unwrap();
    bytes[50] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    refused(&[], "bad pack");
    let full = world.path("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), "x").unwrap();
    assert!(!follow(&world, &full, &[]).status.success());
    assert_eq!(tree(&full).len(), 1);
}

#[test]
fn the_page_restores_the_larger_installation() {
    let Some(source) = Source::small() else {
        return;
    };
    let world = World::local();
    world.backup(&source);
    let target = world.path("target");
    let output = follow(&world, &target, &[]);
    succeed(&output);
    assert_objects(&source, &world, &target);
    let check = run(
        "sqlite3",
        &[target.join("seafile-data/seafile.db").to_str().unwrap(), "PRAGMA integrity_check"],
    );
    assert_eq!(check, "ok\n");
}
