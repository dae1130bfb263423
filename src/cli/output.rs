//! Everything that reaches a terminal passes here: lines of results to stdout, the rest to stderr.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::time::{Clock, Timestamp};

pub use crate::units::{bytes, count};

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Results and errors.
    Quiet,
    /// The usual.
    Normal,
    /// Each step.
    Verbose,
}

/// Lines of one sort that are shown to a person; JSON has them all.
pub const MOST_LINES: usize = 20;

/// Where a verb writes.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// One JSON object instead of lines.
    pub json: bool,
    /// How much to say.
    pub loudness: Loudness,
}

impl Output {
    /// A line of the result; nothing in JSON mode.
    pub fn line(self, text: impl Display) {
        if !self.json {
            let written = writeln!(io::stdout().lock(), "{}", visible(&text.to_string()));
            // Whoever closed the pipe, as `head` does, has read enough.
            note_loss(written, |error| error.kind() != io::ErrorKind::BrokenPipe);
        }
    }

    /// A line of the result that `-q` leaves out.
    pub fn detail(self, text: impl Display) {
        if self.loudness > Loudness::Quiet {
            self.line(text);
        }
    }

    /// What goes on, with `-v`.
    pub fn progress(self, text: &str) {
        if self.loudness == Loudness::Verbose {
            let _ = writeln!(io::stderr().lock(), "{}", shown(text));
        }
    }

    /// What the administrator should know.
    pub fn warning(text: impl Display) {
        let text = visible(&text.to_string());
        let _ = writeln!(io::stderr().lock(), "warning: {text}");
    }

    /// What the administrator should know, one line each, as many as a person reads.
    pub fn warnings(lines: &[String]) {
        for line in lines.iter().take(MOST_LINES) {
            Self::warning(shown(line));
        }
        if lines.len() > MOST_LINES {
            Self::warning(format_args!(
                "… and {} more; --json has them all",
                lines.len() - MOST_LINES
            ));
        }
    }

    /// Why a verb failed, and what to do next.
    pub fn failure(text: &str, hint: Option<&str>) {
        let mut stderr = io::stderr().lock();
        // There is nobody left to tell.
        let _ = writeln!(stderr, "error: {}", shown(text));
        if let Some(hint) = hint {
            let _ = writeln!(stderr, "hint: {}", visible(hint));
        }
    }

    /// The result as JSON, in JSON mode; an object also says in `run` when the verb began and ended.
    pub fn json(self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        if self.json {
            write_json(&with_times(serde_json::to_string(value)?));
        }
        Ok(())
    }

    /// Why a verb failed, as the JSON object that a program waits for; not after a report, which says it.
    pub fn json_failure(self, status: u8, text: &str, hint: Option<&str>) {
        if self.json && !JSON_IS_OUT.load(Ordering::Relaxed) {
            let failure = serde_json::json!({
                "error": text,
                "hint": hint,
                "exit_status": status,
            });
            write_json(&with_times(failure.to_string()));
        }
    }
}

/// Whether a JSON value was written: each verb writes one.
static JSON_IS_OUT: AtomicBool = AtomicBool::new(false);

fn write_json(text: &str) {
    JSON_IS_OUT.store(true, Ordering::Relaxed);
    // Half a JSON object is none: here a closed pipe is a loss too.
    note_loss(writeln!(io::stdout().lock(), "{text}"), |_| true);
}

/// A JSON object with `run` at its end: when the verb began and ended. Other values stay as they are.
fn with_times(json: String) -> String {
    let Some(fields) = json.strip_prefix('{').and_then(|json| json.strip_suffix('}')) else {
        return json;
    };
    let (began, seconds) = elapsed();
    let comma = if fields.is_empty() { "" } else { "," };
    format!(
        r#"{{{fields}{comma}"run":{{"started":"{began}","finished":"{}","seconds":{seconds:.3}}}}}"#,
        Clock::system().now()
    )
}

/// When the verb began.
static BEGAN: OnceLock<(Timestamp, Instant)> = OnceLock::new();

/// When the verb began, and for how many seconds it has run; the first call begins.
pub fn elapsed() -> (Timestamp, f64) {
    let (began, instant) = BEGAN.get_or_init(|| (Clock::system().now(), Instant::now()));
    (*began, instant.elapsed().as_secs_f64())
}

/// The line of a report that says when the verb ran and for how long.
pub fn took() -> String {
    let (began, seconds) = elapsed();
    let whole = if seconds < 10.0 {
        format!("{seconds:.1} seconds")
    } else {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and years fit"
        )]
        while_(seconds as u64)
    };
    format!("took      {whole}, from {began} to {}", Clock::system().now())
}

/// The first loss of output in this process.
static LOSS: OnceLock<io::Error> = OnceLock::new();

/// Remembers that a part of the result was not written.
fn note_loss(written: io::Result<()>, counts: impl Fn(&io::Error) -> bool) {
    if let Err(error) = written
        && counts(&error)
    {
        // Only the first one matters.
        let _ = LOSS.set(error);
    }
}

/// Why a part of the result was not written, if so. A report that nobody gets must not look like a good end.
pub fn loss() -> Option<&'static io::Error> {
    note_loss(io::stdout().lock().flush(), |error| error.kind() != io::ErrorKind::BrokenPipe);
    LOSS.get()
}

/// A while for people, in two units at most: `40 seconds`, `3 hours 20 minutes`, `2 days 1 hour`.
pub fn while_(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let plural = |number: u64, unit: &str| count(number, unit, &format!("{unit}s"));
    let first = UNITS.iter().position(|(length, _)| seconds >= *length);
    let Some(first) = first else {
        return plural(0, "second");
    };
    let (length, unit) = UNITS[first];
    let text = plural(seconds / length, unit);
    match UNITS.get(first + 1) {
        Some((next, unit)) if seconds % length >= *next => {
            format!("{text} {}", plural(seconds % length / next, unit))
        }
        _ => text,
    }
}

/// Aligned columns; the last one is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a String cannot fail.
            let _ = if column + 1 == row.len() {
                write!(text, "{cell}")
            } else {
                write!(text, "{cell:<width$}  ")
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// A name from outside, safe to show on a terminal, in one line.
pub fn shown(name: &str) -> String {
    without(name, char::is_control)
}

/// Several lines, safe to show on a terminal: whatever they hold of names, no escape code is left.
fn visible(lines: &str) -> String {
    without(lines, |char| char.is_control() && char != '\n')
}

fn without(text: &str, bad: impl Fn(char) -> bool) -> String {
    text.chars().map(|char| if bad(char) { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_while_has_two_units() {
        let shown = [0, 59, 60, 3599, 3600, 93_600, 90_000, 172_800, 176_461].map(while_);
        assert_eq!(
            shown,
            [
                "0 seconds",
                "59 seconds",
                "1 minute",
                "59 minutes 59 seconds",
                "1 hour",
                "1 day 2 hours",
                "1 day 1 hour",
                "2 days",
                "2 days 1 hour"
            ]
        );
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".into(), "b".into()], vec!["ccc".into(), "ü".into()]];
        assert_eq!(table(&rows), "a    b\nccc  ü");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(visible("a\u{1b}[2Jb\nc\u{9b}m"), "a\u{fffd}[2Jb\nc\u{fffd}m");
    }
}
