//! `seawall restore`: brings a snapshot back, into an empty folder.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::global::{name_recipients, warn_unpinned};
use super::import::{self, Dumps, Imported, Importing};
use super::output::{self, Output, bytes, count, shown};
use super::{CommandError, Global, Status, apart, commands};
use crate::host::Reading;
use crate::place::absolute;
use crate::repository::Snapshot;
use crate::repository::names::SnapshotId;
use crate::restore::{self, NextCommands, Options, Owner, Report, Scope};

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Arguments {
    /// A snapshot, the beginning of its name, or `latest`
    snapshot: String,
    /// Where to: a folder that is empty or does not exist
    #[arg(long, value_name = "DIR")]
    target: PathBuf,
    /// Who shall own everything: names or numbers [default: as root the owner of the target or of
    /// the databases that were backed up, else you]
    #[arg(long, value_name = "USER[:GROUP]")]
    owner: Option<String>,
    /// Only the databases
    #[arg(long, conflicts_with = "data_only")]
    databases_only: bool,
    /// Everything but the databases
    #[arg(long)]
    data_only: bool,
    /// Make the folder a warm standby, or complete one by what the snapshot has more: objects by name and length,
    /// databases and ordinary files anew
    #[arg(long, conflicts_with_all = ["databases_only", "data_only"])]
    standby: bool,
    /// With --standby: the snapshot may be older than the one that the folder was completed to
    #[arg(long, requires = "standby")]
    older: bool,
    /// Only say what would be restored and what it takes
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    importing: Importing,
}

/// How many files that are not whole are named.
const MAX_FILES: usize = 100;

/// The result for programs.
#[derive(Serialize)]
struct RestoreOutcome<'a> {
    #[serde(flatten)]
    report: &'a Report,
    imported: Vec<Imported>,
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    let repository = global.open()?;
    let markers = repository.markers()?;
    for bad in &markers.bad {
        Output::warning(format_args!("{} is no snapshot: {}", bad.key, bad.problem));
    }
    let snapshot = markers.find(&arguments.snapshot)?;
    warn_unpinned(snapshot);
    let repository = global.unlocked(repository)?;
    let scope = match (arguments.databases_only, arguments.data_only) {
        (true, _) => Scope::Databases,
        (_, true) => Scope::Data,
        _ => Scope::default(),
    };
    let owner = arguments.owner.as_deref().map(parse_owner).transpose()?;
    let target = absolute(&arguments.target);
    let reach = commands::reach(global);
    let commands = NextCommands::new(snapshot, &target, &reach);
    if arguments.importing.is_import_only() {
        return import_only(&repository, snapshot, arguments, &commands, output);
    }
    apart::target(global, &arguments.target)?;
    let options = Options {
        owner,
        scope,
        dry_run: arguments.dry_run,
        standby: arguments.standby,
        older: arguments.older,
        loads_databases: arguments.importing.is_wanted(),
        commands: Some(commands.clone()),
        ..Options::new(target)
    };
    let mut plan = None;
    if arguments.importing.is_wanted() {
        let manifest = repository.manifest(snapshot)?;
        let dumps = Dumps::Stored(&repository);
        let records = restore::loaded_so_far(&options.target, snapshot.id());
        let (importing, records) = (&arguments.importing, &records);
        plan = Some(importing.plan(dumps, records, &manifest, &commands, output)?);
    }
    let progress = |text: &str| output.progress(text);
    let failed = |error| name_recipients(goes_on(error, &commands), snapshot);
    let filled = restore::fill(&repository, snapshot, &options, &progress);
    let (mut report, waiting) = filled.map_err(failed)?;
    print(&report, output);
    let mut imported = Vec::new();
    if let Some(waiting) = waiting {
        // A server whose heads are older than the commits beside it sets clients back: it gets the new ones first.
        if let Some(plan) = plan {
            imported = plan.run(&report.target, &report.databases, true, output)?;
            report.next = vec![plan.verify().to_owned()];
        }
        waiting.finish(&progress).map_err(failed)?;
    }
    if !arguments.dry_run {
        print_next(&report.target, &report.next, output);
    }
    output.detail(output::took());
    output.json(&RestoreOutcome { report: &report, imported })?;
    Ok(if report.needs_reading() { Status::ReadTheReport } else { Status::Done })
}

/// `user`, `user:group`, `1000:1000`; `:group` is not enough.
fn parse_owner(text: &str) -> Result<Owner, CommandError> {
    let (user, group) =
        text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let uid = number_or(user, "user", "id -u seafile", |name| {
        uzers::get_user_by_name(name).map(|user| user.uid())
    })?;
    let gid = group
        .map(|group| {
            number_or(group, "group", "getent group seafile", |name| {
                uzers::get_group_by_name(name).map(|group| group.gid())
            })
        })
        .transpose()?;
    Ok(Owner { uid, gid })
}

/// A number, or that of the user or group of this name: this machine is asked, which may ask a directory (LDAP).
fn number_or(
    name: &str,
    kind: &str,
    command: &str,
    look_up: impl Fn(&str) -> Option<u32>,
) -> Result<u32, CommandError> {
    name.parse().ok().or_else(|| look_up(name)).ok_or_else(|| {
        CommandError::new(
            anyhow!("this machine knows no {kind} {name:?}"),
            format!("give a name that it knows, or a number (`{command}` tells)"),
        )
    })
}

/// Which files are hit by what the repository lost.
fn print_lost_files(report: &Report) {
    for file in report.lost_files.iter().take(MAX_FILES) {
        let library = file.library_name.clone();
        let library = library.unwrap_or_else(|| file.id.to_string());
        Output::warning(format_args!("not whole: {} in {}", shown(&file.text()), shown(&library)));
    }
    if report.lost_files.len() > MAX_FILES || report.lost_files_cut {
        Output::warning(format_args!("more files are not whole: see RESTORE-NOTES.txt and --json"));
    }
}

/// Commits that are not where Seafile looks, or are there in doubt.
fn print_commits(report: &Report, output: Output) {
    for (counts, what) in [
        (&report.set_aside, "that no restored pointer leads to"),
        (
            &report.unproved,
            "are in place, though a lost commit hides whether the head leads to them",
        ),
    ] {
        let commits = counts.iter().map(|count| count.commits).sum();
        if commits > 0 {
            output.detail(format_args!(
                "commits   {} {what}: see RESTORE-NOTES.txt",
                count(commits, "commit", "commits")
            ));
        }
    }
}

fn print(report: &Report, output: Output) {
    Output::warnings(&report.warnings);
    for lost in &report.lost {
        let objects =
            lost.objects.map(|objects| format!(", {}", count(objects, "object", "objects")));
        Output::warning(format_args!(
            "lost: {} {}: {}{}",
            lost.kind.word(),
            shown(&lost.name),
            shown(&lost.problem),
            objects.unwrap_or_default()
        ));
    }
    print_lost_files(report);
    if report.dry_run {
        output.line(format_args!(
            "would restore {} to {}: {} in {} files and folders, from {} ({})",
            report.snapshot,
            report.target.display(),
            bytes(report.needs.bytes),
            report.needs.inodes,
            count(report.needs.packs, "pack", "packs"),
            bytes(report.needs.packed_bytes)
        ));
        return;
    }
    let links = match report.hard_links {
        0 => String::new(),
        links => format!(" and {}", count(links, "hard link", "hard links")),
    };
    let objects = report.objects.objects() + report.present.objects();
    let shared = report.hard_links + report.copies;
    output.detail(format_args!(
        "restored  {} ({}{links}), {}, {}",
        count(objects + shared, "object", "objects"),
        bytes(report.objects.bytes + report.present.bytes),
        count(report.databases.len() as u64, "database", "databases"),
        count(report.files.files, "ordinary file", "ordinary files"),
    ));
    if report.completed {
        output.detail(format_args!(
            "standby   {} were there by name and length, {} ({}) are new",
            count(report.present.objects(), "object", "objects"),
            report.objects.objects(),
            bytes(report.objects.bytes)
        ));
    }
    print_commits(report, output);
    output.detail(if report.lost.is_empty() && report.completed {
        "proved    every new object is what its name says; the verification below proves all"
            .to_owned()
    } else if report.lost.is_empty() {
        "proved    every object is what its name says".to_owned()
    } else {
        format!("lost      {}; what they held is not restored", report.lost.len())
    });
    if report.damage > 0 {
        output.detail(format_args!(
            "damaged   {} lost before the backup was made ({} accepted): RESTORE-NOTES.txt names what they hit",
            count(report.damage, "object", "objects"),
            report.accepted
        ));
    }
    output.detail(format_args!("state of  {}", report.started));
}

/// What comes next, in commands that can be pasted.
fn print_next(target: &Path, next: &[String], output: Output) {
    let (target, notes) = (target.display(), restore::NOTES);
    output.detail(format_args!("next      read {target}/{notes},"));
    for command in next {
        output.detail(format_args!("          then: {command}"));
    }
    output.line(format_args!("target    {target}"));
}

/// The result of an import alone, for programs.
#[derive(Serialize)]
struct ImportOutcome<'a> {
    snapshot: SnapshotId,
    target: &'a Path,
    imported: Vec<Imported>,
    /// Roles of databases whose dumps the repository has lost.
    lost_databases: Vec<String>,
    next: Vec<String>,
}

/// Loads the databases of a folder that was restored before, and finishes a restore that waits for them.
fn import_only(
    repository: &Reading,
    snapshot: &Snapshot,
    arguments: &Arguments,
    commands: &NextCommands,
    output: Output,
) -> Result<Status, CommandError> {
    let manifest =
        repository.manifest(snapshot).map_err(|error| name_recipients(error.into(), snapshot))?;
    let target = absolute(&arguments.target);
    let waiting = restore::waiting(&target, repository, snapshot)?;
    if waiting.is_none() {
        restore::must_be_restored(&target).map_err(import::not_restored)?;
    }
    let records = restore::records(&target);
    let dumps = Dumps::Restored(&target, repository);
    let importing = &arguments.importing;
    let plan = importing.plan(dumps, &records, &manifest, commands, output)?;
    let (lost, whole) = plan.lost_and_whole();
    for role in &lost {
        Output::warning(format_args!(
            "lost: database {role}: the repository has no whole dump of it any more, so it is not loaded"
        ));
    }
    let (mut imported, mut next) = (Vec::new(), Vec::new());
    if !arguments.dry_run {
        imported = plan.run(&target, &whole, waiting.is_some(), output)?;
        if let Some(waiting) = waiting {
            waiting.finish(&|text| output.progress(text))?;
            output.detail("finished  the commits are in their places now");
        }
        next.push(plan.verify().to_owned());
        print_next(&target, &next, output);
    }
    let is_whole = lost.is_empty();
    output.json(&ImportOutcome {
        snapshot: snapshot.id(),
        target: &target,
        imported,
        lost_databases: lost,
        next,
    })?;
    Ok(if is_whole { Status::Done } else { Status::ReadTheReport })
}

/// A target that a restore has filled already may lack its databases only.
fn goes_on(error: restore::Error, commands: &NextCommands) -> CommandError {
    let is_restored = match &error {
        restore::Error::NotEmpty { path } => path.join(restore::SQL_FOLDER).is_dir(),
        _ => false,
    };
    let mut error = CommandError::from(error);
    if is_restored {
        let hint = error.hint.unwrap_or_default();
        error.hint = Some(format!(
            "{hint}; if only its databases are to be loaded: {} and the same --database options",
            commands.import
        ));
    }
    error
}
