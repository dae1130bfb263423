//! What dead writers left. SFTP has no locks, so age has to do: a temporary file to which nothing was
//! written for a day is nobody's. The server's clock decides, which a new file shows; that of this
//! machine may be wrong.
//!
//! A writer that slept for longer finds its file gone, and writes it again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::listing::{SftpFile, SftpListing};
use super::session::{Session, SftpPathKind};
use super::{Server, temporary};
use crate::{Error, ErrorKind, Result};

const STALE_AFTER: Duration = Duration::from_hours(24);

/// Removes what is stale, and says how many files it removed.
pub(super) fn remove(server: &Arc<Server>) -> Result<u64> {
    let mut found = Vec::new();
    for file in SftpListing::begin(server, "", temporary::is_name) {
        match file {
            Ok(file) => found.push(file),
            // What may not be read may not be removed either.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    if found.is_empty() || server.keeps.load(Ordering::Relaxed) {
        return Ok(0);
    }
    server.run(async |session| remove_old(server, session, &found).await)
}

async fn remove_old(server: &Server, session: &Session, found: &[SftpFile]) -> Result<u64> {
    let Some(now) = clock(server, session).await? else {
        return Ok(0);
    };
    let mut removed = 0;
    for file in found.iter().filter(|file| is_stale(file.holds, now)) {
        let path = server.place.at(&file.path);
        // Looked at once more: its writer may have woken up.
        let holds = session.look(&path).await;
        let holds = holds.map_err(|failed| failed.into_error(&path))?;
        if is_stale(holds, now) && session.remove(&path).await.is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_stale(holds: SftpPathKind, now: SystemTime) -> bool {
    match holds {
        SftpPathKind::File { modified, .. } => {
            now.duration_since(modified).is_ok_and(|age| age >= STALE_AFTER)
        }
        _ => false,
    }
}

/// The server's time. None: it lets nobody write here, or remove what was written.
async fn clock(server: &Server, session: &Session) -> Result<Option<SystemTime>> {
    let path = server.place.at(&temporary::random_name()?);
    let about = |failed: super::errors::Failed| -> Result<Option<SystemTime>> {
        let error = failed.into_error(&path);
        match error.kind() {
            ErrorKind::Transient => Err(error),
            _ => Ok(None),
        }
    };
    match session.open_new(&path).await {
        Ok(file) => {
            if let Err(failed) = session.close(file).await {
                return about(failed);
            }
        }
        Err(failed) => return about(failed),
    }
    let looked = session.look(&path).await;
    if let Err(failed) = session.remove(&path).await {
        server.keeps.store(true, Ordering::Relaxed);
        return about(failed);
    }
    match looked {
        Ok(SftpPathKind::File { modified, .. }) => Ok(Some(modified)),
        Ok(_) => {
            Err(Error::new(ErrorKind::Transient).with_source(format!("{path}: the file went away")))
        }
        Err(failed) => about(failed),
    }
}
