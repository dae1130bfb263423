//! The verb `damage`: shows what the newest snapshot of this host lists as damaged, and records
//! what the administrator accepts (docs/design.md, "Accepted damage").
//!
//! It reads the repository and changes nothing there. The next backup signs what was accepted.

mod select;

pub use select::{Id, ParseIdStartError, PlaceFilter, SelectError, Selection, id_of};

use std::collections::HashSet;

use serde::Serialize;

use crate::host::acceptances::Acceptances;
use crate::repository::manifest::{Acceptance, Damage, Manifest};
use crate::repository::names::SnapshotId;
use crate::repository::note::VerifyingKey;
use crate::repository::snapshots::BadMarker;
use crate::repository::{Repository, Result, index};
use crate::time::Timestamp;

/// The newest snapshot of a host.
#[derive(Debug)]
pub struct Newest {
    /// Its manifest; `None`: there is no snapshot yet.
    pub manifest: Option<Manifest>,
    /// Files of this host in `markers/` that are newer and are no markers.
    pub bad: Vec<BadMarker>,
}

impl Newest {
    /// Reads the newest snapshot of the host with this key.
    pub fn read(repository: &Repository, host: &VerifyingKey) -> Result<Self> {
        let (base, bad) = repository.base(host)?;
        let manifest = base.map(|base| index::read_manifest(repository, &base.marker));
        Ok(Self { manifest: manifest.transpose()?, bad })
    }
}

/// Whether the administrator accepted some damage, and otherwise whether it is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DamageState {
    /// Not accepted, and the newest snapshot is the first that has it.
    New,
    /// Not accepted, or the acceptance has expired. Older snapshots have it too.
    Known,
    /// Accepted.
    Accepted,
}

/// Some damage, and whether it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamageRow {
    /// The damage. Its acceptance comes from the state folder, so no snapshot may have signed it
    /// yet.
    #[serde(flatten)]
    pub damage: Damage,
    /// The library's name.
    pub library_name: Option<String>,
    /// Whether it is accepted, known or new.
    pub state: DamageState,
}

/// The damage of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamageListing {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Objects that nobody has.
    pub damage: Vec<DamageRow>,
    /// Objects that the source has lost and the repository has.
    pub source_damage: Vec<DamageRow>,
}

impl DamageListing {
    /// The damage of a snapshot, compared with what is accepted now.
    pub fn new(manifest: &Manifest, accepted: &Acceptances, now: Timestamp) -> Self {
        let row = |damage: &Damage| {
            let acceptance = accepted.of(damage);
            let holds = acceptance.is_some_and(|given| !given.is_over(now));
            let state = match holds {
                true => DamageState::Accepted,
                false if manifest.is_new(damage) => DamageState::New,
                false => DamageState::Known,
            };
            let library = manifest.library(damage.library);
            DamageRow {
                damage: Damage { accepted: acceptance.cloned(), ..damage.clone() },
                library_name: library.and_then(|library| library.name.clone()),
                state,
            }
        };
        Self {
            snapshot: manifest.snapshot,
            damage: manifest.damage.iter().map(row).collect(),
            source_damage: manifest.source_damage.iter().map(row).collect(),
        }
    }

    /// All rows; those that nobody has come first.
    pub fn rows(&self) -> impl Iterator<Item = &DamageRow> {
        self.damage.iter().chain(&self.source_damage)
    }
}

/// The result of accepting damage or of taking that back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The snapshot that lists the damage.
    pub snapshot: SnapshotId,
    /// Objects that were selected.
    pub objects: Vec<String>,
    /// For how many of these objects something changed.
    pub changed: u64,
}

/// Accepts the selected damage.
pub fn accept(
    manifest: &Manifest,
    accepted: &mut Acceptances,
    selection: &Selection,
    acceptance: &Acceptance,
) -> Result<Change, SelectError> {
    let given = |damage: &Damage, accepted: &mut Acceptances| {
        accepted.accept(damage, acceptance.clone()).as_ref() != Some(acceptance)
    };
    change(manifest, accepted, selection, given)
}

/// Takes an acceptance back, so that the selected damage counts again.
pub fn unaccept(
    manifest: &Manifest,
    accepted: &mut Acceptances,
    selection: &Selection,
) -> Result<Change, SelectError> {
    let taken = |damage: &Damage, accepted: &mut Acceptances| accepted.withdraw(damage);
    change(manifest, accepted, selection, taken)
}

fn change(
    manifest: &Manifest,
    accepted: &mut Acceptances,
    selection: &Selection,
    apply: impl Fn(&Damage, &mut Acceptances) -> bool,
) -> Result<Change, SelectError> {
    let objects = selection.objects(manifest)?;
    let mut done = HashSet::new();
    let mut changed = HashSet::new();
    // One acceptance of an object holds for all libraries that need it, and for both lists.
    for damage in manifest.all_damage() {
        let object = damage.object();
        let is_meant = objects.contains(&object) && done.insert((object, damage.first_seen));
        if is_meant && apply(damage, accepted) {
            changed.insert(object);
        }
    }
    accepted.forget_mended(manifest);
    Ok(Change {
        snapshot: manifest.snapshot,
        objects: objects.iter().map(ToString::to_string).collect(),
        changed: changed.len() as u64,
    })
}
