//! The command line. One file a verb: arguments, library call, output. Nothing else in seawall
//! prints, reads the environment or ends the process.

mod apart;
mod backup;
mod check;
mod commands;
mod damage;
mod databases;
mod destination;
mod doctor;
mod error;
mod global;
mod import;
mod init;
mod interrupt;
mod key;
mod keys;
mod libraries;
mod output;
mod restore;
mod sheet;
mod snapshots;
mod source_places;
mod status;
mod usage;
mod verify;
mod warnings;

use std::process::ExitCode;

use clap::{FromArgMatches as _, Parser, Subcommand};

use crate::causes;
use crate::host::{self, Person};
pub use error::{CommandError, Status};
use global::Global;
use output::Output;

/// Backs up Seafile servers, and proves that the backup is good.
#[derive(Debug, Parser)]
#[command(name = "seawall", version, max_term_width = 100, after_help = EXIT_STATUS)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: CliVerb,
}

const EXIT_STATUS: &str = "Exit status: 0 done, 1 failed, 2 usage, 3 finished, but read the report (damage, or \
something left out), 10 no repository there, 11 another run is busy, 12 key wrong or missing, 130 ended by Ctrl-C.";

#[derive(Debug, Subcommand)]
enum CliVerb {
    /// Make a repository, or let this host join one; prints the recovery sheet
    Init(init::JoiningArguments),
    /// Back up an installation: databases, objects, ordinary files; then write the marker
    Backup(backup::Arguments),
    /// List snapshots
    Snapshots(snapshots::Arguments),
    /// List the libraries of a snapshot
    Libraries(libraries::Arguments),
    /// Restore a snapshot into an empty folder
    Restore(restore::Arguments),
    /// Check the repository (`verify` checks an installation)
    Check(check::Arguments),
    /// Keys: who signs, who can read, and how that changes
    Key(key::Arguments),
    /// Watch from anywhere: how old is each host's newest snapshot, and is it whole?
    Status(status::Arguments),
    /// Look whether everything is set up on this host; changes nothing
    Doctor(doctor::Arguments),
    /// List damage, and accept what is known, so that only new damage raises the alarm
    Damage(damage::Arguments),
    /// Check an installation, live or restored (`check` checks the repository)
    Verify(verify::Arguments),
}

/// Runs the command line; the process ends with what this returns.
pub fn main() -> ExitCode {
    output::elapsed();
    let matches = match usage::command().try_get_matches() {
        Ok(matches) => matches,
        Err(said) => return usage::print(said),
    };
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    commands::remember(&matches, &cli.global);
    interrupt::watch(&cli.verb);
    let output = Output { json: cli.global.json, loudness: cli.global.loudness() };
    host::set_person(Person { show: |message| Output::warning(message), ask: destination::ask });
    let result = match &cli.verb {
        CliVerb::Init(arguments) => init::run(&cli.global, arguments, output),
        CliVerb::Backup(arguments) => backup::run(&cli.global, arguments, output),
        CliVerb::Snapshots(arguments) => snapshots::run(&cli.global, arguments, output),
        CliVerb::Libraries(arguments) => libraries::run(&cli.global, arguments, output),
        CliVerb::Restore(arguments) => restore::run(&cli.global, arguments, output),
        CliVerb::Check(arguments) => check::run(&cli.global, arguments, output),
        CliVerb::Verify(arguments) => verify::run(&cli.global, arguments, output),
        CliVerb::Status(arguments) => status::run(&cli.global, arguments, output),
        CliVerb::Doctor(arguments) => doctor::run(&cli.global, arguments, output),
        CliVerb::Damage(arguments) => damage::run(&cli.global, arguments, output),
        CliVerb::Key(arguments) => key::run(&cli.global, arguments, output),
    };
    let status = result.unwrap_or_else(|error| {
        print_failure(&error, output);
        error.status
    });
    ExitCode::from(after_output(status) as u8)
}

/// The exit status, once the output is out. A result that could not be written is no success.
fn after_output(status: Status) -> Status {
    match (output::loss(), status) {
        (Some(error), Status::Done | Status::ReadTheReport) => {
            Output::failure(
                &format!("cannot write the result to the standard output: {error}"),
                Some(&format!(
                    "the work itself was finished, with exit status {}; `seawall snapshots` and `seawall status` show what is stored",
                    status as u8
                )),
            );
            Status::Failed
        }
        _ => status,
    }
}

/// Prints why a verb failed: the chain of causes in one line, then what to do next.
fn print_failure(failure: &CommandError, output: Output) {
    let text = causes::chain(failure.error.as_ref());
    let hint = failure.hint.as_deref().map(commands::complete);
    output.json_failure(failure.status as u8, &text, hint.as_deref());
    Output::failure(&text, hint.as_deref());
}
