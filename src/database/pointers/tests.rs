//! Tests with the example installation, with each kind of senseless row, and with random rows.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::{
    Head, LibraryPointers, LibraryState, Oddity, Pointers, VirtualOrigin, read_pointers,
    read_pointers_live,
};
use crate::database::{Error, SqliteSource};
use crate::object::LibraryId;

mod damaged;

const HAIWEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/haiwen");
const A: &str = "aaaaaaaa-90a4-497e-8ed3-28ccedce9e2d";
const B: &str = "bbbbbbbb-90a4-497e-8ed3-28ccedce9e2d";
const HEAD: &str = "fd311175cf5797f0f60ccab7a96cdcc1eca21a7e";
const OTHER_HEAD: &str = "9c8b71681a3a3b27753ca1b66468ee90f0246478";

/// The tables of Seafile 12 on SQLite.
const SCHEMA: &str = "
    CREATE TABLE Branch (name, repo_id, commit_id);
    CREATE TABLE Repo (repo_id);
    CREATE TABLE RepoTrash (repo_id, repo_name, head_id, owner_id, size, org_id, del_time);
    CREATE TABLE GarbageRepos (repo_id);
    CREATE TABLE VirtualRepo (repo_id, origin_repo, path, base_commit);
    CREATE TABLE RepoInfo (repo_id, name, update_time, version, is_encrypted, last_modifier, status);
    CREATE TABLE RepoOwner (repo_id, owner_id);
    CREATE TABLE OrgRepo (org_id, repo_id, user);
    CREATE TABLE RepoValidSince (repo_id, timestamp);
    CREATE TABLE RepoHistoryLimit (repo_id, days);
    CREATE TABLE RepoStorageId (repo_id, storage_id);
    CREATE TABLE GCID (repo_id, gc_id);
    CREATE TABLE SystemInfo (info_key, info_value);
";

struct Database {
    folder: tempfile::TempDir,
}

impl Database {
    fn new(sql: &str) -> Self {
        let database = Self { folder: tempfile::tempdir().unwrap() };
        let db = Connection::open(database.file()).unwrap();
        db.execute_batch(&format!("PRAGMA synchronous = OFF; BEGIN; {sql}; COMMIT")).unwrap();
        database
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("seafile.db")
    }

    fn read(&self) -> Pointers {
        read_pointers(&self.file()).unwrap()
    }
}

/// Pointers of a database of Seafile 12 with these rows.
fn read(rows: &str) -> Pointers {
    Database::new(&format!("{SCHEMA}{rows}")).read()
}

fn id(text: &str) -> LibraryId {
    text.parse().unwrap()
}

fn head(commit: &str) -> Head {
    Head { branch: "master".into(), commit: commit.parse().unwrap() }
}

fn live(library: &str) -> String {
    format!(
        "INSERT INTO Repo VALUES ('{library}');
         INSERT INTO Branch VALUES ('master', '{library}', '{HEAD}');"
    )
}

#[test]
fn an_installation_is_read() {
    let source = SqliteSource {
        role: "seafile".into(),
        path: Path::new(HAIWEN).join("seafile-data/seafile.db"),
    };
    let copied = tempfile::tempdir().unwrap();
    let path = copied.path().join("seafile.db");
    std::fs::copy(&source.path, &path).unwrap();
    let spool = tempfile::tempdir().unwrap();
    let pointers =
        read_pointers_live(&SqliteSource { path: path.clone(), ..source }, spool.path()).unwrap();
    assert_eq!(pointers, read_pointers(&path).unwrap());
    assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);

    assert_eq!(pointers.libraries.len(), 10);
    assert_eq!(pointers.oddities, []);
    assert_eq!(pointers.template, Some(id("db00fac8-beb9-4b54-88fe-964a243cc8f3")));
    let by_name = |name: &str| -> &LibraryPointers {
        pointers.libraries.iter().find(|library| library.name.as_deref() == Some(name)).unwrap()
    };
    let projects = by_name("Projects");
    assert_eq!(
        projects.origin,
        Some(VirtualOrigin {
            library: by_name("Documents").id,
            path: "/Projects".into(),
            base_commit: Some(by_name("Documents").heads[0].commit),
        })
    );
    let trashed = by_name("Old project (trashed)");
    assert_eq!(trashed.state, LibraryState::Trashed { deleted_at: Some(1_795_383_251) });
    assert_eq!(trashed.heads, [head("ba3b4345604cf777f17d191862262e41d6c85adf")]);
    assert_eq!(trashed.owner.as_deref(), Some("bob@example.com"));
    assert_eq!(by_name("Secret v4").encrypted, Some(true));
    assert_eq!(by_name("Photos & Videos").encrypted, Some(false));
    let cleaned = by_name("Cleaned history");
    assert_eq!(cleaned.valid_since, Some(1_795_383_251));
    assert_eq!(cleaned.owner.as_deref(), Some("jörg.müller@example.com"));
    assert_eq!(by_name("Рабочие файлы 文档 📁").version, Some(1));
}

#[test]
fn all_columns_find_their_place() {
    let pointers = read(&format!(
        "{}{}
        INSERT INTO Branch VALUES ('local', '{A}', '{OTHER_HEAD}');
        INSERT INTO VirtualRepo VALUES ('{B}', '{A}', '/x', '{OTHER_HEAD}');
        INSERT INTO RepoInfo VALUES ('{A}', 'Name', 5, 1, 1, 'm', 0);
        INSERT INTO RepoOwner VALUES ('{A}', 'owner');
        INSERT INTO OrgRepo VALUES (1, '{B}', 'member');
        INSERT INTO RepoValidSince VALUES ('{A}', 17);
        INSERT INTO RepoHistoryLimit VALUES ('{A}', '-1');
        INSERT INTO RepoStorageId VALUES ('{A}', 'cold');
        INSERT INTO GCID VALUES ('{A}', 'gc');
        INSERT INTO GarbageRepos VALUES ('{A}');
        INSERT INTO GarbageRepos VALUES ('cccccccc-90a4-497e-8ed3-28ccedce9e2d');
        INSERT INTO SystemInfo VALUES ('default_repo_id', '{B}');",
        live(B),
        live(A)
    ));
    let expected = LibraryPointers {
        id: id(A),
        state: LibraryState::Live,
        name: Some("Name".into()),
        owner: Some("owner".into()),
        heads: vec![Head { branch: "local".into(), ..head(OTHER_HEAD) }, head(HEAD)],
        origin: None,
        valid_since: Some(17),
        history_days: Some(-1),
        encrypted: Some(true),
        version: Some(1),
        gc_id: Some("gc".into()),
    };
    assert_eq!(pointers.library(id(A)), Some(&expected));
    let other = pointers.library(id(B)).unwrap();
    assert_eq!((other.name.as_deref(), other.owner.as_deref()), (None, Some("member")));
    let origin =
        VirtualOrigin { library: id(A), path: "/x".into(), base_commit: OTHER_HEAD.parse().ok() };
    assert_eq!(other.origin, Some(origin));
    assert_eq!(pointers.library(LibraryId::new([0; 16])), None);
    assert_eq!(pointers.storage_classes.get(&id(A)).map(String::as_str), Some("cold"));
    assert_eq!(pointers.template, Some(id(B)));
    assert_eq!(pointers.garbage, [id("cccccccc-90a4-497e-8ed3-28ccedce9e2d")].into());
    assert_eq!(pointers.oddities, []);
}

#[test]
fn only_two_tables_are_needed_and_the_order_of_columns_does_not_matter() {
    let database = Database::new(&format!(
        "CREATE TABLE Repo (id INTEGER PRIMARY KEY, REPO_ID TEXT);
         CREATE TABLE Branch (id INTEGER PRIMARY KEY, commit_id, repo_id, name);
         CREATE TABLE RepoTrash (repo_id, head_id);
         INSERT INTO Repo VALUES (1, '{A}');
         INSERT INTO Branch VALUES (1, '{HEAD}', '{A}', 'master');
         INSERT INTO RepoTrash VALUES ('{B}', '{OTHER_HEAD}');"
    ));
    let pointers = database.read();
    assert_eq!(pointers.library(id(A)).unwrap().heads, [head(HEAD)]);
    let trashed = pointers.library(id(B)).unwrap();
    assert_eq!(trashed.state, LibraryState::Trashed { deleted_at: None });
    assert_eq!(trashed.heads, [head(OTHER_HEAD)]);
    assert_eq!(pointers.oddities, []);
}

#[test]
fn another_database_is_refused() {
    for (sql, table, column) in [
        ("CREATE TABLE Branch (name, repo_id, commit_id)", "Repo", "repo_id"),
        ("CREATE TABLE Repo (repo_id)", "Branch", "repo_id"),
        ("CREATE TABLE Repo (repo_id); CREATE TABLE Branch (name, repo_id)", "Branch", "commit_id"),
        ("", "Repo", "repo_id"),
    ] {
        let error = read_pointers(&Database::new(sql).file()).unwrap_err();
        match &error {
            Error::MissingTable { table: found, column: missing, .. } => {
                assert_eq!((*found, *missing), (table, column));
            }
            other => panic!("{other:?}"),
        }
        assert!(error.to_string().contains("seafile.db") && error.hint().is_some());
    }
}

#[test]
fn nonsense_is_named_and_ignored() {
    let zeros = "0".repeat(40);
    let long = "x".repeat(1000);
    let cases = [
        (format!("INSERT INTO Repo VALUES ('{A}');"), format!("library {A} has no branch")),
        (
            format!(
                "INSERT INTO Repo VALUES ('{A}'); INSERT INTO Branch VALUES ('master', '{A}', '{zeros}');"
            ),
            format!("library {A} has no branch"),
        ),
        (
            format!("INSERT INTO Branch VALUES ('master', '{A}', '{HEAD}');"),
            format!("branch \"master\" belongs to library {A}, which does not exist"),
        ),
        (
            format!("INSERT INTO RepoTrash VALUES ('{A}', 'n', '', 'o', 1, -1, 5);"),
            format!("library {A} in the trash has no head"),
        ),
        (
            format!(
                "{}INSERT INTO RepoTrash VALUES ('{A}', 'n', '{HEAD}', 'o', 1, -1, 5);",
                live(A)
            ),
            format!("library {A} is both live and in the trash"),
        ),
        (
            format!(
                "INSERT INTO RepoTrash VALUES ('{A}', 'n', '{HEAD}', 'o', 1, -1, 5);
                 INSERT INTO GarbageRepos VALUES ('{A}');"
            ),
            format!("library {A} is both in the trash and deleted for good"),
        ),
        (
            format!("INSERT INTO VirtualRepo VALUES ('{A}', '{B}', '/', '{HEAD}');"),
            format!("virtual library {A} does not exist"),
        ),
        (
            format!("{}INSERT INTO VirtualRepo VALUES ('{A}', '{B}', '/', '{HEAD}');", live(A)),
            format!("virtual library {A} comes from {B}, which does not exist"),
        ),
        (
            format!("{}INSERT INTO VirtualRepo VALUES ('{A}', '{A}', '/', 'short');", live(A)),
            format!("VirtualRepo.base_commit of library {A} makes no sense: \"short\""),
        ),
        (
            format!("{}INSERT INTO Branch VALUES ('local', '{A}', NULL);", live(A)),
            format!("Branch.commit_id of library {A} makes no sense: \"\""),
        ),
        (
            format!("{}INSERT INTO RepoValidSince VALUES ('{A}', 'soon');", live(A)),
            format!("RepoValidSince.timestamp of library {A} makes no sense: \"soon\""),
        ),
        (
            String::from("INSERT INTO Repo VALUES (NULL);"),
            String::from("Repo.repo_id makes no sense: \"\""),
        ),
        (
            format!("{}INSERT INTO RepoValidSince VALUES ('{}', 5);", live(A), A.to_uppercase()),
            format!(
                "RepoValidSince.repo_id has an id in capital letters, which was read in small ones: \"{}\"",
                A.to_uppercase()
            ),
        ),
        (
            format!("INSERT INTO GarbageRepos VALUES ('{long}');"),
            format!("GarbageRepos.repo_id makes no sense: \"{}\"", "x".repeat(80)),
        ),
    ];
    for (sql, expected) in cases {
        let pointers = read(&sql);
        let found: Vec<String> = pointers.oddities.iter().map(Oddity::to_string).collect();
        assert_eq!(found, [expected], "{sql}");
        assert!(pointers.garbage.is_empty());
    }
}

#[test]
fn a_live_library_without_branch_takes_the_head_that_the_trash_names() {
    let pointers = read(&format!(
        "INSERT INTO Repo VALUES ('{A}');
         INSERT INTO RepoTrash VALUES ('{A}', 'n', '{HEAD}', 'o', 1, -1, 5);"
    ));
    let library = pointers.library(id(A)).unwrap();
    assert_eq!((library.state, &library.heads[..]), (LibraryState::Live, &[head(HEAD)][..]));
}

#[test]
fn roots_are_what_a_walk_depends_on() {
    let pointers = read(&format!(
        "{}{}INSERT INTO VirtualRepo VALUES ('{B}', '{A}', '/', '{HEAD}');",
        live(A),
        live(B)
    ));
    let library = pointers.library(id(B)).unwrap();
    let changed = |change: fn(&mut LibraryPointers)| {
        let mut other = library.clone();
        change(&mut other);
        !library.same_roots(&other)
    };
    assert!(changed(|other| other.heads[0] = head(OTHER_HEAD)));
    assert!(changed(|other| other.heads.clear()));
    assert!(changed(|other| other.origin = None));
    assert!(changed(|other| other.origin.as_mut().unwrap().base_commit = None));
    assert!(changed(|other| other.origin.as_mut().unwrap().library = id(B)));
    assert!(changed(|other| other.valid_since = Some(1)));
    assert!(changed(|other| other.gc_id = Some("1".into())));
    assert!(changed(|other| other.id = id(A)));
    // A walk checks a library in the trash by other rules.
    assert!(changed(|other| other.state = LibraryState::Trashed { deleted_at: None }));
    assert!(!changed(|other| {
        other.name = Some("renamed".into());
        other.owner = None;
        other.history_days = Some(3);
        other.origin.as_mut().unwrap().path = "/moved".into();
    }));
}

#[test]
fn pointers_can_be_written_as_json() {
    let pointers = read(&format!("{}INSERT INTO Repo VALUES ('{B}');", live(A)));
    let json = serde_json::to_value(&pointers).unwrap();
    assert_eq!(json["libraries"][0]["state"], "live");
    assert_eq!(json["libraries"][0]["heads"][0]["commit"], HEAD);
    assert_eq!(json["oddities"][0]["kind"], "no_branch");
}

/// A cell that is often a valid id, so that rows of several tables are about one library.
fn any_cell() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => prop_oneof![Just(A), Just(B)].prop_map(|id| Value::Text(id.into())),
        3 => prop_oneof![Just(HEAD), Just(OTHER_HEAD)].prop_map(|id| Value::Text(id.into())),
        1 => Just(Value::Null),
        1 => any::<i64>().prop_map(Value::Integer),
        1 => any::<f64>().prop_map(Value::Real),
        1 => ".{0,120}".prop_map(Value::Text),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Value::Blob),
    ]
}

/// The tables of [`SCHEMA`] and how many columns each has.
fn tables() -> Vec<(String, usize)> {
    SCHEMA
        .split("CREATE TABLE ")
        .skip(1)
        .map(|table| (table.split(' ').next().unwrap().to_owned(), table.matches(',').count() + 1))
        .collect()
}

fn any_rows() -> impl Strategy<Value = Vec<(usize, Vec<Value>)>> {
    let row = (0..tables().len(), prop::collection::vec(any_cell(), 7));
    prop::collection::vec(row, 0..60)
}

fn fill(db: &Connection, rows: &[(usize, Vec<Value>)]) {
    db.execute_batch("PRAGMA synchronous = OFF; BEGIN").unwrap();
    for (table, cells) in rows {
        let (name, columns) = &tables()[*table];
        let mut marks = String::from("?");
        (1..*columns).for_each(|_| write!(marks, ", ?").unwrap());
        let sql = format!("INSERT INTO {name} VALUES ({marks})");
        db.execute(&sql, rusqlite::params_from_iter(&cells[..*columns])).unwrap();
        // The same bytes again, as a text that is not UTF-8.
        if let Value::Blob(bytes) = &cells[0] {
            let sql = format!("INSERT INTO {name} VALUES (CAST({marks} AS TEXT))");
            if *columns == 1 {
                db.execute(&sql, [bytes]).unwrap();
            }
        }
    }
    db.execute_batch("COMMIT").unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_content_gives_consistent_pointers(rows in any_rows()) {
        let database = Database::new(SCHEMA);
        let db = Connection::open(database.file()).unwrap();
        fill(&db, &rows);
        let pointers = database.read();
        prop_assert!(pointers.libraries.is_sorted_by(|a, b| a.id < b.id));
        for text in [A, B] {
            let find = |table: &str, column: &str| -> bool {
                let sql = format!("SELECT count(*) FROM {table} WHERE {column} = ?1");
                db.query_row(&sql, [text], |row| row.get::<_, i64>(0)).unwrap() > 0
            };
            let (is_live, is_trashed) = (find("Repo", "repo_id"), find("RepoTrash", "repo_id"));
            let library = pointers.library(id(text));
            prop_assert_eq!(library.is_some(), is_live || is_trashed);
            prop_assert_eq!(library.is_some_and(|it| it.state == LibraryState::Live), is_live);
            let garbage = find("GarbageRepos", "repo_id") && !is_live && !is_trashed;
            prop_assert_eq!(pointers.garbage.contains(&id(text)), garbage);
        }
        for library in &pointers.libraries {
            prop_assert!(library.heads.is_sorted_by(|a, b| a < b));
            let odd = pointers.oddities.iter().any(|oddity| matches!(oddity,
                Oddity::NoBranch { library: id } | Oddity::NoHeadInTrash { library: id } if *id == library.id));
            prop_assert_eq!(library.heads.is_empty(), odd);
            prop_assert!(library.same_roots(library));
        }
        for oddity in &pointers.oddities {
            prop_assert!(oddity.to_string().len() < 2000);
        }
        serde_json::to_string(&pointers).unwrap();
    }

    #[test]
    fn the_order_of_rows_does_not_matter(rows in any_rows()) {
        let read = |rows: &[(usize, Vec<Value>)]| {
            let database = Database::new(SCHEMA);
            let db = Connection::open(database.file()).unwrap();
            fill(&db, rows);
            database.read()
        };
        let ids = |pointers: &Pointers| -> Vec<_> {
            pointers.libraries.iter().map(|it| (it.id, it.heads.clone(), it.valid_since)).collect()
        };
        let reversed: Vec<_> = rows.iter().rev().cloned().collect();
        let (one, other) = (read(&rows), read(&reversed));
        prop_assert_eq!(ids(&one), ids(&other));
        prop_assert_eq!(one.garbage, other.garbage);
    }
}
