//! Options about how a destination is reached, and what a user is told when that is hard.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use seawall_test_servers::proxy::Proxy;
use seawall_test_servers::sshd::{Setup, Sshd};
use seawall_test_servers::wait;

use super::sftp::place;
use crate::cli::{Ran, User};
use crate::support::{Source, files_below};

#[test]
fn numbers_and_places_that_make_no_sense_are_refused() {
    let user = User::new();
    for (typed, said) in [
        (&["--connections", "100000", "snapshots"][..], "256"),
        (&["--connections", "0", "snapshots"], "256"),
        (&["--limit-upload", "2MBB", "snapshots"], "500K"),
        (&["--retry-for", "5", "snapshots"], "30s"),
    ] {
        user.run(typed).fails(2, &[said]);
    }
    user.run(&["-r", "~/backup", "init"]).fails(1, &["./~"]);
    assert_eq!(fs::read_dir(user.home()).unwrap().count(), 1, "state alone");
}

#[test]
fn of_hosts_that_make_a_repository_at_once_one_makes_it_and_all_join() {
    for _ in 0..4 {
        let common = User::new();
        let hosts: Vec<User> = (0..4).map(|_| User::new()).collect();
        let start = |user: &User| -> Child {
            let mut command = user.command(&["init", "--json"]);
            command.env("SEAWALL_REPOSITORY", common.repository());
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let runs: Vec<Child> = hosts.iter().map(start).collect();
        let runs = runs.into_iter().map(|run| wait::output_of(run, "init"));
        let runs: Vec<Ran> = runs.map(Ran::of).collect();
        for run in &runs {
            run.succeeds();
            assert_eq!(run.json()["id"], runs[0].json()["id"]);
        }
        let made = runs.iter().filter(|run| run.json()["created"] == true);
        assert_eq!(made.count(), 1);
    }
}

/// A service of systemd has neither USER nor HOME; ssh asks the list of users.
#[test]
fn who_logs_in_need_not_be_said() {
    let (sshd, files) = (Sshd::start(&Setup::default()), tempfile::tempdir().unwrap());
    let mut place = place(&sshd, sshd.port, &files);
    place.url = place.url.replace(&format!("{}@", sshd.user), "");
    assert!(!place.url.contains('@'));
    place.run(&User::new(), &["init"]).succeeds();
}

/// What is tried again is told with -v, and counted.
#[test]
fn calls_that_are_made_again_are_told() {
    let (sshd, files) = (Sshd::start(&Setup::default()), tempfile::tempdir().unwrap());
    let proxy = Proxy::start(sshd.port, Duration::ZERO);
    let place = place(&sshd, proxy.port, &files);
    let (user, source) = (User::new(), Source::example());
    let init = place.run(&user, &["init"]);
    init.succeeds();
    // The sheet has what another machine types.
    let sheet = files_below(&user.path("state/repositories")).into_iter();
    let mut sheet = sheet.filter(|path| path.ends_with("recovery-sheet.txt"));
    let sheet = fs::read_to_string(sheet.next().unwrap()).unwrap();
    assert!(sheet.contains(" --ssh-key "), "{sheet}");
    assert!(sheet.contains(" --ssh-known-hosts "), "{sheet}");
    proxy.cut_after(60_000);
    let path = source.path.to_str().unwrap();
    let backup = place.run(&user, &["backup", path, "--json", "-v"]);
    backup.succeeds();
    let told = backup.stderr.matches("trying again in ").count() as u64;
    assert!(told > 0, "{}", backup.stderr);
    assert_eq!(backup.json()["calls_made_again"], told);
}
