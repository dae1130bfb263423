//! Puts pointers together from rows, and notes rows that make no sense.
//!
//! Seafile uses these tables in its `server/repo-mgr.c`, `server/virtual-repo.c` and `server/gc/`.
//! Two rules settle doubtful cases. A row that might point to data is believed. A library that is
//! live or in the trash is never garbage, whatever another table says of it.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::rows::{PointerCell, PointerRows, PointerTable, TableSource};
use super::tables::{
    BRANCHES, GARBAGE, GC_IDS, HISTORY_LIMITS, INFO, LIVE, ORGANISATION_OWNERS, OWNERS,
    STORAGE_CLASSES, SYSTEM, TRASH, VALID_SINCE, VIRTUAL,
};
use super::{Head, LibraryPointers, LibraryState, Oddity, Pointers, VirtualOrigin};
use crate::database::Error;
use crate::object::{LibraryId, ObjectId};

/// The only branch that servers use; a library brought back from the trash gets it.
pub const MASTER: &str = "master";
/// So many characters are kept of a text that makes no sense.
const EXCERPT_CHARS: usize = 80;

/// Reads all tables, as of one moment, and makes pointers of them.
pub(in crate::database) fn assemble(source: &impl TableSource) -> Result<Pointers, Error> {
    let mut assembly = Assembly::default();
    assembly.live(source)?;
    assembly.trash(source)?;
    assembly.branches(source)?;
    assembly.virtual_libraries(source)?;
    assembly.details(source)?;
    assembly.owners(source)?;
    assembly.history(source)?;
    assembly.garbage(source)?;
    assembly.storage_classes(source)?;
    assembly.template(source)?;
    Ok(assembly.finish())
}

/// Pointers while they are being put together.
#[derive(Default)]
struct Assembly {
    libraries: BTreeMap<LibraryId, LibraryPointers>,
    /// Heads that the trash names, for libraries that turn out to have no branch.
    trash_heads: BTreeMap<LibraryId, Vec<ObjectId>>,
    rest: Pointers,
}

impl Assembly {
    /// Reads the rows of a table as far as possible. If some cannot be read, that is an oddity.
    fn rows<const N: usize>(
        &mut self,
        source: &impl TableSource,
        table: &PointerTable<N>,
    ) -> Result<Vec<[PointerCell; N]>, Error> {
        let PointerRows { rows, lost } = source.rows(table)?;
        if let Some(reason) = lost {
            let table = table.name;
            self.rest.oddities.push(Oddity::UnreadableTable { table, reason });
        }
        Ok(rows)
    }

    fn is_unreadable<const N: usize>(&self, table: &PointerTable<N>) -> bool {
        let mut oddities = self.rest.oddities.iter();
        oddities.any(|oddity| matches!(oddity, Oddity::UnreadableTable { table: name, .. } if *name == table.name))
    }

    fn live(&mut self, source: &impl TableSource) -> Result<(), Error> {
        for [id] in self.rows(source, &LIVE)? {
            if let Some(id) = self.library_id(&LIVE, id) {
                self.libraries.insert(id, new_library(id, LibraryState::Live));
            }
        }
        Ok(())
    }

    fn trash(&mut self, source: &impl TableSource) -> Result<(), Error> {
        for [id, head, name, owner, deleted_at] in self.rows(source, &TRASH)? {
            let Some(id) = self.library_id(&TRASH, id) else {
                continue;
            };
            if let Some(head) = self.commit(&TRASH, 1, id, head) {
                self.trash_heads.entry(id).or_default().push(head);
            }
            if self.is_live(id) {
                self.rest.oddities.push(Oddity::LiveAndTrashed { library: id });
                continue;
            }
            let deleted_at = self.number(&TRASH, 4, id, deleted_at);
            let mut library = new_library(id, LibraryState::Trashed { deleted_at });
            library.name = name.into_text();
            library.owner = owner.into_text();
            self.libraries.insert(id, library);
        }
        Ok(())
    }

    fn branches(&mut self, source: &impl TableSource) -> Result<(), Error> {
        for [id, name, commit] in self.rows(source, &BRANCHES)? {
            let Some(id) = self.library_id(&BRANCHES, id) else {
                continue;
            };
            let branch = name.into_text().unwrap_or_default();
            // Without the table of live libraries, only branches say which libraries are in use.
            if self.is_unreadable(&LIVE) {
                let live = || new_library(id, LibraryState::Live);
                self.libraries.entry(id).or_insert_with(live);
            }
            if !self.libraries.contains_key(&id) {
                let branch = excerpt(&branch);
                self.rest.oddities.push(Oddity::StrayBranch { library: id, branch });
                continue;
            }
            let commit = self.commit(&BRANCHES, 2, id, commit);
            if let (Some(library), Some(commit)) = (self.libraries.get_mut(&id), commit) {
                library.heads.push(Head { branch, commit });
            }
        }
        for library in self.libraries.values_mut() {
            if library.heads.is_empty() {
                let heads = self.trash_heads.remove(&library.id).unwrap_or_default();
                library.heads.extend(heads.into_iter().map(|commit| {
                    let branch = MASTER.to_owned();
                    Head { branch, commit }
                }));
            }
            library.heads.sort();
            library.heads.dedup();
        }
        Ok(())
    }

    fn virtual_libraries(&mut self, source: &impl TableSource) -> Result<(), Error> {
        for [id, origin, path, base_commit] in self.rows(source, &VIRTUAL)? {
            let Some(id) = self.library_id(&VIRTUAL, id) else {
                continue;
            };
            if !self.libraries.contains_key(&id) {
                self.rest.oddities.push(Oddity::StrayVirtual { library: id });
                continue;
            }
            let base_commit = self.commit(&VIRTUAL, 3, id, base_commit);
            let Some(origin) = self.parse(&VIRTUAL, 1, Some(id), origin) else {
                continue;
            };
            if !self.is_live(origin) {
                self.rest.oddities.push(Oddity::NoOrigin { library: id, origin });
            }
            let path = path.into_text().unwrap_or_default();
            if let Some(library) = self.libraries.get_mut(&id) {
                library.origin = Some(VirtualOrigin { library: origin, path, base_commit });
            }
        }
        Ok(())
    }

    fn details(&mut self, source: &impl TableSource) -> Result<(), Error> {
        for [id, name, version, encrypted] in self.rows(source, &INFO)? {
            let Some(id) = self.known_library(&INFO, id) else {
                continue;
            };
            let version = self.number(&INFO, 2, id, version);
            let encrypted = self.number(&INFO, 3, id, encrypted);
            if let Some(library) = self.libraries.get_mut(&id) {
                library.name = name.into_text().or(library.name.take());
                library.version = version;
                library.encrypted = encrypted.map(|number| number != 0);
            }
        }
        Ok(())
    }

    fn owners(&mut self, source: &impl TableSource) -> Result<(), Error> {
        for table in [&ORGANISATION_OWNERS, &OWNERS] {
            for [id, owner] in self.rows(source, table)? {
                let Some(id) = self.known_library(table, id) else {
                    continue;
                };
                if let Some(library) = self.libraries.get_mut(&id) {
                    library.owner = owner.into_text().or(library.owner.take());
                }
            }
        }
        Ok(())
    }

    fn history(&mut self, source: &impl TableSource) -> Result<(), Error> {
        for [id, time] in self.rows(source, &VALID_SINCE)? {
            let Some(id) = self.known_library(&VALID_SINCE, id) else {
                continue;
            };
            let time = self.number(&VALID_SINCE, 1, id, time);
            if let Some(library) = self.libraries.get_mut(&id) {
                library.valid_since = library.valid_since.max(time);
            }
        }
        for [id, days] in self.rows(source, &HISTORY_LIMITS)? {
            let Some(id) = self.known_library(&HISTORY_LIMITS, id) else {
                continue;
            };
            let days = self.number(&HISTORY_LIMITS, 1, id, days);
            if let Some(library) = self.libraries.get_mut(&id) {
                library.history_days = days;
            }
        }
        for [id, gc_id] in self.rows(source, &GC_IDS)? {
            let Some(id) = self.known_library(&GC_IDS, id) else {
                continue;
            };
            if let Some(library) = self.libraries.get_mut(&id) {
                library.gc_id = gc_id.into_text();
            }
        }
        Ok(())
    }

    fn garbage(&mut self, source: &impl TableSource) -> Result<(), Error> {
        for [id] in self.rows(source, &GARBAGE)? {
            let Some(id) = self.library_id(&GARBAGE, id) else {
                continue;
            };
            match self.libraries.get(&id).map(|library| library.state) {
                // Seafile ignores such a row too.
                Some(LibraryState::Live) => {}
                Some(LibraryState::Trashed { .. }) => {
                    self.rest.oddities.push(Oddity::TrashedAndGarbage { library: id });
                }
                None => {
                    self.rest.garbage.insert(id);
                }
            }
        }
        Ok(())
    }

    fn storage_classes(&mut self, source: &impl TableSource) -> Result<(), Error> {
        for [id, class] in self.rows(source, &STORAGE_CLASSES)? {
            let id = self.library_id(&STORAGE_CLASSES, id);
            if let (Some(id), Some(class)) = (id, class.into_text()) {
                self.rest.storage_classes.insert(id, class);
            }
        }
        Ok(())
    }

    fn template(&mut self, source: &impl TableSource) -> Result<(), Error> {
        for [key, value] in self.rows(source, &SYSTEM)? {
            if key.into_text().as_deref() == Some("default_repo_id") {
                self.rest.template = self.parse(&SYSTEM, 1, None, value);
            }
        }
        Ok(())
    }

    /// Notes what is known only at the end: libraries without a head. Sorts everything, so that the
    /// order of rows does not matter.
    fn finish(mut self) -> Pointers {
        for library in self.libraries.values().filter(|library| library.heads.is_empty()) {
            let library_id = library.id;
            self.rest.oddities.push(match library.state {
                LibraryState::Live => Oddity::NoBranch { library: library_id },
                LibraryState::Trashed { .. } => Oddity::NoHeadInTrash { library: library_id },
            });
        }
        self.rest.oddities.sort();
        self.rest.libraries = self.libraries.into_values().collect();
        self.rest
    }

    fn is_live(&self, id: LibraryId) -> bool {
        self.libraries.get(&id).is_some_and(|library| library.state == LibraryState::Live)
    }

    /// Parses the first column of a row: the id of the library that the row is about.
    fn library_id<const N: usize>(
        &mut self,
        table: &PointerTable<N>,
        cell: PointerCell,
    ) -> Option<LibraryId> {
        self.parse(table, 0, None, cell)
    }

    /// Like [`Self::library_id`], for a library that is live or in the trash. Rows about other
    /// libraries are left over and say nothing.
    fn known_library<const N: usize>(
        &mut self,
        table: &PointerTable<N>,
        cell: PointerCell,
    ) -> Option<LibraryId> {
        self.library_id(table, cell).filter(|id| self.libraries.contains_key(id))
    }

    /// Parses a commit's id. An empty text or zeros mean that there is none. NULL means the same,
    /// and is an oddity.
    fn commit<const N: usize>(
        &mut self,
        table: &PointerTable<N>,
        column: usize,
        library: LibraryId,
        cell: PointerCell,
    ) -> Option<ObjectId> {
        match cell {
            PointerCell::Text(text) if text.is_empty() => None,
            cell => self
                .parse(table, column, Some(library), cell)
                .filter(|commit: &ObjectId| !commit.is_empty()),
        }
    }

    /// Parses a number, also one that is stored as text. NULL means that there is none.
    fn number<const N: usize>(
        &mut self,
        table: &PointerTable<N>,
        column: usize,
        library: LibraryId,
        cell: PointerCell,
    ) -> Option<i64> {
        match cell {
            PointerCell::Null => None,
            PointerCell::Integer(number) => Some(number),
            PointerCell::Text(text) => {
                self.parse(table, column, Some(library), PointerCell::Text(text.trim().to_owned()))
            }
        }
    }

    /// Parses a cell that holds text. A text that does not parse is an oddity. So is an id in
    /// capital letters, which is taken all the same.
    fn parse<T: FromStr, const N: usize>(
        &mut self,
        table: &PointerTable<N>,
        column: usize,
        library: Option<LibraryId>,
        cell: PointerCell,
    ) -> Option<T> {
        let text = cell.into_text().unwrap_or_default();
        let parsed = text.parse().ok();
        if parsed.is_some() {
            return parsed;
        }
        let parsed = text.to_ascii_lowercase().parse().ok();
        if parsed.is_some() {
            self.rest.oddities.push(Oddity::Capitals {
                table: table.name,
                column: table.columns[column],
                text: excerpt(&text),
            });
        } else {
            self.rest.oddities.push(Oddity::Unreadable {
                table: table.name,
                column: table.columns[column],
                library,
                text: excerpt(&text),
            });
        }
        parsed
    }
}

fn new_library(id: LibraryId, state: LibraryState) -> LibraryPointers {
    LibraryPointers {
        id,
        state,
        name: None,
        owner: None,
        heads: Vec::new(),
        origin: None,
        valid_since: None,
        history_days: None,
        encrypted: None,
        version: None,
        gc_id: None,
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS).collect()
}
