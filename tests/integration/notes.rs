//! `RESTORE-NOTES.txt`: true in every mode.

use std::fs;

use crate::cli::User;
use crate::damage::head;
use crate::support::{DOCUMENTS, Source};
use crate::verify::contents::{Contents, path};

fn notes(user: &User, target: &str, more: &[&str]) -> (String, String) {
    let target = user.path(target);
    let restore = ["restore", "latest", "--target", target.to_str().unwrap()];
    let ran = user.run(&[&restore[..], more].concat());
    assert!(matches!(ran.status, 0 | 3), "{}", ran.stderr);
    let text = fs::read_to_string(target.join("RESTORE-NOTES.txt")).unwrap();
    (text, ran.stdout)
}

#[test]
fn what_was_not_asked_for_is_not_called_checked() {
    let (user, source) = (User::new(), Source::example());
    user.backup(&source.path).succeeds();
    let (all, printed) = notes(&user, "all", &[]);
    let command = format!("seawall verify {}", user.path("all").display());
    assert!(all.contains("Nothing: every object was checked"), "{all}");
    assert!(all.contains(&format!("  1. {command}\n")) && printed.contains(&command), "{all}");
    let (databases, printed) = notes(&user, "databases", &["--databases-only"]);
    assert!(databases.contains("Nothing of the databases"), "{databases}");
    assert!(!databases.contains("every object was checked"), "{databases}");
    assert!(
        !databases.contains("seawall verify") && !printed.contains("seawall verify"),
        "{databases}"
    );
    let (data, _) = notes(&user, "data", &["--data-only"]);
    assert!(data.contains("Nothing of the data") && data.contains("--databases-only"), "{data}");
    assert!(data.contains(" --snapshot 2") && data.contains(" -r "), "{data}");
}

#[test]
fn damage_is_named_with_its_files_and_counted_in_english() {
    let (user, source) = (User::new(), Source::example());
    // A block that only history needs: the newest state of the library has it no more.
    let library = Contents::new(&source, DOCUMENTS);
    let newest: Vec<_> =
        library.entries(library.head()).iter().flat_map(|entry| entry.blocks.clone()).collect();
    let old = library.history().into_iter().find_map(|commit| {
        let entries = library.entries(commit);
        entries.into_iter().find_map(|entry| {
            let block = entry.blocks.iter().find(|block| !newest.contains(block)).copied();
            block.map(|block| (entry.path.clone(), block))
        })
    });
    let (file, block) = old.unwrap();
    fs::remove_file(path(&source, &block)).unwrap();
    let backup = user.backup(&source.path);
    assert_eq!(backup.status, 3, "{}", backup.stderr);
    let (text, printed) = notes(&user, "target", &[]);
    assert!(text.contains("1 object was lost on the old server"), "{text}");
    assert!(!text.contains("0 of them") && !text.contains("left bad bytes"), "{text}");
    // However its lines are broken.
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(line.contains("history only, in the version of"), "{text}");
    assert!(line.contains(&format!(": {file};")), "{file}: {text}");
    assert!(printed.contains("1 object lost before"), "{printed}");
    assert_eq!(head(&source, DOCUMENTS).id, library.head().id);
}

#[test]
fn what_lay_beside_the_installation_is_named_with_its_hosts() {
    let (user, source) = (User::new(), Source::example());
    let docker = user.path("docker");
    fs::create_dir(&docker).unwrap();
    fs::write(docker.join(".env"), "SEAFILE_MYSQL_DB_HOST=old-db\nNON_ROOT=true\nSECRET=hunter2\n")
        .unwrap();
    fs::write(
        docker.join("seafile-server.yml"),
        "services:\n  db:\n    ports:\n      - \"port: 33061\"\n",
    )
    .unwrap();
    let also = docker.to_str().unwrap();
    user.run(&["backup", source.path.to_str().unwrap(), "--init", "--also", also]).succeeds();
    let (text, _) = notes(&user, "target", &[]);
    let inside = format!("extra{also}/.env");
    for wanted in [
        inside.as_str(),
        &format!("extra{also}/seafile-server.yml  (was {also}/seafile-server.yml)"),
        "SEAFILE_MYSQL_DB_HOST=old-db",
        "--owner 8000:8000",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    // Seafile's image will run as user 8000, and may not write there.
    let target = user.path("target");
    let doctor = user.run(&["doctor", target.to_str().unwrap()]);
    assert_eq!(doctor.status, 3, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("user 8000 cannot write to"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("--owner 8000:8000"), "{}", doctor.stdout);
}
