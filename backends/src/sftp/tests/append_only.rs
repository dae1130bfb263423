//! Servers that let nobody remove or replace: what a backup needs of them, and what they protect.
//! The user there is not root, whom no mode keeps from writing.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use seawall_test_servers::process::program;

use super::*;

/// What a server has to forbid. Kept in step with the documentation.
const FORBIDDEN: &str =
    "remove,rmdir,posix-rename,setstat,fsetstat,lsetstat,symlink,hardlink,copy-data";
/// All that a backup asks for, and a restore.
const NEEDED: &str =
    "open,close,read,write,lstat,stat,opendir,readdir,mkdir,rename,fsync,limits,statvfs";
/// Nobody's number, as Debian has it.
const NOBODY: u32 = 65534;

/// OpenSSH's subsystem with more arguments, as somebody who is not root.
fn start(arguments: &str) -> Sshd {
    let sftp_server = program("sftp-server", "openssh-sftp-server");
    let as_nobody = if rustix::process::geteuid().is_root() {
        format!("/usr/bin/setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups ")
    } else {
        String::new()
    };
    Sshd::start(&Setup {
        subsystem: format!("{as_nobody}{} {arguments}", sftp_server.display()),
        ..Setup::default()
    })
}

fn forbidding() -> &'static Sshd {
    static SERVER: OnceLock<Sshd> = OnceLock::new();
    SERVER.get_or_init(|| start(&format!("-P {FORBIDDEN}")))
}

/// A new folder that the user of the server may write to.
fn access(sshd: &Sshd) -> Access {
    let access = Access::new(sshd, sshd.port);
    give(&access.folder);
    access
}

fn give(folder: &Path) {
    if rustix::process::geteuid().is_root() {
        let nobody = Some(rustix::fs::Uid::from_raw(NOBODY));
        rustix::fs::chown(folder, nobody, None).unwrap();
    }
}

#[test]
fn every_case_but_those_that_delete() {
    static CLIENTS: OnceLock<(Access, SftpBackend, SftpBackend)> = OnceLock::new();
    let (_, first, second) = CLIENTS.get_or_init(|| {
        let access = access(forbidding());
        let (first, second) = (access.open(), access.open());
        (access, first, second)
    });
    let left_out = [
        "racing_deletes_all_succeed",
        "deleted_keys_are_not_listed",
        "folders_are_not_listed",
        "the_longest_keys_work",
        "a_deleted_key_is_not_there",
        "deleting_is_idempotent",
        "deleting_takes_nothing_else",
        "a_deleted_key_can_be_put_again",
    ];
    run_all_but(&left_out, &|| {
        let name = format!("case-{}", number());
        let folder = forbidding().folder.join(&name);
        std::fs::create_dir(&folder).unwrap();
        give(&folder);
        let seen_as = format!("{}/{name}", forbidding().seen_as);
        let (first, second) = (first.beside(&seen_as), second.beside(&seen_as));
        Fresh::new(first, second).keeping(Cleaned(folder))
    });
}

#[test]
fn nothing_stored_can_be_removed_replaced_or_changed() {
    let access = access(forbidding());
    let client = access.open();
    let stored = key("data/x");
    client.put_new(&stored, b"stored").unwrap();
    let denied = client.delete(&stored).unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied, "{denied:?}");
    let mode = std::fs::metadata(access.folder.join("data/x")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o400);
    let other = key("other");
    client.put_new(&other, b"another").unwrap();
    // What somebody with the login may try besides.
    let place = &client.server.place;
    let (path, other) = (place.of_key(&stored), place.of_key(&other));
    let refusals = client.server.run(async |session| {
        Ok([
            session.remove(&path).await.err(),
            session.rename(&other, &path).await.err(),
            session.link(&other, &path).await.err(),
            session.replace(&other, &path).await.err(),
            session.overwrite(&path).await.err(),
            session.set_mode(&path, 0o600).await.err(),
        ])
    });
    for (number, refusal) in refusals.unwrap().into_iter().enumerate() {
        let code = match refusal {
            Some(Failed::Refused(code, _)) => code,
            other => panic!("number {number}: {other:?}"),
        };
        assert_ne!(code, errors::Code::OK, "number {number}");
    }
    assert_eq!(client.get(&stored, None).unwrap(), b"stored");
    // What they can: give it another name, as a backup does.
    let away = format!("{path}.away");
    let moved = client.server.run(async |session| {
        session.rename(&path, &away).await.map_err(|failed| failed.into_error(""))
    });
    moved.unwrap();
    assert_eq!(client.stat(&stored).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn what_may_not_be_removed_stays_uncounted() {
    let access = access(forbidding());
    let client = access.open();
    client.put_new(&key("a"), b"1").unwrap();
    for _ in 0..3 {
        let again = client.put_new(&key("a"), b"1").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    }
    let names = || {
        let entries = std::fs::read_dir(&access.folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| temporary::is_name(name)).count()
    };
    // The first one showed that the server keeps them; after that none is made in vain.
    assert_eq!(names(), 1);
    assert_eq!(client.remove_stale_temporaries().unwrap(), 0);
    assert_eq!(access.open().remove_stale_temporaries().unwrap(), 0);
    let listed: Vec<_> = client.list("").map(|entry| entry.unwrap().key).collect();
    assert_eq!(listed, [key("a")]);
}

#[test]
fn a_backup_needs_no_more_than_this() {
    let sshd = start(&format!("-p {NEEDED}"));
    let access = access(&sshd);
    let client = access.open();
    assert_eq!(client.properties().writes, Writes::CreateOnly);
    client.put_new(&key("a/b/c"), b"body").unwrap();
    assert_eq!(client.get(&key("a/b/c"), Some(1..3)).unwrap(), b"od");
    assert_eq!(client.stat(&key("a/b/c")).unwrap().len, 4);
    assert_eq!(client.list("a").count(), 1);
    let again = client.put_new(&key("a/b/c"), b"body").unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let findings = client.examine();
    assert!(findings.iter().any(|finding| finding.about == "space"));
}
