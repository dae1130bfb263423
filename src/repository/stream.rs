//! Joins the parts of a dump or of a group of files into one stream. Each part is verified by its
//! SHA-256 before any of it is decompressed.

use std::cell::RefCell;
use std::io::{self, Read};

use sha2::Digest as _;

use super::manifest::Part;
use super::marker::Named;
use super::parts::PartReader;
use super::{Error, Repository};
use crate::object::Sha256;

/// Why a stream could not be used.
#[derive(Debug)]
pub enum Broken<E> {
    /// A part cannot be read, or is not what the manifest says.
    Part(Error),
    /// The function that read the stream failed.
    Reader(E),
}

/// Length and SHA-256 of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamDigest {
    /// Number of plain bytes that were read.
    pub len: u64,
    /// Their SHA-256.
    pub sha256: Sha256,
}

/// Gives the stream to `read`. If that fails after a part could not be fetched, verified or opened,
/// the error is [`Broken::Part`]; otherwise it is [`Broken::Reader`].
pub fn read<T, E>(
    repository: &Repository,
    parts: &[Part],
    read: impl FnOnce(&mut dyn Read) -> Result<T, E>,
) -> Result<(T, StreamDigest), Broken<E>> {
    let failure = RefCell::new(None);
    let bytes = parts.iter().map(|part| {
        let sealed = repository.read_named(&Named {
            sha256: part.sha256,
            size: part.size,
            key: part.key.clone(),
        });
        sealed.and_then(|bytes| repository.open_file(&part.key, bytes)).map_err(|error| {
            *failure.borrow_mut() = Some(error);
            io::Error::other("a part cannot be read")
        })
    });
    let mut reader = PartReader::new(bytes).map(Hashing::new).map_err(|error| {
        Broken::Part(Error::Malformed { what: "a stream".into(), reason: error.to_string() })
    })?;
    let result = read(&mut reader);
    let seen = reader.finish();
    match (result, failure.into_inner()) {
        (Err(_), Some(error)) => Err(Broken::Part(error)),
        (result, _) => result.map(|value| (value, seen)).map_err(Broken::Reader),
    }
}

struct Hashing<R> {
    inner: R,
    len: u64,
    sha256: sha2::Sha256,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self { inner, len: 0, sha256: sha2::Sha256::new() }
    }

    fn finish(self) -> StreamDigest {
        StreamDigest { len: self.len, sha256: Sha256::new(self.sha256.finalize().into()) }
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
