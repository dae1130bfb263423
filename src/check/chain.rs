//! Whether each marker follows the one that its run built on, which it names.

use std::collections::{BTreeMap, HashMap};

use super::problems::Problems;
use super::report::{Gap, ProblemKind};
use crate::repository::names::{self, SnapshotId};
use crate::repository::snapshots::{Markers, Snapshot};

/// Checks every chain. Returns where a predecessor is absent. That is no problem: it was forgotten
/// or removed, and nothing tells which. Nothing here shows that the newest marker was removed.
pub(super) fn check(markers: &Markers, problems: &mut Problems) -> Vec<Gap> {
    let by_id: HashMap<SnapshotId, &Snapshot> =
        markers.snapshots.iter().map(|snapshot| (snapshot.id(), snapshot)).collect();
    let gaps = markers
        .snapshots
        .iter()
        .filter_map(|snapshot| predecessor(snapshot, &by_id, markers, problems))
        .collect();
    in_order(markers, problems);
    gaps
}

/// Compares a marker with the predecessor that it names.
fn predecessor(
    snapshot: &Snapshot,
    by_id: &HashMap<SnapshotId, &Snapshot>,
    markers: &Markers,
    problems: &mut Problems,
) -> Option<Gap> {
    let sequence = snapshot.marker.sequence;
    let Some((previous, sha256)) = snapshot.marker.previous else {
        if sequence != 1 {
            broken(
                snapshot,
                format!("says that it is number {sequence}, and follows none"),
                problems,
            );
        }
        return None;
    };
    let Some(found) = by_id.get(&previous) else {
        // `markers::check` reports a bad marker.
        let key = names::marker(previous);
        let is_bad = markers.bad.iter().any(|bad| bad.key == key);
        return (!is_bad).then_some(Gap { snapshot: snapshot.id(), previous });
    };
    if found.sha256 != sha256 {
        broken(
            snapshot,
            format!("follows another marker than the {previous} that is there"),
            problems,
        );
    } else if found.marker.sequence.checked_add(1) != Some(sequence) {
        let before = found.marker.sequence;
        broken(snapshot, format!("is number {sequence}, and follows number {before}"), problems);
    }
    None
}

/// Checks that later names of one host have higher numbers.
fn in_order(markers: &Markers, problems: &mut Problems) {
    let mut newest: BTreeMap<String, &Snapshot> = BTreeMap::new();
    for snapshot in &markers.snapshots {
        let host = snapshot.signed_by.key().to_string();
        if let Some(before) = newest.get(&host)
            && snapshot.marker.sequence <= before.marker.sequence
        {
            let (number, before_number) = (snapshot.marker.sequence, before.marker.sequence);
            let detail = format!(
                "is number {number}, later than {} with number {before_number}: the destination was \
                 rolled back once, or two hosts use one key",
                before.id()
            );
            broken(snapshot, detail, problems);
        }
        newest.insert(host, snapshot);
    }
}

fn broken(snapshot: &Snapshot, detail: String, problems: &mut Problems) {
    let key = names::marker(snapshot.id());
    problems.add(&key, ProblemKind::Chain, detail, vec![snapshot.id()]);
}
