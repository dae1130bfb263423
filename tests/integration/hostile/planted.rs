//! What anybody can put who can write at the destination: it costs uploads or a clear error, never
//! data, and no marker of ours names it.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seawall::object::{Object, Sha256};
use seawall::repository::host_key::HostKey;
use seawall::repository::index::List;
use seawall::repository::marker::{Marker, Named};
use seawall::repository::names::{self, PackKind, SnapshotId};
use seawall::repository::note;
use seawall::repository::pack::{MemberName, PackBuilder, PackOptions};
use seawall::repository::segment::{Header, Line, SegmentWriter};
use seawall_backends::Key;

use super::{key, plant, try_restore};
use crate::restore::{assert_same_files, latest};
use crate::support::{Source, World, run};

/// Every key that the newest marker of this host names, however indirectly.
fn named(world: &World, marker: &Marker) -> Vec<String> {
    let mut named = vec![marker.sums.key.to_string()];
    let sums = seawall::repository::index::read_sums(&world.repository, marker).unwrap();
    named.extend(sums.entries().iter().map(|(_, key)| key.to_string()));
    for list in &marker.lists {
        named.push(list.key.to_string());
        let list = List::read(&world.repository, list).unwrap();
        let seal = world.repository.seal();
        named.push(names::segment(&list.segment, seal).to_string());
        let packs = list.packs.iter();
        named.extend(packs.map(|(kind, pack)| names::pack(*kind, pack, seal).to_string()));
    }
    named
}

/// After something was planted: the next backup ends, its marker is true and names nothing of it.
fn stands(world: &World, source: &Source, planted: &[Key], what: &str) {
    let before = latest(world).marker;
    let report = world.backup(source);
    let marker = latest(world).marker;
    assert_eq!(marker.snapshot, report.marker.snapshot, "{what}");
    assert_eq!(marker.sequence, before.sequence + 1, "{what}");
    assert_eq!(marker.damage, 0, "{what}");
    let named = named(world, &marker);
    for key in planted {
        assert!(!named.contains(&key.to_string()), "{what}: {key}");
    }
    let target = world.path("target");
    let result = try_restore(world, &latest(world), &target).unwrap();
    assert!(result.lost.is_empty(), "{what}: {:#?}", result.lost);
    assert_same_files(&source.path, &target);
    fs::remove_dir_all(target).unwrap();
}

fn forget_catalog(world: &World) {
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
}

/// A pack, segment and list that say that they hold `object`, as good as seawall would make them.
fn planted_index(world: &World, object: Object, bytes: &[u8]) -> (Vec<Key>, Named) {
    let seal = world.repository.seal();
    let mut builder = PackBuilder::new(PackOptions::new(1)).unwrap();
    builder.add(MemberName::good(object), bytes).unwrap();
    let pack = builder.finish().unwrap();
    let name = Sha256::of(&pack.bytes);
    let header = Header { segment: 1, snapshot: latest(world).id(), number: 77, tier: 0 };
    let mut writer = SegmentWriter::new(&header).unwrap();
    let line = Line {
        pack: name,
        kind: PackKind::Blocks,
        size: pack.bytes.len() as u64,
        contents: pack.contents,
    };
    writer.add(&line).unwrap();
    let segment = writer.finish().unwrap();
    let segment_name = Sha256::of(&segment);
    let packs = [(PackKind::Blocks, name)];
    let list = List::to_bytes(&world.repository, &segment_name, &packs).unwrap();
    let list_name = Sha256::of(&list);
    let keys = vec![
        names::pack(PackKind::Blocks, &name, seal),
        names::segment(&segment_name, seal),
        names::list(&list_name),
    ];
    for (key, bytes) in keys.iter().zip([&pack.bytes, &segment, &list]) {
        plant(world, key, bytes);
    }
    let named = Named { sha256: list_name, size: list.len() as u64, key: names::list(&list_name) };
    (keys, named)
}

/// A block of the installation, and its bytes.
fn a_block(source: &Source) -> (Object, Vec<u8>) {
    let library = run("ls", &[source.path.join("seafile-data/storage/blocks").to_str().unwrap()]);
    let library = library.lines().next().unwrap().to_owned();
    let path = source.objects("blocks", &library).remove(0);
    let inside = path.strip_prefix(&source.path).unwrap().to_str().unwrap();
    let object = Object::from_path(inside).unwrap();
    (object, fs::read(path).unwrap())
}

#[test]
fn planted_packs_segments_and_lists_are_never_believed() {
    let (source, world) = (crate::restore::example(), World::local());
    world.backup(&source);
    let (block, mut bytes) = a_block(&source);
    bytes.reverse();
    let (planted, _) = planted_index(&world, block, &bytes);
    stands(&world, &source, &planted, "index");
    forget_catalog(&world);
    stands(&world, &source, &planted, "index, and no catalog");

    // A pack under a valid name with other bytes.
    let name = names::pack(PackKind::Trees, &Sha256::of(b"x"), world.repository.seal());
    plant(&world, &name, b"other bytes");
    forget_catalog(&world);
    stands(&world, &source, &[name], "pack of other bytes");
}

/// A marker as an attacker would write it: newer than all, over a planted list.
fn forged(world: &World, snapshot: SnapshotId, list: &Named) -> Marker {
    let marker = latest(world).marker;
    Marker {
        snapshot,
        sequence: marker.sequence + 1000,
        finished: marker.finished.plus(std::time::Duration::from_hours(1000)),
        lists: vec![list.clone()],
        ..marker
    }
}

#[test]
fn planted_markers_are_never_believed() {
    let (source, world) = (crate::restore::example(), World::local());
    world.backup(&source);
    let (block, bytes) = a_block(&source);
    let (mut planted, list) = planted_index(&world, block, &bytes);
    let host = world.host_key().id();
    let later = |hours| {
        let time = world.clock.now().plus(std::time::Duration::from_hours(hours));
        SnapshotId::new(time, host)
    };
    let text = |snapshot| forged(&world, snapshot, &list).to_text();
    let stranger = HostKey::generate("host.example").unwrap();
    let by_stranger = |text: &str| note::sign(text, stranger.signing()).unwrap();
    let first_key = names::marker(latest(&world).id());
    let first = world.backend.get(&first_key, None).unwrap();

    let name = |hours| names::marker(later(hours));
    plant(&world, &name(1), text(later(1)).as_bytes());
    plant(&world, &name(2), by_stranger(&text(later(2))).as_bytes());
    // The right name and id, and another key's signature.
    let signature = by_stranger(&text(later(3)));
    let (body, line) = signature.rsplit_once("— ").unwrap();
    let line = line.trim().rsplit_once(' ').unwrap().1;
    let bytes = STANDARD.decode(line).unwrap();
    let bytes = STANDARD.encode([host.as_bytes().as_slice(), &bytes[4..]].concat());
    let host_key = world.host_key().verifying();
    let wrong = format!("{body}— {} {bytes}\n", host_key.name());
    assert!(matches!(
        note::open(wrong.as_bytes(), &[host_key]),
        Err(note::NoteError::BadSignature { .. })
    ));
    plant(&world, &name(3), wrong.as_bytes());
    plant(&world, &name(4), b"seawall void 1\n");
    plant(&world, &name(5), &first);
    // The same host's marker of another repository.
    let elsewhere = Marker { repository: "0".repeat(32), ..forged(&world, later(6), &list) };
    let elsewhere = note::sign(&elsewhere.to_text(), world.host_key().signing()).unwrap();
    plant(&world, &name(6), elsewhere.as_bytes());
    planted.extend((1..=6).map(name));

    let markers = world.repository.markers().unwrap();
    assert_eq!(markers.snapshots.len(), 1);
    assert_eq!((markers.bad.len(), markers.voids.len()), (5, 1));
    stands(&world, &source, &planted, "markers");
    forget_catalog(&world);
    stands(&world, &source, &planted, "markers, and no catalog");
}

#[test]
fn a_planted_key_makes_no_marker_the_latest() {
    let (source, world) = (crate::restore::example(), World::local());
    let honest = world.backup(&source).marker.snapshot;
    let (block, bytes) = a_block(&source);
    let (mut planted, list) = planted_index(&world, block, &bytes);
    let stranger = HostKey::generate("host.example").unwrap();
    let public = names::host_key(stranger.id());
    let text = stranger.public_text(world.clock.now());
    plant(&world, &public, text.as_bytes());
    let later = world.clock.now().plus(std::time::Duration::from_hours(9));
    let snapshot = SnapshotId::new(later, stranger.id());
    let text = forged(&world, snapshot, &list).to_text();
    let note = note::sign(&text, stranger.signing()).unwrap();
    plant(&world, &names::marker(snapshot), note.as_bytes());
    planted.push(names::marker(snapshot));

    let markers = world.repository.markers().unwrap();
    assert_eq!(markers.snapshots.len(), 2);
    assert_eq!(markers.latest().unwrap().id(), honest);
    let asked = markers.find(&snapshot.to_string()).unwrap();
    assert!(!asked.signed_by.is_pinned());
    stands(&world, &source, &planted, "a key and a marker");
}

#[test]
fn planted_runs_cost_uploads_and_never_data() {
    let (source, world) = (crate::restore::example(), World::local());
    world.backup(&source);
    let packs: Vec<Key> = world
        .keys()
        .iter()
        .filter(|name| name.ends_with(".tar.zst"))
        .map(|name| key(name))
        .collect();
    assert!(!packs.is_empty());

    // Intents and heartbeats of runs that never were, of any time.
    for number in 0..300 {
        plant(&world, &key(&format!("data/runs/2031-01-01T00-00-00Z-{number:04x}")), b"");
        plant(&world, &key(&format!("data/runs/2031-01-01T00-00-00Z-0000.{number}")), b"\xff");
    }
    stands(&world, &source, &[], "intents");

    // Everything is said to be bad, or about to be deleted: it is all stored again.
    for (number, title) in ["seawall damage 1", "seawall tombstone 1"].iter().enumerate() {
        let named: Vec<Key> = world
            .keys()
            .iter()
            .filter(|name| name.ends_with(".tar.zst"))
            .map(|name| key(name))
            .collect();
        let text = seawall::repository::runs::record_text(title, named.iter());
        plant(&world, &key(&format!("data/runs/x{number}")), text.as_bytes());
        stands(&world, &source, &named, title);
    }
}

#[test]
fn a_record_that_cannot_be_read_stops_a_run_and_is_named() {
    let (source, world) = (crate::restore::example(), World::local());
    let honest = world.backup(&source).marker.snapshot;
    let record = key("data/runs/x");
    for text in [
        &b"seawall something 1\n"[..],
        b"seawall damage 1\nkey ../../etc/passwd\n",
        b"\xff\xfe",
        b"",
    ] {
        plant(&world, &record, text);
        let error = world.try_backup(&source).unwrap_err();
        assert!(format!("{error:?}").contains("data/runs/x"), "{error:?}");
        assert_eq!(latest(&world).id(), honest);
    }
    world.backend.delete(&record).unwrap();
    stands(&world, &source, &[], "after it was removed");
}

#[test]
fn the_catalog_of_another_repository_is_not_believed() {
    let (source, world) = (crate::restore::example(), World::local());
    world.backup(&source);
    let other = World::local();
    other.backup(&source);
    let (from, to): (&Path, &Path) =
        (&other.repository.state().catalog_path(), &world.repository.state().catalog_path());
    fs::remove_file(to).unwrap();
    fs::copy(from, to).unwrap();
    stands(&world, &source, &[], "another repository's catalog");
}
