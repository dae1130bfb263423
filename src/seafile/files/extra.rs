//! The installation's own folder `extra`. seawall stores paths from outside below `extra`, and a
//! restore writes them there. So a restored installation has such a folder, and the next backup
//! stores it too.

use std::collections::HashMap;
use std::path::Path;

use super::{Error, LeftOutPath, LeftOutReason, OrdinaryGroup, ScanEntry, ScanEntryKind};

/// The folder inside an installation for paths from outside.
pub(super) const EXTRA: &str = "extra";

/// Removes entries of the own folder `extra` whose path is also that of a file from outside. The
/// file outside is in use, the own one is an old copy. `from_outside` tells which groups hold paths
/// from outside.
pub(super) fn give_way(
    groups: &mut [OrdinaryGroup],
    from_outside: impl Fn(&OrdinaryGroup) -> bool,
) -> Result<Vec<LeftOutPath>, Error> {
    let is_folder = |kind: &ScanEntryKind| matches!(kind, ScanEntryKind::Folder);
    let (outside, own): (Vec<&mut OrdinaryGroup>, Vec<&mut OrdinaryGroup>) =
        groups.iter_mut().partition(|group| from_outside(group));
    let mut taken: HashMap<&Path, bool> = HashMap::new();
    for entry in outside.iter().flat_map(|group| &group.entries) {
        taken.insert(&entry.path, is_folder(&entry.kind));
        // A restore also creates the folders above it.
        let above = entry.path.ancestors().skip(1);
        taken.extend(above.map(|folder| (folder, true)));
    }
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let mut left_out = Vec::new();
    for group in own {
        let is_taken = |path: &Path, own_is_folder: bool| match taken.get(path) {
            Some(other_is_folder) => !(own_is_folder && *other_is_folder),
            None => path.ancestors().skip(1).any(|above| taken.get(above) == Some(&false)),
        };
        let gives_way = |entry: &ScanEntry| is_taken(&entry.path, is_folder(&entry.kind));
        for entry in group.entries.iter().filter(|entry| gives_way(entry)) {
            let path = entry.path.clone();
            if path == Path::new(EXTRA) {
                return Err(Error::ExtraTaken { path });
            }
            left_out.push(LeftOutPath { path, reason: LeftOutReason::Outside, count: 1 });
        }
        group.entries.retain(|entry| !gives_way(entry));
    }
    Ok(left_out)
}
