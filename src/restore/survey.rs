//! Surveys what a restore wants of the index: which stores, how much that is, and what becomes of
//! links into unwanted stores.
//!
//! Packs also hold objects of libraries that were deleted for good since. These are not restored.
//! But if a wanted object is a link to one, the bytes of that object become the wanted object.

use std::collections::{HashMap, HashSet};

use super::report::RestoreNeeds;
use crate::object::{Kind, LibraryId, Object, Store};
use crate::repository::manifest::Manifest;
use crate::repository::pack::{Contents, MemberPlace};
use crate::repository::segment::Line;

/// Which stores a snapshot's libraries use.
#[derive(Debug, Clone, Default)]
pub struct WantedStores(HashSet<LibraryId>);

impl WantedStores {
    /// The stores of libraries, of their origins, and stores without a row that were copied.
    pub fn of(manifest: &Manifest) -> Self {
        let origins = manifest.libraries.iter().filter_map(|library| library.origin.as_ref());
        let copied = manifest
            .unreferenced
            .iter()
            .filter(|store| !store.garbage || manifest.source.everything);
        let own = manifest.libraries.iter().map(|library| library.id);
        Self(
            own.chain(origins.map(|origin| origin.library))
                .chain(copied.map(|store| store.store))
                .collect(),
        )
    }

    fn has(&self, store: Store) -> bool {
        match store {
            Store::Library(library) => self.0.contains(&library),
            Store::Shared => true,
        }
    }
}

/// What the lines of an index add up to.
#[derive(Debug, Default)]
pub struct IndexSurvey {
    wanted: WantedStores,
    /// What objects take in the target.
    pub needs: RestoreNeeds,
    /// Members whose bytes were bad in the source. They are left out.
    pub salvaged: u64,
    /// Wanted links into unwanted stores: for each target the first such link.
    moved: HashMap<Object, Object>,
    /// Links in unwanted stores, with their targets.
    aliases: HashMap<Object, Object>,
    /// Folders that will be made, and how many objects each gets.
    folders: HashMap<(Store, Kind), u64>,
}

impl IndexSurvey {
    /// Begins without lines.
    pub fn new(wanted: WantedStores) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Counts a line.
    pub fn take(&mut self, line: &Line) {
        let Contents { members, .. } = &line.contents;
        for member in members {
            let object = member.name.object;
            let is_wanted = self.wanted.has(object.store);
            match member.place {
                _ if member.name.damaged => self.salvaged += u64::from(is_wanted),
                MemberPlace::Data { len, .. } if is_wanted => self.count(object, len),
                MemberPlace::Data { .. } => {}
                MemberPlace::Link { target } => self.take_link(object, target, is_wanted),
            }
        }
        self.needs.packs += 1;
        self.needs.packed_bytes = self.needs.packed_bytes.saturating_add(line.size);
    }

    fn count(&mut self, object: Object, len: u64) {
        self.needs.add_file(len);
        *self.folders.entry((object.store, object.kind)).or_default() += 1;
    }

    fn take_link(&mut self, object: Object, store: Store, is_wanted: bool) {
        let target = Object::new(store, object.kind, object.id);
        if !is_wanted {
            self.aliases.insert(object, target);
        } else if !self.wanted.has(store) {
            self.moved.entry(target).or_insert(object);
        }
    }

    /// Follows links from unwanted store to unwanted store, after the last line. Returns whether
    /// [`Self::take_moved`] is still needed for every line.
    pub fn resolve(&mut self) -> bool {
        let moved = std::mem::take(&mut self.moved);
        for (target, link) in moved {
            let end = self.end_of(target);
            if !self.wanted.has(end.store) {
                self.moved.entry(end).or_insert(link);
            }
        }
        let folders = self.folders.values().map(|objects| objects.min(&256) + 1);
        self.needs.add_folders(folders.sum());
        !self.moved.is_empty()
    }

    /// Counts what is wanted only because a wanted link leads to it.
    pub fn take_moved(&mut self, line: &Line) {
        for member in &line.contents.members {
            if let MemberPlace::Data { len, .. } = member.place
                && !member.name.damaged
                && self.moved.contains_key(&member.name.object)
            {
                self.needs.add_file(len);
            }
        }
    }

    /// Where chains of links in unwanted stores lead.
    fn end_of(&self, object: Object) -> Object {
        let mut end = object;
        // A chain that is longer than there are links goes in a circle.
        for _ in 0..=self.aliases.len() {
            match self.aliases.get(&end) {
                Some(next) if !self.wanted.has(end.store) => end = *next,
                _ => return end,
            }
        }
        object
    }

    /// The object as which a member with bytes is restored, if at all.
    pub fn destination(&self, object: &Object) -> Option<Object> {
        if self.wanted.has(object.store) { Some(*object) } else { self.moved.get(object).copied() }
    }

    /// The restored object whose bytes a wanted link has; `None` for a link that is not wanted.
    pub fn link_target(&self, object: &Object, store: Store) -> Option<Object> {
        if !self.wanted.has(object.store) {
            return None;
        }
        let end = self.end_of(Object::new(store, object.kind, object.id));
        Some(self.destination(&end).unwrap_or(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ObjectId, Sha256};
    use crate::repository::names::PackKind;
    use crate::repository::pack::{Frame, Member, MemberName};

    fn store(number: u8) -> Store {
        Store::Library(LibraryId::new([number; 16]))
    }

    fn block(number: u8) -> Object {
        Object::new(store(number), Kind::Block, ObjectId::new([7; 20]))
    }

    fn line(members: Vec<Member>) -> Line {
        Line {
            pack: Sha256::of(b""),
            kind: PackKind::Blocks,
            size: 10,
            contents: Contents {
                frames: vec![Frame { offset: 0, len: 9, plain_len: 2000 }],
                members,
            },
        }
    }

    fn data(number: u8) -> Member {
        let place = MemberPlace::Data { frame: 0, offset: 512, len: 5, sha256: None };
        Member { name: MemberName::good(block(number)), place }
    }

    fn link(number: u8, target: u8) -> Member {
        let place = MemberPlace::Link { target: store(target) };
        Member { name: MemberName::good(block(number)), place }
    }

    fn survey(wanted: &[u8], lines: &[Line]) -> IndexSurvey {
        let wanted = wanted.iter().map(|number| LibraryId::new([*number; 16]));
        let mut survey = IndexSurvey::new(WantedStores(wanted.collect()));
        for line in lines {
            survey.take(line);
        }
        if survey.resolve() {
            for line in lines {
                survey.take_moved(line);
            }
        }
        survey
    }

    #[test]
    fn unwanted_stores_stay_away() {
        let survey = survey(&[1], &[line(vec![data(1), data(2), link(3, 1)])]);
        assert_eq!(survey.destination(&block(1)), Some(block(1)));
        assert_eq!(survey.destination(&block(2)), None);
        assert_eq!(survey.link_target(&block(3), store(1)), None);
        assert_eq!(survey.needs.bytes, 5);
    }

    #[test]
    fn bytes_move_to_the_first_wanted_link() {
        let survey = survey(&[2, 3], &[line(vec![data(1)]), line(vec![link(2, 1), link(3, 1)])]);
        assert_eq!(survey.destination(&block(1)), Some(block(2)));
        assert_eq!(survey.link_target(&block(2), store(1)), Some(block(2)));
        assert_eq!(survey.link_target(&block(3), store(1)), Some(block(2)));
        assert_eq!((survey.needs.bytes, survey.needs.packs), (5, 2));
    }

    #[test]
    fn chains_through_unwanted_stores_are_followed() {
        let through = survey(&[3], &[line(vec![data(1)]), line(vec![link(2, 1), link(3, 2)])]);
        assert_eq!(through.destination(&block(1)), Some(block(3)));
        assert_eq!(through.link_target(&block(3), store(2)), Some(block(3)));
        let back = survey(&[1, 3], &[line(vec![data(1)]), line(vec![link(2, 1), link(3, 2)])]);
        assert_eq!(back.link_target(&block(3), store(2)), Some(block(1)));
    }

    #[test]
    fn circles_end() {
        let survey = survey(&[3], &[line(vec![link(1, 2), link(2, 1), link(3, 1)])]);
        assert!(survey.link_target(&block(3), store(1)).is_some());
    }
}
