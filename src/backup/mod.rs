//! A backup run: dump, walk, store, prove, mark. The order is in docs/design.md, "Order of a run",
//! and a test holds it.
//!
//! Called by the command line and by tests; prints nothing.

mod describe;
mod dumps;
mod heartbeat;
mod objects;
mod ordinary;
mod packing;
mod prepare;
mod seal;
mod sight;
mod stream;
mod unreferenced;

pub use packing::{PACK_BYTES, Totals};

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::database::{self, Pointers};
use crate::object::LibraryId;
use crate::repository::catalog::Catalog;
use crate::repository::host_key::HostKey;
use crate::repository::manifest::Manifest;
use crate::repository::marker::Marker;
use crate::repository::names::SnapshotId;
use crate::repository::{self, Repository, runs};
use crate::seafile::discover::Installation;
use crate::seafile::files;
use crate::source::{self, NotSqlite};
use crate::time::Clock;
use crate::walk;
use dumps::Dumped;
use heartbeat::Heartbeat;
use objects::{Objects, Walked, known_damage};
use packing::{PackingError, Settings};
use prepare::Prepared;
use sight::Salvaged;

/// What a run needs besides its options.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where to store.
    pub repository: &'a Repository,
    /// Signs the marker.
    pub host_key: &'a HostKey,
    /// The catalog's file.
    pub catalog: &'a Path,
    /// An empty private folder for copies of databases.
    pub spool: &'a Path,
    /// Tells the time.
    pub clock: &'a Clock,
    /// The host's name, for the manifest.
    pub host: &'a str,
    /// Is told what goes on, one line each.
    pub progress: &'a dyn Fn(&str),
}

/// What the user chose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Copy unreachable objects too, as the manual's rsync does.
    pub everything: bool,
    /// Files and folders outside of the installation.
    pub also: Vec<PathBuf>,
    /// Patterns of ordinary files to leave out.
    pub excludes: Vec<String>,
    /// Compare what is stored with the catalog, even if that was done today.
    pub list: bool,
    /// Threads that read and pack blocks.
    pub workers: usize,
    /// The zstd level of packs.
    pub level: i32,
    /// How long to wait before something that is missing is looked for again.
    pub second_look: Duration,
    /// How long to wait before each new attempt after a race with the server; as many attempts more.
    pub attempts_after: Vec<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            everything: false,
            also: Vec::new(),
            excludes: Vec::new(),
            list: false,
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
    /// The repository or its catalog failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// A database could not be copied or read.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// Ordinary files could not be listed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// The databases are on a server.
    #[error(transparent)]
    NotSqlite(#[from] NotSqlite),
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

impl From<PackingError> for Error {
    fn from(error: PackingError) -> Self {
        match error {
            PackingError::Repository(error) => Self::Repository(error),
            PackingError::Source(error) => Self::Walk(error),
        }
    }
}

impl Error {
    /// What to do about it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Repository(error) => error.hint(),
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
    pub totals: Totals,
    /// Databases that changed and were stored.
    pub databases_stored: usize,
    /// Groups of ordinary files that changed and were stored.
    pub groups_stored: usize,
    /// Objects that the walk passed.
    pub visited: u64,
    /// Damage that the last snapshot did not have.
    pub new_damage: u64,
    /// What is wrong at the destination: lost packs, bad markers, a base that is gone.
    pub alarms: Vec<String>,
    /// Attempts that a race with the server made void.
    pub races: usize,
    /// The longest time that a database was locked.
    pub locked_for: Duration,
}

impl Report {
    /// Whether the administrator has to read the report: exit status 3.
    pub fn needs_reading(&self) -> bool {
        self.marker.damage > self.marker.accepted
            || !self.marker.incomplete.is_empty()
            || !self.manifest.source_damage.is_empty()
            || !self.alarms.is_empty()
    }
}

/// A run that goes on.
struct Run<'a> {
    context: Context<'a>,
    options: &'a Options,
    installation: &'a Installation,
    catalog: Arc<Catalog>,
    prepared: Prepared,
    salvaged: Arc<Salvaged>,
    totals: Totals,
    races: usize,
}

/// What one attempt led to.
struct Attempt {
    dumped: Dumped,
    walked: Vec<Walked>,
}

/// Backs up an installation. Returns once the marker is stored.
pub fn run(
    context: Context<'_>,
    installation: &Installation,
    options: &Options,
) -> Result<Report, Error> {
    source::databases(installation)?;
    let catalog = Arc::new(Catalog::open(context.catalog, context.repository.id())?);
    let prepared = prepare::prepare(&context, options, &catalog)?;
    let salvaged = Arc::new(Salvaged::default());
    for damage in prepared
        .base_manifest
        .iter()
        .flat_map(|manifest| &manifest.damage)
    {
        if let Some(sha256) = damage.kept {
            salvaged.is_new(damage.object(), sha256);
        }
    }
    let run = Run {
        context,
        options,
        installation,
        catalog,
        prepared,
        salvaged,
        totals: Totals::default(),
        races: 0,
    };
    run.finish()
}

impl Run<'_> {
    fn say(&self, text: &str) {
        (self.context.progress)(text);
    }

    fn base(&self) -> Option<&Manifest> {
        self.prepared.base_manifest.as_ref()
    }

    fn finish(mut self) -> Result<Report, Error> {
        let mut attempt = self.attempts()?;
        let heartbeat = Arc::new(self.heartbeat());
        let source = self.folders(&attempt.dumped.pointers);
        let objects = self.objects(&source, &heartbeat);
        self.say("looking for stores that no library points to");
        let leftovers = unreferenced::copy(
            &objects,
            self.options,
            &attempt.dumped.pointers,
            self.base(),
        )?;
        for walked in &mut attempt.walked {
            objects.close(walked)?;
        }
        self.say("storing ordinary files");
        let ordinary = ordinary::store(
            self.context.repository,
            &self.prepared,
            &source::scan_options(
                self.installation,
                &self.options.excludes,
                &self.options.also,
            ),
            self.prepared.snapshot.started().seconds(),
        )?;
        let described = describe::describe(&self, &objects, &attempt, &leftovers, &ordinary)?;
        self.totals.add(leftovers.totals);
        self.say("writing the marker");
        let marker = seal::seal(
            &self.context,
            &self.catalog,
            &self.prepared,
            &described.manifest,
            described.summary,
        )?;
        Ok(Report {
            marker,
            manifest: described.manifest,
            totals: self.totals,
            databases_stored: attempt.dumped.stored,
            groups_stored: ordinary.stored,
            visited: attempt
                .walked
                .iter()
                .map(|walked| walked.outcome.visited)
                .sum(),
            new_damage: described.new_damage,
            alarms: self.prepared.alarms,
            races: self.races,
            locked_for: attempt.dumped.locked_for,
        })
    }

    fn folders(&self, pointers: &Pointers) -> Arc<crate::seafile::folders::ObjectFolders> {
        let (folders, unknown) = source::object_folders(self.installation, pointers);
        for class in unknown {
            self.say(&class);
        }
        Arc::new(folders)
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat::new(
            self.context.repository,
            self.context.clock,
            self.prepared.snapshot,
        )
    }

    fn objects<'a>(
        &'a self,
        source: &'a Arc<crate::seafile::folders::ObjectFolders>,
        heartbeat: &'a Arc<Heartbeat>,
    ) -> Objects<'a> {
        Objects {
            repository: self.context.repository,
            catalog: &self.catalog,
            source,
            heartbeat,
            salvaged: &self.salvaged,
            settings: Settings {
                workers: self.options.workers,
                level: self.options.level,
                random_block_ids: source::has_random_block_ids(self.installation),
            },
        }
    }

    /// Dumps and walks until no library changed under the walk, or patience ends.
    fn attempts(&mut self) -> Result<Attempt, Error> {
        let mut attempt = self.attempt(None, &HashSet::new())?;
        for pause in self.options.attempts_after.clone() {
            let raced = self.raced(&attempt)?;
            if raced.is_empty() {
                break;
            }
            self.races += 1;
            self.say(&format!(
                "{} libraries changed under the walk: once more",
                raced.len()
            ));
            std::thread::sleep(pause);
            self.prepared.snapshot = runs::put_intent(
                self.context.repository.backend().as_ref(),
                self.context.repository.id(),
                self.context.host_key.id(),
                SnapshotId::new(self.context.clock.now(), self.context.host_key.id())
                    .max(self.prepared.snapshot.next()),
            )?;
            attempt = self.attempt(Some(attempt), &raced)?;
        }
        Ok(attempt)
    }

    /// One dump and the walk of what it points to. Of an attempt before only libraries that changed
    /// are walked again.
    fn attempt(
        &mut self,
        before: Option<Attempt>,
        raced: &HashSet<LibraryId>,
    ) -> Result<Attempt, Error> {
        self.say("copying the databases");
        let mut dumped = dumps::dump(
            self.context.repository,
            &self.prepared,
            source::databases(self.installation)?,
            self.context.spool,
        )?;
        self.remember_valid_since(&mut dumped.pointers);
        let heartbeat = Arc::new(self.heartbeat());
        let source = self.folders(&dumped.pointers);
        let libraries: Vec<_> = dumped
            .pointers
            .libraries
            .iter()
            .filter(|library| !library.heads.is_empty())
            .cloned()
            .collect();
        let one = source
            .places(crate::object::Store::Library(LibraryId::new([0; 16])))
            .count()
            > 1;
        let (mut walked, groups) = keep_unchanged(before, walk::groups(&libraries, one), raced);
        self.say(&format!("walking {} libraries", libraries.len()));
        let (first, totals) = self.objects(&source, &heartbeat).walk(&groups)?;
        self.totals.add(totals);
        walked.extend(self.second_look(first, &source, &heartbeat)?);
        Ok(Attempt { dumped, walked })
    }

    /// What is missing may only be late: a checker writes rows before files, network folders lag.
    fn second_look(
        &mut self,
        first: Vec<Walked>,
        source: &Arc<crate::seafile::folders::ObjectFolders>,
        heartbeat: &Arc<Heartbeat>,
    ) -> Result<Vec<Walked>, Error> {
        let known = known_damage(self.base());
        let (again, mut settled): (Vec<Walked>, Vec<Walked>) = first
            .into_iter()
            .partition(|walked| walked.new_damage(&known).next().is_some());
        if again.is_empty() {
            return Ok(settled);
        }
        self.say(&format!(
            "objects are missing in {} groups of libraries: looking again",
            again.len()
        ));
        std::thread::sleep(self.options.second_look);
        let groups: Vec<_> = again.iter().map(Walked::group).collect();
        let (walked, totals) = self.objects(source, heartbeat).walk(&groups)?;
        self.totals.add(totals);
        settled.extend(walked);
        Ok(settled)
    }

    /// Damaged libraries whose pointers are not any more what was dumped.
    fn raced(&self, attempt: &Attempt) -> Result<HashSet<LibraryId>, Error> {
        let known = known_damage(self.base());
        let damaged: Vec<&Walked> = attempt
            .walked
            .iter()
            .filter(|walked| walked.new_damage(&known).next().is_some())
            .collect();
        if damaged.is_empty() {
            return Ok(HashSet::new());
        }
        let sources = source::sqlite_sources(source::databases(self.installation)?);
        let seafile = sources
            .iter()
            .find(|source| source.role == "seafile")
            .ok_or(Error::NoSeafileDatabase)?;
        let mut now = database::read_pointers_live(seafile, self.context.spool)?;
        self.remember_valid_since(&mut now);
        let changed = |library: &&crate::database::LibraryPointers| {
            now.library(library.id)
                .is_none_or(|now| !now.same_roots(library))
        };
        let libraries = damaged.iter().flat_map(|walked| &walked.libraries);
        Ok(libraries
            .filter(changed)
            .map(|library| library.id)
            .collect())
    }

    /// History before valid-since may be gone; rows of it vanish with a trip through the trash. So
    /// the highest ever recorded counts.
    fn remember_valid_since(&self, pointers: &mut Pointers) {
        let known: HashMap<LibraryId, i64> = self
            .base()
            .into_iter()
            .flat_map(|base| &base.libraries)
            .filter_map(|library| Some((library.id, library.valid_since?)))
            .collect();
        for library in &mut pointers.libraries {
            library.valid_since = library.valid_since.max(known.get(&library.id).copied());
        }
    }
}

/// What an earlier attempt walked and nothing changed since, and the groups that are left to walk.
fn keep_unchanged<'a>(
    before: Option<Attempt>,
    groups: Vec<walk::Group<'a>>,
    raced: &HashSet<LibraryId>,
) -> (Vec<Walked>, Vec<walk::Group<'a>>) {
    let mut before = before.map(|attempt| attempt.walked).unwrap_or_default();
    let mut kept = Vec::new();
    let mut left = Vec::new();
    for group in groups {
        let is_raced = group
            .libraries
            .iter()
            .any(|library| raced.contains(&library.id));
        let same = before.iter().position(|walked| walked.has_roots_of(&group));
        match same.filter(|_| !is_raced) {
            Some(position) => kept.push(before.swap_remove(position)),
            None => left.push(group),
        }
    }
    (kept, left)
}
