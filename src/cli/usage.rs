//! The command line as clap knows it: examples, and what is said of a line that is wrong.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::output::Output;
use super::{Cli, Status, after_output};
use crate::check::Subset;

/// Two examples of each verb.
const EXAMPLES: [(&str, [&str; 2]); 11] = [
    (
        "init",
        [
            "seawall init -r /backup --recipient age1…",
            "seawall init -r sftp://backup@nas/srv/seafile --with-passphrase",
        ],
    ),
    (
        "backup",
        [
            "seawall backup /opt/seafile -r /backup",
            "seawall backup /opt/seafile -r /backup --also /root/seafile.env --exclude 'pro-data/**' --dry-run",
        ],
    ),
    (
        "snapshots",
        [
            "seawall snapshots -r /backup",
            "seawall snapshots -r sftp://backup@nas/srv/seafile --last 7 --state damaged,incomplete",
        ],
    ),
    (
        "libraries",
        ["seawall libraries -r /backup", "seawall libraries 2026-11-22 -r /backup -i restore.key"],
    ),
    (
        "restore",
        [
            "seawall restore latest -r /backup --target /srv/haiwen",
            "seawall restore 2026-11-22 -r /backup -i restore.key --target /srv/haiwen --owner seafile:seafile",
        ],
    ),
    (
        "check",
        [
            "seawall check -r /backup --read-data=1/7",
            "seawall check -r /backup --deep -i restore.key",
        ],
    ),
    ("key", ["seawall key list -r /backup", "seawall key add -r /backup --recipient age1…"]),
    (
        "status",
        ["seawall status -r /backup --max-age 26h", "seawall status -r /backup --host 9f3c --json"],
    ),
    ("doctor", ["seawall doctor -r /backup", "seawall doctor /opt/seafile -r /backup"]),
    (
        "damage",
        [
            "seawall damage list -r /backup",
            "seawall damage accept -r /backup --library Photos --path /2019 --note 'lost in 2019'",
        ],
    ),
    (
        "verify",
        ["seawall verify /srv/haiwen", "seawall verify /srv/haiwen --snapshot latest -r /backup"],
    ),
];

/// What other backup programs have, and what to do here.
const MISSING: [(&str, &str); 12] = [
    ("prune", NO_RETENTION),
    ("forget", NO_RETENTION),
    ("expire", NO_RETENTION),
    ("mount", NO_BROWSING),
    ("ls", NO_BROWSING),
    ("find", NO_BROWSING),
    ("cat", NO_BROWSING),
    ("dump", NO_BROWSING),
    ("browse", NO_BROWSING),
    ("diff", NO_BROWSING),
    (
        "copy",
        "`seawall backup` into a second repository does it, with a state folder of its own (--state-dir)",
    ),
    ("unlock", "there is nothing to unlock: a run's lock ends with its process"),
];

const NO_RETENTION: &str = "a repository only grows for now: no snapshot can be removed (README, \"What it does not do yet\")";
const NO_BROWSING: &str = "`seawall libraries` lists a snapshot's libraries; to see files, restore the snapshot into a folder (README, \"What it does not do yet\")";

/// The command line. Where a restore loads databases is said on the line alone: variables of the backups
/// name the server that was backed up.
pub(super) fn command() -> clap::Command {
    let is_of_server = |arg: &clap::Arg| arg.get_id().as_str().starts_with("database-");
    let mut command = Cli::command().mut_subcommand("restore", |restore| {
        restore.mut_args(|arg| if is_of_server(&arg) { arg.env(None) } else { arg })
    });
    for (verb, [one, other]) in EXAMPLES {
        let text = format!("Examples:\n  {one}\n  {other}");
        command = command.mut_subcommand(verb, |verb| verb.after_help(text));
    }
    command
}

/// Prints what clap has to say: help that was asked for, or what is wrong with the line.
pub(super) fn print(said: clap::Error) -> ExitCode {
    if said.use_stderr() {
        return ExitCode::from(refuse(said) as u8);
    }
    let printed = said.print();
    let status = if printed.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        Output::failure("cannot write to the standard output", None);
        Status::Failed
    } else {
        after_output(Status::Done)
    };
    ExitCode::from(status as u8)
}

/// Says what is wrong with the command line.
fn refuse(mut said: clap::Error) -> Status {
    if let Some((text, hint)) = better(&said) {
        Output::failure(&text, Some(&hint));
        return Status::Usage;
    }
    // clap's own names what the environment gave, as if it had been typed.
    if said.get(ContextKind::Usage).is_some() {
        said.insert(ContextKind::Usage, ContextValue::StyledStr(usage(&typed())));
    }
    if said.print().is_err() {
        // There is nobody left to tell.
        return Status::Usage;
    }
    Status::Usage
}

/// The words of the command line.
fn typed() -> Vec<String> {
    let words = std::env::args_os().skip(1);
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

/// How the verb that was typed is called.
fn usage(typed: &[String]) -> clap::builder::StyledStr {
    fn below(verb: &mut clap::Command, words: &[String]) -> clap::builder::StyledStr {
        for (at, word) in words.iter().enumerate() {
            if let Some(found) = verb.find_subcommand_mut(word) {
                return below(found, &words[at + 1..]);
            }
        }
        verb.render_usage()
    }
    let mut command = command();
    command.build();
    below(&mut command, typed)
}

/// What to say instead of clap's words, and what to do.
fn better(said: &clap::Error) -> Option<(String, String)> {
    let text = |kind| match said.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match said.kind() {
        ErrorKind::InvalidSubcommand => {
            let verb = text(ContextKind::InvalidSubcommand)?;
            let (_, hint) = MISSING.iter().find(|(missing, _)| *missing == verb)?;
            Some((format!("`seawall {verb}` is not built yet"), (*hint).to_owned()))
        }
        ErrorKind::UnknownArgument => {
            let part = text(ContextKind::InvalidArg)?;
            let is_part = part.parse::<Subset>().is_ok();
            (is_part && typed().iter().any(|word| word == "--read-data")).then(|| {
                (
                    format!("unexpected argument '{part}'"),
                    format!("write it with an equals sign: --read-data={part}"),
                )
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    /// A line as a shell splits it, as far as these lines need.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('\'').enumerate();
        let words = parts.flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(ToOwned::to_owned).collect(),
            _ => vec![part.to_owned()],
        });
        words.collect()
    }

    #[test]
    fn each_verb_has_two_examples_that_parse() {
        let verbs: Vec<String> =
            command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        for verb in verbs {
            let (_, examples) = EXAMPLES.iter().find(|(name, _)| *name == verb).unwrap();
            for example in examples {
                let words = words(example);
                assert_eq!(words[..2], ["seawall".to_owned(), verb.clone()]);
                let mut matches = command().try_get_matches_from(words).unwrap();
                Cli::from_arg_matches_mut(&mut matches).unwrap();
                let mut command = command();
                let verb = command.find_subcommand_mut(&verb).unwrap();
                let help = verb.render_help().to_string();
                assert!(help.contains(example), "{example} is not in {help}");
            }
        }
    }

    #[test]
    fn a_verbs_own_options_come_before_the_shared_ones() {
        let mut command = command();
        command.build();
        // clap adds `help` itself.
        let verbs = command.get_subcommands_mut();
        for verb in verbs.filter(|verb| verb.get_name() != "help") {
            let help = verb.render_help().to_string();
            let shared = help.find("Options of every verb:").unwrap();
            let servers = help.find("How a MySQL or MariaDB server is reached:");
            assert!(servers.is_none_or(|servers| servers < shared), "{help}");
            for own in verb.get_arguments().filter(|arg| arg.get_help_heading().is_none()) {
                let Some(long) = own.get_long().filter(|long| *long != "help") else {
                    continue;
                };
                let at = help.find(&format!("--{long}")).unwrap();
                assert!(
                    at < shared && servers.is_none_or(|servers| at < servers),
                    "--{long}: {help}"
                );
            }
        }
    }

    #[test]
    fn what_other_programs_have_is_said_to_be_missing() {
        for (verb, _) in MISSING {
            let said = command().try_get_matches_from(["seawall", verb]).unwrap_err();
            let (text, _) = better(&said).unwrap();
            assert_eq!(text, format!("`seawall {verb}` is not built yet"));
        }
    }
}
