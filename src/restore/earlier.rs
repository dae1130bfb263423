//! Removes what earlier snapshots left in a standby. Files that only they had would go on to take
//! effect, an old `conf/.env` for example.
//!
//! The manifests and tars of those snapshots say which files are theirs. If one cannot be read any
//! more (it was forgotten, or damaged), nothing tells its files from those that somebody put there.
//! Then seawall looks at the places where files decide how Seafile runs: configuration and
//! databases. It moves aside everything there that this snapshot does not have, and deletes
//! nothing.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType};

use super::error::{self, Error};
use super::folders::{self, TEMPORARY};
use super::mark::{STANDBY, UNFINISHED};
use super::notes::NOTES;
use super::target::RestoreTarget;
use super::{commits, databases, ordinary};
use crate::causes::chain;
use crate::repository::manifest::Manifest;
use crate::repository::names::SnapshotId;
use crate::repository::{self, Repository, index};

/// Folders with configuration and databases, and whether folders below are searched too.
const PLACES: [(&str, bool); 5] =
    [("", false), ("conf", true), ("ccnet", true), ("extra", true), ("seafile-data", false)];
/// The most moved files that are named.
const MOST_NAMED: usize = 50;

/// What is known of earlier snapshots.
#[derive(Debug, Default)]
pub struct EarlierSnapshots {
    /// The manifests that can be read.
    pub manifests: Vec<Manifest>,
    /// One line for each manifest or tar that cannot be read.
    pub unreadable: Vec<String>,
}

impl EarlierSnapshots {
    /// Reads the manifests of these snapshots. A manifest that is lost, or that no key at hand
    /// opens, becomes a line. If the destination fails, that is an error.
    pub fn read(repository: &Repository, snapshots: &[SnapshotId]) -> Result<Self, Error> {
        let mut earlier = Self::default();
        for id in snapshots {
            let Some(snapshot) = repository.snapshot(*id)? else {
                earlier.unreadable.push(format!("snapshot {id} is not in the repository any more"));
                continue;
            };
            match index::read_manifest(repository, &snapshot.marker) {
                Ok(manifest) => earlier.manifests.push(manifest),
                Err(error) => {
                    let problem = problem(repository, error)?;
                    earlier
                        .unreadable
                        .push(format!("snapshot {id} cannot be read any more: {problem}"));
                }
            }
        }
        Ok(earlier)
    }

    /// Removes the ordinary files of snapshots that can be read. A tar that cannot be read adds a
    /// line.
    pub fn clear(&mut self, repository: &Repository, target: &RestoreTarget) -> Result<(), Error> {
        let lost = ordinary::clear_earlier(repository, &self.manifests, target)?;
        let lines = lost.into_iter().map(|(label, problem)| {
            format!(
                "the files \"{label}\" of an earlier snapshot cannot be read any more: {problem}"
            )
        });
        self.unreadable.extend(lines);
        Ok(())
    }

    /// If something cannot be read, moves aside files that may be of an earlier snapshot. This
    /// snapshot's files, and its databases of the roles in `restored`, stay in place. Returns lines
    /// for the report.
    pub fn set_aside(
        &self,
        repository: &Repository,
        manifest: &Manifest,
        restored: &[String],
        target: &RestoreTarget,
    ) -> Result<Vec<String>, Error> {
        if self.unreadable.is_empty() {
            return Ok(Vec::new());
        }
        let mut known = ordinary::members(repository, manifest)?;
        let databases = manifest.databases.iter();
        let databases = databases.filter(|database| restored.contains(&database.role));
        let paths = databases.filter_map(|database| databases::place(database).ok());
        known.extend(paths.map(|path| PathBuf::from(path.as_ref())));
        let mut moved = Vec::new();
        for (folder, is_deep) in PLACES {
            let strange = strange(target, folder, is_deep, &known);
            for path in strange.map_err(target.failed(folder))? {
                let set = commits::set_aside_file(target.folders(), &path);
                if set.map_err(target.failed(&path))? {
                    moved.push(path);
                }
            }
        }
        Ok(self.lines(&moved))
    }

    fn lines(&self, moved: &[String]) -> Vec<String> {
        let mut lines = self.unreadable.clone();
        lines.push(
            "so ordinary files that only an earlier snapshot had may be left in the standby; of configuration and \
             databases nothing is left that this snapshot has not"
                .into(),
        );
        let named = moved.iter().take(MOST_NAMED);
        lines.extend(named.map(|path| {
            format!("{path} is not of this snapshot, and was moved to {}/{path}", commits::ASIDE)
        }));
        if moved.len() > MOST_NAMED {
            let more = moved.len() - MOST_NAMED;
            lines.push(format!("{more} more were moved to {}", commits::ASIDE));
        }
        lines
    }
}

fn problem(repository: &Repository, error: repository::Error) -> Result<String, Error> {
    use repository::Error as Of;
    match error {
        Of::Locked { .. } | Of::Key { .. } => Ok(chain(&error)),
        error => error::loss(repository, error),
    }
}

/// The paths of files and links in a folder that are not in `known`.
fn strange(
    target: &RestoreTarget,
    folder: &str,
    is_deep: bool,
    known: &BTreeSet<PathBuf>,
) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        // If it is not a folder, it is known, or the search of the folder above finds it.
        let opened = match target.folders().find(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => None,
            other => other?,
        };
        let Some(opened) = opened else {
            continue;
        };
        for entry in Dir::read_from(&opened)? {
            // No program looks for a name that is not valid UTF-8.
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let inside = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let is_ours = [NOTES, UNFINISHED, STANDBY].contains(&inside.as_str())
                || name.starts_with(TEMPORARY);
            if matches!(name, "." | "..") || is_ours {
                continue;
            }
            match folders::kind(opened.as_fd(), name)? {
                Some(FileType::Directory) if is_deep => pending.push(inside),
                Some(FileType::Directory) | None => {}
                Some(_) if known.contains(Path::new(&inside)) => {}
                Some(_) => found.push(inside),
            }
        }
    }
    found.sort();
    Ok(found)
}
