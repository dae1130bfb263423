//! Every kind of damage to every kind of object, found with library and path.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use seawall::object::{Kind, Object, ObjectId};
use seawall::seafile::check::ObjectContent;
use seawall::seafile::fs::FsObject;
use seawall::verify::Options;

use super::contents::{Contents, alter, path, put, put_fs, put_head};
use super::{DOCUMENTS, ENCRYPTED, PHOTOS, TRASH, VIRTUAL, about, object, verify};
use crate::support::Source;

type Change = fn(&mut Vec<u8>);

/// What may become of a file's bytes, and the word for it by kind of object; `None`: it is deleted.
fn damages() -> Vec<(&'static str, Option<Change>)> {
    vec![
        ("missing", None),
        ("empty", Some(Vec::clear)),
        ("cut", Some(|bytes| bytes.truncate(bytes.len() - 1))),
        (
            "flipped",
            Some(|bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }),
        ),
    ]
}

fn apply(source: &Source, object: &Object, name: &str, change: Option<Change>) {
    let path = path(source, object);
    match change {
        None => fs::remove_file(path).unwrap(),
        // An id does not cover all of a commit: what it does not cover, `heal` will compare with the
        // repository. Here its own id.
        Some(_) if name == "flipped" && object.kind == Kind::Commit => alter(&path, |bytes| {
            let id = object.id.to_string();
            let at = bytes.windows(40).position(|window| window == id.as_bytes()).unwrap();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        }),
        Some(change) => alter(&path, change),
    }
}

#[test]
fn damaged_objects_are_found_with_library_and_path() {
    for library in [DOCUMENTS, PHOTOS, ENCRYPTED, TRASH] {
        for (name, change) in damages() {
            let source = Source::example();
            let store = Contents::new(&source, library);
            let (file, folder) = (store.some_file(), store.last_folder());
            let head = store.head();
            for wanted in [file.blocks[0], file.object, folder.object, store.root(head), head] {
                let expected = store.paths_of(wanted);
                let bytes = fs::read(path(&source, &wanted)).unwrap();
                apply(&source, &wanted, name, change);
                let report = verify(&source);
                put(&path(&source, &wanted), &bytes);
                let what = format!("{library} {wanted} {name}");
                assert!(!report.is_good(), "{what}");
                let own: Vec<_> =
                    about(&report, wanted).into_iter().filter(|(of, ..)| of == library).collect();
                let [(_, reason, paths)] = &own[..] else { panic!("{what}: {:#?}", report.damage) };
                assert_eq!(*paths, expected, "{what}");
                match name {
                    "missing" | "empty" => assert_eq!(*reason, name, "{what}"),
                    _ => {
                        let words = ["wrong-id", "undecodable", "wrong-commit-field"];
                        assert!(words.contains(reason), "{what}: {reason}");
                    }
                }
                let entry = report
                    .damage
                    .iter()
                    .find(|damage| {
                        object(damage) == wanted && damage.library.to_string() == library
                    })
                    .unwrap();
                assert!(entry.in_newest_state && entry.library_name.is_some(), "{what}");
                assert_eq!(entry.in_trash, library == TRASH);
            }
            assert!(verify(&source).is_good(), "putting it back heals");
        }
    }
}

#[test]
fn every_file_that_shares_a_bad_block_is_named_in_every_library() {
    let source = Source::example();
    let (origin, shared) = (Contents::new(&source, DOCUMENTS), Contents::new(&source, VIRTUAL));
    // A second name for a file, in the origin's newest state: by a folder that holds it twice.
    let file = shared.some_file();
    let block = file.blocks[0];
    let head = origin.head();
    let root = origin.root(head);
    let ObjectContent::Fs(FsObject::Folder(folder)) = origin.read(root) else { panic!("{root}") };
    let mut entries: Vec<serde_json::Value> = folder
        .entries
        .iter()
        .map(|entry| serde_json::json!({"id": entry.id, "mode": entry.mode, "modifier": "", "mtime": 1, "name": entry.name, "size": 0}))
        .collect();
    for name in ["zz copy", "zzz another"] {
        entries.push(serde_json::json!({"id": file.object.id, "mode": 33188, "modifier": "", "mtime": 1, "name": name, "size": 0}));
    }
    let root = put_fs(
        &source,
        DOCUMENTS,
        &serde_json::json!({"dirents": entries, "type": 3, "version": 1}),
    );
    put_head(&source, DOCUMENTS, head, root);
    assert!(verify(&source).is_good(), "{:#?}", verify(&source));

    alter(&path(&source, &block), |bytes| bytes[0] ^= 1);
    let report = verify(&source);
    let found: BTreeMap<String, Vec<String>> =
        about(&report, block).into_iter().map(|(library, _, paths)| (library, paths)).collect();
    assert_eq!(found.len(), 2, "{:#?}", report.damage);
    assert_eq!(found[DOCUMENTS], origin.paths_of(block));
    assert!(found[DOCUMENTS].len() >= 3, "{found:?}");
    assert_eq!(found[VIRTUAL], shared.paths_of(block));
    let damaged: BTreeSet<ObjectId> = report.damage.iter().map(|damage| damage.object.id).collect();
    assert_eq!(damaged.len(), 1, "one block, nothing else");
}

#[test]
fn a_limit_that_cuts_paths_short_is_told() {
    let source = Source::example();
    let store = Contents::new(&source, PHOTOS);
    let file = store.some_file();
    let names = ["a", "b", "c"];
    let entries = names.map(|name| serde_json::json!({"id": file.object.id, "mode": 33188, "modifier": "", "mtime": 1, "name": name, "size": 0}));
    let folder = serde_json::json!({"dirents": entries, "type": 3, "version": 1});
    let root = put_fs(&source, PHOTOS, &folder);
    put_head(&source, PHOTOS, store.head(), root);
    fs::remove_file(path(&source, &file.blocks[0])).unwrap();
    for (most_paths, paths, cut) in [(2, 2, true), (3, 3, false)] {
        let options =
            Options { most_paths, second_look: std::time::Duration::ZERO, ..Options::default() };
        let spool = tempfile::tempdir().unwrap();
        let report =
            seawall::verify::run(&source.installation(), spool.path(), &options, &|_| {}).unwrap();
        let [damage] = &report.damage[..] else { panic!("{:#?}", report.damage) };
        assert_eq!((damage.paths.len(), damage.paths_cut), (paths, cut));
    }
}

#[test]
fn blocks_that_do_not_add_up_to_the_file_are_damage() {
    for (library, more) in [(PHOTOS, 1), (ENCRYPTED, 17), (ENCRYPTED, -17)] {
        let source = Source::example();
        let store = Contents::new(&source, library);
        let file = store.some_file();
        let ObjectContent::Fs(FsObject::File(content)) = store.read(file.object) else {
            panic!("{file:?}")
        };
        let size = content.size.checked_add_signed(more).unwrap();
        let value =
            serde_json::json!({"block_ids": content.blocks, "size": size, "type": 1, "version": 1});
        let id = put_fs(&source, library, &value);
        let entry = serde_json::json!({"id": id, "mode": 33188, "modifier": "", "mtime": 1, "name": "x", "size": size});
        let root = put_fs(
            &source,
            library,
            &serde_json::json!({"dirents": [entry], "type": 3, "version": 1}),
        );
        put_head(&source, library, store.head(), root);
        let report = verify(&source);
        let wrong = Object { id, ..file.object };
        assert_eq!(
            about(&report, wrong),
            [(library.into(), "wrong-length", vec!["/x".into()])],
            "{library} {more}"
        );
        assert_eq!(report.damaged, 1);
    }
}
