//! Lines that are long, or that break; disks that are full.

use std::error::Error as _;
use std::num::NonZeroUsize;
use std::time::Duration;

use seawall_test_servers::proxy::Proxy;
use seawall_test_servers::wait::{self, SetAtEnd};

use super::*;
use crate::{RetryPolicy, RetryingBackend};

const DELAY: Duration = Duration::from_millis(20);

/// A folder of the server behind a proxy.
fn behind(round_trip: Duration) -> (Proxy, Access) {
    let proxy = Proxy::start(plain().port, round_trip);
    let access = Access::new(plain(), proxy.port);
    (proxy, access)
}

async fn peak(client: &SftpBackend) -> Result<usize> {
    Ok(client.server.pool.lease().await?.life().peak())
}

#[test]
fn one_large_object_has_many_requests_in_flight() {
    let (_proxy, access) = behind(DELAY);
    let body: Vec<u8> = (0..32_u32 << 18).flat_map(u32::to_le_bytes).collect();
    assert_eq!(body.len(), 32 << 20);
    for direction in ["up", "down"] {
        let client = access.open();
        if direction == "up" {
            client.put_new(&key("a"), &body).unwrap();
        } else {
            assert!(client.get(&key("a"), None).unwrap() == body);
        }
        let peak = runtime::block_on(peak(&client)).unwrap().unwrap();
        assert!((64..=128).contains(&peak), "{direction}: {peak}");
    }
}

#[test]
fn several_calls_use_several_connections_and_many_share_them() {
    let (proxy, mut access) = behind(DELAY);
    let connections = NonZeroUsize::new(2).unwrap();
    access.options.connections = Some(connections);
    let client = access.open();
    assert_eq!(proxy.connections(), 1);
    assert_eq!(client.properties().connections.get(), 8);
    std::thread::scope(|scope| {
        // So that all are under way at once.
        let held = proxy.hold();
        for number in 0..300 {
            let client = &client;
            scope.spawn(move || {
                let name = key(&format!("f{}/{number}", number % 5));
                let body = vec![1; number * 100];
                client.put_new(&name, &body).unwrap();
                assert!(client.get(&name, None).unwrap() == body);
            });
        }
        wait_for_users(&client, 300);
        drop(held);
    });
    assert_eq!(proxy.connections(), 2);
    assert_eq!(client.list("").count(), 300);
}

#[test]
fn a_listing_reads_many_folders_at_a_time() {
    let (proxy, access) = behind(Duration::ZERO);
    for folder in 0..256 {
        let folder = access.folder.join(format!("{folder:02x}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("x"), "1").unwrap();
    }
    let client = access.open();
    let mut listing = client.list("").map(Result::unwrap);
    listing.next().unwrap();
    // From here on no folder is read to its end; most are still to be read.
    let held = proxy.hold();
    std::thread::scope(|scope| {
        let client = &client;
        scope.spawn(move || {
            let _held = held;
            wait_for_users(client, 64);
        });
        assert_eq!(listing.count(), 255);
    });
}

/// Waits until so many calls are under way, none of which can end.
fn wait_for_users(client: &SftpBackend, count: usize) {
    wait::until(&format!("{count} calls are under way"), || {
        let users = client.server.pool.users();
        assert!(users <= count, "{users}");
        users == count
    });
}

#[test]
fn a_server_that_wants_few_sessions_is_used_all_the_same() {
    let sshd = Sshd::start(&Setup { lines: vec!["MaxSessions 1".to_owned()], ..Setup::default() });
    let client = Access::new(&sshd, sshd.port).open();
    std::thread::scope(|scope| {
        for number in 0..12 {
            let client = &client;
            scope.spawn(move || {
                client.put_new(&key(&format!("{number}")), &[1; 200_000]).unwrap();
            });
        }
    });
    assert_eq!(client.list("").count(), 12);
}

#[test]
fn a_line_that_breaks_is_transient_and_the_next_call_connects_anew() {
    let (proxy, access) = behind(Duration::ZERO);
    let client = access.open();
    proxy.cut_after(1 << 20);
    let error = client.put_new(&key("a/b"), &vec![1; 8 << 20]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    assert_eq!(error.key(), Some(&key("a/b")));
    // That it broke may be noticed everywhere, or not yet.
    let retrying = RetryingBackend::new(client, RetryPolicy::fast());
    assert_eq!(retrying.list("").count(), 0);
    retrying.put_new(&key("a/b"), b"x").unwrap();
    proxy.cut();
    assert_eq!(retrying.get(&key("a/b"), None).unwrap(), b"x");
}

#[test]
fn a_put_that_was_cut_is_made_again() {
    let (proxy, access) = behind(Duration::ZERO);
    let client = RetryingBackend::new(access.open(), RetryPolicy::fast());
    let body = vec![5; 4 << 20];
    proxy.cut_after(1 << 20);
    client.put_new(&key("a"), &body).unwrap();
    assert!(client.get(&key("a"), None).unwrap() == body);
    assert!(proxy.connections() >= 2);
    // What the first attempt left is not listed, and goes away when a day has passed.
    assert_eq!(client.list("").count(), 1);
    assert_eq!(client.remove_stale_temporaries().unwrap(), 0);
    make_old(&access.folder);
    assert_eq!(client.remove_stale_temporaries().unwrap(), 1);
    let left: Vec<_> = std::fs::read_dir(&access.folder).unwrap().collect();
    assert_eq!(left.len(), 1);
}

/// Makes all files of a folder two days old.
fn make_old(folder: &std::path::Path) {
    let then = std::time::SystemTime::now() - Duration::from_hours(48);
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::File::open(entry.unwrap().path()).unwrap();
        file.set_modified(then).unwrap();
    }
}

#[test]
fn the_clock_of_the_server_decides_what_is_stale() {
    let access = Access::new(plain(), plain().port);
    let client = access.open();
    let file = |name: &str| {
        let path = access.folder.join(name);
        std::fs::write(&path, "").unwrap();
        std::fs::File::open(path).unwrap()
    };
    let name = temporary::random_name().unwrap();
    let fresh = file(&temporary::random_name().unwrap());
    let future = file(&temporary::random_name().unwrap());
    let now = std::time::SystemTime::now();
    future.set_modified(now + Duration::from_hours(1000)).unwrap();
    fresh.set_modified(now - Duration::from_hours(23)).unwrap();
    file(&name).set_modified(now - Duration::from_hours(25)).unwrap();
    file("a-key").set_modified(now - Duration::from_hours(25)).unwrap();
    file(".seawall-x.tmp").set_modified(now - Duration::from_hours(25)).unwrap();
    assert_eq!(client.remove_stale_temporaries().unwrap(), 1);
    assert!(!access.folder.join(&name).exists());
    assert_eq!(std::fs::read_dir(&access.folder).unwrap().count(), 4);
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let mut access = Access::new(plain(), plain().port);
    access.options.stalled_after = Duration::from_secs(2);
    let client = access.open();
    client.put_new(&key("a"), b"x").unwrap();
    let fifo = access.folder.join("b");
    wait::success(std::process::Command::new("mkfifo").arg(&fifo));
    // Opening a pipe that nobody writes to blocks the server's process.
    let stuck = client.server.run(async |session| {
        let path = client.server.place.at("b");
        let opened = session.open(&path).await;
        opened.map(drop).map_err(|failed| failed.into_error(&path))
    });
    let error = stuck.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    let text = error.source().unwrap().to_string();
    assert!(text.contains("answered nothing"), "{text}");
    assert_eq!(client.get(&key("a"), None).unwrap(), b"x");
}

/// The connection lives, as its other sessions show; one of them does not.
#[test]
fn a_session_that_falls_silent_alone_is_given_up() {
    let mut access = Access::new(plain(), plain().port);
    // The server has to start a process within this time, on a busy machine too.
    access.options.stalled_after = Duration::from_secs(5);
    access.options.connections = std::num::NonZeroUsize::new(1);
    let client = access.open();
    client.put_new(&key("a"), b"x").unwrap();
    let fifo = access.folder.join("b");
    wait::success(std::process::Command::new("mkfifo").arg(&fifo));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let error = std::thread::scope(|scope| {
        let _over = SetAtEnd(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                assert_eq!(client.get(&key("a"), None).unwrap(), b"x");
            }
        });
        let stuck = client.server.run(async |session| {
            let path = client.server.place.at("b");
            let opened = session.open(&path).await;
            opened.map(drop).map_err(|failed| failed.into_error(&path))
        });
        stuck.unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    let text = error.source().unwrap().to_string();
    assert!(text.contains("the session answered nothing"), "{text}");
    assert_eq!(client.get(&key("a"), None).unwrap(), b"x");
}

#[test]
fn nobody_there_is_told() {
    let mut access = Access::new(plain(), plain().port);
    let port = seawall_test_servers::process::free_port();
    access.url = format!("sftp://u@127.0.0.1:{port}/x");
    let error = access.try_open(Absent::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    let text = error.source().unwrap().to_string();
    assert!(text.contains("refused") && text.contains(&port.to_string()), "{text}");
    access.url = "sftp://u@host.invalid/x".to_owned();
    let error = access.try_open(Absent::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.hint().unwrap().contains("ssh -v"));
}

/// Only that it takes as long as it must is told: what a machine that has other things to do adds to
/// it is nobody's fault.
#[test]
fn limits_are_kept() {
    let mut access = Access::new(plain(), plain().port);
    access.options.upload_limit = std::num::NonZeroU64::new(1 << 20);
    access.options.download_limit = std::num::NonZeroU64::new(1 << 20);
    let client = access.open();
    let started = std::time::Instant::now();
    client.put_new(&key("a"), &vec![1; 512 * 1024]).unwrap();
    let up = started.elapsed();
    let started = std::time::Instant::now();
    assert!(client.get(&key("a"), None).unwrap() == vec![1; 512 * 1024]);
    let down = started.elapsed();
    // The first piece goes at once.
    let least = Duration::from_millis(450);
    assert!(up >= least && down >= least, "{up:?} {down:?}");
}

/// A disk of 8 MiB, in a name space of its own that goes with the session.
#[test]
fn a_full_disk_is_no_space_and_loses_nothing() {
    let program = seawall_test_servers::process::program("sftp-server", "openssh-sftp-server");
    let disk = TempDir::new().unwrap();
    let script = disk.path().join("start");
    let folder = disk.path().join("disk");
    std::fs::create_dir(&folder).unwrap();
    let (program, shown) = (program.display(), folder.display());
    let text = format!("mount -t tmpfs -o size=8m disk {shown} && exec {program}\n");
    std::fs::write(&script, text).unwrap();
    let subsystem =
        format!("/usr/bin/unshare --user --map-root-user --mount /bin/sh {}", script.display());
    let sshd = Sshd::start(&Setup { subsystem, ..Setup::default() });
    let mut access = Access::new(&sshd, sshd.port);
    access.url = format!("sftp://{}@127.0.0.1:{}{shown}", sshd.user, sshd.port);
    let client = access.open();
    let good = vec![1; 3 << 20];
    client.put_new(&key("a/good"), &good).unwrap();
    let error = client.put_new(&key("a/large"), &vec![2; 6 << 20]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error:?}");
    assert_eq!(error.key(), Some(&key("a/large")));
    // The half of it is gone: there is room for something smaller.
    client.put_new(&key("a/small"), &good).unwrap();
    assert!(client.get(&key("a/good"), None).unwrap() == good);
    assert_eq!(client.list("").count(), 2);
    let findings = client.examine();
    let space = findings.iter().find(|finding| finding.about == "space");
    assert_eq!(space.unwrap().weight, crate::Weight::Bad, "{findings:?}");
}

/// Threads that put and get while the line breaks again and again. `SEAWALL_LONG=1`: many rounds.
#[test]
fn many_threads_on_a_line_that_keeps_breaking_lose_and_replace_nothing() {
    const THREADS: usize = 16;
    const EACH: usize = 6;
    let rounds = if std::env::var_os("SEAWALL_LONG").is_some() { 200 } else { 2 };
    let (proxy, access) = behind(Duration::ZERO);
    let policy = RetryPolicy {
        attempts: usize::MAX,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(50),
        total: Duration::from_mins(2),
    };
    let client = RetryingBackend::new(access.open(), policy);
    let mut direct = Access {
        url: access.url.replace(&proxy.port.to_string(), &plain().port.to_string()),
        options: access.options.clone(),
        folder: access.folder.clone(),
        kept: TempDir::new().unwrap(),
    };
    let known = direct.kept.path().join("known_hosts");
    std::fs::write(&known, plain().known_line("ed25519", plain().port)).unwrap();
    direct.options.ssh.known_hosts = Some(known);
    let direct = direct.open();
    let body = |thread: usize, number: usize| {
        let len = 1 << (8 + (thread + number) % 10);
        vec![u8::try_from(number).unwrap(); len]
    };
    for round in 0..rounds {
        let won = AtomicUsize::new(0);
        let race = |thread: usize| key(&format!("{round}/race/{}", thread / 2));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (client, proxy, won) = (&client, &proxy, &won);
                scope.spawn(move || {
                    for number in 0..EACH {
                        // Tied to what was done, so that all comes to an end on any machine.
                        proxy.cut_after(1 << (10 + (round + thread + number) % 10));
                        let name = key(&format!("{round}/{thread}/{number}"));
                        let body = body(thread, number);
                        client.put_new(&name, &body).unwrap();
                        assert!(client.get(&name, None).unwrap() == body);
                    }
                    match client.put_new(&race(thread), &vec![u8::try_from(thread).unwrap(); 3000])
                    {
                        Ok(()) => won.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
                            0
                        }
                    };
                });
            }
        });
        assert_eq!(won.into_inner(), THREADS / 2);
        let listed: Result<Vec<_>> = direct.list(&round.to_string()).collect();
        assert_eq!(listed.unwrap().len(), THREADS * EACH + THREADS / 2);
        for thread in 0..THREADS {
            for number in 0..EACH {
                let name = key(&format!("{round}/{thread}/{number}"));
                let body = body(thread, number);
                assert!(direct.get(&name, None).unwrap() == body);
            }
        }
    }
    assert!(proxy.connections() > 2, "it was never cut");
}

/// Tasks that nobody waits for any more close what they opened.
#[test]
fn listings_that_are_given_up_leave_nothing_open() {
    let mut access = Access::new(plain(), plain().port);
    access.options.connections = NonZeroUsize::new(1);
    for folder in 0..256 {
        let folder = access.folder.join(format!("{folder:02x}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("x"), "1").unwrap();
    }
    let client = access.open();
    for _ in 0..60 {
        assert!(client.list("").next().unwrap().is_ok());
    }
    assert_eq!(client.list("").map(Result::unwrap).count(), 256);
}

#[test]
fn a_client_that_is_dropped_hangs_up() {
    let client = Access::new(plain(), plain().port).open();
    client.put_new(&key("a"), b"x").unwrap();
    let pool = Arc::downgrade(&client.server.pool);
    drop(client);
    assert!(pool.upgrade().is_none());
}

/// Who waited while somebody else could not connect does not try as long again.
#[test]
fn one_attempt_to_connect_answers_all_who_wait_for_it() {
    const THREADS: usize = 16;
    let (proxy, access) = behind(Duration::ZERO);
    let client = access.open();
    let pool = &client.server.pool;
    let held = proxy.hold();
    proxy.cut();
    wait::until("the pool has no session", || pool.sessions().is_empty());
    let before = proxy.connections();
    std::thread::scope(|scope| {
        let _held = held;
        let waiting: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| client.stat(&key("a")).unwrap_err())).collect();
        wait_for_users(&client, THREADS);
        wait::until("every call has failed", || {
            proxy.cut();
            waiting.iter().all(std::thread::ScopedJoinHandle::is_finished)
        });
        for one in waiting {
            assert_eq!(one.join().unwrap().kind(), ErrorKind::Transient);
        }
    });
    let attempts = proxy.connections() - before;
    assert!((1..=2).contains(&attempts), "{attempts}");
}
