//! Cases of *exact ranges*, of `stat`, and of what is not there.

// `5..3` is what a caller may get wrong.
#![allow(clippy::reversed_empty_ranges, reason = "refused ranges are a case")]

use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::{Fresh, assert_fails, bytes, get, key, keys, names, put};
use crate::{Backend, ErrorKind};

/// What a storage's clock may differ from ours, and what it may round away.
const SLACK: Duration = Duration::from_secs(5);

/// Both handles give exactly these bytes for a range of `a/b`.
fn assert_range(fresh: &Fresh, range: Range<u64>, expected: &[u8]) {
    for handle in [&fresh.first, &fresh.second] {
        let read = handle.get(&key("a/b"), Some(range.clone())).unwrap();
        assert!(read == expected, "{range:?} gave {} bytes", read.len());
    }
}

/// Both handles refuse a range of `a/b`.
fn assert_refused(fresh: &Fresh, range: Range<u64>) {
    for handle in [&fresh.first, &fresh.second] {
        let read = handle.get(&key("a/b"), Some(range.clone()));
        assert_fails(read, ErrorKind::OutOfRange, "a/b");
    }
}

pub(super) fn a_range_is_exactly_what_was_asked_for(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"0123456789");
    assert_range(fresh, 0..1, b"0");
    assert_range(fresh, 0..4, b"0123");
    assert_range(fresh, 3..7, b"3456");
    assert_range(fresh, 9..10, b"9");
    assert_range(fresh, 1..10, b"123456789");
}

pub(super) fn a_range_may_be_everything(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"0123456789");
    assert_range(fresh, 0..10, b"0123456789");
}

pub(super) fn an_empty_range_is_empty(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"0123456789");
    assert_range(fresh, 0..0, b"");
    assert_range(fresh, 5..5, b"");
}

pub(super) fn a_range_of_nothing_at_the_end_is_empty(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"0123456789");
    assert_range(fresh, 10..10, b"");
}

pub(super) fn a_range_beyond_the_end_is_refused(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"0123456789");
    assert_refused(fresh, 0..11);
    assert_refused(fresh, 9..11);
    assert_refused(fresh, 10..11);
    assert_refused(fresh, 0..u64::MAX);
}

pub(super) fn a_range_that_starts_beyond_the_end_is_refused(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"0123456789");
    assert_refused(fresh, 11..11);
    assert_refused(fresh, 11..12);
    assert_refused(fresh, u64::MAX - 1..u64::MAX);
    assert_refused(fresh, u64::MAX..u64::MAX);
}

pub(super) fn an_inverted_range_is_refused(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"0123456789");
    assert_refused(fresh, 5..3);
    assert_refused(fresh, 10..0);
    assert_refused(fresh, 11..3);
    assert_refused(fresh, u64::MAX..0);
}

pub(super) fn ranges_of_an_empty_body(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"");
    assert_range(fresh, 0..0, b"");
    assert_refused(fresh, 0..1);
    assert_refused(fresh, 1..1);
    assert_refused(fresh, 1..0);
}

pub(super) fn ranges_of_a_large_body(fresh: &Fresh) {
    const LEN: usize = 5 * 1024 * 1024 + 13;
    let body = bytes(LEN, 9);
    put(&fresh.first, "a/b", &body);
    for (start, end) in [
        (0, 1),
        (0, 65_536),
        (32_767, 32_769),
        (1_048_575, 1_048_577),
        (1_000_000, 4_000_000),
        (LEN - 1, LEN),
        (LEN - 70_000, LEN),
        (1, LEN),
        (0, LEN),
    ] {
        assert_range(fresh, start as u64..end as u64, &body[start..end]);
    }
    assert_refused(fresh, LEN as u64 - 1..LEN as u64 + 1);
}

/// Every way to read a key says that it is not there.
fn assert_not_there(backend: &dyn Backend, text: &str) {
    for range in [None, Some(0..0), Some(0..1), Some(5..3)] {
        let read = backend.get(&key(text), range);
        assert_fails(read, ErrorKind::NotFound, text);
    }
    assert_fails(backend.stat(&key(text)), ErrorKind::NotFound, text);
}

pub(super) fn reading_what_is_not_there(fresh: &Fresh) {
    assert_not_there(&fresh.first, "a");
    put(&fresh.first, "data/a", b"x");
    for text in ["a", "b/c", "data/b", "data/aa", "data/A"] {
        assert_not_there(&fresh.first, text);
        assert_not_there(&fresh.second, text);
    }
    assert_eq!(keys(&fresh.second, ""), names(["data/a"]));
}

pub(super) fn reading_a_folder_is_reading_what_is_not_there(fresh: &Fresh) {
    put(&fresh.first, "a/b/c", b"x");
    assert_not_there(&fresh.first, "a");
    assert_not_there(&fresh.second, "a/b");
}

pub(super) fn reading_below_a_key_is_reading_what_is_not_there(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"x");
    assert_not_there(&fresh.first, "a/b/c");
    assert_not_there(&fresh.second, "a/b/c/d");
}

pub(super) fn stat_tells_the_length(fresh: &Fresh) {
    for len in [0_u16, 1, 4095, 4096, 4097, 65_535] {
        let text = format!("len/{len}");
        put(&fresh.first, &text, &bytes(len.into(), 1));
        let entry = fresh.second.stat(&key(&text)).unwrap();
        assert_eq!(entry.len, u64::from(len));
        assert_eq!(entry.key.as_str(), text);
    }
}

pub(super) fn stat_tells_the_time(fresh: &Fresh) {
    let before = SystemTime::now() - SLACK;
    put(&fresh.first, "a/b", b"x");
    let after = SystemTime::now() + SLACK;
    let entry = fresh.first.stat(&key("a/b")).unwrap();
    assert!((before..=after).contains(&entry.modified), "{entry:?}");
    assert_eq!(fresh.second.stat(&key("a/b")).unwrap(), entry);
}

pub(super) fn reading_changes_nothing(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"0123456789");
    let before = fresh.first.stat(&key("a/b")).unwrap();
    for _ in 0..3 {
        assert_eq!(get(&fresh.second, "a/b"), b"0123456789");
        assert_range(fresh, 2..4, b"23");
        assert_refused(fresh, 2..40);
        assert_not_there(&fresh.second, "x/y");
    }
    assert_eq!(fresh.second.stat(&key("a/b")).unwrap(), before);
    assert_eq!(keys(&fresh.second, ""), names(["a/b"]));
}
