//! Compares the times of three clocks. A snapshot's name and its `finished` come from the host's
//! clock, `stored` comes from the storage's, and this machine has one too.

use std::time::Duration;

use super::snapshots::Snapshot;
use crate::time::Timestamp;

/// Clocks that differ by no more than this count as right.
pub const AGREE: Duration = Duration::from_mins(5);
/// A snapshot's name may be ahead of the clock by this much without a warning: two runs that start
/// in the same second get names of two seconds.
const NAMES_AHEAD: Duration = Duration::from_mins(1);

/// Whether two times differ by more than [`AGREE`].
pub fn are_apart(a: Timestamp, b: Timestamp) -> bool {
    a.since(b).max(b.since(a)) > AGREE
}

/// The marker's `clock` line: the present time, if the snapshot's name is ahead of it.
pub fn behind(started: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (started.since(now) > NAMES_AHEAD).then_some(now)
}

/// Whether the host's time in the marker agrees with the time at which the storage got the marker.
pub fn fit(snapshot: &Snapshot) -> bool {
    !are_apart(snapshot.stored, snapshot.marker.finished)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_no_difference() {
        let time = Timestamp::from_seconds(1_795_383_248).unwrap();
        let later = |seconds| time.plus(Duration::from_secs(seconds));
        assert!(!are_apart(time, later(300)) && !are_apart(later(300), time));
        assert!(are_apart(time, later(301)) && are_apart(later(301), time));
        assert_eq!(behind(later(60), time), None);
        assert_eq!(behind(time, later(1000)), None);
        assert_eq!(behind(later(61), time), Some(time));
    }
}
