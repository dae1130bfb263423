//! What `status` found, and which trouble follows from it. Its JSON has the same form.

use serde::Serialize;

use crate::repository::chains::RetiredChain;
use crate::repository::names::SnapshotId;
use crate::repository::snapshots::BadMarker;
use crate::time::Timestamp;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The repository's URL or path.
    pub repository: String,
    /// Its id.
    pub id: String,
    /// The time on this machine, from which ages are counted.
    pub now: Timestamp,
    /// How old the newest snapshot may be, in seconds.
    pub max_age: Option<u64>,
    /// The only host that was asked for.
    pub host: Option<String>,
    /// The newest snapshot of each chain, oldest name first.
    pub hosts: Vec<HostStatus>,
    /// Hosts whose chain another host continues. No new snapshot is expected of them.
    pub retired: Vec<RetiredHost>,
    /// Pinned keys that signed no snapshot.
    pub without: Vec<String>,
    /// Runs without a marker that are newer than the newest snapshot of their host.
    pub unfinished: Vec<UnfinishedRun>,
    /// Files in `markers/` that are no markers.
    pub bad: Vec<Bad>,
}

/// Whether the clocks of a host, of the storage and of this machine agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockCheck {
    /// They agree, as far as can be seen.
    Agree,
    /// The host's clock and the storage's are more than a day apart.
    Differ,
    /// The storage's clock is ahead of this machine's.
    Ahead,
}

/// One chain: the snapshots that one host key signed.
#[derive(Debug, Clone, Serialize)]
pub struct HostStatus {
    /// The end of its snapshots' names.
    pub host: String,
    /// The host's name, as in its key.
    pub name: String,
    /// The verification key.
    pub key: String,
    /// Whether this machine's administrator vouched for the key.
    pub pinned: bool,
    /// Its newest snapshot.
    pub snapshot: SnapshotId,
    /// Its number in the chain, from 1.
    pub sequence: u64,
    /// When the marker was stored, by the storage's clock.
    pub stored: Timestamp,
    /// When the run ended, by the host's clock. The signature covers it.
    pub finished: Timestamp,
    /// Whether these two times fit each other and this machine's clock.
    pub clock: ClockCheck,
    /// Seconds since it was stored. If the clocks differ, seconds since the earlier of both times.
    #[serde(rename = "age_seconds")]
    pub age: u64,
    /// It is older than `max_age`.
    pub late: bool,
    /// Objects that nobody has.
    pub damage: u64,
    /// How many of them are accepted.
    pub accepted: u64,
    /// What the snapshot lacks: words such as `source-gone`.
    pub incomplete: Vec<String>,
    /// How many stored files its newest snapshot needs that a check recorded as bad. The next
    /// backup heals them.
    pub bad_files: u64,
    /// Every library was looked at in the source since this time; `None`: not known.
    pub audited: Option<Timestamp>,
}

impl HostStatus {
    /// Whether somebody should read its report.
    pub fn needs_reading(&self) -> bool {
        self.damage > self.accepted || !self.incomplete.is_empty() || self.bad_files > 0
    }
}

/// A host whose chain ended: the server moved, or got another key.
#[derive(Debug, Clone, Serialize)]
pub struct RetiredHost {
    /// The end of its snapshots' names.
    pub host: String,
    /// The host's name, as in its key.
    pub name: String,
    /// The verification key.
    pub key: String,
    /// Its last snapshot.
    pub snapshot: SnapshotId,
    /// The host that continues it: the end of its snapshots' names.
    pub by: String,
}

impl RetiredHost {
    pub(super) fn of(retired: &RetiredChain<'_>) -> Self {
        let key = retired.chain.key();
        let name = key.name();
        Self {
            host: retired.chain.newest.id().host(),
            name: name.strip_prefix("seawall-").unwrap_or(name).to_owned(),
            key: key.to_string(),
            snapshot: retired.chain.newest.id(),
            by: retired.by.id().host(),
        }
    }
}

/// A run without a marker.
#[derive(Debug, Clone, Serialize)]
pub struct UnfinishedRun {
    /// The name of the snapshot that it would have made.
    pub snapshot: SnapshotId,
    /// Its host.
    pub host: String,
    /// Seconds since it began.
    #[serde(rename = "began_seconds_ago")]
    pub began: u64,
    /// Seconds since its last heartbeat, or since it began.
    #[serde(rename = "heard_seconds_ago")]
    pub heard: u64,
    /// It was silent for longer than a running one ever is, so it died.
    pub silent: bool,
}

/// A file in `markers/` that is no marker.
#[derive(Debug, Clone, Serialize)]
pub struct Bad {
    /// Where it is.
    pub key: String,
    /// Why it is no marker.
    pub problem: String,
}

impl Bad {
    pub(super) fn of(bad: &BadMarker) -> Self {
        Self { key: bad.key.to_string(), problem: bad.problem.clone() }
    }
}

/// Why somebody has to look at the backups, worst first.
#[derive(Debug, Clone, Copy)]
pub enum StatusTrouble<'a> {
    /// There is no snapshot at all, or none by some pinned key.
    None,
    /// The newest snapshot of this host is too old.
    Late(&'a HostStatus),
    /// There is damage, an incomplete snapshot, or a bad marker. Exit status 3.
    Read,
}

impl Report {
    /// The worst trouble, if any. If several hosts are late, it names the one with the oldest
    /// newest snapshot.
    pub fn trouble(&self) -> Option<StatusTrouble<'_>> {
        if self.hosts.is_empty() || !self.without.is_empty() {
            return Some(StatusTrouble::None);
        }
        if let Some(host) = self.oldest().filter(|host| host.late) {
            return Some(StatusTrouble::Late(host));
        }
        let read = !self.bad.is_empty() || self.hosts.iter().any(HostStatus::needs_reading);
        read.then_some(StatusTrouble::Read)
    }

    /// The host whose newest snapshot is the oldest.
    pub fn oldest(&self) -> Option<&HostStatus> {
        self.hosts.iter().max_by_key(|host| host.age)
    }
}
