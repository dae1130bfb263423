//! Things of absurd length: no more of them is asked for than what should be there can have.

use std::ops::Range;
use std::sync::Arc;

use seawall::check::{self, CheckLevel};
use seawall::repository::names;
use seawall_backends::{Backend, Entry, Key, MemoryBackend, Result};

use super::try_restore;
use crate::restore::latest;
use crate::support::World;

/// Says of one key that it is longer than any memory, and gives none of it but a beginning of the length
/// that was stored.
#[derive(Debug)]
struct Huge {
    inner: MemoryBackend,
    key: Key,
}

const LEN: u64 = 1 << 50;

impl Backend for Huge {
    fn put_new(&self, key: &Key, body: &[u8]) -> Result<()> {
        self.inner.put_new(key, body)
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        if *key == self.key {
            let end = range.as_ref().map_or(LEN, |range| range.end);
            assert!(end <= self.inner.stat(key)?.len, "{end} bytes of {key} are asked for");
        }
        self.inner.get(key, range)
    }

    fn stat(&self, key: &Key) -> Result<Entry> {
        let mut entry = self.inner.stat(key)?;
        if *key == self.key {
            entry.len = LEN;
        }
        Ok(entry)
    }

    fn list<'a>(&'a self, prefix: &str) -> Box<dyn Iterator<Item = Result<Entry>> + 'a> {
        Box::new(self.inner.list(prefix).map(|entry| {
            let mut entry = entry?;
            if entry.key == self.key {
                entry.len = LEN;
            }
            Ok(entry)
        }))
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.inner.delete(key)
    }
}

#[test]
fn nothing_huge_is_read() {
    let memory = MemoryBackend::new();
    let mut world = World::on(Arc::new(memory.clone()));
    let source = crate::restore::example();
    world.backup(&source);
    let snapshot = latest(&world);
    let record = Key::parse("data/runs/x").unwrap();
    memory.put_new(&record, b"seawall damage 1\n").unwrap();
    for name in world.keys() {
        let key = Key::parse(&name).unwrap();
        let huge: Arc<dyn Backend> = Arc::new(Huge { inner: memory.clone(), key: key.clone() });
        if world.try_through(huge).is_err() {
            assert_eq!(name, "seawall.json");
            continue;
        }
        assert_ne!(name, "seawall.json");
        let markers = world.repository.markers().unwrap();
        assert_eq!(markers.bad.len(), usize::from(name.starts_with("markers/")), "{name}");
        world.repository.published_keys().unwrap();
        let options = check::Options { level: CheckLevel::Data, ..check::Options::default() };
        let report = check::run(&world.repository, &options, &|_| {}).unwrap();
        let is_page = name == names::page().as_str();
        let is_named = !is_page && !name.starts_with("data/runs/") && !name.starts_with("keys/");
        let told = |key: &Key| report.problems.iter().any(|problem| problem.key == *key);
        assert_eq!(told(&key), is_named, "{name}: {:#?}", report.problems);
        let target = world.path("target");
        let _ = try_restore(&world, &snapshot, &target);
        let _ = std::fs::remove_dir_all(&target);
        if key == record {
            let error = world.try_backup(&source).unwrap_err();
            assert!(format!("{error:?}").contains("too long"), "{error:?}");
        }
    }
}
