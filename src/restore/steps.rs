//! The parts of `RESTORE-NOTES.txt` that change when databases are loaded: which databases are
//! where, and what to do next.

use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use serde::Serialize;

use super::databases::SQL_FOLDER;
use super::error::Error;
use super::folders::{self, TargetFolders};
use super::next::{NextCommands, SERVER_OPTIONS, VerifyMethod};
use super::notes::NOTES;
use super::page::{NotesPage, plain};
use super::{Owner, Scope};
use crate::place::shell;
use crate::repository::manifest::{self, Database, Manifest};
use crate::units::count;

/// The headings of the parts that are written again.
const TO_LOAD: &str = "LOAD THE DATABASES INTO A SERVER";
const LOADED: &str = "THE DATABASES ARE LOADED";
const NEXT: &str = "NEXT STEPS";
/// How an import keeps older heads from newer commits.
const COMMITS_WAIT: &str = "Until all are loaded the commits wait in seafile-data/storage/seawall-commits, where Seafile does not \
     find them: at no moment does the server have an older head beside a newer commit.";
/// The heading that follows the part about databases.
const OWNER: &str = "OWNER";
/// The longest notes that are read.
const MAX_NOTES_BYTES: u64 = 64 << 20;

/// A database that is on a server now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadedDatabase {
    /// `seafile`, `ccnet` …
    pub role: String,
    /// What it is called there.
    pub name: String,
    /// Its tables.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// The database that holds what was there before.
    pub before: Option<String>,
}

/// Which databases were loaded into a server, and the commands that go with it.
#[derive(Debug, Clone)]
pub struct ImportNotes<'a> {
    /// Account and address of the server.
    pub server: &'a str,
    /// The databases that are there.
    pub loaded: &'a [LoadedDatabase],
    /// Names of databases that are not there: the loading broke off.
    pub lacking: &'a [String],
    /// Names of databases whose dumps the repository has lost.
    pub lost: &'a [String],
    /// Commits get their places after the databases.
    pub commits_wait: bool,
    /// The command that verifies the folder by the loaded databases.
    pub verify: &'a str,
    /// The command that loads the lacking databases.
    pub go_on: &'a str,
    /// The command that backs up the new server.
    pub backup: &'a str,
}

/// Writes the part about databases that lie here as text, to be loaded into a server.
pub(super) fn to_load(
    page: &mut NotesPage,
    manifest: &Manifest,
    restored: &[String],
    import: &str,
    commits_wait: bool,
) {
    let on_server = |database: &&Database| {
        database.engine == manifest::MYSQL && restored.contains(&database.role)
    };
    let databases: Vec<&Database> = manifest.databases.iter().filter(on_server).collect();
    let Some(first) = databases.first() else {
        return;
    };
    page.title(TO_LOAD);
    page.paragraph(&format!(
        "They were on a server of version {} and lie here as SQL text. Load them into a server \
         that holds nothing under these names. The configuration still names the OLD server: \
         never load over a database that is in use.",
        first.server.as_deref().map_or_else(|| "unknown".into(), plain)
    ));
    page.paragraph(if commits_wait {
        COMMITS_WAIT
    } else {
        "Load them before Seafile is started: with OLDER databases, clients set their users' files back without a word."
    });
    page.paragraph("With seawall; the words in capitals are the NEW server's:");
    page.line(&format!("  {import} {SERVER_OPTIONS}"));
    page.line("");
    page.paragraph("Or by hand, in this folder:");
    for database in databases {
        let name = database.name.as_deref().map_or_else(|| database.role.clone(), plain);
        let file = format!("{SQL_FOLDER}/{}.sql", plain(&database.role));
        page.line(&format!("  {name}:"));
        page.line("    make it empty, as the second line of the file says (CREATE DATABASE)");
        page.line(&format!("    mariadb {} < {}", shell(&name), shell(&file)));
    }
    page.paragraph("The last line of each file says that it is whole.");
}

/// Writes the part about databases that were loaded.
fn loaded(page: &mut NotesPage, imports: &ImportNotes<'_>) {
    page.title(LOADED);
    page.paragraph(&format!("This restore loaded them into {}:", plain(imports.server)));
    for database in imports.loaded {
        page.item(&format!(
            "{}: {}, {}, {}",
            plain(&database.role),
            plain(&database.name),
            count(database.tables, "table", "tables"),
            count(database.rows, "row", "rows")
        ));
        if let Some(before) = &database.before {
            page.item(&format!(
                "what was in {} before is in {} until you drop it",
                plain(&database.name),
                plain(before)
            ));
        }
    }
    page.line("");
    if !imports.lost.is_empty() {
        page.paragraph(&format!(
            "LOST, and not loaded: {}. The repository has no whole dump of it any more; another snapshot may have one.",
            plain(&imports.lost.join(", "))
        ));
    }
    if !imports.lacking.is_empty() {
        page.paragraph(&format!(
            "NOT LOADED YET: {}. {}",
            plain(&imports.lacking.join(", ")),
            if imports.commits_wait {
                COMMITS_WAIT
            } else {
                "Do not start Seafile before: with OLDER databases, clients set their users' files back without a word."
            }
        ));
        page.paragraph("This goes on where it stopped:");
        page.line(&format!("  {}", imports.go_on));
        page.line("");
    } else if imports.commits_wait {
        page.paragraph(
            "The commits get their places after that: at no moment did the server have an older head beside a newer commit.",
        );
    }
    page.paragraph(
        "The restored configuration still names the OLD server. Before Seafile is started, write this server, \
         its account and these names into the lines under \"What to change on a new host\".",
    );
}

/// Writes what to do next, in order.
pub(super) fn next(
    page: &mut NotesPage,
    scope: Scope,
    how: VerifyMethod,
    commands: &NextCommands,
    sql: bool,
) {
    page.line(NEXT);
    page.line("");
    let mut steps: Vec<(String, &str)> = Vec::new();
    match how {
        VerifyMethod::ByDatabases => {
            steps.push((commands.verify.clone(), "it reads and checks every object again"));
        }
        VerifyMethod::BySnapshot => steps.push((
            commands.verify_by_snapshot.clone(),
            "it checks every object by what the snapshot says: no database is asked",
        )),
        VerifyMethod::Not => {}
    }
    if sql {
        steps.push(("load the databases, as above".into(), ""));
    } else if scope == Scope::Data {
        steps.push((
            "bring the databases of the same moment: restore them with --databases-only".into(),
            "databases of another moment do not fit this data",
        ));
    }
    if scope == Scope::Databases {
        steps.push((
            "these are databases alone: nothing here can be verified without the data they belong to".into(),
            "never put them over a seafile-data that is newer (see above)",
        ));
    } else {
        steps.push(("change the lines above".into(), ""));
        last_steps(&mut steps, &commands.backup);
    }
    numbered(page, &steps);
}

fn last_steps(steps: &mut Vec<(String, &str)>, backup: &str) {
    let text = "start Seafile, look at it in the browser, clients still locked out";
    steps.push((text.into(), ""));
    steps.push(("tell users what is missing, then let clients in".into(), ""));
    let remark = "a new machine needs `seawall init` with the same -r first";
    steps.push((backup.to_owned(), remark));
}

fn numbered(page: &mut NotesPage, steps: &[(String, &str)]) {
    for (number, (step, remark)) in steps.iter().enumerate() {
        page.line(&format!("  {}. {step}", number + 1));
        if !remark.is_empty() {
            page.line(&format!("     ({remark})"));
        }
    }
    page.line("");
    page.paragraph(
        "Do not run seaf-gc or `seaf-fsck -r` before a verification is clean: both destroy what \
         could still be put back.",
    );
}

fn next_after_import(page: &mut NotesPage, imports: &ImportNotes<'_>) {
    page.line(NEXT);
    page.line("");
    let mut steps: Vec<(String, &str)> = Vec::new();
    if !imports.lacking.is_empty() {
        steps.push((imports.go_on.to_owned(), "it loads what is lacking"));
    }
    let remark = "it asks the server that the databases were loaded into";
    steps.push((imports.verify.to_owned(), remark));
    steps.push(("change the lines above".into(), ""));
    last_steps(&mut steps, imports.backup);
    numbered(page, &steps);
}

/// Writes into the notes of a restored folder what was loaded where. A folder without notes gets
/// none.
pub fn note_imports(target: &Path, imports: &ImportNotes<'_>) -> Result<(), Error> {
    let failed = |source| Error::Write { path: target.join(NOTES), source };
    let folders = TargetFolders::open(target, None).map_err(failed)?;
    let (text, owner) = match read_notes(&folders) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let text = with_imports(&text, imports);
    let folders = TargetFolders::open(target, owner).map_err(failed)?;
    super::target::put_text(&folders, NOTES, &text).map_err(failed)
}

fn read_notes(folders: &TargetFolders) -> io::Result<(String, Option<Owner>)> {
    use std::os::unix::fs::MetadataExt as _;
    let file = folders::open_file(folders.root().as_fd(), NOTES)?;
    let metadata = file.metadata()?;
    let owner = rustix::process::geteuid()
        .is_root()
        .then(|| Owner { uid: metadata.uid(), gid: Some(metadata.gid()) });
    let mut bytes = Vec::new();
    file.take(MAX_NOTES_BYTES).read_to_end(&mut bytes)?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), owner))
}

/// The notes with the parts about databases and next steps written again.
fn with_imports(text: &str, imports: &ImportNotes<'_>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let at = |wanted: &[&str]| lines.iter().position(|line| wanted.contains(line));
    let next = at(&[NEXT]).unwrap_or(lines.len());
    let owner = at(&[OWNER]).unwrap_or(next);
    let databases = at(&[TO_LOAD, LOADED]).unwrap_or(owner).min(owner);
    let mut page = NotesPage::default();
    loaded(&mut page, imports);
    let loaded = page.finish();
    let mut page = NotesPage::default();
    next_after_import(&mut page, imports);
    let whole = |lines: &[&str]| match lines {
        [] => String::new(),
        lines => lines.join("\n") + "\n",
    };
    [whole(&lines[..databases]), loaded, whole(&lines[owner..next]), page.finish()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_loaded_replaces_what_was_to_be_loaded() {
        let notes = "HEAD\n\nLOAD THE DATABASES INTO A SERVER\n\n  by hand\n\nOWNER\n\nuser 1\n\nNEXT STEPS\n\n  1. seawall verify .\n";
        let database = LoadedDatabase {
            role: "seafile".into(),
            name: "new".into(),
            tables: 2,
            rows: 3,
            before: Some("new__before_1".into()),
        };
        let lacking = ["ccnet".to_owned()];
        let mut imports = ImportNotes {
            server: "root@127.0.0.1:3307",
            loaded: &[database],
            lacking: &lacking,
            lost: &[],
            commits_wait: true,
            verify: "seawall verify /x --database-host 127.0.0.1",
            go_on: "seawall restore ID --import-only",
            backup: "seawall backup /x",
        };
        let first = with_imports(notes, &imports);
        for text in [
            "HEAD\n",
            "root@127.0.0.1:3307",
            "NOT LOADED YET: ccnet",
            "the commits wait in",
            "--import-only",
            "new__before_1",
            "OWNER\n\nuser 1\n",
        ] {
            assert!(first.contains(text), "{text} is not in:\n{first}");
        }
        assert!(!first.contains("by hand") && !first.contains("verify ."));
        // Once more, after the rest was loaded.
        imports.lacking = &[];
        let second = with_imports(&first, &imports);
        assert!(!second.contains("NOT LOADED"), "{second}");
        assert!(second.contains("get their places after"), "{second}");
        // If the commits are in their places, the notes say nothing of them.
        imports.commits_wait = false;
        imports.lost = &lacking;
        let lost = with_imports(&first, &imports);
        assert!(lost.contains("LOST, and not loaded: ccnet"), "{lost}");
        assert!(!lost.contains("get their places"), "{lost}");
        assert_eq!(second.matches(LOADED).count(), 1);
        assert_eq!(second.matches(NEXT).count(), 1);
        assert!(second.contains("1. seawall verify /x --database-host 127.0.0.1"));
    }
}
