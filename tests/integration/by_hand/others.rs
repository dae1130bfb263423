//! The page with databases on a server, encrypted, with a bad pack, after a roll-back, and for one library.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use seawall::restore::{self, ASIDE, Options};
use seawall_test_servers::mariadb::MariaDb;
use seawall_test_servers::wait;

use super::{blocks, follow, succeed};
use crate::cli::User;
use crate::compaction::add_library;
use crate::encryption::age_key;
use crate::mysql::Moved;
use crate::restore::{alter, example, latest, lines, objects_in, pack_path};
use crate::reverts::{rolled_back, set_aside, unreachable_commits};
use crate::support::{DOCUMENTS, World, files_below};

fn page(user: &User, answers: &[(&str, &str)]) -> Output {
    let mut shell = Command::new("sh");
    shell
        .args(["-eu", "-c", &blocks()])
        .env("REPOSITORY", user.repository())
        .envs(answers.iter().copied());
    wait::output(&mut shell)
}

#[test]
fn databases_on_a_server_encrypted_and_plain() {
    let moved = Moved::example();
    for is_encrypted in [true, false] {
        let user = User::new();
        let (key, public) = age_key(&user, "office.key");
        let init: &[&str] =
            if is_encrypted { &["init", "--recipient", &public] } else { &["init"] };
        user.run(init).succeeds();
        user.run(&["backup", moved.path()]).succeeds();
        let target = user.path("by hand");
        let new = MariaDb::start();
        let server = format!("--no-defaults --socket={} --user=root", new.socket.display());
        let mut answers =
            vec![("TARGET", target.to_str().unwrap()), ("IDENTITY", key.to_str().unwrap())];
        // It says what to run, and loads nothing.
        let said = page(&user, &answers);
        let said = succeed(&said);
        assert!(said.contains("mariadb -e 'CREATE DATABASE `"), "{said}");
        assert!(said.contains("CHARACTER SET utf8mb4"), "{said}");
        assert!(target.join("conf/seafile.conf").exists());
        fs::remove_dir_all(&target).unwrap();
        answers.push(("SERVER", &server));
        let said = page(&user, &answers);
        assert_eq!(succeed(&said).matches(": loaded\n").count(), 3);
        let heads =
            format!("SELECT repo_id, commit_id FROM `{}`.Branch ORDER BY 1", moved.name("seafile"));
        assert_eq!(new.sql(&heads), moved.server.sql(&heads));
        new.sql("CREATE USER looker@'%' IDENTIFIED BY 'word'; GRANT ALL ON *.* TO looker@'%'");
        let (port, password) = (new.port.to_string(), user.path("password"));
        fs::write(&password, "word\n").unwrap();
        let mut verify = vec!["verify", target.to_str().unwrap()];
        verify.extend(["--database-host", "127.0.0.1", "--database-port", &port]);
        verify.extend(["--database-user", "looker", "--database-password-file"]);
        verify.push(password.to_str().unwrap());
        user.run(&verify).succeeds();
    }
}

#[test]
fn commits_that_no_head_leads_to_are_moved() {
    let (_source, world, newer) = rolled_back();
    let target = world.path("by hand");
    succeed(&follow(&world, &target, &[]));
    assert_eq!(unreachable_commits(&target), [] as [PathBuf; 0]);
    assert_eq!(set_aside(&target), newer);
    let by_verb = world.path("verb");
    let options = Options::new(by_verb.clone());
    restore::run(&world.repository, &latest(&world), &options, &|_| {}).unwrap();
    let objects = |target: &Path| objects_in(target).into_keys().collect::<BTreeSet<_>>();
    assert_eq!(objects(&target), objects(&by_verb));
}

#[test]
fn a_library_without_a_head_keeps_its_commits() {
    let (source, world) = (example(), World::local());
    source.sql(&format!("DELETE FROM Branch WHERE repo_id = '{DOCUMENTS}'"));
    world.backup(&source);
    let target = world.path("by hand");
    succeed(&follow(&world, &target, &[]));
    assert!(!target.join(ASIDE).exists());
    let commits = target.join("seafile-data/storage/commits").join(DOCUMENTS);
    assert!(!files_below(&commits).is_empty());
}

#[test]
fn out_of_a_bad_pack_the_good_frames_are_taken() {
    let (source, world) = (example(), World::local());
    add_library(&source, 300, 20_000, 1);
    world.backup(&source);
    let packs = lines(&world).into_iter();
    let line = packs.max_by_key(|line| line.contents.frames.len()).unwrap();
    assert!(line.contents.frames.len() > 2);
    let frame = line.contents.frames[1];
    alter(&pack_path(&world, &line), |bytes| {
        bytes[usize::try_from(frame.offset + frame.len / 2).unwrap()] ^= 0x55;
    });
    let target = world.path("by hand");
    let stopped = follow(&world, &target, &[]);
    assert!(!stopped.status.success());
    assert!(String::from_utf8_lossy(&stopped.stdout).contains(": FAILED"));
    let output = follow(&world, &target, &[("GO_ON", "yes")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("lost: the {} bytes at {}", frame.len, frame.offset)), "{said}");
    let all: usize = lines(&world)
        .iter()
        .flat_map(|line| &line.contents.members)
        .filter(|member| !member.name.damaged)
        .count();
    let in_frame = line.contents.members.iter().filter(|member| {
        matches!(member.place, seawall::repository::pack::MemberPlace::Data { frame: 1, .. })
    });
    let there = objects_in(&target).len();
    assert!(there < all && there + in_frame.count() + 20 > all, "{there} of {all}");
    assert!(target.join("conf/seafile.conf").exists());
}

/// The copied library of the example shares all of its blocks with another one, which comes first in the packs.
#[test]
fn one_library_comes_with_what_it_shares() {
    let world = World::local();
    world.backup(&example());
    for library in [crate::restore::PHOTOS, crate::restore::COPIED] {
        let target = world.path(&format!("by hand {}", &library[..4]));
        succeed(&follow(&world, &target, &[("LIBRARY", library)]));
        let alone = PathBuf::from(format!("{}-library", target.display()));
        for kind in ["commits", "fs", "blocks"] {
            let bytes = |folder: PathBuf| -> Vec<(PathBuf, Vec<u8>)> {
                let files = files_below(&folder).into_iter();
                files
                    .map(|path| {
                        let inside = path.strip_prefix(&folder).unwrap().to_owned();
                        (inside, fs::read(&path).unwrap())
                    })
                    .collect()
            };
            let expected = bytes(target.join("seafile-data/storage").join(kind).join(library));
            assert!(!expected.is_empty());
            assert_eq!(bytes(alone.join(kind).join(library)), expected, "{kind}");
            assert_eq!(fs::read_dir(alone.join(kind)).unwrap().count(), 1);
        }
        assert_eq!(fs::read_dir(&alone).unwrap().count(), 3);
    }
}
