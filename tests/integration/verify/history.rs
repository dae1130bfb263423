//! Which history is required, and that the rest may be gone.

use std::collections::BTreeSet;
use std::fs;

use seawall::object::{Kind, Object, ObjectId, Store};
use seawall::seafile::check::ObjectContent;

use super::contents::{Contents, path, put};
use super::{DOCUMENTS, VIRTUAL, about, verify};
use crate::support::{CLEANED, Source};

#[test]
fn damage_of_required_history_is_found() {
    let source = Source::example();
    let store = Contents::new(&source, DOCUMENTS);
    let newest: BTreeSet<ObjectId> =
        store.entries(store.head()).into_iter().map(|entry| entry.object.id).collect();
    // The oldest commit with a root of its own.
    let mut commits = vec![store.head()];
    while let Some(parent) = store.parent(*commits.last().unwrap()) {
        commits.push(parent);
    }
    let roots = commits.iter().map(|commit| store.root(*commit));
    let old = roots.rev().find(|root| !root.id.is_empty() && !newest.contains(&root.id)).unwrap();
    fs::remove_file(path(&source, &old)).unwrap();
    let report = verify(&source);
    assert_eq!(
        about(&report, old),
        [(DOCUMENTS.into(), "missing", vec![])],
        "{:#?}",
        report.damage
    );
    assert!(!report.damage[0].in_newest_state);

    // A commit in the middle: what is behind it cannot be reached any more.
    let middle = commits[commits.len() / 2];
    fs::remove_file(path(&source, &middle)).unwrap();
    let report = verify(&source);
    assert_eq!(about(&report, middle), [(DOCUMENTS.into(), "missing", vec![])]);
}

#[test]
fn collected_history_is_no_damage_and_unexplained_gaps_are() {
    let source = Source::example();
    let library = Contents::new(&source, CLEANED);
    let head = library.head();
    let newest: BTreeSet<ObjectId> =
        library.entries(head).into_iter().map(|entry| entry.object.id).collect();
    let old = library.root(library.parent(library.parent(head).unwrap()).unwrap());
    assert!(!newest.contains(&old.id));
    fs::remove_file(path(&source, &old)).unwrap();
    assert_eq!(about(&verify(&source), old).len(), 1, "newer than valid-since, or the first older");
    source.sql(&format!(
        "UPDATE RepoValidSince SET timestamp = 1900000000 WHERE repo_id = '{CLEANED}'"
    ));
    let report = verify(&source);
    assert!(report.is_good(), "{:#?}", report.damage);
    let [gone] = &report.history_incomplete[..] else { panic!("{:?}", report.history_incomplete) };
    assert_eq!((gone.library.to_string().as_str(), gone.objects), (CLEANED, 1));

    source.sql(&format!("DELETE FROM RepoValidSince WHERE repo_id = '{CLEANED}'"));
    let report = verify(&source);
    assert_eq!(about(&report, old), [(CLEANED.into(), "missing", vec![])]);
    assert!(!report.damage[0].in_newest_state);

    // In the trash no row says what was collected: only the head counts.
    trash(&source, CLEANED, &head.id.to_string());
    let report = verify(&source);
    assert!(report.is_good(), "{:#?}", report.damage);
    assert_eq!(report.history_incomplete.len(), 1);

    // Bad bytes were not collected: they are told, though nothing requires them.
    put(&path(&source, &old), b"");
    let report = verify(&source);
    assert!(report.is_good() && report.history_incomplete.is_empty());
    assert!(
        report.warnings.iter().any(|line| line.contains(&old.id.to_string())),
        "{:?}",
        report.warnings
    );
}

#[test]
fn damage_of_history_names_a_version_and_a_path() {
    let source = Source::example();
    let store = Contents::new(&source, CLEANED);
    let (old, block, path_then) = old_block(&store);
    source.sql(&format!("DELETE FROM RepoValidSince WHERE repo_id = '{CLEANED}'"));
    fs::remove_file(path(&source, &block)).unwrap();
    let report = verify(&source);
    let [damage] = &report.damage[..] else { panic!("{:#?}", report.damage) };
    let version = damage.version.as_ref().unwrap();
    assert_eq!(
        (version.commit, version.path.as_deref(), version.base),
        (old.id, Some(path_then.as_str()), false)
    );
    assert!(version.time.is_some() && !damage.in_newest_state && damage.paths.is_empty());
    assert_eq!(report.damaged_libraries[0].in_newest_state, 0);
    assert!(report.hints.iter().any(|hint| hint.contains("RepoValidSince")));
}

/// The newest commit with a block that the newest state does not need, the block, and its path.
fn old_block(store: &Contents<'_>) -> (Object, Object, String) {
    let is_new = |block: &Object| !store.paths_of(*block).is_empty();
    for commit in store.history() {
        for entry in store.entries(commit) {
            if let Some(block) = entry.blocks.iter().find(|block| !is_new(block)) {
                return (commit, *block, entry.path);
            }
        }
    }
    panic!("nothing old")
}

#[test]
fn a_bad_block_of_optional_history_is_no_damage() {
    let source = Source::example();
    let (_, block, _) = old_block(&Contents::new(&source, CLEANED));
    let file = path(&source, &block);
    source.sql(&format!(
        "UPDATE RepoValidSince SET timestamp = 1900000000 WHERE repo_id = '{CLEANED}'"
    ));
    super::contents::alter(&file, |bytes| bytes[0] ^= 1);
    let report = verify(&source);
    assert!(report.is_good(), "{:#?}", report.damage);
    let id = block.id.to_string();
    assert!(report.warnings.iter().any(|line| line.contains(&id)));
    source.sql(&format!("DELETE FROM RepoValidSince WHERE repo_id = '{CLEANED}'"));
    assert_eq!(about(&verify(&source), block), [(CLEANED.into(), "wrong-id", vec![])]);
}

#[test]
fn history_ends_at_a_commit_of_the_same_second() {
    let source = Source::example();
    let store = Contents::new(&source, CLEANED);
    let head = store.head();
    let parent = store.parent(head).unwrap();
    let ObjectContent::Commit(commit) = store.read(head) else { panic!("{head}") };
    fs::remove_file(path(&source, &store.root(parent))).unwrap();
    for (since, is_good) in [(commit.ctime, true), (commit.ctime - 1, false)] {
        source.sql(&format!(
            "UPDATE RepoValidSince SET timestamp = {since} WHERE repo_id = '{CLEANED}'"
        ));
        let report = verify(&source);
        assert_eq!(report.is_good(), is_good, "{:#?}", report.damage);
    }
}

#[test]
fn odd_commits_are_no_damage() {
    let source = Source::example();
    let head = path(&source, &Contents::new(&source, VIRTUAL).head());
    super::contents::alter(&head, |bytes| bytes.push(0));
    let report = verify(&source);
    assert!(report.is_good() && report.warnings.is_empty(), "{report:#?}");
    super::contents::alter(&head, |bytes| {
        bytes.pop();
        let mut commit: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        commit["creator_name"] = "somebody@else".into();
        *bytes = serde_json::to_vec(&commit).unwrap();
    });
    let report = verify(&source);
    assert!(report.is_good(), "{:#?}", report.damage);
    let [warning] = &report.warnings[..] else { panic!("{:?}", report.warnings) };
    assert!(warning.contains("no known formula"), "{warning}");
}

/// What Seafile does when a library is deleted.
fn trash(source: &Source, library: &str, head: &str) {
    source.sql(&format!(
        "INSERT INTO RepoTrash (repo_id, repo_name, head_id, owner_id, size, org_id, del_time)
         VALUES ('{library}', 'x', '{head}', 'a@example.com', 1, -1, 1795383251);"
    ));
    for table in [
        "Repo",
        "Branch",
        "RepoOwner",
        "RepoHead",
        "RepoSize",
        "RepoHistoryLimit",
        "RepoValidSince",
    ] {
        source.sql(&format!("DELETE FROM {table} WHERE repo_id = '{library}'"));
    }
}

#[test]
fn a_library_without_history_may_be_trashed() {
    let Some(source) = Source::small() else {
        return;
    };
    let library = "123a2770-da42-4bcd-a5f8-d9bd9799f53c";
    let head = source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{library}'"));
    trash(&source, library, &head);
    let report = verify(&source);
    assert!(report.is_good(), "{:#?}", report.damage);
    assert!(report.history_incomplete.iter().any(|gone| gone.library.to_string() == library));
}

#[test]
fn a_base_commit_is_needed() {
    let source = Source::example();
    let nowhere = "12".repeat(20);
    source.sql(&format!(
        "UPDATE VirtualRepo SET base_commit = '{nowhere}' WHERE repo_id = '{VIRTUAL}'"
    ));
    let report = verify(&source);
    let base = Object::new(
        Store::Library(DOCUMENTS.parse().unwrap()),
        Kind::Commit,
        nowhere.parse().unwrap(),
    );
    assert_eq!(about(&report, base), [(VIRTUAL.into(), "missing", vec![])]);
    assert_eq!(report.damaged, 1);
}
