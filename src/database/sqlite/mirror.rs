//! Makes one file equal to another, and moves as few bytes as that takes.
//!
//! Most calls find a copy that is a fraction of a second old. Then only reading costs anything. At
//! worst a lock is held meanwhile, so it must be quick: both files come from memory, and several
//! threads compare them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::thread;

/// So many bytes are compared at once. Two such chunks fit into the cache of one core.
const CHUNK_BYTES: usize = 128 << 10;
/// A thread is worth its start if it has so many bytes to compare.
const THREAD_BYTES: u64 = 32 << 20;
/// More threads only wait for memory.
const MOST_THREADS: u64 = 4;

/// Why two files could not be made equal.
#[derive(Debug)]
pub(super) enum MirrorError {
    /// The original.
    Read(io::Error),
    /// The copy.
    Write(io::Error),
}

/// Makes `copy` equal to `original`, if nobody writes to `original` meanwhile.
pub(super) fn mirror(original: &File, copy: &File) -> Result<(), MirrorError> {
    let len = original.metadata().map_err(MirrorError::Read)?.len();
    if copy.metadata().map_err(MirrorError::Write)?.len() != len {
        copy.set_len(len).map_err(MirrorError::Write)?;
    }
    // A file system that shares blocks between files (btrfs, XFS) copies any length in a moment.
    // Others refuse.
    if rustix::fs::ioctl_ficlone(copy, original).is_ok() {
        return Ok(());
    }
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let threads = (len / THREAD_BYTES).clamp(1, cores.min(MOST_THREADS));
    let share = len.div_ceil(threads);
    thread::scope(|scope| {
        let begun: Vec<_> = (1..threads)
            .map(|number| scope.spawn(move || mirror_part(original, copy, number * share, share)))
            .collect();
        let first = mirror_part(original, copy, 0, share);
        begun.into_iter().fold(first, |result, thread| {
            let own = thread.join().unwrap_or_else(|_| {
                let stopped = io::Error::other("a thread that compared files stopped");
                Err(MirrorError::Read(stopped))
            });
            result.and(own)
        })
    })
}

/// Makes `len` bytes from `at` on equal, up to the end of the original.
fn mirror_part(original: &File, copy: &File, at: u64, len: u64) -> Result<(), MirrorError> {
    let mut wanted = vec![0; CHUNK_BYTES];
    let mut known = vec![0; CHUNK_BYTES];
    let end = at + len;
    let mut at = at;
    while at < end {
        let room = usize::try_from(end - at).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let count = read_at(original, &mut wanted[..room], at).map_err(MirrorError::Read)?;
        if count == 0 {
            break;
        }
        let (wanted, known) = (&wanted[..count], &mut known[..count]);
        let there = read_at(copy, known, at).map_err(MirrorError::Write)?;
        if known[..there] != *wanted {
            copy.write_all_at(wanted, at).map_err(MirrorError::Write)?;
        }
        at += count as u64;
    }
    Ok(())
}

/// Fills the buffer as far as the file reaches.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read_at(&mut buffer[len..], at + len as u64) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests need no durable files")]

    use std::fs::{self, OpenOptions};

    use super::*;

    #[test]
    fn a_copy_becomes_equal_whatever_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (original, copy) = (folder.path().join("a"), folder.path().join("b"));
        let mut bytes: Vec<u8> =
            (0..65 << 12).flat_map(|at: u32| [at.to_le_bytes()[0]; 256]).collect();
        let check = |bytes: &[u8]| {
            fs::write(&original, bytes).unwrap();
            let open = OpenOptions::new().read(true).write(true).clone();
            let to = open.clone().create(true).open(&copy).unwrap();
            mirror(&File::open(&original).unwrap(), &to).unwrap();
            assert!(fs::read(&copy).unwrap() == bytes, "{} bytes", bytes.len());
        };
        check(&bytes);
        // The last byte of each thread's share, and the first of the next.
        let at = bytes.len().div_ceil(2);
        for at in [0, at - 1, at, bytes.len() - 1] {
            bytes[at] ^= 1;
            check(&bytes);
        }
        for len in [bytes.len() - 1, CHUNK_BYTES + 1, 1, 0, CHUNK_BYTES, bytes.len()] {
            check(&bytes[..len]);
        }
    }
}
