//! `seawall check`: is the repository as its markers say?

use clap::Args;

use super::output::{Output, bytes, count, shown};
use super::{CommandError, Global, Status};
use crate::check::{self, Information, Level, Options, Report};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Read every stored byte and compare its SHA-256; needs no key
    #[arg(long)]
    read_data: bool,
    /// Only what this snapshot needs: its name, the beginning of it, or `latest`
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Option<String>,
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    let repository = global.open()?;
    let options = Options {
        level: if arguments.read_data {
            Level::Data
        } else {
            Level::Names
        },
        snapshot: arguments.snapshot.clone(),
        ..Options::default()
    };
    let report = check::run(&repository, &options, &|text| output.progress(text))?;
    print(&report, output);
    output.json(&report)?;
    Ok(if report.is_good() {
        Status::Done
    } else {
        Status::ReadTheReport
    })
}

fn print(report: &Report, output: Output) {
    for problem in &report.problems {
        let names: Vec<String> = problem
            .snapshots
            .iter()
            .take(3)
            .map(ToString::to_string)
            .collect();
        let more = if problem.affected > 3 { ", …" } else { "" };
        let needed = if names.is_empty() {
            String::new()
        } else {
            format!(" (needed by {}{more})", names.join(", "))
        };
        output.line(format_args!(
            "bad       {} {}{needed}",
            problem.key,
            shown(&problem.detail)
        ));
    }
    for note in notes(&report.information) {
        output.detail(format_args!("note      {note}"));
    }
    let read = match report.level {
        Level::Names => "names and sizes compared; --read-data reads every byte".to_owned(),
        Level::Data => format!("{} read and compared", bytes(report.bytes_read)),
    };
    output.detail(format_args!(
        "checked   {}, {} ({}): {read}",
        count(report.snapshots, "snapshot", "snapshots"),
        count(report.things, "stored file", "stored files"),
        bytes(report.bytes),
    ));
    output.line(match report.problems.len() {
        0 => "good      everything that the markers name is there".to_owned(),
        bad => format!("problems  {bad}; back up again: what the source still has is stored anew"),
    });
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
        notes.push(format!(
            "{things} ({}) that no marker names",
            bytes(unnamed.bytes)
        ));
    }
    let unknown = &information.unknown;
    if unknown.amount.things > 0 {
        let things = count(unknown.amount.things, "file", "files");
        let examples: Vec<String> = unknown
            .examples
            .iter()
            .take(3)
            .map(|name| shown(name))
            .collect();
        notes.push(format!(
            "{things} that do not belong in a repository: {}",
            examples.join(", ")
        ));
    }
    notes
}
