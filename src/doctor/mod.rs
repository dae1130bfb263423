//! The verb `doctor`: is everything set up for backups on this host? It looks at the destination,
//! at the state folder, and at an installation, says what is wrong with the next step, and changes
//! nothing (docs/design.md, "Watching", says what it proves).

mod destination;
mod objects;
mod room;
mod source;
mod state;
mod writable;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use destination::destination;
pub use source::{Databases, source};
pub use state::state;

use crate::causes;
use crate::repository::Repository;
use crate::time::Timestamp;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// A backup fails, or is worth less than it should be.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// What was looked at: one word or two.
    pub what: &'static str,
    /// What was seen.
    pub text: String,
    /// What to do about it.
    pub next: Option<String>,
}

/// What to look at.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// The repository, if it could be opened, with its pinned keys.
    pub repository: Option<&'a Repository>,
    /// Where it is, if that is a folder of this machine.
    pub repository_path: Option<&'a Path>,
    /// Where the state folder is or would be.
    pub state: &'a Path,
    /// By whose clock ages are counted: this machine's.
    pub now: Timestamp,
}

/// What was found, in order.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Every line.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is bad. Otherwise exit status 3.
    pub fn is_good(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.level != Level::Bad)
    }

    /// Adds what is as it should be.
    pub fn ok(&mut self, what: &'static str, text: impl Into<String>) {
        self.add(Level::Ok, what, text.into(), None);
    }

    /// Adds what is good to know.
    pub fn note(&mut self, what: &'static str, text: impl Into<String>, next: Option<String>) {
        self.add(Level::Note, what, text.into(), next);
    }

    /// Adds what is wrong.
    pub fn bad(&mut self, what: &'static str, text: impl Into<String>, next: impl Into<String>) {
        self.add(Level::Bad, what, text.into(), Some(next.into()));
    }

    /// Adds an error with its causes.
    pub fn error(
        &mut self,
        what: &'static str,
        error: &dyn std::error::Error,
        next: Option<String>,
    ) {
        self.add(Level::Bad, what, causes::chain(error), next);
    }

    fn add(&mut self, level: Level, what: &'static str, text: String, next: Option<String>) {
        let finding = Finding {
            level,
            what,
            text,
            next,
        };
        // Three databases of one server that is down are one thing.
        if level != Level::Bad || !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

/// Says it when one of these folders, real and absolute, lies in another where it must not.
pub fn apart(report: &mut Report, inner: (&'static str, &Path), outer: (&'static str, &[PathBuf])) {
    let (name, path) = inner;
    let (outer_name, folders) = outer;
    if let Some(folder) = folders.iter().find(|folder| path.starts_with(folder)) {
        report.bad(
            name,
            format!(
                "{} lies inside of the {outer_name} {}",
                path.display(),
                folder.display()
            ),
            "choose a place outside, best on another disk",
        );
    }
}
