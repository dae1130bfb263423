//! Cases of *list*.

use std::collections::BTreeSet;
use std::thread;

use super::{Fresh, bytes, entries, get, key, keys, names, put};
use crate::{Backend, ErrorKind, Key};

pub(super) fn an_empty_storage_lists_nothing(fresh: &Fresh) {
    assert_eq!(keys(&fresh.first, ""), names([]));
    assert_eq!(keys(&fresh.second, ""), names([]));
}

pub(super) fn an_unknown_prefix_lists_nothing(fresh: &Fresh) {
    put(&fresh.first, "data/a", b"x");
    for prefix in ["b", "dat", "data/b", "data/a/b", "data/b/c", "DATA"] {
        assert_eq!(keys(&fresh.second, prefix), names([]), "{prefix}");
    }
}

pub(super) fn the_empty_prefix_lists_everything(fresh: &Fresh) {
    let texts = ["seawall.json", "a/b", "a/c/d/e", "z"];
    for text in texts {
        put(&fresh.first, text, b"x");
    }
    assert_eq!(keys(&fresh.first, ""), names(texts));
    assert_eq!(keys(&fresh.second, ""), names(texts));
}

pub(super) fn prefixes_are_whole_segments(fresh: &Fresh) {
    for text in ["a/b/1", "a/bc", "a/b.c", "a/b-c/2", "ab/3", "a-b/4", "a/c"] {
        put(&fresh.first, text, b"x");
    }
    for handle in [&fresh.first, &fresh.second] {
        assert_eq!(keys(handle, "a/b"), names(["a/b/1"]));
        let below = names(["a/b/1", "a/bc", "a/b.c", "a/b-c/2", "a/c"]);
        assert_eq!(keys(handle, "a"), below);
        assert_eq!(keys(handle, "ab"), names(["ab/3"]));
    }
}

pub(super) fn a_prefix_may_have_many_segments(fresh: &Fresh) {
    for text in ["a/b/c/d/1", "a/b/c/d/e/2", "a/b/c/3", "b/c/d/4"] {
        put(&fresh.first, text, b"x");
    }
    let below = names(["a/b/c/d/1", "a/b/c/d/e/2"]);
    assert_eq!(keys(&fresh.second, "a/b/c/d"), below);
    assert_eq!(keys(&fresh.second, "a/b/c/d/e"), names(["a/b/c/d/e/2"]));
}

pub(super) fn a_key_is_not_below_itself(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"x");
    assert_eq!(keys(&fresh.first, "a/b"), names([]));
    assert_eq!(keys(&fresh.second, "a"), names(["a/b"]));
}

pub(super) fn entries_are_what_stat_tells(fresh: &Fresh) {
    for len in [0, 1, 70_000] {
        put(&fresh.first, &format!("a/{len}"), &bytes(len, 2));
    }
    let listed = entries(&fresh.second, "a");
    assert_eq!(listed.len(), 3);
    for entry in listed {
        assert_eq!(fresh.first.stat(&entry.key).unwrap(), entry);
        assert_eq!(entry.key.as_str(), format!("a/{}", entry.len));
    }
}

pub(super) fn many_keys_are_listed_once_each(fresh: &Fresh) {
    let text = |n: usize| format!("data/{:02x}/{n:04}", n % 7);
    thread::scope(|scope| {
        for part in 0..8 {
            scope.spawn(move || {
                for n in (0..1500).filter(|n| n % 8 == part) {
                    put(&fresh.first, &text(n), b"x");
                }
            });
        }
    });
    let expected: BTreeSet<String> = (0..1500).map(text).collect();
    assert_eq!(keys(&fresh.first, ""), expected);
    assert_eq!(keys(&fresh.second, "data"), expected);
    assert_eq!(keys(&fresh.second, "data/03"), (3..1500).step_by(7).map(text).collect());
}

pub(super) fn deleted_keys_are_not_listed(fresh: &Fresh) {
    for text in ["a/1", "a/2", "b/3"] {
        put(&fresh.first, text, b"x");
    }
    fresh.first.delete(&key("a/1")).unwrap();
    assert_eq!(keys(&fresh.first, ""), names(["a/2", "b/3"]));
    fresh.first.delete(&key("b/3")).unwrap();
    assert_eq!(keys(&fresh.second, ""), names(["a/2"]));
    assert_eq!(keys(&fresh.second, "b"), names([]));
}

pub(super) fn folders_are_not_listed(fresh: &Fresh) {
    put(&fresh.first, "a/b/c", b"x");
    assert_eq!(keys(&fresh.second, ""), names(["a/b/c"]));
    assert_eq!(keys(&fresh.second, "a"), names(["a/b/c"]));
    fresh.first.delete(&key("a/b/c")).unwrap();
    assert_eq!(keys(&fresh.second, ""), names([]));
}

pub(super) fn listings_do_not_disturb_each_other(fresh: &Fresh) {
    let expected: BTreeSet<String> = (0..40).map(|n| format!("a/{}/{n}", n % 4)).collect();
    for text in &expected {
        put(&fresh.first, text, b"x");
    }
    let (mut one, mut two) = (fresh.first.list("a"), fresh.first.list(""));
    let (mut of_one, mut of_two) = (BTreeSet::new(), BTreeSet::new());
    while let (Some(left), Some(right)) = (one.next(), two.next()) {
        of_one.insert(left.unwrap().key.to_string());
        of_two.insert(right.unwrap().key.to_string());
        assert_eq!(get(&fresh.first, "a/0/0"), b"x");
    }
    assert_eq!(of_one, expected);
    assert_eq!(of_two, expected);
}

pub(super) fn a_listing_may_be_left(fresh: &Fresh) {
    for n in 0..10 {
        put(&fresh.first, &format!("a/{n}"), b"x");
    }
    for _ in 0..50 {
        fresh.first.list("").next().unwrap().unwrap();
        drop(fresh.first.list("a"));
    }
    assert_eq!(keys(&fresh.first, "").len(), 10);
}

pub(super) fn a_prefix_that_is_no_prefix_is_refused(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"x");
    for prefix in
        ["/", "a/", "/a", "a//b", ".", "..", "../a", "a/..", "a/.", "a\\b", "a b", "a\0", "ä", "*"]
    {
        let mut listing = fresh.first.list(prefix);
        let error = listing.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{prefix:?}");
        assert!(listing.next().is_none(), "{prefix:?}");
    }
}

pub(super) fn the_longest_prefix_lists_nothing(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"x");
    for len in [Key::MAX_LEN - 1, Key::MAX_LEN, 300, 5000] {
        assert_eq!(keys(&fresh.first, &"a".repeat(len)), names([]), "{len}");
        let segments = format!("{}a", "a/".repeat(len / 2));
        assert_eq!(keys(&fresh.second, &segments), names([]), "{len}");
    }
}
