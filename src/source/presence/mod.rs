//! Are the objects to which the databases point still on disk?
//!
//! If no head moved, nothing else reads the source that night. A few `stat`s for each library and
//! some random objects then show a disk that is not mounted or was wiped (docs/design.md, "Is the
//! source still there").
//!
//! This module only looks. `backup` and `doctor` decide what follows.

mod needed;
mod sample;

pub use sample::{Expected, MissingSample, Random, Sampling};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::database::LibraryPointers;
use crate::object::{Kind, LibraryId, Object, Store};
use crate::seafile::folders::ObjectFolders;
use crate::walk::content_store;
use needed::{NeededFolders, needed};

/// How many calls are open at a time: on network folders their number decides the speed.
const THREADS: usize = 16;
/// If more libraries are gone it is one alarm: nobody reads so many names.
const MOST_NAMED: u64 = 20;
/// Up to so many libraries are named one by one, unless they are all.
const FEW: u64 = 3;
/// At least so many different objects must be missing before half of the samples count as an alarm.
const FEWEST_SAMPLES: usize = 3;

/// What is on disk of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDisk {
    /// Something is there.
    Filled,
    /// Nothing is there, and nothing is expected.
    Nothing,
    /// Nothing is there, and that is known already.
    KnownLost,
    /// Nothing is there, although something is expected; or it cannot be read.
    Gone,
    /// Commits are there, and the newest one is not.
    NoHead,
}

/// What the caller knows about an installation besides its databases.
pub struct Expectations<'a> {
    /// Whether the folder of a kind of a store held something once.
    pub holds: &'a (dyn Fn(Kind, Store) -> bool + Sync),
    /// Whether an object is known to be lost and need not be looked for.
    pub is_known_lost: &'a (dyn Fn(&Object) -> bool + Sync),
}

/// What a look at the source found.
#[derive(Debug, Default)]
pub struct Presence {
    /// For each library and kind the state and folder. Of virtual libraries only commits, which are
    /// their own.
    stores: BTreeMap<(LibraryId, Kind), (OnDisk, PathBuf)>,
    /// The first three errors, for the text of the alarm.
    errors: Vec<String>,
    /// How many random objects were looked for.
    sampled: usize,
    /// The random objects that are missing.
    missing: Vec<MissingSample>,
}

/// The alarm that everything, or much of it, is gone at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceGone {
    /// The alarm in one line.
    pub text: String,
    /// Libraries whose objects are gone.
    pub libraries: BTreeSet<LibraryId>,
    /// How many libraries were looked at.
    pub of: u64,
    /// Folders in which much is gone. Empty if only random objects show it.
    pub roots: Vec<PathBuf>,
}

/// Looks for each library's head and folders, many at a time.
pub fn look(
    folders: &ObjectFolders,
    libraries: &[LibraryPointers],
    expectations: &Expectations<'_>,
) -> Presence {
    let look = |library: &LibraryPointers| look_at(folders, library, expectations);
    let threads = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build();
    let found: Vec<PresenceFinding> = match threads {
        Ok(threads) => threads.install(|| libraries.par_iter().flat_map_iter(look).collect()),
        // Without threads it is slower, and gives the same result.
        Err(_) => libraries.iter().flat_map(look).collect(),
    };
    let mut presence = Presence::default();
    for PresenceFinding { library, kind, state, root, error } in found {
        presence.stores.insert((library, kind), (state, root));
        if let Some(error) = error.filter(|_| presence.errors.len() < 3)
            && !presence.errors.contains(&error)
        {
            presence.errors.push(error);
        }
    }
    presence
}

struct PresenceFinding {
    library: LibraryId,
    kind: Kind,
    state: OnDisk,
    root: PathBuf,
    error: Option<String>,
}

fn look_at(
    folders: &ObjectFolders,
    library: &LibraryPointers,
    expectations: &Expectations<'_>,
) -> Vec<PresenceFinding> {
    let kinds = if library.origin.is_some() { &Kind::ALL[..1] } else { &Kind::ALL[..] };
    let look = |&kind: &Kind| {
        let store =
            if kind == Kind::Commit { Store::Library(library.id) } else { content_store(library) };
        let looked = match kind {
            Kind::Commit => heads(folders, library, expectations),
            Kind::Fs | Kind::Block => folder(folders, library, kind, expectations),
        };
        let (state, error) = looked.unwrap_or_else(|error| (OnDisk::Gone, Some(error.to_string())));
        let root = folders.root(kind, place(folders, kind, store));
        PresenceFinding { library: library.id, kind, state, root, error }
    };
    kinds.iter().map(look).collect()
}

/// The store in which a store's objects lie or lay: the folder that all libraries of Seafile 1 and
/// 2 shared, if the library has no folder of its own.
fn place(folders: &ObjectFolders, kind: Kind, store: Store) -> Store {
    let has_root = |place: &Store| folders.root(kind, *place).is_dir();
    match folders.places(store).count() {
        1 => store,
        _ => folders.places(store).find(has_root).unwrap_or(store),
    }
}

fn heads(
    folders: &ObjectFolders,
    library: &LibraryPointers,
    expectations: &Expectations<'_>,
) -> std::io::Result<(OnDisk, Option<String>)> {
    let store = Store::Library(library.id);
    for head in &library.heads {
        let head = Object::new(store, Kind::Commit, head.commit);
        if !is_there(folders, &head)? && !(expectations.is_known_lost)(&head) {
            for place in folders.places(store) {
                if folders.is_filled(Kind::Commit, place)? {
                    return Ok((OnDisk::NoHead, None));
                }
            }
            return Ok((OnDisk::Gone, None));
        }
    }
    Ok((OnDisk::Filled, None))
}

/// Whether a file that is not empty is at one of an object's places.
fn is_there(folders: &ObjectFolders, object: &Object) -> std::io::Result<bool> {
    for store in folders.places(object.store) {
        if folders.len(&Object { store, ..*object })?.is_some_and(|len| len > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn folder(
    folders: &ObjectFolders,
    library: &LibraryPointers,
    kind: Kind,
    expectations: &Expectations<'_>,
) -> std::io::Result<(OnDisk, Option<String>)> {
    let store = content_store(library);
    for place in folders.places(store) {
        if folders.is_filled(kind, place)? {
            return Ok((OnDisk::Filled, None));
        }
    }
    if !(expectations.holds)(kind, store) {
        return Ok((OnDisk::Nothing, None));
    }
    let state = match needed(folders, library, kind, expectations) {
        NeededFolders::Nothing => OnDisk::Nothing,
        NeededFolders::KnownLost => OnDisk::KnownLost,
        NeededFolders::More => OnDisk::Gone,
    };
    Ok((state, None))
}

/// What is gone in one place, such as `storage/blocks`.
#[derive(Debug, Clone, Copy, Default)]
struct Gone {
    /// Libraries that lack something there.
    lacking: u64,
    /// Those of them that have nothing there at all.
    empty: u64,
    /// Libraries that should have something there.
    all: u64,
}

impl Gone {
    /// Whether it is one matter and not a few lost files.
    fn is_wide(self, libraries: u64) -> bool {
        let Self { lacking: gone, empty, all } = self;
        let is_all = gone == all && empty > 0 && (all > 1 || libraries == 1);
        gone > 0 && (is_all || gone > FEW && 2 * gone >= all || gone > MOST_NAMED)
    }
}

impl Presence {
    /// Also looks for random objects, each on a random way from a library's head.
    pub fn sample(&mut self, sampling: &Sampling<'_>, random: &mut Random, samples: usize) {
        let (looked, missing) = sampling.take(random, samples);
        self.sampled += looked;
        self.missing.extend(missing);
    }

    /// Records that a walk missed objects of this kind. If the store has none at all, it counts as
    /// gone.
    pub fn missed(&mut self, library: LibraryId, kind: Kind) {
        if let Some((state, _)) = self.stores.get_mut(&(library, kind))
            && *state == OnDisk::Nothing
        {
            *state = OnDisk::Gone;
        }
    }

    /// The random objects that are missing.
    pub fn missing_samples(&self) -> &[MissingSample] {
        &self.missing
    }

    /// How many random objects were looked for.
    pub fn sampled(&self) -> usize {
        self.sampled
    }

    /// How many libraries were looked at.
    pub fn libraries(&self) -> u64 {
        let commits = self.stores.keys().filter(|(_, kind)| *kind == Kind::Commit);
        commits.count() as u64
    }

    /// The libraries of which something is gone, and which kinds.
    pub fn gone(&self) -> BTreeMap<LibraryId, Vec<Kind>> {
        let mut gone: BTreeMap<LibraryId, Vec<Kind>> = BTreeMap::new();
        for ((library, kind), (state, _)) in &self.stores {
            if matches!(state, OnDisk::Gone | OnDisk::NoHead) {
                gone.entry(*library).or_default().push(*kind);
            }
        }
        gone
    }

    /// The alarm, if so much is gone that it must have one cause: all of one place, half of it,
    /// more libraries than a person reads the names of, or half of the random objects.
    pub fn alarm(&self) -> Option<SourceGone> {
        let gone = self.gone();
        let mut places: BTreeMap<&PathBuf, Gone> = BTreeMap::new();
        for (state, root) in self
            .stores
            .values()
            .filter(|(state, _)| *state != OnDisk::Nothing && *state != OnDisk::KnownLost)
        {
            let place = places.entry(root).or_default();
            place.lacking += u64::from(matches!(state, OnDisk::Gone | OnDisk::NoHead));
            place.empty += u64::from(*state == OnDisk::Gone);
            place.all += 1;
        }
        let libraries = self.libraries();
        places.retain(|_, place| place.is_wide(libraries));
        // Many ways may end at one object, which is one loss.
        let lost: BTreeSet<Object> = self.missing.iter().map(|sample| sample.object).collect();
        let half = 2 * self.missing.len() >= self.sampled && lost.len() >= FEWEST_SAMPLES;
        if places.is_empty() && !half {
            return None;
        }
        let mut text = if places.is_empty() {
            format!(
                "the source is gone: of {} random objects that the databases lead to {} are not there",
                self.sampled,
                self.missing.len()
            )
        } else {
            let roots: Vec<String> = places.keys().map(|root| root.display().to_string()).collect();
            format!(
                "the source is gone: {} of {} libraries lack their objects in {}",
                gone.len(),
                libraries,
                roots.join(", ")
            )
        };
        if !self.errors.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, " ({})", self.errors.join("; "));
        }
        text.push_str(": is its disk mounted?");
        Some(SourceGone {
            text,
            libraries: gone.into_keys().collect(),
            of: libraries,
            roots: places.into_keys().cloned().collect(),
        })
    }
}
