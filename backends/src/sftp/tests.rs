//! Against real servers: OpenSSH's own, in three ways, and rclone's.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use seawall_test_servers::sshd::{Setup, Sshd};
use tempfile::TempDir;

use super::*;
use crate::Destination;
use crate::conformance::Fresh;

/// How to reach a server, with nothing of the user who tests in it.
struct Access {
    url: String,
    options: Options,
    /// The folder that the URL names, as seen on this machine.
    folder: PathBuf,
    _kept: TempDir,
}

impl Access {
    /// A new folder of a server, behind one of its ports; the server knows it by another name.
    fn new(sshd: &Sshd, port: u16) -> Self {
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
        Self {
            url,
            options,
            folder,
            _kept: kept,
        }
    }

    fn open(&self) -> SftpBackend {
        self.try_open(Absent::Refuse).unwrap()
    }

    fn try_open(&self, absent: Absent) -> Result<SftpBackend> {
        let Destination::Remote(remote) = Destination::parse(&self.url)? else {
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
        Self {
            sshd,
            first: access.open(),
            second: access.open(),
            _access: access,
        }
    }

    /// A new folder.
    fn fresh(&self) -> Fresh {
        let name = format!("case-{}", number());
        let folder = self.sshd.folder.join(&name);
        std::fs::create_dir(&folder).unwrap();
        let seen_as = format!("{}/{name}", self.sshd.seen_as);
        let (first, second) = (self.first.beside(&seen_as), self.second.beside(&seen_as));
        Fresh::new(first, second).keeping(Cleaned(folder))
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
    Options {
        variable: Arc::new(variable),
        ..Options::default()
    }
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
    SERVER.get_or_init(|| {
        Sshd::start(&Setup {
            is_chroot: true,
            ..Setup::default()
        })
    })
}

mod openssh {
    use super::{Clients, OnceLock, plain};
    static CLIENTS: OnceLock<Clients> = OnceLock::new();
    crate::conformance_tests!(|| CLIENTS.get_or_init(|| Clients::of(plain())).fresh());
}

mod openssh_in_a_chroot {
    use super::{Clients, OnceLock, chroot};
    static CLIENTS: OnceLock<Clients> = OnceLock::new();
    crate::conformance_tests!(|| CLIENTS.get_or_init(|| Clients::of(chroot())).fresh());
}
