//! The whole cycle by seawall and by what a user would take instead, in one run: first backup, nothing changed, 1 % changed,
//! restore. `cargo bench --bench peers [-- --objects N] [--work FOLDER] [--only NAME,NAME]`.
//!
//! `--work` says where source, destinations and restored files lie: a folder in memory (`/dev/shm`) tells what the programs cost, one
//! on a disk what a user sees. Programs that are not installed are left out, which is said (`apt-get install rsync restic borgbackup time`,
//! `tests/servers.sh` for rclone, `cargo install rustic-rs`). Results and how to read them: docs/benchmarks.md.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a program that measures, and stops at what it does not expect"
)]

#[path = "support/synthetic.rs"]
mod synthetic;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Files of 12 KiB in the mean: most objects are small, as on real servers.
const MEAN_LEN: usize = 12 * 1024;
const LIBRARIES: usize = 20;

/// What one command took.
#[derive(Clone, Copy, Default)]
struct Took {
    seconds: f64,
    cpu: f64,
    /// Peak memory in MB.
    memory: f64,
}

/// A program that backs up, and what it took for each step.
struct Peer {
    name: &'static str,
    program: PathBuf,
    folder: PathBuf,
    steps: Vec<Took>,
    /// Files and bytes at the destination at the end.
    stored: (u64, u64),
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|word| word == name)?;
        Some(arguments[at + 1].clone())
    };
    let objects: usize = option("--objects").map_or(220_000, |count| count.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let work = option("--work").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let work = tempfile::tempdir_in(work).unwrap();
    let source = source(work.path(), objects);
    let (files, bytes) = weigh(&source);
    println!("source: {files} files, {} MB", bytes / 1_000_000);
    let only = option("--only");
    let all = ["seawall", "rsync", "restic", "borg", "rclone", "rustic"];
    // In the order that was asked for: some disks are faster for who comes first.
    let names: Vec<&'static str> = match &only {
        None => all.to_vec(),
        Some(only) => {
            let known = |word: &str| all.into_iter().find(|name| *name == word);
            only.split(',').filter_map(known).collect()
        }
    };
    let mut peers: Vec<Peer> =
        names.into_iter().filter_map(|name| Peer::find(name, work.path())).collect();
    for peer in &peers {
        peer.init();
    }
    warm(&source);
    for step in ["first backup", "nothing changed", "1 % changed"] {
        if step == "1 % changed" {
            synthetic::change(&source, 100, MEAN_LEN, 11);
            warm(&source);
        }
        for peer in &mut peers {
            let took = peer.back_up(&source);
            println!("{step}, {}: {:.2} s", peer.name, took.seconds);
            peer.steps.push(took);
        }
    }
    for peer in &mut peers {
        peer.stored = weigh(&peer.folder.join("stored"));
        let target = work.path().join("restored");
        let took = peer.restore(&target, &source);
        println!("restore, {}: {:.2} s", peer.name, took.seconds);
        peer.steps.push(took);
        std::fs::remove_dir_all(&target).unwrap();
    }
    let copied = work.path().join("copied");
    let copy = timed(Command::new("cp").arg("-a").arg(&source).arg(&copied));
    table(&peers, copy);
}

/// An installation with so many objects.
fn source(work: &Path, objects: usize) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut copy = Command::new("cp");
    timed(copy.arg("-a").arg(top.join("examples/haiwen")).arg(work));
    let path = work.join("haiwen");
    let size = synthetic::Size {
        libraries: LIBRARIES,
        // Two objects a file.
        files: objects / LIBRARIES / 2,
        folder: 100,
        mean_len: MEAN_LEN,
        blocks: 0,
        commits: 0,
    };
    synthetic::grow(&path, size, 7);
    // As many as a small server has.
    for (folder, count, len) in
        [("seahub-data/avatars", 5_000, 6_000), ("seafile-server-11.0.13", 8_000, 9_000)]
    {
        synthetic::files(&path.join(folder), count, len);
    }
    path
}

impl Peer {
    fn find(name: &'static str, work: &Path) -> Option<Self> {
        let program = match name {
            "seawall" => PathBuf::from(env!("CARGO_BIN_EXE_seawall")),
            name => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let servers = concat!(env!("CARGO_MANIFEST_DIR"), "/target/servers/bin");
                let folders = std::env::split_paths(&path).chain([PathBuf::from(servers)]);
                let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
                if found.is_none() {
                    println!("{name} is not installed, and left out");
                }
                found?
            }
        };
        let folder = work.join(name);
        std::fs::create_dir(&folder).unwrap();
        Some(Self { name, program, folder, steps: Vec::new(), stored: (0, 0) })
    }

    fn stored(&self) -> PathBuf {
        self.folder.join("stored")
    }

    /// The program, with all of its own below its own folder.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let (stored, cache) = (self.stored(), self.folder.join("cache"));
        let stored = stored.to_str().unwrap();
        match self.name {
            "seawall" => {
                command.args(["-q", "-r", stored, "--state-dir"]).arg(self.folder.join("state"));
            }
            "restic" => {
                command.args(["-r", stored, "--quiet", "--cache-dir"]).arg(&cache);
                command.env("RESTIC_PASSWORD", "benchmark");
            }
            "rustic" => {
                command
                    .args(["-r", stored, "--log-level", "error", "--no-progress", "--cache-dir"])
                    .arg(&cache);
                command.env("RUSTIC_PASSWORD", "benchmark");
            }
            "borg" => {
                command.env("BORG_BASE_DIR", &cache).env("BORG_REPO", stored);
                command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
            }
            "rclone" => {
                command.args(["--config", "/dev/null", "--links", "--quiet"]);
            }
            _ => {}
        }
        command.args(arguments);
        command
    }

    fn init(&self) {
        let arguments: &[&str] = match self.name {
            "seawall" => &["init", "--unencrypted"],
            "restic" | "rustic" => &["init"],
            "borg" => &["init", "--encryption", "none"],
            _ => return std::fs::create_dir(self.stored()).unwrap(),
        };
        timed(&mut self.command(arguments));
    }

    fn back_up(&self, source: &Path) -> Took {
        let from = source.to_str().unwrap();
        let slash = format!("{from}/");
        let stored = self.stored();
        let stored = stored.to_str().unwrap();
        let number = format!("::{}", self.steps.len());
        let mut command = match self.name {
            "rsync" => self.command(&["-a", &slash, stored]),
            "rclone" => self.command(&["copy", from, stored]),
            "borg" => self.command(&["create", &number, from]),
            _ => self.command(&["backup", from]),
        };
        timed(&mut command)
    }

    /// What was restored has as many files as the source.
    fn restore(&self, target: &Path, source: &Path) -> Took {
        let to = target.to_str().unwrap();
        let stored = self.stored();
        let stored = stored.to_str().unwrap();
        let slash = format!("{stored}/");
        let last = format!("::{}", self.steps.len() - 1);
        let mut command = match self.name {
            "seawall" | "restic" => self.command(&["restore", "latest", "--target", to]),
            "rsync" => self.command(&["-a", &slash, to]),
            "rclone" => self.command(&["copy", stored, to]),
            "rustic" => self.command(&["restore", "latest", to]),
            _ => {
                std::fs::create_dir(target).unwrap();
                let mut command = self.command(&["extract", &last]);
                command.current_dir(target);
                command
            }
        };
        let took = timed(&mut command);
        let (there, restored) = (weigh(source).0, weigh(target).0);
        // A restore by seawall has notes, and no journals of SQLite.
        assert!(restored + 10 > there, "{}: {restored} of {there} files", self.name);
        took
    }
}

/// Files below a folder, and their bytes.
fn weigh(folder: &Path) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                files += 1;
                bytes += metadata.len();
            }
        }
    }
    (files, bytes)
}

/// Runs a command that has to succeed.
fn timed(command: &mut Command) -> Took {
    let mut timer = Command::new("time");
    timer.args(["--format", "%e %U %S %M"]).arg(command.get_program());
    timer.args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        timer.env(name, value.unwrap());
    }
    if let Some(folder) = command.get_current_dir() {
        timer.current_dir(folder);
    }
    let output = timer.output().expect("apt-get install time");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    let numbers: Vec<f64> =
        said.lines().last().unwrap().split(' ').map(|word| word.parse().unwrap()).collect();
    Took { seconds: numbers[0], cpu: numbers[1] + numbers[2], memory: numbers[3] / 1000.0 }
}

/// The page cache shall hold the source for everybody.
fn warm(path: &Path) {
    let read = r#"sync; find "$0" -type f -print0 | xargs -0 cat > /dev/null"#;
    timed(Command::new("sh").arg("-c").arg(read).arg(path));
}

fn table(peers: &[Peer], copy: Took) {
    println!(
        "\n| wall time in s (CPU time in s, peak memory in MB) | first backup | nothing changed | 1 % changed | restore | stored |"
    );
    println!("|---|---|---|---|---|---|");
    for peer in peers {
        let cells: Vec<String> = peer
            .steps
            .iter()
            .map(|took| format!("{:.2} ({:.1}, {:.0})", took.seconds, took.cpu, took.memory))
            .collect();
        let (files, bytes) = peer.stored;
        println!(
            "| {} | {} | {} MB in {files} files |",
            peer.name,
            cells.join(" | "),
            bytes / 1_000_000
        );
    }
    println!("| `cp -a` | {:.2} | | | | |", copy.seconds);
    let Some(own) = peers.iter().find(|peer| peer.name == "seawall") else {
        return;
    };
    println!(
        "\n| seawall takes, of the time of | first backup | nothing changed | 1 % changed | restore |"
    );
    println!("|---|---|---|---|---|");
    for peer in peers.iter().filter(|peer| peer.name != own.name) {
        let ratios: Vec<String> = peer
            .steps
            .iter()
            .zip(&own.steps)
            .map(|(peer, own)| format!("{:.2}", own.seconds / peer.seconds.max(0.01)))
            .collect();
        println!("| {} | {} |", peer.name, ratios.join(" | "));
    }
}
