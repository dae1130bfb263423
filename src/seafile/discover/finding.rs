//! The results of discovery as lines for people. `backup --dry-run` prints them.

use super::database::DatabaseKind;
use super::mysql::MysqlDatabase;
use super::origin::{Certainty, SettingOrigin};
use super::program::SeafileEdition;
use super::sqlite::SqliteFile;
use super::storage::{self, ObjectStorage};
use super::{DiscoveredParts, Installation};
use crate::object::Kind;

/// One thing that was found; it holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationFinding {
    /// Its kind, such as `data folder`.
    pub what: String,
    /// Its value.
    pub value: String,
    /// Where it comes from: a line of a file, a variable, or the path itself.
    pub from: String,
    /// How sure it is.
    pub sure: Certainty,
}

/// The findings so far.
struct Findings(Vec<InstallationFinding>);

impl Findings {
    fn add(&mut self, what: impl Into<String>, value: impl Into<String>, from: &SettingOrigin) {
        self.0.push(InstallationFinding {
            what: what.into(),
            value: value.into(),
            from: from.to_string(),
            sure: from.certainty(),
        });
    }
}

/// Lists all findings in the order in which a reader would ask for them.
pub(super) fn findings(
    seen: &DiscoveredParts,
    installation: &Installation,
    databases_from: &SettingOrigin,
) -> Vec<InstallationFinding> {
    let mut findings = Findings(Vec::new());
    let top = SettingOrigin::Path(installation.top.clone());
    findings.add("installation", installation.top.display().to_string(), &top);
    findings.add("layout", installation.layout.to_string(), &top);
    program(&mut findings, seen, installation);
    for file in &seen.configuration.files {
        let from = SettingOrigin::Path(file.clone());
        findings.add("configuration", file.display().to_string(), &from);
    }
    dead(&mut findings, seen);
    places(&mut findings, seen, installation);
    match &installation.database {
        DatabaseKind::Sqlite(files) => {
            findings.add("databases", "SQLite", databases_from);
            for file in files {
                sqlite(&mut findings, file);
            }
        }
        DatabaseKind::Mysql(settings) => {
            findings.add("databases", "MySQL", databases_from);
            for database in &settings.databases {
                mysql(&mut findings, database);
            }
            for file in &settings.sqlite {
                sqlite(&mut findings, file);
            }
        }
    }
    objects(&mut findings, installation);
    options(&mut findings, seen, installation);
    findings.0
}

fn program(findings: &mut Findings, seen: &DiscoveredParts, installation: &Installation) {
    let edition = match seen.edition() {
        Some(SeafileEdition::Professional) => "Professional",
        Some(SeafileEdition::Community) => "Community",
        None => "of unknown edition",
    };
    match &seen.program.version {
        Some(version) => {
            let value = format!("Seafile {} {edition}", version.value);
            findings.add("version", value, &version.from);
        }
        None => findings.add("version", "unknown", &SettingOrigin::Default),
    }
    if let Some(folder) = &installation.program_folder {
        let from = SettingOrigin::Path(folder.clone());
        findings.add("program", folder.display().to_string(), &from);
    }
}

/// Adds configuration files that exist but that this version does not read.
fn dead(findings: &mut Findings, seen: &DiscoveredParts) {
    let ccnet = &seen.configuration.ccnet;
    let is_there = seen.configuration.files.contains(&ccnet.path);
    if is_there && seen.program.is_at_least(12, 0) == Some(true) {
        let version = seen.program.major().unwrap_or(12);
        let from = SettingOrigin::Path(ccnet.path.clone());
        let value = format!("Seafile {version} does not read it");
        findings.add("dead configuration", value, &from);
    }
}

fn places(findings: &mut Findings, seen: &DiscoveredParts, installation: &Installation) {
    let data_dir = installation.data_dir.display().to_string();
    findings.add("data folder", data_dir, &seen.folders.data_from);
    if let Some(conf_dir) = &installation.conf_dir {
        let folder = conf_dir.display().to_string();
        findings.add("configuration folder", folder, &seen.folders.conf_from);
    }
    for path in &installation.outside {
        let from = SettingOrigin::Path(path.clone());
        findings.add("backed up too", path.display().to_string(), &from);
    }
    for link in &installation.links {
        let from = SettingOrigin::Path(link.path.clone());
        findings.add("link followed", link.target.display().to_string(), &from);
    }
}

fn sqlite(findings: &mut Findings, file: &SqliteFile) {
    let what = format!("database {}", file.role);
    let from = SettingOrigin::Path(file.path.clone());
    findings.add(what, file.file.display().to_string(), &from);
}

fn mysql(findings: &mut Findings, database: &MysqlDatabase) {
    let what = format!("database {}", database.role);
    let name = &database.name;
    findings.add(&what, &name.value, &name.from);
    if let Some(socket) = &database.unix_socket {
        findings.add(format!("{what}: socket"), &socket.value, &socket.from);
    } else if let Some(host) = &database.host {
        let value = format!("{}:{}", host.value, database.port.value);
        findings.add(format!("{what}: server"), value, &host.from);
    }
    if let Some(user) = &database.user {
        findings.add(format!("{what}: user"), &user.value, &user.from);
    }
    if let Some(password) = &database.password {
        findings.add(format!("{what}: password"), password.value.to_string(), &password.from);
    }
}

fn objects(findings: &mut Findings, installation: &Installation) {
    let ObjectStorage { roots, classes, shared_folders, from } = &installation.object_storage;
    for kind in Kind::ALL {
        let folder = roots.folder(kind).display().to_string();
        findings.add(storage::plural(kind), folder, from);
    }
    for class in classes {
        let what = format!("storage class {}", class.id);
        for kind in Kind::ALL {
            let folder = class.roots.folder(kind).display().to_string();
            findings.add(&what, folder, from);
        }
    }
    if *shared_folders {
        let value = installation.data_dir.join("{commits,fs,blocks}");
        let from = SettingOrigin::Path("seafile-data".into());
        findings.add("objects of Seafile 1 and 2", value.display().to_string(), &from);
    }
}

fn options(findings: &mut Findings, seen: &DiscoveredParts, installation: &Installation) {
    if let Some(days) = &installation.history_keep_days {
        findings.add("history is kept", format!("{} days", days.value), &days.from);
    }
    let skip = seen.configuration.seafile.is_true("fileserver", "skip_block_hash");
    if let Some(skip) = skip.filter(|skip| skip.value) {
        findings.add("ids of blocks", "may be random", &skip.from);
    }
}
