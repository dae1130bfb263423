//! Heads that went back since the last snapshot, and libraries that lost their rows.

use std::fs;

use seawall::backup::{HeadChange, Report};
use seawall::object::{Object, ObjectId};
use sha1::{Digest as _, Sha1};

use crate::cli::User;
use crate::damage::{head, object_path, parent};
use crate::support::{DOCUMENTS, Source, World, backed_up};

/// A library that shares no folder.
const UNICODE: &str = "830ac5d7-2294-4f9c-ae5f-81500eb54e68";

fn set_head(source: &Source, library: &str, commit: &str) {
    source.sql(&format!("UPDATE Branch SET commit_id = '{commit}' WHERE repo_id = '{library}'"));
}

fn parsed(source: &Source, commit: &Object) -> serde_json::Value {
    serde_json::from_slice(&fs::read(object_path(source, commit)).unwrap()).unwrap()
}

/// A commit beside another one, of the same tree.
pub fn make_commit(
    source: &Source,
    like: &Object,
    parents: &[&Object],
    description: &str,
) -> Object {
    make_commit_with(source, like, |commit| {
        commit["description"] = description.into();
        for (at, name) in ["parent_id", "second_parent_id"].into_iter().enumerate() {
            let parent = parents.get(at).map(|parent| parent.id.to_string());
            commit[name] = parent.into();
        }
    })
}

/// A commit like another one but for what is edited, with an id that fits.
pub fn make_commit_with(
    source: &Source,
    like: &Object,
    edit: impl FnOnce(&mut serde_json::Value),
) -> Object {
    let mut commit = parsed(source, like);
    edit(&mut commit);
    let text = |name: &str| commit[name].as_str().map(ToOwned::to_owned);
    let mut hash = Sha1::new();
    for part in [text("root_id"), text("creator"), text("creator_name"), text("description")]
        .into_iter()
        .flatten()
    {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(commit["ctime"].as_i64().unwrap().to_be_bytes());
    let id = ObjectId::new(hash.finalize().into()).to_string();
    commit["commit_id"] = id.clone().into();
    let made = Object { id: id.parse().unwrap(), ..*like };
    let path = object_path(source, &made);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_vec(&commit).unwrap()).unwrap();
    made
}

fn changes(report: &Report) -> Vec<HeadChange> {
    let heads = report.rolled_back.heads.iter();
    heads.map(|head| head.change.clone()).collect()
}

#[test]
fn a_head_that_went_back_is_told_with_both_commits_on_that_night() {
    let (source, world, _) = backed_up();
    let new = head(&source, DOCUMENTS);
    let old = parent(&source, &parent(&source, &new));
    set_head(&source, DOCUMENTS, &old.id.to_string());
    let report = world.backup(&source);
    assert_eq!(changes(&report), [HeadChange::WentBack]);
    assert!(report.needs_reading());
    let told = report.warnings();
    let line = told.iter().find(|line| line.contains(DOCUMENTS)).unwrap();
    assert!(line.contains(&new.id.to_string()) && line.contains(&old.id.to_string()), "{line}");
    // The night after it is the state that there is.
    let report = world.backup(&source);
    assert!(report.rolled_back.is_empty() && !report.needs_reading());
    // Forward again.
    set_head(&source, DOCUMENTS, &new.id.to_string());
    let report = world.backup(&source);
    assert!(report.rolled_back.is_empty() && !report.needs_reading());
}

#[test]
fn a_head_that_went_back_is_told_also_where_the_newer_commits_are_gone() {
    let (source, world, _) = backed_up();
    let new = head(&source, DOCUMENTS);
    let between = parent(&source, &new);
    let old = parent(&source, &between);
    set_head(&source, DOCUMENTS, &old.id.to_string());
    for commit in [new, between] {
        fs::remove_file(object_path(&source, &commit)).unwrap();
    }
    assert_eq!(changes(&world.backup(&source)), [HeadChange::WentBack]);
}

#[test]
fn a_head_that_goes_forward_is_no_news_however_far() {
    let (source, world) = (Source::example(), World::local());
    let new = head(&source, DOCUMENTS);
    let old = parent(&source, &parent(&source, &new));
    set_head(&source, DOCUMENTS, &old.id.to_string());
    world.backup(&source);
    let further = make_commit(&source, &new, &[&new], "further");
    // By the first parent, and by the second: the head of another client was merged.
    let aside = make_commit(&source, &new, &[&old], "of another client");
    let merged = make_commit(&source, &new, &[&aside, &further], "Auto merge by system");
    for next in [further, merged] {
        set_head(&source, DOCUMENTS, &next.id.to_string());
        let report = world.backup(&source);
        assert!(
            report.rolled_back.is_empty() && !report.needs_reading(),
            "{:?}",
            report.warnings()
        );
    }
}

#[test]
fn a_head_that_does_not_come_from_the_old_one_is_told() {
    let (source, world, _) = backed_up();
    let new = head(&source, DOCUMENTS);
    let aside = make_commit(&source, &new, &[&parent(&source, &new)], "something else");
    set_head(&source, DOCUMENTS, &aside.id.to_string());
    let report = world.backup(&source);
    assert_eq!(changes(&report), [HeadChange::Replaced]);
    assert!(report.needs_reading());
}

/// Old versions of Seafile left a second branch behind. Clients follow `master`.
#[test]
fn each_branch_of_a_library_is_compared() {
    for moves_forward in [false, true] {
        let (source, world) = (Source::example(), World::local());
        let new = head(&source, DOCUMENTS);
        let old = parent(&source, &parent(&source, &new));
        // By name before the branch that goes back.
        source.sql(&format!("INSERT INTO Branch VALUES ('local', '{DOCUMENTS}', '{}')", new.id));
        assert!(!world.backup(&source).needs_reading());
        source.sql(&format!(
            "UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{DOCUMENTS}' AND name = 'master'",
            old.id
        ));
        if moves_forward {
            let next = make_commit(&source, &new, &[&new], "one more");
            source.sql(&format!(
                "UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{DOCUMENTS}' AND name = 'local'",
                next.id
            ));
        }
        let report = world.backup(&source);
        assert_eq!(changes(&report), [HeadChange::WentBack], "{moves_forward}");
        let moved = &report.rolled_back.heads[0];
        assert_eq!((&*moved.branch, moved.from, moved.to), ("master", new.id, old.id));
        // Both at once are two.
        source.sql(&format!(
            "UPDATE Branch SET commit_id = '{}' WHERE repo_id = '{DOCUMENTS}'",
            parent(&source, &old).id
        ));
        let report = world.backup(&source);
        assert_eq!(changes(&report).len(), 2, "{moves_forward}");
        let told = report.warnings();
        assert!(told.iter().any(|line| line.contains("branch \"local\"")));
    }
}

/// `seaf-fsck -r` goes back to a commit that it can read, or makes one on top of the head; users go on working on it.
#[test]
fn a_repair_is_told_also_when_commits_follow_it() {
    for (is_on_head, follow) in [(true, 0), (true, 2), (false, 0), (false, 2)] {
        let (source, world, _) = backed_up();
        let new = head(&source, DOCUMENTS);
        let base = if is_on_head { new } else { parent(&source, &new) };
        let repair = make_commit(&source, &new, &[&base], "Repaired by system.");
        let mut last = repair;
        for number in 0..follow {
            last = make_commit(&source, &new, &[&last], &format!("Added {number}"));
        }
        set_head(&source, DOCUMENTS, &last.id.to_string());
        let report = world.backup(&source);
        assert_eq!(changes(&report), [HeadChange::Repaired { commit: repair.id }]);
        assert!(report.needs_reading());
        // What was told is no news when users go on.
        let next = make_commit(&source, &new, &[&last], "Went on");
        set_head(&source, DOCUMENTS, &next.id.to_string());
        let report = world.backup(&source);
        assert!(report.rolled_back.is_empty(), "{:?}", report.rolled_back);
    }
}

/// A client's commit that was made right after a repair and merged much later leads to it once more.
#[test]
fn a_repair_that_was_told_is_no_news_on_another_way() {
    let (source, world, _) = backed_up();
    let new = head(&source, DOCUMENTS);
    let time = parsed(&source, &new)["ctime"].as_i64().unwrap();
    let make = |parents: &[&Object], description: &str, later: i64| {
        let made = make_commit(&source, &new, parents, description);
        make_commit_with(&source, &made, |commit| {
            commit["ctime"] = (time + later).into();
        })
    };
    let repair = make(&[&new], "Repaired by system.", 5);
    let told = make(&[&repair], "after it", 6);
    set_head(&source, DOCUMENTS, &told.id.to_string());
    let commit = repair.id;
    assert_eq!(changes(&world.backup(&source)), [HeadChange::Repaired { commit }]);
    // The search meets the repair before the old head: the clock of who went on from that was behind.
    let further = make(&[&told], "further", 3);
    let further = make(&[&further], "still further", 3);
    let of_client = make(&[&repair], "of a client", 10);
    let merged = make(&[&of_client, &further], "Auto merge by system", 11);
    set_head(&source, DOCUMENTS, &merged.id.to_string());
    let report = world.backup(&source);
    assert!(report.rolled_back.is_empty(), "{:?}", report.rolled_back);
}

#[test]
fn a_library_that_comes_and_goes_by_the_trash_is_no_news() {
    let (source, world, _) = backed_up();
    let head = head(&source, UNICODE).id;
    source.sql(&format!(
        "DELETE FROM Repo WHERE repo_id = '{UNICODE}'; DELETE FROM Branch WHERE repo_id = '{UNICODE}';
         INSERT INTO RepoTrash (repo_id, repo_name, head_id, owner_id, size, org_id, del_time)
         VALUES ('{UNICODE}', 'Documents', '{head}', 'alice@example.com', 0, -1, 1795383251)"
    ));
    let report = world.backup(&source);
    assert!(report.rolled_back.is_empty() && !report.needs_reading(), "{:?}", report.warnings());
    source.sql(&format!(
        "INSERT INTO Repo (repo_id) VALUES ('{UNICODE}');
         INSERT INTO Branch (name, repo_id, commit_id) VALUES ('master', '{UNICODE}', '{head}');
         DELETE FROM RepoTrash WHERE repo_id = '{UNICODE}'"
    ));
    let report = world.backup(&source);
    assert!(report.rolled_back.is_empty() && !report.needs_reading(), "{:?}", report.warnings());
    // Deleted for good.
    source.sql(&format!(
        "DELETE FROM Repo WHERE repo_id = '{UNICODE}'; DELETE FROM Branch WHERE repo_id = '{UNICODE}';
         INSERT INTO GarbageRepos (repo_id) VALUES ('{UNICODE}')"
    ));
    let report = world.backup(&source);
    assert!(report.rolled_back.is_empty() && !report.needs_reading(), "{:?}", report.warnings());
}

#[test]
fn libraries_that_lost_their_rows_are_told() {
    let (source, world, _) = backed_up();
    let without = |library: &str| {
        source.sql(&format!("DELETE FROM Repo WHERE repo_id = '{library}'; DELETE FROM Branch WHERE repo_id = '{library}'"));
    };
    without(DOCUMENTS);
    let report = world.backup(&source);
    let vanished: Vec<String> =
        report.rolled_back.vanished.iter().map(|one| one.library.to_string()).collect();
    assert_eq!(vanished, [DOCUMENTS]);
    assert!(report.needs_reading());
    assert!(report.rolled_back.heads.is_empty());
    assert!(world.backup(&source).rolled_back.is_empty());
    // All at once: databases that were made anew.
    source.sql(
        "DELETE FROM Repo; DELETE FROM Branch; DELETE FROM VirtualRepo; DELETE FROM RepoTrash",
    );
    let report = world.backup(&source);
    assert!(report.rolled_back.vanished.len() > 3, "{:?}", report.rolled_back);
    assert!(report.needs_reading());
}

/// One that is gone with its objects was deleted. So many at once were not, unless the server says so.
#[test]
fn libraries_that_are_gone_with_their_objects_are_told_where_they_are_many() {
    for (are_many, are_garbage) in [(false, false), (true, false), (true, true)] {
        let (source, world, first) = backed_up();
        let libraries = first.manifest.libraries.iter();
        let ids = libraries.map(|library| library.id.to_string());
        let gone: Vec<String> = ids.filter(|id| are_many || id == UNICODE).collect();
        for id in &gone {
            source.sql(&format!(
                "DELETE FROM Repo WHERE repo_id = '{id}'; DELETE FROM Branch WHERE repo_id = '{id}';
                 DELETE FROM RepoTrash WHERE repo_id = '{id}'; DELETE FROM VirtualRepo WHERE repo_id = '{id}'"
            ));
            if are_garbage {
                source.sql(&format!("INSERT INTO GarbageRepos (repo_id) VALUES ('{id}')"));
            }
            for kind in ["commits", "fs", "blocks"] {
                let store = source.path.join("seafile-data/storage").join(kind).join(id);
                if store.exists() {
                    fs::remove_dir_all(store).unwrap();
                }
            }
        }
        let report = world.backup(&source);
        let told = &report.rolled_back.vanished;
        assert_eq!(told.len() > 3, are_many && !are_garbage, "{told:?}");
        assert!(told.iter().all(|library| !library.on_disk), "{told:?}");
        assert!(are_many || told.is_empty(), "{told:?}");
    }
}

#[test]
fn by_the_command_line() {
    let (source, user) = (Source::example(), User::with_repository());
    let path = source.path.to_str().unwrap();
    user.run(&["backup", path]).succeeds();
    let new = head(&source, DOCUMENTS);
    let old = parent(&source, &new).id.to_string();
    set_head(&source, DOCUMENTS, &old);
    let ran = user.run(&["backup", path, "--json"]);
    assert_eq!(ran.status, 3);
    let moved = &ran.json()["rolled_back"]["heads"][0];
    assert_eq!(moved["library"], DOCUMENTS);
    assert_eq!(moved["from"], new.id.to_string());
    assert_eq!(moved["to"], old);
    assert_eq!(moved["how"], "went-back");
    set_head(&source, DOCUMENTS, &parent(&source, &parent(&source, &new)).id.to_string());
    let ran = user.run(&["backup", path]);
    assert_eq!(ran.status, 3);
    assert!(ran.stderr.contains("heads went back"), "{}", ran.stderr);
    assert!(
        ran.stdout.lines().last().unwrap().contains("1 head did not go forward"),
        "{}",
        ran.stdout
    );
}
