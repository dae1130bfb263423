//! Damage of the database, and rows that are odd and no damage.

use std::fs;

use serde_json::Value;

use super::contents::{Contents, path, put_head};
use super::table::program;
use super::{DOCUMENTS, PHOTOS, TRASH, VIRTUAL};
use crate::support::Source;

/// (library, reason) of each damage.
fn told(report: &Value) -> Vec<(&str, &str)> {
    let damage = report["damage"].as_array().unwrap().iter();
    let text = |entry: &'static str| move |value: &Value| value[entry].as_str().is_some();
    damage
        .inspect(|entry| assert!(text("library_name")(entry), "{entry}"))
        .map(|entry| (entry["library"].as_str().unwrap(), entry["reason"].as_str().unwrap()))
        .collect()
}

#[test]
fn rows_that_lead_nowhere_are_damage() {
    let cut = "substr(commit_id, 2)";
    for (statement, library, reason) in [
        (format!("DELETE FROM Branch WHERE repo_id = '{PHOTOS}'"), PHOTOS, "no-head"),
        (
            format!("UPDATE Branch SET commit_id = {cut} WHERE repo_id = '{PHOTOS}'"),
            PHOTOS,
            "no-head",
        ),
        (
            format!("UPDATE Branch SET commit_id = NULL WHERE repo_id = '{PHOTOS}'"),
            PHOTOS,
            "no-head",
        ),
        (format!("UPDATE Branch SET commit_id = '' WHERE repo_id = '{PHOTOS}'"), PHOTOS, "no-head"),
        (format!("UPDATE RepoTrash SET head_id = 'x' WHERE repo_id = '{TRASH}'"), TRASH, "no-head"),
        (
            format!(
                "INSERT INTO Branch (name, repo_id, commit_id) VALUES ('other', '{PHOTOS}', 'x')"
            ),
            PHOTOS,
            "senseless-row",
        ),
        (
            format!("UPDATE VirtualRepo SET base_commit = 'x' WHERE repo_id = '{VIRTUAL}'"),
            VIRTUAL,
            "senseless-row",
        ),
        (
            format!(
                "UPDATE VirtualRepo SET origin_repo = '{}' WHERE repo_id = '{VIRTUAL}'",
                "1".repeat(8) + "-1111-4111-8111-111111111111"
            ),
            VIRTUAL,
            "no-origin",
        ),
    ] {
        let source = Source::example();
        source.sql(&statement);
        let (status, report) = program(&source);
        assert_eq!(status, 3, "{statement}");
        let told = told(&report);
        assert!(told.contains(&(library, reason)), "{statement}: {told:?}");
        assert!(told.iter().all(|(of, _)| *of == library), "{statement}: {told:?}");
    }
}

#[test]
fn rows_without_a_library_make_the_database_unsound() {
    let source = Source::example();
    source.sql("INSERT INTO Repo (repo_id) VALUES ('no such id')");
    let (status, report) = program(&source);
    assert_eq!((status, &report["damaged"]), (3, &0.into()));
    assert!(report["databases"].to_string().contains("no such id"), "{report:#}");
}

#[test]
fn a_lost_row_of_a_shared_folder_is_told_from_lost_data() {
    let source = Source::example();
    source.sql("DELETE FROM VirtualRepo");
    let (status, report) = program(&source);
    assert_eq!(status, 3);
    assert!(told(&report).iter().all(|told| *told == (VIRTUAL, "missing")));
    let hints = report["hints"].to_string();
    for part in [VIRTUAL, DOCUMENTS, "VirtualRepo"] {
        assert!(hints.contains(part), "{hints}");
    }
}

#[test]
fn a_missing_base_commit_is_told_for_both_libraries() {
    let source = Source::example();
    let base = source.query("SELECT base_commit FROM VirtualRepo");
    let origin = Contents::new(&source, DOCUMENTS);
    let base = origin.commit(base.parse().unwrap());
    let head = origin.head();
    put_head(&source, DOCUMENTS, head, origin.root(head).id);
    fs::remove_file(path(&source, &base)).unwrap();
    let (status, report) = program(&source);
    assert_eq!(status, 3);
    let mut told = told(&report);
    told.sort_unstable();
    assert_eq!(told, [(VIRTUAL, "missing"), (DOCUMENTS, "missing")]);
    let versions = report["damage"].as_array().unwrap().iter();
    let versions: Vec<_> =
        versions.map(|entry| (&entry["version"]["commit"], &entry["version"]["base"])).collect();
    let id = Value::from(base.id.to_string());
    assert_eq!(versions, [(&id, &true.into()), (&id, &false.into())]);
}

#[test]
fn odd_rows_are_no_damage() {
    for statement in [
        format!("UPDATE RepoTrash SET head_id = '' WHERE repo_id = '{TRASH}'"),
        format!("UPDATE RepoTrash SET head_id = NULL WHERE repo_id = '{TRASH}'"),
        "DELETE FROM RepoInfo; DELETE FROM RepoHead; DELETE FROM RepoSize; DELETE FROM RepoOwner"
            .into(),
        "UPDATE RepoInfo SET name = '📁🚀'".into(),
        "INSERT INTO Branch (name, repo_id, commit_id) \
         VALUES ('master', '11111111-1111-4111-8111-111111111111', 'x')"
            .into(),
        format!("INSERT INTO GarbageRepos (repo_id) VALUES ('{PHOTOS}')"),
    ] {
        let source = Source::example();
        source.sql(&statement);
        let (status, report) = program(&source);
        assert_eq!(status, 0, "{statement}: {report:#}");
        assert_eq!(report["good"], true);
        let is_trash = statement.contains("RepoTrash");
        let loose = serde_json::json!([{"store": TRASH, "garbage": false, "in_trash": true}]);
        let none = serde_json::json!([]);
        assert_eq!(report["without_pointer"], if is_trash { loose } else { none });
    }
}

#[test]
fn a_library_without_a_name_in_the_database_has_that_of_its_head() {
    let source = Source::example();
    source.sql("DELETE FROM RepoInfo");
    let block = Contents::new(&source, PHOTOS).some_file().blocks[0];
    fs::remove_file(path(&source, &block)).unwrap();
    let (_, report) = program(&source);
    assert_eq!(report["damage"][0]["library_name"], "Photos & Videos");
    assert_eq!(report["damaged_libraries"][0]["library_name"], "Photos & Videos");
}
