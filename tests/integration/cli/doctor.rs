//! `seawall doctor`: what is wrong, with the next step; nothing is changed.

use crate::support::open_to_read;
use seawall::crypt::Seal;
use seawall::repository::{Configuration, RepositoryId};
use std::os::unix::fs::symlink;
use std::sync::Arc;

use seawall::doctor::{self, FindingLevel, Report, Setup};
use seawall::repository::names;
use seawall::time::Clock;
use seawall_backends::{Backend, Entry, Key, MemoryBackend, Result};
use seawall_test_servers::wait;

use super::*;
use crate::support::tree;

fn examined(user: &User, source: &Path) -> Ran {
    user.run(&["doctor", source.to_str().unwrap()])
}

/// The lines that are bad, with what follows them.
fn bad(ran: &Ran) -> String {
    assert_eq!(ran.status, 3, "{}{}", ran.stdout, ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[0].starts_with("bad "));
    pairs.map(|pair| pair.join("\n")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_good_setup_is_good_and_nothing_is_changed() {
    let (user, source) = (User::new(), Source::example());
    user.backup(&source.path).succeeds();
    let state =
        || [user.repository(), user.path("state"), source.path.clone()].map(|path| tree(&path));
    let before = state();
    let ran = examined(&user, &source.path);
    let text = ran.succeeds();
    for part in [
        "ok        repository: ",
        "ok        create-only: ",
        "ok        writable: ",
        "ok        room: ",
        "ok        clock: ",
        "ok        last backup: ",
        "ok        installation: ",
        "ok        user: ",
        "ok        database: seafile: readable",
        "ok        objects: 10 of 10 libraries have objects",
        "ok        state folder: ",
        "ok        host key: ",
        "ok        joined: ",
        "ok        encryption: none",
        "ok        catalog: knows ",
        "ok        spool: ",
        "note      recovery sheet: ",
        "good      backups can run here",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert_eq!(state(), before);
    assert_eq!(user.run(&["doctor", "-q"]).succeeds(), "good      backups can run here\n");
    let json = user.run(&["doctor", "--json"]).json();
    assert_eq!(json["findings"][0]["level"], "ok");
}

#[test]
fn a_machine_where_nothing_is_set_up_is_told_what_to_do() {
    let user = User::new();
    let empty = user.path("empty");
    fs::create_dir(&empty).unwrap();
    let text = bad(&examined(&user, &empty));
    for part in [
        "no repository",
        "seawall init -r",
        "is not a Seafile installation",
        "state folder: there is none",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!user.path("state").exists() && !user.repository().exists());
    let mut command = user.command(&["doctor"]);
    command.env_remove("SEAWALL_REPOSITORY");
    let ran = Ran::of(wait::output(&mut command));
    assert!(bad(&ran).contains("no repository is named"), "{}", ran.stdout);
}

/// A library that was in the trash has lost the row that says from when on its history is complete. So doctor looks at
/// no history: what Seafile collected is not missing.
#[test]
fn history_that_was_collected_is_not_missed() {
    let (user, source) = (User::new(), Source::example());
    user.run(&["init"]).succeeds();
    source.sql("DELETE FROM RepoValidSince");
    let heads: std::collections::HashSet<String> = source
        .query(
            "SELECT group_concat(id) FROM (SELECT commit_id AS id FROM Branch UNION SELECT head_id FROM RepoTrash)",
        )
        .split(',')
        .map(ToOwned::to_owned)
        .collect();
    let mut collected = 0;
    for commit in files_below(&source.path.join("seafile-data/storage/commits")) {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let id = name(commit.parent().unwrap()) + &name(&commit);
        if !heads.contains(&id) {
            fs::remove_file(commit).unwrap();
            collected += 1;
        }
    }
    assert!(collected > 20, "{collected}");
    for _ in 0..3 {
        let text = examined(&user, &source.path);
        assert!(text.succeeds().contains("10 of 10 libraries have objects"), "{}", text.stdout);
    }
}

#[test]
fn each_thing_that_is_wrong_is_named() {
    type Spoil = fn(&User, &Source);
    let cases: [(Spoil, &str); 10] = [
        (|user, _| set_mode(&user.path("state"), 0o755), "state folder: "),
        (|user, _| set_mode(&user.path("state/host.key"), 0o644), "chmod 0600"),
        (
            |user, _| fs::remove_file(user.path("state/host.key")).unwrap(),
            "host key: there is none",
        ),
        (|user, _| fs::write(user.path("state/host.key"), "x").unwrap(), "host key: "),
        (|user, _| fs::remove_file(user.only("keys")).unwrap(), "the repository has no keys/"),
        (|user, _| fs::remove_dir_all(user.path("state/repositories")).unwrap(), "has not joined"),
        (|user, _| flip(&user.only("markers"), 100), "is no snapshot"),
        (
            |_, source| {
                fs::write(source.path.join("seafile-data/seafile.db"), vec![b'x'; 4096]).unwrap();
            },
            "database: ",
        ),
        (
            |_, source| {
                let path = source.path.join("conf/seafile.conf");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, format!("{text}\n[database]\ntype = pgsql\n")).unwrap();
            },
            "pgsql",
        ),
        (
            |_, source| {
                let path = source.path.join("conf/seafile.conf");
                let text = fs::read_to_string(&path).unwrap();
                let mysql = "type = mysql\nhost = db\nuser = u\npassword = hunter2\ndb_name = s";
                fs::write(path, text.replace("type = sqlite", mysql)).unwrap();
            },
            "--database-host",
        ),
    ];
    let (first, original) = (User::new(), Source::example());
    first.backup(&original.path).succeeds();
    for (spoil, expected) in cases {
        let (user, source) = (User::new(), Source::example());
        for folder in ["repository", "state"] {
            let from = first.path(folder);
            crate::support::run(
                "cp",
                &["-a", from.to_str().unwrap(), user.home.path().to_str().unwrap()],
            );
        }
        spoil(&user, &source);
        let ran = examined(&user, &source.path);
        let text = bad(&ran);
        assert!(text.contains(expected), "{expected} is not in:\n{}", ran.stdout);
        assert!(!ran.stdout.contains("hunter2"));
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn places_inside_of_each_other_are_bad() {
    let (user, source) = (User::new(), Source::example());
    user.backup(&source.path).succeeds();
    let state = source.path.join("conf/state");
    fs::rename(user.path("state"), &state).unwrap();
    symlink(&state, user.path("state")).unwrap();
    let text = bad(&examined(&user, &source.path));
    assert!(
        text.contains("state folder: ") && text.contains("inside of the installation"),
        "{text}"
    );
    fs::remove_file(user.path("state")).unwrap();
    let inside = user.repository().join("state");
    fs::rename(&state, &inside).unwrap();
    symlink(&inside, user.path("state")).unwrap();
    let text = bad(&examined(&user, &source.path));
    assert!(text.contains("inside of the repository"), "{text}");
}

#[test]
fn a_repository_that_this_user_cannot_write_is_bad() {
    let (user, source) = (User::new(), Source::example());
    user.backup(&source.path).succeeds();
    crate::support::run("chmod", &["-R", "a+rX,a-w", user.repository().to_str().unwrap()]);
    set_mode(user.home.path(), 0o755);
    let binary = user.path("seawall");
    fs::copy(env!("CARGO_BIN_EXE_seawall"), &binary).unwrap();
    set_mode(&binary, 0o755);
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.arg(&binary).arg("doctor").arg("-r").arg(user.repository());
    command.arg("--state-dir").arg(user.path("none"));
    let ran = Ran::of(wait::output(&mut command));
    let text = bad(&ran);
    assert!(text.contains("writable: ") && text.contains("ermission"), "{}", ran.stdout);
}

/// A store that overwrites.
#[derive(Debug)]
struct Overwriting(MemoryBackend);

impl Backend for Overwriting {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        self.0.delete(key)?;
        self.0.put_new(key, body)
    }

    fn get(&self, key: &Key, range: Option<std::ops::Range<u64>>) -> Result<Vec<u8>> {
        self.0.get(key, range)
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        self.0.stat(key)
    }

    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        self.0.list(prefix)
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.0.delete(key)
    }
}

#[test]
fn a_destination_that_overwrites_is_bad_and_keeps_its_bytes() {
    let levels = |backend: Arc<dyn Backend>| {
        let now = Clock::system().now();
        let id = RepositoryId::random().unwrap();
        let configuration = Configuration { id, created: now, seal: Seal::None };
        backend.put_new(&names::configuration(), &configuration.to_bytes()).unwrap();
        let repository = open_to_read(Arc::clone(&backend), &[]).unwrap();
        let bytes = backend.get(&names::configuration(), None).unwrap();
        let mut report = Report::default();
        let setup = Setup {
            repository: Some(&repository),
            repository_path: None,
            state: Path::new("/nonexistent"),
            now,
        };
        doctor::destination(&mut report, &setup);
        assert_eq!(backend.get(&names::configuration(), None).unwrap(), bytes);
        assert_eq!(backend.list("").count(), 1);
        let found = report.findings.iter().find(|finding| finding.what == "create-only");
        found.unwrap().level
    };
    assert_eq!(levels(Arc::new(Overwriting(MemoryBackend::default()))), FindingLevel::Bad);
    assert_eq!(levels(Arc::new(MemoryBackend::default())), FindingLevel::Ok);
}
