//! `verify` looks whether a Seafile installation is whole, live or restored. (`check` does that for
//! a repository.) It covers what `seaf-fsck` does, and also history, the trash and shared folders.
//!
//! It reads every object to which the databases' pointers lead, and verifies it against its id. The
//! walk ([`crate::walk`]) decides what is damage and what is collected history. `verify` writes
//! nothing in the installation, and copies its databases to a private folder.
//!
//! It does not compare with a repository, and does not put back what is lost (that is for `heal`,
//! which is not built yet).

mod ahead;
mod databases;
mod describe;
mod hints;
mod inventory;
mod report;
mod rows;
mod settle;
mod sight;

pub use report::{
    Changed, DamagedLibrary, DamagedVersion, DatabaseState, HistoryIncomplete, LeftoverSort,
    Leftovers, LibraryAhead, LibraryDamage, LooseStore, MAX_DAMAGE, MAX_WARNINGS, ObjectName,
    Report, Unreached,
};

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::database::{self, LibraryPointers, Pointers};
use crate::object::{LibraryId, Object};
use crate::repository::manifest::{self, Manifest};
use crate::seafile::discover::{DiscoverWarning, Installation};
use crate::seafile::folders::ObjectFolders;
use crate::snapshot;
use crate::source::{self, databases as sources};
use crate::units::count;
use databases::ReadDatabases;
use inventory::Inventory;
use settle::{SettlingWalker, Walked};
use sight::BlockReading;

/// The user's choices.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many threads read blocks. Each holds one block.
    pub workers: usize,
    /// How long to wait before looking again for something missing: network folders lag.
    pub second_look: Duration,
    /// The most paths to name for one object and library.
    pub most_paths: usize,
    /// Also list the folders of objects, to find what no pointer leads to.
    pub leftovers: bool,
    /// The pointers come from a snapshot, and the installation may have newer databases. Then
    /// commits newer than the snapshot's heads are no damage.
    pub databases_elsewhere: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            second_look: Duration::from_secs(2),
            most_paths: 10_000,
            leftovers: true,
            databases_elsewhere: false,
        }
    }
}

/// Why a verification could not be done. Damage is not such a failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Seafile's own database could not be copied or read, so nothing says which objects should
    /// exist.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// There is no database with libraries.
    #[error("the installation has no database seafile.db")]
    NoSeafileDatabase,
    /// The objects cannot be read at all.
    #[error("cannot read the installation's objects")]
    Source(#[source] io::Error),
}

impl From<sources::Error> for Error {
    fn from(error: sources::Error) -> Self {
        match error {
            sources::Error::Database(error) => Self::Database(error),
            sources::Error::NoSeafileDatabase => Self::NoSeafileDatabase,
        }
    }
}

impl Error {
    /// What the administrator can do about it, if there is something.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Database(database::Error::NoSpace { .. }) => {
                Some("free space there, or set TMPDIR to a folder on a larger disk".into())
            }
            Self::Database(error) => error.hint(),
            Self::Source(_) => {
                Some("run seawall as the user that Seafile runs as, or as root".into())
            }
            Self::NoSeafileDatabase => None,
        }
    }
}

/// Verifies an installation. `spool` is an empty private folder for copies of its databases;
/// `progress` gets one line for each step.
///
/// Memory grows with the number of objects of the largest group of libraries that share a store.
pub fn run(
    installation: &Installation,
    spool: &Path,
    options: &Options,
    progress: &dyn Fn(&str),
) -> Result<Report, Error> {
    progress("copying the databases");
    let databases = databases::read(installation, spool)?;
    let random_block_ids = source::has_random_block_ids(installation);
    let known = HashSet::new();
    run_with(installation, &databases, known, random_block_ids, spool, options, progress)
}

/// Verifies an installation without its databases, by a snapshot's pointers. Objects that the
/// snapshot lists as lost are reported apart from damage.
pub fn run_by_snapshot(
    installation: &Installation,
    manifest: &Manifest,
    options: &Options,
    progress: &dyn Fn(&str),
) -> Result<Report, Error> {
    let databases =
        ReadDatabases { pointers: snapshot::pointers(manifest), states: Vec::new(), seafile: None };
    let random = source::has_random_block_ids(installation) || manifest.source.random_block_ids;
    let known = manifest.damage.iter().map(manifest::Damage::object).collect();
    let no_spool = Path::new("");
    run_with(installation, &databases, known, random, no_spool, options, progress)
}

fn run_with(
    installation: &Installation,
    databases: &ReadDatabases,
    known: HashSet<Object>,
    random_block_ids: bool,
    spool: &Path,
    options: &Options,
    progress: &dyn Fn(&str),
) -> Result<Report, Error> {
    let (folders, unknown_classes) = source::object_folders(installation, &databases.pointers);
    let run = VerifyRun { options, spool, progress, folders: &folders, databases, known };
    let mut walker = SettlingWalker {
        source: &folders,
        reading: BlockReading { workers: options.workers, random_block_ids },
        totals: settle::Totals::default(),
    };
    let mut inventory = Inventory::new(&installation.data_dir, options.leftovers);
    let found = run.walk(&mut walker, Some(&mut inventory))?;
    let mut report = run.describe(&walker, &found)?;
    report.ahead = run.ahead(&inventory, found.has_waited)?;
    if options.leftovers {
        inventory.unfinished();
        report.warnings.append(&mut inventory.warnings);
        (report.leftovers, report.unreached) = inventory.finish();
        describe::mark_below_damage(&mut report, &databases.pointers);
    }
    report.warnings.extend(unknown_classes);
    let missing = installation.warnings.iter();
    let missing =
        missing.filter(|warning| matches!(warning, DiscoverWarning::DatabaseMissing { .. }));
    report.warnings.extend(missing.map(ToString::to_string));
    report.good = report.is_good();
    Ok(report)
}

/// The state of a running verification.
struct VerifyRun<'a> {
    options: &'a Options,
    spool: &'a Path,
    progress: &'a dyn Fn(&str),
    folders: &'a ObjectFolders,
    databases: &'a ReadDatabases,
    /// Objects that the snapshot already lists as lost.
    known: HashSet<Object>,
}

/// The result of all walks.
#[derive(Default)]
struct WalkResults {
    groups: Vec<Walked>,
    /// Libraries that had no head at the first look and still have none.
    headless: Vec<LibraryPointers>,
    /// Libraries that changed meanwhile, each with the number of its objects that nobody can judge.
    changed: BTreeMap<LibraryId, u64>,
    /// The wait for the second look is over.
    has_waited: bool,
}

impl VerifyRun<'_> {
    fn walk(
        &self,
        walker: &mut SettlingWalker<'_>,
        inventory: Option<&mut Inventory>,
    ) -> Result<WalkResults, Error> {
        let pointers = &self.databases.pointers;
        let libraries = settle::with_heads(pointers);
        let mut headless: Vec<LibraryPointers> =
            pointers.libraries.iter().filter(|library| library.heads.is_empty()).cloned().collect();
        let number = count(libraries.len() as u64, "library", "libraries");
        (self.progress)(&format!("walking {number}"));
        let first =
            walker.walk_and_list(&walker.groups(&libraries), inventory).map_err(Error::Source)?;
        if headless.is_empty() && first.iter().all(|group| group.missing().next().is_none()) {
            return Ok(WalkResults { groups: first, ..WalkResults::default() });
        }
        (self.progress)("something is missing: looking again");
        std::thread::sleep(self.options.second_look);
        let second = walker.walk_what_reappeared(first).map_err(Error::Source)?;
        let mut third = walker
            .walk_what_changed(second, &headless, &self.pointers_now()?)
            .map_err(Error::Source)?;
        let ids = third.changed.iter();
        let mut changed: BTreeMap<LibraryId, u64> = ids.map(|library| (*library, 0)).collect();
        if third.has_doubt() {
            (self.progress)("more is missing: looking whether its libraries changed again");
            for library in third.remove_doubts(&self.pointers_now()?) {
                *changed.entry(library).or_default() += 1;
            }
        }
        headless.retain(|library| !changed.contains_key(&library.id));
        let mut groups = third.settled;
        groups.extend(third.again);
        Ok(WalkResults { groups, headless, changed, has_waited: true })
    }

    /// Finds commits newer than the heads. A running server writes a commit before it moves the
    /// head, so this reads the heads again after a wait.
    fn ahead(&self, inventory: &Inventory, has_waited: bool) -> Result<Vec<LibraryAhead>, Error> {
        let beside = inventory.beside.iter();
        let beside: Vec<_> = beside.filter(|library| library.is_ahead()).collect();
        if beside.is_empty() {
            return Ok(Vec::new());
        }
        if !has_waited {
            (self.progress)("commits are newer than heads: looking again");
            std::thread::sleep(self.options.second_look);
        }
        let now = self.pointers_now()?;
        let mut found = Vec::new();
        for library in beside {
            let ahead = library.describe(self.folders, &now).map_err(describe::walk_error)?;
            let ahead = ahead.map(|ahead| LibraryAhead {
                is_elsewhere: self.options.databases_elsewhere,
                ..ahead
            });
            found.extend(ahead.map(|ahead| (library, ahead)));
        }
        if found.is_empty() {
            return Ok(Vec::new());
        }
        // Looking at the trees took time, in which an upload may have ended and moved its head.
        (self.progress)("commits are newer than heads: reading the heads once more");
        let now = self.pointers_now()?;
        found.retain(|(library, ahead)| library.is_still_ahead(&now, &ahead.newest));
        Ok(found.into_iter().map(|(_, ahead)| ahead).collect())
    }

    /// The pointers as they are now. Those of a snapshot do not change.
    fn pointers_now(&self) -> Result<Pointers, Error> {
        Ok(match &self.databases.seafile {
            Some(seafile) => seafile.pointers(self.spool)?,
            None => self.databases.pointers.clone(),
        })
    }

    fn describe(&self, walker: &SettlingWalker<'_>, found: &WalkResults) -> Result<Report, Error> {
        let pointers = &self.databases.pointers;
        let mut report = Report {
            libraries: pointers.libraries.len() as u64,
            bytes_read: walker.totals.bytes,
            unverifiable: walker.totals.unverifiable,
            databases: self.databases.states.clone(),
            ..Report::default()
        };
        for group in &found.groups {
            let limits = (self.options.most_paths, &self.known);
            describe::group(&mut report, self.folders, group, limits)?;
        }
        rows::describe(&mut report, self.folders, pointers, &found.headless);
        let order = |damage: &LibraryDamage| (damage.library, damage.object.kind, damage.object.id);
        report.damage.sort_by_key(order);
        let name = |id| {
            let library = pointers.library(id)?;
            describe::name(self.folders, library)
        };
        let changed = found.changed.iter();
        report.changed = changed
            .map(|(&library, &unsettled)| Changed {
                library,
                library_name: name(library),
                unsettled,
            })
            .collect();
        describe::loose_stores(&mut report, self.folders, pointers);
        let oddities = pointers.oddities.iter().take(MAX_WARNINGS);
        report.warnings.extend(oddities.map(ToString::to_string));
        report.hints = hints::hints(&report, self.folders, pointers);
        Ok(report)
    }
}
