//! Files of which a block is lost.

use std::fs;

use seawall::object::Kind;

use super::*;
use crate::damage::{head, object_path, parent};
use crate::support::DOCUMENTS;

#[test]
fn blocks_behind_one_that_is_missing_are_stored_or_named() {
    for (missing, torn) in [(vec![0], vec![]), (vec![0, 2], vec![]), (vec![1], vec![2])] {
        let (source, world) = (Source::example(), World::local());
        let (_, blocks) = three_blocks(&source);
        for at in &missing {
            removed(&object_path(&source, &blocks[*at]));
        }
        for at in &torn {
            cut(&object_path(&source, &blocks[*at]));
        }
        let report = world.backup(&source);
        let lost = missing.iter().chain(&torn).map(|at| blocks[*at]);
        let lost: HashSet<Object> = lost.collect();
        assert_eq!(damaged(&report.manifest.damage), lost);
        assert_eq!(report.marker.damage, lost.len() as u64);
        let kept = stored(&world, &report);
        for block in &blocks {
            assert_eq!(kept.contains(block), !lost.contains(block), "{block}");
        }
    }
}

#[test]
fn a_file_is_not_lost_where_only_a_block_of_it_is() {
    for break_it in [cut, removed, zeros] {
        let (source, world) = (Source::example(), World::local());
        let (file, blocks) = three_blocks(&source);
        break_it(&object_path(&source, &blocks[1]));
        for _ in 0..2 {
            let report = world.backup(&source);
            assert_eq!(damaged(&report.manifest.damage), [blocks[1]].into());
            assert_eq!((report.marker.damage, library(&report, PHOTOS).damage), (1, 1));
            assert!(stored(&world, &report).contains(&file));
        }
    }
}

/// Takes away the shared folder of the library.
const ALONE: &str = "DELETE FROM VirtualRepo; DELETE FROM Repo WHERE repo_id = '4dd8df17-3a9d-4e43-ae3a-c510e039be4b';
     DELETE FROM Branch WHERE repo_id = '4dd8df17-3a9d-4e43-ae3a-c510e039be4b';";

/// History before `valid-since` may be collected, so that a block of it may also rot.
#[test]
fn a_bad_block_that_only_optional_history_needs_is_no_damage() {
    let (source, mut world) = (Source::example(), World::local());
    let head_time = |source: &Source| {
        let bytes = fs::read(object_path(source, &head(source, DOCUMENTS))).unwrap();
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["ctime"].clone()
    };
    source.sql(&format!(
        "{ALONE} INSERT INTO RepoValidSince VALUES ('{DOCUMENTS}', {})",
        head_time(&source)
    ));
    // What the head needs, told by a backup of an installation without history.
    let needed = {
        let world = World::local();
        let source = Source::example();
        source.sql(&format!(
            "{ALONE} INSERT INTO RepoValidSince VALUES ('{DOCUMENTS}', {})",
            head_time(&source)
        ));
        let gone = parent(&source, &head(&source, DOCUMENTS));
        removed(&object_path(&source, &gone));
        let report = world.backup(&source);
        assert_eq!(report.marker.damage, 0, "{:?}", report.manifest.damage);
        stored(&world, &report)
    };
    let block = sound(&source, DOCUMENTS).into_iter();
    let block = block
        .filter(|object| object.kind == Kind::Block && !needed.contains(object))
        .min()
        .unwrap();
    let path = object_path(&source, &block);
    let good = fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[0] ^= 1;
    for bad in [flipped, good[..good.len() - 1].to_vec()] {
        fs::remove_file(&path).unwrap();
        fs::write(&path, bad).unwrap();
        let world = World::local();
        let report = world.backup(&source);
        assert_eq!(report.manifest.damage, [], "{block}");
        assert!(library(&report, DOCUMENTS).history_incomplete > 0);
        assert!(!report.needs_reading());
        assert!(!world.backup(&source).needs_reading());
    }
    // Also not where it rots after it was stored.
    fs::remove_file(&path).unwrap();
    fs::write(&path, &good).unwrap();
    world.backup(&source);
    let mut flipped = good;
    flipped[0] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, flipped).unwrap();
    world.options.full = true;
    world.options.verify_source = Some("1/1=read".parse().unwrap());
    assert_eq!(world.backup(&source).manifest.source_damage, []);
}
