//! Exact ranges: the one check that every backend makes before it reads.

use std::ops::Range;

use crate::{Error, ErrorKind, Key, Result};

/// The range to read of a thing of `len` bytes (all of it if none was asked for); `OutOfRange` if
/// it does not lie inside, or ends before it starts.
pub(crate) fn within(key: &Key, asked: Option<Range<u64>>, len: u64) -> Result<Range<u64>> {
    let range = asked.unwrap_or(0..len);
    if range.start <= range.end && range.end <= len {
        return Ok(range);
    }
    let (start, end) = (range.start, range.end);
    Err(Error::new(ErrorKind::OutOfRange)
        .with_key(key)
        .with_source(format!("bytes {start} to {end} of {len}")))
}
