//! Stores ordinary files in the repository: one tar for each group, and only if something in the
//! group changed.

use std::path::Path;

use super::heartbeat::Heartbeat;
use super::prepare::PreparedRun;
use super::{Error, stream};
use crate::object::Sha256;
use crate::repository::Repository;
use crate::repository::manifest::{FileGroup, LeftOut};
use crate::repository::names::{self, SnapshotId};
use crate::seafile::files::{self, FileWarning, KnownLink, OrdinaryGroup, ScanOptions};

/// The result of storing ordinary files.
pub struct StoredOrdinaryFiles {
    /// As the manifest lists them.
    pub groups: Vec<FileGroup>,
    /// What was left out on purpose.
    pub left_out: Vec<LeftOut>,
    /// Links that were followed besides those that the installation names.
    pub links: Vec<KnownLink>,
    /// What the administrator should look at.
    pub warnings: Vec<FileWarning>,
    /// How many groups were stored; the others are as in the base.
    pub stored: usize,
    /// Parts of the base's groups that the destination lost, one line each.
    pub alarms: Vec<String>,
}

/// Stores what changed since the base. `now`: seconds since 1970, taken before the scan. `spool`
/// takes copies of databases that lie among the files.
pub fn store(
    repository: &Repository,
    heartbeat: &Heartbeat,
    prepared: &PreparedRun,
    options: &ScanOptions,
    spool: &Path,
    now: i64,
) -> Result<StoredOrdinaryFiles, Error> {
    let scan = files::scan(options)?;
    let mut result = StoredOrdinaryFiles {
        groups: Vec::new(),
        links: files::known_links(options)?,
        left_out: scan.left_out.iter().map(left_out).collect(),
        warnings: scan.warnings,
        stored: 0,
        alarms: Vec::new(),
    };
    for group in &scan.groups {
        let known = prepared.base_manifest.iter().flat_map(|base| &base.files);
        let known =
            known.into_iter().find(|known| known.name == group.name && known.label == group.label);
        if let Some(known) = known.filter(|known| is_unchanged(group, known)) {
            let lost = stream::lost(repository, &prepared.absent, &known.parts)?;
            if lost.is_empty() {
                result.groups.push(settled(group, known, now));
                continue;
            }
            result.alarms.extend(lost);
        }
        let (stored, warnings) =
            store_group(repository, heartbeat, prepared.snapshot, group, spool, now)?;
        result.groups.push(stored);
        result.warnings.extend(warnings);
        result.stored += 1;
    }
    Ok(result)
}

fn is_unchanged(group: &OrdinaryGroup, known: &FileGroup) -> bool {
    // A file that cannot be read now is read again below, and reported there.
    files::fingerprint(group, known.settled_before).is_ok_and(|now| now == known.fingerprint)
}

/// An unchanged group with a new fingerprint. So the next run need not read again the files that
/// were changed just before the base was made.
fn settled(group: &OrdinaryGroup, known: &FileGroup, now: i64) -> FileGroup {
    match files::fingerprint(group, now) {
        Ok(fingerprint) => FileGroup { fingerprint, settled_before: now, ..known.clone() },
        Err(_) => known.clone(),
    }
}

fn store_group(
    repository: &Repository,
    heartbeat: &Heartbeat,
    snapshot: SnapshotId,
    group: &OrdinaryGroup,
    spool: &Path,
    now: i64,
) -> Result<(FileGroup, Vec<FileWarning>), Error> {
    // Taken before the tar is written: a file that changes meanwhile differs from the fingerprint
    // next time.
    let fingerprint = files::fingerprint(group, now);
    let name = |index| names::files_part(snapshot, &group.name, index, repository.seal());
    let stored = stream::store(repository, heartbeat, name, |mut out| {
        files::write_tar(group, spool, &mut out)
    })?;
    let report = stored.value;
    // If something was not read as it was scanned, the next run has to read the group again.
    let is_whole = !report.warnings.iter().any(|one| one.kind.is_incomplete());
    let fingerprint = fingerprint.ok().filter(|_| is_whole);
    let group = FileGroup {
        name: group.name.clone(),
        label: group.label.clone(),
        fingerprint: fingerprint.unwrap_or(Sha256::new([0; 32])),
        settled_before: now,
        members: report.members,
        size: stored.totals.plain_len,
        sha256: stored.totals.plain_sha256,
        parts: stored.parts,
    };
    Ok((group, report.warnings))
}

fn left_out(left: &files::LeftOutPath) -> LeftOut {
    LeftOut { path: left.path.to_string_lossy().into_owned(), reason: left.reason.to_string() }
}
