//! Heads that did not go forward since the last snapshot, and libraries whose rows are gone. A
//! database that was rolled back leaves both, and so does `seaf-fsck -r` (docs/design.md, "A head
//! that went back"). All pointers resolve then, and users lose their work all the same. So the
//! report names both commits.

use std::collections::{BinaryHeap, HashSet};

use serde::Serialize;

use super::attempts::BackupAttempt;
use super::objects::ObjectBackup;
use super::unreferenced::CopiedByListing;
use super::{BackupRun, Error};
use crate::database::{LibraryPointers, MASTER, Pointers};
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::repository::manifest::{self, LibraryUse, Manifest};
use crate::seafile::commit::Commit;
use crate::time::Timestamp;

/// The most commits that are read to find one in a library's history.
const MOST_COMMITS: usize = 200_000;
/// If fewer libraries than this vanish together, they count as deleted.
const FEWEST_VANISHED: usize = 3;

/// What became of a library's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum HeadChange {
    /// The new head is one of the old one's ancestors.
    WentBack,
    /// The new head does not descend from the old one.
    Replaced,
    /// `seaf-fsck -r` made a commit between both heads, or one in place of the old head.
    Repaired {
        /// That commit.
        commit: ObjectId,
    },
}

/// A library whose head did not go forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedHead {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub name: Option<String>,
    /// The branch. Sync clients follow `master`.
    pub branch: String,
    /// The head in the last snapshot.
    pub from: ObjectId,
    /// When that commit was made, in seconds since 1970.
    pub from_time: Option<i64>,
    /// The head now.
    pub to: ObjectId,
    /// When that commit was made, in seconds since 1970.
    pub to_time: Option<i64>,
    /// What happened.
    #[serde(flatten)]
    pub change: HeadChange,
}

/// What the databases lost since the last snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseRollback {
    /// Libraries whose head did not go forward.
    pub heads: Vec<MovedHead>,
    /// Libraries of the last snapshot that have no row any more, though nobody deleted them.
    pub vanished: Vec<VanishedLibrary>,
}

/// A library that had a row in the last snapshot and has none now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VanishedLibrary {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub name: Option<String>,
    /// Whether its objects are still on disk.
    pub on_disk: bool,
}

impl BackupRun<'_> {
    /// Compares heads and libraries with those of the last snapshot.
    pub(super) fn rolled_back(
        &self,
        objects: &ObjectBackup<'_>,
        attempt: &BackupAttempt,
        leftovers: &CopiedByListing,
    ) -> Result<DatabaseRollback, Error> {
        let Some(base) = self.base() else {
            return Ok(DatabaseRollback::default());
        };
        let mut heads = Vec::new();
        for library in &attempt.dumped.pointers.libraries {
            if let Some(before) = base.library(library.id) {
                heads.extend(moved(objects, before, library)?);
            }
        }
        let vanished = if self.source_is_gone() {
            // The source is gone: nothing says what is still on disk.
            vanished(base, &attempt.dumped.pointers, &HashSet::new())
        } else {
            let stores = leftovers.stores.iter().filter(|left| !left.garbage);
            vanished(base, &attempt.dumped.pointers, &stores.map(|left| left.store).collect())
        };
        Ok(DatabaseRollback { heads, vanished })
    }
}

/// Libraries that lost their row although nobody deleted them. A deleted library passes through the
/// trash or `GarbageRepos`, and then its objects go. So a library that has lost its row and kept
/// its objects was not deleted. The same holds for many libraries that vanish at once.
fn vanished(
    base: &Manifest,
    pointers: &Pointers,
    on_disk: &HashSet<LibraryId>,
) -> Vec<VanishedLibrary> {
    let was_live = |library: &&manifest::Library| {
        library.state == LibraryUse::Live && library.origin.is_none()
    };
    let known: Vec<&manifest::Library> = base.libraries.iter().filter(was_live).collect();
    let is_gone = |library: &&&manifest::Library| {
        pointers.library(library.id).is_none() && !pointers.garbage.contains(&library.id)
    };
    let gone: Vec<&&manifest::Library> = known.iter().filter(is_gone).collect();
    let are_many = 2 * gone.len() >= known.len() && gone.len() >= FEWEST_VANISHED.min(known.len());
    let told = gone.into_iter().filter(|library| are_many || on_disk.contains(&library.id));
    told.map(|library| VanishedLibrary {
        library: library.id,
        name: library.name.clone(),
        on_disk: on_disk.contains(&library.id),
    })
    .collect()
}

/// The heads of a library that did not go forward, branch by branch.
fn moved(
    objects: &ObjectBackup<'_>,
    before: &manifest::Library,
    library: &LibraryPointers,
) -> Result<Vec<MovedHead>, Error> {
    let store = Store::Library(library.id);
    let history = CommitSearch { objects, store };
    let mut moved = Vec::new();
    for (branch, from) in &before.heads {
        let of_branch = library.heads.iter().find(|head| head.branch == *branch);
        // If a branch has no row, another branch may lead to its commits.
        let now: Vec<ObjectId> = match of_branch {
            Some(head) => vec![head.commit],
            None => library.heads.iter().map(|head| head.commit).collect(),
        };
        let Some(to) = now.first().copied().filter(|_| !now.contains(from)) else {
            continue;
        };
        if let Some(change) = history.change(*from, to, &now)? {
            let time = |id| Ok::<_, Error>(history.read(id)?.map(|commit| commit.ctime));
            moved.push(MovedHead {
                library: library.id,
                name: library.name.clone(),
                branch: branch.clone(),
                from: *from,
                from_time: time(*from)?,
                to,
                to_time: time(to)?,
                change,
            });
        }
    }
    Ok(moved)
}

/// The commits of one library.
struct CommitSearch<'a> {
    objects: &'a ObjectBackup<'a>,
    store: Store,
}

/// The result of a search for a commit among ancestors.
struct AncestorSearch {
    found: bool,
    /// Some commits could not be read, or there were too many.
    cut_short: bool,
    /// Commits of `seaf-fsck -r` that the search passed.
    repairs: Vec<ObjectId>,
}

impl CommitSearch<'_> {
    fn read(&self, id: ObjectId) -> Result<Option<Box<Commit>>, Error> {
        self.objects.commit(Object::new(self.store, Kind::Commit, id))
    }

    /// How a head changed. `None`: it went forward, or that cannot be told.
    fn change(
        &self,
        from: ObjectId,
        to: ObjectId,
        now: &[ObjectId],
    ) -> Result<Option<HeadChange>, Error> {
        let forward = self.search(now, from)?;
        if let Some(commit) = forward.repairs.first().copied()
            && self.is_new_repair(commit, from)?
        {
            return Ok(Some(HeadChange::Repaired { commit }));
        }
        if forward.found {
            return Ok(None);
        }
        if self.search(&[from], to)?.found {
            return Ok(Some(HeadChange::WentBack));
        }
        // If the search was cut short, collected history may have led to the old head.
        Ok((!forward.cut_short).then_some(HeadChange::Replaced))
    }

    /// Looks for `wanted` among `from` and their ancestors, newest first.
    fn search(&self, from: &[ObjectId], wanted: ObjectId) -> Result<AncestorSearch, Error> {
        let mut searched = AncestorSearch { found: false, cut_short: false, repairs: Vec::new() };
        let mut seen: HashSet<ObjectId> = from.iter().copied().collect();
        let mut open: BinaryHeap<(i64, ObjectId)> = from.iter().map(|id| (i64::MAX, *id)).collect();
        while let Some((_, id)) = open.pop() {
            if id == wanted {
                searched.found = true;
                return Ok(searched);
            }
            let commit = self.read(id)?.filter(|_| seen.len() < MOST_COMMITS);
            let Some(commit) = commit else {
                searched.cut_short = true;
                continue;
            };
            if commit.is_repair() {
                searched.repairs.push(id);
            }
            for parent in commit.parents() {
                if parent == wanted {
                    searched.found = true;
                }
                if seen.insert(parent) {
                    open.push((commit.ctime, parent));
                }
            }
            if searched.found {
                return Ok(searched);
            }
        }
        Ok(searched)
    }

    /// Whether a repair was made since the last snapshot, whose head was `before`.
    fn is_new_repair(&self, repair: ObjectId, before: ObjectId) -> Result<bool, Error> {
        Ok(!self.search(&[before], repair)?.found)
    }
}

impl DatabaseRollback {
    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.vanished.is_empty()
    }

    /// Lines for people: what happened as a whole, then each library.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let back =
            self.heads.iter().filter(|head| !matches!(head.change, HeadChange::Repaired { .. }));
        if back.count() > 0 {
            lines.push(
                "heads went back since the last snapshot: was a database restored? Sync clients will revert their users' newer \
                 files; stop the server, and see \"A head that went back\" in docs/design.md before they connect"
                    .to_owned(),
            );
        }
        lines.extend(self.heads.iter().map(MovedHead::line));
        if !self.vanished.is_empty() {
            lines.push(format!(
                "{} of the last snapshot have no row in the databases any more, and nobody deleted them: were the databases \
                 restored or made anew? Older snapshots have their rows",
                if self.vanished.len() == 1 { "1 library".to_owned() } else { format!("{} libraries", self.vanished.len()) }
            ));
        }
        lines.extend(self.vanished.iter().map(VanishedLibrary::line));
        lines
    }
}

fn named(library: LibraryId, name: Option<&str>) -> String {
    name.map_or_else(
        || format!("library {library}"),
        |name| format!("library {name:?} ({library})"),
    )
}

impl MovedHead {
    fn line(&self) -> String {
        let at = |commit: ObjectId, time: Option<i64>| {
            let time = time.and_then(Timestamp::from_seconds);
            time.map_or_else(|| commit.to_string(), |time| format!("{commit} ({time})"))
        };
        let mut library = named(self.library, self.name.as_deref());
        if self.branch != MASTER {
            library = format!("{library}, branch {:?}", self.branch);
        }
        let (from, to) = (at(self.from, self.from_time), at(self.to, self.to_time));
        match self.change {
            HeadChange::WentBack => {
                format!(
                    "{library}: its head went back from {from} to {to}, which is an older version of it"
                )
            }
            HeadChange::Replaced => {
                format!(
                    "{library}: its head was {from}, and is {to} now, which does not come from it"
                )
            }
            HeadChange::Repaired { commit } => format!(
                "{library}: seaf-fsck repaired it (commit {commit}): its head was {from}, and is {to} now. Files may have been \
                 emptied or removed; the last snapshot has them"
            ),
        }
    }
}

impl VanishedLibrary {
    fn line(&self) -> String {
        let library = named(self.library, self.name.as_deref());
        if self.on_disk {
            format!(
                "{library} has no row any more; its objects are still on disk, and are copied whole"
            )
        } else {
            format!("{library} has no row any more")
        }
    }
}
