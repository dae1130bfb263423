//! What keeps databases from being loaded, each looked for before anything is restored or loaded.

use std::path::Path;

use anyhow::anyhow;

use super::{Dumps, Importing, Planned};
use crate::cli::CommandError;
use crate::cli::output::{Output, bytes, shown};
use crate::database::mysql::{DumpNeeds, LoadError, LoadTarget, MySqlAddress, MySqlServer};
use crate::host::host_name;
use crate::repository::manifest::{Database, Manifest};
use crate::restore::{self, NotRestored};
use crate::seafile::discover::{Environment, discover};
use crate::source::databases::{SEAFILE, on_servers};

impl Importing {
    /// Refuses the server that the dumps come from: it may be alive, and in use by who did not mean to
    /// replace it.
    pub(super) fn must_not_be_the_source(
        &self,
        manifest: &Manifest,
        found: &LoadTarget,
    ) -> Result<(), CommandError> {
        let mut databases = manifest.databases.iter();
        let is_it = databases.any(|database| database.identity.as_ref() == Some(&found.identity));
        if !is_it || self.into_configured_server {
            return Ok(());
        }
        let error = anyhow!("{} is the server that was backed up: it may be alive", found.server);
        Err(CommandError::new(
            error,
            "nothing was restored; if it is the right one, add --into-configured-server",
        ))
    }

    /// Refuses what is in use, and what has something in it that is not to be replaced.
    pub(super) fn refuse_what_is_there(
        &self,
        found: &LoadTarget,
        open: &[&Planned],
    ) -> Result<(), CommandError> {
        if !found.sees_others {
            self.refuse_blind(open)?;
        }
        open.iter().try_for_each(|planned| self.refuse(found, planned))
    }

    /// Without PROCESS an account does not see who else is connected.
    fn refuse_blind(&self, open: &[&Planned]) -> Result<(), CommandError> {
        const WHAT: &str = "the account has no PROCESS privilege: connections of others to these databases are not seen";
        let mut open = open.iter();
        if !open.any(|planned| planned.is_replaced(self.replace_databases)) {
            Output::warning(WHAT);
            return Ok(());
        }
        Err(CommandError::new(
            anyhow!("{WHAT}"),
            "nothing was restored; GRANT PROCESS ON *.* to the account, to replace what is there",
        ))
    }

    fn refuse(&self, found: &LoadTarget, planned: &Planned) -> Result<(), CommandError> {
        let database = &planned.found;
        if !database.used_by.is_empty() {
            return Err(LoadError::InUse {
                server: found.server.clone(),
                database: shown(&database.name),
                by: shown(&database.used_by.join("; ")),
            }
            .into());
        }
        if database.unfinished.is_some() && !planned.is_half_loaded() {
            return Err(LoadError::OtherUnfinished {
                server: found.server.clone(),
                database: shown(&database.name),
            }
            .into());
        }
        if database.is_empty() || planned.is_half_loaded() || self.replace_databases {
            return Ok(());
        }
        let error =
            anyhow!("the database {} on {} is not empty", shown(&database.name), found.server);
        Err(CommandError::new(
            error,
            "nothing was restored or loaded; choose other names with --database-name seafile=NEW, or add --replace-databases",
        ))
    }
}

/// Reads a dump for what it asks of a server. `None`: the repository has lost it.
pub(super) fn read(
    dumps: Dumps<'_>,
    database: &Database,
) -> Result<Option<DumpNeeds>, CommandError> {
    match dumps {
        Dumps::Stored(repository) => {
            let read = restore::read_dump(repository, database, |dump| DumpNeeds::read(dump))?;
            Ok(read.transpose()?)
        }
        Dumps::Restored(target, _) => {
            let read = restore::read_restored(target, database, |dump| DumpNeeds::read(dump));
            Ok(Some(read.map_err(not_restored)??))
        }
    }
}

/// Whether a dump that is not in the target cannot come from the repository either.
pub(super) fn is_gone(dumps: Dumps<'_>, database: &Database) -> Result<bool, CommandError> {
    let Dumps::Restored(target, repository) = dumps else {
        return Ok(false);
    };
    let path = restore::dump_path(target, &database.role);
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let read =
        restore::read_dump(repository, database, |dump| std::io::copy(dump, &mut std::io::sink()))?;
    // What breaks off here without being lost is told by the restore that brings it.
    Ok(read.is_none())
}

/// Of a database whose dump is lost: refuses to leave the heads of another state on the server, beside this snapshot's
/// commits. Clients would be set back.
pub(super) fn other_heads(server: &MySqlServer, planned: &Planned) -> Result<(), CommandError> {
    if planned.role != SEAFILE || planned.found.is_empty() {
        return Ok(());
    }
    let error = anyhow!(
        "the repository has lost the dump of {}, and {server} has other heads in {}: beside the commits of this \
         snapshot, sync clients would set their users' files back",
        planned.role,
        shown(&planned.found.name)
    );
    Err(CommandError::new(
        error,
        "restore another snapshot; or drop that database, if its heads are not needed, and run this again",
    ))
}

/// With the next step.
pub(in crate::cli) fn not_restored(error: NotRestored) -> CommandError {
    let hint = match &error {
        NotRestored::Nothing(_) => {
            "give the --target that a restore filled, or restore with --import-databases"
        }
        NotRestored::Unfinished(_) => {
            "run the same restore again, without --import-only: it goes on"
        }
        NotRestored::Other { .. } => {
            "name the snapshot that this folder was restored from: its RESTORE-NOTES.txt says which"
        }
        _ => "restore the databases first: this folder may have been restored with --data-only",
    };
    CommandError::new(error, hint)
}

/// Refuses a server of this machine whose disk is too small. A server elsewhere, or in a container, cannot be asked.
pub(super) fn room(found: &LoadTarget, needed: u64) -> Result<(), CommandError> {
    let data = Path::new(&found.data_dir);
    if found.host != host_name() || !data.is_dir() {
        return Ok(());
    }
    // What cannot be asked refuses nothing.
    let Ok(stat) = rustix::fs::statvfs(data) else {
        return Ok(());
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free >= needed {
        return Ok(());
    }
    Err(CommandError::new(
        anyhow!(
            "{} keeps its data in {}, which has {} free; the dumps are {} of text",
            found.server,
            data.display(),
            bytes(free),
            bytes(needed)
        ),
        "nothing was restored or loaded; make room there, or name another server",
    ))
}

/// Refuses the server that the backup's configuration names: it may not be the one that was dumped, as where a replica
/// was. One on this machine says nothing: it is another machine's.
pub(super) fn configured(
    server: &MySqlServer,
    dumps: Dumps<'_>,
    manifest: &Manifest,
) -> Result<(), CommandError> {
    let folder;
    let top = match dumps {
        Dumps::Restored(target, _) => target,
        Dumps::Stored(repository) => {
            folder = tempfile::tempdir().map_err(|error| {
                CommandError::new(error, "set TMPDIR to a folder that can be written")
            })?;
            restore::configuration(repository, manifest, folder.path())?;
            folder.path()
        }
    };
    // A configuration that cannot be read names no server.
    let Ok(installation) = discover(top, &Environment::default()) else {
        return Ok(());
    };
    let configured = on_servers(&installation);
    let is_it = |configured: &MySqlServer| match &configured.address {
        MySqlAddress::Tcp { host, .. } => {
            !is_this_machine(host) && configured.address == server.address
        }
        MySqlAddress::Socket(_) => false,
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
        "nothing was restored or loaded; if it is the right one, add --into-configured-server",
    ))
}

fn is_this_machine(host: &str) -> bool {
    let address: Result<std::net::IpAddr, _> = host.parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
