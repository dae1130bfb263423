//! What packs hold for another library, by links.

use std::fs;

use seawall::check::{self, CheckLevel};

use super::{
    add_library, assert_restores, copy_library, delete_library, full, held, retired, world,
};
use crate::support::{DOCUMENTS, Source, World};

/// What the newest snapshot names is whole.
fn assert_latest_good(world: &World) {
    let options = check::Options {
        level: CheckLevel::Deep,
        snapshot: Some("latest".into()),
        ..check::Options::default()
    };
    let seen = check::run(&world.repository, &options, &|_| {}).unwrap();
    assert!(seen.is_good(), "{:?}", seen.problems);
}

#[test]
fn what_another_library_links_to_stays() {
    let (source, mut world) = (Source::example(), world());
    let origin = add_library(&source, 2000, 1500, 1);
    world.backup(&source);
    let copy = copy_library(&source, &origin, "c0b1");
    world.backup(&source);
    delete_library(&source, &origin);
    // The packs with the copy's links are in use: so are the packs that they lead to.
    let after = full(&mut world, &source);
    assert_eq!(retired(&after), 0);
    assert_restores(&world, &after, &source.path);
    let store = copy.parse().unwrap();
    let held = held(&world, &after);
    assert!(held.iter().any(|object| object.store == store));
}

#[test]
fn links_move_after_what_they_lead_to() {
    let (source, mut world) = (Source::example(), world());
    let origin = add_library(&source, 2000, 1500, 1);
    world.backup(&source);
    copy_library(&source, &origin, "c0b1");
    copy_library(&source, &origin, "c0b2");
    let neighbour = add_library(&source, 6000, 1500, 5);
    world.backup(&source);
    delete_library(&source, &origin);
    delete_library(&source, &neighbour);
    // What they led to is gone: one of each becomes an object of its own.
    let after = full(&mut world, &source);
    assert_eq!(retired(&after), 4);
    assert_restores(&world, &after, &source.path);
    // With both alive and a neighbour gone, each object is still stored once.
    let (source, mut world) = (Source::example(), super::world());
    let origin = add_library(&source, 500, 1500, 1);
    let neighbour = add_library(&source, 2500, 1500, 5);
    world.backup(&source);
    copy_library(&source, &origin, "c0b1");
    let other = add_library(&source, 2500, 1500, 7);
    world.backup(&source);
    delete_library(&source, &neighbour);
    delete_library(&source, &other);
    let after = full(&mut world, &source);
    assert_eq!(retired(&after), 4);
    assert_restores(&world, &after, &source.path);
    assert!(after.marker.bytes < 1_500_000, "{:?}", after.marker);
}

#[test]
fn a_pack_whose_links_moved_is_given_up_with_what_they_lead_to() {
    let (source, mut world) = (Source::example(), world());
    let origin = add_library(&source, 500, 1500, 1);
    let neighbour = add_library(&source, 2500, 1500, 5);
    world.backup(&source);
    let copy = copy_library(&source, &origin, "c0b1");
    let other = add_library(&source, 2500, 1500, 7);
    world.backup(&source);
    delete_library(&source, &neighbour);
    delete_library(&source, &other);
    // One block of the second packs cannot be moved: they stay, and the first as well.
    let block = source
        .objects("blocks", DOCUMENTS)
        .into_iter()
        .chain(source.objects("blocks", &copy))
        .next_back()
        .unwrap();
    let altered = fs::read(&block).unwrap();
    fs::write(&block, vec![0; altered.len()]).unwrap();
    world.options.full = true;
    let report = world.backup(&source);
    assert_eq!(report.marker.damage, 0);
    world.options.full = false;
    fs::write(&block, &altered).unwrap();
    for pack in world.keys().into_iter().filter(|key| key.starts_with("data/blocks/")) {
        let path = world.repository_path().join(&pack);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        world.options.list = true;
        let healed = world.backup(&source);
        assert_eq!(healed.marker.damage, 0, "{pack}");
        // What this snapshot names is whole, and so is what a host finds that only knows its lists.
        assert_latest_good(&world);
        fs::write(&path, &bytes).unwrap();
    }
}
