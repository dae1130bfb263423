//! What the server changes while an installation is verified is no damage, and does not hide any.

use std::collections::BTreeSet;
use std::fs;

use seawall::object::{Object, ObjectId};
use seawall::verify::Report;

use super::contents::{Contents, alter, path, put_fs, put_head, set_head};
use super::{DOCUMENTS, PHOTOS, about, object, verify, verify_as};
use crate::support::Source;

/// Runs `change` once, when something turned out to be missing.
fn verify_while(source: &Source, change: &dyn Fn(&str)) -> Report {
    verify_as(&source.installation(), &|text| {
        if text.contains("missing") {
            change(text);
        }
    })
}

#[test]
fn what_was_only_late_is_no_damage() {
    let source = Source::example();
    let store = Contents::new(&source, PHOTOS);
    for object in [
        store.head(),
        store.root(store.head()),
        store.some_file().object,
        store.some_file().blocks[0],
    ] {
        let (file, aside) = (path(&source, &object), source.path.join("aside"));
        fs::rename(&file, &aside).unwrap();
        let report = verify_while(&source, &|_| fs::rename(&aside, &file).unwrap());
        assert!(report.is_good(), "{object}: {:#?}", report.damage);
        assert!(report.changed.is_empty());
    }
}

#[test]
fn what_a_newer_head_does_not_need_is_no_damage() {
    let source = Source::example();
    let store = Contents::new(&source, DOCUMENTS);
    let (head, parent) = (store.head(), store.parent(store.head()).unwrap());
    let before = store.entries(parent);
    let before: BTreeSet<ObjectId> = before.iter().map(|entry| entry.object.id).collect();
    let mut entries = store.entries(head).into_iter();
    let new = entries.find(|entry| !before.contains(&entry.object.id)).unwrap().object;
    fs::remove_file(path(&source, &new)).unwrap();
    let back = |_: &str| set_head(&source, DOCUMENTS, parent.id);
    // The virtual library was last merged at the old head: that still needs it.
    let report = verify_while(&source, &back);
    assert_eq!(changed(&report), [(DOCUMENTS.into(), 0)]);
    let damaged = report.damage.iter().map(object);
    assert!(damaged.eq([new]), "{:#?}", report.damage);

    source.sql(&format!("UPDATE VirtualRepo SET base_commit = '{}'", parent.id));
    set_head(&source, DOCUMENTS, head.id);
    let report = verify_while(&source, &back);
    assert!(report.is_good(), "{:#?}", report.damage);
    assert_eq!(changed(&report), [(DOCUMENTS.into(), 0)]);
}

/// Libraries that changed, and how many of their objects nobody can judge.
fn changed(report: &Report) -> Vec<(String, u64)> {
    let changed = report.changed.iter();
    changed.map(|changed| (changed.library.to_string(), changed.unsettled)).collect()
}

#[test]
fn damage_that_a_newer_head_still_needs_is_damage() {
    let source = Source::example();
    let store = Contents::new(&source, PHOTOS);
    let (head, file) = (store.head(), store.some_file());
    let root = store.root(head);
    fs::remove_file(path(&source, &file.blocks[0])).unwrap();
    let report = verify_while(&source, &|_| {
        put_head(&source, PHOTOS, head, root.id);
    });
    assert_eq!(
        about(&report, file.blocks[0]),
        [(PHOTOS.into(), "missing", vec![file.path.clone()])]
    );
    assert_eq!(changed(&report), [(PHOTOS.into(), 0)]);
}

#[test]
fn a_library_that_goes_away_meanwhile_is_no_damage() {
    let source = Source::example();
    let head = Contents::new(&source, PHOTOS).head();
    fs::remove_file(path(&source, &head)).unwrap();
    let report = verify_while(&source, &|_| {
        for table in ["Repo", "Branch", "RepoHead"] {
            source.sql(&format!("DELETE FROM {table} WHERE repo_id = '{PHOTOS}'"));
        }
    });
    assert!(report.is_good(), "{:#?}", report.damage);
    assert_eq!(changed(&report), [(PHOTOS.into(), 0)]);
}

#[test]
fn a_library_that_gets_its_head_late_is_walked() {
    let source = Source::example();
    let store = Contents::new(&source, PHOTOS);
    let (head, file) = (store.head(), store.some_file());
    let whole = verify(&source).objects;
    let insert = format!(
        "INSERT INTO Branch (name, repo_id, commit_id) VALUES ('master', '{PHOTOS}', '{}')",
        head.id
    );
    let late = || {
        source.sql(&format!("DELETE FROM Branch WHERE repo_id = '{PHOTOS}'"));
        verify_while(&source, &|_| source.sql(&insert))
    };
    let report = late();
    assert!(report.is_good(), "{:#?}", report.damage);
    assert_eq!(report.objects, whole);
    alter(&path(&source, &file.blocks[0]), |bytes| bytes[0] ^= 1);
    assert_eq!(about(&late(), file.blocks[0]).len(), 1);
}

#[test]
fn two_races_in_a_row_are_neither_damage_nor_good() {
    let source = Source::example();
    let store = Contents::new(&source, PHOTOS);
    let (first, file) = (store.head(), store.some_file());
    let empty =
        put_fs(&source, PHOTOS, &serde_json::json!({"dirents": [], "type": 3, "version": 1}));
    // Two heads without history of their own, each with one file.
    let second = put_head(&source, PHOTOS, first, empty);
    set_head(&source, PHOTOS, first.id);
    let root = path(&source, &store.root(first));
    fs::remove_file(&root).unwrap();
    let report = verify_while(&source, &|text| {
        if text.starts_with("something") {
            // A garbage collection without history: all but the new head goes.
            set_head(&source, PHOTOS, second.id);
            source.sql(&format!("INSERT INTO RepoValidSince VALUES ('{PHOTOS}', 1795399999)"));
            let lost = Object { id: empty, ..file.object };
            fs::remove_file(path(&source, &lost)).unwrap();
        } else {
            set_head(&source, PHOTOS, first.id);
        }
    });
    assert_eq!(changed(&report), [(PHOTOS.into(), 1)]);
    assert!(!report.is_good());
    assert!(report.damage.iter().all(|damage| damage.object.id != empty), "{:#?}", report.damage);
}

/// An upload ends while its trees are looked at: its head moved, and nobody is set back.
#[test]
fn a_head_that_just_moved_is_not_behind_its_commits() {
    let source = Source::example();
    let store = Contents::new(&source, PHOTOS);
    let newest = store.head();
    let older = store.parent(newest).unwrap();
    let mut moments = Vec::new();
    for moment in ["looking again", "once more"] {
        set_head(&source, PHOTOS, older.id);
        let still = verify(&source);
        assert_eq!(still.ahead.len(), 1, "{:#?}", still.ahead);
        let seen = std::cell::Cell::new(0);
        let report = verify_as(&source.installation(), &|text| {
            if text.starts_with("commits are newer") && text.contains(moment) {
                seen.set(seen.get() + 1);
                set_head(&source, PHOTOS, newest.id);
            }
        });
        assert!(report.ahead.is_empty() && report.is_good(), "{moment}: {report:#?}");
        moments.push(seen.get());
    }
    assert_eq!(moments, [1, 1]);
}
