//! Commits whose bytes are not those that were made.
//!
//! A commit's id covers its root folder, creator, description and time, and nothing else. So an id that does not fit says
//! that one of these was altered, or that an odd client made the commit; there are such clients, and nobody can ask them.
//! Two things prove an alteration: the bytes that were stored before, and another root folder by which the id fits.

use std::collections::HashMap;

use super::find::Found;
use super::history::Rules;
use super::{Asking, Rescue, Sight, Trouble, WalkError, Walker};
use crate::object::{Kind, Object, ObjectId, Sha256, Store};
use crate::seafile::check::{self, Content};
use crate::seafile::commit::{Commit, CommitIdCheck};

/// So many commits of a group are held against all its folders, the newest of each library first: where there are more,
/// an odd client is at work.
const MOST_JUDGED: usize = 16;

/// A commit whose id does not fit, until the end of the walk.
pub(super) struct Doubtful {
    object: Object,
    content: Store,
    asking: Asking,
    commit: Box<Commit>,
}

/// A commit in the source that was stored with other bytes: which of both counts. If one of them fits its id, that one
/// does. If both do, the one that was first, unless it leads to a parent that nobody has and the other does not: then the
/// stored one was altered, and the source was repaired.
pub(super) fn changed<S: Sight>(
    sight: &S,
    object: Object,
    commit: Box<Commit>,
    bytes: Vec<u8>,
) -> Result<Found, WalkError<S::Error>> {
    let fits = |commit: &Commit| commit.id_check() != CommitIdCheck::Mismatch;
    let rescue = sight.rescue(&object).map_err(WalkError::Sight)?;
    let is_sealed = rescue == Rescue::Sealed;
    let stored = rescue
        .bytes()
        .and_then(|stored| match check::check(&object, &stored) {
            Ok(Content::Commit(stored)) => Some(stored),
            _ => None,
        });
    let (is_good, trouble) = (fits(&commit), Trouble::Changed);
    let is_mended = match &stored {
        Some(stored) if !fits(stored) => true,
        Some(stored) => {
            lacks_parent(sight, &object, stored)? && !lacks_parent(sight, &object, &commit)?
        }
        // What was stored is lost in the repository: the source has the only copy.
        None => !is_sealed,
    };
    match stored {
        Some(_) | None if is_mended && is_good => Ok(Found::Good {
            object,
            content: Content::Commit(commit),
            bytes,
            known: false,
        }),
        Some(stored) => Ok(Found::Rescued {
            object,
            content: Content::Commit(stored),
            trouble,
            bytes: Some(bytes),
        }),
        // What was stored cannot be read here (it is encrypted): it stays, and these bytes are kept beside it.
        None if is_good => Ok(Found::Rescued {
            object,
            content: Content::Commit(commit),
            trouble,
            bytes: Some(bytes),
        }),
        None => Ok(Found::Nowhere {
            object,
            trouble,
            bytes: Some(bytes),
            stored: false,
        }),
    }
}

/// Whether a parent of a commit is not stored.
fn lacks_parent<S: Sight>(
    sight: &S,
    object: &Object,
    commit: &Commit,
) -> Result<bool, WalkError<S::Error>> {
    for id in commit.parents() {
        let parent = Object::new(object.store, Kind::Commit, id);
        if sight.known(&parent).map_err(WalkError::Sight)?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the bytes of an object are others than were stored. Ids of fs objects and blocks leave no doubt.
pub(super) fn is_changed(stored: Option<Sha256>, bytes: &[u8]) -> bool {
    stored.is_some_and(|stored| stored != Sha256::of(bytes))
}

impl<S: Sight> Walker<'_, S> {
    /// Remembers a commit whose id does not fit, unless an earlier walk has judged it.
    pub(super) fn doubt(
        &mut self,
        rules: &Rules,
        object: Object,
        asking: Asking,
        commit: &Commit,
    ) -> Result<(), WalkError<S::Error>> {
        let known = self.sight.known(&object).map_err(WalkError::Sight)?;
        let is_judged = known.is_some_and(|known| known.walked);
        if is_judged && !self.doubts.altered.contains(&object) || self.doubtful.len() >= MOST_JUDGED
        {
            return Ok(());
        }
        self.doubtful.push(Doubtful {
            object,
            content: rules.content(),
            asking,
            commit: Box::new(commit.clone()),
        });
        Ok(())
    }

    /// Looks for a folder by which the id of a doubtful commit fits: then its root was altered, which is damage, and what
    /// is below the right one is walked too. Costs a listing of the library's fs objects.
    pub(super) fn judge_doubtful(&mut self) -> Result<(), WalkError<S::Error>> {
        let mut by_store: HashMap<Store, Vec<Doubtful>> = HashMap::new();
        for doubtful in std::mem::take(&mut self.doubtful) {
            by_store.entry(doubtful.content).or_default().push(doubtful);
        }
        for (store, mut doubtful) in by_store {
            let mut found = Vec::new();
            let mut judge = |root: ObjectId| {
                let of_it = doubtful.extract_if(.., |one| one.commit.fits_with_root(root));
                found.extend(of_it.map(|one| (one, root)));
            };
            judge(ObjectId::EMPTY);
            for store in self.source.places(store) {
                let ids = self.source.fs_ids(store).map_err(WalkError::Source)?;
                ids.for_each(&mut judge);
            }
            for (Doubtful { object, asking, .. }, root) in found {
                self.record(object, asking, Trouble::AlteredRoot(root), false);
                self.tree(Object::new(store, Kind::Fs, root), asking)?;
            }
        }
        Ok(())
    }
}
