//! Threads that read metadata and look it up. Slow disks and networks answer faster if many
//! questions are open at a time, so there are at least four threads, even on one processor.

use std::io;
use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::WalkError;

const FEWEST: usize = 4;
const MOST: usize = 16;

/// Threads of one walk, started when they are first needed.
#[derive(Debug, Default)]
pub(super) struct Threads(OnceLock<Result<ThreadPool, String>>);

impl Threads {
    pub(super) fn get<E>(&self) -> Result<&ThreadPool, WalkError<E>> {
        let start = || {
            let processors = std::thread::available_parallelism();
            let count = processors.map_or(FEWEST, |count| count.get().clamp(FEWEST, MOST));
            let threads = ThreadPoolBuilder::new().num_threads(count).build();
            threads.map_err(|error| error.to_string())
        };
        let threads = self.0.get_or_init(start).as_ref();
        threads.map_err(|error| WalkError::Source(io::Error::other(error.clone())))
    }
}
