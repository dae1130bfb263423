//! `seawall verify`: is an installation whole, live or restored?

use std::path::PathBuf;

use clap::Args;

use super::output::{MOST_LINES, Output, bytes, count, shown};
use super::{CommandError, Status, place};
use crate::seafile::discover::discover;
use crate::verify::{self, Damage, Options, Report};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The installation's top folder
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments, output: Output) -> Result<Status, CommandError> {
    let installation = discover(&arguments.folder, &place::environment())?;
    // Not in the state folder: a machine that only verifies needs none.
    let spool = tempfile::Builder::new()
        .prefix("seawall-verify-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir()
        .map_err(|error| {
            CommandError::new(
                error,
                "set TMPDIR to a folder with room for copies of the databases",
            )
        })?;
    let report = verify::run(&installation, spool.path(), &Options::default(), &|text| {
        output.progress(text);
    })?;
    for warning in &installation.warnings {
        Output::warning(warning);
    }
    print(&report, output);
    output.json(&report)?;
    Ok(if report.is_good() {
        Status::Done
    } else {
        Status::ReadTheReport
    })
}

fn print(report: &Report, output: Output) {
    Output::warnings(&report.warnings);
    for database in &report.databases {
        for problem in &database.problems {
            output.line(format_args!(
                "damaged   database {}: {}",
                database.path,
                shown(problem)
            ));
        }
    }
    for damage in report.damage.iter().take(MOST_LINES) {
        print_damage(damage, output);
    }
    if report.damage.len() > MOST_LINES {
        let more = report.damage.len() - MOST_LINES;
        output.line(format_args!(
            "damaged   … and {more} more; --json has them all"
        ));
    }
    for changed in &report.changed {
        let name = name(changed.library_name.as_deref());
        let unsettled = match changed.unsettled {
            0 => String::new(),
            missing => format!("; {missing} objects were missing, verify once more"),
        };
        output.line(format_args!(
            "changed   {name} ({}) while it was verified{unsettled}",
            changed.library
        ));
    }
    for store in &report.without_pointer {
        let what = if store.garbage {
            "deleted for good"
        } else {
            "no row points to it"
        };
        output.detail(format_args!("note      store {}: {what}", store.store));
    }
    let gone: u64 = report
        .history_incomplete
        .iter()
        .map(|history| history.objects)
        .sum();
    if gone > 0 {
        output.detail(format_args!(
            "note      {} of collected history are gone, as Seafile was told to",
            count(gone, "object", "objects")
        ));
    }
    output.detail(format_args!(
        "verified  {}, {}, {} read",
        count(report.libraries, "library", "libraries"),
        count(report.objects, "object", "objects"),
        bytes(report.bytes_read)
    ));
    output.line(if report.is_good() {
        "good      every pointer leads to an object that is what its name says".to_owned()
    } else {
        format!(
            "problems  {}; do not run seaf-gc or seaf-fsck -r before they are mended",
            count(report.damaged, "damaged object", "damaged objects")
        )
    });
}

/// Paths that are shown for one damaged object; JSON has them all.
const MOST_PATHS: usize = 10;

fn print_damage(damage: &Damage, output: Output) {
    let place = match (damage.in_trash, damage.in_newest_state) {
        (true, _) => ", in the trash",
        (false, false) => ", history only",
        _ => "",
    };
    let object = damage.object;
    output.line(format_args!(
        "damaged   {} ({}{place}): {} {} {}",
        name(damage.library_name.as_deref()),
        damage.library,
        object.kind,
        object.id,
        shown(&damage.detail)
    ));
    for path in damage.paths.iter().take(MOST_PATHS) {
        output.line(format_args!("            {}", shown(path)));
    }
    if damage.paths.len() > MOST_PATHS {
        output.line(format_args!(
            "            … and {} more",
            damage.paths.len() - MOST_PATHS
        ));
    }
}

fn name(name: Option<&str>) -> String {
    name.map_or("a library without a name".to_owned(), |name| {
        format!("library {:?}", shown(name))
    })
}
