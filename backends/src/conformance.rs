//! The conformance suite: every sentence of the contract of [`Backend`] as cases that any backend,
//! and any wrapper, has to pass.
//!
//! A crate that writes a backend calls [`conformance_tests!`](crate::conformance_tests) with a
//! closure that makes a [`Fresh`] storage; that gives one test per case. The storage has to have
//! roughly the clock of the machine that tests. Cases are not here to measure, nor to break a
//! destination: what happens in a power cut they cannot see.

// A failed case panics, as tests do; what is left to document is the case itself.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "test code that is compiled as a library"
)]

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::{Backend, Entry, ErrorKind, Key, Result};

mod deleting;
mod listing;
mod putting;
mod racing;
mod reading;

/// An empty storage, with two handles that know nothing of each other: two clients.
pub struct Fresh {
    /// A client.
    pub first: Arc<dyn Backend>,
    /// Another client of the same storage.
    pub second: Arc<dyn Backend>,
    kept: Option<Box<dyn Any + Send + Sync>>,
}

impl Fresh {
    /// Two handles on one empty storage.
    pub fn new(first: impl Backend + 'static, second: impl Backend + 'static) -> Self {
        Self { first: Arc::new(first), second: Arc::new(second), kept: None }
    }

    /// Keeps what the storage needs (a temporary folder, a server) until the case is over.
    #[must_use]
    pub fn keeping(mut self, what: impl Any + Send + Sync) -> Self {
        self.kept = Some(Box::new(what));
        self
    }
}

/// A case: its name, and what it does with a storage of its own.
pub type Case = (&'static str, fn(&Fresh));

/// Runs one case.
pub fn run(name: &str, fresh: &dyn Fn() -> Fresh) {
    let (_, case) = CASES.iter().find(|(case, _)| *case == name).expect("the list of cases has it");
    let _watched = Watched::new(name);
    let fresh = fresh();
    let _named = NamedInPanic(name);
    case(&fresh);
    drop(fresh.kept);
}

/// A case that takes longer than this will never end.
const PATIENCE: Duration = Duration::from_mins(2);

/// Ends the process if a case does not end: one that hangs has to fail, and to be named.
struct Watched {
    // Dropped when the case is over.
    _over: mpsc::Sender<()>,
}

impl Watched {
    fn new(name: &str) -> Self {
        let (over, is_over) = mpsc::channel();
        let name = name.to_owned();
        thread::spawn(move || {
            if is_over.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                tell(&format!("{name} has not ended in {PATIENCE:?}"));
                std::process::abort();
            }
        });
        Self { _over: over }
    }
}

/// Past the test harness, which shows the output of a test when all of them are over: a log that was
/// cut has it.
fn tell(what: &str) {
    use std::io::Write as _;
    // What cannot be written here is told by the harness.
    let _ = std::io::stderr().write_all(format!("conformance: {what}\n").as_bytes());
}

/// Names the case that failed at once.
struct NamedInPanic<'a>(&'a str);

impl Drop for NamedInPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            tell(&format!("{} failed", self.0));
        }
    }
}

/// Calls a macro with the names of all cases: the one list of them.
#[doc(hidden)]
#[macro_export]
macro_rules! with_conformance_cases {
    ($then:path, $($argument:tt)*) => {
        $then! {
            ($($argument)*)
            putting {
                a_put_is_read_back
                a_put_is_visible_through_another_handle
                a_second_put_is_refused
                a_second_put_of_the_same_bytes_is_refused
                another_handle_cannot_overwrite
                an_empty_body_is_a_body
                every_byte_is_kept
                a_large_body_is_kept
                the_longest_keys_work
                every_character_of_keys_works
                similar_keys_are_different
                a_key_below_a_key_loses_nothing
                a_key_above_a_key_loses_nothing
                a_refused_put_leaves_nothing
                put_same_tells_stored_from_same
                put_same_refuses_other_bytes
            }
            racing {
                one_of_racing_writers_wins
                one_of_racing_writers_of_equal_bytes_wins
                racing_writers_of_different_keys_all_win
                one_writer_wins_each_of_many_races
                readers_see_nothing_or_everything
                listings_see_nothing_or_everything
                racing_deletes_all_succeed
                removing_temporaries_disturbs_no_writer
            }
            reading {
                a_range_is_exactly_what_was_asked_for
                a_range_may_be_everything
                an_empty_range_is_empty
                a_range_of_nothing_at_the_end_is_empty
                a_range_beyond_the_end_is_refused
                a_range_that_starts_beyond_the_end_is_refused
                an_inverted_range_is_refused
                ranges_of_an_empty_body
                ranges_of_a_large_body
                reading_what_is_not_there
                reading_a_folder_is_reading_what_is_not_there
                reading_below_a_key_is_reading_what_is_not_there
                stat_tells_the_length
                stat_tells_the_time
                reading_changes_nothing
            }
            listing {
                an_empty_storage_lists_nothing
                an_unknown_prefix_lists_nothing
                the_empty_prefix_lists_everything
                prefixes_are_whole_segments
                a_prefix_may_have_many_segments
                a_key_is_not_below_itself
                entries_are_what_stat_tells
                many_keys_are_listed_once_each
                deleted_keys_are_not_listed
                folders_are_not_listed
                listings_do_not_disturb_each_other
                a_listing_may_be_left
                a_prefix_that_is_no_prefix_is_refused
                the_longest_prefix_lists_nothing
            }
            deleting {
                a_deleted_key_is_not_there
                deleting_is_idempotent
                deleting_takes_nothing_else
                deleting_a_folder_takes_nothing
                deleting_below_a_key_takes_nothing
                a_deleted_key_can_be_put_again
            }
        }
    };
}

/// One `#[test]` per case of the conformance suite, for the storages that a closure makes:
///
/// ```
/// mod memory {
///     use seawall_backends::{MemoryBackend, conformance::Fresh};
///
///     seawall_backends::conformance_tests!(|| {
///         let backend = MemoryBackend::new();
///         Fresh::new(backend.clone(), backend)
///     });
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($fresh:expr) => {
        $crate::with_conformance_cases! { $crate::conformance_test_of_each, $fresh }
    };
}

/// Makes the tests of [`conformance_tests!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_test_of_each {
    (($fresh:expr) $($module:ident { $($case:ident)* })*) => {
        $($(
            #[test]
            fn $case() {
                $crate::conformance::run(stringify!($case), &$fresh);
            }
        )*)*
    };
}

/// The cases of the suite but those in which many write one key at one moment: a destination whose
/// writes are weak cannot promise that one of them wins.
#[cfg(test)]
#[macro_export]
#[doc(hidden)]
macro_rules! weak_conformance_tests {
    (
        ($fresh:expr)
        putting { $($putting:ident)* }
        racing {
            one_of_racing_writers_wins
            one_of_racing_writers_of_equal_bytes_wins
            racing_writers_of_different_keys_all_win
            one_writer_wins_each_of_many_races
            $($racing:ident)*
        }
        $($module:ident { $($case:ident)* })*
    ) => {
        $crate::conformance_test_of_each! {
            ($fresh)
            putting { $($putting)* }
            racing { racing_writers_of_different_keys_all_win $($racing)* }
            $($module { $($case)* })*
        }
    };
}

/// Makes the table of cases; one that is not in the list is dead code, which the compiler tells.
macro_rules! table {
    (() $($module:ident { $($case:ident)* })*) => {
        /// Every case.
        pub const CASES: &[Case] = &[$($((stringify!($case), $module::$case)),*),*];
    };
}
with_conformance_cases! { table, }

/// A key.
fn key(text: &str) -> Key {
    Key::parse(text).expect("a case has good keys")
}

/// Stores something.
fn put(backend: &dyn Backend, text: &str, body: &[u8]) {
    backend.put_new(&key(text), body).expect("a new key can be put");
}

/// What a key holds.
fn get(backend: &dyn Backend, text: &str) -> Vec<u8> {
    backend.get(&key(text), None).expect("what was put can be read")
}

/// Every entry below a prefix.
fn entries(backend: &dyn Backend, prefix: &str) -> Vec<Entry> {
    let listed: Result<Vec<Entry>> = backend.list(prefix).collect();
    listed.expect("a prefix can be listed")
}

/// The keys below a prefix; none is listed twice.
fn keys(backend: &dyn Backend, prefix: &str) -> BTreeSet<String> {
    let listed = entries(backend, prefix);
    let count = listed.len();
    let keys: BTreeSet<String> = listed.iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(keys.len(), count, "a key is listed twice below {prefix:?}");
    keys
}

/// Names as [`keys`] gives them.
fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// A call fails with a kind, and the error names the key.
fn assert_fails<T: Debug>(result: Result<T>, kind: ErrorKind, text: &str) {
    let error = result.expect_err("it has to fail");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.key().map(Key::as_str), Some(text), "{error:?}");
}

/// Bytes without a pattern that repeats at a power of two, different for each `seed`.
fn bytes(len: usize, seed: u8) -> Vec<u8> {
    let pattern: Vec<u8> = (0..251_u8).map(|byte| byte ^ seed).collect();
    pattern.into_iter().cycle().take(len).collect()
}
