//! Which objects a walk has passed. A library can have ten million, so each must take few bytes.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::object::{Kind, Object, ObjectId, Store};

/// Objects that were passed. Each takes 17 bytes in tables that are at least half full, so up to 34
/// bytes. A set of [`Object`] takes three times as much.
#[derive(Debug, Default)]
pub(super) struct ObjectSet {
    sets: HashMap<(Store, Kind), Ids>,
}

impl ObjectSet {
    /// Adds an object. Returns whether it is new.
    pub(super) fn insert(&mut self, object: Object) -> bool {
        let set = self.sets.entry((object.store, object.kind)).or_default();
        set.insert(object.id)
    }

    /// Whether it was passed.
    pub(super) fn contains(&self, object: &Object) -> bool {
        let set = self.sets.get(&(object.store, object.kind));
        set.is_some_and(|set| set.contains(object.id))
    }
}

/// Ids, in 256 tables by the first byte.
///
/// A table that grows exists twice for a moment; with 256 tables that is a small part. Of the other
/// 19 bytes the last 16 are kept: ids are hashes, and no two different ones agree in so much. (To
/// make such a pair one would have to try 2^64 hashes, and gains nothing: both objects are in the
/// maker's own library.)
#[derive(Debug)]
struct Ids(Vec<HashSet<u128, BuildHasherDefault<AsItIs>>>);

impl Default for Ids {
    fn default() -> Self {
        Self(vec![HashSet::default(); 256])
    }
}

impl Ids {
    fn insert(&mut self, id: ObjectId) -> bool {
        let (table, key) = split(id);
        self.0[table].insert(key)
    }

    fn contains(&self, id: ObjectId) -> bool {
        let (table, key) = split(id);
        self.0[table].contains(&key)
    }
}

fn split(id: ObjectId) -> (usize, u128) {
    let [first, _, _, _, rest @ ..] = *id.as_bytes();
    (usize::from(first), u128::from_le_bytes(rest))
}

/// A hasher that only folds the id: an id is a hash already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write_u128(&mut self, value: u128) {
        // Both halves count: Pro's random ids need not be random in every byte.
        #[allow(clippy::cast_possible_truncation, reason = "folded")]
        let folded = (value >> 64) as u64 ^ value as u64;
        self.0 = folded;
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::LibraryId;

    #[test]
    fn objects_differ_by_every_part_of_their_name() {
        let mut seen = ObjectSet::default();
        let object = |store: u8, kind, id: [u8; 20]| {
            Object::new(Store::Library(LibraryId::new([store; 16])), kind, ObjectId::new(id))
        };
        let mut ids = vec![[0; 20], [255; 20]];
        for at in [0, 4, 10, 19] {
            let mut id = [0; 20];
            id[at] = 1;
            ids.push(id);
        }
        for store in [1, 2] {
            for kind in Kind::ALL {
                for id in &ids {
                    let object = object(store, kind, *id);
                    assert!(!seen.contains(&object));
                    assert!(seen.insert(object), "{object}");
                    assert!(!seen.insert(object) && seen.contains(&object));
                }
            }
        }
    }
}
