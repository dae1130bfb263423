//! The verb `restore`: a snapshot becomes an installation again, in an empty folder.
//!
//! The order: marker (verified by the caller), sums, manifest, lists, segments; the space that is
//! needed; then objects, links, databases and ordinary files, and last of all commits get their places. Each stored thing is believed
//! only by a SHA-256 that the marker leads to, and each object only by its own id. What the
//! repository lost does not stop a restore: it is counted and reported. What failed to be read or
//! written does; the same call again goes on from there.
//!
//! Not here: restoring into a folder with content, single libraries and files, database servers.

mod clients;
mod commits;
mod databases;
mod error;
mod folders;
mod history;
mod import;
mod index;
mod links;
mod losses;
mod lost_files;
mod next;
mod notes;
mod old_host;
mod ordinary;
mod packs;
mod page;
mod places;
mod report;
mod space;
mod steps;
mod stream;
mod survey;
mod target;
mod writer;

use std::path::PathBuf;

use seawall_backends::Key;
use serde::Serialize;

pub use commits::ASIDE;
pub use databases::SQL_FOLDER;
pub use error::Error;
pub use import::{
    ImportRecord, NotRestored, RestoredFrom, configuration, dump_path, must_be_restored, read_dump,
    read_restored, record, records, restored_from,
};
pub use next::Commands;
pub use notes::NOTES;
pub use report::{Files, Lost, LostFile, LostKind, Needs, Objects, Report, StoreCount};
pub use steps::{Imports, LoadedDatabase, note_imports};
pub use target::{STANDBY, UNFINISHED};

use crate::object::Sha256;
use crate::repository::manifest::Manifest;
use crate::repository::names::{self, SnapshotId};
use crate::repository::{Repository, Snapshot, index as stored_index};
use index::Index;
use notes::Notes;
use packs::{Job, There};
use survey::Survey;
use target::{State, Target};

/// The most workers that are used unless more are asked for: each holds a pack.
const USUAL_WORKERS: usize = 4;

/// A user and perhaps a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group; `None`: as it comes.
    pub gid: Option<u32>,
}

/// What of a snapshot to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Objects, ordinary files, databases.
    #[default]
    Everything,
    /// Objects and ordinary files.
    Data,
    /// Databases alone.
    Databases,
}

impl Scope {
    fn has_data(self) -> bool {
        self != Self::Databases
    }

    fn has_databases(self) -> bool {
        self != Self::Data
    }
}

/// What the user chose.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder to restore into: absent or empty, or left by an unfinished restore of the same
    /// snapshot.
    pub target: PathBuf,
    /// Whom everything shall belong to. Without it: as root the owner of an existing target (unless
    /// that is root), else who owned the databases; not as root oneself.
    pub owner: Option<Owner>,
    /// How much of it.
    pub scope: Scope,
    /// Packs at a time.
    pub workers: usize,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The target is, or becomes, a standby: later snapshots complete it.
    pub standby: bool,
    /// The standby may go back to an older snapshot than the one that it was completed to.
    pub older: bool,
    /// The commands that the notes name; `None`: without options that only the caller knows.
    pub commands: Option<Commands>,
}

impl Options {
    /// Everything, into this folder.
    pub fn new(target: PathBuf) -> Self {
        let processors = std::thread::available_parallelism();
        Self {
            target,
            owner: None,
            scope: Scope::default(),
            workers: processors
                .map_or(2, std::num::NonZero::get)
                .min(USUAL_WORKERS),
            dry_run: false,
            standby: false,
            older: false,
            commands: None,
        }
    }
}

/// Restores a snapshot, whose marker was verified. Returns once everything is on disk.
///
/// `progress` is told what goes on, one line each.
pub fn run(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &Options,
    progress: &dyn Fn(&str),
) -> Result<Report, Error> {
    let state = target::look(&options.target, repository, snapshot, options.standby)?;
    let earlier = if options.standby && state.has_content() {
        target::earlier(&options.target)?
    } else {
        Vec::new()
    };
    let newest = earlier.iter().copied().max_by_key(SnapshotId::started);
    let went_back = newest.filter(|newest| snapshot.id().started() < newest.started());
    if let Some(newest) = went_back.filter(|_| !options.older) {
        return Err(Error::GoesBack {
            path: options.target.clone(),
            at: newest,
            to: snapshot.id(),
        });
    }
    progress("reading the index");
    let manifest = stored_index::read_manifest(repository, &snapshot.marker)?;
    must_open(repository, snapshot, &manifest)?;
    let owner = target::owner(options.owner, state, &manifest)?;
    let restore = Restore {
        repository,
        snapshot,
        manifest,
        options,
        owner,
        state,
        earlier,
        went_back,
        progress,
    };
    restore.run()
}

/// Refuses what no key at hand opens before anything is written. What is lost is told later.
///
/// One header tells of all that was sealed to the same recipients. Where these have changed, one part of each run
/// that parts are of is looked at, and the packs at both ends and in the middle of each list: they are in the order of time.
fn must_open(
    repository: &Repository,
    snapshot: &Snapshot,
    manifest: &Manifest,
) -> Result<(), Error> {
    use crate::repository::Error as Of;
    let mut looked_at: Vec<(Key, Sha256)> = Vec::new();
    let mut runs = std::collections::HashSet::new();
    for part in manifest.parts() {
        let run = part.key.as_str().rsplit_once('/').map(|(run, _)| run);
        if runs.insert(run) {
            looked_at.push((part.key.clone(), part.sha256));
        }
    }
    let is_mixed = !snapshot.marker.partly.is_empty();
    if is_mixed {
        for named in &snapshot.marker.lists {
            let packs = match stored_index::List::read(repository, named) {
                Ok(list) => list.packs,
                Err(error) => {
                    error::loss(repository, error)?;
                    continue;
                }
            };
            let some = [0, packs.len() / 2, packs.len().saturating_sub(1)];
            looked_at.extend(some.iter().filter_map(|&at| {
                let (kind, pack) = packs.get(at)?;
                Some((names::pack(*kind, pack, repository.seal()), *pack))
            }));
        }
    }
    for (key, sha256) in looked_at {
        match repository.must_open(&key) {
            Ok(()) if is_mixed => {}
            Ok(()) => break,
            // A header that was altered looks like one for another key: what is lost is told later.
            Err(error @ (Of::Locked { .. } | Of::Key { .. })) => {
                if repository.read_verified(&key, &sha256).is_ok() {
                    return Err(error.into());
                }
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// A restore that goes on.
struct Restore<'a> {
    repository: &'a Repository,
    snapshot: &'a Snapshot,
    manifest: Manifest,
    options: &'a Options,
    owner: Option<Owner>,
    state: State,
    /// Snapshots that the standby has something of.
    earlier: Vec<SnapshotId>,
    /// A later one among them: the standby goes back.
    went_back: Option<SnapshotId>,
    progress: &'a dyn Fn(&str),
}

impl Restore<'_> {
    fn run(&self) -> Result<Report, Error> {
        let mut report = self.empty_report();
        let objects = if self.options.scope.has_data() {
            let (mut index, survey) = Index::read(self.repository, self.snapshot, &self.manifest)?;
            report.lost.append(&mut index.lost);
            report.warnings.append(&mut index.warnings);
            report.salvaged = survey.salvaged;
            Some((index, survey))
        } else {
            None
        };
        report.needs = self.needs(objects.as_ref().map(|(_, survey)| survey));
        self.check_space(&report.needs)?;
        if self.options.dry_run {
            return Ok(report);
        }
        let target = Target::prepare(
            &self.options.target,
            self.state,
            self.owner,
            self.repository,
            self.snapshot,
        )?;
        if self.options.standby && !self.state.has_content() {
            target.write_standby(self.repository, None)?;
        }
        if let Some((index, survey)) = &objects {
            self.objects(index, survey, &target, &mut report)?;
            if self.state.has_content() {
                target.sync()?;
            }
        }
        let earlier = self.read_earlier(&mut report)?;
        ordinary::clear_earlier(self.repository, &earlier, &target)?;
        self.files(&target, &earlier, &mut report)?;
        if objects.is_some() {
            if self.state.has_content() {
                target.sync()?;
            }
            commits::place(target.folders()).map_err(target.failed("seafile-data/storage"))?;
            self.name_lost_files(&target, &mut report)?;
        }
        let scope = self.options.scope;
        report.next = next::next(scope, &self.manifest, &report.databases, &self.commands());
        self.write_notes(&target, &report)?;
        if self.options.standby {
            target.write_standby(self.repository, Some(self.snapshot.id()))?;
        }
        (self.progress)("waiting until everything is on disk");
        target.finish()?;
        Ok(report)
    }

    fn empty_report(&self) -> Report {
        Report {
            repository: self.repository.place().into(),
            snapshot: self.snapshot.id(),
            started: self.manifest.started,
            target: self.options.target.clone(),
            dry_run: self.options.dry_run,
            resumed: self.state.is_unfinished(),
            completed: matches!(self.state, State::Standby { .. }),
            went_back_from: self.went_back,
            owner: self.owner,
            needs: Needs::default(),
            objects: Objects::default(),
            present: Objects::default(),
            hard_links: 0,
            copies: 0,
            unverifiable: 0,
            set_aside: Vec::new(),
            unproved: Vec::new(),
            databases: Vec::new(),
            files: Files::default(),
            lost: Vec::new(),
            lost_files: Vec::new(),
            lost_files_cut: false,
            remains: Objects::default(),
            salvaged: 0,
            damage: self.snapshot.marker.damage,
            accepted: self.snapshot.marker.accepted,
            warnings: Vec::new(),
            next: Vec::new(),
        }
    }

    fn needs(&self, survey: Option<&Survey>) -> Needs {
        let mut needs = survey.map_or_else(Needs::default, |survey| survey.needs);
        if self.options.scope.has_databases() {
            for database in &self.manifest.databases {
                needs.add_file(database.size);
            }
        }
        if self.options.scope.has_data() {
            for group in &self.manifest.files {
                needs.add_file(group.size);
                needs.inodes += group.members.saturating_sub(1);
            }
        }
        needs
    }

    fn check_space(&self, needs: &Needs) -> Result<(), Error> {
        let target = &self.options.target;
        let present = if self.state.has_content() {
            space::present(target)
        } else {
            Needs::default()
        };
        space::check(target, needs, &present, space::free(target)?)
    }

    fn objects(
        &self,
        index: &Index<'_>,
        survey: &Survey,
        target: &Target,
        report: &mut Report,
    ) -> Result<(), Error> {
        let job = Job {
            index,
            survey,
            target,
            there: match self.state {
                State::Unfinished { .. } => There::Unproved,
                State::Standby { .. } => There::Completed,
                State::Absent | State::Empty { .. } => There::Nothing,
            },
            random_block_ids: self.manifest.source.random_block_ids,
        };
        let workers = self.options.workers.max(self.repository.connections());
        let done = packs::restore(job, workers, self.progress)?;
        (self.progress)("linking objects that libraries share");
        let linked = links::make(job)?;
        let losses = losses::count(job, &self.manifest, &done.troubles)?;
        report.objects = done.written;
        report.remains = done.remains;
        report.present = done.present;
        report.present.join(linked.present);
        report.unverifiable = done.unverifiable;
        report.hard_links = linked.links;
        report.copies = linked.copies;
        report.lost.extend(losses.lost);
        report
            .lost
            .extend(losses::of_links(&self.manifest, &linked));
        report.warnings.extend(losses.warnings);
        (self.progress)("looking which commits the databases lead to");
        let settled = commits::settle(job, &self.manifest)?;
        report.set_aside = settled.set_aside.into_iter().map(StoreCount::of).collect();
        report.unproved = settled.unproved.into_iter().map(StoreCount::of).collect();
        Ok(())
    }

    /// The manifests of other snapshots that a standby was completed to before: what only they have would go on to
    /// count, an old `conf/.env` for one.
    fn read_earlier(&self, report: &mut Report) -> Result<Vec<Manifest>, Error> {
        let mut manifests = Vec::new();
        for id in self.earlier.iter().filter(|id| **id != self.snapshot.id()) {
            let found = self.repository.snapshot(*id)?;
            let manifest = found
                .map(|snapshot| stored_index::read_manifest(self.repository, &snapshot.marker));
            if let Some(Ok(manifest)) = manifest {
                manifests.push(manifest);
            } else {
                report.warnings.push(format!(
                    "snapshot {id} cannot be read any more: ordinary files that only it had may be left in the standby"
                ));
            }
        }
        Ok(manifests)
    }

    fn files(
        &self,
        target: &Target,
        earlier: &[Manifest],
        report: &mut Report,
    ) -> Result<(), Error> {
        if self.options.scope.has_databases() {
            (self.progress)("restoring databases");
            let (roles, lost) = databases::restore(self.repository, &self.manifest, target)?;
            report.databases = roles;
            report.lost.extend(lost);
            if self.state.has_content() {
                let moved =
                    databases::set_aside_older(&self.manifest, earlier, &report.databases, target)?;
                report.warnings.extend(moved);
            }
        }
        target.make_needed_folders(self.options.scope)?;
        if self.options.scope.has_data() {
            (self.progress)("restoring ordinary files");
            let resumed = self.state.has_content();
            let restored =
                ordinary::restore(self.repository, &self.manifest, target, self.owner, resumed)?;
            report.files = restored.files;
            report.lost.extend(restored.lost);
            report.warnings.extend(restored.warnings);
        }
        Ok(())
    }

    fn name_lost_files(&self, target: &Target, report: &mut Report) -> Result<(), Error> {
        let hit = report.lost.iter().flat_map(|lost| &lost.libraries);
        let hit: std::collections::HashSet<String> = hit.cloned().collect();
        if hit.is_empty() {
            return Ok(());
        }
        (self.progress)("looking which files are hit");
        let found = lost_files::find(target.path(), &self.manifest, &hit);
        let found = found.map_err(target.failed("seafile-data/storage"))?;
        (report.lost_files, report.lost_files_cut) = (found.files, found.is_cut);
        Ok(())
    }

    fn commands(&self) -> Commands {
        let plain = || Commands::plain(self.repository, self.snapshot, &self.options.target);
        self.options.commands.clone().unwrap_or_else(plain)
    }

    fn write_notes(&self, target: &Target, report: &Report) -> Result<(), Error> {
        let source = &self.manifest.source;
        let commands = self.commands();
        let old_host = old_host::lines(target.folders(), &[&source.host, &source.path]);
        let notes = Notes {
            repository: self.repository,
            snapshot: self.snapshot,
            manifest: &self.manifest,
            options: self.options,
            report,
            old_host: &old_host,
            extra: &old_host::extra(target.folders()),
            history: &history::places(target.path(), &self.manifest),
            commands: &commands,
        };
        target.write_text(NOTES, &notes.text())
    }
}
