//! `restore --import-databases`: loads what was restored as SQL text into a server.
//!
//! Into empty databases only, of a server that is named here: the restored configuration names the
//! server that the backup came from, which may be alive.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde::Serialize;

use super::CommandError;
use super::databases::Databases;
use super::output::{Output, count, shown};
use crate::database::mysql::{Connection, Found, Server, Target, load};
use crate::repository::manifest::{self, Manifest};
use crate::restore::SQL_FOLDER;
use crate::seafile::discover::{Environment, discover};
use crate::source::databases::on_servers;

#[derive(Debug, Args)]
pub(super) struct Importing {
    /// Load the databases into empty ones of the server that --database-host or --database-socket
    /// names
    #[arg(long, conflicts_with = "data_only")]
    import_databases: bool,
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
    notes: Vec<String>,
}

impl Importing {
    /// The server, if databases are to be loaded: known before anything is restored.
    pub(super) fn server(&self) -> Result<Option<Server>, CommandError> {
        self.import_databases
            .then(|| self.databases.server())
            .transpose()
    }

    /// Loads the dumps of these roles, which lie in the target.
    pub(super) fn run(
        &self,
        server: &Server,
        target: &Path,
        manifest: &Manifest,
        roles: &[String],
        output: Output,
    ) -> Result<Vec<Imported>, CommandError> {
        let databases = manifest.databases.iter();
        let wanted: Vec<(&str, String)> = databases
            .filter(|database| database.engine == manifest::MYSQL)
            .filter(|database| roles.contains(&database.role))
            .map(|database| {
                let name = self.databases.name_of(&database.role);
                let name = name.or_else(|| database.name.clone());
                (
                    database.role.as_str(),
                    name.unwrap_or_else(|| database.role.clone()),
                )
            })
            .collect();
        if wanted.is_empty() {
            let error = anyhow!("the snapshot has no database that was on a server");
            return Err(CommandError::new(error, "leave out --import-databases"));
        }
        let names: Vec<&str> = wanted.iter().map(|(_, name)| name.as_str()).collect();
        let found = Target::examine(server, &names).map_err(CommandError::from)?;
        if !self.into_configured_server {
            refuse_configured(server, &found.identity, target)?;
        }
        output.detail(format_args!(
            "server    {} ({})",
            found.server, found.version
        ));
        for database in &found.databases {
            output.detail(format_args!("          {}", describe(database)));
        }
        if let Some(taken) = found.databases.iter().find(|database| !database.is_empty()) {
            let error = anyhow!(
                "the database {} on {} is not empty",
                shown(&taken.name),
                found.server
            );
            return Err(CommandError::new(
                error,
                "nothing was loaded; choose other names with --database-name seafile=NEW, or empty it yourself",
            ));
        }
        let mut imported = Vec::new();
        for (role, name) in wanted {
            let path = target.join(SQL_FOLDER).join(format!("{role}.sql"));
            let file =
                File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let mut table = String::new();
            let loaded = load(server, &name, &mut BufReader::new(file), &mut |progress| {
                if progress.table != table {
                    table.clone_from(&progress.table);
                    output.progress(&format!("loading {name}: {table}"));
                }
            })?;
            for note in &loaded.notes {
                Output::warning(format_args!("{}: {}", shown(&name), shown(note)));
            }
            output.detail(format_args!(
                "loaded    {} into {}: {}, {}",
                role,
                shown(&name),
                count(loaded.tables, "table", "tables"),
                count(loaded.rows, "row", "rows")
            ));
            imported.push(Imported {
                role: role.to_owned(),
                database: name,
                tables: loaded.tables,
                rows: loaded.rows,
                notes: loaded.notes,
            });
        }
        Ok(imported)
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

/// The server that the backup came from may be in use by the server that is to be replaced, or by one
/// that is not.
fn refuse_configured(server: &Server, identity: &str, target: &Path) -> Result<(), CommandError> {
    // A configuration that cannot be read names no server.
    let Ok(installation) = discover(target, &Environment::default()) else {
        return Ok(());
    };
    let is_it = |configured: &Server| {
        if configured.address == server.address {
            return true;
        }
        let by_that_name = Server {
            address: configured.address.clone(),
            ..server.clone()
        };
        // Who cannot be reached is another one.
        let there = Connection::open(&by_that_name).and_then(|there| there.identity());
        there.is_ok_and(|there| there == identity)
    };
    let configured = on_servers(&installation);
    let Some((_, configured, _)) = configured.iter().find(|(_, server, _)| is_it(server)) else {
        return Ok(());
    };
    let error = anyhow!(
        "{} is the server that the restored configuration names ({}): the one that was backed up may be alive there",
        server.address,
        configured.address
    );
    Err(CommandError::new(
        error,
        "nothing was loaded; if it is the right one, add --into-configured-server",
    ))
}
