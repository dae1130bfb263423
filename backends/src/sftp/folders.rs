//! The folders of the repository: made as needed, once.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::errors::{Code, Failed};
use super::place::SftpFolder;
use super::session::{Session, SftpPathKind};
use crate::destination::invalid;
use crate::{ErrorKind, Result};

/// Folders that are known to be there, and to survive a power cut.
#[derive(Debug, Default)]
pub(super) struct DurableFolders {
    known: Mutex<HashSet<String>>,
}

impl DurableFolders {
    /// Sees that a folder of the repository, and those above it, are there.
    ///
    /// Errors: `Invalid` if something else has the name, and as the server says.
    pub(super) async fn see_to(
        &self,
        session: &Session,
        place: &SftpFolder,
        path: &str,
    ) -> Result<()> {
        let missing = self.unknown(path);
        if missing.is_empty() {
            return Ok(());
        }
        let paths: Vec<String> = missing.iter().map(|path| place.at(path)).collect();
        let looked = session.look_at_all(&paths).await;
        let looked = looked.map_err(|failed| failed.into_error(&place.at(path)))?;
        for ((path, full), holds) in missing.iter().zip(&paths).zip(looked) {
            match holds {
                SftpPathKind::Folder => {}
                SftpPathKind::Nothing => make(session, full).await?,
                SftpPathKind::File { .. } | SftpPathKind::Other => return Err(no_folder(full)),
            }
            // Also one that was there: who made it may have crashed before this.
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            sync(session, &place.at(above)).await?;
            self.known().insert((*path).to_owned());
        }
        Ok(())
    }

    /// Forgets a folder, and those above it: something in them went away.
    pub(super) fn forget(&self, path: &str) {
        let mut known = self.known();
        for above in steps(path) {
            known.remove(above);
        }
    }

    fn unknown<'a>(&self, path: &'a str) -> Vec<&'a str> {
        let known = self.known();
        let unknown = steps(path).filter(|step| !known.contains(*step));
        unknown.collect()
    }

    fn known(&self) -> MutexGuard<'_, HashSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path and those above it, from the top: `a`, `a/b`. None of the empty path.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    ends.chain([path.len()]).map(|end| &path[..end]).filter(|step| !step.is_empty())
}

/// Makes a folder that another client may be making too.
pub(super) async fn make(session: &Session, full: &str) -> Result<()> {
    let Err(failed) = session.make_folder(full).await else {
        return Ok(());
    };
    match session.look(full).await {
        Ok(SftpPathKind::Folder) => Ok(()),
        Ok(SftpPathKind::File { .. } | SftpPathKind::Other) => Err(no_folder(full)),
        Ok(SftpPathKind::Nothing) => Err(super::space::explain(session, full, 0, failed).await),
        Err(unknown) => Err(unknown.into_error(full)),
    }
}

/// Makes the names in a folder survive a power cut, where the server can: OpenSSH opens folders as
/// files, and syncs them.
pub(super) async fn sync(session: &Session, full: &str) -> Result<()> {
    if !session.offers.sync {
        return Ok(());
    }
    let about = |failed: Failed| failed.into_error(full);
    let folder = match session.open(full).await {
        Ok(folder) => folder,
        Err(Failed::Refused(..)) => return Ok(()),
        Err(failed) => return Err(about(failed)),
    };
    let synced = session.sync(&folder).await;
    let closed = session.close(folder).await;
    synced_or_not_possible(session, synced).map_err(about)?;
    closed.map_err(about)
}

/// A file system that cannot sync a folder says so, in many words: the server may serve a share of yet
/// another machine. That is noted; a failure (EIO of a disk) stays one.
pub(super) fn synced_or_not_possible(
    session: &Session,
    synced: Result<(), Failed>,
) -> Result<(), Failed> {
    match synced {
        Err(Failed::Refused(code, _)) if code != Code::FAILURE && !code.is_of_the_medium() => {
            session.life().note_unsynced_folder();
            Ok(())
        }
        other => other,
    }
}

fn no_folder(full: &str) -> crate::Error {
    invalid(format!("{full} is no folder"))
}

/// Makes the repository's own folder, and those above it.
pub(super) async fn make_place(session: &Session, place: &SftpFolder) -> Result<()> {
    let mut above = "";
    for folder in place.ancestors() {
        let looked = session.look_through(folder).await;
        match looked.map_err(|failed| failed.into_error(folder))? {
            SftpPathKind::Folder => {}
            SftpPathKind::Nothing => {
                make(session, folder).await?;
                sync(session, if above.is_empty() { parent(folder) } else { above }).await?;
            }
            SftpPathKind::File { .. } | SftpPathKind::Other => return Err(no_folder(folder)),
        }
        above = folder;
    }
    Ok(())
}

fn parent(folder: &str) -> &'static str {
    if folder.starts_with('/') { "/" } else { "." }
}

/// Sees that the repository's own folder is there.
///
/// Errors: `NotFound`, `Invalid` if it is no folder, and as the server says.
pub(super) async fn see_place(session: &Session, place: &SftpFolder) -> Result<()> {
    let folder = place.folder();
    let looked = session.look_through(folder).await;
    match looked.map_err(|failed| failed.into_error(folder))? {
        SftpPathKind::Folder => Ok(()),
        SftpPathKind::Nothing => Err(crate::Error::new(ErrorKind::NotFound)
            .with_source(format!("there is no folder {folder} on the server"))
            .with_hint("is the path right? one below the home folder begins with /~/")),
        SftpPathKind::File { .. } | SftpPathKind::Other => Err(no_folder(folder)),
    }
}
