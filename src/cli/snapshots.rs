//! `seawall snapshots`: lists what there is to restore.

use std::collections::HashMap;
use std::str::FromStr;

use clap::Args;
use serde::Serialize;

use super::global::warn_unpinned;
use super::output::{self, Output};
use super::{CommandError, Global, Status};
use crate::repository::faults::Faults;
use crate::repository::{Snapshot, clocks};
use crate::time::Timestamp;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only the newest N of each host
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    last: Option<u64>,
    /// Only those of this host: its name, or the last four digits of its snapshots' names
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only those that are in one of these states: whole, damaged, incomplete, bad (stored files are), or incomplete for
    /// one reason, such as source-gone
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<SnapshotState>,
}

/// What STATE of the list says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SnapshotState {
    Whole,
    Damaged,
    Incomplete,
    Bad,
    /// Incomplete, and the marker gives this word as a reason.
    Because(String),
}

impl FromStr for SnapshotState {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        };
        Ok(match text {
            "whole" => Self::Whole,
            "damaged" => Self::Damaged,
            "incomplete" => Self::Incomplete,
            "bad" => Self::Bad,
            word if is_word(word) => Self::Because(word.to_owned()),
            _ => {
                return Err(
                    "a state is whole, damaged, incomplete, bad, or a word that follows \"incomplete:\" in the list",
                );
            }
        })
    }
}

impl Arguments {
    /// Leaves the rows that are wanted. They are in order of their names.
    fn filter(&self, rows: &mut Vec<SnapshotRow>) {
        rows.retain(|row| {
            let host = self.host.as_deref();
            let is_wanted = self.state.is_empty() || self.state.iter().any(|state| row.is(state));
            is_wanted && host.is_none_or(|host| row.is_of(host))
        });
        let Some(last) = self.last else { return };
        let mut seen: HashMap<String, u64> = HashMap::new();
        rows.reverse();
        rows.retain(|row| {
            let seen = seen.entry(row.key.clone()).or_default();
            *seen += 1;
            *seen <= last
        });
        rows.reverse();
    }
}

#[derive(Serialize)]
struct SnapshotRow {
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

impl SnapshotRow {
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

    /// The host's name in the list.
    fn host(&self) -> &str {
        let name = self.key.split('+').next().unwrap_or_default();
        name.strip_prefix("seawall-").unwrap_or(name)
    }

    fn is_of(&self, host: &str) -> bool {
        let digits = self.snapshot.rsplit('-').next().unwrap_or_default();
        self.host() == host || digits.eq_ignore_ascii_case(host)
    }

    fn is(&self, state: &SnapshotState) -> bool {
        match state {
            SnapshotState::Whole => {
                self.damage == 0 && self.incomplete.is_empty() && self.bad_files == 0
            }
            SnapshotState::Damaged => self.damage > 0,
            SnapshotState::Incomplete => !self.incomplete.is_empty(),
            SnapshotState::Bad => self.bad_files > 0,
            SnapshotState::Because(word) => self.incomplete.contains(word),
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
        state.extend(self.incomplete.iter().map(|word| format!("incomplete: {word}")));
        if self.bad_files > 0 {
            state.push(output::count(self.bad_files, "stored file bad", "stored files bad"));
        }
        let state = if state.is_empty() { "whole".into() } else { state.join(", ") };
        let stored = with_stored.then(|| self.stored.to_string());
        let times = [self.snapshot.clone(), self.finished.to_string()];
        let rest =
            [self.host().to_owned(), self.packs.to_string(), output::bytes(self.bytes), state];
        times.into_iter().chain(stored).chain(rest).collect()
    }
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
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
    let row = |snapshot| SnapshotRow::of(snapshot, &faults);
    let mut rows: Vec<SnapshotRow> = markers.snapshots.iter().map(row).collect();
    let all = rows.len();
    arguments.filter(&mut rows);
    if all == 0 {
        output.line("There is no snapshot yet.");
    } else if rows.is_empty() {
        let snapshots = output::count(all as u64, "snapshot", "snapshots");
        output.line(format_args!("None of {snapshots} is such a one."));
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
    Ok(if markers.bad.is_empty() { Status::Done } else { Status::ReadTheReport })
}
