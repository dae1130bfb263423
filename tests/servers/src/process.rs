//! Starting a server, and seeing that it ends.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::wait;

/// A server must answer within this time; machines that test are slow at times.
const START: Duration = Duration::from_mins(1);

/// A server that runs until this is dropped, or this process ends.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program; what it prints goes to `log`.
    pub fn start(program: &Path, arguments: &[&str], log: &Path) -> Self {
        wait::step(&format!("start {}", program.display()));
        let output = File::create_new(log).unwrap();
        let errors = output.try_clone().unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        Self { child: spawn(command), log: log.to_owned() }
    }

    /// Waits until it is ready; what it printed is in the failure if it is not.
    #[must_use]
    pub fn wait_until(mut self, mut is_ready: impl FnMut() -> bool) -> Self {
        let started = Instant::now();
        while !is_ready() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < START,
                "the server is not ready ({ended:?}): {}",
                self.printed()
            );
            thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// Waits until it takes connections.
    #[must_use]
    pub fn wait_for_port(self, port: u16) -> Self {
        self.wait_until(|| TcpStream::connect(address(port)).is_ok())
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder for a server's data: in the one that a variable names, else in `usual`. Tests that share a server never drop it,
/// so who starts them removes what is left (`tests/run.sh`).
pub fn data_folder(variable: &str, usual: &Path) -> TempDir {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let folder = TempDir::new_in(named.as_deref().unwrap_or(usual));
    folder.or_else(|_| TempDir::new()).unwrap()
}

/// A loopback address.
pub fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port on which nothing listens. Below 32768 nobody is given one by the system meanwhile.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_500;
    const COUNT: u16 = 11_000;
    // Processes that test at the same time begin at different places.
    let start = u16::try_from(std::process::id() * 131 % u32::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = FIRST + offset;
        if TcpListener::bind(address(port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// A program of the test servers' environment (`tests/run.sh` makes it), or of the system.
pub fn program(name: &str, package: &str) -> PathBuf {
    let folders = std::env::var_os("SEAWALL_TEST_SERVERS")
        .map(PathBuf::from)
        .into_iter()
        .chain([PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/servers/bin"))])
        .chain(
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .collect::<Vec<_>>(),
        )
        .chain(["/usr/sbin".into(), "/usr/lib/openssh".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{name} is not here: run tests/servers.sh, which installs {package}")
    })
}

/// Starts a command from a thread that lives as long as this process: the signal at a parent's death
/// comes when the *thread* ends that started the child, and the threads of tests end early.
fn spawn(command: Command) -> Child {
    type Request = (Command, mpsc::Sender<std::io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in requests {
                answer.send(command.spawn()).unwrap();
            }
        });
        sender
    });
    let (answer, child) = mpsc::channel();
    starter.send((command, answer)).unwrap();
    child.recv().unwrap().expect("setpriv (Debian: util-linux) starts servers")
}
