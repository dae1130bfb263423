//! `seawall doctor`: is everything set up on this host?

use std::path::{Path, PathBuf};

use clap::Args;

use super::databases::{AlsoDatabases, DatabaseArguments};
use super::output::{self, Output, count, shown};
use super::source_places::SourcePlaces;
use super::{CommandError, Global, Status, commands};
use crate::doctor::{self, DoctorFinding, FindingLevel, Report, Setup};
use crate::place::real;
use crate::seafile::discover::{Environment, Installation, discover};
use crate::source::readings;
use crate::time::Clock;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The installation's top folder; without it only destination and state folder are looked at
    source: Option<PathBuf>,
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
    let mut report = Report::default();
    let state = global.state_path()?;
    let repository = match global.open_silently() {
        Ok(repository) => Some(repository),
        Err(failure) => {
            let next = failure.hint.unwrap_or_else(|| "is it mounted, and the name right?".into());
            report.bad("repository", format!("{:#}", failure.error), next);
            None
        }
    };
    let path = global.url().ok().and_then(seawall_backends::local_path);
    let setup = Setup {
        repository: repository.as_deref(),
        repository_path: path.as_deref(),
        state: &state,
        now: Clock::system().now(),
    };
    doctor::destination(&mut report, &setup);
    let environment = (arguments.databases).environment_with(&arguments.also_databases)?;
    let environment = environment.with_options(arguments.places.options(&[]));
    let installation =
        arguments.source.as_deref().and_then(|source| find(&mut report, source, &environment));
    let databases =
        installation.as_ref().map(|installation| doctor::source(&mut report, installation));
    doctor::state(&mut report, &setup, databases.as_ref());
    places(&mut report, &setup, installation.as_ref());
    print(&report, output);
    output.json(&report)?;
    Ok(if report.is_good() { Status::Done } else { Status::ReadTheReport })
}

fn find(report: &mut Report, source: &Path, environment: &Environment) -> Option<Installation> {
    match discover(source, environment) {
        Ok(mut installation) => {
            readings::settle(&mut installation);
            Some(installation)
        }
        Err(error) => {
            let next = error.hint();
            report.error("installation", &error, next);
            None
        }
    }
}

/// A backup must not contain itself, nor a repository the key that signs it.
fn places(report: &mut Report, setup: &Setup<'_>, installation: Option<&Installation>) {
    let state = real(setup.state);
    let repository = setup.repository_path.map(real);
    let tops: Vec<PathBuf> = installation
        .map(|found| vec![found.top.clone(), found.data_dir.clone()])
        .unwrap_or_default();
    doctor::apart(report, ("state folder", &state), ("installation", &tops));
    if let Some(repository) = repository {
        doctor::apart(report, ("repository", &repository), ("installation", &tops));
        doctor::apart(report, ("state folder", &state), ("repository", &[repository]));
    }
}

fn print(report: &Report, output: Output) {
    for finding in &report.findings {
        print_finding(finding, output);
    }
    let bad = report.findings.iter().filter(|finding| finding.level == FindingLevel::Bad);
    output.detail(output::took());
    output.line(match bad.count() {
        0 => "good      backups can run here".to_owned(),
        bad => format!("bad       {}, see above", count(bad as u64, "thing", "things")),
    });
}

fn print_finding(finding: &DoctorFinding, output: Output) {
    let DoctorFinding { level, what, text, next } = finding;
    let label = match level {
        FindingLevel::Ok => "ok",
        FindingLevel::Note => "note",
        FindingLevel::Bad => "bad",
    };
    let next =
        next.as_ref().map(|next| format!("\n          next: {}", shown(&commands::complete(next))));
    let lines = format!("{label:9} {what}: {}{}", shown(text), next.unwrap_or_default());
    if *level == FindingLevel::Bad {
        output.line(lines);
    } else {
        output.detail(lines);
    }
}
