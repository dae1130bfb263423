//! OpenSSH's own server (Debian: openssh-server), private, for the user who tests.

#![allow(clippy::disallowed_methods, reason = "settings of a server that goes with the test")]

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::process::{Server, data_folder, free_port, program};
use crate::wait;

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Kinds of host keys, as ssh-keygen has them; `ed25519` if there is none.
    pub host_keys: Vec<&'static str>,
    /// What follows `Subsystem sftp`; OpenSSH's sftp-server in a process of its own if empty.
    pub subsystem: String,
    /// Whether the user sees only the served folder, as `/`. Needs root.
    pub is_chroot: bool,
    /// More lines of `sshd_config`.
    pub lines: Vec<String>,
}

/// A server that lets its own user in, with any of the keys in [`key`](Sshd::key)'s folder.
#[derive(Debug)]
pub struct Sshd {
    /// Where it listens.
    pub port: u16,
    /// Who may log in: the user who tests.
    pub user: String,
    /// A folder of it, empty at first, as seen on this machine.
    pub folder: PathBuf,
    /// The same as the user sees it.
    pub seen_as: String,
    settings: TempDir,
    server: Server,
    _kept: TempDir,
}

impl Sshd {
    /// Starts one.
    pub fn start(setup: &Setup) -> Self {
        separate_privileges();
        let settings = TempDir::new().unwrap();
        // A folder above one to be seen as `/` must be root's alone, which temporary folders are not.
        let kept = if setup.is_chroot {
            data_folder("SEAWALL_TEST_CHROOT", Path::new("/var/lib"))
        } else {
            TempDir::new().unwrap()
        };
        let folder = kept.path().join("home");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(kept.path(), Permissions::from_mode(0o755)).unwrap();
        let kinds = match &setup.host_keys[..] {
            [] => &["ed25519"],
            kinds => kinds,
        };
        for kind in kinds {
            make_key(&settings.path().join(format!("host_{kind}")), kind, "");
        }
        make_key(&settings.path().join("user"), "ed25519", "");
        let public = fs::read(settings.path().join("user.pub")).unwrap();
        fs::write(settings.path().join("authorized_keys"), public).unwrap();
        let port = free_port();
        let text = configuration(setup, kinds, port, settings.path(), kept.path());
        let config = settings.path().join("sshd_config");
        fs::write(&config, text).unwrap();
        let log = settings.path().join("log");
        let arguments = ["-D", "-e", "-f", config.to_str().unwrap()];
        let server = Server::start(&program("sshd", "openssh-server"), &arguments, &log);
        let seen_as =
            if setup.is_chroot { "/home".to_owned() } else { folder.to_str().unwrap().to_owned() };
        Self {
            port,
            user: user(),
            folder,
            seen_as,
            server: server.wait_for_port(port),
            settings,
            _kept: kept,
        }
    }

    /// The key file that may log in.
    pub fn key(&self) -> PathBuf {
        self.settings.path().join("user")
    }

    /// Lets another public key in too: a line of `authorized_keys`. Appended by one write, because other tests
    /// add theirs, and log in, meanwhile.
    pub fn let_in(&self, line: &str) {
        let path = self.settings.path().join("authorized_keys");
        let mut keys = OpenOptions::new().append(true).open(path).unwrap();
        keys.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The public half of a host key: its kind and base64.
    pub fn host_key(&self, kind: &str) -> String {
        public_half(&self.settings.path().join(format!("host_{kind}")))
    }

    /// A line of `known_hosts` for a key of this server behind a port: its own, or a proxy's.
    pub fn known_line(&self, kind: &str, port: u16) -> String {
        format!("[127.0.0.1]:{port} {}\n", self.host_key(kind))
    }

    /// What it logged so far.
    pub fn printed(&self) -> String {
        self.server.printed()
    }
}

fn configuration(
    setup: &Setup,
    kinds: &[&str],
    port: u16,
    settings: &Path,
    served: &Path,
) -> String {
    let shown = settings.display();
    let subsystem = if !setup.subsystem.is_empty() {
        setup.subsystem.clone()
    } else if setup.is_chroot {
        "internal-sftp".to_owned()
    } else {
        let program = program("sftp-server", "openssh-sftp-server");
        program.to_str().unwrap().to_owned()
    };
    let mut lines = vec![
        format!("Port {port}"),
        "ListenAddress 127.0.0.1".to_owned(),
        format!("AuthorizedKeysFile {shown}/authorized_keys"),
        format!("PidFile {shown}/pid"),
        "StrictModes no".to_owned(),
        "UsePAM no".to_owned(),
        "PermitRootLogin yes".to_owned(),
        "PasswordAuthentication no".to_owned(),
        "KbdInteractiveAuthentication no".to_owned(),
        "LogLevel VERBOSE".to_owned(),
        // Tests open many connections at once.
        "MaxStartups 1000".to_owned(),
        format!("Subsystem sftp {subsystem}"),
    ];
    lines.extend(kinds.iter().map(|kind| format!("HostKey {shown}/host_{kind}")));
    if setup.is_chroot {
        lines.push(format!("ChrootDirectory {}", served.display()));
    }
    // The first value of each counts.
    let lines = setup.lines.iter().chain(&lines);
    let lines: Vec<&str> = lines.map(String::as_str).collect();
    format!("{}\n", lines.join("\n"))
}

/// The folder that sshd wants to be there; the system's service would make it.
fn separate_privileges() {
    let folder = Path::new("/run/sshd");
    if !folder.is_dir() && user() == "root" {
        fs::create_dir_all(folder).unwrap();
    }
}

/// Makes a pair of keys.
pub fn make_key(path: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"]);
    if kind == "rsa" {
        command.args([path.as_os_str(), "-b".as_ref(), "2048".as_ref()]);
    } else {
        command.arg(path);
    }
    wait::success(&mut command);
}

/// The kind and the base64 of a public key beside its private one.
pub fn public_half(path: &Path) -> String {
    let text = fs::read_to_string(path.with_extension("pub")).unwrap();
    let words: Vec<&str> = text.split(' ').take(2).collect();
    words.join(" ")
}

/// Who tests.
pub fn user() -> String {
    static USER: OnceLock<String> = OnceLock::new();
    let ask = || {
        let name = wait::success(Command::new("id").arg("-un"));
        String::from_utf8(name).unwrap().trim().to_owned()
    };
    USER.get_or_init(ask).clone()
}

/// An agent with one key, until it is dropped.
#[derive(Debug)]
pub struct Agent {
    /// What `SSH_AUTH_SOCK` would say.
    pub socket: PathBuf,
    _server: Server,
    _kept: TempDir,
}

impl Agent {
    /// Starts one, and adds key files.
    pub fn start(keys: &[&Path]) -> Self {
        let kept = TempDir::new().unwrap();
        let socket = kept.path().join("agent");
        let arguments = ["-D", "-a", socket.to_str().unwrap()];
        let log = kept.path().join("log");
        let server = Server::start(&program("ssh-agent", "openssh-client"), &arguments, &log);
        let server = server.wait_until(|| UnixStream::connect(&socket).is_ok());
        for key in keys {
            let mut command = Command::new("ssh-add");
            command.arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket);
            wait::success(&mut command);
        }
        Self { socket, _server: server, _kept: kept }
    }
}
