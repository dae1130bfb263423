//! Checks whether this user can back up an installation.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::writable::writable;
use super::{Report, objects};
use crate::database;
use crate::database::mysql::MySqlSnapshot;
use crate::host::user_name;
use crate::place::shell;
use crate::seafile::discover::{DiscoverWarning, Installation};
use crate::source::{databases, sqlite_sources};

/// How long to wait for a database that is busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to do about tables that cannot be read.
pub(super) const UNREADABLE_NEXT: &str = "repair it, or take it from an older snapshot: until then backups go on without it, and end with exit status 3";

/// What a backup copies to its spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseSizes {
    /// Bytes of all databases that are files; dumps of databases on servers are not counted.
    pub bytes: u64,
}

/// Checks an installation.
pub fn source(report: &mut Report, installation: &Installation) -> DatabaseSizes {
    report.ok(
        "installation",
        format!(
            "{}: Seafile {} ({})",
            installation.top.display(),
            installation.program_version.as_deref().unwrap_or("of unknown version"),
            installation.layout
        ),
    );
    user(report, installation);
    writable(report, installation);
    let bytes = look_at_databases(report, installation);
    objects::objects(report, installation);
    for warning in &installation.warnings {
        let is_docker = matches!(warning, DiscoverWarning::DockerEnvMissing { .. });
        let next = is_docker.then(|| env_file(&installation.top));
        report.note("installation", warning.to_string(), next);
    }
    DatabaseSizes { bytes }
}

fn user(report: &mut Report, installation: &Installation) {
    let user = rustix::process::geteuid();
    let owner = fs::metadata(&installation.data_dir).map(|metadata| metadata.uid());
    match owner {
        Ok(uid) => {
            let (runs, owns) = (user_name(user.as_raw()), user_name(uid));
            let text = format!("{runs}, and the installation belongs to {owns}");
            if user.is_root() || uid == user.as_raw() {
                report.ok("user", text);
            } else {
                let next =
                    format!("run backups as {owns} or as root, so that every file can be read");
                report.note("user", text, Some(next));
            }
        }
        Err(error) => report.error("user", &error, None),
    }
}

fn look_at_databases(report: &mut Report, installation: &Installation) -> u64 {
    for (role, server, name) in databases::on_servers(installation) {
        match MySqlSnapshot::begin(&server, &[&name]) {
            Ok(snapshot) => {
                report.ok(
                    "database",
                    format!(
                        "{role}: {name} on {}, {}: a snapshot can be taken",
                        server.address,
                        snapshot.version()
                    ),
                );
                for table in snapshot.unreadable(&name).unwrap_or_default() {
                    report.bad("database", format!("{role}: {table}"), UNREADABLE_NEXT);
                }
            }
            Err(error) => {
                let next = error.hint();
                report.error("database", &error, next);
            }
        }
    }
    let mut bytes = 0;
    for source in sqlite_sources(databases::files(installation)) {
        match database::probe(&source, PATIENCE) {
            Ok(len) => {
                bytes += len;
                report.ok("database", format!("{}: readable, and not locked", source.role));
            }
            Err(error) => {
                let next = error.hint().map(Into::into);
                report.error("database", &error, next);
            }
        }
    }
    bytes
}

/// The next step for a missing `.env`: the options for docker's files that lie above the
/// installation.
fn env_file(top: &Path) -> String {
    let names = [".env", "docker-compose.yml", "compose.yml", "seafile-server.yml"];
    let folders = top.ancestors().skip(1).take(3);
    let there = folders.flat_map(|folder| names.iter().map(|name| folder.join(name)));
    let word = |path: &Path| shell(&path.to_string_lossy()).into_owned();
    let options: Vec<String> = there
        .filter(|path| path.is_file())
        .map(|path| {
            let is_env = path.extension().is_none();
            let option = if is_env { "--env-file" } else { "--also" };
            format!("{option} {}", word(&path))
        })
        .collect();
    let options =
        if options.is_empty() { "--env-file /path/to/.env".to_owned() } else { options.join(" ") };
    format!("use them and back them up too: `seawall backup {} {options}`", word(top))
}
