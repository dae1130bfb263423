//! `seawall check`: is the repository as its markers say?

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::output::{self, MOST_LINES, Output, bytes, count, shown};
use super::{CommandError, Global, Status, commands};
use crate::check::{
    self, CheckLevel, DamageRecord, Deep, Information, Options, ParseSubsetError, Problem,
    ProblemKind, ReadData, Report, Subset,
};
use crate::time::Clock;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Read every stored byte and compare its SHA-256; needs no key. 1/7 reads one of seven slices
    /// (1/7 to 7/7 are everything, each file once), 5% or 2G so much, chosen anew each time
    #[arg(long, value_name = "PART", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = subset)]
    read_data: Option<Subset>,
    /// Read and decode everything: each object against its id and the index, each dump and each tar;
    /// then walk every pointer of the dumped databases. Includes --read-data. Needs room in TMPDIR for
    /// the databases and all commits and folders
    #[arg(long)]
    deep: bool,
    /// Put a record of what is bad into the repository: the next backup stores anew what the source
    /// still has of it. Without this nothing is written
    #[arg(long)]
    report: bool,
    /// Only what this snapshot needs: its name, the beginning of it, or `latest`
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Option<String>,
}

/// `all` only stands for the option without a value.
fn subset(text: &str) -> Result<Subset, ParseSubsetError> {
    match text {
        "all" => Ok(Subset::All),
        text => text.parse(),
    }
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    if arguments.deep
        && let Some(part) = arguments.read_data.filter(|part| *part != Subset::All)
    {
        return Err(CommandError {
            status: Status::Usage,
            error: anyhow!("--deep reads everything, and --read-data={part} a part of it"),
            hint: Some("give one of the two".into()),
        });
    }
    let mut repository = global.open()?;
    if arguments.deep {
        repository = global.unlocked(repository)?;
    }
    let (expected, accepted) = global.as_host(|host| {
        Ok::<_, CommandError>((host.newest_known(&repository), host.accepted_faults(&repository)))
    })?;
    let options = Options {
        level: match (arguments.deep, arguments.read_data) {
            (true, _) => CheckLevel::Deep,
            (false, Some(_)) => CheckLevel::Data,
            (false, None) => CheckLevel::Names,
        },
        subset: arguments.read_data.unwrap_or_default(),
        snapshot: arguments.snapshot.clone(),
        expected,
        accepted,
        ..Options::default()
    };
    let report = check::run(&repository, &options, &|text| output.progress(text))?;
    print(&report, output);
    let recorded = if arguments.report {
        let recorded = check::record(&repository, &report, Clock::system().now());
        if recorded.is_err() {
            // What was found must not be lost with it.
            output.json(&report)?;
        }
        recorded?
    } else {
        None
    };
    let reported = match &recorded {
        _ if !arguments.report => Reported::No,
        None => Reported::Nothing,
        Some(recorded) => Reported::In(recorded),
    };
    output.detail(output::took());
    last_line(&report, &reported, output);
    output.json(&Whole { report: &report, recorded })?;
    Ok(if report.is_good() { Status::Done } else { Status::ReadTheReport })
}

/// The report, and what was done about it.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a Report,
    recorded: Option<DamageRecord>,
}

fn print(report: &Report, output: Output) {
    // What is wrong with stored files comes first: what they held cannot resolve.
    let is_pointer = |problem: &&Problem| problem.kind == ProblemKind::Unresolved;
    let (pointers, things): (Vec<_>, Vec<_>) = report.open_problems().partition(is_pointer);
    print_problems(&things, output);
    print_problems(&pointers, output);
    print_accepted(report, output);
    for note in notes(&report.information) {
        output.detail(format_args!("note      {note}"));
    }
    let read = match (&report.data, report.level) {
        (None, _) => "names and sizes compared; --read-data reads every byte".to_owned(),
        (Some(data), _) if data.subset != Subset::All => read_of(data),
        (Some(_), CheckLevel::Deep) => format!("{} read and decoded", bytes(report.bytes_read)),
        (Some(_), _) => format!("{} read and compared", bytes(report.bytes_read)),
    };
    output.detail(format_args!(
        "checked   {}, {} ({}): {read}",
        count(report.snapshots, "snapshot", "snapshots"),
        count(report.things, "stored file", "stored files"),
        bytes(report.bytes),
    ));
    if let Some(deep) = &report.deep {
        print_deep(deep, output);
    }
}

fn read_of(data: &ReadData) -> String {
    format!(
        "{} of {} in packs and parts read ({} of {}; {})",
        data.read.things,
        count(data.of.things, "stored file", "stored files"),
        bytes(data.read.bytes),
        bytes(data.of.bytes),
        data.subset
    )
}

/// Problems of one sort, as many as a person reads.
fn print_problems(problems: &[&Problem], output: Output) {
    for problem in problems.iter().take(MOST_LINES) {
        let names: Vec<String> =
            problem.snapshots.iter().take(3).map(ToString::to_string).collect();
        let more = if problem.affected > 3 { ", …" } else { "" };
        let needed = if names.is_empty() {
            String::new()
        } else {
            format!(" (needed by {}{more})", names.join(", "))
        };
        let healed =
            if problem.healed { "; healed since: no newest snapshot needs it" } else { "" };
        output.line(format_args!(
            "bad       {} {}{needed}{healed}",
            problem.key,
            shown(&problem.detail)
        ));
    }
    if problems.len() > MOST_LINES {
        let more = problems.len() - MOST_LINES;
        output.line(format_args!("bad       … and {more} more; --json has them all"));
    }
}

/// What is known, in one line: no newer snapshot needs it, and nothing brings it back.
fn print_accepted(report: &Report, output: Output) {
    let accepted = report.problems.iter().filter(|problem| problem.accepted);
    let number = accepted.clone().count() as u64;
    if number > 0 {
        let affected = accepted.map(|problem| problem.affected).max().unwrap_or_default();
        output.detail(commands::complete(&format!(
            "accepted  {} healed since; {} something; `seawall damage list` names them",
            count(number, "fault", "faults"),
            count(affected, "older snapshot lacks", "older snapshots lack")
        )));
    }
}

fn print_deep(deep: &Deep, output: Output) {
    output.detail(format_args!(
        "decoded   {}, {}, {}, {}; {} walked",
        count(deep.objects, "object", "objects"),
        count(deep.links, "link", "links"),
        count(deep.dumps, "dump", "dumps"),
        count(deep.file_groups, "group of files", "groups of files"),
        deep.walked
    ));
    if deep.damage > 0 {
        output.detail(format_args!(
            "note      {} lost in the source before the backup, as the manifests list",
            count(deep.damage, "object was", "objects were")
        ));
    }
    if deep.history_gone > 0 {
        output.detail(format_args!(
            "note      {} of collected history are not there",
            count(deep.history_gone, "object", "objects")
        ));
    }
    if deep.unverifiable > 0 {
        output.detail(format_args!(
            "note      {} with random ids: only the SHA-256 of their packs speaks for them",
            count(deep.unverifiable, "block", "blocks")
        ));
    }
}

/// What --report did.
enum Reported<'a> {
    /// It was not asked for.
    No,
    /// There was nothing to report.
    Nothing,
    /// There is a record.
    In(&'a DamageRecord),
}

/// The verdict, and the next step.
fn last_line(report: &Report, reported: &Reported<'_>, output: Output) {
    let found = report.open_problems().count();
    let are_healed = report.open_problems().all(|problem| problem.healed);
    let part = report.data.as_ref().filter(|data| data.subset != Subset::All);
    if report.snapshots == 0 && found == 0 {
        return output.line("nothing   there is no snapshot here, so nothing is backed up; is this the right place?");
    }
    match (found, part, reported) {
        (0, None, _) if report.level == CheckLevel::Deep => {
            let lost = report.deep.as_ref().is_some_and(|deep| deep.damage > 0);
            let apart = if lost { " or to one that was lost before" } else { "" };
            output.line(format_args!(
                "good      everything is there and decodes, and every pointer leads to an object{apart}"
            ));
        }
        (0, None, _) => output.line("good      everything that the markers name is there"),
        (0, Some(data), _) => output.line(format_args!(
            "good      everything that the markers name is there; {} of {} were read",
            bytes(data.read.bytes),
            bytes(data.of.bytes)
        )),
        _ if are_healed => output.line(commands::complete(&format!(
            "problems  {found}, healed since: only older snapshots lack something; `seawall check --report` records it, if that was not done yet; then `seawall damage accept --faults` ends this alarm"
        ))),
        _ if report.open_problems().all(|problem| problem.kind == ProblemKind::Unpinned) => {
            output.line(format_args!(
                "problems  {found}; give --trust KEY from the recovery sheet to prove who made the backup"
            ));
        }
        (_, _, Reported::No) => output.line(commands::complete(&format!(
            "problems  {found}; `seawall check --report` tells the next backup, which stores anew what the source still has"
        ))),
        (_, _, Reported::Nothing) => output.line(format_args!(
            "problems  {found}; there is nothing to report that is not reported already, or that a backup could store anew"
        )),
        (_, _, Reported::In(recorded)) => output.line(format_args!(
            "problems  {found}; {} reported in {}: the next backup stores anew what the source still has",
            count(recorded.keys.len() as u64, "stored file", "stored files"),
            recorded.record
        )),
    }
}

/// What is not wrong, and good to know.
fn notes(information: &Information) -> Vec<String> {
    let mut notes = Vec::new();
    for gap in &information.gaps {
        notes.push(format!(
            "{} was built on {}, which was forgotten or removed",
            gap.snapshot, gap.previous
        ));
    }
    for snapshot in &information.forgotten_meanwhile {
        notes.push(format!("{snapshot} was forgotten during this check"));
    }
    match &*information.unfinished {
        [] => {}
        [run] => notes.push(format!("the run {run} has no marker: it goes on, or died")),
        [first, .., last] => notes.push(format!(
            "{} runs from {first} to {last} have no marker: they go on, or died",
            information.unfinished.len()
        )),
    }
    if let Some(unnamed) = information.unnamed.filter(|unnamed| unnamed.things > 0) {
        let things = count(unnamed.things, "stored file", "stored files");
        notes.push(format!("{things} ({}) that no marker names", bytes(unnamed.bytes)));
    }
    let unknown = &information.unknown;
    if unknown.amount.things > 0 {
        let things = count(unknown.amount.things, "file", "files");
        let examples: Vec<String> =
            unknown.examples.iter().take(3).map(|name| shown(name)).collect();
        notes.push(format!("{things} that do not belong in a repository: {}", examples.join(", ")));
    }
    notes
}
