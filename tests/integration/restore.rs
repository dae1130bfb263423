//! A snapshot becomes an installation again; what the repository lost is counted, and the rest is
//! restored.

use seawall::host::{Destination, Host, Keys};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall::object::{Kind, Object, Sha256};
use seawall::repository::index::{self, List};
use seawall::repository::marker::{Marker, Named};
use seawall::repository::names::{self, PackKind};
use seawall::repository::note;
use seawall::repository::pack::{MemberName, MemberPlace, PackBuilder, PackOptions};
use seawall::repository::segment::{Header, Line, SegmentWriter};
use seawall::repository::{self, Snapshot};
use seawall::restore::{self, Error, LossKind, NOTES, Options, Owner, Report, Scope, UNFINISHED};
use seawall_backends::{
    Backend, Fault, FaultPlan, FaultyBackend, Key, LocalBackend, Operation, RecordingBackend, Verb,
};

use crate::backup::stored_objects;
use crate::support::{Source, World, files_below, run, tree};

pub const DATABASES: [&str; 5] = [
    "seafile-data/seafile.db",
    "seahub.db",
    "ccnet/PeerMgr/usermgr.db",
    "ccnet/GroupMgr/groupmgr.db",
    "ccnet/OrgMgr/orgmgr.db",
];

/// What a backup leaves out on purpose, but for the folder itself.
const MADE_ANEW: [&str; 6] = [
    "logs",
    "pids",
    "seafile-data/httptemp",
    "seafile-data/tmpfiles",
    "seahub-data/thumbnail",
    "seafile-data/storage",
];

pub fn latest(world: &World) -> Snapshot {
    world.repository.markers().unwrap().latest().unwrap().clone()
}

fn try_restore(world: &World, options: &Options) -> Result<Report, Error> {
    restore::run(&world.repository, &latest(world), options, &|_| {})
}

fn restored(world: &World, target: &Path) -> Report {
    try_restore(world, &Options::new(target.to_owned())).unwrap()
}

/// A repository in a folder with one backup of the example.
fn backed_up() -> (Source, World) {
    let source = example();
    let world = World::local();
    world.backup(&source);
    (source, world)
}

/// The example with what git does not keep: links, empty folders, modes, times.
pub fn example() -> Source {
    let source = Source::example();
    let path = |name: &str| source.path.join(name);
    for folder in ["logs", "pids", "conf/empty/inner", "seafile-data/tmpfiles"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    fs::write(path("conf/a file with spaces"), "x").unwrap();
    fs::set_permissions(path("conf/a file with spaces"), fs::Permissions::from_mode(0o640))
        .unwrap();
    fs::set_permissions(path("conf/empty/inner"), fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::symlink("/nowhere/at all", path("conf/link")).unwrap();
    run("touch", &["-d", "2019-03-04T05:06:07Z", path("conf/seafile.conf").to_str().unwrap()]);
    fs::write(
        path("conf/.env"),
        "SEAFILE_SERVER_HOSTNAME=old.example\nJWT_PRIVATE_KEY=hunter2\nVOLUME=/opt/old\n",
    )
    .unwrap();
    share(&source);
    source
}

pub const PHOTOS: &str = "5dbd46b1-17a4-4b5c-839d-8a9946370e27";
/// A second library with the content of [`PHOTOS`], as after a copy by a user.
pub const COPIED: &str = "aaaaaaaa-17a4-4b5c-839d-8a9946370e27";

fn share(source: &Source) {
    for kind in ["commits", "fs", "blocks"] {
        let folder = source.path.join("seafile-data/storage").join(kind);
        let (from, to) = (folder.join(PHOTOS), folder.join(COPIED));
        run("cp", &["-al", from.to_str().unwrap(), to.to_str().unwrap()]);
    }
    source.sql(&format!(
        "INSERT INTO Repo (repo_id) VALUES ('{COPIED}');
         INSERT INTO Branch (name, repo_id, commit_id) SELECT name, '{COPIED}', commit_id FROM Branch WHERE repo_id = '{PHOTOS}';
         INSERT INTO RepoHead (repo_id, branch_name) VALUES ('{COPIED}', 'master');
         INSERT INTO RepoOwner (repo_id, owner_id) VALUES ('{COPIED}', 'alice@example.com');"
    ));
}

/// Tars keep no more of a time.
fn whole_seconds(text: &str) -> String {
    match text.split_once('.') {
        Some((before, rest)) if text.starts_with("file ") => format!("{before}{}", &rest[9..]),
        _ => text.to_owned(),
    }
}

fn is_made_anew(path: &Path) -> bool {
    MADE_ANEW.iter().any(|folder| path.starts_with(folder) && path != Path::new(folder))
}

fn is_database(path: &Path) -> bool {
    DATABASES.iter().any(|database| path == Path::new(database))
}

/// Compares everything but objects with the source.
pub fn assert_same_files(source: &Path, target: &Path) {
    let compared = |tree: BTreeMap<PathBuf, String>| -> BTreeMap<PathBuf, String> {
        let own =
            |path: &PathBuf| !is_made_anew(path) && !is_database(path) && path != Path::new(NOTES);
        tree.into_iter()
            .filter(|(path, _)| own(path))
            .map(|(path, text)| (path, whole_seconds(&text)))
            .collect()
    };
    let (mut expected, found) = (compared(tree(source)), compared(tree(target)));
    for folder in ["pids", "seafile-data/tmpfiles", "seafile-data/httptemp"] {
        expected.entry(folder.into()).or_insert_with(|| "folder 755".into());
    }
    assert_eq!(expected, found);
    for database in DATABASES {
        assert_same_database(&source.join(database), &target.join(database));
    }
}

fn assert_same_database(source: &Path, target: &Path) {
    let dump = |path: &Path| run("sqlite3", &[path.to_str().unwrap(), ".dump"]);
    assert_eq!(dump(source), dump(target));
    let check = run("sqlite3", &[target.to_str().unwrap(), "PRAGMA integrity_check"]);
    assert_eq!(check, "ok\n");
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(source), mode(target), "{}", target.display());
}

/// Every restored object, by what its path says.
pub fn objects_in(target: &Path) -> BTreeMap<Object, PathBuf> {
    files_below(&target.join("seafile-data/storage"))
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(target).unwrap().to_str().unwrap();
            (Object::from_path(inside).unwrap_or_else(|| panic!("{inside}")), path)
        })
        .collect()
}

/// The restored objects are exactly those of the packs, and their bytes those of the source.
fn assert_all_objects(source: &Source, world: &World, target: &Path) {
    let stored = stored_objects(&world.repository, &latest(world).marker);
    let found = objects_in(target);
    assert_eq!(found.len(), stored.len());
    assert!(found.len() > 100, "the example has objects");
    for (object, path) in &found {
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes, fs::read(source.path.join(object.path())).unwrap(), "{object}");
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o600, "{object}");
    }
}

/// Which packs the newest snapshot names.
pub fn lines(world: &World) -> Vec<Line> {
    let marker = latest(world).marker;
    let lists = marker.lists.iter().map(|named| List::read(&world.repository, named).unwrap());
    lists.flat_map(|list| list.read_segment(&world.repository).unwrap().1).collect()
}

pub fn pack_path(world: &World, line: &Line) -> PathBuf {
    let key = names::pack(line.kind, &line.pack, world.repository.seal());
    world.repository_path().join(key.as_str())
}

fn a_pack(world: &World, kind: PackKind) -> Line {
    lines(world).into_iter().find(|line| line.kind == kind).unwrap()
}

/// An object that is a link, and the one whose bytes it has.
fn a_link(world: &World) -> (Object, Object) {
    let lines = lines(world);
    let mut members = lines.iter().flat_map(|line| &line.contents.members);
    let found = members.find_map(|member| match member.place {
        MemberPlace::Link { target } => {
            let object = member.name.object;
            Some((object, Object { store: target, ..object }))
        }
        MemberPlace::Data { .. } => None,
    });
    found.unwrap()
}

/// Members that are no salvaged bytes.
fn members(line: &Line) -> usize {
    line.contents.members.iter().filter(|member| !member.name.damaged).count()
}

/// Replaces a stored file behind the backend's back.
pub fn alter(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn everything_comes_back() {
    let (source, world) = backed_up();
    let target = world.path("target/haiwen");
    let report = restored(&world, &target);
    assert!(!report.needs_reading(), "{:#?}", report.lost);
    assert_same_files(&source.path, &target);
    assert_all_objects(&source, &world, &target);
    assert_eq!(report.objects.objects() + report.hard_links, objects_in(&target).len() as u64);
    assert_eq!(report.databases.len(), DATABASES.len());
    assert!(!target.join(UNFINISHED).exists());
    assert!(report.hard_links > 0, "the example has blocks that libraries share");
    assert_eq!((report.copies, report.present.objects(), report.unverifiable), (0, 0, 0));
    assert!(report.needs.bytes >= report.objects.bytes);
}

#[test]
fn the_larger_installation_comes_back() {
    let Some(source) = Source::small() else {
        return;
    };
    let world = World::local();
    world.backup(&source);
    let target = world.path("target");
    let report = restored(&world, &target);
    assert!(report.lost.is_empty(), "{:#?}", report.lost);
    assert_all_objects(&source, &world, &target);
    for database in &report.databases {
        assert!(
            ["seafile", "seahub", "usermgr", "groupmgr", "orgmgr", "config"]
                .contains(&database.as_str())
        );
    }
}

#[test]
fn later_snapshots_restore_from_several_segments() {
    let (source, world) = backed_up();
    for number in 0..3 {
        fs::write(source.path.join("conf/seafile.conf"), format!("[a]\nb = {number}\n")).unwrap();
        source.sql(&format!("CREATE TABLE Extra{number} (a)"));
        world.backup(&source);
    }
    let target = world.path("target");
    assert!(!restored(&world, &target).needs_reading());
    assert_same_files(&source.path, &target);
    assert_all_objects(&source, &world, &target);
}

#[test]
fn each_pack_is_fetched_once_and_nothing_is_stored() {
    let (_source, mut world) = backed_up();
    let snapshot = latest(&world);
    let recording = Arc::new(RecordingBackend::new(Arc::clone(&world.backend)));
    world.through(Arc::clone(&recording) as Arc<dyn Backend>);
    recording.take();
    let options = Options::new(world.path("target"));
    restore::run(&world.repository, &snapshot, &options, &|_| {}).unwrap();
    let mut packs = BTreeMap::new();
    for operation in recording.operations() {
        let (Operation::Get(key, _) | Operation::Stat(key)) = &operation else {
            panic!("{operation:?}");
        };
        if names::parse_pack(key, world.repository.seal()).is_some() {
            *packs.entry(key.clone()).or_insert(0) += 1;
        }
    }
    assert!(packs.values().all(|count| *count == 1), "{packs:?}");
    assert_eq!(packs.len(), lines(&world).len());
}

#[test]
fn a_target_with_content_is_refused_and_not_touched() {
    let (_source, world) = backed_up();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("a"), "mine").unwrap();
    let before = tree(&target);
    let error = try_restore(&world, &Options::new(target.clone())).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    assert!(error.hint().is_some());
    let error = try_restore(&world, &Options::new(target.join("a"))).unwrap_err();
    assert!(matches!(error, Error::NotAFolder { .. }), "{error}");
    let error = try_restore(&world, &Options::new(target.join("a/b"))).unwrap_err();
    assert!(matches!(error, Error::NotAFolder { .. }), "{error}");
    assert_eq!(tree(&target), before);
}

#[test]
fn an_empty_target_keeps_its_mode() {
    let (_source, world) = backed_up();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o711)).unwrap();
    restored(&world, &target);
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let (_source, world) = backed_up();
    let target = world.path("target");
    let options = Options { dry_run: true, ..Options::new(target.clone()) };
    let dry = try_restore(&world, &options).unwrap();
    assert!(!target.exists());
    let wet = restored(&world, &target);
    assert_eq!(dry.needs, wet.needs);
    assert!(dry.needs.packs > 0 && dry.dry_run && !wet.dry_run);
}

#[test]
fn parts_of_it_can_be_restored() {
    let (source, world) = backed_up();
    let (data, databases) = (world.path("data"), world.path("databases"));
    let options = Options { scope: Scope::Data, ..Options::new(data.clone()) };
    assert!(try_restore(&world, &options).unwrap().databases.is_empty());
    assert!(!data.join(DATABASES[0]).exists());
    assert_all_objects(&source, &world, &data);
    let options = Options { scope: Scope::Databases, ..Options::new(databases.clone()) };
    let report = try_restore(&world, &options).unwrap();
    assert_eq!((report.databases.len(), report.objects.objects()), (DATABASES.len(), 0));
    let files: Vec<PathBuf> = files_below(&databases);
    assert_eq!(files.len(), DATABASES.len() + 1, "{files:?}");
}

#[test]
fn everything_belongs_to_the_owner() {
    let (_source, world) = backed_up();
    if !rustix::process::geteuid().is_root() {
        let owner = Some(Owner { uid: 1, gid: None });
        let options = Options { owner, ..Options::new(world.path("target")) };
        let error = try_restore(&world, &options).unwrap_err();
        assert!(matches!(error, Error::OwnerNeedsRoot { uid: 1 }));
        return;
    }
    let target = world.path("target");
    let owner = Some(Owner { uid: 4321, gid: Some(1234) });
    try_restore(&world, &Options { owner, ..Options::new(target.clone()) }).unwrap();
    assert_owner(&target, (4321, 1234));
    let existing = world.path("existing");
    fs::create_dir(&existing).unwrap();
    std::os::unix::fs::chown(&existing, Some(77), Some(78)).unwrap();
    let report = restored(&world, &existing);
    assert_owner(&existing, (77, 78));
    assert_eq!(report.owner, Some(Owner { uid: 77, gid: Some(78) }));
}

fn assert_owner(target: &Path, owner: (u32, u32)) {
    for path in
        std::iter::once(target.to_owned()).chain(tree(target).keys().map(|path| target.join(path)))
    {
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), owner, "{}", path.display());
    }
}

#[test]
fn without_an_owner_root_gives_it_to_whom_the_databases_belonged() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let source = example();
    run("chown", &["-R", "-h", "55:66", source.path.to_str().unwrap()]);
    let world = World::local();
    world.backup(&source);
    restored(&world, &world.path("target"));
    assert_owner(&world.path("target"), (55, 66));
}

/// Restores from a repository with one bad pack: only its objects are missing.
fn assert_loses_only(
    source: &Source,
    world: &World,
    line: &Line,
    is_expected: impl Fn(u64) -> bool,
) -> Report {
    let target = world.path("target");
    let report = restored(world, &target);
    assert!(report.needs_reading());
    let packs: Vec<_> = report.lost.iter().filter(|lost| lost.kind == LossKind::Pack).collect();
    assert_eq!(packs.len(), 1, "{:#?}", report.lost);
    assert!(packs[0].name.contains(&line.pack.to_string()));
    let count = packs[0].objects.unwrap();
    assert!(is_expected(count), "{count}");
    assert!(!packs[0].libraries.is_empty());
    let links = report.lost.iter().find(|lost| lost.kind == LossKind::Links);
    let lost = count + links.and_then(|lost| lost.objects).unwrap_or(0);
    let all: usize = lines(world).iter().map(members).sum();
    assert_eq!(objects_in(&target).len() as u64, all as u64 - lost);
    assert_same_files(&source.path, &target);
    assert!(!target.join(UNFINISHED).exists());
    let notes = fs::read_to_string(target.join(NOTES)).unwrap();
    assert!(notes.contains(&line.pack.to_string()), "{notes}");
    report
}

fn data_members(line: &Line) -> u64 {
    let data =
        line.contents.members.iter().filter(|member| {
            matches!(member.place, MemberPlace::Data { .. }) && !member.name.damaged
        });
    data.count() as u64
}

#[test]
fn a_missing_pack_is_told_and_the_rest_restored() {
    let (source, world) = backed_up();
    let (_, with_bytes) = a_link(&world);
    let holds = |line: &Line| {
        line.contents.members.iter().any(|member| {
            member.name.object == with_bytes && matches!(member.place, MemberPlace::Data { .. })
        })
    };
    let line = lines(&world).into_iter().find(holds).unwrap();
    fs::remove_file(pack_path(&world, &line)).unwrap();
    let all = data_members(&line);
    let report = assert_loses_only(&source, &world, &line, |count| count == all);
    assert!(
        report.lost.iter().any(|lost| lost.kind == LossKind::Links),
        "shared blocks are lost twice"
    );
}

#[test]
fn a_truncated_pack_is_told_and_the_rest_restored() {
    let (source, world) = backed_up();
    let line = a_pack(&world, PackKind::Trees);
    alter(&pack_path(&world, &line), |bytes| {
        bytes.truncate(bytes.len() / 2);
    });
    let all = data_members(&line);
    assert_loses_only(&source, &world, &line, |count| 0 < count && count <= all);
}

#[test]
fn a_flipped_byte_is_told_and_the_rest_restored() {
    let (source, world) = backed_up();
    let line = a_pack(&world, PackKind::Blocks);
    // One byte may hit what nobody needs, as the time in a header.
    alter(&pack_path(&world, &line), |bytes| {
        for byte in &mut bytes[100..1100] {
            *byte ^= 0x55;
        }
    });
    let all = data_members(&line);
    assert_loses_only(&source, &world, &line, |count| 0 < count && count <= all);
}

#[test]
fn a_pack_that_cannot_be_read_is_lost_but_a_dead_destination_stops_everything() {
    let (_source, mut world) = backed_up();
    let line = a_pack(&world, PackKind::Blocks);
    let key = names::pack(line.kind, &line.pack, world.repository.seal());
    let inner = Arc::clone(&world.backend);
    let bad_sector = Fault::FailBefore(seawall_backends::ErrorKind::Other);
    let plan = FaultPlan::new().always(Verb::Get, key.as_str(), bad_sector);
    world.through(Arc::new(FaultyBackend::new(Arc::clone(&inner), plan)));
    let report = restored(&world, &world.path("one"));
    assert_eq!(report.lost[0].kind, LossKind::Pack);
    let plan = FaultPlan::new().always(Verb::Get, key.as_str(), Fault::DieBefore);
    world.through(Arc::new(FaultyBackend::new(inner, plan)));
    let error = try_restore(&world, &Options::new(world.path("two"))).unwrap_err();
    assert!(matches!(error, Error::Repository(_)), "{error}");
    assert!(world.path("two").join(UNFINISHED).exists());
}

#[test]
fn without_a_segment_the_packs_speak_for_themselves() {
    let (source, world) = backed_up();
    let marker = latest(&world).marker;
    let list = List::read(&world.repository, &marker.lists[0]).unwrap();
    let key = names::segment(&list.segment, world.repository.seal());
    let stored = stored_objects(&world.repository, &marker).len();
    fs::remove_file(world.repository_path().join(key.as_str())).unwrap();
    let target = world.path("target");
    let report = restored(&world, &target);
    assert!(report.lost.is_empty(), "{:#?}", report.lost);
    assert!(report.warnings.iter().any(|warning| warning.contains(key.as_str())));
    assert_eq!(objects_in(&target).len(), stored);
    assert_same_files(&source.path, &target);
}

#[test]
fn without_a_segment_a_missing_pack_is_still_one_pack() {
    let (_source, world) = backed_up();
    let line = a_pack(&world, PackKind::Blocks);
    let list = List::read(&world.repository, &latest(&world).marker.lists[0]).unwrap();
    let key = names::segment(&list.segment, world.repository.seal());
    alter(&world.repository_path().join(key.as_str()), |bytes| {
        bytes[20] ^= 1;
    });
    fs::remove_file(pack_path(&world, &line)).unwrap();
    let report = restored(&world, &world.path("target"));
    let packs: Vec<_> = report.lost.iter().filter(|lost| lost.kind == LossKind::Pack).collect();
    assert_eq!((packs.len(), packs[0].objects), (1, None));
    assert!(packs[0].name.contains(&line.pack.to_string()));
}

#[test]
fn a_missing_list_is_told() {
    let (source, world) = backed_up();
    let marker = latest(&world).marker;
    fs::remove_file(world.repository_path().join(marker.lists[0].key.as_str())).unwrap();
    let report = restored(&world, &world.path("target"));
    assert_eq!(report.lost[0].kind, LossKind::List);
    assert!(report.needs_reading());
    assert_same_files(&source.path, &world.path("target"));
}

#[test]
fn without_its_manifest_or_sums_a_snapshot_is_refused() {
    for what in ["manifest", "sums"] {
        let (_source, world) = backed_up();
        let marker = latest(&world).marker;
        let key = match what {
            "sums" => marker.sums.key.clone(),
            _ => names::manifest(marker.snapshot, world.repository.seal()),
        };
        alter(&world.repository_path().join(key.as_str()), |bytes| {
            bytes[10] ^= 1;
        });
        let target = world.path("target");
        let error = try_restore(&world, &Options::new(target.clone())).unwrap_err();
        assert!(matches!(error, Error::Repository(repository::Error::Altered { .. })), "{error}");
        assert!(error.hint().unwrap().contains("seawall snapshots"));
        assert!(!target.exists(), "nothing is written before the manifest was read");
    }
}

#[test]
fn a_lost_dump_and_a_lost_group_are_told_and_the_rest_restored() {
    let (_source, world) = backed_up();
    let manifest = index::read_manifest(&world.repository, &latest(&world).marker).unwrap();
    let database = manifest.databases.iter().find(|database| database.role == "usermgr").unwrap();
    let group = manifest.files.iter().find(|group| group.label == "conf").unwrap();
    let path = |key: &Key| world.repository_path().join(key.as_str());
    fs::remove_file(path(&database.parts[0].key)).unwrap();
    alter(&path(&group.parts[0].key), |bytes| bytes[30] ^= 1);
    let target = world.path("target");
    let report = restored(&world, &target);
    let lost: Vec<_> = report.lost.iter().map(|lost| (lost.kind, lost.name.as_str())).collect();
    assert_eq!(lost, [(LossKind::Database, "usermgr"), (LossKind::Files, "conf")]);
    assert!(!target.join("ccnet/PeerMgr/usermgr.db").exists());
    assert!(!target.join("conf/seafile.conf").exists());
    assert!(target.join("ccnet/GroupMgr/groupmgr.db").exists());
    assert!(target.join("seahub-data/avatars/alice.png").exists());
    assert!(files_below(&target).iter().all(|path| !is_temporary(path)));
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with(".seawall-")
}

#[test]
fn a_restore_that_died_goes_on() {
    let (source, mut world) = backed_up();
    let inner = Arc::clone(&world.backend);
    let counting = Arc::new(FaultyBackend::new(Arc::clone(&inner), FaultPlan::new()));
    world.through(Arc::clone(&counting) as Arc<dyn Backend>);
    let snapshot = latest(&world);
    let first = counting.count();
    // Each restore waits for the disk, where there is one.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.unwrap();
    let options = |target: PathBuf| Options { workers: 1, ..Options::new(target) };
    let whole = options(folder.path().join("whole"));
    restore::run(&world.repository, &snapshot, &whole, &|_| {}).unwrap();
    let calls = counting.count() - first;
    let mut resumed = 0;
    for number in 0..calls {
        let target = folder.path().join(number.to_string());
        let plan = FaultPlan::new().at(first + number, Fault::DieBefore);
        world.through(Arc::new(FaultyBackend::new(Arc::clone(&inner), plan)));
        latest(&world);
        restore::run(&world.repository, &snapshot, &options(target.clone()), &|_| {}).unwrap_err();
        world.through(Arc::clone(&inner));
        let report = restored(&world, &target);
        assert!(report.lost.is_empty(), "{:#?}", report.lost);
        resumed += u64::from(report.resumed);
        assert_same_files(&source.path, &target);
        assert_all_objects(&source, &world, &target);
        assert!(files_below(&target).iter().all(|path| !is_temporary(path)));
    }
    assert!(resumed > 5, "{resumed} of {calls}");
}

#[test]
fn going_on_fetches_only_what_is_missing_and_proves_what_is_there() {
    let (source, mut world) = backed_up();
    let target = world.path("target");
    restored(&world, &target);
    let snapshot = latest(&world);
    // As an interrupted restore would have left it, after a power cut: one file of zeros, one gone, one torn.
    let line = a_pack(&world, PackKind::Blocks);
    let blocks: Vec<PathBuf> = objects_in(&target)
        .into_iter()
        .filter(|(object, path)| {
            object.kind == Kind::Block
                && fs::metadata(path).unwrap().nlink() == 1
                && line.contents.members.iter().any(|member| member.name.object == *object)
        })
        .map(|(_, path)| path)
        .collect();
    let len = fs::metadata(&blocks[0]).unwrap().len();
    fs::write(&blocks[0], vec![0; usize::try_from(len).unwrap()]).unwrap();
    fs::remove_file(&blocks[1]).unwrap();
    fs::write(&blocks[2], "torn").unwrap();
    fs::write(target.join("conf/seafile.conf"), "half a fi").unwrap();
    fs::write(target.join("conf/.seawall-0123456789abcdef"), "torn").unwrap();
    let id = world.repository.id().as_str();
    fs::write(target.join(UNFINISHED), format!("\nsnapshot {}\nrepository {id}\n", snapshot.id()))
        .unwrap();
    let recording = Arc::new(RecordingBackend::new(Arc::clone(&world.backend)));
    world.through(Arc::clone(&recording) as Arc<dyn Backend>);
    let report = restored(&world, &target);
    assert!(report.resumed && report.lost.is_empty());
    assert_eq!(report.objects.blocks, 3);
    assert!(report.present.objects() > 100);
    let packs: Vec<Key> = recording
        .operations()
        .iter()
        .filter_map(|operation| match operation {
            Operation::Get(key, _) => Some(key.clone()),
            _ => None,
        })
        .filter(|key| names::parse_pack(key, world.repository.seal()).is_some())
        .collect();
    assert_eq!(packs, [names::pack(line.kind, &line.pack, world.repository.seal())]);
    assert_same_files(&source.path, &target);
    assert_all_objects(&source, &world, &target);
}

#[test]
fn an_unfinished_restore_of_another_snapshot_is_refused() {
    let (source, world) = backed_up();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    let first = latest(&world);
    let id = world.repository.id().as_str();
    fs::write(target.join(UNFINISHED), format!("snapshot {}\nrepository {id}\n", first.id()))
        .unwrap();
    world.backup(&source);
    let error = try_restore(&world, &Options::new(target)).unwrap_err();
    assert!(error.to_string().contains(&first.id().to_string()), "{error}");
    assert!(matches!(error, Error::OtherUnfinished { .. }));
}

#[test]
fn two_restores_do_not_share_a_target() {
    let (_source, world) = backed_up();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    let id = world.repository.id().as_str();
    let path = target.join(UNFINISHED);
    fs::write(&path, format!("snapshot {}\nrepository {id}\n", latest(&world).id())).unwrap();
    let file = fs::File::open(&path).unwrap();
    file.lock().unwrap();
    let error = try_restore(&world, &Options::new(target)).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
}

#[test]
fn libraries_that_are_gone_stay_away_but_what_others_share_with_them_comes_back() {
    let (source, world) = backed_up();
    let (link, with_bytes) = a_link(&world);
    let gone = with_bytes.store.to_string();
    for table in ["Repo", "Branch", "RepoTrash", "RepoHead", "RepoOwner", "VirtualRepo"] {
        source.sql(&format!("DELETE FROM {table} WHERE repo_id = '{gone}'"));
    }
    for kind in ["commits", "fs", "blocks"] {
        let _ = fs::remove_dir_all(source.path.join("seafile-data/storage").join(kind).join(&gone));
    }
    world.backup(&source);
    let target = world.path("target");
    let report = restored(&world, &target);
    assert!(report.lost.is_empty(), "{:#?}", report.lost);
    assert!(!target.join(with_bytes.path()).exists());
    let bytes = fs::read(target.join(link.path())).unwrap();
    assert_eq!(bytes, fs::read(source.path.join(link.path())).unwrap());
    let found = objects_in(&target);
    assert!(found.keys().all(|object| object.store != with_bytes.store));
}

#[test]
fn the_notes_say_what_to_do_and_no_secret() {
    let (_source, world) = backed_up();
    let target = world.path("target");
    restored(&world, &target);
    let path = target.join(NOTES);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let notes = fs::read_to_string(&path).unwrap();
    let snapshot = latest(&world).id().to_string();
    for text in [
        snapshot.as_str(),
        world.repository.id().as_str(),
        "SILENTLY REVERT",
        "seawall verify",
        "conf/.env:1: SEAFILE_SERVER_HOSTNAME=old.example",
        "conf/.env:3: VOLUME=/opt/old",
        "11.0.13",
    ] {
        assert!(notes.contains(text), "{text}\n{notes}");
    }
    assert!(!notes.contains("hunter2"));
    let names = index::read_manifest(&world.repository, &latest(&world).marker).unwrap();
    for library in &names.libraries {
        assert!(notes.contains(&library.id.to_string()));
    }
    let long =
        |line: &&str| line.chars().count() > 78 && !line.contains(':') && !line.contains('"');
    assert_eq!(notes.lines().filter(long).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn a_repository_that_moved_restores_by_its_path() {
    let (source, world) = backed_up();
    let moved = world.path("moved");
    fs::rename(world.repository_path(), &moved).unwrap();
    let backend: Arc<dyn Backend> = Arc::new(LocalBackend::open(&moved).unwrap());
    let moved = Destination::of_backend(backend, moved.to_str().unwrap());
    let repository = Host { state: None, trusted: &[], keys: &Keys::default(), tell: &|_| {} }
        .read(&moved)
        .unwrap();
    let markers = repository.markers().unwrap();
    let snapshot = markers.latest().unwrap();
    assert!(!snapshot.signed_by.is_pinned());
    let target = world.path("target");
    restore::run(&repository, snapshot, &Options::new(target.clone()), &|_| {}).unwrap();
    assert_same_files(&source.path, &target);
    let notes = fs::read_to_string(target.join(NOTES)).unwrap();
    assert!(notes.contains("NOT pinned"));
}

/// Stores the newest snapshot again, its lists followed by one with these objects, all of it named
/// and signed as it should be. Returns the new pack's key.
fn forge(world: &World, before: Vec<Named>, objects: &[(Object, Vec<u8>)]) -> Key {
    let marker = latest(world).marker;
    let mut builder = PackBuilder::new(PackOptions::new(3)).unwrap();
    for (object, bytes) in objects {
        builder.add(MemberName::good(*object), bytes).unwrap();
    }
    let pack = builder.finish().unwrap();
    let put = |key: &Key, bytes: &[u8]| world.backend.put_new(key, bytes).unwrap();
    let seal = world.repository.seal();
    let name = Sha256::of(&pack.bytes);
    let pack_key = names::pack(PackKind::Trees, &name, seal);
    put(&pack_key, &pack.bytes);
    let header = Header { segment: 1, snapshot: marker.snapshot, number: 9, tier: 0 };
    let mut segment = SegmentWriter::new(&header).unwrap();
    let size = pack.bytes.len() as u64;
    segment
        .add(&Line { pack: name, kind: PackKind::Trees, size, contents: pack.contents })
        .unwrap();
    let segment = segment.finish().unwrap();
    let segment_name = Sha256::of(&segment);
    put(&names::segment(&segment_name, seal), &segment);
    let list =
        List::to_bytes(&world.repository, &segment_name, &[(PackKind::Trees, name)]).unwrap();
    let sha256 = Sha256::of(&list);
    let named = Named { sha256, size: list.len() as u64, key: names::list(&sha256) };
    put(&named.key, &list);
    let key = names::marker(marker.snapshot);
    world.backend.delete(&key).unwrap();
    let lists = before.into_iter().chain([named]).collect();
    let text = Marker { lists, ..marker }.to_text();
    put(&key, note::sign(&text, world.host_key().signing()).unwrap().as_bytes());
    pack_key
}

#[test]
fn what_was_stored_last_wins_and_what_was_stored_first_serves_without_it() {
    let (_source, world) = backed_up();
    let lists = latest(&world).marker.lists;
    let objects = stored_objects(&world.repository, &latest(&world).marker);
    let commit = objects.iter().find(|(object, _)| object.kind == Kind::Commit);
    let (commit, first) = commit.map(|(object, bytes)| (*object, bytes.clone())).unwrap();
    let last = [first.as_slice(), b"\n"].concat();
    let pack = forge(&world, lists, &[(commit, last.clone())]);
    let target = world.path("target");
    assert!(!restored(&world, &target).needs_reading());
    assert_eq!(fs::read(target.join(commit.path())).unwrap(), last);
    world.backend.delete(&pack).unwrap();
    let target = world.path("without");
    let report = restored(&world, &target);
    assert!(!report.needs_reading(), "{:#?}", report.lost);
    assert!(report.warnings[0].contains(pack.as_str()), "{:?}", report.warnings);
    assert_eq!(fs::read(target.join(commit.path())).unwrap(), first);
}

#[test]
fn bytes_that_are_not_the_object_are_left_out() {
    for kind in Kind::ALL {
        let (source, world) = backed_up();
        let objects = stored_objects(&world.repository, &latest(&world).marker);
        let victim = *objects.keys().filter(|object| object.kind == kind).min().unwrap();
        let forged = objects.iter().map(|(object, bytes)| {
            let mut bytes = bytes.clone();
            if *object == victim {
                let end = bytes.len() - 1;
                bytes[end] ^= 1;
            }
            (*object, bytes)
        });
        forge(&world, Vec::new(), &forged.collect::<Vec<_>>());
        let target = world.path("target");
        let result = restored(&world, &target);
        assert_eq!(result.lost.len(), 1, "{:#?}", result.lost);
        assert_eq!(result.lost[0].objects, Some(1));
        assert!(result.lost[0].problem.contains(&victim.id.to_string()));
        let found = objects_in(&target);
        assert_eq!(found.len(), objects.len() - 1);
        assert!(!found.contains_key(&victim));
        assert_same_files(&source.path, &target);
    }
}

#[test]
fn what_was_salvaged_is_left_out_and_damage_is_told() {
    let source = example();
    let block = source.objects("blocks", PHOTOS).remove(0);
    fs::remove_file(source.path.join("seafile-data/storage/blocks").join(COPIED).join(
        block.strip_prefix(source.path.join("seafile-data/storage/blocks").join(PHOTOS)).unwrap(),
    ))
    .unwrap();
    fs::write(&block, "bad bytes").unwrap();
    let world = World::local();
    let backup = world.backup(&source);
    assert!(backup.marker.damage >= 2);
    let target = world.path("target");
    let report = restored(&world, &target);
    assert!(report.lost.is_empty() && report.needs_reading());
    assert_eq!((report.salvaged, report.damage), (1, backup.marker.damage));
    assert!(!target.join(block.strip_prefix(&source.path).unwrap()).exists());
    assert!(!target.join("seawall-damaged").exists());
    let notes = fs::read_to_string(target.join(NOTES)).unwrap();
    assert!(
        notes.contains("objects were lost on the old server") && notes.contains("DAMAGED"),
        "{notes}"
    );
}
