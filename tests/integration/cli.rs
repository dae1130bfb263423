//! The command as a user meets it: outputs, messages, exit statuses.

mod damage;
mod doctor;
mod interrupted;
mod locks;
mod output;
mod outside;
mod owner;
mod places;
mod rights;
mod snapshots;
mod status;
mod words;

use seawall_test_servers::wait;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{Source, example, files_below};

/// A user with a home, a repository in it, and nothing else.
pub struct User {
    home: tempfile::TempDir,
}

pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The exit status, and that the message holds each of these.
    pub fn fails(&self, status: i32, texts: &[&str]) {
        assert_eq!(self.status, status, "{}{}", self.stdout, self.stderr);
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in:\n{}", self.stderr);
        }
    }

    pub fn succeeds(&self) -> &str {
        assert_eq!(self.status, 0, "{}{}", self.stdout, self.stderr);
        &self.stdout
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

impl User {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// One whose repository is there, and empty.
    pub fn with_repository() -> Self {
        let user = Self::new();
        user.run(&["init"]).succeeds();
        user
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    /// The command with these arguments; what most tests are not about is as it should be: a new
    /// repository is stored in the clear, and files with secrets are private.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.as_typed(arguments);
        if self.has_to_say_whether_to_encrypt(arguments) {
            command.arg("--unencrypted");
        }
        self.make_secrets_private(arguments);
        command
    }

    /// Closes the files with secrets that these arguments name, as an administrator does.
    pub fn make_secrets_private<T: AsRef<str>>(&self, arguments: &[T]) {
        let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        for (option, file) in arguments.iter().zip(arguments.iter().skip(1)) {
            let is_secret = ["-i", "--identity", "--ssh-key"].contains(option)
                || option.ends_with("password-file")
                || option.ends_with("passphrase-file");
            if is_secret && self.path(file).is_file() {
                fs::set_permissions(self.path(file), fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }

    /// Whether `init` wants a word, and none is there. A host that encrypts is left to say it itself.
    fn has_to_say_whether_to_encrypt(&self, arguments: &[&str]) -> bool {
        const WORDS: [&str; 4] =
            ["--unencrypted", "--recipient", "--recipients-file", "--with-passphrase"];
        let makes = ["init", "--init"].iter().any(|word| arguments.contains(word));
        let says = WORDS.iter().any(|word| arguments.contains(word));
        let state = self.path("state");
        let encrypts = || files_below(&state).iter().any(|path| path.ends_with("recipients"));
        makes && !says && !(state.is_dir() && encrypts())
    }

    /// The command with these arguments and no others.
    pub fn as_typed(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            // Not the files of whoever runs the tests.
            .env("HOME", self.home());
        command
            .env("SEAWALL_REPOSITORY", self.repository())
            .env("SEAWALL_STATE_DIR", self.path("state"));
        command.args(arguments).current_dir(self.home.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(wait::output(&mut self.command(arguments)))
    }

    pub fn run_as_typed(&self, arguments: &[&str]) -> Ran {
        Ran::of(wait::output(&mut self.as_typed(arguments)))
    }

    pub fn backup(&self, source: &Path) -> Ran {
        self.run(&["backup", source.to_str().unwrap(), "--init"])
    }

    /// The name of the only snapshot, or of the newest.
    pub fn only_marker(&self) -> String {
        let marker = self.only("markers");
        marker.file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn only(&self, folder: &str) -> PathBuf {
        files_below(&self.repository().join(folder)).pop().unwrap()
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_main_job_as_in_the_readme() {
    let user = User::new();
    let first = user.backup(&example());
    let lines = first.succeeds();
    for begin in ["source ", "stored ", "holds ", "proved ", "snapshot ", "marker "] {
        assert!(lines.lines().any(|line| line.starts_with(begin)), "{begin} is not in:\n{lines}");
    }
    assert!(lines.contains("every pointer in the databases leads to a verified object"));
    let marker = lines.lines().last().unwrap().split_whitespace().last().unwrap();
    assert!(Path::new(marker).is_file(), "{marker}");
    assert!(user.backup(&example()).succeeds().contains("stored    0 objects (0 B) in 0 packs"));
    assert_eq!(user.run(&["snapshots"]).succeeds().lines().count(), 3);
    let libraries = user.run(&["libraries"]);
    assert!(libraries.succeeds().contains("Рабочие файлы 文档"));
    let target = user.path("restored");
    user.run(&["restore", "latest", "--target", target.to_str().unwrap()]).succeeds();
    user.run(&["verify", target.to_str().unwrap()]).succeeds();
    user.run(&["check", "--read-data"]).succeeds();
}

#[test]
fn every_verb_prints_one_json_object() {
    let user = User::new();
    let source = example();
    let backup = user.run(&["backup", source.to_str().unwrap(), "--init", "--json"]).json();
    assert_eq!(backup["objects_stored"], 375);
    assert_eq!(backup["damage"], serde_json::json!([]));
    assert_eq!(user.run(&["snapshots", "--json"]).json()[0]["damage"], 0);
    assert_eq!(user.run(&["libraries", "--json"]).json().as_array().unwrap().len(), 10);
    assert_eq!(user.run(&["check", "--json"]).json()["problems"], serde_json::json!([]));
    let dry = user.run(&["backup", source.to_str().unwrap(), "--dry-run", "--json"]).json();
    assert_eq!(dry[0]["what"], "installation");
    let target = user.path("restored");
    let restore =
        user.run(&["restore", "latest", "--target", target.to_str().unwrap(), "--json"]).json();
    assert_eq!(restore["lost"], serde_json::json!([]));
    assert_eq!(user.run(&["verify", target.to_str().unwrap(), "--json"]).json()["damaged"], 0);
}

#[test]
fn init_prints_the_recovery_sheet_and_joins_what_is_there() {
    let (user, other) = (User::new(), User::new());
    let sheet = user.run(&["init"]);
    let text = sheet.succeeds();
    for part in
        ["RECOVERY SHEET", "repository id", "verification key", "restore latest", "recipients"]
    {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(user.run(&["init"]).succeeds().contains("already; nothing changed"));
    let repository = user.repository();
    let joined = other.run(&["init", "-r", repository.to_str().unwrap()]);
    assert!(joined.succeeds().contains("joined"));
    assert_eq!(files_below(&repository.join("keys")).len(), 2);
    // Two hosts back up into one repository; neither builds on the other's markers.
    user.backup(&example()).succeeds();
    let ran =
        other.run(&["backup", example().to_str().unwrap(), "-r", repository.to_str().unwrap()]);
    assert!(ran.succeeds().contains("375 objects"));
    // Each trusts its own key only, and says so.
    let listed = user.run(&["snapshots"]);
    assert!(listed.stderr.contains("nobody vouched for"), "{}", listed.stderr);
    assert_eq!(listed.stdout.lines().count(), 3);
}

/// Whether a new repository is encrypted is final: nobody gets one in the clear by saying nothing.
#[test]
fn a_new_repository_has_to_be_told_whether_to_encrypt() {
    let user = User::new();
    let top = example();
    let typed = |arguments: &[&str]| user.run_as_typed(arguments);
    let words = ["--recipient", "--recipients-file", "--with-passphrase", "--unencrypted", "final"];
    typed(&["init"]).fails(1, &words);
    typed(&["backup", top.to_str().unwrap(), "--init"]).fails(1, &words);
    assert!(!user.repository().exists(), "a refusal makes nothing");
    typed(&["init", "--unencrypted", "--with-passphrase"]).fails(2, &["cannot be used with"]);
    let made = typed(&["init", "--unencrypted"]);
    let said = made.succeeds();
    assert!(said.contains("not encrypted, and that is final"), "{said}");
    // Who joins need not say it again; what is said must be so.
    let again = typed(&["init"]);
    let said = again.succeeds();
    assert!(said.contains("already; nothing changed"), "{said}");
    let other = User::new();
    let place = user.repository();
    let as_other = |arguments: &[&str]| {
        let mut command = other.as_typed(arguments);
        command.args(["-r", place.to_str().unwrap()]);
        Ran::of(wait::output(&mut command))
    };
    let public = crate::encryption::age_key(&other, "office.key").1;
    as_other(&["init", "--recipient", &public]).fails(1, &["is not encrypted"]);
    as_other(&["backup", top.to_str().unwrap(), "--init"]).succeeds();
    let sealed = User::new();
    sealed.run(&["init", "--recipient", &public]).succeeds();
    let place = sealed.repository();
    other
        .run(&["init", "--unencrypted", "-r", place.to_str().unwrap()])
        .fails(1, &["is encrypted", "leave --unencrypted out"]);
}

#[test]
fn a_dry_run_tells_what_was_found_and_where_and_stores_nothing() {
    let user = User::new();
    let ran = user.run(&["backup", example().to_str().unwrap(), "--dry-run"]);
    let text = ran.succeeds();
    for part in
        ["seafile.db", "conf/seafile.conf", "11.0.13", "thumbnail", "ordinary files", "left out"]
    {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!user.repository().exists() && !user.path("state").exists());
}

#[test]
fn what_is_no_installation_is_named_with_what_was_looked_for() {
    let user = User::new();
    user.run(&["init"]).succeeds();
    let empty = user.path("empty");
    fs::create_dir(&empty).unwrap();
    let text = empty.to_str().unwrap();
    user.run(&["backup", text]).fails(1, &[text, "seafile-data"]);
    user.run(&["backup", "/nonexistent/x"]).fails(1, &["/nonexistent/x"]);
    user.run(&["verify", text]).fails(1, &[text, "seafile-data"]);
    // The folder above is a usual mistake.
    let above = example();
    user.run(&["backup", above.parent().unwrap().to_str().unwrap()]).fails(1, &["haiwen"]);
}

#[test]
fn no_repository_is_status_10_and_says_how_to_make_one() {
    let user = User::new();
    let source = example();
    user.run(&["backup", source.to_str().unwrap()]).fails(10, &["no repository", "--init"]);
    for verb in ["snapshots", "libraries", "check"] {
        user.run(&[verb]).fails(10, &["no repository", "seawall init"]);
    }
    let target = user.path("t");
    user.run(&["restore", "latest", "--target", target.to_str().unwrap()])
        .fails(10, &["no repository"]);
    assert!(!target.exists());
    let mut command = user.command(&["snapshots"]);
    command.env_remove("SEAWALL_REPOSITORY");
    Ran::of(wait::output(&mut command)).fails(1, &["no repository is named", "-r DIR"]);
}

#[test]
fn a_folder_with_other_things_does_not_become_a_repository() {
    let user = User::new();
    fs::create_dir(user.repository()).unwrap();
    fs::write(user.repository().join("holiday.jpg"), "x").unwrap();
    user.backup(&example()).fails(1, &["not empty", "holiday.jpg"]);
    assert_eq!(files_below(&user.repository()).len(), 1);
}

#[test]
fn a_url_of_another_kind_is_refused_by_name() {
    let user = User::new();
    let ran = user.run(&["snapshots", "-r", "ftp://user:hunter2@host/x"]);
    ran.fails(1, &["ftp://", "sftp://user@host/path"]);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let ran = user.run(&["init", "-r", "sftp://user:hunter2@host/x"]);
    ran.fails(1, &["holds no password"]);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn wrong_arguments_are_status_2() {
    let user = User::new();
    user.run(&["backup", "--no-such"]).fails(2, &["--no-such"]);
    user.run(&["restore", "latest"]).fails(2, &["--target"]);
}

#[test]
fn a_second_run_is_status_11() {
    let user = User::new();
    user.backup(&example()).succeeds();
    let lock = fs::File::open(user.path("state/lock")).unwrap();
    lock.lock().unwrap();
    user.backup(&example()).fails(11, &["busy"]);
}

#[test]
fn a_host_without_a_key_is_status_12() {
    let user = User::new();
    user.backup(&example()).succeeds();
    fs::remove_dir_all(user.path("state")).unwrap();
    let source = example();
    user.run(&["backup", source.to_str().unwrap()]).fails(12, &["no key", "seawall init"]);
}

#[test]
fn a_newer_format_is_refused_by_every_verb() {
    let user = User::new();
    user.backup(&example()).succeeds();
    fs::write(user.repository().join("seawall.json"), r#"{"format":2,"later":true}"#).unwrap();
    for verb in [&["backup", example().to_str().unwrap()][..], &["snapshots"], &["check"]] {
        user.run(verb).fails(1, &["format 2", "newer version"]);
    }
}

#[test]
fn an_altered_marker_is_no_snapshot() {
    let user = User::new();
    user.backup(&example()).succeeds();
    user.backup(&example()).succeeds();
    let newest = user.only("markers");
    let name = newest.file_name().unwrap().to_str().unwrap().to_owned();
    let text = fs::read_to_string(&newest).unwrap();
    fs::write(&newest, text.replace("damage 0", "damage 1")).unwrap();
    let listed = user.run(&["snapshots"]);
    listed.fails(3, &[&name, "is no snapshot"]);
    assert_eq!(listed.stdout.lines().count(), 2, "the older one stands");
    let check = user.run(&["check"]);
    assert_eq!(check.status, 3);
    assert!(check.stdout.contains(&name), "{}", check.stdout);
    // The next backup says it too, builds on the older one, and leaves the altered one alone.
    let again = user.backup(&example());
    again.fails(3, &[&name]);
    assert_eq!(user.run(&["snapshots"]).stdout.lines().count(), 3);
}

#[test]
fn a_bad_pack_is_named_and_the_rest_is_restored() {
    type Spoil = fn(&Path);
    let cases: [(Spoil, i32); 3] = [
        (|path| fs::remove_file(path).unwrap(), 3),
        (
            |path| {
                fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap();
            },
            3,
        ),
        // In the first frame: a byte of the seek table would cost no object.
        (|path| flip(path, 40), 0),
    ];
    for (number, (spoil, names_status)) in cases.into_iter().enumerate() {
        let user = User::new();
        user.backup(&example()).succeeds();
        let pack = user.only("data/blocks");
        let name =
            pack.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
        spoil(&pack);
        assert_eq!(user.run(&["check"]).status, names_status, "case {number}");
        let check = user.run(&["check", "--read-data"]);
        assert_eq!(check.status, 3);
        assert!(check.stdout.contains(&name), "{}", check.stdout);
        let target = user.path("restored");
        let restore = user.run(&["restore", "latest", "--target", target.to_str().unwrap()]);
        assert_eq!(restore.status, 3, "{}{}", restore.stdout, restore.stderr);
        assert!(format!("{}{}", restore.stdout, restore.stderr).contains(&name));
        assert!(target.join("seafile-data/seafile.db").is_file());
        assert_eq!(user.run(&["verify", target.to_str().unwrap()]).status, 3);
    }
}

#[test]
fn the_next_backup_heals_what_the_source_still_has() {
    let user = User::new();
    user.backup(&example()).succeeds();
    fs::remove_file(user.only("data/blocks")).unwrap();
    let source = example();
    user.run(&["backup", source.to_str().unwrap(), "--list"]).fails(3, &["lost or altered"]);
    let target = user.path("restored");
    user.run(&["restore", "latest", "--target", target.to_str().unwrap()]).succeeds();
    user.run(&["verify", target.to_str().unwrap()]).succeeds();
}

#[test]
fn damage_in_the_source_is_status_3_with_library_and_path() {
    let (user, source) = (User::new(), Source::example());
    let blocks = source.objects("blocks", "5dbd46b1-17a4-4b5c-839d-8a9946370e27");
    for block in &blocks {
        fs::remove_file(block).unwrap();
    }
    user.backup(&source.path).fails(3, &["is lost", "Photos & Videos", "/"]);
    let again = user.backup(&source.path);
    again.fails(3, &["is lost"]);
    assert!(again.stdout.contains("(0 new)"), "{}", again.stdout);
    let snapshots = user.run(&["snapshots"]);
    assert!(snapshots.succeeds().contains("damaged"));
}

#[test]
fn also_and_exclude() {
    let (user, source) = (User::new(), Source::example());
    let outside = user.path("compose");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join(".env"), "JWT_PRIVATE_KEY=x\n").unwrap();
    fs::write(source.path.join("conf/old.bak"), "x").unwrap();
    let outside_text = outside.to_str().unwrap();
    let source_text = source.path.to_str().unwrap();
    let arguments =
        ["backup", source_text, "--init", "--also", "compose/.env", "--exclude", "**/*.bak"];
    user.run(&arguments).succeeds();
    let target = user.path("restored");
    user.run(&["restore", "latest", "--target", target.to_str().unwrap()]).succeeds();
    let extra = target.join("extra").join(outside_text.trim_start_matches('/'));
    assert_eq!(fs::read_to_string(extra.join(".env")).unwrap(), "JWT_PRIVATE_KEY=x\n");
    assert!(!target.join("conf/old.bak").exists() && target.join("conf/seafile.conf").exists());
    // A missing one does not stop the run, and is not forgotten.
    user.run(&["backup", source_text, "--also", "/nonexistent/.env"])
        .fails(3, &["/nonexistent/.env"]);
    assert!(user.run(&["snapshots"]).stdout.contains("incomplete: also-missing"));
}

#[test]
fn a_folder_that_nobody_may_write_is_named() {
    let user = User::new();
    let folder = user.path("locked");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(user.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = user.path("seawall");
    fs::copy(env!("CARGO_BIN_EXE_seawall"), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        if rustix::process::geteuid().is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command.arg(&binary).args(arguments).env("SEAWALL_STATE_DIR", user.path("nobody-state"));
        Ran::of(wait::output(&mut command))
    };
    let state = user.path("nobody-state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    let repository = folder.join("r");
    let init = ["init", "--unencrypted", "-r", repository.to_str().unwrap()];
    as_nobody(&init).fails(1, &["ermission", "hint"]);
    // An installation whose database cannot be read.
    let source = Source::example();
    let database = source.path.join("seafile-data/seafile.db");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(source.path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let open = user.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let repository = open.join("r");
    let arguments = [
        "backup",
        source.path.to_str().unwrap(),
        "--init",
        "--unencrypted",
        "-r",
        repository.to_str().unwrap(),
    ];
    as_nobody(&arguments).fails(1, &["seafile.db", "ermission"]);
}

#[test]
fn a_foreign_user_backs_up_a_readable_installation_without_a_trace() {
    let (user, source) = (User::new(), Source::example());
    let top = source.path.to_str().unwrap();
    crate::support::run(
        "chmod",
        &["-R", "a+rX,a-w", source.path.parent().unwrap().to_str().unwrap()],
    );
    fs::set_permissions(user.home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let listing = || crate::support::run("find", &[top, "-printf", "%p %y %m %s %T@ %C@\\n"]);
    let before = listing();
    let binary = user.path("seawall");
    fs::copy(env!("CARGO_BIN_EXE_seawall"), &binary).unwrap();
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    let (repository, state) = (user.path("r"), user.path("s"));
    let arguments = [
        "backup",
        top,
        "--init",
        "--unencrypted",
        "-r",
        repository.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
    ];
    Ran::of(wait::output(command.arg(&binary).args(arguments))).succeeds();
    assert_eq!(listing(), before);
}

#[test]
fn what_this_version_cannot_back_up_is_refused_by_name() {
    let user = User::new();
    user.run(&["init"]).succeeds();
    let source = Source::example();
    // The community edition reads nothing of object storage.
    let latest = source.path.join("seafile-server-latest");
    fs::remove_file(&latest).unwrap();
    std::os::unix::fs::symlink("seafile-pro-server-11.0.13", &latest).unwrap();
    let configuration = source.path.join("conf/seafile.conf");
    let original = fs::read_to_string(&configuration).unwrap();
    let with = |text: &str| {
        fs::write(&configuration, format!("{original}\n{text}")).unwrap();
        user.run(&["backup", source.path.to_str().unwrap()])
    };
    with("[block_backend]\nname = s3\nbucket = b\n")
        .fails(1, &["s3", "block_backend", "seafile.conf"]);
    let mysql = original.replace(
        "type = sqlite",
        "type = mysql\nhost = db\nuser = u\npassword = hunter2\ndb_name = seafile_db",
    );
    fs::write(&configuration, mysql).unwrap();
    let ran = user.run(&["backup", source.path.to_str().unwrap()]);
    ran.fails(1, &["u@db:3306", "--database-host"]);
    assert!(!ran.stderr.contains("hunter2"));
    assert_eq!(files_below(&user.repository()).len(), 3, "nothing was stored");
}

#[test]
fn a_backup_does_not_contain_itself() {
    let (user, source) = (User::new(), Source::example());
    let top = source.path.to_str().unwrap();
    let inside = source.path.join("conf/backup");
    let ran = user.run(&["backup", top, "--init", "-r", inside.to_str().unwrap()]);
    ran.fails(1, &["the repository", "inside of", "outside"]);
    assert!(!inside.exists());
    // Also through a link, and for the folder with the host's key.
    let link = user.path("link");
    std::os::unix::fs::symlink(&source.path, &link).unwrap();
    let state = link.join("seahub-data/state");
    let ran = user.run(&["backup", top, "--init", "--state-dir", state.to_str().unwrap()]);
    ran.fails(1, &["the state folder", "inside of"]);
    // Also as a URL.
    let url = format!("file://{}", inside.display());
    let ran = user.run(&["backup", top, "--init", "-r", &url]);
    ran.fails(1, &["the repository", "inside of"]);
    assert!(!inside.exists());
    let home = user.home.path().to_str().unwrap();
    user.run(&["backup", top, "--init", "--also", home]).fails(1, &["the repository", "inside of"]);
}

#[test]
fn two_installations_with_one_state_folder_are_told_so() {
    let (user, source) = (User::new(), Source::example());
    user.backup(&example()).succeeds();
    let moved = user.backup(&source.path);
    moved.succeeds();
    assert!(moved.stderr.contains("state folder of its own"), "{}", moved.stderr);
    assert!(!user.backup(&source.path).stderr.contains("state folder of its own"));
}

#[test]
fn slices_of_a_check_read_everything_once() {
    let user = User::new();
    user.backup(&example()).succeeds();
    let (mut things, mut of) = (0, 0);
    for number in 1..=4 {
        let part = format!("--read-data={number}/4");
        let check = user.run(&["check", &part, "--json"]).json();
        assert_eq!(check["data"]["subset"], format!("{number}/4"));
        things += check["data"]["read"]["things"].as_u64().unwrap();
        of = check["data"]["of"]["things"].as_u64().unwrap();
    }
    assert!(of > 5);
    assert_eq!(things, of);
    let some = user.run(&["check", "--read-data=10%"]);
    assert!(some.succeeds().contains(" were read"), "{}", some.stdout);
    let some = user.run(&["check", "--read-data=1K", "--json"]).json();
    assert_eq!(some["problems"], serde_json::json!([]));
    assert!(some["data"]["read"]["things"].as_u64().unwrap() < of);
    for (part, reason) in [
        ("0/7", "there is no slice 0 of 7"),
        ("8/7", "there is no slice 8 of 7"),
        ("101%", "at most 100%"),
        ("much", "not a subset"),
    ] {
        user.run(&["check", &format!("--read-data={part}")]).fails(2, &[reason]);
    }
    user.run(&["check", "--deep", "--read-data=1/7"]).fails(2, &["--deep"]);
}

#[test]
fn check_tells_the_next_backup_what_is_bad() {
    let user = User::new();
    user.backup(&example()).succeeds();
    let deep = user.run(&["check", "--deep"]);
    assert!(deep.succeeds().contains("every pointer leads"), "{}", deep.stdout);
    let good = user.run(&["check", "--read-data", "--report", "--json"]);
    good.succeeds();
    assert_eq!(good.json()["recorded"], serde_json::Value::Null);
    let pack = user.only("data/blocks");
    flip(&pack, 40);
    let check = user.run(&["check", "--deep"]);
    assert_eq!(check.status, 3);
    assert!(check.stdout.contains("check --report"), "{}", check.stdout);
    let check = user.run(&["check", "--read-data", "--report"]);
    assert_eq!(check.status, 3);
    assert!(
        check.stdout.contains("1 stored file reported in data/runs/damaged-"),
        "{}",
        check.stdout
    );
    let again = user.run(&["check", "--read-data", "--report"]);
    assert!(again.status == 3 && again.stdout.contains("reported already"), "{}", again.stdout);
    let source = example();
    user.run(&["backup", source.to_str().unwrap()]).fails(3, &["lost or altered"]);
    user.run(&["check", "--deep", "--snapshot", "latest"]).succeeds();
}
