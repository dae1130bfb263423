//! Chooses libraries that are looked at in the source although their heads did not move. So rot in
//! the source is seen while the repository still has what is needed to mend it (docs/design.md,
//! "Audit of the source").

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

use super::{BackupRun, Error, objects, seal};
use crate::database::LibraryPointers;
use crate::object::{Kind, LibraryId};
use crate::repository::manifest::{self, Audited};
use crate::seafile::folders::ObjectFolders;
use crate::walk::{self, Audit, Doubts, LibraryGroup};

/// The share of all libraries that one run looks at. Libraries take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditShare {
    /// The numerator: 1 in `1/30`.
    pub parts: u32,
    /// The denominator: 30 in `1/30`.
    pub of: u32,
    /// Whether blocks are read; otherwise only their lengths are checked.
    pub read: bool,
}

/// A text that is not a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a share: give one like 1/30, or 1/30=read to read all blocks of that share")]
pub struct ParseAuditShareError;

impl AuditShare {
    /// Whether the share is everything.
    pub fn is_all(self) -> bool {
        self.parts == self.of
    }
}

impl FromStr for AuditShare {
    type Err = ParseAuditShareError;

    fn from_str(text: &str) -> Result<Self, ParseAuditShareError> {
        let (share, read) = match text.split_once('=') {
            Some((share, "read")) => (share, true),
            Some(_) => return Err(ParseAuditShareError),
            None => (text, false),
        };
        let (parts, of) = share.split_once('/').ok_or(ParseAuditShareError)?;
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_number.then(|| text.parse::<u32>().ok()).flatten();
            number.ok_or(ParseAuditShareError)
        };
        let (parts, of) = (number(parts)?, number(of)?);
        if parts == 0 || parts > of {
            return Err(ParseAuditShareError);
        }
        Ok(Self { parts, of, read })
    }
}

/// Stands in for a sequence number: the first run of the chain read the library when it stored it,
/// and no run has looked at it since.
const STORED: u64 = 0;

/// A group of libraries that a run may choose to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct AuditCandidate {
    /// The sequence number of the run that last looked at the whole group; 0: no such run is known.
    last: u64,
    /// The group's index among all groups.
    position: usize,
    /// The number of its objects.
    objects: u64,
}

/// Returns the groups whose turn it is in run `now` of the chain. It takes those that nobody looked
/// at for the longest time, until their objects make up the share. A group that is larger than the
/// share rests until all others had their turn.
fn in_turn(mut candidates: Vec<AuditCandidate>, share: AuditShare, now: u64) -> Vec<usize> {
    let (parts, of) = (u128::from(share.parts), u128::from(share.of));
    let all: u128 = candidates.iter().map(|one| u128::from(one.objects)).sum();
    candidates.sort_unstable();
    let is_due = |one: &AuditCandidate| {
        let runs = u128::from(now.saturating_sub(one.last));
        // After a chain began again, its numbers start from the beginning: then `last` may be above
        // `now`.
        let is_small = u128::from(one.objects) * of <= all * parts;
        one.last == STORED || one.last > now || runs * parts >= of || is_small && runs > 0
    };
    let mut chosen = Vec::new();
    let mut objects = 0;
    for one in candidates.into_iter().filter(is_due) {
        if !chosen.is_empty() && objects * of >= all * parts {
            break;
        }
        objects += u128::from(one.objects);
        chosen.push(one.position);
    }
    chosen
}

impl BackupRun<'_> {
    /// Marks the groups that this run looks at in the source, and voids their marks in the catalog
    /// so that the walk goes through them. The choice is made once for all attempts.
    pub(super) fn audit<'a>(
        &mut self,
        mut groups: Vec<LibraryGroup<'a>>,
        source: &Arc<ObjectFolders>,
    ) -> Result<Vec<LibraryGroup<'a>>, Error> {
        let audit = match self.options.verify_source {
            Some(share) if share.read => Audit::Read,
            Some(_) => Audit::Look,
            None if self.looks_at_all() => Audit::Look,
            None => return Ok(groups),
        };
        // If the whole source is gone, an audit would name every object and read it from the
        // repository.
        if self.source_is_gone()
            && !self.looks_at_all()
            && !self.options.verify_source.is_some_and(AuditShare::is_all)
        {
            return Ok(groups);
        }
        if self.looks_at_all() {
            // Each attempt looks at all libraries of its own dump.
            let libraries = groups.iter().flat_map(|group| &group.libraries);
            self.audited = Some(libraries.map(|library| library.id).collect());
        } else if self.audited.is_none() {
            self.audited = Some(self.choose(&groups));
        }
        let audited = self.audited.as_ref();
        let is_chosen = |group: &LibraryGroup<'_>| {
            let mut libraries = group.libraries.iter();
            libraries.any(|library| audited.is_some_and(|audited| audited.contains(&library.id)))
        };
        for group in groups.iter_mut().filter(|group| is_chosen(group)) {
            group.audit = audit;
            if !self.looks_at_all() {
                let libraries = group.libraries.iter().copied();
                for store in objects::stores(libraries, source) {
                    self.catalog.void_marks(store)?;
                }
            }
        }
        Ok(groups)
    }

    /// Whether no object counts as closed for this run. That holds for a full run, which takes
    /// objects that it did not visit for unneeded. It also holds without the base, since nothing
    /// else says what the source had lost.
    fn looks_at_all(&self) -> bool {
        self.is_full() || self.base_is_unreadable()
    }

    /// Whether this is a full run, and there is a source to look at.
    pub(super) fn is_full(&self) -> bool {
        self.options.full && !self.looked.was_gone
    }

    fn choose(&self, groups: &[LibraryGroup<'_>]) -> HashSet<LibraryId> {
        let Some(share) = self.options.verify_source else {
            return HashSet::new();
        };
        let candidates = groups.iter().enumerate();
        let candidates = candidates.filter_map(|(at, group)| self.candidate(at, group));
        let now = seal::sequence(self.prepared.base.as_ref());
        let positions = in_turn(candidates.collect(), share, now);
        let chosen = positions.iter().flat_map(|at| &groups[*at].libraries);
        chosen.map(|library| library.id).collect()
    }

    /// Makes a group a candidate. `None`: the whole group is new, so the walk reads it anyway.
    fn candidate(&self, position: usize, group: &LibraryGroup<'_>) -> Option<AuditCandidate> {
        let libraries = group.libraries.iter();
        let known: Vec<&manifest::Library> =
            libraries.filter_map(|library| self.base()?.library(library.id)).collect();
        let last = known.iter().map(|library| library.audited);
        let last = last.map(|audited| audited.map_or(0, |audited| audited.sequence));
        let objects = known.iter().map(|library| library.counts.objects());
        Some(AuditCandidate { last: last.min()?, position, objects: objects.sum() })
    }

    /// When a walked library was last looked at as a whole. That is this run, if the library was
    /// chosen or is new.
    pub(super) fn audited(&self, library: &LibraryPointers) -> Option<Audited> {
        let chosen = self.audited.as_ref();
        let is_chosen = chosen.is_some_and(|chosen| chosen.contains(&library.id));
        let known = self.base().and_then(|base| {
            // A newly shared folder stores nothing new: the last audit of its origin counts.
            let origin = library.origin.as_ref();
            base.library(library.id).or_else(|| base.library(origin?.library))
        });
        let was_stored = self.base().is_some_and(|base| {
            let mut stores = base.unreferenced.iter();
            known.is_some() || stores.any(|known| known.store == library.id)
        });
        if is_chosen || !was_stored && !self.source_is_gone() {
            // All that the first run stored is due at once; each later run takes its share.
            let is_first = self.prepared.base.is_none() && !is_chosen;
            let now = seal::sequence(self.prepared.base.as_ref());
            return Some(Audited {
                time: self.prepared.snapshot.started(),
                sequence: if is_first { STORED } else { now },
            });
        }
        known?.audited
    }

    /// Whether there is a base whose manifest cannot be read.
    fn base_is_unreadable(&self) -> bool {
        self.prepared.base.is_some() && self.base().is_none()
    }

    /// What the source had lost or altered when the base was made.
    pub(super) fn doubts(&self) -> Doubts {
        let damage = self.base().into_iter().flat_map(|base| &base.source_damage);
        let blocks = damage.map(manifest::Damage::object);
        let damage = self.base().into_iter().flat_map(|base| &base.damage);
        let altered = damage.filter(|damage| damage.reason == walk::ALTERED_ROOT);
        Doubts {
            altered: altered.map(manifest::Damage::object).collect(),
            blocks: blocks.filter(|block| block.kind == Kind::Block).collect(),
            random_block_ids: crate::source::has_random_block_ids(self.installation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn share(text: &str) -> Result<AuditShare, ParseAuditShareError> {
        text.parse()
    }

    #[test]
    fn shares() {
        let all = AuditShare { parts: 1, of: 1, read: false };
        assert_eq!(share("1/1"), Ok(all));
        assert_eq!(share("1/1=read"), Ok(AuditShare { read: true, ..all }));
        assert_eq!(share("2/30").map(|share| (share.parts, share.of)), Ok((2, 30)));
        for bad in [
            "",
            "1",
            "0/1",
            "2/1",
            "1/0",
            "1/30=",
            "1/30=look",
            "+1/2",
            "-1/2",
            "1/2/3",
            "1/99999999999",
        ] {
            assert_eq!(share(bad), Err(ParseAuditShareError), "{bad}");
        }
    }

    proptest! {
        /// However groups differ in size: each has its turn, none before it has rested, and each
        /// run takes about its share.
        #[test]
        fn each_group_has_its_turn(
            objects in prop::collection::vec(1u64..100_000, 1..40),
            parts in 1u32..4,
            more in 0u32..30,
        ) {
            let share = AuditShare { parts, of: parts + more, read: false };
            let mut last = vec![0; objects.len()];
            let all: u64 = objects.iter().sum();
            let largest = *objects.iter().max().unwrap();
            let rest = u64::from(share.of.div_ceil(share.parts));
            for now in 2..2 + 4 * rest {
                let candidates = objects.iter().zip(&last).enumerate();
                let candidates = candidates.map(|(position, (objects, last))| AuditCandidate {
                    last: *last,
                    position,
                    objects: *objects,
                });
                let chosen = in_turn(candidates.collect(), share, now);
                let taken: u64 = chosen.iter().map(|at| objects[*at]).sum();
                prop_assert!(taken <= (all * u64::from(share.parts)).div_ceil(u64::from(share.of)) + largest);
                for at in chosen {
                    let is_small = objects[at] * u64::from(share.of) <= all * u64::from(share.parts);
                    prop_assert!(last[at] == 0 || now - last[at] >= rest || is_small);
                    last[at] = now;
                }
                if now > 1 + 2 * rest {
                    prop_assert!(last.iter().all(|last| *last > 0 && now - last <= 2 * rest), "{now} {last:?}");
                }
            }
        }
    }
}
