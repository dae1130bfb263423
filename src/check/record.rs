//! Tells the next backup what a check found bad: a damage record (docs/format.md, "Runs").

use seawall_backends::{Key, put_same};
use serde::Serialize;

use super::report::{ProblemKind, Report};
use crate::repository::{Error, Repository, Result, names, runs};
use crate::time::Timestamp;

/// A damage record that was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamageRecord {
    /// Its name.
    #[serde(serialize_with = "super::report::as_text")]
    pub record: Key,
    /// The keys that it lists. Every run that begins from now on treats them as absent.
    #[serde(serialize_with = "as_texts")]
    pub keys: Vec<Key>,
}

fn as_texts<S: serde::Serializer>(
    keys: &[Key],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(keys.iter().map(Key::as_str))
}

/// Puts a record of all stored things that are bad in themselves and that no record lists yet.
/// `None`: there are none, and nothing was written.
///
/// It does not list what a backup cannot store again (markers, `seawall.json`), what only failed to
/// be read, and what only contradicts something else.
pub fn record(
    repository: &Repository,
    report: &Report,
    now: Timestamp,
) -> Result<Option<DamageRecord>> {
    let mut keys: Vec<Key> = (report.problems.iter())
        .filter(|problem| is_bad(problem.kind) && names::may_be_absent(&problem.key))
        .map(|problem| problem.key.clone())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Ok(None);
    }
    let backend = repository.backend().as_ref();
    let known = runs::absent_keys(backend)?;
    keys.retain(|key| !known.contains(key));
    if keys.is_empty() {
        return Ok(None);
    }
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
    let record = names::damage_record(now, u32::from_be_bytes(random));
    let text = runs::record_text(runs::DAMAGE, keys.iter());
    put_same(backend, &record, text.as_bytes())?;
    Ok(Some(DamageRecord { record, keys }))
}

/// Whether the bytes at a key are not those that a backup put there.
fn is_bad(kind: ProblemKind) -> bool {
    match kind {
        ProblemKind::Missing
        | ProblemKind::Size
        | ProblemKind::Altered
        | ProblemKind::Malformed
        | ProblemKind::Undecodable => true,
        ProblemKind::Signature
        | ProblemKind::Unpinned
        | ProblemKind::Contradiction
        | ProblemKind::Chain
        | ProblemKind::Unreadable
        | ProblemKind::Unresolved => false,
    }
}
