//! The third level: decodes everything, and walks every pointer.
//!
//! docs/design.md, "What a deep check proves", says what it proves. It joins two sides: packs,
//! dumps and tars belong to the repository; what an object is and where its pointers lead belongs
//! to Seafile. Each pack and each stream is decoded once, not once per snapshot.

mod packs;
mod pointers;
mod spool;
mod streams;
mod view;
mod walks;

use std::collections::HashSet;

use seawall_backends::Key;

pub(super) use spool::Spool;

use super::Options;
use super::needs::Needs;
use super::problems::Problems;
use super::report::{Amount, Deep, ProblemKind};
use crate::repository::snapshots::Snapshot;
use crate::repository::{Repository, Result};
use spool::PackNumber;

/// The state of a running deep check.
struct DeepPass<'a> {
    repository: &'a Repository,
    snapshots: &'a [&'a Snapshot],
    workers: usize,
    spool: &'a Spool,
    needs: &'a mut Needs,
    problems: &'a mut Problems,
    progress: &'a dyn Fn(&str),
    /// One of the installations may have blocks whose ids prove nothing.
    random_block_ids: bool,
    /// Packs that are missing or damaged.
    bad_packs: HashSet<PackNumber>,
    read: Amount,
    deep: Deep,
}

/// Decodes and walks all that the snapshots name. Returns how much it read, and what it decoded.
/// The level below reads the parts that were not read as part of a stream.
pub(super) fn run(
    repository: &Repository,
    options: &Options,
    snapshots: &[&Snapshot],
    spool: &Spool,
    needs: &mut Needs,
    problems: &mut Problems,
    progress: &dyn Fn(&str),
) -> Result<(Amount, Deep)> {
    let mut pass = DeepPass {
        repository,
        snapshots,
        workers: options.workers,
        spool,
        needs,
        problems,
        progress,
        random_block_ids: false,
        bad_packs: HashSet::new(),
        read: Amount::default(),
        deep: Deep::default(),
    };
    for snapshot in snapshots {
        let manifest = spool.manifest(snapshot.id())?;
        pass.random_block_ids |= manifest.is_some_and(|manifest| manifest.source.random_block_ids);
    }
    progress("decoding dumps and ordinary files");
    pass.streams()?;
    progress("decoding packs");
    pass.packs()?;
    progress("walking the libraries");
    pass.walks()?;
    Ok((pass.read, pass.deep))
}

impl DeepPass<'_> {
    /// Reports a problem with a stored thing, for all snapshots that need it.
    fn bad(&mut self, key: &Key, kind: ProblemKind, detail: String) {
        let snapshots = self.needs.get(key).map(|thing| self.needs.snapshots(thing));
        self.problems.add(key, kind, detail, snapshots.unwrap_or_default());
    }
}
