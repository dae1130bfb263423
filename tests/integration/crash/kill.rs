//! SIGKILL for the real process, at moments spread over its whole run, on a real file system.

use seawall_test_servers::wait;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::content;
use crate::support::{Source, files_below, rounds, tree};

/// A name that a temporary file may have.
const STALE: &str = ".seawall-00112233445566778899aabbccddeeff.tmp";

/// A folder with a repository and a state folder.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SEAWALL_REPOSITORY", self.path("repository"))
            .env("SEAWALL_STATE_DIR", self.path("state"))
            .args(arguments)
            .current_dir(self.folder.path());
        command
    }

    fn succeeds(&self, arguments: &[&str], about: &str) -> String {
        let output = wait::output(&mut self.command(arguments));
        assert!(output.status.success(), "{about}: {arguments:?}: {}", text(&output));
        text(&output)
    }

    /// Checks all that a killed run left: good, or nothing where there is no snapshot yet.
    fn checks(&self, about: &str) {
        let output = wait::output(&mut self.command(&["check", "--read-data"]));
        let said = text(&output);
        let mut markers = fs::read_dir(self.path("repository/markers")).into_iter().flatten();
        let has_marker =
            markers.any(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with('.'));
        let expected = if has_marker {
            (Some(0), "good      ")
        } else {
            (Some(3), "nothing   there is no snapshot here")
        };
        assert_eq!(output.status.code(), expected.0, "{about}: {said}");
        assert!(said.contains(expected.1), "{about}: {said}");
    }

    /// Kills it after a while; what it said last, if it was alive then.
    fn killed(&self, arguments: &[&str], after: Duration) -> Option<String> {
        let mut command = self.command(arguments);
        command.arg("-v").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        let output = wait::output_of(child, "a run that was killed");
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("nothing said yet").to_owned();
        (output.status.signal() == Some(9)).then_some(last)
    }

    fn catalog_is_whole(&self, about: &str) {
        let state = self.path("state/repositories");
        let found = files_below(&state).into_iter().find(|path| path.ends_with("catalog.db"));
        let database = rusqlite::Connection::open(found.unwrap()).unwrap();
        let answer: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(answer, "ok", "{about}");
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The example, with enough ordinary files beside it that a run takes a while.
fn larger() -> Source {
    let source = Source::example();
    let folder = source.path.join("seahub-data/avatars/many");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..400_u32 {
        let mut bytes = Vec::new();
        for step in 0..2000_u32 {
            bytes
                .extend(number.wrapping_mul(2_654_435_761).wrapping_add(step * step).to_le_bytes());
        }
        fs::write(folder.join(number.to_string()), bytes).unwrap();
    }
    source
}

fn temporaries(folder: &Path) -> Vec<PathBuf> {
    let mut found = files_below(folder);
    found.retain(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".seawall-"))
    });
    found
}

/// Kills at moments spread over a run, until so many met a living process. `kill` is told when, and
/// tells whether the process was alive.
fn kill_alive(mut whole: Duration, rounds: usize, mut kill: impl FnMut(Duration) -> bool) {
    let rounds = u32::try_from(rounds).unwrap();
    let mut alive = 0;
    while alive < rounds {
        if kill(whole * alive / rounds) {
            alive += 1;
        } else {
            // It is faster than the one that was measured.
            whole = whole * 9 / 10;
        }
    }
}

/// Counts kills by what the process was at.
fn count(phases: &mut BTreeMap<String, usize>, said: Option<String>) {
    let phase = said.unwrap_or_else(|| "it had ended".to_owned());
    let words: Vec<&str> = phase.split_whitespace().take(3).collect();
    *phases.entry(words.join(" ")).or_default() += 1;
}

fn report(what: &str, phases: &BTreeMap<String, usize>, left: usize) {
    let ended = phases.get("it had ended").copied().unwrap_or_default();
    let kills = phases.values().sum::<usize>() - ended;
    eprintln!("{what}: {kills} killed alive, {left} left temporary files; {phases:?}");
    assert!(kills > 0, "no kill met a living process");
}

#[test]
fn a_killed_backup_is_made_good_by_the_next() {
    let source = larger();
    let from = source.path.to_str().unwrap();
    let backup = ["backup", from, "--init", "--unencrypted"];
    let (mut phases, mut left) = (BTreeMap::new(), 0);
    let undisturbed = Host::new();
    let started = Instant::now();
    undisturbed.succeeds(&backup, "undisturbed");
    let whole = started.elapsed();
    let spool = tree(&undisturbed.path("state/spool"));
    kill_alive(whole, rounds(20, 200), |after| {
        let (host, about) = (Host::new(), format!("killed after {after:?}"));
        let said = host.killed(&backup, after);
        let was_alive = said.is_some();
        count(&mut phases, said);
        let repository = host.path("repository");
        if repository.join("seawall.json").exists() {
            host.checks(&about);
        }
        // Few kills fall between the making of a file and its naming.
        if repository.join("data").exists() && !repository.join("markers").exists() {
            fs::write(repository.join("data").join(STALE), "half").unwrap();
        }
        left += usize::from(repository.exists() && !temporaries(&repository).is_empty());
        let before: Vec<_> = if repository.exists() {
            let mut tree = tree(&repository);
            tree.retain(|path, text| {
                text.starts_with("file") && !path.to_string_lossy().contains(".seawall-")
            });
            tree.into_iter().collect()
        } else {
            Vec::new()
        };
        host.succeeds(&backup, &about);
        let now = tree(&repository);
        for (path, bytes) in before {
            assert_eq!(now.get(&path), Some(&bytes), "{about}: {}", path.display());
        }
        assert_eq!(temporaries(&repository), Vec::<PathBuf>::new(), "{about}");
        let spooled = tree(&host.path("state/spool")).into_keys();
        assert!(spooled.eq(spool.keys().cloned()), "{about}");
        host.succeeds(&["check", "--read-data"], &about);
        host.catalog_is_whole(&about);
        let again = host.succeeds(&backup, &about);
        assert!(again.contains("stored    0 objects (0 B) in 0 packs"), "{about}: {again}");
        was_alive
    });
    report("backup", &phases, left);
}

#[test]
fn a_killed_restore_goes_on() {
    let host = Host::new();
    let source = larger();
    host.succeeds(&["backup", source.path.to_str().unwrap(), "--init", "--unencrypted"], "backup");
    let restore_to = |target: &str| ["restore", "latest", "--target", target].map(str::to_owned);
    let whole = restore_to("whole");
    let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
    let started = Instant::now();
    host.succeeds(&whole, "undisturbed");
    let took = started.elapsed();
    let expected = content(&host.path("whole"));
    let (mut phases, mut left) = (BTreeMap::new(), 0);
    let mut round = 0;
    kill_alive(took, rounds(20, 200), |after| {
        round += 1;
        let about = format!("round {round}, killed after {after:?}");
        let (name, path) = (format!("target-{round}"), host.path(&format!("target-{round}")));
        let arguments = restore_to(&name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = host.killed(&arguments, after);
        let was_alive = said.is_some();
        count(&mut phases, said);
        left += usize::from(path.exists() && !temporaries(&path).is_empty());
        // The mark of what is not finished goes last of all.
        let is_finished = path.join("RESTORE-NOTES.txt").exists()
            && !path.join("RESTORE-UNFINISHED.txt").exists();
        assert!(was_alive || is_finished, "{about}");
        if !is_finished {
            host.succeeds(&arguments, &about);
        }
        assert_eq!(content(&path), expected, "{about}");
        fs::remove_dir_all(&path).unwrap();
        was_alive
    });
    report("restore", &phases, left);
}

#[test]
fn a_restore_killed_at_its_very_beginning_can_be_begun_again() {
    let host = Host::new();
    let source = Source::example();
    host.succeeds(&["backup", source.path.to_str().unwrap(), "--init", "--unencrypted"], "backup");
    fs::create_dir(host.path("target")).unwrap();
    fs::write(host.path("target/.seawall-RESTORE-UNFINISHED.txt"), "This res").unwrap();
    host.succeeds(&["restore", "latest", "--target", "target"], "restore");
    assert_eq!(temporaries(&host.path("target")), Vec::<PathBuf>::new());
}
