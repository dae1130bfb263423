//! Parts of dumps and of groups of files, as one stream again.

use std::cell::RefCell;
use std::io::{self, Read};

use sha2::Digest as _;

use super::error::{Error, loss};
use crate::object::Sha256;
use crate::repository::manifest::Part;
use crate::repository::marker::Named;
use crate::repository::parts::PartReader;
use crate::repository::{self, Repository};

/// Why a stream could not be used.
#[derive(Debug)]
pub enum Broken {
    /// It is lost, for this reason; everything else can go on.
    Lost(String),
    /// The restore cannot go on.
    Fatal(Error),
}

/// Length and SHA-256 of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Bytes.
    pub len: u64,
    /// Their SHA-256.
    pub sha256: Sha256,
}

/// Reads parts, each verified before it is decompressed, through `read`, which gives up with
/// [`Broken`] of its own or passes on that the stream failed.
pub fn read<T>(
    repository: &Repository,
    parts: &[Part],
    read: impl FnOnce(&mut dyn Read) -> Result<T, Broken>,
) -> Result<(T, Seen), Broken> {
    let failure = RefCell::new(None);
    let bytes = parts.iter().map(|part| {
        let sealed = repository.read_named(&Named {
            sha256: part.sha256,
            size: part.size,
            key: part.key.clone(),
        });
        sealed
            .map(|bytes| repository.seal().open(bytes))
            .map_err(|error| {
                *failure.borrow_mut() = Some(error);
                io::Error::other("a part cannot be read")
            })
    });
    let mut reader = PartReader::new(bytes)
        .map(Hashing::new)
        .map_err(|error| Broken::Lost(error.to_string()))?;
    let result = read(&mut reader);
    let seen = reader.finish();
    match (result, failure.into_inner()) {
        (Err(_), Some(error)) => Err(judge(repository, error)),
        (result, _) => Ok((result?, seen)),
    }
}

/// What a failed part means.
fn judge(repository: &Repository, error: repository::Error) -> Broken {
    match loss(repository, error) {
        Ok(problem) => Broken::Lost(problem),
        Err(error) => Broken::Fatal(error),
    }
}

struct Hashing<R> {
    inner: R,
    len: u64,
    sha256: sha2::Sha256,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            len: 0,
            sha256: sha2::Sha256::new(),
        }
    }

    fn finish(self) -> Seen {
        Seen {
            len: self.len,
            sha256: Sha256::new(self.sha256.finalize().into()),
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(to)?;
        self.sha256.update(&to[..len]);
        self.len += len as u64;
        Ok(len)
    }
}
