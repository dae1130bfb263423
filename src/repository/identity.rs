//! Which repository a place is when `seawall.json` does not tell, or tells what no marker fits: the
//! markers carry the id, and a key that somebody vouches for signed them (docs/design.md, "Without
//! seawall.json").

use seawall_backends::{Backend, ErrorKind, Key};

use super::configuration::{Configuration, RepositoryId};
use super::marker::{self, Marker};
use super::note::{self, VerifyingKey};
use super::{Error, Repository, Result, bounded, names};
use crate::crypt::Seal;
use crate::time::Timestamp;

/// A key that somebody vouches for.
#[derive(Debug, Clone)]
pub struct Voucher {
    /// The key.
    pub key: VerifyingKey,
    /// The repository that it was pinned for; `None`: any.
    pub of: Option<RepositoryId>,
}

/// What markers that such a key signed say of their repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The id that all of them name.
    pub id: RepositoryId,
    /// When the first of their runs began: the repository is not younger.
    pub since: Timestamp,
    /// How many they are.
    pub markers: usize,
    /// How the newest of them says that files are sealed.
    pub seal: Seal,
    newest: Timestamp,
}

/// Reads every marker and asks those that a vouched key signed. `None`: there is none.
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

/// A marker under its own name whose key is vouched for, for the repository that it names.
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

/// All that lies in `markers/`, one after the other; what the destination refuses to give is passed
/// over.
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

/// The repository that a marker names. Nothing is verified: good to refuse, never to believe.
pub fn claimed(marker: &[u8]) -> Option<RepositoryId> {
    let unverified = note::peek(marker).ok()?;
    let mut lines = unverified.text.lines();
    let id = lines.find_map(|line| line.strip_prefix("repository "))?;
    id.parse().ok()
}

impl Repository {
    /// Refuses to write where markers are, and all of them say that they belong elsewhere:
    /// `seawall.json` was altered, or taken from another repository, and a run would begin a chain
    /// under the wrong id.
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

    /// Writes `seawall.json` again where it is lost. There must be none.
    pub fn put_again(
        backend: std::sync::Arc<dyn Backend>,
        place: &str,
        vouched: &Vouched,
    ) -> Result<Self> {
        let configuration = Configuration {
            id: vouched.id.clone(),
            created: vouched.since,
            seal: vouched.seal,
        };
        backend.put_new(&names::configuration(), &configuration.to_bytes())?;
        Self::open(backend, place)
    }
}
