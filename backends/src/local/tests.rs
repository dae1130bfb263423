//! What only a folder can show: modes, links, strange names, what crashed runs leave.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::error::Error as _;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{FileType, Mode};
use seawall_test_servers::wait::{self, SetAtEnd};
use tempfile::TempDir;

use super::*;

pub(in crate::local) mod odd;

/// A name that a temporary file may have.
const STALE: &str = ".seawall-00112233445566778899aabbccddeeff.tmp";

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn fresh() -> (TempDir, LocalBackend) {
    let folder = TempDir::new().unwrap();
    let backend = LocalBackend::open(folder.path()).unwrap();
    (folder, backend)
}

/// A file that the backend did not write, with the folders above it.
fn plant(path: impl AsRef<Path>, body: &[u8]) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(path).unwrap();
    file.write_all(body).unwrap();
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Every name below a folder, with those that no listing shows.
fn names_on_disk(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            let below = names_on_disk(&entry.path());
            names.extend(below.iter().map(|inner| format!("{name}/{inner}")));
        }
        names.insert(name);
    }
    names
}

fn listed(backend: &LocalBackend, prefix: &str) -> BTreeSet<String> {
    let entries = backend.list(prefix).map(|entry| entry.unwrap().key);
    entries.map(|key| key.to_string()).collect()
}

fn kind<T: fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Runs something without the rights of the superuser, who may do everything.
fn unprivileged<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65_534);
                rustix::thread::set_thread_uid(nobody).unwrap();
            }
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn open_wants_a_folder() {
    let folder = TempDir::new().unwrap();
    let (missing, file) = (folder.path().join("missing"), folder.path().join("file"));
    plant(&file, b"");
    assert_eq!(kind(LocalBackend::open(&missing)), ErrorKind::NotFound);
    assert_eq!(kind(LocalBackend::open(&file)), ErrorKind::Invalid);
    let error = LocalBackend::open(&missing).unwrap_err();
    let source = error.source().unwrap();
    assert_eq!(source.to_string(), missing.display().to_string());
    assert!(source.source().unwrap().to_string().contains("No such"));
}

#[test]
fn the_root_may_be_a_symbolic_link() {
    let folder = TempDir::new().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let backend = LocalBackend::open(&link).unwrap();
    backend.put_new(&key("a/b"), b"x").unwrap();
    assert_eq!(listed(&backend, ""), ["a/b".to_owned()].into());
    assert_eq!(fs::read(real.join("a/b")).unwrap(), b"x");
}

#[test]
fn create_makes_private_folders_and_keeps_what_exists() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a/b");
    let backend = LocalBackend::create(&path).unwrap();
    assert_eq!((mode(folder.path().join("a")), mode(&path)), (0o700, 0o700));
    backend.put_new(&key("x"), b"1").unwrap();
    set_mode(&path, 0o755);
    let again = LocalBackend::create(&path).unwrap();
    assert_eq!(again.get(&key("x"), None).unwrap(), b"1");
    assert_eq!(mode(&path), 0o755);
}

#[test]
fn create_refuses_a_file_in_the_way() {
    let folder = TempDir::new().unwrap();
    plant(folder.path().join("file"), b"x");
    for path in ["file", "file/below"] {
        let path = folder.path().join(path);
        assert_eq!(kind(LocalBackend::create(path)), ErrorKind::Invalid);
    }
    let dangling = folder.path().join("dangling");
    symlink("nowhere", &dangling).unwrap();
    assert_eq!(kind(LocalBackend::create(dangling)), ErrorKind::Invalid);
}

#[test]
fn files_and_folders_are_private_and_nothing_else_stays() {
    for by_links in [false, true] {
        let (folder, backend) = fresh();
        let backend = if by_links { backend.by_links() } else { backend };
        backend.put_new(&key("a/b/c"), b"x").unwrap();
        backend.put_new(&key("d"), b"x").unwrap();
        backend.put_new(&key("d"), b"other").unwrap_err();
        let path = |name| folder.path().join(name);
        assert_eq!((mode(path("a")), mode(path("a/b"))), (0o700, 0o700));
        assert_eq!((mode(path("a/b/c")), mode(path("d"))), (0o600, 0o600));
        let expected = ["a", "a/b", "a/b/c", "d"].map(str::to_owned);
        assert_eq!(names_on_disk(folder.path()), expected.into());
        assert_eq!(fs::metadata(path("a/b/c")).unwrap().nlink(), 1);
    }
}

#[test]
fn a_temporary_goes_away_unless_published() {
    let (folder, backend) = fresh();
    plant(folder.path().join("taken"), b"old");
    for by in [LocalPublishing::Rename, LocalPublishing::Link] {
        let temporary = LocalTemporary::write(&backend.root, b"new").unwrap();
        assert_eq!(names_on_disk(folder.path()).len(), 2);
        drop(temporary);
        let temporary = LocalTemporary::write(&backend.root, b"new").unwrap();
        assert!(!temporary.publish("taken", by).unwrap());
        let temporary = LocalTemporary::write(&backend.root, b"new").unwrap();
        temporary.publish("no/folder", by).unwrap_err();
        assert_eq!(names_on_disk(folder.path()), ["taken".to_owned()].into());
        assert_eq!(fs::read(folder.path().join("taken")).unwrap(), b"old");
    }
}

#[test]
fn a_link_whose_answer_was_lost_is_the_own() {
    let (folder, backend) = fresh();
    let temporary = LocalTemporary::write(&backend.root, b"x").unwrap();
    let name = names_on_disk(folder.path()).pop_first().unwrap();
    backend.root.link(&name, "a").unwrap();
    assert!(temporary.publish("a", LocalPublishing::Link).unwrap());
    assert_eq!(names_on_disk(folder.path()), ["a".to_owned()].into());
}

#[test]
fn a_new_file_is_new_and_a_removed_one_may_be_gone() {
    let (folder, backend) = fresh();
    plant(folder.path().join("taken"), b"old");
    symlink("elsewhere", folder.path().join("link")).unwrap();
    for name in ["taken", "link"] {
        let error = backend.root.write_new(name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
    assert!(!folder.path().join("elsewhere").exists());
    backend.root.remove("missing").unwrap();
    backend.root.remove("taken").unwrap();
    assert!(!folder.path().join("taken").exists());
}

#[test]
fn stale_temporaries_are_removed_and_nothing_else() {
    let (folder, backend) = fresh();
    let path = |name: &str| folder.path().join(name);
    backend.put_new(&key("a/b/c"), b"x").unwrap();
    plant(path(STALE), b"half");
    plant(path("a/b").join(STALE), b"half");
    let inner = backend.root.descend("a/b").unwrap().unwrap();
    let living = LocalTemporary::write(&inner, b"half").unwrap();
    let others = [
        ".hidden",
        ".seawall-1.tmp",
        "a/.seawall-0123456789abcdef0123456789abcdeg.tmp",
        "a/b/.seawall-0123456789abcdef0123456789abcdef.tmp2",
        "seawall-0123456789abcdef0123456789abcdef.tmp",
        ".not/.seawall-0123456789abcdef0123456789abcdef.tmp",
    ];
    for name in others {
        plant(path(name), b"x");
    }
    symlink(path("a"), path(".seawall-00000000000000000000000000000000.tmp")).unwrap();
    assert_eq!(names_on_disk(folder.path()).len(), 14);
    assert_eq!(backend.remove_stale_temporaries().unwrap(), 2);
    assert_eq!(backend.remove_stale_temporaries().unwrap(), 0);
    assert_eq!(names_on_disk(folder.path()).len(), 12);
    assert!(others.iter().all(|name| path(name).exists()));
    assert!(path("a/b/c").exists());
    // The writer who lives was not disturbed.
    assert!(living.publish("d", LocalPublishing::Rename).unwrap());
    assert_eq!(fs::read(path("a/b/d")).unwrap(), b"half");
}

#[test]
fn what_a_killed_process_was_writing_is_removed() {
    let (folder, backend) = fresh();
    let path = folder.path().join(STALE);
    plant(&path, b"half");
    // It holds the lock, says so, and waits to be killed.
    wait::step("flock says that it holds the lock, and ends by a signal");
    let child = Command::new("flock")
        .arg("--exclusive")
        .arg(&path)
        .args(["sh", "-c", "echo locked; exec sleep 600"])
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut child = KilledGroup(child);
    let mut said = [0; 6];
    child.0.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(backend.remove_stale_temporaries().unwrap(), 0);
    assert!(path.exists());
    let mut stdout = child.0.stdout.take().unwrap();
    drop(child);
    // The last of them has let go when nobody can write to the pipe any more.
    stdout.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(backend.remove_stale_temporaries().unwrap(), 1);
    assert!(!path.exists());
}

/// A process and all that it started, which share its locks: killed when this is dropped.
struct KilledGroup(std::process::Child);

impl Drop for KilledGroup {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        // They may have ended by themselves.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

#[test]
fn what_may_not_be_removed_stays() {
    let (folder, backend) = fresh();
    let inside = folder.path().join("a");
    plant(inside.join(STALE), b"half");
    set_mode(folder.path(), 0o755);
    set_mode(&inside, 0o555);
    set_mode(inside.join(STALE), 0o666);
    assert_eq!(unprivileged(|| backend.remove_stale_temporaries()).unwrap(), 0);
    set_mode(&inside, 0o000);
    assert_eq!(unprivileged(|| backend.remove_stale_temporaries()).unwrap(), 0);
    set_mode(&inside, 0o755);
    assert_eq!(backend.remove_stale_temporaries().unwrap(), 1);
}

#[test]
fn a_writer_whose_file_was_taken_for_stale_makes_another() {
    let (_folder, backend) = fresh();
    let stop = AtomicBool::new(false);
    wait::step("200 puts beside a cleaner that never rests");
    thread::scope(|scope| {
        let _stopped = SetAtEnd(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                backend.remove_stale_temporaries().unwrap();
            }
        });
        for number in 0..200 {
            backend.put_new(&key(&format!("k{number}")), b"x").unwrap();
        }
    });
    assert_eq!(listed(&backend, "").len(), 200);
}

/// On a loaded share a cleaner of another host may win many times: time is what counts.
#[test]
fn a_writer_that_loses_many_races_goes_on() {
    const RACES: usize = 100;
    let (folder, backend) = fresh();
    let mut races = 0;
    let mut lose = |name: &str| {
        races += 1;
        if races <= RACES {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
    };
    let patience = std::time::Duration::from_mins(1);
    let (name, _file) = temporary::new_locked(&backend.root, patience, &mut lose).unwrap();
    assert!(folder.path().join(name).exists());
    assert_eq!(races, RACES + 1);
}

#[test]
fn a_writer_that_always_loses_says_why() {
    let (folder, backend) = fresh();
    let mut lose = |name: &str| fs::remove_file(folder.path().join(name)).unwrap();
    let patience = std::time::Duration::from_millis(30);
    let error = temporary::new_locked(&backend.root, patience, &mut lose).unwrap_err();
    assert!(error.to_string().contains("removed each new"), "{error}");
    assert_eq!(Error::from(error).kind(), ErrorKind::Transient);
}

#[test]
fn links_in_the_tree_are_neither_listed_nor_followed() {
    let (folder, backend) = fresh();
    let outside = TempDir::new().unwrap();
    plant(outside.path().join("a"), b"outside");
    symlink(outside.path(), folder.path().join("data")).unwrap();
    symlink(outside.path().join("a"), folder.path().join("link")).unwrap();
    symlink("nowhere", folder.path().join("dangling")).unwrap();
    symlink(folder.path(), folder.path().join("loop")).unwrap();
    assert_eq!(listed(&backend, ""), BTreeSet::new());
    let below = backend.list("data").collect::<Result<Vec<_>>>();
    assert_eq!(kind(below), ErrorKind::Invalid);
    for text in ["data/a", "data/b", "data/b/c", "link", "dangling", "loop"] {
        let key = key(text);
        assert_eq!(kind(backend.get(&key, None)), ErrorKind::Invalid, "{text}");
        assert_eq!(kind(backend.stat(&key)), ErrorKind::Invalid, "{text}");
        assert_eq!(kind(backend.delete(&key)), ErrorKind::Invalid, "{text}");
        let put = backend.put_new(&key, b"x");
        assert_eq!(put.as_ref().unwrap_err().key(), Some(&key));
        assert_eq!(kind(put), ErrorKind::Invalid, "{text}");
    }
    assert_eq!(names_on_disk(outside.path()), ["a".to_owned()].into());
    assert_eq!(names_on_disk(folder.path()).len(), 4);
}

#[test]
fn a_pipe_does_not_make_a_reader_wait() {
    let (folder, backend) = fresh();
    let root = fs::File::open(folder.path()).unwrap();
    rustix::fs::mknodat(root, "pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert_eq!(kind(backend.get(&key("pipe"), None)), ErrorKind::Invalid);
    assert_eq!(kind(backend.put_new(&key("pipe"), b"")), ErrorKind::Invalid);
    assert_eq!(listed(&backend, ""), BTreeSet::new());
    assert!(backend.root.read("pipe").is_ok(), "opening it waits");
}

#[test]
fn a_file_and_a_folder_do_not_replace_each_other() {
    let (folder, backend) = fresh();
    backend.put_new(&key("file"), b"x").unwrap();
    fs::create_dir_all(folder.path().join("folder/empty")).unwrap();
    for (text, why) in [
        ("file/a", "file is no folder"),
        ("file/a/b", "file is no folder"),
        ("folder", "folder is a folder"),
        ("folder/empty", "empty is a folder"),
    ] {
        let error = backend.put_new(&key(text), b"y").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        assert_eq!(error.source().unwrap().to_string(), why);
        assert_eq!(error.key().unwrap().as_str(), text);
    }
    let expected = ["file", "folder", "folder/empty"].map(str::to_owned);
    assert_eq!(names_on_disk(folder.path()), expected.into());
}

#[test]
fn strange_names_are_not_listed() {
    let (folder, backend) = fresh();
    let long = "n".repeat(150);
    for name in [
        ".hidden",
        ".hidden.d/file",
        "a b",
        "ä",
        "lost+found/file",
        "a/b~",
        &format!("{long}/{}", "m".repeat(49)),
        &format!("{long}/{}", "m".repeat(50)),
        &format!("{long}/{}/x", "o".repeat(100)),
    ] {
        plant(folder.path().join(name), b"x");
    }
    let raw = folder.path().join(OsStr::from_bytes(b"\xff\xfe"));
    plant(raw, b"x");
    let expected = format!("{long}/{}", "m".repeat(49));
    assert_eq!(listed(&backend, ""), [expected].into());
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error_that_names_it() {
    let (folder, backend) = fresh();
    let path = |name: &str| folder.path().join(name);
    for name in ["a/1", "data/blocks/2", "data/trees/3", "lost+found/4", "z/5"] {
        plant(path(name), b"x");
    }
    set_mode(folder.path(), 0o755);
    for name in ["data/blocks", "lost+found"] {
        set_mode(path(name), 0);
    }
    let (found, errors): (Vec<_>, Vec<_>) =
        unprivileged(|| backend.list("").partition(Result::is_ok));
    let found: BTreeSet<String> =
        found.into_iter().map(|found| found.unwrap().key.to_string()).collect();
    assert_eq!(found, ["a/1", "data/trees/3", "z/5"].map(str::to_owned).into());
    assert_eq!(errors.len(), 1);
    let error = errors.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(error.key().unwrap().as_str(), "data/blocks");
    for name in ["data/blocks", "lost+found"] {
        set_mode(path(name), 0o755);
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_keeps_what_it_has() {
    let (folder, backend) = fresh();
    plant(folder.path().join("a/b"), b"x");
    set_mode(folder.path(), 0o555);
    set_mode(folder.path().join("a"), 0o555);
    set_mode(folder.path().join("a/b"), 0o444);
    let denied = ErrorKind::PermissionDenied;
    unprivileged(|| {
        assert_eq!(kind(backend.put_new(&key("a/c"), b"x")), denied);
        assert_eq!(kind(backend.put_new(&key("new/c"), b"x")), denied);
        assert_eq!(kind(backend.delete(&key("a/b"))), denied);
        assert_eq!(backend.get(&key("a/b"), None).unwrap(), b"x");
    });
    let expected = ["a", "a/b"].map(str::to_owned);
    assert_eq!(names_on_disk(folder.path()), expected.into());
    set_mode(folder.path(), 0o755);
    set_mode(folder.path().join("a"), 0o755);
}

/// A disk that is taken away must not turn into its empty mount point.
#[test]
fn the_root_is_the_folder_that_was_opened() {
    let folder = TempDir::new().unwrap();
    let (path, moved) = (folder.path().join("root"), folder.path().join("moved"));
    let backend = LocalBackend::create(&path).unwrap();
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    backend.put_new(&key("a/b"), b"x").unwrap();
    assert!(moved.join("a/b").exists());
    assert_eq!(names_on_disk(&path), BTreeSet::new());
    fs::remove_dir_all(&moved).unwrap();
    let put = backend.put_new(&key("c/d"), b"x");
    assert_eq!(kind(put), ErrorKind::Transient);
    assert_eq!(listed(&backend, ""), BTreeSet::new());
}

thread_local! {
    static SYNCED: RefCell<Vec<(PathBuf, bool)>> = const { RefCell::new(Vec::new()) };
}

/// Writes down what is synced: its path, and whether anything in that folder has its final name.
pub(super) fn note_sync(handle: BorrowedFd<'_>) {
    let path = fs::read_link(format!("/proc/self/fd/{}", handle.as_raw_fd())).unwrap();
    let is_named = |entry: io::Result<fs::DirEntry>| {
        let name = entry.unwrap().file_name();
        name.to_str().is_some_and(is_segment)
    };
    let has_names = fs::read_dir(&path).is_ok_and(|mut entries| entries.any(is_named));
    SYNCED.with_borrow_mut(|synced| synced.push((path, has_names)));
}

/// What was synced since the last time, below `root`; temporary files are `tmp`.
fn take_synced(root: &Path) -> Vec<(String, bool)> {
    let shown = |(path, has_names): (PathBuf, bool)| {
        let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        let path = if temporary::is_name(name) { path.replace(name, "tmp") } else { path };
        (path, has_names)
    };
    SYNCED.take().into_iter().map(shown).collect()
}

/// A power cut must find bytes before their name, and the names of all folders above it.
#[test]
fn everything_is_synced_in_order() {
    let parent = TempDir::new().unwrap();
    let root = parent.path().canonicalize().unwrap();
    let synced = |names: &[(&str, bool)]| {
        let expected = names.iter().map(|(name, has)| ((*name).to_owned(), *has));
        assert_eq!(take_synced(&root), expected.collect::<Vec<_>>());
    };
    let backend = LocalBackend::create(root.join("r/s")).unwrap();
    synced(&[("r", true), ("", true)]);
    backend.put_new(&key("a/b/c"), b"x").unwrap();
    let whole = [("r/s/a/b/tmp", false), ("r/s/a/b", true), ("r/s/a", true), ("r/s", true)];
    synced(&whole);
    backend.put_new(&key("a/b/d"), b"x").unwrap();
    synced(&whole[..2]);
    backend.put_new(&key("top"), b"x").unwrap();
    synced(&[("r/s/tmp", false), ("r/s", true)]);
    // Another client may rely on what it found, so it takes the same care.
    let other = LocalBackend::open(root.join("r/s")).unwrap();
    other.put_new(&key("a/b/c"), b"x").unwrap_err();
    synced(&whole[1..]);
    other.delete(&key("a/b/c")).unwrap();
    other.delete(&key("a/b/c")).unwrap();
    synced(&[("r/s/a/b", true), ("r/s/a/b", true)]);
    fs::remove_dir_all(root.join("r/s/a")).unwrap();
    backend.put_new(&key("a/b/c"), b"x").unwrap();
    synced(&whole);
}

/// It is read only when its turn comes, so this also shows that listing is lazy.
#[test]
fn a_folder_that_goes_away_is_not_listed() {
    let (folder, backend) = fresh();
    for name in ["a/1", "b/2"] {
        plant(folder.path().join(name), b"x");
    }
    let mut listing = backend.list("");
    let first = listing.next().unwrap().unwrap().key;
    let other = if first.as_str() == "a/1" { "b" } else { "a" };
    fs::remove_dir_all(folder.path().join(other)).unwrap();
    assert!(listing.next().is_none());
}

#[test]
fn a_file_that_became_shorter_is_no_short_read() {
    let (folder, backend) = fresh();
    plant(folder.path().join("a"), b"0123456789");
    let file = backend.root.read("a").unwrap();
    let error = folder::read_exactly(file, &(4..11)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
