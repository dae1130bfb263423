//! Stores the objects of an installation in the repository. It walks groups of libraries, and
//! afterwards decides what is closed (docs/design.md, "Something is not on disk").

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::Error;
use super::heartbeat::Heartbeat;
use super::packing::{ObjectTrouble, Packer, PackingSettings, PackingTotals};
use super::salvaged::SalvagedObjects;
use super::sight::{BackupSight, SightError};
use crate::database::LibraryPointers;
use crate::host::catalog::{Catalog, Mark};
use crate::object::{Object, Store};
use crate::repository::Repository;
use crate::repository::manifest::Manifest;
use crate::repository::reader::Frames;
use crate::seafile::commit::Commit;
use crate::seafile::folders::ObjectFolders;
use crate::walk::{
    self, Audit, Closure, Doubts, GroupOutcome, LibraryGroup, Need, Rescue, Sight as _, Walk,
    WalkError, WalkFinding,
};

/// What a run needs to walk.
pub struct ObjectBackup<'a> {
    /// Where packs go.
    pub repository: &'a Repository,
    /// What is stored and closed.
    pub catalog: &'a Arc<Catalog>,
    /// The source's folders of objects.
    pub source: &'a Arc<ObjectFolders>,
    /// Keeps `prune` from declaring a long run dead.
    pub heartbeat: &'a Arc<Heartbeat>,
    /// Which bad bytes are kept already.
    pub salvaged: &'a Arc<SalvagedObjects>,
    /// What the source had lost or altered when the base was made.
    pub doubts: &'a Doubts,
    /// How to pack.
    pub settings: PackingSettings,
}

/// A group of libraries and what its walk found.
pub struct WalkedGroup {
    /// The libraries, as the walk saw them.
    pub libraries: Vec<LibraryPointers>,
    /// How closely the walk looked at objects that are stored.
    pub audit: Audit,
    /// What it found.
    pub outcome: GroupOutcome,
    /// What is open because nobody has some object. [`ObjectBackup::close`] fills it if anything was
    /// found.
    pub closure: Option<Closure>,
    /// Like `closure`, but an object that the source alone has lost also leaves open what is above
    /// it. So the next walk comes by and sees whether it is mended.
    pub open: Option<Closure>,
}

impl WalkedGroup {
    /// The group in the form that the walk takes.
    pub fn group(&self) -> LibraryGroup<'_> {
        LibraryGroup { libraries: self.libraries.iter().collect(), audit: self.audit }
    }

    /// Every store that the walk looked into.
    pub fn stores(&self, source: &ObjectFolders) -> HashSet<Store> {
        stores(&self.libraries, source)
    }

    /// Whether a walk of `group` would start from the same roots.
    pub fn has_roots_of(&self, group: &LibraryGroup<'_>) -> bool {
        self.libraries.len() == group.libraries.len()
            && self.libraries.iter().zip(&group.libraries).all(|(old, new)| old.same_roots(new))
    }

    /// Whether the walk found required objects missing or bad that are not in `known`. That has
    /// pairs: the object, and whether the repository has it.
    pub fn is_news(&self, known: &HashSet<(Object, bool)>) -> bool {
        let findings = self.outcome.findings.iter();
        let mut required = findings.filter(|finding| finding.need == Need::Required);
        required.any(|finding| !known.contains(&(finding.object, finding.rescued)))
    }
}

/// Every store that a walk of these libraries looks into.
pub fn stores<'l>(
    libraries: impl IntoIterator<Item = &'l LibraryPointers>,
    source: &ObjectFolders,
) -> HashSet<Store> {
    let mut stores = HashSet::new();
    for library in libraries {
        stores.extend(source.places(Store::Library(library.id)));
        stores.extend(source.places(walk::content_store(library)));
    }
    stores
}

/// The damage of a snapshot, to tell new damage from it. Pairs: the object, and whether the
/// repository has it.
pub fn known_damage(manifest: Option<&Manifest>) -> HashSet<(Object, bool)> {
    let lost = manifest.into_iter().flat_map(|manifest| &manifest.damage);
    let of_source = manifest.into_iter().flat_map(|known| &known.source_damage);
    let lost = lost.map(|damage| (damage.object(), false));
    lost.chain(of_source.map(|damage| (damage.object(), true))).collect()
}

impl ObjectBackup<'_> {
    /// A copy of `self` for objects that are listed because no walk leads to them. They do not
    /// become closed with the run.
    pub fn listing(&self) -> ObjectBackup<'_> {
        let settings = PackingSettings { walked: false, ..self.settings };
        ObjectBackup { settings, ..*self }
    }

    /// Walks groups and waits until everything they need is stored.
    pub fn walk(
        &self,
        groups: &[LibraryGroup<'_>],
    ) -> Result<(Vec<WalkedGroup>, PackingTotals), Error> {
        let (outcomes, totals, troubles) = self.pack(|sight| {
            let walk = Walk::new(self.source.as_ref(), sight).doubting(self.doubts.clone());
            groups.iter().map(|group| walk.group(group)).collect::<Result<Vec<_>, _>>()
        })?;
        let mut walked: Vec<WalkedGroup> = groups
            .iter()
            .zip(outcomes)
            .map(|(group, outcome)| WalkedGroup {
                libraries: group.libraries.iter().map(|library| (*library).clone()).collect(),
                audit: group.audit,
                outcome,
                closure: None,
                open: None,
            })
            .collect();
        for trouble in troubles {
            assign(&mut walked, trouble);
        }
        for walked in &mut walked {
            walked.outcome.remove_echoes();
        }
        Ok((walked, totals))
    }

    /// Runs the pipeline while `work` feeds it; returns what `work` returned once all is stored.
    pub fn pack<T>(
        &self,
        work: impl FnOnce(&BackupSight<'_>) -> Result<T, WalkError<SightError>>,
    ) -> Result<(T, PackingTotals, Vec<ObjectTrouble>), Error> {
        let packer = Packer::start(
            self.repository,
            self.catalog,
            self.source,
            self.heartbeat,
            self.salvaged,
            self.settings,
        );
        let sight = self.sight(Some(&packer));
        let result = work(&sight);
        if result.is_ok() {
            sight.finish()?;
        }
        let (totals, troubles) = match result {
            Err(WalkError::Sight(SightError::Host(error))) => return Err(error.into()),
            Err(WalkError::Source(error)) => return Err(Error::Walk(error)),
            // The pipeline knows why it stopped.
            Err(WalkError::Sight(SightError::Stopped)) | Ok(_) => packer.finish()?,
        };
        let value = result.map_err(|_| Error::Stopped)?;
        Ok((value, totals, troubles))
    }

    fn sight<'a>(&'a self, packer: Option<&'a Packer>) -> BackupSight<'a> {
        BackupSight {
            repository: self.repository,
            frames: Frames::default(),
            catalog: self.catalog,
            packer,
            salvaged: self.salvaged,
            heartbeat: self.heartbeat,
            visits: Mutex::default(),
        }
    }

    /// Decides what is closed in a group although something was found there. If an earlier walk of
    /// a store was in vain (`discarded`), it proves nothing: the group's objects are looked at then
    /// too.
    pub fn close(&self, walked: &mut WalkedGroup, discarded: &HashSet<Store>) -> Result<(), Error> {
        let lost: HashSet<Object> = lost_objects(&walked.outcome);
        let found: HashSet<Object> = found_objects(&walked.outcome);
        let stores = walked.stores(self.source);
        let is_clean = found.is_empty() && !walked.outcome.passed_open;
        if is_clean && stores.is_disjoint(discarded) {
            return Ok(());
        }
        let sight = self.sight(None);
        let walk = Walk::new(self.source.as_ref(), &sight);
        let unfollowed = &walked.outcome.unfollowed;
        let closure = |bad| {
            let closure = walk.closure(&walked.group(), bad, unfollowed);
            closure.map_err(walk_error)
        };
        let whole = closure(&lost)?;
        let open = closure(&found)?;
        let marks = open.closed.iter().flat_map(|(object, closed)| {
            let mark = if *closed { Mark::Closed } else { Mark::Walked };
            self.source.places(object.store).map(move |store| (Object { store, ..*object }, mark))
        });
        self.catalog.mark(&stores.into_iter().collect::<Vec<_>>(), marks)?;
        walked.closure = Some(whole);
        walked.open = Some(open);
        Ok(())
    }

    /// Which of the bad objects are required by the libraries of a group.
    pub fn required(
        &self,
        walked: &WalkedGroup,
        bad: &HashSet<Object>,
    ) -> Result<HashSet<Object>, Error> {
        let sight = self.sight(None);
        let source = self.source.as_ref();
        let closure = Walk::new(source, &sight)
            .closure(&walked.group(), bad, &walked.outcome.unfollowed)
            .map_err(walk_error)?;
        let mut required = HashSet::new();
        for library in &walked.libraries {
            let needs = walk::needs(source, &sight, library, bad, &closure).map_err(walk_error)?;
            required.extend(needs.into_keys());
        }
        Ok(required)
    }

    /// When a commit was made, if the source has it.
    pub fn commit_time(&self, commit: Object) -> Option<i64> {
        Some(self.commit_of_source(commit)?.ctime)
    }

    fn commit_of_source(&self, commit: Object) -> Option<Commit> {
        self.source.places(commit.store).find_map(|store| {
            let bytes = self.source.read(&Object { store, ..commit }).ok()??;
            Commit::parse(&bytes).ok()
        })
    }

    /// Reads a commit from the source, or else from the repository, if either has it.
    pub fn commit(&self, commit: Object) -> Result<Option<Box<Commit>>, Error> {
        if let Some(found) = self.commit_of_source(commit) {
            return Ok(Some(Box::new(found)));
        }
        for store in self.source.places(commit.store) {
            let stored = self.stored(&Object { store, ..commit })?;
            if let Some(found) = stored.and_then(|bytes| Commit::parse(&bytes).ok()) {
                return Ok(Some(Box::new(found)));
            }
        }
        Ok(None)
    }

    /// Reads an object's bytes from the repository, if it has them.
    pub fn stored(&self, object: &Object) -> Result<Option<Vec<u8>>, Error> {
        let stored = self.sight(None).rescue(object).map(Rescue::bytes);
        stored.map_err(|error| walk_error(WalkError::Sight(error)))
    }

    /// The paths in a library's newest state at which its damage shows.
    pub fn paths(
        &self,
        walked: &WalkedGroup,
        library: &LibraryPointers,
    ) -> Result<HashMap<Object, Vec<String>>, Error> {
        let Some(open) = &walked.open else {
            return Ok(HashMap::new());
        };
        let shown = walked.outcome.findings.iter();
        let shown = shown.filter(|finding| finding.need == Need::Required);
        let bad: HashSet<Object> = shown.map(|finding| finding.object).collect();
        let sight = self.sight(None);
        walk::affected_paths(self.source.as_ref(), &sight, library, &bad, open, 100)
            .map(|affected| affected.paths)
            .map_err(walk_error)
    }
}

/// Objects that nobody has.
fn lost_objects(outcome: &GroupOutcome) -> HashSet<Object> {
    let lost = outcome.findings.iter().filter(|finding| !finding.rescued);
    lost.map(|finding| finding.object).collect()
}

/// Objects that the source lacks or has bad.
fn found_objects(outcome: &GroupOutcome) -> HashSet<Object> {
    let found = outcome.findings.iter();
    found.map(|finding| finding.object).collect()
}

fn walk_error(error: WalkError<SightError>) -> Error {
    match error {
        WalkError::Source(error) => Error::Walk(error),
        WalkError::Sight(SightError::Host(error)) => error.into(),
        WalkError::Sight(SightError::Stopped) => Error::Stopped,
    }
}

/// Adds a block that a worker found bad to the group whose store it lies in. The block was there
/// when the walk looked.
fn assign(walked: &mut [WalkedGroup], trouble: ObjectTrouble) {
    // Some group asked for the block. If no group knows its store, the first one gets the trouble,
    // so that it is not forgotten.
    let position = owner(walked, &trouble.object).unwrap_or_default();
    if let Some(walked) = walked.get_mut(position) {
        walked.add(trouble, false);
    }
}

/// The index of the group that looks into an object's store.
pub fn owner(walked: &[WalkedGroup], object: &Object) -> Option<usize> {
    let is_of = |library: &LibraryPointers| {
        let own = Store::Library(library.id);
        [own, walk::content_store(library), Store::Shared].contains(&object.store)
    };
    walked.iter().position(|walked| walked.libraries.iter().any(is_of))
}

impl WalkedGroup {
    /// Adds what the walk itself did not find. `rescued`: the repository has it.
    pub fn add(&mut self, trouble: ObjectTrouble, rescued: bool) {
        let of_store =
            |library: &&LibraryPointers| Store::Library(library.id) == trouble.object.store;
        let library = self.libraries.iter().find(of_store);
        if let Some(library) = library.or(self.libraries.first()) {
            self.outcome.findings.push(WalkFinding {
                object: trouble.object,
                library: library.id,
                need: trouble.need,
                trouble: trouble.trouble,
                rescued,
            });
        }
    }
}
