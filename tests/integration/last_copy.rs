//! What the source lost may hide what is still there: a backup may be the last copy of it.

mod commits;
mod cut_off;
mod files;
mod index;
mod model;
mod rules;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use seawall::backup::Report;
use seawall::object::{Kind, Object};
use seawall::repository::manifest::{Damage, Library};
use seawall::seafile::check;
use seawall::seafile::fs::FsObject;

use crate::backup::stored_objects;
use crate::restore::latest;
use crate::support::{Source, World};

const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";
const TRASH: &str = "c07b0565-e6ea-4a5d-9d4b-d5219d9b014b";
const UNICODE: &str = "830ac5d7-2294-4f9c-ae5f-81500eb54e68";
const PROJECTS: &str = "4dd8df17-3a9d-4e43-ae3a-c510e039be4b";

/// Every object of a store that is what its name says, by listing.
fn sound(source: &Source, library: &str) -> HashSet<Object> {
    let kinds = ["commits", "fs", "blocks"].into_iter();
    let has_any = |kind: &&str| {
        let storage = source.path.join("seafile-data/storage");
        storage.join(kind).join(library).is_dir()
    };
    let files = kinds.filter(has_any).flat_map(|kind| source.objects(kind, library));
    let object = |file: &std::path::PathBuf| {
        let inside = file.strip_prefix(&source.path).unwrap().to_str().unwrap();
        Object::from_path(inside).unwrap()
    };
    let is_sound = |file: &std::path::PathBuf| {
        let bytes = fs::read(file).unwrap();
        check::check(&object(file), &bytes).is_ok()
    };
    files.filter(is_sound).map(|file| object(&file)).collect()
}

fn stored(world: &World, report: &Report) -> HashSet<Object> {
    let objects = stored_objects(&world.repository, &report.marker);
    objects.into_keys().collect()
}

fn library<'r>(report: &'r Report, id: &str) -> &'r Library {
    report.manifest.library(id.parse().unwrap()).unwrap()
}

fn damaged(damage: &[Damage]) -> HashSet<Object> {
    damage.iter().map(Damage::object).collect()
}

fn zeros(path: &Path) {
    let len = fs::metadata(path).unwrap().len();
    fs::remove_file(path).unwrap();
    fs::write(path, vec![0; usize::try_from(len).unwrap()]).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn removed(path: &Path) {
    fs::remove_file(path).unwrap();
}

/// A file of the example with three blocks.
fn three_blocks(source: &Source) -> (Object, Vec<Object>) {
    for file in source.objects("fs", PHOTOS) {
        let inside = file.strip_prefix(&source.path).unwrap().to_str().unwrap();
        let object = Object::from_path(inside).unwrap();
        let bytes = fs::read(&file).unwrap();
        if let Ok(check::ObjectContent::Fs(FsObject::File(content))) = check::check(&object, &bytes)
            && content.blocks.len() == 3
        {
            let block = |id| Object::new(object.store, Kind::Block, id);
            return (object, content.blocks.into_iter().map(block).collect());
        }
    }
    panic!("no file with three blocks")
}

/// The repository's own walk finds what the newest manifest says, and nothing else.
fn assert_deep_check(world: &World) {
    let options = seawall::check::Options {
        level: seawall::check::CheckLevel::Deep,
        snapshot: Some("latest".to_owned()),
        ..seawall::check::Options::default()
    };
    let report = seawall::check::run(&world.repository, &options, &|_| {}).unwrap();
    assert!(report.is_good(), "{:?}", report.problems);
}
