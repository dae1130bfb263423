//! Long streams (dumps, tars of ordinary files) on their way into parts at the destination.

use std::collections::HashSet;
use std::io::{self, Write};

use seawall_backends::Key;

use super::Error;
use crate::object::Sha256;
use crate::repository::manifest::Part;
use crate::repository::parts::{PartOptions, PartTotals, PartWriter};
use crate::repository::{self, Repository};

/// The zstd level of dumps and ordinary files.
const LEVEL: i32 = 3;
/// So many lost parts of one stream are named.
const MOST: usize = 20;

/// A stream that was stored.
pub struct Stored<T> {
    /// Length and SHA-256 before compression.
    pub totals: PartTotals,
    /// Its pieces, in order.
    pub parts: Vec<Part>,
    /// What `write` returned.
    pub value: T,
}

/// Stores all that `write` writes, each part under the name that `name` gives for its index.
pub fn store<T, E>(
    repository: &Repository,
    name: impl Fn(u32) -> Option<Key>,
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<Stored<T>, Error>
where
    Error: From<E>,
{
    let mut parts = Vec::new();
    let mut failure = None;
    let result = write_parts(
        |index, bytes| {
            put_part(repository, name(index), bytes)
                .map(|part| parts.push(part))
                .map_err(|error| {
                    // The writer above only passes on that something failed; this is what.
                    failure = Some(error);
                    io::Error::other("a part could not be stored")
                })
        },
        write,
    );
    match (result, failure) {
        (_, Some(error)) => Err(error.into()),
        (result, None) => {
            let (totals, value) = result?;
            Ok(Stored {
                totals,
                parts,
                value,
            })
        }
    }
}

fn write_parts<T, E>(
    put: impl FnMut(u32, Vec<u8>) -> io::Result<()>,
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<(PartTotals, T), Error>
where
    Error: From<E>,
{
    let mut writer = PartWriter::new(PartOptions::new(LEVEL), put).map_err(Error::Stream)?;
    let value = write(&mut writer)?;
    let totals = writer.finish().map_err(Error::Stream)?;
    Ok((totals, value))
}

fn put_part(
    repository: &Repository,
    key: Option<Key>,
    bytes: Vec<u8>,
) -> Result<Part, repository::Error> {
    let key = key.ok_or_else(|| repository::Error::Malformed {
        what: "the name of a dump or a group of files".into(),
        reason: "it cannot be part of a key".into(),
    })?;
    let stored = repository.seal().seal(bytes);
    repository.backend().put_new(&key, &stored)?;
    Ok(Part {
        key,
        size: stored.len() as u64,
        sha256: Sha256::of(&stored),
    })
}

/// What is lost of an earlier snapshot's parts, one alarm each, for the first [`MOST`]. With none they can
/// be named again; else the whole stream is stored again.
pub fn lost(
    repository: &Repository,
    absent: &HashSet<Key>,
    parts: &[Part],
) -> Result<Vec<String>, Error> {
    use seawall_backends::ErrorKind;
    let mut lost = Vec::new();
    for part in parts {
        let is_there = match repository.backend().stat(&part.key) {
            Ok(entry) => entry.len == part.size && !absent.contains(&part.key),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(repository::Error::from(error).into()),
        };
        if !is_there {
            let key = &part.key;
            lost.push(format!(
                "{key} is lost or altered; what it was a part of is stored again"
            ));
            if lost.len() == MOST {
                break;
            }
        }
    }
    Ok(lost)
}
