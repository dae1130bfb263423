//! Keys come and go: recipients, passphrases, plugins, hosts that move.

use seawall_test_servers::wait;

use super::attacks::write;
use super::*;

#[test]
fn a_catalog_that_is_lost_is_rebuilt_with_the_hosts_key() {
    let (user, source) = (User::new(), example());
    let (_, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    for path in files_below(&user.path("state")) {
        if path.to_str().unwrap().contains("catalog") {
            fs::remove_file(path).unwrap();
        }
    }
    let rebuilt = user.run(&["backup", source.to_str().unwrap(), "--json"]);
    rebuilt.succeeds();
    assert_eq!(rebuilt.json()["objects_stored"], 0);
}

#[test]
fn a_key_behind_a_passphrase_lies_in_the_repository() {
    let (user, source) = (User::new(), example());
    fs::write(user.path("passphrase"), "correct horse battery staple\n").unwrap();
    fs::write(user.path("wrong"), "incorrect\n").unwrap();
    let right = ["--passphrase-file", "passphrase"];
    let init = ["init", "--with-passphrase"];
    user.run(&init).fails(1, &["no passphrase", "SEAWALL_PASSPHRASE"]);
    assert!(!user.repository().join("seawall.json").exists());
    user.run(&[&init[..], &right].concat()).succeeds();
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    restore(&user, "a", &[]).fails(12, &["none of the keys"]);
    let wrong = ["--passphrase-file", "wrong"];
    restore(&user, "a", &wrong).fails(12, &["passphrase is wrong"]);
    restore(&user, "a", &right).succeeds();
    is_whole(&user, "a");
    // It is an ordinary identity file of age.
    let kept = files_below(&user.repository().join("keys"));
    let kept = kept.iter().find(|path| path.extension().is_some_and(|end| end == "age"));
    fs::copy(kept.unwrap(), user.path("kept.age")).unwrap();
    restore(&user, "b", &[&right[..], &["-i", "kept.age"]].concat()).succeeds();
}

/// The file that a passphrase protects lies where many may try.
#[test]
fn a_weak_passphrase_is_refused_before_anything_is_made() {
    let user = User::new();
    let init = ["init", "--with-passphrase", "--passphrase-file", "passphrase"];
    for weak in ["a", "elevenchars", "aaaaaaaaaaaaaaaaaaaa"] {
        fs::write(user.path("passphrase"), format!("{weak}\n")).unwrap();
        let refused = user.run(&init);
        refused.fails(1, &["too weak", "may try passphrases"]);
        assert!(!refused.stderr.contains("elevenchars"), "{}", refused.stderr);
        assert!(!user.repository().exists(), "{weak}");
    }
    fs::write(user.path("passphrase"), "twelve chars\n").unwrap();
    let made = user.run(&init);
    let said = made.succeeds();
    assert!(said.contains("Write the passphrase down"), "{said}");
    assert!(!said.contains("private key of one"), "there is none: {said}");
    fs::write(user.path("passphrase"), "b\n").unwrap();
    let added = ["key", "add", "--with-passphrase", "--passphrase-file", "passphrase"];
    user.run(&added).fails(1, &["too weak"]);
}

/// A repository that was made before weak ones were refused.
#[test]
fn an_existing_key_behind_a_short_passphrase_still_opens() {
    let user = User::new();
    fs::write(user.path("passphrase"), "correct horse battery staple\n").unwrap();
    let right = ["--passphrase-file", "passphrase"];
    user.run(&[&["init", "--with-passphrase"], &right[..]].concat()).succeeds();
    user.run(&["backup", example().to_str().unwrap()]).succeeds();
    let exported = user.run(&[&["key", "export"], &right[..]].concat());
    let secret = exported.succeeds().lines().last().unwrap();
    let wrapped = seawall::crypt::wrap(secret, "a".into()).unwrap();
    let mut kept = files_below(&user.repository().join("keys"));
    kept.retain(|path| path.extension().is_some_and(|end| end == "age"));
    write(&kept[0], &wrapped);
    fs::write(user.path("short"), "a\n").unwrap();
    restore(&user, "a", &["--passphrase-file", "short"]).succeeds();
    is_whole(&user, "a");
}

#[test]
fn keys_of_a_repository_without_encryption_are_nothing_to_write_again() {
    let user = User::new();
    user.backup(&example()).succeeds();
    let before = files_below(&user.repository());
    user.run(&["key", "rewrap"]).fails(1, &["is not encrypted"]);
    assert_eq!(files_below(&user.repository()), before);
    let exported = user.run(&["key", "export"]);
    exported.fails(1, &["is not encrypted"]);
    assert!(!exported.stderr.contains("passphrase"), "{}", exported.stderr);
}

/// A plugin for age, as that of a security key would be: it wraps file keys by turning their bits over.
const PLUGIN: &str = r#"#!/usr/bin/env python3
import base64, sys

def read():
    line = sys.stdin.readline().rstrip("\n")
    assert line.startswith("-> "), line
    body = ""
    while True:
        part = sys.stdin.readline().rstrip("\n")
        body += part
        if len(part) < 64:
            return line[3:].split(" "), base64.b64decode(body + "=" * (-len(body) % 4))

def write(words, body=b""):
    text = base64.b64encode(body).decode().rstrip("=")
    lines = [text[i:i + 64] for i in range(0, len(text), 64)]
    if not lines or len(lines[-1]) == 64:
        lines.append("")
    sys.stdout.write("-> " + " ".join(words) + "\n" + "\n".join(lines) + "\n")
    sys.stdout.flush()

turned = lambda body: bytes(byte ^ 0xFF for byte in body)
given = []
while True:
    words, body = read()
    if words[0] == "done":
        break
    given.append((words, body))
if sys.argv[1] == "--age-plugin=recipient-v1":
    keys = [body for words, body in given if words[0] == "wrap-file-key"]
    for number, key in enumerate(keys):
        write(["recipient-stanza", str(number), "stub", "argument"], turned(key))
        read()
else:
    assert sys.argv[1] == "--age-plugin=identity-v1", sys.argv
    for words, body in given:
        if words[0] == "recipient-stanza" and words[2] == "stub":
            write(["file-key", words[1]], turned(body))
            read()
write(["done"])
"#;

#[test]
fn a_plugins_recipient_is_one_like_others() {
    use bech32::{Bech32, Hrp};
    use std::os::unix::fs::PermissionsExt as _;
    let (user, source) = (User::new(), example());
    let text = |prefix: &str| {
        let prefix = Hrp::parse_unchecked(prefix);
        bech32::encode::<Bech32>(prefix, b"the number of the key").unwrap()
    };
    let recipient = text("age1stub");
    let identity = text("age-plugin-stub-").to_uppercase();
    fs::write(user.path("token"), format!("# plugged in\n{identity}\n")).unwrap();
    let refused = user.run(&["init", "--recipient", &recipient]);
    refused.fails(1, &["age-plugin-stub", "PATH"]);
    assert!(!user.repository().join("seawall.json").exists());
    let bin = user.path("bin");
    fs::create_dir(&bin).unwrap();
    let plugin = bin.join("age-plugin-stub");
    fs::write(&plugin, PLUGIN).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str]| {
        let mut command = user.command(arguments);
        Ran::of(wait::output(command.env("PATH", &path)))
    };
    run(&["init", "--recipient", &recipient]).succeeds();
    run(&["backup", source.to_str().unwrap()]).succeeds();
    let target = user.path("a");
    let examined = run(&["doctor"]);
    let said = format!("ok        encryption: to {recipient}\n");
    assert!(examined.stdout.contains(&said), "{}", examined.stdout);
    user.run(&["doctor"]).fails(3, &[]);
    let restore = ["restore", "latest", "--target", target.to_str().unwrap(), "-i", "token"];
    user.run(&restore).fails(12, &["age-plugin-stub"]);
    run(&restore).succeeds();
    is_whole(&user, "a");
}

/// Who can read changes; what is listed is opened to the new ones, and what is stored stays.
#[test]
fn recipients_come_and_go() {
    let (user, source) = (User::new(), Source::example());
    let ((old, old_public), (new, new_public)) =
        (age_key(&user, "old.key"), age_key(&user, "new.key"));
    let path = source.path.to_str().unwrap();
    user.run(&["init", "--recipient", &old_public]).succeeds();
    user.run(&["backup", path]).succeeds();
    let added = user.run(&["key", "add", "--recipient", &new_public]);
    assert!(added.succeeds().contains("stays closed to it"), "{}", added.stdout);
    let listed = user.run(&["key", "list", "--json"]).json();
    assert_eq!(listed["recipients"].as_array().unwrap().len(), 2);
    assert_eq!(listed["signers"][0]["this_host"], true);
    let new = ["-i", new.to_str().unwrap()];
    let other_state = |arguments: &[&str]| {
        let mut command = user.command(arguments);
        command.env("SEAWALL_STATE_DIR", user.path("nothing"));
        Ran::of(wait::output(&mut command))
    };
    let libraries = [&["libraries"][..], &new].concat();
    other_state(&libraries).fails(12, &["none of the keys given opens"]);
    let before = files_below(&user.repository().join("data/blocks"));
    user.run(&["key", "rewrap"]).succeeds();
    other_state(&libraries).succeeds();
    assert_eq!(files_below(&user.repository().join("data/blocks")), before);
    // What was stored before stays closed, and what comes now is open.
    let old = ["-i", old.to_str().unwrap()];
    let who = format!("{old_public} opens all of ");
    restore(&user, "a", &new).fails(12, &["none of the keys given opens", &who]);
    restore(&user, "a", &old).succeeds();
    is_whole(&user, "a");
    user.run(&["check", "--read-data"]).succeeds();
    fs::write(source.path.join("conf/new.conf"), "x").unwrap();
    let next = user.run(&["backup", path, "--json"]);
    next.succeeds();
    assert_eq!(next.json()["objects_stored"], 0, "nothing is stored again");
    user.run(&["key", "remove", "age1"]).fails(1, &["2 of this host's recipients"]);
    // A run has stored for both: neither part nor pack is written before the old packs are known to open.
    fs::write(source.path.join("conf/new.conf"), "z").unwrap();
    user.run(&["backup", path]).succeeds();
    for more in [&[][..], &["--dry-run"]] {
        restore(&user, "half", &[&new[..], more].concat()).fails(12, &["none of the keys"]);
        assert!(!user.path("half").exists());
    }
    let removed = user.run(&["key", "remove", &old_public]);
    assert!(removed.succeeds().contains("KEEP ITS IDENTITY"));
    user.run(&["key", "remove", &new_public]).fails(1, &["the only recipient"]);
    fs::write(source.path.join("conf/new.conf"), "y").unwrap();
    user.run(&["backup", path]).succeeds();
    let manifest = files_below(&user.repository().join("data/manifests")).pop().unwrap();
    let opens = |key: &str| {
        let mut command = Command::new("age");
        command.args(["-d", "-i"]).arg(user.path(key)).arg(&manifest);
        wait::output(&mut command).status.success()
    };
    assert!(opens("new.key") && !opens("old.key"));
    // Each opens a part, which everything says that names keys.
    let said = "no key alone opens ";
    restore(&user, "b", &new).fails(12, &[said, &old_public, &new_public]);
    restore(&user, "b", &old).fails(12, &["none of the keys"]);
    restore(&user, "b", &[&old[..], &new].concat()).succeeds();
    is_whole(&user, "b");
    let sheet = user.run(&["key", "sheet"]);
    let sheet = sheet.succeeds();
    for part in
        [&old_public, "KEEP IT: opens what was stored until", "No key alone opens everything"]
    {
        assert!(sheet.contains(part), "{part}: {sheet}");
    }
    let listed = user.run(&["key", "list"]);
    assert!(listed.succeeds().contains("keep its identity"));
    // What is written again is the newest: of an old one that would be a step back.
    user.run(&["key", "rewrap"]).succeeds();
    restore(&user, "c", &[&old[..], &new].concat()).succeeds();
    let text = fs::read_to_string(user.path("c/conf/new.conf")).unwrap();
    assert_eq!(text, "y");
}

/// The server moves to another machine, whose key is another.
#[test]
fn a_host_goes_on_from_what_another_stored() {
    for is_encrypted in [false, true] {
        let (user, source) = (User::new(), example());
        let path = source.to_str().unwrap();
        let (key, public) = age_key(&user, "office.key");
        let to: &[&str] = if is_encrypted { &["--recipient", &public] } else { &[] };
        let init = [&["init", "--json"], to].concat();
        let made = user.run(&init).json();
        user.run(&["backup", path]).succeeds();
        let trust = made["verification_key"].as_str().unwrap();
        fs::rename(user.path("state"), user.path("of the old host")).unwrap();
        user.run(&init).succeeds();
        let adopt = ["key", "adopt"];
        let joined = user.run(&["init"]);
        assert!(joined.succeeds().contains("seawall key adopt --trust"));
        user.run(&adopt).fails(12, &["nobody vouches for", "--trust"]);
        let adopt = ["key", "adopt", "--trust", trust];
        let adopt = if is_encrypted {
            user.run(&adopt).fails(12, &["none of the keys given opens", "-i FILE"]);
            [&adopt[..], &["-i", key.to_str().unwrap()]].concat()
        } else {
            adopt.to_vec()
        };
        let adopted = user.run(&adopt);
        assert!(adopted.succeeds().contains("goes on from it"), "{}", adopted.stdout);
        let went_on = user.run(&["backup", path, "--json"]);
        went_on.succeeds();
        let went_on = went_on.json();
        for what in ["objects_stored", "databases_stored", "file_groups_stored"] {
            assert_eq!(went_on[what], 0, "{what}: {went_on}");
        }
        let read = if is_encrypted { vec!["-i", key.to_str().unwrap()] } else { Vec::new() };
        restore(&user, "a", &read).succeeds();
        is_whole(&user, "a");
        // The old host's key is trusted from then on.
        user.run(&[&["check", "--deep"], &read[..]].concat()).succeeds();
        let again = [&adopt[..], &[]].concat();
        user.run(&again).fails(1, &["has snapshots of its own"]);
    }
}

/// The host's key is lost, and nothing else: nothing is stored again.
#[test]
fn a_host_with_a_new_key_goes_on_from_what_it_stored() {
    let (user, source) = (User::new(), example());
    let path = source.to_str().unwrap();
    user.run(&["init"]).succeeds();
    user.run(&["backup", path]).succeeds();
    fs::remove_file(user.path("state/host.key")).unwrap();
    user.run(&["init"]).succeeds();
    let stored = files_below(&user.repository().join("data/blocks"));
    user.run(&["backup", path]).fails(12, &["another key", "seawall key adopt --trust"]);
    assert_eq!(files_below(&user.repository().join("data/blocks")), stored);
    user.run(&["key", "adopt"]).succeeds();
    let went_on = user.run(&["backup", path, "--json"]);
    went_on.succeeds();
    assert_eq!(went_on.json()["objects_stored"], 0);
    // The chain is this key's now.
    let next = user.run(&["backup", path, "--json"]);
    next.succeeds();
    assert_eq!(next.json()["objects_stored"], 0);
    user.run(&["check"]).succeeds();
}

/// Without the file the passphrase is worth nothing.
#[test]
fn a_key_behind_a_passphrase_is_kept_and_missed() {
    let (user, source) = (User::new(), example());
    let path = source.to_str().unwrap();
    fs::write(user.path("passphrase"), "correct horse battery staple\n").unwrap();
    let right = ["--passphrase-file", "passphrase"];
    user.run(&[&["init", "--with-passphrase"], &right[..]].concat()).succeeds();
    user.run(&["backup", path]).succeeds();
    let keys = files_below(&user.repository().join("keys"));
    let key = keys.iter().find(|path| path.extension().is_some_and(|end| end == "age")).unwrap();
    let name = key.file_name().unwrap().to_str().unwrap();
    let bytes = fs::read(key).unwrap();
    // On paper too: the sheet and the passphrase are enough.
    let sheet = user.run(&["key", "sheet"]);
    let sheet = sheet.succeeds();
    assert!(sheet.contains(name) && sheet.contains("and its passphrase"), "{sheet}");
    let armored = &sheet[sheet.find("-----BEGIN AGE").unwrap()..];
    let end = "-----END AGE ENCRYPTED FILE-----";
    let armored = &armored[..armored.find(end).unwrap() + end.len()];
    fs::write(user.path("paper"), format!("{armored}\n")).unwrap();
    restore(&user, "a", &[&right[..], &["-i", "paper"]].concat()).succeeds();
    // Verbs that need no key ask for none, whatever lies there.
    let mut altered = bytes.clone();
    altered[100] ^= 1;
    write(key, &altered);
    let any = ["--passphrase-file", "passphrase"];
    for verb in ["snapshots", "status"] {
        user.run(&[&[verb], &any[..]].concat()).succeeds();
    }
    for verb in [&["check"][..], &["check", "--read-data"], &["doctor"]] {
        let ran = user.run(verb);
        ran.fails(3, &[]);
        assert!(ran.stdout.contains(name), "{verb:?}: {}", ran.stdout);
    }
    let ran = user.run(&["backup", path]);
    ran.fails(3, &[]);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("is altered"));
    fs::remove_file(key).unwrap();
    user.run(&["check"]).fails(3, &[]);
    let ran = user.run(&["backup", path]);
    ran.fails(3, &[]);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("put there again"));
    assert_eq!(fs::read(key).unwrap(), bytes);
    user.run(&["backup", path]).succeeds();
    user.run(&["check"]).succeeds();
    restore(&user, "b", &right).succeeds();
    // Together with another key, once the one was added to the other.
    let (own, public) = age_key(&user, "office.key");
    user.run(&["key", "add", "--recipient", &public]).succeeds();
    let list = user.run(&["key", "list", "--json"]).json();
    let wrapped = list["recipients"][0].as_str().unwrap().to_owned();
    user.run(&["key", "remove", &wrapped]).succeeds();
    fs::write(user.path("more"), "x").unwrap();
    let also = user.path("more");
    user.run(&["backup", path, "--also", also.to_str().unwrap()]).succeeds();
    let own = ["-i", own.to_str().unwrap()];
    restore(&user, "c", &own).fails(12, &["no key alone opens"]);
    restore(&user, "c", &[&own[..], &right].concat()).succeeds();
    is_whole(&user, "c");
}

#[test]
fn recipients_that_are_added_at_once_are_all_there_or_told() {
    let user = User::new();
    let (_, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    let keys: Vec<String> = (0..4).map(|n| age_key(&user, &format!("{n}.key")).1).collect();
    let added: Vec<bool> = std::thread::scope(|scope| {
        let user = &user;
        let runs: Vec<_> = keys
            .iter()
            .map(|key| {
                scope.spawn(move || user.run(&["key", "add", "--recipient", key]).status == 0)
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let listed = user.run(&["key", "list", "--json"]).json();
    let listed: Vec<&str> =
        listed["recipients"].as_array().unwrap().iter().filter_map(|text| text.as_str()).collect();
    assert!(added.contains(&true));
    for (key, added) in keys.iter().zip(added) {
        assert_eq!(listed.contains(&key.as_str()), added);
    }
}

#[test]
fn the_key_behind_a_passphrase_goes_on_paper() {
    let user = User::new();
    fs::write(user.path("passphrase"), "correct horse battery staple\n").unwrap();
    let right = ["--passphrase-file", "passphrase"];
    user.run(&[&["init", "--with-passphrase"], &right[..]].concat()).succeeds();
    let none = user.run(&["key", "export"]);
    none.fails(12, &["--passphrase-file"]);
    let exported = user.run(&[&["key", "export"], &right[..]].concat());
    let secret = exported.succeeds();
    assert!(secret.contains("AGE-SECRET-KEY-1"), "{secret}");
    fs::write(user.path("paper.key"), secret).unwrap();
    user.run(&["backup", example().to_str().unwrap()]).succeeds();
    restore(&user, "a", &["-i", "paper.key"]).succeeds();
    is_whole(&user, "a");
    assert!(user.run(&["key", "sheet"]).succeeds().contains("RECOVERY SHEET"));
}
