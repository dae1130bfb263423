//! Reads streams of parts for a restore, and tells losses from errors that end the restore.

use std::io::Read;

use super::error::{Error, loss};
use crate::repository::manifest::Part;
use crate::repository::stream::{self, StreamDigest};
use crate::repository::{self, Repository};

/// Why a stream could not be used.
#[derive(Debug)]
pub enum RestoreStreamError {
    /// It is lost, for this reason; everything else can go on.
    Lost(String),
    /// The restore cannot go on.
    Fatal(Error),
}

/// Reads parts through `read`. Each part is verified before it is decompressed. `read` may fail
/// with [`RestoreStreamError`] of its own, or pass on that the stream failed.
pub fn read<T>(
    repository: &Repository,
    parts: &[Part],
    read: impl FnOnce(&mut dyn Read) -> Result<T, RestoreStreamError>,
) -> Result<(T, StreamDigest), RestoreStreamError> {
    stream::read(repository, parts, read).map_err(|broken| match broken {
        stream::Broken::Part(error) => judge(repository, error),
        stream::Broken::Reader(broken) => broken,
    })
}

/// Whether a failed part is a loss, or ends the restore.
fn judge(repository: &Repository, error: repository::Error) -> RestoreStreamError {
    match loss(repository, error) {
        Ok(problem) => RestoreStreamError::Lost(problem),
        Err(error) => RestoreStreamError::Fatal(error),
    }
}
