//! What `status` found, in a form that is also its JSON, and what follows from it.

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
    /// By whose clock ages are counted: this machine's.
    pub now: Timestamp,
    /// How old the newest snapshot may be, in seconds.
    pub max_age: Option<u64>,
    /// The only host that was asked for.
    pub host: Option<String>,
    /// The newest snapshot of each chain, oldest name first.
    pub hosts: Vec<Host>,
    /// Hosts that another one went on from: nobody waits for them.
    pub retired: Vec<Retired>,
    /// Pinned keys that signed no snapshot.
    pub without: Vec<String>,
    /// Runs without a marker that are newer than the newest snapshot of their host.
    pub unfinished: Vec<Run>,
    /// What is no marker and should be one.
    pub bad: Vec<Bad>,
}

/// How the clocks of a host, of the storage and of this machine fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// As far as can be seen.
    Agree,
    /// The host's and the storage's are more than a day apart.
    Differ,
    /// The storage's is ahead of this machine's.
    Ahead,
}

/// One chain: what one host key signed.
#[derive(Debug, Clone, Serialize)]
pub struct Host {
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
    /// How many there were in the chain.
    pub sequence: u64,
    /// When the marker was stored, by the storage's clock.
    pub stored: Timestamp,
    /// When the run ended, by the host's clock: signed.
    pub finished: Timestamp,
    /// Whether these two can be, by this machine's clock.
    pub clock: Clock,
    /// Seconds since it was stored; if the clocks differ, since the earlier of both times.
    #[serde(rename = "age_seconds")]
    pub age: u64,
    /// Older than it may be.
    pub late: bool,
    /// Objects that nobody has.
    pub damage: u64,
    /// How many of these were accepted.
    pub accepted: u64,
    /// What was left out.
    pub incomplete: Vec<String>,
    /// Stored files that its newest snapshot needs and that a check recorded as bad: the next backup heals them.
    pub bad_files: u64,
    /// Since when every library was looked at in the source at least once.
    pub audited: Option<Timestamp>,
}

impl Host {
    /// Whether its report has to be read.
    pub fn needs_reading(&self) -> bool {
        self.damage > self.accepted || !self.incomplete.is_empty() || self.bad_files > 0
    }
}

/// A host whose chain ended: the server moved, or has another key.
#[derive(Debug, Clone, Serialize)]
pub struct Retired {
    /// The end of its snapshots' names.
    pub host: String,
    /// The host's name, as in its key.
    pub name: String,
    /// The verification key.
    pub key: String,
    /// Its last snapshot.
    pub snapshot: SnapshotId,
    /// The host that goes on from it: the end of its snapshots' names.
    pub by: String,
}

impl Retired {
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
pub struct Run {
    /// The name that it took.
    pub snapshot: SnapshotId,
    /// Its host.
    pub host: String,
    /// Seconds since it began.
    #[serde(rename = "began_seconds_ago")]
    pub began: u64,
    /// Seconds since it was last heard of.
    #[serde(rename = "heard_seconds_ago")]
    pub heard: u64,
    /// For longer than a run that goes on is ever silent: it died.
    pub silent: bool,
}

/// Something in `markers/` that should be a snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Bad {
    /// Where it is.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Bad {
    pub(super) fn of(bad: &BadMarker) -> Self {
        Self {
            key: bad.key.to_string(),
            problem: bad.problem.clone(),
        }
    }
}

/// Why somebody has to look, worst first.
#[derive(Debug, Clone, Copy)]
pub enum Trouble<'a> {
    /// There is no snapshot, or none by a key that there should be one of.
    None,
    /// The newest snapshot of this host is too old.
    Late(&'a Host),
    /// Damage, something left out, or a bad marker: exit status 3.
    Read,
}

impl Report {
    /// The worst that there is to say. Of several hosts the one whose newest snapshot is oldest
    /// counts.
    pub fn trouble(&self) -> Option<Trouble<'_>> {
        if self.hosts.is_empty() || !self.without.is_empty() {
            return Some(Trouble::None);
        }
        if let Some(host) = self.oldest().filter(|host| host.late) {
            return Some(Trouble::Late(host));
        }
        let read = !self.bad.is_empty() || self.hosts.iter().any(Host::needs_reading);
        read.then_some(Trouble::Read)
    }

    /// The host whose newest snapshot is oldest.
    pub fn oldest(&self) -> Option<&Host> {
        self.hosts.iter().max_by_key(|host| host.age)
    }
}
