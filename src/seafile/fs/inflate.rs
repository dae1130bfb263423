//! Inflates zlib streams up to a limit. Each thread sets up one decompressor and uses it again.

use super::FormatError;
use flate2::{Decompress, FlushDecompress, Status};
use std::cell::RefCell;

/// How much of its output buffer a thread keeps from one object to the next.
const KEPT_BYTES: usize = 1 << 20;

thread_local! {
    static INFLATER: RefCell<Inflater> = RefCell::new(Inflater::new());
}

/// Calls `read` with the inflated `bytes`. `read` must not call this function again.
///
/// Bytes behind the end of the zlib stream are ignored, because Seafile's server ignores them too.
/// To the server such an object is intact, and its id covers only the inflated bytes.
pub(super) fn with_inflated<T>(
    bytes: &[u8],
    limit_bytes: usize,
    read: impl FnOnce(&[u8]) -> T,
) -> Result<T, FormatError> {
    INFLATER.with_borrow_mut(|inflater| inflater.inflate(bytes, limit_bytes).map(read))
}

struct Inflater {
    stream: Decompress,
    output: Vec<u8>,
}

impl Inflater {
    fn new() -> Self {
        Self { stream: Decompress::new(true), output: Vec::new() }
    }

    fn inflate(&mut self, bytes: &[u8], limit_bytes: usize) -> Result<&[u8], FormatError> {
        self.stream.reset(true);
        self.output.clear();
        self.output.shrink_to(KEPT_BYTES);
        self.make_room(bytes.len().saturating_mul(4), limit_bytes)?;
        let mut rest = bytes;
        loop {
            let before = self.stream.total_in();
            let status = self
                .stream
                .decompress_vec(rest, &mut self.output, FlushDecompress::None)
                .map_err(|_| FormatError::Zlib)?;
            if status == Status::StreamEnd && self.output.len() <= limit_bytes {
                return Ok(&self.output);
            }
            if status != Status::StreamEnd && self.output.len() < self.output.capacity() {
                return Err(FormatError::Truncated);
            }
            let consumed = usize::try_from(self.stream.total_in() - before).unwrap_or(rest.len());
            rest = rest.get(consumed..).unwrap_or_default();
            self.make_room(self.output.len(), limit_bytes)?;
        }
    }

    /// Makes room for `wanted` more bytes, at most one byte beyond the limit.
    fn make_room(&mut self, wanted: usize, limit_bytes: usize) -> Result<(), FormatError> {
        let most = limit_bytes.saturating_add(1).saturating_sub(self.output.len());
        if most == 0 {
            return Err(FormatError::TooLarge { limit_bytes });
        }
        self.output.reserve(wanted.clamp(4096, most.max(4096)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn inflated(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, FormatError> {
        with_inflated(bytes, limit_bytes, <[u8]>::to_vec)
    }

    #[test]
    fn the_limit_is_exact() {
        for len in [0, 1, 4095, 4096, 4097, 8192, 100_000, 3_000_000] {
            let bytes = vec![7; len];
            assert_eq!(inflated(&deflated(&bytes), len), Ok(bytes.clone()));
            let refused = Err(FormatError::TooLarge { limit_bytes: len });
            assert_eq!(inflated(&deflated(&vec![7; len + 1]), len), refused);
        }
    }

    #[test]
    fn a_bomb_is_refused_without_its_memory() {
        let bomb = deflated(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let mut inflater = Inflater::new();
        let refused = Err(FormatError::TooLarge { limit_bytes: 1 << 20 });
        assert_eq!(inflater.inflate(&bomb, 1 << 20), refused);
        assert!(inflater.output.capacity() < 4 << 20);
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        let mut inflater = Inflater::new();
        let large = vec![0; 8 << 20];
        inflater.inflate(&deflated(&large), 8 << 20).unwrap();
        inflater.inflate(&deflated(b"x"), 8 << 20).unwrap();
        assert!(inflater.output.capacity() <= KEPT_BYTES);
    }

    #[test]
    fn an_error_does_not_spoil_the_next_object() {
        assert_eq!(inflated(b"xyz", 9), Err(FormatError::Zlib));
        assert_eq!(inflated(&deflated(b"next")[..5], 9), Err(FormatError::Truncated));
        assert_eq!(inflated(&deflated(b"next"), 9), Ok(b"next".to_vec()));
    }

    proptest! {
        #[test]
        fn streams_round_trip_and_end_where_they_end(
            bytes in prop::collection::vec(0u8..4, 0..20_000),
            behind in any::<Vec<u8>>(),
        ) {
            let mut stream = deflated(&bytes);
            prop_assert_eq!(
                inflated(&stream[..stream.len() - 1], bytes.len()),
                Err(FormatError::Truncated)
            );
            stream.extend(behind);
            prop_assert_eq!(inflated(&stream, bytes.len()), Ok(bytes));
        }
    }
}
