//! File systems that can do less than those of disks. What they answer is put in the place of what the
//! kernel says here.

use rustix::io::Errno;

use super::*;

/// A call that a file system may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::local) enum Call {
    Rename,
    Link,
    SyncFolder,
}

thread_local! {
    static REFUSED: RefCell<Vec<(Call, Errno)>> = const { RefCell::new(Vec::new()) };
}

/// Refuses a call of this thread as the test of this thread wants.
pub(in crate::local) fn refuse(call: Call) -> std::result::Result<(), Errno> {
    REFUSED.with_borrow(|refused| {
        let found = refused.iter().find(|(refused, _)| *refused == call);
        found.map_or(Ok(()), |(_, error)| Err(*error))
    })
}

fn refusing(refused: &[(Call, Errno)]) {
    REFUSED.replace(refused.to_vec());
}

const NO_SUCH_RENAME: [Errno; 3] = [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP];
const NO_LINKS: [Errno; 9] = [
    Errno::PERM,
    Errno::ACCESS,
    Errno::IO,
    Errno::MLINK,
    Errno::XDEV,
    Errno::NOTSUP,
    Errno::NOSYS,
    Errno::INVAL,
    Errno::NOTTY,
];

/// exFAT, FAT, vboxsf, sshfs, NFS appliances (backintime #2332, borg #4966 and #4336).
#[test]
fn without_exclusive_names_it_is_refused_unless_that_is_accepted() {
    for rename in NO_SUCH_RENAME {
        for link in NO_LINKS {
            let (folder, backend) = fresh();
            refusing(&[(Call::Rename, rename), (Call::Link, link)]);
            let error = backend.put_new(&key("a"), b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{rename} {link}: {error:?}");
            let text = error.source().unwrap().to_string();
            let kind = backend.root.file_system();
            assert!(text.contains(&format!("({kind})")), "{text}");
            assert!(error.hint().unwrap().contains("--accept-weak-writes"));
            assert!(names_on_disk(folder.path()).is_empty());
            assert!(backend.weaknesses().is_empty());
            assert_eq!(backend.properties().writes, Writes::CreateOnly);

            backend.accept_weak_writes();
            backend.put_new(&key("a"), b"x").unwrap();
            let again = backend.put_new(&key("a"), b"y").unwrap_err();
            assert_eq!(again.kind(), ErrorKind::AlreadyExists);
            assert_eq!(backend.get(&key("a"), None).unwrap(), b"x");
            assert_eq!(names_on_disk(folder.path()), ["a".to_owned()].into());
            assert_eq!(backend.properties().writes, Writes::Weak);
            let [weakness] = backend.weaknesses().try_into().unwrap();
            assert!(weakness.contains("cannot refuse to overwrite"), "{weakness}");
        }
    }
    refusing(&[]);
}

/// A doctor that only looked would call such a file system safe.
#[test]
fn an_examination_finds_out_and_leaves_nothing() {
    for is_accepted in [false, true] {
        let (folder, backend) = fresh();
        backend.put_new(&key("a"), b"x").unwrap();
        if is_accepted {
            backend.accept_weak_writes();
        }
        backend.examine();
        assert_eq!(backend.properties().writes, Writes::CreateOnly);
        refusing(&[(Call::Rename, Errno::INVAL), (Call::Link, Errno::PERM)]);
        backend.examine();
        assert_eq!(backend.properties().writes, Writes::Weak);
        assert_eq!(backend.weaknesses().len(), usize::from(is_accepted));
        assert_eq!(names_on_disk(folder.path()), ["a".to_owned()].into());
        refusing(&[]);
        // Who may not write finds out nothing, and is no error.
        let (folder, backend) = fresh();
        set_mode(folder.path(), 0o555);
        unprivileged(|| backend.examine());
        assert_eq!(backend.properties().writes, Writes::CreateOnly);
        set_mode(folder.path(), 0o755);
    }
}

/// A name that another writer took between the first look and the rename.
#[test]
fn the_look_comes_right_before_the_rename() {
    let (folder, backend) = fresh();
    refusing(&[(Call::Rename, Errno::INVAL), (Call::Link, Errno::PERM)]);
    backend.accept_weak_writes();
    let temporary = LocalTemporary::write(&backend.root, b"new").unwrap();
    plant(folder.path().join("taken"), b"old");
    assert!(!temporary.publish("taken", LocalPublishing::Rename).unwrap());
    assert_eq!(fs::read(folder.path().join("taken")).unwrap(), b"old");
    assert_eq!(names_on_disk(folder.path()).len(), 1);
    refusing(&[]);
}

#[test]
fn what_is_accepted_is_not_used_where_it_is_not_needed() {
    let (_folder, backend) = fresh();
    backend.accept_weak_writes();
    backend.put_new(&key("a"), b"x").unwrap();
    refusing(&[(Call::Rename, Errno::INVAL)]);
    backend.put_new(&key("b"), b"x").unwrap();
    assert_eq!(backend.properties().writes, Writes::CreateOnly);
    assert!(backend.weaknesses().is_empty());
    refusing(&[]);
}

#[test]
fn other_errors_of_a_link_stay_what_they_are() {
    let (_folder, backend) = fresh();
    backend.accept_weak_writes();
    for (error, expected) in [
        (Errno::NOSPC, ErrorKind::NoSpace),
        (Errno::ROFS, ErrorKind::PermissionDenied),
        (Errno::STALE, ErrorKind::Transient),
    ] {
        refusing(&[(Call::Rename, Errno::INVAL), (Call::Link, error)]);
        assert_eq!(kind(backend.put_new(&key("a"), b"x")), expected);
    }
    refusing(&[]);
}

/// SMB, CIFS, WSL, FUSE (restic PR 3752, borg #1287, #4839).
#[test]
fn folders_that_cannot_be_synced_are_told_and_no_error() {
    for error in [
        Errno::INVAL,
        Errno::NOTSUP,
        Errno::NOSYS,
        Errno::ACCESS,
        Errno::PERM,
        Errno::NOENT,
        Errno::BADF,
        Errno::NOTTY,
        Errno::ISDIR,
    ] {
        let (_folder, backend) = fresh();
        refusing(&[(Call::SyncFolder, error)]);
        backend.put_new(&key("a/b"), b"x").unwrap();
        backend.put_new(&key("a/c"), b"x").unwrap();
        let again = backend.put_new(&key("a/c"), b"x");
        assert_eq!(kind(again), ErrorKind::AlreadyExists, "{error}");
        backend.delete(&key("a/c")).unwrap();
        let [weakness] = backend.weaknesses().try_into().unwrap();
        assert!(weakness.contains("cannot sync folders"), "{weakness}");
        let [finding] = backend.examine().try_into().unwrap();
        assert_eq!(finding.weight, Weight::Note, "{finding:?}");
    }
    refusing(&[]);
}

#[test]
fn a_failing_disk_is_an_error() {
    let (_folder, backend) = fresh();
    refusing(&[(Call::SyncFolder, Errno::IO)]);
    assert_eq!(kind(backend.put_new(&key("a"), b"x")), ErrorKind::Other);
    let [finding] = backend.examine().try_into().unwrap();
    assert_eq!(finding.weight, Weight::Bad, "{finding:?}");
    refusing(&[]);
    let [finding] = backend.examine().try_into().unwrap();
    assert_eq!(finding.weight, Weight::Good, "{finding:?}");
}
