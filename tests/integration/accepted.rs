//! Damage that the administrator accepted, at the level of the library: identity, occurrence, end
//! (docs/design.md, "Accepted damage").

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use seawall::backup::Report;
use seawall::damage::{self, Selection};
use seawall::host::acceptances::Acceptances;
use seawall::repository::manifest::Acceptance;
use seawall::time::{Clock, Timestamp};
use seawall_backends::{MemoryBackend, Operation, RecordingBackend};

use crate::support::{DOCUMENTS, Source, World};

const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";
const UNICODE: &str = "830ac5d7-2294-4f9c-ae5f-81500eb54e68";

/// The largest blocks of a library, that its newest state surely needs.
fn block(source: &Source, library: &str) -> PathBuf {
    let blocks = source.objects("blocks", library).into_iter();
    let largest = blocks.max_by_key(|path| fs::metadata(path).unwrap().len());
    largest.unwrap()
}

fn accept_all(world: &mut World, report: &Report, until: Option<&str>) {
    let mut accepted = Acceptances::default();
    let acceptance = Acceptance {
        since: world.clock.now(),
        until: until.map(|day| day.parse().unwrap()),
        note: None,
    };
    let change =
        damage::accept(&report.manifest, &mut accepted, &Selection::All, &acceptance).unwrap();
    assert!(!change.objects.is_empty());
    world.options.accepted = Some(accepted);
}

/// (damage, accepted, new, whether the report has to be read)
fn said(report: &Report) -> (u64, u64, u64, bool) {
    let marker = &report.marker;
    (marker.damage, marker.accepted, report.new_damage, report.needs_reading())
}

#[test]
fn accepted_damage_may_get_worse_and_ends_when_it_is_mended() {
    let (source, mut world) = (Source::example(), World::local());
    let path = block(&source, PHOTOS);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let first = world.backup(&source);
    assert_eq!(said(&first), (1, 0, 1, true));
    accept_all(&mut world, &first, None);
    assert_eq!(said(&world.backup(&source)), (1, 1, 0, false));
    // Another trouble with the same object.
    let mut torn = bytes.clone();
    torn[0] ^= 1;
    fs::write(&path, &torn).unwrap();
    let worse = world.backup(&source);
    assert_eq!(worse.manifest.damage[0].reason, "wrong-id");
    assert_eq!(said(&worse), (1, 1, 0, false));
    fs::write(&path, &bytes).unwrap();
    assert_eq!(said(&world.backup(&source)), (0, 0, 0, false));
}

#[test]
fn what_was_mended_and_breaks_again_is_new() {
    let (source, mut world) = (Source::example(), World::local());
    let row = source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{PHOTOS}'"));
    let lose = || source.sql(&format!("DELETE FROM Branch WHERE repo_id = '{PHOTOS}'"));
    lose();
    let first = world.backup(&source);
    accept_all(&mut world, &first, None);
    assert_eq!(said(&world.backup(&source)), (1, 1, 0, false));
    source.sql(&format!("INSERT INTO Branch VALUES ('master', '{PHOTOS}', '{row}')"));
    assert_eq!(said(&world.backup(&source)), (0, 0, 0, false));
    lose();
    assert_eq!(said(&world.backup(&source)), (1, 0, 1, true));
}

#[test]
fn an_acceptance_ends_with_its_last_day() {
    let (source, mut world) = (Source::example(), World::local());
    let day = |text: &str| -> Clock {
        let time = text.parse::<Timestamp>().unwrap().seconds();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(time).unwrap());
        Clock::new(move || time)
    };
    fs::remove_file(block(&source, PHOTOS)).unwrap();
    world.clock = day("2031-05-01T10:00:00Z");
    let first = world.backup(&source);
    accept_all(&mut world, &first, Some("2031-05-03"));
    world.clock = day("2031-05-03T23:59:59Z");
    let accepted = world.backup(&source);
    assert_eq!(said(&accepted), (1, 1, 0, false));
    assert!(accepted.marker.to_text().contains("\ndamage 1\naccepted 1\n"));
    world.clock = day("2031-05-04T00:00:00Z");
    assert_eq!(said(&world.backup(&source)), (1, 0, 0, true), "known, and it counts again");
}

#[test]
fn without_a_word_of_this_host_the_signed_one_holds() {
    let (source, mut world) = (Source::example(), World::local());
    fs::remove_file(block(&source, PHOTOS)).unwrap();
    let first = world.backup(&source);
    accept_all(&mut world, &first, None);
    world.backup(&source);
    world.options.accepted = None;
    for _ in 0..2 {
        assert_eq!(said(&world.backup(&source)), (1, 1, 0, false));
    }
    // Nothing accepted is a word too.
    world.options.accepted = Some(Acceptances::default());
    assert_eq!(said(&world.backup(&source)), (1, 0, 0, true));
}

#[test]
fn one_word_holds_for_every_library_and_in_the_trash() {
    let (source, mut world) = (Source::example(), World::local());
    for block in source.objects("blocks", DOCUMENTS) {
        fs::remove_file(block).unwrap();
    }
    let first = world.backup(&source);
    let libraries: std::collections::BTreeSet<_> =
        first.manifest.damage.iter().map(|damage| damage.library).collect();
    assert!(libraries.len() > 1, "the shared folder has it too");
    accept_all(&mut world, &first, None);
    let second = world.backup(&source);
    assert_eq!((second.marker.damage, second.new_damage), (second.marker.accepted, 0));
    // A shared folder more, and the origin in the trash.
    let virtual_library = source.query("SELECT repo_id FROM VirtualRepo");
    let copy = "11111111-2222-4333-8444-555555555555";
    source.sql(&format!(
        "INSERT INTO Repo VALUES ('{copy}');
         INSERT INTO Branch SELECT 'master', '{copy}', commit_id FROM Branch WHERE repo_id = (SELECT repo_id FROM VirtualRepo LIMIT 1);
         INSERT INTO VirtualRepo SELECT '{copy}', origin_repo, path, base_commit FROM VirtualRepo LIMIT 1;"
    ));
    let commits = source.path.join("seafile-data/storage/commits");
    crate::support::run(
        "cp",
        &[
            "-a",
            commits.join(virtual_library).to_str().unwrap(),
            commits.join(copy).to_str().unwrap(),
        ],
    );
    let third = world.backup(&source);
    let of_copy = third.manifest.damage.iter();
    assert!(of_copy.clone().any(|damage| damage.library.to_string() == copy));
    assert_eq!((third.new_damage, third.needs_reading()), (0, false));
    source.sql(&format!(
        "INSERT INTO RepoTrash SELECT '{DOCUMENTS}', 'x', commit_id, 'a', 0, -1, 1 FROM Branch WHERE repo_id = '{DOCUMENTS}';
         DELETE FROM Repo WHERE repo_id = '{DOCUMENTS}'; DELETE FROM Branch WHERE repo_id = '{DOCUMENTS}';"
    ));
    let trashed = world.backup(&source);
    let blocks = trashed.manifest.damage.iter().filter(|damage| !damage.id.is_empty());
    assert!(blocks.clone().count() > 0);
    assert!(blocks.clone().all(|damage| damage.accepted.is_some()));
}

/// The head's folder of a library, which the repository holds.
fn head_folder(source: &Source, library: &str) -> PathBuf {
    let storage = source.path.join("seafile-data/storage");
    let id = source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{library}'"));
    let commit = storage.join("commits").join(library).join(&id[..2]).join(&id[2..]);
    let commit: serde_json::Value = serde_json::from_slice(&fs::read(commit).unwrap()).unwrap();
    let root = commit["root_id"].as_str().unwrap();
    storage.join("fs").join(library).join(&root[..2]).join(&root[2..])
}

#[test]
fn source_damage_stays_until_it_is_mended_and_can_be_accepted() {
    let (source, mut world) = (Source::example(), World::local());
    world.backup(&source);
    let folder = head_folder(&source, UNICODE);
    let bytes = fs::read(&folder).unwrap();
    fs::remove_file(&folder).unwrap();
    // Nothing counts as closed, so the walk comes by.
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    let first = world.backup(&source);
    assert_eq!((first.new_source_damage, first.needs_reading()), (1, true));
    // It is still bad the next night, and that is said, but it is no news.
    let second = world.backup(&source);
    assert_eq!(second.manifest.source_damage.len(), 1);
    assert_eq!((second.new_source_damage, second.needs_reading()), (0, true));
    assert!(second.visited < 20, "only what is above it is looked at: {}", second.visited);
    assert!(second.manifest.libraries.iter().all(|library| library.closed));
    assert_eq!(second.manifest.source_damage[0].paths, ["/"]);
    accept_all(&mut world, &second, None);
    assert_eq!(said(&world.backup(&source)), (0, 0, 0, false));
    // When the repository loses it too, that is another matter.
    let bad = world.repository_path().join("data/trees");
    fs::remove_dir_all(bad).unwrap();
    world.options.list = true;
    let lost = world.backup(&source);
    let folders = lost.manifest.damage.iter().filter(|damage| damage.accepted.is_none());
    assert!(folders.count() >= 1, "{:#?}", lost.manifest.damage);
    assert!(lost.new_damage >= 1 && lost.marker.accepted == 0);
    fs::write(&folder, bytes).unwrap();
    let mended = world.backup(&source);
    assert_eq!((mended.marker.damage, mended.manifest.source_damage.len()), (0, 0));
}

#[test]
fn history_that_the_collector_took_is_no_source_damage() {
    let (source, world) = (Source::example(), World::local());
    world.backup(&source);
    let newest = source.query(&format!("SELECT commit_id FROM Branch WHERE repo_id = '{UNICODE}'"));
    let commits = source.objects("commits", UNICODE);
    let json = |path: &PathBuf| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let oldest = commits.iter().map(json).min_by_key(|commit| commit["ctime"].as_i64()).unwrap();
    let newest =
        commits.iter().map(json).find(|commit| commit["commit_id"] == newest.as_str()).unwrap();
    source.sql(&format!(
        "INSERT OR REPLACE INTO RepoValidSince VALUES ('{UNICODE}', {})",
        newest["ctime"]
    ));
    let id = oldest["commit_id"].as_str().unwrap();
    let path = source.path.join("seafile-data/storage/commits").join(UNICODE);
    fs::remove_file(path.join(&id[..2]).join(&id[2..])).unwrap();
    fs::remove_file(world.repository.state().catalog_path()).unwrap();
    let report = world.backup(&source);
    assert_eq!(report.manifest.source_damage, [], "{:#?}", report.manifest.source_damage);
    assert!(!report.needs_reading());
}

#[test]
fn known_damage_costs_no_dump_and_no_second_attempt() {
    let source = Source::example();
    let recording = Arc::new(RecordingBackend::new(MemoryBackend::default()));
    let world = World::on(recording.clone());
    fs::remove_file(block(&source, PHOTOS)).unwrap();
    source.sql(&format!("DELETE FROM Branch WHERE repo_id = '{UNICODE}'"));
    world.backup(&source);
    recording.take();
    let second = world.backup(&source);
    assert_eq!(said(&second), (2, 0, 0, true));
    let snapshot = second.marker.snapshot;
    let puts: Vec<String> = recording
        .operations()
        .into_iter()
        .filter_map(|operation| match operation {
            Operation::Put(key, _) => Some(key.to_string()),
            _ => None,
        })
        .collect();
    let expected = [
        format!("data/runs/{snapshot}"),
        format!("data/manifests/{snapshot}.json.zst"),
        format!("data/lists/{snapshot}.sha256"),
        format!("markers/{snapshot}"),
    ];
    assert_eq!(puts, expected);
}
