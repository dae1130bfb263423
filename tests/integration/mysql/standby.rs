//! A standby whose databases are on a server: at no moment has the server an older head beside a newer commit. Sync clients
//! that ask in such a moment set their users' files back.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use seawall::object::{LibraryId, Store};
use seawall_test_servers::proxy::Proxy;

use super::import::{next, on, paste, with};
use super::*;
use crate::cli::Ran;
use crate::reverts::killed::{Point, STAGED, is_long, killed, points, spread};
use crate::reverts::{commits_beyond, set_aside};
use crate::support::{DOCUMENTS, files_below, run};

const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";
const UNFINISHED: &str = "RESTORE-UNFINISHED.txt";

/// Two snapshots, of which the second has newer heads; a standby at the first, and its databases on a server.
struct Stage {
    user: User,
    moved: Moved,
    server: MariaDb,
    first: String,
    standby: PathBuf,
    /// The heads of two libraries in the second snapshot.
    newer: Vec<Object>,
}

impl Stage {
    fn new() -> Self {
        let (user, moved) = (User::new(), Moved::example());
        user.run(&["backup", moved.path(), "--init"]).succeeds();
        let first = user.only_marker();
        let server = MariaDb::start();
        let standby = user.path("standby");
        let stage = Self { user, moved, server, first, standby, newer: Vec::new() };
        stage
            .restore(
                &stage.first,
                &stage.standby,
                &["--standby", "--import-databases"],
                stage.server.port,
            )
            .succeeds();
        let newer = [DOCUMENTS, PHOTOS].map(|library| stage.commit(library));
        stage.user.run(&["backup", stage.moved.path()]).succeeds();
        Self { newer: newer.into(), ..stage }
    }

    /// Somebody changes a library.
    fn commit(&self, library: &str) -> Object {
        let head =
            self.moved.sql(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{library}'"));
        let head =
            Object::new(library.parse().unwrap(), Kind::Commit, head.trim().parse().unwrap());
        let id = format!("{:09x}{}", 7, &head.id.to_string()[9..]);
        let newer = crate::damage::write_commit(&self.moved.source, &head, &id, |json| {
            json["parent_id"] = head.id.to_string().into();
            json["ctime"] = (json["ctime"].as_i64().unwrap() + 1).into();
        });
        self.moved
            .sql(&format!("UPDATE Branch SET commit_id = '{id}' WHERE repo_id = '{library}'"));
        newer
    }

    fn arguments(snapshot: &str, target: &Path, more: &[&str], port: u16) -> Vec<String> {
        let port = port.to_string();
        let target = target.to_str().unwrap();
        let place = ["--database-host", "127.0.0.1", "--database-port", &port];
        let account = ["--database-user", "root"];
        let all = [&["restore", snapshot, "--target", target][..], more, &place, &account];
        all.concat().into_iter().map(ToOwned::to_owned).collect()
    }

    fn restore(&self, snapshot: &str, target: &Path, more: &[&str], port: u16) -> Ran {
        let arguments = Self::arguments(snapshot, target, more, port);
        self.user.run(&with(&[], &arguments))
    }

    /// A standby at the first snapshot, and the server as it was then.
    fn begin_anew(&self, target: &Path) {
        if target.exists() {
            fs::remove_dir_all(target).unwrap();
        }
        // Nothing in a target is written in place.
        let (from, to) = (self.standby.to_str().unwrap(), target.to_str().unwrap());
        run("cp", &["-al", from, to]);
        let names = self.server.sql("SHOW DATABASES LIKE '%-db%'");
        let dropped = names.lines().map(|name| format!("DROP DATABASE `{name}`;\n"));
        let mut script = dropped.collect::<String>().into_bytes();
        for role in ["seafile", "ccnet", "seahub"] {
            let name = self.moved.name(role);
            script.extend(format!("CREATE DATABASE `{name}`; USE `{name}`;\n").bytes());
            let dump = self.standby.join(format!("seawall-databases/{role}.sql"));
            script.extend(fs::read(dump).unwrap());
        }
        let loaded = self.server.load("", &script);
        assert!(loaded.status.success(), "{loaded:?}");
    }

    /// What the server says of heads: a word, a library, and a commit of it, as far as the tables are there.
    fn heads(&self) -> Vec<(String, LibraryId, String)> {
        let name = self.moved.name("seafile");
        let tables = self.server.sql(&format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{name}'"
        ));
        let of_table = |(table, columns): (&str, &str)| {
            let is_there = tables.lines().any(|line| line == table);
            is_there.then(|| format!("SELECT '{table}', {columns} FROM `{name}`.{table};"))
        };
        let branch = ("Branch", "repo_id, commit_id");
        let base = ("VirtualRepo", "origin_repo, base_commit");
        let select: String = [branch, base].into_iter().filter_map(of_table).collect();
        let row = |row: &str| {
            let [table, library, commit] = row.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{row}");
            };
            (table.to_owned(), library.parse().unwrap(), commit.to_owned())
        };
        self.server.sql(&select).lines().map(row).collect()
    }

    /// Commits in their places that the server's heads do not lead to, of libraries that the server knows.
    fn beyond(&self, target: &Path) -> Vec<PathBuf> {
        // A killed program's connection may still be in the middle of something.
        wait::until("the server has noticed that its client is gone", || {
            let others = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND DB IS NOT NULL";
            self.server.sql(others) == "0\n"
        });
        let mut heads: HashMap<LibraryId, Vec<String>> = HashMap::new();
        let mut all = self.heads();
        // A base commit says nothing of a library without a head.
        all.sort();
        for (table, library, commit) in all {
            if table == "Branch" || heads.contains_key(&library) {
                heads.entry(library).or_default().push(commit);
            }
        }
        commits_beyond(target, &heads)
    }

    /// The restore is finished: newer heads, newer commits, no word of waiting.
    fn must_be_finished(&self, target: &Path) {
        let heads = self.heads();
        for newer in &self.newer {
            let mut heads = heads.iter();
            let is_head = heads.any(|(table, library, commit)| {
                table == "Branch"
                    && newer.store == Store::Library(*library)
                    && newer.id.to_string() == *commit
            });
            assert!(is_head, "{newer}");
        }
        for object in &self.newer {
            assert!(target.join(object.path()).exists(), "{object}");
        }
        assert!(!target.join(UNFINISHED).exists() && !target.join(STAGED).exists());
        assert_eq!(self.beyond(target), [] as [PathBuf; 0]);
    }
}

/// First the points in the end, where databases are loaded and commits placed, then the others.
fn last_first(points: &[Point]) -> Vec<Point> {
    let (early, late) = points.split_at(points.len().saturating_sub(14));
    [spread(late), spread(early)].concat()
}

#[test]
fn killed_at_no_moment_does_the_server_have_older_heads_beside_newer_commits() {
    let stage = Stage::new();
    let target = stage.user.path("target");
    let replace = ["--standby", "--import-databases", "--replace-databases"];
    let port = stage.server.port;
    let arguments = Stage::arguments("latest", &target, &replace, port);
    let arguments = with(&[], &arguments);
    stage.begin_anew(&target);
    assert_eq!(stage.beyond(&target), [] as [PathBuf; 0], "at first");
    let all = points(&stage.user, &arguments);
    stage.must_be_finished(&target);
    assert!(all.len() > 30, "{all:?}");
    let begun = Instant::now();
    let (mut died, mut waited, mut went_on) = (0, 0, 0);
    for point in last_first(&all) {
        if is_long(begun) && died >= 3 && waited >= 2 && went_on >= 1 {
            break;
        }
        stage.begin_anew(&target);
        let about = format!("killed at {point:?}");
        let was_killed = killed(&stage.user, &arguments, &point);
        died += usize::from(was_killed);
        assert_eq!(stage.beyond(&target), [] as [PathBuf; 0], "{about}");
        let mark = fs::read_to_string(target.join(UNFINISHED)).unwrap_or_default();
        let is_waiting = mark.contains("commits wait");
        waited += usize::from(is_waiting);
        // Some go on: where all else is in place without being restored again.
        if was_killed && died % 4 == 1 {
            let mut more = vec!["--import-only", "--replace-databases"];
            if !is_waiting {
                more = replace.to_vec();
            }
            let snapshot = "latest";
            stage.restore(snapshot, &target, &more, port).succeeds();
            stage.must_be_finished(&target);
            went_on += 1;
        }
    }
    let all = all.len();
    eprintln!("died {died} of {all} times, {waited} with all else in place; {went_on} went on");
    assert!(died >= 3 && waited >= 2 && went_on >= 1, "{died} {waited} {went_on}");
}

/// The line breaks in the middle of the databases: `--import-only` loads the rest, and then places the commits.
#[test]
fn an_import_that_broke_off_goes_on_and_then_the_commits_are_placed() {
    let stage = Stage::new();
    let target = stage.user.path("target");
    let proxy = Proxy::start(stage.server.port, Duration::ZERO);
    let replace = ["--standby", "--import-databases", "--replace-databases"];
    let (mut broken, mut bytes) = (0, 8_000);
    loop {
        wait::step("an import that breaks off");
        stage.begin_anew(&target);
        proxy.cut_after(bytes);
        let ran = stage.restore("latest", &target, &replace, proxy.port);
        proxy.cut_after(1 << 40);
        if ran.status == 0 {
            break;
        }
        bytes += bytes / 2;
        assert_eq!(stage.beyond(&target), [] as [PathBuf; 0], "{}", ran.stderr);
        if !target.join(UNFINISHED).exists() {
            continue;
        }
        broken += 1;
        assert!(target.join(STAGED).is_dir(), "{}", ran.stderr);
        assert!(ran.stderr.contains("--import-only"), "{}", ran.stderr);
        let notes = fs::read_to_string(target.join("RESTORE-NOTES.txt")).unwrap();
        assert!(notes.contains("NOT LOADED YET"), "{notes}");
        assert!(notes.contains("the commits wait"), "{notes}");
        // Without the databases, or with those of another snapshot, commits would come beside older heads.
        let path = target.to_str().unwrap();
        let alone = ["restore", "latest", "--standby", "--target", path];
        stage.user.run(&alone).fails(1, &["--import-databases"]);
        let other = stage.restore(&stage.first, &target, &["--import-only"], proxy.port);
        other.fails(1, &["unfinished restore of snapshot"]);
        let verified = stage.user.run(&["verify", path]);
        verified.fails(1, &["unfinished"]);
        // What is printed goes on by itself, from anywhere.
        let line = ran.stderr.split_once("then go on: ").unwrap().1;
        let went_on = paste(&stage.user, line.lines().next().unwrap());
        assert!(
            went_on.succeeds().contains("the commits are in their places now"),
            "{}",
            went_on.stdout
        );
        stage.must_be_finished(&target);
        let notes = fs::read_to_string(target.join("RESTORE-NOTES.txt")).unwrap();
        assert!(!notes.contains("NOT LOADED YET"), "{notes}");
        assert!(notes.contains("get their places after"), "{notes}");
        assert!(!notes.contains("are not loaded by the restore"), "{notes}");
        paste(&stage.user, next(&went_on.stdout)[0]).succeeds();
    }
    assert!(broken >= 2, "{broken}");
    stage.must_be_finished(&target);
}

/// The same with the whole command instead, and into an empty folder.
#[test]
fn a_fresh_restore_that_broke_off_in_its_databases_goes_on() {
    let stage = Stage::new();
    let target = stage.user.path("fresh");
    let server = MariaDb::start();
    let proxy = Proxy::start(server.port, Duration::ZERO);
    let import = ["--import-databases"];
    let mut bytes = 12_000;
    loop {
        wait::step("a restore that breaks off");
        proxy.cut_after(bytes);
        let ran = stage.restore("latest", &target, &import, proxy.port);
        proxy.cut_after(1 << 40);
        assert!(ran.status == 1, "{}{}", ran.stdout, ran.stderr);
        if target.join(UNFINISHED).exists() {
            break;
        }
        bytes += bytes / 2;
    }
    let commits = target.join("seafile-data/storage/commits");
    assert_eq!(files_below(&commits), [] as [PathBuf; 0]);
    // A first database may be whole already: it is not loaded again, and not in the way.
    let again = stage.restore("latest", &target, &import, proxy.port);
    again.succeeds();
    for object in &stage.newer {
        assert!(target.join(object.path()).exists(), "{object}");
    }
    assert!(!target.join(UNFINISHED).exists() && set_aside(&target).is_empty());
    paste(&stage.user, next(&again.stdout)[0]).succeeds();
}

/// Who completes the folder alone is told where older heads are.
#[test]
fn a_standby_without_its_databases_is_told_of_the_server() {
    let stage = Stage::new();
    let target = stage.standby.to_str().unwrap();
    let alone = ["restore", "latest", "--standby", "--target", target];
    let ran = stage.user.run(&alone);
    ran.succeeds();
    let server = format!("root@127.0.0.1:{}", stage.server.port);
    assert!(
        ran.stderr.contains(&server) && ran.stderr.contains("--import-databases"),
        "{}",
        ran.stderr
    );
    let notes = fs::read_to_string(stage.standby.join("RESTORE-NOTES.txt")).unwrap();
    assert!(notes.contains(&server), "{notes}");
    assert!(notes.contains("Load them before Seafile is started"), "{notes}");
    // Loaded, they are of this snapshot: nothing more to tell.
    let more = ["--import-only", "--replace-databases"];
    let loaded = stage.restore("latest", &stage.standby, &more, stage.server.port);
    loaded.succeeds();
    stage.must_be_finished(&stage.standby);
    let again = stage.user.run(&alone);
    again.succeeds();
    assert!(!again.stderr.contains(&server), "{}", again.stderr);
}

/// One dump that the repository has lost keeps none of the others away, and its heads no older ones.
#[test]
fn a_dump_that_is_lost_is_told_and_the_others_are_loaded() {
    let (user, moved) = (User::new(), Moved::example());
    user.run(&["backup", moved.path(), "--init"]).succeeds();
    let lose = |role: &str| {
        let parts = files_below(&user.repository());
        let is_of = |path: &&PathBuf| {
            let name = path.to_str().unwrap();
            name.contains("/databases/") && name.contains(&format!("{role}."))
        };
        let part = parts.iter().find(is_of).unwrap_or_else(|| panic!("{parts:?}"));
        fs::remove_file(part).unwrap();
    };
    lose("seahub");
    let target = user.path("target");
    let path = target.to_str().unwrap();
    let plain = user.run(&["restore", "latest", "--target", path]);
    assert_eq!(plain.status, 3, "{}{}", plain.stdout, plain.stderr);
    let server = MariaDb::start();
    let place = on(&server);
    let only = ["restore", "latest", "--import-only", "--target", path];
    let ran = user.run(&with(&only, &place));
    assert_eq!(ran.status, 3, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("lost: database seahub"), "{}", ran.stderr);
    let tables = |role: &str| {
        let name = moved.name(role);
        server.sql(&format!(
            "SELECT COUNT(*) > 0 FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{name}'"
        ))
    };
    let all = ["seafile", "ccnet", "seahub"].map(tables);
    assert_eq!(all, ["1\n", "1\n", "0\n"]);
    let notes = fs::read_to_string(target.join("RESTORE-NOTES.txt")).unwrap();
    assert!(notes.contains("LOST, and not loaded: seahub"), "{notes}");
    // Again: what is loaded is not in the way.
    let again = user.run(&with(&only, &place));
    assert_eq!(again.status, 3, "{}{}", again.stdout, again.stderr);
    // Heads of another state stay on no server beside these commits.
    lose("seafile");
    let fresh = user.path("fresh");
    let whole = ["restore", "latest", "--import-databases", "--replace-databases", "--target"];
    let whole = [&whole[..], &[fresh.to_str().unwrap()]].concat();
    user.run(&with(&whole, &place))
        .fails(1, &["lost the dump of seafile", "set their users' files"]);
    assert!(!fresh.exists());
    server.sql(&format!("DROP DATABASE `{}`", moved.name("seafile")));
    let ran = user.run(&with(&whole, &place));
    assert_eq!(ran.status, 3, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(tables("seafile"), "0\n");
    assert_eq!(tables("ccnet"), "1\n");
}
