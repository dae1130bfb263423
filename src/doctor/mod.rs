//! The verb `doctor`: is everything set up for backups on this host?
//!
//! It checks the destination, the state folder and an installation. It says what is wrong and what
//! to do next, and changes nothing. docs/design.md, "Watching", says what it proves.

mod destination;
mod objects;
mod room;
mod source;
mod state;
mod writable;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use destination::destination;
pub use source::{DatabaseSizes, source};
pub use state::state;

use crate::causes;
use crate::repository::Repository;
use crate::time::Timestamp;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingLevel {
    /// All is as it should be.
    Ok,
    /// Good to know.
    Note,
    /// A backup would fail, or would be worth less than it should.
    Bad,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoctorFinding {
    /// How serious it is.
    pub level: FindingLevel,
    /// What was checked, in one word or two.
    pub what: &'static str,
    /// What was found, for people.
    pub text: String,
    /// The next step, if there is one.
    pub next: Option<String>,
}

/// What is to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// The repository with its pinned keys; `None`: it could not be opened.
    pub repository: Option<&'a Repository>,
    /// The repository's folder, if it is on this machine.
    pub repository_path: Option<&'a Path>,
    /// Where the state folder is or would be.
    pub state: &'a Path,
    /// The time on this machine, from which ages are counted.
    pub now: Timestamp,
}

/// All findings, in the order of the checks.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The findings; each is one line of output.
    pub findings: Vec<DoctorFinding>,
}

impl Report {
    /// Whether nothing is bad. Otherwise exit status 3.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.level != FindingLevel::Bad)
    }

    /// Adds a finding that all is well.
    pub fn ok(&mut self, what: &'static str, text: impl Into<String>) {
        self.add(FindingLevel::Ok, what, text.into(), None);
    }

    /// Adds a finding that is good to know.
    pub fn note(&mut self, what: &'static str, text: impl Into<String>, next: Option<String>) {
        self.add(FindingLevel::Note, what, text.into(), next);
    }

    /// Adds a finding of something wrong, with the next step.
    pub fn bad(&mut self, what: &'static str, text: impl Into<String>, next: impl Into<String>) {
        self.add(FindingLevel::Bad, what, text.into(), Some(next.into()));
    }

    /// Adds an error with its causes as a bad finding.
    pub fn error(
        &mut self,
        what: &'static str,
        error: &dyn std::error::Error,
        next: Option<String>,
    ) {
        self.add(FindingLevel::Bad, what, causes::chain(error), next);
    }

    fn add(&mut self, level: FindingLevel, what: &'static str, text: String, next: Option<String>) {
        let finding = DoctorFinding { level, what, text, next };
        // If one server with three databases is down, that is told once.
        if level != FindingLevel::Bad || !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

/// Reports if folder `inner` lies inside of one of `outer`, where it must not. All paths are
/// absolute, with links resolved.
pub fn apart(report: &mut Report, inner: (&'static str, &Path), outer: (&'static str, &[PathBuf])) {
    let (name, path) = inner;
    let (outer_name, folders) = outer;
    if let Some(folder) = folders.iter().find(|folder| path.starts_with(folder)) {
        report.bad(
            name,
            format!("{} lies inside of the {outer_name} {}", path.display(), folder.display()),
            "choose a place outside, best on another disk",
        );
    }
}
