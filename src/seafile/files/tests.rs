//! Tests with whole installations: scans, fingerprints and tars.

#![allow(clippy::disallowed_methods, reason = "tests make their own files")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use seawall_test_servers::wait;

use super::*;

mod databases;
mod links;

/// An installation below a temporary folder, with one file of each sort.
struct Installation {
    folder: tempfile::TempDir,
}

impl Installation {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self { folder };
        for path in [
            "conf/seafile.conf",
            "ccnet/PeerMgr/usermgr.db",
            "seafile-data/seafile.db",
            "seafile-data/storage/blocks/x",
            "seafile-data/httptemp/upload",
            "seafile-data/library-template/a.txt",
            "seahub-data/avatars/default.png",
            "seahub-data/thumbnail/thumb/48/x",
            "seahub-data/loose",
            "seahub.db",
            "logs/seafile.log",
            "seafile-server-1/seafile.sh",
            "seafile-server-2/seafile.sh",
            "seafile-server-2/seahub/a.pyc",
            "seafile-server-2/seahub/__pycache__/b.pyc",
            "seafile-server-2/runtime/error.log",
            "seafile-license.txt",
        ] {
            made.write(path, path);
        }
        for path in ["pids", "seafile-data/tmpfiles", "seahub-data/custom"] {
            fs::create_dir_all(made.path(path)).unwrap();
        }
        symlink("seafile-server-2", made.path("seafile-server-latest")).unwrap();
        made
    }

    fn top(&self) -> PathBuf {
        self.folder.path().join("haiwen")
    }

    fn outside(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.top().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        write(&self.path(path), text);
    }

    fn options(&self) -> ScanOptions {
        let skipped = ["ccnet/PeerMgr/usermgr.db", "seahub.db"];
        let skipped_data = ["seafile-data/seafile.db", "seafile-data/storage"];
        ScanOptions {
            top: self.top(),
            data_dir: self.path("seafile-data"),
            skip_paths: skipped.into_iter().chain(skipped_data).map(PathBuf::from).collect(),
            program_folder: Some("seafile-server-2".to_owned()),
            ..ScanOptions::default()
        }
    }

    fn scan(&self) -> FileScan {
        scan(&self.options()).unwrap()
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// `group: path` of each entry; folders end in `/`.
fn listing(scan: &FileScan) -> Vec<String> {
    let line = |group: &OrdinaryGroup, entry: &ScanEntry| {
        let mark = match entry.kind {
            ScanEntryKind::Folder => "/",
            ScanEntryKind::Link { .. } => "@",
            ScanEntryKind::File { .. } => "",
        };
        format!("{}: {}{mark}", group.label, entry.path.to_string_lossy())
    };
    scan.groups
        .iter()
        .flat_map(|group| group.entries.iter().map(move |entry| line(group, entry)))
        .collect()
}

fn left_out(scan: &FileScan) -> Vec<String> {
    scan.left_out
        .iter()
        .map(|left| format!("{}: {} ({})", left.path.display(), left.reason, left.count))
        .collect()
}

fn group<'a>(scan: &'a FileScan, name: &str) -> &'a OrdinaryGroup {
    scan.groups.iter().find(|group| group.name == name).unwrap()
}

#[test]
fn everything_is_kept_except_what_is_not() {
    let scan = Installation::new().scan();
    assert_eq!(
        listing(&scan),
        [
            "ccnet: ccnet/",
            "ccnet: ccnet/PeerMgr/",
            "conf: conf/",
            "conf: conf/seafile.conf",
            "seafile-data: seafile-data/",
            "seafile-data: seafile-data/httptemp/",
            "seafile-data: seafile-data/library-template/",
            "seafile-data: seafile-data/library-template/a.txt",
            "seafile-data: seafile-data/tmpfiles/",
            "seafile-server-2: seafile-server-2/",
            "seafile-server-2: seafile-server-2/runtime/",
            "seafile-server-2: seafile-server-2/seafile.sh",
            "seafile-server-2: seafile-server-2/seahub/",
            "seahub-data: seahub-data/",
            "seahub-data: seahub-data/loose",
            "seahub-data: seahub-data/thumbnail/",
            "seahub-data/avatars: seahub-data/avatars/",
            "seahub-data/avatars: seahub-data/avatars/default.png",
            "seahub-data/custom: seahub-data/custom/",
            "top level: logs/",
            "top level: pids/",
            "top level: seafile-license.txt",
            "top level: seafile-server-latest@",
        ]
    );
    assert_eq!(
        left_out(&scan),
        [
            "**/*.pyc: made anew by Seafile (1)",
            "**/__pycache__: made anew by Seafile (1)",
            "logs: made anew by Seafile (1)",
            "pids: made anew by Seafile (1)",
            "seafile-data/httptemp: made anew by Seafile (1)",
            "seafile-data/tmpfiles: made anew by Seafile (1)",
            "seafile-server-1: not the program in use (1)",
            "seahub-data/thumbnail: made anew by Seafile (1)",
            "{seafile,seafile-pro}-server-*/runtime/*.log: made anew by Seafile (1)",
        ]
    );
    assert_eq!(scan.warnings, []);
}

#[test]
fn the_users_patterns_leave_out_too() {
    let installation = Installation::new();
    let mut options = installation.options();
    options.excludes = vec!["conf/*.conf".to_owned(), "seahub-data/avatars".to_owned()];
    let scan = scan(&options).unwrap();
    let lines = listing(&scan);
    assert!(!lines.iter().any(|line| line.contains("seafile.conf")));
    assert!(!lines.iter().any(|line| line.contains("default.png")));
    assert!(lines.contains(&"seahub-data: seahub-data/avatars/".to_owned()));
    assert!(left_out(&scan).contains(&"conf/*.conf: excluded (1)".to_owned()));
}

#[test]
fn links_are_followed_at_the_named_places_only() {
    let installation = Installation::new();
    let disk = installation.outside("disk");
    fs::create_dir(&disk).unwrap();
    for name in ["seafile-data", "seahub-data"] {
        fs::rename(installation.path(name), disk.join(name)).unwrap();
        symlink(disk.join(name), installation.path(name)).unwrap();
    }
    let before = Installation::new();
    let mut options = installation.options();
    options.followed_links = vec![PathBuf::from("seahub-data")];
    symlink(&disk, installation.path("conf/disk")).unwrap();
    symlink(installation.top(), installation.path("loop")).unwrap();
    let found = scan(&options).unwrap();
    let mut lines = listing(&found);
    lines.retain(|line| line != "conf: conf/disk@" && line != "top level: loop@");
    assert_eq!(lines, listing(&before.scan()));

    // Known places are followed without being named.
    options.followed_links.clear();
    let found = scan(&options).unwrap();
    let mut lines = listing(&found);
    lines.retain(|line| line != "conf: conf/disk@" && line != "top level: loop@");
    assert_eq!(lines, listing(&before.scan()));
    // The target also holds objects, which are stored in another way.
    let told = found.warnings.iter().map(|warning| warning.path.to_str().unwrap());
    assert_eq!(told.collect::<Vec<_>>(), ["conf/disk"]);
}

#[test]
fn a_data_folder_elsewhere_is_stored_once_in_its_place() {
    let installation = Installation::new();
    let expected = listing(&installation.scan());
    let real = installation.path("data");
    fs::rename(installation.path("seafile-data"), &real).unwrap();
    let mut options = installation.options();
    options.data_dir = real;
    let scan = scan(&options).unwrap();
    assert_eq!(listing(&scan), expected);
    let again = "data: the installation itself, stored already (1)";
    assert!(left_out(&scan).contains(&again.to_owned()));
}

#[test]
fn a_followed_link_that_leads_nowhere_stays_a_link() {
    let installation = Installation::new();
    fs::remove_dir_all(installation.path("seahub-data")).unwrap();
    symlink("/nonexistent/seahub", installation.path("seahub-data")).unwrap();
    let mut options = installation.options();
    options.followed_links = vec![PathBuf::from("seahub-data")];
    let scan = scan(&options).unwrap();
    assert!(listing(&scan).contains(&"top level: seahub-data@".to_owned()));
    assert_eq!(scan.warnings[0].kind, FileWarningKind::BrokenLink);
}

#[test]
fn sockets_and_fifos_are_reported_and_not_opened() {
    let installation = Installation::new();
    let _socket = UnixListener::bind(installation.path("ccnet/ccnet.sock")).unwrap();
    let fifo = installation.path("conf/fifo");
    wait::success(Command::new("mkfifo").arg(&fifo));
    let scan = installation.scan();
    let left = left_out(&scan);
    assert!(left.contains(&"ccnet/ccnet.sock: a socket (1)".to_owned()));
    assert!(left.contains(&"conf/fifo: a FIFO (1)".to_owned()));
    assert!(!listing(&scan).iter().any(|line| line.contains("ccnet.sock")));
    // A file that became a FIFO after the scan must not make the reading wait.
    assert_eq!(archive::open_regular(&fifo).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn paths_outside_become_groups_of_their_own() {
    let installation = Installation::new();
    let outside = |path| installation.outside(path);
    write(&outside("compose/.env"), "SECRET=1");
    write(&outside("compose/sub/a.yml"), "a: 1");
    symlink("compose/.env", outside("env-link")).unwrap();
    let mut options = installation.options();
    options.also =
        vec![outside("compose"), outside("compose/sub"), outside("env-link"), outside("missing")];
    let found = scan(&options).unwrap();
    let base = installation.folder.path().display();
    let lines = listing(&found);
    for expected in [
        format!("extra/{base}/compose: extra{base}/compose/.env"),
        format!("extra/{base}/compose: extra{base}/compose/sub/a.yml"),
        format!("extra/{base}/env-link: extra{base}/env-link"),
    ] {
        assert!(lines.contains(&expected), "{expected} in {lines:#?}");
    }
    assert_eq!(found.groups.len(), installation.scan().groups.len() + 2);
    assert_eq!(
        found.warnings,
        [FileWarning { path: outside("missing"), kind: FileWarningKind::Missing }]
    );

    // A path of --also contains the installation itself, which is not stored twice.
    options.also = vec![installation.folder.path().to_path_buf()];
    let found = scan(&options).unwrap();
    assert!(left_out(&found).iter().any(|line| line.contains("haiwen: the installation itself")));
    assert!(!listing(&found).iter().any(|line| line.contains("storage")));
}

#[test]
fn paths_outside_must_be_plain_and_their_place_free() {
    let installation = Installation::new();
    let mut options = installation.options();
    for path in ["opt/.env", "/opt/../etc", "/", ""] {
        options.also = vec![PathBuf::from(path)];
        let error = scan(&options).unwrap_err();
        assert!(matches!(error, Error::Also { .. }), "{path}: {error}");
    }
    installation.write("extra", "mine");
    options.also = Vec::new();
    scan(&options).unwrap();
    options.also = vec![PathBuf::from("/etc/hostname")];
    let error = scan(&options).unwrap_err();
    assert!(matches!(error, Error::ExtraTaken { .. }), "{error}");
}

/// A restored installation has a folder `extra`.
#[test]
fn a_folder_extra_of_the_installation_gives_way_only_to_the_same_path() {
    let installation = Installation::new();
    let outside = installation.folder.path().join("outside");
    write(&outside.join("compose/.env"), "now");
    write(&outside.join("file"), "now");
    let base = outside.strip_prefix("/").unwrap().display();
    for own in [
        "extra/opt/.env".to_owned(),
        format!("extra/{base}/compose/.env"),
        format!("extra/{base}/compose/old.yml"),
        format!("extra/{base}/file/below"),
    ] {
        installation.write(&own, "an old copy");
    }
    let mut options = installation.options();
    options.also = vec![outside.join("compose"), outside.join("file")];
    let found = scan(&options).unwrap();
    let lines = listing(&found);
    let has = |line: String| assert!(lines.contains(&line), "{line} in {lines:#?}");
    has("extra: extra/opt/.env".into());
    has(format!("extra: extra/{base}/compose/old.yml"));
    has(format!("extra//{base}/compose: extra/{base}/compose/.env"));
    has(format!("extra//{base}/file: extra/{base}/file"));
    let mut paths: Vec<_> = (found.groups.iter())
        .flat_map(|group| &group.entries)
        .filter(|entry| !matches!(entry.kind, ScanEntryKind::Folder))
        .map(|entry| &entry.path)
        .collect();
    let number = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), number, "two files for one path");
    let told = left_out(&found);
    for gone in ["compose/.env", "file", "file/below"] {
        let line = format!("extra/{base}/{gone}: an old copy");
        assert!(told.iter().any(|told| told.starts_with(&line)), "{line} in {told:#?}");
    }
}

#[test]
fn names_of_any_bytes_are_kept() {
    let installation = Installation::new();
    let name = OsStr::from_bytes(b"a\xffb\nc");
    write(&installation.top().join(name).join(name), "text");
    let scan = installation.scan();
    let path = Path::new(name).join(name);
    let entry = scan
        .groups
        .iter()
        .filter(|group| group.name.starts_with("x-"))
        .flat_map(|group| &group.entries)
        .find(|entry| entry.path == path);
    assert_eq!(entry.unwrap().kind, ScanEntryKind::File { len: 4 });
}

#[test]
fn huge_files_are_stored_and_named() {
    let installation = Installation::new();
    let path = installation.path("conf/old-dump.sql");
    let len = (1 << 30) + 1;
    fs::File::create_new(path).unwrap().set_len(len).unwrap();
    let scan = installation.scan();
    assert_eq!(scan.warnings[0].kind, FileWarningKind::Huge { len });
    assert!(!scan.warnings[0].kind.is_incomplete());
    assert!(listing(&scan).contains(&"conf: conf/old-dump.sql".to_owned()));
}

#[test]
fn a_missing_top_or_data_folder_is_an_error() {
    let installation = Installation::new();
    for change in [
        (|options: &mut ScanOptions| options.top = PathBuf::from("/nonexistent"))
            as fn(&mut ScanOptions),
        |options| options.data_dir = PathBuf::from("/nonexistent"),
        |options| options.data_dir = options.top.join("seafile-license.txt"),
    ] {
        let mut options = installation.options();
        change(&mut options);
        let error = scan(&options).unwrap_err();
        assert!(matches!(error, Error::Folder { .. }), "{error}");
    }
}

/// Runs an ignored test of this program as a user who is not root. The environment names a folder.
pub(crate) fn run_as_nobody(test: &str, folder: &Path) {
    let (_, test) = test.split_once("::").unwrap();
    let program = std::env::current_exe().unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(["--exact", test, "--ignored"]);
    let answer = wait::success(command.env("SEAWALL_TEST_FOLDER", folder));
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("1 passed"), "{answer}");
}

/// [`unreadable_things_are_warnings`] starts this as a user who is not root.
#[test]
#[ignore = "started by another test, as another user"]
fn unreadable_things_are_warnings_child() {
    let Some(top) = std::env::var_os("SEAWALL_TEST_FOLDER").map(PathBuf::from) else {
        return;
    };
    let options = ScanOptions {
        data_dir: top.join("seafile-data"),
        top: top.clone(),
        ..ScanOptions::default()
    };
    let found = scan(&options).unwrap();
    let warned: Vec<_> = found
        .warnings
        .iter()
        .map(|warning| (warning.path.to_str().unwrap(), warning.kind.is_incomplete()))
        .collect();
    assert_eq!(warned, [("conf/secret", true), ("locked", true)]);
    let lines = listing(&found);
    assert!(lines.contains(&"locked: locked/".to_owned()));
    assert!(!lines.iter().any(|line| line.contains("secret")));

    let mut conf = group(&found, "conf").clone();
    conf.entries[1].source = top.join("conf/secret");
    let report = write_tar(&conf, Path::new("/nonexistent"), &mut std::io::sink()).unwrap();
    assert!(matches!(report.warnings[0].kind, FileWarningKind::Unreadable { .. }));

    let locked = ScanOptions { top: top.join("locked"), ..options };
    assert!(matches!(scan(&locked), Err(Error::Folder { .. })));
}

#[test]
fn unreadable_things_are_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    for path in ["seafile-data/a", "conf/plain", "conf/secret", "locked/b"] {
        write(&top.join(path), path);
    }
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(folder.path(), 0o755);
    set_mode(&top.join("conf/secret"), 0);
    set_mode(&top.join("locked"), 0);
    let child = concat!(module_path!(), "::unreadable_things_are_warnings_child");
    run_as_nobody(child, &top);
    set_mode(&top.join("locked"), 0o755);
}

/// A reference time for which files that were just made are settled.
fn settled() -> i64 {
    now() + 10
}

fn now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[test]
fn fingerprints_stay_while_nothing_changes() {
    let installation = Installation::new();
    for reference in [settled(), now()] {
        let prints = || -> Vec<_> {
            let scan = installation.scan();
            let print = |group: &OrdinaryGroup| fingerprint(group, reference).unwrap();
            scan.groups.iter().map(print).collect()
        };
        let first = prints();
        // Files that are left out come and go, and change their folder's times.
        installation.write("seafile-data/seafile.db", "other");
        installation.write("seafile-data/tmpfiles/x", "upload");
        installation.write("seafile-data/storage/blocks/y", "block");
        let _ = fs::remove_file(installation.path("seafile-data/httptemp/upload"));
        assert_eq!(prints(), first);
    }
}

#[test]
fn a_fingerprint_notices_content_whose_mtime_was_set_back() {
    let installation = Installation::new();
    let path = installation.path("conf/seafile.conf");
    for reference in [settled(), now()] {
        installation.write("conf/seafile.conf", "port = 1");
        let print = || fingerprint(group(&installation.scan(), "conf"), reference).unwrap();
        let first = print();
        let mtime = fs::metadata(&path).unwrap().modified().unwrap();
        // The kernel's clock for ctimes ticks in up to 10 milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(30));
        fs::write(&path, "port = 2").unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(mtime).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), mtime);
        assert_ne!(print(), first, "reference {reference}");
    }
}

#[test]
fn a_racy_change_within_one_tick_is_noticed() {
    let installation = Installation::new();
    let reference = now();
    let scan = installation.scan();
    let conf = group(&scan, "conf");
    let first = fingerprint(conf, reference).unwrap();
    installation.write("conf/seafile.conf", "conf/seafile.c0nf");
    // The same entry, as if the clock had not ticked between the two scans.
    assert_ne!(fingerprint(conf, reference).unwrap(), first);
}

#[test]
fn a_group_differs_when_an_entry_comes_goes_or_turns() {
    let installation = Installation::new();
    let reference = settled();
    let print = || fingerprint(group(&installation.scan(), "conf"), reference).unwrap();
    let mut prints = vec![print()];
    installation.write("conf/new", "");
    prints.push(print());
    fs::remove_file(installation.path("conf/new")).unwrap();
    fs::create_dir(installation.path("conf/new")).unwrap();
    prints.push(print());
    fs::remove_dir(installation.path("conf/new")).unwrap();
    symlink("a", installation.path("conf/new")).unwrap();
    prints.push(print());
    fs::remove_file(installation.path("conf/new")).unwrap();
    symlink("b", installation.path("conf/new")).unwrap();
    prints.push(print());
    fs::remove_file(installation.path("conf/new")).unwrap();
    assert_eq!(print(), prints.remove(0));
    let count = prints.len();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), count);
}

#[test]
fn files_that_vanish_or_turn_after_the_scan_are_left_out() {
    let installation = Installation::new();
    installation.write("conf/gone", "x");
    installation.write("conf/turned", "x");
    let scan = installation.scan();
    fs::remove_file(installation.path("conf/gone")).unwrap();
    fs::remove_file(installation.path("conf/turned")).unwrap();
    symlink("/etc/passwd", installation.path("conf/turned")).unwrap();
    let mut tar = Vec::new();
    let report = write_tar(group(&scan, "conf"), Path::new("/nonexistent"), &mut tar).unwrap();
    assert_eq!(report.files, 1);
    assert_eq!(report.bytes, "conf/seafile.conf".len() as u64);
    let warned: Vec<_> = report
        .warnings
        .iter()
        .map(|warning| (warning.path.to_str().unwrap(), &warning.kind))
        .collect();
    assert_eq!(
        warned,
        [("conf/gone", &FileWarningKind::Vanished), ("conf/turned", &FileWarningKind::Vanished)]
    );
    assert!(!tar.windows(4).any(|bytes| bytes == b"root"));
}

#[test]
fn an_output_that_fails_is_an_error_of_the_group() {
    let scan = Installation::new().scan();
    let mut full: &mut [u8] = &mut [0; 700];
    let error = write_tar(group(&scan, "conf"), Path::new("/nonexistent"), &mut full).unwrap_err();
    assert_eq!(error.to_string(), "cannot write the tar of \"conf\"");
}

#[test]
fn a_real_installation_is_listed() {
    let fixture = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/haiwen"));
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("haiwen");
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(fixture).arg(&top);
    wait::success(&mut copy);
    let options = ScanOptions {
        data_dir: top.join("seafile-data"),
        top,
        skip_paths: ["seafile-data/storage", "seafile-data/seafile.db", "seahub.db"]
            .map(PathBuf::from)
            .to_vec(),
        program_folder: Some("seafile-server-11.0.13".to_owned()),
        ..ScanOptions::default()
    };
    let lines = listing(&scan(&options).unwrap());
    for line in [
        "top level: logs/",
        "top level: seafile-server-latest@",
        "seahub-data: seahub-data/thumbnail/",
        "seahub-data/avatars: seahub-data/avatars/alice.png",
        "conf: conf/seafile.conf",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line} in {lines:#?}");
    }
    for part in ["thumb/", ".log", "cluster-shared", "storage", "seahub.db"] {
        assert!(!lines.iter().any(|line| line.contains(part)), "{part}");
    }
}
