//! Crashes anywhere: at every operation at the destination, with a catalog that is older than the
//! destination, and by SIGKILL at any moment.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use seawall::backup::{self, Context, Options, Report};
use seawall::check::{self, CheckLevel};
use seawall::host::state::StateFolder;
use seawall::host::{self, Writing};
use seawall::object::{Object, Sha256};
use seawall::repository::names;
use seawall::repository::pack;
use seawall::seafile::discover::{Environment, discover};
use seawall::time::Clock;
use seawall::{restore, verify};
use seawall_backends::{Backend, Key, MemoryBackend};
use seawall_test_servers::wait;

use crate::backup::stored_objects;
use crate::support::{Source, join, locked, open_to_write, run, tree};

mod kill;
mod older;
mod reading;
mod sweep;

/// A destination in memory, and the state folder of a host: all that outlives a process.
struct Stage {
    folder: tempfile::TempDir,
    memory: MemoryBackend,
    /// What a test took away from the destination: snapshots that name it are damaged.
    lost: Option<String>,
    /// Runs look at everything, and compact.
    full: bool,
    /// Only the run that dies is a full one.
    full_once: bool,
}

impl Stage {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            memory: MemoryBackend::new(),
            lost: None,
            full: false,
            full_once: false,
        }
    }

    /// Another of the same content.
    fn fork(&self) -> Self {
        let mut fork = Self::new();
        fork.lost.clone_from(&self.lost);
        (fork.full, fork.full_once) = (self.full, self.full_once);
        for (key, bytes) in self.bytes() {
            fork.memory.put_new(&Key::parse(&key).unwrap(), &bytes).unwrap();
        }
        if self.state_path().exists() {
            let (from, to) = (self.state_path(), fork.state_path());
            run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
        }
        fork
    }

    fn state_path(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn state(&self) -> StateFolder {
        StateFolder::open(&self.state_path()).unwrap()
    }

    /// The destination, as it is when nothing fails.
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.memory.clone())
    }

    /// Every stored byte.
    fn bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let keys = self.memory.list("").map(|entry| entry.unwrap().key);
        keys.map(|key| (key.to_string(), self.memory.get(&key, None).unwrap())).collect()
    }

    /// Makes or joins the repository, as `seawall init` does.
    fn init(&self, backend: &Arc<dyn Backend>) -> host::Result<()> {
        join(&self.state(), Arc::clone(backend)).map(drop)
    }

    fn repository(&self, backend: Arc<dyn Backend>) -> host::Result<Writing> {
        wait::step("a verb opens the repository");
        open_to_write(&self.state(), backend)
    }

    fn reader(&self) -> Writing {
        self.repository(self.backend()).unwrap()
    }

    fn catalog(&self) -> PathBuf {
        let id = self.reader().id().clone();
        self.state().repository(&id).unwrap().catalog_path()
    }

    /// A run of a new process: nothing is known but what is on disk and at the destination.
    fn backup(&self, backend: Arc<dyn Backend>, source: &Source) -> Result<Report, backup::Error> {
        let repository = self.repository(backend)?;
        let state = self.state();
        let lock = locked(&state);
        let context = Context {
            at: &repository,
            spool: &state.clean_spool(&lock)?,
            clock: &Clock::system(),
            host: "host.example",
            progress: &|_| {},
        };
        let options = Options {
            second_look: Duration::ZERO,
            attempts_after: vec![Duration::ZERO; 2],
            workers: 1,
            list: true,
            full: self.full,
            ..Options::default()
        };
        backup::run(context, &source.installation(), &options)
    }

    fn backup_well(&self, source: &Source) -> Report {
        self.backup(self.backend(), source).unwrap()
    }

    /// Every marker that there is holds, to the last byte.
    fn assert_good(&self, about: &str) {
        let options =
            check::Options { level: CheckLevel::Data, workers: 1, ..check::Options::default() };
        let mut report = check::run(&self.reader(), &options, &|_| {}).unwrap();
        let lost = self.lost.as_deref();
        report.problems.retain(|problem| Some(problem.key.as_str()) != lost);
        // Where no run got as far as a marker nothing is wrong, and nothing is good.
        let problems: Vec<_> = report.open_problems().collect();
        assert!(problems.is_empty(), "{about}: {problems:?}");
        assert_eq!(report.is_good(), report.snapshots > 0, "{about}");
    }

    /// How many packs hold each object's bytes.
    fn copies(&self) -> HashMap<Object, usize> {
        let mut copies = HashMap::new();
        for (key, bytes) in self.bytes() {
            if key.starts_with(names::BLOCKS) || key.starts_with(names::TREES) {
                for member in pack::read_contents(&bytes).unwrap().0.members {
                    if !member.name.damaged {
                        *copies.entry(member.name.object).or_default() += 1;
                    }
                }
            }
        }
        copies
    }
}

/// What a snapshot of a source has to hold: known from one that was restored, and verified.
struct Truth {
    objects: HashMap<Object, Vec<u8>>,
    databases: Vec<(String, Sha256)>,
    /// How many objects the source had lost.
    damage: usize,
}

impl Truth {
    fn of(stage: &Stage, report: &Report) -> Self {
        let (repository, folder) = (stage.reader(), tempfile::tempdir().unwrap());
        let target = folder.path().join("restored");
        let markers = repository.markers().unwrap();
        let options = restore::Options::new(target.clone());
        let restored =
            restore::run(&repository, markers.latest().unwrap(), &options, &|_| {}).unwrap();
        assert!(restored.lost.is_empty(), "{:?}", restored.lost);
        assert_eq!(markers.latest().unwrap().id(), report.marker.snapshot);
        let spool = folder.path().join("spool");
        fs::create_dir(&spool).unwrap();
        let options = verify::Options { second_look: Duration::ZERO, ..verify::Options::default() };
        let installation = discover(&target, &Environment::default()).unwrap();
        let seen = verify::run(&installation, &spool, &options, &|_| {}).unwrap();
        assert!(seen.is_good(), "{seen:?}");
        Self {
            objects: stored_objects(&repository, &report.marker),
            databases: databases(report),
            damage: report.manifest.source_damage.len(),
        }
    }

    /// The snapshot holds all of it.
    fn assert_held(&self, stage: &Stage, report: &Report, about: &str) {
        assert_eq!(report.marker.damage, 0, "{about}");
        assert_eq!(databases(report), self.databases, "{about}");
        let held = stored_objects(&stage.reader(), &report.marker);
        for (object, bytes) in &self.objects {
            assert_eq!(held.get(object), Some(bytes), "{about}: {object}");
        }
    }
}

fn databases(report: &Report) -> Vec<(String, Sha256)> {
    let databases = report.manifest.databases.iter();
    databases.map(|database| (database.role.clone(), database.sha256)).collect()
}

/// Nothing that was stored is gone or another.
fn assert_kept(before: &BTreeMap<String, Vec<u8>>, stage: &Stage, about: &str) {
    let after = stage.bytes();
    for (key, bytes) in before {
        assert!(after.get(key) == Some(bytes), "{about}: {key} was changed or deleted");
    }
}

/// What is below a folder that was restored, without the times of objects and databases, and without the notes,
/// which say when and how it was restored.
fn content(target: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = tree(target);
    tree.remove(Path::new(restore::NOTES));
    for (path, text) in &mut tree {
        if path.starts_with("seafile-data/storage") || path.extension() == Some("db".as_ref()) {
            let words = text.split(' ').filter(|word| !word.contains('.'));
            *text = words.collect::<Vec<_>>().join(" ");
        }
    }
    tree
}
