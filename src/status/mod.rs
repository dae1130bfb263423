//! The verb `status`: how old is the newest snapshot of each host, and is it whole?
//!
//! It needs only read access and no keys (docs/design.md, "Watching"). It reads markers, public
//! keys and the names in `data/runs/`. If a damage record lies there, it also reads lists and sums
//! of the newest snapshots.

mod report;

pub use report::{Bad, ClockCheck, HostStatus, Report, RetiredHost, StatusTrouble, UnfinishedRun};

use std::collections::BTreeSet;
use std::time::Duration;

use crate::repository::chains::Chain;
use crate::repository::faults::Faults;
use crate::repository::names::{self, SnapshotId};
use crate::repository::note::VerifyingKey;
use crate::repository::{Repository, Result, Snapshot, runs};
use crate::time::Timestamp;

/// The storage's time of a marker and the marker's own time may differ by a day, as for retention.
const CLOCKS_DIFFER: Duration = Duration::from_hours(24);
/// A smaller difference does not count.
const CLOCKS_AGREE: Duration = Duration::from_mins(5);

/// The user's choices.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How old the newest snapshot may be; `None`: any age.
    pub max_age: Option<Duration>,
    /// Only this host: the end of its snapshots' names, four hex digits.
    pub host: Option<String>,
}

/// Reads the repository and reports on each host.
pub fn run(repository: &Repository, options: &Options, now: Timestamp) -> Result<Report> {
    // List runs before markers: a run that ends in between then has its marker in the later
    // listing.
    let runs = runs::seen(repository.backend().as_ref())?;
    let markers = repository.markers()?;
    let asked = |snapshot: &SnapshotId| {
        let host = options.host.as_ref();
        host.is_none_or(|host| snapshot.host() == *host)
    };
    let chains = markers.chains();
    let (living, retired) = match &options.host {
        None => markers.living_and_retired(),
        // A host that is asked for by name is shown even if it is retired.
        Some(_) => (markers.chains(), Vec::new()),
    };
    let unfinished = runs::unfinished(runs, &markers).into_iter();
    let hosts = living.iter().filter(|chain| asked(&chain.newest.id()));
    let newest: Vec<Snapshot> = living.iter().map(|chain| chain.newest.clone()).collect();
    let faults = Faults::read(repository, &newest)?;
    let hosts = hosts.map(|chain| host(chain, &faults, options, now)).collect();
    let bad = markers.bad.iter().filter(|bad| {
        let snapshot = names::parse_marker(&bad.key);
        snapshot.is_none_or(|snapshot| asked(&snapshot))
    });
    Ok(Report {
        repository: repository.place().to_owned(),
        id: repository.id().to_string(),
        now,
        max_age: options.max_age.map(|age| age.as_secs()),
        host: options.host.clone(),
        hosts,
        retired: retired.iter().map(RetiredHost::of).collect(),
        without: without(repository, &chains, options),
        unfinished: unfinished
            .filter(|run| asked(&run.snapshot))
            .map(|run| run_of(&run, now))
            .collect(),
        bad: bad.map(Bad::of).collect(),
    })
}

/// Pinned keys that signed no snapshot here. Without this list somebody could remove a host's
/// markers and hide that behind markers of another key.
fn without(repository: &Repository, chains: &[Chain<'_>], options: &Options) -> Vec<String> {
    let is_asked = |key: &&VerifyingKey| {
        let id = key.id().to_string();
        let host = options.host.as_ref();
        host.is_none_or(|host| id.starts_with(host))
    };
    let signed = |key: &&VerifyingKey| chains.iter().any(|chain| chain.key() == *key);
    let pinned = repository.pinned().iter().filter(is_asked);
    let silent: BTreeSet<String> =
        pinned.filter(|key| !signed(key)).map(ToString::to_string).collect();
    silent.into_iter().collect()
}

fn host(chain: &Chain<'_>, faults: &Faults, options: &Options, now: Timestamp) -> HostStatus {
    let newest = chain.newest;
    let marker = &newest.marker;
    let name = chain.key().name();
    let by_storage = now.since(newest.stored);
    let differ = apart(newest.stored, marker.finished) > CLOCKS_DIFFER;
    // Copying a repository or touching a marker makes it look younger, never older: the older time
    // counts.
    let age = if differ { by_storage.max(now.since(marker.finished)) } else { by_storage };
    HostStatus {
        host: newest.id().host(),
        name: name.strip_prefix("seawall-").unwrap_or(name).to_owned(),
        key: chain.key().to_string(),
        pinned: chain.is_pinned(),
        snapshot: newest.id(),
        sequence: marker.sequence,
        stored: newest.stored,
        finished: marker.finished,
        clock: if differ {
            ClockCheck::Differ
        } else if newest.stored.since(now) > CLOCKS_AGREE {
            ClockCheck::Ahead
        } else {
            ClockCheck::Agree
        },
        age: age.as_secs(),
        late: options.max_age.is_some_and(|most| age > most),
        damage: marker.damage,
        accepted: marker.accepted,
        incomplete: marker.incomplete.clone(),
        bad_files: faults.of(newest.id()),
        audited: marker.audited,
    }
}

fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}

fn run_of(run: &runs::ListedRun, now: Timestamp) -> UnfinishedRun {
    UnfinishedRun {
        snapshot: run.snapshot,
        host: run.snapshot.host(),
        began: now.since(run.first).as_secs(),
        heard: now.since(run.last).as_secs(),
        // Runs send heartbeats, but only between packs and after the databases: so one may be late.
        silent: now.since(run.last) > 2 * runs::HEARTBEAT_EVERY,
    }
}
