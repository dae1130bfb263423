//! Whose files are whose: root in another user's folders, and secrets that others can read.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use seawall_test_servers::wait;

use super::{Ran, User};
use crate::support::{example, files_below, tree};

const NOBODY: u32 = 65_534;

/// A user whose files another user may reach, with a copy of the program that both may run.
struct Shared {
    user: User,
    binary: PathBuf,
}

impl Shared {
    fn new() -> Self {
        let user = User::new();
        let open = fs::Permissions::from_mode(0o777);
        fs::set_permissions(user.home(), open).unwrap();
        let binary = user.path("seawall");
        fs::copy(env!("CARGO_BIN_EXE_seawall"), &binary).unwrap();
        Self { user, binary }
    }

    /// The same, where nobody has backed up the example.
    fn with_backup_of_nobody() -> Self {
        let shared = Self::new();
        shared.as_nobody(&["init", "--unencrypted"]).succeeds();
        let source = example();
        let backup = ["backup", source.to_str().unwrap()];
        shared.as_nobody(&backup).succeeds();
        shared
    }

    fn run(&self, prefix: &[&str], arguments: &[&str]) -> Ran {
        let mut command = Command::new("setpriv");
        command
            .args(prefix)
            .arg(&self.binary)
            .args(arguments)
            .env("SEAWALL_REPOSITORY", self.user.repository())
            .env("SEAWALL_STATE_DIR", self.user.path("state"));
        Ran::of(wait::output(&mut command))
    }

    fn as_nobody(&self, arguments: &[&str]) -> Ran {
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        self.run(&nobody, arguments)
    }

    fn as_root(&self, arguments: &[&str]) -> Ran {
        self.run(&["--clear-groups"], arguments)
    }
}

/// These tests change users, which root alone may do.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("NOT RUN: only root can act for several users");
    }
    is_root
}

fn owners(folder: &Path) -> Vec<u32> {
    let mut owners: Vec<u32> =
        files_below(folder).iter().map(|path| path.metadata().unwrap().uid()).collect();
    owners.dedup();
    owners
}

#[test]
fn root_leaves_nothing_in_the_state_folder_of_another_user() {
    if !is_root() {
        return;
    }
    let shared = Shared::with_backup_of_nobody();
    let source = example();
    let backup = ["backup", source.to_str().unwrap()];
    let before = [tree(&shared.user.path("state")), tree(&shared.user.repository())];
    for arguments in [&backup[..], &["init"], &["damage", "accept", "--all"], &["key", "sheet"]] {
        let refused = shared.as_root(arguments);
        refused.fails(1, &["belongs to nobody", "this is root", "sudo -u nobody"]);
        assert!(!refused.stderr.contains("--state-dir"), "{}", refused.stderr);
    }
    let after = [tree(&shared.user.path("state")), tree(&shared.user.repository())];
    assert!(before == after, "a refusal changes nothing");
    // Reading is nobody's loss.
    shared.as_root(&["snapshots"]).succeeds();
    shared.as_nobody(&backup).succeeds();
}

#[test]
fn a_state_folder_of_root_is_told_to_others() {
    if !is_root() {
        return;
    }
    let shared = Shared::new();
    shared.as_root(&["init", "--unencrypted"]).succeeds();
    let refused = shared.as_nobody(&["backup", example().to_str().unwrap()]);
    refused.fails(1, &["belongs to root", "this is nobody", "sudo seawall"]);
    assert!(!refused.stderr.contains("--state-dir"), "{}", refused.stderr);
}

/// What a root of an earlier version left there is named, with the way back.
#[test]
fn what_root_left_in_a_state_folder_is_given_back() {
    if !is_root() {
        return;
    }
    let shared = Shared::with_backup_of_nobody();
    let source = example();
    let backup = ["backup", source.to_str().unwrap()];
    let state = shared.user.path("state");
    let catalog = files_below(&state).into_iter().find(|path| path.ends_with("catalog.db"));
    for path in [state.join("lock"), catalog.unwrap()] {
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        let refused = shared.as_nobody(&backup);
        refused.fails(1, &["belongs to root", "chown -R nobody:", path.to_str().unwrap()]);
        assert!(!refused.stderr.contains("--state-dir"), "{}", refused.stderr);
        std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    shared.as_nobody(&backup).succeeds();
}

#[test]
fn what_root_stores_in_the_repository_of_another_user_is_that_users() {
    if !is_root() {
        return;
    }
    let shared = Shared::new();
    let source = example();
    let backup = ["backup", source.to_str().unwrap()];
    shared.as_nobody(&["init", "--unencrypted"]).succeeds();
    let roots = shared.user.path("of root");
    let state = ["--state-dir", roots.to_str().unwrap()];
    shared.as_root(&[&["init"], &state[..]].concat()).succeeds();
    shared.as_root(&[&backup[..], &state].concat()).succeeds();
    assert_eq!(owners(&shared.user.repository()), [NOBODY]);
    shared.as_nobody(&["check", "--read-data"]).fails(3, &[]);
    shared.as_nobody(&backup).succeeds();
}

/// Kubernetes and compose mount secrets read-only. Nobody in the container can close such a file.
#[test]
fn an_exposed_secret_on_a_read_only_mount_is_warned_of_and_used() {
    let user = User::new();
    let secrets = user.path("secrets");
    fs::create_dir(&secrets).unwrap();
    let file = secrets.join("passphrase");
    fs::write(&file, "correct horse battery staple\n").unwrap();
    let file = file.to_str().unwrap();
    user.run(&["init", "--with-passphrase", "--passphrase-file", file]).succeeds();
    user.run(&["backup", example().to_str().unwrap()]).succeeds();
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    let check = user.as_typed(&["check", "--deep", "--passphrase-file", file]);
    // The mount is in a namespace of its own, which ends with the process.
    let inside = |mounted: &str| {
        let mut command = Command::new("unshare");
        let script = format!("{mounted} && exec \"$0\" \"$@\"");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", &script]);
        command.arg(check.get_program()).args(check.get_args());
        command.env_clear().current_dir(user.home());
        for (name, value) in check.get_envs() {
            command.env(name, value.unwrap());
        }
        Ran::of(wait::output(&mut command))
    };
    let folder = secrets.to_str().unwrap();
    let bind = format!("mount --bind {folder} {folder}");
    let writable = inside(&bind);
    if writable.stderr.contains("unshare") || writable.stderr.contains("mount:") {
        eprintln!("NOT RUN with a mount: {}", writable.stderr);
        return;
    }
    writable.fails(1, &["passphrase has mode 0644", "chmod 600"]);
    let read_only = inside(&format!("{bind} && mount -o remount,bind,ro {folder}"));
    read_only.succeeds();
    assert!(
        read_only.stderr.contains("passphrase has mode 0644: other users can read the secret"),
        "{}",
        read_only.stderr
    );
}

/// A private key, a passphrase, a password that every user of the machine can read.
#[test]
fn secrets_that_others_can_read_are_refused() {
    let user = User::new();
    let (key, public) = crate::encryption::age_key(&user, "office.key");
    user.run(&["init", "--recipient", &public]).succeeds();
    user.run(&["backup", example().to_str().unwrap()]).succeeds();
    let set = |name: &str, mode| {
        fs::set_permissions(user.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let typed = |arguments: &[&str]| user.run_as_typed(arguments);
    let deep = ["check", "--deep", "-i", key.to_str().unwrap()];
    fs::write(user.path("secret"), "correct horse battery staple\n").unwrap();
    for mode in [0o644, 0o640, 0o666, 0o604] {
        set("office.key", mode);
        let text = format!("mode {mode:04o}");
        typed(&deep).fails(1, &["office.key", &text, "chmod 600"]);
        set("secret", mode);
        for (option, verb) in [
            ("--passphrase-file", &["check", "--deep"][..]),
            ("--password-file", &["check"]),
            ("--ssh-passphrase-file", &["check"]),
            ("--database-password-file", &["backup"]),
        ] {
            typed(&[verb, &[option, "secret"]].concat()).fails(1, &["secret", &text, "chmod 600"]);
        }
    }
    for mode in [0o600, 0o400] {
        set("office.key", mode);
        typed(&deep).succeeds();
    }
    // What a pipe brings is nobody else's to read.
    let mut command = Command::new("bash");
    let script = format!("{} check --deep -i <(cat office.key)", env!("CARGO_BIN_EXE_seawall"));
    command
        .args(["-c", &script])
        .current_dir(user.home())
        .env("SEAWALL_REPOSITORY", user.repository())
        .env("SEAWALL_STATE_DIR", user.path("state"));
    Ran::of(wait::output(&mut command)).succeeds();
}
