//! Checks the marker of each snapshot, and `seawall.json`, on which all markers rest.

use std::collections::BTreeMap;

use seawall_backends::ErrorKind;

use super::problems::Problems;
use super::report::ProblemKind;
use crate::crypt::Seal;
use crate::repository::names::{self, SnapshotId};
use crate::repository::snapshots::{BadMarker, Markers, SignedBy, Snapshot};
use crate::repository::{Configuration, Error, Repository, Result, bounded, configuration};

/// Reports files that should be markers and are none, and signatures by keys that nobody vouched
/// for. `only` is the one snapshot that was asked for.
pub(super) fn check(
    repository: &Repository,
    markers: &Markers,
    selected: &[&Snapshot],
    only: Option<SnapshotId>,
    problems: &mut Problems,
) -> Result<()> {
    // If one snapshot was asked for, older bad markers do not matter. A newer one may hide the true
    // latest.
    let concerns = |bad: &BadMarker| only.is_none_or(|only| bad.key > names::marker(only));
    for bad in markers.bad.iter().filter(|bad| concerns(bad)) {
        let detail = format!("is no marker: {}", bad.problem);
        problems.add(
            &bad.key,
            ProblemKind::Signature,
            detail,
            names::parse_marker(&bad.key).into_iter().collect(),
        );
    }
    voids(markers, problems);
    unpinned(selected, problems);
    configuration(repository, markers, problems)
}

/// Reports voids on which a snapshot builds. A run that was declared dead has no successor, so
/// somebody overwrote that marker with a void. For the newest marker only the host's own state
/// could tell.
fn voids(markers: &Markers, problems: &mut Problems) {
    for key in &markers.voids {
        let Some(id) = names::parse_marker(key) else {
            continue;
        };
        let builds_on = |snapshot: &&Snapshot| {
            let previous = snapshot.marker.previous.as_ref();
            previous.is_some_and(|(previous, _)| *previous == id)
        };
        if let Some(next) = markers.snapshots.iter().find(builds_on) {
            let detail = format!(
                "says that its run was declared dead, and {} builds on it: it was overwritten",
                next.id()
            );
            problems.add(key, ProblemKind::Signature, detail, vec![id]);
        }
    }
}

fn unpinned(snapshots: &[&Snapshot], problems: &mut Problems) {
    let mut by_key: BTreeMap<String, Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in snapshots {
        if let SignedBy::Unpinned(key) = &snapshot.signed_by {
            by_key.entry(key.to_string()).or_default().push(snapshot);
        }
    }
    for (text, signed) in by_key {
        let Some(first) = signed.first() else {
            continue;
        };
        let key = names::host_key(first.signed_by.key().id());
        let detail = format!(
            "signed by a key that nobody vouched for: {text}; anybody could have made it. If it is on a recovery sheet: --trust KEY"
        );
        let snapshots = signed.iter().map(|snapshot| snapshot.id()).collect();
        problems.add(&key, ProblemKind::Unpinned, detail, snapshots);
    }
}

/// Reads `seawall.json` again. No signature covers it, so this only tells whether it agrees with
/// the markers.
fn configuration(
    repository: &Repository,
    markers: &Markers,
    problems: &mut Problems,
) -> Result<()> {
    let key = names::configuration();
    let mut problem = |kind, detail: String| problems.add(&key, kind, detail, Vec::new());
    let read = bounded::get(&**repository.backend(), &key, configuration::MAX_BYTES);
    let bytes = match read {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            problem(ProblemKind::Malformed, configuration::too_long().to_string());
            return Ok(());
        }
        Err(error) => {
            match error.kind() {
                ErrorKind::NotFound => problem(ProblemKind::Missing, "is missing".into()),
                ErrorKind::Transient => return Err(error.into()),
                _ => problem(ProblemKind::Unreadable, format!("cannot be read: {error}")),
            }
            return Ok(());
        }
    };
    match Configuration::parse(&bytes) {
        Err(error) => problem(ProblemKind::Malformed, error.to_string()),
        Ok(found) if found.id != *repository.id() => {
            let detail = format!(
                "has the id {}, but this repository is {}: it was altered, or taken from another",
                found.id,
                repository.id()
            );
            problem(ProblemKind::Altered, detail);
        }
        Ok(found) if found.seal != repository.seal() => {
            let detail = match found.seal {
                Seal::None => "says that nothing is encrypted, and signed markers say that it is",
                Seal::Age => {
                    "says that files are encrypted, and signed markers say that they are not"
                }
            };
            problem(ProblemKind::Altered, format!("{detail}: it was altered"));
        }
        Ok(found) if markers.snapshots.is_empty() => match repository.refuse_other() {
            Err(Error::OtherRepository { other, .. }) => {
                let detail = format!(
                    "has the id {}, but all markers belong to {other}: it was altered, or taken from there",
                    found.id
                );
                problem(ProblemKind::Altered, detail);
            }
            result => result?,
        },
        Ok(_) => {}
    }
    Ok(())
}
