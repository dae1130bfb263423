//! A manifest's libraries in the terms of the databases.

use crate::database::{Head, LibraryPointers, LibraryState, Pointers, VirtualOrigin};
use crate::repository::manifest::{self, Manifest};

/// Turns a manifest's libraries into [`Pointers`]. They name no storage classes, because a restore
/// puts all libraries into the default class.
pub fn pointers(manifest: &Manifest) -> Pointers {
    let mut libraries: Vec<LibraryPointers> = manifest.libraries.iter().map(library).collect();
    libraries.sort_by_key(|library| library.id);
    libraries.dedup_by_key(|library| library.id);
    let garbage = manifest.unreferenced.iter().filter(|store| store.garbage);
    Pointers {
        libraries,
        garbage: garbage.map(|store| store.store).collect(),
        ..Pointers::default()
    }
}

/// What a manifest says of one library.
pub fn library(library: &manifest::Library) -> LibraryPointers {
    let head = |(branch, commit): &(String, _)| Head { branch: branch.clone(), commit: *commit };
    LibraryPointers {
        id: library.id,
        state: match library.state {
            manifest::LibraryUse::Live => LibraryState::Live,
            manifest::LibraryUse::Trash => LibraryState::Trashed { deleted_at: None },
        },
        name: library.name.clone(),
        owner: library.owner.clone(),
        heads: library.heads.iter().map(head).collect(),
        origin: library.origin.as_ref().map(|origin| VirtualOrigin {
            library: origin.library,
            path: origin.path.clone(),
            base_commit: origin.base_commit,
        }),
        valid_since: library.valid_since,
        history_days: library.history_days,
        encrypted: library.encrypted,
        version: None,
        gc_id: None,
    }
}
