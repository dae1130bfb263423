//! Compares the pointers of the dumped database with what the manifest says about it.

use std::collections::BTreeMap;

use crate::database::{LibraryPointers, LibraryState, Pointers};
use crate::object::LibraryId;
use crate::repository::manifest::{Library, Manifest};
use crate::snapshot;

/// The most differences that are listed.
const MOST: usize = 20;

/// In what a manifest differs from the database that it was made from: one line each.
pub(super) fn differences(manifest: &Manifest, pointers: &Pointers) -> Vec<String> {
    let said: BTreeMap<LibraryId, &Library> =
        (manifest.libraries.iter()).map(|library| (library.id, library)).collect();
    let mut found = Vec::new();
    for library in &pointers.libraries {
        match said.get(&library.id) {
            None => found
                .push(format!("leaves out library {}, which the dumped database has", library.id)),
            Some(said) => found.extend(different_fields(&snapshot::library(said), library)),
        }
    }
    for id in said.keys() {
        if pointers.library(*id).is_none() {
            found.push(format!("names library {id}, which the dumped database does not have"));
        }
    }
    for store in &manifest.unreferenced {
        if store.garbage != pointers.garbage.contains(&store.store) {
            let is = if store.garbage { "" } else { " not" };
            found.push(format!(
                "says that store {} was{is} deleted for good, unlike the dumped database",
                store.store
            ));
        }
    }
    if found.len() > MOST {
        let more = found.len() - MOST;
        found.truncate(MOST);
        found.push(format!("differs from the dumped database in {more} more points"));
    }
    found
}

fn different_fields(said: &LibraryPointers, is: &LibraryPointers) -> Vec<String> {
    let is_live = |library: &LibraryPointers| library.state == LibraryState::Live;
    let fields = [
        ("the heads", said.heads == is.heads),
        ("whether it is in the trash", is_live(said) == is_live(is)),
        ("the origin", said.origin == is.origin),
        // The manifest has the highest value ever recorded, which may be later than the row's.
        ("valid-since", said.valid_since >= is.valid_since),
        ("whether it is encrypted", said.encrypted == is.encrypted),
        ("the name", said.name == is.name),
        ("the owner", said.owner == is.owner),
        ("the days of history", said.history_days == is.history_days),
    ];
    let differ = fields.into_iter().filter(|(_, same)| !same);
    differ
        .map(|(field, _)| {
            format!("has {field} of library {} other than the dumped database", is.id)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{Head, VirtualOrigin};

    fn library() -> LibraryPointers {
        LibraryPointers {
            id: LibraryId::new([1; 16]),
            state: LibraryState::Live,
            name: Some("n".into()),
            owner: Some("o".into()),
            heads: Vec::new(),
            origin: None,
            valid_since: Some(5),
            history_days: None,
            encrypted: Some(false),
            version: Some(1),
            gc_id: None,
        }
    }

    #[test]
    fn every_field_counts() {
        assert_eq!(different_fields(&library(), &library()), Vec::<String>::new());
        let changes: [fn(&mut LibraryPointers); 8] = [
            |library| {
                library.heads.push(Head {
                    branch: "master".into(),
                    commit: crate::object::ObjectId::new([1; 20]),
                });
            },
            |library| library.state = LibraryState::Trashed { deleted_at: None },
            |library| {
                library.origin = Some(VirtualOrigin {
                    library: library.id,
                    path: "/".into(),
                    base_commit: None,
                });
            },
            |library| library.valid_since = Some(4),
            |library| library.encrypted = Some(true),
            |library| library.name = None,
            |library| library.owner = None,
            |library| library.history_days = Some(1),
        ];
        for change in changes {
            let mut said = library();
            change(&mut said);
            assert_eq!(different_fields(&said, &library()).len(), 1, "{said:?}");
        }
        // Remembered from before a trip through the trash.
        let mut said = library();
        said.valid_since = Some(9);
        assert!(different_fields(&said, &library()).is_empty());
    }
}
