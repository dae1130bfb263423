//! What a lost commit or fs object cuts off. No walk reaches what lies behind a commit that cannot
//! be read, or below such a folder. This may be its last copy. So these stores are copied by
//! listing, like those of libraries whose row is lost (docs/design.md, "What a loss cuts off").

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::objects::{ObjectBackup, WalkedGroup};
use crate::database::LibraryPointers;
use crate::object::{Kind, LibraryId, Object, Store};
use crate::repository::manifest::{Damage, ListedObjects, Manifest};
use crate::walk::{self, Need, ObjectDamage, WalkFinding};

/// The stores of one library that have to be listed, and for which kinds of objects.
#[derive(Debug, Default)]
pub struct StoresToList {
    /// The kinds, by store.
    pub stores: BTreeMap<Store, BTreeSet<Kind>>,
    /// Whether the base names all of the losses already.
    is_known: bool,
}

/// What a run has to list, and what an earlier run has listed.
#[derive(Debug, Default)]
pub struct CutOffLibraries {
    /// Libraries that this run has to list.
    pub wanted: BTreeMap<LibraryId, StoresToList>,
    /// Libraries that an earlier run listed, and that have lost nothing more since.
    pub listed: BTreeMap<LibraryId, ListedObjects>,
    /// Objects that the walks found bad: they are reported already.
    pub told: HashSet<Object>,
}

impl CutOffLibraries {
    /// Decides by what the walks found. `again`: list also what an earlier run listed, since the
    /// destination may have lost it.
    pub fn new(
        objects: &ObjectBackup<'_>,
        walked: &[WalkedGroup],
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
                    let new = || StoresToList { is_known: true, ..StoresToList::default() };
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

/// Whether a finding cuts something off. Collected history does not: what lay behind it was
/// collected too.
fn cuts_off(finding: &WalkFinding) -> bool {
    let is_lost = match finding.trouble {
        ObjectDamage::Missing => finding.need == Need::Required,
        ObjectDamage::Lengths | ObjectDamage::Changed | ObjectDamage::AlteredRoot(_) => false,
        ObjectDamage::Bad(_) | ObjectDamage::Unreadable(_) => true,
    };
    is_lost && !finding.rescued && finding.object.kind != Kind::Block
}

impl StoresToList {
    /// Adds the stores in which a lost object cuts something off. Below an fs object lie other
    /// objects of the same store. Behind a commit lie older commits and their trees. The trees of a
    /// virtual library are in its origin's store.
    fn add(&mut self, objects: &ObjectBackup<'_>, libraries: &[LibraryPointers], lost: &Object) {
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
