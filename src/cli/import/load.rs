//! Loads what was planned, one database after the other, and writes down each: an import that breaks off goes on.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context as _;

use super::refusals::other_heads;
use super::{ImportPlan, Imported, Planned};
use crate::cli::CommandError;
use crate::cli::output::{Output, bytes, count, shown};
use crate::database::mysql::{
    LoadProgress, LoadTotals, ReplacedDatabase, load_marked, replace, unmark,
};
use crate::restore::{self, ImportNotes, ImportRecord, LoadedDatabase, SQL_FOLDER, dump_path};
use crate::source::databases::keep_dumps;

impl ImportPlan {
    /// Loads the dumps of these roles, which lie in the target. The others are lost.
    pub(in crate::cli) fn run(
        &self,
        target: &Path,
        roles: &[String],
        commits_wait: bool,
        output: Output,
    ) -> Result<Vec<Imported>, CommandError> {
        let is_wanted =
            |planned: &&Planned| planned.loaded.is_some() || roles.contains(&planned.role);
        let (wanted, lost): (Vec<&Planned>, Vec<&Planned>) =
            self.databases.iter().partition(is_wanted);
        for planned in &lost {
            other_heads(&self.server, planned).map_err(|error| self.after(&[], error))?;
        }
        let mut imported: Vec<Imported> = Vec::new();
        let done = self.load_all(&wanted, target, &mut imported, output);
        let roles = |planned: &[&Planned]| planned.iter().map(|one| one.role.clone()).collect();
        let lacking: Vec<String> = roles(&wanted[imported.len()..]);
        let lost: Vec<String> = roles(&lost);
        let loaded: Vec<LoadedDatabase> = imported.iter().map(Imported::to_note).collect();
        let server = self.server.to_string();
        note(
            target,
            &ImportNotes {
                server: &server,
                loaded: &loaded,
                lacking: &lacking,
                lost: &lost,
                commits_wait,
                verify: &self.verify,
                go_on: &self.go_on,
                backup: &self.backup,
            },
        );
        match done {
            Ok(()) => Ok(imported),
            Err(error) => Err(self.after(&imported, error)),
        }
    }

    fn load_all(
        &self,
        wanted: &[&Planned],
        target: &Path,
        imported: &mut Vec<Imported>,
        output: Output,
    ) -> Result<(), CommandError> {
        self.keep(wanted, target, output)?;
        for planned in wanted {
            imported.push(match &planned.loaded {
                Some(record) => {
                    output.detail(format_args!(
                        "loaded    {} into {} before: {}, {}",
                        planned.role,
                        shown(&record.name),
                        count(record.tables, "table", "tables"),
                        count(record.rows, "row", "rows")
                    ));
                    Imported::of_record(record)
                }
                None => self.import(planned, target, output)?,
            });
            if planned.found.unfinished.is_some() || planned.loaded.is_none() {
                unmark(&self.server, &planned.found.name)?;
            }
        }
        Ok(())
    }

    /// Dumps what is going to be replaced, all as of one moment.
    fn keep(&self, wanted: &[&Planned], target: &Path, output: Output) -> Result<(), CommandError> {
        let folder = target.join(SQL_FOLDER);
        let kept: Vec<(String, &str)> = wanted
            .iter()
            .filter(|planned| planned.loaded.is_none() && planned.is_replaced(self.is_replacing))
            .map(|planned| (free_name(&folder, &planned.role), planned.found.name.as_str()))
            .collect();
        if kept.is_empty() {
            return Ok(());
        }
        let names: Vec<(&str, &str)> =
            kept.iter().map(|(file, name)| (file.as_str(), *name)).collect();
        for (path, len) in keep_dumps(&self.server, &names, &folder)? {
            output.detail(format_args!(
                "kept      what is there: {} ({})",
                shown(&path.display().to_string()),
                bytes(len)
            ));
        }
        Ok(())
    }

    fn import(
        &self,
        planned: &Planned,
        target: &Path,
        output: Output,
    ) -> Result<Imported, CommandError> {
        let (role, name) = (&planned.role, planned.found.name.as_str());
        let path = dump_path(target, role);
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut dump = BufReader::new(file);
        let mut table = String::new();
        let mut progress = |progress: &LoadProgress| {
            if progress.table != table {
                table.clone_from(&progress.table);
                output.progress(&format!("loading {name}: {table}"));
            }
        };
        let ReplacedDatabase { loaded, before } = if planned.is_replaced(self.is_replacing) {
            replace(&self.server, name, &mut dump, &mut progress)?
        } else {
            let mark = &planned.sha256;
            let loaded = load_marked(&self.server, name, mark, &mut dump, &mut progress)?;
            ReplacedDatabase { loaded, before: None }
        };
        let record = ImportRecord {
            role: role.clone(),
            server: self.server.to_string(),
            identity: self.identity.clone(),
            name: name.to_owned(),
            sha256: planned.stored.sha256,
            tables: loaded.tables,
            rows: loaded.rows,
            before: before.clone(),
        };
        restore::record(target, record)?;
        say(role, name, &loaded, before.as_deref(), output);
        Ok(Imported {
            role: role.clone(),
            database: name.to_owned(),
            tables: loaded.tables,
            rows: loaded.rows,
            before,
            earlier: false,
            notes: loaded.notes,
        })
    }

    /// What the administrator has to know of the databases before the one that failed, and how it goes on.
    fn after(&self, imported: &[Imported], error: CommandError) -> CommandError {
        let done = imported.iter().map(|one| match &one.before {
            None => shown(&one.database),
            Some(before) => format!("{} (before: {})", shown(&one.database), shown(before)),
        });
        let done: Vec<String> = done.collect();
        let mut hint = error.hint.unwrap_or_default();
        if !done.is_empty() {
            hint = format!("{hint}; these were loaded already: {}", done.join(", "));
        }
        let hint = format!("{hint}\nthen go on: {}", self.go_on);
        CommandError { hint: Some(hint.trim_start_matches([';', ' ', '\n']).to_owned()), ..error }
    }
}

/// Writes down in the notes of the target what is where now. Notes that cannot be written undo nothing.
fn note(target: &Path, imports: &ImportNotes<'_>) {
    if let Err(error) = restore::note_imports(target, imports) {
        let error = anyhow::Error::from(error);
        Output::warning(format_args!(
            "{} does not tell what was loaded: {error:#}",
            restore::NOTES
        ));
    }
}

/// A name for the dump of what is replaced. An attempt that broke off has kept one, which is as good as the next.
fn free_name(folder: &Path, role: &str) -> String {
    let first = format!("before-{role}");
    let is_free = |name: &String| !folder.join(format!("{name}.sql.zst")).exists();
    let numbered = (2..).map(|number| format!("{first}-{number}"));
    std::iter::once(first.clone()).chain(numbered).find(is_free).unwrap_or(first)
}

fn say(role: &str, name: &str, loaded: &LoadTotals, before: Option<&str>, output: Output) {
    for note in &loaded.notes {
        Output::warning(format_args!("{}: {}", shown(name), shown(note)));
    }
    output.detail(format_args!(
        "loaded    {} into {}: {}, {}",
        role,
        shown(name),
        count(loaded.tables, "table", "tables"),
        count(loaded.rows, "row", "rows")
    ));
    if let Some(before) = before {
        output.detail(format_args!(
            "          what was there is in {} until you drop it",
            shown(before)
        ));
    }
}
