//! What a backup's walk sees: the catalog says what is known, the pipeline takes what is new.

use std::sync::{Mutex, PoisonError};

use super::heartbeat::Heartbeat;
use super::packing::{Packer, PipelineStopped};
use super::salvaged::SalvagedObjects;
use crate::host;
use crate::host::catalog::{self, Catalog};
use crate::object::{Kind, Object, Sha256};
use crate::repository::reader::Frames;
use crate::repository::{self, Repository};
use crate::seafile::check;
use crate::walk::{KnownObject, Need, Rescue, Sight};

/// The [`Sight`] of a backup: it knows what is stored, and takes what is new.
pub struct BackupSight<'a> {
    /// The repository, to read what the source lost.
    pub repository: &'a Repository,
    /// The frames that were read last.
    pub frames: Frames,
    /// What is stored and closed.
    pub catalog: &'a Catalog,
    /// Takes what is new; `None` while closures are computed.
    pub packer: Option<&'a Packer>,
    /// Which bad bytes are kept already.
    pub salvaged: &'a SalvagedObjects,
    /// Beats during a walk, which may go on for hours without storing anything.
    pub heartbeat: &'a Heartbeat,
    /// Visits that the catalog does not know yet: it is told many at once.
    pub visits: Mutex<ObjectVisits>,
}

/// Stored objects that a run visited by a walk or by a listing.
#[derive(Debug, Default)]
pub struct ObjectVisits {
    walked: Vec<Object>,
    listed: Vec<Object>,
}

/// How many visits are one transaction of the catalog.
const VISITS: usize = 10_000;

impl BackupSight<'_> {
    /// What the catalog says of an object; `None`: it is not stored.
    pub fn stored(&self, object: &Object) -> Result<Option<catalog::CatalogEntry>, SightError> {
        self.heartbeat.beat()?;
        Ok(self.catalog.known(object)?)
    }

    /// Notes that a stored object was listed.
    pub fn visit_listed(&self, object: &Object) -> Result<(), SightError> {
        self.come_by(|visits| visits.listed.push(*object))
    }

    fn come_by(&self, add: impl FnOnce(&mut ObjectVisits)) -> Result<(), SightError> {
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut visits);
        if visits.walked.len() + visits.listed.len() >= VISITS {
            self.tell(&mut visits)?;
        }
        Ok(())
    }

    fn tell(&self, visits: &mut ObjectVisits) -> host::Result<()> {
        let ObjectVisits { walked, listed } = std::mem::take(visits);
        if !walked.is_empty() {
            self.catalog.visit(&walked)?;
        }
        if !listed.is_empty() {
            self.catalog.visit_listed(&listed)?;
        }
        Ok(())
    }

    /// Tells the catalog the remaining visits. Until then it does not know them.
    pub fn finish(&self) -> host::Result<()> {
        self.tell(&mut self.visits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Why a backup's walk ends early.
#[derive(Debug, thiserror::Error)]
pub enum SightError {
    /// The pipeline stopped; it knows why.
    #[error("the pipeline stopped")]
    Stopped,
    /// The catalog or the repository failed.
    #[error(transparent)]
    Host(#[from] host::Error),
}

impl From<repository::Error> for SightError {
    fn from(error: repository::Error) -> Self {
        Self::Host(error.into())
    }
}

impl From<PipelineStopped> for SightError {
    fn from(PipelineStopped: PipelineStopped) -> Self {
        Self::Stopped
    }
}

impl Sight for BackupSight<'_> {
    type Error = SightError;

    fn known(&self, object: &Object) -> Result<Option<KnownObject>, SightError> {
        let known = self.stored(object)?;
        Ok(known.map(|known| KnownObject {
            length: known.length,
            closed: known.closed,
            walked: known.walked,
            sha256: known.sha256,
        }))
    }

    fn visit(&self, object: &Object) -> Result<(), SightError> {
        self.come_by(|visits| visits.walked.push(*object))
    }

    fn keep(&self, object: Object, bytes: Vec<u8>) -> Result<(), SightError> {
        Ok(self.packer.ok_or(PipelineStopped)?.keep(object, bytes)?)
    }

    fn keep_block(&self, object: Object, need: Need) -> Result<(), SightError> {
        Ok(self.packer.ok_or(PipelineStopped)?.keep_block(object, need)?)
    }

    fn salvage(&self, object: Object, bytes: Vec<u8>) -> Result<(), SightError> {
        if let Some(packer) = self.packer
            && self.salvaged.is_new(object, Sha256::of(&bytes))
        {
            packer.salvage(object, bytes)?;
        }
        Ok(())
    }

    fn rescue(&self, object: &Object) -> Result<Rescue, SightError> {
        let Some((place, sha256)) = self.catalog.place(object)? else {
            return Ok(Rescue::Nothing);
        };
        let bytes = match self.frames.read_object(self.repository, &place) {
            Err(repository::Error::Backend(error)) if self.repository.is_out_of_reach(&error) => {
                return Err(repository::Error::from(error).into());
            }
            // This host cannot open what it stored, so it cannot say whether the object is good.
            Err(repository::Error::Locked { .. } | repository::Error::Key { .. }) => {
                return Ok(Rescue::Sealed);
            }
            read => read.ok(),
        };
        let is_good = |bytes: &Vec<u8>| match object.kind {
            // A commit's id does not cover all of its bytes.
            Kind::Commit => sha256 == Some(Sha256::of(bytes)),
            Kind::Fs | Kind::Block => check::check(object, bytes).is_ok(),
        };
        let good = bytes.filter(is_good);
        if good.is_none() {
            // The pack is damaged. The next run treats it as lost.
            self.catalog.suspect(&place.pack)?;
        }
        Ok(good.map_or(Rescue::Nothing, Rescue::Bytes))
    }
}
