//! Finds where damage shows that has no path in the newest state: in which version, of which file.
//! The snapshot names only the object for such damage. The way to it is found in what was restored.

use std::collections::{HashMap, HashSet};

use crate::database::LibraryPointers;
use crate::object::{LibraryId, Object};
use crate::repository::manifest::{Damage, Manifest};
use crate::seafile::folders::ObjectFolders;
use crate::snapshot;
use crate::time::Timestamp;
use crate::walk::{self, LibraryGroup, NeedPlace, NeededBy, NothingKnown, Walk};

/// For each damaged object without a path, where it shows, in words for people.
pub type DamagePlaces = HashMap<(LibraryId, Object), String>;

/// Finds the places of damage that has no path. Libraries that cannot be walked are left out: the
/// damaged object is named anyway.
pub fn places(folders: &ObjectFolders, manifest: &Manifest) -> DamagePlaces {
    let mut places = DamagePlaces::new();
    let pathless = |damage: &&Damage| damage.paths.is_empty();
    let hit: HashSet<LibraryId> =
        manifest.damage.iter().filter(pathless).map(|damage| damage.library).collect();
    if hit.is_empty() {
        return places;
    }
    let mut with_heads = snapshot::pointers(manifest).libraries;
    with_heads.retain(|library| !library.heads.is_empty());
    let damaged: HashSet<Object> = manifest.damage.iter().map(Damage::object).collect();
    for group in walk::groups(&with_heads, false) {
        let libraries = group.libraries.iter().copied();
        let libraries: Vec<&LibraryPointers> =
            libraries.filter(|library| hit.contains(&library.id)).collect();
        if !libraries.is_empty() {
            of_group(folders, &group, &libraries, &damaged, &mut places);
        }
    }
    places
}

fn of_group(
    folders: &ObjectFolders,
    group: &LibraryGroup<'_>,
    libraries: &[&LibraryPointers],
    damaged: &HashSet<Object>,
    places: &mut DamagePlaces,
) {
    let walk = Walk::new(folders, &NothingKnown);
    let Ok(closure) = walk.closure(group, damaged, &HashSet::new()) else {
        return;
    };
    for library in libraries {
        let Ok(needs) = walk::needs(folders, &NothingKnown, library, damaged, &closure) else {
            continue;
        };
        let found = needs.into_iter().map(|(object, needed)| ((library.id, object), text(&needed)));
        places.extend(found);
    }
}

fn text(needed: &NeedPlace) -> String {
    let time = needed.time.and_then(Timestamp::from_seconds);
    let time = time.map_or(String::new(), |time| format!(" of {time}"));
    let path = needed.path.as_deref().unwrap_or_default();
    match (needed.by, path) {
        (NeededBy::NewestState, "") => "the newest state".into(),
        (NeededBy::NewestState, path) => path.to_owned(),
        (NeededBy::History, "") => format!("history only, the version{time}"),
        (NeededBy::History, path) => format!("history only, in the version{time}: {path}"),
        (NeededBy::Base, path) => format!("only for merging with its origin {path}"),
    }
}
