//! The verb `status`: how old is the newest snapshot of each host, and is it whole? From any machine
//! that can read, without keys (docs/design.md, "Watching"). It reads markers, public keys and the
//! names in `data/runs/`; where a damage record lies there, also lists and sums of the newest snapshots.

mod report;

pub use report::{Bad, Clock, Host, Report, Retired, Run, Trouble};

use std::collections::BTreeSet;
use std::time::Duration;

use crate::repository::chains::Chain;
use crate::repository::faults::Faults;
use crate::repository::names::{self, SnapshotId};
use crate::repository::note::VerifyingKey;
use crate::repository::{Repository, Result, Snapshot, runs};
use crate::time::Timestamp;

/// The storage's time of a marker and the marker's own may differ by this: a day, as for retention.
const CLOCKS_DIFFER: Duration = Duration::from_hours(24);
/// Less than this is no difference.
const CLOCKS_AGREE: Duration = Duration::from_mins(5);

/// What the user asks.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How old the newest snapshot may be.
    pub max_age: Option<Duration>,
    /// Only this host: the end of its snapshots' names, four hex digits.
    pub host: Option<String>,
}

/// Looks.
pub fn run(repository: &Repository, options: &Options, now: Timestamp) -> Result<Report> {
    // Runs first: one that ends meanwhile has its marker in the listing that comes after.
    let runs = runs::seen(repository.backend().as_ref())?;
    let markers = repository.markers()?;
    let asked = |snapshot: &SnapshotId| {
        let host = options.host.as_ref();
        host.is_none_or(|host| snapshot.host() == *host)
    };
    let chains = markers.chains();
    let (living, retired) = match &options.host {
        None => markers.living_and_retired(),
        // Whoever asks for a host by name gets it.
        Some(_) => (markers.chains(), Vec::new()),
    };
    let unfinished = runs::unfinished(runs, &markers).into_iter();
    let hosts = living.iter().filter(|chain| asked(&chain.newest.id()));
    let newest: Vec<Snapshot> = living.iter().map(|chain| chain.newest.clone()).collect();
    let faults = Faults::read(repository, &newest)?;
    let hosts = hosts
        .map(|chain| host(chain, &faults, options, now))
        .collect();
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
        retired: retired.iter().map(Retired::of).collect(),
        without: without(repository, &chains, options),
        unfinished: unfinished
            .filter(|run| asked(&run.snapshot))
            .map(|run| run_of(&run, now))
            .collect(),
        bad: bad.map(Bad::of).collect(),
    })
}

/// Keys that the administrator vouched for and that signed nothing here: whoever removed a host's
/// markers cannot hide behind markers of another key.
fn without(repository: &Repository, chains: &[Chain<'_>], options: &Options) -> Vec<String> {
    let is_asked = |key: &&VerifyingKey| {
        let id = key.id().to_string();
        let host = options.host.as_ref();
        host.is_none_or(|host| id.starts_with(host))
    };
    let signed = |key: &&VerifyingKey| chains.iter().any(|chain| chain.key() == *key);
    let pinned = repository.pinned().iter().filter(is_asked);
    let silent: BTreeSet<String> = pinned
        .filter(|key| !signed(key))
        .map(ToString::to_string)
        .collect();
    silent.into_iter().collect()
}

fn host(chain: &Chain<'_>, faults: &Faults, options: &Options, now: Timestamp) -> Host {
    let newest = chain.newest;
    let marker = &newest.marker;
    let name = chain.key().name();
    let by_storage = now.since(newest.stored);
    let differ = apart(newest.stored, marker.finished) > CLOCKS_DIFFER;
    // A copy of a repository, or somebody's touch, makes markers look young, not old.
    let age = if differ {
        by_storage.max(now.since(marker.finished))
    } else {
        by_storage
    };
    Host {
        host: newest.id().host(),
        name: name.strip_prefix("seawall-").unwrap_or(name).to_owned(),
        key: chain.key().to_string(),
        pinned: chain.is_pinned(),
        snapshot: newest.id(),
        sequence: marker.sequence,
        stored: newest.stored,
        finished: marker.finished,
        clock: if differ {
            Clock::Differ
        } else if newest.stored.since(now) > CLOCKS_AGREE {
            Clock::Ahead
        } else {
            Clock::Agree
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

fn run_of(run: &runs::Seen, now: Timestamp) -> Run {
    Run {
        snapshot: run.snapshot,
        host: run.snapshot.host(),
        began: now.since(run.first).as_secs(),
        heard: now.since(run.last).as_secs(),
        // One beat may be late: a run beats between packs, and databases come before.
        silent: now.since(run.last) > 2 * runs::HEARTBEAT_EVERY,
    }
}
