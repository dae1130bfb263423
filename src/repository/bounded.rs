//! Reads of what nothing has vouched for: whatever lies there, no more is taken into memory than
//! what should lie there can have (docs/design.md, "Hostile bytes").

use seawall_backends::{Backend, Entry, Key, Result};

/// No stored file is longer: a pack with one object of 1 GiB is the longest.
pub const MAX_STORED_BYTES: u64 = (1 << 30) + (128 << 20);

/// The bytes of a key; `None` if there are more than `most`.
pub fn get(backend: &dyn Backend, key: &Key, most: u64) -> Result<Option<Vec<u8>>> {
    get_listed(backend, &backend.stat(key)?, most)
}

/// The same of what was just listed. What is longer by now is cut.
pub fn get_listed(backend: &dyn Backend, entry: &Entry, most: u64) -> Result<Option<Vec<u8>>> {
    if entry.len > most {
        return Ok(None);
    }
    backend.get(&entry.key, Some(0..entry.len)).map(Some)
}
