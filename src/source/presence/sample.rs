//! Looks for random objects, each on a random way from a library's head. Whatever a head leads to
//! must exist now. (An object that was merely stored once may be absent: Seafile may have collected
//! it.)

use super::needed::needs_parents;
use crate::database::LibraryPointers;
use crate::object::{Kind, LibraryId, Object, ObjectId, Store};
use crate::seafile::check::ObjectContent;
use crate::seafile::commit::Commit;
use crate::seafile::folders::ObjectFolders;
use crate::seafile::fs::FsObject;
use crate::walk::{BadObject, content_store, read_checked};

/// The most steps that a way goes back in history.
const MOST_STEPS_BACK: u64 = 64;
/// The deepest folder that a way enters. Only an attacker makes deeper ones.
const DEEPEST: usize = 500;

/// A simple random generator, good enough to choose samples and not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator; the same seed gives the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (splitmix64).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or_default()
    }

    fn choose<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(usize::try_from(self.below(all.len() as u64)).unwrap_or_default())
    }
}

/// An object that should be on disk and is missing or bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSample {
    /// The library whose head leads to it.
    pub library: LibraryId,
    /// The object.
    pub object: Object,
    /// What is wrong with it.
    pub trouble: String,
}

/// Where random objects are taken from.
pub struct Sampling<'a> {
    /// The installation's objects.
    pub folders: &'a ObjectFolders,
    /// The libraries, each with its weight: the number of its objects, if known. Weight 0 is never
    /// chosen.
    pub libraries: Vec<(&'a LibraryPointers, u64)>,
    /// Whether every second way first goes back in history. Set it only if `valid_since` of the
    /// libraries is right: a library that was in the trash has lost its row of that.
    pub back: bool,
    /// What the caller expects of an object. A way that ends at an [`Expected::Ignored`] one
    /// reports nothing.
    pub judge: &'a dyn Fn(&Object) -> Expected,
}

/// What is expected of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A file; of a block also its length, if known.
    File(Option<u64>),
    /// It may be missing: others look for it.
    Ignored,
}

impl Sampling<'_> {
    /// Follows `samples` ways, if there are libraries to choose. Returns how many, and the missing
    /// objects.
    pub(super) fn take(&self, random: &mut Random, samples: usize) -> (usize, Vec<MissingSample>) {
        let total: u64 = self.libraries.iter().map(|(_, weight)| weight).sum();
        let mut missing: Vec<MissingSample> = Vec::new();
        let mut taken = 0;
        for number in 0..samples {
            let mut at = random.below(total);
            let chosen = self.libraries.iter().find(|(_, weight)| {
                let is_here = at < *weight;
                at = at.saturating_sub(*weight);
                is_here
            });
            let Some((library, _)) = chosen else {
                break;
            };
            taken += 1;
            let way = Way { sampling: self, library, random };
            missing.extend(way.follow(self.back && number % 2 == 1));
        }
        (taken, missing)
    }
}

struct Way<'a, 'r> {
    sampling: &'a Sampling<'a>,
    library: &'a LibraryPointers,
    random: &'r mut Random,
}

/// Where a way ended early. `None`: nothing is to be reported.
struct Ended(Option<MissingSample>);

impl Way<'_, '_> {
    fn follow(mut self, back: bool) -> Option<MissingSample> {
        let steps = if back { 1 + self.random.below(MOST_STEPS_BACK) } else { 0 };
        match self.commit(steps).and_then(|root| self.tree(root)) {
            Ok(()) => None,
            Err(Ended(missing)) => missing,
        }
    }

    /// Goes `steps` commits back from a head, or to the last commit that must exist. Returns its
    /// root folder.
    fn commit(&mut self, steps: u64) -> Result<ObjectId, Ended> {
        let heads = &self.library.heads;
        let head = self.random.choose(heads).ok_or(Ended(None))?.commit;
        let store = Store::Library(self.library.id);
        let mut commit = self.read_commit(Object::new(store, Kind::Commit, head))?;
        for _ in 0..steps {
            let parents: Vec<ObjectId> = commit.parents().collect();
            let Some(parent) =
                self.random.choose(&parents).filter(|_| needs_parents(self.library, &commit))
            else {
                break;
            };
            commit = self.read_commit(Object::new(store, Kind::Commit, *parent))?;
        }
        Ok(commit.root)
    }

    fn read_commit(&self, object: Object) -> Result<Box<Commit>, Ended> {
        match self.read(object)? {
            ObjectContent::Commit(commit) => Ok(commit),
            ObjectContent::Fs(_) | ObjectContent::Block { .. } => Err(Ended(None)),
        }
    }

    fn tree(&mut self, root: ObjectId) -> Result<(), Ended> {
        let store = content_store(self.library);
        let mut next = root;
        for _ in 0..DEEPEST {
            if next.is_empty() {
                return Ok(());
            }
            match self.read(Object::new(store, Kind::Fs, next))? {
                ObjectContent::Fs(FsObject::Folder(folder)) => {
                    let known =
                        folder.entries.iter().filter(|entry| entry.is_folder() || entry.is_file());
                    let ids: Vec<ObjectId> = known.map(|entry| entry.id).collect();
                    next = self.random.choose(&ids).copied().unwrap_or(ObjectId::EMPTY);
                }
                ObjectContent::Fs(FsObject::File(file)) => {
                    let block = self.random.choose(&file.blocks).copied();
                    return block.map_or(Ok(()), |block| {
                        self.block(Object::new(store, Kind::Block, block))
                    });
                }
                ObjectContent::Commit(_) | ObjectContent::Block { .. } => return Ok(()),
            }
        }
        Ok(())
    }

    fn read(&self, object: Object) -> Result<ObjectContent, Ended> {
        let mut trouble = None;
        for store in self.sampling.folders.places(object.store) {
            let text = match read_checked(self.sampling.folders, &Object { store, ..object }) {
                Ok(Ok((content, _))) => return Ok(content),
                Ok(Err(BadObject { trouble, .. })) => trouble.to_string(),
                Err(error) => error.to_string(),
            };
            trouble.get_or_insert(text);
        }
        Err(self.ended(object, trouble.unwrap_or_default()))
    }

    fn block(&self, object: Object) -> Result<(), Ended> {
        let Expected::File(wanted) = self.judge(&object) else {
            return Ok(());
        };
        let mut trouble = "is missing".to_owned();
        for store in self.sampling.folders.places(object.store) {
            match self.sampling.folders.readable_len(&Object { store, ..object }) {
                Ok(Some(len)) if len > 0 && wanted.is_none_or(|wanted| wanted == len) => {
                    return Ok(());
                }
                Ok(Some(len)) => trouble = format!("has {len} bytes"),
                Ok(None) => {}
                Err(error) => trouble = error.to_string(),
            }
        }
        Err(self.ended(object, trouble))
    }

    fn ended(&self, object: Object, trouble: String) -> Ended {
        let is_expected = self.judge(&object) != Expected::Ignored;
        let missing = MissingSample { library: self.library.id, object, trouble };
        Ended(is_expected.then_some(missing))
    }

    /// What the caller expects of an object, at the first of its places where it is not ignored.
    fn judge(&self, object: &Object) -> Expected {
        let places = self.sampling.folders.places(object.store);
        let mut judged = places.map(|store| (self.sampling.judge)(&Object { store, ..*object }));
        judged.find(|expected| *expected != Expected::Ignored).unwrap_or(Expected::Ignored)
    }
}
