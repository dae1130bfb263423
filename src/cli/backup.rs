//! `seawall backup`: backs up an installation.

mod report;
mod storage;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::databases::{AlsoDatabases, DatabaseArguments};
use super::init;
use super::output::{self, Output, bytes, count};
use super::source_places::SourcePlaces;
use super::{CommandError, Global, Status, apart};
use crate::backup::{self, Context, Options};
use crate::host::acceptances::Acceptances;
use crate::host::state::{RepositoryState, StateFolder};
use crate::host::{self, HowJoined, Writing, host_name};
use crate::place::{absolute, real};
use crate::repository;
use crate::seafile::discover::{Certainty, DatabaseDoubt, DiscoverWarning, Installation, discover};
use crate::seafile::files;
use crate::source::{self, readings};
use crate::time::{Clock, Timestamp};

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
    initial: init::JoiningArguments,
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
    /// Look at everything in the source, changed or not, and store anew what lies in packs that hold little else that is
    /// needed
    #[arg(long, conflicts_with = "verify_source")]
    full: bool,
    /// Look at a share of the libraries in the source, changed or not, in turn (1/30: all in thirty runs; 1/30=read reads
    /// all of their blocks)
    #[arg(long, value_name = "N/M[=read]")]
    verify_source: Option<backup::AuditShare>,
    /// Show what would be backed up and where that was found; store nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    // Last: clap puts what follows under the heading of these.
    #[command(flatten)]
    places: SourcePlaces,
    #[command(flatten)]
    databases: DatabaseArguments,
    #[command(flatten)]
    also_databases: AlsoDatabases,
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    let environment = (arguments.databases).environment_with(&arguments.also_databases)?;
    let environment = environment.with_options(arguments.places.options(&arguments.also));
    let mut installation = discover(&arguments.source, &environment)?;
    if !arguments.dry_run {
        readings::settle(&mut installation);
    }
    let mut options = options(arguments);
    for warning in &installation.warnings {
        Output::warning(warning);
    }
    // Before the repository hears of this run.
    files::check_patterns(&options.excludes).map_err(anyhow::Error::from)?;
    if arguments.dry_run {
        return dry_run(&installation, &options, output);
    }
    if let Some(path) = seawall_backends::local_path(global.url()?) {
        keep_out(&installation, arguments, &path, "the repository")?;
    }
    keep_out(&installation, arguments, &global.state_path()?, "the state folder")?;
    // A host that backs up already goes on, and `doctor` tells it.
    let known = StateFolder::existing(&global.state_path()?);
    if arguments.init && known.is_none_or(|state| !state.host_key_path().exists()) {
        apart::repository_and_state(global)?;
    }
    let state = global.state()?;
    let lock = state.lock()?;
    let joined = join(global, arguments, &state, output)?;
    options.accepted = accepted(joined.state());
    let spool = state.clean_spool(&lock)?;
    if let Some(doubt) = installation.doubt.clone() {
        doubted(&mut installation, &doubt, &spool)?;
    }
    let host = host_name();
    let context = Context {
        at: &joined,
        spool: &spool,
        clock: &Clock::system(),
        host: &host,
        progress: &|text| output.progress(text),
    };
    let report = backup::run(context, &installation, &options)?;
    let destination = global.destination()?;
    global.as_host(|host| {
        joined.remember(host, &destination);
        Ok::<_, CommandError>(())
    })?;
    let left_out = report.manifest.left_out.iter();
    let excluded =
        left_out.filter(|left| left.reason == files::LeftOutReason::Excluded.to_string());
    tell_of_idle_patterns(&options.excludes, excluded.map(|left| left.path.as_str()));
    let told: Vec<String> = installation.warnings.iter().map(ToString::to_string).collect();
    report::print(&joined, &report, &told, output);
    output.json(&report::Summary::of(&joined, &report))?;
    Ok(if report.needs_reading() { Status::ReadTheReport } else { Status::Done })
}

/// Compares databases that something speaks against with the objects. Those that were found by what
/// the program does not go by are refused if the libraries went on after them; else both times are
/// told.
fn doubted(
    installation: &mut Installation,
    doubt: &DatabaseDoubt,
    spool: &Path,
) -> Result<(), CommandError> {
    let compared = source::doubt::compare(installation, spool).map_err(backup::Error::from)?;
    let time = |seconds: Option<i64>| {
        let time = seconds.and_then(Timestamp::from_seconds);
        time.map_or_else(|| "of an unknown time".to_owned(), |time| format!("of {time}"))
    };
    let times = format!(
        "the newest commit that these databases name is {}, the newest on disk {}",
        time(compared.newest_head),
        time(compared.newest_on_disk)
    );
    let went_on = compared.went_on.len() as u64;
    if went_on == 0 && *doubt != DatabaseDoubt::OtherDatabases {
        return Ok(());
    }
    let text = if went_on > 0 {
        let libraries = count(went_on, "library", "libraries");
        format!("{times}: {libraries} went on after them, so these are not the databases in use")
    } else {
        times
    };
    if let (DatabaseDoubt::DeadConfiguration(from), true) = (doubt, went_on > 0) {
        return Err(CommandError::new(
            anyhow::anyhow!("{from}: {text}"),
            "give the container's own settings with --env-file, or name the server and the \
             databases with --database-host and --database-name",
        ));
    }
    let warning = DiscoverWarning::Compared { text };
    Output::warning(&warning);
    installation.warnings.push(warning);
    Ok(())
}

/// A pattern of `--exclude` that matches nothing may be a typing error.
fn tell_of_idle_patterns<'a>(patterns: &[String], matched: impl Iterator<Item = &'a str>) {
    let matched: Vec<&str> = matched.collect();
    for idle in patterns.iter().filter(|pattern| !matched.contains(&pattern.as_str())) {
        Output::warning(format_args!(
            "--exclude {} left nothing out: patterns are relative to the installation and match the whole path (logs/**, **/*.bak), and what is left out by default needs none",
            output::shown(idle)
        ));
    }
}

/// What the administrator accepted. A file that cannot be read keeps nobody from backing up: then all
/// damage counts.
fn accepted(state: &RepositoryState) -> Option<Acceptances> {
    state.accepted().unwrap_or_else(|error| {
        let error = anyhow::Error::from(error);
        Output::warning(format_args!("no damage counts as accepted in this run: {error:#}"));
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
    let place = real(path);
    let also = arguments.also.iter().map(|path| real(path));
    let options = options(arguments);
    let scanned = source::scan_options(installation, &options.excludes, &options.also);
    let links = files::known_links(&scanned)
        .map_err(|error| CommandError::from(anyhow::Error::from(error)))?;
    let inside = [installation.top.clone(), installation.data_dir.clone()]
        .into_iter()
        .chain(installation.conf_dir.clone())
        .chain(installation.links.iter().map(|link| link.target.clone()))
        .chain(links.into_iter().map(|link| link.target))
        .chain(also)
        .find(|folder| place.starts_with(folder));
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
        also: arguments.also.iter().map(|path| absolute(path)).collect(),
        excludes: arguments.exclude.clone(),
        list: arguments.list,
        full: arguments.full,
        verify_source: arguments.verify_source,
        ..Options::default()
    }
}

fn join(
    global: &Global,
    arguments: &Arguments,
    state: &StateFolder,
    output: Output,
) -> Result<Writing, CommandError> {
    match global.open_to_write(state, arguments.initial.weak_writes()) {
        Err(error)
            if arguments.init && matches!(error.status, Status::NoRepository | Status::NoKey) =>
        {
            let (joined, how) = init::join(global, &arguments.initial, state)?;
            init::present(&joined, &how, global, output)?;
            if let (true, HowJoined::Made(Some(passphrase))) = (output.json, &how) {
                // The report has no place for it, and nothing else tells it.
                Output::warning(init::invented(passphrase));
            }
            Ok(joined)
        }
        Err(mut error)
            if matches!(
                error.error.downcast_ref(),
                Some(host::Error::Repository(repository::Error::NoRepository { .. }))
            ) =>
        {
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
                finding.sure.to_string(),
                output::shown(&finding.from),
            ]
        })
        .collect();
    output.line(output::table(&rows));
    let failed = |error| CommandError::from(anyhow::Error::from(error));
    let scanned = source::scan_options(installation, &options.excludes, &options.also);
    let scan = files::scan(&scanned).map_err(failed)?;
    output.line("\nordinary files:");
    let links = files::known_links(&scanned).map_err(failed)?;
    for link in links {
        output.line(format_args!(
            "  {} is a link, followed to {}",
            output::shown(&link.path.to_string_lossy()),
            output::shown(&link.target.to_string_lossy())
        ));
    }
    let groups: Vec<Vec<String>> = scan
        .groups
        .iter()
        .map(|group| {
            let size = group.entries.iter().map(|entry| match entry.kind {
                files::ScanEntryKind::File { len } => len,
                _ => 0,
            });
            let entries = count(group.entries.len() as u64, "entry", "entries");
            vec![format!("  {}", output::shown(&group.label)), entries, bytes(size.sum())]
        })
        .collect();
    output.line(output::table(&groups));
    let excluded =
        scan.left_out.iter().filter(|left| left.reason == files::LeftOutReason::Excluded);
    let excluded: Vec<_> = excluded.map(|left| left.path.to_string_lossy()).collect();
    tell_of_idle_patterns(&options.excludes, excluded.iter().map(AsRef::as_ref));
    output.line("\nleft out:");
    for left in &scan.left_out {
        output.line(format_args!(
            "  {} ({})",
            output::shown(&left.path.to_string_lossy()),
            left.reason
        ));
    }
    output.line(format_args!("  by default: {}", files::DEFAULT_EXCLUDES.join(", ")));
    for warning in &scan.warnings {
        Output::warning(format_args!("{}: {}", warning.path.display(), warning.kind));
    }
    let findings: Vec<DryRunFinding<'_>> =
        installation.findings.iter().map(DryRunFinding::of).collect();
    output.json(&findings)?;
    let left_out = left_out(installation, &scan);
    if left_out.is_empty() {
        return Ok(Status::Done);
    }
    output.line(format_args!(
        "read      a backup ends with exit status 3, left out: {}",
        left_out.join(", ")
    ));
    Ok(Status::ReadTheReport)
}

/// What would not be in the backup although it should, in the marker's words.
fn left_out(installation: &Installation, scan: &files::FileScan) -> Vec<&'static str> {
    let of_files = scan.warnings.iter();
    let of_files = of_files.filter_map(|warning| warning.kind.incomplete_word());
    let mut words: Vec<&str> = of_files.chain(installation.incomplete_words()).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// A finding of a dry run, for programs.
#[derive(Serialize)]
struct DryRunFinding<'a> {
    what: &'a str,
    value: &'a str,
    from: &'a str,
    sure: Certainty,
}

impl<'a> DryRunFinding<'a> {
    fn of(finding: &'a crate::seafile::discover::InstallationFinding) -> Self {
        Self { what: &finding.what, value: &finding.value, from: &finding.from, sure: finding.sure }
    }
}
