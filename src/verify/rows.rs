//! Damage in the database: rows that do not say where a library's data is.

use super::describe;
use super::report::Report;
use crate::database::{LibraryPointers, Oddity, Pointers};
use crate::seafile::folders::ObjectFolders;

/// Adds to the report what the rows of libraries lack.
pub(super) fn describe(
    report: &mut Report,
    source: &ObjectFolders,
    pointers: &Pointers,
    headless: &[LibraryPointers],
) {
    for library in headless {
        let senseless = senseless_rows(pointers, library);
        // Seafile itself leaves such rows in the trash. Their stores are reported as without a
        // pointer.
        if describe::is_in_trash(library) && senseless.is_empty() {
            continue;
        }
        let detail = match &*senseless {
            [] => "the database names no head commit".to_owned(),
            rows => format!("the database names no head commit: {}", rows.join("; ")),
        };
        describe::of_rows(report, source, library, "no-head", detail);
    }
    for library in &pointers.libraries {
        if !library.heads.is_empty() {
            for row in senseless_rows(pointers, library) {
                describe::of_rows(report, source, library, "senseless-row", row);
            }
        }
    }
    for oddity in &pointers.oddities {
        if let Oddity::NoOrigin { library, .. } = oddity
            && let Some(library) = pointers.library(*library)
        {
            describe::of_rows(report, source, library, "no-origin", oddity.to_string());
        }
    }
}

/// Rows of a library whose cells should lead to its data and hold something else. An empty head in
/// the trash, or an empty base commit, is regular: it says that there is none.
fn senseless_rows(pointers: &Pointers, library: &LibraryPointers) -> Vec<String> {
    let rows = pointers.oddities.iter().filter(|oddity| {
        matches!(oddity, Oddity::Unreadable { table, column, library: Some(of), text }
            if *of == library.id && leads_to_data(table, column)
                && !(text.is_empty() && matches!(*column, "head_id" | "base_commit")))
    });
    rows.map(ToString::to_string).collect()
}

fn leads_to_data(table: &str, column: &str) -> bool {
    matches!(
        (table, column),
        ("Branch", "commit_id")
            | ("RepoTrash", "head_id")
            | ("VirtualRepo", "origin_repo" | "base_commit")
    )
}

/// Rows in the tables of pointers that do not even name a library, and tables that cannot be read:
/// the database is not sound.
pub(super) fn problems(pointers: &Pointers) -> Vec<String> {
    let rows = pointers.oddities.iter().filter(|oddity| {
        matches!(
            oddity,
            Oddity::Unreadable {
                table: "Repo" | "Branch" | "RepoTrash" | "VirtualRepo",
                library: None,
                ..
            } | Oddity::UnreadableTable { .. }
        )
    });
    rows.map(ToString::to_string).collect()
}
