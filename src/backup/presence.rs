//! Looks whether the source is still there. On a night on which no head moved, a run looks at
//! nothing else in the source. So each run looks for the heads, the folders and some random objects
//! (docs/design.md, "Is the source still there"). If one thing is gone, the walk looks for it and
//! names it. If everything is gone at once, that is one alarm.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::attempts::BackupAttempt;
use super::objects::{self, WalkedGroup};
use super::{BackupRun, Error};
use crate::database::LibraryPointers;
use crate::object::{Kind, LibraryId, Object, Store};
use crate::repository;
use crate::repository::manifest::{Damage, Manifest};
use crate::seafile::folders::ObjectFolders;
use crate::source::presence::{
    Expectations, Expected, Presence, Random, Sampling, SourceGone, look,
};
use crate::walk::{self, Audit, LibraryGroup, Need, ObjectDamage};

/// What this run knows of the source.
#[derive(Debug, Default)]
pub(super) struct SourceCondition {
    presence: Presence,
    /// Libraries that seem to have lost something. The walk finds out what.
    suspected: BTreeSet<LibraryId>,
    /// The alarm if everything seems to be gone.
    pub gone: Option<SourceGone>,
    /// Everything seemed to be gone at some moment of this run. Then no attempt of the run looks at
    /// everything, and the run compacts nothing.
    pub was_gone: bool,
}

impl BackupRun<'_> {
    /// Looks at the source before the walk. This is cheap: a few `stat`s for each library.
    pub(super) fn look_at_source(
        &mut self,
        libraries: &[LibraryPointers],
        source: &Arc<ObjectFolders>,
    ) -> Result<(), Error> {
        let known_lost: HashSet<Object> = self.known_damage().map(Damage::object).collect();
        let accepted = self.accepted_stores();
        let shared = self.catalog.counts(Store::Shared)?;
        let base = self.base();
        let holds = |kind: Kind, store: Store| {
            let Store::Library(library) = store else {
                return false;
            };
            let known = base.and_then(|base| base.library(library));
            let own = known.map_or(0, |known| known.counts.of_kind(kind));
            own > 0 || source.places(store).count() > 1 && shared.of_kind(kind) > 0
        };
        let is_known_lost = |object: &Object| {
            accepted.contains(&(object.store, object.kind)) && known_lost.contains(object)
        };
        let expectations = Expectations { holds: &holds, is_known_lost: &is_known_lost };
        let mut presence = look(source, libraries, &expectations);
        let judge = |object: &Object| {
            let known = (!known_lost.contains(object))
                .then(|| self.catalog.known(object).ok().flatten())
                .flatten();
            known.map_or(Expected::Ignored, |known| {
                Expected::File((object.kind == Kind::Block).then_some(known.length))
            })
        };
        let weight = |library: &LibraryPointers| {
            let known = self.base().and_then(|base| base.library(library.id));
            known.map_or(0, |known| known.counts.objects())
        };
        let sampling = Sampling {
            folders: source.as_ref(),
            libraries: libraries.iter().map(|library| (library, weight(library))).collect(),
            back: true,
            judge: &judge,
        };
        presence.sample(&sampling, &mut Random::new(seed()?), self.options.samples);
        let gone = presence.alarm();
        let suspected: BTreeSet<LibraryId> = if gone.is_some() {
            BTreeSet::new()
        } else {
            let samples = presence.missing_samples().iter();
            let samples = samples.map(|sample| sample.library);
            presence.gone().into_keys().chain(samples).collect()
        };
        if let Some(gone) = &gone {
            self.say(&gone.text);
        }
        self.looked = SourceCondition {
            presence,
            suspected,
            was_gone: self.looked.was_gone || gone.is_some(),
            gone,
        };
        Ok(())
    }

    /// Makes the walk go through the libraries that seem to have lost something.
    pub(super) fn suspect(
        &self,
        groups: &mut [LibraryGroup<'_>],
        source: &Arc<ObjectFolders>,
    ) -> Result<(), Error> {
        let known: HashSet<Object> = self.known_damage().map(Damage::object).collect();
        // Only a head is gone, and the base names it as lost. That is reported already, and the way
        // to it is open.
        let is_told = |library: &LibraryPointers| {
            let gone = self.looked.presence.gone();
            let mut samples = self.looked.presence.missing_samples().iter();
            let head = |commit| Object::new(Store::Library(library.id), Kind::Commit, commit);
            gone.get(&library.id).is_none_or(|kinds| kinds[..] == [Kind::Commit])
                && !samples.any(|sample| sample.library == library.id)
                && library.heads.iter().any(|at| known.contains(&head(at.commit)))
        };
        let is_suspected = |group: &LibraryGroup<'_>| {
            let mut libraries = group.libraries.iter();
            libraries.any(|library| self.looked.suspected.contains(&library.id))
        };
        for group in groups.iter_mut().filter(|group| is_suspected(group)) {
            group.audit = group.audit.max(Audit::Look);
            let mut suspected = group.libraries.iter();
            if suspected
                .all(|library| !self.looked.suspected.contains(&library.id) || is_told(library))
            {
                continue;
            }
            for store in objects::stores(group.libraries.iter().copied(), source) {
                self.catalog.void_marks(store)?;
            }
        }
        Ok(())
    }

    /// Looks at what the walk missed. A store whose folder is empty, and of which something is
    /// missing, is gone too. On a first backup nothing else tells that.
    pub(super) fn look_again(&mut self, walked: &[WalkedGroup]) {
        for walked in walked {
            let missed = walked.outcome.findings.iter();
            let missed = missed.filter(|finding| {
                finding.need == Need::Required && finding.trouble == ObjectDamage::Missing
            });
            for finding in missed {
                let of_store = |library: &&LibraryPointers| {
                    walk::content_store(library) == finding.object.store
                        || Store::Library(library.id) == finding.object.store
                };
                let owner = walked.libraries.iter().find(of_store);
                let library = owner.map_or(finding.library, |library| library.id);
                self.looked.presence.missed(library, finding.object.kind);
            }
        }
        if let Some(gone) = self.looked.presence.alarm() {
            self.looked.gone = Some(gone);
            self.looked.was_gone = true;
        }
    }

    /// Whether the source is gone, so that this run cannot judge it.
    pub(super) fn source_is_gone(&self) -> bool {
        self.looked.gone.is_some()
    }

    /// One line if everything is gone. Otherwise a line for each kind of object that a library has
    /// lost, if the walk confirms it.
    pub(super) fn gone_warnings(&self, attempt: &BackupAttempt) -> Vec<String> {
        if let Some(gone) = &self.looked.gone {
            return vec![gone.text.clone()];
        }
        let walked = &attempt.walked;
        let missed: HashSet<(LibraryId, Kind)> = walked
            .iter()
            .flat_map(|walked| &walked.outcome.findings)
            .filter(|finding| finding.need == Need::Required)
            .map(|finding| (finding.library, finding.object.kind))
            .collect();
        let mut lines = Vec::new();
        for (library, kinds) in self.looked.presence.gone() {
            for kind in kinds.into_iter().filter(|kind| missed.contains(&(library, *kind))) {
                let what = match kind {
                    Kind::Commit => "its newest commit is gone".to_owned(),
                    Kind::Fs | Kind::Block => {
                        format!("its folder {}/{library} is gone or empty", kind.folder())
                    }
                };
                lines.push(format!(
                    "library {library}: {what}: was it removed, or is a disk not mounted?"
                ));
            }
        }
        lines
    }

    fn known_damage(&self) -> impl Iterator<Item = &Damage> {
        self.base().into_iter().flat_map(Manifest::all_damage)
    }

    /// Stores, and kinds of objects in them, for which the administrator has accepted a loss.
    fn accepted_stores(&self) -> HashSet<(Store, Kind)> {
        let mut damage: Vec<Damage> = self.known_damage().cloned().collect();
        self.mark_accepted(damage.iter_mut());
        let accepted = damage.iter().filter(|damage| damage.accepted.is_some());
        accepted.map(|damage| (damage.store, damage.kind)).collect()
    }
}

fn seed() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| repository::Error::Random(error.to_string()))?;
    Ok(u64::from_ne_bytes(bytes))
}
