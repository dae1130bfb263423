//! Checks the state folder: is it present, private, and joined to this repository?

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::{DatabaseSizes, Report, Setup, room};
use crate::crypt::Seal;
use crate::host::catalog::{self, CatalogCondition};
use crate::host::state::{RepositoryState, StateFolder};
use crate::place::shell;
use crate::repository::host_key::HostKey;
use crate::repository::wrapped::{Wrapped, WrappedCondition};
use crate::repository::{Repository, names};
use crate::units::bytes;

/// Checks the state folder. `databases` says how much is copied to its spool.
pub fn state(report: &mut Report, setup: &Setup<'_>, databases: Option<&DatabaseSizes>) {
    let path = setup.state;
    let Some(state) = StateFolder::existing(path) else {
        return report.bad(
            "state folder",
            format!("there is none at {}", path.display()),
            "run `seawall init` on this host, or give --state-dir DIR",
        );
    };
    if owned_and_private(report, path, 0o700, "state folder") {
        report.ok("state folder", path.display().to_string());
    }
    spool(report, path, databases);
    let host_key = match state.host_key() {
        Ok(Some(key)) => key,
        Ok(None) => {
            return report.bad(
                "host key",
                format!("there is none in {}", path.display()),
                "run `seawall init` on this host",
            );
        }
        Err(error) => {
            let next = "bring host.key back from a copy, or move it away and run `seawall init`: a new chain begins";
            return report.error("host key", &error, Some(next.into()));
        }
    };
    if owned_and_private(report, &state.host_key_path(), 0o600, "host key") {
        report.ok("host key", host_key.id().to_string());
    }
    if let Some(repository) = setup.repository {
        let known = StateFolder::existing_repository(path, repository.id());
        of_repository(report, repository, &host_key, known);
    }
}

/// Whether a file or folder belongs to this user and is closed to others. Reports it if not.
fn owned_and_private(report: &mut Report, path: &Path, mode: u32, what: &'static str) -> bool {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            report.error(what, &error, None);
            return false;
        }
    };
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        let text = format!(
            "{} belongs to user {}, and this is user {user}",
            path.display(),
            metadata.uid()
        );
        report.bad(what, text, "run seawall as the user that it was set up for");
        return false;
    }
    let found = metadata.permissions().mode() & 0o777;
    if found & 0o077 != 0 {
        report.bad(
            what,
            format!("{} has mode {found:04o}: others may use it", path.display()),
            format!("chmod {mode:04o} {}", path.display()),
        );
        return false;
    }
    true
}

/// Checks the room for copies of all databases, twice: a database that is recovered is copied
/// again.
fn spool(report: &mut Report, path: &Path, databases: Option<&DatabaseSizes>) {
    let Some(databases) = databases else {
        return;
    };
    let needed = databases.bytes.saturating_mul(2);
    match room::of(path) {
        Ok(room) if room.free_bytes < needed => report.bad(
            "spool",
            format!(
                "{} has {}; copies of the databases may take {}",
                path.display(),
                room.text(),
                bytes(needed)
            ),
            "make room, or give a state folder on a larger disk with --state-dir",
        ),
        Ok(_) => {
            report.ok("spool", format!("room for copies of the databases ({})", bytes(needed)));
        }
        Err(error) => report.error("spool", &error, None),
    }
}

fn of_repository(
    report: &mut Report,
    repository: &Repository,
    host_key: &HostKey,
    known: Option<RepositoryState>,
) {
    let joined = known.and_then(|known| {
        let trusted = known.trusted().ok()?;
        trusted.contains(&host_key.verifying()).then_some(known)
    });
    let Some(known) = joined else {
        return report.bad(
            "joined",
            format!("this host has not joined {}", repository.place()),
            format!("seawall init -r {}", shell(repository.place())),
        );
    };
    published(report, repository, host_key);
    encryption(report, repository, host_key, &known);
    catalog(report, repository, &known);
    accepted(report, &known);
    let next =
        "`seawall init` prints it again: keep it away from this machine, on paper if you can";
    if known.sheet_path().exists() {
        let text =
            format!("a copy is in {}, and lost with this machine", known.sheet_path().display());
        report.note("recovery sheet", text, Some(next.into()));
    } else {
        report.note("recovery sheet", "there is no copy here", Some(next.into()));
    }
}

fn published(report: &mut Report, repository: &Repository, host_key: &HostKey) {
    let key = names::host_key(host_key.id());
    match repository.published_keys() {
        Ok(keys) if keys.contains(&host_key.verifying()) => {
            report.ok("joined", format!("the repository has {key}"));
        }
        Ok(_) => report.bad(
            "joined",
            format!("the repository has no {key}, or another one of that name"),
            format!("seawall init -r {}", shell(repository.place())),
        ),
        Err(error) => report.error("joined", &error, error.hint()),
    }
}

/// Checks whether this host can encrypt what it stores, and reports to which keys.
fn encryption(
    report: &mut Report,
    repository: &Repository,
    host_key: &HostKey,
    known: &RepositoryState,
) {
    let recipients = match known.recipients() {
        Ok(recipients) => recipients,
        Err(error) => return report.error("encryption", &error, error.hint()),
    };
    match (repository.seal(), recipients.is_empty()) {
        (Seal::None, true) => report.ok("encryption", "none: who has the repository reads it"),
        (Seal::None, false) => report.bad(
            "encryption",
            "this host has recipients, and the repository says that it is not encrypted",
            "backups are refused: find out who changed seawall.json, or begin a new repository",
        ),
        (Seal::Age, true) => report.bad(
            "encryption",
            "the repository is encrypted, and this host has no recipients for it",
            "seawall init --recipient KEY",
        ),
        (Seal::Age, false) => match host_key.try_sealing_to(&recipients) {
            Ok(()) => {
                let texts: Vec<&str> = recipients.texts().collect();
                report.ok("encryption", format!("to {}", texts.join(", ")));
            }
            Err(error) => report.error("encryption", &error, error.hint()),
        },
    }
    match known.wrapped() {
        Ok(all) => {
            for wrapped in all {
                behind_a_passphrase(report, repository, &wrapped);
            }
        }
        Err(error) => report.error("encryption", &error, error.hint()),
    }
}

/// Checks whether a key that a passphrase protects is in the repository, and unchanged.
fn behind_a_passphrase(report: &mut Report, repository: &Repository, wrapped: &Wrapped) {
    let key = &wrapped.key;
    match wrapped.look(repository.backend().as_ref()) {
        Ok(WrappedCondition::Good) => {
            report.ok("key", format!("{key} is there, and a copy on this host"));
        }
        Ok(WrappedCondition::Missing) => report.bad(
            "key",
            format!("{key} is missing: its passphrase opens nothing"),
            "the next backup puts it there again from the copy on this host",
        ),
        Ok(WrappedCondition::Altered) => report.bad(
            "key",
            format!("{key} is altered: its passphrase opens nothing"),
            "remove it there, and the next backup puts it there again from the copy on this host",
        ),
        Err(error) => report.error("key", &error, error.hint()),
    }
}

fn catalog(report: &mut Report, repository: &Repository, known: &RepositoryState) {
    let path = known.catalog_path();
    match catalog::examine(&path, repository.id()) {
        CatalogCondition::Good(Some(base)) => report.ok("catalog", format!("knows {base}")),
        CatalogCondition::Good(None) => report.ok("catalog", "knows no snapshot yet"),
        CatalogCondition::Absent => {
            report.note("catalog", "there is none: the next backup makes it", None);
        }
        CatalogCondition::InUse => report.note(
            "catalog",
            "a run works with it, or one that died did: not looked into",
            None,
        ),
        CatalogCondition::Foreign => report.note(
            "catalog",
            "is another repository's, or of another version: the next backup makes it anew",
            None,
        ),
        CatalogCondition::Broken(why) => report.bad(
            "catalog",
            format!("{}: {why}", path.display()),
            "move it away: it is made again from the repository",
        ),
    }
}

fn accepted(report: &mut Report, known: &RepositoryState) {
    if let Err(error) = known.accepted() {
        let next = "mend that line, or remove the file: then what the newest snapshot says counts";
        report.error("accepted", &error, Some(next.into()));
    }
}
