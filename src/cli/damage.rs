//! `seawall damage`: lists what is damaged, and accepts what is known.

mod faults;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{self, MOST_LINES, Output, count, shown};
use super::{CommandError, Global, Status};
use crate::damage::{
    self, Change, DamageListing, DamageRow, DamageState, Id, Newest, PlaceFilter, Selection,
};
use crate::host::WeakWrites;
use crate::host::Writing;
use crate::host::acceptances::Acceptances;
use crate::repository::manifest::{Acceptance, Damage, Manifest};
use crate::time::{Clock, Day};
use crate::walk::ALTERED_ROOT;

/// The longest note, in characters.
const LONGEST_NOTE: usize = 1000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: DamageVerb,
}

#[derive(Debug, Subcommand)]
enum DamageVerb {
    /// List the damage of this host's newest snapshot: NEW, known or accepted
    List,
    /// Accept damage: it stays listed and counted, and does not raise exit status 3 any more
    Accept(Accept),
    /// Take it back: it counts again
    Unaccept(Selected),
}

#[derive(Debug, Args)]
struct Accept {
    #[command(flatten)]
    selected: Selected,
    /// The last day that it holds, in UTC, such as 2026-12-31
    #[arg(long, value_name = "DATE")]
    until: Option<Day>,
    /// Why, for whoever reads the list later
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, Args)]
struct Selected {
    /// Ids of objects, or the first six digits or more; for damage of a library's row the library's
    #[arg(value_name = "ID", required_unless_present_any = ["all", "faults", "path", "library"])]
    ids: Vec<Id>,
    /// What is damaged of this file, or below this folder; with --library in that library only
    #[arg(long, value_name = "PATH", conflicts_with_all = ["ids", "all", "faults"])]
    path: Option<String>,
    /// What is damaged of this library: its name, its id, or the first six digits of that or more
    #[arg(long, value_name = "LIBRARY", conflicts_with_all = ["ids", "all", "faults"])]
    library: Option<String>,
    /// All that is listed
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// All bad stored files that are healed: no newest snapshot needs them, and older ones lack what they held
    #[arg(long, conflicts_with_all = ["ids", "all"])]
    faults: bool,
}

impl Selected {
    fn selection(&self) -> Selection {
        if self.all {
            Selection::All
        } else if self.path.is_some() || self.library.is_some() {
            Selection::Place(PlaceFilter { library: self.library.clone(), path: self.path.clone() })
        } else {
            Selection::Ids(self.ids.clone())
        }
    }
}

pub(super) fn run(
    global: &Global,
    arguments: &Arguments,
    output: Output,
) -> Result<Status, CommandError> {
    let state = global.existing_state()?;
    let open = || global.open_to_write(&state, WeakWrites::Refused);
    match &arguments.what {
        DamageVerb::List => list(&open()?, output),
        DamageVerb::Accept(accept) => {
            let acceptance = acceptance(accept)?;
            let _lock = state.lock()?;
            let joined = open()?;
            if accept.selected.faults {
                return faults::change(&joined, Some(&acceptance), output);
            }
            let change = change(&joined, |manifest, accepted| {
                damage::accept(manifest, accepted, &accept.selected.selection(), &acceptance)
            })?;
            print_change(&change, "accepted", output)
        }
        DamageVerb::Unaccept(selected) => {
            let _lock = state.lock()?;
            let joined = open()?;
            if selected.faults {
                return faults::change(&joined, None, output);
            }
            let change = change(&joined, |manifest, accepted| {
                damage::unaccept(manifest, accepted, &selected.selection())
            })?;
            print_change(&change, "not accepted", output)
        }
    }
}

fn acceptance(accept: &Accept) -> Result<Acceptance, CommandError> {
    let now = Clock::system().now();
    let acceptance = Acceptance { since: now, until: accept.until, note: accept.note.clone() };
    if acceptance.is_over(now) {
        return Err(CommandError::new(
            anyhow!("the last day of --until is over already"),
            "give a day to come, or none",
        ));
    }
    let too_long = |note: &String| note.chars().count() > LONGEST_NOTE;
    if accept.note.as_ref().is_some_and(too_long) {
        return Err(CommandError::new(
            anyhow!("the note is longer than {LONGEST_NOTE} characters"),
            "say it shorter",
        ));
    }
    Ok(acceptance)
}

/// Whether an object is there, and was altered: nothing is lost.
pub(super) fn is_altered(damage: &Damage) -> bool {
    damage.reason == ALTERED_ROOT
}

/// The newest snapshot of this host.
fn newest(joined: &Writing) -> Result<Manifest, CommandError> {
    let newest = Newest::read(joined, &joined.host_key().verifying())?;
    for bad in &newest.bad {
        Output::warning(format_args!("{} is no snapshot: {}", bad.key, bad.problem));
    }
    newest.manifest.ok_or_else(|| {
        CommandError::new(
            anyhow!("this host has no snapshot in {} yet", joined.place()),
            "run a backup first: it finds out what is damaged",
        )
    })
}

/// What is accepted on this host; without a word here what the newest snapshot says.
fn accepted(joined: &Writing, manifest: &Manifest) -> Result<Acceptances, CommandError> {
    let accepted = joined.state().accepted().map_err(|error| {
        CommandError::new(
            error,
            "mend that line, or remove the file: then what the newest snapshot says counts",
        )
    })?;
    Ok(accepted.unwrap_or_else(|| Acceptances::signed(manifest)))
}

fn list(joined: &Writing, output: Output) -> Result<Status, CommandError> {
    let manifest = newest(joined)?;
    let accepted = accepted(joined, &manifest)?;
    let listing = DamageListing::new(&manifest, &accepted, Clock::system().now());
    output.detail(format_args!("snapshot {}", listing.snapshot));
    if listing.rows().next().is_none() {
        output.line("No damage.");
    } else {
        let head = ["ID", "KIND", "STATE", "FIRST SEEN", "LIBRARY", "WHAT"];
        let mut rows = vec![head.map(Into::into).to_vec()];
        let lost =
            |row: &DamageRow| cells(row, if is_altered(&row.damage) { "altered" } else { "lost" });
        rows.extend(listing.damage.iter().map(lost));
        let in_source = "bad in the source, good in the repository";
        rows.extend(listing.source_damage.iter().map(|row| cells(row, in_source)));
        output.line(output::table(&rows));
    }
    let faults = faults::read(joined)?;
    faults::print(&faults, output);
    output.json(&ListedDamage { listing: &listing, faults })?;
    Ok(Status::Done)
}

/// What is listed, for programs.
#[derive(Serialize)]
struct ListedDamage<'a> {
    #[serde(flatten)]
    listing: &'a DamageListing,
    /// Bad stored files of the repository.
    faults: Vec<faults::StoredFault>,
}

fn cells(row: &DamageRow, what: &str) -> Vec<String> {
    let damage = &row.damage;
    let kind = if damage.id.is_empty() { "row".to_owned() } else { damage.kind.to_string() };
    let paths = match damage.paths.as_slice() {
        [] => String::new(),
        [path] => format!(", {}", shown(path)),
        [path, more @ ..] => format!(", {} and {} more", shown(path), more.len()),
    };
    let note = damage.accepted.as_ref().and_then(|given| given.note.as_ref());
    let note = note.map(|note| format!(" [{}]", shown(note)));
    vec![
        damage::id_of(damage),
        kind,
        state(row),
        damage.first_seen.started().to_string(),
        shown(row.library_name.as_deref().unwrap_or("-")),
        format!("{what}: {}{paths}{}", shown(&damage.detail), note.unwrap_or_default()),
    ]
}

fn state(row: &DamageRow) -> String {
    let until = row.damage.accepted.as_ref().and_then(|given| given.until);
    match (row.state, until) {
        (DamageState::New, None) => "NEW".into(),
        (DamageState::Known, None) => "known".into(),
        (DamageState::Accepted, None) => "accepted".into(),
        (DamageState::Accepted, Some(until)) => format!("accepted until {until}"),
        (DamageState::New | DamageState::Known, Some(until)) => {
            format!("was accepted until {until}")
        }
    }
}

/// Changes what is accepted here; the lock is held.
fn change(
    joined: &Writing,
    apply: impl Fn(&Manifest, &mut Acceptances) -> Result<Change, damage::SelectError>,
) -> Result<Change, CommandError> {
    let manifest = newest(joined)?;
    let mut accepted = accepted(joined, &manifest)?;
    let change = apply(&manifest, &mut accepted)?;
    joined.state().set_accepted(&accepted)?;
    Ok(change)
}

fn print_change(change: &Change, what: &str, output: Output) -> Result<Status, CommandError> {
    for object in change.objects.iter().take(MOST_LINES) {
        output.detail(format_args!("{what}: {object}"));
    }
    if change.objects.len() > MOST_LINES {
        let more = change.objects.len() - MOST_LINES;
        output.detail(format_args!("… and {more} more; --json has them all"));
    }
    let objects = count(change.objects.len() as u64, "object", "objects");
    output.line(match change.objects.len() {
        0 => format!("the snapshot {} lists no damage", change.snapshot),
        _ if change.changed == 0 => format!("{objects} {what}, as before"),
        _ => format!("{objects} {what}; the next backup signs it"),
    });
    output.json(change)?;
    Ok(Status::Done)
}
