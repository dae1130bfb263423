//! `seawall libraries`: lists the libraries of a snapshot.

use clap::Args;

use super::global::{name_recipients, warn_unpinned};
use super::output::{self, Output};
use super::{CommandError, Global, Status};
use crate::repository::manifest::{Library, LibraryUse};
use crate::time::Timestamp;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A snapshot, the beginning of its name, or `latest`
    #[arg(default_value = "latest")]
    snapshot: String,
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    let repository = global.open()?;
    let markers = repository.markers()?;
    let snapshot = markers.find(&arguments.snapshot)?;
    warn_unpinned(snapshot);
    let repository = global.unlocked_for(repository, snapshot)?;
    let manifest =
        repository.manifest(snapshot).map_err(|error| name_recipients(error.into(), snapshot))?;
    let head = ["LIBRARY", "CHANGED", "OBJECTS", "SIZE", "STATE", "OWNER", "NAME"];
    let mut rows = vec![head.map(Into::into).to_vec()];
    rows.extend(manifest.libraries.iter().map(cells));
    output.detail(format_args!("snapshot {}", snapshot.id()));
    if manifest.libraries.is_empty() {
        output.line("The databases listed no library.");
    } else {
        output.line(output::table(&rows));
    }
    for store in &manifest.unreferenced {
        let what = if store.garbage {
            "deleted for good, left out"
        } else {
            "no row points to it, copied whole"
        };
        output.line(format_args!("store {}: {what}", store.store));
    }
    output.json(&manifest.libraries)?;
    Ok(Status::Done)
}

fn cells(library: &Library) -> Vec<String> {
    let counts = library.counts;
    vec![
        library.id.to_string(),
        library
            .head_time
            .and_then(Timestamp::from_seconds)
            .map_or("-".into(), |time| time.to_string()),
        (counts.commits + counts.fs + counts.blocks).to_string(),
        output::bytes(counts.bytes),
        state(library),
        output::shown(library.owner.as_deref().unwrap_or("-")),
        output::shown(library.name.as_deref().unwrap_or("-")),
    ]
}

fn state(library: &Library) -> String {
    let mut words = Vec::new();
    if library.damage > 0 {
        words.push(format!("{} damaged", library.damage));
    }
    if library.state == LibraryUse::Trash {
        words.push("trash".into());
    }
    if library.origin.is_some() {
        words.push("virtual".into());
    }
    if library.encrypted == Some(true) {
        words.push("encrypted".into());
    }
    if let Some(listed) = &library.listed {
        words.push(format!("{} without a head", listed.objects));
    }
    if words.is_empty() { "-".into() } else { words.join(",") }
}
