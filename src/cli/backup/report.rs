//! What `seawall backup` says of a run.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::storage;
use crate::backup::{Compacted, DatabaseRollback, Report};
use crate::cli::damage::is_altered;
use crate::cli::output::{self, Output, bytes, count};
use crate::cli::{commands, destination};
use crate::host::Writing;
use crate::object::{LibraryId, Store};
use crate::repository::manifest::{Damage, LibraryUse, Manifest, SOURCE_GONE, count_objects};
use crate::repository::names;

/// The result for programs.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    snapshot: String,
    marker: String,
    sequence: u64,
    libraries: u64,
    objects_stored: u64,
    object_bytes: u64,
    packs_stored: u64,
    bytes_stored: u64,
    databases_stored: usize,
    file_groups_stored: usize,
    visited: u64,
    damage: &'a [Damage],
    source_damage: &'a [Damage],
    accepted: u64,
    new_damage: u64,
    new_source_damage: u64,
    incomplete: &'a [String],
    warnings: Vec<String>,
    libraries_audited: usize,
    /// Every pointer in the databases was followed to a verified object in the repository.
    proved: bool,
    /// Heads that did not go forward, and libraries that lost their rows, since the last snapshot.
    rolled_back: &'a DatabaseRollback,
    /// Everything in the source is gone: what was seen.
    source_gone: Option<&'a str>,
    packs_retired: Option<u64>,
    attempts_lost_to_races: usize,
    calls_made_again: u64,
    longest_lock_ms: u128,
}

impl<'a> Summary<'a> {
    pub(super) fn of(joined: &Writing, report: &'a Report) -> Self {
        let Report { marker, manifest, totals, .. } = report;
        Self {
            snapshot: marker.snapshot.to_string(),
            marker: marker_place(joined, report),
            sequence: marker.sequence,
            libraries: manifest.libraries.len() as u64,
            objects_stored: totals.objects,
            object_bytes: totals.object_bytes,
            packs_stored: totals.packs,
            bytes_stored: totals.packed_bytes,
            databases_stored: report.databases_stored,
            file_groups_stored: report.groups_stored,
            visited: report.visited,
            damage: &manifest.damage,
            source_damage: &manifest.source_damage,
            accepted: marker.accepted,
            new_damage: report.new_damage,
            new_source_damage: report.new_source_damage,
            incomplete: &marker.incomplete,
            warnings: storage::warnings(joined, report),
            libraries_audited: report.audited,
            proved: report.is_proved(),
            rolled_back: &report.rolled_back,
            source_gone: report.source_gone.as_ref().map(|gone| gone.text.as_str()),
            packs_retired: report.compacted.map(|compacted| compacted.packs),
            attempts_lost_to_races: report.races,
            calls_made_again: destination::RETRIES.load(Ordering::Relaxed),
            longest_lock_ms: report.locked_for.as_millis(),
        }
    }
}

fn marker_place(joined: &Writing, report: &Report) -> String {
    let key = names::marker(report.marker.snapshot);
    crate::place::of_key(joined.place(), &key)
}

/// What was backed up, what was proved, where the marker is. `told` are warnings that were printed when
/// the run began.
pub(super) fn print(joined: &Writing, report: &Report, told: &[String], output: Output) {
    let Report { marker, manifest, totals, .. } = report;
    let gone = report.source_gone.as_ref();
    if let Some(gone) = gone {
        output.line(format_args!("ALARM     {}", output::shown(&gone.text)));
    }
    let mut warnings = storage::warnings(joined, report);
    warnings
        .retain(|warning| !told.contains(warning) && gone.is_none_or(|gone| gone.text != *warning));
    Output::warnings(&warnings);
    print_damage(report, &manifest.damage, |damage| {
        if is_altered(damage) { "was altered" } else { "is lost" }
    });
    print_damage(
        report,
        &manifest.source_damage,
        |_| "is bad in the source, good in the repository",
    );
    output.detail(format_args!("source    {}", source_line(manifest)));
    output.detail(format_args!(
        "stored    {} ({}) in {} ({}), {} of {}, {} of {}",
        count(totals.objects, "object", "objects"),
        bytes(totals.object_bytes),
        count(totals.packs, "pack", "packs"),
        bytes(totals.packed_bytes),
        report.databases_stored,
        count(manifest.databases.len() as u64, "database", "databases"),
        report.groups_stored,
        count(manifest.files.len() as u64, "group of files", "groups of files"),
    ));
    output.detail(format_args!(
        "holds     {} ({}) of these libraries; {} ({}) in all",
        count(report.holds.objects(), "object", "objects"),
        bytes(report.holds.bytes),
        count(marker.packs, "pack", "packs"),
        bytes(marker.bytes)
    ));
    output.detail(proof_line(report));
    if let Some(known) = accepted_line(manifest) {
        output.detail(format_args!("accepted  {known}"));
    }
    if report.audited > 0 {
        let libraries = count(report.audited as u64, "library", "libraries");
        output.detail(format_args!("audited   {libraries}, changed or not, in the source"));
    }
    if let Some(compacted) = &report.compacted {
        output.detail(format_args!("compacted {}", compacted_line(compacted)));
    }
    if let Some(retries) = destination::retries() {
        output.detail(format_args!("network   {retries}"));
    }
    output.detail(output::took());
    output.detail(format_args!("snapshot  {}", marker.snapshot));
    output.line(format_args!("marker    {}", marker_place(joined, report)));
    if let Some(reasons) = reasons_to_read(report) {
        output.line(format_args!("read      {reasons}"));
    }
}

fn compacted_line(compacted: &Compacted) -> String {
    let Compacted { packs, bytes: size, totals, refused } = compacted;
    if let Some(refused) = refused {
        return format!("nothing: {refused}");
    }
    if *packs == 0 && totals.objects > 0 {
        let objects = count(totals.objects, "object was", "objects were");
        return format!(
            "nothing: {objects} stored anew, but something of each of their packs is only there"
        );
    }
    if *packs == 0 {
        return "nothing: no pack is mostly of no use, or what is there may be needed".into();
    }
    format!(
        "{} ({}) into {} ({}); older snapshots still name them",
        count(*packs, "pack", "packs"),
        bytes(*size),
        totals.packs,
        bytes(totals.packed_bytes)
    )
}

/// All that is known and no news, in one line.
fn accepted_line(manifest: &Manifest) -> Option<String> {
    let accepted = |damage: &&Damage| damage.accepted.is_some();
    let known = count_objects(manifest.all_damage().filter(accepted));
    let objects = count(known, "damaged object", "damaged objects");
    (known > 0)
        .then(|| commands::complete(&format!("{objects} known; `seawall damage list` names them")))
}

/// Why the exit status is 3, in one line that makes the subject of a mail; what is new comes first.
fn reasons_to_read(report: &Report) -> Option<String> {
    let lost = report.marker.damage - report.marker.accepted;
    let open = report.manifest.damage.iter();
    let mut open = open.filter(|damage| damage.accepted.is_none());
    let how = match (open.clone().any(is_altered), open.all(is_altered)) {
        (false, _) => " lost",
        (true, false) => " lost or altered",
        (true, true) => " altered",
    };
    let source = count_objects(report.unaccepted_source_damage());
    let reasons = [
        (report.new_damage, "NEW damage: ", how),
        (report.new_source_damage, "NEW damage in the source: ", ""),
        (lost.saturating_sub(report.new_damage), "known damage, not accepted: ", how),
        (
            source.saturating_sub(report.new_source_damage),
            "known damage in the source, not accepted: ",
            "",
        ),
    ];
    let reasons = reasons.iter().filter(|(number, ..)| *number > 0);
    let reasons = reasons
        .map(|(number, what, how)| format!("{what}{}{how}", count(*number, "object", "objects")));
    let gone = report.source_gone.iter();
    let mut reasons: Vec<String> = gone
        .map(|_| "THE SOURCE IS GONE: is its disk mounted?".to_owned())
        .chain(reasons)
        .collect();
    let DatabaseRollback { heads, vanished } = &report.rolled_back;
    if !heads.is_empty() {
        let heads = count(heads.len() as u64, "head", "heads");
        reasons.push(format!("{heads} did not go forward"));
    }
    if !vanished.is_empty() {
        let libraries = count(vanished.len() as u64, "library", "libraries");
        reasons.push(format!("{libraries} without a row"));
    }
    let left_out = words(&report.marker.incomplete);
    if !left_out.is_empty() {
        reasons.push(format!("left out: {}", left_out.join(", ")));
    }
    if !report.alarms.is_empty() {
        let alarms = report.alarms.len() as u64;
        reasons.push(format!("the repository: {}", count(alarms, "alarm", "alarms")));
    }
    report.needs_reading().then(|| reasons.join("; "))
}

fn source_line(manifest: &Manifest) -> String {
    let libraries = &manifest.libraries;
    let number = |is: &dyn Fn(&crate::repository::manifest::Library) -> bool| {
        libraries.iter().filter(|library| is(library)).count()
    };
    format!(
        "{}: Seafile {}, {} ({} virtual, {} in the trash)",
        output::shown(&manifest.source.path),
        manifest.source.seafile_version.as_deref().unwrap_or("of unknown version"),
        count(libraries.len() as u64, "library", "libraries"),
        number(&|library| library.origin.is_some()),
        number(&|library| library.state == LibraryUse::Trash),
    )
}

/// Words of `incomplete` but the one that has a line of its own.
fn words(incomplete: &[String]) -> Vec<&str> {
    let words = incomplete.iter().map(String::as_str);
    words.filter(|word| *word != SOURCE_GONE).collect()
}

/// What was proved, with the line's label. "Proved" is said only where everything was looked at.
fn proof_line(report: &Report) -> String {
    let Report { marker, manifest, .. } = report;
    if report.source_gone.is_some() {
        return "kept      what earlier backups stored stays as it is; nothing of tonight's source could be looked at"
            .to_owned();
    }
    if manifest.libraries.is_empty() {
        return "nothing   the databases list no library, so there was nothing to prove".to_owned();
    }
    let objects = count(marker.damage, "object", "objects");
    let mut line = match (report.looked_at_all(), marker.damage) {
        (true, 0) => {
            "proved    every pointer in the databases leads to a verified object in the repository"
                .to_owned()
        }
        (true, _) => format!(
            "proved    all but {objects} that the databases point to are in the repository ({} new)",
            report.new_damage
        ),
        (false, 0) => "in part   what could be read leads to verified objects in the repository; the rest was not looked at".to_owned(),
        (false, _) => format!(
            "in part   of what could be read, all but {objects} are in the repository ({} new); the rest was not looked at",
            report.new_damage
        ),
    };
    if !manifest.source_damage.is_empty() {
        line.push_str("; the source has lost some that the repository has");
    }
    if !marker.incomplete.is_empty() {
        line.push_str("; left out: ");
        line.push_str(&marker.incomplete.join(", "));
    }
    line
}

/// What nobody accepted, what is new first. Of libraries that are gone as a whole a number has to do.
fn print_damage(report: &Report, damage: &[Damage], what: impl Fn(&Damage) -> &'static str) {
    let manifest = &report.manifest;
    let gone = report.source_gone.as_ref();
    // A shared folder lacks what its origin lost.
    let is_gone = |damage: &Damage| {
        gone.is_some_and(|gone| {
            let of_store = |library: &LibraryId| Store::Library(*library) == damage.store;
            gone.libraries.contains(&damage.library) || gone.libraries.iter().any(of_store)
        })
    };
    let open = damage.iter().filter(|damage| damage.accepted.is_none());
    let (of_gone, mut shown): (Vec<&Damage>, Vec<&Damage>) =
        open.partition(|damage| is_gone(damage));
    if let Some(first) = of_gone.first() {
        let what = what(first);
        let objects = count(count_objects(of_gone), "object", "objects");
        Output::warning(commands::complete(&format!(
            "{objects} of the libraries that are gone {what}; `seawall damage list` names them"
        )));
    }
    shown.sort_by_key(|damage| !manifest.is_new(damage));
    for damage in shown.iter().take(output::MOST_LINES) {
        let name = manifest.library(damage.library).and_then(|library| library.name.as_deref());
        let library = name.unwrap_or("-");
        let subject = match damage.paths.first() {
            Some(path) => format!("{} in {library:?}", output::shown(path)),
            None => format!("a part of {library:?}"),
        };
        let new = if manifest.is_new(damage) { "NEW: " } else { "" };
        let what = what(damage);
        Output::warning(format_args!(
            "{new}{subject} {what}: {} ({})",
            damage.object(),
            output::shown(&damage.detail),
        ));
    }
    let more = shown.iter().skip(output::MOST_LINES);
    let new = more.clone().filter(|damage| manifest.is_new(damage)).count();
    if more.len() > 0 {
        Output::warning(commands::complete(&format!(
            "… and {} more ({new} NEW); `seawall damage list` names them all",
            more.len()
        )));
    }
}
