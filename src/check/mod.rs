//! `check` looks whether a repository is whole (`verify` does that for a Seafile installation):
//! without keys, and without ever writing.
//!
//! Two levels: signatures, names and sizes, for which markers, lists, sums, manifests and segments
//! are read and one listing is made; and the SHA-256 of every stored byte. What a level proves is
//! in docs/design.md, "What the chain proves". Nothing that is damaged stops the rest.
//!
//! Not here: what the stored objects mean, and whether the databases' pointers resolve.

mod chain;
mod data;
mod listing;
mod markers;
mod naming;
mod needs;
mod problems;
mod report;

pub use report::{
    Amount, Gap, Information, MAX_EXAMPLES, MAX_SNAPSHOTS, Problem, ProblemKind, Report, Unknown,
};

use crate::repository::snapshots::{Markers, Snapshot};
use crate::repository::{Error, Repository, Result};
use problems::Problems;

/// How far a check looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Signatures, names and sizes.
    #[default]
    Names,
    /// The SHA-256 of every stored byte as well.
    Data,
}

/// What the user chose.
#[derive(Debug, Clone)]
pub struct Options {
    /// How far to look.
    pub level: Level,
    /// Only what this snapshot needs: a name, the beginning of one, or `latest`.
    pub snapshot: Option<String>,
    /// Threads that read at level [`Level::Data`]; each holds at most 64 MiB.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: Level::default(),
            snapshot: None,
            workers: std::thread::available_parallelism()
                .map_or(2, std::num::NonZero::get)
                .min(8),
        }
    }
}

/// Checks a repository. `progress` is told what goes on, one line each.
///
/// Memory grows with the number of stored things (a quarter of a kilobyte each), not with their size.
///
/// # Errors
///
/// [`Error::NoSnapshot`] if the one asked for is not there, and a destination that cannot be listed
/// or does not answer. Damage is no error.
pub fn run(repository: &Repository, options: &Options, progress: &dyn Fn(&str)) -> Result<Report> {
    progress("reading markers");
    // Before the listing: what a marker names was stored before it.
    let markers = repository.markers()?;
    let snapshots = select(&markers, options.snapshot.as_deref())?;
    let mut problems = Problems::default();
    let mut information = Information {
        voids: markers.voids.len() as u64,
        ..Information::default()
    };
    let asked = options.snapshot.as_ref();
    let only = asked.and_then(|_| Some(snapshots.first()?.id()));
    markers::check(repository, &markers, &snapshots, only, &mut problems)?;
    information.gaps = chain::check(&markers, &mut problems);
    progress(&format!("reading what {} snapshots name", snapshots.len()));
    let mut needs = naming::read(repository, &snapshots, &mut problems)?;
    progress("listing the repository");
    listing::compare(repository, &markers, &mut needs, &mut information)?;
    if options.snapshot.is_some() {
        information.unnamed = None;
    }
    needs.judge(&snapshots, &mut problems);
    let mut bytes_read = needs.bytes_read();
    if options.level == Level::Data {
        bytes_read += data::read(repository, options, &needs, &mut problems, progress)?;
    }
    let problems = problems.finish(repository, &mut information)?;
    let amount = needs.amount();
    Ok(Report {
        level: options.level,
        snapshots: snapshots.len() as u64,
        things: amount.things,
        bytes: amount.bytes,
        bytes_read,
        problems,
        information,
    })
}

/// The snapshots to check. A name that fits only a bad marker selects none: the marker is reported.
fn select<'a>(markers: &'a Markers, name: Option<&str>) -> Result<Vec<&'a Snapshot>> {
    let Some(name) = name else {
        return Ok(markers.snapshots.iter().collect());
    };
    match markers.find(name) {
        Ok(snapshot) => Ok(vec![snapshot]),
        Err(error @ Error::NoSnapshot { .. }) => {
            let begins = |text: &str| {
                text.rsplit('/')
                    .next()
                    .is_some_and(|last| last.starts_with(name))
            };
            let is_bad = !name.is_empty() && markers.bad.iter().any(|bad| begins(bad.key.as_str()));
            if is_bad { Ok(Vec::new()) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
}
