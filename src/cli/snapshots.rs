//! `seawall snapshots`: lists what there is to restore.

use serde::Serialize;

use super::output::{self, Output};
use super::place::warn_unpinned;
use super::{CommandError, Global, Status};
use crate::repository::faults::Faults;
use crate::repository::{Snapshot, clocks};
use crate::time::Timestamp;

#[derive(Serialize)]
struct Row {
    snapshot: String,
    finished: Timestamp,
    /// When the marker was stored, by the storage's clock.
    stored: Timestamp,
    /// What the host's clock said, where the snapshot's name lies after that.
    clock: Option<Timestamp>,
    #[serde(skip)]
    fits: bool,
    sequence: u64,
    key: String,
    pinned: bool,
    packs: u64,
    bytes: u64,
    damage: u64,
    accepted: u64,
    incomplete: Vec<String>,
    /// Stored files that it needs and that a check recorded as bad.
    bad_files: u64,
    /// To whom it was sealed; none: to nobody.
    recipients: Vec<String>,
}

impl Row {
    fn of(snapshot: &Snapshot, faults: &Faults) -> Self {
        let marker = &snapshot.marker;
        Self {
            snapshot: marker.snapshot.to_string(),
            finished: marker.finished,
            stored: snapshot.stored,
            clock: marker.clock,
            fits: clocks::fit(snapshot),
            sequence: marker.sequence,
            key: snapshot.signed_by.key().to_string(),
            pinned: snapshot.signed_by.is_pinned(),
            packs: marker.packs,
            bytes: marker.bytes,
            damage: marker.damage,
            accepted: marker.accepted,
            incomplete: marker.incomplete.clone(),
            bad_files: faults.of(snapshot.id()),
            recipients: marker.recipients.clone(),
        }
    }

    /// `with_stored`: the times of some snapshot differ.
    fn cells(&self, with_stored: bool) -> Vec<String> {
        let mut state: Vec<String> = Vec::new();
        if self.damage > 0 {
            let accepted = match self.accepted {
                0 => String::new(),
                accepted => format!(" ({accepted} accepted)"),
            };
            state.push(format!("{} damaged{accepted}", self.damage));
        }
        state.extend(
            self.incomplete
                .iter()
                .map(|word| format!("incomplete: {word}")),
        );
        if self.bad_files > 0 {
            state.push(output::count(
                self.bad_files,
                "stored file bad",
                "stored files bad",
            ));
        }
        let state = if state.is_empty() {
            "whole".into()
        } else {
            state.join(", ")
        };
        let name = self.key.split('+').next().unwrap_or_default();
        let stored = with_stored.then(|| self.stored.to_string());
        let times = [self.snapshot.clone(), self.finished.to_string()];
        let rest = [
            name.strip_prefix("seawall-").unwrap_or(name).to_owned(),
            self.packs.to_string(),
            output::bytes(self.bytes),
            state,
        ];
        times.into_iter().chain(stored).chain(rest).collect()
    }
}

pub(super) fn run(global: &Global, output: Output) -> Result<Status, CommandError> {
    let repository = global.open()?;
    let markers = repository.markers()?;
    for bad in &markers.bad {
        Output::warning(format_args!("{} is no snapshot: {}", bad.key, bad.problem));
    }
    for key in &markers.voids {
        Output::warning(format_args!(
            "{key} says that its run was declared dead, and is no snapshot; nothing proves that"
        ));
    }
    if !repository.pinned().is_empty() {
        markers.snapshots.iter().for_each(warn_unpinned);
    }
    let faults = Faults::read(&repository, &markers.snapshots)?;
    let row = |snapshot| Row::of(snapshot, &faults);
    let rows: Vec<Row> = markers.snapshots.iter().map(row).collect();
    if rows.is_empty() {
        output.line("There is no snapshot yet.");
    } else {
        let with_stored = rows.iter().any(|row| !row.fits);
        let mut head = ["SNAPSHOT", "FINISHED", "HOST", "PACKS", "SIZE", "STATE"].to_vec();
        if with_stored {
            head.insert(2, "STORED");
        }
        let head = head.into_iter().map(str::to_owned).collect();
        let rows = rows.iter().map(|row| row.cells(with_stored));
        let table: Vec<_> = std::iter::once(head).chain(rows).collect();
        output.line(output::table(&table));
        if with_stored {
            output.detail(
                "STORED is by the storage's clock. Where it differs from FINISHED a host's clock was wrong, or the repository was copied.",
            );
        }
    }
    output.json(&rows)?;
    Ok(if markers.bad.is_empty() {
        Status::Done
    } else {
        Status::ReadTheReport
    })
}
