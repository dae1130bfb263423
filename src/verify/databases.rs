//! The databases of an installation: whether they are sound, and what Seafile's own points to.

use std::path::Path;

use super::report::DatabaseState;
use super::{Error, rows};
use crate::causes::chain;
use crate::database::mysql::{self, Target};
use crate::database::{self, Pointers, SqliteCopy, SqliteSource};
use crate::seafile::discover::{DatabaseKind, Installation, MysqlDatabase, Origin, SqliteFile};
use crate::source;
use crate::source::databases::{SEAFILE, SeafileDatabase, files, on_servers};

/// What the databases say.
pub(super) struct Databases {
    /// Where the libraries' data is.
    pub pointers: Pointers,
    /// Whether each is sound.
    pub states: Vec<DatabaseState>,
    /// Seafile's own, to be read again; `None` if the pointers are a snapshot's.
    pub seafile: Option<SeafileDatabase>,
}

/// Copies all databases, checks them, and reads the pointers. The copies are gone afterwards.
pub(super) fn read(installation: &Installation, spool: &Path) -> Result<Databases, Error> {
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
    let mut states: Vec<DatabaseState> = files
        .iter()
        .zip(&copies)
        .map(|(file, copy)| state(file, copy))
        .collect();
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
    Ok(Databases {
        pointers,
        states,
        seafile: Some(seafile),
    })
}

/// The databases on servers. Nothing is read from those that do not name libraries; but whether they are there is
/// seen: a restored folder may have lost one.
fn on_the_servers(installation: &Installation) -> Result<Vec<DatabaseState>, Error> {
    let mut states = Vec::new();
    for ((role, server, name), from) in on_servers(installation)
        .into_iter()
        .zip(origins(installation))
    {
        let problems = match Target::examine(&server, &[&name]) {
            Ok(target) => target.databases.iter().filter_map(problem).collect(),
            // Without it nothing says what should be there.
            Err(error) if role == SEAFILE => return Err(database::Error::from(error).into()),
            Err(error) => vec![chain(&error)],
        };
        let path = format!("{name} on {}", server.address);
        if role == SEAFILE && !problems.is_empty() {
            // What can be read of it tells more.
            SeafileDatabase::Server(server, name).pointers(Path::new(""))?;
        }
        states.push(DatabaseState {
            role,
            path,
            from: Some(from),
            problems,
        });
    }
    Ok(states)
}

fn problem(found: &mysql::Found) -> Option<String> {
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

/// What names the server of each database: a file without its line, or an option.
fn origins(installation: &Installation) -> Vec<String> {
    let DatabaseKind::Mysql(settings) = &installation.database else {
        return Vec::new();
    };
    let origin = |database: &MysqlDatabase| {
        let address = database.unix_socket.as_ref().or(database.host.as_ref());
        match address.map_or(&database.name.from, |address| &address.from) {
            Origin::Line(path, _) => path.display().to_string(),
            other => other.to_string(),
        }
    };
    settings.databases.iter().map(origin).collect()
}

/// Whether an error says something of the database, and not of the computer or the moment.
fn is_damage(error: &database::Error) -> bool {
    matches!(
        error,
        database::Error::NotADatabase { .. }
            | database::Error::Malformed { .. }
            | database::Error::Unreadable { .. }
    )
}

/// One is damaged: that must not keep us from the others. They need not be as of one moment, since
/// only Seafile's own is read.
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
