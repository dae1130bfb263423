//! moto: a second opinion on what S3 answers (PyPI `moto`). It takes any credentials.

use tempfile::TempDir;

use crate::process::{Server, free_port, program};

/// A server that keeps everything in memory.
#[derive(Debug)]
pub struct Moto {
    /// Where S3 is spoken.
    pub port: u16,
    _server: Server,
    _kept: TempDir,
}

impl Moto {
    /// Starts one.
    pub fn start() -> Self {
        let kept = TempDir::new().unwrap();
        let port = free_port();
        let text = port.to_string();
        let arguments = ["-H", "127.0.0.1", "-p", &text];
        let log = kept.path().join("log");
        let server = Server::start(&program("moto_server", "moto"), &arguments, &log);
        Self { port, _server: server.wait_for_port(port), _kept: kept }
    }

    /// The address for S3.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) {
        crate::web::put(self.port, &format!("/{name}"));
    }
}
