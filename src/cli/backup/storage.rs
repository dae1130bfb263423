//! What a run learned of its destination, and of the clocks, that a person has to know.

use crate::backup::Report;
use crate::cli::output::while_;
use crate::host::Writing;
use crate::repository::marker::Marker;
use crate::repository::{clocks, names};
use crate::time::Timestamp;

/// All warnings of a run.
pub(super) fn warnings(joined: &Writing, report: &Report) -> Vec<String> {
    let backend = joined.backend();
    // Only a warning depends on it.
    let stored = backend.stat(&names::marker(report.marker.snapshot)).ok();
    let stored = stored.map(|entry| Timestamp::from_system(entry.modified));
    let mut warnings = report.warnings();
    warnings.extend(backend.weaknesses());
    warnings.extend(of_clocks(&report.marker, stored));
    warnings
}

/// A name that lies ahead is not the time at which somebody would look for it.
fn of_clocks(marker: &Marker, stored: Option<Timestamp>) -> Option<String> {
    if let Some(clock) = marker.clock {
        return Some(format!(
            "this snapshot has the name {}, but it is {clock}: an earlier run of this host had a clock that was {} ahead, and names only go on; `seawall snapshots` shows when each was stored",
            marker.snapshot,
            while_(marker.started.since(clock).as_secs())
        ));
    }
    let stored = stored.filter(|stored| clocks::are_apart(*stored, marker.finished))?;
    Some(format!(
        "this host's clock says {}, the storage's {stored}: one of them is wrong (NTP). Snapshots are named by this host's, and later names never go back",
        marker.finished
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::marker::tests::marker;

    #[test]
    fn a_clock_that_was_or_is_ahead_is_told() {
        let mut marker = marker(1, Vec::new(), false);
        let year = std::time::Duration::from_hours(365 * 24);
        let right = marker.finished;
        assert_eq!(of_clocks(&marker, Some(right)), None);
        assert_eq!(of_clocks(&marker, None), None);
        marker.finished = right.plus(year);
        let text = of_clocks(&marker, Some(right)).unwrap();
        assert!(text.contains(&right.to_string()) && text.contains("NTP"), "{text}");
        marker.started = right.plus(year);
        marker.clock = Some(right);
        let text = of_clocks(&marker, Some(right)).unwrap();
        assert!(text.contains(&right.to_string()) && text.contains("ahead"), "{text}");
    }
}
