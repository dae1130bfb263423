//! Reads of files that nothing has verified yet. Whatever lies there, a read takes no more memory
//! than a good file would need (docs/design.md, "Hostile bytes").

use seawall_backends::{Backend, Entry, Key, Result};

/// The longest stored file: a pack with one object of 1 GiB.
pub const MAX_STORED_BYTES: u64 = (1 << 30) + (128 << 20);

/// Reads a key; `None` if it has more than `most` bytes.
pub fn get(backend: &dyn Backend, key: &Key, most: u64) -> Result<Option<Vec<u8>>> {
    get_listed(backend, &backend.stat(key)?, most)
}

/// Reads a key that was just listed, up to the listed length; `None` if that is more than `most`.
pub fn get_listed(backend: &dyn Backend, entry: &Entry, most: u64) -> Result<Option<Vec<u8>>> {
    if entry.len > most {
        return Ok(None);
    }
    backend.get(&entry.key, Some(0..entry.len)).map(Some)
}
