//! Asks which locks other programs hold on a database, without taking any.
//!
//! Locks of this process itself are not seen: POSIX tells a process only about locks of others.

use std::fs::File;

use rustix::io::Errno;
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

// SQLite locks these bytes, even behind the end of the file ("The SQLite OS Interface", os.h).
const PENDING: u64 = 0x4000_0000;
const RESERVED: u64 = PENDING + 1;
const SHARED: u64 = PENDING + 2;
const SHARED_BYTES: u64 = 510;

/// What other programs do with a database, by their locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriterState {
    /// Nobody writes.
    Nobody,
    /// A transaction has begun, and the file is as it was before.
    Prepares,
    /// The file is being written to, or will be at once.
    Writes,
    /// The file system gives no locks, so nobody can tell.
    Unknown,
}

/// Finds out what other programs do with an open database.
pub(super) fn writer(database: &File) -> WriterState {
    let ask = || -> Result<WriterState, Errno> {
        // A writer takes these locks in the opposite order. So a writer that goes on to its next
        // lock meanwhile is seen.
        if is_locked(database, SHARED, SHARED_BYTES)? || is_locked(database, PENDING, 1)? {
            return Ok(WriterState::Writes);
        }
        if is_locked(database, RESERVED, 1)? {
            return Ok(WriterState::Prepares);
        }
        Ok(WriterState::Nobody)
    };
    ask().unwrap_or(WriterState::Unknown)
}

/// Whether a lock for reading would be refused.
fn is_locked(file: &File, start: u64, length: u64) -> Result<bool, Errno> {
    let wanted = Flock {
        start,
        length,
        pid: None,
        typ: FlockType::ReadLock,
        offset_type: FlockOffsetType::Set,
    };
    loop {
        match fcntl_getlk(file, &wanted) {
            Err(Errno::INTR) => {}
            answer => return Ok(answer?.is_some()),
        }
    }
}
