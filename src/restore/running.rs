//! One restore, step by step, up to the moment at which commits get their places.

use std::collections::BTreeSet;

use super::commits;
use super::earlier::EarlierSnapshots;
use super::error::Error;
use super::import::{self, ImportRecord};
use super::index::RestoreIndex;
use super::mark::RestoreMark;
use super::next::NextCommands;
use super::notes::{NOTES, RestoreNotes};
use super::packs::{RestoreJob, TargetContent};
use super::report::{OrdinaryFileCounts, Report, RestoreNeeds, StoreCommitCount};
use super::survey::IndexSurvey;
use super::target::{RestoreTarget, TargetState};
use super::waiting::WaitingRestore;
use super::{Options, Owner};
use super::{
    databases, history, links, losses, lost_files, next, old_host, ordinary, packs, space,
};
use crate::repository::manifest::{self, Counts, Manifest};
use crate::repository::names::SnapshotId;
use crate::repository::{Repository, Snapshot};
use crate::seafile::folders::ObjectFolders;

/// A restore in progress.
pub(super) struct RunningRestore<'a> {
    pub repository: &'a Repository,
    pub snapshot: &'a Snapshot,
    pub manifest: Manifest,
    pub options: &'a Options,
    pub owner: Option<Owner>,
    pub state: TargetState,
    /// What the mark of an unfinished restore says.
    pub mark: Option<RestoreMark>,
    /// Snapshots of which the standby may have files.
    pub earlier: Vec<SnapshotId>,
    /// The later snapshot among them, if the standby goes back.
    pub went_back: Option<SnapshotId>,
    pub progress: &'a dyn Fn(&str),
}

impl RunningRestore<'_> {
    pub(super) fn fill(&self) -> Result<(Report, Option<WaitingRestore>), Error> {
        let mut report = self.empty_report();
        let objects = if self.options.scope.has_data() {
            let (mut index, survey) =
                RestoreIndex::read(self.repository, self.snapshot, &self.manifest)?;
            report.lost.append(&mut index.lost);
            report.warnings.append(&mut index.warnings);
            report.salvaged = survey.salvaged;
            Some((index, survey))
        } else {
            None
        };
        report.needs = self.needs(objects.as_ref().map(|(_, survey)| survey));
        self.check_space(&report.needs)?;
        report.warnings.extend(self.loaded_elsewhere());
        let earlier = self.earlier.iter().copied();
        let earlier: Vec<SnapshotId> = earlier.filter(|id| *id != self.snapshot.id()).collect();
        let mut earlier = EarlierSnapshots::read(self.repository, &earlier)?;
        if self.options.dry_run {
            report.warnings.append(&mut earlier.unreadable);
            return Ok((report, None));
        }
        let target = RestoreTarget::prepare(
            self.state,
            self.mark.as_ref(),
            self.owner,
            self.repository,
            self.snapshot,
            self.options,
        )?;
        if self.options.standby && !self.state.has_content() {
            target.write_standby(self.repository.id(), None)?;
        }
        if let Some((index, survey)) = &objects {
            self.objects(index, survey, &target, &mut report)?;
            if self.state.has_content() {
                target.sync()?;
            }
        }
        earlier.clear(self.repository, &target)?;
        self.files(&target, &earlier, &mut report)?;
        if objects.is_some() {
            self.name_lost_files(&target, &mut report)?;
        }
        let scope = self.options.scope;
        report.next = next::next(scope, &self.manifest, &report.databases, &self.commands());
        self.write_notes(&target, &report)?;
        if self.options.loads_databases {
            target.wait_for_databases(self.mark.as_ref(), self.snapshot.id())?;
        }
        let standby = self.options.standby;
        let standby = standby.then(|| (self.repository.id().clone(), self.snapshot.id()));
        let has_older = self.state.has_content() || self.options.loads_databases;
        Ok((report, Some(WaitingRestore::new(target, has_older, standby))))
    }

    fn empty_report(&self) -> Report {
        Report {
            repository: self.repository.place().into(),
            snapshot: self.snapshot.id(),
            started: self.manifest.started,
            target: self.options.target.clone(),
            dry_run: self.options.dry_run,
            resumed: self.state.is_unfinished(),
            completed: matches!(self.state, TargetState::Standby { .. }),
            went_back_from: self.went_back,
            owner: self.owner,
            needs: RestoreNeeds::default(),
            objects: Counts::default(),
            present: Counts::default(),
            hard_links: 0,
            copies: 0,
            unverifiable: 0,
            set_aside: Vec::new(),
            unproved: Vec::new(),
            databases: Vec::new(),
            files: OrdinaryFileCounts::default(),
            lost: Vec::new(),
            lost_files: Vec::new(),
            lost_files_cut: false,
            remains: Counts::default(),
            salvaged: 0,
            damage: self.snapshot.marker.damage,
            accepted: self.snapshot.marker.accepted,
            warnings: Vec::new(),
            next: Vec::new(),
        }
    }

    fn needs(&self, survey: Option<&IndexSurvey>) -> RestoreNeeds {
        let mut needs = survey.map_or_else(RestoreNeeds::default, |survey| survey.needs);
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

    fn check_space(&self, needs: &RestoreNeeds) -> Result<(), Error> {
        let target = &self.options.target;
        let present =
            if self.state.has_content() { space::present(target) } else { RestoreNeeds::default() };
        space::check(target, needs, &present, space::free(target)?)
    }

    fn objects(
        &self,
        index: &RestoreIndex<'_>,
        survey: &IndexSurvey,
        target: &RestoreTarget,
        report: &mut Report,
    ) -> Result<(), Error> {
        let job = RestoreJob {
            index,
            survey,
            target,
            there: match self.state {
                TargetState::Unfinished { .. } => TargetContent::Unproved,
                TargetState::Standby { .. } => TargetContent::Completed,
                TargetState::Absent | TargetState::Empty { .. } => TargetContent::Nothing,
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
        report.lost.extend(losses::of_links(&self.manifest, &linked));
        report.warnings.extend(losses.warnings);
        (self.progress)("looking which commits the databases lead to");
        let settled = commits::settle(job, &self.manifest)?;
        report.set_aside = settled.set_aside.into_iter().map(StoreCommitCount::of).collect();
        report.unproved = settled.unproved.into_iter().map(StoreCommitCount::of).collect();
        Ok(())
    }

    fn files(
        &self,
        target: &RestoreTarget,
        earlier: &EarlierSnapshots,
        report: &mut Report,
    ) -> Result<(), Error> {
        if self.options.scope.has_databases() {
            (self.progress)("restoring databases");
            let (roles, lost) = databases::restore(self.repository, &self.manifest, target)?;
            report.databases = roles;
            report.lost.extend(lost);
            if self.state.has_content() {
                let (manifests, restored) = (&earlier.manifests, &report.databases);
                let moved =
                    databases::set_aside_older(&self.manifest, manifests, restored, target)?;
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
        let restored = &report.databases;
        let moved = earlier.set_aside(self.repository, &self.manifest, restored, target)?;
        report.warnings.extend(moved);
        Ok(())
    }

    /// Warns of servers that hold another snapshot's databases which were loaded from this folder,
    /// if this restore does not load its own. One line for each server.
    fn loaded_elsewhere(&self) -> Vec<String> {
        if !self.state.has_content() || self.options.loads_databases {
            return Vec::new();
        }
        let databases = &self.manifest.databases;
        let is_other = |record: &ImportRecord| {
            let mut same = databases.iter().filter(|one| one.role == record.role);
            same.any(|one| one.engine == manifest::MYSQL && one.sha256 != record.sha256)
        };
        let records = import::records(&self.options.target);
        let servers: BTreeSet<&str> = (records.iter().filter(|record| is_other(record)))
            .map(|record| record.server.as_str())
            .collect();
        let line = |server: &&str| {
            format!(
                "{server} has databases that were loaded from this folder, of another snapshot: load those of this one \
                 before Seafile is started. Older heads beside newer commits make sync clients set their users' files \
                 back; with --import-databases the databases come first"
            )
        };
        servers.iter().map(line).collect()
    }

    fn name_lost_files(&self, target: &RestoreTarget, report: &mut Report) -> Result<(), Error> {
        let hit = report.lost.iter().flat_map(|lost| &lost.libraries);
        let hit: std::collections::HashSet<String> = hit.cloned().collect();
        if hit.is_empty() {
            return Ok(());
        }
        (self.progress)("looking which files are hit");
        let folders = object_folders(target)?;
        let found = lost_files::find(&folders, &self.manifest, &hit);
        let found = found.map_err(target.failed("seafile-data/storage"))?;
        (report.lost_files, report.lost_files_cut) = (found.files, found.is_cut);
        Ok(())
    }

    fn commands(&self) -> NextCommands {
        let plain = || NextCommands::plain(self.repository, self.snapshot, &self.options.target);
        self.options.commands.clone().unwrap_or_else(plain)
    }

    fn write_notes(&self, target: &RestoreTarget, report: &Report) -> Result<(), Error> {
        let source = &self.manifest.source;
        let commands = self.commands();
        let old_host = old_host::lines(target.folders(), &[&source.host, &source.path]);
        let notes = RestoreNotes {
            repository: self.repository,
            snapshot: self.snapshot,
            manifest: &self.manifest,
            options: self.options,
            report,
            old_host: &old_host,
            extra: &old_host::extra(target.folders()),
            history: &history::places(&object_folders(target)?, &self.manifest),
            commands: &commands,
        };
        target.write_text(NOTES, &notes.text())
    }
}

/// The target's folders of objects, including commits that wait.
fn object_folders(target: &RestoreTarget) -> Result<ObjectFolders, Error> {
    let folders = commits::object_folders(target.path(), target.folders());
    folders.map_err(target.failed("seafile-data/storage"))
}
