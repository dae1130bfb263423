//! Cases of *delete*.

use super::{Fresh, assert_fails, get, key, keys, names, put};
use crate::{Backend, ErrorKind};

pub(super) fn a_deleted_key_is_not_there(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"x");
    assert_eq!(get(&fresh.second, "a/b"), b"x");
    fresh.first.delete(&key("a/b")).unwrap();
    for handle in [&fresh.first, &fresh.second] {
        assert_fails(handle.get(&key("a/b"), None), ErrorKind::NotFound, "a/b");
        assert_fails(handle.stat(&key("a/b")), ErrorKind::NotFound, "a/b");
        assert_eq!(keys(handle, ""), names([]));
    }
}

pub(super) fn deleting_is_idempotent(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"x");
    for _ in 0..3 {
        fresh.first.delete(&key("a/b")).unwrap();
        fresh.second.delete(&key("a/b")).unwrap();
    }
    for text in ["never", "never/there", "a/never"] {
        fresh.first.delete(&key(text)).unwrap();
    }
}

pub(super) fn deleting_takes_nothing_else(fresh: &Fresh) {
    let texts = ["a/b", "a/bc", "a/b.c", "ab", "a-b", "b/b", "A/b"];
    for text in texts {
        put(&fresh.first, text, text.as_bytes());
    }
    fresh.second.delete(&key("a/b")).unwrap();
    assert_eq!(keys(&fresh.first, ""), names(["a/bc", "a/b.c", "ab", "a-b", "b/b", "A/b"]));
    for text in &texts[1..] {
        assert_eq!(get(&fresh.first, text), text.as_bytes());
    }
}

pub(super) fn deleting_a_folder_takes_nothing(fresh: &Fresh) {
    put(&fresh.first, "a/b/c", b"x");
    fresh.first.delete(&key("a/b")).unwrap();
    fresh.second.delete(&key("a")).unwrap();
    assert_eq!(get(&fresh.second, "a/b/c"), b"x");
}

pub(super) fn deleting_below_a_key_takes_nothing(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"x");
    fresh.first.delete(&key("a/b/c")).unwrap();
    fresh.second.delete(&key("a/b/c/d")).unwrap();
    assert_eq!(get(&fresh.second, "a/b"), b"x");
}

pub(super) fn a_deleted_key_can_be_put_again(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"a first body");
    fresh.second.delete(&key("a/b")).unwrap();
    put(&fresh.first, "a/b", b"another");
    assert_eq!(get(&fresh.second, "a/b"), b"another");
    assert_eq!(fresh.second.stat(&key("a/b")).unwrap().len, 7);
    let again = fresh.second.put_new(&key("a/b"), b"a third");
    assert_fails(again, ErrorKind::AlreadyExists, "a/b");
}
