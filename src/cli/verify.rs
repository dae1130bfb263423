//! `seawall verify`: is an installation whole, live or restored?

use std::path::PathBuf;

use clap::Args;

use super::output::{Output, bytes, count, shown};
use super::{CommandError, Global, Status};
use crate::seafile::discover::{Environment, discover};
use crate::verify::{self, Options, Report};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The installation's top folder
    folder: PathBuf,
}

pub(super) fn run(
    _global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    let environment = Environment::new(std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    }));
    let installation = discover(&arguments.folder, &environment)?;
    // Not in the state folder: a machine that only verifies needs none.
    let spool = tempfile::Builder::new()
        .prefix("seawall-verify-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir()
        .map_err(|error| {
            CommandError::new(error, "set TMPDIR to a folder with room for copies of the databases")
        })?;
    let report = verify::run(&installation, spool.path(), &Options::default(), &|text| {
        output.progress(text);
    })?;
    for warning in &installation.warnings {
        Output::warning(warning);
    }
    print(&report, output);
    output.json(&report)?;
    Ok(if report.is_good() { Status::Done } else { Status::ReadTheReport })
}

fn print(report: &Report, output: Output) {
    for warning in &report.warnings {
        Output::warning(shown(warning));
    }
    for line in report.damage_lines() {
        output.line(format_args!("damaged   {}", shown(&line)));
    }
    for line in report.note_lines() {
        output.detail(format_args!("note      {}", shown(&line)));
    }
    output.detail(format_args!(
        "verified  {}, {}, {} read",
        count(report.libraries, "library", "libraries"),
        count(report.objects, "object", "objects"),
        bytes(report.bytes_read)
    ));
    output.line(if report.is_good() {
        "good      every pointer leads to an object that is what its name says".to_owned()
    } else {
        format!(
            "problems  {}; do not run seaf-gc or seaf-fsck -r before they are mended",
            count(report.damaged, "damaged object", "damaged objects")
        )
    });
}
