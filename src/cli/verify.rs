//! `seawall verify`: is an installation whole, live or restored?

mod ahead;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use super::databases::DatabaseArguments;
use super::global::{environment, name_recipients, warn_unpinned};
use super::output::{self, MOST_LINES, Output, bytes, count, shown};
use super::source_places::SourcePlaces;
use super::{CommandError, Global, Status};
use crate::database::mysql::MySqlErrorKind;
use crate::place::{absolute, shell};
use crate::seafile::discover::{Installation, discover, discover_without_databases};
use crate::source::readings;
use crate::time::Timestamp;
use crate::verify::{self, LeftoverSort, LibraryDamage, Options, Report};
use crate::{database, restore};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The installation's top folder
    folder: PathBuf,
    /// Do not list folders for what crashed servers left and what no pointer leads to
    #[arg(long)]
    no_leftovers: bool,
    /// How long to wait before what is missing is looked for again: the server may be running
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    second_look: u64,
    /// Ask this snapshot of the repository, not the databases, what should be there: its name, the
    /// beginning of it, or `latest`
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Option<String>,
    #[command(flatten)]
    places: SourcePlaces,
    #[command(flatten)]
    databases: DatabaseArguments,
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    let options = Options {
        leftovers: !arguments.no_leftovers,
        second_look: Duration::from_secs(arguments.second_look),
        // Only a restored folder is known to have no databases that are newer than the snapshot.
        databases_elsewhere: arguments.snapshot.is_some() && !is_restored(&arguments.folder),
        ..Options::default()
    };
    must_be_finished(&arguments.folder)?;
    let (installation, report) = match &arguments.snapshot {
        None => by_databases(arguments, &options, output)?,
        Some(name) => by_snapshot(global, name, arguments, &options, output)?,
    };
    for warning in &installation.warnings {
        Output::warning(warning);
    }
    print(&report, &arguments.folder, output);
    output.json(&report)?;
    Ok(if report.is_good() { Status::Done } else { Status::ReadTheReport })
}

/// Whether a restore filled a folder.
fn is_restored(folder: &Path) -> bool {
    [restore::NOTES, restore::STANDBY, restore::SQL_FOLDER]
        .iter()
        .any(|name| folder.join(name).symlink_metadata().is_ok())
}

/// Refuses a folder that a restore has not filled yet: its databases come last.
fn must_be_finished(folder: &Path) -> Result<(), CommandError> {
    if folder.join(restore::UNFINISHED).symlink_metadata().is_err() {
        return Ok(());
    }
    Err(CommandError::new(
        anyhow!("{}: this restore is unfinished", folder.display()),
        format!(
            "run it again: the same `seawall restore` goes on where it stopped ({} says of which snapshot)",
            restore::UNFINISHED
        ),
    ))
}

/// Adds what to do where a restored folder's databases are not where its configuration says.
fn after_restore(folder: &Path, mut error: CommandError) -> CommandError {
    let folder_word = absolute(folder);
    let folder_word = folder_word.to_string_lossy();
    let folder_word = shell(&folder_word);
    let command = match restore::restored_from(folder) {
        Some(from) => format!(
            "`seawall verify {folder_word} --snapshot {} -r {}`",
            shell(&from.snapshot),
            shell(&from.repository)
        ),
        None => format!("`seawall verify {folder_word} --snapshot latest -r REPOSITORY`"),
    };
    let hint = format!(
        "if this folder was restored, and its databases are not in place: {command}; if they were loaded into \
         another server, name it with --database-host, --database-port and --database-user"
    );
    error.hint = Some(match error.hint {
        Some(first) => format!("{first}\n{hint}"),
        None => hint,
    });
    error
}

/// Whether a server, or a database on it, was not to be had.
fn is_out_of_reach(error: &verify::Error) -> bool {
    let verify::Error::Database(database::Error::Server(error)) = error else {
        return false;
    };
    matches!(
        error.kind(),
        MySqlErrorKind::Unreachable
            | MySqlErrorKind::NoDatabase
            | MySqlErrorKind::Login
            | MySqlErrorKind::Denied(_)
            | MySqlErrorKind::Lost
    )
}

fn by_snapshot(
    global: &Global,
    name: &str,
    arguments: &Arguments,
    options: &Options,
    output: Output,
) -> Result<(Installation, Report), CommandError> {
    let repository = global.open()?;
    let markers = repository.markers()?;
    let snapshot = markers.find(name)?;
    warn_unpinned(snapshot);
    let repository = global.unlocked_for(repository, snapshot)?;
    let manifest =
        repository.manifest(snapshot).map_err(|error| name_recipients(error.into(), snapshot))?;
    let environment = environment().with_options(arguments.places.options(&[]));
    let installation = discover_without_databases(&arguments.folder, &environment)?;
    output.line(format_args!(
        "databases  none was asked: snapshot {} says what should be there",
        snapshot.id()
    ));
    let report = verify::run_by_snapshot(&installation, &manifest, options, &|text| {
        output.progress(text);
    })?;
    Ok((installation, report))
}

fn by_databases(
    arguments: &Arguments,
    options: &Options,
    output: Output,
) -> Result<(Installation, Report), CommandError> {
    let folder = arguments.folder.as_path();
    let environment = arguments.databases.environment()?;
    let environment = environment.with_options(arguments.places.options(&[]));
    let mut installation = discover(folder, &environment).map_err(|error| {
        let error = CommandError::from(error);
        match restore::restored_from(folder) {
            // The hint would look for configuration that a restore without databases cannot have.
            Some(_) => after_restore(folder, CommandError { hint: None, ..error }),
            None => error,
        }
    })?;
    readings::settle(&mut installation);
    // Not in the state folder: a machine that only verifies needs none.
    let spool = tempfile::Builder::new()
        .prefix("seawall-verify-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir()
        .map_err(|error| {
            CommandError::new(error, "set TMPDIR to a folder with room for copies of the databases")
        })?;
    let report = verify::run(&installation, spool.path(), options, &|text| {
        output.progress(text);
    });
    let report = report.map_err(|error| {
        let is_out_of_reach = is_out_of_reach(&error);
        let error = arguments.databases.blame(error.into());
        if is_out_of_reach { after_restore(folder, error) } else { error }
    })?;
    print_databases(&report, output);
    Ok((installation, report))
}

/// Which databases said what should be there: with a restored folder it may be another server's than one thinks.
fn print_databases(report: &Report, output: Output) {
    let (files, on_servers): (Vec<_>, Vec<_>) =
        report.databases.iter().partition(|database| database.from.is_none());
    let mut label = "databases  ";
    for database in on_servers {
        let from = database.from.as_deref().unwrap_or_default();
        output.line(format_args!("{label}{} ({})", shown(&database.path), shown(from)));
        label = "           ";
    }
    if !files.is_empty() {
        let paths: Vec<String> = files.iter().map(|database| shown(&database.path)).collect();
        output.line(format_args!("{label}{} (SQLite)", paths.join(", ")));
    }
}

fn print(report: &Report, folder: &Path, output: Output) {
    Output::warnings(&report.warnings);
    print_notes(report, output);
    output.detail(format_args!(
        "verified  {}, {}, {} read",
        count(report.libraries, "library", "libraries"),
        count(report.objects, "object", "objects"),
        bytes(report.bytes_read)
    ));
    print_problems(report, output);
    ahead::print(report, folder, output);
    output.detail(output::took());
    output.line(last_line(report));
}

/// What is wrong, by library; then what to do.
fn print_problems(report: &Report, output: Output) {
    for database in &report.databases {
        for problem in database.problems.iter().take(MOST_LINES) {
            output.line(format_args!("damaged   database {}: {}", database.path, shown(problem)));
        }
    }
    for damage in report.damage.iter().take(MOST_LINES) {
        print_damage(damage, output);
    }
    if report.damaged > MOST_LINES as u64 {
        let more = report.damaged - MOST_LINES as u64;
        output.line(format_args!("damaged   … and {more} more; see --json"));
    }
    for changed in &report.changed {
        let name = name(changed.library_name.as_deref());
        let unsettled = match changed.unsettled {
            0 => String::new(),
            missing => format!(
                "; {} missing, verify once more",
                count(missing, "object was", "objects were")
            ),
        };
        output.line(format_args!(
            "changed   {name} ({}) while it was verified{unsettled}",
            changed.library
        ));
    }
    for library in report.damaged_libraries.iter().take(MOST_LINES) {
        let newest = match (library.in_newest_state, library.in_base) {
            (0, 0) => "only in its history".to_owned(),
            (0, base) if base == library.damaged => {
                "only for merging with the library that it is a part of".to_owned()
            }
            (0, _) => "only in its history and for merging with the library that it is a part of"
                .to_owned(),
            (some, _) => format!("{some} of them in its newest state"),
        };
        let trash = if library.in_trash { ", in the trash" } else { "" };
        output.line(format_args!(
            "library   {} ({}{trash}): {}, {newest}",
            name(library.library_name.as_deref()),
            library.library,
            count(library.damaged, "damage", "damages")
        ));
    }
    if report.damaged_libraries.len() > MOST_LINES {
        let more = report.damaged_libraries.len() - MOST_LINES;
        output.line(format_args!("library   … and {more} more; see --json"));
    }
    for hint in report.hints.iter().take(MOST_LINES) {
        output.line(format_args!("hint      {}", shown(hint)));
    }
    if report.damaged > 0 || report.databases.iter().any(|database| !database.problems.is_empty()) {
        output.line(format_args!("next      {DO_NOT}"));
    }
    // A row that was lost is no file: the hints say how it comes back.
    if report.damage.iter().any(|damage| damage.file.is_some()) {
        output.line(format_args!("next      {COPY_BACK}"));
    }
}

const DO_NOT: &str =
    "do not run seaf-gc (it may delete what is left) nor seaf-fsck -r (it makes the loss final)";
const COPY_BACK: &str = "`seawall restore` a snapshot elsewhere and copy what is damaged from there to its old place \
                         (same name, owner, mode 0600); then verify once more";

/// Tells good from bad at once.
fn last_line(report: &Report) -> String {
    if report.is_good() {
        return "good      every pointer leads to an object that is what its name says".to_owned();
    }
    if report.is_whole() && report.libraries == 0 {
        return "nothing   the databases list no library, so nothing was verified; are they this server's?".to_owned();
    }
    if report.is_whole() {
        return "problems  libraries changed too often to be judged; verify once more".to_owned();
    }
    let mut what = Vec::new();
    let databases = report.databases.iter();
    let databases = databases.filter(|database| !database.problems.is_empty());
    let databases = databases.count() as u64;
    if databases > 0 {
        what.push(count(databases, "damaged database", "damaged databases"));
    }
    let damaged = report.damaged_libraries.len() as u64;
    if damaged > 0 {
        let objects = count(report.damaged, "damage", "damages");
        what.push(format!("{objects} in {}", count(damaged, "library", "libraries")));
    }
    let reverting = report.would_revert().count() as u64;
    if reverting > 0 {
        what.push(format!(
            "clients of {} would be set back",
            count(reverting, "library", "libraries")
        ));
    }
    let whole = report.libraries.saturating_sub(damaged);
    format!(
        "problems  {}; {whole} of {} whole",
        what.join(", "),
        count(report.libraries, "library is", "libraries are")
    )
}

/// What is not wrong, and good to know.
fn print_notes(report: &Report, output: Output) {
    for store in &report.without_pointer {
        let what = if store.garbage {
            "deleted for good"
        } else if store.in_trash {
            "in the trash, by a row that names no head"
        } else {
            "no row points to it"
        };
        output.detail(format_args!("note      store {}: {what}", store.store));
    }
    if !report.lost_before.is_empty() {
        let lost = count(report.lost_before.len() as u64, "object", "objects");
        output.detail(format_args!(
            "note      {lost} were lost already when the snapshot was made; see --json"
        ));
    }
    let histories = report.history_incomplete.iter();
    let gone: u64 = histories.map(|history| history.objects).sum();
    if gone > 0 {
        output.detail(format_args!(
            "note      {} of collected history are gone, as Seafile was told to",
            count(gone, "object", "objects")
        ));
    }
    for left in report.leftovers.iter().take(MOST_LINES) {
        let sort = match left.sort {
            LeftoverSort::Temporary => "unfinished uploads, or left by a crash",
            LeftoverSort::Foreign => "no objects",
        };
        output.detail(format_args!(
            "note      {} ({}) in {}: {sort}; such as {}",
            count(left.files, "file", "files"),
            bytes(left.bytes),
            shown(&left.folder),
            shown(&left.examples.join(", "))
        ));
    }
    print_unreached(report, output);
}

/// What no pointer leads to: garbage where everything can be read, and perhaps data where something cannot.
fn print_unreached(report: &Report, output: Output) {
    let (below, garbage): (Vec<_>, Vec<_>) =
        report.unreached.iter().partition(|entry| entry.below_damage);
    for (entries, what) in [
        (garbage, "that nothing points to: garbage, or uploads that go on"),
        (
            below,
            "that only what is damaged may point to: keep them, they may be all that is left of it",
        ),
    ] {
        let objects: u64 = entries.iter().map(|entry| entry.objects).sum();
        if objects == 0 {
            continue;
        }
        let stores: HashSet<_> = entries.iter().map(|entry| entry.store).collect();
        let length = entries.iter().map(|entry| entry.bytes).sum();
        let bad = match entries.iter().map(|entry| entry.bad).sum() {
            0 => String::new(),
            bad => format!("; {bad} of them torn, which harms nobody"),
        };
        output.detail(format_args!(
            "note      {} ({}) in {} {what}{bad}",
            count(objects, "object", "objects"),
            bytes(length),
            count(stores.len() as u64, "store", "stores"),
        ));
    }
}

/// Paths that are shown for one damaged object; JSON has them all.
const MOST_PATHS: usize = 10;

fn print_damage(damage: &LibraryDamage, output: Output) {
    let place = match (damage.in_trash, &damage.version) {
        (true, _) => ", in the trash",
        (false, Some(version)) if version.base => ", merging of a shared folder",
        (false, Some(_)) => ", history only",
        _ => "",
    };
    let object = damage.object;
    let library = format!("{} ({}{place})", name(damage.library_name.as_deref()), damage.library);
    let detail = shown(&damage.detail);
    match &damage.file {
        None => output.line(format_args!("damaged   {library}: {detail}")),
        Some(file) => {
            output.line(format_args!("damaged   {library}: {} {file}: {detail}", object.kind));
        }
    }
    for path in damage.paths.iter().take(MOST_PATHS) {
        output.line(format_args!("            {}", shown(path)));
    }
    let more = damage.paths.len().saturating_sub(MOST_PATHS);
    match (more, damage.paths_cut) {
        (0, false) => {}
        (0, true) => output.line("            … and perhaps more"),
        (more, false) => output.line(format_args!("            … and {more} more; see --json")),
        (more, true) => output.line(format_args!(
            "            … and {more} more in --json, which has not all of them either"
        )),
    }
    if let Some(version) = &damage.version {
        let time = version.time.and_then(Timestamp::from_seconds);
        let time = time.map_or(String::new(), |time| format!(" of {time}"));
        let path = version.path.as_deref().unwrap_or_default();
        output.line(format_args!(
            "            in version {}{time} {}",
            version.commit,
            shown(path)
        ));
    }
}

fn name(name: Option<&str>) -> String {
    name.map_or("a library without a name".to_owned(), |name| format!("library {:?}", shown(name)))
}
