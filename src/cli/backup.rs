//! `seawall backup`: backs up an installation.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::Args;
use serde::Serialize;

use super::databases::{AlsoDatabases, Databases};
use super::destination;
use super::init;
use super::output::{self, Output, bytes, count};
use super::place::{self, Joined};
use super::sheet::recovery_sheet;
use super::{CommandError, Global, Status};
use crate::backup::{self, Context, Options, Report};
use crate::repository::acceptances::Acceptances;
use crate::repository::manifest::{Damage, LibraryState, Manifest, count_objects};
use crate::repository::names;
use crate::repository::state::RepositoryState;
use crate::seafile::discover::{Installation, discover};
use crate::seafile::files;
use crate::source;
use crate::time::Clock;

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Arguments {
    /// The installation's top folder, such as /opt/seafile
    #[arg(default_value = ".")]
    source: PathBuf,
    /// Make the repository if there is none
    #[arg(long)]
    init: bool,
    #[command(flatten)]
    initial: init::Joining,
    #[command(flatten)]
    databases: Databases,
    #[command(flatten)]
    also_databases: AlsoDatabases,
    /// Copy unreachable objects too, as the manual's rsync does; lists every store
    #[arg(long)]
    everything: bool,
    /// A file or folder outside of the installation to back up too (docker's .env, compose files)
    #[arg(long, value_name = "PATH")]
    also: Vec<PathBuf>,
    /// Leave out ordinary files that match, relative to the installation (logs/**, *.bak)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Compare what is stored with the catalog now, not just once a day
    #[arg(long)]
    list: bool,
    /// Show what would be backed up and where that was found; store nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    let environment = (arguments.databases).environment_with(&arguments.also_databases)?;
    let installation = discover(&arguments.source, &environment)?;
    for warning in &installation.warnings {
        Output::warning(warning);
    }
    let mut options = options(arguments);
    if arguments.dry_run {
        return dry_run(&installation, &options, output);
    }
    if let Some(path) = seawall_backends::local_path(global.url()?) {
        keep_out(&installation, arguments, &path, "the repository")?;
    }
    keep_out(
        &installation,
        arguments,
        &global.state_path()?,
        "the state folder",
    )?;
    let state = global.state()?;
    let lock = state.lock()?;
    let joined = join(global, arguments, &state, output)?;
    options.accepted = accepted(&joined.state);
    let spool = state.clean_spool(&lock)?;
    let host = place::host_name();
    let context = Context {
        repository: &joined.repository,
        host_key: &joined.host_key,
        catalog: &joined.state.catalog_path(),
        spool: &spool,
        clock: &Clock::system(),
        host: &host,
        progress: &|text| output.progress(text),
    };
    let report = backup::run(context, &installation, &options)?;
    print(&joined, &report, output);
    output.json(&Summary::of(&joined, &report))?;
    Ok(if report.needs_reading() {
        Status::ReadTheReport
    } else {
        Status::Done
    })
}

/// What the administrator accepted. A file that cannot be read keeps nobody from backing up: then all
/// damage counts.
fn accepted(state: &RepositoryState) -> Option<Acceptances> {
    state.accepted().unwrap_or_else(|error| {
        let error = anyhow::Error::from(error);
        Output::warning(format_args!(
            "no damage counts as accepted in this run: {error:#}"
        ));
        Some(Acceptances::default())
    })
}

/// A backup must not contain itself: it would grow with every run, and hold the host's key.
fn keep_out(
    installation: &Installation,
    arguments: &Arguments,
    path: &Path,
    what: &str,
) -> Result<(), CommandError> {
    let real = place::real(path);
    let also = arguments.also.iter().map(|path| place::real(path));
    let inside = [installation.top.clone(), installation.data_dir.clone()]
        .into_iter()
        .chain(also)
        .find(|folder| real.starts_with(folder));
    match inside {
        None => Ok(()),
        Some(folder) => Err(CommandError::new(
            anyhow::anyhow!(
                "{what} {} lies inside of {}, which is to be backed up",
                path.display(),
                folder.display()
            ),
            "choose a place outside, best on another disk",
        )),
    }
}

fn options(arguments: &Arguments) -> Options {
    Options {
        everything: arguments.everything,
        also: arguments
            .also
            .iter()
            .map(|path| place::absolute(path))
            .collect(),
        excludes: arguments.exclude.clone(),
        list: arguments.list,
        ..Options::default()
    }
}

fn join(
    global: &Global,
    arguments: &Arguments,
    state: &crate::repository::state::StateFolder,
    output: Output,
) -> Result<Joined, CommandError> {
    match place::joined(global, state, arguments.initial.weak_writes()) {
        Err(error)
            if arguments.init && matches!(error.status, Status::NoRepository | Status::NoKey) =>
        {
            let (joined, how) = init::join(global, &arguments.initial, state)?;
            let sheet = joined.state.keep_sheet(&recovery_sheet(&joined, global)?)?;
            let what = match how {
                init::How::Made => "made",
                init::How::Joined | init::How::PutAgain(_) => "joined",
            };
            output.detail(format_args!(
                "{what} the repository {}; print the recovery sheet: {}\n",
                joined.repository.place(),
                sheet.display()
            ));
            Ok(joined)
        }
        Err(mut error) if error.status == Status::NoRepository => {
            error.hint = Some("add --init to make it, or give the place where it is".into());
            Err(error)
        }
        result => result,
    }
}

/// Everything that was found, and from which file.
fn dry_run(
    installation: &Installation,
    options: &Options,
    output: Output,
) -> Result<Status, CommandError> {
    let findings = installation.findings.iter();
    let rows: Vec<Vec<String>> = findings
        .map(|finding| {
            vec![
                finding.what.clone(),
                output::shown(&finding.value),
                finding.from.clone(),
            ]
        })
        .collect();
    output.line(output::table(&rows));
    let scan = files::scan(&source::scan_options(
        installation,
        &options.excludes,
        &options.also,
    ))
    .map_err(|error| CommandError::from(anyhow::Error::from(error)))?;
    output.line("\nordinary files:");
    let groups: Vec<Vec<String>> = scan
        .groups
        .iter()
        .map(|group| {
            let size = group.entries.iter().map(|entry| match entry.kind {
                files::EntryKind::File { len } => len,
                _ => 0,
            });
            let entries = count(group.entries.len() as u64, "entry", "entries");
            vec![
                format!("  {}", output::shown(&group.label)),
                entries,
                bytes(size.sum()),
            ]
        })
        .collect();
    output.line(output::table(&groups));
    output.line("\nleft out:");
    for left in &scan.left_out {
        output.line(format_args!(
            "  {} ({})",
            output::shown(&left.path.to_string_lossy()),
            left.reason
        ));
    }
    output.line(format_args!(
        "  by default: {}",
        files::DEFAULT_EXCLUDES.join(", ")
    ));
    for warning in &scan.warnings {
        Output::warning(format_args!("{}: {}", warning.path.display(), warning.kind));
    }
    let findings: Vec<Found<'_>> = installation.findings.iter().map(Found::of).collect();
    output.json(&findings)?;
    Ok(Status::Done)
}

/// A finding of a dry run, for programs.
#[derive(Serialize)]
struct Found<'a> {
    what: &'a str,
    value: &'a str,
    from: &'a str,
}

impl<'a> Found<'a> {
    fn of(finding: &'a crate::seafile::discover::Finding) -> Self {
        Self {
            what: &finding.what,
            value: &finding.value,
            from: &finding.from,
        }
    }
}

/// The result for programs.
#[derive(Serialize)]
struct Summary<'a> {
    snapshot: String,
    marker: String,
    sequence: u64,
    libraries: u64,
    objects_stored: u64,
    object_bytes: u64,
    packs_stored: u64,
    bytes_stored: u64,
    databases_stored: usize,
    file_groups_stored: usize,
    visited: u64,
    damage: &'a [Damage],
    source_damage: &'a [Damage],
    accepted: u64,
    new_damage: u64,
    new_source_damage: u64,
    incomplete: &'a [String],
    warnings: Vec<String>,
    attempts_lost_to_races: usize,
    calls_made_again: u64,
    longest_lock_ms: u128,
}

impl<'a> Summary<'a> {
    fn of(joined: &Joined, report: &'a Report) -> Self {
        let Report {
            marker,
            manifest,
            totals,
            ..
        } = report;
        Self {
            snapshot: marker.snapshot.to_string(),
            marker: marker_place(joined, report),
            sequence: marker.sequence,
            libraries: manifest.libraries.len() as u64,
            objects_stored: totals.objects,
            object_bytes: totals.object_bytes,
            packs_stored: totals.packs,
            bytes_stored: totals.packed_bytes,
            databases_stored: report.databases_stored,
            file_groups_stored: report.groups_stored,
            visited: report.visited,
            damage: &manifest.damage,
            source_damage: &manifest.source_damage,
            accepted: marker.accepted,
            new_damage: report.new_damage,
            new_source_damage: report.new_source_damage,
            incomplete: &marker.incomplete,
            warnings: report.warnings(),
            attempts_lost_to_races: report.races,
            calls_made_again: destination::RETRIES.load(Ordering::Relaxed),
            longest_lock_ms: report.locked_for.as_millis(),
        }
    }
}

fn marker_place(joined: &Joined, report: &Report) -> String {
    let key = names::marker(report.marker.snapshot);
    crate::repository::place::of_key(joined.repository.place(), &key)
}

/// What was backed up, what was proved, where the marker is.
fn print(joined: &Joined, report: &Report, output: Output) {
    let Report {
        marker,
        manifest,
        totals,
        ..
    } = report;
    Output::warnings(&report.warnings());
    print_damage(manifest, &manifest.damage, "is lost");
    print_damage(
        manifest,
        &manifest.source_damage,
        "is bad in the source, good in the repository",
    );
    output.detail(format_args!("source    {}", source_line(manifest)));
    output.detail(format_args!(
        "stored    {} ({}) in {} ({}), {} of {}, {} of {}",
        count(totals.objects, "object", "objects"),
        bytes(totals.object_bytes),
        count(totals.packs, "pack", "packs"),
        bytes(totals.packed_bytes),
        report.databases_stored,
        count(manifest.databases.len() as u64, "database", "databases"),
        report.groups_stored,
        count(
            manifest.files.len() as u64,
            "group of files",
            "groups of files"
        ),
    ));
    let counts = manifest.libraries.iter().map(|library| library.counts);
    let (objects, total) = counts.fold((0, 0), |(objects, total), counts| {
        (
            objects + counts.commits + counts.fs + counts.blocks,
            total + counts.bytes,
        )
    });
    output.detail(format_args!(
        "holds     {objects} objects ({}) of these libraries; {} ({}) in all",
        bytes(total),
        count(marker.packs, "pack", "packs"),
        bytes(marker.bytes)
    ));
    output.detail(format_args!("proved    {}", proof_line(report)));
    if let Some(known) = accepted_line(manifest) {
        output.detail(format_args!("accepted  {known}"));
    }
    if let Some(retries) = destination::retries() {
        output.detail(format_args!("network   {retries}"));
    }
    output.detail(format_args!("snapshot  {}", marker.snapshot));
    output.line(format_args!("marker    {}", marker_place(joined, report)));
    if let Some(reasons) = reasons_to_read(report) {
        output.line(format_args!("read      {reasons}"));
    }
}

/// All that is known and no news, in one line.
fn accepted_line(manifest: &Manifest) -> Option<String> {
    let damage = manifest.damage.iter().chain(&manifest.source_damage);
    let known = count_objects(damage.filter(|damage| damage.accepted.is_some()));
    let objects = count(known, "damaged object", "damaged objects");
    (known > 0).then(|| format!("{objects} known; `seawall damage list` names them"))
}

/// Why the exit status is 3, in one line that makes the subject of a mail; what is new comes first.
fn reasons_to_read(report: &Report) -> Option<String> {
    let lost = report.marker.damage - report.marker.accepted;
    let source = count_objects(report.unaccepted_source_damage());
    let reasons = [
        (report.new_damage, "NEW damage: ", " lost"),
        (report.new_source_damage, "NEW damage in the source: ", ""),
        (
            lost.saturating_sub(report.new_damage),
            "known damage, not accepted: ",
            " lost",
        ),
        (
            source.saturating_sub(report.new_source_damage),
            "known damage in the source, not accepted: ",
            "",
        ),
    ];
    let reasons = reasons.iter().filter(|(number, ..)| *number > 0);
    let mut reasons: Vec<String> = reasons
        .map(|(number, what, how)| format!("{what}{}{how}", count(*number, "object", "objects")))
        .collect();
    if !report.marker.incomplete.is_empty() {
        reasons.push(format!("left out: {}", report.marker.incomplete.join(", ")));
    }
    if !report.alarms.is_empty() {
        let alarms = report.alarms.len() as u64;
        reasons.push(format!(
            "the repository: {}",
            count(alarms, "alarm", "alarms")
        ));
    }
    report.needs_reading().then(|| reasons.join("; "))
}

fn source_line(manifest: &Manifest) -> String {
    let libraries = &manifest.libraries;
    let number = |is: &dyn Fn(&crate::repository::manifest::Library) -> bool| {
        libraries.iter().filter(|library| is(library)).count()
    };
    format!(
        "{}: Seafile {}, {} ({} virtual, {} in the trash)",
        output::shown(&manifest.source.path),
        manifest
            .source
            .seafile_version
            .as_deref()
            .unwrap_or("of unknown version"),
        count(libraries.len() as u64, "library", "libraries"),
        number(&|library| library.origin.is_some()),
        number(&|library| library.state == LibraryState::Trash),
    )
}

fn proof_line(report: &Report) -> String {
    let Report {
        marker, manifest, ..
    } = report;
    let mut line = match marker.damage {
        0 => {
            "every pointer in the databases leads to a verified object in the repository".to_owned()
        }
        lost => format!(
            "all but {} that the databases point to are in the repository ({} new)",
            count(lost, "object", "objects"),
            report.new_damage
        ),
    };
    if !manifest.source_damage.is_empty() {
        line.push_str("; the source has lost some that the repository has");
    }
    if !marker.incomplete.is_empty() {
        line.push_str("; left out: ");
        line.push_str(&marker.incomplete.join(", "));
    }
    line
}

/// What nobody accepted, what is new first.
fn print_damage(manifest: &Manifest, damage: &[Damage], what: &str) {
    let mut shown: Vec<&Damage> = damage
        .iter()
        .filter(|damage| damage.accepted.is_none())
        .collect();
    shown.sort_by_key(|damage| !manifest.is_new(damage));
    for damage in shown.iter().take(output::MOST_LINES) {
        let name = manifest
            .library(damage.library)
            .and_then(|library| library.name.as_deref());
        let path = damage
            .paths
            .first()
            .map(|path| format!(", {}", output::shown(path)));
        let new = if manifest.is_new(damage) { "NEW: " } else { "" };
        Output::warning(format_args!(
            "{new}{what}: {} ({}) in library {:?}{}",
            damage.object(),
            output::shown(&damage.detail),
            name.unwrap_or("-"),
            path.unwrap_or_default()
        ));
    }
    let more = shown.iter().skip(output::MOST_LINES);
    let new = more
        .clone()
        .filter(|damage| manifest.is_new(damage))
        .count();
    if more.len() > 0 {
        Output::warning(format_args!(
            "… and {} more ({new} NEW); `seawall damage list` names them all",
            more.len()
        ));
    }
}
