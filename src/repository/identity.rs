//! Finds out which repository a place holds when `seawall.json` is missing, damaged or has an id
//! that no marker has. Markers carry the id, and a trusted key signs them (docs/design.md, "Without
//! seawall.json").

use seawall_backends::{Backend, ErrorKind, Key};

use super::configuration::{Configuration, RepositoryId};
use super::marker::{self, Marker};
use super::note::{self, VerifyingKey};
use super::{Error, Repository, Result, bounded, names};
use crate::crypt::Seal;
use crate::time::Timestamp;

/// A trusted key: pinned on this host, or given by the administrator.
#[derive(Debug, Clone)]
pub struct Voucher {
    /// The key.
    pub key: VerifyingKey,
    /// The repository that it is trusted for; `None` means any.
    pub of: Option<RepositoryId>,
}

/// The repository's facts, taken from markers that trusted keys signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The id that all of them name.
    pub id: RepositoryId,
    /// When the earliest of their runs began: the repository is at least this old.
    pub since: Timestamp,
    /// The number of these markers.
    pub markers: usize,
    /// How files are sealed, according to the newest of these markers.
    pub seal: Seal,
    newest: Timestamp,
}

/// Reads every marker, and evaluates those that a trusted key signed. `None` if there is none.
///
/// # Errors
///
/// [`Error::TwoRepositories`] if they name different ids: nothing tells which one is meant.
pub fn vouched(
    backend: &dyn Backend,
    place: &str,
    vouchers: &[Voucher],
) -> Result<Option<Vouched>> {
    let keys: Vec<VerifyingKey> = vouchers.iter().map(|voucher| voucher.key.clone()).collect();
    let mut found: Option<Vouched> = None;
    for marker in markers(backend) {
        let (key, bytes) = marker?;
        let Some((id, marker)) = signed(&key, &bytes, &keys, vouchers) else {
            continue;
        };
        let vouched = found.get_or_insert_with(|| Vouched {
            id: id.clone(),
            since: marker.started,
            markers: 0,
            seal: Seal::None,
            newest: marker.started,
        });
        if vouched.id != id {
            return Err(Error::TwoRepositories {
                place: place.into(),
                first: vouched.id.clone(),
                second: id,
            });
        }
        vouched.since = vouched.since.min(marker.started);
        if marker.started >= vouched.newest {
            vouched.newest = marker.started;
            vouched.seal = marker.seal();
        }
        vouched.markers += 1;
    }
    Ok(found)
}

/// Opens a marker. `None` unless a key that is trusted for the repository it names signed it, and
/// it lies under its own name.
fn signed(
    key: &Key,
    bytes: &[u8],
    keys: &[VerifyingKey],
    vouchers: &[Voucher],
) -> Option<(RepositoryId, Marker)> {
    let opened = note::open(bytes, keys).ok()?;
    let marker = Marker::parse(&opened.text).ok()?;
    let id: RepositoryId = marker.repository.parse().ok()?;
    let is_vouched = vouchers
        .iter()
        .any(|voucher| voucher.key == opened.key && voucher.of.as_ref().is_none_or(|of| *of == id));
    (is_vouched && names::marker(marker.snapshot) == *key).then_some((id, marker))
}

/// Reads everything in `markers/`. Skips what is too long or cannot be read. A transient error or a
/// failed listing is passed on.
fn markers(backend: &dyn Backend) -> impl Iterator<Item = Result<(Key, Vec<u8>)>> + '_ {
    backend.list(names::MARKERS).filter_map(|entry| {
        let key = match entry {
            Ok(entry) => entry.key,
            Err(error) => return Some(Err(error.into())),
        };
        match bounded::get(backend, &key, marker::MAX_BYTES as u64) {
            Ok(bytes) => bytes.map(|bytes| Ok((key, bytes))),
            Err(error) if error.kind() == ErrorKind::Transient => Some(Err(error.into())),
            Err(_) => None,
        }
    })
}

/// The repository that a marker names. Nothing is verified, so the answer may only be used to
/// refuse.
pub fn claimed(marker: &[u8]) -> Option<RepositoryId> {
    let unverified = note::peek(marker).ok()?;
    let mut lines = unverified.text.lines();
    let id = lines.find_map(|line| line.strip_prefix("repository "))?;
    id.parse().ok()
}

impl Repository {
    /// Refuses to write if there are markers and none has this repository's id. Then `seawall.json`
    /// was altered or comes from another repository, and a run would begin a chain under the wrong
    /// id.
    pub fn refuse_other(&self) -> Result<()> {
        let mut other = None;
        for marker in markers(self.backend.as_ref()) {
            let (_, bytes) = marker?;
            match claimed(&bytes) {
                Some(id) if id == self.id => return Ok(()),
                Some(id) => other = Some(id),
                None => {}
            }
        }
        match other {
            None => Ok(()),
            Some(other) => Err(Error::OtherRepository {
                place: self.place.clone(),
                id: self.id.clone(),
                other,
            }),
        }
    }

    /// Writes `seawall.json` again after it was lost. Fails if there is one.
    pub(crate) fn put_again(
        backend: std::sync::Arc<dyn Backend>,
        place: &str,
        vouched: &Vouched,
    ) -> Result<Self> {
        let configuration =
            Configuration { id: vouched.id.clone(), created: vouched.since, seal: vouched.seal };
        backend.put_new(&names::configuration(), &configuration.to_bytes())?;
        Self::open(backend, place)
    }
}
