//! Cases of *write-once* and *atomic* with many threads on two handles.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Fresh, assert_fails, bytes, entries, get, key, keys, put};
use crate::{Backend, ErrorKind, Key, Result};

const WRITERS: u8 = 16;
/// No case begins another race after so long.
const ENOUGH: Duration = Duration::from_secs(5);

/// Lets all writers put at once, each what `write` makes of its number; gives their results.
fn race(fresh: &Fresh, write: impl Fn(u8) -> (Key, Vec<u8>) + Sync) -> Vec<Result<()>> {
    let barrier = Barrier::new(usize::from(WRITERS));
    let start = |writer: u8| {
        let handle = [&fresh.first, &fresh.second][usize::from(writer % 2)];
        let (key, body) = write(writer);
        barrier.wait();
        handle.put_new(&key, &body)
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let start = &start;
                scope.spawn(move || start(writer))
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    })
}

/// The number of the one writer that got Ok; the others got `AlreadyExists`.
fn only_winner(results: Vec<Result<()>>, text: &str) -> u8 {
    let mut winners = Vec::new();
    for (writer, result) in (0..).zip(results) {
        match result {
            Ok(()) => winners.push(writer),
            refused => assert_fails(refused, ErrorKind::AlreadyExists, text),
        }
    }
    assert_eq!(winners.len(), 1, "winners: {winners:?}");
    winners[0]
}

/// What a writer puts: another length and other bytes for each.
fn body_of(writer: u8) -> Vec<u8> {
    bytes(100_000 + 1000 * usize::from(writer), writer)
}

pub(super) fn one_of_racing_writers_wins(fresh: &Fresh) {
    let results = race(fresh, |writer| (key("markers/race"), body_of(writer)));
    let winner = only_winner(results, "markers/race");
    assert!(get(&fresh.first, "markers/race") == body_of(winner));
    assert!(get(&fresh.second, "markers/race") == body_of(winner));
}

pub(super) fn one_of_racing_writers_of_equal_bytes_wins(fresh: &Fresh) {
    let results = race(fresh, |_| (key("a/b/race"), b"same".to_vec()));
    only_winner(results, "a/b/race");
    assert_eq!(get(&fresh.first, "a/b/race"), b"same");
}

pub(super) fn racing_writers_of_different_keys_all_win(fresh: &Fresh) {
    let name = |writer| format!("new/folder{}/of/{writer}", writer % 3);
    let results = race(fresh, |writer| (key(&name(writer)), vec![writer]));
    for result in results {
        result.unwrap();
    }
    assert_eq!(keys(&fresh.first, "new"), (0..WRITERS).map(name).collect());
    for writer in 0..WRITERS {
        assert_eq!(get(&fresh.second, &name(writer)), [writer]);
    }
}

pub(super) fn one_writer_wins_each_of_many_races(fresh: &Fresh) {
    // Some servers take seconds for each race.
    let started = Instant::now();
    for round in 0..20 {
        if started.elapsed() > ENOUGH {
            break;
        }
        let text = format!("races/{round}");
        let results = race(fresh, |writer| (key(&text), vec![writer; 10]));
        let winner = only_winner(results, &text);
        assert_eq!(get(&fresh.second, &text), [winner; 10]);
    }
}

/// Between two looks, so that those who look leave a server the time to do the work: on a slow machine
/// they could keep it from ending.
const BETWEEN: Duration = Duration::from_millis(1);

/// Runs `watch` again and again, in two threads and on both handles, while `work` is done and once
/// after it.
fn while_watched(fresh: &Fresh, watch: impl Fn(&dyn Backend) + Sync, work: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for handle in [&fresh.first, &fresh.second] {
            let (watch, is_over) = (&watch, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Acquire) {
                    watch(handle);
                    thread::sleep(BETWEEN);
                }
                watch(handle);
            });
        }
        let _over = SetAtEnd(&is_over);
        work();
    });
}

/// Sets a flag when it is dropped, also by a panic: threads that wait for the flag would keep a case
/// that failed from ending.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

pub(super) fn readers_see_nothing_or_everything(fresh: &Fresh) {
    let body = bytes(1_000_000, 7);
    let names: Vec<Key> = (0..8).map(|n| key(&format!("data/{n}"))).collect();
    let watch = |handle: &dyn Backend| {
        for name in &names {
            match handle.get(name, None) {
                Ok(read) => assert!(read == body, "{name} is not whole"),
                missing => assert_fails(missing, ErrorKind::NotFound, name.as_str()),
            }
            match handle.stat(name) {
                Ok(entry) => assert_eq!(entry.len, 1_000_000),
                missing => assert_fails(missing, ErrorKind::NotFound, name.as_str()),
            }
        }
    };
    while_watched(fresh, watch, || {
        for name in &names {
            fresh.first.put_new(name, &body).unwrap();
        }
    });
}

pub(super) fn listings_see_nothing_or_everything(fresh: &Fresh) {
    let body = bytes(500_000, 3);
    let names: Vec<String> = (0..16).map(|n| format!("data/{}/{n}", n % 2)).collect();
    let watch = |handle: &dyn Backend| {
        for entry in entries(handle, "") {
            assert!(names.contains(&entry.key.to_string()), "{}", entry.key);
            assert_eq!(entry.len, 500_000, "{}", entry.key);
        }
    };
    while_watched(fresh, watch, || {
        for name in &names {
            put(&fresh.second, name, &body);
            let seen = keys(&fresh.first, "data");
            assert!(seen.contains(name), "{name} is not listed after its put");
        }
    });
}

pub(super) fn racing_deletes_all_succeed(fresh: &Fresh) {
    put(&fresh.first, "a/b", b"x");
    thread::scope(|scope| {
        for writer in 0..8 {
            let handle = [&fresh.first, &fresh.second][writer % 2];
            scope.spawn(|| handle.delete(&key("a/b")).unwrap());
        }
    });
    assert!(keys(&fresh.first, "").is_empty());
}

pub(super) fn removing_temporaries_disturbs_no_writer(fresh: &Fresh) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                fresh.first.remove_stale_temporaries().unwrap();
                thread::sleep(BETWEEN);
            }
        });
        let _stopped = SetAtEnd(&stop);
        for round in 0..4 {
            let text = |writer: u8| format!("a/{round}/{writer}");
            for result in race(fresh, |writer| (key(&text(writer)), body_of(writer))) {
                result.unwrap();
            }
            for writer in 0..WRITERS {
                assert_eq!(get(&fresh.second, &text(writer)), body_of(writer));
            }
        }
    });
    // No key is taken for a leftover.
    assert_eq!(fresh.second.remove_stale_temporaries().unwrap(), 0);
    assert_eq!(keys(&fresh.first, "").len(), 4 * usize::from(WRITERS));
}
