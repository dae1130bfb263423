//! `seawall damage`, and what a backup says of damage that is new, known or accepted.

use super::*;

const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";

/// Removes the largest block of a library; returns its id.
fn lose_block(source: &Source) -> String {
    let blocks = source.objects("blocks", PHOTOS).into_iter();
    let path = blocks.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    fs::remove_file(&path).unwrap();
    let folder = path.parent().unwrap().file_name().unwrap();
    let (folder, name) = (folder.to_str().unwrap(), path.file_name().unwrap());
    format!("{folder}{}", name.to_str().unwrap())
}

fn last(ran: &Ran) -> &str {
    ran.stdout.lines().last().unwrap()
}

#[test]
fn only_news_raises_the_alarm() {
    let (user, source) = (User::new(), Source::example());
    let old = lose_block(&source);
    let first = user.backup(&source.path);
    first.fails(3, &["warning: NEW: ", "Photos & Videos", " is lost: "]);
    assert_eq!(last(&first), "read      NEW damage: 1 object lost");
    let second = user.backup(&source.path);
    second.fails(3, &["warning: ", " is lost: "]);
    assert_eq!(last(&second), "read      known damage, not accepted: 1 object lost");
    user.run(&["status"]).fails(3, &[]);

    let accepted = user.run(&["damage", "accept", &old[..8], "--note", "power cut of 2019"]);
    assert!(accepted.succeeds().contains("1 object accepted; the next backup signs it"));
    let third = user.backup(&source.path);
    let text = third.succeeds();
    assert!(text.contains("\naccepted  1 damaged object known;"), "{text}");
    assert!(last(&third).starts_with("marker "), "{text}");
    assert!(!third.stderr.contains("lost"), "{}", third.stderr);
    let marker = fs::read_to_string(user.only("markers")).unwrap();
    assert!(marker.contains("\ndamage 1\naccepted 1\n"), "{marker}");
    assert!(user.run(&["snapshots"]).succeeds().contains("1 damaged (1 accepted)"));
    assert!(user.run(&["status"]).succeeds().contains("damage 1 accepted 1"));
    let target = user.path("restored");
    let restore = user.run(&["restore", "latest", "--target", target.to_str().unwrap()]);
    assert!(
        restore
            .succeeds()
            .contains("damaged   1 object lost before the backup was made (1 accepted)")
    );

    let new = "aaaaaaaa-0000-4000-8000-000000000001";
    source.sql(&format!("INSERT INTO Repo VALUES ('{new}')"));
    let fourth = user.backup(&source.path);
    fourth.fails(3, &["NEW: ", &format!(" is lost: commit {new}")]);
    assert!(!fourth.stderr.contains(&old), "{}", fourth.stderr);
    assert_eq!(last(&fourth), "read      NEW damage: 1 object lost");
    let list = user.run(&["damage", "list", "--json"]).json();
    let row = |at: usize, name: &str| list["damage"][at][name].as_str().unwrap().to_owned();
    let mut states = [0, 1].map(|at| (row(at, "library"), row(at, "state")));
    states.sort();
    let expected = [(PHOTOS, "accepted"), (new, "new")];
    assert_eq!(states, expected.map(|(library, state)| (library.into(), state.into())));
    let list = user.run(&["damage", "list"]);
    for part in ["NEW", "accepted", "[power cut of 2019]", "Photos & Videos", &old, new] {
        assert!(list.succeeds().contains(part), "{part}: {}", list.stdout);
    }

    user.run(&["damage", "unaccept", &old]).succeeds();
    let fifth = user.backup(&source.path);
    assert_eq!(last(&fifth), "read      known damage, not accepted: 2 objects lost");
    user.run(&["damage", "accept", "--all", "--until", "2999-12-31"]).succeeds();
    user.backup(&source.path).succeeds();
    let list = user.run(&["damage", "list"]);
    assert!(list.succeeds().contains("accepted until 2999-12-31"), "{}", list.stdout);
}

#[test]
fn a_row_goes_by_its_library_and_what_is_meant_must_be_clear() {
    let (user, source) = (User::new(), Source::example());
    let rows = ["aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"];
    for row in rows {
        source.sql(&format!("INSERT INTO Repo VALUES ('{row}')"));
    }
    user.backup(&source.path).fails(3, &["NEW: ", " is lost", "no head"]);
    let accept = |id: &str| user.run(&["damage", "accept", id]);
    accept("aaaaaaaa").fails(1, &["several ids", rows[0], rows[1], "more digits"]);
    accept("bbbbbb").fails(1, &["no damage with the id bbbbbb", "damage list"]);
    for wrong in ["aaaaa", "xyzxyz", ""] {
        accept(wrong).fails(2, &["6 hex digits"]);
    }
    user.run(&["damage", "accept"]).fails(2, &["<ID>"]);
    user.run(&["damage", "accept", rows[0], "--all"]).fails(2, &["--all"]);
    user.run(&["damage", "accept", "--all", "--until", "soon"]).fails(2, &["2026-12-31"]);
    user.run(&["damage", "accept", "--all", "--until", "2020-01-01"]).fails(1, &["over already"]);
    // One wrong id, and none is accepted.
    user.run(&["damage", "accept", rows[0], "bbbbbb"]).fails(1, &[]);
    user.backup(&source.path).fails(3, &[]);
    accept(rows[0]).succeeds();
    let half = user.backup(&source.path);
    assert_eq!(last(&half), "read      known damage, not accepted: 1 object lost");
    accept(rows[1]).succeeds();
    user.backup(&source.path).succeeds();
}

#[test]
fn damage_is_accepted_by_library_and_path() {
    let (user, source) = (User::new(), Source::example());
    lose_block(&source);
    let row = "aaaaaaaa-0000-4000-8000-000000000001";
    source.sql(&format!("INSERT INTO Repo VALUES ('{row}')"));
    user.backup(&source.path).fails(3, &[]);
    let list = user.run(&["damage", "list", "--json"]).json();
    let mut lost = list["damage"].as_array().unwrap().iter();
    let path = lost.find_map(|damage| damage["paths"][0].as_str()).unwrap().to_owned();
    let place = |arguments: &[&str]| user.run(&[&["damage", "accept"], arguments].concat());
    place(&["--path", "/nowhere"]).fails(1, &["no damage at \"/nowhere\"", "damage list"]);
    place(&["--path", &path[..path.len() - 1]]).fails(1, &["lists no damage"]);
    place(&["--library", "Photos"]).fails(1, &["no library \"Photos\"", "seawall libraries"]);
    place(&["--library", row, "--path", &path]).fails(1, &["lists no damage"]);
    place(&["--path", &path, "--all"]).fails(2, &[]);
    let accepted = place(&["--library", "Photos & Videos", "--path", &path]);
    assert!(accepted.succeeds().contains("1 object accepted"), "{}", accepted.stdout);
    let half = user.backup(&source.path);
    assert_eq!(last(&half), "read      known damage, not accepted: 1 object lost");
    // A folder, the beginning of an id, and back again.
    let back = user.run(&["damage", "unaccept", "--path", "/"]);
    assert!(back.succeeds().contains("1 object not accepted"), "{}", back.stdout);
    place(&["--library", &PHOTOS[..8]]).succeeds();
    place(&["--library", &row[..8]]).succeeds();
    user.backup(&source.path).succeeds();
}

/// A commit that names another folder than it did is there.
#[test]
fn what_was_altered_is_not_called_lost() {
    let (user, source) = (User::new(), Source::example());
    let newest = crate::damage::head(&source, PHOTOS);
    let older = crate::damage::parent(&source, &newest);
    let path = crate::damage::object_path(&source, &newest);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let wrong = crate::damage::root(&source, &older).id.to_string();
    let text = json.to_string().replace(json["root_id"].as_str().unwrap(), &wrong);
    fs::remove_file(&path).unwrap();
    fs::write(&path, text).unwrap();
    let ran = user.backup(&source.path);
    ran.fails(3, &[" was altered: commit "]);
    assert!(!ran.stderr.contains("is lost"), "{}", ran.stderr);
    assert_eq!(last(&ran), "read      NEW damage: 1 object altered");
    let list = user.run(&["damage", "list"]);
    assert!(list.succeeds().contains("altered: "), "{}", list.stdout);
    assert!(!list.stdout.contains("lost"), "{}", list.stdout);
}

#[test]
fn it_needs_the_host_that_is_backed_up_and_makes_nothing() {
    let (user, source) = (User::new(), Source::example());
    for what in [&["damage", "list"][..], &["damage", "accept", "--all"]] {
        user.run(what).fails(12, &["no state folder", "--state-dir"]);
        assert!(!user.path("state").exists());
    }
    user.run(&["init"]).succeeds();
    user.run(&["damage", "list"]).fails(1, &["no snapshot", "backup first"]);
    user.backup(&source.path).succeeds();
    assert!(user.run(&["damage", "list"]).succeeds().contains("No damage."));
    let other = user.path("other");
    fs::create_dir(&other).unwrap();
    user.run(&["damage", "list", "-r", other.to_str().unwrap()]).fails(10, &["no repository"]);
}

#[test]
fn a_file_of_acceptances_that_cannot_be_read_does_not_stop_a_backup() {
    let (user, source) = (User::new(), Source::example());
    lose_block(&source);
    user.backup(&source.path).fails(3, &[]);
    user.run(&["damage", "accept", "--all"]).succeeds();
    let file = files_below(&user.path("state/repositories"))
        .into_iter()
        .find(|path| path.ends_with("accepted"))
        .unwrap();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"block\"", "\"brick\"")).unwrap();
    user.backup(&source.path).fails(3, &["no damage counts as accepted", "line 2", "brick"]);
    user.run(&["damage", "accept", "--all"]).fails(1, &["line 2", "mend that line"]);
    fs::write(&file, text).unwrap();
    user.backup(&source.path).succeeds();
}
