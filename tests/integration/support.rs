//! What tests across modules share: installations to break, repositories to put them in.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use seawall::backup::{self, Context, Options, Report};
use seawall::host::state::{self, StateFolder};
use seawall::host::{self, Destination, Encryption, Host, Joining, Keys, Reading, Writing};
use seawall::repository::guard::WeakWrites;
use seawall::repository::host_key::HostKey;
use seawall::repository::note::VerifyingKey;
use seawall::seafile::discover::{Environment, Installation, discover};
use seawall::time::Clock;
use seawall_backends::{Backend, Entry, Key, LocalBackend};
use seawall_test_servers::wait;

/// A library of the example with files, folders and versions.
pub const DOCUMENTS: &str = "d2ff256a-37df-4218-93c6-4e72af48bab2";
/// A library of the example whose history was cleaned: what it has besides its head may be gone.
pub const CLEANED: &str = "b71a8f57-364b-48f4-b619-4e1f5bdb5cd4";

/// How many rounds a test takes: `ci`, or with `SEAWALL_LONG=<factor>` so many times `long`
/// (`tests/long.sh`).
pub fn rounds(ci: usize, long: usize) -> usize {
    let factor = std::env::var("SEAWALL_LONG").map_or(0, |text| text.parse().unwrap());
    if factor == 0 { ci } else { long * factor }
}

/// An installation of a real server, committed with seawall.
pub fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/haiwen")
}

/// The larger installation, of which the project keeps no copy: `SEAWALL_FIXTURES`, or
/// `shared/fixtures` beside the checkout. `None` only outside of CI.
pub fn small_archive() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let folder = std::env::var_os("SEAWALL_FIXTURES").map_or(beside, PathBuf::from);
    let archive = folder.join("haiwen-small.tar.zst");
    if archive.is_file() {
        return Some(archive);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{} is missing: put shared/ beside the checkout, or set SEAWALL_FIXTURES",
        archive.display()
    );
    eprintln!("NOT RUN with haiwen-small: {} is missing", archive.display());
    None
}

/// A folder with an installation that a test may do anything to.
pub struct Source {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Source {
    /// A copy of the example.
    pub fn example() -> Self {
        let folder = tempfile::tempdir().unwrap();
        run("cp", &["-a", example().to_str().unwrap(), folder.path().to_str().unwrap()]);
        let path = folder.path().join("haiwen");
        Self { _folder: folder, path }
    }

    /// The larger one, where it is to be had.
    pub fn small() -> Option<Self> {
        let archive = small_archive()?;
        let folder = tempfile::tempdir().unwrap();
        let folder_text = folder.path().to_str().unwrap();
        run("tar", &["--zstd", "-xf", archive.to_str().unwrap(), "-C", folder_text]);
        let path = folder.path().join("haiwen");
        Some(Self { _folder: folder, path })
    }

    pub fn installation(&self) -> Installation {
        discover(&self.path, &Environment::default()).unwrap()
    }

    /// Runs SQL in Seafile's own database.
    pub fn sql(&self, statements: &str) {
        let database =
            rusqlite::Connection::open(self.path.join("seafile-data/seafile.db")).unwrap();
        database.execute_batch(statements).unwrap();
    }

    /// One value of Seafile's own database.
    pub fn query(&self, statement: &str) -> String {
        let database =
            rusqlite::Connection::open(self.path.join("seafile-data/seafile.db")).unwrap();
        database.query_row(statement, [], |row| row.get(0)).unwrap()
    }

    /// Every file of a kind in a store, sorted.
    pub fn objects(&self, kind: &str, library: &str) -> Vec<PathBuf> {
        files_below(&self.path.join("seafile-data/storage").join(kind).join(library))
    }
}

/// Runs a program that must succeed; returns what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program} cannot be run ({error}); install it with: apt-get install {program}")
        });
    let output = wait::output_of(child, &format!("{program} {arguments:?}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The lock of a state folder. Another test's child process may hold a copy of an old one for a moment,
/// until it execs.
pub fn locked(state: &StateFolder) -> state::StateLock {
    let mut lock = None;
    wait::until("the state folder's lock is free", || {
        lock = state.lock().ok();
        lock.is_some()
    });
    lock.unwrap()
}

/// Every regular file below a folder, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// What is at each path below a folder: kind, permissions, time and bytes as one text.
pub fn tree(folder: &Path) -> std::collections::BTreeMap<PathBuf, String> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            let text = if metadata.is_dir() {
                folders.push(entry.path());
                format!("folder {mode:o}")
            } else if metadata.is_symlink() {
                format!("link to {}", fs::read_link(entry.path()).unwrap().display())
            } else {
                let hash = seawall::object::Sha256::of(&fs::read(entry.path()).unwrap());
                format!("file {mode:o} {}.{:09} {hash}", metadata.mtime(), metadata.mtime_nsec())
            };
            found.insert(entry.path().strip_prefix(folder).unwrap().to_owned(), text);
        }
    }
    found
}

/// A copy of the example, and a host that has backed it up for the first time.
pub fn backed_up() -> (Source, World, Report) {
    let (source, world) = (Source::example(), World::local());
    let report = world.backup(&source);
    (source, world, report)
}

/// Does something as a host that was given no keys to read.
fn as_host<T>(
    state: Option<&Path>,
    trusted: &[VerifyingKey],
    act: impl FnOnce(&Host<'_>) -> T,
) -> T {
    act(&Host { state, trusted, keys: &Keys::default(), tell: &|_| {} })
}

fn destination(backend: Arc<dyn Backend>) -> Destination {
    Destination::of_backend(backend, "test")
}

/// Opens a repository to read, on a machine that has nothing but trusted keys.
pub fn open_to_read(backend: Arc<dyn Backend>, trusted: &[VerifyingKey]) -> host::Result<Reading> {
    as_host(None, trusted, |host| host.read(&destination(backend)))
}

/// Opens a repository that the host with this state folder has joined.
pub fn open_to_write(state: &StateFolder, backend: Arc<dyn Backend>) -> host::Result<Writing> {
    let refused = WeakWrites::Refused;
    as_host(Some(state.path()), &[], |host| host.write(state, &destination(backend), refused))
}

/// Makes or joins a repository that is not encrypted, as `seawall init --unencrypted --anew` does.
pub fn join(state: &StateFolder, backend: Arc<dyn Backend>) -> host::Result<Writing> {
    state.make_host_key("host.example")?;
    let joining = Joining { weak: WeakWrites::Refused, encryption: Encryption::None, anew: true };
    let join = |host: &Host<'_>| host.join(state, &destination(backend), &joining);
    as_host(Some(state.path()), &[], join).map(|(writing, _)| writing)
}

/// A host with its state folder, and a repository that it joined.
pub struct World {
    folder: tempfile::TempDir,
    pub backend: Arc<dyn Backend>,
    pub repository: Writing,
    pub state: StateFolder,
    pub clock: Clock,
    pub options: Options,
}

impl World {
    /// A repository in a folder.
    pub fn local() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backend = LocalBackend::create(folder.path().join("repository")).unwrap();
        Self::at(folder, Arc::new(backend))
    }

    /// A repository on any backend.
    pub fn on(backend: Arc<dyn Backend>) -> Self {
        Self::at(tempfile::tempdir().unwrap(), backend)
    }

    fn at(folder: tempfile::TempDir, backend: Arc<dyn Backend>) -> Self {
        wait::step("make a repository");
        let clock = Clock::system();
        let state = StateFolder::open(&folder.path().join("state")).unwrap();
        let repository = join(&state, Arc::clone(&backend)).unwrap();
        let options = Options {
            second_look: Duration::ZERO,
            attempts_after: vec![Duration::ZERO; 2],
            // What is found by chance is no test's.
            samples: 0,
            ..Options::default()
        };
        Self { folder, backend, repository, state, clock, options }
    }

    /// The same host and local repository once more, in a folder of its own to break.
    pub fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["repository", "state"] {
            let (from, to) = (self.folder.path().join(name), folder.path());
            run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
        }
        let backend = LocalBackend::open(folder.path().join("repository")).unwrap();
        let state = StateFolder::open(&folder.path().join("state")).unwrap();
        let backend: Arc<dyn Backend> = Arc::new(backend);
        let repository = open_to_write(&state, Arc::clone(&backend)).unwrap();
        Self {
            folder,
            backend,
            repository,
            state,
            clock: self.clock.clone(),
            options: self.options.clone(),
        }
    }

    /// The folder of a local repository.
    pub fn repository_path(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// A path for what a test makes.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same repository seen through another backend.
    pub fn through(&mut self, backend: Arc<dyn Backend>) {
        self.try_through(backend).unwrap();
    }

    pub fn try_through(&mut self, backend: Arc<dyn Backend>) -> host::Result<()> {
        self.repository = open_to_write(&self.state, Arc::clone(&backend))?;
        self.backend = backend;
        Ok(())
    }

    /// The host's key.
    pub fn host_key(&self) -> &HostKey {
        self.repository.host_key()
    }

    pub fn try_backup(&self, source: &Source) -> Result<Report, backup::Error> {
        self.backup_of(&source.installation())
    }

    pub fn backup_of(&self, installation: &Installation) -> Result<Report, backup::Error> {
        self.backup_telling(installation, &|_| {})
    }

    /// A backup that tells what goes on: what a test does then falls between two steps of it.
    pub fn backup_telling(
        &self,
        installation: &Installation,
        progress: &dyn Fn(&str),
    ) -> Result<Report, backup::Error> {
        let lock = locked(&self.state);
        wait::step("a backup");
        let spool = self.state.clean_spool(&lock).unwrap();
        let context = Context {
            at: &self.repository,
            spool: &spool,
            clock: &self.clock,
            host: "host.example",
            progress,
        };
        backup::run(context, installation, &self.options)
    }

    pub fn backup(&self, source: &Source) -> Report {
        self.try_backup(source).unwrap()
    }

    /// Every key of the repository, sorted.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> =
            self.backend.list("").map(|entry| entry.unwrap().key.to_string()).collect();
        keys.sort();
        keys
    }
}

/// A backend that tells of each put that succeeded: what a test does then falls between two steps of
/// a run.
pub struct Told {
    inner: Arc<dyn Backend>,
    tell: Box<dyn Fn(&Key) + Send + Sync>,
}

impl Told {
    pub fn new(inner: impl Backend + 'static, tell: impl Fn(&Key) + Send + Sync + 'static) -> Self {
        Self { inner: Arc::new(inner), tell: Box::new(tell) }
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

impl Backend for Told {
    fn put_new(&self, key: &Key, body: &[u8]) -> seawall_backends::Result<()> {
        self.inner.put_new(key, body)?;
        (self.tell)(key);
        Ok(())
    }

    fn get(
        &self,
        key: &Key,
        range: Option<std::ops::Range<u64>>,
    ) -> seawall_backends::Result<Vec<u8>> {
        self.inner.get(key, range)
    }

    fn stat(&self, key: &Key) -> seawall_backends::Result<Entry> {
        self.inner.stat(key)
    }

    fn list<'a>(
        &'a self,
        prefix: &str,
    ) -> Box<dyn Iterator<Item = seawall_backends::Result<Entry>> + 'a> {
        self.inner.list(prefix)
    }

    fn delete(&self, key: &Key) -> seawall_backends::Result<()> {
        self.inner.delete(key)
    }
}
