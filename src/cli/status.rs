//! `seawall status`: are there backups, and how old is the newest?

use std::str::FromStr;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use super::output::{Output, count, shown, while_};
use super::{CommandError, Global, Status};
use crate::status::{self, HostStatus, Options, Report, StatusTrouble, UnfinishedRun};
use crate::time::{Clock, Timestamp};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Fail if the newest snapshot of any host is older: 90m, 26h, 2d, 1w
    #[arg(long, value_name = "AGE")]
    max_age: Option<Age>,
    /// Only this host: the last four digits of its snapshots' names
    #[arg(long, value_name = "HEX", value_parser = parse_host)]
    host: Option<String>,
}

/// A number of minutes, hours, days or weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age(Duration);

impl Age {
    /// How long that is.
    pub(super) fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Age {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "an age is a number and m, h, d or w: 90m, 26h, 2d, 1w";
        let number = text.strip_suffix(['m', 'h', 'd', 'w']).ok_or(FORM)?;
        let unit = match text.chars().last() {
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => 604_800,
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FORM);
        }
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        match seconds {
            Some(0) => Err("nothing is as young as that"),
            Some(seconds) => Ok(Self(Duration::from_secs(seconds))),
            None => Err("that is too long"),
        }
    }
}

fn parse_host(text: &str) -> Result<String, &'static str> {
    let text = text.to_ascii_lowercase();
    if text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text)
    } else {
        Err("a host is the last four hex digits of its snapshots' names, such as 9f3c")
    }
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    let repository = global.open_silently()?;
    let options =
        Options { max_age: arguments.max_age.map(Age::duration), host: arguments.host.clone() };
    let report = status::run(&repository, &options, Clock::system().now())?;
    print(&report, output);
    output.json(&report)?;
    match report.trouble() {
        None => Ok(Status::Done),
        Some(StatusTrouble::Read) => Ok(Status::ReadTheReport),
        Some(StatusTrouble::None) => Err(no_snapshot(&report)),
        Some(StatusTrouble::Late(host)) => Err(late(host, &report)),
    }
}

fn no_snapshot(report: &Report) -> CommandError {
    let whose = match (report.without.first(), &report.host) {
        // The line above has the key.
        (Some(_), _) => " of that host".to_owned(),
        (None, Some(host)) => format!(" of host {host}"),
        (None, None) => String::new(),
    };
    CommandError::new(
        anyhow!("there is no snapshot{whose} in {}", report.repository),
        "look at that host: is its backup set up, and what did its last run say?",
    )
}

fn late(host: &HostStatus, report: &Report) -> CommandError {
    CommandError::new(
        anyhow!(
            "the newest snapshot of host {} ({}) is {} old; the limit is {}: {}",
            shown(&host.name),
            host.host,
            while_(host.age),
            while_(report.max_age.unwrap_or_default()),
            host.snapshot
        ),
        "look at that host: does it run, and what did its last backup say?",
    )
}

fn print(report: &Report, output: Output) {
    for host in &report.hosts {
        print_host(host, report, output);
    }
    for retired in &report.retired {
        output.detail(format_args!(
            "retired   {} ({}): {}, its last; host {} goes on from it",
            shown(&retired.name),
            retired.host,
            retired.snapshot,
            retired.by
        ));
    }
    for key in &report.without {
        output.line(format_args!("missing   no snapshot by the trusted key {key}"));
    }
    for run in &report.unfinished {
        output.line(format_args!("run       {}", run_text(run)));
    }
    for bad in &report.bad {
        output.line(format_args!("bad       {} is no snapshot: {}", bad.key, shown(&bad.problem)));
    }
    if report.trouble().is_none()
        && let Some(oldest) = report.oldest()
    {
        let hosts = report.hosts.len() as u64;
        let of = if hosts == 1 {
            String::new()
        } else {
            format!(", the oldest of {}", count(hosts, "host", "hosts"))
        };
        output.detail(format_args!("good      {} old{of}", while_(oldest.age)));
    }
}

fn print_host(host: &HostStatus, report: &Report, output: Output) {
    let mut state = Vec::new();
    if host.damage > 0 {
        state.push(format!("damage {} accepted {}", host.damage, host.accepted));
    }
    state.extend(host.incomplete.iter().map(|word| format!("incomplete: {}", shown(word))));
    if host.bad_files > 0 {
        state.push(count(host.bad_files, "stored file bad", "stored files bad"));
    }
    if state.is_empty() {
        state.push("whole".into());
    }
    let text = format!(
        "{} ({}): {}, number {}, {} old, {}",
        shown(&host.name),
        host.host,
        host.snapshot,
        host.sequence,
        while_(host.age),
        state.join(", ")
    );
    let label = match (host.late, host.needs_reading()) {
        (true, _) => "late",
        (false, true) => "read",
        (false, false) => "host",
    };
    if label == "host" {
        output.detail(format_args!("{label:9} {text}"));
    } else {
        output.line(format_args!("{label:9} {text}"));
    }
    if let Some(audited) = host.audited {
        output.detail(format_args!("audited   {}", audited_text(audited, report.now)));
    }
    for note in notes(host, report) {
        output.detail(format_args!("note      {note}"));
    }
}

/// A mark of a clock that was ahead says nothing about how long ago it was.
fn audited_text(audited: Timestamp, now: Timestamp) -> String {
    if audited > now {
        return format!(
            "every library was looked at in the source since {audited}, by a clock that was ahead: when is not known"
        );
    }
    let ago = match now.since(audited).as_secs() {
        0..60 => "less than a minute ago".to_owned(),
        seconds => format!("{} ago", while_(seconds)),
    };
    format!("every library was looked at in the source since {audited} ({ago})")
}

fn notes(host: &HostStatus, report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if !host.pinned {
        notes.push(format!(
            "--trust was not given: anybody could have made this backup. If this key is on the recovery sheet: --trust {}",
            host.key
        ));
    }
    match host.clock {
        status::ClockCheck::Agree => {}
        status::ClockCheck::Differ => notes.push(format!(
            "stored {} by the storage's clock, finished {} by the host's: one of them is wrong, or the repository was copied",
            host.stored, host.finished
        )),
        status::ClockCheck::Ahead => notes.push(format!(
            "stored {} by the storage's clock, and it is {} here: one of the clocks is wrong",
            host.stored, report.now
        )),
    }
    notes
}

fn run_text(run: &UnfinishedRun) -> String {
    let state = if run.silent { "it died" } else { "it goes on, or died since" };
    format!(
        "{}: began {} ago, last heard of {} ago: {state}",
        run.snapshot,
        while_(run.began),
        while_(run.heard)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let seconds = |text: &str| text.parse::<Age>().map(|age| age.0.as_secs());
        assert_eq!(seconds("90m"), Ok(5400));
        assert_eq!(seconds("26h"), Ok(93_600));
        assert_eq!(seconds("2d"), Ok(172_800));
        assert_eq!(seconds("1w"), Ok(604_800));
        for text in [
            "",
            "26",
            "h",
            "-1h",
            "+1h",
            "1.5h",
            "1 h",
            "0h",
            "26H",
            "1h2m",
            "1s",
            "99999999999999999w",
            "1ü",
        ] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mark_that_lies_ahead_is_no_zero_seconds() {
        let now = Timestamp::from_seconds(1_795_383_248).unwrap();
        let later = now.plus(std::time::Duration::from_secs(90));
        let expected = format!("since {now} ({} ago)", while_(90));
        assert!(audited_text(now, later).ends_with(&expected));
        let text = audited_text(now, now);
        assert!(text.ends_with("(less than a minute ago)"), "{text}");
        let text = audited_text(later, now);
        assert!(text.contains("ahead") && !text.contains("0 seconds"), "{text}");
    }

    #[test]
    fn hosts() {
        assert_eq!(parse_host("9F3C").as_deref(), Ok("9f3c"));
        for text in ["", "9f3", "9f3c0", "9f3g", "ü9f"] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }
}
