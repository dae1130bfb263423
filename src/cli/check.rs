//! `seawall check`: is the repository as its markers say?

use clap::Args;

use super::output::{Output, bytes, count, shown};
use super::{CommandError, Global, Status};
use crate::check::{self, Level, Options, Report};

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
        level: if arguments.read_data { Level::Data } else { Level::Names },
        snapshot: arguments.snapshot.clone(),
        ..Options::default()
    };
    let report = check::run(&repository, &options, &|text| output.progress(text))?;
    print(&report, output);
    output.json(&report)?;
    Ok(if report.is_good() { Status::Done } else { Status::ReadTheReport })
}

fn print(report: &Report, output: Output) {
    for problem in &report.problems {
        let names: Vec<String> =
            problem.snapshots.iter().take(3).map(ToString::to_string).collect();
        let more = if problem.affected > 3 { ", …" } else { "" };
        let needed = if names.is_empty() {
            String::new()
        } else {
            format!(" (needed by {}{more})", names.join(", "))
        };
        output.line(format_args!("bad       {} {}{needed}", problem.key, shown(&problem.detail)));
    }
    for line in report.information.lines() {
        output.detail(format_args!("note      {line}"));
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
