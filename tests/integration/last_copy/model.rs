//! Random libraries with random holes, against a model that knows what leads to what: it shares no code with the walk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use seawall::object::{Kind, Object, ObjectId, Store};
use seawall_test_servers::wait;
use sha1::Digest as _;

use super::*;
use crate::damage::object_path;
use crate::support::rounds;

/// No further libraries are made after so long, on a machine that is too busy for all of its libraries.
const LONGEST: Duration = Duration::from_secs(10);

/// How a random library is made, and what is broken.
#[derive(Debug, Clone)]
struct Recipe {
    /// The blocks of each file, by number.
    files: Vec<Vec<u8>>,
    /// What each folder holds: files, and folders that were made before it.
    folders: Vec<Vec<(bool, usize)>>,
    /// The root of each commit, its parent where that is not the commit before, and another one that it merges.
    commits: Vec<(usize, Option<usize>, Option<usize>)>,
    /// Objects to break, and whether they are torn instead of gone.
    holes: Vec<(usize, bool)>,
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let files = prop::collection::vec(prop::collection::vec(0u8..30, 1..5), 1..8);
    let entries = prop::collection::vec((any::<bool>(), 0usize..100), 0..5);
    let folders = prop::collection::vec(entries, 1..8);
    let before = || prop::option::of(0usize..100);
    let commits = prop::collection::vec((0usize..100, before(), before()), 1..7);
    let holes = prop::collection::vec((0usize..1000, any::<bool>()), 0..5);
    (files, folders, commits, holes).prop_map(|(files, folders, commits, holes)| Recipe {
        files,
        folders,
        commits,
        holes,
    })
}

/// A library that was made: each object's bytes, and what it leads to.
struct Made {
    library: String,
    objects: BTreeMap<Object, (Vec<u8>, Vec<Object>)>,
}

fn sha1(bytes: &[u8]) -> ObjectId {
    ObjectId::new(sha1::Sha1::digest(bytes).into())
}

impl Made {
    fn add(&mut self, kind: Kind, id: ObjectId, bytes: Vec<u8>, leads_to: Vec<Object>) -> Object {
        let object = Object::new(Store::Library(self.library.parse().unwrap()), kind, id);
        self.objects.insert(object, (bytes, leads_to));
        object
    }

    fn fs(&mut self, json: &serde_json::Value, leads_to: Vec<Object>) -> Object {
        let text = serde_json::to_vec(json).unwrap();
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(&text).unwrap();
        let bytes = out.finish().unwrap();
        self.add(Kind::Fs, sha1(&text), bytes, leads_to)
    }

    fn file(&mut self, numbers: &[u8]) -> Object {
        let contents = numbers.iter().map(|number| vec![*number; 5 + usize::from(*number)]);
        let contents: Vec<Vec<u8>> = contents.collect();
        let size: usize = contents.iter().map(Vec::len).sum();
        let blocks: Vec<Object> = contents
            .into_iter()
            .map(|bytes| self.add(Kind::Block, sha1(&bytes), bytes, Vec::new()))
            .collect();
        let ids: Vec<String> = blocks.iter().map(|block| block.id.to_string()).collect();
        let json = serde_json::json!({"block_ids": ids, "size": size, "type": 1, "version": 1});
        self.fs(&json, blocks)
    }

    /// A folder with some of the files and folders; its own name in it makes it another than all others.
    fn folder(
        &mut self,
        number: usize,
        entries: &[(bool, usize)],
        files: &[Object],
        folders: &[Object],
    ) -> Object {
        const FILE: u32 = 0o100_644;
        let mut children = vec![(files[number % files.len()], FILE)];
        for (is_file, which) in entries {
            children.push(match (is_file, folders.len()) {
                (false, known @ 1..) => (folders[which % known], 0o40000),
                _ => (files[which % files.len()], FILE),
            });
        }
        let dirents = children.iter().enumerate().map(|(at, (child, mode))| {
            let (id, name) = (child.id.to_string(), format!("{number}-{at}"));
            serde_json::json!({"id": id, "mode": mode, "mtime": 1, "name": name})
        });
        let dirents: Vec<_> = dirents.collect();
        let json = serde_json::json!({"dirents": dirents, "type": 3, "version": 1});
        self.fs(&json, children.into_iter().map(|(child, _)| child).collect())
    }

    fn commit(&mut self, number: u64, root: Object, parents: [Option<Object>; 2]) -> Object {
        let (creator, description) = ("0".repeat(40), format!("commit {number}"));
        let (ctime, root_id) = (1000 + number, root.id.to_string());
        let hashed = [
            root_id.as_bytes(),
            b"\0",
            creator.as_bytes(),
            b"\0",
            description.as_bytes(),
            b"\0",
            &ctime.to_be_bytes(),
        ];
        let id = sha1(&hashed.concat());
        let [parent, second] = parents.map(|commit| commit.map(|commit| commit.id.to_string()));
        let json = serde_json::json!({
            "commit_id": id.to_string(), "root_id": root_id, "repo_id": self.library, "creator": creator,
            "description": description, "ctime": ctime, "parent_id": parent,
            "second_parent_id": second, "version": 1,
        });
        let leads_to = std::iter::once(root).chain(parents.into_iter().flatten());
        let bytes = serde_json::to_vec(&json).unwrap();
        self.add(Kind::Commit, id, bytes, leads_to.collect())
    }

    /// Makes all of it; returns the head.
    fn make(&mut self, recipe: &Recipe) -> Object {
        let files = recipe.files.iter().map(|numbers| self.file(numbers));
        let files: Vec<Object> = files.collect();
        let mut folders: Vec<Object> = Vec::new();
        for (number, entries) in recipe.folders.iter().enumerate() {
            let folder = self.folder(number, entries, &files, &folders);
            folders.push(folder);
        }
        let mut commits: Vec<Object> = Vec::new();
        for (number, (root, parent, merged)) in recipe.commits.iter().enumerate() {
            let root = folders[root % folders.len()];
            let known = |which: &Option<usize>| {
                let which = which.filter(|_| !commits.is_empty())?;
                Some(commits[which % commits.len()])
            };
            let parents = [known(parent).or(commits.last().copied()), known(merged)];
            commits.push(self.commit(number as u64, root, parents));
        }
        *commits.last().unwrap()
    }

    /// What can be reached through sound objects, and the holes at its edge.
    fn reach(&self, broken: &BTreeSet<Object>, head: Object) -> [HashSet<Object>; 2] {
        let (mut there, mut holes) = (HashSet::new(), HashSet::new());
        let mut pending = vec![head];
        while let Some(object) = pending.pop() {
            if broken.contains(&object) {
                holes.insert(object);
            } else if there.insert(object) {
                pending.extend(&self.objects[&object].1);
            }
        }
        [there, holes]
    }

    fn lay_out(&self, source: &Source, broken: &BTreeMap<Object, bool>, head: &Object) {
        source.sql(&format!(
            "INSERT INTO Repo VALUES ('{0}'); INSERT INTO Branch VALUES ('master', '{0}', '{1}')",
            self.library, head.id
        ));
        for (object, (bytes, _)) in &self.objects {
            let path = object_path(source, object);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match broken.get(object) {
                None => fs::write(path, bytes).unwrap(),
                Some(true) => fs::write(path, &bytes[..bytes.len() - 1]).unwrap(),
                Some(false) => {}
            }
        }
    }
}

/// An installation with one whole library, to which random ones are added.
fn installation() -> Source {
    let source = Source::example();
    source.sql(&format!(
        "DELETE FROM RepoTrash; DELETE FROM VirtualRepo; DELETE FROM Repo WHERE repo_id != '{UNICODE}';
         DELETE FROM Branch WHERE repo_id != '{UNICODE}'"
    ));
    for kind in ["commits", "fs", "blocks"] {
        let folder = source.path.join("seafile-data/storage").join(kind);
        for store in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if store.file_name() != UNICODE {
                fs::remove_dir_all(store.path()).unwrap();
            }
        }
    }
    source
}

/// What has to be kept and named of one library.
struct Expected {
    seed: u8,
    recipe: Recipe,
    library: String,
    kept: HashSet<Object>,
    holes: HashSet<Object>,
    broken: HashSet<Object>,
}

impl Expected {
    /// Makes the library of a seed.
    fn of(seed: u8, source: &Source) -> Self {
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), random);
        let recipe = recipe().new_tree(&mut runner).unwrap().current();
        let library = format!("00000000-0000-4000-8000-0000000000{seed:02x}");
        let mut made = Made { library: library.clone(), objects: BTreeMap::new() };
        let head = made.make(&recipe);
        let all: Vec<Object> = made.objects.keys().copied().collect();
        let blocks = all.iter().filter(|object| object.kind == Kind::Block);
        let blocks: Vec<Object> = blocks.copied().collect();
        let broken: BTreeMap<Object, bool> = recipe
            .holes
            .iter()
            .map(|(at, is_torn)| {
                // Half of them are blocks: what a folder has lost hides what its files have.
                let from = [&blocks, &all][at % 2];
                (from[at / 2 % from.len()], *is_torn)
            })
            .collect();
        made.lay_out(source, &broken, &head);
        let broken: BTreeSet<Object> = broken.into_keys().collect();
        let [mut kept, holes] = made.reach(&broken, head);
        // Behind a commit everything is taken. Below a folder or a file no commits are.
        let has_lost = |kind| holes.iter().any(|hole| hole.kind == kind);
        let is_taken = |object: &Object| match object.kind {
            Kind::Commit => has_lost(Kind::Commit),
            Kind::Fs | Kind::Block => has_lost(Kind::Commit) || has_lost(Kind::Fs),
        };
        let behind = all.into_iter().filter(|object| !broken.contains(object));
        kept.extend(behind.filter(is_taken));
        Self { seed, recipe, library, kept, holes, broken: broken.into_iter().collect() }
    }

    fn assert(&self, report: &Report, stored: &HashSet<Object>) {
        let about = format!("seed {}: {:?}", self.seed, self.recipe);
        let known = library(report, &self.library);
        let damage = report.manifest.damage.iter();
        let damage = damage.filter(|damage| damage.library == known.id);
        let damage: Vec<Object> = damage.map(Damage::object).collect();
        let named: HashSet<Object> = damage.iter().copied().collect();
        assert_eq!(named, self.holes, "each hole is named: {about}");
        assert_eq!(damage.len(), named.len(), "and once: {about}");
        assert_eq!(known.closed, self.holes.is_empty(), "{about}");
        let lacking: Vec<_> = self.kept.difference(stored).collect();
        assert_eq!(lacking, [] as [&Object; 0], "{about}");
        assert!(stored.is_disjoint(&self.broken), "{about}");
    }
}

/// So many libraries lie in one installation.
const AT_ONCE: u8 = 25;

/// The same libraries on each run, one for each seed; a failure names the seed and how its library is made.
#[test]
fn random_libraries_with_random_holes() {
    let begun = Instant::now();
    let batches = u8::try_from(rounds(4, 10)).unwrap().min(10);
    for batch in 0..batches {
        if rounds(0, 1) == 0 && batch > 0 && begun.elapsed() > LONGEST {
            eprintln!("{} libraries", batch * AT_ONCE);
            break;
        }
        wait::step(&format!("batch {batch} of libraries"));
        let (source, world) = (installation(), World::local());
        let seeds = batch * AT_ONCE..(batch + 1) * AT_ONCE;
        let expected: Vec<_> = seeds.map(|seed| Expected::of(seed, &source)).collect();
        for _night in 0..2 {
            let report = world.backup(&source);
            let stored = stored(&world, &report);
            for expected in &expected {
                expected.assert(&report, &stored);
            }
        }
        assert_deep_check(&world);
    }
}
