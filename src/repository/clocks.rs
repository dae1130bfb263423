//! Times of three clocks: a snapshot's name and its `finished` are by the host's, `stored` is by the
//! storage's, and this machine has one too. Here is what counts as a difference.

use std::time::Duration;

use super::snapshots::Snapshot;
use crate::time::Timestamp;

/// Clocks that are closer than this are right.
pub const AGREE: Duration = Duration::from_mins(5);
/// Less than this is no reason to say that a name lies ahead: two runs of one second have names of two.
const NAMES_AHEAD: Duration = Duration::from_mins(1);

/// Whether two clocks differ by more than clocks do.
pub fn are_apart(a: Timestamp, b: Timestamp) -> bool {
    a.since(b).max(b.since(a)) > AGREE
}

/// What a marker says of the clock: nothing, unless the snapshot's name lies after it.
pub fn behind(started: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (started.since(now) > NAMES_AHEAD).then_some(now)
}

/// Whether a snapshot's own times are those at which the storage got it.
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
