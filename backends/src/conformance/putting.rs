//! Cases of *write-once* and *visible*, and of what can be stored.

use super::{Fresh, assert_fails, bytes, get, key, keys, names, put};
use crate::{Backend, ErrorKind, Key, Put, put_same};

pub(super) fn a_put_is_read_back(fresh: &Fresh) {
    put(&fresh.first, "data/a", b"some bytes");
    assert_eq!(get(&fresh.first, "data/a"), b"some bytes");
}

pub(super) fn a_put_is_visible_through_another_handle(fresh: &Fresh) {
    assert_eq!(keys(&fresh.second, ""), names([]));
    put(&fresh.first, "data/a", b"some bytes");
    assert_eq!(get(&fresh.second, "data/a"), b"some bytes");
    assert_eq!(fresh.second.stat(&key("data/a")).unwrap().len, 10);
    assert_eq!(keys(&fresh.second, "data"), names(["data/a"]));
}

pub(super) fn a_second_put_is_refused(fresh: &Fresh) {
    put(&fresh.first, "data/a", b"first");
    for body in [&b""[..], b"other", b"something longer"] {
        let again = fresh.first.put_new(&key("data/a"), body);
        assert_fails(again, ErrorKind::AlreadyExists, "data/a");
        assert_eq!(get(&fresh.first, "data/a"), b"first");
    }
}

pub(super) fn a_second_put_of_the_same_bytes_is_refused(fresh: &Fresh) {
    put(&fresh.first, "a", b"same");
    let again = fresh.first.put_new(&key("a"), b"same");
    assert_fails(again, ErrorKind::AlreadyExists, "a");
}

pub(super) fn another_handle_cannot_overwrite(fresh: &Fresh) {
    let before = fresh.second.stat(&key("markers/a"));
    assert_fails(before, ErrorKind::NotFound, "markers/a");
    put(&fresh.first, "markers/a", b"first");
    let again = fresh.second.put_new(&key("markers/a"), b"other");
    assert_fails(again, ErrorKind::AlreadyExists, "markers/a");
    assert_eq!(get(&fresh.first, "markers/a"), b"first");
    assert_eq!(get(&fresh.second, "markers/a"), b"first");
}

pub(super) fn an_empty_body_is_a_body(fresh: &Fresh) {
    put(&fresh.first, "a/empty", b"");
    assert_eq!(get(&fresh.second, "a/empty"), b"");
    assert_eq!(fresh.second.stat(&key("a/empty")).unwrap().len, 0);
    assert_eq!(keys(&fresh.second, "a"), names(["a/empty"]));
    let again = fresh.second.put_new(&key("a/empty"), b"x");
    assert_fails(again, ErrorKind::AlreadyExists, "a/empty");
}

pub(super) fn every_byte_is_kept(fresh: &Fresh) {
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    for (name, body) in [
        ("all", all.as_slice()),
        ("lines", b"a\r\nb\n\rc\n\n"),
        ("ends", b"\n"),
        ("zeros", &[0; 4096]),
        ("marks", "\u{feff}ä\u{1a}".as_bytes()),
    ] {
        put(&fresh.first, name, body);
        assert_eq!(get(&fresh.second, name), body, "{name}");
    }
}

pub(super) fn a_large_body_is_kept(fresh: &Fresh) {
    let body = bytes(9 * 1024 * 1024 + 1, 0);
    put(&fresh.first, "data/blocks/00/large", &body);
    assert!(get(&fresh.second, "data/blocks/00/large") == body);
    let entry = fresh.second.stat(&key("data/blocks/00/large")).unwrap();
    assert_eq!(entry.len, 9 * 1024 * 1024 + 1);
}

pub(super) fn the_longest_keys_work(fresh: &Fresh) {
    let one = "x".repeat(Key::MAX_LEN);
    let two = format!("{}/{}", "y".repeat(198), "z");
    let deep = format!("{}ab", "d/".repeat(99));
    let below = format!("{}c", "d/".repeat(98));
    for text in [&one, &two, &deep, &below] {
        put(&fresh.first, text, text.as_bytes());
        let again = fresh.second.put_new(&key(text), b"");
        assert_fails(again, ErrorKind::AlreadyExists, text);
    }
    for text in [&one, &two, &deep, &below] {
        assert_eq!(get(&fresh.second, text), text.as_bytes());
    }
    assert_eq!(keys(&fresh.second, ""), names([&one, &two, &deep, &below].map(String::as_str)));
    fresh.first.delete(&key(&deep)).unwrap();
    assert_eq!(keys(&fresh.second, "d/d"), [below].into());
}

pub(super) fn every_character_of_keys_works(fresh: &Fresh) {
    let texts = [
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/0123456789",
        "0._-/a.._--/z.",
        "seawall.json",
        "data/blocks/ff/0123.tar.zst.age",
        "markers/2026-11-22T20-40-05Z-9f3c",
        "CON/nul.txt",
    ];
    for text in texts {
        put(&fresh.first, text, text.as_bytes());
    }
    for text in texts {
        assert_eq!(get(&fresh.second, text), text.as_bytes());
    }
    assert_eq!(keys(&fresh.second, ""), names(texts));
}

pub(super) fn similar_keys_are_different(fresh: &Fresh) {
    let texts =
        ["a/b", "a/B", "A/b", "a.b", "a-b", "a_b", "ab", "a/b.", "a/b-", "a/bb", "aa/b", "b/a"];
    for text in texts {
        put(&fresh.first, text, text.as_bytes());
    }
    for text in texts {
        assert_eq!(get(&fresh.second, text), text.as_bytes());
    }
    assert_eq!(keys(&fresh.second, ""), names(texts));
}

/// Files and folders cannot hold both, a flat storage can: it is refused, or both are kept.
fn refused_or_both_kept(fresh: &Fresh, old: &str, new: &str) {
    let mut expected = names([old]);
    match fresh.second.put_new(&key(new), b"new") {
        Ok(()) => {
            expected.insert(new.to_owned());
            assert_eq!(get(&fresh.first, new), b"new");
        }
        refused => assert_fails(refused, ErrorKind::Invalid, new),
    }
    assert_eq!(get(&fresh.first, old), b"old");
    assert_eq!(keys(&fresh.first, ""), expected);
}

pub(super) fn a_key_below_a_key_loses_nothing(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"old");
    refused_or_both_kept(fresh, "a/b", "a/b/c/d");
}

pub(super) fn a_key_above_a_key_loses_nothing(fresh: &Fresh) {
    put(&fresh.first, "a/b/c", b"old");
    refused_or_both_kept(fresh, "a/b/c", "a");
}

pub(super) fn a_refused_put_leaves_nothing(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"old");
    let before = fresh.first.stat(&key("a/b")).unwrap();
    for _ in 0..3 {
        let again = fresh.second.put_new(&key("a/b"), b"something longer");
        assert_fails(again, ErrorKind::AlreadyExists, "a/b");
    }
    assert_eq!(keys(&fresh.first, ""), names(["a/b"]));
    assert_eq!(fresh.second.stat(&key("a/b")).unwrap(), before);
}

pub(super) fn put_same_tells_stored_from_same(fresh: &Fresh) {
    for body in [&b""[..], b"bytes"] {
        let name = key(&format!("a/{}", body.len()));
        assert_eq!(put_same(&fresh.first, &name, body).unwrap(), Put::Stored);
        assert_eq!(put_same(&fresh.first, &name, body).unwrap(), Put::Same);
        assert_eq!(put_same(&fresh.second, &name, body).unwrap(), Put::Same);
    }
}

pub(super) fn put_same_refuses_other_bytes(fresh: &Fresh) {
    put(&fresh.first, "a", b"bytes");
    for body in [&b""[..], b"bytez", b"bytes and more"] {
        let other = put_same(&fresh.second, &key("a"), body);
        assert_fails(other, ErrorKind::AlreadyExists, "a");
    }
    assert_eq!(get(&fresh.first, "a"), b"bytes");
}
