//! Tells missing objects from a race with the server (review of the design, F7). It looks again for
//! what is missing. Then it reads the pointers again, and walks libraries that changed once more.
//!
//! An object is damage if it was missing before the pointers were read that still need it, however
//! busy its library is: a server writes objects before the pointer to them.

use std::collections::HashSet;

use super::inventory::Inventory;
use super::sight::{self, BlockReading, BlockTrouble, WalkedGroups};
use crate::database::{LibraryPointers, Pointers};
use crate::object::{LibraryId, Object, Store};
use crate::seafile::folders::ObjectFolders;
use crate::walk::{self, GroupOutcome, LibraryGroup, Need, ObjectDamage, WalkFinding};

/// Libraries that were walked together, and what the walk found.
pub(super) struct Walked {
    /// The libraries, as the walk saw them.
    pub libraries: Vec<LibraryPointers>,
    /// The findings of the walk, and bad blocks.
    pub outcome: GroupOutcome,
}

/// How much all walks read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    /// Bytes.
    pub bytes: u64,
    /// Blocks whose ids prove nothing.
    pub unverifiable: u64,
}

/// Walks groups, and sums up what was read.
pub(super) struct SettlingWalker<'a> {
    /// Where objects lie.
    pub source: &'a ObjectFolders,
    /// How blocks are read.
    pub reading: BlockReading,
    /// What was read so far.
    pub totals: Totals,
}

impl SettlingWalker<'_> {
    /// Sorts the libraries into groups. All of them must have a head.
    pub(super) fn groups<'p>(&self, libraries: &'p [LibraryPointers]) -> Vec<LibraryGroup<'p>> {
        let any = Store::Library(LibraryId::new([0; 16]));
        walk::groups(libraries, self.source.places(any).count() > 1)
    }

    /// Walks groups and reads their blocks.
    pub(super) fn walk(&mut self, groups: &[LibraryGroup<'_>]) -> std::io::Result<Vec<Walked>> {
        self.walk_and_list(groups, None)
    }

    /// Walks groups, reads their blocks, and tells the inventory what the pointers reached.
    pub(super) fn walk_and_list(
        &mut self,
        groups: &[LibraryGroup<'_>],
        inventory: Option<&mut Inventory>,
    ) -> std::io::Result<Vec<Walked>> {
        let WalkedGroups { outcomes, blocks, bytes, unverifiable } =
            sight::look(self.source, groups, self.reading, inventory)?;
        self.totals.bytes += bytes;
        self.totals.unverifiable += unverifiable;
        let mut walked: Vec<Walked> = groups
            .iter()
            .zip(outcomes)
            .map(|(group, outcome)| Walked {
                libraries: group.libraries.iter().map(|&library| library.clone()).collect(),
                outcome,
            })
            .collect();
        for block in blocks {
            assign(&mut walked, block);
        }
        for walked in &mut walked {
            walked.outcome.remove_echoes();
        }
        Ok(walked)
    }

    /// Walks a group again if something that was missing exists now.
    pub(super) fn walk_what_reappeared(
        &mut self,
        walked: Vec<Walked>,
    ) -> std::io::Result<Vec<Walked>> {
        let (again, mut settled): (Vec<Walked>, Vec<Walked>) = walked
            .into_iter()
            .partition(|walked| walked.missing().any(|object| self.is_there(&object)));
        let groups: Vec<LibraryGroup<'_>> = again.iter().map(Walked::group).collect();
        if !groups.is_empty() {
            settled.extend(self.walk(&groups)?);
        }
        Ok(settled)
    }

    fn is_there(&self, object: &Object) -> bool {
        let mut places = self.source.places(object.store);
        places.any(|store| matches!(self.source.len(&Object { store, ..*object }), Ok(Some(_))))
    }

    /// Walks once more each group with something missing in which a library changed, and libraries
    /// that have got a head. Returns all groups, and the libraries that changed.
    pub(super) fn walk_what_changed(
        &mut self,
        walked: Vec<Walked>,
        headless: &[LibraryPointers],
        now: &Pointers,
    ) -> std::io::Result<Rewalked> {
        let mut changed: Vec<LibraryId> = headless
            .iter()
            .filter(|library| has_changed(library, now))
            .map(|library| library.id)
            .collect();
        let mut again: HashSet<LibraryId> = changed.iter().copied().collect();
        let mut known = HashSet::new();
        let mut left = Vec::new();
        for walked in walked {
            let differing = walked.libraries.iter().filter(|library| has_changed(library, now));
            let differing: Vec<LibraryId> = differing.map(|library| library.id).collect();
            if walked.missing().next().is_none() || differing.is_empty() {
                left.push(walked);
            } else {
                changed.extend(differing);
                known.extend(walked.missing());
                // The group's other libraries share its store, so they are walked too.
                again.extend(walked.libraries.iter().map(|library| library.id));
            }
        }
        let mut libraries = with_heads(now);
        libraries.retain(|library| again.contains(&library.id));
        let groups = self.groups(&libraries);
        let again = if groups.is_empty() { Vec::new() } else { self.walk(&groups)? };
        Ok(Rewalked { settled: left, again, known, changed })
    }
}

/// The groups after changed libraries were walked once more.
pub(super) struct Rewalked {
    /// Groups that were not walked again.
    pub settled: Vec<Walked>,
    /// Groups that were walked again.
    pub again: Vec<Walked>,
    /// The objects that were missing before.
    known: HashSet<Object>,
    /// Libraries whose pointers changed.
    pub changed: Vec<LibraryId>,
}

impl Rewalked {
    /// Whether an object is missing that was not missing before. That may be a second race.
    pub(super) fn has_doubt(&self) -> bool {
        self.again.iter().flat_map(Walked::missing).any(|object| !self.known.contains(&object))
    }

    /// Removes findings that nobody can judge: the object was missing only in the last walk, and a
    /// library of the group has changed again since. Returns the libraries concerned, once for each
    /// object.
    pub(super) fn remove_doubts(&mut self, now: &Pointers) -> Vec<LibraryId> {
        let mut unsettled = Vec::new();
        for walked in &mut self.again {
            if !walked.libraries.iter().any(|library| has_changed(library, now)) {
                continue;
            }
            let known = &self.known;
            walked.outcome.findings.retain(|finding| {
                let is_doubtful = is_missing(finding) && !known.contains(&finding.object);
                if is_doubtful {
                    unsettled.push(finding.library);
                }
                !is_doubtful
            });
        }
        unsettled
    }
}

impl Walked {
    /// These libraries as a group, to walk again.
    pub(super) fn group(&self) -> LibraryGroup<'_> {
        LibraryGroup { libraries: self.libraries.iter().collect(), ..LibraryGroup::default() }
    }

    /// The required objects that are missing.
    pub(super) fn missing(&self) -> impl Iterator<Item = Object> + '_ {
        let missing = self.outcome.findings.iter().filter(|finding| is_missing(finding));
        missing.map(|finding| finding.object)
    }
}

fn is_missing(finding: &WalkFinding) -> bool {
    finding.need == Need::Required && finding.trouble == ObjectDamage::Missing
}

/// The libraries that have a head, and so can be walked.
pub(super) fn with_heads(pointers: &Pointers) -> Vec<LibraryPointers> {
    let libraries = pointers.libraries.iter();
    libraries.filter(|library| !library.heads.is_empty()).cloned().collect()
}

fn has_changed(library: &LibraryPointers, now: &Pointers) -> bool {
    now.library(library.id).is_none_or(|now| !now.same_roots(library) || now.state != library.state)
}

/// Adds a bad block to the group whose store it lies in.
fn assign(walked: &mut [Walked], (object, trouble): BlockTrouble) {
    let owns = |walked: &Walked| {
        let mut libraries = walked.libraries.iter();
        object.store == Store::Shared
            || libraries.any(|library| walk::content_store(library) == object.store)
    };
    let Some(walked) = walked.iter_mut().find(|walked| owns(walked)) else {
        return;
    };
    let origin = |library: &&LibraryPointers| Store::Library(library.id) == object.store;
    let library = walked.libraries.iter().find(origin).or(walked.libraries.first());
    if let Some(library) = library.map(|library| library.id) {
        walked.outcome.findings.push(WalkFinding {
            object,
            library,
            // The worker does not know who needs it. The description decides later whether anything
            // does.
            need: Need::Required,
            trouble,
            rescued: false,
        });
    }
}
