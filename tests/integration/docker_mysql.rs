//! Docker's volume with its databases on a server: which account, which reading of a password, and
//! whether the databases that were found are the ones in use.

use std::fs;
use std::time::SystemTime;

use crate::cli::User;
use crate::mysql::{Moved, PASSWORD};

/// Takes the program away and leaves docker's stamp.
fn as_volume(moved: &Moved, version: &str) {
    let top = &moved.source.path;
    fs::remove_dir_all(top.join("seafile-server-11.0.13")).unwrap();
    fs::remove_file(top.join("seafile-server-latest")).unwrap();
    fs::write(top.join("seafile-data/current_version"), version).unwrap();
}

#[test]
fn the_account_of_the_docker_page_may_read_all_that_a_backup_needs() {
    let (user, moved) = (User::new(), Moved::example());
    let account = include_str!("../../examples/docker/account.sql");
    let name = format!("seawall_{}", moved.name("x").replace('-', "_"));
    let mut account = account.replace("'seawall'", &format!("'{name}'"));
    for role in ["seafile", "ccnet", "seahub"] {
        account = account.replace(&format!("`{role}_db`"), &format!("`{}`", moved.name(role)));
    }
    moved.server.sql(&account);
    fs::write(user.path("password"), "CHANGE-ME\n").unwrap();
    let arguments = [
        "backup",
        moved.path(),
        "--init",
        "--database-user",
        &name,
        "--database-password-file",
        "password",
    ];
    user.run(&arguments).succeeds();
}

#[test]
fn of_two_readings_of_a_password_the_one_that_works_is_taken() {
    let (user, moved) = (User::new(), Moved::example());
    // The file server in Go takes the quotes off, the server in C does not.
    let path = moved.source.path.join("conf/seafile.conf");
    let text = fs::read_to_string(&path).unwrap();
    let quoted = text.replace(PASSWORD, &format!("`{PASSWORD}`"));
    fs::write(&path, quoted).unwrap();
    let ran = user.run(&["backup", moved.path(), "--init"]);
    ran.succeeds();
    assert!(
        ran.stderr.contains("database seafile: its password can be read in two ways"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("pass'w"), "{}", ran.stderr);
    user.run(&["verify", moved.path()]).succeeds();
    user.run(&["doctor", moved.path()]).succeeds();
}

/// Moves the head of one library back by one commit in the databases, as if it had gone on elsewhere.
fn set_a_head_back(moved: &Moved) {
    let commits = moved.source.path.join("seafile-data/storage/commits");
    let heads = moved.sql("SELECT repo_id, commit_id FROM Branch WHERE name = 'master'");
    let parent = heads.lines().find_map(|line| {
        let (library, head) = line.split_once('\t')?;
        let file = commits.join(library).join(&head[..2]).join(&head[2..]);
        let text = fs::read_to_string(&file).ok()?;
        let commit: serde_json::Value = serde_json::from_str(text.trim_end_matches('\0')).unwrap();
        let parent = commit["parent_id"].as_str()?.to_owned();
        // A copy of the example does not keep the order in which its files were made.
        for path in [file.as_path(), file.parent().unwrap()] {
            let file = fs::File::open(path).unwrap();
            file.set_modified(SystemTime::now()).unwrap();
        }
        Some((library.to_owned(), parent))
    });
    let (library, parent) = parent.unwrap();
    moved.sql(&format!("UPDATE Branch SET commit_id = '{parent}' WHERE repo_id = '{library}'"));
}

#[test]
fn databases_of_dead_configuration_are_refused_if_the_libraries_went_on() {
    let (user, moved) = (User::new(), Moved::example());
    as_volume(&moved, "12.0.14");
    let guessed = user.run(&["backup", moved.path(), "--init", "--also", "/etc/hostname"]);
    guessed.fails(3, &["which a container of version 12 does not go by", "--env-file"]);
    let before = user.run(&["snapshots"]).succeeds().lines().count();
    set_a_head_back(&moved);
    let stale = user.run(&["backup", moved.path()]);
    stale.fails(1, &["1 library went on after them", "--env-file"]);
    assert_eq!(user.run(&["snapshots"]).succeeds().lines().count(), before);

    // What the container goes by is believed.
    let env = user.path(".env");
    let port = moved.server.port;
    let names = ["seafile", "ccnet", "seahub"].map(|role| {
        let variable = format!("SEAFILE_MYSQL_DB_{}_DB_NAME", role.to_uppercase());
        format!("{variable}: {}\n", moved.name(role))
    });
    let password = PASSWORD.replace('"', "\\\"");
    let text = format!(
        "SEAFILE_MYSQL_DB_HOST=127.0.0.1\nSEAFILE_MYSQL_DB_PORT={port}\nSEAFILE_MYSQL_DB_USER=seafile\n\
         SEAFILE_MYSQL_DB_PASSWORD=\"{password}\"\n{}",
        names.concat()
    );
    fs::write(&env, text).unwrap();
    let ran = user.run(&["backup", moved.path(), "--env-file", ".env"]);
    assert!(!ran.stderr.contains("does not go by"), "{}", ran.stderr);
    assert!(ran.stdout.contains("snapshot "), "{}{}", ran.stdout, ran.stderr);
}
