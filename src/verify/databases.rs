//! The databases of an installation: whether they are sound, and the pointers in Seafile's own.

use std::path::Path;

use super::report::DatabaseState;
use super::{Error, rows};
use crate::causes::chain;
use crate::database::mysql::{self, LoadTarget};
use crate::database::{self, Pointers, SqliteCopy, SqliteSource};
use crate::seafile::discover::{
    DatabaseKind, Installation, MysqlDatabase, SettingOrigin, SqliteFile,
};
use crate::source;
use crate::source::databases::{SEAFILE, SeafileDatabase, files, on_servers};

/// What was read from the databases.
pub(super) struct ReadDatabases {
    /// The pointers to the libraries' data.
    pub pointers: Pointers,
    /// Each database, with its problems.
    pub states: Vec<DatabaseState>,
    /// Seafile's own database, to read pointers again; `None` if the pointers are a snapshot's.
    pub seafile: Option<SeafileDatabase>,
}

/// Copies all databases, checks them, and reads the pointers. Deletes the copies.
pub(super) fn read(installation: &Installation, spool: &Path) -> Result<ReadDatabases, Error> {
    let seafile = SeafileDatabase::of(installation)?;
    let files = files(installation);
    let sources = source::sqlite_sources(files);
    let position = sources.iter().position(|source| source.role == SEAFILE);
    let copies: Vec<Result<SqliteCopy, database::Error>> = match database::copy_all(&sources, spool)
    {
        Ok(copies) => copies.into_iter().map(Ok).collect(),
        Err(error) if is_damage(&error) => one_by_one(&sources, spool)?,
        Err(error) => return Err(error.into()),
    };
    let mut states: Vec<DatabaseState> =
        files.iter().zip(&copies).map(|(file, copy)| state(file, copy)).collect();
    states.splice(0..0, on_the_servers(installation)?);
    let pointers = match position {
        Some(position) => {
            let copy = copies.into_iter().nth(position);
            let copy = copy.ok_or(Error::NoSeafileDatabase)??;
            database::read_pointers(&copy.file)?
        }
        None => seafile.pointers(spool)?,
    };
    if let Some(state) = states.iter_mut().find(|state| state.role == SEAFILE) {
        state.problems.extend(rows::problems(&pointers));
    }
    Ok(ReadDatabases { pointers, states, seafile: Some(seafile) })
}

/// The databases on servers. Only Seafile's own is read. For the others this only tells whether
/// they exist, because a restored installation may lack one.
fn on_the_servers(installation: &Installation) -> Result<Vec<DatabaseState>, Error> {
    let mut states = Vec::new();
    for ((role, server, name), from) in
        on_servers(installation).into_iter().zip(origins(installation))
    {
        let problems = match LoadTarget::examine(&server, &[&name]) {
            Ok(target) => target.databases.iter().filter_map(problem).collect(),
            // Without Seafile's own database nothing says which objects should be present.
            Err(error) if role == SEAFILE => return Err(database::Error::from(error).into()),
            Err(error) => vec![chain(&error)],
        };
        let path = format!("{name} on {}", server.address);
        if role == SEAFILE && !problems.is_empty() {
            // An error of this read says more than the problem. If it can be read, the run goes on.
            SeafileDatabase::Server(server, name).pointers(Path::new(""))?;
        }
        states.push(DatabaseState { role, path, from: Some(from), problems });
    }
    Ok(states)
}

fn problem(found: &mysql::TargetDatabase) -> Option<String> {
    if !found.exists {
        Some("is not there, or this account may not see it".to_owned())
    } else if found.unfinished.is_some() {
        Some("is half loaded: an import broke off; `restore --import-only` goes on".to_owned())
    } else if found.tables.is_empty() {
        Some("has no tables that this account may see".to_owned())
    } else {
        None
    }
}

/// Where the configuration names the server of each database: a file without its line, or an
/// option.
fn origins(installation: &Installation) -> Vec<String> {
    let DatabaseKind::Mysql(settings) = &installation.database else {
        return Vec::new();
    };
    let origin = |database: &MysqlDatabase| {
        let address = database.unix_socket.as_ref().or(database.host.as_ref());
        match address.map_or(&database.name.from, |address| &address.from) {
            SettingOrigin::Line(path, _) => path.display().to_string(),
            other => other.to_string(),
        }
    };
    settings.databases.iter().map(origin).collect()
}

/// Whether an error is about the database itself, and not about the computer or the moment.
fn is_damage(error: &database::Error) -> bool {
    matches!(
        error,
        database::Error::NotADatabase { .. }
            | database::Error::Malformed { .. }
            | database::Error::Unreadable { .. }
    )
}

/// Copies each database alone, so that a damaged one does not hide the others. The copies are of
/// different moments; that does no harm, since only Seafile's own is read.
fn one_by_one(
    sources: &[SqliteSource],
    spool: &Path,
) -> Result<Vec<Result<SqliteCopy, database::Error>>, Error> {
    let mut copies = Vec::new();
    for source in sources {
        match database::copy_all(std::slice::from_ref(source), spool) {
            Ok(one) => copies.extend(one.into_iter().map(Ok)),
            Err(error) if is_damage(&error) => copies.push(Err(error)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(copies)
}

fn state(file: &SqliteFile, copy: &Result<SqliteCopy, database::Error>) -> DatabaseState {
    DatabaseState {
        role: file.role.to_string(),
        path: file.path.to_string_lossy().into_owned(),
        from: None,
        problems: match copy {
            Ok(copy) => copy.integrity.clone(),
            Err(error) => vec![chain(error)],
        },
    }
}
