//! Commits newer than the head: clients that have one would silently be set back. And what a live server leaves that
//! looks like it.

use std::fs;
use std::process::Command;

use seawall::object::{Object, Store};
use seawall_test_servers::wait;
use serde_json::{Value, json};

use super::contents::{Contents, path, set_head};
use super::table::program;
use super::{DOCUMENTS, PHOTOS, VIRTUAL};
use crate::cli::User;
use crate::damage::{head, write_commit};
use crate::support::{Source, files_below};

fn ahead(report: &Value) -> &[Value] {
    report["ahead"].as_array().unwrap()
}

#[test]
fn commits_newer_than_the_head_are_damage_until_they_are_moved_aside() {
    let (user, source) = (User::new(), Source::example());
    // A virtual library's clients are set back as well; the trash has no clients.
    for library in [PHOTOS, VIRTUAL] {
        let newest = head(&source, library);
        let older = Contents::new(&source, library).parent(newest).unwrap();
        set_head(&source, library, older.id);
        let (status, report) = program(&source);
        let [entry] = ahead(&report) else { panic!("{:#}", report["ahead"]) };
        assert_eq!(
            (status, &entry["library"], &entry["head"], &entry["newest"]),
            (3, &library.into(), &older.id.to_string().into(), &newest.id.to_string().into())
        );
        assert_eq!(entry["commits"], json!([newest.id.to_string()]));
        let ran = user.run(&["verify", source.path.to_str().unwrap(), "--no-leftovers"]);
        assert_eq!(ran.status, 3, "{}", ran.stdout);
        for text in
            ["silently revert", "1 commit is newer", "clients of 1 library would be set back"]
        {
            assert!(ran.stdout.contains(text), "{text} is not in {}", ran.stdout);
        }
        assert!(
            !ran.stdout.contains("seaf-gc") && !ran.stdout.contains("mode 0600"),
            "{}",
            ran.stdout
        );
        paste_moves(&ran.stdout, 1);
        assert!(!path(&source, &newest).exists());
        let (status, report) = program(&source);
        assert_eq!((status, ahead(&report)), (0, &[][..]), "{report:#}");
    }
}

/// Runs the lines that `verify` prints in a shell that stands elsewhere; they move as many files as lines.
fn paste_moves(stdout: &str, number: usize) {
    let moves: Vec<&str> = stdout.lines().filter(|line| line.contains("mkdir -p")).collect();
    assert_eq!(moves.len(), number, "{stdout}");
    for line in moves {
        let mut shell = Command::new("sh");
        wait::success(shell.args(["-ec", line]).current_dir("/"));
    }
}

#[test]
fn the_lines_that_are_printed_move_commits_of_the_store_that_libraries_share() {
    let (user, source) = (User::new(), Source::example());
    let newest = head(&source, PHOTOS);
    let older = Contents::new(&source, PHOTOS).parent(newest).unwrap();
    set_head(&source, PHOTOS, older.id);
    let data = source.path.join("seafile-data");
    for kind in ["commits", "fs", "blocks"] {
        for file in files_below(&data.join("storage").join(kind).join(PHOTOS)) {
            let first = file.parent().unwrap().file_name().unwrap();
            let folder = data.join(kind).join(first);
            fs::create_dir_all(&folder).unwrap();
            fs::rename(&file, folder.join(file.file_name().unwrap())).unwrap();
        }
        fs::remove_dir_all(data.join("storage").join(kind).join(PHOTOS)).unwrap();
    }
    let verify = ["verify", source.path.to_str().unwrap(), "--no-leftovers"];
    let ran = user.run(&verify);
    assert_eq!(ran.status, 3, "{}", ran.stdout);
    paste_moves(&ran.stdout, 1);
    let shared = Object { store: Store::Shared, ..newest };
    assert!(!source.path.join(shared.path()).exists());
    let aside = source.path.join("seawall-set-aside").join(shared.path());
    assert!(aside.is_file(), "{}", aside.display());
    user.run(&verify).succeeds();
}

#[test]
fn the_lines_that_are_printed_move_commits_of_a_data_folder_elsewhere() {
    let (user, source) = (User::new(), Source::example());
    let newest = head(&source, PHOTOS);
    let older = Contents::new(&source, PHOTOS).parent(newest).unwrap();
    set_head(&source, PHOTOS, older.id);
    let elsewhere = user.path("it's the data");
    fs::rename(source.path.join("seafile-data"), &elsewhere).unwrap();
    let verify = [
        "verify",
        source.path.to_str().unwrap(),
        "--no-leftovers",
        "--data-dir",
        elsewhere.to_str().unwrap(),
    ];
    let ran = user.run(&verify);
    assert_eq!(ran.status, 3, "{}{}", ran.stdout, ran.stderr);
    paste_moves(&ran.stdout, 1);
    let path = newest.path();
    let inside = path.strip_prefix("seafile-data/").unwrap();
    assert!(!elsewhere.join(inside).exists());
    let aside = source.path.join("seawall-set-aside").join(&path);
    assert!(aside.is_file(), "{}", aside.display());
    user.run(&verify).succeeds();
}

#[test]
fn what_a_live_server_leaves_is_none() {
    let source = Source::example();
    let newest = head(&source, PHOTOS);
    let older = Contents::new(&source, PHOTOS).parent(newest).unwrap();
    // It lost a race: the head that won is another child of the same commit.
    write_commit(&source, &newest, &"5".repeat(40), |json| {
        json["parent_id"] = older.id.to_string().into();
    });
    // A client uploads: its commits come before the files.
    let first = write_commit(&source, &newest, &"6".repeat(40), |json| {
        json["parent_id"] = newest.id.to_string().into();
        json["root_id"] = "7".repeat(40).into();
    });
    write_commit(&source, &newest, &"8".repeat(40), |json| {
        json["parent_id"] = first.id.to_string().into();
        json["root_id"] = "9".repeat(40).into();
    });
    let (status, report) = program(&source);
    assert_eq!(status, 0, "{:#}", report["ahead"]);
    let [entry] = ahead(&report) else { panic!("{:#}", report["ahead"]) };
    assert_eq!(entry["is_upload"], true);
    assert_eq!(entry["commits"].as_array().unwrap().len(), 2, "{entry}");
}

/// Against databases that went on a snapshot's heads are older, which is no damage; in a folder that a restore filled
/// they are what will be there.
#[test]
fn a_snapshot_that_is_older_than_a_living_installation_is_no_alarm() {
    let (user, source) = (User::new(), Source::example());
    user.backup(&source.path).succeeds();
    let newest = head(&source, PHOTOS);
    write_commit(&source, &newest, &"5".repeat(40), |json| {
        json["parent_id"] = newest.id.to_string().into();
    });
    let arguments = ["verify", source.path.to_str().unwrap(), "--snapshot", "latest"];
    let live = user.run(&arguments);
    assert!(live.succeeds().contains("with the databases of this snapshot"), "{}", live.stdout);
    fs::write(source.path.join("RESTORE-NOTES.txt"), "").unwrap();
    let restored = user.run(&arguments);
    assert_eq!(restored.status, 3, "{}", restored.stdout);
}

#[test]
fn a_lost_row_in_branch_comes_back_by_the_statement_that_is_printed() {
    let (user, source) = (User::new(), Source::example());
    let newest = head(&source, DOCUMENTS);
    source.sql(&format!("DELETE FROM Branch WHERE repo_id = '{DOCUMENTS}'"));
    let ran = user.run(&["verify", source.path.to_str().unwrap()]);
    assert_eq!(ran.status, 3, "{}", ran.stdout);
    assert!(!ran.stdout.contains("mode 0600"), "no file has to be copied: {}", ran.stdout);
    let statement = ran.stdout.split("INSERT INTO Branch").nth(1).unwrap();
    let statement = statement.split_once(';').unwrap().0;
    assert!(statement.contains(&newest.id.to_string()), "{statement}");
    source.sql(&format!("INSERT INTO Branch{statement}"));
    user.run(&["verify", source.path.to_str().unwrap()]).succeeds();
}

#[test]
fn words_about_base_commits_and_what_lies_below_damage() {
    let (user, source) = (User::new(), Source::example());
    let base = source.query("SELECT base_commit FROM VirtualRepo");
    let origin = Contents::new(&source, DOCUMENTS);
    let root = origin.root(origin.head());
    fs::remove_file(path(&source, &origin.commit(base.parse().unwrap()))).unwrap();
    let ran = user.run(&["verify", source.path.to_str().unwrap()]);
    assert_eq!(ran.status, 3, "{}", ran.stdout);
    let summary = ran.stdout.lines().filter(|line| line.starts_with("library "));
    let of_virtual: Vec<&str> = summary.filter(|line| line.contains(VIRTUAL)).collect();
    assert!(
        of_virtual.len() == 1 && of_virtual[0].contains("only for merging"),
        "{of_virtual:?}: {}",
        ran.stdout
    );
    // Everything of the newest state lies below its root.
    fs::remove_file(path(&source, &root)).unwrap();
    let ran = user.run(&["verify", source.path.to_str().unwrap()]);
    let notes =
        ran.stdout.lines().filter(|line| line.contains(" only what is damaged may point to"));
    assert_eq!(notes.count(), 1, "{}", ran.stdout);
}

#[test]
fn folders_that_a_restore_left_are_told_as_what_they_are() {
    let (user, source) = (User::new(), Source::example());
    user.backup(&source.path).succeeds();
    let target = user.path("it's here");
    let target = target.to_str().unwrap();
    let restored = user.run(&["restore", "latest", "--target", target, "--data-only"]);
    let printed = restored.succeeds();
    let command = printed.lines().find_map(|line| line.trim_start().strip_prefix("then: "));
    let command = command.unwrap();
    assert!(command.contains("--snapshot 2") && command.contains(r"it'\''s here"), "{command}");
    let by_databases = user.run(&["verify", target]);
    by_databases.fails(1, &["--snapshot 2", " -r "]);
    assert!(!by_databases.stderr.contains(".env"), "{}", by_databases.stderr);
    let program = std::path::PathBuf::from(env!("CARGO_BIN_EXE_seawall"));
    let folder = program.parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .env_clear()
        .env("PATH", format!("{folder}:{path}"))
        .current_dir("/");
    let said = String::from_utf8(wait::success(&mut shell)).unwrap();
    assert!(said.contains("databases  none was asked"), "{said}");
    fs::write(format!("{target}/RESTORE-UNFINISHED.txt"), "").unwrap();
    user.run(&["verify", target]).fails(1, &["this restore is unfinished", "run it again"]);
    let live = user.run(&["verify", source.path.to_str().unwrap()]);
    assert!(live.succeeds().contains("databases  seafile-data/seafile.db, "), "{}", live.stdout);
}
