//! The places where this host has stored. If such a place is empty now, a disk is probably not
//! mounted: it is no place for a new repository.

use std::path::Path;

use zeroize::Zeroizing;

use super::{Keepable, Kept, RepositoryState, Result, of_repositories};
use crate::repository::RepositoryId;
use crate::time::Timestamp;

/// A repository that this host stored in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBefore {
    /// Which one.
    pub repository: RepositoryId,
    /// When this host last stored there, or joined it.
    pub at: Timestamp,
}

/// The places of one repository, each with the time when this host last stored there.
#[derive(Debug, Default)]
struct Places(Vec<(Timestamp, String)>);

/// A place on each line. Lines that make no sense are skipped, since only a warning depends on them.
impl Keepable for Places {
    fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let parsed = lines.filter_map(|(time, place)| Some((time.parse().ok()?, place.to_owned())));
        Ok(Self(parsed.collect()))
    }

    fn to_text(&self) -> Result<Zeroizing<String>, String> {
        let lines: Vec<_> =
            self.0.iter().map(|(time, place)| format!("{time} {place}\n")).collect();
        Ok(Zeroizing::new(lines.concat()))
    }
}

impl RepositoryState {
    fn kept_places(&self) -> Kept<Places> {
        Kept::at(&self.path, "places")
    }

    fn places(&self) -> Result<Places> {
        Ok(self.kept_places().read()?.unwrap_or_default())
    }

    /// Remembers that this host stored at a place, under each spelling of the place.
    pub fn remember_place(&self, spellings: &[String], now: Timestamp) -> Result<()> {
        let Places(mut places) = self.places()?;
        places.retain(|(_, place)| !spellings.contains(place));
        // Each line of the file is one place, so a place with control characters cannot be kept.
        let kept = spellings.iter().filter(|place| !place.contains(char::is_control));
        places.extend(kept.map(|place| (now, place.clone())));
        self.kept_places().write(&Places(places))
    }

    fn forget_place(&self, spellings: &[String]) -> Result<()> {
        let Places(mut places) = self.places()?;
        let before = places.len();
        places.retain(|(_, place)| !spellings.contains(place));
        if places.len() < before { self.kept_places().write(&Places(places)) } else { Ok(()) }
    }
}

/// The repository that this host last stored in at a place, other than `other_than`. Makes nothing.
pub fn stored_before(
    state: &Path,
    spellings: &[String],
    other_than: Option<&RepositoryId>,
) -> Result<Option<StoredBefore>> {
    let mut found = Vec::new();
    for (repository, known) in of_repositories(state)? {
        if other_than == Some(&repository) {
            continue;
        }
        let places = known.places()?.0.into_iter();
        let here = places.filter(|(_, place)| spellings.contains(place));
        found.extend(here.map(|(at, _)| StoredBefore { repository: repository.clone(), at }));
    }
    Ok(found.into_iter().max_by_key(|found| found.at))
}

/// Forgets a place for all repositories but `now`: the administrator said that it is that one's.
pub fn forget_others(state: &Path, spellings: &[String], now: &RepositoryId) -> Result<()> {
    for (repository, known) in of_repositories(state)? {
        if repository != *now {
            known.forget_place(spellings)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::state::StateFolder;

    #[test]
    fn a_place_is_remembered_with_its_last_time_until_it_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let ids = [(), ()].map(|()| RepositoryId::random().unwrap());
        let time = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let here = ["/backup".to_owned(), "/mnt/disk".to_owned()];
        let there = ["s3://bucket".to_owned()];
        let stored = |place: &[String], other: Option<&RepositoryId>| {
            let found = stored_before(folder.path(), place, other).unwrap();
            found.map(|found| (found.repository, found.at))
        };
        assert_eq!(stored(&here, None), None);
        let known = state.repository(&ids[0]).unwrap();
        for seconds in [10, 20] {
            known.remember_place(&here, time(seconds)).unwrap();
        }
        assert_eq!(stored(&here[1..], None), Some((ids[0].clone(), time(20))));
        assert_eq!(known.places().unwrap().0.len(), 2);
        assert_eq!(stored(&there, None), None);
        assert_eq!(stored(&here, Some(&ids[0])), None);
        state.repository(&ids[1]).unwrap().remember_place(&here, time(30)).unwrap();
        assert_eq!(stored(&here, None), Some((ids[1].clone(), time(30))));
        forget_others(folder.path(), &here, &ids[1]).unwrap();
        assert_eq!(stored(&here, Some(&ids[1])), None);
        assert_eq!(stored(&here, None), Some((ids[1].clone(), time(30))));
    }
}
