//! Round trips from a scan through a tar to files again, and tars of ill will.

#![allow(clippy::disallowed_methods, reason = "tests make their own files")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Cursor;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use seawall_test_servers::wait;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::object::Sha256;
use crate::seafile::files::tests::run_as_nobody;
use crate::seafile::files::{ScanOptions, scan, write_tar};

fn write(path: &Path, text: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// All that a restore must bring back, by inside path: mode, owner, seconds of mtime, content.
fn contents(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![top.to_path_buf()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                pending.push(path.clone());
                "folder".to_owned()
            } else if metadata.is_symlink() {
                format!("link {:?}", fs::read_link(&path).unwrap())
            } else {
                Sha256::of(&fs::read(&path).unwrap()).to_string()
            };
            let (uid, gid) = (metadata.uid(), metadata.gid());
            let line = format!("{:o} {uid}:{gid} {} {content}", metadata.mode(), metadata.mtime());
            found.insert(path.strip_prefix(top).unwrap().to_path_buf(), line);
        }
    }
    found
}

/// An installation with everything that a tar can hold and nothing that a scan leaves out.
fn installation(folder: &Path) -> PathBuf {
    let top = folder.join("haiwen");
    let odd = OsStr::from_bytes(b"odd \xff\n\\ name");
    let long: PathBuf = (0..12).map(|number| format!("{number:030}")).collect();
    write(&top.join("conf/seafile.conf"), b"[fileserver]\n");
    write(&top.join("conf").join(odd).join(odd), b"odd");
    write(&top.join("conf").join(&long).join("deep"), b"deep");
    write(&top.join("conf").join("n".repeat(200)), b"long name");
    write(&top.join("conf").join("ü".repeat(100)), b"long umlauts");
    write(&top.join("conf").join(format!("{}/{}", "p".repeat(120), "n".repeat(80))), b"prefix");
    write(&top.join("conf/empty"), b"");
    write(&top.join("conf/block"), &[7; 512]);
    write(&top.join("conf/large"), &vec![9; (16 << 20) + 5]);
    write(&top.join("seahub-data/avatars/a.png"), b"png");
    fs::create_dir_all(top.join("seafile-data/library-template")).unwrap();
    fs::create_dir_all(top.join("seahub-data/custom/none")).unwrap();
    symlink("seafile-server-11", top.join("seafile-server-latest")).unwrap();
    symlink("/nowhere/../x/./", top.join("conf/absolute")).unwrap();
    symlink("t".repeat(300), top.join("conf/long-target")).unwrap();
    symlink("short", top.join("conf").join(&long).join("link")).unwrap();
    set_mode(&top.join("conf/empty"), 0o444);
    set_mode(&top.join("conf/block"), 0o1640);
    set_mode(&top.join("conf").join(odd), 0o500);
    set_mode(&top.join("seahub-data/avatars"), 0o700);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(top.join("conf/block"), Some(3_000_000), Some(33)).unwrap();
        std::os::unix::fs::lchown(top.join("conf/absolute"), Some(8), Some(9)).unwrap();
    }
    age(&top.join("conf/seafile.conf"), 1_400_000_000);
    age(&top.join("seahub-data/custom/none"), 1_300_000_000);
    age(&top.join("conf"), 1_200_000_000);
    age(&top.join("seahub-data"), 1_100_000_000);
    top
}

fn age(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

fn tars(top: &Path) -> Vec<Vec<u8>> {
    let options = ScanOptions {
        top: top.to_path_buf(),
        data_dir: top.join("seafile-data"),
        ..ScanOptions::default()
    };
    let scan = scan(&options).unwrap();
    assert_eq!((&scan.warnings[..], &scan.left_out[..]), (&[][..], &[][..]));
    let tar = |group| {
        let mut tar = Vec::new();
        assert_eq!(write_tar(group, Path::new("/nonexistent"), &mut tar).unwrap().warnings, []);
        tar
    };
    scan.groups.iter().map(tar).collect()
}

fn as_root() -> UnpackOptions {
    UnpackOptions { keep_owner: rustix::process::geteuid().is_root(), ..UnpackOptions::default() }
}

#[test]
fn what_is_scanned_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let top = installation(folder.path());
    let expected = contents(&top);
    let mut tars = tars(&top);
    // Groups may come in any order.
    for turn in ["a", "b"] {
        let target = folder.path().join(turn).join("haiwen");
        let mut unpacker = Unpacker::new(&target, &as_root()).unwrap();
        for tar in &tars {
            unpacker.unpack(&tar[..]).unwrap();
        }
        let done = unpacker.finish().unwrap();
        assert_eq!(contents(&target), expected);
        assert_eq!((done.files, done.links), (10, 4));
        assert_eq!(done.dropped_bits, [] as [PathBuf; 0]);
        tars.reverse();
    }
}

#[test]
fn stock_tar_reads_the_tars() {
    let folder = tempfile::tempdir().unwrap();
    let top = installation(folder.path());
    let target = folder.path().join("by-hand");
    fs::create_dir(&target).unwrap();
    let run = |arguments: &[&str], tar: &[u8]| {
        let mut command = Command::new("tar");
        command.args(arguments).arg("-C").arg(&target);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let tar = tar.to_vec();
        let feeder = std::thread::spawn(move || stdin.write_all(&tar));
        let output = wait::output_of(child, "stock tar");
        feeder.join().unwrap().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && errors.is_empty(), "{errors}");
        output.stdout
    };
    let mut lines = 0;
    for tar in tars(&top) {
        let listing = run(&["tvf", "-"], &tar);
        lines += String::from_utf8_lossy(&listing).lines().count();
        run(&["xpf", "-", "--numeric-owner"], &tar);
    }
    let expected = contents(&top);
    assert_eq!(lines, expected.len());
    if rustix::process::geteuid().is_root() {
        // By hand, tars of folders in `seahub-data` move its time.
        age(&target.join("seahub-data"), 1_100_000_000);
        assert_eq!(contents(&target), expected);
    }
}

#[test]
fn gnu_and_pax_tars_of_stock_tar_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let top = installation(folder.path());
    fs::remove_dir_all(top.join("conf").join(OsStr::from_bytes(b"odd \xff\n\\ name"))).unwrap();
    age(&top.join("conf"), 1_200_000_000);
    for format in ["gnu", "pax"] {
        let mut command = Command::new("tar");
        command.arg("-C").arg(&top).arg(format!("--format={format}"));
        command.args(["-cf", "-", "conf", "seahub-data", "seafile-data"]);
        command.arg("seafile-server-latest");
        let tar = wait::success(&mut command);
        let target = folder.path().join(format);
        unpack(&tar[..], &target, &as_root()).unwrap();
        assert_eq!(contents(&target), contents(&top), "{format}");
    }
}

/// A header that says anything.
fn header(name: &[u8], kind: EntryType, len: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(len);
    header.set_cksum();
    header
}

fn linking(name: &[u8], kind: EntryType, target: &[u8]) -> Header {
    let mut header = header(name, kind, 0);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    header
}

/// A tar of these members.
fn tar_of(members: &[(Header, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (header, content) in members {
        builder.append(header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A target between files that must not change, with a link that leads out of it.
struct Sandbox {
    folder: tempfile::TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("outside/precious"), b"precious");
        fs::create_dir(folder.path().join("target")).unwrap();
        symlink("../outside", folder.path().join("target/way")).unwrap();
        symlink("../outside/precious", folder.path().join("target/door")).unwrap();
        let before = contents(&folder.path().join("outside"));
        Self { folder, before }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    /// Extracts, and sees to it that nothing beside the target was touched.
    fn unpack(&self, tar: &[u8]) -> Result<Unpacked, Error> {
        let options = UnpackOptions {
            limits: TarLimits { bytes: 1 << 20, ..TarLimits::default() },
            ..UnpackOptions::default()
        };
        let result = unpack(tar, &self.target(), &options);
        assert_eq!(contents(&self.folder.path().join("outside")), self.before);
        let names = fs::read_dir(self.folder.path()).unwrap().count();
        assert_eq!(names, 2, "something beside the target");
        for (path, link) in [("way", "../outside"), ("door", "../outside/precious")] {
            let target = fs::read_link(self.target().join(path)).unwrap();
            assert_eq!(target, Path::new(link));
        }
        let left = contents(&self.target());
        assert!(
            !left.keys().any(|path| path.file_name().unwrap().as_bytes().starts_with(b".seawall-")),
            "a temporary file is left"
        );
        result
    }

    fn refusal(&self, tar: &[u8]) -> (PathBuf, Refusal) {
        match self.unpack(tar) {
            Err(Error::Refused { member, refusal }) => (member, refusal),
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let sandbox = Sandbox::new();
    for name in [
        "../outside/new",
        "/tmp/seawall-must-not-exist",
        "a/../../outside/new",
        "a/..",
        "..",
        ".",
        "./a",
        "a//b",
        "a/",
        "/",
    ] {
        let tar = tar_of(&[(header(name.as_bytes(), EntryType::Regular, 1), b"x")]);
        let (member, refusal) = sandbox.refusal(&tar);
        assert_eq!((member, refusal), (PathBuf::from(name), Refusal::Name));
        let tar = tar_of(&[(linking(name.as_bytes(), EntryType::Symlink, b"t"), b"")]);
        assert_eq!(sandbox.refusal(&tar).1, Refusal::Name);
        if name != "a/" {
            let tar = tar_of(&[(header(name.as_bytes(), EntryType::Directory, 0), b"")]);
            assert_eq!(sandbox.refusal(&tar).1, Refusal::Name, "{name}");
        }
    }
    let tar = tar_of(&[(header(b"", EntryType::Regular, 0), b"")]);
    assert_eq!(sandbox.refusal(&tar).1, Refusal::Name);
    let long = b"a\0b";
    let tar = tar_of(&[
        (header(b"l", EntryType::GNULongName, 3), long),
        (header(b"x", EntryType::Regular, 0), b""),
    ]);
    assert_eq!(sandbox.refusal(&tar).1, Refusal::Name);
    assert!(!Path::new("/tmp/seawall-must-not-exist").exists());
}

#[test]
fn links_are_never_gone_through() {
    let sandbox = Sandbox::new();
    // Links that stood in the target before.
    for kind in [EntryType::Regular, EntryType::Directory] {
        let tar = tar_of(&[(header(b"way/new", kind, 0), b"")]);
        assert_eq!(sandbox.refusal(&tar).1, Refusal::Way);
    }
    let tar = tar_of(&[(header(b"way", EntryType::Directory, 0), b"")]);
    assert_eq!(sandbox.refusal(&tar).1, Refusal::Way);
    let tar = tar_of(&[(header(b"door", EntryType::Regular, 1), b"x")]);
    assert_eq!(sandbox.refusal(&tar).1, Refusal::Exists);
    // A link of the tar itself, before and after the file that would go through it.
    let link = (linking(b"made", EntryType::Symlink, b"../outside"), &b""[..]);
    let file = (header(b"made/new", EntryType::Regular, 1), &b"x"[..]);
    for members in [[link.clone(), file.clone()], [file, link]] {
        let (member, refusal) = sandbox.refusal(&tar_of(&members));
        assert_eq!((member, refusal), (PathBuf::from("made"), Refusal::Exists));
        fs::remove_dir_all(sandbox.target().join("made")).unwrap();
    }
    // Its mode and times are its own, not those of what it leads to.
    let tar = tar_of(&[(linking(b"out", EntryType::Symlink, b"../outside/precious"), b"")]);
    assert_eq!(sandbox.unpack(&tar).unwrap().links, 1);
}

#[test]
fn other_kinds_of_members_are_refused() {
    let sandbox = Sandbox::new();
    for kind in [
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Continuous,
        EntryType::GNUSparse,
        EntryType::XGlobalHeader,
        EntryType::new(b'Z'),
    ] {
        let tar = tar_of(&[(linking(b"thing", kind, b"door"), b"")]);
        let refused = sandbox.refusal(&tar);
        assert_eq!(refused, (PathBuf::from("thing"), Refusal::Kind), "{kind:?}");
    }
    let tar = tar_of(&[(header(b"folder", EntryType::Directory, 1), b"x")]);
    assert_eq!(sandbox.refusal(&tar).1, Refusal::Kind);
    for target in [&b""[..], b"\0x"] {
        let tar = tar_of(&[(linking(b"link", EntryType::Symlink, target), b"")]);
        assert_eq!(sandbox.refusal(&tar).1, Refusal::Target);
    }
}

#[test]
fn nothing_is_replaced() {
    let sandbox = Sandbox::new();
    let file = (header(b"twice", EntryType::Regular, 1), &b"x"[..]);
    let tar = tar_of(&[file.clone(), file.clone()]);
    assert_eq!(sandbox.refusal(&tar), (PathBuf::from("twice"), Refusal::Exists));
    let below = (header(b"twice/a", EntryType::Regular, 0), &b""[..]);
    assert_eq!(sandbox.refusal(&tar_of(&[below])).1, Refusal::Way);
    let link = (linking(b"l", EntryType::Symlink, b"a"), &b""[..]);
    let tar = tar_of(&[link.clone(), link]);
    assert_eq!(sandbox.refusal(&tar).1, Refusal::Exists);
    // A folder twice is the same folder.
    let folder = (header(b"folder", EntryType::Directory, 0), &b""[..]);
    sandbox.unpack(&tar_of(&[folder.clone(), folder])).unwrap();
}

#[test]
fn sizes_are_not_believed() {
    let sandbox = Sandbox::new();
    let huge = header(b"huge", EntryType::Regular, 1 << 60);
    let mut tar = huge.as_bytes().to_vec();
    tar.extend([0; 2048]);
    assert_eq!(sandbox.refusal(&tar).1, Refusal::Bytes);
    let large = unpack(&tar[..], &sandbox.target(), &UnpackOptions::default());
    assert!(matches!(large, Err(Error::Read { .. })), "{large:?}");
    let wrapping = header(b"huge", EntryType::Regular, u64::MAX);
    let result = sandbox.unpack(wrapping.as_bytes());
    assert!(matches!(result, Err(Error::Read { .. })), "{result:?}");
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let long = header(b"long", kind, 1 << 40);
        assert_eq!(sandbox.refusal(long.as_bytes()).1, Refusal::Long);
        let twice = header(b"long", kind, 0);
        let tar = tar_of(&[(twice.clone(), b""), (twice.clone(), b"")]);
        assert_eq!(sandbox.refusal(&tar).1, Refusal::Extension);
        let alone = tar_of(&[(twice, b"")]);
        assert_eq!(sandbox.refusal(&alone).1, Refusal::Extension);
    }
    let options = UnpackOptions {
        limits: TarLimits { members: 2, ..TarLimits::default() },
        ..UnpackOptions::default()
    };
    let file = |name: &[u8]| (header(name, EntryType::Regular, 0), &b""[..]);
    let tar = tar_of(&[file(b"1"), file(b"2"), file(b"3")]);
    let result = unpack(&tar[..], &sandbox.target(), &options);
    assert!(matches!(result, Err(Error::Refused { refusal: Refusal::Members, .. })));
}

#[test]
fn numbers_that_nobody_has_are_refused() {
    let sandbox = Sandbox::new();
    let changes: [fn(&mut Header); 4] = [
        |header| header.set_uid(u64::from(u32::MAX)),
        |header| header.set_gid(1 << 40),
        |header| header.set_mtime(1 << 63),
        |header| header.as_old_mut().mode = *b"not oct\0",
    ];
    for change in changes {
        let mut header = header(b"file", EntryType::Regular, 0);
        change(&mut header);
        header.set_cksum();
        assert_eq!(
            sandbox.refusal(&tar_of(&[(header, b"")])),
            (PathBuf::from("file"), Refusal::Number)
        );
    }
}

#[test]
fn pax_records_are_judged_like_headers() {
    let unpack_with = |record: &str| {
        let sandbox = Sandbox::new();
        let mut len = record.len() + 3;
        if len > 9 {
            len = record.len() + 4;
        }
        let pax = format!("{len} {record}\n");
        let tar = tar_of(&[
            (header(b"pax", EntryType::XHeader, pax.len() as u64), pax.as_bytes()),
            (header(b"file", EntryType::Regular, 1), b"x"),
        ]);
        let result = sandbox.unpack(&tar);
        (result, sandbox)
    };
    let (result, sandbox) = unpack_with("mtime=1400000000.5");
    result.unwrap();
    let metadata = fs::metadata(sandbox.target().join("file")).unwrap();
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_400_000_000, 500_000_000));
    let (result, sandbox) = unpack_with("path=other/name");
    result.unwrap();
    assert!(sandbox.target().join("other/name").exists());
    for (record, expected) in [
        ("path=../outside/new", Refusal::Name),
        ("path=way/new", Refusal::Way),
        ("size=1000000", Refusal::Extension),
        ("uid=4294967295", Refusal::Number),
        ("uid=-1", Refusal::Number),
        ("mtime=-5", Refusal::Number),
        ("mtime=1.x", Refusal::Number),
        ("GNU.sparse.major=1", Refusal::Kind),
        ("nothing", Refusal::Extension),
    ] {
        match unpack_with(record).0 {
            Err(Error::Refused { refusal, .. }) => assert_eq!(refusal, expected, "{record}"),
            other => panic!("{record}: {other:?}"),
        }
    }
}

#[test]
fn a_tar_that_is_cut_off_anywhere_is_an_error() {
    let whole = tar_of(&[
        (header(b"one", EntryType::Regular, 600), &[1; 600]),
        (header(b"two", EntryType::Directory, 0), b""),
        (header(b"three", EntryType::Regular, 3), b"abc"),
    ]);
    for len in (0..whole.len()).step_by(64) {
        let sandbox = Sandbox::new();
        let result = sandbox.unpack(&whole[..len]);
        assert!(matches!(result, Err(Error::Read { .. })), "{len} {result:?}");
        let one = fs::read(sandbox.target().join("one"));
        assert!(one.map_or(true, |content| content == [1; 600]), "a part of a file");
    }
    Sandbox::new().unpack(&whole).unwrap();
    let mut padded = whole.clone();
    padded.extend([0; 10240]);
    Sandbox::new().unpack(&padded).unwrap();
    padded.extend(b"more");
    assert_eq!(Sandbox::new().refusal(&padded).1, Refusal::AfterEnd);
}

#[test]
fn modes_lose_setuid_and_setgid_and_it_is_said() {
    let sandbox = Sandbox::new();
    let mut file = header(b"file", EntryType::Regular, 0);
    file.set_mode(0o106_755);
    file.set_cksum();
    let mut folder = header(b"folder/", EntryType::Directory, 0);
    folder.set_mode(0o3770);
    folder.set_cksum();
    let unpacked = sandbox.unpack(&tar_of(&[(file, b""), (folder, b"")])).unwrap();
    assert_eq!(unpacked.dropped_bits, ["file", "folder"].map(PathBuf::from));
    let mode = |path| fs::metadata(sandbox.target().join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("file"), mode("folder")), (0o755, 0o1770));
}

#[test]
fn folders_without_a_member_are_usual_ones() {
    let sandbox = Sandbox::new();
    let tar = tar_of(&[(header(b"extra/opt/.env", EntryType::Regular, 1), b"x")]);
    let options = UnpackOptions {
        owner: rustix::process::geteuid().is_root().then_some((12, 34)),
        keep_owner: true,
        ..UnpackOptions::default()
    };
    let unpacked = unpack(&tar[..], &sandbox.target(), &options).unwrap();
    assert_eq!((unpacked.files, unpacked.folders), (1, 0));
    for path in ["extra", "extra/opt"] {
        let metadata = fs::metadata(sandbox.target().join(path)).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o755);
        if let Some(owner) = options.owner {
            assert_eq!((metadata.uid(), metadata.gid()), owner);
        }
    }
    if let Some(owner) = options.owner {
        let metadata = fs::metadata(sandbox.target().join("extra/opt/.env")).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), owner);
    }
}

/// Runs as a user who is not root, started by [`closed_folders_are_closed_last`].
#[test]
#[ignore = "started by another test, as another user"]
fn closed_folders_are_closed_last_child() {
    let Some(target) = std::env::var_os("SEAWALL_TEST_FOLDER").map(PathBuf::from) else {
        return;
    };
    let folder = |name: &[u8]| {
        let mut header = header(name, EntryType::Directory, 0);
        header.set_mode(0);
        header.set_cksum();
        (header, &b""[..])
    };
    let tar = tar_of(&[
        folder(b"a"),
        folder(b"a/b"),
        (header(b"a/b/file", EntryType::Regular, 1), b"x"),
        (linking(b"a/b/link", EntryType::Symlink, b"file"), b""),
    ]);
    unpack(&tar[..], &target, &UnpackOptions::default()).unwrap();
    let mode = |path| fs::metadata(target.join(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode("a"), 0);
    set_mode(&target.join("a"), 0o700);
    assert_eq!(mode("a/b"), 0);
    set_mode(&target.join("a/b"), 0o700);
    assert_eq!(fs::read(target.join("a/b/link")).unwrap(), b"x");
}

#[test]
fn closed_folders_are_closed_last() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o777);
    let child = concat!(module_path!(), "::closed_folders_are_closed_last_child");
    run_as_nobody(child, &folder.path().join("target"));
}

#[test]
fn a_target_that_is_no_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = unpack(Cursor::new([0; 1024]), &file, &UnpackOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Target { .. }), "{error}");
}

/// Parts of names that a hostile tar would use.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        3 => Just(b"way".to_vec()),
        2 => Just(b"door".to_vec()),
        3 => Just(b"a".to_vec()),
        3 => Just(b"b".to_vec()),
        1 => Just(b"..".to_vec()),
        1 => Just(b"".to_vec()),
        1 => Just(b"../outside/precious".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.join(&b'/'))
}

fn any_member() -> impl Strategy<Value = (Header, Vec<u8>)> {
    let kind = prop_oneof![
        4 => Just(EntryType::Regular),
        3 => Just(EntryType::Directory),
        4 => Just(EntryType::Symlink),
        1 => Just(EntryType::GNULongName),
        1 => Just(EntryType::GNULongLink),
        1 => Just(EntryType::XHeader),
        1 => any::<u8>().prop_map(EntryType::new),
    ];
    let content = prop_oneof![3 => Just(Vec::new()), 1 => any_name()];
    (any_name(), kind, any_name(), content, 0u32..0o10000).prop_map(
        |(name, kind, target, content, mode)| {
            let mut header = linking(&name, kind, &target);
            header.set_mode(mode);
            header.set_size(content.len() as u64);
            header.set_cksum();
            (header, content)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_members_stay_inside(members in prop::collection::vec(any_member(), 1..8)) {
        let members: Vec<_> = members.iter().map(|(header, text)| (header.clone(), &text[..])).collect();
        let _ = Sandbox::new().unpack(&tar_of(&members));
    }

    #[test]
    fn any_bytes_are_an_error_and_stay_inside(
        noise in prop::collection::vec(any::<u8>(), 0..2048),
        at in 0usize..1536,
    ) {
        let sandbox = Sandbox::new();
        if noise.iter().any(|&byte| byte != 0) {
            prop_assert!(sandbox.unpack(&noise).is_err());
        }
        let mut tar = tar_of(&[
            (header(b"one", EntryType::Regular, 3), b"abc"),
            (header(b"two", EntryType::Regular, 3), b"abc"),
        ]);
        for (byte, noise) in tar[at..].iter_mut().zip(&noise) {
            *byte = *noise;
        }
        let _ = sandbox.unpack(&tar);
    }
}
