//! Damage to what markers name.

use std::fs;

use seawall::check::{CheckLevel, ProblemKind};

use super::{Copy, problems};

/// Whether a name holds a snapshot's.
fn is_snapshot(key: &str) -> bool {
    key.contains('T') && key.contains("Z-")
}

/// The kinds of stored things below a marker, and the level that sees a flipped bit.
const KINDS: [(&str, &str, bool, CheckLevel); 8] = [
    ("pack of blocks", "data/blocks", false, CheckLevel::Data),
    ("pack of trees", "data/trees", false, CheckLevel::Data),
    ("segment", "data/index", false, CheckLevel::Names),
    ("list", "data/lists", false, CheckLevel::Names),
    ("sums", "data/lists", true, CheckLevel::Names),
    ("manifest", "data/manifests", true, CheckLevel::Names),
    ("dump part", "databases", true, CheckLevel::Data),
    ("files part", "data/files", true, CheckLevel::Data),
];

/// Two of a kind that markers name.
fn two_of(copy: &Copy, folder: &str, of_snapshot: bool) -> (String, String) {
    let keys = copy.keys(folder, |key| is_snapshot(key) == of_snapshot);
    let first = keys[0].clone();
    let other = keys.iter().find(|key| copy.read(key) != copy.read(&first)).unwrap().clone();
    (first, other)
}

#[test]
fn what_is_deleted_is_missing() {
    for (kind, folder, of_snapshot, _) in KINDS {
        let copy = Copy::new();
        let (key, _) = two_of(&copy, folder, of_snapshot);
        fs::remove_file(copy.path.join(&key)).unwrap();
        let report = copy.check(CheckLevel::Names);
        assert_eq!(problems(&report), [(key, ProblemKind::Missing)], "{kind}");
        assert!(report.problems[0].affected > 0, "{kind}");
        assert_eq!(report.problems[0].affected, report.problems[0].snapshots.len() as u64);
    }
}

#[test]
fn what_is_cut_short_is_found_by_its_size() {
    for (kind, folder, of_snapshot, _) in KINDS {
        for keep in [0, 10] {
            let copy = Copy::new();
            let (key, _) = two_of(&copy, folder, of_snapshot);
            let bytes = copy.read(&key);
            copy.write(&key, &bytes[..bytes.len().min(keep)]);
            let report = copy.check(CheckLevel::Names);
            let [(found, word)] = &problems(&report)[..] else {
                panic!("{kind}: {:#?}", report.problems);
            };
            assert_eq!(*found, key, "{kind}");
            // Nothing tells the size of segments and manifests but their own bytes.
            assert!(matches!(word, ProblemKind::Size | ProblemKind::Altered), "{kind}: {word:?}");
        }
    }
}

#[test]
fn a_flipped_bit_is_found_at_the_level_that_promises_it() {
    for (kind, folder, of_snapshot, level) in KINDS {
        let copy = Copy::new();
        let (key, _) = two_of(&copy, folder, of_snapshot);
        let mut bytes = copy.read(&key);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        copy.write(&key, &bytes);
        if level == CheckLevel::Data {
            assert!(copy.check(CheckLevel::Names).is_good(), "{kind}: only reading shows it");
        }
        assert_eq!(problems(&copy.check(level)), [(key, ProblemKind::Altered)], "{kind}");
    }
}

#[test]
fn what_was_swapped_is_found_twice() {
    for (kind, folder, of_snapshot, _) in KINDS {
        let copy = Copy::new();
        let (first, second) = two_of(&copy, folder, of_snapshot);
        let (bytes, other) = (copy.read(&first), copy.read(&second));
        copy.write(&first, &other);
        copy.write(&second, &bytes);
        let report = copy.check(CheckLevel::Data);
        let mut keys: Vec<String> = problems(&report).into_iter().map(|(key, _)| key).collect();
        keys.sort();
        let mut expected = [first, second];
        expected.sort();
        assert_eq!(keys, expected, "{kind}: {:#?}", report.problems);
    }
}

#[test]
fn one_damaged_thing_does_not_hide_another() {
    let copy = Copy::new();
    let mut expected = Vec::new();
    for (_, folder, of_snapshot, _) in KINDS.into_iter().filter(|kind| kind.3 == CheckLevel::Data) {
        let keys = copy.keys(folder, |key| is_snapshot(key) == of_snapshot);
        let [first, .., last] = &keys[..] else { panic!("{folder}: {keys:?}") };
        fs::remove_file(copy.path.join(first)).unwrap();
        let mut bytes = copy.read(last);
        bytes[0] ^= 0x80;
        copy.write(last, &bytes);
        expected.push((first.clone(), ProblemKind::Missing));
        expected.push((last.clone(), ProblemKind::Altered));
    }
    expected.sort();
    assert_eq!(problems(&copy.check(CheckLevel::Data)), expected);
}
