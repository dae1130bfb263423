//! What a run that is interrupted says: what is kept, and what to do next. Then the signal ends the process as it
//! would have done alone, so that a shell sees 130 for Ctrl-C and 143 for TERM.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{io, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};

use super::{CliVerb, Output};

/// Watches for Ctrl-C, TERM and the loss of the terminal, until the process ends. The first says what is kept; a second
/// one ends the process at once, also while the first one waits for a terminal that does not read.
pub(super) fn watch(verb: &CliVerb) {
    if let Err(error) = start(watched(), left_by(verb)) {
        Output::warning(format_args!(
            "cannot watch for signals: {error}; an interruption will end this run without a word"
        ));
    }
}

fn start(watched: Vec<i32>, left: &'static str) -> io::Result<()> {
    let came = Arc::new(AtomicBool::new(false));
    for signal in &watched {
        // In this order: only a signal after the first one finds the flag set.
        flag::register_conditional_default(*signal, Arc::clone(&came))?;
        flag::register(*signal, Arc::clone(&came))?;
    }
    let mut signals = Signals::new(watched)?;
    let thread = thread::Builder::new().name("signals".into());
    thread.spawn(move || signals.forever().for_each(|signal| end(signal, left)))?;
    Ok(())
}

/// The signals to watch for: without those that whoever started this process had it ignore, as `nohup` does.
/// Without `/proc` that is unknown, and none is watched for: a run under `nohup` must not end with its terminal.
fn watched() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored(&status).unwrap_or(u64::MAX);
    let is_ignored = |signal: i32| ignored & (1 << (signal - 1)) != 0;
    let mut signals = vec![SIGINT, SIGTERM, SIGHUP];
    signals.retain(|signal| !is_ignored(*signal));
    signals
}

/// The ignored signals of a process, one bit each beginning with signal 1: the line `SigIgn` of proc(5).
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// What an interrupted verb leaves, and what to do next.
fn left_by(verb: &CliVerb) -> &'static str {
    match verb {
        CliVerb::Backup(_) => {
            "what was stored is kept, and the same command goes on from there; \
             `seawall snapshots` lists the backups that are complete"
        }
        CliVerb::Restore(_) => {
            "the restore is not finished: the same command goes on from here. Do not start Seafile on it before"
        }
        CliVerb::Check(_) | CliVerb::Verify(_) => {
            "what was not looked at yet is unknown; nothing was changed"
        }
        CliVerb::Init(_) | CliVerb::Key(_) | CliVerb::Damage(_) => {
            "it may be done in part: run the same command again"
        }
        CliVerb::Snapshots(_) | CliVerb::Libraries(_) | CliVerb::Status(_) | CliVerb::Doctor(_) => {
            "nothing was changed"
        }
    }
}

/// Says what is left, and ends the process by this signal.
fn end(signal: i32, left: &str) {
    let why = match signal {
        SIGINT => "interrupted",
        SIGTERM => "asked to end",
        _ => "the terminal is gone (tmux or nohup lets a run outlive it)",
    };
    // With the terminal gone there may be nobody left to tell.
    let _ = writeln!(io::stderr(), "{why}: {left}");
    if low_level::emulate_default_handler(signal).is_err() {
        low_level::exit(128 + signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_proc() {
        let status = "Name:\tseawall\nSigBlk:\tffff\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        let mask = ignored(status).unwrap();
        assert_ne!(mask & (1 << (SIGHUP - 1)), 0);
        assert_eq!(mask & (1 << (SIGINT - 1)), 0);
        assert_eq!(ignored("Name:\tseawall\n"), None);
        assert_eq!(ignored("SigIgn:\tnonsense\n"), None);
    }
}
