//! The commits to which a snapshot's databases point. They decide which commits may be in the
//! target.

use std::collections::{HashMap, HashSet};

use crate::object::{LibraryId, ObjectId};
use crate::repository::manifest::Manifest;

/// The commits of one library to which something points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LibraryHeads {
    /// The heads of its branches.
    pub branches: Vec<ObjectId>,
    /// Commits at which virtual libraries were last merged with it.
    pub bases: Vec<ObjectId>,
    /// When the newest head was made, if a head could be read.
    pub time: Option<i64>,
    /// No row names a head, so the backup took all commits that it found.
    pub is_listed: bool,
}

impl LibraryHeads {
    /// Every commit that something points to.
    pub fn all(&self) -> impl Iterator<Item = ObjectId> + '_ {
        self.branches.iter().chain(&self.bases).copied()
    }
}

/// Collects the heads of all libraries. If a store is not among them, nothing points to its
/// commits.
pub fn of(manifest: &Manifest) -> HashMap<LibraryId, LibraryHeads> {
    let mut all: HashMap<LibraryId, LibraryHeads> = HashMap::new();
    for library in &manifest.libraries {
        let heads = all.entry(library.id).or_default();
        let commits = library.heads.iter().map(|(_, commit)| *commit);
        heads.branches.extend(commits.filter(|id| !id.is_empty()));
        heads.time = heads.time.max(library.head_time);
        if let Some(origin) = &library.origin {
            let base = origin.base_commit.filter(|base| !base.is_empty());
            all.entry(origin.library).or_default().bases.extend(base);
        }
    }
    let with_row: HashSet<LibraryId> =
        manifest.libraries.iter().map(|library| library.id).collect();
    for id in &with_row {
        if let Some(heads) = all.get_mut(id) {
            heads.is_listed = heads.branches.is_empty();
        }
    }
    for store in &manifest.unreferenced {
        if !store.garbage || manifest.source.everything {
            all.entry(store.store).or_default().is_listed |= !with_row.contains(&store.store);
        }
    }
    all
}
