//! A table that the server cannot open must not keep everything else out of a backup.

use std::fs;
use std::path::PathBuf;

use super::{Moved, PASSWORD};
use crate::cli::{Ran, User};

/// The file of a table, which the server lets go of.
fn file(moved: &Moved, role: &str, table: &str, ending: &str) -> PathBuf {
    let name = moved.name(role);
    moved.server.sql(&format!("FLUSH TABLES `{name}`.`{table}`"));
    let folder = moved.server.sql("SELECT @@datadir");
    let folder = PathBuf::from(folder.trim_end()).join(name.replace('-', "@002d"));
    folder.join(format!("{table}.{ending}"))
}

/// An `InnoDB` table of which the server has lost the file.
fn lose(moved: &Moved, role: &str, table: &str) {
    let name = moved.name(role);
    moved.server.sql(&format!(
        "SET foreign_key_checks = 0; ALTER TABLE `{name}`.`{table}` DISCARD TABLESPACE"
    ));
}

fn backup(user: &User, moved: &Moved) -> Ran {
    user.run(&["backup", moved.path(), "--init", "--json", "-v"])
}

#[test]
fn tables_and_views_that_cannot_be_opened_are_left_out_and_named() {
    let (user, moved) = (User::new(), Moved::example());
    let name = moved.name("seahub");
    moved.server.sql(&format!(
        "USE `{name}`;
         CREATE TABLE lost (id INT PRIMARY KEY); INSERT INTO lost VALUES (1);
         CREATE TRIGGER of_lost BEFORE INSERT ON lost FOR EACH ROW SET NEW.id = 1;
         CREATE TABLE crashed (id INT) ENGINE=MyISAM; INSERT INTO crashed VALUES (1), (2);
         CREATE TABLE good (id INT PRIMARY KEY); INSERT INTO good VALUES (42);
         CREATE TABLE dropped (id INT); CREATE VIEW over_dropped AS SELECT id FROM dropped;
         CREATE VIEW over_lost AS SELECT id FROM lost; CREATE VIEW over_good AS SELECT id FROM good;
         CREATE OR REPLACE USER gone_{0}@localhost; GRANT ALL ON `{name}`.* TO gone_{0}@localhost;
         CREATE DEFINER = gone_{0}@localhost VIEW of_gone AS SELECT id FROM good;
         DROP USER gone_{0}@localhost; DROP TABLE dropped;",
        moved.number
    ));
    lose(&moved, "seahub", "lost");
    fs::remove_file(file(&moved, "seahub", "crashed", "MYD")).unwrap();
    for _ in 0..2 {
        let ran = backup(&user, &moved);
        assert_eq!(ran.status, 3, "{}{}", ran.stdout, ran.stderr);
        for lost in ["lost", "crashed", "over_dropped", "over_lost"] {
            let told = format!("\"{lost}\" cannot be read, and is not in the dump");
            assert!(ran.stderr.contains(&told), "{told}:\n{}", ran.stderr);
        }
        assert!(!ran.stderr.contains("\"good\""), "{}", ran.stderr);
        let json = ran.json();
        assert_eq!(json["incomplete"][0], "database-damaged", "{json}");
        assert_eq!(json["damage"], serde_json::json!([]), "{json}");
    }
    let target = user.path("restored");
    user.run(&["restore", "latest", "--target", target.to_str().unwrap()]);
    let text = fs::read(target.join("seawall-databases/seahub.sql")).unwrap();
    let copy = format!("unreadable_{}", moved.number);
    moved.server.sql(&format!("CREATE DATABASE {copy}"));
    let loaded = moved.server.load(&copy, &text);
    let said = String::from_utf8_lossy(&loaded.stderr);
    assert!(loaded.status.success(), "{said}");
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("-- Left out, since the server could not read it: \"lost\""));
    // Not every server tells this account the columns of a view whose account is gone.
    let said = backup(&user, &moved).stderr;
    let is_named = said.contains("\"of_gone\" cannot be read");
    assert_ne!(text.contains("VIEW `of_gone`"), is_named, "{said}");
    for view in ["good", "over_good"] {
        assert_eq!(moved.server.sql(&format!("SELECT id FROM {copy}.{view}")), "42\n");
    }
}

/// Without the table of libraries those count that have a branch; without the branches all that lies on disk is taken.
#[test]
fn libraries_are_stored_also_where_no_table_tells_of_them() {
    for table in ["Repo", "Branch", "RepoOwner", "VirtualRepo"] {
        let (user, moved) = (User::new(), Moved::example());
        lose(&moved, "seafile", table);
        let ran = backup(&user, &moved);
        assert_eq!(ran.status, 3, "{table}: {}{}", ran.stdout, ran.stderr);
        let told = format!("the table {table} cannot be read");
        assert!(ran.stderr.contains(&told), "{told}: {}", ran.stderr);
        let incomplete = ran.json()["incomplete"].to_string();
        assert!(incomplete.contains("rows-unreadable"), "{table}: {incomplete}");
        let target = user.path("restored");
        user.run(&["restore", "latest", "--target", target.to_str().unwrap()]);
        let storage = moved.source.path.join("seafile-data/storage");
        let mut missing = crate::support::files_below(&storage);
        missing.retain(|file| {
            let inside = file.strip_prefix(&moved.source.path).unwrap();
            !target.join(inside).is_file()
        });
        // The branches lead to what users see; without them nothing is garbage.
        let most = if table == "Branch" { 0 } else { 40 };
        assert!(missing.len() <= most, "{table}: {missing:?}");
        assert!(!ran.stderr.contains(PASSWORD));
    }
}

/// A server that takes no connection without TLS.
#[test]
fn a_refused_plain_connection_names_the_option() {
    let (user, moved) = (User::new(), Moved::example());
    let account = format!("tls_{}", moved.number);
    let name = moved.name("seafile");
    moved.server.sql(&format!(
        "CREATE USER {account}@'%' IDENTIFIED BY 'x' REQUIRE SSL; GRANT ALL ON `{name}`.* TO {account}@'%'"
    ));
    let password = user.path("password");
    fs::write(&password, "x\n").unwrap();
    let ran = user.run(&[
        "backup",
        moved.path(),
        "--init",
        "--database-user",
        &account,
        "--database-password-file",
        password.to_str().unwrap(),
    ]);
    ran.fails(1, &["--database-ca-file"]);
}
