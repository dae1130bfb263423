//! Finds the files of libraries that are lost because the repository lost something, by a walk
//! through what was restored.
//!
//! The walk is made only if something is lost. What was lost before the backup is not reported
//! again.

use std::collections::{BTreeMap, HashSet};
use std::io;

use super::report::LostFile;
use crate::database::LibraryPointers;
use crate::object::{LibraryId, Object};
use crate::repository::manifest::{Damage, Manifest};
use crate::seafile::folders::ObjectFolders;
use crate::snapshot;
use crate::walk::{self, LibraryGroup, NeedPlace, NeededBy, NothingKnown, Walk, WalkError};

/// The most paths of one object that are named.
const MOST_PATHS: usize = 100;
/// The most files that are named in all.
pub const MOST_FILES: usize = 10_000;

/// The lost files that were found.
#[derive(Debug, Default)]
pub struct LostFiles {
    /// Each file once, sorted.
    pub files: Vec<LostFile>,
    /// There are more lost files than `files` has.
    pub is_cut: bool,
}

/// Finds the files that need a missing object, in libraries with these ids.
pub fn find(
    folders: &ObjectFolders,
    manifest: &Manifest,
    libraries: &HashSet<String>,
) -> io::Result<LostFiles> {
    let mut with_heads = snapshot::pointers(manifest).libraries;
    with_heads.retain(|library| !library.heads.is_empty());
    let mut search = LostFileSearch {
        folders,
        before: manifest.damage.iter().map(Damage::object).collect(),
        found: BTreeMap::new(),
        is_cut: false,
    };
    for group in walk::groups(&with_heads, false) {
        let is_hit = |library: &&LibraryPointers| libraries.contains(&library.id.to_string());
        if group.libraries.iter().any(is_hit) {
            search.group(&group).map_err(|error| match error {
                WalkError::Source(error) => error,
                WalkError::Sight(never) => match never {},
            })?;
        }
    }
    let files = search.found.into_values().map(|mut file: LostFile| {
        let library = manifest.library(file.id);
        file.library_name = library.and_then(|library| library.name.clone());
        file
    });
    Ok(LostFiles { files: files.collect(), is_cut: search.is_cut })
}

struct LostFileSearch<'a> {
    folders: &'a ObjectFolders,
    /// Objects that were lost when the backup was made.
    before: HashSet<Object>,
    /// The lost files, by library, whether only history has them, and path.
    found: BTreeMap<(LibraryId, bool, String), LostFile>,
    is_cut: bool,
}

type LostFileError = WalkError<std::convert::Infallible>;

impl LostFileSearch<'_> {
    fn group(&mut self, group: &LibraryGroup<'_>) -> Result<(), LostFileError> {
        let walk = Walk::new(self.folders, &NothingKnown);
        let outcome = walk.group(group)?;
        let lost: HashSet<Object> = outcome
            .damage()
            .map(|finding| finding.object)
            .filter(|object| !self.before.contains(object))
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let closure = walk.closure(group, &lost, &outcome.unfollowed)?;
        for library in &group.libraries {
            let (source, sight) = (self.folders, &NothingKnown);
            let paths = walk::affected_paths(source, sight, library, &lost, &closure, MOST_PATHS)?;
            self.is_cut |= paths.gave_up || !paths.cut.is_empty();
            for path in paths.paths.values().flatten() {
                self.add(library.id, path.clone(), None);
            }
            let needs = walk::needs(source, sight, library, &lost, &closure)?;
            for (object, needed) in needs {
                if !paths.paths.contains_key(&object) {
                    self.needed(library.id, &object, needed);
                }
            }
        }
        Ok(())
    }

    /// Adds the file that needs an object which no path of the newest state needs.
    fn needed(&mut self, library: LibraryId, object: &Object, needed: NeedPlace) {
        match (needed.by, needed.path) {
            (NeededBy::Base, _) => {}
            (NeededBy::NewestState, None) => self.add(library, "/".into(), None),
            (NeededBy::NewestState, Some(path)) => self.add(library, path, None),
            (NeededBy::History, path) => {
                let path = path.unwrap_or_else(|| format!("(the version {})", object.id));
                self.add(library, path, needed.time.or(Some(0)));
            }
        }
    }

    fn add(&mut self, library: LibraryId, path: String, version: Option<i64>) {
        if self.found.len() >= MOST_FILES {
            self.is_cut = true;
            return;
        }
        let key = (library, version.is_some(), path.clone());
        self.found.entry(key).or_insert(LostFile {
            id: library,
            library_name: None,
            path,
            version,
        });
    }
}
