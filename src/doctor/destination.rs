//! Checks the destination: present, create-only, writable, with room, and with the right time?

use std::path::Path;
use std::time::Duration;

use rustix::fs::Access;
use seawall_backends::{ErrorKind, SettingFinding, Weight, Writes};

use super::{Report, Setup, room};
use crate::host::state::StateFolder;
use crate::repository::guard::WeakWrites;
use crate::repository::snapshots::Markers;
use crate::repository::{Repository, names, runs};
use crate::time::Timestamp;

/// Clocks that differ by more are wrong.
const CLOCKS_DIFFER: Duration = Duration::from_hours(24);
/// Clocks that differ by less are right.
const CLOCKS_AGREE: Duration = Duration::from_mins(5);

/// Checks the destination. Does nothing if the repository could not be opened.
pub fn destination(report: &mut Report, setup: &Setup<'_>) {
    let Some(repository) = setup.repository else {
        return;
    };
    report.ok("repository", format!("{}: format 1, id {}", repository.place(), repository.id()));
    let known = StateFolder::existing_repository(setup.state, repository.id());
    let weak = known.map_or(WeakWrites::Refused, |known| known.weak_writes());
    // First: it finds out what a file system can do.
    let settings = repository.backend().examine();
    create_only(report, repository, weak);
    tell_settings(report, settings);
    match setup.repository_path {
        Some(path) => {
            writable(report, path);
            private(report, path);
        }
        None => report.note(
            "writable",
            "not tried: what is written cannot be removed again without permission to delete",
            Some("the first backup shows it".into()),
        ),
    }
    // List runs before markers: a run that ends in between then has its marker in the later
    // listing.
    let listed = runs::seen(repository.backend().as_ref());
    let listed = listed.and_then(|runs| Ok((runs, repository.markers()?)));
    let (runs, markers) = match listed {
        Ok(listed) => listed,
        Err(error) => return report.error("markers", &error, error.hint()),
    };
    for bad in &markers.bad {
        let text = format!("{} is no snapshot: {}", bad.key, bad.problem);
        report.bad("markers", text, "`seawall check` looks closer");
    }
    if let Some(path) = setup.repository_path {
        room(report, path, &markers);
    }
    clock(report, &markers, setup.now);
    runs_and_ages(report, runs, &markers, setup.now);
}

/// Puts `seawall.json` again, with its own bytes. A store that keeps the create-only promise
/// refuses. One that does not only writes the same bytes again.
fn create_only(report: &mut Report, repository: &Repository, weak: WeakWrites) {
    let backend = repository.backend();
    let key = names::configuration();
    let again = match backend.properties().writes {
        Writes::Weak => Ok(()),
        Writes::CreateOnly | Writes::Unproven => {
            backend.get(&key, None).and_then(|bytes| backend.put_new(&key, &bytes))
        }
    };
    match again {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            report.ok("create-only", "what is stored is not overwritten");
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => report.bad(
            "create-only",
            "this user may not write there",
            "check owner and permissions at the destination",
        ),
        Err(error) => report.error("create-only", &error, None),
        Ok(()) if weak == WeakWrites::Accepted => report.note(
            "create-only",
            "the destination overwrites what it has, which was accepted: only one host may write there",
            None,
        ),
        Ok(()) => report.bad(
            "create-only",
            "the destination overwrites what it has: two runs could destroy each other's markers",
            "use a destination that can create without overwriting, or `seawall init --accept-weak-writes`",
        ),
    }
}

/// What the destination's own settings say.
fn tell_settings(report: &mut Report, findings: Vec<SettingFinding>) {
    for finding in findings {
        let (about, text, next) = (finding.about, finding.text, finding.next);
        match finding.weight {
            Weight::Good => report.ok(about, text),
            Weight::Note => report.note(about, text, next),
            Weight::Bad => {
                let next = next.unwrap_or_else(|| "look at the destination's settings".into());
                report.bad(about, text, next);
            }
        }
    }
}

/// Asks the system whether each folder that a backup writes to is writable. Writes nothing.
fn writable(report: &mut Report, path: &Path) {
    let folders = [
        "",
        names::MARKERS,
        names::DATABASES,
        "data",
        names::BLOCKS,
        names::TREES,
        names::INDEX,
        names::LISTS,
        names::MANIFESTS,
        names::FILES,
        names::RUNS,
    ];
    let folders = folders.iter().map(|folder| path.join(folder));
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    let refused = folders
        .filter(|folder| folder.exists())
        .find_map(|folder| Some((rustix::fs::access(&folder, wanted).err()?, folder)));
    match refused {
        None => report.ok("writable", "by this user's permissions, as the system says"),
        Some((error, folder)) => report.bad(
            "writable",
            format!("{}: {}", folder.display(), std::io::Error::from(error)),
            "mount it writable, or check owner and permissions",
        ),
    }
}

/// Reports a repository that everybody can read: Seafile's configuration holds passwords.
fn private(report: &mut Report, path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        report.note(
            "private",
            format!("everybody on this machine may look into {} (mode {mode:04o})", path.display()),
            Some(format!("chmod 0700 {}", path.display())),
        );
    }
}

/// Compares the free space with what the last snapshot took, as far as the markers tell.
fn room(report: &mut Report, path: &Path, markers: &Markers) {
    let room = match room::of(path) {
        Ok(room) => room,
        Err(error) => return report.error("room", &error, None),
    };
    let growth = markers.chains().into_iter().map(|chain| {
        let before = chain.before.map_or(0, |before| before.marker.bytes);
        chain.newest.marker.bytes.saturating_sub(before)
    });
    let growth = growth.max().unwrap_or(0);
    let text = room.text();
    if room.free_bytes < growth || room.free_bytes == 0 {
        report.bad(
            "room",
            format!("{text}; the last snapshot took {}", crate::units::bytes(growth)),
            "make room before the next backup",
        );
    } else if room.is_short() {
        report.note("room", text, Some("less than 5 % is left: make room soon".into()));
    } else {
        report.ok("room", text);
    }
}

/// Compares this host's clock with the storage's.
fn clock(report: &mut Report, markers: &Markers, now: Timestamp) {
    let Some(newest) = markers.snapshots.iter().max_by_key(|snapshot| snapshot.stored) else {
        return report.note("clock", "nothing is stored yet to compare it with", None);
    };
    let ahead = newest.stored.since(now);
    let finished = newest.marker.finished;
    let apart = finished.since(newest.stored).max(newest.stored.since(finished));
    if let Some(clock) = newest.marker.clock {
        report.note(
            "clock",
            format!(
                "{} was made when its host's clock said {clock}: an earlier run had a clock that was ahead, and names only go on",
                newest.id()
            ),
            Some(format!(
                "nothing is lost: go by STORED in `seawall snapshots`; names are right again after {}",
                newest.marker.started
            )),
        );
    } else if ahead > CLOCKS_DIFFER || apart > CLOCKS_DIFFER {
        report.bad(
            "clock",
            format!(
                "{} was stored {} by the storage's clock, finished {finished} by its host's, and it is {now} here",
                newest.id(),
                newest.stored
            ),
            "set the clocks (NTP); if the repository was copied, copy times too (cp -a, rsync -a)",
        );
    } else if ahead > CLOCKS_AGREE {
        report.note(
            "clock",
            format!("the storage's clock is {} minutes ahead of this host's", ahead.as_secs() / 60),
            Some("set the clocks (NTP)".into()),
        );
    } else {
        report.ok("clock", format!("it is {now} here, which fits the storage's times"));
    }
}

fn runs_and_ages(
    report: &mut Report,
    runs: Vec<runs::ListedRun>,
    markers: &Markers,
    now: Timestamp,
) {
    let hours = |since: Timestamp| now.since(since).as_secs() / 3600;
    for chain in markers.living_and_retired().0 {
        let newest = chain.newest;
        let text = format!("{}, {} hours ago", newest.id(), hours(newest.stored));
        report.ok("last backup", text);
    }
    if markers.snapshots.is_empty() {
        let next = "seawall backup FOLDER";
        report.note("last backup", "there is none yet", Some(next.into()));
    }
    for run in runs::unfinished(runs, markers) {
        let text = format!(
            "{} has no marker, and was last heard of {} hours ago: it goes on, or died",
            run.snapshot,
            hours(run.last)
        );
        let next = "if it died, the next backup uses what it stored";
        report.note("unfinished", text, Some(next.into()));
    }
}
