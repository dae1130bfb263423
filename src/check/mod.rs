//! `check` looks whether a repository is whole. (`verify` does that for a Seafile installation.) It
//! writes nothing except the damage record that [`record()`] puts on demand.
//!
//! There are three levels. The first checks signatures, names and sizes: it reads markers, lists,
//! sums, manifests and segments, and makes one listing. The second also compares the SHA-256 of
//! every stored byte, or of a part of them. The third also decodes everything and walks every
//! pointer. docs/design.md, "What the chain proves" and "What a deep check proves", says what a
//! level proves. Damage never stops the rest of the check.

mod chain;
mod data;
mod deep;
mod listing;
mod markers;
mod naming;
mod needs;
mod problems;
mod record;
mod report;
mod subset;

pub use record::{DamageRecord, record};
pub use report::{
    Amount, Deep, Gap, Information, MAX_EXAMPLES, MAX_SNAPSHOTS, Problem, ProblemKind, ReadData,
    Report, Unknown,
};
pub use subset::{ParseSubsetError, Subset};

use crate::repository::names::{self, SnapshotId};
use crate::repository::snapshots::{Markers, Snapshot};
use crate::repository::{Error, Repository, Result};
use crate::units::count;
use deep::Spool;
use problems::{KnownSnapshots, Problems};
use seawall_backends::Key;

/// How much a check does. Each level includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckLevel {
    /// Signatures, names and sizes.
    #[default]
    Names,
    /// The SHA-256 of every stored byte as well.
    Data,
    /// All of it decoded as well, and every pointer walked.
    Deep,
}

/// The user's choices.
#[derive(Debug, Clone)]
pub struct Options {
    /// How far to look.
    pub level: CheckLevel,
    /// Check only what this snapshot needs: a name, the beginning of one, or `latest`.
    pub snapshot: Option<String>,
    /// What to read at level [`CheckLevel::Data`].
    pub subset: Subset,
    /// How many threads read. Each holds at most 64 MiB; at level [`CheckLevel::Deep`] it holds one
    /// decoded pack.
    pub workers: usize,
    /// A snapshot that must be present: the newest that this host made.
    pub expected: Option<SnapshotId>,
    /// Bad stored files that the administrator accepted. One that a newest snapshot needs still
    /// counts.
    pub accepted: Vec<Key>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: CheckLevel::default(),
            snapshot: None,
            expected: None,
            accepted: Vec::new(),
            subset: Subset::All,
            workers: std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8),
        }
    }
}

/// Checks a repository. `progress` gets one line for each step.
///
/// Memory grows with the number of stored things (a quarter of a kilobyte each), not with their
/// size. Level [`CheckLevel::Deep`] needs about a tenth of a kilobyte more for each commit, fs object
/// and block, and temporary files as large as the dumped databases and all commits and fs objects.
///
/// # Errors
///
/// [`Error::NoSnapshot`] if the chosen snapshot does not exist; an error if the destination does
/// not answer or cannot be listed. Damage is no error.
pub fn run(repository: &Repository, options: &Options, progress: &dyn Fn(&str)) -> Result<Report> {
    let options =
        &Options { workers: options.workers.max(repository.connections()), ..options.clone() };
    progress("reading markers");
    // Markers come before the listing: a run stores what a marker names before the marker itself.
    let markers = repository.markers()?;
    let snapshots = select(&markers, options.snapshot.as_deref())?;
    let mut problems = Problems::default();
    let mut information =
        Information { voids: markers.voids.len() as u64, ..Information::default() };
    let asked = options.snapshot.as_ref();
    let only = asked.and_then(|_| Some(snapshots.first()?.id()));
    markers::check(repository, &markers, &snapshots, only, &mut problems)?;
    information.gaps = chain::check(&markers, &mut problems);
    if let Some(expected) = options.expected.filter(|_| options.snapshot.is_none())
        && !snapshots.iter().any(|snapshot| snapshot.id() == expected)
    {
        let detail = "the newest snapshot that this host made is not there: it was removed or overwritten, or the destination was rolled back";
        let key = names::marker(expected);
        // It names no snapshot: a problem of a snapshot without a marker is dropped as forgotten.
        problems.add(&key, ProblemKind::Missing, detail, Vec::new());
    }
    let folder = (options.level == CheckLevel::Deep).then(temporary_folder).transpose()?;
    let spool = folder.as_ref().map(|folder| Spool::create(folder.path()));
    let spool = spool.transpose()?;
    let number = count(snapshots.len() as u64, "snapshot", "snapshots");
    progress(&format!("reading the lists of {number}"));
    let mut needs = naming::read(repository, &snapshots, spool.as_ref(), &mut problems)?;
    progress("listing the repository");
    listing::compare(repository, &markers, &mut needs, &mut information)?;
    if options.snapshot.is_some() {
        information.unnamed = None;
    }
    needs.judge(&snapshots, &mut problems);
    let unread = needs.unread();
    let mut read = Amount::default();
    let mut deep = None;
    if let Some(spool) = &spool {
        let (decoded, found) =
            deep::run(repository, options, &snapshots, spool, &mut needs, &mut problems, progress)?;
        read.join(decoded);
        deep = Some(found);
    }
    if options.level != CheckLevel::Names {
        read.join(data::read(repository, options, &needs, &mut problems, progress)?);
    }
    let bytes_read = needs.bytes_read() + read.bytes;
    let known = KnownSnapshots {
        newest: markers.living_and_retired().0.iter().map(|chain| chain.newest.id()).collect(),
        is_partial: options.snapshot.is_some(),
        is_accepted: &|key| options.accepted.contains(key),
    };
    let problems = problems.finish(repository, &known, &mut information)?;
    let amount = needs.amount();
    Ok(Report {
        level: options.level,
        snapshots: snapshots.len() as u64,
        things: amount.things,
        bytes: amount.bytes,
        bytes_read,
        data: (options.level != CheckLevel::Names).then_some(ReadData {
            subset: options.subset,
            read,
            of: unread,
        }),
        deep,
        problems,
        information,
    })
}

/// A private folder that is removed at the end. A machine that only checks has no state folder.
fn temporary_folder() -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("seawall-check-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir()
        .map_err(|error| Error::Spool { folder: std::env::temp_dir(), source: error.into() })
}

/// The snapshots to check. A name that fits only a bad marker selects none; the marker is reported.
fn select<'a>(markers: &'a Markers, name: Option<&str>) -> Result<Vec<&'a Snapshot>> {
    let Some(name) = name else {
        return Ok(markers.snapshots.iter().collect());
    };
    match markers.find(name) {
        Ok(snapshot) => Ok(vec![snapshot]),
        Err(error @ Error::NoSnapshot { .. }) => {
            let begins =
                |text: &str| text.rsplit('/').next().is_some_and(|last| last.starts_with(name));
            let is_bad = !name.is_empty() && markers.bad.iter().any(|bad| begins(bad.key.as_str()));
            if is_bad { Ok(Vec::new()) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
}
