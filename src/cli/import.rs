//! `restore --import-databases` and `--import-only`: loads what is restored as SQL text into a server.
//!
//! Into a server that is named here, never one that is guessed: the restored configuration names the
//! server that the backup came from, which may be alive. Into empty databases, or in the place of what
//! is there, which is dumped before and kept under another name. Everything that can stand in the way is looked
//! for before anything is restored or loaded: the dumps are read for it.

mod load;
mod refusals;

pub(super) use refusals::not_restored;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::CommandError;
use super::databases::DatabaseArguments;
use super::output::{Output, count, shown};
use crate::database::mysql::{
    DatabaseToLoad, DumpNeeds, LoadTarget, MySqlServer, TargetDatabase, must_take,
};
use crate::repository::Repository;
use crate::repository::manifest::{self, Database, Manifest};
use crate::restore::{ImportRecord, LoadedDatabase, NextCommands};

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Importing {
    /// Load the databases into empty ones of the server that --database-host or --database-socket
    /// names
    #[arg(long, conflicts_with = "data_only", group = "loading")]
    import_databases: bool,
    /// Restore nothing: load the databases of a target that this snapshot was restored into, and go on where an import
    /// broke off
    #[arg(
        long,
        group = "loading",
        conflicts_with_all = ["data_only", "databases_only", "standby", "owner"]
    )]
    import_only: bool,
    /// Put them in the place of what is there, which is dumped into the target first, and kept on
    /// the server under another name
    #[arg(long, requires = "loading")]
    replace_databases: bool,
    /// Load even into the server that the restored configuration names
    #[arg(long, requires = "loading")]
    into_configured_server: bool,
    #[command(flatten)]
    databases: DatabaseArguments,
}

/// A database that was loaded.
#[derive(Debug, Serialize)]
pub(super) struct Imported {
    role: String,
    database: String,
    tables: u64,
    rows: u64,
    /// The database that holds what was there before.
    before: Option<String>,
    /// An earlier attempt had loaded it.
    earlier: bool,
    notes: Vec<String>,
}

impl Imported {
    fn of_record(record: &ImportRecord) -> Self {
        Self {
            role: record.role.clone(),
            database: record.name.clone(),
            tables: record.tables,
            rows: record.rows,
            before: record.before.clone(),
            earlier: true,
            notes: Vec::new(),
        }
    }

    fn to_note(&self) -> LoadedDatabase {
        LoadedDatabase {
            role: self.role.clone(),
            name: self.database.clone(),
            tables: self.tables,
            rows: self.rows,
            before: self.before.clone(),
        }
    }
}

/// Where the dumps are before they are loaded.
#[derive(Clone, Copy)]
pub(super) enum Dumps<'a> {
    /// In the repository: nothing is restored yet.
    Stored(&'a Repository),
    /// In a target that was restored from there.
    Restored(&'a Path, &'a Repository),
}

/// What is to be loaded where: found out before anything is restored.
pub(super) struct ImportPlan {
    server: MySqlServer,
    identity: String,
    databases: Vec<Planned>,
    is_replacing: bool,
    /// The command that goes on after a break.
    go_on: String,
    /// The command that verifies what was loaded.
    verify: String,
    /// The command that backs up the new server.
    backup: String,
}

/// One database of it.
struct Planned {
    role: String,
    sha256: String,
    stored: Database,
    found: TargetDatabase,
    /// An earlier attempt loaded it out of the same target.
    loaded: Option<ImportRecord>,
    /// The repository has no whole dump of it any more.
    is_lost: bool,
}

impl Importing {
    /// Whether databases are to be loaded.
    pub(super) fn is_wanted(&self) -> bool {
        self.import_databases || self.import_only
    }

    /// Whether nothing is to be restored.
    pub(super) fn is_import_only(&self) -> bool {
        self.import_only
    }

    /// Looks at the server, and refuses what would stand in the way. `records`: what was loaded already.
    pub(super) fn plan(
        &self,
        dumps: Dumps<'_>,
        records: &[ImportRecord],
        manifest: &Manifest,
        commands: &NextCommands,
        output: Output,
    ) -> Result<ImportPlan, CommandError> {
        let plan = self.try_plan(dumps, records, manifest, commands, output);
        plan.map_err(|error| self.databases.blame(error))
    }

    fn try_plan(
        &self,
        dumps: Dumps<'_>,
        records: &[ImportRecord],
        manifest: &Manifest,
        commands: &NextCommands,
        output: Output,
    ) -> Result<ImportPlan, CommandError> {
        let server = self.databases.server()?;
        let named = self.named(manifest)?;
        let wanted: Vec<&str> = named.iter().map(|(_, name)| name.as_str()).collect();
        let found = LoadTarget::examine(&server, &wanted)?;
        tell(&found, output);
        self.must_not_be_the_source(manifest, &found)?;
        if !self.into_configured_server {
            refusals::configured(&server, dumps, manifest)?;
        }
        let databases = named.into_iter().zip(&found.databases);
        let mut databases: Vec<Planned> = databases
            .map(|((stored, _), there)| Planned::new(stored, there, &found, records))
            .collect();
        for planned in databases.iter_mut().filter(|one| one.loaded.is_none()) {
            planned.is_lost = refusals::is_gone(dumps, &planned.stored)?;
        }
        let is_open = |one: &&Planned| one.loaded.is_none() && !one.is_lost;
        let open: Vec<&Planned> = databases.iter().filter(is_open).collect();
        self.refuse_what_is_there(&found, &open)?;
        let lost = self.must_take(&server, &found, dumps, &open, output)?;
        for planned in &mut databases {
            planned.is_lost |= lost.contains(&planned.role);
            if planned.is_lost {
                refusals::other_heads(&server, planned)?;
            }
        }
        let verify = self.verify(commands, &databases);
        Ok(ImportPlan {
            go_on: self.go_on(commands),
            verify,
            backup: commands.backup.clone(),
            server,
            identity: found.identity,
            databases,
            is_replacing: self.replace_databases,
        })
    }

    /// The databases of a snapshot that were on a server, and what each will be called.
    fn named<'m>(
        &self,
        manifest: &'m Manifest,
    ) -> Result<Vec<(&'m Database, String)>, CommandError> {
        let databases = manifest.databases.iter();
        let named: Vec<(&Database, String)> = databases
            .filter(|database| database.engine == manifest::MYSQL)
            .map(|database| {
                let name = self.databases.name_of(&database.role);
                let name = name.or_else(|| database.name.clone());
                (database, name.unwrap_or_else(|| database.role.clone()))
            })
            .collect();
        if named.is_empty() {
            let error = anyhow!("the snapshot has no database that was on a server");
            let hint = "leave out --import-databases or --import-only";
            return Err(CommandError::new(error, hint));
        }
        let roles: Vec<String> = named.iter().map(|(one, _)| one.role.clone()).collect();
        self.databases.must_know(&roles)?;
        let mut seen = BTreeSet::new();
        if let Some((_, twice)) = named.iter().find(|(_, name)| !seen.insert(name)) {
            let error = anyhow!("two databases would be loaded into {}", shown(twice));
            return Err(CommandError::new(
                error,
                "give each a name of its own with --database-name",
            ));
        }
        Ok(named)
    }

    /// Reads the dumps, and asks whether the server takes what is in them. Returns the roles of those that are lost.
    fn must_take(
        &self,
        server: &MySqlServer,
        found: &LoadTarget,
        dumps: Dumps<'_>,
        open: &[&Planned],
        output: Output,
    ) -> Result<Vec<String>, CommandError> {
        let mut needs: Vec<Option<DumpNeeds>> = Vec::new();
        for planned in open {
            output.progress(&format!("reading the dump of {}", planned.role));
            needs.push(refusals::read(dumps, &planned.stored)?);
        }
        let both = open.iter().zip(&needs);
        let wanted: Vec<DatabaseToLoad<'_>> = both
            .map(|(planned, needs)| DatabaseToLoad {
                name: &planned.found.name,
                needs: needs.as_ref(),
                is_replaced: planned.is_replaced(self.replace_databases),
            })
            .collect();
        must_take(server, &wanted)?;
        let bytes = needs.iter().flatten().map(|needs| needs.bytes).sum();
        refusals::room(found, bytes)?;
        let lost = open.iter().zip(&needs).filter(|(_, needs)| needs.is_none());
        Ok(lost.map(|(planned, _)| planned.role.clone()).collect())
    }

    fn go_on(&self, commands: &NextCommands) -> String {
        let mut words = format!("{}{}", commands.import, self.databases.words());
        words.push_str(&self.databases.given_names());
        for (is_given, option) in [
            (self.replace_databases, " --replace-databases"),
            (self.into_configured_server, " --into-configured-server"),
        ] {
            if is_given {
                words.push_str(option);
            }
        }
        words
    }

    /// Names stand in it where the restored configuration has others.
    fn verify(&self, commands: &NextCommands, databases: &[Planned]) -> String {
        let renamed = databases
            .iter()
            .filter(|planned| planned.stored.name.as_deref() != Some(planned.found.name.as_str()));
        let names = renamed.map(|planned| (planned.role.as_str(), planned.found.name.as_str()));
        let names = DatabaseArguments::name_words(names);
        format!("{}{}{names}", commands.verify, self.databases.words())
    }
}

impl Planned {
    fn new(
        stored: &Database,
        there: &TargetDatabase,
        found: &LoadTarget,
        records: &[ImportRecord],
    ) -> Self {
        let loaded = records.iter().find(|record| {
            record.role == stored.role
                && record.sha256 == stored.sha256
                && record.identity == found.identity
                && record.name == there.name
                && !there.is_empty()
        });
        Self {
            role: stored.role.clone(),
            sha256: stored.sha256.to_string(),
            stored: stored.clone(),
            found: there.clone(),
            loaded: loaded.cloned(),
            is_lost: false,
        }
    }

    /// Whether something is there that is replaced: what a broken attempt left counts as nothing.
    fn is_replaced(&self, is_replacing: bool) -> bool {
        is_replacing && !self.found.is_empty() && !self.is_half_loaded()
    }

    /// Whether an attempt to load this dump broke off there.
    fn is_half_loaded(&self) -> bool {
        self.found.unfinished.as_deref() == Some(self.sha256.as_str())
    }
}

impl ImportPlan {
    /// The command that verifies what was loaded.
    pub(super) fn verify(&self) -> &str {
        &self.verify
    }

    /// The roles of those that the repository has lost, and of the others.
    pub(super) fn lost_and_whole(&self) -> (Vec<String>, Vec<String>) {
        let (lost, whole): (Vec<&Planned>, Vec<&Planned>) =
            self.databases.iter().partition(|planned| planned.is_lost);
        let roles = |planned: Vec<&Planned>| planned.iter().map(|one| one.role.clone()).collect();
        (roles(lost), roles(whole))
    }
}

fn tell(found: &LoadTarget, output: Output) {
    output.detail(format_args!(
        "server    {} ({}{})",
        found.server,
        found.version,
        if found.host.is_empty() { String::new() } else { format!(", on {}", shown(&found.host)) }
    ));
    for database in &found.databases {
        output.detail(format_args!("          {}", describe(database)));
    }
}

fn describe(database: &TargetDatabase) -> String {
    let name = shown(&database.name);
    if !database.exists {
        return format!("{name}: is not there, and will be made");
    }
    if database.unfinished.is_some() {
        return format!("{name}: half loaded by an attempt that broke off");
    }
    let rows = database.tables.iter().map(|(_, rows)| rows).sum();
    format!(
        "{name}: {}, about {}, used by {}",
        count(database.tables.len() as u64, "table", "tables"),
        count(rows, "row", "rows"),
        count(database.used_by.len() as u64, "connection", "connections")
    )
}
