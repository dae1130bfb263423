//! `restore --import-databases`: loads what was restored as SQL text into a server.
//!
//! Into a server that is named here, never one that is guessed: the restored configuration names the
//! server that the backup came from, which may be alive. Into empty databases, or in the place of what
//! is there, which is dumped before and kept under another name.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde::Serialize;

use super::CommandError;
use super::databases::Databases;
use super::output::{Output, bytes, count, shown};
use crate::database::mysql::{
    Address, Found, LoadError, Loaded, Progress, Replaced, Server, Target, load, replace,
};
use crate::repository::manifest::{self, Manifest};
use crate::restore::SQL_FOLDER;
use crate::seafile::discover::{Environment, discover};
use crate::source::databases::{keep_dumps, on_servers};

#[derive(Debug, Args)]
pub(super) struct Importing {
    /// Load the databases into empty ones of the server that --database-host or --database-socket
    /// names
    #[arg(long, conflicts_with = "data_only")]
    import_databases: bool,
    /// Put them in the place of what is there, which is dumped into the target first, and kept on
    /// the server under another name
    #[arg(long, requires = "import_databases")]
    replace_databases: bool,
    /// Load even into the server that the restored configuration names
    #[arg(long, requires = "import_databases")]
    into_configured_server: bool,
    #[command(flatten)]
    databases: Databases,
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
    notes: Vec<String>,
}

/// What is to be loaded where: found out before anything is restored.
pub(super) struct Plan {
    server: Server,
    databases: Vec<Planned>,
    is_replacing: bool,
    into_configured_server: bool,
}

/// One database of it.
struct Planned {
    role: String,
    found: Found,
}

impl Importing {
    /// Whether databases are to be loaded.
    pub(super) fn is_wanted(&self) -> bool {
        self.import_databases
    }

    /// Looks at the server, and refuses what would stand in the way.
    pub(super) fn plan(&self, manifest: &Manifest, output: Output) -> Result<Plan, CommandError> {
        let server = self.databases.server()?;
        let databases = manifest.databases.iter();
        let (roles, names): (Vec<String>, Vec<String>) = databases
            .filter(|database| database.engine == manifest::MYSQL)
            .map(|database| {
                let name = self.databases.name_of(&database.role);
                let name = name.or_else(|| database.name.clone());
                (
                    database.role.clone(),
                    name.unwrap_or_else(|| database.role.clone()),
                )
            })
            .unzip();
        if roles.is_empty() {
            let error = anyhow!("the snapshot has no database that was on a server");
            return Err(CommandError::new(error, "leave out --import-databases"));
        }
        self.databases.must_know(&roles)?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            let error = anyhow!("two databases would be loaded into {}", shown(twice));
            return Err(CommandError::new(
                error,
                "give each a name of its own with --database-name",
            ));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = Target::examine(&server, &names)?;
        output.detail(format_args!(
            "server    {} ({}{})",
            found.server,
            found.version,
            if found.host.is_empty() {
                String::new()
            } else {
                format!(", on {}", shown(&found.host))
            }
        ));
        for database in &found.databases {
            output.detail(format_args!("          {}", describe(database)));
        }
        self.must_not_be_the_source(manifest, &found)?;
        if !found.sees_others {
            self.refuse_blind(&found)?;
        }
        for database in &found.databases {
            self.refuse(&found, database)?;
        }
        let databases = roles.into_iter().zip(found.databases);
        Ok(Plan {
            server,
            databases: databases
                .map(|(role, found)| Planned { role, found })
                .collect(),
            is_replacing: self.replace_databases,
            into_configured_server: self.into_configured_server,
        })
    }

    /// Refuses the server that the dumps come from: it may be alive, and in use by who did not mean to
    /// replace it.
    fn must_not_be_the_source(
        &self,
        manifest: &Manifest,
        found: &Target,
    ) -> Result<(), CommandError> {
        let mut databases = manifest.databases.iter();
        let is_it = databases.any(|database| database.identity.as_ref() == Some(&found.identity));
        if !is_it || self.into_configured_server {
            return Ok(());
        }
        let error = anyhow!(
            "{} is the server that was backed up: it may be alive",
            found.server
        );
        Err(CommandError::new(
            error,
            "nothing was restored; if it is the right one, add --into-configured-server",
        ))
    }

    /// Without PROCESS an account does not see who else is connected.
    fn refuse_blind(&self, found: &Target) -> Result<(), CommandError> {
        const WHAT: &str = "the account has no PROCESS privilege: connections of others to these databases are not seen";
        let has_something = found.databases.iter().any(|database| !database.is_empty());
        if !self.replace_databases || !has_something {
            Output::warning(WHAT);
            return Ok(());
        }
        Err(CommandError::new(
            anyhow!("{WHAT}"),
            "nothing was restored; GRANT PROCESS ON *.* to the account, to replace what is there",
        ))
    }

    /// Refuses what is in use, and what has something in it that is not to be replaced.
    fn refuse(&self, found: &Target, database: &Found) -> Result<(), CommandError> {
        if !database.used_by.is_empty() {
            return Err(LoadError::InUse {
                server: found.server.clone(),
                database: shown(&database.name),
                by: shown(&database.used_by.join("; ")),
            }
            .into());
        }
        if database.is_empty() || self.replace_databases {
            return Ok(());
        }
        let error = anyhow!(
            "the database {} on {} is not empty",
            shown(&database.name),
            found.server
        );
        Err(CommandError::new(
            error,
            "nothing was restored; choose other names with --database-name seafile=NEW, or add --replace-databases",
        ))
    }
}

impl Plan {
    /// Loads the dumps of those of these roles that lie in the target.
    pub(super) fn run(
        &self,
        target: &Path,
        roles: &[String],
        output: Output,
    ) -> Result<Vec<Imported>, CommandError> {
        if !self.into_configured_server {
            refuse_configured(&self.server, target)?;
        }
        let databases = self.databases.iter();
        let wanted: Vec<&Planned> = databases
            .filter(|planned| roles.contains(&planned.role))
            .collect();
        if self.is_replacing {
            self.keep(&wanted, target, output)?;
        }
        let mut imported: Vec<Imported> = Vec::new();
        for planned in wanted {
            match self.import(planned, target, output) {
                Ok(done) => imported.push(done),
                Err(error) => return Err(after(&imported, error)),
            }
        }
        Ok(imported)
    }

    /// Dumps what is going to be replaced, all as of one moment.
    fn keep(&self, wanted: &[&Planned], target: &Path, output: Output) -> Result<(), CommandError> {
        let kept: Vec<(String, &str)> = wanted
            .iter()
            .filter(|planned| !planned.found.is_empty())
            .map(|planned| {
                let file = format!("before-{}", planned.role);
                (file, planned.found.name.as_str())
            })
            .collect();
        if kept.is_empty() {
            return Ok(());
        }
        let names: Vec<(&str, &str)> = kept
            .iter()
            .map(|(file, name)| (file.as_str(), *name))
            .collect();
        let folder = target.join(SQL_FOLDER);
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
        let path: PathBuf = target.join(SQL_FOLDER).join(format!("{role}.sql"));
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut dump = BufReader::new(file);
        let mut table = String::new();
        let mut progress = |progress: &Progress| {
            if progress.table != table {
                table.clone_from(&progress.table);
                output.progress(&format!("loading {name}: {table}"));
            }
        };
        let done = if self.is_replacing {
            replace(&self.server, name, &mut dump, &mut progress)
        } else {
            let loaded = load(&self.server, name, &mut dump, &mut progress);
            loaded.map(|loaded| Replaced {
                loaded,
                before: None,
            })
        };
        let Replaced { loaded, before } = done?;
        say(role, name, &loaded, before.as_deref(), output);
        Ok(Imported {
            role: role.clone(),
            database: name.to_owned(),
            tables: loaded.tables,
            rows: loaded.rows,
            before,
            notes: loaded.notes,
        })
    }
}

fn say(role: &str, name: &str, loaded: &Loaded, before: Option<&str>, output: Output) {
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

fn describe(database: &Found) -> String {
    let name = shown(&database.name);
    if !database.exists {
        return format!("{name}: is not there, and will be made");
    }
    let rows = database.tables.iter().map(|(_, rows)| rows).sum();
    format!(
        "{name}: {}, about {}, used by {}",
        count(database.tables.len() as u64, "table", "tables"),
        count(rows, "row", "rows"),
        count(database.used_by.len() as u64, "connection", "connections")
    )
}

/// What the administrator has to know of the databases before the one that failed.
fn after(imported: &[Imported], error: CommandError) -> CommandError {
    if imported.is_empty() {
        return error;
    }
    let done = imported.iter().map(|one| match &one.before {
        None => shown(&one.database),
        Some(before) => format!("{} (before: {})", shown(&one.database), shown(before)),
    });
    let done: Vec<String> = done.collect();
    let done = format!("these were loaded already: {}", done.join(", "));
    CommandError {
        hint: Some(match error.hint {
            Some(hint) => format!("{hint}; {done}"),
            None => done,
        }),
        ..error
    }
}

/// The server that the restored configuration names may not be the one that was dumped, as where a
/// replica was. One on this machine says nothing: it is another machine's.
fn refuse_configured(server: &Server, target: &Path) -> Result<(), CommandError> {
    // A configuration that cannot be read names no server.
    let Ok(installation) = discover(target, &Environment::default()) else {
        return Ok(());
    };
    let configured = on_servers(&installation);
    let is_it = |configured: &Server| match &configured.address {
        Address::Tcp { host, .. } => !is_this_machine(host) && configured.address == server.address,
        Address::Socket(_) => false,
    };
    let Some((_, configured, _)) = configured.iter().find(|(_, server, _)| is_it(server)) else {
        return Ok(());
    };
    let error = anyhow!(
        "{} is the server that the restored configuration names: the one that was backed up may be alive there",
        configured.address
    );
    Err(CommandError::new(
        error,
        "nothing was loaded; if it is the right one, add --into-configured-server",
    ))
}

fn is_this_machine(host: &str) -> bool {
    let address: Result<std::net::IpAddr, _> = host.parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
