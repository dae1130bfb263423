//! A table of `FileHistory`'s shape on `MariaDB`, dumped and loaded by seawall and by the stock tools, in one
//! run: `cargo bench --bench databases [-- --rows N]`. `tests/servers.sh` installs what it needs. Results
//! and how to read them: docs/benchmarks.md.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a program that measures, and stops at what it does not expect"
)]

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use seawall::database::mysql::{MySqlAddress, MySqlServer, MySqlSnapshot, MySqlTls, load};
use seawall_test_servers::mariadb::MariaDb;

/// Measured in turn, so many times each; the best counts.
const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let at = arguments.iter().position(|word| word == "--rows");
    let rows: u64 = at.map_or(1_000_000, |at| arguments[at + 1].parse().unwrap());
    let server = MariaDb::with(&["--innodb-buffer-pool-size=1G", "--max-allowed-packet=64M"]);
    server.sql(&format!(
        "CREATE DATABASE seahub; USE seahub;
         CREATE TABLE FileHistory (id BIGINT AUTO_INCREMENT PRIMARY KEY, op_type VARCHAR(128) NOT NULL, op_user VARCHAR(255) NOT NULL,
           timestamp DATETIME NOT NULL, repo_id VARCHAR(36) NOT NULL, commit_id VARCHAR(40), file_id VARCHAR(40) NOT NULL,
           file_uuid VARCHAR(40), path TEXT NOT NULL, repo_id_path_md5 VARCHAR(32), size BIGINT NOT NULL, old_path TEXT NOT NULL,
           KEY ix_uuid (file_uuid), KEY ix_md5 (repo_id_path_md5), KEY ix_time (timestamp)) ENGINE=InnoDB;
         INSERT INTO FileHistory SELECT seq, 'edit', CONCAT('user', seq % 97, '@example.com'), '2026-01-01' + INTERVAL seq SECOND, UUID(), SHA1(seq), SHA1(seq + 1),
           UUID(), CONCAT('/folder ', seq % 1000, '/file ', seq, '.docx'), MD5(seq), seq * 17, '' FROM seq_1_to_{rows};"
    ));
    let account = MySqlServer {
        address: MySqlAddress::Socket(server.socket.clone()),
        user: "root".to_owned(),
        password: None,
        tls: MySqlTls::Off,
    };
    let folder = tempfile::tempdir().unwrap();
    let (ours, stock) = (folder.path().join("ours.sql.zst"), folder.path().join("stock.sql"));
    let mut times = [[Duration::MAX; 2]; 2];
    for round in 0..ROUNDS {
        keep(&mut times[0][0], || dump(&account, &ours));
        keep(&mut times[0][1], || {
            stock_dump(&server, &folder.path().join("stock.sql.zst"));
        });
        if round == 0 {
            let unpacked = File::open(&ours).unwrap();
            zstd::stream::copy_decode(unpacked, File::create(&stock).unwrap()).unwrap();
        }
        keep(&mut times[1][0], || {
            server.sql("DROP DATABASE IF EXISTS loaded");
            let mut file = BufReader::new(File::open(&stock).unwrap());
            load(&account, "loaded", &mut file, &mut |_| {}).unwrap();
        });
        server.sql("DROP DATABASE loaded; CREATE DATABASE loaded");
        keep(&mut times[1][1], || {
            let mut command = server.command("mariadb");
            let command = command.arg("loaded").stdin(File::open(&stock).unwrap());
            assert!(command.status().unwrap().success());
        });
    }
    let len = std::fs::metadata(&stock).unwrap().len();
    println!("{rows} rows, {} MiB of SQL; best of {ROUNDS}", len >> 20);
    for (what, [own, theirs]) in ["dump and zstd -3", "load"].iter().zip(times) {
        let ratio = theirs.as_secs_f64() / own.as_secs_f64();
        println!("  {what:<16} seawall {own:>8.2?}  stock {theirs:>8.2?}  {ratio:.2} x");
    }
    println!("  peak memory {} KiB", peak());
}

fn keep(best: &mut Duration, work: impl FnOnce()) {
    let started = Instant::now();
    work();
    *best = (*best).min(started.elapsed());
}

fn dump(server: &MySqlServer, to: &Path) {
    let (sender, pieces) = std::sync::mpsc::sync_channel::<Vec<u8>>(8);
    let file = BufWriter::new(File::create(to).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut out = zstd::Encoder::new(file, 3).unwrap();
            for piece in pieces {
                out.write_all(&piece).unwrap();
            }
            out.finish().unwrap().flush().unwrap();
        });
        let snapshot = MySqlSnapshot::begin(server, &["seahub"]).unwrap();
        snapshot.dump("seahub", &mut Sender(sender)).unwrap();
    });
}

struct Sender(std::sync::mpsc::SyncSender<Vec<u8>>);

impl std::io::Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(bytes.to_vec()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn stock_dump(server: &MariaDb, to: &Path) {
    let mut command = server.command("mariadb-dump");
    let command = command.args(["--single-transaction", "seahub"]);
    let mut dump = command.stdout(Stdio::piped()).spawn().unwrap();
    let packed = std::process::Command::new("zstd")
        .args(["-q", "-f", "-3", "-o"])
        .arg(to)
        .stdin(dump.stdout.take().unwrap())
        .status();
    assert!(packed.unwrap().success() && dump.wait().unwrap().success());
}

/// The most memory that this process had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
