//! Reads and verifies the markers of a repository, in order.

use std::sync::OnceLock;

use seawall_backends::{Entry, ErrorKind, Key};

use super::chains::Chain;
use super::marker::{self, Marker, MarkerError};
use super::names::{self, SnapshotId};
use super::note::{self, VerifyingKey};
use super::{Error, Repository, Result, bounded, host_key, pool};
use crate::crypt::Seal;
use crate::object::Sha256;
use crate::time::Timestamp;

/// The key that signed a marker, and whether the administrator vouched for it.
#[derive(Debug, Clone)]
pub enum SignedBy {
    /// A key that the administrator vouched for.
    Pinned(VerifyingKey),
    /// A key that was found in the repository itself. Whoever operates the storage could have put
    /// it there.
    Unpinned(VerifyingKey),
}

impl SignedBy {
    /// The key.
    pub fn key(&self) -> &VerifyingKey {
        match self {
            Self::Pinned(key) | Self::Unpinned(key) => key,
        }
    }

    /// Whether the administrator vouched for it.
    pub fn is_pinned(&self) -> bool {
        matches!(self, Self::Pinned(_))
    }
}

/// A finished backup run: its marker, verified.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What the marker says.
    pub marker: Marker,
    /// SHA-256 of the marker's bytes. The next marker of the chain names it.
    pub sha256: Sha256,
    /// Whose signature it bears.
    pub signed_by: SignedBy,
    /// When the marker was stored, by the storage's clock. Nothing signs this time.
    pub stored: Timestamp,
}

impl Snapshot {
    /// Its name.
    pub fn id(&self) -> SnapshotId {
        self.marker.snapshot
    }
}

/// Something in `markers/` that should be a snapshot and is not.
#[derive(Debug, Clone)]
pub struct BadMarker {
    /// Where it is.
    pub key: Key,
    /// What is wrong with it.
    pub problem: String,
}

/// Everything in `markers/`.
#[derive(Debug, Clone, Default)]
pub struct Markers {
    /// Snapshots in order of their names.
    pub snapshots: Vec<Snapshot>,
    /// Runs that were declared dead.
    pub voids: Vec<Key>,
    /// Files that should be snapshots and are not.
    pub bad: Vec<BadMarker>,
}

impl Markers {
    /// The newest snapshot. Of each chain only the snapshot with the highest sequence counts, and
    /// among those the one that finished last is chosen. If a pinned key signed any snapshot,
    /// unpinned keys do not count: whoever can write to the destination can plant a key, and a
    /// marker that claims to be newer.
    pub fn latest(&self) -> Option<&Snapshot> {
        let chains = self.chains();
        let is_any_pinned = chains.iter().any(Chain::is_pinned);
        chains
            .into_iter()
            .filter(|chain| chain.is_pinned() || !is_any_pinned)
            .map(|chain| chain.newest)
            .max_by_key(|snapshot| (snapshot.marker.finished, snapshot.id()))
    }

    /// Finds a snapshot by `latest`, a whole name, or a prefix that fits only one.
    pub fn find(&self, name: &str) -> Result<&Snapshot> {
        let no_snapshot = || Error::NoSnapshot { name: name.into() };
        if name == "latest" {
            return self.latest().ok_or_else(no_snapshot);
        }
        let begins =
            |snapshot: &&Snapshot| !name.is_empty() && snapshot.id().to_string().starts_with(name);
        let matching: Vec<&Snapshot> = self.snapshots.iter().filter(begins).collect();
        match matching[..] {
            [] => Err(no_snapshot()),
            [snapshot] => Ok(snapshot),
            _ => Err(Error::ManySnapshots {
                name: name.into(),
                names: matching.iter().map(|snapshot| snapshot.id()).collect(),
            }),
        }
    }
}

/// The result of reading a stored marker.
enum ReadMarker {
    Snapshot(Box<Snapshot>),
    Void,
    Bad(String),
}

impl Repository {
    /// Reads and verifies everything in `markers/`.
    pub fn markers(&self) -> Result<Markers> {
        let mut markers = Markers::default();
        let known = OnceLock::new();
        let entries = self.backend.list(names::MARKERS);
        let read = |entry: Entry| (self.read_marker(&entry, &known), entry.key);
        let entries = entries.map(|entry| Ok(entry?));
        pool::run(self.connections(), entries, read, |(found, key)| {
            match found? {
                Some(ReadMarker::Snapshot(snapshot)) => markers.snapshots.push(*snapshot),
                Some(ReadMarker::Void) => markers.voids.push(key),
                Some(ReadMarker::Bad(problem)) => markers.bad.push(BadMarker { key, problem }),
                None => {}
            }
            Ok(())
        })?;
        markers.snapshots.sort_by_key(Snapshot::id);
        markers.voids.sort();
        markers.bad.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(markers)
    }

    /// The newest marker that this host key signed: a run of this host builds on it. Also returns
    /// the bad markers of this host with newer names.
    pub fn base(&self, host: &VerifyingKey) -> Result<(Option<Snapshot>, Vec<BadMarker>)> {
        let suffix = SnapshotId::new(Timestamp::from_system(std::time::UNIX_EPOCH), host.id());
        let suffix = format!("-{}", suffix.host());
        let mut entries = Vec::new();
        for entry in self.backend.list(names::MARKERS) {
            let entry = entry?;
            if entry.key.as_str().ends_with(&suffix) {
                entries.push(entry);
            }
        }
        entries.sort_unstable_by(|a, b| b.key.cmp(&a.key));
        let mut bad = Vec::new();
        let known = OnceLock::new();
        for entry in entries {
            match self.read_marker(&entry, &known)? {
                Some(ReadMarker::Snapshot(snapshot)) if snapshot.signed_by.key() == host => {
                    return Ok((Some(*snapshot), bad));
                }
                Some(ReadMarker::Bad(problem)) => bad.push(BadMarker { key: entry.key, problem }),
                Some(ReadMarker::Snapshot(_) | ReadMarker::Void) | None => {}
            }
        }
        Ok((None, bad))
    }

    /// The snapshot of that name; `None` if there is no valid marker.
    pub fn snapshot(&self, id: SnapshotId) -> Result<Option<Snapshot>> {
        let entry = match self.backend.stat(&names::marker(id)) {
            Ok(entry) => entry,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(match self.read_marker(&entry, &OnceLock::new())? {
            Some(ReadMarker::Snapshot(snapshot)) => Some(*snapshot),
            _ => None,
        })
    }

    /// How files are sealed, according to the newest marker that a pinned key signed. `None` if
    /// none of the eight newest markers is signed by one. `seawall.json` says it too, but nothing
    /// proves it there.
    pub fn seal_of_markers(&self) -> Result<Option<Seal>> {
        const MOST: usize = 8;
        if self.pinned.is_empty() {
            return Ok(None);
        }
        let entries: std::result::Result<Vec<Entry>, _> =
            self.backend.list(names::MARKERS).collect();
        let mut entries = entries?;
        entries.sort_unstable_by(|a, b| b.key.cmp(&a.key));
        let known = OnceLock::new();
        for entry in entries.iter().take(MOST) {
            if let Some(ReadMarker::Snapshot(snapshot)) = self.read_marker(entry, &known)?
                && snapshot.signed_by.is_pinned()
            {
                return Ok(Some(snapshot.marker.seal()));
            }
        }
        Ok(None)
    }

    /// Reads and verifies a listed marker. `None` if it was deleted since it was listed.
    fn read_marker(
        &self,
        entry: &Entry,
        known: &OnceLock<Vec<VerifyingKey>>,
    ) -> Result<Option<ReadMarker>> {
        let bytes = match bounded::get_listed(&*self.backend, entry, marker::MAX_BYTES as u64) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Some(ReadMarker::Bad("is too long for a marker".into()))),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // One marker that cannot be read must not hide the others.
            Err(error) if !self.is_out_of_reach(&error) => {
                return Ok(Some(ReadMarker::Bad("cannot be read".into())));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(first) = bytes.split(|&byte| byte == b'\n').next()
            && Marker::parse(&String::from_utf8_lossy(first)) == Err(MarkerError::Void)
        {
            return Ok(Some(ReadMarker::Void));
        }
        Ok(Some(self.judge(entry, &bytes, known)?))
    }

    fn judge(
        &self,
        entry: &Entry,
        bytes: &[u8],
        known: &OnceLock<Vec<VerifyingKey>>,
    ) -> Result<ReadMarker> {
        let (opened, pinned) = match note::open(bytes, &self.pinned) {
            Ok(opened) => (opened, true),
            Err(first) => {
                if known.get().is_none() {
                    // Another thread may have set it meanwhile, to the same content.
                    let _ = known.set(self.published_keys()?);
                }
                match note::open(bytes, known.get().map(Vec::as_slice).unwrap_or_default()) {
                    Ok(opened) => (opened, false),
                    Err(_) => return Ok(ReadMarker::Bad(first.to_string())),
                }
            }
        };
        let marker = match Marker::parse(&opened.text) {
            Ok(marker) => marker,
            Err(error) => return Ok(ReadMarker::Bad(error.to_string())),
        };
        if marker.repository != self.id.as_str() {
            return Ok(ReadMarker::Bad("belongs to another repository".into()));
        }
        if names::marker(marker.snapshot) != entry.key {
            return Ok(ReadMarker::Bad(format!("says that it is {}", marker.snapshot)));
        }
        let signed_by =
            if pinned { SignedBy::Pinned(opened.key) } else { SignedBy::Unpinned(opened.key) };
        Ok(ReadMarker::Snapshot(Box::new(Snapshot {
            marker,
            sha256: Sha256::of(bytes),
            signed_by,
            stored: Timestamp::from_system(entry.modified),
        })))
    }

    /// The public keys in `keys/`. They inform and are not trusted. Keys that cannot be read are
    /// skipped.
    pub fn published_keys(&self) -> Result<Vec<VerifyingKey>> {
        let mut found = Vec::new();
        for entry in self.backend.list(names::KEYS) {
            let entry = entry?;
            let bytes = match bounded::get_listed(&*self.backend, &entry, host_key::MAX_BYTES) {
                Ok(Some(bytes)) => bytes,
                Err(error) if error.kind() == ErrorKind::Transient => return Err(error.into()),
                Ok(None) | Err(_) => continue,
            };
            if let Ok(verifying) = host_key::parse_public(&bytes)
                && names::host_key(verifying.id()) == entry.key
            {
                found.push(verifying);
            }
        }
        Ok(found)
    }
}
