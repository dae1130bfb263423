//! Installations whose parts lie in several places, as a user meets them: docker's volume with its
//! `.env` beside it, configuration in another tree, folders bound from several places. And the files
//! and commands of `docs/docker.md`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use seawall::seafile::config::compose;

use crate::cli::{Ran, User};
use crate::support::Source;

/// The example as docker's volume: `opt/seafile-data/seafile` without a program, and `opt/seafile` with
/// `.env` and a compose file that mounts `mounted`.
struct Volume {
    _source: Source,
    source: PathBuf,
    env: PathBuf,
}

impl Volume {
    fn new(mounted: &str) -> Self {
        let source = Source::example();
        let opt = source.path.parent().unwrap().join("opt");
        let volume = opt.join("seafile-data/seafile");
        fs::create_dir_all(opt.join("seafile-data")).unwrap();
        fs::rename(&source.path, &volume).unwrap();
        fs::remove_dir_all(volume.join("seafile-server-11.0.13")).unwrap();
        fs::remove_file(volume.join("seafile-server-latest")).unwrap();
        let project = opt.join("seafile");
        fs::create_dir(&project).unwrap();
        fs::write(project.join(".env"), "JWT_PRIVATE_KEY=x\n").unwrap();
        let compose = format!(
            "services:\n  seafile:\n    image: seafileltd/seafile-mc:11.0-latest\n    volumes: [\"{mounted}:/shared\"]\n"
        );
        fs::write(project.join("seafile-server.yml"), compose).unwrap();
        Self { env: project.join(".env"), source: volume, _source: source }
    }

    fn text(&self) -> &str {
        self.source.to_str().unwrap()
    }
}

/// How often a text stands in what a run said.
fn count(ran: &Ran, text: &str) -> usize {
    ran.stderr.matches(text).count() + ran.stdout.matches(text).count()
}

fn restored(user: &User, name: &str) -> PathBuf {
    let target = user.path(name);
    let ran = user.run(&["restore", "latest", "--target", target.to_str().unwrap()]);
    ran.succeeds();
    target
}

fn below_extra(target: &Path, path: &Path) -> PathBuf {
    let path = path.strip_prefix("/").unwrap();
    target.join("extra").join(path)
}

#[test]
fn the_env_file_is_used_and_backed_up_and_its_absence_is_told_once_with_the_remedy() {
    let (user, volume) = (User::new(), Volume::new("/somewhere/else"));
    let env = volume.env.to_str().unwrap();
    let without = user.backup(&volume.source);
    without.fails(3, &["add --env-file", env]);
    assert_eq!(count(&without, "there is no program folder"), 1, "{}", without.stderr);
    assert!(without.stdout.contains("left out: docker-env"), "{}", without.stdout);

    let with = user.run(&["backup", volume.text(), "--env-file", env]);
    with.succeeds();
    assert_eq!(with.stderr, "");
    let target = restored(&user, "with");
    let project = volume.env.parent().unwrap();
    for name in [".env", "seafile-server.yml"] {
        let kept = fs::read(below_extra(&target, &project.join(name))).unwrap();
        assert_eq!(kept, fs::read(project.join(name)).unwrap(), "{name}");
    }

    let also = user.run(&["backup", volume.text(), "--also", env]);
    also.succeeds();
    assert_eq!(also.stderr, "");
    user.run(&["backup", volume.text(), "--env-file", "/nonexistent/.env"])
        .fails(1, &["/nonexistent/.env (--env-file)"]);
}

/// What was restored has a folder `extra`, in which the old host's files lie.
#[test]
fn what_was_restored_is_backed_up_with_its_env_file() {
    let (user, volume) = (User::new(), Volume::new("/somewhere/else"));
    let env = volume.env.to_str().unwrap();
    user.run(&["backup", volume.text(), "--init", "--env-file", env]).succeeds();
    let target = restored(&user, "seafile");
    let old = below_extra(&target, &volume.env);
    let text = target.to_str().unwrap();
    let state = user.path("state of the new host");
    let new_host = ["--state-dir", state.to_str().unwrap()];
    user.run(&[&["init"][..], &new_host].concat()).succeeds();
    // By the file where it came to lie, then by one that an administrator has put where the old one was.
    fs::write(&volume.env, "JWT_PRIVATE_KEY=new\n").unwrap();
    for (number, env) in [old.as_path(), volume.env.as_path()].into_iter().enumerate() {
        let backup = ["backup", text, "--env-file", env.to_str().unwrap()];
        let ran = user.run(&[&backup[..], &new_host].concat());
        ran.succeeds();
        let again = user.path(&format!("again {number}"));
        let restore = ["restore", "latest", "--target", again.to_str().unwrap()];
        user.run(&[&restore[..], &new_host].concat()).succeeds();
        let kept = fs::read_to_string(below_extra(&again, &volume.env)).unwrap();
        let expected = ["JWT_PRIVATE_KEY=x\n", "JWT_PRIVATE_KEY=new\n"][number];
        assert_eq!(kept, expected);
        user.run(&["verify", again.to_str().unwrap()]).succeeds();
    }
}

#[test]
fn a_compose_file_that_mounts_the_volume_is_found_and_backed_up() {
    let (user, volume) = (User::new(), Volume::new("/opt/seafile-data"));
    let ran = user.backup(&volume.source);
    ran.succeeds();
    assert_eq!(ran.stderr, "");
    let target = restored(&user, "target");
    assert!(below_extra(&target, &volume.env).is_file());
    let dry = user.run(&["backup", volume.text(), "--dry-run", "--json"]).json();
    let also: Vec<_> = dry
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["what"] == "backed up too")
        .collect();
    assert_eq!(also.len(), 2, "{dry}");
}

#[test]
fn a_dry_run_says_how_sure_each_finding_is() {
    let (user, volume) = (User::new(), Volume::new("/opt/seafile-data"));
    let ran = user.run(&["backup", volume.text(), "--dry-run"]);
    let line = |what: &str| {
        let mut lines = ran.stdout.lines();
        let line = lines.find(|line| line.starts_with(what));
        line.unwrap_or_else(|| panic!("{what} is not in {}", ran.stdout)).to_owned()
    };
    let databases = line("databases");
    assert!(
        databases.contains("certain") && databases.contains("conf/seafile.conf:7"),
        "{databases}"
    );
    assert!(line("commits").contains("default"));
    let given = ["--data-dir", &format!("{}/seafile-data", volume.text())].map(str::to_owned);
    let ran = user.run(&["backup", volume.text(), "--dry-run", &given[0], &given[1]]);
    let data = ran.stdout.lines().find(|line| line.starts_with("data folder")).unwrap();
    assert!(data.contains("given") && data.contains("--data-dir"), "{data}");
}

#[test]
fn configuration_in_another_tree_is_backed_up_and_restored_in_its_place() {
    let (user, source) = (User::new(), Source::example());
    let etc = source.path.parent().unwrap().join("elsewhere");
    fs::rename(source.path.join("conf"), &etc).unwrap();
    fs::rename(source.path.join("seafile-data"), source.path.join("data")).unwrap();
    let text = source.path.to_str().unwrap();
    user.run(&["backup", text, "--init"]).fails(1, &["--data-dir", "--conf-dir"]);
    let conf = etc.to_str().unwrap();
    let ran = user.run(&["backup", text, "--init", "--conf-dir", conf]);
    ran.succeeds();
    let target = restored(&user, "target");
    let kept = fs::read(target.join("conf/seafile.conf")).unwrap();
    assert_eq!(kept, fs::read(etc.join("seafile.conf")).unwrap());
    assert!(target.join("seafile-data/storage/commits").is_dir());
    assert!(!target.join("data").exists());
    user.run(&["verify", target.to_str().unwrap()]).succeeds();
    user.run(&["verify", text, "--conf-dir", conf]).succeeds();
    user.run(&["doctor", text, "--conf-dir", conf]).succeeds();

    // A folder of that name in the top folder stays its own.
    fs::create_dir(source.path.join("conf")).unwrap();
    fs::write(source.path.join("conf/old"), "old").unwrap();
    user.run(&["backup", text, "--conf-dir", conf]).succeeds();
    let target = restored(&user, "both");
    assert_eq!(fs::read(target.join("conf/old")).unwrap(), b"old");
    assert!(below_extra(&target, &etc).join("seafile.conf").is_file());
}

#[test]
fn four_folders_bound_from_four_places_are_backed_up_through_a_folder_of_links() {
    let (user, source) = (User::new(), Source::example());
    let outer = source.path.parent().unwrap();
    let links = outer.join("links");
    fs::create_dir(&links).unwrap();
    for (number, name) in ["conf", "seafile-data", "seahub-data", "ccnet"].into_iter().enumerate() {
        let place = outer.join(format!("disk{number}"));
        fs::create_dir(&place).unwrap();
        fs::rename(source.path.join(name), place.join(name)).unwrap();
        symlink(place.join(name), links.join(name)).unwrap();
    }
    fs::copy(source.path.join("seahub.db"), links.join("seahub.db")).unwrap();
    fs::write(outer.join("disk0/.env"), "JWT_PRIVATE_KEY=x\n").unwrap();
    let env = outer.join("disk0/.env");
    let ran = user.run(&[
        "backup",
        links.to_str().unwrap(),
        "--init",
        "--env-file",
        env.to_str().unwrap(),
    ]);
    ran.succeeds();
    let target = restored(&user, "target");
    user.run(&["verify", target.to_str().unwrap()]).succeeds();
    for path in ["conf/seafile.conf", "ccnet/PeerMgr/usermgr.db", "seafile-data/storage/commits"] {
        assert!(target.join(path).exists(), "{path}");
    }
    let avatars = outer.join("disk2/seahub-data");
    assert_eq!(
        fs::read_dir(target.join("seahub-data")).unwrap().count() > 0,
        fs::read_dir(avatars).unwrap().count() > 0
    );
}

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/docker.md")).unwrap()
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/docker")
}

#[test]
fn every_option_and_file_of_the_docker_page_exists() {
    let texts: Vec<String> = fs::read_dir(examples())
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let all = [vec![page()], texts].concat().join("\n");
    let help: String = ["backup", "restore", "verify", "init", "doctor"]
        .map(|verb| crate::support::run(env!("CARGO_BIN_EXE_seawall"), &[verb, "--help"]))
        .concat();
    let mut known = 0;
    for line in all
        .lines()
        .filter(|line| line.contains("seawall ") || line.contains("`--"))
        .filter(|line| !line.contains("systemctl"))
    {
        for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            // Options of docker and systemd stand in other lines.
            if word.starts_with("--") && word.len() > 2 {
                assert!(help.contains(word), "{word} is in no --help: {line}");
                known += 1;
            }
        }
    }
    assert!(known > 10, "{known}");
    let page = page();
    for rest in page.split("examples/docker/").skip(1) {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        let name = &rest[..end.unwrap_or(rest.len())];
        assert!(examples().join(name.trim_end_matches('.')).is_file(), "{name}");
    }
    assert!(page.split("examples/docker/").count() > 4);
}

#[test]
fn the_compose_files_open_the_database_to_this_host_only() {
    let read = |name: &str| fs::read_to_string(examples().join(name)).unwrap();
    let port = read("seawall.yml");
    let services = compose::services(&port).unwrap();
    assert_eq!(services.len(), 1);
    assert_eq!(services[0].name, "db");
    assert!(port.contains("- \"127.0.0.1:3306:3306\""));
    let socket = compose::services(&read("seawall-socket.yml")).unwrap();
    let [compose::ComposeMount::Short(mount)] = &socket[0].mounts[..] else { panic!("{socket:?}") };
    assert_eq!(mount.text, "/opt/seafile-mysql/run:/run/mysqld");
}

#[test]
fn databases_of_two_kinds_are_told_with_the_times_of_both_sides() {
    let (user, source) = (User::new(), Source::example());
    let conf = source.path.join("conf/seafile.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}\n[database]\nhost = db\n")).unwrap();
    let ran = user.backup(&source.path);
    ran.succeeds();
    let times = "the newest commit that these databases name is of 20";
    assert_eq!(count(&ran, times), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("the newest on disk of 20"), "{}", ran.stderr);
}
