//! Finds commits whose bytes are not those that were made.
//!
//! A commit's id covers only its root folder, creator, description and time. If the id does not
//! fit, either one of these was altered, or an odd client made the commit; such clients exist, and
//! nobody can ask them. Two things prove an alteration: the bytes that were stored before, and
//! another root folder that the id fits.

use std::collections::HashMap;

use super::find::FoundObject;
use super::history::HistoryRules;
use super::{Asking, GroupWalker, ObjectDamage, Rescue, Sight, WalkError};
use crate::object::{Kind, Object, ObjectId, Sha256, Store};
use crate::seafile::check::{self, ObjectContent};
use crate::seafile::commit::{Commit, CommitIdCheck};

/// How many commits of a group are compared with all its folders, the newest of each library first.
/// If there are more, an odd client is at work.
const MOST_JUDGED: usize = 16;

/// A commit whose id does not fit, kept until the end of the walk.
pub(super) struct Doubtful {
    object: Object,
    content: Store,
    asking: Asking,
    commit: Box<Commit>,
}

/// Decides which bytes count of a commit that was stored with other bytes than the source has.
///
/// If only one of the two fits its id, that one counts. If both fit, the stored one counts, with
/// one exception: it leads to a parent that is not stored, and all parents in the source's one are
/// stored. Then the stored one was altered, and the source was repaired.
pub(super) fn changed<S: Sight>(
    sight: &S,
    object: Object,
    commit: Box<Commit>,
    bytes: Vec<u8>,
) -> Result<FoundObject, WalkError<S::Error>> {
    let fits = |commit: &Commit| commit.id_check() != CommitIdCheck::Mismatch;
    let rescue = sight.rescue(&object).map_err(WalkError::Sight)?;
    let is_sealed = rescue == Rescue::Sealed;
    let stored = rescue.bytes().and_then(|stored| match check::check(&object, &stored) {
        Ok(ObjectContent::Commit(stored)) => Some(stored),
        _ => None,
    });
    let (is_good, trouble) = (fits(&commit), ObjectDamage::Changed);
    let is_mended = match &stored {
        Some(stored) if !fits(stored) => true,
        Some(stored) => {
            lacks_parent(sight, &object, stored)? && !lacks_parent(sight, &object, &commit)?
        }
        // What was stored is lost in the repository: the source has the only copy.
        None => !is_sealed,
    };
    match stored {
        _ if is_mended && is_good => Ok(FoundObject::Good {
            object,
            content: ObjectContent::Commit(commit),
            bytes,
            known: false,
        }),
        Some(stored) => Ok(FoundObject::Rescued {
            object,
            content: ObjectContent::Commit(stored),
            trouble,
            bytes: Some(bytes),
        }),
        // The stored bytes cannot be read here, because they are encrypted. They stay, and these
        // are kept beside them.
        None if is_good => Ok(FoundObject::Rescued {
            object,
            content: ObjectContent::Commit(commit),
            trouble,
            bytes: Some(bytes),
        }),
        None => Ok(FoundObject::Nowhere { object, trouble, bytes: Some(bytes), stored: false }),
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

/// Whether a commit's bytes differ from the stored ones. Only commits have `stored`: the ids of fs
/// objects and blocks cover all their bytes.
pub(super) fn is_changed(stored: Option<Sha256>, bytes: &[u8]) -> bool {
    stored.is_some_and(|stored| stored != Sha256::of(bytes))
}

impl<S: Sight> GroupWalker<'_, S> {
    /// Remembers a commit whose id does not fit. Skips one that an earlier walk judged and did not
    /// find altered.
    pub(super) fn doubt(
        &mut self,
        rules: &HistoryRules,
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

    /// Looks for a folder that fits the id of a doubtful commit. If there is one, the commit's root
    /// was altered: that is damage, and what is below the right folder is walked too. Costs a
    /// listing of the library's fs objects.
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
                self.record(object, asking, ObjectDamage::AlteredRoot(root), false);
                self.tree(Object::new(store, Kind::Fs, root), asking)?;
            }
        }
        Ok(())
    }
}
