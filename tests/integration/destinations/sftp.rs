//! SFTP, with OpenSSH and with rclone.

use std::time::Duration;

use seawall_test_servers::proxy::Proxy;
use seawall_test_servers::rclone::Rclone;
use seawall_test_servers::sshd::{Setup, Sshd};
use seawall_test_servers::wait;

use super::{Place, Writes, whole_way};
use crate::cli::User;
use crate::support::{Source, files_below};

/// A place on a server, behind one of its ports, and the files that let a user in.
pub(super) fn place(sshd: &Sshd, port: u16, files: &tempfile::TempDir) -> Place {
    let known_hosts = files.path().join("known_hosts");
    std::fs::write(&known_hosts, sshd.known_line("ed25519", port)).unwrap();
    let url = format!("sftp://{}@127.0.0.1:{port}{}/backups/of%20ours", sshd.user, sshd.seen_as);
    Place::new(url).with(&[
        "--ssh-key",
        sshd.key().to_str().unwrap(),
        "--ssh-known-hosts",
        known_hosts.to_str().unwrap(),
    ])
}

/// Returns how many temporary files are left.
fn on_server(setup: &Setup) -> usize {
    let (sshd, files) = (Sshd::start(setup), tempfile::tempdir().unwrap());
    whole_way(&place(&sshd, sshd.port, &files), Writes::CreateOnly);
    let files = files_below(&sshd.folder.join("backups/of ours"));
    assert!(files.len() > 20, "{}", files.len());
    let is_temporary =
        |path: &&std::path::PathBuf| path.extension().is_some_and(|end| end == "tmp");
    files.iter().filter(is_temporary).count()
}

#[test]
fn openssh() {
    assert_eq!(on_server(&Setup::default()), 0);
}

#[test]
fn openssh_in_a_chroot() {
    let left = on_server(&Setup { is_chroot: true, ..Setup::default() });
    assert_eq!(left, 0);
}

/// Nobody may remove or overwrite: what docs/destinations.md tells to put into `sshd_config`. What was
/// refused (`doctor` tries that) leaves an empty file.
#[test]
fn openssh_that_only_adds() {
    let left = on_server(&Setup {
        subsystem: "internal-sftp -P remove,rmdir,posix-rename,setstat,fsetstat,lsetstat".into(),
        ..Setup::default()
    });
    assert!(left <= 2, "{left}");
}

#[test]
fn rclone_with_a_password() {
    let server = Rclone::serve("sftp", &["--user", "me", "--pass", "hunter2"]);
    let files = tempfile::tempdir().unwrap();
    let user = User::new();
    let url = format!("sftp://me@127.0.0.1:{}/backups", server.port);
    let known_hosts = files.path().join("known_hosts");
    std::fs::write(&known_hosts, "").unwrap();
    let mut place = Place::new(url).with(&["--ssh-known-hosts", known_hosts.to_str().unwrap()]);
    let unknown = place.run(&user, &["init"]);
    unknown.fails(1, &["SHA256:", "ssh-keyscan"]);
    let scanned = wait::output(std::process::Command::new("ssh-keyscan").args([
        "-p",
        &server.port.to_string(),
        "127.0.0.1",
    ]));
    std::fs::write(&known_hosts, scanned.stdout).unwrap();
    let password = files.path().join("password");
    std::fs::write(&password, "wrong\n").unwrap();
    place = place.with(&["--password-file", password.to_str().unwrap()]);
    let refused = place.run(&user, &["init"]);
    refused.fails(1, &["password"]);
    assert!(!refused.stderr.contains("wrong\n"), "{}", refused.stderr);
    std::fs::write(&password, "hunter2\n").unwrap();
    // Its rename replaces, and it has no hard links.
    whole_way(&place, Writes::Weak);
}

/// The line dies in the middle of a backup: what was stored is not stored again.
#[test]
fn a_connection_that_dies_is_made_again() {
    let (sshd, files) = (Sshd::start(&Setup::default()), tempfile::tempdir().unwrap());
    let proxy = Proxy::start(sshd.port, Duration::from_millis(2));
    let place = place(&sshd, proxy.port, &files);
    let (user, source) = (User::new(), Source::example());
    place.run(&user, &["init"]).succeeds();
    proxy.cut_after(60_000);
    let backup = place.run(&user, &["backup", source.path.to_str().unwrap()]);
    backup.succeeds();
    place.run(&user, &["check", "--read-data"]).succeeds();
    assert!(proxy.connections() >= 3, "{}", proxy.connections());
}

/// The server is gone, and comes back the next night.
#[test]
fn a_server_that_went_away_is_told_and_the_next_backup_goes_on() {
    let (sshd, files) = (Sshd::start(&Setup::default()), tempfile::tempdir().unwrap());
    let proxy = Proxy::start(sshd.port, Duration::ZERO);
    let port = proxy.port;
    let place = place(&sshd, port, &files).with(&["--retry-for", "1s"]);
    let (user, source) = (User::new(), Source::example());
    place.run(&user, &["init"]).succeeds();
    drop(proxy);
    let arguments = ["backup", source.path.to_str().unwrap()];
    let gone = place.run(&user, &arguments);
    gone.fails(1, &["127.0.0.1"]);
    let direct = self::place(&sshd, sshd.port, &files);
    direct.run(&user, &arguments).succeeds();
    direct.run(&user, &["check", "--read-data"]).succeeds();
}
