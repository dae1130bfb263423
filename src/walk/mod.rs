//! The walk: from the pointers in the databases to every object that they need.
//!
//! `backup`, `verify` and `check --deep` share it. A [`Sight`] says what is already known and
//! receives what is new: a backup stores it, `verify` only judges it. The walk itself reads commits
//! and fs objects, verifies each against its id and follows it. Of a block it only finds the place
//! and the length; the sight reads the bytes. [`Objects`] says where objects come from: an
//! installation's folders, or a repository's packs. The walk lists no folder of objects.
//!
//! docs/design.md, "History", says which history is required and why the rest is optional. The walk
//! finishes all that is required before it looks at anything optional, so an object that both need
//! counts as required.

mod altered;
mod ancestry;
mod closure;
mod find;
mod history;
mod needs;
mod objects;
mod paths;
mod seen;
mod sight;
mod threads;
mod tree;
mod trouble;

pub use ancestry::{Ancestry, CommitNode, Reachable};
pub use closure::Closure;
use closure::Holes;
pub use find::{BadObject, read_checked};
use find::{FoundObject, find};
pub use needs::{NeedPlace, NeededBy, needs};
pub use objects::Objects;
pub use paths::{AffectedPaths, affected_paths};
use seen::ObjectSet;
pub use sight::{KnownObject, NothingKnown, Rescue, Sight};
use threads::Threads;
pub use trouble::{ALTERED_ROOT, ObjectDamage};

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use crate::database::{LibraryPointers, LibraryState};
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::seafile::check::{self, CommitWarning, ObjectContent};
use crate::seafile::commit::Commit;

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
pub enum WalkError<E> {
    /// The whole source cannot be read. One missing or unreadable object is a [`WalkFinding`] instead.
    #[error("cannot read the source")]
    Source(#[source] io::Error),
    /// The sight failed: a broken catalog or destination, never damage.
    #[error(transparent)]
    Sight(E),
}

/// Whether something must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// Its absence is damage.
    Required,
    /// History that Seafile may have collected. If it is missing, it is counted and is no damage.
    Optional,
}

/// An object that a walk needed and found missing or bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkFinding {
    /// What is missing or bad.
    pub object: Object,
    /// The library whose walk found it first. Others may need it too: see [`needs()`].
    pub library: LibraryId,
    /// Whether it has to be there.
    pub need: Need,
    /// What is wrong.
    pub trouble: ObjectDamage,
    /// The repository holds it, so the backup is whole although the source is not.
    pub rescued: bool,
}

/// How closely a walk looks at stored blocks in the source. It always reads the commits and fs
/// objects that it passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Audit {
    /// Not at all: they are stored.
    #[default]
    No,
    /// Is there a file, and as long as it should be?
    Look,
    /// Like [`Audit::Look`], and do its bytes match its name?
    Read,
}

/// Libraries that are walked together because they share a store of fs objects and blocks.
#[derive(Debug, Clone, Default)]
pub struct LibraryGroup<'a> {
    /// Origins come before their virtual libraries.
    pub libraries: Vec<&'a LibraryPointers>,
    /// How closely to look at stored blocks. The walk stops at closed objects, so to have a whole
    /// library looked at, the caller first marks all of it as not closed.
    pub audit: Audit,
}

/// What the source was known to lack or to have altered. A walk that passes it looks closely.
#[derive(Debug, Clone, Default)]
pub struct Doubts {
    /// Stored blocks that the source had lost: the walk reads them.
    pub blocks: HashSet<Object>,
    /// Commits whose root folder was found altered: the walk judges them again.
    pub altered: HashSet<Object>,
    /// Pro with `skip_block_hash`: a block's id may be random, and its bytes prove nothing.
    pub random_block_ids: bool,
}

/// Sorts libraries into groups that share a store. With `one` all libraries form one group, because
/// the installation has folders that all of them share.
pub fn groups(libraries: &[LibraryPointers], one: bool) -> Vec<LibraryGroup<'_>> {
    let origins: HashMap<LibraryId, LibraryId> = libraries
        .iter()
        .filter_map(|library| Some((library.id, library.origin.as_ref()?.library)))
        .collect();
    let mut groups: BTreeMap<Option<LibraryId>, LibraryGroup<'_>> = BTreeMap::new();
    for library in libraries {
        let first = first_origin(&origins, library.id);
        let group = groups.entry((!one).then_some(first)).or_default();
        if library.origin.is_some() {
            group.libraries.push(library);
        } else {
            group.libraries.insert(0, library);
        }
    }
    groups.into_values().collect()
}

/// The library at the beginning of a chain of origins. Seafile makes chains of length one. Only a
/// damaged database has a circle; then every member gives the same library.
fn first_origin(origins: &HashMap<LibraryId, LibraryId>, library: LibraryId) -> LibraryId {
    let mut passed = vec![library];
    let mut last = library;
    while let Some(origin) = origins.get(&last).copied() {
        if let Some(start) = passed.iter().position(|known| *known == origin) {
            return passed[start..].iter().copied().min().unwrap_or(origin);
        }
        passed.push(origin);
        last = origin;
    }
    last
}

/// The store of a library's fs objects and blocks: its own, or its origin's.
pub fn content_store(library: &LibraryPointers) -> Store {
    Store::Library(library.origin.as_ref().map_or(library.id, |origin| origin.library))
}

/// What the walk of one group found.
#[derive(Debug, Default)]
pub struct GroupOutcome {
    /// What is missing or bad.
    pub findings: Vec<WalkFinding>,
    /// Odd commits that are no damage: (library, commit, what).
    pub warnings: Vec<(LibraryId, ObjectId, CommitWarning)>,
    /// How many objects were passed, without closed ones.
    pub visited: u64,
    /// Stored history that is missing or torn in the source: the walk did not go below it.
    pub unfollowed: HashSet<Object>,
    /// The walk ended at history that an earlier walk had left open. Even without findings, not all
    /// that was passed is closed.
    pub passed_open: bool,
    /// For each file with [`ObjectDamage::Lengths`], its blocks that were found.
    lengths_of: HashMap<Object, Vec<Object>>,
}

impl GroupOutcome {
    /// The odd commits as text: one line for each library and oddity.
    pub fn warning_lines(&self) -> Vec<String> {
        let mut found: BTreeMap<(LibraryId, &str), Vec<ObjectId>> = BTreeMap::new();
        for (library, commit, warning) in &self.warnings {
            let what = match warning {
                CommitWarning::IdFormula => "an id that follows no known formula",
                CommitWarning::OtherLibrary => "the id of another library in it",
            };
            found.entry((*library, what)).or_default().push(*commit);
        }
        let line = |((library, what), commits): ((LibraryId, &str), Vec<ObjectId>)| match &*commits
        {
            [one] => format!("commit {one} of library {library} has {what}"),
            [first, rest @ ..] => {
                format!("commit {first} and {} more of library {library} have {what}", rest.len())
            }
            [] => String::new(),
        };
        found.into_iter().map(line).collect()
    }

    /// Drops the finding that a file has the wrong length if one of its blocks is bad: the length
    /// of a bad block proves nothing. Call it when all blocks were read.
    pub fn remove_echoes(&mut self) {
        let lost = self.findings.iter().filter(|finding| !finding.rescued);
        let bad: HashSet<Object> = lost
            .map(|finding| finding.object)
            .filter(|object| object.kind == Kind::Block)
            .collect();
        let lengths_of = &self.lengths_of;
        let has_bad_block = |file: &Object| {
            let blocks = lengths_of.get(file);
            blocks.is_some_and(|blocks| blocks.iter().any(|block| bad.contains(block)))
        };
        self.findings.retain(|finding| {
            finding.trouble != ObjectDamage::Lengths || !has_bad_block(&finding.object)
        });
    }

    /// Required objects that nobody has.
    pub fn damage(&self) -> impl Iterator<Item = &WalkFinding> {
        self.findings.iter().filter(|finding| finding.need == Need::Required && !finding.rescued)
    }
}

/// The objects to which the pointers led in one walk, including those that are missing.
#[derive(Debug)]
pub struct ReachedObjects {
    seen: ObjectSet,
    commits: HashMap<Object, history::CommitProgress>,
}

impl ReachedObjects {
    /// Whether a pointer led to an object.
    pub fn contains(&self, object: &Object) -> bool {
        self.seen.contains(object) || self.commits.contains_key(object)
    }
}

/// Walks groups of libraries.
pub struct Walk<'a, S> {
    source: &'a dyn Objects,
    sight: &'a S,
    threads: Threads,
    doubts: Doubts,
}

/// The walk of one group.
struct GroupWalker<'a, S> {
    source: &'a dyn Objects,
    sight: &'a S,
    threads: &'a Threads,
    doubts: &'a Doubts,
    audit: Audit,
    /// All objects passed in this walk except commits.
    seen: ObjectSet,
    commits: HashMap<Object, history::CommitProgress>,
    doubtful: Vec<altered::Doubtful>,
    outcome: GroupOutcome,
}

/// Which library asks for an object, and whether the object is required.
#[derive(Debug, Clone, Copy)]
struct Asking {
    library: LibraryId,
    need: Need,
    encrypted: bool,
}

/// An object that was read from the source or rescued from the repository.
struct Fetched {
    object: Object,
    content: ObjectContent,
}

impl<'a, S: Sight> Walk<'a, S> {
    /// A walk through objects, of an installation or of a repository.
    pub fn new(source: &'a dyn Objects, sight: &'a S) -> Self {
        Self { source, sight, threads: Threads::default(), doubts: Doubts::default() }
    }

    /// This walk, with doubts: it reads certain stored blocks, and judges certain commits, again.
    #[must_use]
    pub fn doubting(self, doubts: Doubts) -> Self {
        Self { doubts, ..self }
    }

    /// Walks the libraries of a group.
    pub fn group(&self, group: &LibraryGroup<'_>) -> Result<GroupOutcome, WalkError<S::Error>> {
        self.group_reaching(group).map(|(outcome, _)| outcome)
    }

    /// Walks the libraries of a group, and says which objects the pointers lead to.
    pub fn group_reaching(
        &self,
        group: &LibraryGroup<'_>,
    ) -> Result<(GroupOutcome, ReachedObjects), WalkError<S::Error>> {
        let mut walker = GroupWalker {
            source: self.source,
            sight: self.sight,
            threads: &self.threads,
            doubts: &self.doubts,
            audit: group.audit,
            seen: ObjectSet::default(),
            commits: HashMap::new(),
            doubtful: Vec::new(),
            outcome: GroupOutcome::default(),
        };
        walker.libraries(group)?;
        let GroupWalker { outcome, seen, commits, .. } = walker;
        Ok((outcome, ReachedObjects { seen, commits }))
    }

    /// Computes which objects of a group are closed, after a walk that found something. `bad` are
    /// the objects that nobody has; `unfollowed` are those below which that walk did not go.
    pub fn closure(
        &self,
        group: &LibraryGroup<'_>,
        bad: &HashSet<Object>,
        unfollowed: &HashSet<Object>,
    ) -> Result<Closure, WalkError<S::Error>> {
        closure::compute(self.source, self.sight, group, Holes { bad, unfollowed })
    }
}

impl<S: Sight> GroupWalker<'_, S> {
    /// Reads an object and keeps it if it is new. `None`: it cannot be read; that is recorded.
    fn fetch(
        &mut self,
        object: Object,
        asking: Asking,
    ) -> Result<Option<Fetched>, WalkError<S::Error>> {
        let found = find(self.source, self.sight, object, asking.need)?;
        self.had(object, found, asking)
    }

    /// Keeps a found object if it is new, and records one that cannot be read.
    fn had(
        &mut self,
        asked: Object,
        found: FoundObject,
        asking: Asking,
    ) -> Result<Option<Fetched>, WalkError<S::Error>> {
        match found {
            FoundObject::Good { object, content, bytes, known } => {
                self.outcome.visited += 1;
                // It may lie in the folder that all libraries share, and another library's walk
                // passed it.
                let first = object == asked || self.seen.insert(object);
                if known {
                    self.sight.visit(&object).map_err(WalkError::Sight)?;
                } else if first {
                    self.sight.keep(object, bytes).map_err(WalkError::Sight)?;
                }
                Ok(Some(Fetched { object, content }))
            }
            FoundObject::Rescued { object, content, trouble, bytes } => {
                self.outcome.visited += 1;
                self.sight.visit(&object).map_err(WalkError::Sight)?;
                if let Some(bytes) = bytes {
                    let kept = self.sight.salvage(object, bytes);
                    kept.map_err(WalkError::Sight)?;
                }
                self.record(object, asking, trouble, true);
                Ok(Some(Fetched { object, content }))
            }
            FoundObject::Nowhere { object, trouble, bytes, stored } => {
                if let Some(bytes) = bytes {
                    self.sight.salvage(object, bytes).map_err(WalkError::Sight)?;
                }
                if stored {
                    self.outcome.unfollowed.insert(object);
                    // Torn bytes are rot: the stored object stays in use. A missing one was
                    // collected.
                    if trouble != ObjectDamage::Missing {
                        self.sight.visit(&object).map_err(WalkError::Sight)?;
                    }
                }
                self.record(object, asking, trouble, stored);
                Ok(None)
            }
        }
    }

    fn record(&mut self, object: Object, asking: Asking, trouble: ObjectDamage, rescued: bool) {
        let Asking { library, need, .. } = asking;
        self.outcome.findings.push(WalkFinding { object, library, need, trouble, rescued });
    }

    /// Records what is odd about a commit. Returns whether its id does not fit its content.
    fn commit_warnings(&mut self, library: LibraryId, object: &Object, commit: &Commit) -> bool {
        let warnings = check::commit_warnings(object, commit);
        let told = warnings.iter().map(|warning| (library, object.id, *warning));
        self.outcome.warnings.extend(told);
        warnings.contains(&CommitWarning::IdFormula)
    }
}

/// Whether only the head of a library is required: it is not live, so nothing says what history it
/// still has.
fn only_head_required(library: &LibraryPointers) -> bool {
    !matches!(library.state, LibraryState::Live)
}

/// The head commits that a library's rows point to.
fn roots(library: &LibraryPointers) -> impl Iterator<Item = Object> + '_ {
    let store = Store::Library(library.id);
    library.heads.iter().map(move |head| Object::new(store, Kind::Commit, head.commit))
}

/// The base commit of a virtual library, in its origin's store.
fn base_commit(library: &LibraryPointers) -> Option<Object> {
    let origin = library.origin.as_ref()?;
    let base = origin.base_commit.filter(|base| !base.is_empty())?;
    Some(Object::new(Store::Library(origin.library), Kind::Commit, base))
}
