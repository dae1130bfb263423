//! What a lost commit or fs object cuts off. No walk reaches what lies behind a commit that cannot
//! be read, or below such a folder. This may be its last copy. So these stores are copied by
//! listing, like those of libraries whose row is lost (docs/design.md, "What a loss cuts off").

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::objects::{Objects, Walked};
use crate::database::LibraryPointers;
use crate::object::{Kind, LibraryId, Object, Store};
use crate::repository::manifest::{Damage, Listed, Manifest};
use crate::walk::{self, Finding, Need, Trouble};

/// The stores of one library that have to be listed, and for which kinds of objects.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The kinds, by store.
    pub stores: BTreeMap<Store, BTreeSet<Kind>>,
    /// Whether the base names all of the losses already.
    is_known: bool,
}

/// What a run has to list, and what an earlier run has listed.
#[derive(Debug, Default)]
pub struct CutOff {
    /// Libraries that this run has to list.
    pub wanted: BTreeMap<LibraryId, Wanted>,
    /// Libraries that an earlier run listed, and that have lost nothing more since.
    pub listed: BTreeMap<LibraryId, Listed>,
    /// Objects that the walks found bad: they are reported already.
    pub told: HashSet<Object>,
}

impl CutOff {
    /// Decides by what the walks found. `again`: list also what an earlier run listed, since the
    /// destination may have lost it.
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

/// Whether a finding cuts something off. Collected history does not: what lay behind it was
/// collected too.
fn cuts_off(finding: &Finding) -> bool {
    let is_lost = match finding.trouble {
        Trouble::Missing => finding.need == Need::Required,
        Trouble::Lengths | Trouble::Changed | Trouble::AlteredRoot(_) => false,
        Trouble::Bad(_) | Trouble::Unreadable(_) => true,
    };
    is_lost && !finding.rescued && finding.object.kind != Kind::Block
}

impl Wanted {
    /// Adds the stores in which a lost object cuts something off. Below an fs object lie other
    /// objects of the same store. Behind a commit lie older commits and their trees. The trees of a
    /// virtual library are in its origin's store.
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
