//! Against real servers: OpenSSH's own, in three ways, and rclone's.

#![allow(
    clippy::disallowed_methods,
    clippy::large_stack_arrays,
    clippy::unchecked_time_subtraction,
    reason = "files that go with the test"
)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use seawall_test_servers::rclone::Rclone;
use seawall_test_servers::sshd::{Setup, Sshd, make_key, public_half};
use tempfile::TempDir;

use super::*;
use crate::conformance::{self, CASES, Fresh};
use crate::{LookingBackend, ParsedUrl, RetryPolicy, RetryingBackend, probe};

mod append_only;
mod line;
mod login;
mod odd;
mod requests;

/// How to reach a server, with nothing of the user who tests in it.
struct Access {
    url: String,
    options: Options,
    /// The folder that the URL names, as seen on this machine.
    folder: PathBuf,
    kept: TempDir,
}

impl Access {
    /// A new folder of a server, behind one of its ports; the server knows it by another name.
    fn new(sshd: &Sshd, port: u16) -> Self {
        seawall_test_servers::wait::step("use an SFTP server");
        let name = format!("case-{}", number());
        let folder = sshd.folder.join(&name);
        std::fs::create_dir(&folder).unwrap();
        let (user, seen_as) = (&sshd.user, &sshd.seen_as);
        let url = format!("sftp://{user}@127.0.0.1:{port}{seen_as}/{name}");
        let kept = TempDir::new().unwrap();
        let known_hosts = kept.path().join("known_hosts");
        std::fs::write(&known_hosts, sshd.known_line("ed25519", port)).unwrap();
        let mut options = bare_options(&kept);
        options.ssh.known_hosts = Some(known_hosts);
        options.ssh.identities = vec![sshd.key()];
        Self { url, options, folder, kept }
    }

    fn open(&self) -> SftpBackend {
        self.try_open(Absent::Refuse).unwrap()
    }

    fn try_open(&self, absent: Absent) -> Result<SftpBackend> {
        let ParsedUrl::Remote(remote) = ParsedUrl::parse(&self.url)? else {
            panic!("{} is no folder", self.url);
        };
        SftpBackend::open(&remote, &self.options, absent)
    }
}

/// Two clients of a server, whose connections all cases share.
struct Clients {
    sshd: &'static Sshd,
    first: SftpBackend,
    second: SftpBackend,
    _access: Access,
}

impl Clients {
    fn of(sshd: &'static Sshd) -> Self {
        let access = Access::new(sshd, sshd.port);
        Self { sshd, first: access.open(), second: access.open(), _access: access }
    }

    /// A new folder.
    fn fresh(&self) -> Fresh {
        self.fresh_as(|client| client)
    }

    fn fresh_as(&self, change: impl Fn(SftpBackend) -> SftpBackend) -> Fresh {
        let name = format!("case-{}", number());
        let folder = self.sshd.folder.join(&name);
        std::fs::create_dir(&folder).unwrap();
        let seen_as = format!("{}/{name}", self.sshd.seen_as);
        let (first, second) = (self.first.beside(&seen_as), self.second.beside(&seen_as));
        Fresh::new(change(first), change(second)).keeping(Cleaned(folder))
    }
}

/// Removes a case's folder, so that many cases do not fill a disk.
struct Cleaned(PathBuf);

impl Drop for Cleaned {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn number() -> usize {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Options of a user whose home is empty, and who has no agent.
fn bare_options(home: &TempDir) -> Options {
    let home = home.path().to_str().unwrap().to_owned();
    let variable = move |name: &str| (name == "HOME").then(|| home.clone());
    Options { variable: Arc::new(variable), ..Options::default() }
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// OpenSSH as it comes: a process of its own for each session.
fn plain() -> &'static Sshd {
    static SERVER: OnceLock<Sshd> = OnceLock::new();
    SERVER.get_or_init(|| Sshd::start(&Setup::default()))
}

/// A user who sees one folder only.
fn chroot() -> &'static Sshd {
    static SERVER: OnceLock<Sshd> = OnceLock::new();
    SERVER.get_or_init(|| Sshd::start(&Setup { is_chroot: true, ..Setup::default() }))
}

mod openssh {
    use super::{Clients, OnceLock, plain};
    static CLIENTS: OnceLock<Clients> = OnceLock::new();
    crate::conformance_tests!(|| CLIENTS.get_or_init(|| Clients::of(plain())).fresh());
}

/// What is done with a server of which nothing is known, but that can make hard links.
mod openssh_by_links {
    use super::{Clients, OnceLock, SftpBackend, SftpPublishing, plain};
    static CLIENTS: OnceLock<Clients> = OnceLock::new();
    crate::conformance_tests!(|| {
        let clients = CLIENTS.get_or_init(|| Clients::of(plain()));
        clients.fresh_as(|client| SftpBackend::published(client, SftpPublishing::LinkOrRename))
    });
}

mod openssh_in_a_chroot {
    use super::{Clients, OnceLock, chroot};
    static CLIENTS: OnceLock<Clients> = OnceLock::new();
    crate::conformance_tests!(|| CLIENTS.get_or_init(|| Clients::of(chroot())).fresh());
}

/// rclone, whose library is another; with a password.
mod rclone {
    use super::*;

    const PASSWORD: &str = "a password of no other";

    pub(super) struct Server {
        _rclone: Rclone,
        pub(super) access: Access,
    }

    pub(super) fn server() -> &'static Server {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| {
            let kept = TempDir::new().unwrap();
            let host_key = kept.path().join("host_key");
            make_key(&host_key, "ed25519", "");
            let (key, public) = (host_key.to_str().unwrap(), public_half(&host_key));
            let login = ["--user", "somebody", "--pass", PASSWORD, "--key", key];
            let arguments = login;
            let rclone = Rclone::serve("sftp", &arguments);
            let port = rclone.port;
            let known_hosts = kept.path().join("known_hosts");
            std::fs::write(&known_hosts, format!("[127.0.0.1]:{port} {public}\n")).unwrap();
            let mut options = bare_options(&kept);
            options.ssh.known_hosts = Some(known_hosts);
            options.password = Some(PASSWORD.into());
            let access = Access {
                url: format!("sftp://somebody@127.0.0.1:{port}/"),
                options,
                folder: rclone.folder.clone(),
                kept,
            };
            Server { _rclone: rclone, access }
        })
    }

    pub(super) fn clients() -> (SftpBackend, SftpBackend, Cleaned) {
        static CLIENTS: OnceLock<[SftpBackend; 2]> = OnceLock::new();
        let access = &server().access;
        let [first, second] = CLIENTS.get_or_init(|| [access.open(), access.open()]);
        let name = format!("/case-{}", number());
        let made = first.server.run(async |session| folders::make(session, &name).await);
        made.unwrap();
        let folder = access.folder.join(&name[1..]);
        (first.beside(&name), second.beside(&name), Cleaned(folder))
    }

    /// Its rename replaces what is there, as [`probe`] finds out: the layer above looks before it
    /// writes then, and of writers at one moment several win.
    #[test]
    fn every_case_but_the_races_of_writers() {
        run_all_but(
            &[
                "one_of_racing_writers_wins",
                "one_of_racing_writers_of_equal_bytes_wins",
                "one_writer_wins_each_of_many_races",
            ],
            &|| {
                let (first, second, folder) = clients();
                // Where many work at once it may not know a folder that it has just made.
                let retrying = |client| RetryingBackend::new(client, RetryPolicy::patient());
                let looking = |client| LookingBackend::new(retrying(client));
                Fresh::new(looking(first), looking(second)).keeping(folder)
            },
        );
    }

    #[test]
    fn its_writes_are_found_to_be_weak() {
        let (client, _, _folder) = clients();
        assert_eq!(client.properties().writes, Writes::Unproven);
        client.put_new(&key("seawall.json"), b"x").unwrap();
        let found = probe(&client, &key("seawall.json"), b"x").unwrap();
        assert_eq!(found, Writes::Weak);
    }
}

/// Runs every case of the conformance suite but these, which must be among them.
fn run_all_but(left_out: &[&str], fresh: &(dyn Fn() -> Fresh + Sync)) {
    let is_run = |name: &&str| !left_out.contains(name);
    let names: Vec<&str> = CASES.iter().map(|(name, _)| *name).filter(is_run).collect();
    assert_eq!(names.len() + left_out.len(), CASES.len(), "{left_out:?}");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Shown if it fails.
                    println!("{name}");
                    conformance::run(name, fresh);
                }
            });
        }
    });
}
