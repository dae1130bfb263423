//! A snapshot shows one moment, and keeps nobody waiting.

use std::sync::atomic::AtomicBool;

use seawall_test_servers::wait::SetAtEnd;

use super::*;

/// Rows that writers add to three databases in one transaction each are in all dumps or in none.
#[test]
fn a_snapshot_is_one_moment_of_all_databases() {
    let names: Vec<String> = (0..3).map(|_| database("moment")).collect();
    for name in &names {
        sql(name, "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT)");
    }
    let stop = AtomicBool::new(false);
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (names, stop) = (&names, &stop);
            scope.spawn(move || {
                let connection = MySqlConnection::open(&root(server())).unwrap();
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    connection.run("START TRANSACTION").unwrap();
                    for name in names {
                        let name = literal::name(name);
                        let row = number * 4 + writer;
                        connection
                            .run(&format!("INSERT INTO {name}.t (n) VALUES ({row})"))
                            .unwrap();
                    }
                    connection.run("COMMIT").unwrap();
                    number += 1;
                }
            });
        }
        let _stopped = SetAtEnd(&stop);
        for _ in 0..5 {
            let snapshot = MySqlSnapshot::begin(&root(server()), &wanted).unwrap();
            let rows: Vec<Vec<String>> = wanted
                .iter()
                .map(|name| {
                    let mut text = Vec::new();
                    snapshot.dump(name, &mut text).unwrap();
                    let text = String::from_utf8(text).unwrap();
                    let rows = text.lines().filter(|line| line.starts_with('('));
                    let mut rows: Vec<String> = rows
                        .map(|line| {
                            line.split(',').nth(1).unwrap().trim_end_matches([')', ';']).to_owned()
                        })
                        .collect();
                    rows.sort();
                    rows
                })
                .collect();
            assert_eq!(rows[0], rows[1]);
            assert_eq!(rows[0], rows[2]);
        }
    });
}

/// An administrator can alter tables that were read while the snapshot goes on.
#[test]
fn tables_that_were_read_can_be_altered() {
    let name = database("alter");
    sql(
        &name,
        "CREATE TABLE Repo (repo_id CHAR(37)); CREATE TABLE Branch (name VARCHAR(10), repo_id CHAR(37), commit_id CHAR(41));",
    );
    let snapshot = MySqlSnapshot::begin(&root(server()), &[&name]).unwrap();
    snapshot.pointers(&name).unwrap();
    let mut text = Vec::new();
    snapshot.dump(&name, &mut text).unwrap();
    // If the tables were still held, this would wait for a day. Here it would fail after a second.
    sql(
        &name,
        "SET SESSION lock_wait_timeout = 1; ALTER TABLE Repo ADD COLUMN x INT; DROP TABLE Branch;",
    );
    drop(snapshot);
}

/// A table that was altered after the snapshot and before its turn cannot be read as it was. All
/// begins anew.
#[test]
fn a_table_that_was_altered_before_its_turn_is_told() {
    let name = database("changed");
    sql(&name, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1);");
    let snapshot = MySqlSnapshot::begin(&root(server()), &[&name]).unwrap();
    sql(&name, "ALTER TABLE t ADD COLUMN x INT, ALGORITHM=COPY;");
    let error = snapshot.dump(&name, &mut Vec::new()).unwrap_err();
    let DumpError::Server(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), &MySqlErrorKind::Changed, "{error}");
    assert!(MySqlSnapshot::begin(&root(server()), &[&name]).is_ok());
}

/// Tools for online changes fill another table, and give it the name of the first one. The snapshot
/// would show what was in the other table then.
#[test]
fn a_table_that_took_the_name_of_another_is_told() {
    let name = database("online");
    sql(
        &name,
        "CREATE TABLE `_activity_new` (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO `_activity_new` VALUES (1)",
    );
    // Times of tables are whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    sql(
        &name,
        "CREATE TABLE activity (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO activity VALUES (1), (2), (3)",
    );
    let snapshot = MySqlSnapshot::begin(&root(server()), &[&name]).unwrap();
    sql(&name, "RENAME TABLE activity TO `_activity_old`, `_activity_new` TO activity");
    let error = snapshot.dump(&name, &mut Vec::new()).unwrap_err();
    let DumpError::Server(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), &MySqlErrorKind::Changed, "{error}");
}

/// A table without transactions cannot change while it is read, and can afterwards.
#[test]
fn tables_without_transactions_are_locked() {
    let name = database("locked");
    sql(&name, "CREATE TABLE t (id INT) ENGINE=MyISAM; INSERT INTO t VALUES (1);");
    let mut snapshot = MySqlSnapshot::begin(&root(server()), &[&name]).unwrap();
    let insert = format!(
        "SET SESSION lock_wait_timeout = 1; INSERT INTO {}.t VALUES (2);",
        literal::name(&name)
    );
    let output = server().load("", insert.as_bytes());
    assert!(!output.status.success());
    let mut text = Vec::new();
    assert_eq!(snapshot.dump(&name, &mut text).unwrap().rows, 1);
    snapshot.unlock();
    server().sql(&insert);
}

#[test]
fn pointers_are_those_of_sqlite() {
    use rusqlite::Connection as Sqlite;
    let name = database("pointers");
    let (live, trashed) =
        ("11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222");
    let commit = "a".repeat(40);
    let tables = "
        CREATE TABLE Repo (repo_id CHAR(37) PRIMARY KEY);
        CREATE TABLE Branch (name VARCHAR(10), repo_id CHAR(41), commit_id CHAR(41), PRIMARY KEY (repo_id, name));
        CREATE TABLE RepoTrash (repo_id CHAR(36) PRIMARY KEY, repo_name VARCHAR(255), head_id CHAR(40), owner_id VARCHAR(255), size BIGINT, org_id INTEGER, del_time BIGINT);
        CREATE TABLE RepoValidSince (repo_id CHAR(37) PRIMARY KEY, timestamp BIGINT);
        CREATE TABLE RepoHistoryLimit (repo_id CHAR(37) PRIMARY KEY, days INTEGER);
        CREATE TABLE RepoOwner (repo_id CHAR(37) PRIMARY KEY, owner_id VARCHAR(255));
        CREATE TABLE GarbageRepos (repo_id CHAR(36) PRIMARY KEY);
    ";
    let rows = format!(
        "INSERT INTO Repo VALUES ('{live}');
         INSERT INTO Branch VALUES ('master', '{live}', '{commit}');
         INSERT INTO RepoTrash VALUES ('{trashed}', 'näme', '{commit}', 'a@b', 5, -1, 1700000000);
         INSERT INTO RepoValidSince VALUES ('{live}', 1690000000);
         INSERT INTO RepoHistoryLimit VALUES ('{live}', -1);
         INSERT INTO RepoOwner VALUES ('{live}', 'a@b');
         INSERT INTO GarbageRepos VALUES ('no id');"
    );
    sql(&name, &format!("{tables}{rows}"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seafile.db");
    Sqlite::open(&file).unwrap().execute_batch(&format!("{tables}{rows}")).unwrap();
    let snapshot = MySqlSnapshot::begin(&root(server()), &[&name]).unwrap();
    let pointers = snapshot.pointers(&name).unwrap();
    assert_eq!(pointers, crate::database::read_pointers(&file).unwrap());
    assert_eq!(pointers.libraries.len(), 2);
    assert_eq!(pointers.oddities.len(), 1, "{:?}", pointers.oddities);
    let other = database("empty");
    let snapshot = MySqlSnapshot::begin(&root(server()), &[&other]).unwrap();
    let error = snapshot.pointers(&other).unwrap_err();
    assert!(matches!(error, crate::database::Error::MissingTable { .. }), "{error}");
}
