//! A lost index over packs that cannot be read.

use std::fs;

use super::*;
use crate::support::files_below;

/// A lost index, and packs that cannot be read themselves: one run meets them all.
#[test]
fn a_lost_segment_over_many_rotten_packs_costs_one_run() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let packs = |world: &World| {
        let mut packs = files_below(&world.repository_path().join("data/blocks"));
        packs.extend(files_below(&world.repository_path().join("data/trees")));
        packs
    };
    let old = packs(&world);
    assert!(old.len() > 1);
    for pack in &old {
        let mut bytes = fs::read(pack).unwrap();
        bytes[10] ^= 1;
        fs::remove_file(pack).unwrap();
        fs::write(pack, bytes).unwrap();
    }
    for segment in files_below(&world.repository_path().join("data/index")) {
        fs::remove_file(segment).unwrap();
    }
    world.options.list = true;
    let report = world.backup(&source);
    assert!(report.needs_reading());
    assert_eq!(report.alarms.len(), 1 + old.len(), "{:?}", report.alarms);
    let fresh = World::local();
    let needed = stored(&fresh, &fresh.backup(&source));
    assert!(needed.is_subset(&stored(&world, &report)));
    let quiet = world.backup(&source);
    assert!(!quiet.needs_reading(), "{:?}", quiet.alarms);
    assert_deep_check(&world);
}

/// A list says nothing that the segment does not: nothing is read again from packs.
#[test]
fn a_lost_list_is_written_again_from_its_segment() {
    let (source, mut world) = (Source::example(), World::local());
    let first = world.backup(&source);
    let old = files_below(&world.repository_path().join("data/blocks"));
    for pack in &old {
        let mut bytes = fs::read(pack).unwrap();
        bytes[10] ^= 1;
        fs::remove_file(pack).unwrap();
        fs::write(pack, bytes).unwrap();
    }
    for list in &first.marker.lists {
        fs::remove_file(world.repository_path().join(list.key.as_str())).unwrap();
    }
    world.options.list = true;
    let report = world.backup(&source);
    assert_eq!(
        (report.alarms.len(), report.totals.objects),
        (1, 0),
        "{:?}",
        report.alarms
    );
}
