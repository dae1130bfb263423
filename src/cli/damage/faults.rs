//! Bad stored files: what `check --report` recorded, which snapshots need it, and what the administrator says of it.
//! Each alarm has an end that a person can reach (docs/design.md, "Healed faults").

use std::collections::HashSet;

use anyhow::anyhow;
use serde::Serialize;

use crate::cli::output::{Output, count};
use crate::cli::{CommandError, Status};
use crate::host::Writing;
use crate::repository::faults::Faults;
use crate::repository::manifest::Acceptance;
use crate::repository::names::SnapshotId;
use crate::time::Clock;

/// A bad stored file that some snapshots need.
#[derive(Serialize)]
pub(super) struct StoredFault {
    key: String,
    /// Snapshots that lack what it held.
    snapshots: Vec<SnapshotId>,
    /// No host's newest snapshot needs it.
    healed: bool,
    /// The administrator knows of it.
    accepted: bool,
}

/// What the records name and a snapshot needs.
pub(super) fn read(joined: &Writing) -> Result<Vec<StoredFault>, CommandError> {
    let markers = joined.markers()?;
    let faults = Faults::read(joined, &markers.snapshots)?;
    let (living, _) = markers.living_and_retired();
    let newest: HashSet<SnapshotId> = living.iter().map(|chain| chain.newest.id()).collect();
    let accepted = joined.state().accepted_faults()?;
    let now = Clock::system().now();
    let by_key = faults.by_key().into_iter();
    let fault = by_key.map(|(key, snapshots)| StoredFault {
        healed: !snapshots.iter().any(|snapshot| newest.contains(snapshot)),
        accepted: accepted.holds(key, now),
        key: key.to_string(),
        snapshots,
    });
    Ok(fault.collect())
}

pub(super) fn print(faults: &[StoredFault], output: Output) {
    for fault in faults {
        let state = match (fault.healed, fault.accepted) {
            (false, _) => "BAD, the next backup stores anew what the source has of it",
            (true, false) => "healed, not accepted",
            (true, true) => "healed, accepted",
        };
        let snapshots =
            count(fault.snapshots.len() as u64, "snapshot needs it", "snapshots need it");
        output.line(format_args!("stored file {}: {state}; {snapshots}", fault.key));
    }
}

/// Accepts all that are healed; `None` takes it back.
pub(super) fn change(
    joined: &Writing,
    acceptance: Option<&Acceptance>,
    output: Output,
) -> Result<Status, CommandError> {
    let faults = read(joined)?;
    let mut accepted = joined.state().accepted_faults()?;
    let (healed, open): (Vec<&StoredFault>, Vec<&StoredFault>) =
        faults.iter().partition(|fault| fault.healed);
    let mut changed = 0;
    for fault in &healed {
        let key = seawall_backends::Key::parse(&fault.key).map_err(anyhow::Error::from)?;
        let is_news = match acceptance {
            Some(given) => accepted.accept(&key, given),
            None => accepted.withdraw(&key),
        };
        changed += u64::from(is_news);
    }
    joined.state().set_accepted_faults(&accepted)?;
    if !open.is_empty() && acceptance.is_some() && healed.is_empty() {
        return Err(CommandError::new(
            anyhow!("a newest snapshot needs the bad files: they are not healed yet"),
            "run a backup: it stores anew what the source still has of them",
        ));
    }
    let what = if acceptance.is_some() { "accepted" } else { "not accepted" };
    let files = count(healed.len() as u64, "stored file", "stored files");
    output.line(match (healed.len(), changed) {
        (0, _) => "no record names a stored file that is healed".to_owned(),
        (_, 0) => format!("{files} {what}, as before"),
        _ => format!("{files} {what}: `check` of this host counts them as known"),
    });
    output.json(&read(joined)?)?;
    Ok(Status::Done)
}
