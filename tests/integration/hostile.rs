//! Hostile destinations and hostile repositories: nothing planted is believed, nothing huge is read,
//! and nothing outside of a restore's target is touched.

mod huge;
mod planted;
mod restored;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seawall::repository::manifest::Manifest;
use seawall::repository::marker::{Marker, Named};
use seawall::repository::sums::Sums;
use seawall::repository::{Snapshot, index, names, note};
use seawall::restore::{self, Error, Options, Report};
use seawall_backends::Key;

use seawall::object::Sha256;

use crate::restore::latest;
use crate::support::{World, tree};

/// Puts what nobody who follows the rules would put; replaces what is there.
fn plant(world: &World, key: &Key, bytes: &[u8]) {
    world.backend.delete(key).unwrap();
    world.backend.put_new(key, bytes).unwrap();
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// Signs a marker with the host's own key, and puts it under its name.
fn sign(world: &World, marker: &Marker) {
    let note = note::sign(&marker.to_text(), world.host_key().signing()).unwrap();
    plant(world, &names::marker(marker.snapshot), note.as_bytes());
}

/// Changes the newest manifest, and signs all that follows from it.
fn with_manifest(world: &World, change: impl FnOnce(&mut Manifest)) {
    let mut marker = latest(world).marker;
    let mut manifest = index::read_manifest(&world.repository, &marker).unwrap();
    change(&mut manifest);
    let seal = world.repository.seal();
    let stored = manifest.to_bytes().unwrap();
    let manifest_key = names::manifest(marker.snapshot, seal);
    plant(world, &manifest_key, &stored);
    let mut entries = vec![(Sha256::of(&stored), manifest_key)];
    let parts: BTreeMap<Key, Sha256> =
        manifest.parts().map(|part| (part.key.clone(), part.sha256)).collect();
    entries.extend(parts.into_iter().map(|(key, sha256)| (sha256, key)));
    let sums = Sums::new(entries).unwrap().to_bytes();
    let sums_key = names::sums(marker.snapshot);
    plant(world, &sums_key, &sums);
    marker.sums = Named { sha256: Sha256::of(&sums), size: sums.len() as u64, key: sums_key };
    sign(world, &marker);
}

/// A folder beside a restore's target that must stay as it is.
struct Canary {
    path: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

impl Canary {
    fn beside(world: &World) -> Self {
        let path = world.path("canary");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("file"), "untouched").unwrap();
        let before = tree(&path);
        Self { path, before }
    }

    fn is_untouched(&self) -> bool {
        tree(&self.path) == self.before
    }
}

fn try_restore(world: &World, snapshot: &Snapshot, target: &Path) -> Result<Report, Error> {
    let options = Options::new(target.to_owned());
    restore::run(&world.repository, snapshot, &options, &|_| {})
}
