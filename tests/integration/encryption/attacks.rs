//! What somebody who can write at the destination, or rot, can do.

use seawall_test_servers::wait;

use super::*;

/// What an operator of the storage says counts for nothing.
#[test]
fn nothing_is_stored_in_the_clear_because_a_destination_says_so() {
    let (user, source) = (User::new(), Source::example());
    let (_, public) = age_key(&user, "office.key");
    let (_, other) = age_key(&user, "operator.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.path.to_str().unwrap()]).succeeds();
    let configuration = user.repository().join("seawall.json");
    let text = fs::read_to_string(&configuration).unwrap();
    assert!(text.contains("\"encryption\":\"age\""), "{text}");
    let set = |text: &str| {
        let mut permissions = fs::metadata(&configuration).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
        fs::set_permissions(&configuration, permissions).unwrap();
        fs::write(&configuration, text).unwrap();
    };
    set(&text.replace(",\"encryption\":\"age\"", ""));
    fs::write(source.path.join("conf/new.conf"), "x").unwrap();
    let before = files_below(&user.repository());
    let refused = user.run(&["backup", source.path.to_str().unwrap()]);
    refused.fails(1, &["says that nothing is encrypted", "seawall init"]);
    assert_eq!(files_below(&user.repository()), before);
    // Another recipient in the repository changes nothing: recipients are this host's own.
    set(&text.replace('}', &format!(",\"recipients\":[\"{other}\"]}}")));
    user.run(&["backup", source.path.to_str().unwrap()]).succeeds();
    let manifests = user.repository().join("data/manifests");
    let newest = files_below(&manifests).pop().unwrap();
    let refused = wait::output(
        Command::new("age").args(["-d", "-i"]).arg(user.path("operator.key")).arg(newest),
    );
    assert!(!refused.status.success());
    // Without the file, markers tell, and it is written again as it was.
    fs::remove_file(&configuration).unwrap();
    user.run(&["init"]).succeeds();
    assert!(fs::read_to_string(&configuration).unwrap().contains("\"encryption\":\"age\""));
    user.run(&["backup", source.path.to_str().unwrap()]).succeeds();
}

/// Whoever can write at the destination cannot make this host store in the clear.
#[test]
fn a_repository_that_was_replaced_gets_nothing_in_the_clear() {
    let (user, source) = (User::new(), example());
    let path = source.to_str().unwrap();
    let (_, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", path]).succeeds();
    let kept = user.path("kept");
    fs::rename(user.repository(), &kept).unwrap();
    let refused = ["encrypts what it stores", &public, "--unencrypted"];
    let absent = ["this host stored here on", "--anew"];
    user.run(&["backup", path, "--init"]).fails(10, &absent);
    user.run(&["init"]).fails(10, &absent);
    user.run(&["init", "--anew"]).fails(12, &refused);
    assert!(!user.repository().join("seawall.json").exists());
    // Somebody's own one.
    let stranger = User::new();
    stranger.run(&["init"]).succeeds();
    fs::remove_dir_all(user.repository()).ok();
    shell(
        user.home(),
        &format!("cp -r {} {}", stranger.repository().display(), user.repository().display()),
    );
    user.run(&["backup", path]).fails(12, &["somebody replaced the repository"]);
    user.run(&["backup", path, "--init"]).fails(10, &absent);
    user.run(&["init"]).fails(10, &absent);
    user.run(&["init", "--anew"]).fails(12, &refused);
    user.run(&["init", "--anew", "--unencrypted"]).succeeds();
    user.run(&["backup", path]).succeeds();
    // Other recipients are not taken by accident either.
    fs::remove_dir_all(user.repository()).unwrap();
    fs::rename(&kept, user.repository()).unwrap();
    let (_, other) = age_key(&user, "other.key");
    user.run(&["init", "--recipient", &other]).fails(1, &[&public, "seawall key add"]);
    user.run(&["init", "--recipient", &public]).succeeds();
}

/// One word in a file that nothing signs.
#[test]
fn seawall_json_that_says_otherwise_is_told_and_not_believed() {
    let (user, source) = (User::new(), example());
    let (key, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    let path = user.repository().join("seawall.json");
    let text = fs::read_to_string(&path).unwrap();
    let altered = text.replace("\"encryption\":\"age\"", "\"x\":\"age\"");
    assert_ne!(altered, text);
    write(&path, altered.as_bytes());
    let checked = user.run(&["check"]);
    checked.fails(3, &["it was altered; going on as the markers say"]);
    let said = &checked.stdout;
    assert!(said.contains("seawall.json") && !said.contains("data/"), "{said}");
    restore(&user, "a", &["-i", key.to_str().unwrap()]).succeeds();
    is_whole(&user, "a");
}

/// A marker that was overwritten with the void of a run, or removed.
#[test]
fn markers_that_vanish_are_missed() {
    let (user, source) = (User::new(), Source::example());
    let path = source.path.to_str().unwrap();
    user.run(&["init"]).succeeds();
    for _ in 0..3 {
        user.run(&["backup", path]).succeeds();
    }
    let markers = files_below(&user.repository().join("markers"));
    let void = |at: usize| {
        let before = fs::read(&markers[at]).unwrap();
        write(&markers[at], b"seawall void 1\n");
        before
    };
    let middle = void(1);
    let name = markers[1].file_name().unwrap().to_str().unwrap().to_owned();
    let checked = user.run(&["check"]);
    checked.fails(3, &[]);
    assert!(checked.stdout.contains(&name) && checked.stdout.contains("overwritten"));
    let listed = user.run(&["snapshots"]);
    assert!(listed.stderr.contains("declared dead"), "{}", listed.stderr);
    write(&markers[1], &middle);
    user.run(&["check"]).succeeds();
    let newest = void(2);
    user.run(&["check"]).fails(3, &[]);
    fs::remove_file(&markers[2]).unwrap();
    let checked = user.run(&["check"]);
    checked.fails(3, &[]);
    assert!(checked.stdout.contains("is not there"), "{}", checked.stdout);
    fs::write(&markers[2], &newest).unwrap();
    user.run(&["check"]).succeeds();
}

/// A header that rotted looks like one for another key.
#[test]
fn a_damaged_header_is_a_loss_and_no_wrong_key() {
    let (user, source) = (User::new(), example());
    let (key, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    let part = &files_below(&user.repository().join("databases"))[0];
    {
        let mut bytes = fs::read(part).unwrap();
        let at = bytes.windows(10).position(|window| window == b"-> X25519 ").unwrap() + 60;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        write(part, &bytes);
    }
    let restored = restore(&user, "a", &["-i", key.to_str().unwrap()]);
    restored.fails(3, &[]);
    assert!(restored.stdout.contains("lost"), "{}", restored.stdout);
    assert!(user.path("a/conf/seafile.conf").exists());
}

/// A header that nobody has vouched for is read as far as a header goes.
#[test]
fn a_planted_header_costs_little() {
    let (user, source) = (User::new(), example());
    let (key, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    let planted = format!("age-encryption.org/v1\n{}", "-> a\nAAAA\n".repeat(400_000));
    fs::write(user.repository().join("keys/passphrase-00000001.age"), &planted).unwrap();
    let part = files_below(&user.repository().join("databases"));
    write(&part[0], planted.as_bytes());
    fs::write(user.path("passphrase"), "x\n").unwrap();
    let more = ["-i", key.to_str().unwrap(), "--passphrase-file", "passphrase"];
    restore(&user, "a", &more).fails(3, &[]);
    assert!(user.path("a/conf/seafile.conf").exists());
}

/// Who has neither a key nor a right to write finds each change of each thing, and a name for it.
#[test]
fn every_change_is_found_without_a_key() {
    let (user, source) = (User::new(), Source::example());
    let (_, public) = age_key(&user, "office.key");
    let made = user.run(&["init", "--json", "--recipient", &public]).json();
    let trust = made["verification_key"].as_str().unwrap();
    user.run(&["backup", source.path.to_str().unwrap()]).succeeds();
    let check = || {
        let mut command = user.command(&["check", "--read-data", "--trust", trust]);
        command.env("SEAWALL_STATE_DIR", user.path("nothing"));
        Ran::of(wait::output(&mut command))
    };
    check().succeeds();
    let stored = files_below(&user.repository());
    let name = |path: &Path| {
        let name = path.strip_prefix(user.repository()).unwrap();
        name.to_str().unwrap().to_owned()
    };
    let named = |path: &Path, what: &str| {
        let found = check();
        assert_eq!(found.status, 3, "{what}: {}", found.stdout);
        assert!(found.stdout.contains(&name(path)), "{what}: {}", found.stdout);
    };
    let counts = |path: &&PathBuf| {
        let name = name(path);
        !["data/runs/", "keys/", "seawall.json", "restore-by-hand.md"]
            .iter()
            .any(|begin| name.starts_with(begin))
    };
    for path in stored.iter().filter(counts) {
        let bytes = fs::read(path).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut altered = bytes.clone();
            altered[at] ^= 0x04;
            write(path, &altered);
            named(path, "a byte");
        }
        write(path, &bytes[..bytes.len() - 1]);
        named(path, "cut");
        write(path, &bytes);
    }
    check().succeeds();
    // A pack in the place of another, both of which are good; a marker under another name.
    let packs: Vec<&PathBuf> = stored
        .iter()
        .filter(|path| {
            name(path).starts_with("data/blocks/") || name(path).starts_with("data/trees/")
        })
        .collect();
    assert!(packs.len() >= 2, "{packs:?}");
    let (one, other) = (fs::read(packs[0]).unwrap(), fs::read(packs[1]).unwrap());
    write(packs[0], &other);
    named(packs[0], "swapped");
    write(packs[0], &one);
    let is_marker = |path: &&PathBuf| name(path).starts_with("markers/");
    let marker = stored.iter().find(is_marker).unwrap();
    let renamed =
        marker.with_file_name(marker.file_name().unwrap().to_str().unwrap().replace("202", "201"));
    fs::rename(marker, &renamed).unwrap();
    named(&renamed, "renamed");
}

/// Over a file that nobody may write.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}
