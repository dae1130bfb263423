//! Lists and segments as a marker names them: which packs a snapshot needs, and where each object
//! lies.

use seawall_backends::Key;

use super::marker::{Marker, Named};
use super::names::{self, PackKind};
use super::segment::{self, Header, Line};
use super::sums::Sums;
use super::{Error, Repository, Result};
use crate::object::Sha256;

/// A list: the name of its segment, then the names of the segment's packs in write order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// As the marker names it.
    pub named: Named,
    /// The segment's name.
    pub segment: Sha256,
    /// Its packs.
    pub packs: Vec<(PackKind, Sha256)>,
}

impl List {
    /// The bytes of a list.
    pub fn to_bytes(
        repository: &Repository,
        segment: &Sha256,
        packs: &[(PackKind, Sha256)],
    ) -> Result<Vec<u8>> {
        let seal = repository.seal();
        let mut entries = vec![(*segment, names::segment(segment, seal))];
        entries.extend(packs.iter().map(|(kind, name)| (*name, names::pack(*kind, name, seal))));
        Ok(Sums::new(entries)?.to_bytes())
    }

    /// Reads a list and checks its SHA-256 against the marker's.
    pub fn read(repository: &Repository, named: &Named) -> Result<Self> {
        let bytes = repository.read_named(named)?;
        let mut entries = Sums::parse(&bytes)?.into_entries().into_iter();
        let malformed = || Error::Malformed {
            what: named.key.to_string(),
            reason: "it does not list a segment and then packs, each under its own name".into(),
        };
        let (segment, key) = entries.next().ok_or_else(malformed)?;
        if names::parse_segment(&key, repository.seal()) != Some(segment) {
            return Err(malformed());
        }
        let pack = |(name, key): (Sha256, Key)| {
            names::parse_pack(&key, repository.seal())
                .filter(|(_, expected)| *expected == name)
                .ok_or_else(malformed)
        };
        Ok(Self { named: named.clone(), segment, packs: entries.map(pack).collect::<Result<_>>()? })
    }

    /// Reads the list's segment, whose lines must be the list's packs, in order. Also returns its
    /// stored size.
    pub fn read_segment(&self, repository: &Repository) -> Result<(Header, Vec<Line>, u64)> {
        let key = names::segment(&self.segment, repository.seal());
        let stored = repository.read_verified(&key, &self.segment)?;
        let size = stored.len() as u64;
        let (header, lines) = self.open_segment(repository, stored)?;
        Ok((header, lines, size))
    }

    /// Opens the segment's stored bytes, which the caller has verified. The segment must index the
    /// packs of the list, in order.
    pub fn open_segment(
        &self,
        repository: &Repository,
        stored: Vec<u8>,
    ) -> Result<(Header, Vec<Line>)> {
        let key = names::segment(&self.segment, repository.seal());
        let (header, lines) = segment::parse(&repository.open_file(&key, stored)?)?;
        let packs = lines.iter().map(|line| (line.kind, line.pack));
        if !packs.eq(self.packs.iter().copied()) {
            return Err(Error::Altered {
                key,
                problem: "does not index the packs of its list".into(),
            });
        }
        Ok((header, lines))
    }
}

/// The lines of a segment whose SHA-256 the catalog knows. Does not read the segment's list, which
/// may be lost.
pub fn read_lines(repository: &Repository, segment: &Sha256) -> Result<Vec<Line>> {
    let key = names::segment(segment, repository.seal());
    let stored = repository.read_verified(&key, segment)?;
    let (_, lines) = segment::parse(&repository.open_file(&key, stored)?)?;
    Ok(lines)
}

/// The sums of a snapshot. They name the manifest and every part of dumps and files.
pub fn read_sums(repository: &Repository, marker: &Marker) -> Result<Sums> {
    let bytes = repository.read_named(&marker.sums)?;
    Ok(Sums::parse(&bytes)?)
}

/// The manifest of a snapshot. Its SHA-256 is checked against the sums.
pub fn read_manifest(
    repository: &Repository,
    marker: &Marker,
) -> Result<super::manifest::Manifest> {
    let key = names::manifest(marker.snapshot, repository.seal());
    let sums = read_sums(repository, marker)?;
    let entry = sums.entries().iter().find(|(_, named)| *named == key);
    let (sha256, _) = entry.ok_or_else(|| Error::Altered {
        key: marker.sums.key.clone(),
        problem: "does not name the snapshot's manifest".into(),
    })?;
    let bytes = repository.read_verified(&key, sha256)?;
    let manifest = super::manifest::Manifest::parse(&repository.open_file(&key, bytes)?)?;
    if manifest.snapshot == marker.snapshot {
        Ok(manifest)
    } else {
        Err(Error::Altered { key, problem: format!("is the manifest of {}", manifest.snapshot) })
    }
}
