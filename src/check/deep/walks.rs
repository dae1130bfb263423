//! Walks every pointer of every snapshot through what the repository holds.
//!
//! `backup` and `verify` use the same walk. If an object is missing, the manifest must list it as
//! lost in the source; missing history that may be collected is only counted. A walk stops at what
//! an earlier walk proved closed while the packs are the same or more. All proofs are void as soon
//! as a pack is gone, another host's chain begins, or the rules of a library have changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{PoisonError, RwLock};

use super::DeepPass;
use super::spool::{PackNumber, failed};
use super::view::View;
use crate::check::report::ProblemKind;
use crate::database::LibraryPointers;
use crate::object::{Kind, LibraryId, Object, Store};
use crate::repository::manifest::{Damage, Manifest};
use crate::repository::names::{self, SnapshotId};
use crate::repository::snapshots::Snapshot;
use crate::repository::{Error, Result};
use crate::walk::{
    self, GroupOutcome, KnownObject, LibraryGroup, Need, Objects as _, Rescue, Sight, Walk,
    WalkError, WalkFinding, affected_paths, content_store, groups,
};

/// The most unresolved objects that are named.
const MOST_UNRESOLVED: usize = 1000;
/// The most paths that are named for one object.
const MOST_PATHS: usize = 5;
/// The most links of one pack that are named.
const MOST_LINKS: usize = 3;

/// What walks have proved about the packs of the view.
#[derive(Debug, Default)]
struct Proved {
    /// Commits and fs objects, and whether each is closed. An open one is a commit whose history
    /// was walked.
    marks: HashMap<Object, bool>,
    /// The rules by which the commits of a library's store were walked.
    rules: HashMap<LibraryId, DeepRules>,
    /// Objects of optional history that are missing or bad.
    gone: HashSet<Object>,
}

/// What decides whether a commit is closed, besides the packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DeepRules {
    content: Store,
    encrypted: Option<bool>,
    valid_since: Option<i64>,
}

impl DeepRules {
    fn of(library: &LibraryPointers) -> Self {
        Self {
            content: content_store(library),
            encrypted: library.encrypted,
            valid_since: library.valid_since,
        }
    }

    /// Whether all that was closed by the earlier rules is closed by these. A later `valid_since`
    /// requires less history.
    fn follows(&self, earlier: &Self) -> bool {
        self.content == earlier.content
            && self.encrypted == earlier.encrypted
            && self.valid_since >= earlier.valid_since
    }
}

impl Proved {
    /// Forgets everything if a library has changed in a way that may invalidate its marks.
    fn take_rules(&mut self, libraries: &[LibraryPointers]) {
        let holds = |library: &LibraryPointers| match self.rules.get(&library.id) {
            Some(earlier) => DeepRules::of(library).follows(earlier),
            None => !self.rules_of_others_cover(library.id),
        };
        if !libraries.iter().all(holds) {
            *self = Self::default();
        }
        let rules = libraries.iter().map(|library| (library.id, DeepRules::of(library)));
        self.rules.extend(rules);
    }

    /// Remembers what is closed, and which commits were walked and are open.
    fn take_marks(&mut self, marks: HashMap<Object, bool>) {
        let counts = |(object, closed): &(Object, bool)| match object.kind {
            Kind::Commit => true,
            Kind::Fs => *closed,
            Kind::Block => false,
        };
        self.marks.extend(marks.into_iter().filter(counts));
    }

    /// Whether commits of a library without known rules were walked already: as base commits.
    fn rules_of_others_cover(&self, library: LibraryId) -> bool {
        let mut others = self.rules.iter().filter(|(id, _)| **id != library);
        others.any(|(_, rules)| rules.content == Store::Library(library))
    }
}

/// The sight of a deep check: it stores nothing, and remembers what the walk passed.
struct DeepSight<'a> {
    proved: &'a Proved,
    passed: RwLock<HashSet<Object>>,
}

impl Sight for DeepSight<'_> {
    type Error = Infallible;

    fn known(&self, object: &Object) -> std::result::Result<Option<KnownObject>, Infallible> {
        // An object that this walk has passed is judged by this walk's findings.
        let passed = self.passed.read().unwrap_or_else(PoisonError::into_inner);
        let is_passed = passed.contains(object);
        let mark = self.proved.marks.get(object).filter(|_| !is_passed);
        Ok(mark.map(|&closed| KnownObject {
            // The walk reads the length only of blocks, which have no marks.
            length: 0,
            closed,
            walked: true,
            sha256: None,
        }))
    }

    fn visit(&self, object: &Object) -> std::result::Result<(), Infallible> {
        let mut passed = self.passed.write().unwrap_or_else(PoisonError::into_inner);
        passed.insert(*object);
        Ok(())
    }

    fn keep(&self, object: Object, _: Vec<u8>) -> std::result::Result<(), Infallible> {
        self.visit(&object)
    }

    fn keep_block(&self, _: Object, _: Need) -> std::result::Result<(), Infallible> {
        Ok(())
    }

    fn salvage(&self, _: Object, _: Vec<u8>) -> std::result::Result<(), Infallible> {
        Ok(())
    }

    fn rescue(&self, _: &Object) -> std::result::Result<Rescue, Infallible> {
        Ok(Rescue::Nothing)
    }
}

/// The snapshot that is being walked.
struct At<'a> {
    snapshot: SnapshotId,
    view: &'a View<'a>,
    /// The objects that its manifest lists as lost.
    listed: &'a HashSet<Object>,
}

/// Pointers that lead nowhere, in words, and the snapshots that have them.
#[derive(Debug, Default)]
struct Unresolved {
    found: BTreeMap<(LibraryId, Object), (String, Vec<SnapshotId>)>,
    /// How many more a snapshot has than are named.
    more: BTreeMap<SnapshotId, u64>,
}

impl DeepPass<'_> {
    /// Walks all snapshots, those of one host one after the other.
    pub(super) fn walks(&mut self) -> Result<()> {
        let mut snapshots = self.snapshots.to_vec();
        snapshots.sort_by_key(|snapshot| (snapshot.signed_by.key().to_string(), snapshot.id()));
        let mut view = View::new(self.spool)?;
        let mut proved = Proved::default();
        let mut unresolved = Unresolved::default();
        let mut damage = HashSet::new();
        let mut gone = HashSet::new();
        for snapshot in snapshots {
            let grown = view.turn_to(self.sequence(snapshot)?);
            let new = grown.unwrap_or_else(|| {
                proved = Proved::default();
                view.packs().to_vec()
            });
            self.links(&view, &new)?;
            let Some(manifest) = self.spool.manifest(snapshot.id())? else {
                continue;
            };
            self.snapshot(snapshot, &manifest, &view, &mut proved, &mut unresolved)?;
            damage.extend(manifest.damage.iter().map(Damage::object));
            gone.extend(proved.gone.iter().copied());
        }
        self.deep.damage = damage.len() as u64;
        self.deep.history_gone = gone.len() as u64;
        self.report(unresolved);
        Ok(())
    }

    /// The packs of a snapshot, without those of lists that could not be read.
    fn sequence(&self, snapshot: &Snapshot) -> Result<Vec<PackNumber>> {
        let mut sequence = Vec::new();
        for named in &snapshot.marker.lists {
            sequence.extend(self.spool.list(&named.sha256)?.unwrap_or_default());
        }
        Ok(sequence)
    }

    /// Checks that every link of some packs leads to an earlier member of equal kind and id.
    fn links(&mut self, view: &View<'_>, packs: &[PackNumber]) -> Result<()> {
        let is_whole = !view.packs().iter().any(|pack| self.bad_packs.contains(pack));
        for &pack in packs {
            let mut lost = Vec::new();
            for link in self.spool.links(pack)? {
                if !view.leads_somewhere(pack, &link)? {
                    lost.push(link);
                }
            }
            if lost.is_empty() {
                continue;
            }
            let line = self.spool.line(pack)?;
            let key = names::pack(line.kind, &line.pack, self.repository.seal());
            let shown: Vec<String> = (lost.iter().take(MOST_LINKS))
                .map(|link| format!("{} into {}", link.object, link.target))
                .collect();
            let more = match lost.len().saturating_sub(MOST_LINKS) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let detail =
                format!("links lead to nothing that comes before them: {}{more}", shown.join(", "));
            // If another pack is bad, the link's target may have been in it: this pack is not at
            // fault.
            let kind = if is_whole { ProblemKind::Undecodable } else { ProblemKind::Unresolved };
            self.bad(&key, kind, detail);
        }
        Ok(())
    }

    /// Walks what one manifest points to.
    fn snapshot(
        &mut self,
        snapshot: &Snapshot,
        manifest: &Manifest,
        view: &View<'_>,
        proved: &mut Proved,
        unresolved: &mut Unresolved,
    ) -> Result<()> {
        let listed: HashSet<Object> = (manifest.damage.iter()).map(Damage::object).collect();
        if listed.len() as u64 != snapshot.marker.damage {
            let detail = format!(
                "says {} damaged objects, its manifest lists {}",
                snapshot.marker.damage,
                listed.len()
            );
            let key = names::marker(snapshot.id());
            let kind = ProblemKind::Contradiction;
            self.problems.add(&key, kind, detail, vec![snapshot.id()]);
        }
        let libraries: Vec<LibraryPointers> = (manifest.libraries.iter())
            .filter(|library| !library.heads.is_empty())
            .map(crate::snapshot::library)
            .collect();
        proved.take_rules(&libraries);
        let at = At { snapshot: snapshot.id(), view, listed: &listed };
        for group in groups(&libraries, view.has_shared()) {
            self.group(&at, &group, proved, unresolved)?;
        }
        Ok(())
    }

    fn group(
        &mut self,
        at: &At<'_>,
        group: &LibraryGroup<'_>,
        proved: &mut Proved,
        unresolved: &mut Unresolved,
    ) -> Result<()> {
        let sight = DeepSight { proved, passed: RwLock::default() };
        let walk = Walk::new(at.view, &sight);
        let outcome = walk.group(group).map_err(|error| self.walk_error(error))?;
        let bad: HashSet<Object> =
            (outcome.findings.iter()).map(|finding| finding.object).collect();
        let is_clean = bad.is_empty() && !outcome.passed_open;
        let marks: HashMap<Object, bool> = if is_clean {
            let passed = sight.passed.into_inner().unwrap_or_else(PoisonError::into_inner);
            passed.into_iter().map(|object| (object, true)).collect()
        } else {
            let closure = walk.closure(group, &bad, &outcome.unfollowed);
            let closure = closure.map_err(|error| self.walk_error(error))?;
            let look = Look { view: at.view, sight: &sight, group, closure: &closure };
            let found =
                look.describe(&unlisted(&outcome, at)).map_err(|error| self.walk_error(error))?;
            unresolved.take(at.snapshot, found);
            closure.closed
        };
        at.view.failure()?;
        self.deep.walked += outcome.visited;
        let optional = (outcome.findings.iter()).filter(|finding| finding.need == Need::Optional);
        proved.gone.extend(optional.map(|finding| finding.object));
        proved.take_marks(marks);
        Ok(())
    }

    fn walk_error(&self, error: WalkError<Infallible>) -> Error {
        match error {
            WalkError::Source(error) => failed(self.spool.folder())(error),
            WalkError::Sight(never) => match never {},
        }
    }

    fn report(&mut self, unresolved: Unresolved) {
        for (detail, snapshots) in unresolved.found.into_values() {
            let Some(&first) = snapshots.first() else {
                continue;
            };
            let key = names::manifest(first, self.repository.seal());
            self.problems.add(&key, ProblemKind::Unresolved, detail, snapshots);
        }
        for (snapshot, more) in unresolved.more {
            let key = names::manifest(snapshot, self.repository.seal());
            let detail = format!("points to {more} more objects that are not there");
            self.problems.add(&key, ProblemKind::Unresolved, detail, vec![snapshot]);
        }
    }
}

/// Required objects that are missing and that the manifest does not list as lost.
fn unlisted<'a>(outcome: &'a GroupOutcome, at: &At<'_>) -> Vec<&'a WalkFinding> {
    // The manifest names an object by the store in which the source should have it.
    let is_listed = |object: &Object| {
        let mut places = at.view.places(object.store);
        places.any(|store| at.listed.contains(&Object { store, ..*object }))
    };
    let lost = outcome.damage();
    lost.filter(|finding| !is_listed(&finding.object)).collect()
}

/// A missing object, and its description for people.
type Described = ((LibraryId, Object), String);

/// A group in which something is missing, and what describes where.
struct Look<'a> {
    view: &'a View<'a>,
    sight: &'a DeepSight<'a>,
    group: &'a LibraryGroup<'a>,
    closure: &'a walk::Closure,
}

impl Look<'_> {
    /// Describes missing objects by library, object and paths.
    fn describe(
        &self,
        findings: &[&WalkFinding],
    ) -> std::result::Result<Vec<Described>, WalkError<Infallible>> {
        if findings.is_empty() {
            return Ok(Vec::new());
        }
        let bad: HashSet<Object> = findings.iter().map(|finding| finding.object).collect();
        let mut paths: HashMap<Object, Vec<String>> = HashMap::new();
        for library in &self.group.libraries {
            let found =
                affected_paths(self.view, self.sight, library, &bad, self.closure, MOST_PATHS)?;
            for (object, found) in found.paths {
                paths.entry(object).or_default().extend(found);
            }
        }
        let describe = |finding: &&WalkFinding| {
            let WalkFinding { object, library, .. } = finding;
            let mut paths = paths.get(object).cloned().unwrap_or_default();
            paths.sort_unstable();
            paths.dedup();
            paths.truncate(MOST_PATHS);
            let place = if paths.is_empty() {
                "in its history".to_owned()
            } else {
                format!("needed by {}", paths.join(", "))
            };
            let Object { kind, id, .. } = object;
            let detail = format!(
                "points to what is not there: library {library}, {kind} {id} {}, {place}",
                finding.trouble
            );
            ((*library, *object), detail)
        };
        Ok(findings.iter().map(describe).collect())
    }
}

impl Unresolved {
    fn take(&mut self, snapshot: SnapshotId, found: Vec<Described>) {
        for (identity, detail) in found {
            if self.found.len() >= MOST_UNRESOLVED && !self.found.contains_key(&identity) {
                *self.more.entry(snapshot).or_default() += 1;
                continue;
            }
            let (_, snapshots) = self.found.entry(identity).or_insert_with(|| (detail, Vec::new()));
            snapshots.push(snapshot);
        }
    }
}
