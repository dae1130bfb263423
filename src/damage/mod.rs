//! The verb `damage`: what the newest snapshot of this host lists as damaged, and what of it the
//! administrator accepts (docs/design.md, "Accepted damage"). It reads the repository and changes
//! nothing there: the next backup signs what was accepted.

mod select;

pub use select::{Id, ParseIdError, Place, SelectError, Selection, id_of};

use std::collections::HashSet;

use serde::Serialize;

use crate::repository::acceptances::Acceptances;
use crate::repository::manifest::{Acceptance, Damage, Manifest};
use crate::repository::names::SnapshotId;
use crate::repository::note::VerifyingKey;
use crate::repository::snapshots::BadMarker;
use crate::repository::{Repository, Result, index};
use crate::time::Timestamp;

/// The newest snapshot of a host.
#[derive(Debug)]
pub struct Newest {
    /// What it holds; `None`: there is no snapshot yet.
    pub manifest: Option<Manifest>,
    /// Newer markers of this host that are none.
    pub bad: Vec<BadMarker>,
}

impl Newest {
    /// Reads it.
    pub fn read(repository: &Repository, host: &VerifyingKey) -> Result<Self> {
        let (base, bad) = repository.base(host)?;
        let manifest = base.map(|base| index::read_manifest(repository, &base.marker));
        Ok(Self {
            manifest: manifest.transpose()?,
            bad,
        })
    }
}

/// How the administrator stands to some damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The newest snapshot is the first that has it, and nobody accepted it.
    New,
    /// Older snapshots had it, and nobody accepted it, or not for so long.
    Known,
    /// It is accepted.
    Accepted,
}

/// Some damage, and how the administrator stands to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What is damaged; what is accepted here may not be signed yet.
    #[serde(flatten)]
    pub damage: Damage,
    /// The library's name.
    pub library_name: Option<String>,
    /// How the administrator stands to it.
    pub state: State,
}

/// The damage of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// What nobody has.
    pub damage: Vec<Row>,
    /// What the source has lost and the repository has.
    pub source_damage: Vec<Row>,
}

impl Listing {
    /// The damage of a snapshot, by what is accepted now.
    pub fn new(manifest: &Manifest, accepted: &Acceptances, now: Timestamp) -> Self {
        let row = |damage: &Damage| {
            let acceptance = accepted.of(damage);
            let holds = acceptance.is_some_and(|given| !given.is_over(now));
            let state = match holds {
                true => State::Accepted,
                false if manifest.is_new(damage) => State::New,
                false => State::Known,
            };
            let library = manifest.library(damage.library);
            Row {
                damage: Damage {
                    accepted: acceptance.cloned(),
                    ..damage.clone()
                },
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

    /// All of it, what nobody has first.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.damage.iter().chain(&self.source_damage)
    }
}

/// What accepting or taking back did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The snapshot that lists the damage.
    pub snapshot: SnapshotId,
    /// Objects that were selected.
    pub objects: Vec<String>,
    /// How many of these the change is news for.
    pub changed: u64,
}

/// Accepts what is selected.
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

/// Takes back what is selected: it counts again.
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
    // One word for all libraries that need it, of both lists.
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
