//! What a lost commit or fs object cuts off. No walk comes to what lies behind a commit that cannot be read, or below a
//! folder, and this may be the last copy of it: so these stores are copied by listing, as where a row is lost
//! (docs/design.md, "What a loss cuts off").

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::objects::{Objects, Walked};
use crate::database::LibraryPointers;
use crate::object::{Kind, LibraryId, Object, Store};
use crate::repository::manifest::{Damage, Listed, Manifest};
use crate::walk::{self, Finding, Need, Trouble};

/// The stores of one library that are to be listed, and of which kinds.
#[derive(Debug, Default)]
pub struct Wanted {
    /// By store.
    pub stores: BTreeMap<Store, BTreeSet<Kind>>,
    /// Everything that is lost was known to be so.
    is_known: bool,
}

/// What a run has to list, and what an earlier one has listed.
#[derive(Debug, Default)]
pub struct CutOff {
    /// To be listed.
    pub wanted: BTreeMap<LibraryId, Wanted>,
    /// Listed by an earlier run; nothing more was lost since.
    pub listed: BTreeMap<LibraryId, Listed>,
    /// What the walks found: it is told already.
    pub told: HashSet<Object>,
}

impl CutOff {
    /// Finds out. `again`: something at the destination was lost, so that what an earlier run listed may be too.
    pub fn new(
        objects: &Objects<'_>,
        walked: &[Walked],
        base: Option<&Manifest>,
        again: bool,
    ) -> Self {
        let known = base.into_iter().flat_map(|base| &base.damage);
        let known: HashSet<Object> = known.map(Damage::object).collect();
        let mut this = Self::default();
        for walked in walked {
            for finding in &walked.outcome.findings {
                this.told.insert(finding.object);
                if cuts_off(finding) {
                    let new = || Wanted { is_known: true, ..Wanted::default() };
                    let wanted = this.wanted.entry(finding.library).or_insert_with(new);
                    wanted.is_known &= known.contains(&finding.object);
                    wanted.add(objects, &walked.libraries, &finding.object);
                }
            }
        }
        for (library, wanted) in std::mem::take(&mut this.wanted) {
            let before = base.and_then(|base| base.library(library)?.listed.clone());
            match before {
                Some(before) if wanted.is_known && !again => {
                    this.listed.insert(library, before);
                }
                _ => {
                    this.wanted.insert(library, wanted);
                }
            }
        }
        this
    }
}

/// Whether something lies behind what a walk found lost. History that was collected took with it what is behind.
fn cuts_off(finding: &Finding) -> bool {
    let is_lost = match finding.trouble {
        Trouble::Missing => finding.need == Need::Required,
        Trouble::Lengths | Trouble::Changed | Trouble::AlteredRoot(_) => false,
        Trouble::Bad(_) | Trouble::Unreadable(_) => true,
    };
    is_lost && !finding.rescued && finding.object.kind != Kind::Block
}

impl Wanted {
    /// Below an fs object lie others of its store. Behind a commit lie others, and their trees, which of a virtual library
    /// are in its origin's store.
    fn add(&mut self, objects: &Objects<'_>, libraries: &[LibraryPointers], lost: &Object) {
        let content = [Kind::Fs, Kind::Block];
        let mut add = |store: Store, kinds: &[Kind]| {
            for store in objects.source.places(store) {
                self.stores.entry(store).or_default().extend(kinds);
            }
        };
        if lost.kind == Kind::Fs {
            return add(lost.store, &content);
        }
        add(lost.store, &Kind::ALL);
        let places = |library: &LibraryPointers| objects.source.places(Store::Library(library.id));
        for library in libraries {
            if places(library).any(|store| store == lost.store) {
                add(walk::content_store(library), &content);
            }
        }
    }
}
