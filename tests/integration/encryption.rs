//! An encrypted repository, as a user meets it: made with recipients, backed up to by a host that
//! cannot read it, checked by who has no key, restored by who has one, opened by the stock `age`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::{Ran, User};
use crate::support::{Source, example, files_below};

/// Runs a stock program in a shell, in a folder.
fn shell(folder: &Path, script: &str) -> Vec<u8> {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{script}: {said} (apt-get install age zstd)"
    );
    output.stdout
}

/// A key of the stock age: its file, and its public half.
fn age_key(user: &User, name: &str) -> (PathBuf, String) {
    let path = user.path(name);
    shell(user.home(), &format!("age-keygen -o {name}"));
    let public = shell(user.home(), &format!("age-keygen -y {name}"));
    (path, String::from_utf8(public).unwrap().trim().to_owned())
}

/// A key of ssh-keygen.
fn ssh_key(user: &User, name: &str, kind: &str) -> (PathBuf, String) {
    shell(
        user.home(),
        &format!("ssh-keygen -q -t {kind} -N '' -C me@here -f {name}"),
    );
    let path = user.path(name);
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, public.trim().to_owned())
}

fn restore(user: &User, folder: &str, more: &[&str]) -> Ran {
    let target = user.path(folder);
    let common = ["restore", "latest", "--target", target.to_str().unwrap()];
    user.run(&[&common[..], more].concat())
}

/// That a restored folder is what was backed up.
fn is_whole(user: &User, folder: &str) {
    let target = user.path(folder);
    user.run(&["verify", target.to_str().unwrap()]).succeeds();
    let conf = fs::read(example().join("conf/seafile.conf")).unwrap();
    assert_eq!(fs::read(target.join("conf/seafile.conf")).unwrap(), conf);
}

#[test]
fn the_main_job_encrypted() {
    let (user, source) = (User::new(), example());
    let (key, public) = age_key(&user, "office.key");
    let (ssh, ssh_public) = ssh_key(&user, "id_ed25519", "ed25519");
    let (stranger, _) = age_key(&user, "stranger.key");
    let made = user.run(&["init", "--recipient", &public, "--recipient", &ssh_public]);
    let sheet = made.succeeds();
    for text in [
        "encrypted to 2 recipients",
        &public,
        &ssh_public,
        "-i IDENTITY-FILE",
    ] {
        assert!(sheet.contains(text), "{text}: {sheet}");
    }
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    let again = user.run(&["backup", source.to_str().unwrap(), "--json"]);
    again.succeeds();
    assert_eq!(again.json()["objects_stored"], 0, "the catalog knows them");
    assert_eq!(again.json()["databases_stored"], 0);
    // The repository gives nothing away but names and lengths.
    let stored = files_below(&user.repository());
    for path in &stored {
        let bytes = fs::read(path).unwrap();
        let name = path
            .strip_prefix(user.repository())
            .unwrap()
            .to_str()
            .unwrap();
        let is_plain = [
            "markers/",
            "data/lists/",
            "data/runs/",
            "keys/",
            "seawall.json",
        ]
        .iter()
        .any(|begin| name.starts_with(begin));
        let is_named = path.extension().is_some_and(|end| end == "age");
        assert_eq!(is_named, !is_plain, "{name}");
        assert_eq!(
            bytes.starts_with(b"age-encryption.org/v1\n"),
            !is_plain,
            "{name}"
        );
    }
    // Who has no key can check it, and nobody can read it without one.
    let trusted = sheet
        .lines()
        .find_map(|line| line.strip_prefix("verification key   "))
        .unwrap();
    let keyless = |arguments: &[&str]| {
        let mut command = user.command(arguments);
        command.args(["--trust", trusted]);
        command.env("SEAWALL_STATE_DIR", user.path("nothing"));
        Ran::of(command.stdin(Stdio::null()).output().unwrap())
    };
    keyless(&["check"]).succeeds();
    keyless(&["check", "--read-data"]).succeeds();
    keyless(&["snapshots"]).succeeds();
    keyless(&["check", "--deep"]).fails(12, &["is encrypted", "-i FILE"]);
    keyless(&["libraries"]).fails(12, &["is encrypted", "-i FILE"]);
    assert!(!user.path("nothing").exists());
    // The host itself reads the manifest, and nothing else.
    assert!(user.run(&["libraries"]).succeeds().contains("Documents"));
    let which = [
        "none of the keys given opens",
        "-i FILE",
        public.as_str(),
        ssh_public.as_str(),
    ];
    restore(&user, "a", &[]).fails(12, &which);
    let stranger = stranger.to_str().unwrap();
    restore(&user, "a", &["-i", stranger]).fails(12, &["none of the keys given opens"]);
    assert!(!user.path("a").exists());
    let missing = user.path("missing.key");
    restore(&user, "a", &["-i", missing.to_str().unwrap()]).fails(1, &["missing.key"]);
    // Each recipient can, also where this host's state is lost.
    restore(&user, "b", &["-i", key.to_str().unwrap()]).succeeds();
    is_whole(&user, "b");
    fs::rename(user.path("state"), user.path("lost")).unwrap();
    let both = ["-i", stranger, "-i", ssh.to_str().unwrap()];
    restore(&user, "c", &both).succeeds();
    is_whole(&user, "c");
    let deep = ["check", "--deep", "--trust", trusted, "-i"];
    user.run(&[&deep[..], &[key.to_str().unwrap()]].concat())
        .succeeds();
}

/// With `age`, `zstd` and `tar` alone.
#[test]
fn the_stock_age_opens_all_that_is_stored() {
    let (user, source) = (User::new(), example());
    let (_, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    let opened = shell(
        &user.repository(),
        "find . -name '*.age' | sort | while read -r file; do \
         age -d -i ../office.key \"$file\" | zstd -dcq | wc -c; done",
    );
    let opened = String::from_utf8(opened).unwrap();
    let sealed = files_below(&user.repository());
    let sealed = sealed
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "age"));
    assert_eq!(opened.lines().count(), sealed.count());
    assert!(opened.lines().all(|bytes| bytes.trim() != "0"), "{opened}");
    // The packs, unpacked in their order, are the objects.
    fs::create_dir(user.path("by-hand")).unwrap();
    shell(
        &user.repository(),
        "for list in $(sed -n 's/^list [0-9a-f]* [0-9]* //p' markers/*); do \
         sed 1d \"$list\" | while read -r _ pack; do \
         age -d -i ../office.key \"$pack\" | zstd -dcq | tar x -C ../by-hand; done; done",
    );
    let objects = files_below(&user.path("by-hand")).len();
    let manifest = user
        .run(&["backup", source.to_str().unwrap(), "--json"])
        .json();
    assert_eq!(
        objects as u64,
        manifest["objects"].as_u64().unwrap_or(objects as u64)
    );
    assert!(objects > 300, "{objects}");
}

/// What an operator of the storage says counts for nothing.
#[test]
fn nothing_is_stored_in_the_clear_because_a_destination_says_so() {
    let (user, source) = (User::new(), Source::example());
    let (_, public) = age_key(&user, "office.key");
    let (_, other) = age_key(&user, "operator.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.path.to_str().unwrap()])
        .succeeds();
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
    user.run(&["backup", source.path.to_str().unwrap()])
        .succeeds();
    let manifests = user.repository().join("data/manifests");
    let newest = files_below(&manifests).pop().unwrap();
    let refused = Command::new("age")
        .args(["-d", "-i"])
        .arg(user.path("operator.key"))
        .arg(newest)
        .output()
        .unwrap();
    assert!(!refused.status.success());
    // Without the file, markers tell, and it is written again as it was.
    fs::remove_file(&configuration).unwrap();
    user.run(&["init"]).succeeds();
    assert!(
        fs::read_to_string(&configuration)
            .unwrap()
            .contains("\"encryption\":\"age\"")
    );
    user.run(&["backup", source.path.to_str().unwrap()])
        .succeeds();
}

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
    user.run(&init)
        .fails(1, &["no passphrase", "SEAWALL_PASSPHRASE"]);
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
    let kept = kept
        .iter()
        .find(|path| path.extension().is_some_and(|end| end == "age"));
    fs::copy(kept.unwrap(), user.path("kept.age")).unwrap();
    restore(&user, "b", &[&right[..], &["-i", "kept.age"]].concat()).succeeds();
}

#[test]
fn what_cannot_be_encrypted_to_is_refused_before_anything_is_made() {
    let user = User::new();
    let (key, public) = age_key(&user, "office.key");
    let secret = fs::read_to_string(&key).unwrap();
    let secret = secret.lines().last().unwrap();
    for (recipient, text) in [
        ("age1abc", "is no recipient"),
        ("ssh-ed25519", "is no recipient"),
        (secret, "secret key"),
        ("age1nosuchplugin1qqqq", "is no recipient"),
    ] {
        let refused = user.run(&["init", "--recipient", recipient]);
        refused.fails(1, &[text, "age-keygen"]);
        assert!(!refused.stderr.contains(secret));
    }
    fs::write(user.path("none"), "# nobody\n").unwrap();
    user.run(&["init", "--recipients-file", "none"])
        .fails(1, &["names no recipient"]);
    assert!(!user.repository().exists());
    fs::write(user.path("some"), format!("# us\n{public}\n")).unwrap();
    user.run(&["init", "--recipients-file", "some"]).succeeds();
    // What a repository is is decided when it is made.
    let plain = User::new();
    plain.run(&["init"]).succeeds();
    plain
        .run(&["init", "--recipient", &public])
        .fails(1, &["is not encrypted"]);
    // Another host has recipients of its own.
    let mut command = user.command(&["init"]);
    let other = command.env("SEAWALL_STATE_DIR", user.path("other"));
    Ran::of(other.output().unwrap()).fails(12, &["has no recipients", "--recipient"]);
}

/// No secret in what is said, nor in the state folder but where it belongs.
#[test]
fn secrets_stay_where_they_belong() {
    let (user, source) = (User::new(), example());
    let (key, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.to_str().unwrap(), "-v"])
        .succeeds();
    let secret = fs::read_to_string(&key).unwrap();
    let secret = secret.lines().last().unwrap();
    let ran = restore(&user, "a", &["-v", "-i", key.to_str().unwrap()]);
    ran.succeeds();
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(secret));
    for path in files_below(&user.path("state")) {
        let bytes = fs::read(&path).unwrap();
        let has = bytes
            .windows(16)
            .any(|window| window == b"AGE-SECRET-KEY-1");
        assert_eq!(has, path.ends_with("host.key"), "{}", path.display());
    }
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
        Ran::of(command.env("PATH", &path).output().unwrap())
    };
    run(&["init", "--recipient", &recipient]).succeeds();
    run(&["backup", source.to_str().unwrap()]).succeeds();
    let target = user.path("a");
    let restore = [
        "restore",
        "latest",
        "--target",
        target.to_str().unwrap(),
        "-i",
        "token",
    ];
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
    assert!(
        added.succeeds().contains("stay closed to it"),
        "{}",
        added.stdout
    );
    let listed = user.run(&["key", "list", "--json"]).json();
    assert_eq!(listed["recipients"].as_array().unwrap().len(), 2);
    assert_eq!(listed["signers"][0]["this_host"], true);
    let new = ["-i", new.to_str().unwrap()];
    let other_state = |arguments: &[&str]| {
        let mut command = user.command(arguments);
        command.env("SEAWALL_STATE_DIR", user.path("nothing"));
        Ran::of(command.output().unwrap())
    };
    let libraries = [&["libraries"][..], &new].concat();
    other_state(&libraries).fails(12, &["none of the keys given opens"]);
    let before = files_below(&user.repository().join("data/blocks"));
    user.run(&["key", "rewrap"]).succeeds();
    other_state(&libraries).succeeds();
    assert_eq!(files_below(&user.repository().join("data/blocks")), before);
    // What was stored before stays closed, and what comes now is open.
    restore(&user, "a", &new).fails(12, &["none of the keys given opens"]);
    restore(&user, "a", &["-i", old.to_str().unwrap()]).succeeds();
    is_whole(&user, "a");
    user.run(&["check", "--read-data"]).succeeds();
    fs::write(source.path.join("conf/new.conf"), "x").unwrap();
    let next = user.run(&["backup", path, "--json"]);
    next.succeeds();
    assert_eq!(next.json()["objects_stored"], 0, "nothing is stored again");
    user.run(&["key", "remove", "age1"])
        .fails(1, &["2 of this host's recipients"]);
    user.run(&["key", "remove", &old_public]).succeeds();
    user.run(&["key", "remove", &new_public])
        .fails(1, &["the only recipient"]);
    fs::write(source.path.join("conf/new.conf"), "y").unwrap();
    user.run(&["backup", path]).succeeds();
    let manifest = files_below(&user.repository().join("data/manifests"))
        .pop()
        .unwrap();
    let opens = |key: &str| {
        let mut command = Command::new("age");
        command
            .args(["-d", "-i"])
            .arg(user.path(key))
            .arg(&manifest);
        command.output().unwrap().status.success()
    };
    assert!(opens("new.key") && !opens("old.key"));
}

/// The server moves to another machine, whose key is another.
#[test]
fn a_host_goes_on_from_what_another_stored() {
    for is_encrypted in [false, true] {
        let (user, source) = (User::new(), example());
        let path = source.to_str().unwrap();
        let (key, public) = age_key(&user, "office.key");
        let to: &[&str] = if is_encrypted {
            &["--recipient", &public]
        } else {
            &[]
        };
        let init = [&["init", "--json"], to].concat();
        let made = user.run(&init).json();
        user.run(&["backup", path]).succeeds();
        let trust = made["verification_key"].as_str().unwrap();
        fs::rename(user.path("state"), user.path("of the old host")).unwrap();
        user.run(&init).succeeds();
        let adopt = ["key", "adopt"];
        user.run(&adopt)
            .fails(12, &["nobody vouches for", "--trust"]);
        let adopt = ["key", "adopt", "--trust", trust];
        let adopt = if is_encrypted {
            user.run(&adopt)
                .fails(12, &["none of the keys given opens", "-i FILE"]);
            [&adopt[..], &["-i", key.to_str().unwrap()]].concat()
        } else {
            adopt.to_vec()
        };
        let adopted = user.run(&adopt);
        assert!(
            adopted.succeeds().contains("goes on from it"),
            "{}",
            adopted.stdout
        );
        let went_on = user.run(&["backup", path, "--json"]);
        went_on.succeeds();
        let went_on = went_on.json();
        for what in ["objects_stored", "databases_stored", "file_groups_stored"] {
            assert_eq!(went_on[what], 0, "{what}: {went_on}");
        }
        let read = if is_encrypted {
            vec!["-i", key.to_str().unwrap()]
        } else {
            Vec::new()
        };
        restore(&user, "a", &read).succeeds();
        is_whole(&user, "a");
        let deep = ["check", "--deep", "--trust", trust];
        user.run(&[&deep[..], &read].concat()).succeeds();
    }
}

#[test]
fn the_key_behind_a_passphrase_goes_on_paper() {
    let user = User::new();
    fs::write(user.path("passphrase"), "correct horse battery staple\n").unwrap();
    let right = ["--passphrase-file", "passphrase"];
    user.run(&[&["init", "--with-passphrase"], &right[..]].concat())
        .succeeds();
    let none = user.run(&["key", "export"]);
    none.fails(12, &["--passphrase-file"]);
    let exported = user.run(&[&["key", "export"], &right[..]].concat());
    let secret = exported.succeeds();
    assert!(secret.contains("AGE-SECRET-KEY-1"), "{secret}");
    fs::write(user.path("paper.key"), secret).unwrap();
    user.run(&["backup", example().to_str().unwrap()])
        .succeeds();
    restore(&user, "a", &["-i", "paper.key"]).succeeds();
    is_whole(&user, "a");
    assert!(
        user.run(&["key", "sheet"])
            .succeeds()
            .contains("RECOVERY SHEET")
    );
}

/// `docs/restore-by-hand.md`, with the key of a recipient.
#[test]
fn the_page_restores_what_is_encrypted() {
    let (user, source) = (User::new(), example());
    let (key, public) = age_key(&user, "office.key");
    let made = user.run(&["init", "--json", "--recipient", &public]).json();
    user.run(&["backup", source.to_str().unwrap()]).succeeds();
    let output = Command::new("sh")
        .args(["-eu", "-c", &crate::by_hand::blocks()])
        .env("REPOSITORY", user.repository())
        .env("TARGET", user.path("by hand"))
        .env("IDENTITY", key)
        .env("KEY", made["verification_key"].as_str().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    is_whole(&user, "by hand");
}

/// Who has neither a key nor a right to write finds each change of each thing, and a name for it.
#[test]
fn every_change_is_found_without_a_key() {
    let (user, source) = (User::new(), Source::example());
    let (_, public) = age_key(&user, "office.key");
    let made = user.run(&["init", "--json", "--recipient", &public]).json();
    let trust = made["verification_key"].as_str().unwrap();
    user.run(&["backup", source.path.to_str().unwrap()])
        .succeeds();
    let check = || {
        let mut command = user.command(&["check", "--read-data", "--trust", trust]);
        command.env("SEAWALL_STATE_DIR", user.path("nothing"));
        Ran::of(command.output().unwrap())
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
        assert!(
            found.stdout.contains(&name(path)),
            "{what}: {}",
            found.stdout
        );
    };
    let counts = |path: &&PathBuf| {
        let name = name(path);
        !["data/runs/", "keys/", "seawall.json"]
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
    let renamed = marker.with_file_name(
        marker
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace("202", "201"),
    );
    fs::rename(marker, &renamed).unwrap();
    named(&renamed, "renamed");
}

/// Over a file that nobody may write.
fn write(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// One object out of a large pack takes the pieces that it lies in.
#[test]
fn an_object_out_of_an_encrypted_pack_takes_a_little_of_it() {
    use seawall::crypt::Identities;
    use seawall::repository::pack::Place as Within;
    use seawall::repository::{Repository, index::List, names, reader};
    use seawall_backends::{LocalBackend, Operation, RecordingBackend};
    let (user, source) = (User::new(), Source::example());
    let size = crate::synthetic::generator::Size {
        libraries: 1,
        files: 200,
        folder: 60,
        mean_len: 60_000,
    };
    crate::synthetic::generator::grow(&source.path, size, 5);
    let (key, public) = age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", source.path.to_str().unwrap()])
        .succeeds();
    let recording = std::sync::Arc::new(RecordingBackend::new(
        LocalBackend::open(user.repository()).unwrap(),
    ));
    let identity = fs::read(key).unwrap();
    let identities = Identities::read(&identity, "office.key", &mut |_| None).unwrap();
    let repository = Repository::open(recording.clone(), "test").unwrap();
    let repository = repository.with_identities(identities);
    let markers = repository.markers().unwrap();
    let marker = &markers.snapshots[0].marker;
    let lists = marker
        .lists
        .iter()
        .map(|named| List::read(&repository, named).unwrap());
    let lines: Vec<_> = lists
        .flat_map(|list| list.read_segment(&repository).unwrap().1)
        .collect();
    let line = lines.iter().max_by_key(|line| line.size).unwrap();
    assert!(line.size > 2 << 20, "{}", line.size);
    let member = &line.contents.members[line.contents.members.len() / 2];
    let Within::Data {
        frame, offset, len, ..
    } = member.place
    else {
        panic!("{member:?}")
    };
    let place = reader::Place {
        kind: line.kind,
        pack: line.pack,
        frame: line.contents.frames[frame as usize],
        start: offset,
        length: len,
    };
    recording.take();
    let bytes = reader::read_object(&repository, &place).unwrap();
    let object = member.name.object;
    assert_eq!(bytes, fs::read(source.path.join(object.path())).unwrap());
    let pack = names::pack(line.kind, &line.pack, repository.seal());
    let mut fetched = 0;
    for operation in recording.operations() {
        match operation {
            Operation::Get(key, Some(range)) => {
                assert_eq!(key, pack);
                fetched += range.end - range.start;
            }
            Operation::Stat(key) => assert_eq!(key, pack),
            other => panic!("{other:?}"),
        }
    }
    let most = place.frame.len + 4 * 65_552;
    assert!(
        fetched <= most && fetched < line.size,
        "{fetched} of {}",
        line.size
    );
}

/// What an earlier version stored, and what the stock age made, is read.
#[test]
fn what_was_once_stored_is_still_read() {
    let user = User::new();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/encrypted");
    let vector = |name: &str| vectors.join(name).to_str().unwrap().to_owned();
    let key = fs::read_to_string(vector("verification-key")).unwrap();
    let (repository, trust) = (vector("repository"), key.trim());
    let ways = [
        ["-i", &vector("office.key")],
        ["-i", &vector("id_ed25519")],
        ["--passphrase-file", &vector("passphrase")],
    ];
    for (number, way) in ways.iter().enumerate() {
        let folder = format!("way {number}");
        let more = [&["-r", &repository, "--trust", trust], &way[..]].concat();
        let restored = restore(&user, &folder, &more);
        restored.succeeds();
        assert_eq!(restored.stderr, "");
        is_whole(&user, &folder);
    }
    let common = ["check", "--deep", "-r", &repository, "--trust", trust];
    user.run(&[&common[..], &ways[0]].concat()).succeeds();
    for (sealed, key) in [
        ("stock.x25519.age", "office.key"),
        ("stock.ssh.age", "id_ed25519"),
    ] {
        let identity = fs::read(vector(key)).unwrap();
        let identities = seawall::crypt::Identities::read(&identity, key, &mut |_| None).unwrap();
        let opened = identities.open(&fs::read(vector(sealed)).unwrap()).unwrap();
        assert_eq!(opened, b"made by the stock age\n");
    }
}
