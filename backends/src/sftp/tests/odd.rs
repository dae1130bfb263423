//! Servers that answer as few do.

use std::error::Error as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use seawall_test_servers::sftp::{OddSftp, Oddities, SYNC, Verb};
use seawall_test_servers::wait;

use super::*;

fn access(server: &OddSftp) -> Access {
    wait::step("use an odd server");
    Access::new(&server.sshd, server.sshd.port)
}

fn refusing(refused: Verb, number: u32, text: &'static str) -> OddSftp {
    OddSftp::start(Oddities {
        script: Arc::new(move |verb, path: &str| {
            (verb == refused && !path.ends_with("/a")).then_some((number, text))
        }),
        ..Oddities::default()
    })
}

fn mode(path: impl AsRef<Path>) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A Hetzner Storage Box answers 11 where a file is there already (pgbackrest #2376).
#[test]
fn a_name_that_is_taken_is_refused_with_any_number() {
    for exists in [4, 5, 8, 9, 11, 16, 31, 4711] {
        let server = OddSftp::start(Oddities { exists, ..Oddities::default() });
        let access = access(&server);
        let client = access.open();
        client.put_new(&key("a/b"), b"first").unwrap();
        let again = client.put_new(&key("a/b"), b"second").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{exists}: {again:?}");
        assert_eq!(client.get(&key("a/b"), None).unwrap(), b"first");
        let written = probe(&client, &key("a/b"), b"first").unwrap();
        assert_eq!(written, Writes::CreateOnly);
        // Folders of another client are there already, too.
        access.open().put_new(&key("a/c"), b"x").unwrap();
        let names: Vec<_> = std::fs::read_dir(access.folder.join("a")).unwrap().collect();
        assert_eq!(names.len(), 2, "{exists}: {names:?}");
        assert_eq!(server.sessions(), 2, "{exists}: a session broke");
    }
}

#[test]
fn every_number_is_an_answer() {
    for number in (2..=40).filter(|number| ![6, 7].contains(number)) {
        let server = refusing(Verb::Write, number, "as a test wants");
        let access = access(&server);
        let error = access.open().put_new(&key("b"), b"x").unwrap_err();
        let kind = match number {
            3 | 12 | 22 => ErrorKind::PermissionDenied,
            2 | 10 => ErrorKind::NotFound,
            14 | 15 => ErrorKind::NoSpace,
            _ => ErrorKind::Other,
        };
        assert_eq!(error.kind(), kind, "{number}: {error:?}");
        let text = error.source().unwrap().to_string();
        assert!(text.contains("as a test wants"), "{text}");
        assert!(text.contains(&format!("({number}: ")), "{text}");
        assert_eq!(std::fs::read_dir(&access.folder).unwrap().count(), 0);
        assert_eq!(server.sessions(), 1, "{number}: a session broke");
    }
}

/// A folder that cannot be synced is noted. A disk that is full, protected or away is no such folder.
#[test]
fn a_medium_that_is_in_the_way_of_a_sync_is_an_error() {
    for (number, failed) in [
        (2, None),
        (3, None),
        (5, None),
        (8, None),
        (9, None),
        (11, None),
        (16, None),
        (22, None),
        (27, None),
        (29, None),
        (4711, None),
        (4, Some(ErrorKind::Other)),
        (12, Some(ErrorKind::PermissionDenied)),
        (13, Some(ErrorKind::Other)),
        (14, Some(ErrorKind::NoSpace)),
        (15, Some(ErrorKind::NoSpace)),
        (28, Some(ErrorKind::Other)),
    ] {
        let server = OddSftp::start(Oddities {
            extensions: &[SYNC],
            script: Arc::new(move |verb, path: &str| {
                let is_folder = verb == Verb::Sync && Path::new(path).is_dir();
                is_folder.then_some((number, "of a folder"))
            }),
            ..Oddities::default()
        });
        let client = access(&server).open();
        let stored = client.put_new(&key("a"), b"x");
        assert_eq!(stored.map_err(|error| error.kind()).err(), failed, "{number}");
        let noted = client.weaknesses().len();
        assert_eq!(noted, usize::from(failed.is_none()), "{number}");
    }
}

#[test]
fn a_status_may_be_its_number_alone() {
    let server = OddSftp::start(Oddities { is_terse: true, exists: 11, ..Oddities::default() });
    let access = access(&server);
    let client = access.open();
    client.put_new(&key("a/b"), b"first").unwrap();
    let again = client.put_new(&key("a/b"), b"x").unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let missing = client.get(&key("a/c"), None).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(server.sessions(), 1);
}

#[test]
fn handles_are_bytes() {
    let server = OddSftp::start(Oddities { binary_handles: true, ..Oddities::default() });
    let client = access(&server).open();
    let body: Vec<u8> = (0..=250).cycle().take(300_000).collect();
    client.put_new(&key("a/b"), &body).unwrap();
    assert!(client.get(&key("a/b"), None).unwrap() == body);
    assert_eq!(client.list("").count(), 1);
    client.delete(&key("a/b")).unwrap();
    assert_eq!(client.list("").count(), 0);
    assert_eq!(server.sessions(), 1);
}

/// OpenSSH counts handles in four bytes: from the 129th on they are no UTF-8. Many are open at once where
/// sessions are few.
#[test]
fn many_folders_are_open_at_once() {
    let server = OddSftp::start(Oddities { binary_handles: true, ..Oddities::default() });
    let access = access(&server);
    for folder in 0..300 {
        let folder = access.folder.join(format!("{folder}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("x"), "1").unwrap();
    }
    assert_eq!(access.open().list("").map(Result::unwrap).count(), 300);
}

/// Under Windows (restic 0.19.1, Win32-OpenSSH #467).
#[test]
fn a_server_that_keeps_read_only_files_removes_them_all_the_same() {
    for by_handle in [false, true] {
        let server = OddSftp::start(Oddities {
            keeps_read_only: true,
            script: Arc::new(move |verb, _| {
                (by_handle && verb == Verb::SetStat).then_some((8, "by handles only"))
            }),
            ..Oddities::default()
        });
        let access = access(&server);
        let client = access.open();
        client.put_new(&key("a"), b"x").unwrap();
        assert_eq!(mode(access.folder.join("a")), 0o400);
        // A temporary file of one that is refused.
        client.put_new(&key("a"), b"y").unwrap_err();
        assert_eq!(std::fs::read_dir(&access.folder).unwrap().count(), 1);
        let stale = access.folder.join(temporary::random_name().unwrap());
        std::fs::write(&stale, "half").unwrap();
        std::fs::set_permissions(&stale, std::fs::Permissions::from_mode(0o400)).unwrap();
        let old = SystemTime::now() - Duration::from_hours(48);
        let file = std::fs::File::open(&stale).unwrap();
        file.set_modified(old).unwrap();
        assert_eq!(client.remove_stale_temporaries().unwrap(), 1);
        client.delete(&key("a")).unwrap();
        assert_eq!(std::fs::read_dir(&access.folder).unwrap().count(), 0);
    }
}

/// What stays shall not be writable afterwards.
#[test]
fn what_cannot_be_removed_keeps_its_mode() {
    let server = OddSftp::start(Oddities {
        script: Arc::new(|verb, _| (verb == Verb::Remove).then_some((3, "never"))),
        ..Oddities::default()
    });
    let access = access(&server);
    let client = access.open();
    client.put_new(&key("a"), b"x").unwrap();
    let error = client.delete(&key("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert_eq!(mode(access.folder.join("a")), 0o400);
}

/// A server that lets few log in at a time, and gives each connection one session.
fn limiting() -> Sshd {
    Sshd::start(&Setup {
        lines: vec!["MaxStartups 2:100:2".to_owned(), "MaxSessions 1".to_owned()],
        ..Setup::default()
    })
}

fn puts_of_many(client: &impl Backend, round: usize) {
    std::thread::scope(|scope| {
        for number in 0..32 {
            scope.spawn(move || {
                for file in 0..4 {
                    let name = key(&format!("{round}/{number}/{file}"));
                    client.put_new(&name, &[1; 50_000]).unwrap();
                }
            });
        }
    });
    assert_eq!(client.list(&round.to_string()).count(), 32 * 4);
}

#[test]
fn a_server_that_limits_connections_is_used_with_fewer() {
    let server = limiting();
    let proxy = seawall_test_servers::proxy::Proxy::start(server.port, Duration::ZERO);
    let mut access = Access::new(&server, proxy.port);
    access.options.connections = NonZeroUsize::new(8);
    let client = access.open();
    // Not once has a call to be made again.
    puts_of_many(&client, 1);
    // All come back at the same moment.
    proxy.cut();
    let policy = RetryPolicy::lasting(Duration::from_secs(30));
    puts_of_many(&RetryingBackend::new(client, policy), 2);
}

/// As some hosters do beyond their limit: the connection is taken, and that is all.
#[test]
fn connections_that_are_not_answered_are_waited_for_once() {
    let server = Sshd::start(&Setup::default());
    let proxy = seawall_test_servers::proxy::Proxy::start(server.port, Duration::ZERO);
    proxy.serve_only(1);
    let mut access = Access::new(&server, proxy.port);
    access.options.connections = NonZeroUsize::new(8);
    let client = access.open();
    let started = std::time::Instant::now();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let client = &client;
            scope.spawn(move || client.put_new(&key(&format!("{number}")), b"x").unwrap());
        }
    });
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(50), "{waited:?}");
    assert_eq!(client.list("").count(), 6);
}
