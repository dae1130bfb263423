//! The marker of each snapshot, and `seawall.json`, on which all of them rest.

use std::collections::BTreeMap;

use seawall_backends::ErrorKind;

use super::problems::Problems;
use super::report::ProblemKind;
use crate::repository::names;
use crate::repository::snapshots::{Markers, SignedBy, Snapshot};
use crate::repository::{Configuration, Repository, Result, note};

/// Reports what is no snapshot and should be one, and signatures that nobody vouched for.
pub(super) fn check(
    repository: &Repository,
    markers: &Markers,
    selected: &[&Snapshot],
    problems: &mut Problems,
) -> Result<()> {
    for bad in &markers.bad {
        let detail = format!("is no marker: {}", bad.problem);
        problems.add(
            &bad.key,
            ProblemKind::Signature,
            detail,
            names::parse_marker(&bad.key).into_iter().collect(),
        );
    }
    unpinned(selected, problems);
    configuration(repository, markers, problems)
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
        let detail = format!("signature by an unpinned key: {text}");
        let snapshots = signed.iter().map(|snapshot| snapshot.id()).collect();
        problems.add(&key, ProblemKind::Unpinned, detail, snapshots);
    }
}

/// Reads `seawall.json` again. No signature covers it; what can be said is whether it is the one
/// that the markers speak of.
fn configuration(
    repository: &Repository,
    markers: &Markers,
    problems: &mut Problems,
) -> Result<()> {
    let key = names::configuration();
    let mut problem = |kind, detail: String| problems.add(&key, kind, detail, Vec::new());
    let bytes = match repository.backend().get(&key, None) {
        Ok(bytes) => bytes,
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
            problem(
                ProblemKind::Altered,
                format!("has another id now: {}", found.id),
            );
        }
        Ok(found) => {
            if let Some(other) = id_of_all_markers(repository, markers)?
                && other != found.id.as_str()
            {
                let detail = format!(
                    "has the id {}, but all markers belong to {other}: it was altered, or taken from there",
                    found.id
                );
                problem(ProblemKind::Altered, detail);
            }
        }
    }
    Ok(())
}

/// The repository id that all markers agree on, when none of them is good: a hint, not verified.
fn id_of_all_markers(repository: &Repository, markers: &Markers) -> Result<Option<String>> {
    if !markers.snapshots.is_empty() {
        return Ok(None);
    }
    let mut id = None;
    for bad in &markers.bad {
        let bytes = match repository.backend().get(&bad.key, None) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Transient => return Err(error.into()),
            Err(_) => continue,
        };
        let Ok(unverified) = note::peek(&bytes) else {
            continue;
        };
        let mut lines = unverified.text.lines();
        let Some(found) = lines.find_map(|line| line.strip_prefix("repository ")) else {
            continue;
        };
        if *id.get_or_insert_with(|| found.to_owned()) != found {
            return Ok(None);
        }
    }
    Ok(id)
}
