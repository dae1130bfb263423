//! Commits newer than a library's head: what they would do, and how they are moved aside.

use std::path::Path;

use super::name;
use crate::cli::output::{MOST_LINES, Output, count};
use crate::place::{absolute, shell};
use crate::restore::ASIDE;
use crate::time::Timestamp;
use crate::verify::{LibraryAhead, Report};

pub(super) fn print(report: &Report, folder: &Path, output: Output) {
    for ahead in &report.ahead {
        let (level, what) = match (ahead.is_upload, ahead.is_elsewhere) {
            (true, _) => {
                ("note      ", "their files are not all there: a client uploads, or broke off")
            }
            (_, true) => (
                "note      ",
                "with the databases of this snapshot, clients that have one of them would silently revert",
            ),
            _ => (
                "damaged   ",
                "clients that have one of them would silently revert their users' newer files",
            ),
        };
        let time = ahead.newest_time.and_then(Timestamp::from_seconds);
        let time = time.map_or(String::new(), |time| format!(" of {time}"));
        let line = format!(
            "{level}{} ({}): {} newer than its head {} and no pointer leads to them, the newest is {}{time}: {what}",
            name(ahead.library_name.as_deref()),
            ahead.library,
            count(ahead.commits.len() as u64, "commit is", "commits are"),
            ahead.head,
            ahead.newest,
        );
        if level.starts_with("damaged") {
            output.line(line);
        } else {
            output.detail(line);
        }
    }
    if report.would_revert().next().is_some() {
        output.line(
            "next      keep sync clients out. If these commits are the newer state, restore the databases that belong \
             to them. If the databases shall count, stop Seafile and move the commits aside, then verify once more:",
        );
        for line in moves(report.would_revert(), folder).take(MOST_LINES) {
            output.line(format_args!("          {line}"));
        }
        let all: usize = report.would_revert().map(|ahead| ahead.files.len()).sum();
        if all > MOST_LINES {
            output.line(format_args!(
                "          … and {} more commits; --json has them all",
                all - MOST_LINES
            ));
        }
    }
}

/// One command for each commit: from where its file is, to its usual place below the installation's folder for such files.
fn moves<'a>(
    ahead: impl Iterator<Item = &'a LibraryAhead> + 'a,
    folder: &'a Path,
) -> impl Iterator<Item = String> + 'a {
    let aside = absolute(folder).join(ASIDE);
    ahead.flat_map(|ahead| &ahead.files).map(move |(file, object)| {
        let to = aside.join(object.path());
        let to = to.parent().unwrap_or(&aside).to_string_lossy();
        let from = absolute(file);
        format!("mkdir -p {0} && mv {1} {0}/", shell(&to), shell(&from.to_string_lossy()))
    })
}
