//! The databases of an installation: whether they are sound, and what Seafile's own points to.

use std::path::Path;

use super::report::DatabaseState;
use super::{Error, rows};
use crate::causes::chain;
use crate::database::{self, Pointers, SqliteCopy, SqliteSource};
use crate::seafile::discover::{Installation, SqliteFile};
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
    let on_servers = on_servers(installation).into_iter();
    let states_of_servers = on_servers.map(|(role, server, name)| DatabaseState {
        role,
        path: format!("{name} on {}", server.address),
        problems: Vec::new(),
    });
    states.splice(0..0, states_of_servers);
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
        problems: match copy {
            Ok(copy) => copy.integrity.clone(),
            Err(error) => vec![chain(error)],
        },
    }
}
