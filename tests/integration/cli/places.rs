//! Folders that must not lie in each other, and what may be made by a process with any umask.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use seawall_test_servers::wait;

use super::{Ran, User};
use crate::support::Source;

#[test]
fn a_target_lies_in_neither_repository_nor_state_folder_nor_installation() {
    let (user, source) = (User::new(), Source::example());
    user.backup(&source.path).succeeds();
    symlink(user.repository(), user.path("link")).unwrap();
    let other = user.path("other");
    user.run(&["init", "-r", other.to_str().unwrap()]).succeeds();
    for (target, what) in [
        (user.repository().join("x"), "the repository"),
        (user.path("link/a/b"), "the repository"),
        (user.path("link/../repository/x"), "the repository"),
        (user.path("state/x"), "the state folder"),
        (other.join("x"), "a repository"),
        (source.path.join("x/y"), "an installation"),
        (source.path.join("seafile-data/x"), "an installation"),
    ] {
        let target = target.to_str().unwrap();
        let ran = user.run(&["restore", "latest", "--target", target]);
        ran.fails(1, &[&format!("lies inside of {what}"), target]);
        assert!(!fs::exists(target).unwrap(), "{target}");
    }
    user.run(&["check"]).succeeds();
}

#[test]
fn a_repository_and_a_state_folder_lie_apart_and_outside_of_an_installation() {
    let (user, source) = (User::new(), Source::example());
    symlink(&source.path, user.path("link")).unwrap();
    let inside = |name: &str| source.path.join(name).to_str().unwrap().to_owned();
    let apart = |name: &str| user.path(name).to_str().unwrap().to_owned();
    for (repository, state, what) in [
        (inside("backup"), apart("s"), "the repository"),
        (apart("link/seahub-data/backup"), apart("s"), "the repository"),
        (apart("r"), inside("state"), "the state folder"),
        (apart("r"), apart("link/state"), "the state folder"),
        (apart("r"), apart("r/state"), "the state folder"),
        (apart("s/r"), apart("s"), "the repository"),
    ] {
        for verb in [&["init"][..], &["backup", "--init", source.path.to_str().unwrap()]] {
            let options = ["-r", &repository, "--state-dir", &state];
            let ran = user.run(&[verb, &options].concat());
            ran.fails(1, &[what, "lies inside of"]);
            for made in [&repository, &state] {
                assert!(!fs::exists(made).unwrap(), "{made} was made");
            }
        }
    }
}

/// Nobody else may write to what was made, and nobody may read what is secret.
#[test]
fn a_umask_of_nothing_opens_nothing() {
    let (user, source) = (User::new(), Source::example());
    let open = |arguments: &str| {
        let program = env!("CARGO_BIN_EXE_seawall");
        let line = format!("umask 000; exec '{program}' {arguments}");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &line])
            .env_clear()
            .env("HOME", user.home())
            .env("SEAWALL_REPOSITORY", user.repository())
            .env("SEAWALL_STATE_DIR", user.path("state"));
        Ran::of(wait::output(&mut shell))
    };
    open(&format!("backup '{}' --init --unencrypted", source.path.display())).succeeds();
    let target = user.path("new/target");
    open(&format!("restore latest --target '{}'", target.display())).succeeds();
    let mut folders = vec![user.path("new"), user.path("state"), user.repository()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let mode = fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o022, 0, "{}: {mode:o}", folder.display());
        seen += 1;
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if !entry.file_type().unwrap().is_symlink() {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                assert_eq!(mode & 0o022, 0, "{}: {mode:o}", entry.path().display());
            }
        }
    }
    assert!(seen > 20, "{seen}");
    for secret in [user.path("state"), user.repository()] {
        let mode = fs::metadata(&secret).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", secret.display());
    }
}

/// A hint that is pasted into another shell knows the repository and the state folder.
#[test]
fn hints_are_whole_commands() {
    let user = User::new();
    let (repository, state) = (user.path("a repository"), user.path("s"));
    let options = ["-r", repository.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    let run = |arguments: &[&str]| user.run(&[arguments, &options].concat());
    run(&["init"]).succeeds();
    let target = user.path("t");
    let ran = run(&["restore", "2020", "--target", target.to_str().unwrap()]);
    let hint = format!(
        "`seawall snapshots -r '{}' --state-dir {}`",
        repository.display(),
        state.display()
    );
    ran.fails(1, &[&hint]);
    // What the environment says is still there.
    user.run(&["init"]).succeeds();
    user.run(&["restore", "2020", "--target", target.to_str().unwrap()])
        .fails(1, &["`seawall snapshots`"]);
}
