//! A backup run: dump, walk, store, prove, mark. The order is in docs/design.md, "Order of a run",
//! and a test holds it.
//!
//! Called by the command line and by tests; prints nothing.

mod attempts;
mod audit;
mod compact;
mod cut_off;
mod describe;
mod dumps;
mod heads;
mod heartbeat;
mod objects;
mod ordinary;
mod packing;
mod prepare;
mod presence;
mod rewrap;
mod salvaged;
mod seal;
mod shared;
mod sight;
mod stream;
mod undescribed;
mod unreferenced;

pub use audit::{AuditShare, ParseAuditShareError};
pub use compact::Compacted;
pub use heads::{DatabaseRollback, HeadChange, MovedHead, VanishedLibrary};
pub use packing::{PACK_BYTES, PackingTotals};
pub use rewrap::rewrap;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::causes;
use crate::database::{self, Pointers};
use crate::host::acceptances::Acceptances;
use crate::host::catalog::Catalog;
use crate::host::{self, Writing};
use crate::object::{LibraryId, Store};
use crate::repository;
use crate::repository::manifest::{Counts, Damage, Manifest, count_objects};
use crate::repository::marker::Marker;
use crate::seafile::discover::Installation;
use crate::seafile::files;
use crate::source::presence::SourceGone;
use crate::source::{self, databases};
use crate::time::Clock;
use crate::walk::Doubts;
use attempts::BackupAttempt;
use cut_off::CutOffLibraries;
use heartbeat::Heartbeat;
use objects::ObjectBackup;
use packing::{PackingError, PackingSettings};
use prepare::PreparedRun;
use salvaged::SalvagedObjects;
use unreferenced::CopiedByListing;

/// What a run needs besides its options.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The repository that this host writes to.
    pub at: &'a Writing,
    /// An empty private folder for copies of databases.
    pub spool: &'a Path,
    /// Tells the time.
    pub clock: &'a Clock,
    /// The host's name, for the manifest.
    pub host: &'a str,
    /// Receives the progress, one line at a time.
    pub progress: &'a dyn Fn(&str),
}

/// Random objects that each run looks for.
const SAMPLES: usize = 20;

/// What the user chose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Copy unreachable objects too, as the manual's rsync does.
    pub everything: bool,
    /// Files and folders outside of the installation.
    pub also: Vec<PathBuf>,
    /// Patterns of ordinary files to leave out.
    pub excludes: Vec<String>,
    /// Damage that the administrator has accepted. `None`: what the last snapshot lists as
    /// accepted.
    pub accepted: Option<Acceptances>,
    /// Compare what is stored with the catalog, even if that was done today.
    pub list: bool,
    /// Look at everything in the source, and compact packs of which little is still needed.
    pub full: bool,
    /// The share of unchanged libraries that is looked at in the source.
    pub verify_source: Option<AuditShare>,
    /// How many random objects are looked for in the source, whatever changed.
    pub samples: usize,
    /// Threads that read and pack blocks.
    pub workers: usize,
    /// The zstd level of packs.
    pub level: i32,
    /// How long to wait before a missing object is looked for again.
    pub second_look: Duration,
    /// How long to wait before each new attempt after a race with the server. There are at most as
    /// many new attempts as entries.
    pub attempts_after: Vec<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            everything: false,
            also: Vec::new(),
            excludes: Vec::new(),
            accepted: None,
            list: false,
            full: false,
            verify_source: None,
            samples: SAMPLES,
            workers: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            level: 3,
            second_look: Duration::from_secs(2),
            attempts_after: vec![Duration::from_secs(10), Duration::from_mins(1)],
        }
    }
}

/// Why a run failed. Damage in the source is not failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// The catalog or the state folder failed.
    #[error(transparent)]
    Host(host::Error),
    /// A database could not be copied or read.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// Ordinary files could not be listed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// There is no database with libraries.
    #[error("the installation has no database seafile.db")]
    NoSeafileDatabase,
    /// Objects cannot be listed or read.
    #[error("cannot read the installation's objects")]
    Walk(#[source] io::Error),
    /// A file of the installation cannot be read.
    #[error("cannot read {}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A stream of bytes broke.
    #[error("cannot read or compress what is to be stored")]
    Stream(#[source] io::Error),
    /// The pipeline stopped and nothing says why: a defect.
    #[error("the pipeline stopped early")]
    Stopped,
}

impl From<databases::Error> for Error {
    fn from(error: databases::Error) -> Self {
        match error {
            databases::Error::Database(error) => Self::Database(error),
            databases::Error::NoSeafileDatabase => Self::NoSeafileDatabase,
        }
    }
}

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::Repository(error) => Self::Repository(error),
            error => Self::Host(error),
        }
    }
}

impl From<PackingError> for Error {
    fn from(error: PackingError) -> Self {
        match error {
            PackingError::Host(error) => error.into(),
            PackingError::Source(error) => Self::Walk(error),
        }
    }
}

impl Error {
    /// What the user can do about it, if anything.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Repository(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::Database(error) => error.hint().map(Into::into),
            Self::Walk(_) | Self::Source { .. } => {
                Some("run seawall as the user that Seafile runs as, or as root".into())
            }
            _ => None,
        }
    }
}

/// What a run did.
#[derive(Debug)]
pub struct Report {
    /// The marker that it wrote.
    pub marker: Marker,
    /// The manifest that it wrote.
    pub manifest: Manifest,
    /// What was stored in packs.
    pub totals: PackingTotals,
    /// Databases that changed and were stored.
    pub databases_stored: usize,
    /// Groups of ordinary files that changed and were stored.
    pub groups_stored: usize,
    /// What the repository holds of these libraries.
    pub holds: Counts,
    /// Objects that the walk visited.
    pub visited: u64,
    /// Objects that nobody has, and that the last snapshot did not list as lost.
    pub new_damage: u64,
    /// Objects that the source has lost since the last snapshot, and that the repository has.
    pub new_source_damage: u64,
    /// What is wrong at the destination: lost packs, bad markers, a base that is gone.
    pub alarms: Vec<String>,
    /// Libraries that were looked at in the source whether or not they had changed.
    pub audited: usize,
    /// What a full run stored again, and which packs it no longer names.
    pub compacted: Option<Compacted>,
    /// Everything in the source, or much of it, is gone: one alarm instead of many.
    pub source_gone: Option<SourceGone>,
    /// What the databases lost since the last snapshot.
    pub rolled_back: DatabaseRollback,
    /// Attempts that a race with the server made void.
    pub races: usize,
    /// The longest time that a database was locked.
    pub locked_for: Duration,
}

impl Report {
    /// All lines for people: those of the manifest, and alarms that were raised after it was
    /// stored.
    pub fn warnings(&self) -> Vec<String> {
        let stored = &self.manifest.warnings;
        let late = self.alarms.iter().filter(|alarm| !stored.contains(alarm));
        stored.iter().chain(late).cloned().collect()
    }

    /// Whether the administrator has to read the report: exit status 3.
    pub fn needs_reading(&self) -> bool {
        self.marker.damage > self.marker.accepted
            || !self.marker.incomplete.is_empty()
            || self.unaccepted_source_damage().next().is_some()
            || !self.alarms.is_empty()
            || !self.rolled_back.is_empty()
    }

    /// Whether the databases were read whole, and all that they point to was looked at. Only
    /// ordinary files may be left out, since no pointer leads to them.
    pub fn looked_at_all(&self) -> bool {
        let of_files = ["also-missing", "files-unreadable", "files-changed", "docker-env"];
        let words = &self.marker.incomplete;
        words.iter().all(|word| of_files.contains(&word.as_str()))
    }

    /// Whether every pointer in the databases was followed to a verified object in the repository.
    pub fn is_proved(&self) -> bool {
        self.looked_at_all() && self.marker.damage == 0 && !self.manifest.libraries.is_empty()
    }

    /// Objects that the source has lost and the repository has, if nobody accepted the loss.
    pub fn unaccepted_source_damage(&self) -> impl Iterator<Item = &Damage> {
        let damage = self.manifest.source_damage.iter();
        damage.filter(|damage| damage.accepted.is_none())
    }
}

/// A run in progress.
struct BackupRun<'a> {
    context: Context<'a>,
    options: &'a Options,
    installation: &'a Installation,
    catalog: Arc<Catalog>,
    prepared: PreparedRun,
    salvaged: Arc<SalvagedObjects>,
    heartbeat: Arc<Heartbeat>,
    /// Stores that a walk looked into before another walk took its place. The visits of the first
    /// walk prove nothing.
    discarded: HashSet<Store>,
    /// Libraries that are looked at whether or not they changed. `None`: not chosen yet.
    audited: Option<HashSet<LibraryId>>,
    looked: presence::SourceCondition,
    doubts: Doubts,
    totals: PackingTotals,
    races: usize,
}

/// Backs up an installation. Returns once the marker is stored.
pub fn run(
    context: Context<'_>,
    installation: &Installation,
    options: &Options,
) -> Result<Report, Error> {
    databases::look(installation)?;
    let catalog = Arc::new(Catalog::open(&context.at.state().catalog_path(), context.at.id())?);
    let prepared = prepare::prepare(&context, options, &catalog)?;
    let salvaged = Arc::new(SalvagedObjects::new(catalog.salvaged()?));
    let heartbeat = Heartbeat::new(context.at, context.clock, prepared.snapshot);
    let mut run = BackupRun {
        context,
        options,
        installation,
        catalog,
        prepared,
        salvaged,
        heartbeat: Arc::new(heartbeat),
        discarded: HashSet::new(),
        audited: None,
        looked: presence::SourceCondition::default(),
        doubts: Doubts::default(),
        totals: PackingTotals::default(),
        races: 0,
    };
    run.doubts = run.doubts();
    run.finish()
}

impl BackupRun<'_> {
    fn say(&self, text: &str) {
        (self.context.progress)(text);
    }

    fn base(&self) -> Option<&Manifest> {
        self.prepared.base_manifest.as_ref()
    }

    fn finish(mut self) -> Result<Report, Error> {
        let mut attempt = self.attempts()?;
        self.look_again(&attempt.walked);
        let source = self.folders(&attempt.dumped.pointers);
        let objects = self.objects(&source);
        let (leftovers, compacted) = self.beside_walk(&objects, &mut attempt)?;
        self.say("storing ordinary files");
        let ordinary = ordinary::store(
            self.context.at,
            &self.heartbeat,
            &self.prepared,
            &source::scan_options(self.installation, &self.options.excludes, &self.options.also),
            self.context.spool,
            self.prepared.snapshot.started().seconds(),
        )?;
        let rolled_back = self.rolled_back(&objects, &attempt, &leftovers)?;
        let described =
            describe::describe(&self, &objects, &attempt, &leftovers, &ordinary, &rolled_back)?;
        let holds = shared::holds(&objects, &described.manifest)?;
        self.totals.add(leftovers.totals);
        self.totals.add(compacted.map(|compacted| compacted.totals).unwrap_or_default());
        self.say("writing the marker");
        let sealed = seal::seal(
            &self.context,
            &self.catalog,
            &self.prepared,
            &described.manifest,
            described.summary,
        )?;
        for key in &sealed.bad_segments {
            self.prepared.alarms.push(format!(
                "{key} is lost or altered, and so is what it indexes: the next run stores that again"
            ));
        }
        if let Some(error) = sealed.forgotten {
            self.prepared.alarms.push(format!(
                "the snapshot is whole, but the next run has to make the catalog again: {}",
                causes::chain(&error)
            ));
        }
        let manifest = described.manifest;
        let is_new = |damage: &&Damage| manifest.is_new(damage);
        Ok(Report {
            marker: sealed.marker,
            new_damage: count_objects(manifest.damage.iter().filter(is_new)),
            new_source_damage: count_objects(manifest.source_damage.iter().filter(is_new)),
            totals: self.totals,
            databases_stored: attempt.dumped.stored,
            groups_stored: ordinary.stored,
            holds,
            visited: attempt.walked.iter().map(|walked| walked.outcome.visited).sum(),
            alarms: [self.prepared.alarms, ordinary.alarms].concat(),
            audited: self.audited.map_or(0, |audited| audited.len()),
            source_gone: self.looked.gone,
            rolled_back,
            compacted,
            races: self.races,
            locked_for: attempt.dumped.locked_for,
            manifest,
        })
    }

    /// Does what the walk does not: copies stores without a row, compacts packs, and decides what
    /// is closed although something was found.
    fn beside_walk(
        &self,
        objects: &ObjectBackup<'_>,
        attempt: &mut BackupAttempt,
    ) -> Result<(CopiedByListing, Option<Compacted>), Error> {
        self.say("looking for stores that no library points to");
        let again = self.is_full() || !self.prepared.alarms.is_empty();
        let cut_off = CutOffLibraries::new(objects, &attempt.walked, self.base(), again);
        let mut leftovers = unreferenced::copy(
            objects,
            self.options,
            &attempt.dumped.pointers,
            self.base(),
            cut_off,
        )?;
        if self.source_is_gone() {
            leftovers.keep(self.base(), &attempt.dumped.pointers);
        }
        let compacted = if self.is_full() {
            self.say("looking for packs that hold little that is needed");
            let BackupAttempt { dumped, walked } = &mut *attempt;
            Some(compact::compact(objects, dumped, walked, &leftovers)?)
        } else {
            None
        };
        leftovers.count(&self.catalog)?;
        for walked in &mut attempt.walked {
            objects.close(walked, &self.discarded)?;
        }
        let discarded: Vec<Store> = self.discarded.iter().copied().collect();
        self.catalog.mark(&discarded, std::iter::empty())?;
        Ok((leftovers, compacted))
    }

    fn folders(&self, pointers: &Pointers) -> Arc<crate::seafile::folders::ObjectFolders> {
        let (folders, unknown) = source::object_folders(self.installation, pointers);
        for class in unknown {
            self.say(&class);
        }
        Arc::new(folders)
    }

    fn objects<'a>(
        &'a self,
        source: &'a Arc<crate::seafile::folders::ObjectFolders>,
    ) -> ObjectBackup<'a> {
        ObjectBackup {
            repository: self.context.at,
            catalog: &self.catalog,
            source,
            heartbeat: &self.heartbeat,
            salvaged: &self.salvaged,
            doubts: &self.doubts,
            settings: PackingSettings {
                workers: self.options.workers,
                level: self.options.level,
                random_block_ids: source::has_random_block_ids(self.installation),
                walked: true,
            },
        }
    }
}
