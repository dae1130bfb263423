//! Tests against a real `MariaDB`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_test_servers::mariadb::MariaDb;

use super::*;
use crate::seafile::config::DatabasePassword;

mod content;
mod load;
mod moments;
mod others;
mod trouble;

/// The one server of these tests.
fn server() -> &'static MariaDb {
    static SERVER: OnceLock<MariaDb> = OnceLock::new();
    SERVER.get_or_init(|| MariaDb::with(&["--event-scheduler=OFF", "--max-allowed-packet=64M"]))
}

/// Root, over the socket.
fn root(server: &MariaDb) -> MySqlServer {
    MySqlServer {
        address: MySqlAddress::Socket(server.socket.clone()),
        user: "root".to_owned(),
        password: None,
        tls: MySqlTls::Off,
    }
}

/// A new database of an odd name.
fn database(what: &str) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    seawall_test_servers::wait::step("use a database");
    let name = format!("{what}-`db {}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let quoted = literal::name(&name);
    server()
        .sql(&format!("CREATE DATABASE {quoted} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"));
    name
}

/// Runs statements in a database.
fn sql(database: &str, statements: &str) -> String {
    server().sql(&format!("USE {};\n{statements}", literal::name(database)))
}

fn dumped(database: &str) -> (Vec<u8>, DumpTotals) {
    let snapshot = MySqlSnapshot::begin(&root(server()), &[database]).unwrap();
    let mut text = Vec::new();
    let totals = snapshot.dump(database, &mut text).unwrap();
    assert!(is_complete(&text));
    (text, totals)
}

/// A copy of a database, made from its dump by the stock client.
fn copied(from: &str) -> String {
    let (text, _) = dumped(from);
    let copy = database("copy");
    let loaded = server().load(&copy, &text);
    assert!(
        loaded.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&loaded.stderr),
        String::from_utf8_lossy(&text)
    );
    copy
}
